"""Who coordinates a key: asked once, remembered, asked again when it has moved."""

from __future__ import annotations

import math

import pytest

from kproducer.client.backoff import ExponentialBackoff
from kproducer.client.coordinator import CoordinatorFinder
from kproducer.config import HostPort
from kproducer.errors import KafkaError, ProtocolError
from kproducer.protocol.messages.find_coordinator import (
    Coordinator,
    CoordinatorType,
    FindCoordinatorResponse,
)

FOUND = FindCoordinatorResponse(coordinators=(Coordinator(key="tx", node_id=2, host="two", port=9092),))


def make() -> CoordinatorFinder:
    backoff = ExponentialBackoff(100, 1000)
    return CoordinatorFinder("tx", CoordinatorType.TRANSACTION, backoff=backoff, jitter=lambda: 0.5)


def found() -> CoordinatorFinder:
    finder = make()
    finder.begin_request()
    finder.answered(FOUND, 0)
    return finder


def refused(code: int) -> FindCoordinatorResponse:
    return FindCoordinatorResponse(coordinators=(Coordinator(key="tx", error_code=code, error_message="m"),))


def test_request_is_due_at_once_and_not_while_in_flight() -> None:
    finder = make()
    assert finder.due_at <= 0
    request = finder.begin_request()
    assert (request.key, request.key_type, request.coordinator_keys) == ("tx", 1, ("tx",))
    assert math.isinf(finder.due_at)


def test_answer_is_remembered() -> None:
    finder = make()
    finder.begin_request()
    assert finder.answered(FOUND, 0) == HostPort("two", 9092)
    assert (finder.node_id, finder.due_at) == (2, math.inf)


def test_answer_of_an_old_broker_has_no_list() -> None:
    finder = make()
    finder.begin_request()
    assert finder.answered(FindCoordinatorResponse(node_id=3, host="h", port=1), 0) == HostPort("h", 1)
    assert finder.node_id == 3


@pytest.mark.parametrize("code", [7, 14, 15, 16, 89, 120])
def test_code_that_may_pass_is_asked_again_with_growing_delay(code: int) -> None:
    finder = make()
    due = []
    for now in (0, 1000, 2000):
        finder.begin_request()
        assert finder.answered(refused(code), now) is None
        due.append(finder.due_at - now)
    assert due == [100, 200, 400]


@pytest.mark.parametrize("code", [30, 35, 42, 53])
def test_refusal_is_raised_with_its_code_and_key(code: int) -> None:
    finder = make()
    finder.begin_request()
    with pytest.raises(KafkaError, match="FindCoordinator of 'tx': m") as caught:
        finder.answered(refused(code), 0)
    assert caught.value.code == code
    assert finder.node_id is None


@pytest.mark.parametrize(
    "nonsense",
    [
        FindCoordinatorResponse(),
        FindCoordinatorResponse(coordinators=(Coordinator(host="a"), Coordinator(host="b"))),
    ],
)
def test_answer_without_sense_is_raised_and_asked_again(nonsense: FindCoordinatorResponse) -> None:
    finder = make()
    finder.begin_request()
    with pytest.raises(ProtocolError):
        finder.answered(nonsense, 0)
    assert finder.due_at <= 0


def test_lost_request_is_asked_again() -> None:
    finder = make()
    finder.begin_request()
    finder.failed(50)
    assert finder.due_at == 150


def test_loss_of_a_link_that_asked_nothing_changes_nothing() -> None:
    finder = found()
    finder.failed(50)
    assert (finder.node_id, finder.due_at) == (2, math.inf)


def test_coordinator_that_moved_is_asked_for_after_a_delay_that_grows_until_found() -> None:
    finder = found()
    finder.forget(0)
    assert (finder.node_id, finder.due_at) == (None, 100)
    finder.forget(10)  # known to be unknown
    assert finder.due_at == 100
    finder.begin_request()
    finder.failed(200)
    assert finder.due_at == 400
    finder.begin_request()
    finder.answered(FOUND, 500)
    finder.forget(1000)
    assert finder.due_at == 1100
