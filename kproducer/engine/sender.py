"""The control loop: asks the machines of client/ what is due, talks to brokers, answers the pump's events.

It decides nothing: error codes are judged by tables in client/. Runs on the control thread; `now` is
milliseconds of a monotonic clock.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Collection, Sequence
from typing import Any, Protocol

from kproducer._core import events
from kproducer._core.events import (
    Action,
    BatchRefused,
    CloseCause,
    ConnClosed,
    ConnWanted,
    Event,
    Expired,
    MetadataStale,
    PartitionQuiet,
    PumpFatal,
    Stopped,
    Throttled,
    TopicWanted,
    TxnDrained,
    TxnFailed,
    TxnPartition,
)
from kproducer._core.pump import refuse_second_import
from kproducer.client.connection import Answer
from kproducer.client.delivery import DeliveryPolicy, Verdict, verdict
from kproducer.client.gaps import SequenceGaps
from kproducer.client.idempotence import IdentityChange, NewIdentity, ProducerIdentity, Resume, refusal
from kproducer.client.metadata import ClusterView, TopicSnapshot
from kproducer.client.nodes import NodeDirectory
from kproducer.config import HostPort
from kproducer.engine.link import Link, Wiring
from kproducer.engine.mailbox import Close, Command, GiveUp, Mailbox, PartitionsFor, Transact
from kproducer.engine.transactor import Transactor
from kproducer.errors import KafkaError, UnsupportedVersionError, error_for
from kproducer.net.poller import Ready
from kproducer.protocol.messages.add_offsets_to_txn import ADD_OFFSETS_TO_TXN
from kproducer.protocol.messages.add_partitions_to_txn import ADD_PARTITIONS_TO_TXN
from kproducer.protocol.messages.end_txn import END_TXN
from kproducer.protocol.messages.find_coordinator import FIND_COORDINATOR
from kproducer.protocol.messages.init_producer_id import INIT_PRODUCER_ID
from kproducer.protocol.messages.metadata import METADATA
from kproducer.protocol.messages.produce import PRODUCE
from kproducer.protocol.messages.txn_offset_commit import TXN_OFFSET_COMMIT

logger = logging.getLogger(__name__)

refuse_second_import(events)

# Causes after which the broker is given time before it is dialled again.
_UNHEALTHY = frozenset({CloseCause.PEER, CloseCause.TIMEOUT, CloseCause.PROTOCOL})
_PRODUCE_BY_ID = 13
# From version 12 on a transactional produce request adds its partitions to the transaction itself (KIP-890).
_LAST_PRODUCE_OF_TV1 = 11


class PumpPort(Protocol):
    """What the control thread needs of the pump; see `_core.pump` for the meaning of each command."""

    def event_fileno(self) -> int: ...
    def take_events(self) -> list[Event]: ...
    def adopt(self, node: int, conn_gen: int, fd: int, produce_version: int) -> None: ...
    def drop(self, node: int, conn_gen: int, drain: bool) -> None: ...
    def topic(self, topic: str, topic_id: bytes | None, leaders: Sequence[tuple[int, int]]) -> None: ...
    def topic_error(self, topic: str, code: int, message: str | None) -> None: ...
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
    def fail_all(self, code: int, message: str, fatal: bool) -> None: ...


class Sender:
    """Everything that the control thread owns.

    Args:
        pump: takes commands, tells events.
        mailbox: commands of app threads.
        wiring: what links are made of.
        cluster, nodes, identity, policy, gaps: the machines; default of gaps: go on.
        clock: milliseconds of a monotonic clock, read after each wait.
        jitter: source of random numbers in [0, 1).
        idle_ms: connections.max.idle.ms of the control connection, infinity for never.
        topics_in_use: names of topics that got records since the last call (KIP-526); default: all of them.
        transactor: the transaction half, None without transactional.id (default).
    """

    def __init__(
        self,
        pump: PumpPort,
        mailbox: Mailbox,
        wiring: Wiring,
        *,
        cluster: ClusterView,
        nodes: NodeDirectory,
        identity: ProducerIdentity,
        policy: DeliveryPolicy,
        clock: Callable[[], float],
        jitter: Callable[[], float],
        idle_ms: float = math.inf,
        topics_in_use: Callable[[], Collection[str]] | None = None,
        transactor: Transactor | None = None,
        gaps: SequenceGaps | None = None,
    ) -> None:
        self.is_stopped = False
        self.fatal: KafkaError | None = None
        self.last_connection_error: str | None = None
        self._pump = pump
        self._mailbox = mailbox
        self._wiring = wiring
        self._cluster = cluster
        self._nodes = nodes
        self._identity = identity
        self._policy = policy
        self._gaps = gaps or SequenceGaps(is_fatal=False)
        self._clock = clock
        self._jitter = jitter
        self._idle_ms = idle_ms
        self._topics_in_use = topics_in_use or (lambda: cluster.active_topics)
        self._transactor = transactor
        self._control: Link | None = None
        self._dialing: dict[int, Link] = {}
        self._wanted: set[int] = set()
        self._adopted: dict[int, tuple[int, int]] = {}  # node -> (conn_gen, Produce version)
        self._last_conn_gen = 0
        self._asking_partitions: list[PartitionsFor] = []
        self._on_event: dict[type[Any], Callable[[Any, float], None]] = {
            ConnWanted: self._on_conn_wanted,
            ConnClosed: self._on_conn_closed,
            BatchRefused: self._on_batch_refused,
            PartitionQuiet: self._on_partition_quiet,
            Expired: self._on_expired,
            MetadataStale: self._on_metadata_stale,
            TopicWanted: self._on_topic_wanted,
            Throttled: self._on_throttled,
            Stopped: self._on_stopped,
            PumpFatal: self._on_pump_fatal,
        }
        self._on_answer: dict[int, Callable[[Answer, float], None]] = {
            METADATA.key: self._on_metadata,
            INIT_PRODUCER_ID.key: self._on_producer_id,
        }
        if transactor is not None:
            self._attach(transactor)
        wiring.poller.watch(pump.event_fileno(), pump, write=False)
        wiring.poller.watch(mailbox.fileno(), mailbox, write=False)

    def _attach(self, transactor: Transactor) -> None:
        transactor.attach(self)
        self._on_event |= {
            TxnPartition: transactor.on_partition,
            TxnFailed: transactor.on_failed,
            TxnDrained: transactor.on_drained,
        }
        apis = (INIT_PRODUCER_ID, ADD_PARTITIONS_TO_TXN, ADD_OFFSETS_TO_TXN, TXN_OFFSET_COMMIT, END_TXN)
        self._on_answer |= {api.key: transactor.on_answer for api in apis}
        self._on_answer[FIND_COORDINATOR.key] = transactor.on_found

    # --- the loop ----------------------------------------------------------------------------------------

    def run_once(self, now: float) -> None:
        """Do what is due, wait for the next thing, take in what arrived."""
        # A failure that a caller may have seen was told before its command was posted, so it is taken in first.
        commands = self._mailbox.take()
        self._take_events(now)
        self._take_mail(commands, now)
        self._take_resolutions(now)
        self._check_deadlines(now)
        self._do_due_work(now)
        if self.is_stopped:
            return
        ready = self._wiring.poller.poll(max(0.0, self._next_deadline(now) - now))
        now = self._clock()
        for item in ready:
            if isinstance(item.owner, Link):
                self._feed(item.owner, item, now)
        if self._transactor is not None:
            self._transactor.settle()

    def close(self, error: KafkaError) -> None:
        """Close all control connections and fail the callers that wait, with `error`."""
        self._close_control()
        for link in self._dialing.values():
            link.close()
        self._dialing.clear()
        if self._transactor is not None:
            self._transactor.close()
        self._fail_callers(error)

    def abandon(self) -> None:
        """Close this process's copies of the sockets after a fork; the parent does not notice."""
        # The poller first: a forked epoll is shared, and taking a socket out of it would deafen the parent.
        self._wiring.poller.close()
        for link in self._links():
            link.close()

    def _take_mail(self, commands: Sequence[Command], now: float) -> None:
        for command in commands:
            match command:
                case Transact():
                    assert self._transactor is not None
                    self._transactor.take(command)
                case GiveUp():
                    assert self._transactor is not None
                    self._transactor.give_up(command)
                case PartitionsFor():
                    self._asking_partitions.append(command)
                    self._cluster.want(command.topic, 1, now)
                case Close():
                    self.is_stopped = True
        if self._transactor is not None:
            self._transactor.settle()
        if self.fatal is not None:
            self._fail_callers(self.fatal)
        self._answer_partitions()

    def _take_events(self, now: float) -> None:
        for event in self._pump.take_events():
            self._on_event[type(event)](event, now)

    def _take_resolutions(self, now: float) -> None:
        for resolution in self._wiring.lookup.take():
            for link in self._links():
                try:
                    link.take_resolution(resolution, now)
                except KafkaError as error:
                    self._lose(link, error, now)

    def _check_deadlines(self, now: float) -> None:
        for link in self._links():
            try:
                link.check_deadline(now)
            except KafkaError as error:
                self._lose(link, error, now)

    def _do_due_work(self, now: float) -> None:
        if self.fatal is not None:
            return
        if self._transactor is not None:
            self._transactor.work(now)
        self._ask_control(now)
        for node_id in self._dialable():
            if self._nodes.usable_at(node_id) <= now:
                self._dial(node_id, now)
        self._close_idle_control(now)

    def _feed(self, link: Link, ready: Ready, now: float) -> None:
        was_ready = link.is_ready
        try:
            for answer in link.on_ready(ready, now):
                self._on_answer[answer.api.key](answer, now)
            if link.is_ready and not was_ready:
                self._begin_use(link)
        except KafkaError as error:
            self._lose(link, error, now)

    def _next_deadline(self, now: float) -> float:
        deadlines = [link.deadline for link in self._links()]
        if self.fatal is None:
            deadlines.append(self._control_deadline())
            deadlines += [self._nodes.usable_at(node_id) for node_id in self._dialable()]
            if self._transactor is not None:
                deadlines.append(self._transactor.deadline())
        return min(deadlines, default=math.inf)

    def _links(self) -> list[Link]:
        links = list(self._dialing.values())
        if self._control is not None:
            links.append(self._control)
        if self._transactor is not None:
            links += self._transactor.links()
        return links

    # --- the control connection --------------------------------------------------------------------------

    def _control_due_at(self) -> float:
        due_at = min(self._cluster.due_at, self._identity.due_at)
        return due_at if self._transactor is None else min(due_at, self._transactor.find_due_at)

    def _control_deadline(self) -> float:
        """Return when `_ask_control` has something to do."""
        due_at = self._control_due_at()
        link = self._control
        if link is None:
            return max(due_at, self._nodes.next_choice_at())
        if not link.is_ready:
            return math.inf
        return min(max(due_at, link.throttled_until), self._idle_at(link))

    def _idle_at(self, link: Link) -> float:
        asked = (METADATA, INIT_PRODUCER_ID, FIND_COORDINATOR)
        is_busy = not link.is_ready or any(link.is_awaiting(api) for api in asked)
        return math.inf if is_busy else link.last_used + self._idle_ms

    def _ask_control(self, now: float) -> None:
        if self._control_due_at() > now:
            return
        if self._control is None:
            self._open_control(now)
        if self._control is not None and self._control.may_send(now):
            self._send_due(self._control, now)

    def _open_control(self, now: float) -> None:
        self._cluster.begin_attempt(now)
        node = self._nodes.choose(now)
        if node is None:
            return
        self._control = Link(node, self._wiring, self._nodes.setup_timeout_ms(node.key))
        self._start(self._control, now)

    def _send_due(self, link: Link, now: float) -> None:
        try:
            if self._cluster.due_at <= now:
                self._cluster.mark_used(self._topics_in_use(), now)
                link.send(METADATA, self._cluster.begin_request(now), now)
            if self._identity.due_at <= now:
                self._ask_producer_id(link, now)
            if self._transactor is not None:
                self._transactor.find(link, now)
        except KafkaError as error:
            self._lose(link, error, now)

    def _ask_producer_id(self, link: Link, now: float) -> None:
        try:
            link.versions.require(INIT_PRODUCER_ID)
        except UnsupportedVersionError as error:
            self._fail_fatally(refusal(error.code or 0))
            return
        link.send(INIT_PRODUCER_ID, self._identity.begin_request(), now)

    def _close_idle_control(self, now: float) -> None:
        if self._control is not None and now >= self._idle_at(self._control):
            self._close_control()

    def _close_control(self) -> None:
        if self._control is not None:
            self._control.close()
            self._control = None

    # --- dialling, for both roads ------------------------------------------------------------------------

    def _start(self, link: Link, now: float) -> None:
        try:
            link.start(now)
        except KafkaError as error:
            self._lose(link, error, now)

    def _begin_use(self, link: Link) -> None:
        """Use a link that has become ready."""
        link.versions.require(METADATA, PRODUCE)
        if link.versions.is_below_floor:
            logger.warning("%s is older than Kafka 2.1, the oldest that is supported", link.node)
        self._nodes.succeeded(link.node.key)
        if self._transactor is not None:
            self._transactor.note_versions(link.versions)
            if self._transactor.owns(link):
                return
        if link is not self._control:
            self._hand_over(link)

    def _lose(self, link: Link, error: KafkaError, now: float) -> None:
        """Close a link that failed and remember why; what it was for stays due."""
        stage = link.stage
        link.close()
        self.last_connection_error = f"{stage}, {link.node}: {error.message}"
        logger.debug("lost connection: %s", self.last_connection_error)
        self._nodes.failed(link.node.key, now)
        if link is self._control:
            self._control = None
            self._cluster.failed(now)
            self._identity.failed(now)
            if self._transactor is not None:
                self._transactor.control_lost(now)
            self._rebootstrap_if_due(now)
        elif self._transactor is not None and self._transactor.owns(link):
            self._transactor.lost(link, now)
            self._cluster.refresh(now)  # its address may have changed: nodes keep what metadata said
        elif isinstance(link.node.key, int) and self._dialing.get(link.node.key) is link:
            del self._dialing[link.node.key]
            self._cluster.refresh(now)

    def _dialable(self) -> list[int]:
        """Return the nodes that the pump wants, that can be dialled, and that still lead something."""
        return [
            node_id
            for node_id in self._wanted
            if node_id not in self._dialing
            and self._nodes.get(node_id) is not None
            and self._cluster.is_leader(node_id)
        ]

    def _dial(self, node_id: int, now: float) -> None:
        node = self._nodes.get(node_id)
        assert node is not None
        link = Link(node, self._wiring, self._nodes.setup_timeout_ms(node_id))
        self._dialing[node_id] = link
        self._start(link, now)

    def _hand_over(self, link: Link) -> None:
        node_id = link.node.key
        assert isinstance(node_id, int)
        is_capped = self._transactor is not None and not self._transactor.manager.speaks_v2
        version = link.versions.pick_produce(
            has_topic_ids=self._cluster.has_all_topic_ids, cap=_LAST_PRODUCE_OF_TV1 if is_capped else None
        )
        descriptor = link.detach()
        del self._dialing[node_id]
        self._wanted.discard(node_id)
        self._last_conn_gen += 1
        self._adopted[node_id] = (self._last_conn_gen, version)
        self._pump.adopt(node_id, self._last_conn_gen, descriptor, version)
        logger.debug("produce connection to %s, Produce version %d", link.node, version)

    def _drop(self, node_id: int) -> None:
        """Let the pump end its connection to a node once its answers are in."""
        adopted = self._adopted.get(node_id)
        if adopted is not None:
            self._pump.drop(node_id, adopted[0], True)

    def prepare_produce(self, is_v2: bool) -> None:
        """Let go of produce connections whose version belongs to the other transaction protocol."""
        for node_id, (_, version) in self._adopted.items():
            if (version > _LAST_PRODUCE_OF_TV1) is not is_v2:
                self._drop(node_id)

    def lose(self, link: Link, error: KafkaError, now: float) -> None:
        """Close a coordinator's link that failed."""
        self._lose(link, error, now)

    def die(self, error: KafkaError) -> None:
        """End the producer's work: the transactions cannot go on."""
        self._fail_fatally(error)

    def _rebootstrap_if_due(self, now: float) -> None:
        if now >= self._cluster.trigger_at:
            self._rebootstrap(now)

    def _rebootstrap(self, now: float) -> None:
        logger.warning("starting again from bootstrap.servers (last error: %s)", self.last_connection_error)
        self._close_control()
        self._cluster.failed(now)
        self._identity.failed(now)
        if self._transactor is not None:
            self._transactor.control_lost(now)
        self._nodes.rebootstrap()
        self._cluster.restart_attempt(now)
        for node_id in self._adopted:
            self._drop(node_id)

    # --- answers -----------------------------------------------------------------------------------------

    def _on_metadata(self, answer: Answer, now: float) -> None:
        update = self._cluster.answered(answer.response, now)
        if update.fatal is not None:
            self._fail_fatally(update.fatal)
            return
        if update.rebootstraps:
            self._rebootstrap(now)
            return
        for topic in update.recreated:
            logger.warning("topic %s has been deleted and created again; records go to the new one", topic)
        for snapshot in update.changed:
            self._publish(snapshot)
        for topic, error in update.refused:
            self._refuse_topic(topic, error)
        if update.brokers is None:
            self._rebootstrap_if_due(now)
        else:
            self._take_brokers(update.brokers)
        self._answer_partitions()

    def _take_brokers(self, brokers: dict[int, HostPort]) -> None:
        for node_id in self._nodes.update(brokers):
            self._drop(node_id)
            link = self._dialing.pop(node_id, None)
            if link is not None:
                link.close()

    def _publish(self, snapshot: TopicSnapshot) -> None:
        self._pump.topic(snapshot.topic, snapshot.topic_id, snapshot.leaders)
        if snapshot.topic_id is None:
            for node_id, (_, version) in self._adopted.items():
                if version >= _PRODUCE_BY_ID:  # which has no way to name this topic
                    self._drop(node_id)

    def _refuse_topic(self, topic: str, error: KafkaError) -> None:
        assert error.code is not None
        self._pump.topic_error(topic, error.code, error.message)
        self._pump.fail_partition(topic, -1, error.code, error.message, is_refusal=True)
        for command in self._asking_partitions:
            if command.topic == topic:
                command.reply.set_error(error)
        self._asking_partitions = [c for c in self._asking_partitions if c.topic != topic]

    def _on_producer_id(self, answer: Answer, now: float) -> None:
        try:
            identity = self._identity.answered(answer.response, now)
        except KafkaError as error:
            self._fail_fatally(error)
            return
        if identity is not None:
            self._adopt_identity(identity)

    def _adopt_identity(self, identity: NewIdentity) -> None:
        logger.debug("producer id %d, epoch %d", identity.producer_id, identity.epoch)
        self._pump.producer_id(identity.producer_id, identity.epoch)
        for resume in identity.resumes:
            self._resume(resume, new_epoch=True)

    # --- events ------------------------------------------------------------------------------------------

    def _on_conn_wanted(self, event: ConnWanted, now: float) -> None:
        self._wanted.add(event.node)
        if self._nodes.get(event.node) is None:
            self._cluster.refresh(now)

    def _on_conn_closed(self, event: ConnClosed, now: float) -> None:
        adopted = self._adopted.get(event.node)
        if adopted is not None and adopted[0] == event.conn_gen:
            del self._adopted[event.node]
        if event.cause in _UNHEALTHY:
            self._note_unhealthy(event, now)
        if event.in_flight or event.cause in _UNHEALTHY:
            self._cluster.refresh(now)

    def _note_unhealthy(self, event: ConnClosed, now: float) -> None:
        self._nodes.failed(event.node, now)
        node = self._nodes.get(event.node)
        name = str(node) if node else f"broker {event.node}"
        self.last_connection_error = f"produce, {name}: connection ended ({event.cause.name.lower()})"
        logger.debug("lost connection: %s, %d in flight", self.last_connection_error, event.in_flight)
        control = self._control
        is_same = control is not None and node is not None and control.node.address == node.address
        if control is not None and is_same and event.cause is CloseCause.TIMEOUT:
            # The broker hangs; another one can tell who leads now.
            self._lose(control, error_for(7, "another connection to it timed out"), now)

    def _on_batch_refused(self, event: BatchRefused, now: float) -> None:
        if event.hint is not None and event.hint.host is not None and event.hint.leader >= 0:
            self._nodes.add(event.hint.leader, HostPort(event.hint.host, event.hint.port))
        snapshot = self._cluster.apply_hint(event.topic, event.partition, event.hint)
        if snapshot is not None:
            self._publish(snapshot)
        decided = verdict(event, self._policy, has_newer_leader=snapshot is not None, jitter=self._jitter())
        logger.debug(
            "%s-%d refused with code %d, attempt %d: %s",
            event.topic, event.partition, event.code, event.attempts, decided.action.name,
        )  # fmt: skip
        gap = self._gaps.note(event.topic, event.partition) if decided.is_gap else None
        if gap is None:
            self._carry_out(event, decided, now)
        else:
            self._stop_at_gap(event, decided, gap)

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
        self._fail_fatally(gap)

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
            self._fail_fatally(error_for(decided.code, decided.message, fatal=True))

    def _on_partition_quiet(self, event: PartitionQuiet, now: float) -> None:
        if event.has_gap and not self._policy.is_transactional:  # which aborts what may be lost
            gap = self._gaps.note(event.topic, event.partition)
            if gap is not None:
                self._fail_fatally(gap)
                return
        seen = (event.producer_id, event.producer_epoch)
        wanted = IdentityChange.BUMP if event.unresolved and event.producer_id >= 0 else IdentityChange.KEEP
        self._resume_with(Resume(event.topic, event.partition, event.hold_gen, 0.0), wanted, seen)

    def _resume_with(self, resume: Resume, wanted: IdentityChange, seen: tuple[int, int]) -> None:
        """End a hold, under the newest identity if it is to change."""
        if wanted is IdentityChange.KEEP:
            self._resume(resume, new_epoch=False)
            return
        identity = self._identity.change(wanted, seen)
        if identity is not None:
            self._adopt_identity(identity)
        if self._identity.is_pending:
            self._identity.park(resume)
        else:
            self._resume(resume, new_epoch=True)

    def _resume(self, resume: Resume, *, new_epoch: bool) -> None:
        delay_ms = math.ceil(resume.delay_ms)
        self._pump.resume(resume.topic, resume.partition, resume.hold_gen, delay_ms, new_epoch)

    def _on_expired(self, event: Expired, now: float) -> None:
        self._cluster.mark_stale(event.topic, now)
        logger.debug(
            "%s-%d: %d batches ran out of delivery.timeout.ms", event.topic, event.partition, event.batches
        )

    def _on_metadata_stale(self, event: MetadataStale, now: float) -> None:
        self._cluster.mark_stale(event.topic, now)

    def _on_topic_wanted(self, event: TopicWanted, now: float) -> None:
        if self._cluster.want(event.topic, event.partitions, now):
            snapshot = self._cluster.snapshot_of(event.topic)
            assert snapshot is not None
            self._publish(snapshot)  # the sender looked just before this was published: wake it again

    def _on_throttled(self, event: Throttled, now: float) -> None:
        logger.debug("broker %d throttles for %d ms", event.node, event.throttle_ms)

    def _on_stopped(self, event: Stopped, now: float) -> None:
        self.is_stopped = True

    def _on_pump_fatal(self, event: PumpFatal, now: float) -> None:
        self._fail_fatally(error_for(-1, f"internal error of the pump: {event.cause}", fatal=True))

    # --- callers -----------------------------------------------------------------------------------------

    def _fail_callers(self, error: KafkaError) -> None:
        if self._transactor is not None:
            self._transactor.fail_callers(error)
        for command in self._asking_partitions:
            command.reply.set_error(error)
        self._asking_partitions.clear()

    def _answer_partitions(self) -> None:
        still_asking = []
        for command in self._asking_partitions:
            partitions = self._cluster.partitions_of(command.topic)
            if partitions:
                command.reply.set_result(partitions)
            elif not command.reply.is_abandoned:
                still_asking.append(command)
        self._asking_partitions = still_asking

    def _fail_fatally(self, error: KafkaError) -> None:
        """End the producer's work: everything outstanding, and every later call, fails with this error."""
        if self.fatal is not None:
            return
        logger.error("the producer cannot go on: %s", error)
        self.fatal = error
        self._pump.fail_all(-1 if error.code is None else error.code, error.message, True)
        self.close(error)
