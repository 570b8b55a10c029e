"""What the clients told during a run: a column for each fact, a row for each record, a stream for each partition.

Ten million records take about 250 MB here. Written to disk it is gzip: JSON lines, each followed by the columns
that it announces.
"""

from __future__ import annotations

import gzip
import json
import threading
import time
from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from gzip import GzipFile
from pathlib import Path
from typing import Any, Final

from tests.checker.records import NO_TRANSACTION, Records

NO_OFFSET: Final = -1  # acknowledged, but the client did not tell where
_COUNT_UP: Final = bytes([*range(1, 256), 255])
_CAUSES_KEPT: Final = 1000


class Outcome(IntEnum):
    """What became of a record or of a transaction, as far as its sender knows."""

    PENDING = 0
    OK = 1
    FAIL = 2  # surely not in the log; for a transaction: surely aborted
    INFO = 3  # either


@dataclass(slots=True)
class Stream:
    """The records that one incarnation of a client sent to one partition; indices are n.

    One thread sends; completions come from any thread.
    """

    incarnation: int
    partition: int
    outcomes: bytearray = field(default_factory=bytearray)
    completions: bytearray = field(default_factory=bytearray)
    offsets: array[int] = field(default_factory=lambda: array("q"))
    sent_ms: array[int] = field(default_factory=lambda: array("I"))
    done_ms: array[int] = field(default_factory=lambda: array("I"))
    transactions: array[int] = field(default_factory=lambda: array("i"))
    acks_out_of_order: int = 0
    # (first, count, acknowledged, surely absent): of these records only the numbers are known.
    counted: list[tuple[int, int, int, int]] = field(default_factory=list)
    causes: Counter[str] = field(default_factory=Counter)
    last_acked: int = NO_OFFSET

    def __len__(self) -> int:
        return len(self.outcomes)

    def accept(self, count: int, at_ms: int, transaction: int = NO_TRANSACTION) -> int:
        """Make room for records about to be sent; returns the n of the first."""
        first = len(self.outcomes)
        self.offsets.extend([NO_OFFSET] * count)
        self.sent_ms.extend([at_ms] * count)
        self.done_ms.extend([0] * count)
        self.transactions.extend([transaction] * count)
        self.completions.extend(bytes(count))
        self.outcomes.extend(bytes(count))
        return first

    def withdraw(self, count: int) -> None:
        """Take the newest records back: the client refused them at the call."""
        if count:
            for column in self.columns().values():
                del column[-count:]

    def ok(self, n: int, offset: int, at_ms: int) -> None:
        """One record was acknowledged; callbacks call it in their order."""
        self._complete(n, Outcome.OK, at_ms)
        self.offsets[n] = offset
        if offset != NO_OFFSET:
            self.acks_out_of_order += offset <= self.last_acked
            self.last_acked = offset

    def ok_run(self, first: int, count: int, offset: int, at_ms: int) -> None:
        """Records were acknowledged together; the offset is that of the first."""
        self._complete_run(first, count, Outcome.OK, at_ms)
        self.offsets[first] = offset

    def fail(self, n: int, cause: str, at_ms: int) -> None:
        """One record is surely not in the log."""
        self._complete(n, Outcome.FAIL, at_ms)
        self.causes[cause] += 1

    def info(self, n: int, cause: str, at_ms: int) -> None:
        """One record may be in the log."""
        self._complete(n, Outcome.INFO, at_ms)
        self.causes[cause] += 1

    def counted_run(self, first: int, count: int, failures: list[tuple[Outcome, str]], at_ms: int) -> None:
        """Of these records as many failed as there are failures, and nobody knows which."""
        self._complete_run(first, count, Outcome.INFO, at_ms)
        absent = sum(1 for outcome, _ in failures if outcome is Outcome.FAIL)
        self.counted.append((first, count, count - len(failures), absent))
        self.causes.update(cause for _, cause in failures)

    def settled_run(self, first: int, outcomes: list[tuple[Outcome, str]], at_ms: int) -> None:
        """None of these records was acknowledged."""
        self._complete_run(first, len(outcomes), Outcome.INFO, at_ms)
        for n, (outcome, cause) in enumerate(outcomes, start=first):
            self.outcomes[n] = outcome
            self.causes[cause] += 1

    def _complete(self, n: int, outcome: Outcome, at_ms: int) -> None:
        self.completions[n] += 1
        self.outcomes[n] = outcome
        self.done_ms[n] = at_ms

    def _complete_run(self, first: int, count: int, outcome: Outcome, at_ms: int) -> None:
        run = slice(first, first + count)
        self.completions[run] = self.completions[run].translate(_COUNT_UP)
        self.outcomes[run] = bytes((outcome,)) * count
        self.done_ms[run] = array("I", (at_ms,)) * count

    def columns(self) -> dict[str, bytearray | array[int]]:
        """The columns by name."""
        return {
            "outcomes": self.outcomes,
            "completions": self.completions,
            "offsets": self.offsets,
            "sent_ms": self.sent_ms,
            "done_ms": self.done_ms,
            "transactions": self.transactions,
        }

    def row(self, n: int) -> str:
        """One record in words."""
        offset = self.offsets[n]
        place = f" at {offset}" if offset != NO_OFFSET else ""
        transaction = self.transactions[n]
        part_of = "" if transaction == NO_TRANSACTION else f" in transaction {transaction}"
        return (
            f"n={n} {Outcome(self.outcomes[n]).name.lower()}{place}{part_of}, sent {self.sent_ms[n]} ms,"
            f" done {self.done_ms[n]} ms, {self.completions[n]} completions"
        )


