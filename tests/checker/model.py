"""The checks: what the clients told, against what readers see in the log."""

from __future__ import annotations

import bisect
import itertools
import operator
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, TypeAlias

from tests.checker.findings import Fault, Findings
from tests.checker.history import NO_OFFSET, History, Outcome, Stream, Strike
from tests.checker.records import HEAD, SOURCE, Identity, Kind, fingerprint, key_of

# partition, offset, timestamp in ms, key, value
Message: TypeAlias = tuple[int, int, int, bytes | None, bytes]
StreamKey: TypeAlias = tuple[int, int]
Originals: TypeAlias = dict[int, "array[int]"]

_TICK_MS: Final = 20
_UNREAD: Final = -1


class View:
    """What one reader sees of one topic; messages come in the order of offsets within a partition.

    Args:
        history: of the run.
        topic: which is read.
        findings: gets what is wrong with single records; None to count records alone, for a second reading.
        originals: fingerprints of the records that this topic holds copies of, by partition and offset.
    """

    def __init__(
        self, history: History, topic: str, findings: Findings | None, originals: Originals | None = None
    ) -> None:
        self.seen: dict[StreamKey, bytearray] = {}
        self.copied: dict[int, bytearray] = {p: bytearray(len(c)) for p, c in (originals or {}).items()}
        self.read = 0
        self._history = history
        self._topic = topic
        self._findings = findings
        self._originals = originals or {}
        self._newest: dict[StreamKey, int] = {}
        self._streams: dict[StreamKey, Stream] = {}
        self._elsewhere: dict[tuple[int, int, int], int] = {}
        for stream in history.streams_of(topic):
            key = (stream.incarnation, stream.partition)
            self._streams[key] = stream
            self.seen[key] = bytearray(len(stream))
            self._newest[key] = -1

    def take(self, messages: Iterable[Message]) -> None:
        """Judge messages."""
        for message in messages:
            self.read += 1
            partition, offset, _, _, value = message
            stream = None
            if len(value) >= HEAD.size:
                identity = Identity._make(HEAD.unpack_from(value))
                stream = self._streams.get((identity.incarnation, identity.partition))
            if stream is None or identity.n >= len(stream) or identity.run != self._history.records.run:
                self._note_stranger(message)
                continue
            if stream.partition != partition:
                self._note(Fault.WRONG_PLACE, identity, f"in {self._topic}-{partition} at {offset}")
                continue
            if self._findings is not None:
                self._judge(stream, identity, message)
            self._count(stream, identity, message)

    def _count(self, stream: Stream, identity: Identity, message: Message) -> None:
        seen = self.seen[stream.incarnation, stream.partition]
        seen[identity.n] = min(255, seen[identity.n] + 1)
        if identity.kind == Kind.COPY:
            self._count_copy(message[4])

    def _count_copy(self, value: bytes) -> None:
        partition, offset = SOURCE.unpack_from(value, HEAD.size)
        copied = self.copied.get(partition, bytearray())
        if offset < len(copied):
            copied[offset] = min(255, copied[offset] + 1)

    def _judge(self, stream: Stream, identity: Identity, message: Message) -> None:
        offset, n = message[1], identity.n
        if not self._is_intact(stream, identity, message):
            self._note(Fault.CORRUPT, identity, f"at {offset} differs from what was sent")
        key = (stream.incarnation, stream.partition)
        if stream.offsets[n] in (NO_OFFSET, offset):
            self._elsewhere.pop((*key, n), None)
        elif not self.seen[key][n]:
            self._elsewhere[*key, n] = offset
        if self.seen[key][n]:
            self._note(Fault.DUPLICATE, identity, f"again at {offset}")
        elif n < self._newest[key]:
            self._note(Fault.ORDER, identity, f"at {offset} behind n={self._newest[key]}")
        else:
            self._newest[key] = n

    def finish(self) -> None:
        """Judge what takes the whole log: of a duplicate, either copy may be where the acknowledgement said."""
        for (incarnation, partition, n), offset in self._elsewhere.items():
            told = self._history.streams[incarnation, partition].offsets[n]
            identity = Identity(self._history.records.run, 0, incarnation, partition, n, 0)
            self._note(Fault.WRONG_OFFSET, identity, f"is at {offset}, was acknowledged at {told}")

    def _is_intact(self, stream: Stream, identity: Identity, message: Message) -> bool:
        _, _, timestamp_ms, key, value = message
        n, records = identity.n, self._history.records
        if identity.kind == Kind.COPY:
            if not self._is_copy_intact(value):
                return False
        elif value[HEAD.size :] != records.filler(identity.incarnation, identity.partition, n):
            return False
        is_dated = timestamp_ms == records.timestamp_ms(n)
        return is_dated and key == key_of(value, n) and identity.transaction == stream.transactions[n]

    def _is_copy_intact(self, value: bytes) -> bool:
        payload = HEAD.size + SOURCE.size
        if len(value) < payload:
            return False
        partition, offset = SOURCE.unpack_from(value, HEAD.size)
        originals = self._originals.get(partition, array("q"))
        return bool(offset < len(originals) and originals[offset] == fingerprint(value[payload:]))

    def _note_stranger(self, message: Message) -> None:
        if self._findings is None:
            return
        partition, offset, _, _, value = message
        told = Identity._make(HEAD.unpack_from(value)) if len(value) >= HEAD.size else None
        if told is not None and told.run == self._history.records.run:
            home = self._history.streams.get((told.incarnation, told.partition))
            if home is not None and told.n < len(home):
                self._note(Fault.WRONG_PLACE, told, f"in topic {self._topic}")
                return
        self._findings.add(
            Fault.PHANTOM, f"{self._topic}-{partition} at {offset}: {value[: HEAD.size].hex()}"
        )

    def _note(self, fault: Fault, identity: Identity, what: str) -> None:
        if self._findings is None:
            return
        place = (identity.incarnation, identity.partition, identity.n)
        near = self._history.around(*place) if self._findings.has_room(fault) else ()
        self._findings.add(fault, f"{_name(*place)} {what}", near=near)


