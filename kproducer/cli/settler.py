"""Waits for answers on a thread of its own, so that a failure is told while the input is still waited for."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any

# Blocks under way; the producer's own bound is buffer.memory, so this is reached by single short lines only.
_MAX_PENDING = 4096


class Settler:
    """Takes results in the order of their sending and tells of each that failed: how many records, first error."""

    def __init__(self, report: Callable[[int, BaseException], None]) -> None:
        self._report = report
        self._pending: queue.Queue[Any] = queue.Queue(_MAX_PENDING)
        self._thread = threading.Thread(target=self._settle_all, name="kproducer-settler", daemon=True)
        self._thread.start()

    def watch(self, result: Any) -> None:
        """Wait for a SendManyResult in the background; blocks while too many are pending."""
        self._pending.put(result)

    def finish(self, on_delay: Callable[[], None], delay_s: float) -> None:
        """Return when every result is settled; `on_delay` is called once if that takes longer than `delay_s`."""
        self._pending.put(None)
        self._thread.join(delay_s)
        if self._thread.is_alive():
            on_delay()
            self._thread.join()

    def _settle_all(self) -> None:
        while (result := self._pending.get()) is not None:
            if result.wait().failed:
                self._report(result.failed, result.first_error)
