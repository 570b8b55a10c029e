"""Leaders that move, freeze, or appear for the first time, on a real cluster."""

from __future__ import annotations

import itertools
import os
import time
import uuid
from typing import Final

import pytest

from kproducer import KafkaProducer
from kproducer.testing import FaultProxy, Hold, KafkaCluster
from tests.faults.admin import LeaderMover, delete_topic
from tests.faults.matrix import Recorder
from tests.faults.workload import PartitionHistory, Workload, read_back

_PARTITIONS: Final = 3
_NEW_TOPICS: Final = int(os.environ.get("KPRODUCER_NEW_TOPICS", "1000"))


def _topic(cluster: KafkaCluster, replication: int = 3) -> str:
    name = f"leaders-{uuid.uuid4().hex[:8]}"
    cluster.create_topic(name, _PARTITIONS, replication)
    return name


@pytest.mark.row("F1")
@pytest.mark.chaos
@pytest.mark.timeout(300)
def test_leaders_killed_one_after_the_other_lose_nothing(harmed3: KafkaCluster, matrix: Recorder) -> None:
    topic = _topic(harmed3)
    with KafkaProducer(bootstrap_servers=harmed3.bootstrap_servers, request_timeout_ms=5_000) as producer:
        workload = Workload(producer, topic, _PARTITIONS)
        workload.start()
        for partition in range(_PARTITIONS):
            time.sleep(5)
            node = harmed3.leader(topic, partition)
            node.kill()
            time.sleep(1)
            node.launch()
            node.wait_until_ready(3)
        healed = time.monotonic()
        time.sleep(5)
        workload.stop()
    verdict = matrix.record(workload.verdict(harmed3.bootstrap_servers))
    assert (verdict.faults, verdict.failed) == ({}, 0)
    assert workload.recovery_s(healed) < 5


@pytest.mark.row("F2")
@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    "limit_s",
    [10.0, pytest.param(1.0, marks=pytest.mark.chaos)],  # a second needs a machine that does nothing else
)
def test_leaders_that_move_in_good_order_are_followed_without_a_loss(
    harmed3: KafkaCluster, limit_s: float, matrix: Recorder
) -> None:
    topic = _topic(harmed3)
    mover = LeaderMover(harmed3, topic, _PARTITIONS)
    with KafkaProducer(bootstrap_servers=harmed3.bootstrap_servers) as producer:
        workload = Workload(producer, topic, _PARTITIONS, rate=10_000)
        workload.start()
        turns = [time.monotonic()]
        for _ in range(3):
            time.sleep(0.5)
            mover.move()
            time.sleep(0.5)
            turns.append(time.monotonic())
        workload.stop()
    verdict = matrix.record(workload.verdict(harmed3.bootstrap_servers))
    assert (verdict.faults, verdict.failed) == ({}, 0)
    gaps = [
        max(_longest_gap_s(history, began, ended) for history in workload.histories)
        for began, ended in itertools.pairwise(turns)
    ]
    assert sorted(gaps)[1] < limit_s, gaps


def _longest_gap_s(history: PartitionHistory, began: float, ended: float) -> float:
    acks_at = [at for at in history.acks_at if began < at < ended]
    return max(after - before for before, after in itertools.pairwise([began, *acks_at, ended]))


@pytest.mark.row("F2")
@pytest.mark.chaos
@pytest.mark.timeout(300)
def test_a_rolling_restart_in_good_order_loses_nothing(harmed3: KafkaCluster, matrix: Recorder) -> None:
    topic = _topic(harmed3)
    with KafkaProducer(bootstrap_servers=harmed3.bootstrap_servers, request_timeout_ms=5_000) as producer:
        workload = Workload(producer, topic, _PARTITIONS, rate=10_000)
        workload.start()
        for node in harmed3.nodes:
            time.sleep(3)
            node.stop()
            node.launch()
            node.wait_until_ready(3)
        time.sleep(5)
        workload.stop()
    verdict = matrix.record(workload.verdict(harmed3.bootstrap_servers))
    assert (verdict.faults, verdict.failed) == ({}, 0)


