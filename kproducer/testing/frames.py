"""Kafka's frames as the fault proxy needs them: cut out of a stream, read field by field, written field by field.

Nothing here knows an API; `answers` does. In a flexible version (KIP-482) lengths are varints and structures end
with tags.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

_SIZE: Final = struct.Struct(">i")
_HEAD: Final = struct.Struct(">hhi")
SIZE_BYTES: Final = _SIZE.size


class FrameError(ValueError):
    """The bytes are not the message that their header announces."""


def framed(body: bytes) -> bytes:
    """Put the size in front of a body."""
    return _SIZE.pack(len(body)) + body


@dataclass(frozen=True, slots=True)
class RequestHead:
    """What every request begins with, whatever its API and version."""

    api_key: int
    api_version: int
    correlation_id: int

    @classmethod
    def of(cls, frame: bytes) -> RequestHead:
        """Read it out of a request, size included."""
        if len(frame) < SIZE_BYTES + _HEAD.size:
            raise FrameError(f"a request of {len(frame)} bytes")
        return cls(*_HEAD.unpack_from(frame, SIZE_BYTES))


def correlation_id_of(frame: bytes) -> int:
    """Which request an answer belongs to."""
    number: int = _SIZE.unpack_from(frame, SIZE_BYTES)[0]
    return number


class FrameCutter:
    """Collects received bytes and hands out whole frames, size included."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Take bytes and return the frames that they complete; FrameError for a size that no frame has."""
        self._buffer += data
        frames, at = [], 0
        while (end := self._end_of_frame(at)) is not None:
            frames.append(bytes(self._buffer[at:end]))
            at = end
        del self._buffer[:at]
        return frames

    def _end_of_frame(self, at: int) -> int | None:
        if len(self._buffer) < at + SIZE_BYTES:
            return None
        (size,) = _SIZE.unpack_from(self._buffer, at)
        if not SIZE_BYTES <= size <= self._limit_bytes:
            raise FrameError(f"a frame of {size} bytes")
        end: int = at + SIZE_BYTES + size
        return end if end <= len(self._buffer) else None


class FieldReader:
    """Reads the fields of a message one after the other.

    Args:
        data: the bytes.
        at: where the first field begins; afterwards where the next one does.
        is_flexible: whether this version of the message has compact lengths and tags.
    """

    def __init__(self, data: bytes, at: int, *, is_flexible: bool) -> None:
        self._data = data
        self.at = at
        self._is_flexible = is_flexible

    def int16(self) -> int:
        """Read two bytes."""
        return int.from_bytes(self.raw(2), "big", signed=True)

    def int32(self) -> int:
        """Read four bytes."""
        return int.from_bytes(self.raw(4), "big", signed=True)

    def raw(self, size: int) -> bytes:
        """Take so many bytes as they are."""
        end = self.at + size
        if size < 0 or end > len(self._data):
            raise FrameError(
                f"the message ends at byte {len(self._data)}, wanted are {size} from {self.at} on"
            )
        taken, self.at = self._data[self.at : end], end
        return taken

    def varint(self) -> int:
        """Read an unsigned number of variable length."""
        number = shift = 0
        while True:
            byte = self.raw(1)[0]
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                return number
            shift += 7

    def count(self) -> int:
        """Read the length of an array; null counts as 0."""
        return max(0, self.varint() - 1 if self._is_flexible else self.int32())

    def text(self) -> str | None:
        """Read a string, None for null."""
        size = self.varint() - 1 if self._is_flexible else self.int16()
        return None if size < 0 else self.raw(size).decode()

    def skip_bytes(self) -> None:
        """Pass over a field of bytes, such as a record batch."""
        self.raw(self.count())

    def tags(self) -> list[tuple[int, bytes]]:
        """Read what ends a structure: nothing in a version that is not flexible."""
        if not self._is_flexible:
            return []
        return [(self.varint(), self.raw(self.varint())) for _ in range(self.varint())]

    def since(self, at: int) -> bytes:
        """What was read from a place on."""
        return self._data[at : self.at]


class FieldWriter:
    """Writes the fields of a message one after the other; `is_flexible` as in FieldReader."""

    def __init__(self, *, is_flexible: bool) -> None:
        self._is_flexible = is_flexible
        self._parts: list[bytes] = []

    def int16(self, number: int) -> None:
        """Write two bytes."""
        self.raw(number.to_bytes(2, "big", signed=True))

    def int32(self, number: int) -> None:
        """Write four bytes."""
        self.raw(number.to_bytes(4, "big", signed=True))

    def int64(self, number: int) -> None:
        """Write eight bytes."""
        self.raw(number.to_bytes(8, "big", signed=True))

    def raw(self, data: bytes) -> None:
        """Write bytes as they are."""
        self._parts.append(data)

    def varint(self, number: int) -> None:
        """Write an unsigned number of variable length."""
        while number >= 0x80:
            self.raw(bytes([number & 0x7F | 0x80]))
            number >>= 7
        self.raw(bytes([number]))

    def count(self, items: int) -> None:
        """Write the length of an array."""
        if self._is_flexible:
            self.varint(items + 1)
        else:
            self.int32(items)

    def text(self, text: str | None) -> None:
        """Write a string, None for null."""
        data = b"" if text is None else text.encode()
        size = -1 if text is None else len(data)
        if self._is_flexible:
            self.varint(size + 1)
        else:
            self.int16(size)
        self.raw(data)

    def tags(self, tags: list[tuple[int, bytes]] | None = None) -> None:
        """Write what ends a structure (default: no tags); nothing in a version that is not flexible."""
        if not self._is_flexible:
            return
        self.varint(len(tags or []))
        for number, content in tags or []:
            self.varint(number)
            self.varint(len(content))
            self.raw(content)

    def getvalue(self) -> bytes:
        """All that was written."""
        return b"".join(self._parts)
