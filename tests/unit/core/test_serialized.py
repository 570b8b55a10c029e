"""Kafka's serializers in a producer: nulls stay null, keys go where Java puts them, errors leave nothing."""

from __future__ import annotations

from typing import Any

import pytest

from kproducer import SerializationError
from kproducer._core.hashing import murmur2_partition
from kproducer.serializers import (
    IntegerSerializer,
    ListSerializer,
    LongSerializer,
    StringSerializer,
    VoidSerializer,
)
from tests.fakes.scripted_broker import ScriptedBroker
from tests.unit.core.world import MakeProducer, records_of


def test_keys_and_values_are_serialized(broker: ScriptedBroker, make: MakeProducer) -> None:
    producer = make(
        broker, key_serializer=StringSerializer(), value_serializer=ListSerializer(IntegerSerializer())
    )
    metadata = producer.send("one", [1, None], "ж").result(10)
    (record,) = records_of(broker, "one")
    assert (record.key, (record.value or b"").hex()) == (
        b"\xd0\xb6",
        "00" + "00000001" * 2 + "00000002" + "00000001",
    )
    assert (metadata.serialized_key_size, metadata.serialized_value_size) == (2, 17)


def test_a_tombstone_keeps_its_key_and_a_null_key_its_value(
    broker: ScriptedBroker, make: MakeProducer
) -> None:
    producer = make(broker, key_serializer=LongSerializer(), value_serializer=StringSerializer())
    for value, key in [(None, 7), ("v", None), (None, None), ("", 0)]:
        producer.produce("one", value, key)
    producer.flush(10)
    assert [(record.value, record.key) for record in records_of(broker, "one")] == [
        (None, bytes(7) + b"\x07"),
        (b"v", None),
        (None, None),
        (b"", bytes(8)),
    ]


def test_the_partition_is_that_of_the_serialized_key(broker: ScriptedBroker, make: MakeProducer) -> None:
    producer = make(broker, key_serializer=IntegerSerializer(), value_serializer=VoidSerializer())
    for key in range(30):
        expected = murmur2_partition(key.to_bytes(4, "big"), 3)
        assert producer.send("t", None, key).result(10).partition == expected


@pytest.mark.parametrize(
    ("arguments", "text", "cause"),
    [
        (("one", 2**31), "value_serializer failed on int for topic 'one'", ValueError),
        (("one", "1"), "value_serializer failed on str for topic 'one'", TypeError),
        (("one", 1, b"k"), "key_serializer failed on bytes for topic 'one'", TypeError),
    ],
)
def test_what_cannot_be_serialized_is_refused_at_the_call(
    broker: ScriptedBroker, make: MakeProducer, arguments: tuple[Any, ...], text: str, cause: type[Exception]
) -> None:
    producer = make(broker, key_serializer=StringSerializer(), value_serializer=IntegerSerializer())
    with pytest.raises(SerializationError, match=text) as caught:
        producer.send(*arguments)
    assert isinstance(caught.value.__cause__, cause)
    producer.flush(10)
    assert records_of(broker, "one") == []
