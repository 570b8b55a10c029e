"""Kafka's primitive types: a bounds-checked cursor for reading and an appending writer."""

from __future__ import annotations

import struct
from collections.abc import Callable
from struct import Struct
from typing import Final, NoReturn
from uuid import UUID

from kproducer.errors import InvalidLengthError, ProtocolError, TruncatedMessageError

_INT8: Final = Struct(">b")
_INT16: Final = Struct(">h")
_INT32: Final = Struct(">i")
_INT64: Final = Struct(">q")

_MAX_INT16: Final = 0x7FFF
_MAX_INT32: Final = 0x7FFF_FFFF
_MAX_UINT32: Final = 0xFFFF_FFFF
_UUID_SIZE: Final = 16

ZERO_UUID: Final = UUID(int=0)


class Reader:
    """A cursor over a received message; each read is checked against the bytes that are left.

    Args:
        data: the message; it is not copied, strings and bytes that are read are.

    All methods raise `ProtocolError` or a subclass of it on malformed input, and nothing else.
    """

    __slots__ = ("_pos", "_view")

    def __init__(self, data: bytes | bytearray | memoryview) -> None:
        self._view = memoryview(data)
        self._pos = 0

    @property
    def position(self) -> int:
        """Bytes read so far."""
        return self._pos

    @property
    def remaining(self) -> int:
        """Bytes not read yet."""
        return len(self._view) - self._pos

    def raw(self, size: int) -> memoryview:
        """Read `size` bytes without copying them."""
        start = self._pos
        if size > len(self._view) - start:
            raise self._truncated(size)
        self._pos = start + size
        return self._view[start : start + size]

    def expect_end(self) -> None:
        """Raise unless all bytes have been read."""
        if self.remaining:
            raise InvalidLengthError(f"{self.remaining} bytes are left after the end of the answer")

    def int8(self) -> int:
        return self._fixed(_INT8)

    def int16(self) -> int:
        return self._fixed(_INT16)

    def int32(self) -> int:
        return self._fixed(_INT32)

    def int64(self) -> int:
        return self._fixed(_INT64)

    def boolean(self) -> bool:
        return self._fixed(_INT8) != 0

    def uuid(self) -> UUID:
        return UUID(bytes=bytes(self.raw(_UUID_SIZE)))

    def uvarint(self) -> int:
        """Read an unsigned 32-bit varint of at most 5 bytes."""
        return self._base128(32)

    def varint(self) -> int:
        """Read a zigzag 32-bit varint, as used inside records."""
        return _unzigzag(self._base128(32))

    def varlong(self) -> int:
        """Read a zigzag 64-bit varint of at most 10 bytes."""
        return _unzigzag(self._base128(64))

    def string(self) -> str:
        return self._text(self._size(self.int16()))

    def nullable_string(self) -> str | None:
        size = self.int16()
        return None if size == -1 else self._text(self._size(size))

    def compact_string(self) -> str:
        return self._text(self._size(self.uvarint() - 1))

    def compact_nullable_string(self) -> str | None:
        size = self.uvarint() - 1
        return None if size == -1 else self._text(self._size(size))

    def bytes_(self) -> bytes:
        return bytes(self.raw(self._size(self.int32())))

    def nullable_bytes(self) -> bytes | None:
        size = self.int32()
        return None if size == -1 else bytes(self.raw(self._size(size)))

    def compact_bytes(self) -> bytes:
        return bytes(self.raw(self._size(self.uvarint() - 1)))

    def compact_nullable_bytes(self) -> bytes | None:
        size = self.uvarint() - 1
        return None if size == -1 else bytes(self.raw(self._size(size)))

    def array_count(self, min_element_size: int) -> int | None:
        """Read an array's count, None for null; refuse one that the remaining bytes cannot hold.

        Args:
            min_element_size: bytes that the smallest element takes.
        """
        return self._count(self.int32(), min_element_size)

    def compact_array_count(self, min_element_size: int) -> int | None:
        """The same for the compact form (KIP-482)."""
        return self._count(self.uvarint() - 1, min_element_size)

    def tagged_fields(self, read_known: Callable[[int, Reader], bool]) -> None:
        """Read a tag section; each tag must be above the one before it, unknown ones are skipped.

        Args:
            read_known: gets the tag and a reader of just its bytes; returns False for an unknown tag.
        """
        previous = -1
        for _ in range(self._count(self.uvarint(), 2) or 0):
            tag = self.uvarint()
            if tag <= previous:
                raise ProtocolError(f"tag {tag} follows tag {previous}; tags must rise")
            previous = tag
            content = Reader(self.raw(self._size(self.uvarint())))
            if read_known(tag, content):
                content.expect_end()

    def _fixed(self, kind: Struct) -> int:
        start = self._pos
        try:
            (value,) = kind.unpack_from(self._view, start)
        except struct.error:
            raise self._truncated(kind.size) from None
        self._pos = start + kind.size
        number: int = value
        return number

    def _truncated(self, size: int) -> TruncatedMessageError:
        return TruncatedMessageError(
            f"answer ends early: {size} bytes wanted at offset {self._pos}, {self.remaining} are left"
        )

    def _base128(self, bits: int) -> int:
        value = 0
        for shift in range(0, bits, 7):
            byte = self.raw(1)[0]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
        else:
            raise InvalidLengthError(f"varint before offset {self._pos} is longer than {bits} bits")
        if value >> bits:
            raise InvalidLengthError(f"varint before offset {self._pos} does not fit {bits} bits")
        return value

    def _text(self, size: int) -> str:
        try:
            return str(self.raw(size), "utf-8")
        except UnicodeDecodeError as error:
            raise ProtocolError(f"string that ends at offset {self._pos} is not UTF-8") from error

    def _size(self, size: int) -> int:
        if size < 0:
            raise InvalidLengthError(f"length {size} before offset {self._pos}")
        return size

    def _count(self, count: int, min_element_size: int) -> int | None:
        if count == -1:
            return None
        if count < 0 or count > self.remaining // min_element_size:
            raise InvalidLengthError(
                f"count {count} before offset {self._pos}: {self.remaining} bytes are left, "
                f"an element takes at least {min_element_size}"
            )
        return count