class OriginalsReader:
    """Remembers a fingerprint of every record of a topic that is copied."""

    def __init__(self) -> None:
        self.originals: Originals = {}

    def take(self, messages: Iterable[Message]) -> None:
        """Take messages in the order of offsets within a partition."""
        for partition, offset, _, _, value in messages:
            column = self.originals.setdefault(partition, array("q"))
            column.extend([_UNREAD] * (offset - len(column)))
            column.append(fingerprint(value))


# --- records and their completions -------------------------------------------------------------------------


def check_records(history: History, seen: Mapping[StreamKey, bytearray], findings: Findings) -> None:
    """Nothing acknowledged is missing, nothing is there that surely failed."""
    for key, stream in history.streams.items():
        there = seen[key]
        for n in _where(stream.outcomes, Outcome.OK, there, is_there=False):
            _note_row(history, stream, n, Fault.LOST, findings)
        for n in _where(stream.outcomes, Outcome.FAIL, there, is_there=True):
            _note_row(history, stream, n, Fault.FALSE_FAILURE, findings)
        for first, count, acknowledged, absent in stream.counted:
            present = sum(map(bool, there[first : first + count]))
            what = f"{_name(*key, first)} and the {count - 1} after it: {present} are there"
            if present < acknowledged:
                findings.add(Fault.LOST, f"{what}, {acknowledged} acknowledged", count=acknowledged - present)
            if present > count - absent:
                excess = present - (count - absent)
                findings.add(Fault.FALSE_FAILURE, f"{what}, {absent} surely failed", count=excess)


def check_completions(history: History, findings: Findings, limit_ms: int) -> None:
    """Each record completed once, in time, and acknowledgements came in the order of offsets."""
    for key, stream in history.streams.items():
        for n in _positions(stream.completions.translate(_IS_ZERO)):
            _note_row(history, stream, n, Fault.NOT_COMPLETED, findings)
        for n in _positions(stream.completions.translate(_IS_SEVERAL)):
            _note_row(history, stream, n, Fault.COMPLETED_TWICE, findings)
        if max(map(operator.sub, stream.done_ms, stream.sent_ms), default=0) > limit_ms:
            for n, (sent, done) in enumerate(zip(stream.sent_ms, stream.done_ms, strict=True)):
                if done - sent > limit_ms:
                    _note_row(history, stream, n, Fault.LATE, findings)
        if stream.acks_out_of_order:
            what = f"{_name(*key, 0)[:-4]}: {stream.acks_out_of_order} acknowledgements behind a later one"
            findings.add(Fault.ACK_ORDER, what, count=stream.acks_out_of_order)


def _note_row(history: History, stream: Stream, n: int, fault: Fault, findings: Findings) -> None:
    near = history.around(stream.incarnation, stream.partition, n) if findings.has_room(fault) else ()
    findings.add(fault, _name(stream.incarnation, stream.partition, n), near=near)


def _name(incarnation: int, partition: int, n: int) -> str:
    return f"incarnation {incarnation} partition {partition} n={n}"


_IS_ZERO: Final = bytes([1]) + bytes(255)
_IS_SOME: Final = bytes([0]) + bytes([1]) * 255
_IS_SEVERAL: Final = bytes([0, 0]) + bytes([1]) * 254


def _where(outcomes: bytearray, outcome: Outcome, seen: bytearray, *, is_there: bool) -> Iterator[int]:
    """Which records ended so and are, or are not, in the log; whole columns at a time, in C."""
    wanted = bytes(1 if value == outcome else 0 for value in range(256))
    ended = int.from_bytes(outcomes.translate(wanted), "big")
    there = int.from_bytes(seen.translate(_IS_SOME if is_there else _IS_ZERO), "big")
    return _positions((ended & there).to_bytes(len(outcomes), "big"))


def _positions(flags: bytes | bytearray) -> Iterator[int]:
    at = flags.find(1)
    while at >= 0:
        yield at
        at = flags.find(1, at + 1)


# --- transactions ------------------------------------------------------------------------------------------


