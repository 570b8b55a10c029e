"""Links that are cut, deaf, slow, reset, or cannot be opened: what waits, and that the rest goes on."""

from __future__ import annotations

import errno
import socket
import subprocess
import sys
import textwrap
import time
import uuid
from collections.abc import Callable
from typing import Any, Final

import pytest

from kproducer import KafkaProducer
from kproducer.protocol.messages.produce import PRODUCE
from kproducer.testing import (
    BlackHole,
    Close,
    Direction,
    Drop,
    Duplicate,
    Effect,
    FaultProxy,
    KafkaCluster,
    Reset,
    Trickle,
)
from tests.faults.admin import wait_until
from tests.faults.effects import filled_with, with_size
from tests.faults.matrix import Recorder
from tests.faults.stage import TOPIC, behind_proxy, stage
from tests.faults.workload import Workload

_PARTITIONS: Final = 3


def _topic(cluster: KafkaCluster, replication: int = 3) -> str:
    name = f"links-{uuid.uuid4().hex[:8]}"
    cluster.create_topic(name, _PARTITIONS, replication)
    return name


# --- answers that never come, five requests in flight -----------------------------------------------------------

LOSSES: dict[str, Effect] = {
    "swallowed": Drop(),
    "closed": Close(),
    "reset": Reset(),
    "twice": Duplicate(),
    "garbled": filled_with(0xFF),
    "endless": with_size(0x7FFFFFFF),
}
_ROWS: Final = {
    "swallowed": pytest.mark.row("F7"),
    "closed": pytest.mark.row("F7"),
    "reset": pytest.mark.row("F7", "F47"),
    "twice": pytest.mark.row("F8"),
    "garbled": pytest.mark.row("F9"),
    "endless": pytest.mark.row("F10"),
}


@pytest.mark.parametrize("name", [pytest.param(name, marks=_ROWS[name]) for name in LOSSES])
@pytest.mark.parametrize("in_flight", [1, 2, 5])
def test_answers_lost_or_spoilt_again_and_again_under_load_cost_nothing(
    name: str, in_flight: int, matrix: Recorder
) -> None:
    config = {
        "batch_size": 500,
        "max_in_flight_requests_per_connection": in_flight,
        "request_timeout_ms": 300,
    }
    with stage(brokers=2, partitions=4) as on, behind_proxy(on, **config) as (proxy, producer):
        workload = Workload(producer, TOPIC, 4, rate=3_000)
        for partition in range(4):
            workload.send(partition)
        producer.flush(10)
        rules = [proxy.on(LOSSES[name], skip=7 * n, times=in_flight) for n in range(1, 5)]
        workload.start()
        deadline = time.monotonic() + 15
        while any(rule.hits < in_flight for rule in rules):
            assert time.monotonic() < deadline, "not every rule was met"
            time.sleep(0.01)
        workload.stop()
        producer.flush(15)
    verdict = matrix.record(workload.judge(on.logs()))
    assert (verdict.faults, verdict.failed) == ({}, 0)
    assert [on.epochs_and_gaps(p) for p in range(4)] == [({0}, 0)] * 4


# --- F4, F5: one broker cannot be reached -----------------------------------------------------------------------


@pytest.mark.row("F4")
def test_a_broker_out_of_reach_holds_only_the_records_that_it_leads(
    harmed3: KafkaCluster, matrix: Recorder
) -> None:
    topic = _topic(harmed3)
    with (
        FaultProxy(harmed3.bootstrap_servers.split(",")) as proxy,
        KafkaProducer(bootstrap_servers=proxy.bootstrap_servers) as producer,
    ):
        workload = Workload(producer, topic, _PARTITIONS, rate=5_000)
        workload.start()
        time.sleep(1)
        away = harmed3.leader(topic, 0)
        led = {p for p in range(_PARTITIONS) if harmed3.leader(topic, p).id == away.id}
        proxy.refuse(away.address)
        proxy.cut(away.address)
        began = time.monotonic()
        time.sleep(2)
        before = [len(workload.histories[p].acks_at) for p in led]
        proxy.refuse()
        healed = time.monotonic()
        time.sleep(2)
        workload.stop()
    verdict = matrix.record(workload.verdict(harmed3.bootstrap_servers))
    assert (verdict.faults, verdict.failed) == ({}, 0)
    assert workload.recovery_s(healed) < 2.5
    for partition, history in enumerate(workload.histories):
        ticks = sum(began + 0.3 < at < healed for at in history.acks_at)
        if partition in led:
            assert ticks == 0
        else:
            assert ticks > 20  # of at most 85
            assert (history.first_ack_after(began) or healed) - began < 1
    assert before == [len([at for at in workload.histories[p].acks_at if at < healed]) for p in led]


