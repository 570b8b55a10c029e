"""The chain of interceptors alone: order, exceptions, records that failed before they were sent."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from kproducer.errors import ConfigError, KafkaTimeoutError
from kproducer.interceptors import InterceptorChain
from kproducer.interfaces import Interceptor
from kproducer.types import Headers, ProducerRecord, RecordMetadata

RECORD = ProducerRecord("t", b"v", b"k", [("h", b"1")], 2, 5)
DELIVERED = RecordMetadata("t", 2, 7)


class Tagging(Interceptor):
    """Adds its name to the headers and notes what it hears."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.heard: list[tuple[RecordMetadata, Exception | None, Headers]] = []
        self.closed = 0

    def on_send(self, record: ProducerRecord) -> ProducerRecord:
        return record._replace(headers=(*(record.headers or ()), (self.name, None)))

    def on_acknowledgement(self, metadata: RecordMetadata, error: Exception | None, headers: Headers) -> None:
        self.heard.append((metadata, error, headers))

    def close(self) -> None:
        self.closed += 1


class Failing(Tagging):
    """Raises wherever it is called."""

    def on_send(self, record: ProducerRecord) -> ProducerRecord:
        raise ZeroDivisionError("on_send")

    def on_acknowledgement(self, metadata: RecordMetadata, error: Exception | None, headers: Headers) -> None:
        raise ZeroDivisionError("on_acknowledgement")

    def close(self) -> None:
        raise ZeroDivisionError("close")


class Returning(Tagging):
    """Returns something else than a record."""

    def __init__(self, answer: Any) -> None:
        super().__init__("returning")
        self.answer = answer

    def on_send(self, record: ProducerRecord) -> ProducerRecord:
        answer: ProducerRecord = self.answer
        return answer


