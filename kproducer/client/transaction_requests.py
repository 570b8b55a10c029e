"""The requests of a transaction: which API, what it says, whose coordinator it goes to. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from kproducer.protocol.api import Api
from kproducer.protocol.messages.add_offsets_to_txn import ADD_OFFSETS_TO_TXN, AddOffsetsToTxnRequest
from kproducer.protocol.messages.add_partitions_to_txn import (
    ADD_PARTITIONS_TO_TXN,
    AddPartitionsToTxnRequest,
    AddPartitionsToTxnTopic,
)
from kproducer.protocol.messages.end_txn import END_TXN, END_TXN_TV1_CAP, EndTxnRequest
from kproducer.protocol.messages.init_producer_id import INIT_PRODUCER_ID, InitProducerIdRequest
from kproducer.protocol.messages.txn_offset_commit import (
    TXN_OFFSET_COMMIT,
    TXN_OFFSET_COMMIT_TV1_CAP,
    TxnOffsetCommitRequest,
    TxnOffsetCommitRequestPartition,
    TxnOffsetCommitRequestTopic,
)
from kproducer.types import ConsumerGroupMetadata, OffsetAndMetadata, TopicPartition


@dataclass(frozen=True, slots=True)
class TransactionRequest:
    """A request that is due.

    group: whose coordinator it goes to; None for that of the transactional id.
    version_cap: highest version that may be used, None for any.
    """

    api: Api[Any, Any]
    request: Any
    group: str | None = None
    version_cap: int | None = None


@dataclass(frozen=True, slots=True)
class Identity:
    """Who asks: the transactional id, and its producer id and epoch (-1 before the first)."""

    transactional_id: str
    producer_id: int = -1
    epoch: int = -1


def init_request(who: Identity, timeout_ms: int) -> TransactionRequest:
    """Ask for a producer id, or for the next epoch of the one that we have (KIP-360)."""
    return TransactionRequest(
        INIT_PRODUCER_ID,
        InitProducerIdRequest(
            transactional_id=who.transactional_id,
            transaction_timeout_ms=timeout_ms,
            producer_id=who.producer_id,
            producer_epoch=who.epoch,
        ),
    )


def add_partitions_request(who: Identity, partitions: Iterable[TopicPartition]) -> TransactionRequest:
    """Add partitions to the transaction (protocol 1)."""
    by_topic: dict[str, list[int]] = {}
    for topic, partition in partitions:
        by_topic.setdefault(topic, []).append(partition)
    return TransactionRequest(
        ADD_PARTITIONS_TO_TXN,
        AddPartitionsToTxnRequest(
            v3_and_below_transactional_id=who.transactional_id,
            v3_and_below_producer_id=who.producer_id,
            v3_and_below_producer_epoch=who.epoch,
            v3_and_below_topics=tuple(
                AddPartitionsToTxnTopic(name=topic, partitions=tuple(numbers))
                for topic, numbers in by_topic.items()
            ),
        ),
    )


def add_offsets_request(who: Identity, group_id: str) -> TransactionRequest:
    """Add a group to the transaction (protocol 1)."""
    return TransactionRequest(
        ADD_OFFSETS_TO_TXN,
        AddOffsetsToTxnRequest(
            transactional_id=who.transactional_id,
            producer_id=who.producer_id,
            producer_epoch=who.epoch,
            group_id=group_id,
        ),
    )


def commit_offsets_request(
    who: Identity,
    group: ConsumerGroupMetadata,
    offsets: Mapping[TopicPartition, OffsetAndMetadata],
    *,
    is_v2: bool,
) -> TransactionRequest:
    """Commit a group's offsets with the transaction; under protocol 2 this adds the group as well."""
    return TransactionRequest(
        TXN_OFFSET_COMMIT,
        TxnOffsetCommitRequest(
            transactional_id=who.transactional_id,
            group_id=group.group_id,
            producer_id=who.producer_id,
            producer_epoch=who.epoch,
            generation_id=group.generation_id,
            member_id=group.member_id,
            group_instance_id=group.group_instance_id,
            topics=_topics_of(offsets),
        ),
        group=group.group_id,
        version_cap=None if is_v2 else TXN_OFFSET_COMMIT_TV1_CAP,
    )


def end_request(who: Identity, *, committed: bool, is_v2: bool) -> TransactionRequest:
    """Commit or abort."""
    return TransactionRequest(
        END_TXN,
        EndTxnRequest(
            transactional_id=who.transactional_id,
            producer_id=who.producer_id,
            producer_epoch=who.epoch,
            committed=committed,
        ),
        version_cap=None if is_v2 else END_TXN_TV1_CAP,
    )


def _topics_of(
    offsets: Mapping[TopicPartition, OffsetAndMetadata],
) -> tuple[TxnOffsetCommitRequestTopic, ...]:
    by_topic: dict[str, list[TxnOffsetCommitRequestPartition]] = {}
    for (topic, partition), position in offsets.items():
        by_topic.setdefault(topic, []).append(
            TxnOffsetCommitRequestPartition(
                partition_index=partition,
                committed_offset=position.offset,
                committed_leader_epoch=position.leader_epoch,
                committed_metadata=position.metadata,
            )
        )
    return tuple(
        TxnOffsetCommitRequestTopic(name=topic, partitions=tuple(partitions))
        for topic, partitions in by_topic.items()
    )
