"""Things to be done at given times, on a thread of their own: the script of a fault test."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable


class Schedule:
    """Runs actions at their times; made by `FaultProxy.schedule`.

    Args:
        steps: (seconds from now, action without arguments) each; run in the order of their times.

    Raises ValueError for a negative time.
    """

    def __init__(self, steps: Iterable[tuple[float, Callable[[], object]]]) -> None:
        self._steps = sorted(steps, key=lambda step: step[0])
        if self._steps and not self._steps[0][0] >= 0:
            raise ValueError(f"a step at {self._steps[0][0]} s; allowed is 0 or later")
        self._is_cancelled = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="fault-schedule", daemon=True)
        self._thread.start()

    def wait(self, timeout: float | None = None) -> None:
        """Wait until the last step is done.

        Args:
            timeout: seconds, default None: as long as it takes.

        Raises:
            TimeoutError: it is not done in time; it goes on.
            Exception: what a step raised; the steps behind it were not run.
        """
        self._thread.join(timeout)
        if self._thread.is_alive():
            raise TimeoutError(f"the schedule is not over after {timeout} s")
        error, self._error = self._error, None
        if error is not None:
            raise error

    def cancel(self) -> None:
        """Run no more steps."""
        self._is_cancelled.set()

    def _run(self) -> None:
        began = time.monotonic()
        try:
            for at_s, action in self._steps:
                if self._is_cancelled.wait(max(0.0, began + at_s - time.monotonic())):
                    return
                action()
        except BaseException as error:  # noqa: BLE001  # a thread's edge: told by wait()
            self._error = error
