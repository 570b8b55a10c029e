"""Kafka's serializers: bytes counted out by hand, and confluent-kafka's where it has the same ones."""

from __future__ import annotations

import array
import math
import struct
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from confluent_kafka import serialization as theirs
from hypothesis import given
from hypothesis import strategies as st

from kproducer import ConfigError
from kproducer.serializers import (
    BooleanSerializer,
    ByteArraySerializer,
    ByteBufferSerializer,
    BytesSerializer,
    DoubleSerializer,
    FloatSerializer,
    IntegerSerializer,
    ListSerializer,
    LongSerializer,
    ShortSerializer,
    StringSerializer,
    UUIDSerializer,
    VoidSerializer,
)

SOME_UUID = UUID("12345678-9abc-def0-1234-56789abcdef0")
ALL = [
    StringSerializer(), ShortSerializer(), IntegerSerializer(), LongSerializer(), FloatSerializer(), DoubleSerializer(),
    BooleanSerializer(), UUIDSerializer(), ByteArraySerializer(), BytesSerializer(), ByteBufferSerializer(),
    VoidSerializer(), ListSerializer(IntegerSerializer()), ListSerializer(StringSerializer()),
]  # fmt: skip


class Index:
    """A number as other libraries have them."""

    def __index__(self) -> int:
        return 7


GOLDEN = [
    (StringSerializer(), "", ""),
    (StringSerializer(), "aж€", "61d0b6e282ac"),
    (StringSerializer(encoding="ISO-8859-1"), "aé", "61e9"),
    (StringSerializer(encoding="utf_16"), "a", "feff0061"),
    (StringSerializer(encoding="UTF-16LE"), "a", "6100"),
    (StringSerializer(encoding="UTF-32"), "a", "00000061"),
    (ShortSerializer(), -2, "fffe"),
    (ShortSerializer(), 2**15 - 1, "7fff"),
    (IntegerSerializer(), 1, "00000001"),
    (IntegerSerializer(), -(2**31), "80000000"),
    (IntegerSerializer(), Index(), "00000007"),
    (LongSerializer(), 258, "0000000000000102"),
    (LongSerializer(), -1, "ff" * 8),
    (FloatSerializer(), 1.5, "3fc00000"),
    (FloatSerializer(), -0.0, "80000000"),
    (FloatSerializer(), math.inf, "7f800000"),
    (FloatSerializer(), 2, "40000000"),
    (DoubleSerializer(), 1.5, "3ff8000000000000"),
    (DoubleSerializer(), math.nan, "7ff8000000000000"),
    (BooleanSerializer(), True, "01"),
    (BooleanSerializer(), False, "00"),
    (UUIDSerializer(), SOME_UUID, b"12345678-9abc-def0-1234-56789abcdef0".hex()),
    (UUIDSerializer(encoding="utf-16-be"), SOME_UUID, str(SOME_UUID).encode("utf-16-be").hex()),
    (ByteArraySerializer(), b"\x00\xff", "00ff"),
    (BytesSerializer(), bytearray(b"\x01"), "01"),
    (ByteBufferSerializer(), b"ab", "6162"),
    (ByteBufferSerializer(), memoryview(b"abcd")[::2], "6163"),
    (ByteBufferSerializer(), array.array("H", [1, 2]), array.array("H", [1, 2]).tobytes().hex()),
    (ListSerializer(IntegerSerializer()), [1, None, 2], "000000000100000001000000030000000100000002"),
    (ListSerializer(IntegerSerializer()), (), "000000000000000000"),
    (ListSerializer(StringSerializer()), ["a", None, ""], "01000000030000000161ffffffff00000000"),
    (ListSerializer(StringSerializer()), [], "0100000000"),
    (ListSerializer(BooleanSerializer()), [True], "01000000010000000101"),
    (ListSerializer(ListSerializer(ShortSerializer())), [[5]], "01000000010000000b0000000000000000010005"),
]  # fmt: skip


@pytest.mark.parametrize(("serializer", "data", "expected"), GOLDEN)
def test_values_have_the_bytes_of_kafkas_serializers(
    serializer: Callable[[Any], bytes], data: object, expected: str
) -> None:
    assert bytes(serializer(data)).hex() == expected


@pytest.mark.parametrize("serializer", ALL, ids=lambda serializer: type(serializer).__name__)
def test_none_is_null(serializer: Callable[[Any], object]) -> None:
    assert serializer(None) is None


