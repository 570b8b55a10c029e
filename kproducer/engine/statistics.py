"""metrics(), its windows, and who is told of them each interval.

The control thread begins the windows; any thread asks; the delivery thread tells, so that a slow callback holds up
other callbacks and nothing else.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from kproducer.client.transaction_state import Call
from kproducer.config import ProducerConfig
from kproducer.interfaces import StatisticsCallback
from kproducer.metrics.line import statistics_line
from kproducer.metrics.windows import Interval, Source, Windows
from kproducer.types import Metrics

logger = logging.getLogger("kproducer.statistics")

METADATA_WAIT: Final = "metadata_wait_ns"
CALL_COUNTERS: Final[Mapping[Call, str]] = {
    Call.INIT: "txn_init_ns",
    Call.BEGIN: "txn_begin_ns",
    Call.SEND_OFFSETS: "txn_send_offsets_ns",
    Call.COMMIT: "txn_commit_ns",
    Call.ABORT: "txn_abort_ns",
}


class CallTimes:
    """Nanoseconds that callers spent in calls, by the name of the counter; any thread.

    Args:
        clock: milliseconds of a monotonic clock.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._spent = dict.fromkeys((METADATA_WAIT, *CALL_COUNTERS.values()), 0)

    @contextmanager
    def count(self, name: str) -> Iterator[None]:
        """Add the time of the block."""
        began = self._clock()
        try:
            yield
        finally:
            spent_ns = round((self._clock() - began) * 1e6)
            with self._lock:
                self._spent[name] += spent_ns

    def counts(self) -> dict[str, int]:
        """Return the times so far."""
        with self._lock:
            return dict(self._spent)


class Statistics:
    """Answers metrics(); a chore of the control loop, which begins each window in time.

    Args:
        source: the counters.
        config: windows.
        clock: milliseconds of a monotonic clock.
    """

    def __init__(self, source: Source, config: ProducerConfig, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._windows = Windows(
            source,
            window_ms=config.metrics_sample_window_ms,
            samples=config.metrics_num_samples,
            now=clock(),
        )

    def metrics(self) -> Metrics:
        """Return every metric by group and name; any thread."""
        with self._lock:
            return self._windows.snapshot(self._clock())

    def deadline(self) -> float:
        """Return when the window under way ends."""
        return self._windows.deadline

    def work(self, now: float) -> None:
        """Begin the next window if this one is over."""
        with self._lock:
            self._windows.roll_if_due(now)


class StatisticsTeller:
    """Tells a callback and the log at an interval; delivery thread only.

    Args:
        source: the counters, for the log line, which is of the interval.
        metrics: what the callback gets.
        interval_ms: between two times.
        callback: called with the metrics; None for nobody.
        client_id: begins the log line.
        now: milliseconds of a monotonic clock, when the first interval begins.
    """

    def __init__(
        self,
        source: Source,
        metrics: Callable[[], Metrics],
        *,
        interval_ms: float,
        callback: StatisticsCallback | None,
        client_id: str,
        now: float,
    ) -> None:
        self._interval = Interval(source, now)
        self._metrics = metrics
        self._interval_ms = interval_ms
        self._callback = callback
        self._client_id = client_id
        self._due_at = now + interval_ms

    def wait_ms(self, now: float) -> float:
        """Return how long the thread may do other things."""
        return max(0.0, self._due_at - now)

    def tell_if_due(self, now: float) -> None:
        """Call the callback and write the line if the interval is over; what either raises is logged."""
        if now < self._due_at:
            return
        self._due_at = now + self._interval_ms
        try:
            if logger.isEnabledFor(logging.INFO):
                logger.info("%s: %s", self._client_id, statistics_line(self._interval.next(now)))
            if self._callback is not None:
                self._callback(self._metrics())
        except BaseException:  # a callback's edge: even SystemExit must not end the thread of all callbacks
            logger.exception("the statistics callback of producer %s failed", self._client_id)


def make_teller(
    config: ProducerConfig, client_id: str, source: Source, metrics: Callable[[], Metrics], now: float
) -> StatisticsTeller | None:
    """Return who tells of the metrics, None if nobody asked for it."""
    if config.statistics_interval_ms == 0:
        return None
    return StatisticsTeller(
        source,
        metrics,
        interval_ms=config.statistics_interval_ms,
        callback=config.statistics_callback,
        client_id=client_id,
        now=now,
    )
