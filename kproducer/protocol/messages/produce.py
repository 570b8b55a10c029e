"""Produce (0), versions 3 to 13: record batches to partition leaders.

The steady path encodes Produce in C; this schema is what that encoder is compared with, and what answers
it outside the steady path.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Final
from uuid import UUID

from kproducer.protocol.api import Api
from kproducer.protocol.primitives import ZERO_UUID
from kproducer.protocol.schema import (
    BYTES,
    INT16,
    INT32,
    INT64,
    STRING,
    UUID16,
    Array,
    Message,
    Struct,
    Versions,
    Wire,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionProduceData:
    """The one record batch for a partition."""

    index: Annotated[int, Wire(INT32, "0+")] = 0
    records: Annotated[bytes | None, Wire(BYTES, "0+", nullable="0+")] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicProduceData:
    """The partitions of a topic, named up to version 12, by id from 13."""

    name: Annotated[str, Wire(STRING, "0-12", ignorable=True)] = ""
    topic_id: Annotated[UUID, Wire(UUID16, "13+", ignorable=True)] = ZERO_UUID
    partition_data: Annotated[
        tuple[PartitionProduceData, ...], Wire(Array(Struct(PartitionProduceData)), "0+")
    ] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ProduceRequest:
    """Record batches for partitions that the broker leads."""

    transactional_id: Annotated[str | None, Wire(STRING, "3+", nullable="3+")] = None
    acks: Annotated[int, Wire(INT16, "0+")] = 0
    timeout_ms: Annotated[int, Wire(INT32, "0+")] = 0
    topic_data: Annotated[tuple[TopicProduceData, ...], Wire(Array(Struct(TopicProduceData)), "0+")] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchIndexAndErrorMessage:
    """A record that made the broker refuse its batch (KIP-467)."""

    batch_index: Annotated[int, Wire(INT32, "8+")] = 0
    batch_index_error_message: Annotated[str | None, Wire(STRING, "8+", nullable="8+")] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaderIdAndEpoch:
    """Who leads now (KIP-951); -1 if the broker does not say."""

    leader_id: Annotated[int, Wire(INT32, "10+")] = -1
    leader_epoch: Annotated[int, Wire(INT32, "10+")] = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionProduceResponse:
    """What became of a batch."""

    index: Annotated[int, Wire(INT32, "0+")] = 0
    error_code: Annotated[int, Wire(INT16, "0+")] = 0
    base_offset: Annotated[int, Wire(INT64, "0+")] = 0
    log_append_time_ms: Annotated[int, Wire(INT64, "2+", ignorable=True)] = -1
    log_start_offset: Annotated[int, Wire(INT64, "5+", ignorable=True)] = -1
    record_errors: Annotated[
        tuple[BatchIndexAndErrorMessage, ...],
        Wire(Array(Struct(BatchIndexAndErrorMessage)), "8+", ignorable=True),
    ] = ()
    error_message: Annotated[str | None, Wire(STRING, "8+", nullable="8+", ignorable=True)] = None
    current_leader: Annotated[
        LeaderIdAndEpoch, Wire(Struct(LeaderIdAndEpoch), "10+", tag=0, ignorable=True)
    ] = LeaderIdAndEpoch()


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicProduceResponse:
    """The partitions of a topic, named up to version 12, by id from 13."""

    name: Annotated[str, Wire(STRING, "0-12", ignorable=True)] = ""
    topic_id: Annotated[UUID, Wire(UUID16, "13+", ignorable=True)] = ZERO_UUID
    partition_responses: Annotated[
        tuple[PartitionProduceResponse, ...], Wire(Array(Struct(PartitionProduceResponse)), "0+")
    ] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeEndpoint:
    """The address of a leader that was named (KIP-951)."""

    node_id: Annotated[int, Wire(INT32, "10+")] = 0
    host: Annotated[str, Wire(STRING, "10+")] = ""
    port: Annotated[int, Wire(INT32, "10+")] = 0
    rack: Annotated[str | None, Wire(STRING, "10+", nullable="10+")] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProduceResponse:
    """What became of each batch of a request."""

    responses: Annotated[
        tuple[TopicProduceResponse, ...], Wire(Array(Struct(TopicProduceResponse)), "0+")
    ] = ()
    throttle_time_ms: Annotated[int, Wire(INT32, "1+", ignorable=True)] = 0
    node_endpoints: Annotated[
        tuple[NodeEndpoint, ...], Wire(Array(Struct(NodeEndpoint)), "10+", tag=0, ignorable=True)
    ] = ()


PRODUCE: Final = Api(
    key=0,
    name="Produce",
    request=Message(ProduceRequest, Versions(3, 13), flexible_from=9),
    response=Message(ProduceResponse, Versions(3, 13), flexible_from=9),
)


@dataclass(frozen=True, slots=True)
class EncodedBatch:
    """A record batch as bytes, and where it goes."""

    topic: str
    topic_id: UUID
    partition: int
    records: bytes


def produce_request(
    batches: Iterable[EncodedBatch], *, acks: int, timeout_ms: int, transactional_id: str | None = None
) -> ProduceRequest:
    """Group batches by topic, in the order of first sight, into a request.

    Args:
        batches: at most one for each partition.
        acks: -1 for all, 1 for the leader, 0 for no answer.
        timeout_ms: how long the broker may wait for the replicas.
        transactional_id: default None.

    Raises:
        ValueError: two batches go to the same partition.
    """
    by_topic: dict[tuple[str, UUID], dict[int, PartitionProduceData]] = {}
    for batch in batches:
        partitions = by_topic.setdefault((batch.topic, batch.topic_id), {})
        if batch.partition in partitions:
            raise ValueError(f"two batches for {batch.topic}-{batch.partition} in one request")
        partitions[batch.partition] = PartitionProduceData(index=batch.partition, records=batch.records)
    return ProduceRequest(
        transactional_id=transactional_id,
        acks=acks,
        timeout_ms=timeout_ms,
        topic_data=tuple(
            TopicProduceData(name=topic, topic_id=topic_id, partition_data=tuple(partitions.values()))
            for (topic, topic_id), partitions in by_topic.items()
        ),
    )
