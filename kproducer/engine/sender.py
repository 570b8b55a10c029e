"""The control loop: waits, hands the pump's events and brokers' answers to those concerned, lets links do what is due.

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
from kproducer.client.delivery import DeliveryPolicy
from kproducer.client.gaps import SequenceGaps
from kproducer.client.idempotence import ProducerIdentity
from kproducer.client.metadata import ClusterView
from kproducer.client.nodes import NodeDirectory
from kproducer.engine.control_link import ControlLink
from kproducer.engine.holds import HoldPump, Holds
from kproducer.engine.link import Link, Wiring
from kproducer.engine.mailbox import Close, Command, GiveUp, Mailbox, PartitionsFor, Transact
from kproducer.engine.produce_links import ProduceLinks, ProducePump
from kproducer.engine.topics import TopicPump, Topics
from kproducer.engine.transactor import NoTransactions, Transactions, Transactor
from kproducer.errors import KafkaError, error_for
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


class PumpPort(ProducePump, TopicPump, HoldPump, Protocol):
    """What the control thread needs of the pump; see `_core.pump` for the meaning of each command."""

    def event_fileno(self) -> int: ...
    def take_events(self) -> list[Event]: ...
    def fail_all(self, code: int, message: str, fatal: bool) -> None: ...


class LinkOwner(Protocol):
    """Someone who opens links and puts them to use."""

    def links(self) -> list[Link]: ...
    def owns(self, link: Link) -> bool: ...
    def became_ready(self, link: Link) -> None: ...
    def lost(self, link: Link, now: float) -> None: ...
    def work(self, now: float) -> None: ...
    def deadline(self) -> float: ...
    def close(self) -> None: ...


class Chore(Protocol):
    """Work of the control thread that needs no link."""

    def work(self, now: float) -> None: ...
    def deadline(self) -> float: ...


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
        chores: what else is done in time, whatever happens to the producer (default: nothing).
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
        chores: Sequence[Chore] = (),
    ) -> None:
        self.is_stopped = False
        self.fatal: KafkaError | None = None
        self.last_connection_error: str | None = None
        self._pump = pump
        self._mailbox = mailbox
        self._wiring = wiring
        self._cluster = cluster
        self._nodes = nodes
        self._clock = clock
        self._chores = chores
        self._transactions: Transactions = transactor or NoTransactions()
        self._control = ControlLink(
            self,
            wiring,
            nodes,
            cluster=cluster,
            identity=identity,
            transactions=self._transactions,
            topics_in_use=topics_in_use or (lambda: cluster.active_topics),
            idle_ms=idle_ms,
        )
        self._produce = ProduceLinks(
            self, pump, wiring, nodes, cluster=cluster, transactions=self._transactions
        )
        self._owners: list[LinkOwner] = [self._control, self._produce]
        self._topics = Topics(pump, cluster, self._produce)
        self._holds = Holds(
            self.die,
            pump,
            self._topics,
            cluster=cluster,
            nodes=nodes,
            identity=identity,
            policy=policy,
            gaps=gaps or SequenceGaps(is_fatal=False),
            jitter=jitter,
        )
        self._on_event: dict[type[Any], Callable[[Any, float], None]] = {
            ConnWanted: self._produce.on_wanted,
            ConnClosed: self._on_conn_closed,
            BatchRefused: self._holds.on_refused,
            PartitionQuiet: self._holds.on_quiet,
            Expired: self._on_expired,
            MetadataStale: self._on_metadata_stale,
            TopicWanted: self._topics.on_wanted,
            Throttled: self._on_throttled,
            Stopped: self._on_stopped,
            PumpFatal: self._on_pump_fatal,
        }
        self._on_answer: dict[int, Callable[[Answer, float], None]] = {
            METADATA.key: self._on_metadata,
            INIT_PRODUCER_ID.key: self._holds.on_producer_id,
        }
        if transactor is not None:
            self._attach(transactor)
        wiring.poller.watch(pump.event_fileno(), pump, write=False)
        wiring.poller.watch(mailbox.fileno(), mailbox, write=False)

    def _attach(self, transactor: Transactor) -> None:
        transactor.attach(self)
        self._owners.insert(0, transactor)  # what it needs of the control link is asked for in the same turn
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
        ready = self._wiring.poller.poll(max(0.0, self._next_deadline() - now))
        now = self._clock()
        for item in ready:
            if isinstance(item.owner, Link):
                self._feed(item.owner, item, now)
        self._transactions.settle()

    def close(self, error: KafkaError) -> None:
        """Close all links and fail the callers that wait, with `error`."""
        for owner in self._owners:
            owner.close()
        self._fail_callers(error)

    def abandon(self) -> None:
        """Close this process's copies of the sockets after a fork; the parent does not notice."""
        # The poller first: a forked epoll is shared, and taking a socket out of it would deafen the parent.
        self._wiring.poller.close()
        for link in self._links():
            link.close()

    def _take_events(self, now: float) -> None:
        for event in self._pump.take_events():
            self._on_event[type(event)](event, now)

    def _take_mail(self, commands: Sequence[Command], now: float) -> None:
        for command in commands:
            match command:
                case Transact():
                    self._transactions.take(command)
                case GiveUp():
                    self._transactions.give_up(command)
                case PartitionsFor():
                    self._topics.ask(command, now)
                case Close():
                    self.is_stopped = True
        self._transactions.settle()
        if self.fatal is not None:
            self._fail_callers(self.fatal)
        self._topics.answer()

    def _take_resolutions(self, now: float) -> None:
        for resolution in self._wiring.lookup.take():
            for link in self._links():
                try:
                    link.take_resolution(resolution, now)
                except KafkaError as error:
                    self.lose(link, error, now)

    def _check_deadlines(self, now: float) -> None:
        for link in self._links():
            try:
                link.check_deadline(now)
            except KafkaError as error:
                self.lose(link, error, now)

    def _do_due_work(self, now: float) -> None:
        for owner in self._owners:
            if self.fatal is None:
                owner.work(now)
        for chore in self._chores:
            chore.work(now)

    def _feed(self, link: Link, ready: Ready, now: float) -> None:
        was_ready = link.is_ready
        try:
            for answer in link.on_ready(ready, now):
                self._on_answer[answer.api.key](answer, now)
            if link.is_ready and not was_ready:
                self._begin_use(link)
        except KafkaError as error:
            self.lose(link, error, now)

    def _next_deadline(self) -> float:
        deadlines = [link.deadline for link in self._links()] + [chore.deadline() for chore in self._chores]
        if self.fatal is None:
            deadlines += [owner.deadline() for owner in self._owners]
        return min(deadlines, default=math.inf)

    # --- links -------------------------------------------------------------------------------------------

    def _links(self) -> list[Link]:
        return [link for owner in self._owners for link in owner.links()]

    def _begin_use(self, link: Link) -> None:
        """Use a link that has become ready."""
        link.versions.require(METADATA, PRODUCE)
        if link.versions.is_below_floor:
            logger.warning("%s is older than Kafka 2.1, the oldest that is supported", link.node)
        self._nodes.succeeded(link.node.key)
        self._transactions.note_versions(link.versions)
        for owner in self._owners:
            if owner.owns(link):
                owner.became_ready(link)

    def lose(self, link: Link, error: KafkaError, now: float) -> None:
        """Close a link that failed and remember why; what it was for stays due."""
        stage = link.stage
        link.close()
        self.last_connection_error = f"{stage}, {link.node}: {error.message}"
        logger.debug("lost connection: %s", self.last_connection_error)
        self._nodes.failed(link.node.key, now)
        was_control = self._control.owns(link)
        for owner in self._owners:
            if owner.owns(link):
                owner.lost(link, now)
        if was_control:
            self._rebootstrap_if_due(now)
        else:
            self._cluster.refresh(now)  # the broker may have moved: nodes keep the address of the metadata

    def prepare_produce(self, is_v2: bool) -> None:
        """Let go of produce connections whose version belongs to the other transaction protocol."""
        self._produce.prepare(is_v2)

    def _rebootstrap_if_due(self, now: float) -> None:
        if now >= self._cluster.trigger_at:
            self._rebootstrap(now)

    def _rebootstrap(self, now: float) -> None:
        logger.warning("starting again from bootstrap.servers (last error: %s)", self.last_connection_error)
        self._control.forget(now)
        self._nodes.rebootstrap()
        self._cluster.restart_attempt(now)
        self._produce.drop_all()

    # --- answers and events ------------------------------------------------------------------------------

    def _on_metadata(self, answer: Answer, now: float) -> None:
        update = self._cluster.answered(answer.response, now)
        if update.fatal is not None:
            self.die(update.fatal)
            return
        if update.rebootstraps:
            self._rebootstrap(now)
            return
        self._topics.take(update)
        if update.brokers is None:
            self._rebootstrap_if_due(now)
        else:
            self._produce.drop(self._nodes.update(update.brokers))
        self._topics.answer()

    def _on_conn_closed(self, event: ConnClosed, now: float) -> None:
        if self._produce.on_closed(event, now):
            self._note_unhealthy(event, now)

    def _note_unhealthy(self, event: ConnClosed, now: float) -> None:
        node = self._nodes.get(event.node)
        name = str(node) if node else f"broker {event.node}"
        self.last_connection_error = f"produce, {name}: connection ended ({event.cause.name.lower()})"
        logger.debug("lost connection: %s, %d in flight", self.last_connection_error, event.in_flight)
        if event.cause is not CloseCause.TIMEOUT or node is None:
            return
        for link in self._control.links():
            if link.node.address == node.address:  # the broker hangs; another one can tell who leads now
                self.lose(link, error_for(7, "another connection to it timed out"), now)

    def _on_expired(self, event: Expired, now: float) -> None:
        self._cluster.mark_stale(event.topic, now)
        logger.debug(
            "%s-%d: %d batches ran out of delivery.timeout.ms", event.topic, event.partition, event.batches
        )

    def _on_metadata_stale(self, event: MetadataStale, now: float) -> None:
        self._cluster.mark_stale(event.topic, now)

    def _on_throttled(self, event: Throttled, now: float) -> None:
        logger.debug("broker %d throttles for %d ms", event.node, event.throttle_ms)

    def _on_stopped(self, event: Stopped, now: float) -> None:
        self.is_stopped = True

    def _on_pump_fatal(self, event: PumpFatal, now: float) -> None:
        self.die(error_for(-1, f"internal error of the pump: {event.cause}", fatal=True))

    # --- the end -----------------------------------------------------------------------------------------

    def die(self, error: KafkaError) -> None:
        """End the producer's work: everything outstanding, and every later call, fails with this error."""
        if self.fatal is not None:
            return
        logger.error("the producer cannot go on: %s", error)
        self.fatal = error
        self._pump.fail_all(-1 if error.code is None else error.code, error.message, True)
        self.close(error)

    def _fail_callers(self, error: KafkaError) -> None:
        self._transactions.fail_callers(error)
        self._topics.fail_callers(error)
