"""metrics(): Java's groups and names, true numbers, and a producer that pays nothing for them."""

from __future__ import annotations

import json
import logging
import threading
from dataclasses import replace

import pytest

from kproducer import (
    ALL_METRICS,
    BufferExhaustedError,
    IllegalStateError,
    KafkaProducer,
    Metrics,
    UnobservedDeliveryError,
)
from kproducer._core import readings
from kproducer.errors import KafkaTimeoutError
from kproducer.partitioners import skew
from kproducer.protocol.messages.produce import PRODUCE, ProduceResponse
from tests.fakes.scripted_broker import Received, ScriptedBroker
from tests.unit.core.world import MakeProducer, batches_of, failing, gated, wait_until

PRODUCER, NODE, TOPIC = "producer-metrics", "producer-node-metrics.node-1", "producer-topic-metrics.one"
NOT_LEADER = 6


def keys_of(metrics: Metrics) -> set[str]:
    return set(metrics)


def stored_bytes(broker: ScriptedBroker, topic: str, partition: int = 0) -> int:
    return sum(map(len, batches_of(broker, topic, partition)))


def slowly(broker: ScriptedBroker, throttle_ms: int) -> None:
    """Let each answer tell the producer to pause."""
    answer = broker.default(PRODUCE)

    def handler(request: Received) -> ProduceResponse:
        response = answer(request)
        assert isinstance(response, ProduceResponse)
        return replace(response, throttle_time_ms=throttle_ms)

    broker.on(PRODUCE, handler)


def test_groups_are_those_of_the_producer_and_its_brokers_and_topics(producer: KafkaProducer) -> None:
    assert keys_of(producer.metrics()) == {PRODUCER}
    producer.send("one", b"v").result(10)
    found = producer.metrics()
    assert keys_of(found) == {PRODUCER, NODE, TOPIC}
    for key, values in found.items():
        assert list(values) == [metric.name for metric in ALL_METRICS[key.partition(".")[0]]]
        assert all(type(value) in (int, float) and value >= 0 for value in values.values())
    assert json.loads(json.dumps(found)) == found


def test_partitions_have_groups_if_the_recording_level_asks_for_them(
    broker: ScriptedBroker, make: MakeProducer
) -> None:
    producer = make(broker, metrics_recording_level="DEBUG")
    producer.send("t", b"v", partition=1).result(10)
    groups = [f"producer-partition-metrics.t-{p}" for p in range(3)]
    found = producer.metrics()
    assert keys_of(found) == {PRODUCER, NODE, "producer-topic-metrics.t", *groups}
    assert [found[group]["record-send-total"] for group in groups] == [0, 1, 0]
    assert [found[group]["last-offset"] for group in groups] == [-1, 0, -1]


def test_counts_of_the_producer_are_true(broker: ScriptedBroker, make: MakeProducer) -> None:
    producer = make(broker, compression_type="gzip")
    with gated(broker):
        producer.produce("one", b"first" * 100)
        producer.send_many("one", [b"v" * 100] * 99)
    producer.flush(10)
    with failing(broker):
        producer.produce("one", b"v")
        with pytest.raises(UnobservedDeliveryError):
            producer.flush(10)
    found = producer.metrics()[PRODUCER]
    assert (found["record-send-total"], found["record-error-total"]) == (100, 1)
    assert found["byte-total"] == stored_bytes(broker, "one")
    assert found["requests-in-flight"] == 0
    assert found["request-total"] == found["response-total"] == found["network-io-total"] / 2 >= 2
    assert found["batch-total"] == found["request-total"]
    assert found["records-per-request-avg"] == pytest.approx(101 / found["request-total"])
    assert found["records-per-batch-avg"] == pytest.approx(101 / found["batch-total"])
    assert 0 < found["compression-rate-avg"] < 0.5
    assert found["connection-count"] == found["connection-creation-total"] == 1
    assert found["buffer-available-bytes"] == found["buffer-total-bytes"] == 32 * 1024 * 1024
    assert min(found["outgoing-byte-total"], found["incoming-byte-total"]) > 0
    assert found["request-size-avg"] * found["request-total"] == found["outgoing-byte-total"]
    assert found["request-size-avg"] < found["request-size-max"] < found["outgoing-byte-total"]
    assert found["metadata-age"] < 60
    assert found["metadata-wait-time-ns-total"] > 0
    assert found["flush-time-ns-total"] > 0
    assert found["record-send-rate"] > 0
    trouble = (
        "record-retry",
        "batch-split",
        "record-dropped",
        "dead-letter",
        "dead-letter-dropped",
        "sequence-gap",
    )
    assert {
        found[f"{name}-total"] for name in (*trouble, "late-ack", "protocol-error", "buffer-exhausted")
    } == {0}


