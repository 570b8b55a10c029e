"""Bugs put into a running producer, or between it and its broker, for the checker to find.

Only the Python side can be changed while it runs: bugs of the C core (retry at the tail, renumbering on retry, a
buffer freed at expiry, the gate of one request in flight left open) are not planted here. What they do to a log is:
the proxy damages, swaps and repeats requests, and refuses what was written.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Final

import pytest

from kproducer._core.events import Action
from kproducer._core.hashing import crc32c
from kproducer.client import delivery, transaction_requests, transactions
from kproducer.client.delivery import PERSISTED_NO, PERSISTED_YES, Verdict
from kproducer.client.idempotence import IdentityChange
from kproducer.client.transaction_state import State
from kproducer.client.transactions import TransactionManager
from kproducer.protocol.headers import read_request_header
from kproducer.protocol.messages.end_txn import END_TXN
from kproducer.protocol.messages.produce import PRODUCE, ProduceRequest
from kproducer.protocol.primitives import Reader
from kproducer.testing import Close, Direction, FaultProxy, Rewrite
from tests.checker.findings import Fault

CORRUPT_MESSAGE: Final = 2
REQUEST_TIMED_OUT: Final = 7
OUT_OF_ORDER_SEQUENCE_NUMBER: Final = 45

_CRC_AT: Final = 17
_CRC_SINCE: Final = 21
SKIPPED: Final = 3  # Produce requests that pass unharmed first

Patch = pytest.MonkeyPatch


@dataclass(frozen=True, slots=True)
class Bug:
    """A way to break delivery.

    Args:
        plant: changes the code, or sets rules on the proxy.
        faults: what the checker must call it.
        by_chance: what it may call it besides, by the call that was hit.
        config: of the producer.
        is_transactional: which of the two workloads shows it.
    """

    plant: Callable[[Patch, FaultProxy], object]
    faults: frozenset[Fault]
    by_chance: frozenset[Fault] = frozenset()
    config: tuple[tuple[str, object], ...] = ()
    is_transactional: bool = False

    @property
    def name(self) -> str:
        """Of the function that plants it."""
        return getattr(self.plant, "__name__", "bug")


NOT_IDEMPOTENT: Final = (("enable_idempotence", False),)


# --- the producer's decisions ------------------------------------------------------------------------------


def nothing(patch: Patch, proxy: FaultProxy) -> None:
    """No bug: the checker must stay silent."""


def acknowledges_what_the_broker_refused(patch: Patch, proxy: FaultProxy) -> None:
    """A batch damaged on its way is refused, and called delivered."""
    _put_rule(patch, CORRUPT_MESSAGE, lambda case: Verdict(action=Action.ACK, persisted=PERSISTED_YES))
    _on_requests(proxy, _damaged)


def calls_a_timeout_a_definite_failure(patch: Patch, proxy: FaultProxy) -> None:
    """REQUEST_TIMED_OUT after the append is taken for a refusal."""

    def fail(case: Any) -> Verdict:
        return Verdict(
            action=Action.FAIL, code=REQUEST_TIMED_OUT, persisted=PERSISTED_NO, identity=IdentityChange.BUMP
        )

    _put_rule(patch, REQUEST_TIMED_OUT, fail)
    proxy.on(_answering(REQUEST_TIMED_OUT), skip=SKIPPED)


def sends_a_batch_in_doubt_under_a_new_epoch(patch: Patch, proxy: FaultProxy) -> None:
    """The broker tells duplicates by producer id and epoch: a new one makes it append again (3.2)."""

    def restart(case: Any) -> Verdict:
        return delivery._send_again(case, IdentityChange.BUMP)

    _put_rule(patch, OUT_OF_ORDER_SEQUENCE_NUMBER, restart)
    proxy.on(_answering(REQUEST_TIMED_OUT), skip=SKIPPED)
    proxy.on(_answering(OUT_OF_ORDER_SEQUENCE_NUMBER))


def aborts_where_it_should_commit(patch: Patch, proxy: FaultProxy) -> None:
    """EndTxn carries the wrong flag."""
    _end_with(patch, lambda committed: False)


def commits_where_it_should_abort(patch: Patch, proxy: FaultProxy) -> None:
    """EndTxn carries the wrong flag."""
    _end_with(patch, lambda committed: True)


def skips_end_txn(patch: Patch, proxy: FaultProxy) -> None:
    """Every transaction is taken for one that the coordinator has never heard of."""
    ended = TransactionManager._end_if_nothing_begun

    def forget(self: TransactionManager) -> None:
        self._txn.has_begun = False
        ended(self)

    patch.setattr(TransactionManager, "_end_if_nothing_begun", forget)


def _put_rule(patch: Patch, code: int, rule: Callable[[Any], Verdict]) -> None:
    patch.setattr(delivery, "_SPECIAL", MappingProxyType({**delivery._SPECIAL, code: rule}))


def _end_with(patch: Patch, flag: Callable[[bool], bool]) -> None:

    def end_request(who: Any, *, committed: bool, is_v2: bool) -> Any:
        made = transaction_requests.end_request(who, committed=committed, is_v2=is_v2)
        return replace(made, request=replace(made.request, committed=flag(committed)))

    patch.setattr(transactions, "end_request", end_request)
    # The manager looks at the request for what it asked: the bug is in what goes out, not in what it believes.
    take = TransactionManager._take_end

    def believe(self: TransactionManager, request: Any, response: Any, found: Any, code: int) -> None:
        wanted = self.state is not State.ABORTING
        take(
            self, replace(request, request=replace(request.request, committed=wanted)), response, found, code
        )

    table = {**TransactionManager._TAKE, END_TXN.key: believe}
    patch.setattr(TransactionManager, "_TAKE", table)


# --- between the producer and the broker -------------------------------------------------------------------


def loses_answers_without_idempotence(patch: Patch, proxy: FaultProxy) -> None:
    """The batch is appended, sent again, and appended again."""
    proxy.on(Close(), skip=SKIPPED, times=2)


def retries_behind_later_batches_without_idempotence(patch: Patch, proxy: FaultProxy) -> None:
    """A refused batch is sent again while later ones are in flight."""
    _on_requests(proxy, _damaged)


def writes_to_the_wrong_partition(patch: Patch, proxy: FaultProxy) -> None:
    """The batch is sound, its address is not: the CRC does not cover it."""

    def misplaced(request: ProduceRequest) -> ProduceRequest:
        return _with_partitions(request, lambda part: replace(part, index=(part.index + 1) % 3))

    _on_requests(proxy, misplaced)
    # The answer names the wrong partition as well; a producer that misaddresses would not notice either.
    proxy.on(_changed(lambda part: replace(part, index=(part.index - 1) % 3)), skip=SKIPPED)


def sends_the_bytes_of_another_record(patch: Patch, proxy: FaultProxy) -> None:
    """A byte changes before the checksum is made."""

    def torn(request: ProduceRequest) -> ProduceRequest:
        return _with_partitions(request, lambda part: replace(part, records=_torn(part.records)))

    _on_requests(proxy, torn)


def _answering(code: int) -> Rewrite:
    """The answer to a Produce request, with another error code for every partition."""
    return _changed(lambda part: replace(part, error_code=code, base_offset=-1))


def _changed(change: Callable[[Any], Any]) -> Rewrite:
    """The answer to a Produce request, with every partition changed."""

    def rewrite(frame: bytes) -> bytes:
        correlation_id, answer = PRODUCE.decode_response(frame[4:], _newest_version)
        topics = tuple(
            replace(topic, partition_responses=tuple(map(change, topic.partition_responses)))
            for topic in answer.responses
        )
        changed = replace(answer, responses=topics)
        return PRODUCE.encode_response(changed, _newest_version, correlation_id=correlation_id)

    return Rewrite(rewrite)


_newest_version: Final = PRODUCE.versions.high


def _on_requests(proxy: FaultProxy, change: Callable[[ProduceRequest], ProduceRequest]) -> None:
    def rewrite(frame: bytes) -> bytes:
        reader = Reader(frame[4:])
        header = read_request_header(reader, lambda _, version: PRODUCE.request.is_flexible(version))
        request = change(PRODUCE.request.read(reader, header.api_version))
        return PRODUCE.encode_request(
            request,
            header.api_version,
            correlation_id=header.correlation_id,
            client_id=header.client_id,
        )

    proxy.on(Rewrite(rewrite), direction=Direction.REQUEST, skip=SKIPPED)


def _with_partitions(request: ProduceRequest, change: Callable[[Any], Any]) -> ProduceRequest:
    topics = tuple(
        replace(topic, partition_data=tuple(map(change, topic.partition_data)))
        for topic in request.topic_data
    )
    return replace(request, topic_data=topics)


def _damaged(request: ProduceRequest) -> ProduceRequest:
    def change(part: Any) -> Any:
        return replace(part, records=part.records[:-1] + bytes([part.records[-1] ^ 1]))

    return _with_partitions(request, change)


def _torn(records: bytes | None) -> bytes:
    assert records is not None
    # Before the header count of the last record stands the end of its value.
    changed = records[:-2] + bytes([records[-2] ^ 1]) + records[-1:]
    return changed[:_CRC_AT] + struct.pack(">I", crc32c(changed[_CRC_SINCE:])) + changed[_CRC_SINCE:]


# The offset of a call is that of its lowest record in the log, which is not its first where batches changed places.
_ORDERS: Final = frozenset({Fault.ORDER, Fault.ACK_ORDER, Fault.WRONG_OFFSET})

BUGS: Final = (
    Bug(nothing, frozenset()),
    Bug(nothing, frozenset(), is_transactional=True),
    Bug(acknowledges_what_the_broker_refused, frozenset({Fault.LOST})),
    Bug(calls_a_timeout_a_definite_failure, frozenset({Fault.FALSE_FAILURE})),
    Bug(sends_a_batch_in_doubt_under_a_new_epoch, frozenset({Fault.DUPLICATE})),
    Bug(loses_answers_without_idempotence, frozenset({Fault.DUPLICATE}), _ORDERS, NOT_IDEMPOTENT),
    Bug(
        retries_behind_later_batches_without_idempotence,
        frozenset({Fault.ORDER}),
        _ORDERS,
        NOT_IDEMPOTENT,
    ),
    Bug(
        writes_to_the_wrong_partition,
        frozenset({Fault.LOST, Fault.WRONG_PLACE}),
        frozenset({Fault.ACK_ORDER}),
        NOT_IDEMPOTENT,
    ),
    Bug(sends_the_bytes_of_another_record, frozenset({Fault.CORRUPT})),
    Bug(aborts_where_it_should_commit, frozenset({Fault.COMMITTED_INVISIBLE}), is_transactional=True),
    Bug(commits_where_it_should_abort, frozenset({Fault.ABORTED_VISIBLE}), is_transactional=True),
    Bug(skips_end_txn, frozenset({Fault.COMMITTED_INVISIBLE, Fault.STUCK}), is_transactional=True),
)
