"""The transactions of a producer: which calls are legal, which request is next, what an answer changes.

Java's TransactionManager with one state more, COMMIT_UNKNOWN, for a commit that was given up before its answer.
Two protocols: under version 1 partitions and groups are added by requests of their own; under version 2 the
first produce request adds its partitions and each end of a transaction raises the epoch (KIP-890). The version
is chosen when a transaction begins and holds until its end. `now` is milliseconds of a monotonic clock. Control
thread only; what the pump is to do is collected in `take_orders`.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from kproducer.client.backoff import ExponentialBackoff
from kproducer.client.transaction_codes import (
    CONCURRENT_TRANSACTIONS,
    INVALID_PRODUCER_EPOCH,
    INVALID_TXN_STATE,
    PRODUCER_FENCED,
    UNKNOWN_SERVER_ERROR,
    Reaction,
    reaction,
    worst,
)
from kproducer.client.transaction_requests import (
    Identity,
    TransactionRequest,
    add_offsets_request,
    add_partitions_request,
    commit_offsets_request,
    end_request,
    init_request,
)
from kproducer.client.transaction_state import (
    MOVES,
    Allow,
    Begin,
    Call,
    Die,
    Drop,
    Order,
    Over,
    Publish,
    Seal,
    State,
    Ticket,
)
from kproducer.errors import (
    CommitFailedError,
    IllegalStateError,
    KafkaError,
    TransactionAbortableError,
    TransactionAbortedError,
    TransactionCommittedError,
    error_for,
)
from kproducer.protocol.messages.add_offsets_to_txn import ADD_OFFSETS_TO_TXN
from kproducer.protocol.messages.add_partitions_to_txn import ADD_PARTITIONS_TO_TXN, partition_results
from kproducer.protocol.messages.end_txn import END_TXN
from kproducer.protocol.messages.init_producer_id import INIT_PRODUCER_ID
from kproducer.protocol.messages.txn_offset_commit import TXN_OFFSET_COMMIT
from kproducer.types import ConsumerGroupMetadata, OffsetAndMetadata, TopicPartition

# A coordinator is busy with the markers of the transaction before for a few milliseconds.
_CONCURRENT_BACKOFF: Final = ExponentialBackoff(20.0, 1_000.0)
_REBALANCED: Final = frozenset({22, 25, 82})
# Answers that also stand for a state that was written and not replicated in time: the next coordinator may find it.
_IN_DOUBT: Final = frozenset({UNKNOWN_SERVER_ERROR, 7, 15, 16})


@dataclass(slots=True)
class _Offsets:
    """Offsets of a group that go with the transaction."""

    offsets: dict[TopicPartition, OffsetAndMetadata]
    group: ConsumerGroupMetadata
    ticket: Ticket
    is_added: bool = False


@dataclass(slots=True)
class _Transaction:
    """What is known of the open transaction, or of the last one."""

    generation: int = 0
    is_v2: bool = False
    unadded: dict[TopicPartition, None] = field(default_factory=dict)
    offsets: deque[_Offsets] = field(default_factory=deque)
    is_drained: bool = False
    has_begun: bool = False  # the coordinator may know of it
    is_confirmed: bool = False  # the coordinator does know of it
    is_ambiguous: bool = False  # a request got no answer and may take effect later
    is_broken: bool = False  # a sequence was given away and not acknowledged
    has_commit_left: bool = False  # EndTxn(commit) was sent
    was_unknown: bool = False  # aborting after a commit whose outcome was not known
    seems_committed: bool = False  # that abort was refused


class TransactionManager:
    """The state table.

    Args:
        transactional_id, timeout_ms: as configured.
        backoff: delays between attempts.
        jitter: source of random numbers in [0, 1).
    """

    def __init__(
        self,
        transactional_id: str,
        timeout_ms: int,
        *,
        backoff: ExponentialBackoff,
        jitter: Callable[[], float],
    ) -> None:
        self.state = State.UNINITIALIZED
        self.error: KafkaError | None = None
        self._who = Identity(transactional_id)
        self._timeout_ms = timeout_ms
        self._backoff = backoff
        self._jitter = jitter
        self._offers_v2 = False
        self._txn = _Transaction()
        self._ticket: Ticket | None = None  # of init, commit or abort, until its outcome was told
        self._waiting_begin: Ticket | None = None  # of begin, until its outcome was told
        self._in_flight: TransactionRequest | None = None
        self._failures = 0
        self._not_before = -math.inf
        self._orders: list[Order] = []

    # --- what is known -----------------------------------------------------------------------------------

    @property
    def wants_abort(self) -> bool:
        """Whether close() must abort: a transaction is open that nobody can have committed."""
        given_up = self._given_up_commit()
        is_unsent = given_up is not None and not given_up.may_have_ended and not given_up.is_done
        return self.state in (State.IN_TRANSACTION, State.ABORTABLE_ERROR, State.ABORTING) or is_unsent

    @property
    def has_open_transaction(self) -> bool:
        """Whether a transaction has begun and not ended."""
        return self.state in (
            State.IN_TRANSACTION,
            State.ABORTABLE_ERROR,
            State.COMMITTING,
            State.COMMIT_UNKNOWN,
            State.ABORTING,
        )

    @property
    def speaks_v2(self) -> bool:
        """Whether produce requests must be those of protocol 2: in the open transaction, or in the next one."""
        return self._txn.is_v2 if self.has_open_transaction else self._offers_v2

    def take_orders(self) -> list[Order]:
        """Return what the pump is to do, in order, once."""
        orders, self._orders = self._orders, []
        return orders

    def offers(self, is_v2: bool) -> None:
        """Take note of what the cluster offers from the next transaction on."""
        self._offers_v2 = is_v2

    # --- calls of the application ------------------------------------------------------------------------

    def init(self) -> Ticket:
        """Ask for the producer id; aborts what an earlier producer of this id left open."""
        if (same := self._same_call(Call.INIT)) is not None:
            return same
        if self.state is not State.UNINITIALIZED:
            raise IllegalStateError("init_transactions() was called already")
        self._move(State.INITIALIZING)
        self._ticket = Ticket(Call.INIT)
        return self._ticket

    def begin(self) -> Ticket:
        """Begin a transaction; waits for a new epoch if the last one left something in doubt."""
        self._require_no_other_call(Call.BEGIN)
        if self.state is State.UNINITIALIZED or self._who.producer_id < 0:
            raise IllegalStateError("begin_transaction() before init_transactions()")
        if self._waiting_begin is not None:
            if not self._waiting_begin.is_given_up:
                raise IllegalStateError("begin_transaction() was called twice")
            self._waiting_begin.is_given_up = False
            return self._waiting_begin
        if self.state not in (State.READY, State.INITIALIZING):
            raise IllegalStateError(f"begin_transaction() in state {self.state.name}{self._because()}")
        self._waiting_begin = Ticket(Call.BEGIN)
        ticket = self._waiting_begin
        self._begin_if_ready()
        return ticket

    def send_offsets(
        self, offsets: Mapping[TopicPartition, OffsetAndMetadata], group: ConsumerGroupMetadata
    ) -> Ticket:
        """Commit a consumer group's offsets with the transaction (KIP-447)."""
        self._require_no_other_call(Call.SEND_OFFSETS)
        self._require_open(Call.SEND_OFFSETS)
        ticket = Ticket(Call.SEND_OFFSETS)
        if offsets:
            self._txn.offsets.append(_Offsets(dict(offsets), group, ticket))
        else:
            ticket.is_done = True
        return ticket

    def commit(self) -> Ticket:
        """Commit once every record is acknowledged."""
        if (same := self._same_call(Call.COMMIT)) is not None:
            if self.state is State.COMMIT_UNKNOWN:
                self._move(State.COMMITTING)
            return same
        self._require_open(Call.COMMIT)
        self._move(State.COMMITTING)
        self._ticket = Ticket(Call.COMMIT)
        self._orders.append(Seal(self._txn.generation))
        return self._ticket

    def abort(self) -> Ticket:
        """Abort; after an unknown commit this finds out what became of it."""
        if (same := self._same_call(Call.ABORT)) is not None:
            return same
        given_up = self._given_up_commit()
        if given_up is not None and given_up.is_done and given_up.error is None:
            self._ticket = None
            return Ticket(Call.ABORT, is_done=True, error=_committed())
        may_abort = self.state in (State.IN_TRANSACTION, State.ABORTABLE_ERROR) or given_up is not None
        if not may_abort or self.state is State.FATAL_ERROR:
            self._require_no_other_call(Call.ABORT)
            raise IllegalStateError(f"abort_transaction() in state {self.state.name}{self._because()}")
        is_unanswered = given_up is not None and given_up.may_have_ended and not given_up.is_done
        self._txn.was_unknown = is_unanswered or self._may_be_committed
        if self._ticket is not None:  # another thread may still wait for the commit that was given up
            self._finish(
                Call.COMMIT,
                TransactionAbortedError(
                    "abort_transaction() was called meanwhile",
                    persisted="maybe" if self._txn.was_unknown else "no",
                ),
            )
        self._move(State.ABORTING)
        self._ticket = Ticket(Call.ABORT)
        self._drop("abort_transaction() was called")
        self._end_if_nothing_begun()
        return self._ticket

    def give_up(self, ticket: Ticket) -> None:
        """Take note that nobody waits for this call any more."""
        ticket.is_given_up = True
        if self._ticket is ticket and self.state is State.COMMITTING and ticket.may_have_ended:
            self._move(State.COMMIT_UNKNOWN)

    def told(self, ticket: Ticket) -> None:
        """Take note that the application has seen the outcome."""
        if self._ticket is ticket:
            self._ticket = None
        if self._waiting_begin is ticket:
            self._waiting_begin = None

    # --- events ------------------------------------------------------------------------------------------

    def partition_used(self, generation: int, partition: TopicPartition) -> None:
        """A record was appended to a partition that is new in the transaction (protocol 1)."""
        if generation == self._txn.generation:
            self._txn.unadded[partition] = None

    def failed(self, generation: int, error: KafkaError) -> None:
        """A record failed or was refused: the transaction can only be aborted."""
        if generation != self._txn.generation:
            return
        self._abortable(error)

    def drained(self, generation: int, was_sent: bool, is_broken: bool, has_failed: bool = False) -> None:
        """Nothing of the transaction is on the network any more."""
        if generation != self._txn.generation:
            return
        self._txn.is_drained = True
        self._txn.is_broken = self._txn.is_broken or is_broken
        if self.state is State.COMMITTING and (is_broken or has_failed):
            self._abortable(TransactionAbortableError("a record of the transaction failed", persisted="no"))
        if self._txn.is_v2 and was_sent:
            self._txn.has_begun = self._txn.is_confirmed = True
        self._end_if_nothing_begun()

    # --- requests ----------------------------------------------------------------------------------------

    @property
    def due_at(self) -> float:
        """When `next_request` has one, infinity if there is none to come."""
        return self._not_before if self._make_request() is not None else math.inf

    def next_request(self) -> TransactionRequest | None:
        """Return the request that is next, for its coordinator to be found; one is in flight at a time."""
        return self._make_request()

    def begin_request(self, request: TransactionRequest) -> None:
        """Take note that the request is being sent."""
        self._in_flight = request
        txn = self._txn
        if request.api in (ADD_PARTITIONS_TO_TXN, ADD_OFFSETS_TO_TXN, TXN_OFFSET_COMMIT):
            txn.has_begun = True
        elif request.api is END_TXN and request.request.committed:
            txn.has_commit_left = True
            if self._ticket is not None:
                self._ticket.may_have_ended = True

    def lost(self, now: float) -> None:
        """The request in flight got no answer; it may take effect, now or later."""
        request = self._in_flight
        if request is None:
            return
        self._in_flight = None
        if request.api is not INIT_PRODUCER_ID:
            self._txn.is_ambiguous = True
        self._retry_later(now, self._backoff)

    def unsupported(self, request: TransactionRequest, error: KafkaError) -> None:
        """The coordinator speaks no fitting version of the request."""
        if request.api is TXN_OFFSET_COMMIT:
            self._abortable(error)
        elif not self._fail_init(error):
            self._die(error)

    def answered(self, response: Any, now: float) -> bool:
        """Take the answer to the request in flight; return whether its coordinator must be found again."""
        request = self._in_flight
        assert request is not None, "an answer without a request"
        self._in_flight = None
        found, code = _judged(request, response)
        if found is Reaction.ABORT and self.state is State.ABORTING and request.api is END_TXN:
            found = Reaction.RETRY  # this is the abort: only EndTxn ends what is open at the coordinator
        if found in (Reaction.RETRY, Reaction.FIND):
            self._note_retry(request, code, now)
            return found is Reaction.FIND
        self._failures = 0
        self._not_before = -math.inf
        self._TAKE[request.api.key](self, request, response, found, code)
        self._end_if_nothing_begun()
        return False

    # --- what is next ------------------------------------------------------------------------------------

    def _make_request(self) -> TransactionRequest | None:
        if self._in_flight is not None:
            return None
        txn = self._txn
        match self.state:
            case State.INITIALIZING:
                return init_request(self._who, self._timeout_ms)
            case State.IN_TRANSACTION | State.COMMITTING if txn.unadded:
                return add_partitions_request(self._who, txn.unadded)
            case State.IN_TRANSACTION | State.COMMITTING if txn.offsets:
                return self._offsets_request(txn.offsets[0])
            case State.COMMITTING | State.COMMIT_UNKNOWN if txn.is_drained:
                return end_request(self._who, committed=True, is_v2=txn.is_v2)
            case State.ABORTING if txn.is_drained:
                return end_request(self._who, committed=txn.seems_committed, is_v2=txn.is_v2)
        return None

    def _offsets_request(self, offsets: _Offsets) -> TransactionRequest:
        if not self._txn.is_v2 and not offsets.is_added:
            return add_offsets_request(self._who, offsets.group.group_id)
        return commit_offsets_request(self._who, offsets.group, offsets.offsets, is_v2=self._txn.is_v2)

    # --- answers -----------------------------------------------------------------------------------------

    def _note_retry(self, request: TransactionRequest, code: int, now: float) -> None:
        if request.api is END_TXN and code in _IN_DOUBT:
            self._txn.is_ambiguous = True
        self._retry_later(now, _CONCURRENT_BACKOFF if code == CONCURRENT_TRANSACTIONS else self._backoff)

    def _take_init(self, request: TransactionRequest, response: Any, found: Reaction, code: int) -> None:
        if found is Reaction.DONE and response.producer_id >= 0:
            self._adopt(response.producer_id, response.producer_epoch)
            self._move(State.READY)
            self._finish(Call.INIT)
            self._begin_if_ready()
            return
        error = self._coordinator_error(code or UNKNOWN_SERVER_ERROR, "InitProducerId")
        if not self._fail_init(error):
            self._die(error)

    def _fail_init(self, error: KafkaError) -> bool:
        """End init_transactions() with an error; nothing was sent, so it may be called again."""
        if self._ticket is None or self._ticket.call is not Call.INIT or self._ticket.is_done:
            return False
        error.fatal = False
        self._move(State.UNINITIALIZED)
        self._finish(Call.INIT, error)
        return True

    def _take_partitions(
        self, request: TransactionRequest, response: Any, found: Reaction, code: int
    ) -> None:
        results = partition_results(response)
        if found is Reaction.DONE:
            added = tuple(TopicPartition(topic, partition) for topic, partition, _ in results)
            for partition in added:
                self._txn.unadded.pop(partition, None)
            self._txn.is_confirmed = True
            self._orders.append(Allow(self._txn.generation, added))
            return
        topic, number, _ = next((result for result in results if result[2] == code), (None, None, code))
        self._refused(found, code, "AddPartitionsToTxn", topic, number)

    def _take_added_offsets(
        self, request: TransactionRequest, response: Any, found: Reaction, code: int
    ) -> None:
        if found is not Reaction.DONE:
            self._refused(found, code, "AddOffsetsToTxn")
            return
        self._txn.is_confirmed = True
        for offsets in self._txn.offsets:
            if offsets.group.group_id == request.request.group_id:
                offsets.is_added = True

    def _take_offsets(self, request: TransactionRequest, response: Any, found: Reaction, code: int) -> None:
        if found is not Reaction.DONE:
            self._refused(found, code, "TxnOffsetCommit")
            return
        self._txn.is_confirmed = True
        if self._txn.offsets:
            self._txn.offsets.popleft().ticket.is_done = True

    def _take_end(self, request: TransactionRequest, response: Any, found: Reaction, code: int) -> None:
        committed = request.request.committed
        txn = self._txn
        if found is Reaction.DONE:
            if response.producer_id >= 0:
                self._adopt(response.producer_id, response.producer_epoch)
            # An answer without an epoch is that of protocol 1, where only what is in doubt needs a new one.
            in_doubt = txn.is_ambiguous or txn.is_broken
            self._end(needs_epoch=response.producer_id < 0 and (in_doubt or txn.is_v2), committed=committed)
        elif code == INVALID_TXN_STATE and not committed and txn.was_unknown and txn.is_v2:
            # Only the commit's own answer tells the epoch that it raised: another coordinator than the one that
            # took the commit does not know the epoch before, and would call its owner fenced.
            txn.seems_committed = True
        elif code == INVALID_TXN_STATE and not committed and txn.was_unknown:
            self._end(needs_epoch=True, committed=True)  # the commit had taken effect
        elif code == INVALID_TXN_STATE and not committed and not txn.is_confirmed:
            self._end(needs_epoch=True, committed=False)  # what may have begun it did not
        elif found is Reaction.ABORT:
            self._abortable(self._coordinator_error(code, "EndTxn"))
        else:
            self._die(self._coordinator_error(code, "EndTxn"))

    _TAKE: Final[
        Mapping[int, Callable[[TransactionManager, TransactionRequest, Any, Reaction, int], None]]
    ] = {
        INIT_PRODUCER_ID.key: _take_init,
        ADD_PARTITIONS_TO_TXN.key: _take_partitions,
        ADD_OFFSETS_TO_TXN.key: _take_added_offsets,
        TXN_OFFSET_COMMIT.key: _take_offsets,
        END_TXN.key: _take_end,
    }

    def _refused(
        self, found: Reaction, code: int, api: str, topic: str | None = None, partition: int | None = None
    ) -> None:
        error = self._coordinator_error(code, api, topic, partition)
        if found is Reaction.FATAL:
            self._die(error)
        else:
            self._abortable(error)

    # --- the ends of things ------------------------------------------------------------------------------

    def _end_if_nothing_begun(self) -> None:
        """End a transaction that the coordinator cannot know of without asking it."""
        txn = self._txn
        is_ending = self.state in (State.COMMITTING, State.ABORTING)
        if is_ending and txn.is_drained and not txn.has_begun and not txn.offsets and self._in_flight is None:
            self._end(needs_epoch=txn.is_broken, committed=self.state is State.COMMITTING)

    def _end(self, *, needs_epoch: bool, committed: bool) -> None:
        """The transaction is over: `committed` tells how, which an abort may learn only now."""
        was_aborting = self.state is State.ABORTING
        self._waiting_begin = None
        self._fail_offsets(TransactionAbortedError("the transaction was aborted"))
        self._txn = _Transaction(generation=self._txn.generation, is_v2=self._txn.is_v2)
        self._orders.append(Over(self._txn.generation))
        self._move(State.INITIALIZING if needs_epoch else State.READY)
        self.error = None  # it was of the transaction that is over
        self._finish(
            Call.ABORT if was_aborting else Call.COMMIT, _committed() if was_aborting and committed else None
        )

    def _begin_if_ready(self) -> None:
        ticket = self._waiting_begin
        if ticket is None or ticket.is_done or self.state is not State.READY:
            return
        if self._txn.generation and self._txn.is_v2 != self._offers_v2:
            # Another protocol counts epochs in another way (KIP-890): it begins with one of its own.
            self._txn.is_v2 = self._offers_v2
            self._move(State.INITIALIZING)
            return
        ticket.is_done = True
        if ticket.is_given_up:
            self._waiting_begin = None
            return
        self._txn = _Transaction(generation=self._txn.generation + 1, is_v2=self._offers_v2)
        self.error = None
        self._move(State.IN_TRANSACTION)
        self._orders.append(Begin(self._txn.generation, self._txn.is_v2))

    def _abortable(self, error: KafkaError) -> None:
        if self.state not in (State.IN_TRANSACTION, State.COMMITTING, State.COMMIT_UNKNOWN):
            return  # it is being aborted already, or is over
        self.error = error
        self._move(State.ABORTABLE_ERROR)
        self._fail_offsets(error if isinstance(error, CommitFailedError) else self._abortable_error())
        self._finish(Call.COMMIT, self._abortable_error())
        self._drop("the transaction can only be aborted", error)

    def _die(self, error: KafkaError) -> None:
        self.state = State.FATAL_ERROR
        self.error = error
        error.fatal = True
        self._fail_offsets(error)
        for ticket in (self._ticket, self._waiting_begin):
            if ticket is not None and not ticket.is_done:
                ticket.error = error
                ticket.is_done = True
        self._waiting_begin = None
        self._orders.append(Die(error))

    def _drop(self, message: str, failure: KafkaError | None = None) -> None:
        self._txn.unadded.clear()
        self._fail_offsets(TransactionAbortedError("the transaction was aborted"))
        if not self._txn.is_drained:
            self._orders.append(Drop(self._txn.generation, message, failure))

    def _fail_offsets(self, error: KafkaError) -> None:
        while self._txn.offsets:
            ticket = self._txn.offsets.popleft().ticket
            ticket.error = error
            ticket.is_done = True

    def _finish(self, call: Call, error: KafkaError | None = None) -> None:
        ticket = self._ticket
        if ticket is not None and ticket.call is call and not ticket.is_done:
            ticket.error = error
            ticket.is_done = True

    def _adopt(self, producer_id: int, epoch: int) -> None:
        self._who = replace(self._who, producer_id=producer_id, epoch=epoch)
        self._orders.append(Publish(producer_id, epoch))

    def _retry_later(self, now: float, backoff: ExponentialBackoff) -> None:
        self._not_before = now + backoff.delay_ms(self._failures, self._jitter())
        self._failures += 1

    # --- which calls are legal ---------------------------------------------------------------------------

    def _same_call(self, call: Call) -> Ticket | None:
        """Return the ticket of an unfinished business, if this call is the same again; it waits on."""
        ticket = self._ticket
        if ticket is None or ticket.call is not call:
            return None
        ticket.is_given_up = False
        return ticket

    def _given_up_commit(self) -> Ticket | None:
        ticket = self._ticket
        return ticket if ticket is not None and ticket.call is Call.COMMIT and ticket.is_given_up else None

    @property
    def _may_be_committed(self) -> bool:
        """Whether an EndTxn(commit) may have taken effect, or may yet."""
        txn = self._txn
        return txn.was_unknown or (txn.is_ambiguous and txn.has_commit_left)

    def _require_no_other_call(self, call: Call) -> None:
        if self._ticket is not None and self.state is not State.FATAL_ERROR:
            raise IllegalStateError(
                f"{call.value}() while the outcome of {self._ticket.call.value}() is not known: call that again"
                + (" or abort_transaction()" if self._ticket.call is Call.COMMIT else "")
            )

    def _require_open(self, call: Call) -> None:
        if self.state is State.ABORTABLE_ERROR:
            raise self._abortable_error()
        self._require_no_other_call(call)
        if self.state is not State.IN_TRANSACTION:
            raise IllegalStateError(
                f"{call.value}() in state {self.state.name}: call begin_transaction() first"
            )

    def _because(self) -> str:
        return f": {self.error}" if self.error is not None else ""

    def _abortable_error(self) -> TransactionAbortableError:
        assert self.error is not None  # it is what made the state
        return TransactionAbortableError.because_of(
            self.error, persisted="maybe" if self._may_be_committed else "no"
        )

    def _coordinator_error(
        self, code: int, api: str, topic: str | None = None, partition: int | None = None
    ) -> KafkaError:
        # Under protocol 2 the end of a transaction that ran out of time is answered with INVALID_TXN_STATE.
        is_over = code == INVALID_TXN_STATE and api == END_TXN.name
        if is_over or code in (INVALID_PRODUCER_EPOCH, PRODUCER_FENCED):
            return error_for(
                code if is_over else PRODUCER_FENCED,
                f"{api}: another producer with transactional.id {self._who.transactional_id!r} took over, or the "
                f"transaction was open for longer than transaction.timeout.ms={self._timeout_ms} and the "
                "coordinator aborted it",
                persisted="maybe" if self._may_be_committed else "no",
            )
        if code in _REBALANCED:
            return CommitFailedError(
                f"{api}: the consumer group has rebalanced", code=code, requires_abort=True, persisted="no"
            )
        return error_for(
            code,
            f"{api} of transactional.id {self._who.transactional_id!r}",
            topic=topic,
            partition=partition,
            persisted="maybe" if self._may_be_committed else None,
        )

    def _move(self, state: State) -> None:
        if state is self.state:
            return
        if state not in MOVES[self.state]:
            raise AssertionError(f"a transaction cannot go from {self.state.name} to {state.name}")
        self.state = state


def _judged(request: TransactionRequest, response: Any) -> tuple[Reaction, int]:
    api = request.api
    if api is ADD_PARTITIONS_TO_TXN:
        results = partition_results(response)
        told = {(topic, partition) for topic, partition, _ in results}
        asked = {(t.name, p) for t in request.request.v3_and_below_topics for p in t.partitions}
        found, code = worst(api, [code for _, _, code in results] or [UNKNOWN_SERVER_ERROR])
        if found is Reaction.DONE and not asked <= told:
            return Reaction.RETRY, UNKNOWN_SERVER_ERROR
        return found, code
    if api is TXN_OFFSET_COMMIT:
        codes = [part.error_code for topic in response.topics for part in topic.partitions]
        return worst(api, codes or [UNKNOWN_SERVER_ERROR])
    return reaction(api, response.error_code), response.error_code


def _committed() -> TransactionCommittedError:
    return TransactionCommittedError("the commit whose outcome was unknown has taken effect")
