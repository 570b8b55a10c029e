"""on_delivery: once for each record, in order, on the delivery thread, whatever it does."""

from __future__ import annotations

import gc
import logging
import threading
import time
import weakref

import pytest

from kproducer import (
    IllegalStateError,
    KafkaError,
    KafkaProducer,
    KafkaTimeoutError,
    ProducerClosedError,
    RecordMetadata,
)
from kproducer.errors import InvalidRecordError
from tests.fakes.scripted_broker import ScriptedBroker
from tests.unit.core.world import MakeProducer, failing, gated, silence, values_of, wait_until

Heard = list[tuple[RecordMetadata | None, KafkaError | None]]


@pytest.mark.parametrize("call", ["send", "produce"])
def test_exactly_one_of_metadata_and_error_is_given(
    broker: ScriptedBroker, producer: KafkaProducer, call: str
) -> None:
    heard: Heard = []
    for index in range(3):
        getattr(producer, call)(
            "t", b"v", b"key", partition=1, timestamp_ms=index, on_delivery=_noting(heard)
        )
    producer.flush(10)
    assert heard == [(RecordMetadata("t", 1, n, n, 0, 3, 1), None) for n in range(3)]

    with failing(broker):
        getattr(producer, call)("t", b"v", on_delivery=_noting(heard))
        producer.flush(10)
    metadata, error = heard[-1]
    assert metadata is None
    assert isinstance(error, InvalidRecordError)


def _noting(heard: Heard) -> object:
    return lambda metadata, error: heard.append((metadata, error))


def test_callbacks_of_a_partition_run_in_the_order_of_the_calls(
    broker: ScriptedBroker, make: MakeProducer
) -> None:
    producer = make(broker, batch_size=500)
    order: dict[int, list[int]] = {0: [], 1: [], 2: []}
    offsets: dict[int, list[int]] = {0: [], 1: [], 2: []}

    def note(n: int, partition: int) -> object:
        def callback(metadata: RecordMetadata | None, error: KafkaError | None) -> None:
            assert metadata is not None
            order[partition].append(n)
            offsets[partition].append(metadata.offset)

        return callback

    for n in range(3000):
        producer.produce("t", b"%d" % n, partition=n % 3, on_delivery=note(n, n % 3))  # type: ignore[arg-type]
    producer.flush(10)
    for partition in range(3):
        assert order[partition] == list(range(partition, 3000, 3))
        assert offsets[partition] == list(range(1000))


def test_flush_waits_for_the_callbacks(broker: ScriptedBroker, producer: KafkaProducer) -> None:
    heard: list[object] = []

    def slow(metadata: object, error: object) -> None:
        time.sleep(0.05)
        heard.append(metadata)

    for _ in range(4):
        producer.produce("one", b"v", on_delivery=slow)
    producer.flush(10)
    assert len(heard) == 4


@pytest.mark.row("F42")
def test_a_blocked_callback_delays_callbacks_only(broker: ScriptedBroker, producer: KafkaProducer) -> None:
    entered, leave = threading.Event(), threading.Event()

    def block(metadata: object, error: object) -> None:
        entered.set()
        leave.wait(20)

    producer.produce("one", b"blocks", on_delivery=block)
    assert entered.wait(10)
    assert [producer.send("t", b"v", partition=0).result(10).offset for _ in range(20)] == list(range(20))
    with pytest.raises(KafkaTimeoutError, match="flush"):
        producer.flush(0.1)
    leave.set()
    producer.flush(10)


@pytest.mark.row("F42")
@pytest.mark.parametrize("error", [LookupError("oops"), KeyboardInterrupt(), SystemExit(3), GeneratorExit()])
def test_what_a_callback_raises_is_logged_and_the_others_run(
    broker: ScriptedBroker, producer: KafkaProducer, caplog: pytest.LogCaptureFixture, error: BaseException
) -> None:
    heard: Heard = []

    def fail(metadata: object, _: object) -> None:
        raise error

    with gated(broker):
        for callback in (fail, _noting(heard), fail, _noting(heard)):
            producer.produce("one", b"v", on_delivery=callback)  # type: ignore[arg-type]
    producer.flush(10)
    assert len(heard) == 2
    logged = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert [record.exc_info[1] for record in logged if record.exc_info] == [error, error]
    assert "one-0" in logged[0].message
    assert producer.send("one", b"v").result(10).offset == 4


