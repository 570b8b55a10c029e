"""Partitions that the pump holds after a failure: judged by the tables of client/, then resumed or failed.

It decides nothing: codes are judged by `client.delivery`, identities by `client.idempotence`, gaps by `client.gaps`.
Control thread only; `now` is milliseconds of a monotonic clock.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from typing import Protocol

from kproducer._core.events import Action, BatchRefused, PartitionQuiet
from kproducer.client.connection import Answer
from kproducer.client.delivery import DeliveryPolicy, Verdict, verdict
from kproducer.client.gaps import SequenceGaps
from kproducer.client.idempotence import IdentityChange, NewIdentity, ProducerIdentity, Resume
from kproducer.client.metadata import ClusterView
from kproducer.client.nodes import NodeDirectory
from kproducer.config import HostPort
from kproducer.engine.topics import Topics
from kproducer.errors import KafkaError, error_for

logger = logging.getLogger(__name__)


class HoldPump(Protocol):
    """What holds need of the pump; see `_core.pump` for the meaning of each command."""

    def fail_partition(
        self, topic: str, partition: int, code: int, message: str | None, *, is_refusal: bool = False
    ) -> None: ...
    def verdict(
        self,
        topic: str,
        partition: int,
        batch_id: int,
        action: Action,
        *,
        code: int = 0,
        message: str | None = None,
        persisted: int = 0,
        record_errors: Sequence[tuple[int, int, str | None]] = (),
        is_refusal: bool = False,
    ) -> None: ...
    def resume(self, topic: str, partition: int, hold_gen: int, delay_ms: int, new_epoch: bool) -> None: ...
    def producer_id(self, producer_id: int, epoch: int) -> None: ...


class Holds:
    """See the module.

    Args:
        die: ends the producer.
        pump: holds partitions and takes what was decided.
        topics, cluster, nodes: a refusal may name a newer leader.
        identity, policy, gaps: the tables.
        jitter: source of random numbers in [0, 1).
    """

    def __init__(
        self,
        die: Callable[[KafkaError], None],
        pump: HoldPump,
        topics: Topics,
        *,
        cluster: ClusterView,
        nodes: NodeDirectory,
        identity: ProducerIdentity,
        policy: DeliveryPolicy,
        gaps: SequenceGaps,
        jitter: Callable[[], float],
    ) -> None:
        self._die = die
        self._pump = pump
        self._topics = topics
        self._cluster = cluster
        self._nodes = nodes
        self._identity = identity
        self._policy = policy
        self._gaps = gaps
        self._jitter = jitter

    # --- the pump's events -------------------------------------------------------------------------------

    def on_refused(self, event: BatchRefused, now: float) -> None:
        """A broker refused a batch, or its connection ended first."""
        has_newer_leader = self._take_hint(event)
        decided = verdict(event, self._policy, has_newer_leader=has_newer_leader, jitter=self._jitter())
        logger.debug(
            "%s-%d refused with code %d, attempt %d: %s",
            event.topic, event.partition, event.code, event.attempts, decided.action.name,
        )  # fmt: skip
        gap = self._gaps.note(event.topic, event.partition) if decided.is_gap else None
        if gap is None:
            self._carry_out(event, decided, now)
        else:
            self._stop_at_gap(event, decided, gap)

    def on_quiet(self, event: PartitionQuiet, now: float) -> None:
        """Nothing of a held partition is in flight any more."""
        if event.has_gap and not self._policy.is_transactional:  # which aborts what may be lost
            gap = self._gaps.note(event.topic, event.partition)
            if gap is not None:
                self._die(gap)
                return
        seen = (event.producer_id, event.producer_epoch)
        wanted = IdentityChange.BUMP if event.unresolved and event.producer_id >= 0 else IdentityChange.KEEP
        self._resume_with(Resume(event.topic, event.partition, event.hold_gen, 0.0), wanted, seen)

    # --- producer ids ------------------------------------------------------------------------------------

    def on_producer_id(self, answer: Answer, now: float) -> None:
        """Take an answer to InitProducerId; partitions that wait for it go on."""
        try:
            identity = self._identity.answered(answer.response, now)
        except KafkaError as error:
            self._die(error)
            return
        if identity is not None:
            self._adopt(identity)

    def _adopt(self, identity: NewIdentity) -> None:
        logger.debug("producer id %d, epoch %d", identity.producer_id, identity.epoch)
        self._pump.producer_id(identity.producer_id, identity.epoch)
        for resume in identity.resumes:
            self._resume(resume, new_epoch=True)

    # --- inside ------------------------------------------------------------------------------------------

    def _take_hint(self, event: BatchRefused) -> bool:
        """Follow the answer's word on who leads now (KIP-951); return whether that was news."""
        hint = event.hint
        if hint is not None and hint.host is not None and hint.leader >= 0:
            self._nodes.add(hint.leader, HostPort(hint.host, hint.port))
        snapshot = self._cluster.apply_hint(event.topic, event.partition, hint)
        if snapshot is not None:
            self._topics.publish(snapshot)
        return snapshot is not None

    def _stop_at_gap(self, event: BatchRefused, decided: Verdict, gap: KafkaError) -> None:
        """Fail the batch, and everything behind it before any of that can leave: the partition stays held."""
        self._pump.verdict(
            event.topic,
            event.partition,
            event.batch_id,
            Action.FAIL,
            code=event.code,
            message=gap.message,
            persisted=decided.persisted,
            is_refusal=decided.is_refusal,
        )
        self._die(gap)

    def _carry_out(self, event: BatchRefused, decided: Verdict, now: float) -> None:
        self._pump.verdict(
            event.topic,
            event.partition,
            event.batch_id,
            decided.action,
            code=decided.code,
            message=decided.message,
            persisted=decided.persisted,
            record_errors=decided.record_errors,
            is_refusal=decided.is_refusal,
        )
        if decided.fails_topic:
            self._pump.fail_partition(event.topic, -1, decided.code, decided.message, is_refusal=True)
        self._resume_with(
            Resume(event.topic, event.partition, event.hold_gen, decided.delay_ms),
            decided.identity,
            (event.producer_id, event.producer_epoch),
        )
        if decided.refresh_metadata:
            self._cluster.mark_stale(event.topic, now)
        if decided.is_fatal:
            self._die(error_for(decided.code, decided.message, fatal=True))

    def _resume_with(self, resume: Resume, wanted: IdentityChange, seen: tuple[int, int]) -> None:
        """End a hold, under the newest identity if it is to change."""
        if wanted is IdentityChange.KEEP:
            self._resume(resume, new_epoch=False)
            return
        identity = self._identity.change(wanted, seen)
        if identity is not None:
            self._adopt(identity)
        if self._identity.is_pending:
            self._identity.park(resume)
        else:
            self._resume(resume, new_epoch=True)

    def _resume(self, resume: Resume, *, new_epoch: bool) -> None:
        delay_ms = math.ceil(resume.delay_ms)
        self._pump.resume(resume.topic, resume.partition, resume.hold_gen, delay_ms, new_epoch)
