"""Answers that are malformed, late, lost, repeated or cut: the connection ends cleanly, no record does.

A fault proxy stands between the producer and a scripted broker that knows sequences as Kafka does.
"""

from __future__ import annotations

import functools
import time
from pathlib import Path
from typing import Any

import pytest

from kproducer import KafkaProducer
from kproducer.errors import KafkaError
from kproducer.protocol.api import Api
from kproducer.protocol.messages.api_versions import API_VERSIONS
from kproducer.protocol.messages.init_producer_id import INIT_PRODUCER_ID
from kproducer.protocol.messages.metadata import METADATA
from kproducer.protocol.messages.produce import PRODUCE
from kproducer.testing import (
    BlackHole,
    Close,
    Direction,
    Drop,
    Duplicate,
    Effect,
    FaultProxy,
    Hold,
    Reset,
    Trickle,
)
from kproducer.types import RecordMetadata
from tests.faults.effects import cut_to, filled_with, with_other_correlation, with_size, with_trailing
from tests.faults.stage import TOPIC, behind_proxy, stage

_MIB = 1 << 20

MALFORMED: dict[str, Effect] = {
    "size huge": with_size(0x7FFFFFFF),
    "size above the limit": with_size(200 * _MIB),
    "size negative": with_size(-1),
    "size most negative": with_size(-(2**31)),
    "size zero": with_size(0),
    "size three": with_size(3),
    "size too small by one": with_size(20),
    "body cut after the correlation id": cut_to(4),
    "body cut in the middle": cut_to(15),
    "body all 0xff": filled_with(0xFF),
    "body all 0x7f": filled_with(0x7F),
    "body all zero": filled_with(0),
    "bytes after the end": with_trailing(bytes(3)),
    "wrong correlation id": with_other_correlation(1),
    "correlation id of the past": with_other_correlation(-1),
    "connection reset": Reset(),
    "connection closed": Close(),
}
CONTROL_MALFORMED = [name for name in MALFORMED if name not in ("bytes after the end", "body all zero")]


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096


def _send_all(producer: KafkaProducer, first: int, count: int) -> list[int]:
    futures = [producer.send(TOPIC, b"%d" % n, partition=0) for n in range(first, first + count)]
    return [future.result(15).offset for future in futures]


@pytest.mark.parametrize("name", MALFORMED)
@pytest.mark.row("F7", "F9", "F10", "F11")
def test_a_malformed_produce_answer_costs_a_connection_and_nothing_else(name: str) -> None:
    with stage() as on, behind_proxy(on) as (proxy, producer):
        assert _send_all(producer, 0, 10) == list(range(10))
        before, memory = proxy.connections, _resident_bytes()
        rule = proxy.on(MALFORMED[name])
        began = time.monotonic()
        assert _send_all(producer, 10, 10) == list(range(10, 20))
        assert time.monotonic() - began < 2
        assert rule.hits == 1
        assert proxy.connections == before + 1
        assert _resident_bytes() - memory < 8 * _MIB
        assert on.values() == [b"%d" % n for n in range(20)]


@pytest.mark.parametrize("name", MALFORMED)
@pytest.mark.row("F7", "F9", "F10", "F11")
def test_malformed_answers_with_five_requests_in_flight_lose_and_repeat_nothing(name: str) -> None:
    with stage() as on, behind_proxy(on, batch_size=300) as (proxy, producer):
        _send_all(producer, 0, 1)
        rule = proxy.on(MALFORMED[name], skip=2, times=3)
        assert _send_all(producer, 1, 300) == list(range(1, 301))
        assert rule.hits >= 1
        assert on.values() == [b"%d" % n for n in range(301)]


@pytest.mark.parametrize("name", CONTROL_MALFORMED)
@pytest.mark.parametrize("api", [API_VERSIONS, METADATA, INIT_PRODUCER_ID], ids=lambda api: api.name)
@pytest.mark.row("F9", "F10", "F11")
def test_a_malformed_answer_on_the_control_connection_is_asked_again(api: Api[Any, Any], name: str) -> None:
    with stage() as on, FaultProxy(on.bootstrap_servers.split(",")) as proxy:
        rule = proxy.on(MALFORMED[name], api_key=api.key, times=2)
        settings = {"bootstrap_servers": proxy.bootstrap_servers, "socket_connection_setup_timeout_ms": 500}
        with on.producer(**settings) as producer:
            assert _send_all(producer, 0, 10) == list(range(10))
        assert rule.hits == 2


@pytest.mark.parametrize("name", ["connection reset", "size negative", "body all 0xff"])
@pytest.mark.row("F9", "F10")
def test_without_idempotence_each_record_arrives_at_least_once_and_completes_once(name: str) -> None:
    completed: list[int] = []
    with stage() as on, behind_proxy(on, batch_size=300, enable_idempotence=False) as (proxy, producer):
        proxy.on(MALFORMED[name], skip=2, times=3)
        for n in range(300):
            on_delivery = functools.partial(_note, completed, n)
            producer.produce(TOPIC, b"%d" % n, partition=0, on_delivery=on_delivery)
        producer.flush(15)
        assert completed == list(range(300))
        assert set(on.values()) == {b"%d" % n for n in range(300)}