def test_sizes_of_batches_and_records_are_those_that_the_broker_got(
    broker: ScriptedBroker, producer: KafkaProducer
) -> None:
    with gated(broker):
        for size in (10, 1000, 100):
            producer.send("one", b"v" * size)
    producer.flush(10)
    sizes = [*map(len, batches_of(broker, "one"))]
    found = producer.metrics()[PRODUCER]
    assert found["batch-size-max"] == max(sizes)
    assert found["batch-size-avg"] == pytest.approx(sum(sizes) / len(sizes))
    assert 1000 < found["record-size-max"] < 1020
    assert found["record-size-avg"] == pytest.approx(sum(sizes) / 3)
    assert found["compression-rate-avg"] == 1


def test_times_are_in_milliseconds_and_in_order(producer: KafkaProducer) -> None:
    producer.send_many("one", [b"v"] * 100).wait(10)
    found = producer.metrics()[PRODUCER]
    for stem in ("record-queue-time", "request-latency", "record-delivery-time"):
        for name in (stem, f"{stem}-run"):  # the whole run is still within the first window
            times = [found[f"{name}-{suffix}"] for suffix in ("p50", "p95", "p99", "p99.9", "max")]
            assert times == sorted(times)
            assert 0 < found[f"{name}-avg"] <= found[f"{name}-max"] < 10_000
    assert found["record-delivery-time-max"] >= found["request-latency-max"]


def test_a_broker_has_its_requests_bytes_and_times(producer: KafkaProducer) -> None:
    for _ in range(3):
        producer.send("one", b"v").result(10)
    found = producer.metrics()
    node, everything = found[NODE], found[PRODUCER]
    for name in node:
        assert node[name] == pytest.approx(everything[name], rel=0.5), name  # rates: a moment later
    assert node["request-total"] == 3
    assert 0 < node["request-latency-p99"] <= node["request-latency-max"]


def test_requests_in_flight_and_batches_under_way_are_told(
    broker: ScriptedBroker, producer: KafkaProducer
) -> None:
    producer.partitions_for("one")
    with gated(broker):
        producer.produce("one", b"v")
        broker.wait_for(PRODUCE)
        found = producer.metrics()
        assert found[NODE]["requests-in-flight"] == found[PRODUCER]["requests-in-flight"] == 1
        assert (found[TOPIC]["batches-in-flight"], found[TOPIC]["batches-queued"]) == (1, 0)
        producer.produce("one", b"v")
        assert (
            producer.metrics()[TOPIC]["batches-queued"] + producer.metrics()[TOPIC]["batches-in-flight"] == 2
        )
    producer.flush(10)
    found = producer.metrics()
    assert (found[TOPIC]["batches-in-flight"], found[TOPIC]["batches-queued"]) == (0, 0)


def test_a_throttle_is_told_for_the_producer_and_for_its_broker(
    broker: ScriptedBroker, producer: KafkaProducer
) -> None:
    slowly(broker, 20)
    for _ in range(2):
        producer.send("one", b"v").result(10)
    found = producer.metrics()
    for key in (PRODUCER, NODE):
        times = [found[key][f"produce-throttle-time-{suffix}"] for suffix in ("avg", "max", "total")]
        assert times == [20, 20, 40]


