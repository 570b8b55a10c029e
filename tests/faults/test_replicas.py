"""Replicas, disks and whole clusters that are away: what is sent again, what expires and why, how long a call takes."""

from __future__ import annotations

import resource
import socket
import time
import uuid
from typing import Final

import pytest

from kproducer import KafkaProducer
from kproducer.errors import KafkaError, KafkaTimeoutError, ProducerClosedError
from kproducer.protocol.messages.produce import PRODUCE
from kproducer.testing import BlackHole, Direction, KafkaCluster
from kproducer.testing.node import KafkaNode
from tests.faults.admin import wait_until
from tests.faults.matrix import Recorder
from tests.faults.stage import TOPIC, answered, appended_but_answered, behind_proxy, facts_of, stage
from tests.faults.workload import Workload

_NOT_ENOUGH: Final = 19
_NOT_ENOUGH_AFTER_APPEND: Final = 20


def _topic(cluster: KafkaCluster, partitions: int, **config: int) -> str:
    name = f"replicas-{uuid.uuid4().hex[:8]}"
    cluster.create_topic(name, partitions, 3, {key.replace("_", "."): value for key, value in config.items()})
    return name


# --- F15: too few replicas --------------------------------------------------------------------------------------


@pytest.mark.row("F15")
@pytest.mark.parametrize(
    ("code", "persisted"), [(_NOT_ENOUGH, "no"), (_NOT_ENOUGH_AFTER_APPEND, "maybe")], ids=["19", "20"]
)
def test_a_record_that_never_finds_enough_replicas_expires_with_its_facts(code: int, persisted: str) -> None:
    # A backoff longer than the delivery timeout: what expires in flight, or unjudged, may be persisted.
    config = {"delivery_timeout_ms": 700, "request_timeout_ms": 600}
    backoff = {"retry_backoff_ms": 1_000, "retry_backoff_max_ms": 1_000}
    with stage() as on, on.producer(**config, **backoff) as producer:
        broker = on.brokers[0]
        append = broker.default(PRODUCE)
        producer.send(TOPIC, b"0", partition=0).result(10)
        broker.on(PRODUCE, answered(code) if persisted == "no" else appended_but_answered(broker, code))
        with pytest.raises(KafkaTimeoutError) as caught:
            producer.send(TOPIC, b"1", partition=0).result(10)
        expected = {"broker": 1, "place": (TOPIC, 0), "attempts": 1, "persisted": persisted}
        assert facts_of(caught.value) == expected
        assert 650 <= (caught.value.elapsed_ms or 0) < 1_700
        broker.on(PRODUCE, append)
        appended = persisted == "maybe"
        assert producer.send(TOPIC, b"2", partition=0).result(10).offset == 1 + appended
        assert on.values() == [b"0", *([b"1"] if appended else []), b"2"]


@pytest.mark.row("F15")
@pytest.mark.parametrize("code", [_NOT_ENOUGH, _NOT_ENOUGH_AFTER_APPEND])
def test_the_last_error_that_a_record_met_is_the_cause_of_its_expiry(code: int) -> None:
    with stage() as on, on.producer(delivery_timeout_ms=1_000, request_timeout_ms=1_000) as producer:
        producer.send(TOPIC, b"0", partition=0).result(10)
        on.brokers[0].on(PRODUCE, answered(code))
        with pytest.raises(KafkaTimeoutError) as caught:
            producer.send(TOPIC, b"1", partition=0).result(10)
        assert isinstance(caught.value.__cause__, KafkaError)
        assert caught.value.__cause__.code == code


@pytest.mark.row("F15")
@pytest.mark.chaos
def test_records_wait_for_a_replica_that_is_away_and_expire_as_not_persisted_when_they_may_not(
    harmed3: KafkaCluster, matrix: Recorder
) -> None:
    topic = _topic(harmed3, 1, min_insync_replicas=3)
    servers = harmed3.bootstrap_servers
    impatient_config = {
        "delivery_timeout_ms": 1_500, "request_timeout_ms": 1_000, "metadata_max_age_ms": 200,
        "retry_backoff_ms": 5_000, "retry_backoff_max_ms": 5_000,
    }  # fmt: skip
    with (
        KafkaProducer(bootstrap_servers=servers, request_timeout_ms=1_500) as patient,
        KafkaProducer(impatient_config, bootstrap_servers=servers) as impatient,
    ):
        workload = Workload(patient, topic, 1, rate=2_000)
        workload.start()
        time.sleep(0.5)
        leader = harmed3.leader(topic).id
        follower = next(node for node in harmed3.nodes if node.id != leader)
        follower.pause()
        try:
            wait_until(
                lambda: len(impatient.partitions_for(topic)[0].in_sync_replicas) < 3, "the ISR is whole"
            )
            time.sleep(0.5)
            with pytest.raises(KafkaTimeoutError) as caught:
                impatient.send(topic, b"refused", partition=0).result(20)
        finally:
            follower.resume()
        healed = time.monotonic()
        time.sleep(4)
        workload.stop()
        patient.flush(30)
        assert patient.metrics()["producer-metrics"]["record-retry-total"] > 0
    assert (caught.value.persisted, caught.value.broker) == ("no", leader)
    assert caught.value.attempts == 1
    verdict = matrix.record(workload.verdict(servers))
    assert (verdict.faults, verdict.failed) == ({}, 0)
    assert workload.recovery_s(healed) < 6


