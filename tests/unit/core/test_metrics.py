"""metrics(): Java's names, true numbers, and a producer that pays nothing for them."""

from __future__ import annotations

import pytest

from kproducer import KafkaProducer, UnobservedDeliveryError
from kproducer.metrics import percentile_us
from kproducer.partitioners import skew
from tests.fakes.scripted_broker import ScriptedBroker
from tests.unit.core.world import MakeProducer, failing, gated, wait_until

OF_JAVA = {
    "record-send-total", "record-error-total", "record-retry-total", "batch-split-total", "batch-size-avg",
    "records-per-request-avg", "compression-rate-avg", "record-queue-time-avg", "record-queue-time-max",
    "request-latency-avg", "request-latency-max", "request-total", "response-total", "requests-in-flight",
    "outgoing-byte-total", "incoming-byte-total", "connection-count", "connection-creation-total",
    "connection-close-total", "buffer-total-bytes", "buffer-available-bytes", "bufferpool-wait-time-ns-total",
    "buffer-exhausted-total",
}  # fmt: skip


def test_javas_names_are_there_and_all_values_are_numbers(producer: KafkaProducer) -> None:
    found = producer.metrics()["producer-metrics"]
    assert found.keys() >= OF_JAVA
    assert all(type(value) in (int, float) and value >= 0 for value in found.values())


def test_counts_are_true(broker: ScriptedBroker, make: MakeProducer) -> None:
    producer = make(broker, compression_type="gzip")
    with gated(broker):
        producer.produce("one", b"first" * 100)
        producer.send_many("one", [b"v" * 100] * 99)
    producer.flush(10)
    with failing(broker):
        producer.produce("one", b"v")
        with pytest.raises(UnobservedDeliveryError):
            producer.flush(10)
    found = producer.metrics()["producer-metrics"]
    assert (found["record-send-total"], found["record-error-total"]) == (100, 1)
    assert found["requests-in-flight"] == 0
    assert found["request-total"] == found["response-total"] >= 2
    assert found["records-per-request-avg"] == pytest.approx(101 / found["request-total"])
    assert 0 < found["compression-rate-avg"] < 0.5
    assert found["connection-count"] == 1
    assert found["buffer-available-bytes"] == found["buffer-total-bytes"] == 32 * 1024 * 1024
    assert min(found["outgoing-byte-total"], found["incoming-byte-total"]) > 0


def test_times_are_in_milliseconds_and_in_order(broker: ScriptedBroker, producer: KafkaProducer) -> None:
    producer.send_many("one", [b"v"] * 100).wait(10)
    found = producer.metrics()["producer-metrics"]
    for name in ("record-queue-time", "request-latency", "record-delivery-time"):
        times = [found[f"{name}-{suffix}"] for suffix in ("p50", "p95", "p99", "p99.9", "max")]
        assert times == sorted(times)
        assert 0 < found[f"{name}-avg"] <= found[f"{name}-max"] < 10_000
    assert found["record-delivery-time-max"] >= found["request-latency-max"]


def test_percentiles_are_upper_bounds_of_buckets() -> None:
    buckets = [(1, 0), (2, 50), (4, 45), (8, 4), (16, 1)]
    assert [percentile_us(buckets, share) for share in (0.5, 0.95, 0.99, 0.999)] == [2, 4, 8, 16]
    assert percentile_us([(1, 0)], 0.5) == 0


def test_partitions_count_what_they_sent_and_what_became_of_it(
    broker: ScriptedBroker, make: MakeProducer
) -> None:
    producer = make(broker, compression_type="gzip")
    with gated(broker):
        producer.send_many("t", [b"v" * 100] * 30, partition=2)
    producer.send("t", b"v", partition=0).result(10)
    with failing(broker):
        producer.produce("t", b"v", partition=0)
        with pytest.raises(UnobservedDeliveryError):
            producer.flush(10)
    pump = producer._runtime.pump
    first, second, third = pump.partition_counters("t")
    assert (first.records_acked, first.records_failed, first.records_sent, first.batches_failed) == (
        1,
        1,
        2,
        1,
    )
    assert second == (0,) * len(second)
    assert (third.records_acked, third.records_sent, third.batches_acked) == (30, 30, third.batches_sent)
    assert 0 < third.wire_bytes < third.raw_bytes / 2
    assert third.raw_bytes > 3000
    assert third.record_retries == 0


def test_counters_by_topic_are_of_all_topics_and_make_none(producer: KafkaProducer) -> None:
    pump = producer._runtime.pump
    producer.send("one", b"x").result(10)
    assert pump.partition_counters("never-asked-for") == []
    assert list(pump.counters_by_topic()) == ["one"]
    assert pump.counters_by_topic()["one"] == pump.partition_counters("one")
    assert skew([c.records_acked for c in pump.partition_counters("one")]) == 1


def test_a_record_sent_again_is_a_retry_of_its_partition(
    broker: ScriptedBroker, producer: KafkaProducer
) -> None:
    not_leader = 6
    with failing(broker, not_leader):
        future = producer.send("t", b"x", partition=1)
        wait_until(lambda: sent_to(producer, 1) > 0, "a first attempt")
    future.result(10)
    found = producer._runtime.pump.partition_counters("t")[1]
    assert found.records_acked == 1
    assert found.record_retries == found.records_sent - 1 >= 1


def sent_to(producer: KafkaProducer, partition: int) -> int:
    return producer._runtime.pump.partition_counters("t")[partition].records_sent


def test_topics_that_got_records_are_told_once(producer: KafkaProducer) -> None:
    pump = producer._runtime.pump
    producer.send("one", b"x").result(10)
    assert pump.topics_used() == ["one"]
    assert pump.topics_used() == []
    producer.send("one", b"x").result(10)
    assert pump.topics_used() == ["one"]