def test_a_topic_is_the_sum_of_its_partitions(broker: ScriptedBroker, make: MakeProducer) -> None:
    producer = make(broker, metrics_recording_level="DEBUG")
    with gated(broker):
        for partition, count in enumerate((10, 20, 60)):
            producer.send_many("t", [b"v" * 100] * count, partition=partition)
    producer.flush(10)
    with failing(broker):
        producer.produce("t", b"v", partition=0)
        with pytest.raises(UnobservedDeliveryError):
            producer.flush(10)
    found = producer.metrics()
    topic = found["producer-topic-metrics.t"]
    groups = [found[f"producer-partition-metrics.t-{p}"] for p in range(3)]
    for name in ("record-send", "record-error", "record-retry", "byte", "batch"):
        for suffix in ("rate", "total"):
            parts = [group[f"{name}-{suffix}"] for group in groups]
            assert topic[f"{name}-{suffix}"] == pytest.approx(sum(parts)), name
    assert [group["record-send-total"] for group in groups] == [10, 20, 60]
    assert [group["record-error-total"] for group in groups] == [1, 0, 0]
    assert [group["byte-total"] for group in groups] == [stored_bytes(broker, "t", p) for p in range(3)]
    assert [group["last-offset"] for group in groups] == [9, 19, 59]
    assert topic["record-skew"] == skew([10, 20, 60]) == 2
    assert topic["partition-count"] == 3
    assert found[PRODUCER]["record-send-total"] == topic["record-send-total"] == 90


def test_memory_that_is_waited_for_is_told(broker: ScriptedBroker, make: MakeProducer) -> None:
    producer = make(broker, buffer_memory=32 * 1024, batch_size=16 * 1024, max_block_ms=150)
    producer.partitions_for("one")
    heard: list[Metrics] = []

    def wait_in_vain() -> None:
        with pytest.raises(BufferExhaustedError):
            producer.produce("one", b"v" * 9000)

    with gated(broker):
        producer.produce("one", b"x" * 30 * 1024)
        thread = threading.Thread(target=wait_in_vain)
        thread.start()
        wait_until(lambda: producer.metrics()[PRODUCER]["waiting-threads"] == 1, "a thread that waits")
        heard.append(producer.metrics())
        thread.join()
    producer.flush(10)
    assert heard[0][PRODUCER]["buffer-available-bytes"] < 32 * 1024
    found = producer.metrics()[PRODUCER]
    assert (found["buffer-exhausted-total"], found["waiting-threads"]) == (1, 0)
    assert found["bufferpool-wait-time-ns-total"] >= 140_000_000
    assert 0 < found["bufferpool-wait-ratio"] < 1
    assert found["buffer-available-bytes"] == 32 * 1024


def test_calls_of_transactions_are_timed(make: MakeProducer, broker: ScriptedBroker) -> None:
    producer = make(broker, transactional_id="tx")
    with pytest.raises(KafkaTimeoutError):
        producer.init_transactions(0.05)
    with pytest.raises(IllegalStateError):
        producer.begin_transaction()
    found = producer.metrics()[PRODUCER]
    assert found["txn-init-time-ns-total"] >= 50_000_000
    assert found["txn-begin-time-ns-total"] > 0
    assert found["txn-commit-time-ns-total"] == found["txn-abort-time-ns-total"] == 0


def test_windows_pass_by_themselves(broker: ScriptedBroker, make: MakeProducer) -> None:
    producer = make(broker, metrics_sample_window_ms=100, metrics_num_samples=1)
    producer.send("one", b"v").result(10)
    marks = producer._runtime.statistics._windows._marks
    wait_until(lambda: PRODUCER in marks[0].reading, "the control thread begins a window")
    wait_until(lambda: marks[0].reading[PRODUCER].counts["records_acked"] == 1, "another")
    found = producer.metrics()[PRODUCER]
    assert (found["record-send-rate"], found["record-send-total"]) == (0, 1)
    assert (found["request-latency-max"], found["batch-size-max"]) == (0, 0)
    assert found["request-latency-run-max"] > 0


