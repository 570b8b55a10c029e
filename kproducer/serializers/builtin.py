"""The serializers that come with Kafka's Java client, under their names: what they write, its deserializers read.

Each is a callable for `key_serializer` or `value_serializer`, makes a null of None, and raises TypeError or
ValueError for what it cannot write; send() makes a SerializationError of that. Any thread.
"""

from __future__ import annotations

import codecs
import struct
from collections.abc import Sequence
from typing import Any, Final, TypeAlias
from uuid import UUID

from kproducer import ConfigError, Serializer

Buffer: TypeAlias = bytes | bytearray | memoryview

_SHORT: Final = struct.Struct(">h")
_INTEGER: Final = struct.Struct(">i")
_LONG: Final = struct.Struct(">q")
_FLOAT: Final = struct.Struct(">f")
_DOUBLE: Final = struct.Struct(">d")
_UUID_SIZE: Final = 36

_CONSTANT_SIZE: Final = b"\x00"
_VARIABLE_SIZE: Final = b"\x01"
_NULL_ENTRY: Final = _INTEGER.pack(-1)


class StringSerializer:
    """Writes text.

    Args:
        encoding: default "utf-8", as Java's `key.serializer.encoding` and `value.serializer.encoding`.

    Raises:
        ConfigError: there is no such encoding.

    Unlike Java, which writes a question mark, it raises on a character that the encoding does not have.
    """

    def __init__(self, *, encoding: str = "utf-8") -> None:
        self._codec = _text_codec(encoding)

    def __call__(self, data: str | None, /) -> bytes | None:
        """Return the text in the encoding."""
        if data is None:
            return None
        if not isinstance(data, str):
            raise _wrong("str", data)
        return _encoded(data, self._codec)


class ShortSerializer:
    """Writes an int of 16 bits, big endian."""

    def __call__(self, data: int | None, /) -> bytes | None:
        """Return 2 bytes."""
        return None if data is None else _packed_whole(_SHORT, data)


class IntegerSerializer:
    """Writes an int of 32 bits, big endian."""

    def __call__(self, data: int | None, /) -> bytes | None:
        """Return 4 bytes."""
        return None if data is None else _packed_whole(_INTEGER, data)


class LongSerializer:
    """Writes an int of 64 bits, big endian."""

    def __call__(self, data: int | None, /) -> bytes | None:
        """Return 8 bytes."""
        return None if data is None else _packed_whole(_LONG, data)


class FloatSerializer:
    """Writes a number as IEEE 754 single precision, big endian, and so rounds most floats of Python."""

    def __call__(self, data: float | None, /) -> bytes | None:
        """Return 4 bytes."""
        return None if data is None else _packed_float(_FLOAT, data)


class DoubleSerializer:
    """Writes a number as IEEE 754 double precision, big endian."""

    def __call__(self, data: float | None, /) -> bytes | None:
        """Return 8 bytes."""
        return None if data is None else _packed_float(_DOUBLE, data)


class BooleanSerializer:
    """Writes True as 1 and False as 0, in one byte."""

    def __call__(self, data: bool | None, /) -> bytes | None:
        """Return 1 byte."""
        if data is None:
            return None
        if not isinstance(data, bool):
            raise _wrong("bool", data)
        return b"\x01" if data else b"\x00"


class UUIDSerializer:
    """Writes a UUID as its 36 characters.

    Args:
        encoding: default "utf-8".

    Raises:
        ConfigError: there is no such encoding.
    """

    def __init__(self, *, encoding: str = "utf-8") -> None:
        self._codec = _text_codec(encoding)

    def __call__(self, data: UUID | None, /) -> bytes | None:
        """Return the text form in the encoding."""
        if data is None:
            return None
        if not isinstance(data, UUID):
            raise _wrong("UUID", data)
        return _encoded(str(data), self._codec)


class ByteArraySerializer:
    """Passes bytes, bytearray and memoryview through; the same as no serializer, for those who must name one."""

    def __call__(self, data: Buffer | None, /) -> Buffer | None:
        """Return `data`."""
        if data is not None and not isinstance(data, bytes | bytearray | memoryview):
            raise _wrong("bytes, bytearray or memoryview", data)
        return data


class BytesSerializer(ByteArraySerializer):
    """The same for Java's class Bytes, which wraps a byte array."""


