"""Compares what an independent consumer reads with what was sent: each record, order per key, partition."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from kproducer.cli.demo_events import event_id, event_key

_MASK = 0xFFFFFFFF
_MULTIPLIER = 0x5BD1E995
_SEED = 0x9747B28C


class Message(Protocol):
    """The part of a consumer's message that is looked at."""

    def key(self) -> bytes | None: ...
    def value(self) -> bytes | None: ...
    def partition(self) -> int | None: ...


@dataclass(frozen=True, slots=True)
class Findings:
    """What was wrong with the records that came back, by kind; all zero is what a producer owes."""

    lost: int
    duplicated: int
    altered: int
    disordered: int
    misplaced: int

    @property
    def are_clean(self) -> bool:
        """True if nothing was wrong."""
        return not (self.lost or self.duplicated or self.altered or self.disordered or self.misplaced)


class Checker:
    """Remembers a 64-bit fingerprint of each event and compares what comes back; `seen` counts that."""

    def __init__(self, partitions: int) -> None:
        self.seen = 0
        self._partitions = partitions
        self._expected = array("q")
        self._arrived = bytearray()
        self._last_id: dict[bytes, int] = {}
        self._place: dict[bytes, int] = {}
        self._duplicated = self._altered = self._disordered = self._misplaced = 0

    @property
    def expected(self) -> int:
        """How many records were announced."""
        return len(self._expected)

    @property
    def keys(self) -> int:
        """How many different keys came back."""
        return len(self._last_id)

    def expect(self, values: list[bytes]) -> None:
        """Announce the next events; their ids are their places in the order of sending."""
        self._expected.extend(map(hash, values))
        self._arrived.extend(bytes(len(values)))

    def see(self, messages: Iterable[Message]) -> int:
        """Check records in the order in which their partitions hold them; returns their size in bytes."""
        expected, arrived, last_id = self._expected, self._arrived, self._last_id
        size_bytes = 0
        for message in messages:
            self.seen += 1
            key, value = message.key(), message.value()
            number = -1 if value is None else _number(value, len(expected))
            if value is None or number < 0 or hash(value) != expected[number] or key != event_key(value):
                self._altered += 1
                continue
            size_bytes += len(value)
            if arrived[number]:
                self._duplicated += 1
                continue
            arrived[number] = 1
            if number < last_id.get(key, -1):
                self._disordered += 1
            last_id[key] = number
            if message.partition() != self._place_of(key):
                self._misplaced += 1
        return size_bytes

    def findings(self) -> Findings:
        """The verdict on everything seen so far; what did not arrive counts as lost."""
        lost = self.expected - sum(self._arrived)
        return Findings(lost, self._duplicated, self._altered, self._disordered, self._misplaced)

    def _place_of(self, key: bytes) -> int:
        place = self._place.get(key)
        if place is None:
            place = self._place[key] = partition_of(key, self._partitions)
        return place


def partition_of(key: bytes, partitions: int) -> int:
    """Where Kafka's Java producer puts a key, computed here without kproducer's help."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions


def murmur2(data: bytes) -> int:
    """MurmurHash2 with Kafka's seed, as an unsigned 32-bit number."""
    value = (_SEED ^ len(data)) & _MASK
    whole = len(data) & ~3
    for position in range(0, whole, 4):
        word = int.from_bytes(data[position : position + 4], "little") * _MULTIPLIER & _MASK
        word = (word ^ word >> 24) * _MULTIPLIER & _MASK
        value = value * _MULTIPLIER & _MASK ^ word
    if whole < len(data):
        value = (value ^ int.from_bytes(data[whole:], "little")) * _MULTIPLIER & _MASK
    value = (value ^ value >> 13) * _MULTIPLIER & _MASK
    return value ^ value >> 15


def _number(value: bytes, limit: int) -> int:
    """The event's id, -1 if the value holds none that was announced."""
    try:
        number = event_id(value)
    except ValueError:
        return -1
    return number if 0 <= number < limit else -1
