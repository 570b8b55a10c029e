"""Random calls, answers and losses against a small model of a coordinator: nothing ever ends as it was not told.

Requests may be lost, answered, carried out without an answer, or carried out much later. The model says what the
log holds; the test compares that with what each call of the application was told.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from random import Random
from typing import Any

import pytest
from hypothesis import Phase as Step
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kproducer.client.backoff import ExponentialBackoff
from kproducer.client.transaction_requests import TransactionRequest
from kproducer.client.transaction_state import (
    Allow,
    Begin,
    Call,
    Die,
    Drop,
    Order,
    Publish,
    Seal,
    State,
    Ticket,
)
from kproducer.client.transactions import TransactionManager
from kproducer.errors import (
    IllegalStateError,
    KafkaError,
    RecordTooLargeError,
    TransactionAbortableError,
    TransactionCommittedError,
)
from kproducer.protocol.messages.add_offsets_to_txn import ADD_OFFSETS_TO_TXN, AddOffsetsToTxnResponse
from kproducer.protocol.messages.add_partitions_to_txn import (
    ADD_PARTITIONS_TO_TXN,
    AddPartitionsToTxnPartitionResult,
    AddPartitionsToTxnResponse,
    AddPartitionsToTxnTopicResult,
)
from kproducer.protocol.messages.end_txn import END_TXN, EndTxnResponse
from kproducer.protocol.messages.init_producer_id import INIT_PRODUCER_ID, InitProducerIdResponse
from kproducer.protocol.messages.txn_offset_commit import (
    TXN_OFFSET_COMMIT,
    TxnOffsetCommitResponse,
    TxnOffsetCommitResponsePartition,
    TxnOffsetCommitResponseTopic,
)
from kproducer.types import ConsumerGroupMetadata, OffsetAndMetadata, TopicPartition

PRODUCER_ID = 40
ILLEGAL, OK, BUSY, FENCED = 48, 0, 51, 90
# What a transaction has written: (number of the transaction, partition of a topic or name of a group).
Write = tuple[int, object]


class Phase(Enum):
    EMPTY = auto()
    ONGOING = auto()
    COMMITTED = auto()
    ABORTED = auto()


@dataclass
class Coordinator:
    """A coordinator of one transactional id, as brokers 3.9 and 4.x were measured."""

    epoch: int = -1
    phase: Phase = Phase.EMPTY
    places: set[object] = field(default_factory=set)
    writes: set[Write] = field(default_factory=set)
    committed: set[Write] = field(default_factory=set)
    aborted: set[Write] = field(default_factory=set)
    has_bumped_at_end: bool = False
    has_fenced_its_own: bool = False
    busy: int = 0  # how many answers come before the markers are written

    def init(self, producer_id: int, epoch: int) -> tuple[int, int]:
        """Return a code and the epoch."""
        if self.busy:
            self.busy -= 1
            return BUSY, -1
        if producer_id >= 0 and epoch != self.epoch:
            is_repeated = epoch == self.epoch - 1 and not self.has_fenced_its_own
            return (OK, self.epoch) if is_repeated else (FENCED, -1)
        if self.phase is Phase.ONGOING:
            self.epoch += 1
            self.has_fenced_its_own = True
            self._finish(is_commit=False)
            return BUSY, -1
        self.epoch += 1
        self.phase = Phase.EMPTY
        self.has_bumped_at_end = self.has_fenced_its_own = False
        return OK, self.epoch

    def add(self, epoch: int, places: set[object]) -> int:
        if epoch != self.epoch:
            return FENCED
        if self.busy:
            self.busy -= 1
            return BUSY
        self.phase = Phase.ONGOING
        self.places |= places
        return OK

    def write(self, epoch: int, write: Write, *, is_v2: bool) -> int:
        """A leader or a group coordinator takes a write, which it has verified (KIP-890)."""
        if is_v2:
            code = self.add(epoch, {write[1]})
            if code != OK:
                return code
        if epoch != self.epoch or self.phase is not Phase.ONGOING or write[1] not in self.places:
            return ILLEGAL
        self.writes.add(write)
        return OK

    def end(self, epoch: int, number: int, *, is_commit: bool, is_v2: bool) -> tuple[int, int]:
        """Return a code and the next epoch; `number` is the transaction that is meant."""
        done = Phase.COMMITTED if is_commit else Phase.ABORTED
        if self.has_bumped_at_end and epoch == self.epoch - 1:
            return self._busy_or(OK if self.phase is done else ILLEGAL)
        if epoch != self.epoch:
            return FENCED, -1
        if self.phase is Phase.ONGOING:
            assert {n for n, _ in self.writes} <= {number}, "the end of one transaction has ended another"
            self._finish(is_commit=is_commit)
            self._bump(is_v2)
            return OK, self.epoch
        if is_v2:
            if is_commit:
                return ILLEGAL, -1
            self.phase = Phase.ABORTED
            self._bump(is_v2)
            return OK, self.epoch
        return self._busy_or(OK if self.phase is done else ILLEGAL)

    def fence(self) -> None:
        """Another producer of the same transactional id took over."""
        if self.phase is Phase.ONGOING:
            self._finish(is_commit=False)
        self.epoch += 2
        self.phase = Phase.EMPTY
        self.has_bumped_at_end = False

    def _busy_or(self, code: int) -> tuple[int, int]:
        if self.busy:
            self.busy -= 1
            return BUSY, -1
        return code, self.epoch

    def _bump(self, is_v2: bool) -> None:
        self.has_bumped_at_end = is_v2
        self.epoch += is_v2

    def _finish(self, *, is_commit: bool) -> None:
        # Offsets that arrive a second time change nothing that was committed.
        ended = self.writes - self.committed
        (self.committed if is_commit else self.aborted).update(ended)
        self.phase = Phase.COMMITTED if is_commit else Phase.ABORTED
        self.writes.clear()
        self.places.clear()
        self.has_bumped_at_end = False


@dataclass
class Pump:
    """The pump's side of the transaction that it knows of."""

    number: int = 0
    is_v2: bool = False
    is_open: bool = False
    is_ending: bool = False
    was_sent: bool = False
    is_broken: bool = False
    waiting: list[TopicPartition] = field(default_factory=list)
    allowed: set[TopicPartition] = field(default_factory=set)
    acknowledged: set[Write] = field(default_factory=set)


