"""Every row of the verdict table, for batches that may and may not be in the log."""

from __future__ import annotations

from typing import Any

import pytest

from kproducer._core.events import Action, BatchRefused
from kproducer.client.backoff import ExponentialBackoff
from kproducer.client.delivery import (
    CORRUPT_RETRIES,
    PERSISTED_MAYBE,
    PERSISTED_NO,
    PERSISTED_YES,
    TOO_FEW_REPLICAS,
    DeliveryPolicy,
    verdict,
)
from kproducer.client.idempotence import IdentityChange
from kproducer.errors import ERROR_TABLE

POLICY = DeliveryPolicy(retries=10, backoff=ExponentialBackoff(100, 1000))
KEEP, BUMP, RENEW = IdentityChange.KEEP, IdentityChange.BUMP, IdentityChange.RENEW
NO, MAYBE, YES = PERSISTED_NO, PERSISTED_MAYBE, PERSISTED_YES


def refused(code: int, **facts: Any) -> BatchRefused:
    base = BatchRefused(
        topic="t", partition=0, hold_gen=1, batch_id=7, code=code, message=None, record_errors=(),
        is_head=True, maybe=False, attempts=1, records=3, log_start_offset=0, node=1, producer_id=40,
        producer_epoch=2, hint=None,
    )  # fmt: skip
    return base._replace(**facts)


# code: verdict on a batch never in doubt, verdict on one that may be in the log: (action, persisted, identity)
ROWS: dict[int, tuple[tuple[Action, int, IdentityChange], tuple[Action, int, IdentityChange]]] = {
    -1: ((Action.FAIL, MAYBE, BUMP), (Action.FAIL, MAYBE, BUMP)),
    2: ((Action.RETRY, NO, KEEP), (Action.RETRY, MAYBE, KEEP)),
    3: ((Action.RETRY, MAYBE, KEEP), (Action.RETRY, MAYBE, KEEP)),
    5: ((Action.RETRY, NO, KEEP), (Action.RETRY, MAYBE, KEEP)),
    6: ((Action.RETRY, MAYBE, KEEP), (Action.RETRY, MAYBE, KEEP)),
    7: ((Action.RETRY, MAYBE, KEEP), (Action.RETRY, MAYBE, KEEP)),
    8: ((Action.RETRY, NO, KEEP), (Action.RETRY, MAYBE, KEEP)),
    9: ((Action.RETRY, NO, KEEP), (Action.RETRY, MAYBE, KEEP)),
    10: ((Action.SPLIT, NO, KEEP), (Action.FAIL, MAYBE, BUMP)),
    13: ((Action.FAIL, MAYBE, BUMP), (Action.FAIL, MAYBE, BUMP)),
    17: ((Action.FAIL, NO, BUMP), (Action.FAIL, MAYBE, BUMP)),
    18: ((Action.SPLIT, NO, KEEP), (Action.FAIL, MAYBE, BUMP)),
    19: ((Action.RETRY, NO, KEEP), (Action.RETRY, MAYBE, KEEP)),
    20: ((Action.RETRY, MAYBE, KEEP), (Action.RETRY, MAYBE, KEEP)),
    21: ((Action.FAIL, NO, BUMP), (Action.FAIL, MAYBE, BUMP)),
    29: ((Action.FAIL, NO, BUMP), (Action.FAIL, MAYBE, BUMP)),
    31: ((Action.FAIL, NO, BUMP), (Action.FAIL, MAYBE, BUMP)),
    32: ((Action.FAIL, NO, BUMP), (Action.FAIL, MAYBE, BUMP)),
    35: ((Action.FAIL, NO, BUMP), (Action.FAIL, MAYBE, BUMP)),
    42: ((Action.FAIL, NO, BUMP), (Action.FAIL, MAYBE, BUMP)),
    43: ((Action.FAIL, NO, BUMP), (Action.FAIL, MAYBE, BUMP)),
    44: ((Action.FAIL, NO, BUMP), (Action.FAIL, MAYBE, BUMP)),
    45: ((Action.RETRY, NO, BUMP), (Action.FAIL, MAYBE, BUMP)),
    46: ((Action.ACK, YES, KEEP), (Action.ACK, YES, KEEP)),
    47: ((Action.RETRY, NO, RENEW), (Action.FAIL, MAYBE, RENEW)),
    48: ((Action.FAIL, NO, BUMP), (Action.FAIL, MAYBE, BUMP)),
    51: ((Action.RETRY, NO, KEEP), (Action.RETRY, MAYBE, KEEP)),
    53: ((Action.FAIL, NO, BUMP), (Action.FAIL, MAYBE, BUMP)),
    56: ((Action.RETRY, MAYBE, KEEP), (Action.RETRY, MAYBE, KEEP)),
    59: ((Action.RETRY, NO, BUMP), (Action.FAIL, MAYBE, BUMP)),
    72: ((Action.RETRY, NO, KEEP), (Action.RETRY, MAYBE, KEEP)),
    74: ((Action.RETRY, MAYBE, KEEP), (Action.RETRY, MAYBE, KEEP)),
    75: ((Action.RETRY, MAYBE, KEEP), (Action.RETRY, MAYBE, KEEP)),
    76: ((Action.FAIL, NO, BUMP), (Action.FAIL, MAYBE, BUMP)),
    87: ((Action.FAIL, NO, BUMP), (Action.FAIL, MAYBE, BUMP)),
    89: ((Action.RETRY, NO, KEEP), (Action.RETRY, MAYBE, KEEP)),
    90: ((Action.FAIL, NO, BUMP), (Action.FAIL, MAYBE, BUMP)),
    100: ((Action.RETRY, NO, KEEP), (Action.RETRY, MAYBE, KEEP)),
    103: ((Action.RETRY, NO, KEEP), (Action.RETRY, MAYBE, KEEP)),
    120: ((Action.FAIL, NO, BUMP), (Action.FAIL, MAYBE, BUMP)),
    9999: ((Action.FAIL, MAYBE, BUMP), (Action.FAIL, MAYBE, BUMP)),
}


