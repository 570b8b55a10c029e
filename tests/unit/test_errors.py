"""The exception tree and the error-code table."""

import copy
import pickle

import pytest

from kproducer import errors
from kproducer.errors import ERROR_TABLE, KafkaError, UnobservedDeliveryError, error_for, error_info

ALL_CLASSES = [
    value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, KafkaError)
]
PLAIN_CLASSES = [cls for cls in ALL_CLASSES if cls is not UnobservedDeliveryError]


def unobserved() -> UnobservedDeliveryError:
    first = error_for(10, topic="events", partition=3, attempts=2)
    return UnobservedDeliveryError(
        count=7, first_error=first, by_partition={("events", 3): 5, ("events", 0): 1, ("users", 0): 1}
    )


@pytest.mark.parametrize("cls", PLAIN_CLASSES)
def test_every_class_keeps_its_facts_when_pickled_and_copied(cls: type[KafkaError]) -> None:
    error = cls("went wrong", topic="t", partition=4, broker=1, attempts=3, elapsed_ms=12.5, persisted="yes")
    for other in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(other) is cls
        assert str(other) == str(error)
        assert vars(other) == vars(error)


def test_unobserved_delivery_error_survives_pickling() -> None:
    error = unobserved()
    other = pickle.loads(pickle.dumps(error))
    assert (other.count, other.by_partition, str(other)) == (7, error.by_partition, str(error))
    assert type(other.first_error) is errors.RecordTooLargeError
    assert other.first_error.partition == 3


def test_unobserved_delivery_error_names_count_partitions_and_first_error() -> None:
    text = str(unobserved())
    assert text.startswith("7 records failed unobserved [events-3: 5, events-0: 1, users-0: 1]")
    assert "RecordTooLargeError" in text
    assert "events-3, 2 attempts" in text


def test_unobserved_delivery_error_names_the_five_worst_partitions_only() -> None:
    error = UnobservedDeliveryError(
        count=36, first_error=error_for(7), by_partition={("t", n): n for n in range(1, 9)}
    )
    assert "[t-8: 8, t-7: 7, t-6: 6, t-5: 5, t-4: 4, and 3 more partitions]" in str(error)


def test_message_shows_code_broker_partition_attempts_and_time() -> None:
    error = error_for(6, "moved", topic="events", partition=0, broker=2, attempts=1, elapsed_ms=1203.4)
    assert str(error) == (
        "moved (NOT_LEADER_OR_FOLLOWER, code 6, broker 2, events-0, 1 attempt, 1203 ms elapsed)"
    )


def test_message_without_facts_is_plain() -> None:
    assert str(errors.ConfigError("acks must be 0, 1 or all")) == "acks must be 0, 1 or all"


@pytest.mark.parametrize(
    ("cls", "builtin"),
    [
        (errors.KafkaTimeoutError, TimeoutError),
        (errors.BufferExhaustedError, TimeoutError),
        (errors.ConfigError, ValueError),
        (errors.UnsupportedConfigError, ValueError),
        (errors.SerializationError, ValueError),
        (errors.RecordTooLargeError, ValueError),
        (errors.InvalidTopicError, ValueError),
        (errors.ProducerClosedError, RuntimeError),
        (errors.ForkError, RuntimeError),
    ],
)
def test_errors_are_caught_as_the_builtin_that_they_resemble(
    cls: type[KafkaError], builtin: type[Exception]
) -> None:
    with pytest.raises(builtin, match="x"):
        raise cls("x")


def test_class_raised_by_hand_has_the_facts_of_its_code() -> None:
    error = errors.RequestTimedOutError("no answer")
    assert (error.code, error.name, error.retriable, error.persisted) == (
        7,
        "REQUEST_TIMED_OUT",
        True,
        "maybe",
    )


def test_caller_overrides_what_the_table_says() -> None:
    error = error_for(47, fatal=True, requires_abort=False, persisted="maybe")
    assert (error.fatal, error.requires_abort, error.persisted) == (True, False, "maybe")


