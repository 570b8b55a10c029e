"""The kinds of fault that the checker knows, and a place to collect them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

_EXAMPLES: Final = 5


class Fault(StrEnum):
    """What must not be; the value is its name in a verdict."""

    LOST = "lost"  # acknowledged, and not in the log
    DUPLICATE = "duplicate"
    ORDER = "order"  # behind a record that was sent later
    WRONG_OFFSET = "wrong offset"  # in the log, but not where the acknowledgement said
    WRONG_PLACE = "wrong place"  # in another topic or partition
    FALSE_FAILURE = "false failure"  # called "surely not in the log", and is
    PHANTOM = "phantom"  # never sent
    CORRUPT = "corrupt"  # value, key or timestamp differ from what was sent
    ABORTED_VISIBLE = "aborted visible"
    COMMITTED_INVISIBLE = "committed invisible"
    TORN = "torn"  # an uncertain transaction of which a part is visible
    COMMITTED_FAILURE = "committed failure"  # the commit succeeded although a record had failed
    NOT_COPIED = "not copied"
    COPIED_TWICE = "copied twice"
    GROUP_OFFSET = "group offset"
    SEQUENCE = "sequence"
    EPOCH = "epoch"  # a batch of an older epoch behind one of a newer
    MARKER = "marker"  # a control batch of another epoch than its transaction
    REPLICAS = "replicas"  # replicas that differ
    STUCK = "stuck"  # last stable offset below the high watermark, an open transaction, threads left behind
    NOT_COMPLETED = "not completed"
    COMPLETED_TWICE = "completed twice"
    LATE = "late"  # completed, but after delivery.timeout.ms
    ACK_ORDER = "ack order"  # callbacks out of the order of offsets
    RECOVERY = "recovery"  # no acknowledgement in time after the healing


@dataclass(slots=True)
class Findings:
    """Counts by fault, and a few examples of each."""

    counts: Counter[Fault] = field(default_factory=Counter)
    examples: dict[Fault, list[str]] = field(default_factory=dict)

    def add(self, fault: Fault, what: str, *, count: int = 1, near: Iterable[str] = ()) -> None:
        """Note a fault; `near` is what the history holds next to it, kept for the first of a kind."""
        self.counts[fault] += count
        kept = self.examples.setdefault(fault, [])
        if not kept:
            kept.append(what)
            kept.extend(f"    {line}" for line in near)
        elif sum(1 for line in kept if line[0] != " ") < _EXAMPLES:
            kept.append(what)

    def has_room(self, fault: Fault) -> bool:
        """Whether an example more would be kept; spares making one."""
        return self.counts[fault] < _EXAMPLES

    @property
    def faults(self) -> set[Fault]:
        """The kinds that were found."""
        return {fault for fault, count in self.counts.items() if count}
