"""Large values against a scripted broker: cut and put together, stored and redeemed, and what breaks on the way."""

from __future__ import annotations

import hashlib
import json
import random
import zlib
from typing import Any
from unittest.mock import Mock

import pytest

from kproducer import Headers, KafkaError, KafkaProducer
from kproducer.headers import last_header
from kproducer.large import (
    AssembledRecord,
    ChunkAssembler,
    ChunkingSender,
    ClaimCheckSender,
    LargeRecordError,
    redeem,
)
from kproducer.serializers import ByteArraySerializer
from tests.fakes.scripted_broker import ScriptedBroker
from tests.unit.core.world import MakeProducer, failing, records_of
from tests.wire.decoder import DecodedRecord

VALUE = random.Random(1).randbytes(10_500)


def consumed(records: list[DecodedRecord]) -> list[tuple[int, bytes | None, Headers]]:
    return [(offset, record.value, record.headers) for offset, record in enumerate(records)]


def assemble(
    records: list[tuple[int, bytes | None, Headers]], assembler: ChunkAssembler | None = None
) -> list[AssembledRecord]:
    assembler = assembler or ChunkAssembler()
    found = [assembler.add("t", 0, offset, value, headers) for offset, value, headers in records]
    return [record for record in found if record is not None]


def chunks_of(
    value: bytes, chunk_id: bytes = b"id", n: int = 3
) -> list[tuple[bytes, list[tuple[str, bytes | None]]]]:
    size = -(-len(value) // n)
    return [
        (
            value[size * i : size * (i + 1)],
            [
                ("kproducer.chunk.id", chunk_id),
                ("kproducer.chunk.count", b"%d" % n),
                ("kproducer.chunk.size", b"%d" % len(value)),
                ("kproducer.chunk.crc32", b"%08x" % zlib.crc32(value)),
                ("kproducer.chunk.index", b"%d" % i),
            ],
        )
        for i in range(n)
    ]


def with_value(
    headers: list[tuple[str, bytes | None]], name: str, value: bytes | None
) -> list[tuple[str, bytes | None]]:
    return [(key, value if key == name else old) for key, old in headers]


# --- chunks: sending ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [None, b"key"])
def test_a_large_value_goes_as_chunks_of_one_partition_and_comes_back(
    broker: ScriptedBroker, producer: KafkaProducer, key: bytes | None
) -> None:
    sent = ChunkingSender(producer, chunk_bytes=1000).send("t", VALUE, key, [("h", b"1")], timestamp_ms=77)
    places = sent.result(10)
    assert sent.done()
    assert len(places) == 11
    assert len({place.partition for place in places}) == 1
    records = records_of(broker, "t", places[0].partition)
    assert [len(record.value or b"") for record in records] == [1000] * 10 + [500]
    assert {(record.key, record.timestamp) for record in records} == {(key, 77)}
    assert assemble(consumed(records)) == [AssembledRecord(VALUE, (("h", b"1"),), 0, 10)]


def test_a_chunk_says_what_it_is(broker: ScriptedBroker, producer: KafkaProducer) -> None:
    ChunkingSender(producer, chunk_bytes=4).send("one", b"abcdefghij", headers=[("h", None)]).result(10)
    first, _, last = [record.headers for record in records_of(broker, "one")]
    assert dict(last) == {
        "h": None,
        "kproducer.chunk.id": last_header(first, "kproducer.chunk.id"),
        "kproducer.chunk.index": b"2",
        "kproducer.chunk.count": b"3",
        "kproducer.chunk.size": b"10",
        "kproducer.chunk.crc32": b"%08x" % zlib.crc32(b"abcdefghij"),
    }


@pytest.mark.parametrize("value", [None, b"", b"1234"])
def test_a_value_that_fits_goes_as_it_is(
    broker: ScriptedBroker, producer: KafkaProducer, value: bytes | None
) -> None:
    sent = ChunkingSender(producer, chunk_bytes=4).send("one", value, b"k", [("h", b"1")])
    assert len(sent.result(10)) == 1
    (record,) = records_of(broker, "one")
    assert (record.value, record.key, record.headers) == (value, b"k", (("h", b"1"),))
    assert assemble(consumed([record])) == [AssembledRecord(value, (("h", b"1"),), 0, 0)]


def test_an_explicit_partition_needs_no_acknowledgement_first(
    broker: ScriptedBroker, producer: KafkaProducer
) -> None:
    with failing(broker):
        sent = ChunkingSender(producer, chunk_bytes=1000).send("t", bytearray(VALUE), partition=2)
        with pytest.raises(KafkaError):
            sent.result(10)
    assert ChunkingSender(producer, chunk_bytes=1000).send("t", memoryview(VALUE), partition=2).result(10)
    assert assemble(consumed(records_of(broker, "t", 2)))[0].value == VALUE


def test_after_a_first_chunk_that_failed_no_other_is_sent(
    broker: ScriptedBroker, producer: KafkaProducer
) -> None:
    with failing(broker), pytest.raises(KafkaError):
        ChunkingSender(producer, chunk_bytes=1000).send("t", VALUE)
    producer.flush(10)
    assert records_of(broker, "t") == []


def test_the_default_leaves_room_for_key_and_headers(broker: ScriptedBroker, make: MakeProducer) -> None:
    producer = make(broker, max_request_size=8000)
    ChunkingSender(producer).send("one", VALUE, b"k" * 500, [("h", b"x" * 100)]).result(10)
    assert [len(record.value or b"") for record in records_of(broker, "one")] == [7000, 3500]


def test_other_producers_records_may_lie_between(broker: ScriptedBroker, producer: KafkaProducer) -> None:
    sender = ChunkingSender(producer, chunk_bytes=4)
    sender.send("one", b"first value").result(10)
    producer.send("one", b"small").result(10)
    sender.send("one", b"second one").result(10)
    records = records_of(broker, "one")
    mixed = [records[i] for i in (0, 4, 3, 1, 5, 2, 6)]
    assert [record.value for record in assemble(consumed(mixed))] == [b"small", b"first value", b"second one"]


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"chunk_bytes": 0}, ValueError, "chunk_bytes=0: must be 1 or more"),
        ({"chunk_bytes": 1.5}, TypeError, "chunk_bytes must be int or None, not float"),
        ({"chunk_bytes": True}, TypeError, "not bool"),
    ],
)
def test_a_size_that_is_none_is_refused(
    producer: KafkaProducer, arguments: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        ChunkingSender(producer, **arguments)


@pytest.mark.parametrize(
    ("value", "text"), [("text", "bytes-like, not str"), (memoryview(b"abcd")[::2], "must be contiguous")]
)
def test_a_value_that_is_no_bytes_is_refused(producer: KafkaProducer, value: Any, text: str) -> None:
    with pytest.raises(TypeError, match=text):
        ChunkingSender(producer).send("one", value)


def test_a_chunk_is_not_cut_again(producer: KafkaProducer) -> None:
    with pytest.raises(ValueError, match=r"'kproducer.chunk.id' belongs to"):
        ChunkingSender(producer).send("one", b"", headers=[("kproducer.chunk.id", b"x")])


def test_a_producer_that_serializes_values_is_refused(broker: ScriptedBroker, make: MakeProducer) -> None:
    producer = make(broker, value_serializer=lambda value: json.dumps(value).encode())
    with pytest.raises(ValueError, match="ChunkingSender sends bytes"):
        ChunkingSender(producer)
    with pytest.raises(ValueError, match="ClaimCheckSender sends bytes"):
        ClaimCheckSender(producer, lambda topic, value: "x")
    ChunkingSender(make(broker, value_serializer=ByteArraySerializer()))


# --- chunks: putting together -------------------------------------------------------------------------------


def test_chunks_come_in_any_order_and_more_than_once() -> None:
    parts = chunks_of(b"abcdefghi")
    found = assemble([(offset, *parts[i]) for offset, i in enumerate((2, 0, 2, 0, 1))])
    assert [(record.value, record.first_offset, record.last_offset) for record in found] == [
        (b"abcdefghi", 0, 4)
    ]


def test_a_chunk_that_comes_again_takes_no_room() -> None:
    parts = chunks_of(b"abcdefghi")
    again = [(offset, *parts[0]) for offset in range(10)]
    assembler = ChunkAssembler(max_pending_bytes=9)
    assert assemble([*again, (10, *parts[1]), (11, *parts[2])], assembler)[0].value == b"abcdefghi"


def test_the_offset_to_commit_stays_before_what_waits() -> None:
    assembler = ChunkAssembler()
    parts = chunks_of(b"abcdefghi")
    for offset, (value, headers) in enumerate(parts[:2], start=10):
        assert assembler.add("t", 0, offset, value, headers) is None
    assert assembler.committable_offset("t", 0, 12) == 10
    assert assembler.committable_offset("t", 1, 12) == 12
    assert assembler.add("t", 0, 12, *parts[2]) is not None
    assert assembler.committable_offset("t", 0, 13) == 13


def test_the_same_id_in_another_partition_is_another_value() -> None:
    assembler = ChunkAssembler()
    parts = chunks_of(b"abcdefghi")
    assembler.add("t", 0, 0, *parts[0])
    assembler.add("t", 1, 0, *parts[1])
    assert assembler.add("t", 0, 1, *parts[2]) is None
    assembler.forget_partition("t", 0)
    assert assembler.committable_offset("t", 0, 2) == 2
    assert assembler.committable_offset("t", 1, 2) == 0


def test_what_never_completes_is_given_up_when_there_is_no_room() -> None:
    assembler = ChunkAssembler(max_pending_bytes=12)
    for n in range(3):
        assembler.add("t", 0, n, *chunks_of(b"abcdefghi", b"%d" % n)[0])
    assert assembler.given_up == 0
    parts = chunks_of(b"ABCDEFGHI", b"last")
    assert [r.value for r in assemble([(3 + i, *part) for i, part in enumerate(parts)], assembler)] == [
        b"ABCDEFGHI"
    ]
    assert assembler.given_up == 2
    assert assembler.committable_offset("t", 0, 9) == 2


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("kproducer.chunk.index", b"3", "chunk 3 of 3: there is no such chunk"),
        ("kproducer.chunk.index", b"-1", "without a number in its header kproducer.chunk.index"),
        ("kproducer.chunk.index", None, "without a number in its header kproducer.chunk.index"),
        ("kproducer.chunk.count", b"4", "another chunk of the value says otherwise"),
        ("kproducer.chunk.size", b"10", "another chunk of the value says otherwise"),
        ("kproducer.chunk.size", b"9" * 19, "without a number in its header kproducer.chunk.size"),
        ("kproducer.chunk.size", b"9" * 18, "max_pending_bytes=100"),
        ("kproducer.chunk.crc32", b"00000000", "another chunk of the value says otherwise"),
    ],
)
def test_headers_that_contradict_are_an_error_and_the_chunks_are_dropped(
    name: str, value: bytes | None, text: str
) -> None:
    assembler = ChunkAssembler(max_pending_bytes=100)
    parts = chunks_of(b"abcdefghi")
    assembler.add("t", 4, 0, *parts[0])
    with pytest.raises(LargeRecordError, match=text) as caught:
        assembler.add("t", 4, 1, parts[1][0], with_value(parts[1][1], name, value))
    assert (caught.value.topic, caught.value.partition, caught.value.persisted) == ("t", 4, "yes")
    assert assembler.committable_offset("t", 4, 2) == 2


