"""Real brokers killed, frozen, cut off and unknown to a topic, under load; read back by another client."""

from __future__ import annotations

import time
import uuid

import pytest

from kproducer import KafkaProducer
from kproducer.protocol.messages.produce import PRODUCE
from kproducer.testing import Direction, Drop, Effect, FaultProxy, KafkaCluster, Reset
from tests.faults.effects import with_size
from tests.faults.matrix import Recorder
from tests.faults.nemesis import Fault, Nemesis
from tests.faults.workload import Workload, read_back

_PARTITIONS = 6
FAULTS = [
    pytest.param(Fault.KILL, marks=pytest.mark.row("F1"), id="kill"),
    pytest.param(Fault.PAUSE, marks=pytest.mark.row("F3"), id="pause"),
]


def _topic(cluster: KafkaCluster, partitions: int = _PARTITIONS) -> str:
    name = f"faults-{uuid.uuid4().hex[:8]}"
    cluster.create_topic(name, partitions, 3)
    return name


@pytest.mark.timeout(240)
@pytest.mark.parametrize("fault", FAULTS)
def test_nothing_is_lost_repeated_or_reordered_when_a_leader_dies_or_freezes(
    harmed3: KafkaCluster, fault: Fault, matrix: Recorder
) -> None:
    topic = _topic(harmed3)
    with KafkaProducer(bootstrap_servers=harmed3.bootstrap_servers, request_timeout_ms=3_000) as producer:
        workload = Workload(producer, topic, _PARTITIONS)
        workload.start()
        time.sleep(1)
        deed = Nemesis(harmed3, topic, _PARTITIONS, seed=1).strike(fault, 0, 5)
        time.sleep(2)
        workload.stop()
    verdict = matrix.record(workload.verdict(harmed3.bootstrap_servers))
    assert verdict.faults == {}
    assert verdict.failed == 0, verdict.causes
    assert verdict.acknowledged == verdict.accepted > 50_000
    assert workload.recovery_s(deed.healed) < 5


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Fault.KILL, marks=[pytest.mark.chaos, pytest.mark.row("F1")], id="kill"),
        pytest.param(Fault.PAUSE, marks=pytest.mark.row("F3"), id="pause"),
    ],
)
def test_what_expires_while_a_leader_is_away_is_called_rightly_and_the_rest_is_in_order(
    harmed3: KafkaCluster, fault: Fault, matrix: Recorder
) -> None:
    topic = _topic(harmed3)
    with KafkaProducer(
        bootstrap_servers=harmed3.bootstrap_servers,
        request_timeout_ms=1_000,
        delivery_timeout_ms=1_500,
        max_block_ms=60_000,
    ) as producer:
        workload = Workload(producer, topic, _PARTITIONS)
        workload.start()
        time.sleep(1)
        deed = Nemesis(harmed3, topic, _PARTITIONS, seed=1).strike(fault, 0, 6)
        time.sleep(3)
        workload.stop()
    verdict = matrix.record(workload.verdict(harmed3.bootstrap_servers))
    assert verdict.faults == {}, verdict
    assert verdict.failed > 0
    assert verdict.acknowledged + verdict.failed == verdict.accepted
    assert {cause.rpartition("/")[2] for cause in verdict.causes} <= {"no", "maybe"}
    assert workload.recovery_s(deed.healed) < 5


@pytest.mark.parametrize("in_flight", range(1, 6))
@pytest.mark.row("F7")
def test_answers_lost_after_the_append_are_answered_with_the_first_offset(
    harmed3: KafkaCluster, in_flight: int
) -> None:
    topic = _topic(harmed3, 1)
    with (
        FaultProxy(harmed3.bootstrap_servers.split(",")) as proxy,
        KafkaProducer(
            bootstrap_servers=proxy.bootstrap_servers,
            max_in_flight_requests_per_connection=in_flight,
            batch_size=500,
            linger_ms=0,
            request_timeout_ms=1_000,
        ) as producer,
    ):
        producer.send(topic, b"0", partition=0).result(20)
        rule = proxy.on(Drop(), times=in_flight)
        futures = [producer.send(topic, b"%d" % n, partition=0) for n in range(1, 500)]
        assert [future.result(20).offset for future in futures] == list(range(1, 500))
        assert rule.hits == in_flight
    assert read_back(harmed3.bootstrap_servers, topic, 1) == [[(n, b"%d" % n) for n in range(500)]]


