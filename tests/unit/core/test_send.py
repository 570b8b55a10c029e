"""send() and produce(): what arrives, and what is refused at the call, leaving nothing behind."""

from __future__ import annotations

import array
import enum
import time
from collections.abc import Callable
from typing import Any

import pytest

from kproducer import (
    Header,
    InvalidTopicError,
    KafkaProducer,
    KafkaTimeoutError,
    ProducerClosedError,
    ProducerRecord,
    RecordMetadata,
    RecordTooLargeError,
    SerializationError,
)
from kproducer._core.hashing import murmur2_partition
from tests.fakes.scripted_broker import ScriptedBroker
from tests.unit.core.world import MakeProducer, batches_of, records_of, values_of
from tests.wire.decoder import decode_batch

LONGEST_TOPIC = "t" * 249


# --- what arrives -------------------------------------------------------------------------------------------


def test_a_record_arrives_with_all_its_parts(broker: ScriptedBroker, producer: KafkaProducer) -> None:
    headers = [("h", b"1"), ("h", None), ("", b""), ("ключ", b"\x00")]

    metadata = producer.send("t", b"value", b"key", headers, partition=2, timestamp_ms=1234).result(10)

    assert metadata == RecordMetadata("t", 2, 0, 1234, 0, 3, 5)
    (record,) = records_of(broker, "t", 2)
    assert (record.value, record.key, record.timestamp) == (b"value", b"key", 1234)
    assert list(record.headers) == headers


def test_produce_takes_the_same_and_returns_nothing(broker: ScriptedBroker, producer: KafkaProducer) -> None:
    assert producer.produce("t", b"v", b"k", [("h", b"x")], 1, 99) is None  # type: ignore[func-returns-value]
    producer.flush(10)
    (record,) = records_of(broker, "t", 1)
    assert (record.value, record.key, record.timestamp, record.headers) == (b"v", b"k", 99, (("h", b"x"),))


@pytest.mark.parametrize("call", ["send", "produce"])
def test_a_producer_record_stands_for_the_arguments(
    broker: ScriptedBroker, producer: KafkaProducer, call: str
) -> None:
    record = ProducerRecord("t", b"v", b"k", [Header("h", None)], 1, 5)
    getattr(producer, call)(record)
    producer.flush(10)
    (got,) = records_of(broker, "t", 1)
    assert (got.value, got.key, got.headers, got.timestamp) == (b"v", b"k", (("h", None),), 5)


def test_null_and_empty_are_kept_apart(broker: ScriptedBroker, producer: KafkaProducer) -> None:
    sizes = []
    for value, key in [(None, None), (b"", b""), (None, b""), (b"", None)]:
        metadata = producer.send("one", value, key).result(10)
        sizes.append((metadata.serialized_value_size, metadata.serialized_key_size))
    assert [(r.value, r.key) for r in records_of(broker, "one")] == [
        (None, None), (b"", b""), (None, b""), (b"", None),
    ]  # fmt: skip
    assert sizes == [(-1, -1), (0, 0), (-1, 0), (0, -1)]


def test_headers_may_be_a_dict_a_generator_or_lists(broker: ScriptedBroker, producer: KafkaProducer) -> None:
    for headers in (
        {"a": b"1", "b": None},
        (pair for pair in [("a", b"1"), ("b", None)]),
        [["a", b"1"], ["b", None]],
    ):
        producer.produce("one", b"", headers=headers)  # type: ignore[arg-type]
    producer.produce("one", b"", headers=[])
    producer.produce("one", b"", headers={"c": bytearray(b"2"), "d": memoryview(b"345")[::2]})  # type: ignore[dict-item]
    producer.flush(10)
    expected = (("a", b"1"), ("b", None))
    assert [r.headers for r in records_of(broker, "one")] == [
        expected, expected, expected, (), (("c", b"2"), ("d", b"35")),
    ]  # fmt: skip


def test_a_record_without_timestamp_gets_the_time_of_the_call(
    broker: ScriptedBroker, producer: KafkaProducer
) -> None:
    before = int(time.time() * 1000)
    metadata = producer.send("one", b"").result(10)
    assert before - 1 <= metadata.timestamp_ms <= time.time() * 1000 + 1
    assert records_of(broker, "one")[0].timestamp == metadata.timestamp_ms


