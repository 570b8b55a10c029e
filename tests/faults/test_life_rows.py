"""close(), callbacks, serializers, and errors of our own: each ends in a defined way, and nothing hangs or leaks."""

from __future__ import annotations

import gc
import itertools
import logging
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any, NoReturn

import pytest

from kproducer import (
    IllegalStateError,
    KafkaError,
    KafkaProducer,
    ProducerClosedError,
    RecordFuture,
    SerializationError,
)
from kproducer._core.completion import deliver
from kproducer._core.events import PumpFatal
from kproducer.engine import runtime as runtime_module
from kproducer.engine.sender import Sender
from kproducer.protocol.messages.metadata import METADATA
from kproducer.protocol.messages.produce import PRODUCE
from tests.fakes.scripted_broker import Silent
from tests.faults.stage import TOPIC, Stage, answered, late, stage
from tests.unit.core.world import counters, open_descriptors, wait_until

_LIMIT_S = 30.0


def _own_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("kproducer-")]


def _memory_is_back(producer: KafkaProducer) -> bool:
    found = counters(producer)
    return found["buffer_available_bytes"] == found["buffer_total_bytes"]


def _outcome(future: RecordFuture) -> KafkaError | None:
    """The error of a record, None if it was delivered; fails the test when there is no outcome in time."""
    return future.exception(_LIMIT_S)


# --- close ----------------------------------------------------------------------------------------------------


@pytest.mark.row("F39")
def test_close_waits_for_what_is_in_flight() -> None:
    with stage() as on, on.producer() as producer:
        producer.send(TOPIC, b"0", partition=0).result(10)
        on.brokers[0].push(PRODUCE, late(on.brokers[0].default(PRODUCE), 400))
        futures = [producer.send(TOPIC, b"%d" % n, partition=0) for n in range(1, 50)]
        on.brokers[0].wait_for(PRODUCE, 2)
        began = time.monotonic()
        producer.close()
        assert time.monotonic() - began < 3
        assert [future.result(0).offset for future in futures] == list(range(1, 50))
        assert on.values() == [b"%d" % n for n in range(50)]


@pytest.mark.row("F39")
def test_close_with_no_time_fails_everything_at_once_and_tells_what_may_be_in_the_log() -> None:
    with stage() as on, on.producer(linger_ms=0, batch_size=100) as producer:
        producer.send(TOPIC, b"0", partition=0).result(10)
        on.brokers[0].on(PRODUCE, lambda request: Silent())
        sent = producer.send(TOPIC, b"sent", partition=0)
        on.brokers[0].wait_for(PRODUCE, 2)
        queued = [producer.send(TOPIC, bytes(80), partition=0) for _ in range(20)]
        began = time.monotonic()
        producer.close(0)
        assert time.monotonic() - began < 1
        errors = [_outcome(sent), _outcome(queued[-1])]
        assert [type(error) for error in errors] == [ProducerClosedError] * 2
        assert [error.persisted for error in errors if error is not None] == ["maybe", "no"]
        with pytest.raises(ProducerClosedError):
            producer.send(TOPIC, b"late", partition=0)


@pytest.mark.row("F39")
def test_close_among_sends_and_flushes_of_other_threads_leaves_no_thread_and_no_descriptor() -> None:
    with stage(partitions=3) as on:
        before = open_descriptors()
        for _ in range(3):
            _close_in_the_middle(on)
        gc.collect()
        assert _own_threads() == []
        wait_until(lambda: not on.brokers[0]._open, "the broker has seen the end of the connections")
        assert open_descriptors() <= before


def _close_in_the_middle(on: Stage) -> None:
    futures: list[list[RecordFuture]] = [[] for _ in range(3)]
    problems: list[BaseException] = []
    with on.producer(batch_size=500) as producer:

        def send(number: int) -> None:
            for n in itertools.count():
                futures[number].append(producer.send(TOPIC, b"%d" % n, partition=number))

        def flush() -> None:
            for _ in itertools.count():
                producer.send(TOPIC, b"f").result(10)
                producer.flush(10)

        def until_closed(work: Callable[[], None]) -> None:
            try:
                work()
            except ProducerClosedError:
                pass
            except BaseException as problem:  # noqa: BLE001  # asserted on below
                problems.append(problem)

        works: list[Callable[[], None]] = [lambda: send(0), lambda: send(1), flush, flush]
        threads = [threading.Thread(target=until_closed, args=(work,)) for work in works]
        closers = [threading.Thread(target=producer.close) for _ in range(2)]
        for thread in threads:
            thread.start()
        wait_until(lambda: bool(futures[0] and futures[1]), "both threads send")
        for thread in closers:
            thread.start()
        for thread in (*threads, *closers):
            thread.join(_LIMIT_S)
            assert not thread.is_alive(), "a thread hangs after close()"
        producer.close()
    assert problems == []
    for some in futures:
        assert all(_outcome(future) is None for future in some), "what was accepted is delivered"