def check_transactions(
    history: History,
    seen: Mapping[StreamKey, bytearray],
    visible: Mapping[StreamKey, bytearray],
    findings: Findings,
) -> None:
    """Committed means all, aborted means none, uncertain means all or none."""
    # (transaction, outcome of the record, in the log, visible): how many records
    tables: dict[int, Counter[tuple[int, int, int, int]]] = {}
    for key, stream in history.streams.items():
        in_log, is_visible = seen[key].translate(_IS_SOME), visible[key].translate(_IS_SOME)
        rows = zip(stream.transactions, stream.outcomes, in_log, is_visible, strict=True)
        tables.setdefault(key[0], Counter()).update(rows)
    sums: dict[tuple[int, int], Counter[str]] = {}
    for incarnation, table in tables.items():
        for (number, outcome, is_there, is_shown), count in table.items():
            facts = sums.setdefault((incarnation, number), Counter())
            facts["visible"] += count * is_shown
            facts["hidden"] += count * (is_there and not is_shown)
            facts["failed"] += count * (outcome in (Outcome.FAIL, Outcome.INFO))
    for key, transaction in history.transactions.items():
        facts = sums.get(key, Counter())
        fault = _fault_of(transaction.outcome, facts)
        if fault is not None:
            what = f"incarnation {key[0]} transaction {key[1]}, {transaction.outcome.name.lower()}"
            findings.add(fault, f"{what} {transaction.cause}: {dict(facts)}")


def _fault_of(outcome: Outcome, facts: Counter[str]) -> Fault | None:
    if outcome is Outcome.OK and facts["failed"]:
        return Fault.COMMITTED_FAILURE
    if outcome is Outcome.OK and facts["hidden"]:
        return Fault.COMMITTED_INVISIBLE
    if outcome is Outcome.FAIL and facts["visible"]:
        return Fault.ABORTED_VISIBLE
    if outcome in (Outcome.INFO, Outcome.PENDING) and facts["visible"] and facts["hidden"]:
        return Fault.TORN
    return None


def check_copies(
    originals: Originals,
    copied: Mapping[int, bytearray],
    group_offsets: Mapping[int, int],
    findings: Findings,
) -> None:
    """Each input record is in the output once, and the group's offset is behind the last one."""
    for partition, column in originals.items():
        counts = copied.get(partition, bytearray(len(column)))
        for offset in _positions(counts.translate(_IS_ZERO)):
            findings.add(Fault.NOT_COPIED, f"input partition {partition} offset {offset}")
        for offset in _positions(counts.translate(_IS_SEVERAL)):
            findings.add(
                Fault.COPIED_TWICE, f"input partition {partition} offset {offset}: {counts[offset]} times"
            )
        told = group_offsets.get(partition, 0)
        if told != len(column):
            findings.add(Fault.GROUP_OFFSET, f"input partition {partition}: {told}, its end is {len(column)}")


# --- time --------------------------------------------------------------------------------------------------


def ack_times(history: History, topic: str) -> dict[int, list[int]]:
    """When each partition of a topic was acknowledged, to 20 ms, in milliseconds since the run began."""
    ticks: dict[int, set[int]] = {}
    for stream in history.streams_of(topic):
        acked = zip(stream.outcomes, stream.done_ms, strict=True)
        ticks.setdefault(stream.partition, set()).update(
            done // _TICK_MS for outcome, done in acked if outcome == Outcome.OK
        )
    return {partition: [tick * _TICK_MS for tick in sorted(found)] for partition, found in ticks.items()}


def on_any_partition(times: Mapping[int, list[int]]) -> dict[int, list[int]]:
    """The same for a topic whose writer does not choose which partition is next."""
    return {0: sorted(set().union(*times.values()))}


def recovery_ms(strike: Strike, times: Mapping[int, list[int]]) -> float:
    """How long after the healing the last partition was acknowledged again; infinity if one never was."""
    longest = 0.0
    for acks in times.values():
        at = bisect.bisect_left(acks, strike.healed_ms)
        longest = max(longest, acks[at] - strike.healed_ms if at < len(acks) else float("inf"))
    return longest


def longest_gap_ms(times: Mapping[int, list[int]], since_ms: int, until_ms: int) -> int:
    """The longest time without an acknowledgement of a partition that began in a span."""
    longest = 0
    for acks in times.values():
        first = max(0, bisect.bisect_left(acks, since_ms) - 1)
        span = acks[first : bisect.bisect_right(acks, until_ms) + 1]
        longest = max(longest, max((b - a for a, b in itertools.pairwise(span)), default=0))
    return longest


def check_recovery(
    history: History, times: Mapping[str, Mapping[int, list[int]]], findings: Findings, limit_ms: int
) -> None:
    """Every partition is acknowledged again soon after each healing."""
    for strike in history.strikes:
        for topic, of_topic in times.items():
            took = recovery_ms(strike, of_topic)
            if took > limit_ms:
                what = f"{topic}: {took:g} ms after the healing at {strike.healed_ms} ms ({strike.fault})"
                findings.add(Fault.RECOVERY, what)
