"""Timeouts, expiry, throttling and idle connections: what waits, what ends, and that the partition goes on."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from kproducer.errors import KafkaTimeoutError
from kproducer.protocol.messages.produce import PRODUCE, ProduceResponse
from kproducer.testing import FaultProxy
from tests.fakes.scripted_broker import ScriptedBroker, Silent
from tests.faults.stage import TOPIC, answered, late, sequences, stage


def _wait_until(is_so: Callable[[], bool], what: str, timeout_s: float = 5.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


@pytest.mark.row("F5")
def test_a_request_without_an_answer_is_sent_again_on_another_connection() -> None:
    with stage() as on, on.producer(request_timeout_ms=300) as producer:
        broker = on.brokers[0]
        producer.send(TOPIC, b"0", partition=0).result(10)
        broker.push(PRODUCE, Silent())
        began = time.monotonic()
        assert producer.send(TOPIC, b"1", partition=0).result(10).offset == 1
        assert 0.25 < time.monotonic() - began < 3
        first, lost, again = broker.received(PRODUCE)
        assert first.connection == lost.connection != again.connection
        assert sequences([lost]) == sequences([again])


@pytest.mark.row("F38")
def test_a_record_that_was_never_sent_expires_as_surely_not_persisted() -> None:
    with stage() as on, on.producer(delivery_timeout_ms=600, request_timeout_ms=500) as producer:
        producer.send(TOPIC, b"0", partition=0).result(10)
        on.topic.leaders[0] = -1
        on.brokers[0].push(PRODUCE, answered(6))
        refused = producer.send(TOPIC, b"1", partition=0)
        with pytest.raises(KafkaTimeoutError) as caught:
            refused.result(10)
        assert caught.value.persisted == "maybe"  # it was sent, and NOT_LEADER may come after an append
        queued = producer.send(TOPIC, b"2", partition=0)
        with pytest.raises(KafkaTimeoutError) as never_sent:
            queued.result(10)
        assert (never_sent.value.persisted, never_sent.value.attempts) == ("no", 0)
        assert never_sent.value.elapsed_ms is not None
        assert 550 <= never_sent.value.elapsed_ms < 1_600
        on.cluster.move(TOPIC, 0, 1)
        assert producer.send(TOPIC, b"3", partition=0).result(10).offset == 1
        assert on.values() == [b"0", b"3"]


@pytest.mark.row("F38")
def test_a_record_that_expires_in_flight_may_be_persisted_and_the_partition_goes_on() -> None:
    with stage() as on, on.producer(delivery_timeout_ms=600, request_timeout_ms=500) as producer:
        broker = on.brokers[0]
        producer.send(TOPIC, b"0", partition=0).result(10)
        broker.on(PRODUCE, lambda request: Silent())
        with pytest.raises(KafkaTimeoutError) as caught:
            producer.send(TOPIC, b"1", partition=0).result(10)
        assert caught.value.persisted == "maybe"
        assert caught.value.elapsed_ms is not None
        assert 550 <= caught.value.elapsed_ms < 1_600
        broker.on(PRODUCE, broker._produce)
        assert producer.send(TOPIC, b"2", partition=0).result(10).offset == 1
        assert on.values() == [b"0", b"2"]
        sent = sequences(broker.received(PRODUCE))
        assert sent[-1] == (1, 0)  # a gap is left behind with the old epoch,
        assert (0, 2) not in sent  # and nothing was sent behind it


@pytest.mark.row("F38")
def test_a_late_success_of_an_expired_batch_keeps_the_epoch() -> None:
    # Expiry needs linger + request timeout, so the answer can only be later than that if a refusal came first.
    with stage() as on, on.producer(delivery_timeout_ms=600, request_timeout_ms=600) as producer:
        broker = on.brokers[0]
        producer.send(TOPIC, b"0", partition=0).result(10)
        broker.push(PRODUCE, late(answered(19), 300), late(broker.default(PRODUCE), 500))
        with pytest.raises(KafkaTimeoutError) as caught:
            producer.send(TOPIC, b"1", partition=0).result(10)
        assert caught.value.persisted == "maybe"
        assert producer.send(TOPIC, b"2", partition=0).result(10).offset == 2
        assert on.values() == [b"0", b"1", b"2"]
        assert sequences(broker.received(PRODUCE))[-1] == (0, 2)


@pytest.mark.row("F46")
def test_throttling_pauses_only_the_broker_that_asked_for_it() -> None:
    with stage(brokers=2, partitions=2) as on, on.producer() as producer:
        slow = on.brokers[0]
        for partition in (0, 1):
            producer.send(TOPIC, b"warm", partition=partition).result(10)
        append = slow.default(PRODUCE)
        slow.push(PRODUCE, lambda request: _throttled(append(request), 700))
        began = time.monotonic()
        producer.send(TOPIC, b"throttles", partition=0).result(10)
        assert time.monotonic() - began < 0.5  # KIP-219: the answer itself comes at once
        paused = producer.send(TOPIC, b"waits", partition=0)
        for n in range(20):
            producer.send(TOPIC, b"%d" % n, partition=1).result(10)
        assert not paused.done()
        paused.result(10)
        assert 0.65 < time.monotonic() - began < 2
        assert len({request.connection for request in slow.received(PRODUCE)}) == 1


def _throttled(answer: ProduceResponse, throttle_ms: int) -> ProduceResponse:
    return ProduceResponse(responses=answer.responses, throttle_time_ms=throttle_ms)


@pytest.mark.row("F47")
def test_idle_connections_are_closed_by_the_client_and_opened_again() -> None:
    with stage() as on, on.producer(connections_max_idle_ms=200) as producer:
        broker = on.brokers[0]
        producer.send(TOPIC, b"0", partition=0).result(10)
        _wait_until(lambda: not broker._open, "the idle connections are still open")
        opened = broker.connections
        assert producer.send(TOPIC, b"1", partition=0).result(10).offset == 1
        assert broker.connections > opened


def _close_all(broker: ScriptedBroker) -> None:
    old = set(broker._open)
    broker.close_connections()
    _wait_until(lambda: not old & set(broker._open), "the connections are still open")


@pytest.mark.row("F47")
def test_connections_closed_by_the_broker_while_idle_fail_no_record() -> None:
    with stage() as on, on.producer() as producer:
        broker = on.brokers[0]
        for n in range(5):
            assert producer.send(TOPIC, b"%d" % n, partition=0).result(10).offset == n
            _close_all(broker)
        assert on.values() == [b"%d" % n for n in range(5)]


@pytest.mark.row("F16")
def test_bootstrap_servers_that_are_dead_at_first_are_tried_until_they_are_there() -> None:
    with stage() as on, FaultProxy(on.bootstrap_servers.split(",")) as proxy:
        proxy.refuse(on.bootstrap_servers)
        with on.producer(bootstrap_servers=proxy.bootstrap_servers, max_block_ms=500) as producer:
            with pytest.raises(KafkaTimeoutError) as caught:
                producer.send(TOPIC, b"0", partition=0)
            assert proxy.bootstrap_servers in str(caught.value)
            proxy.refuse()
            assert producer.send(TOPIC, b"1", partition=0).result(10).offset == 0
        assert on.values() == [b"1"]


@pytest.mark.row("F16")
def test_a_cluster_that_is_away_for_a_while_gets_what_was_buffered() -> None:
    with (
        stage(brokers=3, partitions=3) as on,
        FaultProxy(on.bootstrap_servers.split(",")) as proxy,
        on.producer(bootstrap_servers=proxy.bootstrap_servers) as producer,
    ):
        for partition in range(3):
            producer.send(TOPIC, b"0", partition=partition).result(10)
        proxy.refuse(*on.bootstrap_servers.split(","))
        proxy.cut()
        futures = [producer.send(TOPIC, b"%d" % n, partition=n % 3) for n in range(3, 300)]
        time.sleep(1)
        assert not any(future.done() for future in futures)
        healed = time.monotonic()
        proxy.refuse()
        for future in futures:
            future.result(10)
        assert time.monotonic() - healed < 5
        for partition in range(3):
            assert on.values(partition) == [b"0", *[b"%d" % n for n in range(3, 300) if n % 3 == partition]]