@dataclass(frozen=True, slots=True)
class Incarnation:
    """One life of a client: it writes to one topic, and its numbers n begin at 0."""

    number: int
    topic: str
    client: str
    transactional_id: str | None = None


@dataclass(slots=True)
class Transaction:
    """One transaction; both times are milliseconds since the run began."""

    incarnation: int
    number: int
    begun_ms: int
    ended_ms: int = 0
    outcome: Outcome = Outcome.PENDING
    cause: str = ""


@dataclass(frozen=True, slots=True)
class Strike:
    """One fault of the nemesis; times are milliseconds since the run began, healed when every ISR was full."""

    fault: str
    broker: int
    began_ms: int
    undone_ms: int
    healed_ms: int


class History:
    """All that is known of a run. Any thread."""

    def __init__(self, run: bytes, base_ms: int, *, started: float | None = None) -> None:
        self.records = Records(run, base_ms)
        self.started = time.monotonic() if started is None else started
        self.incarnations: list[Incarnation] = []
        self.streams: dict[tuple[int, int], Stream] = {}
        self.transactions: dict[tuple[int, int], Transaction] = {}
        self.strikes: list[Strike] = []
        self.refusals: Counter[str] = Counter()
        self._lock = threading.Lock()

    def now_ms(self) -> int:
        """Milliseconds since the run began."""
        return int((time.monotonic() - self.started) * 1000)

    def begin_incarnation(
        self, topic: str, partitions: int, client: str, transactional_id: str | None = None
    ) -> list[Stream]:
        """A client starts to live; returns its streams by partition."""
        with self._lock:
            number = len(self.incarnations)
            self.incarnations.append(Incarnation(number, topic, client, transactional_id))
            streams = [Stream(number, partition) for partition in range(partitions)]
            self.streams |= {(number, stream.partition): stream for stream in streams}
            return streams

    def begin_transaction(self, incarnation: int, number: int) -> Transaction:
        """A transaction starts."""
        transaction = Transaction(incarnation, number, self.now_ms())
        self.transactions[incarnation, number] = transaction
        return transaction

    def end_transaction(self, transaction: Transaction, outcome: Outcome, cause: str = "") -> None:
        """A transaction is over, as far as its sender knows."""
        transaction.outcome = outcome
        transaction.cause = cause
        transaction.ended_ms = self.now_ms()

    def streams_of(self, topic: str) -> list[Stream]:
        """The streams into a topic."""
        return [s for s in self.streams.values() if self.incarnations[s.incarnation].topic == topic]

    def count(self, outcome: Outcome) -> int:
        """How many records ended so."""
        return sum(stream.outcomes.count(outcome) for stream in self.streams.values())

    def acknowledged(self, incarnation: int, partition: int) -> int:
        """How many records of a stream are surely in the log."""
        stream = self.streams[incarnation, partition]
        return stream.outcomes.count(Outcome.OK) + sum(acked for _, _, acked, _ in stream.counted)

    def causes(self) -> Counter[str]:
        """Why records were not acknowledged."""
        return sum((stream.causes for stream in self.streams.values()), Counter())

    def around(self, incarnation: int, partition: int, n: int, rows: int = 5) -> list[str]:
        """The history next to a record, for those who look for the cause."""
        stream = self.streams[incarnation, partition]
        return [stream.row(k) for k in range(max(0, n - rows), min(len(stream), n + rows + 1))]

    # --- on disk -----------------------------------------------------------------------------------------

    def write(self, path: Path) -> None:
        """Write everything to a file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with gzip.open(path, "wb", compresslevel=1) as file:
            _write_line(file, {"run": self.records.run.hex(), "base_ms": self.records.base_ms})
            for lines in (self.incarnations, self.transactions.values(), self.strikes):
                for line in lines:
                    facts = {name: getattr(line, name) for name in type(line).__slots__}
                    _write_line(file, {type(line).__name__.lower(): facts})
            for stream in self.streams.values():
                _write_stream(file, stream)

    @classmethod
    def read(cls, path: Path) -> History:
        """Read what `write` wrote."""
        with gzip.open(path, "rb") as file:
            head = json.loads(file.readline())
            history = cls(bytes.fromhex(head["run"]), head["base_ms"])
            for line in _lines(file):
                history._take(file, line)
        return history

    def _take(self, file: GzipFile, line: dict[str, Any]) -> None:
        [(what, facts)] = line.items()
        if what == "incarnation":
            self.incarnations.append(Incarnation(**facts))
        elif what == "transaction":
            facts["outcome"] = Outcome(facts["outcome"])
            self.transactions[facts["incarnation"], facts["number"]] = Transaction(**facts)
        elif what == "strike":
            self.strikes.append(Strike(**facts))
        else:
            self.streams[facts["incarnation"], facts["partition"]] = _read_stream(file, facts)


def _write_line(file: GzipFile, line: dict[str, Any]) -> None:
    file.write(json.dumps(line).encode() + b"\n")


def _lines(file: GzipFile) -> Iterator[dict[str, Any]]:
    while line := file.readline():
        yield json.loads(line)


def _write_stream(file: GzipFile, stream: Stream) -> None:
    facts = {
        "incarnation": stream.incarnation,
        "partition": stream.partition,
        "count": len(stream),
        "acks_out_of_order": stream.acks_out_of_order,
        "counted": stream.counted,
        "causes": dict(stream.causes.most_common(_CAUSES_KEPT)),
    }
    _write_line(file, {"stream": facts})
    for column in stream.columns().values():
        file.write(column)


def _read_stream(file: GzipFile, facts: dict[str, Any]) -> Stream:
    stream = Stream(facts["incarnation"], facts["partition"])
    stream.acks_out_of_order = facts["acks_out_of_order"]
    stream.counted = [(first, count, acked, absent) for first, count, acked, absent in facts["counted"]]
    stream.causes = Counter(facts["causes"])
    for column in stream.columns().values():
        if isinstance(column, array):
            column.frombytes(file.read(facts["count"] * column.itemsize))
        else:
            column.extend(file.read(facts["count"]))
    return stream