class Fate(Enum):
    """What becomes of a request."""

    ANSWERED = auto()
    ANSWER_LOST = auto()
    LOST = auto()
    LATE = auto()
    BOUNCED = auto()  # answered by a coordinator that did nothing
    STUMBLED = auto()  # carried out, and answered with an error that does not tell


@dataclass(eq=False)
class Waiter:
    """A caller, the transaction that it means, and what it writes itself."""

    ticket: Ticket
    number: int
    write: Write | None = None


class Machine(RuleBasedStateMachine):
    """The application, the network and the pump around a TransactionManager."""

    def __init__(self) -> None:
        super().__init__()
        self.manager = TransactionManager(
            "tx", 60_000, backoff=ExponentialBackoff(100, 1000), jitter=lambda: 0.5
        )
        self.coordinator = Coordinator()
        self.pump = Pump()
        self.published = (-1, -1)
        self.late: list[Callable[[], object]] = []
        self.waiting: list[Waiter] = []
        self.told_aborted: set[int] = set()
        self.told_committed: dict[int, frozenset[Write]] = {}
        self.was_fenced = False
        self.has_been_joined = False

    # --- the application ---------------------------------------------------------------------------------

    @initialize(is_v2=st.booleans())
    def init(self, is_v2: bool) -> None:
        self.manager.offers(is_v2)
        self.call(self.manager.init)
        self.go_on()

    @precondition(lambda self: self.manager.state in (State.READY, State.INITIALIZING))
    @rule(
        is_v2=st.sampled_from([None, None, None, False, True]),
        partition=st.integers(0, 2),
        goes_on=st.booleans(),
    )
    def call_begin(self, is_v2: bool | None, partition: int, goes_on: bool) -> None:
        """Begin, mostly with a record, sometimes after the cluster has changed its protocol."""
        if is_v2 is not None:
            self.manager.offers(is_v2)
        self.call(self.manager.begin)
        if goes_on:
            self.go_on()
        if self.pump.is_open:
            self.append(partition)
        if goes_on:
            self.go_on()

    @precondition(lambda self: self.manager.has_open_transaction)
    @rule(goes_on=st.booleans())
    def call_commit(self, goes_on: bool) -> None:
        self.call(self.manager.commit)
        if goes_on:
            self.bring_to_its_end()

    @precondition(lambda self: self.manager.has_open_transaction)
    @rule(goes_on=st.booleans())
    def call_abort(self, goes_on: bool) -> None:
        self.call(self.manager.abort)
        if goes_on:
            self.bring_to_its_end()

    @rule(name=st.sampled_from(["init", "begin", "commit", "abort"]))
    def call_anything(self, name: str) -> None:
        self.call(getattr(self.manager, name))

    @precondition(lambda self: self.pump.is_open)
    @rule(group=st.sampled_from(["g", "h"]))
    def call_send_offsets(self, group: str) -> None:
        offsets = {TopicPartition("in", 0): OffsetAndMetadata(1)}
        self.call(lambda: self.manager.send_offsets(offsets, ConsumerGroupMetadata(group)), group)

    def call(self, function: Callable[[], Ticket], group: str | None = None) -> None:
        before = self.manager.state
        try:
            ticket = function()
        except (IllegalStateError, TransactionAbortableError):
            assert self.manager.state is before
            return
        if all(waiter.ticket is not ticket for waiter in self.waiting):
            number = self.pump.number
            self.waiting.append(Waiter(ticket, number, None if group is None else (number, group)))
        self.settle()

    @precondition(lambda self: self.waiting)
    @rule(which=st.integers(0, 3))
    def give_up(self, which: int) -> None:
        waiter = self.waiting.pop(which % len(self.waiting))
        self.manager.give_up(waiter.ticket)

    # --- the pump ----------------------------------------------------------------------------------------

    @precondition(lambda self: self.pump.is_open)
    @rule(partition=st.integers(0, 2))
    def append(self, partition: int) -> None:
        place = TopicPartition("t", partition)
        self.pump.waiting.append(place)
        if not self.pump.is_v2 and place not in self.pump.allowed:
            self.manager.partition_used(self.pump.number, place)

    @precondition(lambda self: self.pump.waiting)
    @rule()
    def transmit(self) -> None:
        """Produce what may leave; a refusal dooms the transaction."""
        pump = self.pump
        for place in [p for p in pump.waiting if pump.is_v2 or p in pump.allowed]:
            pump.waiting.remove(place)
            pump.was_sent = True
            write: Write = (pump.number, place)
            code = self.coordinator.write(self.published[1], write, is_v2=pump.is_v2)
            if code == BUSY:
                pump.waiting.append(place)
            elif code == OK:
                pump.acknowledged.add(write)
            else:
                self.fail()
                return

    @precondition(lambda self: self.pump.is_open or self.pump.is_ending)
    @rule()
    def fail(self) -> None:
        self.pump.is_broken = True
        self.manager.failed(self.pump.number, RecordTooLargeError("too large"))
        self.settle()

    @precondition(lambda self: self.pump.is_ending and not self.pump.waiting)
    @rule()
    def drain(self) -> None:
        pump = self.pump
        pump.is_ending = False
        self.manager.drained(pump.number, pump.was_sent, pump.is_broken)
        self.settle()

    def carry_out(self, order: Order) -> None:
        match order:
            case Publish():
                assert order.producer_id == PRODUCER_ID
                assert order.epoch >= self.published[1], "the epoch goes back"
                self.published = (order.producer_id, order.epoch)
            case Begin():
                assert not self.pump.is_open, "two transactions at once"
                assert not self.pump.is_ending, "two transactions at once"
                assert order.generation == self.pump.number + 1
                self.pump = Pump(order.generation, order.is_v2, is_open=True)
            case Allow():
                if order.generation == self.pump.number:
                    self.pump.allowed |= set(order.partitions)
            case Seal():
                assert order.generation == self.pump.number
                self.pump.is_open, self.pump.is_ending = False, True
            case Drop():
                assert order.generation == self.pump.number
                self.pump.is_open, self.pump.is_ending = False, True
                self.pump.waiting.clear()
            case Die():
                self.pump.is_open = self.pump.is_ending = False
                self.pump.waiting.clear()

    # --- the network -------------------------------------------------------------------------------------

    @precondition(lambda self: self.manager.next_request() is not None)
    @rule()
    def go_on(self) -> None:
        """Everything works for a while."""
        for _ in range(20):
            if self.manager.next_request() is not None:
                self.exchange(Fate.ANSWERED, 0, 0)
            elif self.pump.waiting:
                self.transmit()
            else:
                return

    def bring_to_its_end(self) -> None:
        """What the end waits for happens, but not the end."""
        while self.pump.is_ending and self.manager.state in (State.COMMITTING, State.ABORTING):
            if self.manager.next_request() is not None:
                self.exchange(Fate.ANSWERED, 0, 0)
            elif self.pump.waiting:
                self.transmit()
            else:
                self.drain()

    @precondition(lambda self: self.manager.next_request() is not None)
    @rule(
        fate=st.sampled_from([Fate.ANSWERED] * 2 + list(Fate)),
        code=st.sampled_from([14, 15, 16, 51]),
        busy=st.integers(0, 2),
    )
    def exchange(self, fate: Fate, code: int, busy: int) -> None:
        """Send the next request; `busy` answers come before its markers are written."""
        request = self.manager.next_request()
        assert request is not None
        self.manager.begin_request(request)
        number, is_v2 = self.pump.number, self.pump.is_v2

        def carry_out() -> Any:
            was_ongoing = self.coordinator.phase is Phase.ONGOING
            response = self.carried_out(request, number, is_v2)
            if was_ongoing and self.coordinator.phase is not Phase.ONGOING:
                self.coordinator.busy = busy
            return response

        if fate is Fate.BOUNCED:
            self.manager.answered(refusal(request, code), 0.0)
        elif fate is Fate.STUMBLED and request.api is END_TXN:
            carry_out()
            self.manager.answered(refusal(request, 15), 0.0)
        elif fate is Fate.ANSWERED:
            self.manager.answered(carry_out(), 0.0)
        else:
            if fate is Fate.LATE:
                self.late.append(carry_out)
            elif fate is not Fate.LOST:
                carry_out()
            self.manager.lost(0.0)
        self.settle()

    @precondition(lambda self: self.late)
    @rule(which=st.integers(0, 3))
    def arrive(self, which: int) -> None:
        """A request that was given up long ago reaches the coordinator; nobody hears the answer."""
        was_ongoing = self.coordinator.phase is Phase.ONGOING
        self.late.pop(which % len(self.late))()
        self.has_been_joined |= self.coordinator.phase is Phase.ONGOING and not was_ongoing

    @precondition(lambda self: self.manager.next_request() is not None)
    @rule(code=st.sampled_from([22, 120, 53]))
    def refuse(self, code: int) -> None:
        """An answer that nothing can be done about, to a request that was not carried out."""
        request = self.manager.next_request()
        assert request is not None
        if code == 22 and request.api is not TXN_OFFSET_COMMIT:
            return
        self.manager.begin_request(request)
        self.manager.answered(refusal(request, code), 0.0)
        self.settle()

    @precondition(lambda self: not self.was_fenced and self.coordinator.epoch >= 0)
    @rule()
    def fence(self) -> None:
        self.was_fenced = True
        self.coordinator.fence()

    def carried_out(self, request: TransactionRequest, number: int, is_v2: bool) -> Any:
        asked, coordinator = request.request, self.coordinator
        if request.api is INIT_PRODUCER_ID:
            code, epoch = coordinator.init(asked.producer_id, asked.producer_epoch)
            known = PRODUCER_ID if code == OK else -1
            return InitProducerIdResponse(error_code=code, producer_id=known, producer_epoch=epoch)
        if request.api is ADD_PARTITIONS_TO_TXN:
            topics = asked.v3_and_below_topics
            places: set[object] = {TopicPartition(t.name, p) for t in topics for p in t.partitions}
            return refusal(request, coordinator.add(asked.v3_and_below_producer_epoch, places))
        if request.api is ADD_OFFSETS_TO_TXN:
            return refusal(request, coordinator.add(asked.producer_epoch, {asked.group_id}))
        if request.api is TXN_OFFSET_COMMIT:
            write: Write = (number, asked.group_id)
            return refusal(request, coordinator.write(asked.producer_epoch, write, is_v2=is_v2))
        speaks_v5 = request.version_cap is None
        code, epoch = coordinator.end(
            asked.producer_epoch, number, is_commit=asked.committed, is_v2=speaks_v5
        )
        if code != OK or not speaks_v5:
            return EndTxnResponse(error_code=code)
        return EndTxnResponse(producer_id=PRODUCER_ID, producer_epoch=epoch)

    # --- what was told, and what is so -------------------------------------------------------------------

    def settle(self) -> None:
        for order in self.manager.take_orders():
            self.carry_out(order)
        for waiter in [waiter for waiter in self.waiting if waiter.ticket.is_done]:
            self.waiting.remove(waiter)
            self.hear(waiter)
            self.manager.told(waiter.ticket)

    def hear(self, waiter: Waiter) -> None:
        call, error, number = waiter.ticket.call, waiter.ticket.error, waiter.number
        committed = {write for write in self.coordinator.committed if write[0] == number}
        if call is Call.COMMIT and error is None:
            assert committed >= self.pump.acknowledged, "a commit has not taken effect"
            self.told_committed[number] = frozenset(committed)
        elif call is Call.ABORT and error is None:
            # An add that lands after an unknown commit of its own transaction gives the abort something to abort.
            assert not committed or self.has_been_joined, "an abort has committed"
            if not committed:
                self.told_aborted.add(number)
        elif call is Call.ABORT and isinstance(error, TransactionCommittedError):
            assert committed >= self.pump.acknowledged, "a commit has not taken effect"
        elif call is Call.SEND_OFFSETS and error is None:
            assert waiter.write is not None
            self.pump.acknowledged.add(waiter.write)
        elif call in (Call.COMMIT, Call.ABORT):
            assert isinstance(error, KafkaError)
            assert not (committed and error.persisted == "no"), "a committed transaction was denied"

    def check(self) -> None:
        """The invariants, for those who walk without hypothesis."""
        self.no_transaction_is_torn_or_ends_twice()
        self.what_was_told_stays_so()
        self.only_the_open_transaction_waits_at_the_coordinator()
        self.a_producer_that_nobody_fenced_is_not_dead_for_nothing()

    @invariant()
    def no_transaction_is_torn_or_ends_twice(self) -> None:
        assert not self.coordinator.committed & self.coordinator.aborted
        for number in {number for number, _ in self.coordinator.committed}:
            assert number not in {number for number, _ in self.coordinator.aborted}

    @invariant()
    def what_was_told_stays_so(self) -> None:
        for number, _ in self.coordinator.committed:
            assert number not in self.told_aborted, "an aborted transaction was committed later"
        for writes in self.told_committed.values():
            assert writes <= self.coordinator.committed

    @invariant()
    def only_the_open_transaction_waits_at_the_coordinator(self) -> None:
        assert {number for number, _ in self.coordinator.writes} <= {self.pump.number}

    @invariant()
    def a_producer_that_nobody_fenced_is_not_dead_for_nothing(self) -> None:
        if self.manager.state is State.FATAL_ERROR and not self.was_fenced:
            assert self.manager.error is not None
            # An add that lands between the end of its transaction and the request for a new epoch costs the producer.
            assert self.has_been_joined or self.manager.error.code == 53, self.manager.error


