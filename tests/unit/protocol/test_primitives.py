"""Reader and Writer: what is written is read back, what is malformed is refused."""

from collections.abc import Callable
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kproducer.errors import InvalidLengthError, ProtocolError, TruncatedMessageError
from kproducer.protocol.primitives import Reader, Writer


def written(write: Callable[..., None], *values: object) -> bytes:
    writer = Writer()
    for value in values:
        write(writer, value)
    return writer.getvalue()


NUMBERS = {
    "int8": (-(2**7), 2**7 - 1),
    "int16": (-(2**15), 2**15 - 1),
    "int32": (-(2**31), 2**31 - 1),
    "int64": (-(2**63), 2**63 - 1),
    "uvarint": (0, 2**32 - 1),
    "varint": (-(2**31), 2**31 - 1),
    "varlong": (-(2**63), 2**63 - 1),
}


@pytest.mark.parametrize("kind", NUMBERS)
@given(data=st.data())
def test_numbers_read_back(kind: str, data: st.DataObject) -> None:
    value = data.draw(st.integers(*NUMBERS[kind]))
    reader = Reader(written(getattr(Writer, kind), value))
    assert getattr(reader, kind)() == value
    reader.expect_end()


@pytest.mark.parametrize("kind", NUMBERS)
def test_numbers_out_of_range_are_refused(kind: str) -> None:
    low, high = NUMBERS[kind]
    assert len(written(getattr(Writer, kind), low)) > 0
    for value in (low - 1, high + 1):
        with pytest.raises(ValueError, match="does not fit"):
            written(getattr(Writer, kind), value)


# From the description of base-128 varints in Protocol Buffers' encoding guide.
@pytest.mark.parametrize(
    ("value", "encoded"), [(0, "00"), (1, "01"), (127, "7f"), (128, "8001"), (300, "ac02")]
)
def test_uvarint_has_the_documented_bytes(value: int, encoded: str) -> None:
    assert written(Writer.uvarint, value).hex() == encoded


@pytest.mark.parametrize(
    ("value", "encoded"), [(0, "00"), (-1, "01"), (1, "02"), (-2, "03"), (2**31 - 1, "feffffff0f")]
)
def test_varint_is_zigzag(value: int, encoded: str) -> None:
    assert written(Writer.varint, value).hex() == encoded


@pytest.mark.parametrize("encoded", ["ffffffff1f", "808080808000", "ffffffffff"])
def test_uvarint_beyond_32_bits_is_refused(encoded: str) -> None:
    with pytest.raises(InvalidLengthError):
        Reader(bytes.fromhex(encoded)).uvarint()


@pytest.mark.parametrize("encoded", ["ff" * 9 + "03", "80" * 10 + "00"])
def test_varlong_beyond_64_bits_is_refused(encoded: str) -> None:
    with pytest.raises(InvalidLengthError):
        Reader(bytes.fromhex(encoded)).varlong()


STRINGS = ["string", "compact_string", "nullable_string", "compact_nullable_string"]
BYTES = ["bytes_", "compact_bytes", "nullable_bytes", "compact_nullable_bytes"]


@pytest.mark.parametrize("kind", STRINGS)
@pytest.mark.parametrize("value", ["", "a", "ü" * 100, "x" * 32767])
def test_strings_read_back(kind: str, value: str) -> None:
    assert getattr(Reader(written(getattr(Writer, kind), value)), kind)() == value


@pytest.mark.parametrize("kind", BYTES)
@pytest.mark.parametrize("value", [b"", b"\x00", b"x" * 70000])
def test_bytes_read_back(kind: str, value: bytes) -> None:
    assert getattr(Reader(written(getattr(Writer, kind), value)), kind)() == value


@pytest.mark.parametrize("kind", [kind for kind in STRINGS + BYTES if "nullable" in kind])
def test_null_is_not_empty(kind: str) -> None:
    assert getattr(Reader(written(getattr(Writer, kind), None)), kind)() is None


@pytest.mark.parametrize("kind", [kind for kind in STRINGS + BYTES if "nullable" not in kind])
def test_null_is_refused_where_it_is_not_allowed(kind: str) -> None:
    null = b"\x00" if "compact" in kind else b"\xff\xff\xff\xff"
    with pytest.raises(InvalidLengthError):
        getattr(Reader(null), kind)()


@pytest.mark.parametrize("kind", STRINGS)
def test_string_of_more_than_32767_bytes_is_refused(kind: str) -> None:
    with pytest.raises(ValueError, match="longer than 32767"):
        written(getattr(Writer, kind), "x" * 32768)


