"""What the calls of a transactional producer say, without a broker."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kproducer import (
    CommitOutcomeUnknownError,
    KafkaProducer,
    KafkaTimeoutError,
    ProducerFencedError,
    TransactionAbortableError,
    TransactionCommittedError,
)
from kproducer._core.accumulator import RecordAppender
from kproducer._core.events import TxnFailed
from kproducer.client.transaction_state import Call, Ticket
from kproducer.config import parse_config
from kproducer.engine.mailbox import Transact
from kproducer.engine.runtime import make_pump
from kproducer.engine.transactor import Transactor
from kproducer.errors import KafkaError, NetworkError, ProducerClosedError
from kproducer.testing import MockProducer


def _raising(error: KafkaError) -> Callable[[object], None]:
    def call(self: object) -> None:
        raise error

    return call


def test_a_block_whose_commit_times_out_and_takes_effect_says_that_it_is_committed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(KafkaProducer, "begin_transaction", lambda self: None)
    monkeypatch.setattr(KafkaProducer, "commit_transaction", _raising(KafkaTimeoutError("goes on")))
    monkeypatch.setattr(KafkaProducer, "abort_transaction", _raising(TransactionCommittedError("it has")))
    producer = KafkaProducer(bootstrap_servers="127.0.0.1:1", transactional_id="tx")
    try:
        with pytest.raises(TransactionCommittedError) as caught, producer.transaction():
            pass
        assert isinstance(caught.value.__cause__, KafkaTimeoutError)
    finally:
        producer.close(0)


# --- a block that fails, in a producer that is over; MockProducer has KafkaProducer's block ---------------------------


@pytest.fixture
def mock() -> MockProducer:
    producer = MockProducer(transactional_id="tx")
    producer.init_transactions()
    return producer


def _neither_committed_nor_aborted(producer: MockProducer) -> bool:
    return producer.transaction_in_flight and not producer.history and not producer.transaction_aborted


def test_a_fatal_error_that_forbids_the_abort_is_raised_instead_of_the_blocks_own(mock: MockProducer) -> None:
    def fail_when_fenced() -> None:
        mock.send("t", b"v")
        mock.fence_producer()
        raise LookupError("the reason why an abort is tried")

    with pytest.raises(ProducerFencedError) as caught, mock.transaction():
        fail_when_fenced()
    assert caught.value.fatal
    assert isinstance(caught.value.__cause__, LookupError)
    assert _neither_committed_nor_aborted(mock)


def test_a_commit_that_may_be_tried_again_gives_way_to_the_fatal_error_of_its_abort(
    mock: MockProducer,
) -> None:
    late = mock.commit_transaction_exception = KafkaTimeoutError("not in time")
    mock.abort_transaction_exception = ProducerFencedError("another one took over")
    with pytest.raises(ProducerFencedError) as caught, mock.transaction():
        mock.send("t", b"v")
    assert caught.value.__cause__ is late
    assert _neither_committed_nor_aborted(mock)


@pytest.mark.parametrize("values", [[b"v"], []], ids=["send", "commit"])
def test_a_fatal_error_that_ends_a_block_is_raised_once_and_nothing_is_done(
    mock: MockProducer, values: list[bytes]
) -> None:
    def go_on_when_fenced() -> None:
        mock.fence_producer()
        for value in values:
            mock.send("t", value)

    with pytest.raises(ProducerFencedError) as caught, mock.transaction():
        go_on_when_fenced()
    assert caught.value.__cause__ is None
    (note,) = caught.value.__notes__
    assert note.startswith("the transaction was not aborted: another producer")
    assert _neither_committed_nor_aborted(mock)


def test_an_abort_that_fails_for_now_is_a_note_on_the_blocks_own_error(mock: MockProducer) -> None:
    mock.abort_transaction_exception = NetworkError("cut off")
    with pytest.raises(LookupError) as caught, mock.transaction():
        raise LookupError
    (note,) = caught.value.__notes__
    assert note.startswith("the transaction was not aborted: cut off")
    assert mock.transaction_in_flight  # the caller may abort it again


# --- records that are refused -----------------------------------------------------------------------------------------


def test_a_partitioner_without_metadata_dooms_the_transaction() -> None:
    config = parse_config({}, {"bootstrap_servers": "127.0.0.1:1", "transactional_id": "tx"})
    pump = make_pump(config, "partitioned")

    def prepare(*arguments: object) -> tuple[object, object, int | None]:
        raise KafkaTimeoutError("no metadata", persisted="no")

    appender = RecordAppender()
    appender._set_up(pump, 10, prepare, lambda topic: None, lambda: "full")
    pump.txn_begin(1, True)
    with pytest.raises(KafkaTimeoutError):
        appender.produce("t", b"1")
    assert [type(event) for event in pump.take_events()] == [TxnFailed]
    with pytest.raises(TransactionAbortableError):
        appender.produce("t", b"2")


@pytest.mark.parametrize(
    ("raised", "told"),
    [
        (KafkaError("gone", code=29, topic="t"), "t: gone (TOPIC_AUTHORIZATION_FAILED, code 29)"),
        (KafkaError("no t there", code=3, topic="t"), "no t there (UNKNOWN_TOPIC_OR_PARTITION, code 3)"),
        (
            KafkaError("gone", persisted="no"),
            "a record of the transaction was refused: gone (TRANSACTION_ABORTABLE, code 120)",
        ),
    ],
)
def test_why_a_record_was_refused_is_told_once(raised: KafkaError, told: str) -> None:
    config = parse_config({}, {"bootstrap_servers": "127.0.0.1:1", "transactional_id": "tx"})
    pump = make_pump(config, "refusing")

    def prepare(*arguments: object) -> tuple[object, object, int | None]:
        raise raised

    appender = RecordAppender()
    appender._set_up(pump, 10, prepare, lambda topic: None, lambda: "full")
    pump.txn_begin(1, True)
    with pytest.raises(KafkaError):
        appender.produce("t", b"1")
    (event,) = pump.take_events()
    assert isinstance(event, TxnFailed)
    assert str(event.error) == told
    with pytest.raises(TransactionAbortableError) as caught:
        appender.produce("t", b"2")
    own = " (TRANSACTION_ABORTABLE, code 120)"
    assert str(caught.value) == f"the transaction can only be aborted: {told.removesuffix(own)}{own}"


@pytest.mark.parametrize(
    ("may_have_ended", "expected"), [(True, CommitOutcomeUnknownError), (False, ProducerClosedError)]
)
def test_a_commit_that_a_close_cuts_off_is_unknown_once_it_may_have_arrived(
    may_have_ended: bool, expected: type[KafkaError]
) -> None:
    command = Transact(Call.COMMIT, ticket=Ticket(Call.COMMIT, may_have_ended=may_have_ended))
    transactor = Transactor.__new__(Transactor)
    transactor._callers = [command]
    transactor.fail_callers(ProducerClosedError("closed"))
    with pytest.raises(expected):
        command.reply.wait(0)