def refusal(request: TransactionRequest, code: int) -> Any:
    """Return the answer to a request that has this code everywhere."""
    if request.api is INIT_PRODUCER_ID:
        return InitProducerIdResponse(error_code=code)
    if request.api is ADD_PARTITIONS_TO_TXN:
        return AddPartitionsToTxnResponse(
            results_by_topic_v3_and_below=tuple(
                AddPartitionsToTxnTopicResult(
                    name=topic.name,
                    results_by_partition=tuple(
                        AddPartitionsToTxnPartitionResult(partition_index=index, partition_error_code=code)
                        for index in topic.partitions
                    ),
                )
                for topic in request.request.v3_and_below_topics
            )
        )
    if request.api is ADD_OFFSETS_TO_TXN:
        return AddOffsetsToTxnResponse(error_code=code)
    if request.api is TXN_OFFSET_COMMIT:
        part = TxnOffsetCommitResponsePartition(error_code=code)
        return TxnOffsetCommitResponse(topics=(TxnOffsetCommitResponseTopic(name="in", partitions=(part,)),))
    return EndTxnResponse(error_code=code)


TestTransactions = Machine.TestCase


def walk(random: Random) -> None:
    """Take a hundred random steps, of which most go well; this goes deeper than the search of hypothesis."""
    machine = Machine()
    manager = machine.manager
    offers = (None, None, None, None, False, True)
    fates = (Fate.ANSWERED,) * 4 + tuple(Fate)

    def pump() -> Pump:
        return machine.pump

    def exchange() -> None:
        machine.exchange(random.choice(fates), random.choice((14, 15, 16, 51)), random.choice((0, 0, 2)))

    def begin() -> None:
        machine.call_begin(random.choice(offers), random.randrange(3), random.random() < 0.7)

    steps: tuple[tuple[float, Callable[[], bool], Callable[[], None]], ...] = (
        (6, lambda: manager.state in (State.READY, State.INITIALIZING), begin),
        (3, lambda: manager.has_open_transaction, lambda: machine.call_commit(random.random() < 0.5)),
        (1.5, lambda: manager.has_open_transaction, lambda: machine.call_abort(random.random() < 0.5)),
        (1, lambda: True, lambda: machine.call_anything(random.choice(("init", "begin", "commit", "abort")))),
        (2, lambda: bool(machine.waiting), lambda: machine.give_up(random.randrange(4))),
        (2, lambda: pump().is_open, lambda: machine.append(random.randrange(3))),
        (1, lambda: pump().is_open, lambda: machine.call_send_offsets(random.choice("gh"))),
        (6, lambda: bool(pump().waiting), machine.transmit),
        (6, lambda: pump().is_ending and not pump().waiting, machine.drain),
        (0.3, lambda: pump().is_open or pump().is_ending, machine.fail),
        (9, lambda: manager.next_request() is not None, exchange),
        (2, lambda: bool(machine.late), lambda: machine.arrive(random.randrange(4))),
        (
            0.3,
            lambda: manager.next_request() is not None,
            lambda: machine.refuse(random.choice((22, 120, 120))),
        ),
        (0.05, lambda: manager.next_request() is not None, lambda: machine.refuse(53)),
        (0.05, lambda: not machine.was_fenced, machine.fence),
    )
    machine.init(random.random() < 0.4)
    for _ in range(100):
        open_steps = [(weight, step) for weight, is_open, step in steps if is_open()]
        random.choices([step for _, step in open_steps], [weight for weight, _ in open_steps])[0]()
        machine.check()


@pytest.mark.parametrize("seed", range(20))
def test_random_walks_end_as_they_were_told(seed: int) -> None:
    random = Random(seed)
    for _ in range(60):
        walk(random)


# Without Step.explain, whose tracing costs three quarters of the time.
TestTransactions.settings = settings(
    max_examples=100, stateful_step_count=40, phases=[Step.reuse, Step.generate, Step.shrink]
)
