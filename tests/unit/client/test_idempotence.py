"""Producer id and epoch: asked for once, bumped once, renewed at the end of the epochs."""

from __future__ import annotations

import math

import pytest

from kproducer.client.backoff import ExponentialBackoff
from kproducer.client.idempotence import (
    MAX_EPOCH,
    IdentityChange,
    NewIdentity,
    ProducerIdentity,
    Resume,
)
from kproducer.errors import KafkaError
from kproducer.protocol.messages.init_producer_id import InitProducerIdResponse

BUMP, RENEW, KEEP = IdentityChange.BUMP, IdentityChange.RENEW, IdentityChange.KEEP


def make(*, is_enabled: bool = True) -> ProducerIdentity:
    return ProducerIdentity(is_enabled=is_enabled, backoff=ExponentialBackoff(100, 1000), jitter=lambda: 0.5)


def made(producer_id: int = 40, epoch: int = 0) -> ProducerIdentity:
    identity = make()
    identity.begin_request()
    identity.answered(InitProducerIdResponse(producer_id=producer_id, producer_epoch=epoch), 0)
    return identity


def test_nothing_is_asked_for_without_idempotence() -> None:
    assert math.isinf(make(is_enabled=False).due_at)


def test_request_is_due_at_once_and_not_while_in_flight() -> None:
    identity = make()
    assert identity.due_at <= 0
    request = identity.begin_request()
    assert (request.transactional_id, request.producer_id, request.producer_epoch) == (None, -1, -1)
    assert math.isinf(identity.due_at)


def test_answer_gives_the_identity() -> None:
    identity = make()
    identity.begin_request()
    assert identity.answered(InitProducerIdResponse(producer_id=40, producer_epoch=3), 0) == NewIdentity(
        40, 3
    )
    assert identity.current == (40, 3)
    assert math.isinf(identity.due_at)


def test_retriable_error_is_asked_again_with_growing_delay() -> None:
    identity = make()
    due = []
    for now in (0, 1000, 2000):
        identity.begin_request()
        assert identity.answered(InitProducerIdResponse(error_code=15), now) is None
        due.append(identity.due_at - now)
    assert due == [100, 200, 400]


@pytest.mark.parametrize("code", [14, 15, 16, 51, 7, -1, 9999, 58])
def test_error_that_may_pass_is_asked_again(code: int) -> None:
    identity = make()
    identity.begin_request()
    assert identity.answered(InitProducerIdResponse(error_code=code), 0) is None
    assert identity.due_at == 100


def test_negative_producer_id_is_not_taken() -> None:
    identity = make()
    identity.begin_request()
    assert identity.answered(InitProducerIdResponse(producer_id=-1), 0) is None
    assert identity.is_pending


@pytest.mark.parametrize("code", [31, 53, 35, 42])
def test_refusal_is_fatal_and_names_the_remedy(code: int) -> None:
    identity = make()
    identity.begin_request()
    with pytest.raises(KafkaError, match=r"enable\.idempotence=false") as caught:
        identity.answered(InitProducerIdResponse(error_code=code), 0)
    assert caught.value.fatal
    assert caught.value.code == code


def test_lost_request_is_asked_again() -> None:
    identity = make()
    identity.begin_request()
    identity.failed(10)
    assert identity.due_at == 110


def test_several_failures_of_one_epoch_bump_it_once() -> None:
    identity = made()
    assert identity.change(BUMP, (40, 0)) == NewIdentity(40, 1)
    assert identity.change(BUMP, (40, 0)) is None
    assert identity.change(BUMP, (40, 1)) == NewIdentity(40, 2)


def test_keep_changes_nothing() -> None:
    identity = made()
    assert identity.change(KEEP, (40, 0)) is None
    assert identity.current == (40, 0)


def test_renew_asks_for_a_new_id_once() -> None:
    identity = made()
    assert identity.change(RENEW, (40, 0)) is None
    assert identity.is_pending
    identity.begin_request()
    assert identity.change(RENEW, (40, 0)) is None
    assert math.isinf(identity.due_at)


def test_renew_for_an_older_epoch_needs_no_new_id() -> None:
    identity = made(epoch=5)
    assert identity.change(RENEW, (40, 4)) is None
    assert not identity.is_pending


def test_last_epoch_asks_for_a_new_id() -> None:
    identity = made(epoch=MAX_EPOCH - 1)
    assert identity.change(BUMP, (40, MAX_EPOCH - 1)) == NewIdentity(40, MAX_EPOCH)
    assert identity.change(BUMP, (40, MAX_EPOCH)) is None
    assert identity.is_pending


def test_partitions_wait_for_the_new_id() -> None:
    identity = made(epoch=MAX_EPOCH)
    identity.change(BUMP, (40, MAX_EPOCH))
    resume = Resume("t", 0, 3, 50)
    identity.park(resume)
    identity.begin_request()
    answer = InitProducerIdResponse(producer_id=41, producer_epoch=0)
    assert identity.answered(answer, 0) == NewIdentity(41, 0, (resume,))
    assert identity.change(BUMP, (41, 0)) == NewIdentity(41, 1)