class ByteBufferSerializer:
    """Writes what an object with the buffer protocol holds: an array, a memoryview, strided or not."""

    # Any: the type of all objects with a buffer is of Python 3.12.
    def __call__(self, data: Any, /) -> bytes | None:
        """Return a copy of the buffer's bytes."""
        if data is None:
            return None
        if isinstance(data, int | str):
            raise _wrong("an object with the buffer protocol", data)
        return memoryview(data).tobytes()


class VoidSerializer:
    """Writes nothing but null."""

    def __call__(self, data: None, /) -> None:
        """Return None."""
        if data is not None:
            raise TypeError(f"must be None, not {type(data).__name__}")


class ListSerializer:
    """Writes a list or tuple whose entries, None among them, another serializer writes (KIP-466).

    Args:
        inner: what writes an entry, such as `IntegerSerializer()`.
    """

    def __init__(self, inner: Serializer) -> None:
        self._inner = inner
        self._entry_size = next((size for kind, size in _FIXED_SIZES.items() if type(inner) is kind), None)

    # Any: what the entries may be is the inner serializer's to say.
    def __call__(self, data: Sequence[Any] | None, /) -> bytes | None:
        """Return all entries, each with its size unless all are of the same."""
        if data is None:
            return None
        if not isinstance(data, list | tuple):
            raise _wrong("list or tuple", data)
        entries = [None if entry is None else self._encoded_entry(entry) for entry in data]
        if self._entry_size is None:
            return _VARIABLE_SIZE + _INTEGER.pack(len(entries)) + b"".join(map(_with_size, entries))
        nulls = [_INTEGER.pack(index) for index, entry in enumerate(entries) if entry is None]
        head = _CONSTANT_SIZE + _INTEGER.pack(len(nulls)) + b"".join(nulls) + _INTEGER.pack(len(entries))
        return head + b"".join(entry for entry in entries if entry is not None)

    def _encoded_entry(self, entry: object) -> bytes:
        encoded = self._inner(entry)
        if encoded is None:
            raise ValueError(f"the inner serializer made a null of an entry of type {type(entry).__name__}")
        found = bytes(encoded)
        if self._entry_size is not None and len(found) != self._entry_size:
            raise ValueError(
                f"an entry takes {len(found)} bytes, where a deserializer expects {self._entry_size}"
            )
        return found


# Those whose size Java's ListDeserializer knows beforehand; it looks for the very class.
_FIXED_SIZES: Final[dict[type, int]] = {
    ShortSerializer: _SHORT.size,
    IntegerSerializer: _INTEGER.size,
    FloatSerializer: _FLOAT.size,
    LongSerializer: _LONG.size,
    DoubleSerializer: _DOUBLE.size,
    UUIDSerializer: _UUID_SIZE,
}


def _with_size(entry: bytes | None) -> bytes:
    return _NULL_ENTRY if entry is None else _INTEGER.pack(len(entry)) + entry


def _text_codec(encoding: str) -> str:
    """Return the codec's own name, so that every spelling of it is known below."""
    try:
        codec = codecs.lookup(encoding)
        "".encode(encoding)  # refuses base64 and others that are no encodings of text
    except (LookupError, TypeError):
        raise ConfigError(
            f"encoding={encoding!r} is not known; allowed are Python's names, such as 'utf-8' or 'iso-8859-1'"
        ) from None
    return codec.name


def _encoded(text: str, codec: str) -> bytes:
    # Java writes these two in big endian everywhere, Python as the processor does.
    if codec == "utf-16":
        return codecs.BOM_UTF16_BE + text.encode("utf-16-be")
    return text.encode("utf-32-be" if codec == "utf-32" else codec)


def _packed_whole(form: struct.Struct, data: int) -> bytes:
    if isinstance(data, bool) or not hasattr(data, "__index__"):
        raise _wrong("int", data)
    bits = form.size * 8 - 1
    try:
        return form.pack(data)
    except struct.error:
        raise ValueError(f"{data} does not fit: must be from -2**{bits} to 2**{bits}-1") from None


def _packed_float(form: struct.Struct, data: float) -> bytes:
    if isinstance(data, bool) or not hasattr(data, "__float__"):
        raise _wrong("float", data)
    return form.pack(data)


def _wrong(wanted: str, data: object) -> TypeError:
    return TypeError(f"must be {wanted} or None, not {type(data).__name__}")
