"""Which partition records go to, through the producer: partitioners by name and by class, and slow brokers."""

from __future__ import annotations

import time
from collections.abc import Mapping

import pytest

from kproducer import ConfigError, KafkaProducer
from kproducer.partitioners import PARTITIONERS, RoundRobinPartitioner, key_partition
from tests.fakes.scripted_broker import ScriptedBroker
from tests.unit.core.world import MakeProducer, gated, records_of, values_of

KEYS = [b"key-%d" % n for n in range(200)]


@pytest.mark.parametrize("partitioner", [name for name in PARTITIONERS if name != "random"])
def test_keys_go_where_the_partitioner_says(
    broker: ScriptedBroker, make: MakeProducer, partitioner: str
) -> None:
    producer = make(broker, partitioner=partitioner)
    producer.send_many("t", [b""] * len(KEYS), KEYS).wait(10)
    for partition in range(3):
        found = {record.key for record in records_of(broker, partition=partition)}
        assert found == {key for key in KEYS if key_partition(key, 3, partitioner) == partition}


@pytest.mark.parametrize("partitioner", ["consistent", "murmur2", "fnv1a"])
@pytest.mark.parametrize("way", ["send", "send_many", "send_lines"])
def test_records_without_a_key_share_a_partition_if_nothing_is_random(
    broker: ScriptedBroker, make: MakeProducer, partitioner: str, way: str
) -> None:
    producer = make(broker, partitioner=partitioner, batch_size=200)
    if way == "send":
        for _ in range(100):
            producer.produce("t", b"value")
    elif way == "send_many":
        producer.send_many("t", [b"value"] * 100)
    else:
        producer.send_lines("t", b"value\n" * 100)
    producer.flush(10)
    place = key_partition(None, 3, partitioner)
    assert len(records_of(broker, partition=place)) == 100


def test_random_spreads_the_records_of_one_key(broker: ScriptedBroker, make: MakeProducer) -> None:
    producer = make(broker, partitioner="random")
    producer.send_many("t", [b""] * 600, [b"k"] * 600).wait(10)
    counts = [len(records_of(broker, partition=partition)) for partition in range(3)]
    assert min(counts) > 100


# --- partitioner.class ------------------------------------------------------------------------------------


class Last:
    """Sends all to the last partition, and tells what happens to it."""

    calls: list[str] = []  # noqa: RUF012  # of the class, which is what the producer is given

    def configure(self, settings: Mapping[str, object]) -> None:
        self.calls.append(f"configure with linger.ms={settings['linger.ms']}")

    def partition(self, topic: str, key: bytes | None, value: bytes | None, partition_count: int) -> int:
        self.calls.append(f"partition {value!r} of {partition_count}")
        return partition_count - 1

    def close(self) -> None:
        self.calls.append("close")


def test_a_class_is_made_configured_asked_and_closed(broker: ScriptedBroker, make: MakeProducer) -> None:
    Last.calls.clear()
    producer = make(broker, partitioner_class=Last, linger_ms=7)
    assert producer.send("t", b"v").result(10).partition == 2
    assert producer.send("t", b"w", partition=0).result(10).partition == 0
    producer.close()
    producer.close()
    assert Last.calls == ["configure with linger.ms=7", "partition b'v' of 3", "close"]


def test_a_class_that_cannot_be_made_leaves_no_producer() -> None:
    class Wants:
        def __init__(self, more: object) -> None: ...

        def partition(self, *arguments: object) -> int:
            return 0

    with pytest.raises(ConfigError, match="Wants cannot be used"):
        KafkaProducer(bootstrap_servers="127.0.0.1:1", partitioner_class=Wants)


def test_round_robin_by_javas_name(broker: ScriptedBroker, make: MakeProducer) -> None:
    for given in ("org.apache.kafka.clients.producer.RoundRobinPartitioner", RoundRobinPartitioner):
        producer = make(broker, partitioner_class=given)
        assert [producer.send("t", b"v", b"k").result(10).partition for _ in range(4)] == [0, 1, 2, 0]


def test_a_partitioner_learns_of_the_count_without_asking_the_control_thread(
    broker: ScriptedBroker, make: MakeProducer, monkeypatch: pytest.MonkeyPatch
) -> None:
    producer = make(broker, partitioner_class=RoundRobinPartitioner)
    producer.send("t", b"v").result(10)
    monkeypatch.delattr("kproducer.engine.runtime.Runtime.partitions_for")
    producer.send("t", b"v").result(10)


# --- KIP-794 ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("availability_timeout_ms", [0, 100])
def test_records_without_a_key_leave_a_slow_broker_and_come_back(
    broker: ScriptedBroker, make: MakeProducer, availability_timeout_ms: int
) -> None:
    with ScriptedBroker(broker.cluster, node_id=2) as slow:
        broker.cluster.create_topic("two", [2, 1, 1])
        producer = make(
            broker,
            linger_ms=0,
            batch_size=1024,
            max_in_flight_requests_per_connection=1,
            partitioner_availability_timeout_ms=availability_timeout_ms,
        )
        produce(producer, b"before", 90)
        producer.flush(10)
        with gated(slow):
            produce(producer, b"turning", 150)
            produce(producer, b"slow", 150)
        producer.flush(10)
        produce(producer, b"after", 150)
        producer.flush(10)
        share = {phase: share_of_first(broker, phase) for phase in (b"before", b"slow", b"after")}
    assert 0.2 < share[b"before"] < 0.5
    assert share[b"slow"] < (0.1 if availability_timeout_ms == 0 else 0.001)
    assert 0.2 < share[b"after"] < 0.5


def produce(producer: KafkaProducer, phase: bytes, batches: int) -> None:
    for _ in range(batches):
        producer.send_many("two", [phase.ljust(100)] * 10)
        time.sleep(0.001)  # a broker that takes batches is to have none waiting


def share_of_first(broker: ScriptedBroker, phase: bytes) -> float:
    counts = [
        sum(value.startswith(phase) for value in values_of(broker, "two", partition) if value is not None)
        for partition in range(3)
    ]
    return counts[0] / sum(counts)