def _note(completed: list[int], n: int, metadata: RecordMetadata | None, error: KafkaError | None) -> None:
    assert error is None
    completed.append(n)


@pytest.mark.row("F54")
def test_acks_0_completes_without_offsets_and_outlives_its_connections() -> None:
    with stage() as on, on.producer(acks=0, enable_idempotence=False) as producer:
        for n in range(20):
            assert producer.send(TOPIC, b"%d" % n, partition=0).result(10).offset == -1
            if n % 5 == 4:
                on.brokers[0].close_connections()
        producer.flush(5)


@pytest.mark.row("F8")
def test_an_answer_that_comes_twice_ends_the_connection_and_no_record() -> None:
    with stage() as on, behind_proxy(on) as (proxy, producer):
        proxy.on(Duplicate(), times=3)
        for n in range(10):
            assert producer.send(TOPIC, b"%d" % n, partition=0).result(10).offset == n
        assert on.values() == [b"%d" % n for n in range(10)]


@pytest.mark.parametrize("in_flight", range(1, 6))
@pytest.mark.row("F7")
def test_answers_lost_after_the_append_are_recognised_as_duplicates_with_the_first_offset(
    in_flight: int,
) -> None:
    with (
        stage() as on,
        behind_proxy(
            on, batch_size=300, max_in_flight_requests_per_connection=in_flight, request_timeout_ms=400
        ) as (proxy, producer),
    ):
        _send_all(producer, 0, 1)
        rule = proxy.on(Drop(), times=in_flight)
        assert _send_all(producer, 1, 300) == list(range(1, 301))
        assert rule.hits == in_flight
        assert on.values() == [b"%d" % n for n in range(301)]


@pytest.mark.parametrize("direction", Direction, ids=lambda direction: direction.name.lower())
@pytest.mark.row("F5")
def test_a_half_open_connection_is_left_after_the_request_timeout(direction: Direction) -> None:
    with stage() as on, behind_proxy(on, request_timeout_ms=400) as (proxy, producer):
        _send_all(producer, 0, 10)
        proxy.on(BlackHole(), direction=direction)
        began = time.monotonic()
        assert _send_all(producer, 10, 10) == list(range(10, 20))
        assert 0.3 < time.monotonic() - began < 3
        assert on.values() == [b"%d" % n for n in range(20)]


@pytest.mark.row("F6")
def test_an_answer_byte_by_byte_is_put_together() -> None:
    with stage() as on, behind_proxy(on) as (proxy, producer):
        proxy.on(Trickle(), times=3)
        before = proxy.connections
        assert _send_all(producer, 0, 10) == list(range(10))
        assert proxy.connections <= before + 2  # the control and the produce connection, once each


@pytest.mark.row("F6")
def test_a_request_byte_by_byte_is_only_late() -> None:
    with stage() as on, behind_proxy(on) as (proxy, producer):
        proxy.on(Trickle(piece=7), direction=Direction.REQUEST)
        assert _send_all(producer, 0, 50) == list(range(50))


@pytest.mark.row("F3")
def test_a_held_answer_holds_nothing_but_its_connection() -> None:
    with stage(brokers=2, partitions=2) as on, behind_proxy(on) as (proxy, producer):
        for partition in (0, 1):
            producer.send(TOPIC, b"warm", partition=partition).result(10)
        hold = Hold()
        first = on.brokers[0].address
        proxy.on(hold, broker=f"{first.host}:{first.port}")
        waiting = producer.send(TOPIC, b"held", partition=0)
        for n in range(20):
            assert producer.send(TOPIC, b"%d" % n, partition=1).result(10).offset == n + 1
        assert not waiting.done()
        hold.release()
        assert waiting.result(10).offset == 1


@pytest.mark.parametrize("is_idempotent", [True, False], ids=["idempotent", "not idempotent"])
@pytest.mark.row("F14")
def test_nothing_goes_to_a_new_leader_while_the_old_one_has_not_answered(is_idempotent: bool) -> None:
    config = {"batch_size": 300, "metadata_max_age_ms": 50, "enable_idempotence": is_idempotent}
    with stage(brokers=2) as on, behind_proxy(on, **config) as (proxy, producer):
        old, new = on.brokers
        producer.send(TOPIC, b"0", partition=0).result(10)
        hold = Hold()
        proxy.on(hold, broker=f"{old.address.host}:{old.address.port}")
        futures = [producer.send(TOPIC, b"1", partition=0)]
        old.wait_for(PRODUCE, 2)
        on.cluster.move(TOPIC, 0, new.node_id)
        on.wait_for_metadata(2)
        futures += [producer.send(TOPIC, b"%d" % n, partition=0) for n in range(2, 100)]
        on.wait_for_metadata(3)
        assert new.received(PRODUCE) == []
        hold.release()
        assert [future.result(10).offset for future in futures] == list(range(1, 100))
        assert on.values() == [b"%d" % n for n in range(100)]