@pytest.mark.parametrize("timestamps", [(0, 2**63 - 1), (2**63 - 1, 0), (7, 3, 11)])
def test_timestamps_may_go_any_way_between_their_bounds(
    broker: ScriptedBroker, producer: KafkaProducer, timestamps: tuple[int, ...]
) -> None:
    for timestamp in timestamps:
        producer.produce("one", b"", timestamp_ms=timestamp)
    producer.flush(10)
    assert tuple(r.timestamp for r in records_of(broker, "one")) == timestamps
    batches = [decode_batch(batch) for batch in batches_of(broker, "one")]
    assert max(batch.max_timestamp for batch in batches) == max(timestamps)


def test_keys_go_where_javas_partitioner_puts_them(broker: ScriptedBroker, producer: KafkaProducer) -> None:
    keys = [b"k%d" % n for n in range(50)] + [b""]
    for key in keys:
        producer.produce("t", b"", key)
    producer.flush(10)
    for partition in range(3):
        expected = [key for key in keys if murmur2_partition(key, 3) == partition]
        assert [r.key for r in records_of(broker, "t", partition)] == expected


def test_partitioner_ignore_keys_treats_keys_as_none(broker: ScriptedBroker, make: MakeProducer) -> None:
    producer = make(broker, partitioner_ignore_keys=True, linger_ms=1000)
    for n in range(50):
        producer.produce("t", b"", b"k%d" % n)
    producer.flush(10)
    assert [len(batches_of(broker, "t", p)) for p in range(3)].count(1) == 1  # all in one sticky batch


def test_keyless_records_move_on_after_a_batch(broker: ScriptedBroker, make: MakeProducer) -> None:
    producer = make(broker, batch_size=1000)
    for _ in range(600):
        producer.produce("t", b"x" * 90)
    producer.flush(10)
    counts = [len(values_of(broker, "t", partition)) for partition in range(3)]
    assert sum(counts) == 600
    assert min(counts) > 0


def test_order_within_a_partition_is_the_order_of_the_calls(
    broker: ScriptedBroker, producer: KafkaProducer
) -> None:
    for n in range(3000):
        (producer.send if n % 2 else producer.produce)("t", b"%d" % n, partition=n % 3)
    producer.flush(10)
    for partition in range(3):
        assert values_of(broker, "t", partition) == [b"%d" % n for n in range(partition, 3000, 3)]


class NamedBytes(bytes):
    """A subclass, which need not be taken at its word."""

    def __len__(self) -> int:
        return 1


@pytest.mark.parametrize(
    "make_value",
    [
        lambda: bytearray(b"abc"),
        lambda: memoryview(b"abc"),
        lambda: memoryview(b"xabcx")[1:4],
        lambda: NamedBytes(b"abc"),
        lambda: array.array("b", b"abc"),
    ],
)
def test_any_contiguous_buffer_is_taken(
    broker: ScriptedBroker, producer: KafkaProducer, make_value: Callable[[], Any]
) -> None:
    producer.produce("one", make_value(), make_value())
    producer.flush(10)
    assert [(r.value, r.key) for r in records_of(broker, "one")] == [(b"abc", b"abc")]


def test_a_buffer_changed_after_the_call_changes_nothing(
    broker: ScriptedBroker, producer: KafkaProducer
) -> None:
    value = bytearray(b"before")
    producer.produce("one", value, headers=[("h", value)])  # type: ignore[list-item]
    value[:] = b"after!"
    value.clear()  # and no view of it is held
    producer.flush(10)
    (record,) = records_of(broker, "one")
    assert (record.value, record.headers) == (b"before", (("h", b"before"),))


class Topic(str, enum.Enum):  # noqa: UP042  # a StrEnum would hide the trap
    """An enum whose str() is not its value."""

    ONE = "one"


def test_a_topic_from_an_enum_is_its_value(broker: ScriptedBroker, producer: KafkaProducer) -> None:
    assert str(Topic.ONE) != "one"
    assert producer.send(Topic.ONE, b"v").result(10).topic == "one"
    assert [info.topic for info in producer.partitions_for(Topic.ONE)] == ["one"]
    assert values_of(broker, "one") == [b"v"]


def test_the_longest_topic_name_is_taken(broker: ScriptedBroker, producer: KafkaProducer) -> None:
    broker.cluster.create_topic(LONGEST_TOPIC, [1])
    assert producer.send(LONGEST_TOPIC, b"v").result(10).topic == LONGEST_TOPIC


