"""KafkaProducer against real Kafka; everything is read back by other clients."""

from __future__ import annotations

import random
import threading
import time
from collections import defaultdict
from typing import Any

import pytest

from kproducer import (
    KafkaProducer,
    KafkaTimeoutError,
    RecordMetadata,
    RecordTooLargeError,
    UnobservedDeliveryError,
)
from kproducer.errors import InvalidRecordError
from kproducer.testing import KafkaCluster
from tests.integration.readback import Seen, new_topic, read_all, read_with_kafka_python

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
# The last one fills max.request.size: 1048576 less the headers of batch and record.
SIZES = (0, 1, 100, 16 * 1024, 64 * 1024, 1_048_400)


def producing(cluster: KafkaCluster, **config: Any) -> KafkaProducer:
    return KafkaProducer(bootstrap_servers=cluster.bootstrap_servers, **config)


# --- content ------------------------------------------------------------------------------------------------

RECORDS: list[tuple[bytes | None, bytes | None, list[tuple[str, bytes | None]], int]] = [
    (b"value", b"key", [], 1),
    (None, b"tombstone", [], 1_700_000_000_000),
    (b"", b"", [("", b"")], 1_700_000_000_001),
    (b"null key", None, [("null", None)], 1_600_000_000_000),
    (b"\x00\xff", b"\x00", [("dup", b"1"), ("dup", b"2"), ("dup", None)], 1_700_000_000_002),
    (None, None, [("ключ", b"\xff" * 300)], 1_700_000_000_003),
]


@pytest.mark.parametrize("codec", CODECS)
def test_every_part_of_a_record_is_read_back_by_two_clients(kafka: KafkaCluster, codec: str) -> None:
    topic = new_topic()
    kafka.create_topic(topic)
    with producing(kafka, compression_type=codec) as producer:
        found = [
            producer.send(topic, value, key, headers, 0, timestamp).result(30)
            for value, key, headers, timestamp in RECORDS
        ]
    expected = [
        Seen(0, n, value, key, tuple(headers), timestamp)
        for n, (value, key, headers, timestamp) in enumerate(RECORDS)
    ]
    assert found == [
        RecordMetadata(topic, 0, n, t, 0, -1 if k is None else len(k), -1 if v is None else len(v))
        for n, (v, k, _, t) in enumerate(RECORDS)
    ]
    assert read_all(kafka.bootstrap_servers, topic) == expected
    if codec != "snappy":  # which kafka-python reads only with another package
        assert read_with_kafka_python(kafka.bootstrap_servers, topic, len(expected)) == expected


@pytest.mark.parametrize("codec", CODECS)
def test_all_sizes_arrive_whether_they_compress_or_not(kafka: KafkaCluster, codec: str) -> None:
    topic = new_topic()
    kafka.create_topic(topic)
    dice = random.Random(codec)
    values = [make(size) for size in SIZES for make in (dice.randbytes, _text)] * 2
    dice.shuffle(values)
    with producing(kafka, compression_type=codec) as producer:
        result = producer.send_many(topic, values, partition=0).wait(60)
        assert (result.failed, result.offsets) == (0, {(topic, 0): 0})
        ratio = producer.metrics()["producer-metrics"]["compression-rate-avg"]
    assert [seen.value for seen in read_all(kafka.bootstrap_servers, topic)] == values
    assert 0.99 < ratio <= 1 if codec == "none" else ratio < 0.75


