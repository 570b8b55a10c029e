"""The fault proxy itself: each of its effects as a client meets it, from scripted brokers."""

from __future__ import annotations

import contextlib
import logging
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest

from kproducer import KafkaProducer
from kproducer.protocol.api import Api
from kproducer.protocol.messages.init_producer_id import (
    INIT_PRODUCER_ID,
    InitProducerIdRequest,
    InitProducerIdResponse,
)
from kproducer.protocol.messages.produce import PRODUCE, ProduceRequest
from kproducer.testing import (
    Answer,
    ApiKey,
    BlackHole,
    Close,
    Delay,
    Direction,
    Drop,
    FaultProxy,
    Hold,
    Reset,
)
from tests.fakes.scripted_broker import Late, ScriptedBroker
from tests.faults.stage import TOPIC, behind_proxy, stage
from tests.unit.core.world import wait_until

_NOT_ENOUGH_REPLICAS: Final = 19
_REQUEST_TIMED_OUT: Final = 7


@contextlib.contextmanager
def _connected(address: str) -> Iterator[Callable[..., Any]]:
    """A bare client: `call(api, request, version, correlation_id)` sends, `call()` returns the next answer's id."""
    host, port = address.split(":")
    with socket.create_connection((host, int(port)), timeout=10) as link, link.makefile("rb") as answers:

        def call(
            api: Api[Any, Any] | None = None, request: Any = None, number: int = 0, version: int = 1
        ) -> int:
            if api is not None:
                link.sendall(api.encode_request(request, version, correlation_id=number, client_id=None))
                return number
            (size,) = struct.unpack(">i", answers.read(4))
            correlation_id: int = struct.unpack(">i", answers.read(size)[:4])[0]
            return correlation_id

        yield call


# --- delays ---------------------------------------------------------------------------------------------------


def test_latency_is_added_to_each_frame_and_does_not_make_them_queue() -> None:
    with stage() as on, behind_proxy(on, batch_size=1) as (proxy, producer):
        producer.send(TOPIC, b"warm").result(10)
        proxy.on(Delay(200), times=None)
        began = time.monotonic()
        futures = [producer.send(TOPIC, b"%d" % n) for n in range(5)]
        for future in futures:
            future.result(10)
        elapsed = time.monotonic() - began
        assert 0.2 <= elapsed < 0.8  # five in flight: one after the other would take a second
        assert on.values() == [b"warm", b"0", b"1", b"2", b"3", b"4"]


def test_delays_add_up_and_another_effect_comes_after_them() -> None:
    with stage() as on, behind_proxy(on) as (proxy, producer):
        producer.send(TOPIC, b"warm").result(10)
        slow = [proxy.on(Delay(250)) for _ in range(2)]
        cut = proxy.on(Close())
        began = time.monotonic()
        producer.send(TOPIC, b"v").result(10)
        assert time.monotonic() - began >= 0.5
        assert [rule.hits for rule in (*slow, cut)] == [1, 1, 1]
        assert on.values() == [b"warm", b"v"]


def test_jitter_keeps_the_order_and_repeats_with_its_seed() -> None:
    answers = []
    for _ in range(2):
        with stage() as on, FaultProxy(on.bootstrap_servers, seed=5) as proxy:
            rule = proxy.on(Delay(30, jitter_ms=30), api_key=INIT_PRODUCER_ID.key, times=None)
            with _connected(proxy.bootstrap_servers) as call:
                began = time.monotonic()
                for number in range(20):
                    call(INIT_PRODUCER_ID, InitProducerIdRequest(), number)
                assert [call() for _ in range(20)] == list(range(20))
            assert time.monotonic() - began < 0.5
            assert rule.hits == 20
            answers.append(proxy._random.random())
    assert answers[0] == answers[1]


@pytest.mark.parametrize(("ms", "jitter_ms"), [(-1, 0), (10, 11), (10, -1), (float("nan"), 0)])
def test_a_delay_is_never_negative(ms: float, jitter_ms: float) -> None:
    with pytest.raises(ValueError, match="allowed is 0 <= jitter_ms <= ms"):
        Delay(ms, jitter_ms)


