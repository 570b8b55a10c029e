"""Cuts a received byte stream into frames: each is an int32 size and as many bytes."""

from __future__ import annotations

from struct import Struct
from typing import Final

from kproducer.errors import InvalidFrameSizeError

DEFAULT_FRAME_LIMIT: Final = 16 * 1024 * 1024
_SIZE: Final = Struct(">i")
# The correlation id, which every answer has.
_MIN_FRAME: Final = 4


class FrameSplitter:
    """Collects received bytes and hands out complete frames, without their size.

    Args:
        limit: biggest frame in bytes that is accepted, default 16 MiB; may be changed between frames
            (a connection that is not authenticated yet deserves less).
    """

    __slots__ = ("_buffer", "limit")

    def __init__(self, limit: int = DEFAULT_FRAME_LIMIT) -> None:
        self.limit = limit
        self._buffer = bytearray()

    @property
    def buffered_bytes(self) -> int:
        """Bytes of a frame that is not complete yet."""
        return len(self._buffer)

    def feed(self, data: bytes | bytearray | memoryview) -> list[bytes]:
        """Take received bytes and return the frames that they complete, in order.

        Raises:
            InvalidFrameSizeError: a frame's size is below 4 or above the limit; close the connection,
                the position in the stream is lost and each further call raises again.
        """
        self._buffer += data
        frames: list[bytes] = []
        start = 0
        try:
            while (end := self._frame_end(start)) is not None:
                frames.append(bytes(self._buffer[start + _SIZE.size : end]))
                start = end
        finally:
            del self._buffer[:start]
        return frames

    def _frame_end(self, start: int) -> int | None:
        if len(self._buffer) - start < _SIZE.size:
            return None
        (size,) = _SIZE.unpack_from(self._buffer, start)
        if not _MIN_FRAME <= size <= self.limit:
            raise InvalidFrameSizeError(f"frame of {size} bytes; allowed are {_MIN_FRAME} to {self.limit}")
        end: int = start + _SIZE.size + size
        return end if end <= len(self._buffer) else None