class Writer:
    """Appends primitive types to a growing buffer.

    All methods raise `ValueError` for a value that does not fit its type.
    """

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = bytearray()

    def __len__(self) -> int:
        return len(self._buffer)

    def getvalue(self) -> bytes:
        """Return what was written so far."""
        return bytes(self._buffer)

    def raw(self, data: bytes | bytearray | memoryview) -> None:
        """Write bytes as they are."""
        self._buffer += data

    def int8(self, value: int) -> None:
        self._fixed(_INT8, value)

    def int16(self, value: int) -> None:
        self._fixed(_INT16, value)

    def int32(self, value: int) -> None:
        self._fixed(_INT32, value)

    def int64(self, value: int) -> None:
        self._fixed(_INT64, value)

    def boolean(self, value: bool) -> None:
        self._buffer.append(1 if value else 0)

    def uuid(self, value: UUID) -> None:
        self._buffer += value.bytes

    def uvarint(self, value: int) -> None:
        if not 0 <= value <= _MAX_UINT32:
            _refuse(value, "an unsigned 32-bit varint")
        self._base128(value)

    def varint(self, value: int) -> None:
        if not -_MAX_INT32 - 1 <= value <= _MAX_INT32:
            _refuse(value, "a 32-bit varint")
        self._base128((value << 1) ^ (value >> 31))

    def varlong(self, value: int) -> None:
        if not -(1 << 63) <= value < 1 << 63:
            _refuse(value, "a 64-bit varint")
        self._base128((value << 1) ^ (value >> 63))

    def string(self, value: str) -> None:
        data = value.encode()
        if len(data) > _MAX_INT16:
            raise ValueError(f"string of {len(data)} bytes is longer than {_MAX_INT16}")
        self.int16(len(data))
        self._buffer += data

    def nullable_string(self, value: str | None) -> None:
        if value is None:
            self.int16(-1)
        else:
            self.string(value)

    def compact_string(self, value: str) -> None:
        data = value.encode()
        if len(data) > _MAX_INT16:
            raise ValueError(f"string of {len(data)} bytes is longer than {_MAX_INT16}")
        self.uvarint(len(data) + 1)
        self._buffer += data

    def compact_nullable_string(self, value: str | None) -> None:
        if value is None:
            self.uvarint(0)
        else:
            self.compact_string(value)

    def bytes_(self, value: bytes) -> None:
        self.int32(len(value))
        self._buffer += value

    def nullable_bytes(self, value: bytes | None) -> None:
        if value is None:
            self.int32(-1)
        else:
            self.bytes_(value)

    def compact_bytes(self, value: bytes) -> None:
        self.uvarint(len(value) + 1)
        self._buffer += value

    def compact_nullable_bytes(self, value: bytes | None) -> None:
        if value is None:
            self.uvarint(0)
        else:
            self.compact_bytes(value)

    def array_count(self, count: int | None) -> None:
        self.int32(-1 if count is None else count)

    def compact_array_count(self, count: int | None) -> None:
        self.uvarint(0 if count is None else count + 1)

    def tagged_fields(self, fields: list[tuple[int, bytes]]) -> None:
        """Write a tag section of (tag, encoded value), ascending as Kafka wants it."""
        self.uvarint(len(fields))
        for tag, content in sorted(fields):
            self.uvarint(tag)
            self.uvarint(len(content))
            self._buffer += content

    def _fixed(self, kind: Struct, value: int) -> None:
        try:
            self._buffer += kind.pack(value)
        except struct.error:
            _refuse(value, f"a {kind.size * 8}-bit integer")

    def _base128(self, value: int) -> None:
        while value > 0x7F:
            self._buffer.append(value & 0x7F | 0x80)
            value >>= 7
        self._buffer.append(value)


def _unzigzag(value: int) -> int:
    return (value >> 1) ^ -(value & 1)


def _refuse(value: object, kind: str) -> NoReturn:
    raise ValueError(f"{value!r} does not fit {kind}")
