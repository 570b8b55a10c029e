"""The windows that rates, means and maxima are of: marks in time, with what the counters said then.

Java's metrics.sample.window.ms and metrics.num.samples: `samples` marks, a window apart, so that what is told covers
the last `samples - 1` windows and the one under way. One thread at a time; `now` is milliseconds of a monotonic clock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import NamedTuple, Protocol, TypeAlias

from kproducer.metrics.table import ALL_METRICS, PRODUCER
from kproducer.metrics.view import NOTHING, Subject, View
from kproducer.types import Metrics

# Both by the key of metrics(): "producer-metrics", "producer-topic-metrics.orders".
Reading: TypeAlias = Mapping[str, Subject]
Maxima: TypeAlias = Mapping[str, Mapping[str, int]]


class Source(Protocol):
    """What the counters say."""

    def read(self) -> Reading:
        """Return all counters."""
        ...

    def maxima(self, *, take: bool) -> Maxima:
        """Return the largest values since they were taken last; `take` them."""
        ...


class _Mark(NamedTuple):
    """A moment between two windows; `maxima` are of the one that ended."""

    at: float
    reading: Reading
    maxima: Maxima


class Windows:
    """Marks of the last windows.

    Args:
        source: the counters, all 0 at this moment.
        window_ms: length of a window.
        samples: how many windows are told of, the one under way among them.
        now: the beginning.

    Attributes:
        deadline: when the window under way ends.
    """

    def __init__(self, source: Source, *, window_ms: float, samples: int, now: float) -> None:
        self.deadline = now + window_ms
        self._source = source
        self._window_ms = window_ms
        self._marks = deque([_Mark(now, {}, {})], maxlen=samples)

    def roll_if_due(self, now: float) -> None:
        """Begin the next window if this one is over."""
        if now < self.deadline:
            return
        maxima = self._source.maxima(take=True)  # before the counts: a time in those has its maximum in these
        self._marks.append(_Mark(now, self._source.read(), maxima))
        self.deadline = now + self._window_ms

    def snapshot(self, now: float) -> Metrics:
        """Return every metric of the last windows."""
        self.roll_if_due(now)
        maxima = [mark.maxima for mark in list(self._marks)[1:]] + [self._source.maxima(take=False)]
        oldest = self._marks[0]
        seconds = (now - oldest.at) / 1000
        return {
            key: _values(key, View(oldest.reading.get(key, NOTHING), subject, seconds, _largest(maxima, key)))
            for key, subject in self._source.read().items()
        }


class Interval:
    """The producer from one call to the next, whatever the windows are."""

    def __init__(self, source: Source, now: float) -> None:
        self._source = source
        self._at = now
        self._before = NOTHING

    def next(self, now: float) -> View:
        """Return the time since the last call, or since the beginning."""
        subject = self._source.read()[PRODUCER]
        view = View(self._before, subject, (now - self._at) / 1000, {})
        self._at, self._before = now, subject
        return view


def _values(key: str, view: View) -> dict[str, float]:
    return {metric.name: metric.value(view) for metric in ALL_METRICS[key.partition(".")[0]]}


def _largest(windows: list[Maxima], key: str) -> Mapping[str, int]:
    found: dict[str, int] = {}
    for maxima in windows:
        for name, value in maxima.get(key, {}).items():
            found[name] = max(value, found.get(name, 0))
    return found