@pytest.mark.row("F5")
@pytest.mark.chaos
@pytest.mark.parametrize("direction", Direction, ids=lambda direction: direction.name.lower())
def test_connections_that_go_deaf_under_load_are_left_after_the_request_timeout(
    harmed3: KafkaCluster, direction: Direction, matrix: Recorder
) -> None:
    topic = _topic(harmed3)
    with (
        FaultProxy(harmed3.bootstrap_servers.split(",")) as proxy,
        KafkaProducer(bootstrap_servers=proxy.bootstrap_servers, request_timeout_ms=800) as producer,
    ):
        workload = Workload(producer, topic, _PARTITIONS, rate=5_000)
        workload.start()
        time.sleep(1)
        for _ in range(4):
            rule = proxy.on(BlackHole(), direction=direction, skip=3)
            deadline = time.monotonic() + 10
            while rule.hits == 0:
                assert time.monotonic() < deadline
                time.sleep(0.01)
        healed = time.monotonic()
        time.sleep(3)
        workload.stop()
        producer.flush(20)
    verdict = matrix.record(workload.verdict(harmed3.bootstrap_servers))
    assert (verdict.faults, verdict.failed) == ({}, 0)
    assert workload.recovery_s(healed) < 3


# --- F6: slow links ---------------------------------------------------------------------------------------------


@pytest.mark.row("F6")
@pytest.mark.parametrize("is_idempotent", [True, False], ids=["idempotent", "not idempotent"])
def test_a_tiny_window_is_written_to_piece_by_piece_and_each_byte_arrives_in_its_place(
    is_idempotent: bool,
) -> None:
    values = [bytes([n % 251]) * 9_000 for n in range(60)]
    config = {"send_buffer_bytes": 4_096, "batch_size": 60_000, "enable_idempotence": is_idempotent}
    with (
        stage() as on,
        FaultProxy(on.bootstrap_servers.split(","), receive_buffer_bytes=2_048) as proxy,
        on.producer(bootstrap_servers=proxy.bootstrap_servers, **config) as producer,
    ):
        proxy.on(Trickle(piece=8_192, pause_ms=2), direction=Direction.REQUEST, times=None)
        futures = [producer.send(TOPIC, value, partition=0) for value in values]
        assert [future.result(30).offset for future in futures] == list(range(60))
        assert all(batch.crc_ok for batch in on.batches())
        assert on.values() == values


_SLOW_CLIENT: Final = """
    import sys, time
    from kproducer import KafkaProducer
    with KafkaProducer(
        bootstrap_servers=sys.argv[1], send_buffer_bytes=4096, linger_ms=0, batch_size=200_000
    ) as producer:
        producer.send("faults", b"0", partition=0).result(20)
        cpu, began = time.process_time(), time.monotonic()
        futures = [producer.send("faults", bytes(50_000), partition=0) for _ in range(4)]
        offsets = [future.result(60).offset for future in futures]
        print(offsets == [1, 2, 3, 4], time.process_time() - cpu, time.monotonic() - began)
"""


def _in_a_process_of_its_own(script: str, *arguments: str) -> list[str]:
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(script), *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.split()


@pytest.mark.row("F6")
@pytest.mark.parametrize("direction", Direction, ids=lambda direction: direction.name.lower())
def test_a_trickle_costs_no_processor_time(direction: Direction) -> None:
    with stage() as on, FaultProxy(on.bootstrap_servers.split(","), receive_buffer_bytes=2_048) as proxy:
        is_request = direction is Direction.REQUEST
        piece, pause_ms = (2_000, 20.0) if is_request else (1, 20.0)
        proxy.on(Trickle(piece, pause_ms), direction=direction, skip=1, times=4)
        is_right, cpu_s, elapsed_s = _in_a_process_of_its_own(_SLOW_CLIENT, proxy.bootstrap_servers)
        assert is_right == "True"
        assert float(elapsed_s) > 1
        assert float(cpu_s) < 0.05 * float(elapsed_s) + 0.02


# --- F47: connections that cannot be opened ---------------------------------------------------------------------

_WITHOUT_DESCRIPTORS: Final = """
    import os, resource, sys, time
    from kproducer import KafkaProducer
    with KafkaProducer(
        bootstrap_servers=sys.argv[1], linger_ms=0, reconnect_backoff_ms=20, reconnect_backoff_max_ms=100,
        metadata_max_age_ms=100,
    ) as producer:
        for n in range(5):
            producer.send("faults", b"%d" % n, partition=0).result(20)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))  # no descriptor more
        print("ready", flush=True)
        sys.stdin.readline()  # the broker has closed all connections
        late = producer.send("faults", b"5", partition=0)
        cpu = time.process_time()
        time.sleep(1)
        print("waits" if not late.done() else "done", time.process_time() - cpu, flush=True)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        print(late.result(20).offset, flush=True)
"""


@pytest.mark.row("F47")
def test_without_file_descriptors_records_wait_until_there_are_some_again() -> None:
    with stage() as on:
        command = [sys.executable, "-c", textwrap.dedent(_WITHOUT_DESCRIPTORS), on.bootstrap_servers]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as child:
            try:
                assert child.stdout is not None
                assert child.stdout.readline() == "ready\n"
                on.brokers[0].close_connections()
                out, err = child.communicate("\n", timeout=60)
            finally:
                child.kill()
        assert child.returncode == 0, err
        waits, cpu_s, offset = out.split()
        assert (waits, offset) == ("waits", "5")
        assert float(cpu_s) < 0.2
        assert on.values() == [b"%d" % n for n in range(6)]


