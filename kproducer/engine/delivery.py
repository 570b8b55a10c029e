"""The delivery thread: runs the callbacks of finished batches, in order, off the control thread.

Started with the first callback. `deliver` waits in C without the GIL and logs what callbacks raise.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Final

logger = logging.getLogger(__name__)

# An error that is not a callback's may pass; one that comes back each time must not fill the disk with logs.
_MAX_FAILURES_IN_A_ROW: Final = 3


class DeliveryThread:
    """A daemon thread around `deliver`.

    Args:
        deliver: runs the callbacks of what has finished; returns False once there will be no more.
        on_crash: told of an exception that is not a callback's.
        name: of the thread.
    """

    def __init__(
        self, deliver: Callable[[], bool], *, on_crash: Callable[[BaseException], object], name: str
    ) -> None:
        self._deliver = deliver
        self._on_crash = on_crash
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._start_lock = threading.Lock()
        self._is_started = False

    @property
    def is_current(self) -> bool:
        """Whether the caller runs on this thread."""
        return threading.current_thread() is self._thread

    def ensure_started(self) -> None:
        """Start the thread unless it runs; any thread."""
        if self._is_started:
            return
        with self._start_lock:
            if not self._is_started:
                self._thread.start()
                self._is_started = True

    def join(self, timeout_s: float) -> bool:
        """Wait for the thread's end; return whether it has ended or was never started."""
        if self._is_started and not self.is_current:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        failures = 0
        while failures < _MAX_FAILURES_IN_A_ROW:
            try:
                if not self._deliver():
                    return
                failures = 0
            except Exception as error:
                failures += 1
                logger.exception("the delivery of callbacks failed")
                self._on_crash(error)
