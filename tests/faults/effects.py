"""What the fault proxy does to one frame, or to the connection that carried it.

Each effect is a value; the proxy carries it out. A test hands one to `FaultProxy.on`.
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

_SIZE: Final = 4
_CORRELATION: Final = struct.Struct(">i")


class Drop:
    """Swallows the frame; the connection goes on."""


class Duplicate:
    """Sends the frame twice."""


class Reset:
    """Ends both sides of the connection with RST instead of the frame."""


class Close:
    """Ends both sides of the connection with FIN instead of the frame."""


class BlackHole:
    """Nothing passes in this direction from now on, and nobody is told."""


@dataclass(frozen=True, slots=True)
class Hold:
    """Keeps the frame, and all after it in its direction, until `release()`."""

    _gate: threading.Event = field(default_factory=threading.Event)

    def release(self) -> None:
        """Let the frame pass."""
        self._gate.set()

    def wait(self, timeout_s: float) -> bool:
        """Wait for the release; returns whether it came."""
        return self._gate.wait(timeout_s)


@dataclass(frozen=True, slots=True)
class Trickle:
    """Sends the frame in pieces of `piece` bytes (default 1) with a pause between them (default 1 ms)."""

    piece: int = 1
    pause_ms: float = 1.0


@dataclass(frozen=True, slots=True)
class Rewrite:
    """Sends what `change` makes of the frame, size field included."""

    change: Callable[[bytes], bytes]


Effect: TypeAlias = Drop | Duplicate | Reset | Close | BlackHole | Hold | Trickle | Rewrite


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
