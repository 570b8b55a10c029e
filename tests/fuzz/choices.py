"""Any bytes as a source of choices: taken from the front, and zero when they are used up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Choices:
    """A cursor over a fuzzer's input.

    Args:
        data: the input.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def remaining(self) -> int:
        """Bytes not taken yet."""
        return len(self._data) - self._at

    def byte(self) -> int:
        """Return the next byte, 0 at the end."""
        taken = self.take(1)
        return taken[0] if taken else 0

    def number(self, size: int) -> int:
        """Return a signed number of `size` bytes."""
        return int.from_bytes(self.take(size).ljust(size, b"\0"), "big", signed=True)

    def pick(self, items: Sequence[T]) -> T:
        """Return one of at most 256 items."""
        return items[self.byte() % len(items)]

    def take(self, size: int) -> bytes:
        """Return at most `size` bytes."""
        taken = self._data[self._at : self._at + size]
        self._at += len(taken)
        return taken

    def rest(self) -> bytes:
        """Return what is left."""
        return self.take(self.remaining)

    def text(self, size: int) -> str:
        """Return text of at most `size` bytes in UTF-8; what is not UTF-8 becomes lone surrogates."""
        return self.take(size).decode("utf-8", "surrogateescape")