@pytest.mark.parametrize("maybe", [False, True])
@pytest.mark.parametrize("code", ROWS)
def test_row_of_the_table(code: int, maybe: bool) -> None:
    decided = verdict(refused(code, maybe=maybe), POLICY)
    assert (decided.action, decided.persisted, decided.identity) == ROWS[code][maybe]


@pytest.mark.parametrize("code", ROWS)
def test_without_a_producer_id_none_is_asked_for(code: int) -> None:
    assert verdict(refused(code, producer_id=-1, producer_epoch=-1), POLICY).identity is KEEP


@pytest.mark.parametrize("code", ROWS)
def test_a_batch_that_may_be_in_the_log_is_never_sent_under_a_new_identity(code: int) -> None:
    decided = verdict(refused(code, maybe=True), POLICY)
    assert decided.action is not Action.RETRY or decided.identity is KEEP


@pytest.mark.parametrize("code", [row for row, (plain, _) in ROWS.items() if plain[0] is Action.RETRY])
def test_more_attempts_than_retries_fail_with_the_code(code: int) -> None:
    decided = verdict(refused(code, attempts=11), POLICY)
    assert (decided.action, decided.code) == (Action.FAIL, code)
    assert decided.identity in (BUMP, RENEW)


@pytest.mark.parametrize("code", [row for row, (plain, _) in ROWS.items() if plain[0] is Action.RETRY])
def test_zero_retries_fail_the_first_attempt(code: int) -> None:
    policy = DeliveryPolicy(retries=0, backoff=POLICY.backoff)
    assert verdict(refused(code), policy).action is Action.FAIL


def test_delay_grows_with_the_attempts() -> None:
    delays = [verdict(refused(19, attempts=attempts), POLICY).delay_ms for attempts in (1, 2, 3, 5)]
    assert delays == [100, 200, 400, 1000]


@pytest.mark.parametrize("code", [6, 74, 75])
def test_a_newer_leader_in_the_answer_is_tried_at_once_and_metadata_refreshed(code: int) -> None:
    decided = verdict(refused(code, attempts=4), POLICY, has_newer_leader=True)
    assert decided.delay_ms == 0
    assert decided.refresh_metadata