def _text(size: int) -> bytes:
    return (b"the quick brown fox jumps over the lazy dog; " * (size // 45 + 1))[:size]


def test_log_append_time_is_told(kafka: KafkaCluster) -> None:
    topic = new_topic()
    kafka.create_topic(topic, config={"message.timestamp.type": "LogAppendTime"})
    with producing(kafka) as producer:
        metadata = producer.send(topic, b"v", timestamp_ms=5).result(30)
    assert metadata.timestamp_type == 1
    assert abs(metadata.timestamp_ms - time.time() * 1000) < 60_000
    assert read_all(kafka.bootstrap_servers, topic)[0].timestamp_ms == metadata.timestamp_ms


# --- settings -----------------------------------------------------------------------------------------------


def _produce_and_check(cluster: KafkaCluster, partitions: int, **config: Any) -> None:
    topic, each = new_topic(), 2000
    cluster.create_topic(topic, partitions=partitions)
    with producing(
        cluster
    ) as first:  # a leader that has only just learnt of its topic drops what acks=0 sends
        for partition in range(partitions):
            first.send(topic, b"first", partition=partition).result(30)
    offsets: dict[int, list[int]] = defaultdict(list)

    def note(metadata: RecordMetadata | None, error: object) -> None:
        assert metadata is not None, error
        offsets[metadata.partition].append(metadata.offset)

    with producing(cluster, batch_size=4096, **config) as producer:
        for n in range(each * partitions):
            producer.produce(topic, b"%d" % n, partition=n % partitions, on_delivery=note)
    seen = read_all(cluster.bootstrap_servers, topic, partitions, (each + 1) * partitions)
    for partition in range(partitions):
        values = [s.value for s in seen if s.partition == partition]
        assert values == [b"first", *(b"%d" % n for n in range(partition, each * partitions, partitions))]
        assert offsets[partition] == ([-1] * each if config["acks"] == 0 else list(range(1, each + 1)))


SETTINGS = [("all", True), ("all", False), (1, False), (0, False)]


@pytest.mark.parametrize(("acks", "idempotent"), SETTINGS)
def test_one_broker_keeps_all_in_order(kafka: KafkaCluster, acks: Any, idempotent: bool) -> None:
    _produce_and_check(kafka, 3, acks=acks, enable_idempotence=idempotent)


@pytest.mark.parametrize(("acks", "idempotent"), SETTINGS)
def test_three_brokers_keep_all_in_order(kafka3: KafkaCluster, acks: Any, idempotent: bool) -> None:
    _produce_and_check(kafka3, 6, acks=acks, enable_idempotence=idempotent)


def test_sixteen_threads_share_a_producer(kafka: KafkaCluster) -> None:
    topic, threads, each, partitions = new_topic(), 16, 1000, 4
    kafka.create_topic(topic, partitions=partitions)
    with producing(kafka, compression_type="lz4") as producer:

        def send(thread: int) -> None:
            for n in range(each):
                producer.produce(topic, b"%d" % n, b"%d" % thread, partition=n % partitions)

        workers = [threading.Thread(target=send, args=(n,)) for n in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(60)
    by_place: dict[tuple[int, bytes | None], list[int]] = defaultdict(list)
    for seen in read_all(kafka.bootstrap_servers, topic, partitions):
        by_place[seen.partition, seen.key].append(int(seen.value or b""))
    assert by_place == {
        (partition, b"%d" % thread): list(range(partition, each, partitions))
        for partition in range(partitions)
        for thread in range(threads)
    }


def test_partitions_for_tells_leaders_and_replicas(kafka3: KafkaCluster) -> None:
    topic = new_topic()
    kafka3.create_topic(topic, partitions=6)
    with producing(kafka3) as producer:
        found = producer.partitions_for(topic)
    assert [info.partition for info in found] == list(range(6))
    assert all(info.has_leader and info.leader in info.replicas and len(info.replicas) == 3 for info in found)


# --- topics that are not there ------------------------------------------------------------------------------


def test_a_topic_is_created_by_the_first_record(kafka: KafkaCluster) -> None:
    topic = new_topic()
    with producing(kafka) as producer:
        assert producer.send(topic, b"v").result(30).offset == 0
    assert [seen.value for seen in read_all(kafka.bootstrap_servers, topic)] == [b"v"]


def test_without_auto_creation_an_unknown_topic_is_named_in_a_timeout(kafka: KafkaCluster) -> None:
    topic = new_topic()
    with producing(kafka, allow_auto_create_topics=False, max_block_ms=1000) as producer:
        began = time.monotonic()
        with pytest.raises(KafkaTimeoutError, match=topic) as caught:
            producer.send(topic, b"v")
        assert 0.9 < time.monotonic() - began < 5
        assert caught.value.topic == topic
        with pytest.raises(KafkaTimeoutError, match=topic):
            producer.partitions_for(topic)


# --- refusals -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("idempotent", [True, False])
def test_a_batch_above_the_topics_limit_is_split_and_delivered_in_order(
    kafka: KafkaCluster, idempotent: bool
) -> None:
    topic = new_topic()
    kafka.create_topic(topic, config={"max.message.bytes": 2000})
    values = [b"%03d" % n + b"x" * 100 for n in range(200)]
    heard: list[int] = []
    in_flight = 5 if idempotent else 1  # without idempotence only 1 keeps the order
    with producing(
        kafka, linger_ms=100, enable_idempotence=idempotent, max_in_flight_requests_per_connection=in_flight
    ) as producer:
        for value in values:
            producer.produce(
                topic, value, partition=0, on_delivery=lambda m, e: heard.append(m.offset if m else -1)
            )
        producer.flush(30)
        assert producer.metrics()["producer-metrics"]["batch-split-total"] > 0
        with pytest.raises(RecordTooLargeError) as caught:
            producer.send(topic, bytes(5000), partition=0).result(30)
        assert (caught.value.code, caught.value.topic, caught.value.persisted) == (10, topic, "no")
        assert producer.send(topic, b"last", partition=0).result(30).offset == 200
    assert heard == list(range(200))
    assert [seen.value for seen in read_all(kafka.bootstrap_servers, topic)] == [*values, b"last"]


@pytest.mark.parametrize("idempotent", [True, False])
def test_one_bad_record_fails_alone_and_its_neighbours_arrive(kafka: KafkaCluster, idempotent: bool) -> None:
    topic = new_topic()
    kafka.create_topic(topic, config={"cleanup.policy": "compact"})  # where a null key is invalid
    keys = [None if n in (3, 7) else b"k%d" % n for n in range(10)]
    with producing(kafka, linger_ms=200, enable_idempotence=idempotent) as producer:
        futures = [producer.send(topic, b"%d" % n, key, partition=0) for n, key in enumerate(keys)]
        problems = [future.exception(30) for future in futures]
        assert producer.send(topic, b"after", b"k", partition=0).result(30).offset == 8
    assert [type(problem) for problem in problems] == [
        InvalidRecordError if key is None else type(None) for key in keys
    ]
    good = [n for n, key in enumerate(keys) if key is not None]
    assert [futures[n].result(0).offset for n in good] == list(range(8))
    assert [seen.value for seen in read_all(kafka.bootstrap_servers, topic)] == [
        *(b"%d" % n for n in good),
        b"after",
    ]


def test_a_bad_record_that_nobody_watches_is_raised_by_flush(kafka: KafkaCluster) -> None:
    topic = new_topic()
    kafka.create_topic(topic, config={"cleanup.policy": "compact"})
    with producing(kafka, linger_ms=200) as producer:
        watched = [producer.send(topic, b"v", b"k", partition=0) for _ in range(3)]
        producer.produce(topic, b"v", partition=0)
        with pytest.raises(UnobservedDeliveryError) as caught:
            producer.flush(30)
        assert caught.value.by_partition == {(topic, 0): 1}
        assert isinstance(caught.value.first_error, InvalidRecordError)
        assert [future.exception(0) for future in watched] == [None] * 3