@pytest.mark.row("F39")
@pytest.mark.row("F42")
def test_close_in_a_callback_raises_and_a_later_one_from_outside_closes() -> None:
    problems: list[BaseException] = []
    with stage() as on, on.producer() as producer:

        def close(metadata: object, error: object) -> None:
            try:
                producer.close(0)
            except IllegalStateError as problem:
                problems.append(problem)

        producer.produce(TOPIC, b"0", on_delivery=close)
        producer.flush(10)
        assert producer.send(TOPIC, b"1", partition=0).result(10).offset == 1
        producer.close()
        assert len(problems) == 1
        assert _own_threads() == []


# --- callbacks ------------------------------------------------------------------------------------------------


@pytest.mark.row("F42")
def test_a_callback_may_drop_the_last_reference_to_its_producer() -> None:
    with stage() as on:
        held = {"producer": KafkaProducer(bootstrap_servers=on.bootstrap_servers, client_id="dropped")}
        gone = weakref.ref(held["producer"])
        heard: list[int] = []

        def drop(metadata: object, error: object) -> None:
            held.clear()
            gc.collect()
            heard.append(1)

        for _ in range(50):
            held["producer"].produce(TOPIC, b"v", partition=0, on_delivery=drop)
            if not heard:
                continue
            break
        wait_until(lambda: gone() is None, "the producer is collected", _LIMIT_S)
        wait_until(lambda: _own_threads() == [], "its threads have ended", _LIMIT_S)
        assert len(heard) == len(on.values())


@pytest.mark.row("F42")
def test_a_callback_that_blocks_delays_no_record_and_no_close_beyond_its_time() -> None:
    with stage() as on, on.producer() as producer:
        leave = threading.Event()
        entered = threading.Event()

        def block(metadata: object, error: object) -> None:
            entered.set()
            leave.wait(20)

        producer.produce(TOPIC, b"0", partition=0, on_delivery=block)
        assert entered.wait(10)
        for n in range(1, 100):
            assert producer.send(TOPIC, b"%d" % n, partition=0).result(10).offset == n
        leave.set()
        producer.close(10)
        assert _own_threads() == []


# --- serializers and partitioners -----------------------------------------------------------------------------


def _raise(*args: object) -> NoReturn:
    raise ZeroDivisionError("planted")


@pytest.mark.row("F43")
@pytest.mark.parametrize(
    ("config", "error"),
    [
        ({"value_serializer": _raise}, SerializationError),
        ({"key_serializer": _raise}, SerializationError),
        ({"partitioner_class": _raise}, ZeroDivisionError),
        ({"value_serializer": lambda value: 5}, TypeError),
        ({"value_serializer": lambda value: "text"}, TypeError),
        ({"key_serializer": lambda key: ["a list"]}, TypeError),
        ({"partitioner_class": lambda *args: "0"}, TypeError),
        ({"partitioner_class": lambda *args: None}, TypeError),
        ({"partitioner_class": lambda *args: True}, TypeError),
        ({"partitioner_class": lambda *args: -1}, ValueError),
        ({"partitioner_class": lambda *args: 99}, ValueError),
    ],
)
def test_a_step_before_the_append_that_fails_leaves_nothing_behind(
    config: dict[str, Any], error: type[Exception]
) -> None:
    with stage(partitions=3) as on, on.producer(**config) as producer:
        heard: list[object] = []
        for call in (producer.send, producer.produce):
            with pytest.raises(error) as caught:
                call(TOPIC, b"value", b"key", on_delivery=lambda m, e: heard.append(e))
            cause = caught.value.__cause__
            assert error is not SerializationError or isinstance(cause, ZeroDivisionError)
        producer.flush(10)
        assert heard == []
        assert producer.metrics()["producer-metrics"]["record-send-total"] == 0
        assert _memory_is_back(producer)
        assert on.brokers[0].received(PRODUCE) == []


# --- errors of our own ----------------------------------------------------------------------------------------