@pytest.mark.row("F3")
@pytest.mark.chaos
def test_a_frozen_leader_does_not_slow_down_the_partitions_of_others(
    harmed3: KafkaCluster, matrix: Recorder
) -> None:
    topic = _topic(
        harmed3, replication=1
    )  # more replicas would wait for the frozen one until it is out of the ISR
    leaders = [harmed3.leader(topic, p).id for p in range(_PARTITIONS)]
    frozen = harmed3.leader(topic, 0)
    others = [p for p in range(_PARTITIONS) if leaders[p] != frozen.id]
    assert others
    with KafkaProducer(bootstrap_servers=harmed3.bootstrap_servers, request_timeout_ms=2_000) as producer:
        workload = Workload(producer, topic, _PARTITIONS, rate=6_000)
        workload.start()
        time.sleep(1)
        frozen.pause()
        began = time.monotonic()
        time.sleep(4)
        thawed = time.monotonic()
        frozen.resume()
        time.sleep(3)
        workload.stop()
    verdict = matrix.record(workload.verdict(harmed3.bootstrap_servers))
    assert (verdict.faults, verdict.failed) == ({}, 0)
    for partition in others:
        acks_at = [at for at in workload.histories[partition].acks_at if began < at < thawed]
        gaps = [after - before for before, after in itertools.pairwise([began, *acks_at, thawed])]
        assert sum(gap for gap in gaps if gap > 0.2) < 0.2 * (thawed - began)
    assert workload.recovery_s(thawed) < 4


@pytest.mark.row("F13")
@pytest.mark.chaos
@pytest.mark.timeout(60 + 3 * _NEW_TOPICS)
def test_the_first_batches_of_a_thousand_new_topics_keep_their_order(harmed3: KafkaCluster) -> None:
    with KafkaProducer(
        bootstrap_servers=harmed3.bootstrap_servers, batch_size=200, linger_ms=0, max_block_ms=60_000,
        metadata_max_idle_ms=5_000,
    ) as producer:  # fmt: skip
        for number in range(_NEW_TOPICS):
            topic = f"new-{uuid.uuid4().hex[:8]}"
            futures = [producer.send(topic, b"%d" % n, partition=n % 3) for n in range(90)]
            assert [future.result(30).offset for future in futures] == [n // 3 for n in range(90)], number
            if number % 100 == 0:  # the offsets of all tell as much, the log of some says it again
                logs = read_back(harmed3.bootstrap_servers, topic, 3)
                assert logs == [[(n // 3, b"%d" % n) for n in range(p, 90, 3)] for p in range(3)]
            delete_topic(harmed3, topic)


@pytest.mark.row("F14")
@pytest.mark.timeout(180)
@pytest.mark.chaos
def test_a_leader_that_moves_while_the_old_one_keeps_its_answers_back_changes_no_order(
    harmed3: KafkaCluster, matrix: Recorder
) -> None:
    topic = _topic(harmed3)
    mover = LeaderMover(harmed3, topic, _PARTITIONS)
    with (
        FaultProxy(harmed3.bootstrap_servers.split(",")) as proxy,
        KafkaProducer(
            bootstrap_servers=proxy.bootstrap_servers, metadata_max_age_ms=200, batch_size=4_000
        ) as producer,
    ):
        workload = Workload(producer, topic, _PARTITIONS, rate=2_000)
        workload.start()
        for _ in range(2):
            time.sleep(0.5)
            holds = [Hold() for _ in harmed3.nodes]
            for hold, node in zip(holds, harmed3.nodes, strict=True):
                proxy.on(hold, broker=node.address)
            mover.move()
            time.sleep(0.5)
            for hold in holds:
                hold.release()
        time.sleep(1)
        workload.stop()
        producer.flush(20)
    verdict = matrix.record(workload.verdict(harmed3.bootstrap_servers))
    assert (verdict.faults, verdict.failed) == ({}, 0)
