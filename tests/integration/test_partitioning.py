"""Where keys land on a real Kafka: beside its own ConsoleProducer, beside librdkafka, and while a topic grows."""

from __future__ import annotations

import json
import threading
import time
from collections import defaultdict
from itertools import count, pairwise

import confluent_kafka
import pytest
from confluent_kafka.admin import AdminClient, NewPartitions

from kproducer import KafkaProducer
from kproducer.cli.app import main
from kproducer.partitioners import PARTITIONERS, key_partition
from kproducer.testing import KafkaCluster
from tests.integration.java_tools import run_java_tool
from tests.integration.readback import new_topic, read_all

PARTITIONS = 7
KEYS = [f"key-{n}-{'x' * (n % 23)}".encode() for n in range(10_000)]
Places = dict[bytes | None, set[int]]


def places(kafka: KafkaCluster, topic: str, partitions: int = PARTITIONS) -> Places:
    """The partitions where the records of each key are."""
    found: Places = defaultdict(set)
    for seen in read_all(kafka.bootstrap_servers, topic, partitions):
        found[seen.key].add(seen.partition)
    return found


def topic_of(kafka: KafkaCluster, partitions: int = PARTITIONS) -> str:
    topic = new_topic()
    kafka.create_topic(topic, partitions)
    return topic


@pytest.fixture(scope="module")
def of_java(kafka: KafkaCluster) -> Places:
    """Where Kafka's own ConsoleProducer puts the keys."""
    topic = topic_of(kafka)
    done = run_java_tool(
        "ConsoleProducer",
        *("--bootstrap-server", kafka.bootstrap_servers, "--topic", topic),
        *("--reader-property", "parse.key=true", "--reader-property", "key.separator=:"),
        data=b"".join(key + b":v\n" for key in [*KEYS, b""]),
    )
    assert done.returncode == 0, done.stderr
    return places(kafka, topic)


def test_keys_land_where_kafkas_console_producer_puts_them(kafka: KafkaCluster, of_java: Places) -> None:
    topic = topic_of(kafka)
    with KafkaProducer(bootstrap_servers=kafka.bootstrap_servers) as producer:
        producer.send_many(topic, [b"v"] * (len(KEYS) + 1), [*KEYS, b""])
    assert len(of_java) == len(KEYS) + 1
    assert places(kafka, topic) == of_java


def test_route_says_where_they_land(
    kafka: KafkaCluster, of_java: Places, capsys: pytest.CaptureFixture[str]
) -> None:
    topic = topic_of(kafka)
    assert (
        main(
            ["route", "--bootstrap-server", kafka.bootstrap_servers, "--topic", topic, "--json"]
            + [key.decode() for key in KEYS[:200]]
        )
        == 0
    )
    found = json.loads(capsys.readouterr().out)
    assert {entry["key"].encode(): {entry["partition"]} for entry in found["keys"]} == {
        key: of_java[key] for key in KEYS[:200]
    }
    assert {entry["leader"] for entry in found["keys"]} == {1}


@pytest.mark.parametrize("partitioner", PARTITIONERS)
def test_records_land_where_librdkafka_puts_them(kafka: KafkaCluster, partitioner: str) -> None:
    """Those without a key, or with an empty one, in the same partition as there, or spread as there."""
    ours, theirs = topic_of(kafka), topic_of(kafka)
    keys = [*KEYS, *[None, b""] * 300]
    with KafkaProducer(
        bootstrap_servers=kafka.bootstrap_servers, partitioner=partitioner, batch_size=500
    ) as producer:
        producer.send_many(ours, [b"v"] * len(keys), keys)
    other = confluent_kafka.Producer(
        {"bootstrap.servers": kafka.bootstrap_servers, "partitioner": partitioner, "log_level": 0,
         "sticky.partitioning.linger.ms": 0, "acks": "all"}
    )  # fmt: skip
    for key in keys:
        other.produce(theirs, b"v", key)
    assert other.flush(60) == 0
    found, expected = places(kafka, ours), places(kafka, theirs)
    assert found.keys() == expected.keys()
    if partitioner != "random":
        assert {key: found[key] for key in KEYS} == {key: expected[key] for key in KEYS}
    for key in (None, b""):
        is_spread = key_partition(key, PARTITIONS, partitioner) is None
        assert (len(found[key]) > 1) == (len(expected[key]) > 1) == is_spread
        assert is_spread or found[key] == expected[key]


def test_growth_under_load_moves_each_key_once_and_keeps_its_order(kafka: KafkaCluster) -> None:
    topic = topic_of(kafka, 3)
    keys = [b"key-%d" % n for n in range(60)]
    sent: list[tuple[bytes, bytes]] = []
    is_over = threading.Event()

    def send(producer: KafkaProducer) -> None:
        for n in count():
            if is_over.is_set():
                return
            record = (keys[n % len(keys)], b"%d" % n)
            producer.produce(topic, record[1], record[0])
            sent.append(record)
            if n % 20 == 0:
                time.sleep(0.001)  # some ten thousand records are enough

    with KafkaProducer(
        bootstrap_servers=kafka.bootstrap_servers, metadata_max_age_ms=200, batch_size=2_000
    ) as producer:
        thread = threading.Thread(target=send, args=[producer])
        thread.start()
        try:
            wait_for_records_in_each(producer, topic, 3)
            grow(kafka, topic, 6)
            wait_for_records_in_each(producer, topic, 6)
        finally:
            is_over.set()
            thread.join(60)
    seen = read_all(kafka.bootstrap_servers, topic, 6)
    assert sorted((record.key or b"", record.value or b"") for record in seen) == sorted(sent)
    by_value = {record.value: record.partition for record in seen}
    for key in keys:
        in_order = [by_value[value] for of, value in sent if of == key]
        before, after = key_partition(key, 3), key_partition(key, 6)
        assert in_order[0] == before
        assert in_order[-1] == after
        assert sum(one != other for one, other in pairwise(in_order)) == (before != after)
    in_log: dict[tuple[int, bytes | None], list[int]] = defaultdict(list)
    for record in seen:
        in_log[record.partition, record.key].append(int(record.value or b""))
    assert all(values == sorted(values) for values in in_log.values())


def wait_for_records_in_each(producer: KafkaProducer, topic: str, partitions: int) -> None:
    """Wait until so many partitions are known, and each has acknowledged a hundred records."""
    deadline = time.monotonic() + 30
    while True:
        counters = producer._runtime.pump.partition_counters(topic)
        if len(counters) == partitions and min(found.records_acked for found in counters) >= 100:
            return
        assert time.monotonic() < deadline, counters
        time.sleep(0.01)


def grow(kafka: KafkaCluster, topic: str, partitions: int) -> None:
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers, "log_level": 0})
    for future in admin.create_partitions([NewPartitions(topic, partitions)]).values():
        future.result(30)