def test_a_newer_leader_does_not_hurry_an_error_that_is_not_about_leaders() -> None:
    assert verdict(refused(19), POLICY, has_newer_leader=True).delay_ms == 100


@pytest.mark.parametrize("code", [code for code in ROWS if code in ERROR_TABLE and ERROR_TABLE[code].fatal])
def test_fatal_codes_end_the_producer(code: int) -> None:
    assert verdict(refused(code), POLICY).is_fatal


@pytest.mark.parametrize("code", [2, 10, 42, 45, 47, 87, 9999, -1])
def test_one_refused_batch_does_not_end_the_producer(code: int) -> None:
    assert not verdict(refused(code, records=1), POLICY).is_fatal


def test_a_single_record_that_is_too_large_fails_alone() -> None:
    decided = verdict(refused(10, records=1), POLICY)
    assert (decided.action, decided.persisted, decided.identity) == (Action.FAIL, NO, BUMP)


def test_a_checksum_that_stays_wrong_is_given_up() -> None:
    assert verdict(refused(2, attempts=CORRUPT_RETRIES), POLICY).action is Action.RETRY
    assert verdict(refused(2, attempts=CORRUPT_RETRIES + 1), POLICY).action is Action.FAIL


def test_out_of_order_behind_the_head_waits_for_the_head() -> None:
    decided = verdict(refused(45, is_head=False), POLICY)
    assert (decided.action, decided.identity) == (Action.RETRY, KEEP)


def test_unknown_producer_id_without_log_start_is_sent_again_unchanged() -> None:
    decided = verdict(refused(59, log_start_offset=-1, maybe=True), POLICY)
    assert (decided.action, decided.identity) == (Action.RETRY, KEEP)


def test_topic_authorization_fails_the_unsent_batches_of_the_topic_too() -> None:
    assert verdict(refused(29), POLICY).fails_topic
    assert not verdict(refused(87), POLICY).fails_topic


@pytest.mark.parametrize("code", [32, 87])
def test_guilty_records_are_named_and_the_others_sent_again(code: int) -> None:
    decided = verdict(refused(code, message="batch", record_errors=((2, None), (0, "no key"))), POLICY)
    assert decided.record_errors == ((0, code, "no key"), (2, code, "batch"))
    assert (decided.action, decided.persisted, decided.identity) == (Action.FAIL, NO, BUMP)


def test_record_errors_outside_the_batch_or_repeated_are_ignored() -> None:
    errors = ((-1, "x"), (3, "x"), (2**31 - 1, "x"), (1, "first"), (1, "second"))
    assert verdict(refused(87, record_errors=errors), POLICY).record_errors == ((1, 87, "first"),)


@pytest.mark.parametrize("facts", [{"maybe": True}, {"code": -1}])
def test_record_errors_do_not_clear_the_innocent_of_a_batch_in_doubt(facts: dict[str, Any]) -> None:
    decided = verdict(refused(87, record_errors=((1, "bad"),))._replace(**facts), POLICY)
    assert decided.record_errors == ()
    assert decided.persisted == MAYBE


def test_every_known_code_gets_a_verdict_that_ends_in_doubt_or_certainty() -> None:
    for code in ERROR_TABLE:
        if code:
            decided = verdict(refused(code), POLICY)
            assert decided.action in Action
            assert (decided.action is not Action.FAIL) or decided.code == code


# --- choices of the application -----------------------------------------------------------------------------

IMPATIENT = DeliveryPolicy(retries=10, backoff=POLICY.backoff, fail_at_once=TOO_FEW_REPLICAS)


@pytest.mark.parametrize(
    ("code", "maybe", "persisted"),
    [(19, False, NO), (19, True, MAYBE), (20, False, MAYBE), (20, True, MAYBE)],
)
def test_too_few_replicas_fail_at_once_if_so_chosen(code: int, maybe: bool, persisted: int) -> None:
    decided = verdict(refused(code, maybe=maybe), IMPATIENT)
    assert (decided.action, decided.code, decided.persisted) == (Action.FAIL, code, persisted)