@given(st.integers(-(2**31), 2**31 - 1), st.floats(), st.text(st.characters(codec="utf-8")))
def test_numbers_and_text_have_the_bytes_of_confluent_kafka(whole: int, number: float, text: str) -> None:
    assert IntegerSerializer()(whole) == theirs.IntegerSerializer()(whole)
    assert DoubleSerializer()(number) == theirs.DoubleSerializer()(number)
    assert StringSerializer()(text) == theirs.StringSerializer()(text)


@given(st.integers())
def test_a_whole_number_fits_or_is_refused(number: int) -> None:
    for serializer, bits in ((ShortSerializer(), 15), (IntegerSerializer(), 31), (LongSerializer(), 63)):
        if -(2**bits) <= number < 2**bits:
            assert int.from_bytes(serializer(number) or b"", "big", signed=True) == number
        else:
            with pytest.raises(ValueError, match=rf"must be from -2\*\*{bits} to 2\*\*{bits}-1"):
                serializer(number)


@pytest.mark.parametrize(
    ("serializer", "data", "text"),
    [
        (StringSerializer(), b"a", "must be str or None, not bytes"),
        (IntegerSerializer(), True, "must be int or None, not bool"),
        (LongSerializer(), "1", "must be int or None, not str"),
        (ShortSerializer(), 1.0, "must be int or None, not float"),
        (FloatSerializer(), "1.0", "must be float or None, not str"),
        (DoubleSerializer(), False, "must be float or None, not bool"),
        (BooleanSerializer(), 1, "must be bool or None, not int"),
        (UUIDSerializer(), str(SOME_UUID), "must be UUID or None, not str"),
        (ByteArraySerializer(), "a", "must be bytes, bytearray or memoryview or None, not str"),
        (BytesSerializer(), 3, "must be bytes, bytearray or memoryview or None, not int"),
        (ByteBufferSerializer(), 3, "must be an object with the buffer protocol or None, not int"),
        (VoidSerializer(), b"", "must be None, not bytes"),
        (ListSerializer(IntegerSerializer()), "ab", "must be list or tuple or None, not str"),
        (ListSerializer(IntegerSerializer()), ["ab"], "must be int or None, not str"),
    ],
)
def test_a_wrong_type_is_named(serializer: Callable[[Any], object], data: object, text: str) -> None:
    with pytest.raises(TypeError, match=text):
        serializer(data)


def test_a_float_out_of_range_is_refused() -> None:
    with pytest.raises(OverflowError):
        FloatSerializer()(1e300)


def test_a_character_that_the_encoding_lacks_is_refused() -> None:
    with pytest.raises(UnicodeEncodeError):
        StringSerializer(encoding="iso-8859-1")("€")
    with pytest.raises(UnicodeEncodeError):
        StringSerializer()("\ud800")


@pytest.mark.parametrize("make", [StringSerializer, UUIDSerializer])
@pytest.mark.parametrize("encoding", ["utf-9", "", "base64", 8, None])
def test_an_unknown_encoding_is_refused_at_once(make: Callable[..., object], encoding: object) -> None:
    with pytest.raises(ConfigError, match="is not known; allowed are Python's names"):
        make(encoding=encoding)


def test_an_entry_must_not_become_null() -> None:
    with pytest.raises(ValueError, match="made a null of an entry of type str"):
        ListSerializer(lambda entry: None)(["a"])


def test_a_list_of_uuids_refuses_an_encoding_that_no_deserializer_expects() -> None:
    with pytest.raises(ValueError, match="takes 72 bytes, where a deserializer expects 36"):
        ListSerializer(UUIDSerializer(encoding="utf-16-be"))([SOME_UUID])


@given(st.lists(st.none() | st.integers(-(2**63), 2**63 - 1), max_size=20))
def test_a_list_of_longs_is_read_back(entries: list[int | None]) -> None:
    data = ListSerializer(LongSerializer())(entries)
    assert data is not None
    (n_nulls,) = struct.unpack_from(">i", data, 1)
    nulls = struct.unpack_from(f">{n_nulls}i", data, 5)
    (count,) = struct.unpack_from(">i", data, 5 + 4 * n_nulls)
    numbers = iter(struct.unpack(f">{count - n_nulls}q", data[9 + 4 * n_nulls :]))
    assert [None if index in nulls else next(numbers) for index in range(count)] == entries