def _addresses(*sockaddrs: tuple[str, int]) -> Callable[..., list[Any]]:
    """A getaddrinfo that gives a made-up name these addresses."""
    resolve = socket.getaddrinfo

    def getaddrinfo(host: str, port: int, *args: Any, **kwargs: Any) -> list[Any]:
        if host != "two-addresses.test":
            return resolve(host, port, *args, **kwargs)
        if kwargs.get("flags", 0) & socket.AI_NUMERICHOST:
            raise socket.gaierror(socket.EAI_NONAME, "not an address")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", sockaddr) for sockaddr in sockaddrs]

    return getaddrinfo


@pytest.mark.row("F47")
def test_a_name_whose_first_address_is_dead_is_tried_at_the_next_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with stage() as on:
        alive = on.brokers[0].address
        with socket.create_server(("127.0.0.1", 0)) as gone:
            refusing = gone.getsockname()[:2]
        monkeypatch.setattr(socket, "getaddrinfo", _addresses(refusing, (alive.host, alive.port)))
        with on.producer(bootstrap_servers=f"two-addresses.test:{alive.port}") as producer:
            began = time.monotonic()
            assert producer.send(TOPIC, b"0", partition=0).result(10).offset == 0
            assert time.monotonic() - began < 1


@pytest.mark.row("F47")
def test_a_name_whose_first_address_does_not_answer_is_tried_at_the_next_after_the_setup_timeout(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with stage() as on, socket.create_server(("127.0.0.1", 0), backlog=0) as deaf:
        alive = on.brokers[0].address
        waiting = [_connect_without_waiting(deaf.getsockname()) for _ in range(4)]  # its queue is full now
        monkeypatch.setattr(socket, "getaddrinfo", _addresses(deaf.getsockname(), (alive.host, alive.port)))
        settings = {"socket_connection_setup_timeout_ms": 500, "socket_connection_setup_timeout_max_ms": 500}
        with on.producer(bootstrap_servers=f"two-addresses.test:{alive.port}", **settings) as producer:
            began = time.monotonic()
            assert producer.send(TOPIC, b"0", partition=0).result(10).offset == 0
            assert time.monotonic() - began < 3
        for sock in waiting:
            sock.close()


def _connect_without_waiting(address: tuple[str, int]) -> socket.socket:
    sock = socket.socket()
    sock.setblocking(False)
    assert sock.connect_ex(address) in (0, errno.EINPROGRESS)
    return sock


# --- F54: acks=0 ------------------------------------------------------------------------------------------------


@pytest.mark.row("F54")
@pytest.mark.parametrize(
    "effect", [Close(), Reset(), Drop(), BlackHole()], ids=["fin", "rst", "drop", "deaf"]
)
def test_without_acks_broken_links_lose_records_but_hang_nothing(effect: Effect) -> None:
    config = {"acks": 0, "enable_idempotence": False, "batch_size": 300, "reconnect_backoff_max_ms": 20}
    outcomes: list[int] = []
    with stage() as on, behind_proxy(on, **config) as (proxy, producer):
        producer.send(TOPIC, b"first", partition=0).result(10)
        rule = proxy.on(effect, direction=Direction.REQUEST, skip=2, times=2)
        for n in range(400):
            producer.produce(TOPIC, b"%d" % n, partition=0, on_delivery=_note_offset(outcomes))
            if n % 50 == 49:
                producer.flush(10)
        producer.flush(10)
        assert rule.hits >= 1
        assert outcomes == [-1] * 400
        # The outcome is told a moment before the slot is counted free.
        wait_until(
            lambda: producer.metrics()["producer-metrics"]["requests-in-flight"] == 0,
            "a response slot is left",
        )
        values = on.values()
        assert len(set(values)) == len(values)
        began = time.monotonic()
        producer.close(5)
        assert time.monotonic() - began < 1


def _note_offset(outcomes: list[int]) -> Callable[..., None]:
    return lambda metadata, error: outcomes.append(-2 if error is not None else metadata.offset)


@pytest.mark.row("F54")
def test_without_acks_a_broker_that_refuses_by_closing_is_asked_for_its_leaders_again() -> None:
    config = {"acks": 0, "enable_idempotence": False}
    with stage(brokers=2) as on, on.producer(**config) as producer:
        old, new = on.brokers
        producer.send(TOPIC, b"0", partition=0).result(10)
        on.cluster.move(TOPIC, 0, new.node_id)
        old.on(PRODUCE, lambda request: old.close_connections())
        deadline = time.monotonic() + 5
        while not new.received(PRODUCE):
            assert time.monotonic() < deadline, "the new leader is not found"
            producer.send(TOPIC, b"1", partition=0).result(10)
            time.sleep(0.01)
        producer.send(TOPIC, b"2", partition=0).result(10)
        producer.flush(5)
