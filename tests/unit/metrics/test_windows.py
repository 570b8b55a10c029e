"""What is told of the last windows, with counters and a clock that the test moves."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from kproducer._core.counters import Histogram
from kproducer._core.readings import BUCKET_LIMITS_US
from kproducer.metrics.line import statistics_line
from kproducer.metrics.table import ALL_METRICS, NODE, PARTITION, PRODUCER, TOPIC
from kproducer.metrics.view import NOTHING, Subject, View, percentile_us, times_of
from kproducer.metrics.windows import Interval, Windows

WINDOW_MS = 1000
KEYS = (PRODUCER, f"{NODE}.node-1", f"{TOPIC}.orders", f"{PARTITION}.orders-0")
NO_TIMES = Histogram((0,) * len(BUCKET_LIMITS_US), 0, 0)


class AllCounts(dict[str, float]):
    """Any counter that was not set is 0."""

    def __missing__(self, name: str) -> float:
        return 0


class FakeSource:
    """Counters that a test sets: those of every subject, or of the producer alone."""

    def __init__(self, *keys: str) -> None:
        self.counts = {key: AllCounts() for key in keys or (PRODUCER,)}
        self.histograms = dict.fromkeys(("queue", "request", "delivery"), NO_TIMES)
        self.current: dict[str, dict[str, int]] = {}

    def read(self) -> Mapping[str, Subject]:
        return {key: Subject(AllCounts(counts), dict(self.histograms)) for key, counts in self.counts.items()}

    def maxima(self, *, take: bool) -> Mapping[str, Mapping[str, int]]:
        found = self.current
        if take:
            self.current = {}
        return found

    def add(self, counter: str, n: float) -> None:
        """Count for the producer."""
        self.counts[PRODUCER][counter] += n

    def add_times(self, name: str, *times_us: int) -> None:
        """Put times into a histogram, and into the maximum of the window."""
        buckets, sum_ns, max_ns = self.histograms[name]
        counts = list(buckets)
        for time_us in times_us:
            counts[next(i for i, limit in enumerate(BUCKET_LIMITS_US) if time_us < limit)] += 1
        largest_ns = max(times_us) * 1000
        maxima = self.current.setdefault(PRODUCER, {})
        maxima[name] = max(largest_ns, maxima.get(name, 0))
        self.histograms[name] = Histogram(
            tuple(counts), sum_ns + sum(times_us) * 1000, max(max_ns, largest_ns)
        )


@pytest.fixture
def source() -> FakeSource:
    return FakeSource()


def windows_of(source: FakeSource, samples: int = 2) -> Windows:
    return Windows(source, window_ms=WINDOW_MS, samples=samples, now=0)


def test_a_rate_is_of_the_last_window_and_the_one_under_way(source: FakeSource) -> None:
    windows = windows_of(source)
    rates = []
    for now, records in ((500, 100), (1000, 100), (1500, 0), (2000, 0), (2500, 0), (3000, 0)):
        source.add("records_acked", records)
        rates.append(windows.snapshot(now)[PRODUCER]["record-send-rate"])
    # From 0 on until the second mark has been left behind: at 2000 the oldest mark is that of 1000.
    assert rates == [200, 200, pytest.approx(200 / 1.5), 0, 0, 0]
    assert windows.snapshot(3100)[PRODUCER]["record-send-total"] == 200


def test_more_samples_cover_more_time(source: FakeSource) -> None:
    windows = windows_of(source, samples=4)
    source.add("records_acked", 300)
    for now in (1000, 2000, 3000):
        windows.roll_if_due(now)
    assert windows.snapshot(3000)[PRODUCER]["record-send-rate"] == 100
    assert windows.snapshot(4000)[PRODUCER]["record-send-rate"] == 0


def test_a_window_begins_by_itself_when_somebody_asks_late(source: FakeSource) -> None:
    windows = windows_of(source, samples=1)
    source.add("records_acked", 50)
    assert windows.snapshot(5000)[PRODUCER]["record-send-rate"] == 0  # a new window has just begun
    assert windows.deadline == 6000


def test_a_mean_is_of_what_came_in_the_windows(source: FakeSource) -> None:
    windows = windows_of(source, samples=1)
    source.add("wire_bytes", 1000)
    source.add("batches_sent", 10)
    windows.roll_if_due(1000)
    assert windows.snapshot(1000)[PRODUCER]["batch-size-avg"] == 0
    source.add("wire_bytes", 60)
    source.add("batches_sent", 2)
    assert windows.snapshot(1500)[PRODUCER]["batch-size-avg"] == 30


def test_a_maximum_is_forgotten_with_its_window(source: FakeSource) -> None:
    windows = windows_of(source)
    found = []
    for ended, largest in ((1000, 70), (2000, 30), (3000, 20)):
        source.current = {PRODUCER: {"batch_bytes": largest}}
        found.append(windows.snapshot(ended - 1)[PRODUCER]["batch-size-max"])
        windows.roll_if_due(ended)
    assert found == [70, 70, 30]
    assert windows.snapshot(3001)[PRODUCER]["batch-size-max"] == 20


def test_times_of_the_windows_and_of_the_run(source: FakeSource) -> None:
    windows = windows_of(source, samples=1)
    source.add_times("request", 50_000)
    windows.roll_if_due(1000)
    source.add_times("request", *[1000] * 98, 2000, 3000)
    found = windows.snapshot(1500)[PRODUCER]
    assert found["request-latency-max"] == 3
    assert found["request-latency-avg"] == pytest.approx(1.03)
    assert found["request-latency-p50"] == found["request-latency-p95"] == 1.024
    assert found["request-latency-p99"] == 2.048
    assert found["request-latency-p99.9"] == 3  # not the bucket's limit, which nothing reached
    assert found["request-latency-run-max"] == found["request-latency-run-p99.9"] == 50
    assert found["request-latency-run-avg"] == pytest.approx(1.03 * 100 / 101 + 50 / 101)
    assert found["record-queue-time-p99"] == found["record-queue-time-max"] == 0


def test_percentiles_are_upper_bounds_of_buckets() -> None:
    buckets = [0] * len(BUCKET_LIMITS_US)
    for limit, count in ((2, 50), (4, 45), (8, 4), (16, 1)):
        buckets[BUCKET_LIMITS_US.index(limit)] = count
    assert [percentile_us(buckets, share) for share in (0.5, 0.95, 0.99, 0.999)] == [2, 4, 8, 16]
    assert percentile_us([0] * len(BUCKET_LIMITS_US), 0.5) == 0


def test_a_time_whose_maximum_went_with_the_last_window_keeps_its_percentile() -> None:
    buckets = [0] * len(BUCKET_LIMITS_US)
    buckets[BUCKET_LIMITS_US.index(1024)] = 1
    assert times_of(buckets, 1_000_000, 0) == (1.0, 0.0, 1.024, 1.024, 1.024, 1.024)


def test_every_subject_has_the_metrics_of_its_group_and_all_are_numbers() -> None:
    source = FakeSource(*KEYS)
    for now in (0, 1, 2500):  # before any time has passed, too
        found = windows_of(source).snapshot(now)
        for key in KEYS:
            assert list(found[key]) == [metric.name for metric in ALL_METRICS[key.partition(".")[0]]]
        assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_a_topic_that_came_within_the_windows_counts_from_nothing() -> None:
    source = FakeSource()
    windows = windows_of(source)
    windows.roll_if_due(1000)
    source.counts[f"{TOPIC}.late"] = AllCounts(records_acked=10, most_records=10, partitions=4)
    found = windows.snapshot(2000)[f"{TOPIC}.late"]
    assert (found["record-send-rate"], found["record-skew"]) == (10, 4)


def test_names_are_unique_and_totals_alone_end_in_total() -> None:
    for group in ALL_METRICS.values():
        names = [metric.name for metric in group]
        assert len(set(names)) == len(names)
        assert all(metric.unit and metric.doc.endswith(".") for metric in group)


def test_gauges_are_told_in_their_units_and_never_below_nothing() -> None:
    source = FakeSource(PRODUCER, f"{TOPIC}.orders")
    source.add("metadata_age_ms", 2500)
    source.counts[f"{TOPIC}.orders"] |= {
        "batches_pending": 1,
        "batches_in_flight": 2,
    }  # one expired in flight
    found = windows_of(source).snapshot(500)
    assert found[PRODUCER]["metadata-age"] == 2.5
    assert found[f"{TOPIC}.orders"]["batches-queued"] == 0


def test_an_interval_reaches_from_call_to_call(source: FakeSource) -> None:
    interval = Interval(source, 0)
    source.add("records_acked", 100)
    assert interval.next(1000).rate("records_acked") == 100
    source.add("records_acked", 100)
    assert interval.next(1500).rate("records_acked") == 200
    assert interval.next(2000).rate("records_acked") == 0


def test_the_line_tells_rates_times_and_trouble_of_its_interval() -> None:
    counts = AllCounts(
        records_acked=25_000,
        bytes_acked=5_000_000,
        requests_in_flight=3,
        buffer_total_bytes=1000,
        buffer_available_bytes=750,
        record_retries=7,
        records_failed=2,
    )
    times = dict.fromkeys(("queue", "request", "delivery"), NO_TIMES)
    assert statistics_line(View(NOTHING, Subject(counts, times), 2, {})) == (
        "12500 records/s, 2.50 MB/s, 3 requests in flight, p99 of queue 0.0 ms, request 0.0 ms, delivery 0.0 ms, "
        "buffer 25% used, 7 retries, 2 errors"
    )
