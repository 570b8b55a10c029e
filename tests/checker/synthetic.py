"""Made-up runs: histories and logs that fit together, for tests to spoil."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from tests.checker.batches import BatchHeader
from tests.checker.findings import Findings
from tests.checker.history import History, Outcome, Stream, Strike
from tests.checker.judge import Scope, judge
from tests.checker.model import Message
from tests.checker.records import HEAD, NO_TRANSACTION, key_of

PARTITIONS: Final = 3
LATE_MS: Final = 1_000
BASE_MS: Final = 1_700_000_000_000

_RECORDS: Final = 400
_TRANSACTIONS: Final = 12
_TRANSACTIONAL: Final = 0x10
_CONTROL: Final = 0x20
_PRODUCER: Final = 77


@dataclass(slots=True)
class Entry:
    """One record of a log."""

    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes
    is_visible: bool = True


@dataclass(slots=True)
class World:
    """A run that has ended well; change something, then `judge`."""

    history: History
    topics: dict[str, int]
    logs: dict[tuple[str, int], list[Entry]]
    batches: dict[tuple[str, int], list[BatchHeader]]
    is_transactional: bool = False
    is_copy: bool = False
    offsets: dict[int, int] = field(default_factory=dict)
    unrest: list[str] = field(default_factory=list)
    broken_replica: list[BatchHeader] | None = None

    def judge(self) -> Findings:
        """Run all checks."""
        scope = Scope(
            topics=self.topics,
            is_transactional=self.is_transactional,
            is_copy=self.is_copy,
            late_ms=LATE_MS,
        )
        return judge(self.history, scope, self)

    def find(self, outcome: Outcome, topic: str = "t") -> tuple[Stream, int]:
        """The stream and n of a record in the middle that ended so."""
        for stream in self.history.streams_of(topic):
            n = stream.outcomes.find(outcome, len(stream) // 2)
            if n >= 0:
                return stream, n
        raise LookupError(outcome)

    def entry_of(self, stream: Stream, n: int, topic: str = "t") -> tuple[list[Entry], int]:
        """The log of a record, and its index there."""
        log = self.logs[topic, stream.partition]
        names = [HEAD.unpack_from(entry.value)[2:5] for entry in log]
        return log, names.index((stream.incarnation, stream.partition, n))

    # --- a LogSource -------------------------------------------------------------------------------------

    def read(self, topic: str, take: Callable[[list[Message]], None], *, is_committed: bool) -> None:
        """See LogSource."""
        for partition in range(self.topics[topic]):
            entries = self.logs[topic, partition]
            take(
                [
                    (partition, entry.offset, entry.timestamp_ms, entry.key, entry.value)
                    for entry in entries
                    if entry.is_visible or not is_committed
                ]
            )

    def group_offsets(self, topic: str) -> Mapping[int, int]:
        """See LogSource."""
        return self.offsets

    def stuck(self) -> list[str]:
        """See LogSource."""
        return self.unrest

    def replicas(self, topic: str, partition: int) -> Mapping[str, Sequence[BatchHeader]]:
        """See LogSource."""
        headers = self.batches[topic, partition]
        is_broken = partition == 0 and self.broken_replica is not None
        return {"a": headers, "b": headers, "c": self.broken_replica or [] if is_broken else headers}


class _Log:
    """Appends to one partition, and keeps the batch headers."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.batches: list[BatchHeader] = []
        self.end = 0
        self._sequence = 0
        self._epoch = -1

    def append(self, values: list[tuple[bytes, bytes | None, int]], epoch: int, attributes: int) -> int:
        """One batch; returns its base offset."""
        base = self.end
        if epoch != self._epoch:
            self._epoch, self._sequence = epoch, 0
        for value, key, timestamp_ms in values:
            self.entries.append(Entry(self.end, timestamp_ms, key, value))
            self.end += 1
        self.batches.append(_header(base, len(values), epoch, self._sequence, attributes))
        self._sequence += len(values)
        return base

    def mark(self, epoch: int) -> None:
        """A control batch, as KIP-890 writes it: with the epoch after the transaction's."""
        self.batches.append(_header(self.end, 1, epoch + 1, -1, _TRANSACTIONAL | _CONTROL))
        self.end += 1


def _header(base: int, count: int, epoch: int, sequence: int, attributes: int) -> BatchHeader:
    return BatchHeader(base, 2, base * 7919, attributes, count - 1, _PRODUCER, epoch, sequence, count)


def idempotent_world(seed: int = 1) -> World:
    """One client, three partitions, a few records that failed or whose outcome is not known."""
    choose = random.Random(seed)
    history = History(b"run-%04d" % seed, BASE_MS)
    logs = [_Log() for _ in range(PARTITIONS)]
    for stream in history.begin_incarnation("t", PARTITIONS, "made up"):
        _fill(history, stream, logs[stream.partition], choose)
    history.strikes.append(Strike("kill", 1, 100, 150, 200))
    return _world(history, {"t": logs})