@pytest.mark.parametrize("effect", [Reset(), with_size(-1)], ids=["reset", "negative size"])
@pytest.mark.parametrize("direction", Direction, ids=lambda direction: direction.name.lower())
@pytest.mark.row("F10", "F47")
def test_connections_broken_again_and_again_under_load_cost_nothing(
    harmed3: KafkaCluster, effect: Effect, direction: Direction, matrix: Recorder
) -> None:
    topic = _topic(harmed3)
    with (
        FaultProxy(harmed3.bootstrap_servers.split(",")) as proxy,
        KafkaProducer(bootstrap_servers=proxy.bootstrap_servers, reconnect_backoff_max_ms=100) as producer,
    ):
        workload = Workload(producer, topic, _PARTITIONS, rate=5_000)
        workload.start()
        for _ in range(8):
            rule = proxy.on(effect, direction=direction, skip=5)
            deadline = time.monotonic() + 10
            while rule.hits == 0:
                assert time.monotonic() < deadline, "no request came through"
                time.sleep(0.01)
        workload.stop()
        producer.flush(20)
        assert proxy.requests(PRODUCE.key) > 40
    verdict = matrix.record(workload.verdict(harmed3.bootstrap_servers))
    assert (verdict.faults, verdict.failed) == ({}, 0)


@pytest.mark.row("F13")
def test_the_first_batches_of_topics_made_by_the_first_record_keep_their_order(harmed3: KafkaCluster) -> None:
    # KAFKA-15591: the leader of a topic that was just made refuses for a moment, then accepts any sequence.
    with KafkaProducer(
        bootstrap_servers=harmed3.bootstrap_servers, batch_size=200, linger_ms=0, max_block_ms=20_000
    ) as producer:
        topics = [f"new-{uuid.uuid4().hex[:8]}" for _ in range(20)]
        for topic in topics:
            futures = [producer.send(topic, b"%d" % n, partition=n % 3) for n in range(300)]
            assert [future.result(20).offset for future in futures] == [n // 3 for n in range(300)]
    for topic in topics:
        logs = read_back(harmed3.bootstrap_servers, topic, 3)
        assert [[value for _, value in log] for log in logs] == [
            [b"%d" % n for n in range(partition, 300, 3)] for partition in range(3)
        ]


@pytest.mark.chaos
@pytest.mark.timeout(240)
@pytest.mark.row("F16")
def test_a_cluster_that_was_down_for_ten_seconds_gets_what_was_buffered(
    harmed3: KafkaCluster, matrix: Recorder
) -> None:
    topic = _topic(harmed3)
    with KafkaProducer(
        bootstrap_servers=harmed3.bootstrap_servers, request_timeout_ms=3_000, max_block_ms=60_000
    ) as producer:
        workload = Workload(producer, topic, _PARTITIONS, rate=5_000)
        workload.start()
        time.sleep(1)
        for node in harmed3.nodes:
            node.kill()
        time.sleep(10)
        for node in harmed3.nodes:
            node.launch()
        for node in harmed3.nodes:
            node.wait_until_ready(3)
        healed = time.monotonic()
        time.sleep(6)
        workload.stop()
    verdict = matrix.record(workload.verdict(harmed3.bootstrap_servers))
    assert (verdict.faults, verdict.failed) == ({}, 0)
    assert workload.recovery_s(healed) < 5


@pytest.mark.chaos
@pytest.mark.timeout(240)
@pytest.mark.row("F16")
def test_a_producer_made_before_its_cluster_delivers_when_that_is_up(
    harmed3: KafkaCluster, matrix: Recorder
) -> None:
    topic = _topic(harmed3)
    for node in harmed3.nodes:
        node.kill()
    try:
        producer = KafkaProducer(bootstrap_servers=harmed3.bootstrap_servers, max_block_ms=90_000)
        workload = Workload(producer, topic, _PARTITIONS, rate=5_000)
        workload.start()
        time.sleep(3)
    finally:
        for node in harmed3.nodes:
            node.launch()
        for node in harmed3.nodes:
            node.wait_until_ready(3)
    time.sleep(5)
    workload.stop()
    producer.close(30)
    verdict = matrix.record(workload.verdict(harmed3.bootstrap_servers))
    assert (verdict.faults, verdict.failed) == ({}, 0)
    assert verdict.acknowledged > 0