def failures(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [entry.getMessage() for entry in caplog.records if entry.levelno == logging.ERROR]


# --- on_send ------------------------------------------------------------------------------------------------


def test_each_interceptor_gets_what_the_one_before_returned() -> None:
    chain = InterceptorChain([Tagging("a"), Tagging("b"), Tagging("c")])
    assert chain.on_send(RECORD) == RECORD._replace(
        headers=(("h", b"1"), ("a", None), ("b", None), ("c", None))
    )


def test_an_interceptor_may_change_all_of_a_record() -> None:
    other = ProducerRecord("u", "text", None, (), None, None)
    assert InterceptorChain([Returning(other)]).on_send(RECORD) == other


def test_after_an_exception_the_next_one_gets_the_last_good_record(caplog: pytest.LogCaptureFixture) -> None:
    chain = InterceptorChain([Tagging("a"), Failing("b"), Tagging("c")])
    assert chain.on_send(RECORD).headers == (("h", b"1"), ("a", None), ("c", None))
    assert failures(caplog) == ["interceptor Failing failed in on_send for topic t"]
    assert caplog.records[0].exc_info


@pytest.mark.parametrize("answer", [None, ("t", b"v"), b"v"])
def test_what_is_no_record_is_an_error_of_the_interceptor(
    caplog: pytest.LogCaptureFixture, answer: object
) -> None:
    chain = InterceptorChain([Returning(answer), Tagging("a")])
    assert chain.on_send(RECORD).headers == (("h", b"1"), ("a", None))
    assert failures(caplog) == ["interceptor Returning failed in on_send for topic t"]


def test_a_signal_is_not_taken_for_an_error_of_the_interceptor() -> None:
    class Interrupted(Interceptor):
        def on_send(self, record: ProducerRecord) -> ProducerRecord:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        InterceptorChain([Interrupted()]).on_send(RECORD)


@pytest.mark.parametrize(
    ("given", "seen"),
    [
        (None, ()),
        ({"a": b"1", "b": None}, (("a", b"1"), ("b", None))),
        ([["a", b"1"]], (["a", b"1"],)),
        ((pair for pair in [("a", b"1")]), (("a", b"1"),)),
        ((("a", b"1"),), (("a", b"1"),)),
    ],
    ids=["none", "dict", "lists", "generator", "tuple"],
)
def test_interceptors_see_headers_as_pairs_that_can_be_read_twice(given: Any, seen: object) -> None:
    read: list[object] = []

    class Reading(Interceptor):
        def on_send(self, record: ProducerRecord) -> ProducerRecord:
            read.append(tuple(record.headers or ()))
            return record

    chain = InterceptorChain([Reading(), Reading()])
    assert chain.on_send(RECORD._replace(headers=given)).headers == seen
    assert read == [seen, seen]


@pytest.mark.parametrize("given", [5, "text", b"bytes"])
def test_what_is_no_headers_is_left_for_send_to_refuse(given: Any) -> None:
    record = RECORD._replace(headers=given)
    assert InterceptorChain([Returning(record)]).on_send(record).headers == given


# --- on_acknowledgement -------------------------------------------------------------------------------------


def test_all_hear_of_an_outcome_even_behind_one_that_raises(caplog: pytest.LogCaptureFixture) -> None:
    a, c = Tagging("a"), Tagging("c")
    chain = InterceptorChain([a, Failing("b"), c])
    chain.on_acknowledgement(DELIVERED, None, (("h", b"1"),))
    assert a.heard == c.heard == [(DELIVERED, None, (("h", b"1"),))]
    assert failures(caplog) == ["interceptor Failing failed in on_acknowledgement for topic t"]


def test_interceptors_hear_before_the_callback_of_the_record() -> None:
    order: list[object] = []

    class Noting(Interceptor):
        def on_acknowledgement(
            self, metadata: RecordMetadata, error: Exception | None, headers: Headers
        ) -> None:
            order.append((metadata, error, headers))

    chain = InterceptorChain([Noting()])
    sent = chain.on_send(RECORD)
    chain.listener(sent, lambda metadata, error: order.append((metadata, error)))(DELIVERED, None)
    assert order == [(DELIVERED, None, (("h", b"1"),)), (DELIVERED, None)]


def test_a_failed_record_is_told_with_its_partition_and_the_callback_gets_none() -> None:
    error = KafkaTimeoutError("expired", topic="t", partition=1)
    interceptor, told = Tagging("a"), list[object]()
    chain = InterceptorChain([interceptor])
    listener = chain.listener(RECORD._replace(partition=None), lambda *outcome: told.append(outcome))
    listener(None, error)
    assert interceptor.heard == [(RecordMetadata("t", 1), error, ())]
    assert told == [(None, error)]


def test_a_record_without_a_callback_needs_none() -> None:
    interceptor = Tagging("a")
    chain = InterceptorChain([interceptor])
    chain.listener(RECORD, None)(DELIVERED, None)
    assert len(interceptor.heard) == 1


def test_the_callback_runs_even_if_an_interceptor_ends_the_thread() -> None:
    class Leaving(Interceptor):
        def on_acknowledgement(
            self, metadata: RecordMetadata, error: Exception | None, headers: Headers
        ) -> None:
            raise SystemExit

    told: list[object] = []
    listener = InterceptorChain([Leaving()]).listener(RECORD, lambda *outcome: told.append(outcome))
    with pytest.raises(SystemExit):
        listener(DELIVERED, None)
    assert told == [(DELIVERED, None)]


def test_what_the_callback_raises_is_its_callers_to_log() -> None:
    def callback(metadata: object, error: object) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        InterceptorChain([Tagging("a")]).listener(RECORD, callback)(DELIVERED, None)


def test_a_listener_does_not_keep_the_payload() -> None:
    value, key = b"v" * 1000, b"k" * 1000
    listener = InterceptorChain([Tagging("a")]).listener(RECORD._replace(value=value, key=key), None)
    kept: ProducerRecord = listener._record  # type: ignore[attr-defined]
    assert (kept.value, kept.key) == (None, None)


@pytest.mark.parametrize(
    ("partition", "of_error", "told"), [(2, None, 2), (None, None, -1), (None, 1, 1), (2, 1, 1)]
)
def test_a_record_that_was_not_accepted_is_told_with_what_is_known(
    partition: int | None, of_error: int | None, told: int
) -> None:
    interceptor = Tagging("a")
    error = KafkaTimeoutError("no metadata", partition=of_error)
    chain = InterceptorChain([interceptor])
    chain.on_send_error(chain.on_send(RECORD._replace(partition=partition)), error)
    assert interceptor.heard == [(RecordMetadata("t", told), error, (("h", b"1"), ("a", None)))]


# --- life ---------------------------------------------------------------------------------------------------


def test_close_closes_all_in_order_even_behind_one_that_raises(caplog: pytest.LogCaptureFixture) -> None:
    a, c = Tagging("a"), Tagging("c")
    InterceptorChain([a, Failing("b"), c]).close()
    assert (a.closed, c.closed) == (1, 1)
    assert failures(caplog) == ["interceptor Failing failed in close"]


def test_a_subclass_needs_only_what_it_wants() -> None:
    class Quiet(Interceptor):
        pass

    chain = InterceptorChain([Quiet()])
    assert chain.on_send(RECORD).value == b"v"
    chain.on_acknowledgement(DELIVERED, None, ())
    chain.close()


def test_an_object_with_the_three_functions_is_an_interceptor() -> None:
    class Plain:
        def on_send(self, record: ProducerRecord) -> ProducerRecord:
            return record._replace(topic="u")

        def on_acknowledgement(
            self, metadata: RecordMetadata, error: Exception | None, headers: Headers
        ) -> None: ...

        def close(self) -> None: ...

    assert InterceptorChain([Plain()]).on_send(RECORD).topic == "u"


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (Tagging, "has the class Tagging; allowed is an instance of it"),
        (object(), "object has no on_send and no on_acknowledgement and no close"),
        ("java.lang.String", "str has no on_send"),
    ],
)
def test_what_is_no_interceptor_is_refused(wrong: Any, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        InterceptorChain([wrong])


def test_the_same_interceptor_twice_is_refused() -> None:
    interceptor = Tagging("a")
    with pytest.raises(ConfigError, match="twice"):
        InterceptorChain([interceptor, Tagging("b"), interceptor])
