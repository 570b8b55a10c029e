"""flush(), close(), full memory and Ctrl-C: each wait ends in time, and the producer serves on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial

import pytest

from bench.sink import Sink
from kproducer import (
    BufferExhaustedError,
    KafkaError,
    KafkaProducer,
    KafkaTimeoutError,
    ProducerClosedError,
    UnobservedDeliveryError,
)
from kproducer._core.accumulator import RecordAppender
from kproducer.config import parse_config
from kproducer.engine.runtime import make_pump
from tests.fakes.scripted_broker import ScriptedBroker
from tests.unit.core.world import (
    MakeProducer,
    counters,
    gated,
    interrupted,
    silence,
    stopped,
    values_of,
    wait_until,
)

SLOW_ANSWER_MS = 60_000
FULL = 200 * 1024


# --- flush --------------------------------------------------------------------------------------------------


def test_flush_does_not_wait_for_linger(broker: ScriptedBroker, make: MakeProducer) -> None:
    producer = make(broker, linger_ms=60_000, delivery_timeout_ms=120_000)
    producer.produce("one", b"v")
    producer.flush(10)
    assert values_of(broker, "one") == [b"v"]


def test_flush_of_nothing_returns_at_once(producer: KafkaProducer) -> None:
    began = time.monotonic()
    producer.flush(0)
    producer.flush()
    assert time.monotonic() - began < 1


@pytest.mark.parametrize("timeout", [0, 0.05])
def test_flush_raises_when_its_time_is_over_and_the_records_go_on(
    broker: ScriptedBroker, producer: KafkaProducer, timeout: float
) -> None:
    with gated(broker):
        producer.produce("one", b"v")
        began = time.monotonic()
        with pytest.raises(KafkaTimeoutError, match=f"flush: .* within {timeout} s") as caught:
            producer.flush(timeout)
        assert time.monotonic() - began < 2
        assert caught.value.persisted == "maybe"
    producer.flush(10)
    assert values_of(broker, "one") == [b"v"]


def test_flush_takes_infinity_for_ever(broker: ScriptedBroker, producer: KafkaProducer) -> None:
    producer.produce("one", b"v")
    producer.flush(float("inf"))
    assert values_of(broker, "one") == [b"v"]


def test_flushes_of_many_threads_all_return(broker: ScriptedBroker, producer: KafkaProducer) -> None:
    done: list[int] = []

    def work(number: int) -> None:
        for n in range(100):
            producer.produce("t", b"v", partition=n % 3)
            producer.flush(20)
        done.append(number)

    _run_threads([partial(work, n) for n in range(8)])
    assert len(done) == 8
    assert len(values_of(broker)) == 800


def _run_threads(targets: list[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=target) for target in targets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()


# --- close --------------------------------------------------------------------------------------------------


@pytest.mark.row("F39")
def test_close_delivers_what_was_accepted(broker: ScriptedBroker, make: MakeProducer) -> None:
    producer = make(broker, linger_ms=10_000)
    for _ in range(1000):
        producer.produce("one", b"v")
    producer.close()
    assert len(values_of(broker, "one")) == 1000
    assert "closed" in repr(producer)


@pytest.mark.row("F39")
def test_the_end_of_with_closes(broker: ScriptedBroker, make: MakeProducer) -> None:
    with make(broker) as producer:
        producer.produce("one", b"v")
    assert values_of(broker, "one") == [b"v"]
    with pytest.raises(ProducerClosedError):
        producer.produce("one", b"v")


@pytest.mark.row("F39")
def test_a_second_close_does_nothing_and_later_calls_say_closed(
    broker: ScriptedBroker, make: MakeProducer
) -> None:
    producer = make(broker)
    producer.send("one", b"v").result(10)
    producer.close()
    producer.close()
    producer.close(0)
    with producer:
        pass
    for call in (
        lambda: producer.send("one", b"v"),
        lambda: producer.produce("one", b"v"),
        lambda: producer.send_many("one", [b"v"]),
        lambda: producer.send("never-seen", b"v"),
        lambda: producer.partitions_for("one"),
    ):
        with pytest.raises(ProducerClosedError, match="closed"):
            call()
    producer.flush(1)
    assert producer.metrics()["producer-metrics"]["record-send-total"] == 1


@pytest.mark.row("F39")
def test_close_gives_up_what_is_not_delivered_in_time(broker: ScriptedBroker, make: MakeProducer) -> None:
    silence(broker)
    producer = make(broker)
    future = producer.send("one", b"asked")
    producer.produce("t", b"nobody asks")
    began = time.monotonic()
    with pytest.raises(UnobservedDeliveryError) as caught:
        producer.close(0.2)
    assert 0.15 < time.monotonic() - began < 3
    assert (caught.value.count, list(caught.value.by_partition.values())) == (1, [1])
    assert isinstance(caught.value.first_error, ProducerClosedError)
    with pytest.raises(ProducerClosedError, match="before the record was acknowledged") as failed:
        future.result(0)
    error: KafkaError = failed.value
    assert error.persisted == "maybe"


@pytest.mark.row("F39")
def test_close_without_time_and_without_a_broker(make: MakeProducer) -> None:
    with ScriptedBroker() as broker:
        broker.cluster.create_topic("one", [1])
    producer = make(broker, max_block_ms=100)
    with pytest.raises(KafkaTimeoutError, match=r"refused|bootstrap"):
        producer.send("one", b"v")
    began = time.monotonic()
    producer.close(0)
    assert time.monotonic() - began < 3


@pytest.mark.row("F39")
def test_close_during_sends_of_other_threads_loses_nothing_that_was_accepted(
    broker: ScriptedBroker, make: MakeProducer
) -> None:
    producer = make(broker, batch_size=1000)
    accepted = [0] * 4
    started = threading.Barrier(5)

    def send_for_ever(number: int) -> None:
        while True:
            producer.produce("t", b"%d" % number)
            accepted[number] += 1

    def send(number: int) -> None:
        started.wait(10)
        with pytest.raises(ProducerClosedError):
            send_for_ever(number)

    def close() -> None:
        started.wait(10)
        time.sleep(0.05)
        producer.close()

    _run_threads([*(partial(send, n) for n in range(4)), close])
    values = values_of(broker)
    assert [values.count(b"%d" % number) for number in range(4)] == accepted
    assert sum(accepted) > 0


@pytest.mark.row("F39")
def test_close_wakes_those_who_wait_for_a_topic_or_for_memory(
    broker: ScriptedBroker, make: MakeProducer
) -> None:
    silence(broker)
    producer = make(broker, buffer_memory=FULL)
    problems: list[BaseException] = []

    def try_to(send: Callable[[], object]) -> None:
        try:
            send()
        except ProducerClosedError as problem:
            problems.append(problem)

    def fill() -> None:
        while True:
            producer.produce("one", bytes(1000))

    threads = [
        threading.Thread(target=try_to, args=(fill,)),
        threading.Thread(target=try_to, args=(lambda: producer.send("nowhere", b""),)),
    ]
    for thread in threads:
        thread.start()
    wait_until(lambda: counters(producer)["buffer_available_bytes"] < 16384, "the memory is used up")
    with pytest.raises(UnobservedDeliveryError):
        producer.close(0)
    for thread in threads:
        thread.join(5)
    assert [type(problem) for problem in problems] == [ProducerClosedError] * 2


# --- memory -------------------------------------------------------------------------------------------------


@pytest.mark.row("F37")
def test_full_memory_raises_after_max_block_ms_and_comes_back(make: MakeProducer) -> None:
    with Sink(delay_ms=SLOW_ANSWER_MS) as sink:
        producer = make(
            sink, buffer_memory=FULL, max_block_ms=300, delivery_timeout_ms=1500, request_timeout_ms=1000
        )
        accepted, began = _fill(producer)
        assert 0.25 < time.monotonic() - began < 2
        assert 100 <= accepted <= FULL // 1000
        sink.set_delay_ms(0)
        producer.flush(10)  # the requests time out, their batches go again
        found = counters(producer)
        assert found["buffer_available_bytes"] == found["buffer_total_bytes"] == FULL
        assert producer.metrics()["producer-metrics"]["buffer-exhausted-total"] >= 1
        assert producer.send("bench", b"v").result(10).has_offset


def _fill(producer: KafkaProducer) -> tuple[int, float]:
    """Send until the memory is full; return how many records were accepted, and when the last call began."""
    accepted = 0
    began = time.monotonic()

    def fill() -> None:
        nonlocal accepted, began
        while True:
            began = time.monotonic()
            producer.produce("bench", bytes(1000))
            accepted += 1

    with pytest.raises(BufferExhaustedError, match=r"max\.block\.ms=300; buffer\.memory=204800\. ") as caught:
        fill()
    assert caught.value.persisted == "no"
    assert caught.value.retriable
    return accepted, began


@pytest.mark.row("F37")
def test_a_stopped_broker_fills_the_memory_and_a_running_one_frees_it(sink: Sink, make: MakeProducer) -> None:
    producer = make(sink, buffer_memory=FULL, max_block_ms=300)
    producer.send("bench", b"warm").result(10)
    with stopped(sink.pid):
        accepted, _ = _fill(producer)
    producer.flush(10)
    assert sink.stats().records == accepted + 1
    assert counters(producer)["buffer_available_bytes"] == FULL


@pytest.mark.row("F37")
def test_many_threads_share_a_memory_that_is_far_too_small(sink: Sink, make: MakeProducer) -> None:
    producer = make(sink, buffer_memory=FULL, batch_size=4096)

    def send() -> None:
        for _ in range(5000):
            producer.produce("bench", bytes(200))

    _run_threads([send] * 8)
    producer.flush(20)
    assert sink.stats().records == 40_000
    assert counters(producer)["buffer_available_bytes"] == FULL


# --- Ctrl-C -------------------------------------------------------------------------------------------------


def _interrupt(call: Callable[[], object]) -> None:
    with interrupted(0.3) as sent, pytest.raises(KeyboardInterrupt):
        call()
    assert time.monotonic() - sent[0] < 0.2


@pytest.mark.row("F44")
def test_ctrl_c_ends_a_send_that_waits_for_memory(broker: ScriptedBroker, make: MakeProducer) -> None:
    producer = make(broker, buffer_memory=FULL)
    with gated(broker):

        def fill() -> None:
            while True:
                producer.produce("one", bytes(1000))

        _interrupt(fill)
        assert counters(producer)["buffer_available_bytes"] < 16384
    producer.flush(10)
    count = len(values_of(broker, "one"))
    assert counters(producer)["buffer_available_bytes"] == FULL
    assert producer.send("one", b"v").result(10).offset == count


@pytest.mark.row("F44")
def test_ctrl_c_ends_a_send_that_waits_for_a_topic(broker: ScriptedBroker, producer: KafkaProducer) -> None:
    _interrupt(lambda: producer.send("nowhere", b""))
    _interrupt(lambda: producer.partitions_for("nowhere"))
    assert producer.send("one", b"v").result(10).offset == 0


@pytest.mark.row("F44")
@pytest.mark.parametrize("call", ["flush", "result", "exception", "wait", "callbacks"])
def test_ctrl_c_ends_a_wait_for_outcomes(broker: ScriptedBroker, producer: KafkaProducer, call: str) -> None:
    leave = threading.Event()
    if call == "callbacks":
        producer.send("one", b"w", on_delivery=lambda m, e: leave.wait(10)).result(10)
        _interrupt(producer.flush)
        leave.set()
    else:
        with gated(broker):
            future, many = producer.send("one", b"v"), producer.send_many("one", [b"w"])
            _interrupt({"flush": producer.flush, "result": future.result, "exception": future.exception,
                        "wait": many.wait}[call])  # fmt: skip
        assert future.result(10).offset == 0
    producer.flush(10)
    assert producer.send("one", b"v").result(10).has_offset


@pytest.mark.row("F44")
def test_ctrl_c_in_close_still_ends_the_threads(broker: ScriptedBroker, make: MakeProducer) -> None:
    silence(broker)
    producer = make(broker)
    future = producer.send("one", b"v")
    with interrupted(0.3), pytest.raises(KeyboardInterrupt):
        producer.close()
    with pytest.raises(ProducerClosedError):
        future.result(0)
    producer.close()


def test_a_record_that_waited_for_memory_while_its_partition_vanished_is_refused() -> None:
    config = parse_config(
        {},
        {
            "bootstrap_servers": "localhost:1",
            "max_block_ms": 1_000,
            "buffer_memory": 65_536,
            "linger_ms": 100,
        },
    )
    pump = make_pump(config, "waiter")
    appender = RecordAppender()
    appender._set_up(pump, config.max_block_ms, None, lambda topic: None, lambda: "full")
    pump.start()
    try:
        pump.topic("t", b"\1" * 16, [(1, 1)] * 6)
        for _ in range(4):
            appender.produce("t", bytes(15_000), partition=0)
        refusals: list[KafkaError] = []

        def wait_in_vain() -> None:
            try:
                appender.produce("t", bytes(15_000), partition=5)
            except KafkaError as error:
                refusals.append(error)

        waiter = threading.Thread(target=wait_in_vain)
        waiter.start()
        time.sleep(0.2)
        pump.topic("t", b"\2" * 16, [(1, 1)] * 3)  # another topic of this name, with fewer partitions
        pump.fail_partition("t", 0, 3, "to free memory")
        waiter.join(10)
        assert [type(error) for error in refusals] == [KafkaTimeoutError]
    finally:
        pump.stop()
        pump.join(5_000)