def test_metrics_may_be_asked_for_by_many_threads_while_records_are_sent(
    broker: ScriptedBroker, make: MakeProducer
) -> None:
    producer = make(broker, metrics_recording_level="DEBUG", metrics_sample_window_ms=100)
    ended = threading.Event()
    totals: list[list[float]] = []

    def ask() -> None:
        mine = []
        while not ended.is_set():
            mine.append(producer.metrics()[PRODUCER]["record-send-total"])
        totals.append(mine)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(20):
        producer.send_many("t", [b"v"] * 100).wait(10)
    ended.set()
    for thread in threads:
        thread.join()
    assert all(mine == sorted(mine) for mine in totals)
    assert producer.metrics()["producer-topic-metrics.t"]["record-send-total"] == 2000


def test_metrics_are_told_after_close(producer: KafkaProducer) -> None:
    producer.send("one", b"v").result(10)
    producer.close()
    found = producer.metrics()
    assert (found[PRODUCER]["record-send-total"], found[PRODUCER]["connection-count"]) == (1, 0)
    assert found[NODE]["request-total"] == 1


# --- statistics ---------------------------------------------------------------------------------------------


def test_the_callback_is_told_each_interval_on_the_delivery_thread(
    broker: ScriptedBroker, make: MakeProducer
) -> None:
    told: list[tuple[str, Metrics]] = []
    producer = make(
        broker,
        client_id="me",
        statistics_interval_ms=20,
        statistics_callback=lambda metrics: told.append((threading.current_thread().name, metrics)),
    )
    producer.send("one", b"v").result(10)
    wait_until(lambda: bool(told) and told[-1][1][PRODUCER]["record-send-total"] == 1, "the callback is told")
    producer.close()
    assert {name for name, _ in told} == {"kproducer-delivery-me"}
    assert keys_of(told[-1][1]) == {PRODUCER, NODE, TOPIC}


def test_a_slow_callback_of_statistics_holds_up_no_record(broker: ScriptedBroker, make: MakeProducer) -> None:
    entered, release = threading.Event(), threading.Event()

    def stall(metrics: Metrics) -> None:
        entered.set()
        release.wait(20)

    producer = make(broker, statistics_interval_ms=10, statistics_callback=stall)
    assert entered.wait(10)
    producer.send("one", b"v").result(10)
    producer.flush(10)
    release.set()


def test_a_callback_of_statistics_that_calls_flush_is_logged_and_changes_nothing(
    broker: ScriptedBroker, make: MakeProducer, caplog: pytest.LogCaptureFixture
) -> None:
    producer: KafkaProducer = make(
        broker, statistics_interval_ms=10, statistics_callback=lambda metrics: producer.flush()
    )
    wait_until(lambda: len(caplog.records) >= 2, "errors in the log")
    assert producer.send("one", b"v").result(10).offset == 0
    assert {type(record.exc_info[1]) for record in caplog.records if record.exc_info} == {IllegalStateError}


def test_a_line_is_logged_each_interval(
    broker: ScriptedBroker, make: MakeProducer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "kproducer.statistics")
    make(broker, client_id="me", statistics_interval_ms=10)
    wait_until(lambda: len(caplog.messages) >= 2, "two lines")
    assert all(message.startswith("me: 0 records/s, 0.00 MB/s, ") for message in caplog.messages)


# --- counters of C ------------------------------------------------------------------------------------------


def test_the_largest_values_are_taken_once(producer: KafkaProducer) -> None:
    pump = producer._runtime.pump
    producer.send("one", b"v" * 100).result(10)
    before = readings.maxima(pump, False)
    assert readings.maxima(pump, True) == before
    assert before["batch_bytes"] > 100
    assert set(readings.maxima(pump, False).values()) == {0}
    assert readings.node_maxima(pump, True)[1]["request_bytes"] == before["request_bytes"]
    assert set(readings.node_maxima(pump, False)[1].values()) == {0}
    assert readings.histograms(pump)["request"].max_ns > 0  # of the whole run


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