@pytest.mark.parametrize("code", [-2, 137, 9999, 32767, -32768])
def test_unknown_code_keeps_its_number_and_is_final(code: int) -> None:
    error = error_for(code, topic="t", partition=1)
    assert (error.code, error.name) == (code, f"UNKNOWN_{code}")
    assert (error.retriable, error.fatal, error.requires_abort, error.persisted) == (
        False,
        False,
        True,
        "maybe",
    )


def test_no_error_cannot_become_an_exception() -> None:
    with pytest.raises(ValueError, match="no error"):
        error_for(0)


def test_only_none_and_duplicate_sequence_are_successes() -> None:
    assert [code for code, info in sorted(ERROR_TABLE.items()) if info.is_success] == [0, 46]


@pytest.mark.parametrize("info", ERROR_TABLE.values(), ids=lambda info: info.name)
def test_flags_of_a_code_agree_with_its_class(info: errors.ErrorInfo) -> None:
    assert info.retriable == issubclass(info.error_class, errors.RetriableError)
    assert info.refresh_metadata == issubclass(info.error_class, errors.InvalidMetadataError)
    assert info.retriable or not info.refresh_coordinator
    assert not (info.retriable and (info.fatal or info.aborts_txn))
    assert info.message


def test_each_class_with_a_code_serves_that_code() -> None:
    coded = {cls for cls in ALL_CLASSES if "code" in vars(cls) and cls is not KafkaError}
    assert coded == {cls for cls in ALL_CLASSES if cls.code is not None} - {errors.DisconnectError}
    for cls in coded:
        assert cls.code is not None
        assert error_info(cls.code).error_class is cls


# Codes that a replica may answer after the leader has appended the batch.
@pytest.mark.parametrize("code", [-1, 3, 6, 7, 13, 20, 56, 74, 75])
def test_answers_that_may_follow_an_append_are_not_called_unwritten(code: int) -> None:
    assert error_info(code).persisted == "maybe"


def test_only_size_errors_split_a_batch() -> None:
    assert {code for code, info in ERROR_TABLE.items() if info.splits} == {10, 18}


def test_fatal_codes_are_those_that_no_retry_cures() -> None:
    assert {code for code, info in ERROR_TABLE.items() if info.fatal} == {21, 31, 43, 49, 50, 53, 90, 105}


def test_cluster_authorization_names_the_way_out() -> None:
    assert "enable.idempotence=false" in str(error_for(31))


def test_fencing_names_both_causes() -> None:
    text = str(error_for(90))
    assert "took over" in text
    assert "timed out" in text


def test_unknown_commit_is_a_timeout_that_tells_what_to_do() -> None:
    error = errors.CommitOutcomeUnknownError("x", persisted="maybe")
    assert isinstance(error, errors.KafkaTimeoutError)
    assert isinstance(error, TimeoutError)
    assert (error.retriable, error.fatal, error.requires_abort) == (True, False, False)
    assert "abort_transaction" in (errors.CommitOutcomeUnknownError.__doc__ or "")


def test_transaction_that_was_committed_is_not_aborted() -> None:
    error = errors.TransactionCommittedError("x")
    assert (error.persisted, error.retriable, error.fatal, error.requires_abort) == (
        "yes",
        False,
        False,
        False,
    )
    assert not issubclass(errors.TransactionCommittedError, errors.TransactionAbortedError)


def test_offsets_of_a_lost_group_need_an_abort() -> None:
    error = errors.CommitFailedError("x")
    assert (error.persisted, error.retriable, error.fatal, error.requires_abort) == ("no", False, False, True)


@pytest.mark.parametrize("code", [22, 25, 29, 30, 47, 48, 82, 120])
def test_codes_that_doom_a_transaction_ask_for_an_abort(code: int) -> None:
    error = error_for(code)
    assert error.requires_abort
    assert not error.fatal