class Index:
    """Something that is a number, as numpy's integers are."""

    def __init__(self, *answers: int) -> None:
        self.answers = list(answers)

    def __index__(self) -> int:
        return self.answers.pop(0)


def test_a_number_may_be_anything_with_an_index(broker: ScriptedBroker, producer: KafkaProducer) -> None:
    metadata = producer.send("t", b"", partition=Index(2), timestamp_ms=Index(77)).result(10)  # type: ignore[arg-type]
    assert (metadata.partition, metadata.timestamp_ms) == (2, 77)


def test_batch_size_zero_puts_every_record_in_a_batch_of_its_own(
    broker: ScriptedBroker, make: MakeProducer
) -> None:
    producer = make(broker, batch_size=0)
    for value in (None, b"", b"x" * 100, None, None):
        producer.produce("one", value)
    producer.flush(10)
    assert [decode_batch(batch).record_count for batch in batches_of(broker, "one")] == [1] * 5


def test_a_buffer_smaller_than_a_batch_still_serves(broker: ScriptedBroker, make: MakeProducer) -> None:
    producer = make(broker, buffer_memory=2000)
    for n in range(200):
        producer.produce("one", b"%03d" % n * 10)
    producer.flush(10)
    assert len(values_of(broker, "one")) == 200


# --- what is refused ----------------------------------------------------------------------------------------


async def coroutine_callback(metadata: object, error: object) -> None:
    """Nobody would await it."""


def test_a_coroutine_function_is_no_callback_of_a_future(producer: KafkaProducer) -> None:
    with pytest.raises(TypeError, match="callback must be a plain function"):
        producer.send("one", b"").add_done_callback(coroutine_callback)  # type: ignore[arg-type]


def test_errors_name_types_and_never_the_payload(producer: KafkaProducer) -> None:
    with pytest.raises(TypeError) as caught:
        producer.send("one", "s3cret")
    assert "s3cret" not in str(caught.value)


def test_the_largest_record_fits_and_one_byte_more_does_not(
    broker: ScriptedBroker, make: MakeProducer
) -> None:
    producer = make(broker, max_request_size=5000)
    fitting = next(n for n in range(5000, 0, -1) if _is_taken(producer, n))
    producer.flush(10)
    assert 4850 < fitting < 5000
    assert [len(value or b"") for value in values_of(broker, "one")] == [fitting]
    assert all(len(batch) <= 5000 for batch in batches_of(broker, "one"))


def _is_taken(producer: KafkaProducer, size: int) -> bool:
    try:
        producer.produce("one", bytes(size))
    except RecordTooLargeError:
        return False
    return True


@pytest.mark.row("F37")
def test_a_record_above_buffer_memory_is_too_large(broker: ScriptedBroker, make: MakeProducer) -> None:
    producer = make(broker, buffer_memory=5000, batch_size=1000)
    with pytest.raises(RecordTooLargeError, match=r"buffer\.memory"):
        producer.send("one", bytes(6000))
    assert producer.send("one", bytes(4000)).result(10).offset == 0


def test_unknown_topic_raises_from_the_call_when_max_block_ms_is_over(
    broker: ScriptedBroker, make: MakeProducer
) -> None:
    producer = make(broker, max_block_ms=300)
    began = time.monotonic()
    with pytest.raises(
        KafkaTimeoutError, match=r"topic 'nowhere' has no metadata after max\.block\.ms=300"
    ) as caught:
        producer.send("nowhere", b"")
    assert 0.25 < time.monotonic() - began < 2
    assert caught.value.topic == "nowhere"
    assert caught.value.persisted == "no"
    assert producer.send("one", b"").result(10).offset == 0


def test_a_partition_that_is_added_meanwhile_is_waited_for(
    broker: ScriptedBroker, make: MakeProducer
) -> None:
    producer = make(broker, retry_backoff_ms=10)
    producer.send("one", b"").result(10)
    with broker.cluster.lock:
        broker.cluster.topics["one"].leaders.append(1)
        broker.cluster.topics["one"].epochs.append(0)
    assert producer.send("one", b"", partition=1).result(10).partition == 1


# --- serializers and partitioners ---------------------------------------------------------------------------