@pytest.mark.row("F42")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_even_a_log_filter_that_raises_does_not_stop_the_callbacks(
    broker: ScriptedBroker, producer: KafkaProducer
) -> None:
    heard: Heard = []

    def refuse(record: logging.LogRecord) -> bool:
        raise LookupError("filter")

    def fail(metadata: object, error: object) -> None:
        raise ValueError

    logger = logging.getLogger("kproducer.delivery")
    logger.addFilter(refuse)
    try:
        with gated(broker):
            for callback in (fail, _noting(heard)):
                producer.produce("one", b"v", on_delivery=callback)  # type: ignore[arg-type]
        producer.flush(10)
    finally:
        logger.removeFilter(refuse)
    assert len(heard) == 1


@pytest.mark.row("F42")
def test_a_callback_may_send_to_any_topic(broker: ScriptedBroker, producer: KafkaProducer) -> None:
    problems: list[BaseException] = []

    def resend(metadata: RecordMetadata | None, error: KafkaError | None) -> None:
        try:
            producer.produce("t", b"known", partition=0)
            producer.send("dead-letters", b"new topic")
        except KafkaError as problem:
            problems.append(problem)

    broker.cluster.create_topic("dead-letters", [1])
    producer.send("t", b"v", partition=1).result(10)
    producer.produce("one", b"v", on_delivery=resend)
    producer.flush(10)
    producer.flush(10)
    assert not problems
    assert values_of(broker, "dead-letters") == [b"new topic"]
    assert values_of(broker, "t", 0) == [b"known"]


@pytest.mark.row("F42")
def test_flush_and_close_in_a_callback_raise_and_change_nothing(
    broker: ScriptedBroker, producer: KafkaProducer
) -> None:
    problems: list[BaseException] = []

    def misbehave(metadata: object, error: object) -> None:
        for call in (producer.flush, producer.close):
            try:
                call()
            except IllegalStateError as problem:
                problems.append(problem)

    producer.produce("one", b"v", on_delivery=misbehave)
    producer.flush(10)
    assert [type(problem) for problem in problems] == [IllegalStateError] * 2
    assert producer.send("one", b"v").result(10).offset == 1


@pytest.mark.row("F42")
def test_a_callback_may_ask_other_futures_and_metrics(
    broker: ScriptedBroker, producer: KafkaProducer
) -> None:
    found: list[object] = []

    def ask(metadata: object, error: object) -> None:
        found.append(producer.send("t", b"inner", partition=0).result(10).offset)
        found.append(len(producer.partitions_for("t")))
        found.append(producer.metrics()["producer-metrics"]["record-send-total"] >= 1)

    producer.produce("one", b"v", on_delivery=ask)
    producer.flush(10)
    assert found == [0, 3, True]


@pytest.mark.row("F39")
def test_close_runs_the_callbacks_of_what_it_gives_up(broker: ScriptedBroker, make: MakeProducer) -> None:
    silence(broker)
    producer = make(broker)
    heard: Heard = []
    for _ in range(3):
        producer.produce("one", b"v", on_delivery=_noting(heard))  # type: ignore[arg-type]
    producer.close(0.1)
    assert [type(error) for _, error in heard] == [ProducerClosedError] * 3


def test_a_callback_is_forgotten_once_it_has_run(broker: ScriptedBroker, producer: KafkaProducer) -> None:
    class Callback:
        def __call__(self, metadata: object, error: object) -> None: ...

    callback = Callback()
    gone = weakref.ref(callback)
    producer.produce("one", b"v", on_delivery=callback)
    producer.flush(10)
    producer.produce("one", b"v", on_delivery=lambda m, e: None)  # the last one may be remembered as checked
    producer.flush(10)
    del callback
    gc.collect()
    assert gone() is None


def test_a_refused_record_keeps_no_callback(broker: ScriptedBroker, producer: KafkaProducer) -> None:
    class Callback:
        def __call__(self, metadata: object, error: object) -> None: ...

    callback = Callback()
    gone = weakref.ref(callback)
    with pytest.raises(ValueError, match=r"max\.request\.size"):
        producer.produce("one", bytes(2_000_000), on_delivery=callback)
    producer.produce("one", b"v", on_delivery=lambda m, e: None)
    del callback
    gc.collect()
    assert gone() is None
    producer.flush(10)


def test_callbacks_of_many_threads_all_run(broker: ScriptedBroker, producer: KafkaProducer) -> None:
    heard: list[int] = []

    def send(thread: int) -> None:
        for _ in range(500):
            producer.send("t", b"v", on_delivery=lambda m, e: heard.append(thread)).add_done_callback(
                lambda f: heard.append(thread)
            )

    threads = [threading.Thread(target=send, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    producer.flush(10)
    wait_until(lambda: len(heard) == 8000, "all callbacks have run")