def _assert_over(producer: KafkaProducer, futures: list[RecordFuture], planted: str) -> None:
    for future in futures:
        error = _outcome(future)
        assert error is not None
        assert error.persisted in {"maybe", "no"}
        assert planted in str(error)
    first = futures[0].exception(0)
    assert first is not None
    assert first.persisted == "maybe"
    for call in (
        lambda: producer.send(TOPIC, b"later", partition=0),
        lambda: producer.send("another-topic", b"later"),
        lambda: producer.send_many(TOPIC, [b"later"]),
        lambda: producer.partitions_for(TOPIC),
    ):
        with pytest.raises(KafkaError, match=planted):
            call()
    producer.flush(5)
    began = time.monotonic()
    producer.close(5)
    assert time.monotonic() - began < 3
    assert _own_threads() == []


@pytest.mark.row("F45")
@pytest.mark.parametrize("victim", ["_on_conn_closed", "_check_deadlines", "_take_resolutions"])
def test_an_error_of_the_control_thread_fails_all_with_its_cause(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, victim: str
) -> None:
    armed = threading.Event()
    original = getattr(Sender, victim)

    def fail(self: Sender, *args: Any) -> object:
        if armed.is_set():
            raise ZeroDivisionError("planted")
        return original(self, *args)

    monkeypatch.setattr(Sender, victim, fail)
    with stage() as on, on.producer() as producer, caplog.at_level(logging.ERROR):
        producer.send(TOPIC, b"0", partition=0).result(10)
        on.brokers[0].on(PRODUCE, lambda request: Silent())
        futures = [producer.send(TOPIC, b"%d" % n, partition=0) for n in range(10)]
        on.brokers[0].wait_for(PRODUCE, 2)
        armed.set()
        on.brokers[0].close_connections()
        _assert_over(producer, futures, "planted")
    assert "Traceback" in caplog.text


@pytest.mark.row("F45")
def test_an_error_of_the_control_thread_wakes_those_who_wait_for_a_topic(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(self: Sender, answer: object, now: float) -> None:
        raise ZeroDivisionError("planted")

    monkeypatch.setattr(Sender, "_on_metadata", fail)
    with stage() as on, on.producer(max_block_ms=30_000) as producer:
        for call in (lambda: producer.send(TOPIC, b"v"), lambda: producer.partitions_for(TOPIC)):
            began = time.monotonic()
            with pytest.raises(KafkaError, match="planted"):
                call()
            assert time.monotonic() - began < 5
        assert on.brokers[0].received(METADATA)


@pytest.mark.row("F45")
def test_an_error_of_the_delivery_thread_fails_all_with_its_cause(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    armed = threading.Event()

    def fail(pump: Any) -> bool:
        goes_on = deliver(pump)
        if armed.is_set():
            armed.clear()  # an error that comes back each time ends the thread
            raise ZeroDivisionError("planted")
        return goes_on

    monkeypatch.setattr(runtime_module, "deliver", fail)
    with stage() as on, on.producer() as producer, caplog.at_level(logging.ERROR):
        heard: list[object] = []
        producer.send(TOPIC, b"0", partition=0, on_delivery=lambda m, e: heard.append(e)).result(10)
        on.brokers[0].push(PRODUCE, answered(87))
        on.brokers[0].on(PRODUCE, lambda request: Silent())
        armed.set()
        producer.produce(TOPIC, b"1", partition=0, on_delivery=lambda m, e: heard.append(e))
        wait_until(lambda: "delivery of callbacks failed" in caplog.text, "the error was met")
        with pytest.raises(KafkaError, match="planted"):
            producer.send(TOPIC, b"2", partition=0)
        began = time.monotonic()
        producer.close(5)
        assert time.monotonic() - began < 5
        assert len(heard) == 2


@pytest.mark.row("F45")
def test_a_fatal_error_of_the_pump_is_the_cause_that_later_calls_raise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    armed = threading.Event()
    take_events = Sender._take_events

    def tell(self: Sender, now: float) -> None:
        take_events(self, now)
        if armed.is_set():
            armed.clear()
            self._on_event[PumpFatal](PumpFatal("planted"), now)

    monkeypatch.setattr(Sender, "_take_events", tell)
    with stage() as on, on.producer() as producer:
        producer.send(TOPIC, b"0", partition=0).result(10)
        on.brokers[0].on(PRODUCE, lambda request: Silent())
        futures = [producer.send(TOPIC, b"%d" % n, partition=0) for n in range(10)]
        on.brokers[0].wait_for(PRODUCE, 2)
        armed.set()
        producer._runtime._mailbox.wake()
        _assert_over(producer, futures, "planted")