@pytest.mark.row("F15")
@pytest.mark.chaos
@pytest.mark.timeout(240)
def test_with_two_nodes_of_three_down_nothing_is_acknowledged_that_could_be_lost(
    harmed3: KafkaCluster, matrix: Recorder
) -> None:
    topic = _topic(harmed3, 3)
    with KafkaProducer(
        bootstrap_servers=harmed3.bootstrap_servers, request_timeout_ms=2_000, delivery_timeout_ms=5_000,
        max_block_ms=60_000,
    ) as producer:  # fmt: skip
        workload = Workload(producer, topic, 3, rate=2_000)
        workload.start()
        time.sleep(1)
        for node in harmed3.nodes[:2]:
            node.kill()
        time.sleep(8)
        _launch(harmed3, harmed3.nodes[:2])
        healed = time.monotonic()
        time.sleep(8)
        workload.stop()
        producer.flush(30)
    verdict = matrix.record(workload.verdict(harmed3.bootstrap_servers))
    assert verdict.faults == {}, verdict.causes
    assert verdict.failed > 0
    assert verdict.acknowledged + verdict.failed == verdict.accepted
    assert workload.recovery_s(healed) < 8


def _launch(cluster: KafkaCluster, nodes: tuple[KafkaNode, ...]) -> None:
    for node in nodes:
        node.launch()
    for node in nodes:
        node.wait_until_ready(len(cluster.nodes))


# --- F16: nobody is there ---------------------------------------------------------------------------------------


@pytest.mark.row("F16")
@pytest.mark.parametrize("way", ["refused", "deaf"])
@pytest.mark.parametrize("timeout_s", [0.0, 1.0, pytest.param(5.0, marks=pytest.mark.chaos)])
def test_close_takes_its_time_and_no_more_when_the_cluster_is_away(way: str, timeout_s: float) -> None:
    with stage(brokers=2, partitions=2) as on, behind_proxy(on) as (proxy, producer):
        for partition in (0, 1):
            producer.send(TOPIC, b"0", partition=partition).result(10)
        if way == "refused":
            proxy.refuse(*on.bootstrap_servers.split(","))
            proxy.cut()
        else:
            proxy.on(BlackHole(), api_key=None, direction=Direction.REQUEST, times=None)
        futures = [producer.send(TOPIC, b"%d" % n, partition=n % 2) for n in range(50)]
        began = time.monotonic()
        producer.close(timeout_s)
        assert timeout_s - 0.1 < time.monotonic() - began < timeout_s + 0.5
        for future in futures:
            error = future.exception(0)
            assert isinstance(error, ProducerClosedError)
            assert (error.topic, error.persisted in ("no", "maybe")) == (TOPIC, True)


@pytest.mark.row("F16")
def test_send_waits_for_dead_bootstrap_servers_no_longer_than_max_block_ms() -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        dead = f"127.0.0.1:{nobody.getsockname()[1]}"
    with KafkaProducer(bootstrap_servers=dead, max_block_ms=600) as producer:
        for _ in range(2):
            began = time.monotonic()
            with pytest.raises(KafkaTimeoutError, match=TOPIC):
                producer.send(TOPIC, b"0")
            assert 0.55 < time.monotonic() - began < 1.1


# --- F24: a disk that fails -------------------------------------------------------------------------------------


@pytest.mark.row("F24")
@pytest.mark.chaos
@pytest.mark.timeout(240)
@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="needs prlimit (Linux)")
def test_a_broker_whose_disk_is_full_loses_its_partitions_to_others_and_no_record(
    harmed3: KafkaCluster, matrix: Recorder
) -> None:
    topic = _topic(harmed3, 3)
    with KafkaProducer(bootstrap_servers=harmed3.bootstrap_servers, request_timeout_ms=5_000) as producer:
        workload = Workload(producer, topic, 3, rate=10_000, size=500)
        workload.start()
        time.sleep(1)
        full = harmed3.leader(topic, 0)
        assert full.pid is not None
        resource.prlimit(full.pid, resource.RLIMIT_FSIZE, (1 << 20, resource.RLIM_INFINITY))
        wait_until(lambda: harmed3.leader(topic, 0).id != full.id, "the full broker still leads")
        moved = time.monotonic()
        time.sleep(4)
        full.restart()
        time.sleep(2)
        workload.stop()
    for node in harmed3.nodes:
        node.wait_until_ready(3)
    verdict = matrix.record(workload.verdict(harmed3.bootstrap_servers))
    assert (verdict.faults, verdict.failed) == ({}, 0)
    assert workload.recovery_s(moved) < 5