def test_serializers_turn_keys_and_values_into_bytes(broker: ScriptedBroker, make: MakeProducer) -> None:
    producer = make(
        broker, key_serializer=lambda k: None if k is None else str(k).encode(), value_serializer=repr_bytes
    )
    producer.produce("one", {"a": 1}, 5)
    producer.produce(ProducerRecord("one", [1, 2]))
    producer.send_many("one", [True, None], keys=[True, False]).wait(10)
    assert [(r.value, r.key) for r in records_of(broker, "one")] == [
        (b"{'a': 1}", b"5"), (b"[1, 2]", None), (b"True", b"True"), (b"None", b"False"),
    ]  # fmt: skip


def repr_bytes(value: object) -> bytes:
    return repr(value).encode()


@pytest.mark.row("F43")
def test_what_a_serializer_raises_is_the_cause_of_a_serialization_error(
    broker: ScriptedBroker, make: MakeProducer
) -> None:
    producer = make(broker, value_serializer=lambda v: 1 // v)
    with pytest.raises(SerializationError, match="value_serializer failed on int for topic 'one'") as caught:
        producer.send("one", 0)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert caught.value.persisted == "no"
    with pytest.raises(TypeError, match="value must be bytes-like or None, not int"):
        producer.send("one", 1)
    producer.flush(10)
    assert not values_of(broker, "one")


@pytest.mark.row("F43")
def test_keyboard_interrupt_in_a_serializer_is_not_dressed_up(
    broker: ScriptedBroker, make: MakeProducer
) -> None:
    def interrupt(value: object) -> bytes:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make(broker, key_serializer=interrupt).send("one", b"")


def test_a_partitioner_sees_bytes_and_chooses(broker: ScriptedBroker, make: MakeProducer) -> None:
    seen: list[tuple[object, ...]] = []

    def choose(topic: str, key: bytes | None, value: bytes | None, count: int) -> int:
        seen.append((topic, key, value, count))
        return 2

    producer = make(broker, partitioner_class=choose, key_serializer=repr_bytes)
    assert producer.send("t", b"v", 7).result(10).partition == 2
    assert producer.send("t", b"v", 7, partition=1).result(10).partition == 1
    assert seen == [("t", b"7", b"v", 3)]


@pytest.mark.row("F43")
@pytest.mark.parametrize(
    ("answer", "error", "text"),
    [
        (None, TypeError, "the partitioner returned NoneType"),
        ("1", TypeError, "the partitioner returned str"),
        (True, TypeError, "the partitioner returned bool"),
        (1.0, TypeError, "the partitioner returned float"),
        (-1, ValueError, "the partitioner returned -1: must be from 0 to 2"),
        (3, ValueError, "the partitioner returned 3: must be from 0 to 2"),
    ],
)
def test_nonsense_from_a_partitioner_raises_from_the_call(
    broker: ScriptedBroker, make: MakeProducer, answer: Any, error: type[Exception], text: str
) -> None:
    producer = make(broker, partitioner_class=lambda *_: answer)
    with pytest.raises(error, match=text):
        producer.send("t", b"")
    assert producer.send("t", b"good", partition=0).result(10).offset == 0
    assert values_of(broker) == [b"good"]


@pytest.mark.row("F43")
def test_what_a_partitioner_raises_comes_through(broker: ScriptedBroker, make: MakeProducer) -> None:
    def choose(*arguments: object) -> int:
        raise LookupError("no idea")

    with pytest.raises(LookupError, match="no idea"):
        make(broker, partitioner_class=choose).send("t", b"")


def test_a_partitioner_does_not_see_bad_topics(broker: ScriptedBroker, make: MakeProducer) -> None:
    producer = make(broker, partitioner_class=lambda *_: 0)
    for topic in (None, b"t", "a b"):
        with pytest.raises((TypeError, InvalidTopicError)):
            producer.send(topic, b"")  # type: ignore[arg-type]
    assert producer.send("t", b"").result(10).partition == 0


def test_a_serializer_may_send_another_record(broker: ScriptedBroker, make: MakeProducer) -> None:
    def serialize(value: object) -> bytes:
        if value == "outer":
            producer.produce("one", "inner")
        return repr_bytes(value)

    producer = make(broker, value_serializer=serialize)
    producer.send("one", "outer").result(10)
    assert values_of(broker, "one") == [b"'inner'", b"'outer'"]


def test_closed_producers_refuse_before_they_serialize(broker: ScriptedBroker, make: MakeProducer) -> None:
    calls: list[object] = []
    producer = make(broker, value_serializer=calls.append)
    producer.close()
    with pytest.raises(ProducerClosedError):
        producer.send("one", "v")
    assert not calls