# --- answers in the broker's name -------------------------------------------------------------------------------


def test_the_next_requests_are_answered_with_an_error_and_never_reach_the_broker() -> None:
    with stage() as on, behind_proxy(on) as (proxy, producer):
        producer.send(TOPIC, b"before").result(10)
        received = on.received(PRODUCE)
        rule = proxy.on(Answer(_NOT_ENOUGH_REPLICAS), times=3)
        assert producer.send(TOPIC, b"v").result(10).offset == 1
        assert rule.hits == 3
        assert on.received(PRODUCE) == received + 1
        assert producer.metrics()["producer-metrics"]["record-retry-total"] == 3


def test_an_error_may_be_told_of_records_that_were_written() -> None:
    with stage() as on, behind_proxy(on) as (proxy, producer):
        rule = proxy.on(Answer(_REQUEST_TIMED_OUT, forwards=True))
        producer.send(TOPIC, b"v").result(10)
        assert rule.hits == 1
        assert on.received(PRODUCE) == 2
        assert on.values() == [b"v"]  # the broker knew the sequence


def test_a_forged_answer_waits_for_the_broker_to_answer_what_was_asked_before() -> None:
    with stage() as on, FaultProxy(on.bootstrap_servers) as proxy:
        on.brokers[0].push(INIT_PRODUCER_ID, Late(InitProducerIdResponse(producer_id=1), 300))
        proxy.on(Answer(14), api_key=INIT_PRODUCER_ID.key, skip=1, times=2)
        with _connected(proxy.bootstrap_servers) as call:
            for number in range(4):
                call(INIT_PRODUCER_ID, InitProducerIdRequest(), number)
            assert [call() for _ in range(4)] == [0, 1, 2, 3]


def test_a_forged_answer_does_not_wait_for_one_that_was_dropped_on_its_way() -> None:
    with stage() as on, FaultProxy(on.bootstrap_servers) as proxy:
        proxy.on(Drop(), api_key=INIT_PRODUCER_ID.key, direction=Direction.REQUEST)
        proxy.on(Answer(14), api_key=INIT_PRODUCER_ID.key)
        with _connected(proxy.bootstrap_servers) as call:
            call(INIT_PRODUCER_ID, InitProducerIdRequest(), 1)
            call(INIT_PRODUCER_ID, InitProducerIdRequest(), 2)
            assert call() == 2


def test_a_forged_answer_is_an_answer_to_other_rules() -> None:
    with stage() as on, behind_proxy(on) as (proxy, producer):
        producer.send(TOPIC, b"before").result(10)
        proxy.on(Answer(_NOT_ENOUGH_REPLICAS))
        proxy.on(Delay(150))
        began = time.monotonic()
        producer.send(TOPIC, b"v").result(10)
        assert time.monotonic() - began >= 0.15


def test_a_produce_without_acks_is_swallowed_instead_of_answered() -> None:
    with stage() as on, behind_proxy(on, acks=0, enable_idempotence=False) as (proxy, producer):
        producer.send(TOPIC, b"before").result(10)
        wait_until(lambda: on.values() == [b"before"], "it is not written")
        rule = proxy.on(Answer(_NOT_ENOUGH_REPLICAS))
        producer.send(TOPIC, b"swallowed").result(10)
        wait_until(lambda: rule.hits == 1, "it does not come through")
        producer.send(TOPIC, b"after").result(10)
        wait_until(lambda: len(on.values()) > 1, "nothing is written any more")
        assert rule.hits == 1
        assert on.values() == [b"before", b"after"]


def test_nobody_is_answered_who_does_not_wait() -> None:
    with stage() as on, FaultProxy(on.bootstrap_servers) as proxy:
        proxy.on(Answer(_NOT_ENOUGH_REPLICAS))
        with _connected(proxy.bootstrap_servers) as call:
            call(PRODUCE, ProduceRequest(acks=0), 1, version=9)
            call(INIT_PRODUCER_ID, InitProducerIdRequest(), 2)
            assert call() == 2


