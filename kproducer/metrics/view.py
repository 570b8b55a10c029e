"""Counters at the two ends of a span of time, and what follows from them. Pure arithmetic; any thread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from kproducer._core.counters import Histogram
from kproducer._core.readings import BUCKET_LIMITS_US

_SHARES: Final = (0.5, 0.95, 0.99, 0.999)
_NO_TIMES: Final = Histogram((0,) * len(BUCKET_LIMITS_US), 0, 0)


class Subject(NamedTuple):
    """What was counted of one thing, since the producer was made: of itself, a broker, a topic or a partition.

    counts: by the name of the counter; gauges too.
    histograms: of times, by name.
    """

    counts: Mapping[str, float]
    histograms: Mapping[str, Histogram]


NOTHING: Final = Subject({}, {})


class Times(NamedTuple):
    """Mean, largest and percentiles of times, in milliseconds; 0 where there are none."""

    avg: float
    max: float
    p50: float
    p95: float
    p99: float
    p99_9: float


class View:
    """A subject over a span of time.

    Args:
        before, now: the subject at the two ends.
        seconds: the length of the span.
        maxima: the largest values within it, by name.
    """

    def __init__(self, before: Subject, now: Subject, seconds: float, maxima: Mapping[str, int]) -> None:
        self._before = before
        self._now = now
        self._seconds = seconds
        self._maxima = maxima
        self._times: dict[str, Times] = {}
        self._run_times: dict[str, Times] = {}

    def total(self, name: str) -> float:
        """Return a counter since the producer was made, or a gauge."""
        return self._now.counts[name]

    def gained(self, name: str) -> float:
        """Return what a counter gained."""
        return self._now.counts[name] - self._before.counts.get(name, 0)

    def rate(self, name: str) -> float:
        """Return what a counter gained each second."""
        return _ratio(self.gained(name), self._seconds)

    def mean(self, part: str, whole: str) -> float:
        """Return what one counter gained for each of another; 0 for none."""
        return _ratio(self.gained(part), self.gained(whole))

    def largest(self, name: str) -> int:
        """Return the largest value; 0 for none."""
        return self._maxima.get(name, 0)

    def times(self, name: str) -> Times:
        """Return the times of the span."""
        if name not in self._times:
            now, before = self._now.histograms[name], self._before.histograms.get(name, _NO_TIMES)
            buckets = [count - old for count, old in zip(now.buckets, before.buckets, strict=True)]
            self._times[name] = times_of(buckets, now.sum_ns - before.sum_ns, self.largest(name))
        return self._times[name]

    def run_times(self, name: str) -> Times:
        """Return the times since the producer was made."""
        if name not in self._run_times:
            self._run_times[name] = times_of(*self._now.histograms[name])
        return self._run_times[name]


def times_of(buckets: Sequence[int], sum_ns: int, max_ns: int) -> Times:
    """Return mean, largest and percentiles; these are upper bounds of buckets, so up to 25 % too high."""
    total = sum(buckets)
    if total == 0:
        return Times(0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    largest_ms = max_ns / 1e6
    percentiles = [percentile_us(buckets, share) / 1000 for share in _SHARES]
    if max_ns > 0:  # it may have been taken a moment before its bucket was counted
        percentiles = [min(percentile, largest_ms) for percentile in percentiles]
    return Times(sum_ns / total / 1e6, largest_ms, *percentiles)


def percentile_us(buckets: Sequence[int], share: float) -> int:
    """Return the upper bound, in microseconds, of the bucket where `share` of the values is reached; 0 if none."""
    wanted = share * sum(buckets)
    seen = 0
    for limit_us, count in zip(BUCKET_LIMITS_US, buckets, strict=True):
        seen += count
        if count and seen >= wanted:
            return limit_us
    return 0


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0