@pytest.mark.parametrize("garbled", [b"", b"xyz", b"defg"])
def test_a_value_that_is_not_the_one_sent_is_an_error(garbled: bytes) -> None:
    assembler = ChunkAssembler()
    parts = chunks_of(b"abcdefghi")
    assembler.add("t", 0, 0, *parts[0])
    assembler.add("t", 0, 1, garbled, parts[1][1])
    with pytest.raises(LargeRecordError, match="are not the value that was sent"):
        assembler.add("t", 0, 2, *parts[2])


def test_chunks_that_are_more_than_they_say_are_an_error() -> None:
    assembler = ChunkAssembler(max_pending_bytes=10)
    parts = chunks_of(b"abcdefghi")
    with pytest.raises(LargeRecordError, match="exceed max_pending_bytes=10"):
        assembler.add("t", 0, 0, b"x" * 11, parts[0][1])
    assert assembler.committable_offset("t", 0, 1) == 1


def test_an_assembler_without_room_is_refused() -> None:
    with pytest.raises(ValueError, match="max_pending_bytes=0"):
        ChunkAssembler(max_pending_bytes=0)


# --- claim check --------------------------------------------------------------------------------------------


class Shelf:
    """A store for tests."""

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}

    def store(self, topic: str, value: memoryview) -> str:
        reference = f"{topic}/{len(self.values)}"
        self.values[reference] = bytes(value)
        return reference


