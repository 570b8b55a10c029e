"""Ctrl-C twice: the first asks to finish what was begun, the second leaves at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Self

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """While entered, the first SIGINT or SIGTERM sets `is_requested`, the next raises KeyboardInterrupt."""

    def __init__(self, notify: Callable[[], None]) -> None:
        self.is_requested = False
        self._notify = notify
        self._is_breakable = False
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():  # only there may handlers be set
            self._previous = {number: signal.signal(number, self._handle) for number in _SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    @contextmanager
    def breakable(self) -> Iterator[None]:
        """In this block the first signal raises, too: a read from a pipe would otherwise go on waiting."""
        self._is_breakable = True
        try:
            yield
        finally:
            self._is_breakable = False

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        if self.is_requested:
            raise KeyboardInterrupt
        self.is_requested = True
        self._notify()
        if self._is_breakable:
            raise KeyboardInterrupt