def test_other_retriable_codes_are_sent_again_all_the_same() -> None:
    assert verdict(refused(6), IMPATIENT).action is Action.RETRY


@pytest.mark.parametrize("code", [45])
@pytest.mark.parametrize("maybe", [False, True])
def test_a_batch_that_the_broker_missed_is_a_gap(code: int, maybe: bool) -> None:
    assert verdict(refused(code, maybe=maybe), POLICY).is_gap
    assert not verdict(refused(code, maybe=maybe, is_head=False), POLICY).is_gap
    assert not verdict(refused(code, maybe=maybe, producer_id=-1, producer_epoch=-1), POLICY).is_gap


@pytest.mark.parametrize("code", [-1, 10, 13, 17, 47, 59, 87])
def test_a_failure_in_doubt_leaves_a_gap(code: int) -> None:
    assert verdict(refused(code, maybe=True), POLICY).is_gap


@pytest.mark.parametrize("code", [6, 10, 17, 19, 46, 47, 59, 87])
def test_what_is_surely_not_in_the_log_leaves_no_gap(code: int) -> None:
    assert not verdict(refused(code), POLICY).is_gap


def test_the_end_of_the_producer_is_no_gap() -> None:
    assert not verdict(refused(90, maybe=True), POLICY).is_gap


def test_lost_connections_are_no_refusal() -> None:
    assert not verdict(refused(13, maybe=True, attempts=11), POLICY).is_refusal
    assert verdict(refused(87), POLICY).is_refusal


# --- in a transaction ------------------------------------------------------------------------------------------

TRANSACTIONAL = DeliveryPolicy(retries=10, backoff=POLICY.backoff, is_transactional=True)
# Without a transaction these are sent again under another epoch.
RESTARTED = (45, 47, 59)


@pytest.mark.parametrize("maybe", [False, True])
@pytest.mark.parametrize("attempts", [1, 11])
@pytest.mark.parametrize("code", ROWS)
def test_end_of_the_transaction_decides_about_the_epoch(code: int, maybe: bool, attempts: int) -> None:
    case = refused(code, maybe=maybe, attempts=attempts, is_head=True)
    assert verdict(case, TRANSACTIONAL).identity is KEEP


@pytest.mark.parametrize("code", RESTARTED)
def test_batch_of_a_transaction_is_not_sent_under_another_epoch(code: int) -> None:
    decided = verdict(refused(code), TRANSACTIONAL)
    assert (decided.action, decided.code, decided.persisted) == (Action.FAIL, code, NO)
    assert not decided.is_fatal


@pytest.mark.parametrize("maybe", [False, True])
@pytest.mark.parametrize("code", [code for code in ROWS if code not in RESTARTED])
def test_other_codes_mean_the_same_in_a_transaction(code: int, maybe: bool) -> None:
    with_one, without = (verdict(refused(code, maybe=maybe), policy) for policy in (TRANSACTIONAL, POLICY))
    assert (with_one.action, with_one.persisted) == (without.action, without.persisted)
    assert with_one.is_fatal == without.is_fatal


def test_guilty_records_of_a_transaction_are_named() -> None:
    decided = verdict(refused(87, record_errors=((1, "bad"),)), TRANSACTIONAL)
    assert (decided.action, decided.record_errors, decided.identity) == (Action.FAIL, ((1, 87, "bad"),), KEEP)


@pytest.mark.parametrize("policy", [POLICY, TRANSACTIONAL])
def test_busy_coordinator_is_asked_again_soon_and_then_less_and_less_often(policy: DeliveryPolicy) -> None:
    delays = [verdict(refused(51, attempts=attempts), policy).delay_ms for attempts in (1, 2, 3, 7)]
    assert delays == [20, 40, 80, 1000]
    assert verdict(refused(51, attempts=11), policy).action is Action.FAIL


def test_producer_that_was_fenced_is_over() -> None:
    assert verdict(refused(90), TRANSACTIONAL).is_fatal