def test_a_large_value_is_stored_and_its_reference_sent(
    broker: ScriptedBroker, producer: KafkaProducer
) -> None:
    shelf = Shelf()
    sender = ClaimCheckSender(producer, shelf.store, threshold_bytes=100)
    sender.send("one", VALUE, b"k", [("h", b"1")], timestamp_ms=5).result(10)
    (record,) = records_of(broker, "one")
    assert (record.value, record.key, record.timestamp) == (b"", b"k", 5)
    assert record.headers == (
        ("h", b"1"),
        ("kproducer.claim.reference", b"one/0"),
        ("kproducer.claim.size", b"10500"),
        ("kproducer.claim.sha256", hashlib.sha256(VALUE).hexdigest().encode()),
    )
    assert redeem(record.value, record.headers, shelf.values.__getitem__) == VALUE


@pytest.mark.parametrize("value", [None, b"", b"x" * 100])
def test_a_value_up_to_the_threshold_is_not_stored(
    broker: ScriptedBroker, producer: KafkaProducer, value: bytes | None
) -> None:
    shelf = Shelf()
    ClaimCheckSender(producer, shelf.store, threshold_bytes=100).send("one", value).result(10)
    (record,) = records_of(broker, "one")
    assert (record.value, record.headers, shelf.values) == (value, (), {})
    assert redeem(record.value, None, shelf.values.__getitem__) == value


