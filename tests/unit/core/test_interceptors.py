"""Interceptors in a producer: what they change arrives, what they hear, and that they cost nothing when absent."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from typing import Any

import pytest

from kproducer import (
    ConfigError,
    Headers,
    IllegalStateError,
    Interceptor,
    KafkaError,
    KafkaProducer,
    KafkaTimeoutError,
    ProducerClosedError,
    ProducerRecord,
    RecordDroppedError,
    RecordMetadata,
    RecordTooLargeError,
    SerializationError,
    TransactionAbortableError,
    UnobservedDeliveryError,
    parse_config,
)
from kproducer._core.accumulator import RecordAppender
from kproducer.engine.runtime import make_pump
from kproducer.interceptors import InterceptorChain
from kproducer.tracing import TraceContext, TraceContextInterceptor, extract
from tests.fakes.scripted_broker import ScriptedBroker
from tests.unit.core.world import (
    MakeProducer,
    failing,
    gated,
    interrupted,
    records_of,
    values_of,
    wait_until,
)


class Recorder(Interceptor):
    """Changes records with a function and notes what it hears, and where."""

    def __init__(self, change: Callable[[ProducerRecord], ProducerRecord] = lambda record: record) -> None:
        self.change = change
        self.sent: list[ProducerRecord] = []
        self.heard: list[tuple[RecordMetadata, Exception | None, Headers]] = []
        self.threads: list[str] = []
        self.closed = 0

    def on_send(self, record: ProducerRecord) -> ProducerRecord:
        self.sent.append(record)
        return self.change(record)

    def on_acknowledgement(self, metadata: RecordMetadata, error: Exception | None, headers: Headers) -> None:
        self.threads.append(threading.current_thread().name.rpartition("-producer-")[0])
        self.heard.append((metadata, error, headers))

    def close(self) -> None:
        self.closed += 1


# --- what they change ---------------------------------------------------------------------------------------


def test_interceptors_may_change_all_of_a_record_before_it_is_serialized(
    broker: ScriptedBroker, make: MakeProducer
) -> None:
    recorder = Recorder(
        lambda record: ProducerRecord("t", record.value + "!", "key", [("h", b"1")], 2, 1234)  # type: ignore[operator]
    )
    producer = make(
        broker,
        interceptor_classes=[recorder],
        key_serializer=lambda key: key.encode(),
        value_serializer=lambda value: value.encode(),
    )
    metadata = producer.send("one", "text").result(10)
    (record,) = records_of(broker, "t", 2)
    assert (record.value, record.key, record.headers, record.timestamp) == (
        b"text!",
        b"key",
        (("h", b"1"),),
        1234,
    )
    assert metadata == RecordMetadata("t", 2, 0, 1234, 0, 3, 5)
    assert recorder.sent == [ProducerRecord("one", "text", None, (), None, None)]
    assert records_of(broker, "one") == []


def test_the_partitioner_sees_what_interceptors_and_serializers_made(
    broker: ScriptedBroker, make: MakeProducer
) -> None:
    seen: list[object] = []

    def partitioner(topic: str, key: bytes | None, value: bytes | None, count: int) -> int:
        seen.append((topic, key, value, count))
        return 1

    recorder = Recorder(lambda record: record._replace(topic="t", key="k"))
    producer = make(
        broker, interceptor_classes=[recorder], key_serializer=str.encode, partitioner_class=partitioner
    )
    assert producer.send("one", b"v").result(10).partition == 1
    assert seen == [("t", b"k", b"v", 3)]


@pytest.mark.parametrize("call", ["send", "produce", "send_many", "send_lines"])
def test_every_way_of_sending_is_intercepted(broker: ScriptedBroker, make: MakeProducer, call: str) -> None:
    recorder = Recorder(lambda record: record._replace(value=record.value.upper()))  # type: ignore[attr-defined]
    producer = make(broker, interceptor_classes=[recorder])
    given: Any = {"send_many": [b"a"], "send_lines": b"a\n"}.get(call, b"a")
    getattr(producer, call)("one", given)
    producer.flush(10)
    assert values_of(broker, "one") == [b"A"]
    assert [metadata.offset for metadata, _, _ in recorder.heard] == [0]


def test_an_interceptor_that_raises_stops_no_record(broker: ScriptedBroker, make: MakeProducer) -> None:
    class Failing(Recorder):
        def on_acknowledgement(
            self, metadata: RecordMetadata, error: Exception | None, headers: Headers
        ) -> None:
            raise ZeroDivisionError

    behind = Recorder(lambda record: record._replace(key=b"k"))
    producer = make(broker, interceptor_classes=[Failing(lambda record: 1 / 0), behind])  # type: ignore[arg-type, return-value]
    producer.send("one", b"v").result(10)
    producer.flush(10)
    assert [(record.value, record.key) for record in records_of(broker, "one")] == [(b"v", b"k")]
    assert len(behind.heard) == 1


def test_a_trace_goes_along(broker: ScriptedBroker, make: MakeProducer) -> None:
    context = TraceContext.begin()
    producer = make(broker, interceptor_classes=TraceContextInterceptor(lambda: context))
    producer.send("one", b"").result(10)
    assert extract(records_of(broker, "one")[0].headers) == context


# --- what they hear -----------------------------------------------------------------------------------------


def test_interceptors_hear_on_the_delivery_thread_before_the_callback(
    broker: ScriptedBroker, make: MakeProducer
) -> None:
    order: list[str] = []
    recorder = Recorder()
    producer = make(broker, interceptor_classes=[recorder])
    producer.produce(
        "one", b"v", headers={"h": b"1"}, on_delivery=lambda *outcome: order.append(str(len(recorder.heard)))
    )
    producer.flush(10)
    ((metadata, error, headers),) = recorder.heard
    assert (metadata.topic, metadata.partition, metadata.offset, metadata.serialized_value_size) == (
        "one",
        0,
        0,
        1,
    )
    assert (error, headers) == (None, (("h", b"1"),))
    assert order == ["1"]
    assert recorder.threads == ["kproducer-delivery"]


def test_a_failure_is_told_with_its_partition(broker: ScriptedBroker, make: MakeProducer) -> None:
    recorder = Recorder()
    producer = make(broker, interceptor_classes=[recorder])
    with failing(broker):
        error = producer.send("t", b"v", partition=2).exception(10)
        producer.flush(10)
    ((metadata, told, _),) = recorder.heard
    assert (metadata, type(told)) == (RecordMetadata("t", 2), type(error))


@pytest.mark.parametrize("call", ["send", "produce", "send_many"])
def test_a_failure_that_only_interceptors_heard_of_is_unobserved(
    broker: ScriptedBroker, make: MakeProducer, call: str
) -> None:
    recorder = Recorder()
    producer = make(broker, interceptor_classes=[recorder])
    with failing(broker):
        given: Any = [b"v"] if call == "send_many" else b"v"
        getattr(producer, call)("one", given)
        with pytest.raises(UnobservedDeliveryError):
            producer.flush(10)
    assert len(recorder.heard) == 1


@pytest.mark.parametrize("call", ["send", "produce"])
def test_a_failure_that_a_callback_heard_of_is_observed(
    broker: ScriptedBroker, make: MakeProducer, call: str
) -> None:
    told: list[KafkaError | None] = []
    producer = make(broker, interceptor_classes=[Recorder()])
    with failing(broker):
        getattr(producer, call)("one", b"v", on_delivery=lambda metadata, error: told.append(error))
        producer.flush(10)
    assert len(told) == 1


def test_a_future_that_was_asked_is_an_observer(broker: ScriptedBroker, make: MakeProducer) -> None:
    producer = make(broker, interceptor_classes=[Recorder()])
    with failing(broker):
        assert producer.send("one", b"v").exception(10) is not None
        producer.flush(10)


@pytest.mark.parametrize(
    ("config", "arguments", "error", "partition"),
    [
        ({}, ("one", "text"), TypeError, -1),
        ({}, ("one", b"v", b"k", 5), TypeError, -1),
        ({}, ("one", b"v", None, None, -1), ValueError, -1),
        ({}, ("t", b"v" * 2000, None, None, 1), RecordTooLargeError, 1),
        ({}, ("no topic", b"v"), KafkaError, -1),
        ({"allow_auto_create_topics": False}, ("unknown", b"v"), KafkaTimeoutError, -1),
        ({"value_serializer": lambda value: 1 / 0}, ("one", b"v"), SerializationError, -1),
    ],
    ids=["value", "headers", "partition", "too large", "topic name", "no topic", "serializer"],
)
def test_a_record_that_was_refused_is_told_once_and_raised(
    broker: ScriptedBroker,
    make: MakeProducer,
    config: dict[str, Any],
    arguments: tuple[Any, ...],
    error: type[Exception],
    partition: int,
) -> None:
    recorder = Recorder()
    producer = make(broker, interceptor_classes=[recorder], max_block_ms=200, max_request_size=1000, **config)
    with pytest.raises(error) as caught:
        producer.send(*arguments)
    producer.flush(10)
    ((metadata, told, _),) = recorder.heard
    assert metadata == RecordMetadata(arguments[0], partition)
    assert told is caught.value
    assert recorder.threads == [threading.current_thread().name.rpartition("-producer-")[0]]
    assert records_of(broker, "one") + records_of(broker, "t") == []


def test_after_close_nothing_is_intercepted(broker: ScriptedBroker, make: MakeProducer) -> None:
    recorder = Recorder()
    producer = make(broker, interceptor_classes=[recorder])
    producer.close()
    with pytest.raises(ProducerClosedError):
        producer.send("one", b"v")
    assert (recorder.sent, recorder.heard) == ([], [])


def test_a_callback_that_cannot_be_called_is_refused_before_anything_is_intercepted(
    broker: ScriptedBroker, make: MakeProducer
) -> None:
    async def coroutine(metadata: object, error: object) -> None: ...

    recorder = Recorder()
    producer = make(broker, interceptor_classes=[recorder])
    wrong: list[Any] = [5, coroutine]
    for on_delivery in wrong:
        with pytest.raises(TypeError, match="on_delivery must be"):
            producer.send("one", b"v", on_delivery=on_delivery)
    assert (recorder.sent, recorder.heard) == ([], [])


# --- where it gets difficult --------------------------------------------------------------------------------


@pytest.mark.parametrize("call", ["send", "produce", "send_many", "send_lines"])
def test_ctrl_c_in_an_interceptor_goes_out_of_the_call_and_nothing_is_sent(
    broker: ScriptedBroker, make: MakeProducer, call: str
) -> None:
    def interrupt(record: ProducerRecord) -> ProducerRecord:
        if not behind.sent:
            behind.sent.append(record)
            raise KeyboardInterrupt
        return record

    behind = Recorder()
    producer = make(broker, interceptor_classes=[Recorder(interrupt), behind])
    given: Any = {"send_many": [b"lost"], "send_lines": b"lost\n"}.get(call, b"lost")
    with pytest.raises(KeyboardInterrupt):
        getattr(producer, call)("one", given)
    producer.send("one", b"later").result(10)
    assert values_of(broker, "one") == [b"later"]


def test_ctrl_c_in_a_wait_is_told_to_interceptors_and_raised(
    broker: ScriptedBroker, make: MakeProducer
) -> None:
    recorder = Recorder()
    producer = make(broker, interceptor_classes=[recorder], allow_auto_create_topics=False)
    with interrupted(0.2), pytest.raises(KeyboardInterrupt) as caught:
        producer.send("unknown", b"v")
    ((metadata, error, _),) = recorder.heard
    assert metadata == RecordMetadata("unknown", -1)
    assert str(error) == "interrupted by KeyboardInterrupt before the record was accepted (topic unknown)"
    assert isinstance(error, KafkaError)
    assert (error.__cause__, error.persisted) == (caught.value, "no")


@pytest.mark.parametrize("end", [SystemExit, KeyboardInterrupt])
def test_an_interceptor_that_ends_its_thread_does_not_end_the_delivery_of_others(
    broker: ScriptedBroker, make: MakeProducer, end: type[BaseException]
) -> None:
    class Ending(Interceptor):
        def on_acknowledgement(
            self, metadata: RecordMetadata, error: Exception | None, headers: Headers
        ) -> None:
            raise end

    told: list[object] = []
    producer = make(broker, interceptor_classes=[Ending()])
    for _ in range(3):
        producer.produce("one", b"v", on_delivery=lambda metadata, error: told.append(error))
    producer.flush(10)
    assert told == [None] * 3


def test_an_interceptor_may_send_records_of_its_own(broker: ScriptedBroker, make: MakeProducer) -> None:
    class Auditing(Recorder):
        def on_send(self, record: ProducerRecord) -> ProducerRecord:
            if record.topic != "one":
                producer.produce("one", b"audit of " + record.value)  # type: ignore[operator]
            return super().on_send(record)

    recorder = Auditing()
    producer = make(broker, interceptor_classes=[recorder])
    producer.send("t", b"v", partition=0).result(10)
    producer.flush(10)
    assert (values_of(broker, "t", 0), values_of(broker, "one")) == ([b"v"], [b"audit of v"])
    assert len(recorder.heard) == 2


def test_an_interceptor_that_sends_on_every_record_ends_in_no_crash(
    broker: ScriptedBroker, make: MakeProducer, caplog: pytest.LogCaptureFixture
) -> None:
    class Endless(Interceptor):
        def on_send(self, record: ProducerRecord) -> ProducerRecord:
            if is_endless:
                producer.produce("one", b"again")
            return record

    is_endless = True
    producer = make(broker, interceptor_classes=[Endless()])
    try:
        producer.produce("one", b"first")
    except RecursionError:
        pass  # or it was told to the interceptor, and logged
    is_endless = False
    caplog.clear()
    assert producer.send("one", b"last").result(10).topic == "one"
    producer.flush(10)
    assert values_of(broker, "one")[-1] == b"last"


def test_many_threads_pass_the_interceptors_at_once(broker: ScriptedBroker, make: MakeProducer) -> None:
    recorder = Recorder(lambda record: record._replace(headers=(("n", record.value),)))  # type: ignore[arg-type]
    producer = make(broker, interceptor_classes=[recorder])

    def send_all(thread: int) -> None:
        for n in range(200):
            producer.produce("t", b"%d-%d" % (thread, n), partition=thread % 3)

    threads = [threading.Thread(target=send_all, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    producer.flush(20)
    sent = [record for p in range(3) for record in records_of(broker, "t", p)]
    assert len(sent) == len(recorder.heard) == 800
    assert all(record.headers == (("n", record.value),) for record in sent)
    assert len({headers for _, _, headers in recorder.heard}) == 800


def test_a_record_that_made_room_is_told_as_dropped(broker: ScriptedBroker, make: MakeProducer) -> None:
    recorder = Recorder()
    producer = make(
        broker,
        interceptor_classes=[recorder],
        buffer_full_policy="drop-oldest",
        buffer_memory=64 * 1024,
        batch_size=16 * 1024,
        max_request_size=16 * 1024,
    )
    producer.partitions_for("one")
    with gated(broker):
        for _ in range(40):
            producer.produce("one", bytes(4000))
    with pytest.raises(UnobservedDeliveryError) as caught:
        producer.flush(20)
    errors = [type(error) for _, error, _ in recorder.heard]
    assert errors.count(RecordDroppedError) == caught.value.count > 0
    assert len(errors) == 40


def test_a_record_that_dooms_the_transaction_is_told_and_later_ones_are_not_seen() -> None:
    config = parse_config({}, {"bootstrap_servers": "127.0.0.1:1", "transactional_id": "tx"})
    pump, recorder, appender = make_pump(config, "intercepted"), Recorder(), RecordAppender()
    appender._set_up(
        pump, 10, None, lambda topic: None, lambda: "full", interceptors=InterceptorChain([recorder])
    )
    with pytest.raises(IllegalStateError, match="no transaction is open"):
        appender.produce("t", b"too early")
    pump.txn_begin(1, True)
    with pytest.raises(KafkaTimeoutError):
        appender.produce("t", b"no metadata")
    with pytest.raises(TransactionAbortableError):
        appender.produce("t", b"too late")
    assert [record.value for record in recorder.sent] == [b"no metadata"]
    assert [type(error) for _, error, _ in recorder.heard] == [KafkaTimeoutError]


# --- life ---------------------------------------------------------------------------------------------------


def test_interceptors_are_closed_once_after_the_last_outcome(
    broker: ScriptedBroker, make: MakeProducer
) -> None:
    class Last(Recorder):
        def close(self) -> None:
            super().close()
            heard_at_close.append(len(self.heard))

    heard_at_close: list[int] = []
    recorder = Last()
    producer = make(broker, interceptor_classes=[recorder])
    for _ in range(100):
        producer.produce("one", b"v")
    producer.close()
    producer.close()
    assert (recorder.closed, heard_at_close) == (1, [100])


def test_records_given_up_at_close_are_told_before_interceptors_are_closed(
    broker: ScriptedBroker, make: MakeProducer
) -> None:
    recorder = Recorder()
    producer = make(broker, interceptor_classes=[recorder])
    with gated(broker):
        producer.send("one", b"v", on_delivery=lambda metadata, error: None)
        with pytest.raises(KafkaTimeoutError):
            producer.flush(0.05)
        try:
            producer.close(0)
        except KafkaTimeoutError:
            pass
    assert [type(error) for _, error, _ in recorder.heard] == [ProducerClosedError]
    assert recorder.closed == 1


def test_a_producer_that_was_collected_closes_its_interceptors(broker: ScriptedBroker) -> None:
    recorder = Recorder()
    producer: KafkaProducer | None = KafkaProducer(
        bootstrap_servers=str(broker.address), interceptor_classes=[recorder]
    )
    assert producer is not None
    producer.produce("one", b"v")
    producer = None
    gc.collect()
    wait_until(lambda: recorder.closed == 1, "close of the interceptor")
    assert [error for _, error, _ in recorder.heard] == [None]


def test_an_interceptor_cannot_wait_for_its_own_thread(broker: ScriptedBroker, make: MakeProducer) -> None:
    class Flushing(Interceptor):
        def on_acknowledgement(
            self, metadata: RecordMetadata, error: Exception | None, headers: Headers
        ) -> None:
            try:
                producer.flush(1)
            except IllegalStateError as refused:
                raised.append(refused)

    raised: list[IllegalStateError] = []
    producer = make(broker, interceptor_classes=[Flushing()])
    producer.produce("one", b"v")
    producer.flush(10)
    assert len(raised) == 1


def test_without_interceptors_there_is_no_delivery_thread(broker: ScriptedBroker, make: MakeProducer) -> None:
    producer = make(broker, interceptor_classes=[])
    producer.send("one", b"v").result(10)
    assert not [t for t in threading.enumerate() if t.name.startswith("kproducer-delivery-")]


# --- configuration ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("com.example.Interceptor", "Java class names are not understood"),
        ([Recorder], "has the class Recorder; allowed is an instance of it"),
        ([object()], "object has no on_send"),
    ],
)
def test_what_is_no_interceptor_is_refused_at_construction(value: object, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        KafkaProducer(bootstrap_servers="localhost:1", interceptor_classes=value)


def test_the_configuration_names_the_interceptors(broker: ScriptedBroker, make: MakeProducer) -> None:
    recorder = Recorder()
    producer = make(broker, interceptor_classes=[recorder])
    assert producer.config.interceptor_classes == (recorder,)
    assert make(broker, interceptor_classes="").config.interceptor_classes == ()
