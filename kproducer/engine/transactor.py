"""The control thread's transaction half: callers and coordinators around the state table of client.transactions.

It finds coordinators, keeps a link to each, carries the table's requests there and its orders to the pump.
Control thread only; `now` is milliseconds of a monotonic clock.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from kproducer._core.events import TxnDrained, TxnFailed, TxnPartition
from kproducer.client.connection import Answer
from kproducer.client.coordinator import CoordinatorFinder
from kproducer.client.nodes import NodeDirectory
from kproducer.client.transaction_requests import TransactionRequest
from kproducer.client.transaction_state import (
    Allow,
    Begin,
    Call,
    Die,
    Drop,
    Order,
    Over,
    Publish,
    Seal,
    Ticket,
)
from kproducer.client.transactions import TransactionManager
from kproducer.engine.link import Link, LinkHost, Wiring
from kproducer.engine.mailbox import GiveUp, Transact
from kproducer.errors import CommitOutcomeUnknownError, KafkaError, UnsupportedVersionError
from kproducer.protocol.messages.find_coordinator import FIND_COORDINATOR, FindCoordinatorRequest
from kproducer.protocol.messages.init_producer_id import INIT_PRODUCER_ID
from kproducer.protocol.messages.txn_offset_commit import TXN_OFFSET_COMMIT
from kproducer.protocol.versions import BrokerVersions
from kproducer.types import TopicPartition

logger = logging.getLogger(__name__)

# Older brokers (before 2.5) know no members in TxnOffsetCommit, so they cannot fence them (KIP-447).
_OFFSETS_WITH_MEMBERS = 3
_INIT_WITH_EPOCH = 3
# From the next version on a produce request adds its partitions to the transaction itself (KIP-890).
LAST_PRODUCE_OF_TV1 = 11


class TransactionPump(Protocol):
    """What transactions need of the pump; see `_core.pump` for the meaning of each command."""

    def producer_id(self, producer_id: int, epoch: int) -> None: ...
    def txn_begin(self, gen: int, is_v2: bool) -> None: ...
    def txn_allow(self, gen: int, topic: str, partition: int) -> None: ...
    def txn_seal(self, gen: int) -> None: ...
    def txn_drop(self, gen: int, message: str | None, failure: KafkaError | None = None) -> None: ...
    def txn_over(self) -> None: ...


class TransactorHost(LinkHost, Protocol):
    """What the transactor needs of the control loop around it."""

    def prepare_produce(self, is_v2: bool) -> None: ...


class Transactions(Protocol):
    """What the control loop and its links ask of transactions, whether there are any or not."""

    @property
    def find_due_at(self) -> float: ...
    @property
    def produce_cap(self) -> int | None: ...
    def find(self, link: Link, now: float) -> None: ...
    def control_lost(self, now: float) -> None: ...
    def note_versions(self, versions: BrokerVersions) -> None: ...
    def take(self, command: Transact) -> None: ...
    def give_up(self, given_up: GiveUp) -> None: ...
    def fail_callers(self, error: KafkaError) -> None: ...
    def settle(self) -> None: ...


class NoTransactions:
    """The transactions of a producer without transactional.id: nothing is ever due, and nobody calls."""

    find_due_at: float = math.inf
    produce_cap: int | None = None

    def find(self, link: Link, now: float) -> None: ...
    def control_lost(self, now: float) -> None: ...
    def note_versions(self, versions: BrokerVersions) -> None: ...
    def fail_callers(self, error: KafkaError) -> None: ...
    def settle(self) -> None: ...

    def take(self, command: Transact) -> None:
        """Refuse; `producer` does so at the call."""
        raise AssertionError("a transaction without transactional.id")

    def give_up(self, given_up: GiveUp) -> None:
        """Refuse; there was nothing to give up."""
        raise AssertionError("a transaction without transactional.id")


@dataclass(slots=True)
class _Road:
    """A coordinator, and the link to it."""

    finder: CoordinatorFinder
    link: Link | None = None


class Transactor:
    """See the module.

    Args:
        manager: the state table.
        pump: takes the orders.
        wiring, nodes: what links are made of.
        make_finder: a finder for a group's coordinator (its id), or for that of the transactional id (None).
    """

    def __init__(
        self,
        manager: TransactionManager,
        pump: TransactionPump,
        wiring: Wiring,
        nodes: NodeDirectory,
        make_finder: Callable[[str | None], CoordinatorFinder],
    ) -> None:
        self.manager = manager
        self._pump = pump
        self._wiring = wiring
        self._nodes = nodes
        self._make_finder = make_finder
        self._roads: dict[str | None, _Road] = {}
        self._asked: _Road | None = None  # where the request in flight went
        self._callers: list[Transact] = []
        self._features_epoch = -math.inf
        self._host: TransactorHost | None = None

    def attach(self, host: TransactorHost) -> None:
        """Wire the control loop in, once."""
        self._host = host

    # --- callers -----------------------------------------------------------------------------------------

    def take(self, command: Transact) -> None:
        """Begin a call."""
        try:
            command.ticket = self._start(command)
        except KafkaError as error:
            command.reply.set_error(error)
            return
        self._callers.append(command)

    def give_up(self, given_up: GiveUp) -> None:
        """Forget a caller; its call goes on."""
        command = given_up.command
        if command in self._callers:
            self._callers.remove(command)
        if command.ticket is not None and all(c.ticket is not command.ticket for c in self._callers):
            self.manager.give_up(command.ticket)

    def fail_callers(self, error: KafkaError) -> None:
        """Answer all callers with an error: the producer is over."""
        for command in self._callers:
            command.reply.set_error(_end_of(command, error))
        self._callers.clear()

    def _start(self, command: Transact) -> Ticket:
        match command.call:
            case Call.INIT:
                return self.manager.init()
            case Call.BEGIN:
                return self.manager.begin()
            case Call.COMMIT:
                return self.manager.commit()
            case Call.ABORT:
                return self.manager.abort()
            case Call.SEND_OFFSETS:
                assert command.group is not None
                return self.manager.send_offsets(command.offsets, command.group)

    def _answer_callers(self) -> None:
        waiting = []
        for command in self._callers:
            ticket = command.ticket
            assert ticket is not None
            if not ticket.is_done:
                waiting.append(command)
            elif self._tell(command, ticket):
                self.manager.told(ticket)
            else:
                self.manager.give_up(ticket)
        self._callers = waiting

    @staticmethod
    def _tell(command: Transact, ticket: Ticket) -> bool:
        if ticket.error is not None:
            return command.reply.set_error(ticket.error)
        return command.reply.set_result(None)

    # --- the pump's events -------------------------------------------------------------------------------

    def on_partition(self, event: TxnPartition, now: float) -> None:
        """A partition is new in the transaction."""
        self.manager.partition_used(event.txn_gen, TopicPartition(event.topic, event.partition))

    def on_failed(self, event: TxnFailed, now: float) -> None:
        """A record failed."""
        self.manager.failed(event.txn_gen, event.error)

    def on_drained(self, event: TxnDrained, now: float) -> None:
        """The transaction has left the network."""
        self.manager.drained(event.txn_gen, event.was_sent, event.is_broken, event.has_failed)

    # --- the loop's turns --------------------------------------------------------------------------------

    def settle(self) -> None:
        """Carry the table's orders out and answer who waits; after anything that may have changed it."""
        orders = self.manager.take_orders()
        while orders:
            for order in orders:
                self._carry_out(order)
            orders = self.manager.take_orders()
        self._answer_callers()

    def work(self, now: float) -> None:
        """Send the request that is due, or bring its coordinator nearer."""
        request = self.manager.next_request()
        if request is None:
            return
        road = self._road(request)
        if road.finder.node_id is None or self.manager.due_at > now:
            return
        if road.link is None:
            self._dial(road, now)
        elif road.link.may_send(now):
            self._send(road, road.link, request, now)

    def deadline(self) -> float:
        """Return when `work` has something to do."""
        request = self.manager.next_request()
        if request is None:
            return math.inf
        road = self._road(request)
        if road.finder.node_id is None:
            return math.inf  # the control link asks for it
        if road.link is None:
            return max(self.manager.due_at, self._nodes.usable_at(road.finder.node_id))
        if not road.link.is_ready:
            return math.inf
        return max(self.manager.due_at, road.link.throttled_until)

    def links(self) -> list[Link]:
        """Return the links to coordinators."""
        return [road.link for road in self._roads.values() if road.link is not None]

    def owns(self, link: Link) -> bool:
        """Whether a link goes to a coordinator."""
        return any(road.link is link for road in self._roads.values())

    def became_ready(self, link: Link) -> None:
        """What is due is sent by `work`."""

    def close(self) -> None:
        """Close the links."""
        for link in self.links():
            link.close()
        for road in self._roads.values():
            road.link = None

    # --- coordinators ------------------------------------------------------------------------------------

    @property
    def find_due_at(self) -> float:
        """When the control link should send FindCoordinator."""
        request = self.manager.next_request()
        return math.inf if request is None else self._road(request).finder.due_at

    def find(self, link: Link, now: float) -> None:
        """Ask over the control link for the coordinator that is needed."""
        request = self.manager.next_request()
        if request is not None and self._road(request).finder.due_at <= now:
            link.send(FIND_COORDINATOR, self._road(request).finder.begin_request(), now)

    def on_found(self, answer: Answer, now: float) -> None:
        """Take an answer to FindCoordinator."""
        asked = answer.request
        assert isinstance(asked, FindCoordinatorRequest)
        for group, road in self._roads.items():
            finder = road.finder
            if (finder.key, finder.key_type) != (asked.key, asked.key_type):
                continue
            try:
                address = finder.answered(answer.response, now)
            except KafkaError as error:
                if error.retriable:  # a malformed answer: the link is not trusted further
                    raise
                self._refuse(group, error)
                return
            if address is not None and finder.node_id is not None:
                self._nodes.add(finder.node_id, address)

    def control_lost(self, now: float) -> None:
        """The control link is gone, and with it what was asked there."""
        for road in self._roads.values():
            road.finder.failed(now)

    def lost(self, link: Link, now: float) -> None:
        """The link to a coordinator is gone: another broker may have taken over."""
        for road in self._roads.values():
            if road.link is link:
                road.link = None
                road.finder.forget(now)
                if self._asked is road:
                    self._asked = None
                    self.manager.lost(now)

    @property
    def produce_cap(self) -> int | None:
        """The highest version of Produce that the transaction protocol allows, None for all."""
        return None if self.manager.speaks_v2 else LAST_PRODUCE_OF_TV1

    def note_versions(self, versions: BrokerVersions) -> None:
        """Take note of the cluster's transaction version; the newest answer counts."""
        if versions.finalized_features_epoch >= self._features_epoch:
            self._features_epoch = versions.finalized_features_epoch
            self.manager.offers(versions.speaks_transactions_v2)

    def on_answer(self, answer: Answer, now: float) -> None:
        """Take a coordinator's answer."""
        road, self._asked = self._asked, None
        if self.manager.answered(answer.response, now) and road is not None:
            if road.link is not None:
                road.link.close()
                road.link = None
            road.finder.forget(now)

    # --- inside ------------------------------------------------------------------------------------------

    def _road(self, request: TransactionRequest) -> _Road:
        road = self._roads.get(request.group)
        if road is None:
            road = self._roads[request.group] = _Road(self._make_finder(request.group))
        return road

    def _dial(self, road: _Road, now: float) -> None:
        node_id = road.finder.node_id
        assert node_id is not None
        node = self._nodes.get(node_id)
        if node is None:  # forgotten by the metadata since
            road.finder.forget(now)
            return
        if self._nodes.usable_at(node_id) > now:
            return
        road.link = Link(node, self._wiring, self._nodes.setup_timeout_ms(node_id))
        try:
            road.link.start(now)
        except KafkaError as error:
            self._lose(road.link, error, now)

    def _send(self, road: _Road, link: Link, request: TransactionRequest, now: float) -> None:
        try:
            version = self._version(link, request)
        except UnsupportedVersionError as error:
            self.manager.unsupported(request, error)
            self.settle()
            return
        self._asked = road
        self.manager.begin_request(request)
        try:
            link.send(request.api, request.request, now, version=version)
        except KafkaError as error:
            self._lose(link, error, now)

    @staticmethod
    def _version(link: Link, request: TransactionRequest) -> int:
        version = link.versions.pick(request.api, request.version_cap)
        if (
            request.api is TXN_OFFSET_COMMIT
            and version < _OFFSETS_WITH_MEMBERS
            and _has_member(request.request)
        ):
            raise UnsupportedVersionError(
                f"{link.node} is older than Kafka 2.5 and cannot fence a group member (KIP-447); "
                "give the group id alone"
            )
        if (
            request.api is INIT_PRODUCER_ID
            and version < _INIT_WITH_EPOCH
            and request.request.producer_id >= 0
        ):
            raise UnsupportedVersionError(
                f"{link.node} is older than Kafka 2.5 and cannot raise the epoch of a producer (KIP-360): "
                "close this producer and make another"
            )
        return version

    def _lose(self, link: Link, error: KafkaError, now: float) -> None:
        assert self._host is not None
        self._host.lose(link, error, now)

    def _refuse(self, group: str | None, error: KafkaError) -> None:
        """No coordinator is to be had; if another request is next by now, it is asked for again in its turn."""
        request = self.manager.next_request()
        if request is not None and request.group == group:
            self.manager.unsupported(request, error)
        self.settle()

    def _carry_out(self, order: Order) -> None:
        assert self._host is not None
        match order:
            case Publish():
                logger.debug("producer id %d, epoch %d", order.producer_id, order.epoch)
                self._pump.producer_id(order.producer_id, order.epoch)
            case Begin():
                self._host.prepare_produce(order.is_v2)
                self._pump.txn_begin(order.generation, order.is_v2)
            case Allow():
                for partition in order.partitions:
                    self._pump.txn_allow(order.generation, partition.topic, partition.partition)
            case Seal():
                self._pump.txn_seal(order.generation)
            case Drop():
                self._pump.txn_drop(order.generation, order.message, order.failure)
            case Over():
                self._pump.txn_over()
            case Die():
                self._host.die(order.error)


def _end_of(command: Transact, error: KafkaError) -> KafkaError:
    """What a caller is told when the producer ends: of a commit under way that nobody knows."""
    ticket = command.ticket
    if ticket is None or not ticket.may_have_ended or ticket.is_done or error.fatal:
        return error
    unknown = CommitOutcomeUnknownError(f"the commit may take effect; {error.message}", persisted="maybe")
    unknown.__cause__ = error
    return unknown


def _has_member(request: Any) -> bool:
    return request.generation_id >= 0 or request.member_id != "" or request.group_instance_id is not None
