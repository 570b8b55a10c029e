"""What brokers answer to the requests of a transaction while a test says nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from kproducer.protocol.messages.add_offsets_to_txn import ADD_OFFSETS_TO_TXN, AddOffsetsToTxnResponse
from kproducer.protocol.messages.add_partitions_to_txn import (
    ADD_PARTITIONS_TO_TXN,
    AddPartitionsToTxnPartitionResult,
    AddPartitionsToTxnRequest,
    AddPartitionsToTxnResponse,
    AddPartitionsToTxnTopicResult,
)
from kproducer.protocol.messages.end_txn import END_TXN, EndTxnRequest, EndTxnResponse
from kproducer.protocol.messages.txn_offset_commit import (
    TXN_OFFSET_COMMIT,
    TxnOffsetCommitRequest,
    TxnOffsetCommitResponse,
    TxnOffsetCommitResponsePartition,
    TxnOffsetCommitResponseTopic,
)


def all_added(request: AddPartitionsToTxnRequest, code: int = 0) -> AddPartitionsToTxnResponse:
    """Answer each partition with this code."""
    return AddPartitionsToTxnResponse(
        results_by_topic_v3_and_below=tuple(
            AddPartitionsToTxnTopicResult(
                name=topic.name,
                results_by_partition=tuple(
                    AddPartitionsToTxnPartitionResult(partition_index=index, partition_error_code=code)
                    for index in topic.partitions
                ),
            )
            for topic in request.v3_and_below_topics
        )
    )


def all_committed(request: TxnOffsetCommitRequest) -> TxnOffsetCommitResponse:
    """Take each offset."""
    return TxnOffsetCommitResponse(
        topics=tuple(
            TxnOffsetCommitResponseTopic(
                name=topic.name,
                partitions=tuple(
                    TxnOffsetCommitResponsePartition(partition_index=part.partition_index)
                    for part in topic.partitions
                ),
            )
            for topic in request.topics
        )
    )


def ended(request: EndTxnRequest, version: int) -> EndTxnResponse:
    """End the transaction; version 5 raises the epoch."""
    if version < 5:
        return EndTxnResponse()
    return EndTxnResponse(producer_id=request.producer_id, producer_epoch=request.producer_epoch + 1)


REPLIES: Final[Mapping[str, Callable[[Any, int], Any]]] = {
    ADD_PARTITIONS_TO_TXN.name: lambda request, version: all_added(request),
    ADD_OFFSETS_TO_TXN.name: lambda request, version: AddOffsetsToTxnResponse(),
    TXN_OFFSET_COMMIT.name: lambda request, version: all_committed(request),
    END_TXN.name: ended,
}
