"""What to do with a batch that a broker refused: one table from error code to verdict.

Pure: from the facts of a BATCH_REFUSED event to a Verdict, which engine.sender carries out word by word.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

from kproducer._core.events import Action, BatchRefused
from kproducer.client.backoff import ExponentialBackoff
from kproducer.client.idempotence import IdentityChange
from kproducer.errors import ErrorInfo, error_info

PERSISTED_NO: Final = 0
PERSISTED_MAYBE: Final = 1
PERSISTED_YES: Final = 2
_PERSISTED: Final = {"no": PERSISTED_NO, "maybe": PERSISTED_MAYBE, "yes": PERSISTED_YES}

# A checksum that is wrong three times over was not wrong on the wire: old brokers answer CORRUPT_MESSAGE for a
# record without a key on a compacted topic, and the same bytes will never please them.
CORRUPT_RETRIES: Final = 3
# Delays after CONCURRENT_TRANSACTIONS; the first is Java's for AddPartitionsToTxn.
CONCURRENT_BACKOFF: Final = ExponentialBackoff(20.0, 1_000.0)

OUT_OF_ORDER_SEQUENCE: Final = 45

# NOT_ENOUGH_REPLICAS and NOT_ENOUGH_REPLICAS_AFTER_APPEND, what not.enough.replicas.policy=fail is about.
TOO_FEW_REPLICAS: Final = frozenset({19, 20})

RecordError = tuple[int, int, str | None]


@dataclass(frozen=True, slots=True)
class DeliveryPolicy:
    """How eager to try again.

    retries: how often a batch is sent again; backoff: delays between the attempts.
    is_transactional: a record that fails dooms its transaction, whose end decides about the epoch.
    fail_at_once: retriable codes that are not tried again.
    """

    retries: int
    backoff: ExponentialBackoff
    is_transactional: bool = False
    fail_at_once: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What to do with a batch and with its partition.

    action: what the pump does with the batch.
    delay_ms: how long the partition stays held.
    code, message, persisted, record_errors: of the failure; with RETRY, persisted marks the batch as "maybe".
    identity: what the producer id needs; other than KEEP the partition restarts under the newest one.
    refresh_metadata: whether the leader is in doubt.
    fails_topic: whether the other unsent batches of the topic share the failure.
    is_fatal: whether the producer can only be closed.
    is_refusal: whether a FAIL is a broker's last word, so that the records may become dead letters.
    is_gap: whether records that may be lost are in front of those that go on.
    """

    action: Action
    delay_ms: float = 0.0
    code: int = 0
    message: str | None = None
    persisted: int = PERSISTED_NO
    record_errors: tuple[RecordError, ...] = ()
    identity: IdentityChange = IdentityChange.KEEP
    refresh_metadata: bool = False
    fails_topic: bool = False
    is_fatal: bool = False
    is_refusal: bool = True
    is_gap: bool = False


@dataclass(frozen=True, slots=True)
class _Case:
    refused: BatchRefused
    info: ErrorInfo
    policy: DeliveryPolicy
    has_newer_leader: bool
    jitter: float

    @property
    def is_sequenced(self) -> bool:
        return self.refused.producer_id >= 0

    @property
    def backoff_ms(self) -> float:
        return self.policy.backoff.delay_ms(max(0, self.refused.attempts - 1), self.jitter)

    @property
    def persisted(self) -> int:
        return PERSISTED_MAYBE if self.refused.maybe else _PERSISTED[self.info.persisted]

    def change(self, wanted: IdentityChange) -> IdentityChange:
        return wanted if self.is_sequenced and not self.policy.is_transactional else IdentityChange.KEEP


def verdict(
    refused: BatchRefused, policy: DeliveryPolicy, *, has_newer_leader: bool = False, jitter: float = 0.5
) -> Verdict:
    """Judge a refused batch.

    Args:
        refused: the event.
        policy: retries and backoff.
        has_newer_leader: whether the answer named a leader newer than the one known (KIP-951), default False.
        jitter: random number in [0, 1), default 0.5.
    """
    case = _Case(refused, error_info(refused.code), policy, has_newer_leader, jitter)
    decided = _rule_for(case)(case)
    return replace(decided, is_gap=True) if _leaves_gap(case, decided) else decided


def _leaves_gap(case: _Case, decided: Verdict) -> bool:
    """Tell whether the partition goes on, under another identity, behind records that may be lost.

    The broker missed an earlier batch, or this one fails without anybody knowing whether it is in the log.
    """
    if decided.identity is IdentityChange.KEEP or decided.is_fatal:
        return False
    return case.refused.code == OUT_OF_ORDER_SEQUENCE or (
        decided.action is Action.FAIL and decided.persisted == PERSISTED_MAYBE
    )


def _rule_for(case: _Case) -> Callable[[_Case], Verdict]:
    special = _SPECIAL.get(case.refused.code)
    if special is not None:
        return special
    if case.info.retriable and case.refused.code not in case.policy.fail_at_once:
        return _retry
    return _fail


