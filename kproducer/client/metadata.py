"""The cluster as we know it: who leads which partition, and when to ask again.

Topics stay known after they have left the set that is asked for, so that a gap in the metadata never resets a
partition. `now` is milliseconds of a monotonic clock. Control thread only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from kproducer._core.events import LeaderHint
from kproducer.client.backoff import ExponentialBackoff
from kproducer.config import HostPort
from kproducer.errors import KafkaError, error_for, error_info
from kproducer.protocol.messages.metadata import (
    MetadataRequest,
    MetadataRequestTopic,
    MetadataResponse,
    MetadataResponsePartition,
    MetadataResponseTopic,
)
from kproducer.protocol.primitives import ZERO_UUID
from kproducer.types import NO_LEADER, NO_LEADER_EPOCH, PartitionInfo

# The least time between two questions of the same cause.
MIN_INTERVAL_MS: Final = 100.0
_INCONSISTENT_CLUSTER_ID: Final = 104
_LEADER_NOT_AVAILABLE: Final = 5


@dataclass(frozen=True, slots=True)
class MetadataPolicy:
    """metadata.max.age.ms and its kin; rebootstrap_trigger_ms is infinity if that recovery is off."""

    max_age_ms: float
    max_idle_ms: float
    rebootstrap_trigger_ms: float
    max_block_ms: float
    allows_auto_creation: bool
    backoff: ExponentialBackoff


@dataclass(frozen=True, slots=True)
class TopicSnapshot:
    """What the pump is told of a topic: (leader or -1, leader epoch) of each partition, in order."""

    topic: str
    topic_id: bytes | None
    leaders: tuple[tuple[int, int], ...]


@dataclass(slots=True)
class MetadataUpdate:
    """What an answer changed.

    changed: topics to publish.
    refused: topics that cannot be had, and why; waiters and unsent batches fail with it.
    recreated: topics that have another id than before.
    brokers: addresses by node id; None if the answer had none.
    fatal: the error that ends the producer.
    rebootstraps: whether the broker asks to start again from bootstrap.servers (KIP-1102).
    """

    changed: list[TopicSnapshot] = field(default_factory=list)
    refused: list[tuple[str, KafkaError]] = field(default_factory=list)
    recreated: list[str] = field(default_factory=list)
    brokers: dict[int, HostPort] | None = None
    fatal: KafkaError | None = None
    rebootstraps: bool = False


@dataclass(slots=True)
class _Topic:
    name: str
    topic_id: bytes | None = None
    partitions: tuple[PartitionInfo, ...] = ()
    used_at: float = -math.inf
    asked_at: float = -math.inf
    due_at: float = math.inf
    attempts: int = 0
    # Somebody waits until then for that many partitions.
    wanted_until: float = -math.inf
    wanted_partitions: int = 0

    def snapshot(self) -> TopicSnapshot:
        leaders = tuple((info.leader, info.leader_epoch) for info in self.partitions)
        return TopicSnapshot(self.name, self.topic_id, leaders)

    def has_enough(self, now: float) -> bool:
        return now >= self.wanted_until or len(self.partitions) >= self.wanted_partitions

    def has_all_leaders(self) -> bool:
        return bool(self.partitions) and all(info.has_leader for info in self.partitions)


class ClusterView:
    """What the brokers told about topics, and what is to be asked.

    Args:
        policy: intervals.
        jitter: source of random numbers in [0, 1).
        now: when the first question is due.
    """

    def __init__(self, policy: MetadataPolicy, *, jitter: Callable[[], float], now: float) -> None:
        self.cluster_id: str | None = None
        self.topic_errors: dict[str, KafkaError] = {}
        self._policy = policy
        self._jitter = jitter
        self._known: dict[str, _Topic] = {}
        self._active: dict[str, _Topic] = {}
        self._pending: dict[str, _Topic] = {}  # those that are due at some time: few, where all may be thousands
        self._full_due_at = now
        self._full_asked_at = -math.inf
        self._in_flight: tuple[str, ...] | None = None
        self._was_full = False
        self._failures = 0
        self._not_before = -math.inf
        self._trying_since = math.inf

    # --- what is known -----------------------------------------------------------------------------------

    @property
    def active_topics(self) -> frozenset[str]:
        """Topics that are asked for."""
        return frozenset(self._active)

    @property
    def has_all_topic_ids(self) -> bool:
        """Whether each known topic has an id, as Produce 13 needs it."""
        return all(topic.topic_id is not None for topic in self._known.values() if topic.partitions)

    def partitions_of(self, topic: str) -> tuple[PartitionInfo, ...]:
        """Return the known partitions of a topic, empty if it is not known."""
        known = self._known.get(topic)
        return known.partitions if known else ()

    def snapshot_of(self, topic: str) -> TopicSnapshot | None:
        """Return what the pump is told of a topic, None if its partitions are not known."""
        known = self._known.get(topic)
        return known.snapshot() if known and known.partitions else None

    def is_leader(self, node: int) -> bool:
        """Whether the node leads a known partition."""
        return any(info.leader == node for topic in self._known.values() for info in topic.partitions)

    # --- what is wanted ----------------------------------------------------------------------------------

    def want(self, topic: str, partitions: int, now: float) -> bool:
        """Ask for a topic until it has enough partitions, at most for max.block.ms; return True if it has."""
        entry = self._activate(topic, now)
        if entry.partitions and len(entry.partitions) >= partitions:
            return True
        is_waiting = not entry.has_enough(now)
        entry.wanted_partitions = max(partitions, 1, entry.wanted_partitions if is_waiting else 0)
        entry.wanted_until = now + self._policy.max_block_ms
        self._make_due(entry, now)
        return False

    def mark_stale(self, topic: str, now: float) -> None:
        """Ask for a topic soon: a leader is not known, or was wrong."""
        self._make_due(self._activate(topic, now), now)

    def mark_used(self, topics: Iterable[str], now: float) -> None:
        """Take note that records were appended to these topics."""
        for topic in topics:
            if topic in self._known:
                self._activate(topic, now)

    def refresh(self, now: float) -> None:
        """Ask for everything soon: a connection failed."""
        self._full_due_at = min(self._full_due_at, max(now, self._full_asked_at + MIN_INTERVAL_MS))

    # --- asking ------------------------------------------------------------------------------------------

    @property
    def due_at(self) -> float:
        """When to ask next, infinity while a question is in flight."""
        if self._in_flight is not None:
            return math.inf
        due = min((topic.due_at for topic in self._pending.values()), default=math.inf)
        return max(min(due, self._full_due_at), self._not_before)

    @property
    def trigger_at(self) -> float:
        """When metadata.recovery.rebootstrap.trigger.ms will have passed without an answer (KIP-1102)."""
        return self._trying_since + self._policy.rebootstrap_trigger_ms

    def begin_attempt(self, now: float) -> None:
        """Take note that an answer is being sought: dialling counts."""
        self._trying_since = min(self._trying_since, now)

    def restart_attempt(self, now: float) -> None:
        """Count the time without an answer from now on: the recovery has begun."""
        self._trying_since = now
        self.refresh(now)

    def begin_request(self, now: float) -> MetadataRequest:
        """Return the question to ask now; its end is told by `answered` or `failed`."""
        self.begin_attempt(now)
        self._was_full = now >= self._full_due_at
        if self._was_full:
            self._forget_idle(now)
            self._full_asked_at = now
            names = tuple(self._active)
        else:
            names = tuple(name for name, topic in self._pending.items() if topic.due_at <= now)
        for name in names:
            self._active[name].asked_at = now
        self._in_flight = names
        return MetadataRequest(
            topics=tuple(MetadataRequestTopic(name=name) for name in names),
            allow_auto_topic_creation=self._policy.allows_auto_creation,
        )

    def failed(self, now: float) -> None:
        """Take note that the question got no answer; it stays due."""
        if self._in_flight is None:
            return
        self._in_flight = None
        self._back_off(now)

    def answered(self, response: MetadataResponse, now: float) -> MetadataUpdate:
        """Take an answer and say what it changed."""
        asked, self._in_flight = self._in_flight or (), None
        update = MetadataUpdate()
        if response.error_code:
            can_rebootstrap = math.isfinite(self._policy.rebootstrap_trigger_ms)
            update.rebootstraps = can_rebootstrap and error_info(response.error_code).rebootstraps
            self._back_off(now)
            return update
        if not response.brokers:  # a broker that is starting may know of nobody yet, itself included
            self._back_off(now)
            return update
        update.fatal = self._check_cluster(response.cluster_id)
        if update.fatal is None:
            self._take_answer(asked, response, update, now)
        return update

    # --- hints -------------------------------------------------------------------------------------------

    def apply_hint(self, topic: str, partition: int, hint: LeaderHint | None) -> TopicSnapshot | None:
        """Take a leader that a broker named (KIP-951); return what to publish, None if the hint is not newer."""
        known = self._known.get(topic)
        if hint is None or known is None or not 0 <= partition < len(known.partitions):
            return None
        info = known.partitions[partition]
        if hint.leader < 0 or hint.leader_epoch <= info.leader_epoch:
            return None
        newer = info._replace(leader=hint.leader, leader_epoch=hint.leader_epoch)
        known.partitions = (*known.partitions[:partition], newer, *known.partitions[partition + 1 :])
        return known.snapshot()

    # --- inside ------------------------------------------------------------------------------------------

    def _activate(self, topic: str, now: float) -> _Topic:
        entry = self._known.setdefault(topic, _Topic(topic))
        if topic not in self._active:
            self._set_due(entry, math.inf)
            entry.attempts = 0
            self._active[topic] = entry
        entry.used_at = now
        return entry

    def _make_due(self, entry: _Topic, now: float) -> None:
        if entry.attempts and not math.isinf(entry.due_at):
            return  # it is being asked for already, with backoff
        self._set_due(entry, min(entry.due_at, max(now, entry.asked_at + MIN_INTERVAL_MS)))

    def _set_due(self, entry: _Topic, at: float) -> None:
        entry.due_at = at
        if math.isinf(at):
            self._pending.pop(entry.name, None)
        else:
            self._pending[entry.name] = entry

    def _forget_idle(self, now: float) -> None:
        for name, topic in list(self._active.items()):
            if now - topic.used_at >= self._policy.max_idle_ms and topic.has_enough(now):
                self._set_due(topic, math.inf)
                del self._active[name]

    def _back_off(self, now: float) -> None:
        self._not_before = now + self._policy.backoff.delay_ms(self._failures, self._jitter())
        self._failures += 1

    def _check_cluster(self, cluster_id: str | None) -> KafkaError | None:
        if cluster_id is None or cluster_id == self.cluster_id:
            return None
        if self.cluster_id is None:
            self.cluster_id = cluster_id
            return None
        return error_for(
            _INCONSISTENT_CLUSTER_ID,
            f"the brokers belong to cluster {cluster_id} now, records were meant for cluster {self.cluster_id}",
            fatal=True,
            persisted="no",
        )

    def _take_answer(
        self, asked: tuple[str, ...], response: MetadataResponse, update: MetadataUpdate, now: float
    ) -> None:
        self._failures = 0
        self._trying_since = math.inf
        if self._was_full:
            self._full_due_at = now + self._policy.max_age_ms
        update.brokers = {broker.node_id: HostPort(broker.host, broker.port) for broker in response.brokers}
        told = {topic.name: topic for topic in response.topics}
        for name in asked:  # topics that nobody asked for are not looked at
            if name in self._active:
                self._take_topic(self._active[name], told.get(name), update, now)

    def _take_topic(
        self, entry: _Topic, told: MetadataResponseTopic | None, update: MetadataUpdate, now: float
    ) -> None:
        code = _LEADER_NOT_AVAILABLE if told is None else told.error_code
        if code:
            self._take_error(entry, code, update, now)
            return
        assert told is not None
        if self._merge(entry, told, update):
            update.changed.append(entry.snapshot())
        if entry.partitions:
            self.topic_errors.pop(entry.name, None)
        if entry.has_all_leaders() and entry.has_enough(now):
            self._set_due(entry, math.inf)
            entry.attempts = 0
        else:
            self._ask_again(entry, now)

    def _take_error(self, entry: _Topic, code: int, update: MetadataUpdate, now: float) -> None:
        error = error_for(code, topic=entry.name)
        self.topic_errors[entry.name] = error
        if not error.retriable:
            update.refused.append((entry.name, error))
            self._drop(entry)  # the next send() asks again
        elif not entry.partitions and now >= entry.wanted_until:
            self._drop(entry)  # nobody waits any more
        else:
            self._ask_again(entry, now)

    def _drop(self, entry: _Topic) -> None:
        entry.wanted_until = -math.inf
        self._set_due(entry, math.inf)
        del self._active[entry.name]
        if not entry.partitions:
            del self._known[entry.name]

    def _ask_again(self, entry: _Topic, now: float) -> None:
        delay_ms = self._policy.backoff.delay_ms(entry.attempts, self._jitter())
        self._set_due(entry, now + max(delay_ms, MIN_INTERVAL_MS))
        entry.attempts += 1

    def _merge(self, entry: _Topic, told: MetadataResponseTopic, update: MetadataUpdate) -> bool:
        """Take the partitions; return whether the pump is to be told."""
        topic_id = None if told.topic_id == ZERO_UUID else told.topic_id.bytes
        before = entry.snapshot()
        is_another = None not in (topic_id, entry.topic_id) and topic_id != entry.topic_id
        if is_another and told.partitions:
            update.recreated.append(entry.name)
            entry.partitions = ()
        if told.partitions:
            entry.topic_id = topic_id or entry.topic_id
        entry.partitions = _merge_partitions(entry.name, entry.partitions, told.partitions)
        return bool(entry.partitions) and (is_another or entry.snapshot() != before)


def _merge_partitions(
    topic: str, known: tuple[PartitionInfo, ...], told: tuple[MetadataResponsePartition, ...]
) -> tuple[PartitionInfo, ...]:
    """Return the partitions, never fewer than were known and never with an older leader."""
    merged = list(known)
    merged += [PartitionInfo(topic, index) for index in range(len(known), len(told))]
    for partition in told:
        index = partition.partition_index
        if 0 <= index < len(merged):
            merged[index] = _newer(merged[index], partition)
    return tuple(merged)


def _newer(known: PartitionInfo, told: MetadataResponsePartition) -> PartitionInfo:
    # An epoch of -1 cannot be compared: the broker is old, or the partition was never led.
    if NO_LEADER_EPOCH < told.leader_epoch < known.leader_epoch:
        return known
    return PartitionInfo(
        topic=known.topic,
        partition=known.partition,
        leader=told.leader_id if told.leader_id >= 0 else NO_LEADER,
        leader_epoch=max(told.leader_epoch, known.leader_epoch),
        replicas=told.replica_nodes,
        in_sync_replicas=told.isr_nodes,
        offline_replicas=told.offline_replicas,
    )
