"""Metadata that is wrong for a while: records wait or go on, sequences continue, nothing fails (F18), and brokers
that change their addresses (F17)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from kproducer import KafkaProducer
from kproducer.protocol.messages.metadata import (
    MetadataResponse,
    MetadataResponsePartition,
    MetadataResponseTopic,
)
from kproducer.protocol.messages.produce import PRODUCE
from tests.fakes.scripted_broker import ScriptedBroker
from tests.faults.matrix import Recorder
from tests.faults.stage import TOPIC, Stage, answered, stage
from tests.faults.workload import Workload

_PARTITIONS = 4
_TRUE_EPOCH = 5
_AWAKE: dict[str, object] = {"metadata_max_age_ms": 50, "batch_size": 500}

Lie = Callable[[MetadataResponse], MetadataResponse]


def _about_topics(change: Callable[[MetadataResponseTopic], MetadataResponseTopic]) -> Lie:
    return lambda truth: replace(truth, topics=tuple(map(change, truth.topics)))


def _about_partitions(change: Callable[[MetadataResponsePartition], MetadataResponsePartition]) -> Lie:
    return _about_topics(lambda topic: replace(topic, partitions=tuple(map(change, topic.partitions))))


LIES: dict[str, Lie] = {
    "no topic": lambda truth: replace(truth, topics=()),
    "unknown topic": _about_topics(lambda topic: replace(topic, error_code=3, partitions=())),
    "unknown topic id": _about_topics(lambda topic: replace(topic, error_code=100, partitions=())),
    "no partitions": _about_topics(lambda topic: replace(topic, partitions=())),
    "fewer partitions": _about_topics(lambda topic: replace(topic, partitions=topic.partitions[:1])),
    "no leaders": _about_partitions(lambda part: replace(part, error_code=5, leader_id=-1)),
    "leaders of an older epoch": _about_partitions(
        lambda part: replace(part, leader_id=3 - part.leader_id, leader_epoch=_TRUE_EPOCH - 1)
    ),
    "no brokers": lambda truth: replace(truth, brokers=()),
    "a leader that is no broker": _about_partitions(
        lambda part: replace(part, leader_id=77, leader_epoch=_TRUE_EPOCH)
    ),
}


@pytest.fixture
def on() -> Iterator[Stage]:
    """Two brokers; leader epochs are past the first."""
    with stage(brokers=2, partitions=_PARTITIONS) as made:
        made.topic.epochs[:] = [_TRUE_EPOCH] * _PARTITIONS
        yield made


def _until_acknowledged(workload: Workload, count: int) -> None:
    deadline = time.monotonic() + 10
    while workload.acknowledged() < count:
        assert time.monotonic() < deadline, f"{workload.acknowledged()} of {count} are acknowledged"
        time.sleep(0.01)


@pytest.mark.row("F18")
@pytest.mark.parametrize("name", LIES)
def test_a_lie_of_the_metadata_costs_no_record_and_no_sequence(
    on: Stage, name: str, matrix: Recorder
) -> None:
    with on.producer(**_AWAKE) as producer:
        workload = Workload(producer, TOPIC, _PARTITIONS, rate=2_000)
        workload.start()
        _until_acknowledged(workload, 200)
        tell_the_truth = on.on_metadata(LIES[name])
        for broker in on.brokers:
            broker.push(PRODUCE, answered(6))  # each leader is in doubt: the answer to that is the lie
        on.wait_for_metadata(5)
        assert len(producer.partitions_for(TOPIC)) == _PARTITIONS
        tell_the_truth()
        healed = time.monotonic()
        _until_acknowledged(workload, workload.acknowledged() + 400)
        workload.stop()
        producer.flush(10)
    verdict = matrix.record(workload.judge(on.logs()))
    assert (verdict.faults, verdict.failed) == ({}, 0)
    assert workload.recovery_s(healed) < 3
    assert [on.epochs_and_gaps(p) for p in range(_PARTITIONS)] == [({0}, 0)] * _PARTITIONS


@pytest.mark.row("F18")
def test_leaders_of_an_older_epoch_get_nothing(on: Stage) -> None:
    with on.producer(**_AWAKE) as producer:
        futures = [producer.send(TOPIC, b"0", partition=p) for p in range(_PARTITIONS)]
        for future in futures:
            future.result(10)
        on.on_metadata(LIES["leaders of an older epoch"])
        on.wait_for_metadata(3)
        for _ in range(20):
            for p in range(_PARTITIONS):
                producer.send(TOPIC, b"1", partition=p).result(10)
    for broker in on.brokers:
        asked = {
            part.index
            for request in broker.received(PRODUCE)
            for topic in request.body.topic_data
            for part in topic.partition_data
        }
        assert asked == {p for p in range(_PARTITIONS) if on.topic.leaders[p] == broker.node_id}


@pytest.mark.row("F18")
def test_a_topic_that_is_missing_for_longer_than_its_metadata_may_idle_keeps_its_sequence(on: Stage) -> None:
    # librdkafka before 1.9 dropped the partition's state then, and later records were taken for duplicates.
    with on.producer(**_AWAKE, metadata_max_idle_ms=5_000) as producer:
        for n in range(10):
            producer.send(TOPIC, b"%d" % n, partition=0).result(10)
        tell_the_truth = on.on_metadata(LIES["unknown topic"])
        on.wait_for_metadata(10)
        for broker in on.brokers:
            broker.close_connections()
        tell_the_truth()
        offsets = [producer.send(TOPIC, b"%d" % n, partition=0).result(10).offset for n in range(10, 20)]
    assert offsets == list(range(10, 20))
    assert on.epochs_and_gaps() == ({0}, 0)


# --- F17 ------------------------------------------------------------------------------------------------------


def _address(broker: ScriptedBroker) -> str:
    return f"{broker.address.host}:{broker.address.port}"


def _sends(producer: KafkaProducer, first: int, last: int) -> list[int]:
    futures = [producer.send(TOPIC, b"%d" % n, partition=0) for n in range(first, last)]
    return [future.result(10).offset for future in futures]


@pytest.mark.row("F17")
def test_a_broker_with_a_new_address_gets_the_records_and_its_old_address_none() -> None:
    with stage() as on, on.producer(metadata_max_age_ms=50) as producer:
        old = on.brokers[0]
        _sends(producer, 0, 10)
        with ScriptedBroker(on.cluster, node_id=1) as new:  # takes the place of the old one in the metadata
            deadline = time.monotonic() + 5
            n = 10
            while not new.received(PRODUCE):
                assert time.monotonic() < deadline, "the new address is not used"
                _sends(producer, n, n + 1)
                n += 1
            before = len(old.received(PRODUCE))
            _sends(producer, n, n + 50)
            assert len(old.received(PRODUCE)) == before
            assert on.values() == [b"%d" % i for i in range(n + 50)]
            assert on.epochs_and_gaps() == ({0}, 0)


@pytest.mark.row("F17")
def test_when_all_brokers_are_replaced_by_others_the_bootstrap_servers_lead_to_them() -> None:
    with stage() as on, ScriptedBroker(on.cluster, node_id=11) as new:
        del on.cluster.brokers[11]
        with on.producer(bootstrap_servers=f"{_address(on.brokers[0])},{_address(new)}") as producer:
            _sends(producer, 0, 10)
            on.cluster.brokers.clear()
            on.cluster.brokers[11] = new.address
            on.cluster.move(TOPIC, 0, 11)
            on.brokers[0].stop()
            began = time.monotonic()
            assert _sends(producer, 10, 60) == list(range(10, 60))
            assert time.monotonic() - began < 3
            assert on.values() == [b"%d" % n for n in range(60)]
            assert on.epochs_and_gaps() == ({0}, 0)
