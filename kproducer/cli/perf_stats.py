"""What `kproducer perf` counts, and the lines that it prints: those of kafka-producer-perf-test."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from kproducer import Metrics

_MIB = 1024 * 1024
_PERCENTILES = (0.5, 0.95, 0.99, 0.999)


class Stats:
    """Acknowledged records, their bytes and latencies, in all and since the last line that was printed.

    Fed by the delivery thread alone; the totals are asked for when nothing is on its way any more.

    Args:
        interval_ms: a line is printed when the first acknowledgement after it comes in.
        began: seconds, of the same clock as each `now`.
        name: " steady state" or nothing.
        show: prints a line.
    """

    def __init__(
        self,
        interval_ms: int,
        began: float,
        name: str = "",
        show: Callable[[str], None] = print,
    ) -> None:
        self.is_silent = False
        self._interval_s = interval_ms / 1000
        self._name = name
        self._show = show
        self._count = 0
        self._size_bytes = 0
        self._latencies: Counter[int] = Counter()
        self._began = self._window_began = began
        self._window_count = self._window_bytes = 0
        self._window_latencies: Counter[int] = Counter()

    def record(self, latency_ms: int, count: int, size_bytes: int, now: float) -> None:
        """Add records that were sent together and acknowledged `latency_ms` later, at `now`."""
        self._window_count += count
        self._window_bytes += size_bytes
        self._window_latencies[latency_ms] += count
        if now - self._window_began >= self._interval_s:
            self._end_window(now)

    def correct(self, count: int) -> None:
        """Take `count` for the number of acknowledged records: others of a group failed than the one that was told."""
        self._merge_window()
        self._size_bytes = self._size_bytes * count // max(self._count, 1)
        self._count = count

    def _end_window(self, now: float) -> None:
        if self._name and not self._count:
            self._show("In steady state.")
        if not self.is_silent:
            self._show(self._window_line(now))
        self._merge_window()
        self._window_began = now

    def _merge_window(self) -> None:
        self._count += self._window_count
        self._size_bytes += self._window_bytes
        self._latencies.update(self._window_latencies)
        self._window_count = self._window_bytes = 0
        self._window_latencies.clear()

    def _window_line(self, now: float) -> str:
        seconds = _at_least_1_ms(now - self._window_began)
        return (
            f"{self._window_count} records sent, {self._window_count / seconds:.1f} records/sec "
            f"({self._window_bytes / seconds / _MIB:.2f} MB/sec), "
            f"{_mean(self._window_latencies, 1)} ms avg latency, "
            f"{max(self._window_latencies, default=0):.1f} ms max latency."
        )

    def total_line(self, now: float) -> str:
        """The last line of a run: all that was acknowledged, and percentiles."""
        self._merge_window()
        seconds = _at_least_1_ms(now - self._began)
        p50, p95, p99, p999 = percentiles(self._latencies)
        return (
            f"{self._count}{self._name} records sent, {self._count / seconds:f} records/sec "
            f"({self._size_bytes / seconds / _MIB:.2f} MB/sec), "
            f"{_mean(self._latencies, 2)} ms avg latency, "
            f"{max(self._latencies, default=0):.2f} ms max latency, "
            f"{p50} ms 50th, {p95} ms 95th, {p99} ms 99th, {p999} ms 99.9th."
        )


def percentiles(latencies: Counter[int]) -> list[int]:
    """The latency below which that share of the records lies; 0 without records."""
    places = [int(share * latencies.total()) for share in _PERCENTILES]
    found: list[int] = []
    seen = 0
    for latency_ms in sorted(latencies):
        seen += latencies[latency_ms]
        while len(found) < len(places) and seen > places[len(found)]:
            found.append(latency_ms)
    return found or [0] * len(places)


def format_metrics(metrics: Metrics, client_id: str) -> str:
    """The table of `--print-metrics`, sorted by name, with tags as Java writes them."""
    rows = {
        f"{key.partition('.')[0]}:{name}:{{{_tags(key, client_id)}}}": f"{value:.3f}"
        for key, group in metrics.items()
        for name, value in group.items()
    }
    width = max(map(len, rows), default=0)
    lines = ["", f"{'Metric Name'.ljust(width)}   Value"]
    return "\n".join([*lines, *(f"{name.ljust(width)} : {rows[name]}" for name in sorted(rows))])


def _tags(key: str, client_id: str) -> str:
    group, _, tag = key.partition(".")
    tags = {"client-id": client_id}
    if group == "producer-node-metrics":
        tags["node-id"] = tag
    elif group == "producer-topic-metrics":
        tags["topic"] = tag
    elif group == "producer-partition-metrics":
        tags["topic"], _, tags["partition"] = tag.rpartition("-")
    return ", ".join(f"{name}={value}" for name, value in tags.items())


def _mean(latencies: Counter[int], digits: int) -> str:
    count = latencies.total()
    if not count:
        return "NaN"
    return f"{sum(latency * times for latency, times in latencies.items()) / count:.{digits}f}"


def _at_least_1_ms(seconds: float) -> float:
    return max(seconds, 0.001)
