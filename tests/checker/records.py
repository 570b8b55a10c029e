"""What a record of the checker looks like: an identity, and everything else derived from it.

Size, filler, key and timestamp follow from (incarnation, partition, n), so that a reader can tell a record that was
torn, cut short, or written to the wrong place without having seen it sent.
"""

from __future__ import annotations

import functools
import random
import zlib
from array import array
from enum import IntEnum
from struct import Struct
from typing import Final, NamedTuple

# run, kind, incarnation, partition, n, transaction
HEAD: Final = Struct(">8sBIHQi")
# partition and offset of the input record that a copy belongs to
SOURCE: Final = Struct(">HQ")
NO_TRANSACTION: Final = -1
RUN_LENGTH: Final = 64  # records of one call; they share a timestamp

_KEY: Final = slice(9, 23)  # incarnation, partition and n within the head
_LEAST_SIZE: Final = 50
_USUAL_SIZE: Final = 300
_GREATEST_SIZE: Final = 64 * 1024
_LARGE_ONES: Final = 66  # of 65,536: 0.1 %
_TABLE_MASK: Final = 0xFFFF
_TIMESTAMPS: Final = 1000


class Kind(IntEnum):
    """What follows the head."""

    FILLER = 0
    COPY = 1


class Identity(NamedTuple):
    """Which record a value says it is."""

    run: bytes
    kind: int
    incarnation: int
    partition: int
    n: int
    transaction: int


class Records:
    """Makes the records of one run, and tells whether one that was read is as it was made.

    Args:
        run: eight bytes that no other run has.
        base_ms: timestamp of the first records, milliseconds since the epoch.
    """

    def __init__(self, run: bytes, base_ms: int) -> None:
        self.run = run
        self.base_ms = base_ms
        self._filler_sizes, self._block = _tables(run)

    def value(self, incarnation: int, partition: int, n: int, transaction: int = NO_TRANSACTION) -> bytes:
        """Make the value of a record."""
        head = HEAD.pack(self.run, Kind.FILLER, incarnation, partition, n, transaction)
        return head + self.filler(incarnation, partition, n)

    def values(
        self, incarnation: int, partition: int, first: int, count: int, transaction: int = NO_TRANSACTION
    ) -> list[bytes]:
        """Make the values of consecutive records."""
        return [self.value(incarnation, partition, n, transaction) for n in range(first, first + count)]

    def copy(  # noqa: PLR0913, RUF100  # an identity and what is copied
        self,
        incarnation: int,
        partition: int,
        n: int,
        transaction: int,
        source: tuple[int, int],
        value: bytes,
    ) -> bytes:
        """Make the value of a copy; `source` is the partition and offset of the original."""
        return (
            HEAD.pack(self.run, Kind.COPY, incarnation, partition, n, transaction)
            + SOURCE.pack(*source)
            + value
        )

    def filler(self, incarnation: int, partition: int, n: int) -> bytes:
        """The part of a value that follows from its identity."""
        mixed = n * 0x9E3779B1 + incarnation * 0x85EBCA6B + partition * 0xC2B2AE35
        start = mixed >> 8 & _TABLE_MASK
        return self._block[start : start + self._filler_sizes[mixed & _TABLE_MASK]]

    def timestamp_ms(self, n: int) -> int:
        """The timestamp of a record."""
        return self.base_ms + n // RUN_LENGTH % _TIMESTAMPS


@functools.lru_cache(maxsize=8)
def _tables(run: bytes) -> tuple[list[int], bytes]:
    """Sizes of fillers by the lower bits of a mixed identity, and the bytes that fillers are cut from."""
    source = random.Random(run)
    drawn = array("H", source.randbytes(2 * (_TABLE_MASK + 1)))
    sizes = [_LEAST_SIZE + number % (_USUAL_SIZE - _LEAST_SIZE + 1) for number in drawn]
    for index in source.sample(range(_TABLE_MASK + 1), _LARGE_ONES):
        sizes[index] = source.randint(_USUAL_SIZE + 1, _GREATEST_SIZE)
    return [size - HEAD.size for size in sizes], source.randbytes(_TABLE_MASK + _GREATEST_SIZE)


def key_of(value: bytes, n: int) -> bytes | None:
    """The key that belongs to a value: every fourth record has one."""
    return value[_KEY] if n % 4 == 0 else None


def run_left(n: int) -> int:
    """How many records from n on may share one call."""
    return RUN_LENGTH - n % RUN_LENGTH


def fingerprint(value: bytes) -> int:
    """Thirty-two bits that tell an input record from another."""
    return zlib.crc32(value)