def _fill(history: History, stream: Stream, log: _Log, choose: random.Random) -> None:
    epoch = 0
    while len(stream) < _RECORDS:
        count = min(_RECORDS - len(stream), choose.randint(1, 30))
        first = stream.accept(count, len(stream))
        at_ms, fate = first + 20, choose.random()
        if fate < 0.1:
            stream.settled_run(first, [(Outcome.FAIL, "refused")] * count, at_ms)
            epoch += 1
            continue
        is_there = fate < 0.8 or choose.random() < 0.5
        base = log.append(_values(history, stream, first, count), epoch, 0) if is_there else 0
        if fate < 0.5:
            stream.ok_run(first, count, base, at_ms)
        elif fate < 0.8:
            for n in range(first, first + count):
                stream.ok(n, base + n - first, at_ms)
        else:
            stream.settled_run(first, [(Outcome.INFO, "timeout")] * count, at_ms)
            epoch += not is_there


def _values(
    history: History, stream: Stream, first: int, count: int, transaction: int = NO_TRANSACTION
) -> list[tuple[bytes, bytes | None, int]]:
    values = history.records.values(stream.incarnation, stream.partition, first, count, transaction)
    return _with_keys(history, values, first)


def _with_keys(history: History, values: list[bytes], first: int) -> list[tuple[bytes, bytes | None, int]]:
    return [
        (value, key_of(value, n), history.records.timestamp_ms(n))
        for n, value in enumerate(values, start=first)
    ]


def transactional_world(seed: int = 1) -> World:
    """Transactions over three partitions: committed, aborted, and uncertain of both kinds."""
    history = History(b"run-%04d" % seed, BASE_MS)
    logs = [_Log() for _ in range(PARTITIONS)]
    streams = history.begin_incarnation("t", PARTITIONS, "made up", "writer")
    choose = random.Random(seed)
    for number in range(_TRANSACTIONS):
        outcome = (Outcome.OK, Outcome.OK, Outcome.FAIL, Outcome.INFO)[number % 4]
        is_committed = outcome is Outcome.OK or number % 8 == 3
        transaction = history.begin_transaction(0, number)
        for stream, log in zip(streams, logs, strict=True):
            count = choose.randint(5, 20)
            first = stream.accept(count, len(stream), number)
            base = log.append(_values(history, stream, first, count, number), number, _TRANSACTIONAL)
            for n in range(first, first + count):
                stream.ok(n, base + n - first, n + 20)
            for entry in log.entries[-count:]:
                entry.is_visible = is_committed
            log.mark(number)
        history.end_transaction(transaction, outcome)
    world = _world(history, {"t": logs})
    world.is_transactional = True
    return world


def copy_world(seed: int = 1) -> World:
    """An input topic and its copies; some transactions were aborted and done again."""
    history = History(b"run-%04d" % seed, BASE_MS)
    choose = random.Random(seed)
    inputs, outputs = ([_Log() for _ in range(PARTITIONS)] for _ in range(2))
    for stream in history.begin_incarnation("in", PARTITIONS, "made up"):
        _fill(history, stream, inputs[stream.partition], choose)
    streams = history.begin_incarnation("out", PARTITIONS, "made up", "copier")
    number = 0
    for partition, (source, log) in enumerate(zip(inputs, outputs, strict=True)):
        at = 0
        while at < len(source.entries):
            entries = source.entries[at : at + 40]
            is_committed = choose.random() < 0.8
            _copy(history, streams[partition], log, entries, number, is_committed=is_committed)
            at += len(entries) if is_committed else 0
            number += 1
    world = _world(history, {"in": inputs, "out": outputs})
    world.is_transactional = world.is_copy = True
    world.offsets = {partition: log.end for partition, log in enumerate(inputs)}
    return world


def _copy(
    history: History, stream: Stream, log: _Log, entries: list[Entry], number: int, *, is_committed: bool
) -> None:
    transaction = history.begin_transaction(stream.incarnation, number)
    first = stream.accept(len(entries), len(stream), number)
    values = [
        history.records.copy(
            stream.incarnation, stream.partition, n, number, (stream.partition, entry.offset), entry.value
        )
        for n, entry in enumerate(entries, start=first)
    ]
    base = log.append(_with_keys(history, values, first), number, _TRANSACTIONAL)
    stream.ok_run(first, len(entries), base, len(stream) + 20)
    for entry in log.entries[-len(entries) :]:
        entry.is_visible = is_committed
    log.mark(number)
    history.end_transaction(transaction, Outcome.OK if is_committed else Outcome.FAIL)


def _world(history: History, logs: Mapping[str, Sequence[_Log]]) -> World:
    places = {(topic, p): log for topic, of_topic in logs.items() for p, log in enumerate(of_topic)}
    return World(
        history,
        {topic: len(of_topic) for topic, of_topic in logs.items()},
        {place: log.entries for place, log in places.items()},
        {place: log.batches for place, log in places.items()},
    )
