"""All checks in their order, over a source of logs: a real cluster, or what a test made up."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from tests.checker.batches import BatchHeader, audit, compare_replicas
from tests.checker.findings import Fault, Findings
from tests.checker.history import History
from tests.checker.model import (
    Message,
    OriginalsReader,
    StreamKey,
    View,
    ack_times,
    check_completions,
    check_copies,
    check_records,
    check_recovery,
    check_transactions,
    on_any_partition,
)

RECOVERY_LIMIT_MS: Final = 5_000


class LogSource(Protocol):
    """Where the logs are read."""

    def read(self, topic: str, take: Callable[[list[Message]], None], *, is_committed: bool) -> None:
        """Hand over all records of a topic, read_committed or read_uncommitted."""

    def group_offsets(self, topic: str) -> Mapping[int, int]:
        """What the copiers' group has committed of a topic."""

    def stuck(self) -> list[str]:
        """What has not come to rest, in words."""

    def replicas(self, topic: str, partition: int) -> Mapping[str, Sequence[BatchHeader]]:
        """The batches of a partition by broker; the brokers serve nobody afterwards."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What there is to check.

    Args:
        topics: partitions of each; with `is_copy` the first holds the originals of the second.
        is_transactional: whether a second, committed reading is to be compared.
        is_copy: whether the copies are to be compared with the originals.
        late_ms: a completion after this time is late.
    """

    topics: Mapping[str, int]
    is_transactional: bool
    is_copy: bool
    late_ms: int


def judge(history: History, scope: Scope, source: LogSource) -> Findings:
    """Check everything; returns what was found."""
    findings = Findings()
    for what in source.stuck():
        findings.add(Fault.STUCK, what)
    seen: dict[StreamKey, bytearray] = {}
    visible: dict[StreamKey, bytearray] = {}
    originals = OriginalsReader()
    for index, topic in enumerate(scope.topics):
        is_output = scope.is_copy and index > 0
        if scope.is_copy and not is_output:
            source.read(topic, originals.take, is_committed=True)
        of_copies = originals.originals if is_output else None
        view = View(history, topic, findings, of_copies)
        source.read(topic, view.take, is_committed=False)
        view.finish()
        seen |= view.seen
        if scope.is_transactional:
            committed = View(history, topic, None, of_copies)
            source.read(topic, committed.take, is_committed=True)
            visible |= committed.seen
            if of_copies is not None:
                offsets = source.group_offsets(next(iter(scope.topics)))
                check_copies(of_copies, committed.copied, offsets, findings)
    check_records(history, seen, findings)
    if scope.is_transactional:
        check_transactions(history, seen, visible, findings)
    check_completions(history, findings, scope.late_ms)
    check_recovery(history, acknowledgements(history, scope), findings, RECOVERY_LIMIT_MS)
    _check_batches(scope, source, findings)
    return findings


def acknowledgements(history: History, scope: Scope) -> dict[str, dict[int, list[int]]]:
    """When each topic and partition was acknowledged; of copies the consumer decides which partition is next."""
    times = {topic: ack_times(history, topic) for topic in scope.topics}
    if scope.is_copy:
        output = list(scope.topics)[1]
        times[output] = on_any_partition(times[output])
    return times


def _check_batches(scope: Scope, source: LogSource, findings: Findings) -> None:
    for topic, partitions in scope.topics.items():
        for partition in range(partitions):
            name = f"{topic}-{partition}"
            replicas = source.replicas(topic, partition)
            compare_replicas(name, replicas, findings)
            audit(name, next(iter(replicas.values())), findings)
