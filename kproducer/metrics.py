"""Metrics under Java's names, read from the C counters on demand; percentiles from the C histograms."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

_PERCENTILES: Final = (("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("p99.9", 0.999))
_HISTOGRAMS: Final = (
    ("queue", "record-queue-time"),
    ("request", "request-latency"),
    ("delivery", "record-delivery-time"),
)


class Counters(Protocol):
    """What the pump tells."""

    def counters(self) -> dict[str, int]: ...
    def histogram(self, name: str) -> Sequence[tuple[int, int]]: ...
    def histogram_summary(self, name: str) -> tuple[int, int, int]: ...


class ProducerMetrics:
    """One snapshot at a time; holds no state of its own.

    Args:
        source: the C counters.
        extra: further counts by metric name, added to those of the source (default: none).
    """

    def __init__(self, source: Counters, extra: Callable[[], Mapping[str, int]] = dict) -> None:
        self._source = source
        self._extra = extra

    def snapshot(self) -> dict[str, float]:
        """Return every metric by name: counts, bytes, and times in milliseconds."""
        found = self._source.counters()
        metrics = _from_counters(found)
        for histogram, name in _HISTOGRAMS:
            metrics.update(self._times(histogram, name))
        for name, count in self._extra().items():
            metrics[name] = metrics.get(name, 0) + count
        return metrics

    def _times(self, histogram: str, name: str) -> dict[str, float]:
        count, sum_ns, max_ns = self._source.histogram_summary(histogram)
        buckets = self._source.histogram(histogram)
        times = {f"{name}-avg": sum_ns / count / 1e6 if count else 0.0, f"{name}-max": max_ns / 1e6}
        for suffix, share in _PERCENTILES:
            times[f"{name}-{suffix}"] = min(percentile_us(buckets, share) / 1000, max_ns / 1e6)
        return times


def percentile_us(buckets: Sequence[tuple[int, int]], share: float) -> float:
    """Return the upper bound, in microseconds, of the bucket where `share` of the values is reached; 0 if none."""
    total = sum(count for _, count in buckets)
    seen = 0
    for limit_us, count in buckets:
        seen += count
        if count and seen >= share * total:
            return float(limit_us)
    return 0.0


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _from_counters(c: dict[str, int]) -> dict[str, float]:
    return {
        "record-send-total": c["records_acked"],
        "record-error-total": c["records_failed"],
        "record-retry-total": c["record_retries"],
        "batch-split-total": c["batch_splits"],
        "batch-total": c["batches_sent"],
        "batch-size-avg": _ratio(c["wire_bytes"], c["batches_sent"]),
        "records-per-batch-avg": _ratio(c["records_sent"], c["batches_sent"]),
        "records-per-request-avg": _ratio(c["records_sent"], c["requests"]),
        "compression-rate-avg": _ratio(c["wire_bytes"], c["raw_bytes"]),
        "request-total": c["requests"],
        "response-total": c["responses"],
        "requests-in-flight": c["requests_in_flight"],
        "outgoing-byte-total": c["outgoing_bytes"],
        "incoming-byte-total": c["incoming_bytes"],
        "connection-count": c["connections"],
        "connection-creation-total": c["connections_adopted"],
        "connection-close-total": c["connections_closed"],
        "produce-throttle-time-total": c["throttle_ns"] / 1e6,
        "buffer-total-bytes": c["buffer_total_bytes"],
        "buffer-available-bytes": c["buffer_available_bytes"],
        "bufferpool-wait-time-ns-total": c["buffer_wait_ns"],
        "buffer-exhausted-total": c["buffer_exhausted"],
        "late-ack-total": c["late_acks"],
        "protocol-error-total": c["protocol_errors"],
        "record-dropped-total": c["records_dropped"],
        "dead-letter-dropped-total": c["dead_letters_dropped"],
    }