@pytest.mark.parametrize(
    "given", [{"api_key": None}, {"api_key": ApiKey.METADATA}, {"direction": Direction.RESPONSE}]
)
def test_an_answer_is_for_requests_of_an_api_whose_errors_are_known(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="is for requests of one API that it knows"):
        FaultProxy("127.0.0.1:1").on(Answer(3), **given)


# --- connections and rules --------------------------------------------------------------------------------------


def test_brokers_that_only_answers_name_are_behind_the_proxy_too() -> None:
    with stage(brokers=3, partitions=3) as on:
        first, _, third = on.bootstrap_servers.split(",")
        with (
            FaultProxy(first) as proxy,
            on.producer(bootstrap_servers=proxy.bootstrap_servers) as producer,
        ):
            rule = proxy.on(Reset(), broker=third)
            for partition in range(3):
                producer.send(TOPIC, b"v", partition=partition).result(10)
            assert proxy.requests(PRODUCE.key) == 4
            assert rule.hits == 1
            assert {info.leader for info in producer.partitions_for(TOPIC)} == {1, 2, 3}


def test_a_rule_is_for_the_broker_that_it_names() -> None:
    with stage(brokers=2, partitions=2) as on, behind_proxy(on) as (proxy, producer):
        rules = [proxy.on(Close(), broker=broker) for broker in on.bootstrap_servers.split(",")]
        producer.send(TOPIC, b"v", partition=1).result(10)
        assert [rule.hits for rule in rules] == [0, 1]


def test_a_rule_that_was_removed_does_nothing_and_lets_go_what_it_held() -> None:
    with stage() as on, behind_proxy(on) as (proxy, producer):
        held, swallowed = proxy.on(Hold()), proxy.on(Drop(), times=None)
        future = producer.send(TOPIC, b"v")
        wait_until(lambda: held.hits > 0, "nothing is held")
        proxy.remove(swallowed)
        assert not future.done()
        proxy.remove(held)
        future.result(10)
        proxy.remove(held)
        assert (held.hits, swallowed.hits) == (1, 0)


def test_a_black_hole_for_all_takes_new_connections_too() -> None:
    config = {"request_timeout_ms": 150, "socket_connection_setup_timeout_ms": 150}
    with stage() as on, behind_proxy(on, **config) as (proxy, producer):
        producer.send(TOPIC, b"before").result(10)
        rule = proxy.on(BlackHole(), api_key=None, direction=Direction.REQUEST, times=None)
        future = producer.send(TOPIC, b"v")
        wait_until(lambda: rule.hits > 2, "there are no new connections")
        proxy.clear()
        assert future.result(10).offset == 1


def test_a_black_hole_takes_all_that_comes_behind_on_its_connection() -> None:
    with stage() as on, FaultProxy(on.bootstrap_servers) as proxy:
        rule = proxy.on(BlackHole(), api_key=INIT_PRODUCER_ID.key, direction=Direction.REQUEST, skip=1)
        with _connected(proxy.bootstrap_servers) as deaf, _connected(proxy.bootstrap_servers) as other:
            for number in range(4):
                deaf(INIT_PRODUCER_ID, InitProducerIdRequest(), number)
            assert deaf() == 0
            wait_until(lambda: rule.hits == 1, "nothing is swallowed")
            other(INIT_PRODUCER_ID, InitProducerIdRequest(), 9)
            assert other() == 9
            assert on.received(INIT_PRODUCER_ID) == 2
            assert proxy.requests(INIT_PRODUCER_ID.key) == 3  # what comes behind is not even looked at


