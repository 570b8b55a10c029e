"""Frames that no broker sends, as effects for the fault proxy."""

from __future__ import annotations

import struct
from typing import Final

from kproducer.testing import Rewrite

_SIZE: Final = 4
_CORRELATION: Final = struct.Struct(">i")


def with_size(size: int) -> Rewrite:
    """The frame under another size field: huge, negative or zero."""
    return Rewrite(lambda frame: struct.pack(">i", size) + frame[_SIZE:])


def cut_to(length: int) -> Rewrite:
    """The first `length` bytes of the body, under a size that fits them."""
    return Rewrite(lambda frame: struct.pack(">i", length) + frame[_SIZE : _SIZE + length])


def with_other_correlation(delta: int = 1) -> Rewrite:
    """The frame under a correlation id that nobody waits for."""

    def change(frame: bytes) -> bytes:
        (correlation_id,) = _CORRELATION.unpack_from(frame, _SIZE)
        return frame[:_SIZE] + _CORRELATION.pack(correlation_id + delta) + frame[_SIZE + 4 :]

    return Rewrite(change)


def filled_with(byte: int) -> Rewrite:
    """The frame with every byte after the correlation id replaced."""
    return Rewrite(lambda frame: frame[: _SIZE + 4] + bytes([byte]) * (len(frame) - _SIZE - 4))


def with_trailing(extra: bytes) -> Rewrite:
    """The frame with bytes that belong to nothing at its end, counted in its size."""
    return Rewrite(lambda frame: struct.pack(">i", len(frame) - _SIZE + len(extra)) + frame[_SIZE:] + extra)