@pytest.mark.parametrize("kind", ["string", "nullable_string"])
def test_negative_string_length_is_refused(kind: str) -> None:
    with pytest.raises(InvalidLengthError):
        getattr(Reader(b"\xff\xfexx"), kind)()


def test_string_that_is_not_utf8_is_refused() -> None:
    with pytest.raises(ProtocolError, match="UTF-8"):
        Reader(b"\x00\x02\xc3\x28").string()


@pytest.mark.parametrize("kind", ["string", "bytes_", "compact_string", "compact_bytes", "uuid", "int64"])
def test_length_beyond_the_message_is_refused(kind: str) -> None:
    with pytest.raises(TruncatedMessageError):
        getattr(Reader(b"\x09\x00\x00\x09"), kind)()


def test_uuid_is_sixteen_raw_bytes() -> None:
    value = UUID("00112233-4455-6677-8899-aabbccddeeff")
    data = written(Writer.uuid, value)
    assert data.hex() == "00112233445566778899aabbccddeeff"
    assert Reader(data).uuid() == value


def test_boolean_is_true_for_any_other_byte_than_zero() -> None:
    reader = Reader(b"\x00\x01\x7f")
    assert [reader.boolean() for _ in range(3)] == [False, True, True]


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("array_count", b"\x00\x00\x00\x03" + bytes(5)),
        ("array_count", b"\x7f\xff\xff\xff" + bytes(5)),
        ("array_count", b"\xff\xff\xff\xfe" + bytes(5)),
        ("compact_array_count", b"\x04" + bytes(5)),
        ("compact_array_count", b"\xff\xff\xff\xff\x0f" + bytes(5)),
    ],
)
def test_count_that_the_rest_cannot_hold_is_refused(kind: str, data: bytes) -> None:
    with pytest.raises(InvalidLengthError, match="count"):
        getattr(Reader(data), kind)(2)


@pytest.mark.parametrize(
    ("kind", "data", "count"),
    [
        ("array_count", b"\x00\x00\x00\x02" + bytes(4), 2),
        ("array_count", b"\xff\xff\xff\xff", None),
        ("compact_array_count", b"\x03" + bytes(4), 2),
        ("compact_array_count", b"\x00", None),
    ],
)
def test_count_that_fits_is_read(kind: str, data: bytes, count: int | None) -> None:
    assert getattr(Reader(data), kind)(2) == count


def read_tags(data: bytes) -> dict[int, bytes]:
    tags: dict[int, bytes] = {}

    def keep(tag: int, content: Reader) -> bool:
        tags[tag] = bytes(content.raw(content.remaining))
        return True

    reader = Reader(data)
    reader.tagged_fields(keep)
    reader.expect_end()
    return tags


def test_tags_are_written_in_rising_order() -> None:
    writer = Writer()
    writer.tagged_fields([(300, b"late"), (0, b""), (5, b"x")])
    assert writer.getvalue().hex() == "03" + "0000" + "050178" + "ac02046c617465"
    assert read_tags(writer.getvalue()) == {0: b"", 5: b"x", 300: b"late"}


@pytest.mark.parametrize("encoded", ["02" + "0500" + "0500", "02" + "0500" + "0400"])
def test_tags_that_do_not_rise_are_refused(encoded: str) -> None:
    with pytest.raises(ProtocolError, match="must rise"):
        read_tags(bytes.fromhex(encoded))


@pytest.mark.parametrize("encoded", ["01", "0100", "010003aabb", "ffffffff0f"])
def test_tag_section_that_ends_early_is_refused(encoded: str) -> None:
    with pytest.raises(ProtocolError):
        read_tags(bytes.fromhex(encoded))


def test_known_tag_must_fill_its_size() -> None:
    reader = Reader(bytes.fromhex("01" + "0002" + "aabb"))
    with pytest.raises(InvalidLengthError, match="left"):
        reader.tagged_fields(lambda tag, content: content.int8() is not None)


METHODS = [*NUMBERS, *STRINGS, *BYTES, "boolean", "uuid"]


@given(data=st.binary(max_size=40), methods=st.lists(st.sampled_from(METHODS), max_size=8))
def test_garbage_raises_protocol_errors_only(data: bytes, methods: list[str]) -> None:
    reader = Reader(data)
    try:
        for method in methods:
            getattr(reader, method)()
        reader.tagged_fields(lambda tag, content: False)
    except ProtocolError:
        pass
    assert 0 <= reader.position <= len(data)