def test_without_a_store_that_works_nothing_is_sent(broker: ScriptedBroker, producer: KafkaProducer) -> None:
    def store(topic: str, value: memoryview) -> str:
        raise OSError("the shelf is full")

    with pytest.raises(OSError, match="the shelf is full"):
        ClaimCheckSender(producer, store, threshold_bytes=1).send("one", VALUE)
    for answer in (None, "", b"x"):
        wrong: Any = Mock(return_value=answer)
        with pytest.raises(TypeError, match="store returned"):
            ClaimCheckSender(producer, wrong, threshold_bytes=1).send("one", VALUE)
    with pytest.raises(TypeError, match="store must be callable"):
        ClaimCheckSender(producer, None)  # type: ignore[arg-type]
    producer.flush(10)
    assert records_of(broker, "one") == []


@pytest.mark.parametrize("loaded", [b"", b"abd"])
def test_what_was_loaded_must_be_what_was_stored(loaded: bytes) -> None:
    headers = [
        ("kproducer.claim.reference", b"r"),
        ("kproducer.claim.size", b"3"),
        ("kproducer.claim.sha256", hashlib.sha256(b"abc").hexdigest().encode()),
    ]
    assert redeem(b"", headers, lambda reference: b"abc") == b"abc"
    with pytest.raises(LargeRecordError, match="'r' holds"):
        redeem(b"", headers, lambda reference: loaded)


def test_a_claim_is_not_made_twice(producer: KafkaProducer) -> None:
    with pytest.raises(ValueError, match=r"'kproducer.claim.reference' belongs to"):
        ClaimCheckSender(producer, Shelf().store).send(
            "one", b"", headers=[("kproducer.claim.reference", b"x")]
        )