def test_what_is_not_kafka_is_closed_and_said(caplog: pytest.LogCaptureFixture) -> None:
    with (
        stage() as on,
        FaultProxy(on.bootstrap_servers) as proxy,
        caplog.at_level(logging.ERROR, "kproducer.testing"),
    ):
        host, port = proxy.bootstrap_servers.split(":")
        with socket.create_connection((host, int(port)), timeout=10) as link:
            link.sendall(b"\x16\x03\x01\x02\x00\x01\x00")  # how TLS begins
            assert link.recv(1) == b""
    assert f"closes a connection to {on.bootstrap_servers}: a frame of 369295618 bytes" in caplog.text


@pytest.mark.parametrize("brokers", ["", [], "localhost", ":9092", "h:port", ["a:1", "b"]])
def test_a_broker_has_a_host_and_a_port(brokers: Any) -> None:
    with pytest.raises(ValueError, match="allowed is"):
        FaultProxy(brokers)


def test_ipv6_addresses_are_understood() -> None:
    with ScriptedBroker() as broker:
        proxy = FaultProxy(["[::1]:9092", f"{broker.address.host}:{broker.address.port}"])
        with proxy:
            assert len(proxy.bootstrap_servers.split(",")) == 2


# --- schedules --------------------------------------------------------------------------------------------------


def test_a_schedule_runs_its_steps_at_their_times_in_order() -> None:
    done: list[tuple[str, float]] = []
    with FaultProxy("127.0.0.1:1") as proxy:
        began = time.monotonic()
        schedule = proxy.schedule(
            (at_s, lambda at_s=at_s: done.append((str(at_s), time.monotonic() - began)))  # type: ignore[misc]
            for at_s in (0.2, 0.0, 0.1)
        )
        with pytest.raises(TimeoutError, match="not over"):
            schedule.wait(0)
        schedule.wait(10)
    assert [name for name, _ in done] == ["0.0", "0.1", "0.2"]
    assert all(at >= float(name) for name, at in done)


def test_an_outage_on_a_schedule_is_survived() -> None:
    with stage() as on, behind_proxy(on) as (proxy, producer):
        producer.send(TOPIC, b"0").result(10)
        down = on.bootstrap_servers
        schedule = proxy.schedule([(0, lambda: proxy.refuse(down)), (0, proxy.cut), (0.3, proxy.refuse)])
        for n in range(1, 30):
            producer.send(TOPIC, b"%d" % n)
            time.sleep(0.01)
        schedule.wait(10)
        producer.flush(10)
        assert on.values() == [b"%d" % n for n in range(30)]


def test_a_step_that_fails_ends_the_schedule_and_is_raised_once() -> None:
    later = threading.Event()

    def fail() -> None:
        raise KeyError("a step")

    with FaultProxy("127.0.0.1:1") as proxy:
        schedule = proxy.schedule([(0, fail), (0.01, later.set)])
        with pytest.raises(KeyError, match="a step"):
            schedule.wait(10)
    with pytest.raises(KeyError, match="a step"), FaultProxy("127.0.0.1:1") as proxy:
        proxy.schedule([(0, fail)])._thread.join()
    assert not later.is_set()


def test_a_schedule_ends_with_its_proxy() -> None:
    began = time.monotonic()
    with FaultProxy("127.0.0.1:1") as proxy:
        schedule = proxy.schedule([(60, proxy.cut)])
    schedule.wait(10)
    assert time.monotonic() - began < 10


def test_a_proxy_is_used_once() -> None:
    proxy = FaultProxy("127.0.0.1:1")
    with pytest.raises(RuntimeError, match="not started"):
        _ = proxy.bootstrap_servers
    with proxy:
        pass
    with pytest.raises(RuntimeError, match="used once"):
        proxy.__enter__()


def test_a_step_before_now_is_refused() -> None:
    with pytest.raises(ValueError, match="allowed is 0 or later"):
        FaultProxy("127.0.0.1:1").schedule([(-1, print)])


def test_the_proxy_leaves_no_thread_and_no_socket_behind() -> None:
    before = threading.active_count()
    for _ in range(3):
        with stage() as on, behind_proxy(on) as (_, producer):
            producer.send(TOPIC, b"v").result(10)
            assert isinstance(producer, KafkaProducer)
    assert threading.active_count() <= before