def _acknowledge(case: _Case) -> Verdict:
    return Verdict(action=Action.ACK, persisted=PERSISTED_YES)


def _retry(case: _Case) -> Verdict:
    return _fail(case) if case.refused.attempts > case.policy.retries else _send_again(case)


def _retry_corrupt(case: _Case) -> Verdict:
    limit = min(case.policy.retries, CORRUPT_RETRIES)
    return _fail(case) if case.refused.attempts > limit else _send_again(case)


def _concurrent(case: _Case) -> Verdict:
    # The coordinator is busy with the transaction before, for milliseconds (KIP-890).
    delay_ms = CONCURRENT_BACKOFF.delay_ms(max(0, case.refused.attempts - 1), case.jitter)
    return replace(_retry(case), delay_ms=delay_ms)


def _send_again(case: _Case, identity: IdentityChange = IdentityChange.KEEP) -> Verdict:
    moved = case.info.refresh_metadata and case.has_newer_leader
    return Verdict(
        action=Action.RETRY,
        delay_ms=0.0 if moved else case.backoff_ms,
        persisted=case.persisted,
        identity=identity,
        refresh_metadata=case.info.refresh_metadata,
    )


def _fail(case: _Case) -> Verdict:
    if case.refused.record_errors and case.persisted == PERSISTED_NO:
        return _fail_records(case)
    return _fail_batch(case)


def _fail_batch(case: _Case, identity: IdentityChange = IdentityChange.BUMP) -> Verdict:
    return Verdict(
        action=Action.FAIL,
        code=case.refused.code,
        message=case.refused.message,
        persisted=case.persisted,
        identity=case.change(identity),
        refresh_metadata=case.info.refresh_metadata,
        is_fatal=case.info.fatal,
    )


def _fail_records(case: _Case) -> Verdict:
    """Fail the guilty records; the pump sends the innocent ones again, which nothing of is in the log (KIP-467)."""
    guilty: dict[int, RecordError] = {}
    for index, message in case.refused.record_errors:
        if 0 <= index < case.refused.records:
            guilty.setdefault(index, (index, case.refused.code, message or case.refused.message))
    if not guilty:
        return _fail_batch(case)
    return Verdict(
        action=Action.FAIL,
        code=case.refused.code,
        message=case.refused.message,
        persisted=case.persisted,
        record_errors=tuple(guilty[index] for index in sorted(guilty)),
        identity=case.change(IdentityChange.BUMP),
        is_fatal=case.info.fatal,
    )


def _fail_topic(case: _Case) -> Verdict:
    return Verdict(
        action=Action.FAIL,
        code=case.refused.code,
        message=case.refused.message,
        persisted=case.persisted,
        identity=case.change(IdentityChange.BUMP),
        fails_topic=True,
    )


def _fail_after_lost_connections(case: _Case) -> Verdict:
    return Verdict(
        action=Action.FAIL,
        code=case.refused.code,
        message=case.refused.message,
        persisted=PERSISTED_MAYBE,
        identity=case.change(IdentityChange.BUMP),
        refresh_metadata=True,
        is_refusal=False,
    )


def _split(case: _Case) -> Verdict:
    # Brokers check the size before they look for a duplicate: if the limit was lowered between two attempts, a
    # batch that may be in the log is refused as well, and its halves would be appended a second time.
    if case.refused.records > 1 and not case.refused.maybe:
        # The code is for a split that fails for lack of memory.
        return Verdict(action=Action.SPLIT, code=case.refused.code, message=case.refused.message)
    return _fail(case)


def _out_of_order(case: _Case) -> Verdict:
    if not case.is_sequenced:
        return _fail_batch(case)
    if not case.refused.is_head:  # the batch before it decides
        return _send_again(case)
    return _restart(case, IdentityChange.BUMP)


def _invalid_epoch(case: _Case) -> Verdict:
    # A batch of an older epoch needs no new id: `ProducerIdentity.change` compares before it asks for one.
    return _restart(case, IdentityChange.RENEW)


def _unknown_producer_id(case: _Case) -> Verdict:
    # Brokers before 2.5 forget a producer with its last record. Without the log's start the answer tells nothing.
    if case.refused.log_start_offset < 0:
        return _retry(case)
    return _restart(case, IdentityChange.BUMP)


def _restart(case: _Case, identity: IdentityChange) -> Verdict:
    """Send the batch under a new identity, unless that could write it twice (3.2)."""
    may_restart = case.is_sequenced and not case.refused.maybe and not case.policy.is_transactional
    if not may_restart or case.refused.attempts > case.policy.retries:
        return _fail_batch(case, identity)
    return _send_again(case, identity)


_SPECIAL: Final[Mapping[int, Callable[[_Case], Verdict]]] = MappingProxyType(
    {
        2: _retry_corrupt,
        10: _split,
        13: _fail_after_lost_connections,
        18: _split,
        29: _fail_topic,
        OUT_OF_ORDER_SEQUENCE: _out_of_order,
        46: _acknowledge,
        47: _invalid_epoch,
        51: _concurrent,
        59: _unknown_producer_id,
    }
)
