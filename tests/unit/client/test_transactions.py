"""The transaction table: which calls are legal, which request is next, what each answer and each loss changes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from kproducer.client.backoff import ExponentialBackoff
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
    State,
    Ticket,
)
from kproducer.client.transactions import TransactionManager
from kproducer.errors import (
    CommitFailedError,
    IllegalStateError,
    KafkaError,
    ProducerFencedError,
    RecordTooLargeError,
    TransactionAbortableError,
    TransactionAbortedError,
    TransactionCommittedError,
    UnsupportedVersionError,
    error_for,
)
from kproducer.protocol.api import Api
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

T0, T1, U5 = TopicPartition("t", 0), TopicPartition("t", 1), TopicPartition("u", 5)
GROUP = ConsumerGroupMetadata("g", 3, "member", "instance")
OFFSETS = {T0: OffsetAndMetadata(7, 2, "note"), U5: OffsetAndMetadata(0)}
BOTH_PROTOCOLS = pytest.mark.parametrize("is_v2", [False, True], ids=["v1", "v2"])


class Driver:
    """A TransactionManager, the questions that a test asks it, and answers in short."""

    def __init__(self, *, is_v2: bool = False) -> None:
        self.manager = TransactionManager(
            "tx", 60_000, backoff=ExponentialBackoff(100, 1000), jitter=lambda: 0.5
        )
        self.manager.offers(is_v2)
        self.is_v2 = is_v2
        self.now = 0.0

    @property
    def state(self) -> State:
        return self.manager.state

    @property
    def generation(self) -> int:
        return self.manager._txn.generation

    def orders(self) -> list[Order]:
        """All but what tests of their own show: the end of a transaction, and why it was dropped."""
        orders = [order for order in self.manager.take_orders() if not isinstance(order, Over)]
        return [order._replace(failure=None) if isinstance(order, Drop) else order for order in orders]

    # --- requests ----------------------------------------------------------------------------------------

    def next(self, api: Api[Any, Any]) -> TransactionRequest:
        request = self.manager.next_request()
        assert request is not None, f"{api.name} is not due in {self.state.name}"
        assert request.api is api, f"{request.api.name} is due, not {api.name}"
        return request

    def send(self, api: Api[Any, Any]) -> Any:
        request = self.next(api)
        self.manager.begin_request(request)
        assert self.manager.next_request() is None
        assert math.isinf(self.manager.due_at)
        return request.request

    def answer(self, response: Any) -> bool:
        return self.manager.answered(response, self.now)

    def lose(self, api: Api[Any, Any]) -> None:
        self.send(api)
        self.manager.lost(self.now)

    def initialize(self, producer_id: int = 40, epoch: int = 0, code: int = 0) -> Any:
        request = self.send(INIT_PRODUCER_ID)
        self.answer(InitProducerIdResponse(producer_id=producer_id, producer_epoch=epoch, error_code=code))
        return request

    def end(self, code: int = 0, *, epoch: int | None = None) -> Any:
        request = self.send(END_TXN)
        self.answer(ended(code, epoch=epoch))
        return request

    def add(self, *partitions: TopicPartition) -> None:
        for partition in partitions:
            self.manager.partition_used(self.generation, partition)
        self.send(ADD_PARTITIONS_TO_TXN)
        self.answer(added(*((partition, 0) for partition in partitions)))

    def drain(self, *, was_sent: bool = True, is_broken: bool = False) -> None:
        self.manager.drained(self.generation, was_sent, is_broken)

    def fail(self, error: KafkaError | None = None) -> None:
        self.manager.failed(self.generation, error or RecordTooLargeError("too large"))

    # --- where tests begin -------------------------------------------------------------------------------

    def init(self) -> Driver:
        ticket = self.manager.init()
        self.initialize()
        self.manager.told(ticket)
        return self

    def begin(self) -> Driver:
        ticket = self.manager.begin()
        assert ticket.is_done
        self.manager.told(ticket)
        return self

    def work(self) -> Driver:
        """A transaction that the coordinator knows of."""
        self.init().begin()
        if not self.is_v2:
            self.add(T0)
        self.orders()
        return self

    def commit_to_end(self) -> Ticket:
        """Up to the EndTxn that is due."""
        ticket = self.manager.commit()
        self.drain()
        return ticket


def added(*codes: tuple[TopicPartition, int]) -> AddPartitionsToTxnResponse:
    return AddPartitionsToTxnResponse(
        results_by_topic_v3_and_below=tuple(
            AddPartitionsToTxnTopicResult(
                name=place.topic,
                results_by_partition=(
                    AddPartitionsToTxnPartitionResult(
                        partition_index=place.partition, partition_error_code=code
                    ),
                ),
            )
            for place, code in codes
        )
    )


def ended(code: int = 0, *, epoch: int | None = None) -> EndTxnResponse:
    if epoch is None:
        return EndTxnResponse(error_code=code)
    return EndTxnResponse(error_code=code, producer_id=40, producer_epoch=epoch)


def offsets_taken(*codes: int) -> TxnOffsetCommitResponse:
    parts = tuple(
        TxnOffsetCommitResponsePartition(partition_index=i, error_code=c) for i, c in enumerate(codes)
    )
    return TxnOffsetCommitResponse(topics=(TxnOffsetCommitResponseTopic(name="t", partitions=parts),))


def fresh(*, is_v2: bool = False) -> Driver:
    return Driver(is_v2=is_v2)


# --- which calls are legal ---------------------------------------------------------------------------------


def uninitialized() -> Driver:
    return fresh()


def initializing() -> Driver:
    driver = fresh()
    driver.manager.init()
    return driver


def init_given_up() -> Driver:
    driver = fresh()
    driver.manager.give_up(driver.manager.init())
    return driver


def init_untold() -> Driver:
    driver = init_given_up()
    driver.initialize()
    return driver


def init_refused() -> Driver:
    driver = fresh()
    ticket = driver.manager.init()
    driver.initialize(code=53)
    driver.manager.told(ticket)
    return driver


def ready() -> Driver:
    return fresh().init()


def needing_epoch() -> Driver:
    driver = fresh().work()
    ticket = driver.manager.abort()
    driver.drain(is_broken=True)
    driver.end()
    driver.manager.told(ticket)
    return driver


def begin_waiting() -> Driver:
    driver = needing_epoch()
    driver.manager.begin()
    return driver


def begin_given_up() -> Driver:
    driver = needing_epoch()
    driver.manager.give_up(driver.manager.begin())
    return driver


def begun_and_given_up() -> Driver:
    """The caller of begin left at the moment when it was done."""
    driver = needing_epoch()
    ticket = driver.manager.begin()
    driver.initialize(epoch=1)
    driver.manager.give_up(ticket)
    return driver


def open_() -> Driver:
    return fresh().work()


def committing() -> Driver:
    driver = fresh().work()
    driver.manager.commit()
    return driver


def commit_given_up() -> Driver:
    driver = fresh().work()
    driver.manager.give_up(driver.manager.commit())
    return driver


def commit_unknown() -> Driver:
    driver = fresh().work()
    ticket = driver.commit_to_end()
    driver.send(END_TXN)
    driver.manager.give_up(ticket)
    return driver


def commit_untold() -> Driver:
    driver = commit_unknown()
    driver.answer(ended())
    return driver


def abortable() -> Driver:
    driver = fresh().work()
    driver.fail()
    return driver


def commit_failed_untold() -> Driver:
    driver = commit_given_up()
    driver.fail()
    return driver


def aborting() -> Driver:
    driver = fresh().work()
    driver.manager.abort()
    return driver


def abort_given_up() -> Driver:
    driver = fresh().work()
    driver.manager.give_up(driver.manager.abort())
    return driver


def abort_untold() -> Driver:
    driver = abort_given_up()
    driver.drain()
    driver.end()
    return driver


def dead() -> Driver:
    driver = fresh().init().begin()
    driver.manager.partition_used(1, T0)
    driver.send(ADD_PARTITIONS_TO_TXN)
    driver.answer(added((T0, 90)))
    return driver


def dead_and_untold() -> Driver:
    driver = commit_unknown()
    driver.answer(ended(90))
    return driver


Outcome = tuple[type[KafkaError], str] | State
ILLEGAL = IllegalStateError
INIT_AGAIN = (
    ILLEGAL,
    r"^{call}\(\) while the outcome of init_transactions\(\) is not known: call that again$",
)
COMMIT_AGAIN = (
    ILLEGAL,
    r"^{call}\(\) while the outcome of commit_transaction\(\) is not known: call that again or abort_transaction",
)
ABORT_AGAIN = (
    ILLEGAL,
    r"^{call}\(\) while the outcome of abort_transaction\(\) is not known: call that again$",
)
INIT_TWICE = (ILLEGAL, "init_transactions.. was called already")
NOT_INIT = (ILLEGAL, "before init_transactions")
NOT_BEGUN = (ILLEGAL, r"{call}\(\) in state \w+: call begin_transaction\(\) first")
NOT_NOW = (ILLEGAL, r"{call}\(\) in state \w+")
TWICE = (ILLEGAL, "begin_transaction.. was called twice")
POISONED = (TransactionAbortableError, "can only be aborted: too large")
S = State

# where: outcome of init, begin, send_offsets, commit, abort: the exception, or the state after the call.
CALLS: dict[Callable[[], Driver], tuple[Outcome, Outcome, Outcome, Outcome, Outcome]] = {
    uninitialized: (S.INITIALIZING, NOT_INIT, NOT_BEGUN, NOT_BEGUN, NOT_NOW),
    initializing: (S.INITIALIZING, INIT_AGAIN, INIT_AGAIN, INIT_AGAIN, INIT_AGAIN),
    init_given_up: (S.INITIALIZING, INIT_AGAIN, INIT_AGAIN, INIT_AGAIN, INIT_AGAIN),
    init_untold: (S.READY, INIT_AGAIN, INIT_AGAIN, INIT_AGAIN, INIT_AGAIN),
    init_refused: (S.INITIALIZING, NOT_INIT, NOT_BEGUN, NOT_BEGUN, NOT_NOW),
    ready: (INIT_TWICE, S.IN_TRANSACTION, NOT_BEGUN, NOT_BEGUN, NOT_NOW),
    needing_epoch: (INIT_TWICE, S.INITIALIZING, NOT_BEGUN, NOT_BEGUN, NOT_NOW),
    begin_waiting: (INIT_TWICE, TWICE, NOT_BEGUN, NOT_BEGUN, NOT_NOW),
    begin_given_up: (INIT_TWICE, S.INITIALIZING, NOT_BEGUN, NOT_BEGUN, NOT_NOW),
    begun_and_given_up: (INIT_TWICE, S.IN_TRANSACTION, S.IN_TRANSACTION, S.COMMITTING, S.ABORTING),
    open_: (INIT_TWICE, NOT_NOW, S.IN_TRANSACTION, S.COMMITTING, S.ABORTING),
    committing: (INIT_TWICE, COMMIT_AGAIN, COMMIT_AGAIN, S.COMMITTING, COMMIT_AGAIN),
    commit_given_up: (INIT_TWICE, COMMIT_AGAIN, COMMIT_AGAIN, S.COMMITTING, S.ABORTING),
    commit_unknown: (INIT_TWICE, COMMIT_AGAIN, COMMIT_AGAIN, S.COMMITTING, S.ABORTING),
    commit_untold: (INIT_TWICE, COMMIT_AGAIN, COMMIT_AGAIN, S.READY, S.READY),
    abortable: (INIT_TWICE, NOT_NOW, POISONED, POISONED, S.ABORTING),
    commit_failed_untold: (INIT_TWICE, COMMIT_AGAIN, COMMIT_AGAIN, S.ABORTABLE_ERROR, S.ABORTING),
    aborting: (INIT_TWICE, ABORT_AGAIN, ABORT_AGAIN, ABORT_AGAIN, S.ABORTING),
    abort_given_up: (INIT_TWICE, ABORT_AGAIN, ABORT_AGAIN, ABORT_AGAIN, S.ABORTING),
    abort_untold: (INIT_TWICE, ABORT_AGAIN, ABORT_AGAIN, ABORT_AGAIN, S.READY),
    dead: (INIT_TWICE, NOT_NOW, NOT_BEGUN, NOT_BEGUN, NOT_NOW),
    dead_and_untold: (INIT_TWICE, NOT_NOW, NOT_BEGUN, S.FATAL_ERROR, NOT_NOW),
}
CALL_NAMES = ("init", "begin", "send_offsets", "commit", "abort")


def call(driver: Driver, name: str) -> Ticket:
    manager = driver.manager
    calls: dict[str, Callable[[], Ticket]] = {
        "init": manager.init,
        "begin": manager.begin,
        "send_offsets": lambda: manager.send_offsets(OFFSETS, GROUP),
        "commit": manager.commit,
        "abort": manager.abort,
    }
    return calls[name]()


@pytest.mark.parametrize("name", CALL_NAMES)
@pytest.mark.parametrize("where", CALLS, ids=lambda where: where.__name__)
def test_call_is_legal_or_raises_and_leaves_the_state(where: Callable[[], Driver], name: str) -> None:
    expected = CALLS[where][CALL_NAMES.index(name)]
    driver = where()
    before = (driver.state, driver.manager.next_request(), driver.manager._ticket)
    driver.orders()
    if isinstance(expected, State):
        assert call(driver, name).call.value.startswith(name)
        assert driver.state is expected
        return
    error, message = expected
    with pytest.raises(error, match=message.format(call=Call[name.upper()].value)) as caught:
        call(driver, name)
    assert type(caught.value) is error
    assert (driver.state, driver.manager.next_request(), driver.manager._ticket) == before
    assert driver.orders() == []


def test_every_state_is_in_the_table_of_calls() -> None:
    assert {where().state for where in CALLS} == set(State)


def test_begin_after_a_fatal_error_names_it() -> None:
    with pytest.raises(IllegalStateError, match=r"in state FATAL_ERROR: .*took over"):
        dead().manager.begin()


def test_state_that_cannot_follow_is_a_bug_and_said_so() -> None:
    with pytest.raises(AssertionError, match="from READY to COMMITTING"):
        ready().manager._move(State.COMMITTING)


# --- init ----------------------------------------------------------------------------------------------------


def test_init_asks_for_a_producer_id_and_publishes_it() -> None:
    driver = fresh()
    ticket = driver.manager.init()
    assert not ticket.is_done
    request = driver.initialize(41, 6)
    assert (request.transactional_id, request.transaction_timeout_ms) == ("tx", 60_000)
    assert (request.producer_id, request.producer_epoch) == (-1, -1)
    assert (ticket.is_done, ticket.error, driver.state) == (True, None, State.READY)
    assert driver.orders() == [Publish(41, 6)]


def test_lost_init_is_asked_again_with_growing_delay_and_no_id() -> None:
    driver = fresh()
    driver.manager.init()
    due = []
    for driver.now in (0.0, 1000.0, 2000.0):
        driver.lose(INIT_PRODUCER_ID)
        due.append(driver.manager.due_at - driver.now)
    assert due == [100, 200, 400]
    assert driver.initialize().producer_id == -1
    assert driver.state is State.READY


@pytest.mark.parametrize("code", [31, 35, 42, 50, 53, 90, 105])
def test_refused_init_fails_the_call_and_may_be_called_again(code: int) -> None:
    driver = fresh()
    ticket = driver.manager.init()
    driver.initialize(code=code)
    assert ticket.error is not None
    assert (ticket.error.code, ticket.error.fatal) == (code, False)
    assert (driver.state, driver.orders()) == (State.UNINITIALIZED, [])
    driver.manager.told(ticket)
    again = driver.manager.init()
    driver.initialize()
    assert again.is_done
    assert again.error is None


def test_answer_without_a_producer_id_fails_init() -> None:
    driver = fresh()
    ticket = driver.manager.init()
    driver.initialize(-1)
    assert ticket.error is not None
    assert ticket.error.code == -1


def test_coordinator_without_init_producer_id_fails_init() -> None:
    driver = fresh()
    ticket = driver.manager.init()
    error = UnsupportedVersionError("too old")
    driver.manager.unsupported(driver.next(INIT_PRODUCER_ID), error)
    assert ticket.error is error
    assert driver.state is State.UNINITIALIZED


def test_outcome_of_init_that_nobody_waited_for_is_told_to_the_next_call() -> None:
    driver = init_untold()
    ticket = driver.manager.init()
    assert ticket.is_done
    driver.manager.told(ticket)
    assert driver.manager.begin().is_done


# --- both protocols, end to end ------------------------------------------------------------------------------


def test_transaction_of_protocol_1_from_begin_to_commit() -> None:
    driver = fresh().init()
    driver.orders()
    assert driver.manager.begin().is_done
    assert driver.orders() == [Begin(1, False)]
    assert driver.manager.next_request() is None

    for place in (T0, U5, T1):
        driver.manager.partition_used(1, place)
    request = driver.send(ADD_PARTITIONS_TO_TXN)
    assert request.v3_and_below_transactional_id == "tx"
    assert (request.v3_and_below_producer_id, request.v3_and_below_producer_epoch) == (40, 0)
    asked = [(topic.name, topic.partitions) for topic in request.v3_and_below_topics]
    assert asked == [("t", (0, 1)), ("u", (5,))]
    assert not driver.answer(added((T0, 0), (U5, 0), (T1, 0)))
    assert driver.orders() == [Allow(1, (T0, U5, T1))]

    ticket = driver.manager.commit()
    assert driver.orders() == [Seal(1)]
    assert driver.manager.next_request() is None  # not before every record is acknowledged
    assert not ticket.may_have_ended
    driver.drain()
    assert driver.next(END_TXN).version_cap == 4
    request = driver.end()
    assert (request.transactional_id, request.producer_id, request.producer_epoch) == ("tx", 40, 0)
    assert request.committed
    assert (ticket.is_done, ticket.error, driver.state) == (True, None, State.READY)
    assert driver.orders() == []


def test_transaction_of_protocol_2_asks_for_nothing_but_its_end_and_takes_the_next_epoch() -> None:
    driver = fresh(is_v2=True).init().begin()
    assert driver.orders() == [Publish(40, 0), Begin(1, True)]
    ticket = driver.commit_to_end()
    assert driver.next(END_TXN).version_cap is None
    assert driver.end(epoch=1).producer_epoch == 0
    assert (ticket.is_done, ticket.error, driver.state) == (True, None, State.READY)
    assert driver.orders() == [Seal(1), Publish(40, 1)]
    driver.manager.told(ticket)
    driver.begin().commit_to_end()
    assert driver.send(END_TXN).producer_epoch == 1


def test_protocol_2_takes_a_new_producer_id_at_the_end_of_the_epochs() -> None:
    driver = fresh(is_v2=True).work()
    driver.commit_to_end()
    driver.send(END_TXN)
    driver.answer(EndTxnResponse(producer_id=77, producer_epoch=0))
    assert driver.orders() == [Seal(1), Publish(77, 0)]


@BOTH_PROTOCOLS
def test_abort_drops_what_is_unsent_and_ends_once_the_network_is_quiet(is_v2: bool) -> None:
    driver = fresh(is_v2=is_v2).work()
    ticket = driver.manager.abort()
    (drop,) = driver.orders()
    assert drop == Drop(1, "abort_transaction() was called")
    assert driver.manager.next_request() is None
    driver.drain()
    assert not driver.end(epoch=1 if is_v2 else None).committed
    assert (ticket.is_done, ticket.error, driver.state) == (True, None, State.READY)


@BOTH_PROTOCOLS
@pytest.mark.parametrize("name", ["commit", "abort"])
def test_empty_transaction_ends_without_a_request(is_v2: bool, name: str) -> None:
    driver = fresh(is_v2=is_v2).init().begin()
    ticket = call(driver, name)
    assert not ticket.is_done  # the pump has not said that it is empty
    driver.drain(was_sent=False)
    assert (ticket.is_done, ticket.error, driver.state) == (True, None, State.READY)
    assert driver.manager.next_request() is None
    driver.manager.told(ticket)
    driver.begin()
    assert driver.state is State.IN_TRANSACTION


def test_protocol_2_ends_a_transaction_whose_every_produce_request_failed() -> None:
    driver = fresh(is_v2=True).init().begin()
    driver.fail()
    driver.drain(was_sent=True, is_broken=True)
    driver.manager.abort()
    driver.end(epoch=1)
    assert driver.state is State.READY


def test_partition_is_added_once_and_before_the_end() -> None:
    driver = fresh().work()
    driver.manager.partition_used(1, T1)
    driver.manager.partition_used(1, T1)
    ticket = driver.manager.commit()
    (topic,) = driver.send(ADD_PARTITIONS_TO_TXN).v3_and_below_topics
    assert topic.partitions == (1,)
    driver.answer(added((T1, 0)))
    driver.drain()
    driver.end()
    assert ticket.is_done


def test_partition_that_is_used_while_others_are_added_is_added_next() -> None:
    driver = fresh().init().begin()
    driver.manager.partition_used(1, T0)
    driver.send(ADD_PARTITIONS_TO_TXN)
    driver.manager.partition_used(1, T1)
    driver.answer(added((T0, 0)))
    (topic,) = driver.send(ADD_PARTITIONS_TO_TXN).v3_and_below_topics
    assert topic.partitions == (1,)


# --- the protocol of a transaction ---------------------------------------------------------------------------


@BOTH_PROTOCOLS
def test_protocol_is_frozen_while_a_transaction_is_open(is_v2: bool) -> None:
    driver = fresh(is_v2=is_v2).work()
    driver.manager.offers(not is_v2)
    assert driver.manager.speaks_v2 is is_v2
    driver.commit_to_end()
    assert driver.next(END_TXN).version_cap == (None if is_v2 else 4)
    driver.end(epoch=1 if is_v2 else None)
    assert driver.manager.speaks_v2 is not is_v2


@BOTH_PROTOCOLS
def test_other_protocol_begins_with_an_epoch_of_its_own(is_v2: bool) -> None:
    driver = fresh(is_v2=is_v2).work()
    ticket = driver.commit_to_end()
    driver.end(epoch=1 if is_v2 else None)
    driver.manager.told(ticket)
    driver.manager.offers(not is_v2)
    driver.orders()
    begin = driver.manager.begin()
    assert (begin.is_done, driver.state) == (False, State.INITIALIZING)
    request = driver.initialize(40, 9)
    assert (request.producer_id, request.producer_epoch) == (40, 1 if is_v2 else 0)
    assert begin.is_done
    assert driver.orders() == [Publish(40, 9), Begin(2, not is_v2)]


def test_protocol_before_the_first_transaction_needs_no_epoch() -> None:
    driver = fresh().init()
    driver.manager.offers(True)
    assert driver.manager.begin().is_done
    assert driver.orders()[-1] == Begin(1, True)


def test_protocol_that_changes_there_and_back_needs_no_epoch() -> None:
    driver = fresh().work()
    ticket = driver.commit_to_end()
    driver.end()
    driver.manager.told(ticket)
    driver.manager.offers(True)
    driver.manager.offers(False)
    assert driver.manager.begin().is_done


def test_coordinator_that_answers_protocol_2_without_an_epoch_gets_asked_for_one() -> None:
    driver = fresh(is_v2=True).work()
    driver.commit_to_end()
    driver.end()
    driver.next(INIT_PRODUCER_ID)


# --- what is in doubt (KAFKA-17754) ----------------------------------------------------------------------------


def lose_partitions(driver: Driver) -> None:
    driver.manager.partition_used(1, T1)
    driver.lose(ADD_PARTITIONS_TO_TXN)
    driver.send(ADD_PARTITIONS_TO_TXN)
    driver.answer(added((T1, 0)))
    driver.commit_to_end()


def lose_group(driver: Driver) -> None:
    driver.manager.send_offsets(OFFSETS, GROUP)
    driver.lose(ADD_OFFSETS_TO_TXN)
    driver.send(ADD_OFFSETS_TO_TXN)
    driver.answer(AddOffsetsToTxnResponse())
    driver.send(TXN_OFFSET_COMMIT)
    driver.answer(offsets_taken(0))
    driver.commit_to_end()


def lose_offsets(driver: Driver) -> None:
    driver.manager.send_offsets(OFFSETS, GROUP)
    if not driver.is_v2:
        driver.send(ADD_OFFSETS_TO_TXN)
        driver.answer(AddOffsetsToTxnResponse())
    driver.lose(TXN_OFFSET_COMMIT)
    driver.send(TXN_OFFSET_COMMIT)
    driver.answer(offsets_taken(0))
    driver.commit_to_end()


def lose_end(driver: Driver) -> None:
    driver.commit_to_end()
    driver.lose(END_TXN)


def lose_end_of_abort(driver: Driver) -> None:
    driver.manager.abort()
    driver.drain()
    driver.lose(END_TXN)


def end_answered_by(code: int) -> Callable[[Driver], None]:
    def answered(driver: Driver) -> None:
        driver.commit_to_end()
        driver.end(code)

    return answered


IN_DOUBT = [lose_offsets, lose_end, lose_end_of_abort] + [end_answered_by(code) for code in (-1, 7, 15, 16)]


@pytest.mark.parametrize("trouble", [lose_partitions, lose_group, *IN_DOUBT])
def test_protocol_1_begins_with_a_new_epoch_after_a_request_that_may_land_later(
    trouble: Callable[[Driver], None],
) -> None:
    driver = fresh().work()
    trouble(driver)
    driver.end()
    driver.orders()
    assert driver.state is State.INITIALIZING
    assert driver.manager._ticket is not None
    assert driver.manager._ticket.is_done  # the call itself need not wait for the epoch
    driver.manager.told(driver.manager._ticket)
    begin = driver.manager.begin()
    assert (begin.is_done, driver.orders()) == (False, [])
    request = driver.initialize(40, 1)
    assert (request.producer_id, request.producer_epoch) == (40, 0)
    assert begin.is_done
    assert driver.orders() == [Publish(40, 1), Begin(2, False)]


@pytest.mark.parametrize("trouble", IN_DOUBT)
def test_protocol_2_needs_no_new_epoch_but_that_of_the_end(trouble: Callable[[Driver], None]) -> None:
    driver = fresh(is_v2=True).work()
    trouble(driver)
    driver.end(epoch=1)
    assert driver.state is State.READY


@pytest.mark.parametrize("code", [14, 51, 89])
def test_answer_that_changed_nothing_leaves_nothing_in_doubt(code: int) -> None:
    driver = fresh().work()
    driver.commit_to_end()
    driver.end(code)
    driver.end()
    assert driver.state is State.READY


@pytest.mark.parametrize(("is_v2", "expected"), [(False, State.INITIALIZING), (True, State.READY)])
def test_sequence_that_was_given_away_needs_a_new_epoch_unless_the_end_brings_one(
    is_v2: bool, expected: State
) -> None:
    driver = fresh(is_v2=is_v2).work()
    driver.fail()
    driver.drain(is_broken=True)
    driver.manager.abort()
    driver.end(epoch=1 if is_v2 else None)
    assert driver.state is expected


def test_broken_sequence_in_a_transaction_that_never_began_needs_a_new_epoch() -> None:
    driver = fresh().init().begin()
    driver.manager.abort()
    driver.drain(was_sent=False, is_broken=True)
    driver.next(INIT_PRODUCER_ID)


def test_one_transaction_in_doubt_does_not_cost_the_next_one_an_epoch() -> None:
    driver = fresh().work()
    lose_end(driver)
    driver.end()
    assert driver.manager._ticket is not None
    driver.manager.told(driver.manager._ticket)
    driver.initialize(40, 1)
    driver.begin().add(T0)
    driver.commit_to_end()
    driver.end()
    assert driver.state is State.READY


def test_abort_after_only_lost_adds_asks_and_takes_the_answer_that_there_was_nothing() -> None:
    driver = fresh().init().begin()
    driver.manager.partition_used(1, T0)
    driver.lose(ADD_PARTITIONS_TO_TXN)
    ticket = driver.manager.abort()
    driver.drain(was_sent=False)
    assert not driver.end(48).committed
    assert (ticket.is_done, ticket.error) == (True, None)
    driver.next(INIT_PRODUCER_ID)


def test_abort_waits_for_the_add_that_is_in_flight_and_then_ends_what_it_began() -> None:
    driver = fresh().init().begin()
    driver.manager.partition_used(1, T0)
    driver.send(ADD_PARTITIONS_TO_TXN)
    driver.manager.abort()
    driver.drain(was_sent=False)
    driver.answer(added((T0, 0)))
    driver.end()
    assert driver.state is State.READY


@pytest.mark.parametrize("code", [29, 120, 9999])
def test_add_that_fails_while_aborting_does_not_matter(code: int) -> None:
    driver = fresh().init().begin()
    driver.manager.partition_used(1, T0)
    driver.send(ADD_PARTITIONS_TO_TXN)
    ticket = driver.manager.abort()
    driver.answer(added((T0, code)))
    assert driver.state is State.ABORTING
    driver.drain(was_sent=False)
    driver.end(48)
    assert ticket.error is None


def test_loss_without_a_request_in_flight_changes_nothing() -> None:
    driver = open_()
    driver.manager.lost(0)
    driver.commit_to_end()
    driver.end()
    assert driver.state is State.READY


# --- codes and what they change ------------------------------------------------------------------------------


def in_flight(api: Api[Any, Any]) -> tuple[Driver, Ticket | None]:
    """A request of this API in flight, and the ticket that waits for it."""
    driver = fresh()
    if api is INIT_PRODUCER_ID:
        driver = begin_waiting()
        ticket: Ticket | None = driver.manager._waiting_begin
    elif api is ADD_PARTITIONS_TO_TXN:
        driver.init().begin()
        driver.manager.partition_used(1, T0)
        ticket = None
    elif api is END_TXN:
        driver.work()
        ticket = driver.commit_to_end()
    else:
        driver.init().begin()
        ticket = driver.manager.send_offsets({T0: OffsetAndMetadata(7)}, GROUP)
        if api is TXN_OFFSET_COMMIT:
            driver.send(ADD_OFFSETS_TO_TXN)
            driver.answer(AddOffsetsToTxnResponse())
    driver.send(api)
    driver.orders()
    return driver, ticket


def answer_of(api: Api[Any, Any], code: int) -> Any:
    makers: dict[int, Callable[[], Any]] = {
        INIT_PRODUCER_ID.key: lambda: InitProducerIdResponse(error_code=code),
        ADD_PARTITIONS_TO_TXN.key: lambda: added((T0, code)),
        ADD_OFFSETS_TO_TXN.key: lambda: AddOffsetsToTxnResponse(error_code=code),
        TXN_OFFSET_COMMIT.key: lambda: offsets_taken(code),
        END_TXN.key: lambda: ended(code),
    }
    return makers[api.key]()


APIS = (INIT_PRODUCER_ID, ADD_PARTITIONS_TO_TXN, ADD_OFFSETS_TO_TXN, TXN_OFFSET_COMMIT, END_TXN)
ADDS = (ADD_PARTITIONS_TO_TXN, ADD_OFFSETS_TO_TXN, TXN_OFFSET_COMMIT)
by_name = pytest.mark.parametrize("api", APIS, ids=lambda api: api.name)


@by_name
@pytest.mark.parametrize("code", [7, 8, 14, 15, 16, 51, 52, 89])
def test_code_that_may_pass_sends_the_same_again_and_finds_the_coordinator_if_it_moved(
    api: Api[Any, Any], code: int
) -> None:
    driver, ticket = in_flight(api)
    state = driver.state
    assert driver.answer(answer_of(api, code)) is (code in (7, 8, 15, 16, 52))
    assert driver.manager.due_at == (20 if code == 51 else 100)
    assert (driver.state, driver.orders()) == (state, [])
    assert ticket is None or not ticket.is_done
    driver.next(api)


@by_name
def test_busy_coordinator_is_asked_after_20_ms_and_then_less_and_less_often(api: Api[Any, Any]) -> None:
    driver, _ = in_flight(api)
    due = []
    for _ in range(8):
        driver.answer(answer_of(api, 51))
        due.append(driver.manager.due_at)
        driver.send(api)
    assert due == [20, 40, 80, 160, 320, 640, 1000, 1000]


@pytest.mark.parametrize("code", [-1, 120])
def test_init_is_tried_again_where_a_transaction_would_be_aborted(code: int) -> None:
    driver, ticket = in_flight(INIT_PRODUCER_ID)
    driver.answer(answer_of(INIT_PRODUCER_ID, code))
    assert driver.manager.due_at == 100
    assert ticket is not None
    assert not ticket.is_done


@by_name
@pytest.mark.parametrize("code", [31, 35, 47, 49, 50, 53, 90, 105])
def test_code_that_ends_the_producer_ends_every_ticket(api: Api[Any, Any], code: int) -> None:
    driver, ticket = in_flight(api)
    waiting = None
    if api in (ADD_PARTITIONS_TO_TXN, ADD_OFFSETS_TO_TXN):
        waiting = driver.manager.send_offsets({T1: OffsetAndMetadata(1)}, GROUP)
    assert not driver.answer(answer_of(api, code))
    assert driver.state is State.FATAL_ERROR
    error = driver.manager.error
    assert error is not None
    assert (error.code, error.fatal) == (90 if code == 47 else code, True)
    assert driver.orders() == [Die(error)]
    assert all(t.is_done and t.error is error for t in (ticket, waiting) if t is not None)
    assert driver.manager.next_request() is None


@pytest.mark.parametrize("code", [3, 22, 29, 30, 42, 48, 55, 9999])
@pytest.mark.parametrize("api", [INIT_PRODUCER_ID, END_TXN], ids=lambda api: api.name)
def test_any_other_code_for_an_epoch_or_an_end_leaves_nothing_to_go_on_with(
    api: Api[Any, Any], code: int
) -> None:
    driver, ticket = in_flight(api)
    driver.answer(answer_of(api, code))
    assert driver.state is State.FATAL_ERROR
    assert ticket is not None
    assert ticket.error is not None
    assert ticket.error.fatal


def test_an_abort_too_many_does_not_quote_why_the_one_before_was_needed() -> None:
    driver = abortable()
    ticket = driver.manager.abort()
    driver.drain()
    driver.end()
    driver.manager.told(ticket)
    assert driver.state is State.READY
    with pytest.raises(IllegalStateError) as caught:
        driver.manager.abort()
    assert str(caught.value) == "abort_transaction() in state READY"


@pytest.mark.parametrize("api", ADDS, ids=lambda api: api.name)
@pytest.mark.parametrize("code", [22, 25, 29, 30, 42, 82, 100, 120, 9999, -1])
def test_code_that_dooms_the_transaction_drops_it_and_waits_for_abort(api: Api[Any, Any], code: int) -> None:
    driver, ticket = in_flight(api)
    assert not driver.answer(answer_of(api, code))
    assert driver.state is State.ABORTABLE_ERROR
    assert driver.orders() == [Drop(1, "the transaction can only be aborted")]
    assert driver.manager.error is not None
    assert driver.manager.error.code == code
    assert driver.manager.next_request() is None
    if ticket is not None:
        assert ticket.error is not None
        assert ticket.error.requires_abort
    with pytest.raises(TransactionAbortableError) as caught:
        driver.manager.commit()
    assert caught.value.__cause__ is driver.manager.error


def test_refused_partition_is_named() -> None:
    driver, _ = in_flight(ADD_PARTITIONS_TO_TXN)
    driver.answer(added((T0, 55), (U5, 29)))
    error = driver.manager.error
    assert error is not None
    assert (error.code, error.topic, error.partition) == (29, "u", 5)


def test_partitions_that_were_not_tried_because_of_an_unknown_one_are_tried_again() -> None:
    driver, _ = in_flight(ADD_PARTITIONS_TO_TXN)
    driver.answer(added((T0, 55), (U5, 3)))
    assert driver.state is State.IN_TRANSACTION
    driver.next(ADD_PARTITIONS_TO_TXN)


@pytest.mark.parametrize(
    ("api", "response"),
    [
        (ADD_PARTITIONS_TO_TXN, AddPartitionsToTxnResponse()),
        (TXN_OFFSET_COMMIT, TxnOffsetCommitResponse()),
    ],
    ids=["partitions", "offsets"],
)
def test_answer_that_says_nothing_dooms_the_transaction(api: Api[Any, Any], response: Any) -> None:
    driver, _ = in_flight(api)
    driver.answer(response)
    assert driver.state is State.ABORTABLE_ERROR


@pytest.mark.parametrize(
    "api", [INIT_PRODUCER_ID, ADD_PARTITIONS_TO_TXN, ADD_OFFSETS_TO_TXN, END_TXN], ids=lambda api: api.name
)
def test_coordinator_that_lost_an_api_ends_the_producer(api: Api[Any, Any]) -> None:
    driver, _ = in_flight(api)
    driver.manager.lost(0)
    error = UnsupportedVersionError("too old")
    driver.manager.unsupported(driver.next(api), error)
    assert driver.state is State.FATAL_ERROR
    assert driver.orders() == [Die(error)]


def test_group_coordinator_that_cannot_fence_members_dooms_the_transaction() -> None:
    driver, ticket = in_flight(TXN_OFFSET_COMMIT)
    driver.manager.lost(0)
    driver.manager.unsupported(driver.next(TXN_OFFSET_COMMIT), UnsupportedVersionError("too old"))
    assert driver.state is State.ABORTABLE_ERROR
    assert ticket is not None
    assert isinstance(ticket.error, TransactionAbortableError)


def test_commit_that_the_coordinator_wants_aborted_fails_and_is_aborted() -> None:
    driver, ticket = in_flight(END_TXN)
    driver.answer(ended(120))
    assert (driver.state, driver.orders()) == (State.ABORTABLE_ERROR, [])  # the pump has nothing left to drop
    assert ticket is not None
    assert isinstance(ticket.error, TransactionAbortableError)
    assert ticket.error.persisted == "no"
    driver.manager.told(ticket)
    driver.manager.abort()
    assert not driver.end().committed
    assert driver.state is State.READY


def test_commit_that_is_to_be_aborted_after_one_that_was_lost_may_still_land() -> None:
    driver = fresh().work()
    ticket = driver.commit_to_end()
    driver.lose(END_TXN)
    driver.end(120)
    assert ticket.error is not None
    assert ticket.error.persisted == "maybe"
    driver.manager.told(ticket)
    abort = driver.manager.abort()
    driver.end(48)
    assert isinstance(abort.error, TransactionCommittedError)


def test_abort_that_the_coordinator_wants_aborted_is_sent_again() -> None:
    driver = aborting()
    driver.drain()
    driver.end(120)
    assert driver.manager.due_at == 100
    driver.end()
    assert driver.state is State.READY


def test_abort_of_a_transaction_that_the_coordinator_knew_and_denies_is_fatal() -> None:
    driver = aborting()
    driver.drain()
    driver.end(48)
    assert driver.state is State.FATAL_ERROR


@pytest.mark.parametrize("code", [47, 90])
def test_fencing_names_both_causes_and_says_that_nothing_was_committed(code: int) -> None:
    driver, ticket = in_flight(END_TXN)
    driver.answer(ended(code))
    assert ticket is not None
    error = ticket.error
    assert isinstance(error, ProducerFencedError)
    assert "transactional.id 'tx' took over" in str(error)
    assert "transaction.timeout.ms=60000" in str(error)
    assert (error.code, error.fatal, error.persisted) == (90, True, "no")


@pytest.mark.parametrize("code", [47, 53, 90])
@pytest.mark.parametrize("name", ["commit", "abort"])
def test_end_of_the_producer_after_a_commit_in_doubt_says_that_it_may_have_been_committed(
    name: str, code: int
) -> None:
    driver = fresh().work()
    ticket = driver.commit_to_end()
    driver.lose(END_TXN)
    driver.manager.give_up(ticket)
    ticket = call(driver, name)
    driver.end(code)
    assert ticket.error is not None
    assert ticket.error.persisted == "maybe"


def test_fencing_of_an_abort_without_a_commit_before_says_that_nothing_was_committed() -> None:
    driver = aborting()
    driver.drain()
    driver.lose(END_TXN)
    driver.end(90)
    assert driver.manager.error is not None
    assert driver.manager.error.persisted == "no"


# --- commit given up -------------------------------------------------------------------------------------------


def test_commit_given_up_before_its_end_was_sent_goes_on_and_tells_the_next_call() -> None:
    driver = commit_given_up()
    assert driver.state is State.COMMITTING
    driver.drain()
    driver.end()
    ticket = driver.manager.commit()
    assert (ticket.is_done, ticket.error) == (True, None)
    driver.manager.told(ticket)
    driver.begin()


def test_commit_given_up_before_its_end_was_sent_can_be_aborted() -> None:
    driver = commit_given_up()
    driver.orders()
    ticket = driver.manager.abort()
    assert driver.orders() == [Drop(1, "abort_transaction() was called")]
    driver.drain()
    assert not driver.end().committed
    assert (ticket.is_done, ticket.error, driver.state) == (True, None, State.READY)


def test_commit_given_up_after_its_end_was_sent_is_unknown_and_goes_on() -> None:
    driver = commit_unknown()
    driver.manager.lost(0)
    assert (driver.state, driver.send(END_TXN).committed) == (State.COMMIT_UNKNOWN, True)
    driver.answer(ended())
    assert driver.state is State.INITIALIZING


def test_end_that_leaves_after_the_caller_counts_as_unknown() -> None:
    driver = commit_given_up()
    driver.drain()
    driver.send(END_TXN)
    ticket = driver.manager.abort()
    driver.answer(ended())
    assert isinstance(ticket.error, TransactionCommittedError)


def test_unknown_commit_called_again_waits_for_the_real_outcome() -> None:
    driver = commit_unknown()
    ticket = driver.manager.commit()
    assert not ticket.is_done
    driver.answer(ended(51))
    driver.end()
    assert (ticket.is_done, ticket.error) == (True, None)


def test_unknown_commit_may_be_given_up_again() -> None:
    driver = commit_unknown()
    driver.manager.give_up(driver.manager.commit())
    assert driver.state is State.COMMIT_UNKNOWN


def test_unknown_commit_that_fails_tells_the_next_commit_and_can_be_aborted() -> None:
    driver = commit_unknown()
    driver.answer(ended(120))
    ticket = driver.manager.commit()
    assert isinstance(ticket.error, TransactionAbortableError)
    driver.manager.told(ticket)
    driver.manager.abort()
    assert not driver.send(END_TXN).committed


def test_abort_of_an_unknown_commit_waits_for_the_end_in_flight() -> None:
    driver = commit_unknown()
    driver.manager.abort()
    assert driver.manager.next_request() is None


def test_abort_of_an_unknown_commit_that_is_answered_meanwhile_says_committed() -> None:
    driver = commit_unknown()
    ticket = driver.manager.abort()
    driver.answer(ended())
    assert isinstance(ticket.error, TransactionCommittedError)
    assert (ticket.error.persisted, driver.state) == ("yes", State.READY)
    driver.manager.told(ticket)
    driver.begin()


@pytest.mark.parametrize("is_lost", [False, True])
def test_abort_of_an_unknown_commit_that_did_not_take_effect_aborts(is_lost: bool) -> None:
    driver = commit_unknown()
    ticket = driver.manager.abort()
    if is_lost:
        driver.manager.lost(0)
    else:
        driver.answer(ended(51))
    assert not driver.end().committed
    assert (ticket.is_done, ticket.error) == (True, None)
    assert driver.state is (State.INITIALIZING if is_lost else State.READY)


def test_abort_of_an_unknown_commit_that_took_effect_says_committed_and_takes_a_new_epoch() -> None:
    driver = fresh(is_v2=False).work()
    driver.manager.give_up(driver.commit_to_end())
    driver.lose(END_TXN)
    ticket = driver.manager.abort()
    driver.end(51)  # the markers are being written
    driver.end(48)
    assert isinstance(ticket.error, TransactionCommittedError)
    driver.orders()
    driver.manager.told(ticket)
    begin = driver.manager.begin()
    driver.initialize(40, 1)
    assert begin.is_done
    assert driver.orders() == [Publish(40, 1), Begin(2, False)]


def test_abort_of_an_unknown_commit_under_protocol_2_takes_the_epoch_from_the_commits_own_answer() -> None:
    driver = fresh(is_v2=True).work()
    driver.manager.give_up(driver.commit_to_end())
    driver.lose(END_TXN)
    ticket = driver.manager.abort()
    assert not driver.end(48).committed
    assert not ticket.is_done
    driver.orders()
    assert driver.end(epoch=5).committed
    assert isinstance(ticket.error, TransactionCommittedError)
    driver.manager.told(ticket)
    assert driver.manager.begin().is_done
    (published, began) = driver.orders()
    assert isinstance(published, Publish)
    assert (published.epoch, began) == (5, Begin(2, True))


def test_abort_of_an_unknown_commit_that_the_coordinator_wants_aborted_aborts() -> None:
    driver = commit_unknown()
    ticket = driver.manager.abort()
    driver.answer(ended(120))
    assert driver.state is State.ABORTING
    driver.end()
    assert (ticket.is_done, ticket.error) == (True, None)


def test_abort_of_a_commit_whose_success_was_not_told_says_committed() -> None:
    driver = commit_untold()
    ticket = driver.manager.abort()
    assert ticket.is_done
    assert isinstance(ticket.error, TransactionCommittedError)
    driver.begin()


def test_abort_given_up_goes_on_and_tells_the_next_abort_what_the_commit_became() -> None:
    driver = commit_unknown()
    driver.manager.give_up(driver.manager.abort())
    driver.answer(ended())
    assert isinstance(driver.manager.abort().error, TransactionCommittedError)


def test_given_up_commit_of_an_earlier_transaction_does_not_touch_the_next() -> None:
    driver = commit_unknown()
    old = driver.manager._ticket
    assert old is not None
    driver.answer(ended())
    driver.manager.told(driver.manager.commit())
    driver.begin().add(T0)
    driver.commit_to_end()
    driver.send(END_TXN)
    driver.manager.give_up(old)
    assert driver.state is State.COMMITTING


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        (ready, False),
        (open_, True),
        (abortable, True),
        (committing, False),
        (commit_given_up, True),
        (commit_failed_untold, True),
        (commit_unknown, False),
        (commit_untold, False),
        (aborting, True),
        (dead, False),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_close_aborts_what_nobody_can_have_committed(where: Callable[[], Driver], expected: bool) -> None:
    assert where().manager.wants_abort is expected


# --- begin -----------------------------------------------------------------------------------------------------


def test_begin_waits_for_the_epoch_through_losses() -> None:
    driver = begin_waiting()
    ticket = driver.manager._waiting_begin
    assert ticket is not None
    driver.lose(INIT_PRODUCER_ID)
    driver.orders()
    request = driver.initialize(40, 1)
    assert (request.producer_id, request.producer_epoch) == (40, 0)
    assert ticket.is_done
    assert driver.orders() == [Publish(40, 1), Begin(2, False)]


def test_begin_given_up_before_the_epoch_came_begins_nothing() -> None:
    driver = begin_given_up()
    driver.orders()
    driver.initialize(40, 1)
    assert (driver.state, driver.orders()) == (State.READY, [Publish(40, 1)])
    driver.begin()
    assert driver.orders() == [Begin(2, False)]


def test_begin_given_up_and_called_again_waits_on() -> None:
    driver = begin_given_up()
    ticket = driver.manager.begin()
    driver.initialize(40, 1)
    assert (ticket.is_done, driver.state) == (True, State.IN_TRANSACTION)


def test_begin_given_up_at_its_last_moment_has_begun_and_tells_the_next_call_once() -> None:
    driver = begun_and_given_up()
    driver.orders()
    ticket = driver.manager.begin()
    assert (ticket.is_done, ticket.error, driver.orders()) == (True, None, [])
    driver.manager.told(ticket)
    with pytest.raises(IllegalStateError):
        driver.manager.begin()


def test_begin_given_up_at_its_last_moment_does_not_stand_for_the_next_transaction() -> None:
    driver = begun_and_given_up()
    driver.manager.told(driver.manager.abort())
    driver.drain(was_sent=False)
    driver.orders()
    assert driver.manager.begin().is_done
    assert driver.orders() == [Begin(3, False)]


def test_refused_epoch_ends_the_begin_that_waits() -> None:
    driver = begin_waiting()
    ticket = driver.manager._waiting_begin
    assert ticket is not None
    driver.initialize(code=90)
    assert isinstance(ticket.error, ProducerFencedError)


# --- records that fail ---------------------------------------------------------------------------------------


@BOTH_PROTOCOLS
def test_failed_record_dooms_the_open_transaction(is_v2: bool) -> None:
    driver = fresh(is_v2=is_v2).work()
    driver.manager.partition_used(1, T1)
    driver.fail()
    assert (driver.state, driver.orders()) == (
        State.ABORTABLE_ERROR,
        [Drop(1, "the transaction can only be aborted")],
    )
    assert driver.manager.next_request() is None  # no partition is added any more
    with pytest.raises(TransactionAbortableError, match="too large") as caught:
        driver.manager.commit()
    assert caught.value.requires_abort
    assert caught.value.persisted == "no"
    assert isinstance(caught.value.__cause__, RecordTooLargeError)


@BOTH_PROTOCOLS
def test_failed_record_fails_the_commit_that_waits_for_it(is_v2: bool) -> None:
    driver = fresh(is_v2=is_v2).work()
    ticket = driver.manager.commit()
    driver.fail()
    assert isinstance(ticket.error, TransactionAbortableError)
    driver.drain()
    assert driver.manager.next_request() is None
    driver.manager.told(ticket)
    abort = driver.manager.abort()
    assert not driver.end(epoch=1 if is_v2 else None).committed
    assert (abort.is_done, abort.error) == (True, None)


def test_first_failure_of_several_is_the_cause() -> None:
    driver = abortable()
    driver.fail(error_for(29))
    assert isinstance(driver.manager.error, RecordTooLargeError)


def test_failure_while_aborting_is_no_news() -> None:
    driver = aborting()
    driver.fail()
    assert driver.state is State.ABORTING


def test_next_transaction_knows_nothing_of_the_failure_before() -> None:
    driver = abortable()
    driver.drain()
    ticket = driver.manager.abort()
    driver.end()
    driver.manager.told(ticket)
    driver.begin()
    assert driver.manager.error is None
    driver.manager.commit()


@pytest.mark.parametrize("generation", [0, 1, 3])
def test_events_of_another_transaction_are_ignored(generation: int) -> None:
    driver = fresh().work()
    ticket = driver.commit_to_end()
    driver.end()
    driver.manager.told(ticket)
    driver.begin()
    driver.manager.partition_used(generation, T1)
    driver.manager.failed(generation, RecordTooLargeError())
    driver.manager.drained(generation, was_sent=True, is_broken=True)
    assert (driver.state, driver.manager.next_request()) == (State.IN_TRANSACTION, None)
    driver.manager.commit()
    assert driver.manager.next_request() is None


def test_late_events_of_a_transaction_that_is_over_change_nothing() -> None:
    driver = fresh().work()
    driver.commit_to_end()
    driver.end()
    driver.orders()
    driver.fail()
    driver.manager.partition_used(1, T1)
    driver.drain(is_broken=True)
    assert (driver.state, driver.manager.next_request(), driver.orders()) == (State.READY, None, [])


# --- offsets -----------------------------------------------------------------------------------------------------


def test_offsets_of_protocol_1_are_announced_to_the_coordinator_and_sent_to_that_of_the_group() -> None:
    driver = fresh().init().begin()
    ticket = driver.manager.send_offsets(OFFSETS, GROUP)
    announcement = driver.next(ADD_OFFSETS_TO_TXN)
    assert (announcement.group, announcement.request.group_id) == (None, "g")
    assert (announcement.request.producer_id, announcement.request.producer_epoch) == (40, 0)
    driver.send(ADD_OFFSETS_TO_TXN)
    driver.answer(AddOffsetsToTxnResponse())
    assert not ticket.is_done

    sent = driver.next(TXN_OFFSET_COMMIT)
    assert (sent.group, sent.version_cap) == ("g", 4)
    request = sent.request
    assert (request.transactional_id, request.group_id) == ("tx", "g")
    assert (request.generation_id, request.member_id, request.group_instance_id) == (3, "member", "instance")
    (part,) = request.topics[0].partitions
    assert (request.topics[0].name, part.partition_index) == ("t", 0)
    assert (part.committed_offset, part.committed_leader_epoch, part.committed_metadata) == (7, 2, "note")
    assert (request.topics[1].name, request.topics[1].partitions[0].partition_index) == ("u", 5)
    driver.send(TXN_OFFSET_COMMIT)
    driver.answer(offsets_taken(0, 0))
    assert (ticket.is_done, ticket.error) == (True, None)
    assert driver.manager.next_request() is None


def test_offsets_of_protocol_2_go_to_the_group_coordinator_alone() -> None:
    driver = fresh(is_v2=True).init().begin()
    ticket = driver.manager.send_offsets(OFFSETS, GROUP)
    sent = driver.next(TXN_OFFSET_COMMIT)
    assert (sent.group, sent.version_cap) == ("g", None)
    driver.send(TXN_OFFSET_COMMIT)
    driver.answer(offsets_taken(0, 0))
    assert ticket.is_done
    driver.manager.commit()
    driver.drain(was_sent=False)
    driver.end(epoch=1)
    assert driver.state is State.READY


def test_group_is_announced_once_for_all_the_offsets_that_wait() -> None:
    driver = fresh().init().begin()
    tickets = [driver.manager.send_offsets({T0: OffsetAndMetadata(n)}, GROUP) for n in (1, 2)]
    driver.send(ADD_OFFSETS_TO_TXN)
    driver.answer(AddOffsetsToTxnResponse())
    for n in (1, 2):
        assert driver.send(TXN_OFFSET_COMMIT).topics[0].partitions[0].committed_offset == n
        driver.answer(offsets_taken(0))
    assert all(ticket.is_done for ticket in tickets)


def test_each_group_is_announced() -> None:
    driver = fresh().init().begin()
    driver.manager.send_offsets(OFFSETS, GROUP)
    driver.manager.send_offsets(OFFSETS, ConsumerGroupMetadata("h"))
    for group in ("g", "h"):
        assert driver.send(ADD_OFFSETS_TO_TXN).group_id == group
        driver.answer(AddOffsetsToTxnResponse())
        assert driver.send(TXN_OFFSET_COMMIT).group_id == group
        driver.answer(offsets_taken(0))


def test_partitions_are_added_before_offsets_are_sent() -> None:
    driver = fresh().init().begin()
    driver.manager.send_offsets(OFFSETS, GROUP)
    driver.manager.partition_used(1, T0)
    driver.next(ADD_PARTITIONS_TO_TXN)


def test_no_offsets_are_done_at_once_and_send_nothing() -> None:
    driver = fresh().init().begin()
    assert driver.manager.send_offsets({}, GROUP).is_done
    assert driver.manager.next_request() is None


def test_offsets_are_copied() -> None:
    driver = fresh(is_v2=True).init().begin()
    offsets = {T0: OffsetAndMetadata(7)}
    driver.manager.send_offsets(offsets, GROUP)
    offsets[T1] = OffsetAndMetadata(9)
    (topic,) = driver.send(TXN_OFFSET_COMMIT).topics
    assert len(topic.partitions) == 1


@BOTH_PROTOCOLS
def test_commit_waits_for_offsets_that_wait_themselves(is_v2: bool) -> None:
    driver = fresh(is_v2=is_v2).init().begin()
    offsets = driver.manager.send_offsets(OFFSETS, GROUP)
    driver.manager.give_up(offsets)
    ticket = driver.manager.commit()
    driver.drain(was_sent=False)
    if not is_v2:
        driver.send(ADD_OFFSETS_TO_TXN)
        driver.answer(AddOffsetsToTxnResponse())
    driver.send(TXN_OFFSET_COMMIT)
    driver.answer(offsets_taken(0, 0))
    assert offsets.is_done
    assert driver.end(epoch=1 if is_v2 else None).committed
    assert (ticket.is_done, ticket.error) == (True, None)


@pytest.mark.parametrize("code", [22, 25, 82])
def test_member_that_lost_its_group_fails_the_call_and_dooms_the_transaction(code: int) -> None:
    driver, ticket = in_flight(TXN_OFFSET_COMMIT)
    driver.answer(offsets_taken(0, code, 0))
    assert ticket is not None
    error = ticket.error
    assert isinstance(error, CommitFailedError)
    assert (error.code, error.requires_abort, error.fatal, error.persisted) == (code, True, False, "no")
    assert "rebalanced" in str(error)
    with pytest.raises(TransactionAbortableError, match="rebalanced"):
        driver.manager.commit()


def test_rebalance_during_a_commit_fails_the_commit_too() -> None:
    driver = fresh(is_v2=True).init().begin()
    driver.manager.send_offsets(OFFSETS, GROUP)
    ticket = driver.manager.commit()
    driver.send(TXN_OFFSET_COMMIT)
    driver.answer(offsets_taken(22))
    assert isinstance(ticket.error, TransactionAbortableError)
    assert isinstance(ticket.error.__cause__, CommitFailedError)


def test_abort_drops_the_offsets_that_wait() -> None:
    driver = fresh().work()
    tickets = [driver.manager.send_offsets(OFFSETS, GROUP) for _ in range(2)]
    driver.send(ADD_OFFSETS_TO_TXN)
    driver.manager.abort()
    assert all(isinstance(ticket.error, TransactionAbortedError) for ticket in tickets)
    driver.answer(AddOffsetsToTxnResponse())
    driver.drain()
    driver.end()
    assert driver.state is State.READY


def test_answer_to_offsets_that_were_dropped_meanwhile_is_taken() -> None:
    driver, _ = in_flight(TXN_OFFSET_COMMIT)
    driver.manager.abort()
    driver.drain(was_sent=False)
    driver.answer(offsets_taken(0))
    assert not driver.send(END_TXN).committed


def test_failed_record_fails_the_offsets_that_wait() -> None:
    driver = fresh().work()
    ticket = driver.manager.send_offsets(OFFSETS, GROUP)
    driver.fail()
    assert isinstance(ticket.error, TransactionAbortableError)


def test_transaction_of_offsets_alone_is_ended_by_the_coordinator() -> None:
    driver, _ = in_flight(TXN_OFFSET_COMMIT)
    driver.answer(offsets_taken(0))
    driver.manager.commit()
    driver.drain(was_sent=False)
    assert driver.end().committed
    assert driver.state is State.READY


# --- cached outcomes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("where", "name"), [(init_untold, "init"), (commit_untold, "commit"), (abort_untold, "abort")]
)
def test_outcome_is_told_to_the_same_call_and_to_no_second_one(
    where: Callable[[], Driver], name: str
) -> None:
    driver = where()
    ticket = call(driver, name)
    assert ticket.is_done
    assert ticket is call(driver, name)  # until it was told
    driver.manager.told(ticket)
    with pytest.raises(IllegalStateError):
        call(driver, name)


def test_told_of_another_ticket_forgets_nothing() -> None:
    driver = commit_untold()
    driver.manager.told(Ticket(Call.COMMIT))
    with pytest.raises(IllegalStateError, match="not known"):
        driver.manager.begin()


# --- what is told beside the orders --------------------------------------------------------------------------------


def test_drop_says_why_and_the_end_says_that_it_is_over() -> None:
    driver = open_()
    driver.orders()
    failure = RecordTooLargeError("too large")
    driver.manager.failed(driver.generation, failure)
    assert driver.manager.take_orders() == [
        Drop(driver.generation, "the transaction can only be aborted", failure)
    ]
    driver.drain()
    driver.manager.abort()
    driver.end()
    assert driver.manager.take_orders() == [Over(driver.generation)]


@pytest.mark.parametrize("facts", [(True, False), (False, True)], ids=["broken", "failed"])
def test_failure_that_only_the_drained_pump_tells_dooms_the_commit(facts: tuple[bool, bool]) -> None:
    driver = open_()
    ticket = driver.manager.commit()
    driver.manager.drained(driver.generation, True, *facts)
    assert driver.state is State.ABORTABLE_ERROR
    assert isinstance(ticket.error, TransactionAbortableError)
