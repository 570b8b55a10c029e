"""DescribeQuorum (55), version 1: the controllers' log, and with it what time it is there (KIP-595, KIP-836)."""

from dataclasses import dataclass
from typing import Annotated, Final

from kproducer.protocol.api import Api
from kproducer.protocol.schema import INT16, INT32, INT64, STRING, Array, Message, Struct, Versions, Wire

METADATA_LOG: Final = "__cluster_metadata"


@dataclass(frozen=True, slots=True, kw_only=True)
class QuorumPartitionData:
    """A partition that is asked for."""

    partition_index: Annotated[int, Wire(INT32, "0+")] = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class QuorumTopicData:
    """A topic that is asked for."""

    topic_name: Annotated[str, Wire(STRING, "0+")] = ""
    partitions: Annotated[
        tuple[QuorumPartitionData, ...], Wire(Array(Struct(QuorumPartitionData)), "0+")
    ] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DescribeQuorumRequest:
    """Asks for logs that are kept by Raft; there is one, the cluster's metadata."""

    topics: Annotated[tuple[QuorumTopicData, ...], Wire(Array(Struct(QuorumTopicData)), "0+")] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaState:
    """How far a replica is, in the leader's time; the leader itself is caught up with the present."""

    replica_id: Annotated[int, Wire(INT32, "0+")] = 0
    log_end_offset: Annotated[int, Wire(INT64, "0+")] = 0
    last_fetch_timestamp: Annotated[int, Wire(INT64, "1+", ignorable=True)] = -1
    last_caught_up_timestamp: Annotated[int, Wire(INT64, "1+", ignorable=True)] = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class QuorumPartitionState:
    """The replicas of a partition, or why they cannot be told."""

    partition_index: Annotated[int, Wire(INT32, "0+")] = 0
    error_code: Annotated[int, Wire(INT16, "0+")] = 0
    leader_id: Annotated[int, Wire(INT32, "0+")] = 0
    leader_epoch: Annotated[int, Wire(INT32, "0+")] = 0
    high_watermark: Annotated[int, Wire(INT64, "0+")] = 0
    current_voters: Annotated[tuple[ReplicaState, ...], Wire(Array(Struct(ReplicaState)), "0+")] = ()
    observers: Annotated[tuple[ReplicaState, ...], Wire(Array(Struct(ReplicaState)), "0+")] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class QuorumTopicState:
    """The partitions of a topic."""

    topic_name: Annotated[str, Wire(STRING, "0+")] = ""
    partitions: Annotated[
        tuple[QuorumPartitionState, ...], Wire(Array(Struct(QuorumPartitionState)), "0+")
    ] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DescribeQuorumResponse:
    """The state of each log."""

    error_code: Annotated[int, Wire(INT16, "0+")] = 0
    topics: Annotated[tuple[QuorumTopicState, ...], Wire(Array(Struct(QuorumTopicState)), "0+")] = ()


# Version 0 has no times, and version 2 tells the controllers' addresses, which are none of ours.
DESCRIBE_QUORUM: Final = Api(
    key=55,
    name="DescribeQuorum",
    request=Message(DescribeQuorumRequest, Versions(1, 1), flexible_from=0),
    response=Message(DescribeQuorumResponse, Versions(1, 1), flexible_from=0),
)


def quorum_request() -> DescribeQuorumRequest:
    """Return the request for the cluster's metadata log."""
    return DescribeQuorumRequest(
        topics=(QuorumTopicData(topic_name=METADATA_LOG, partitions=(QuorumPartitionData(),)),)
    )


def controller_time_ms(response: DescribeQuorumResponse) -> int | None:
    """Return what the active controller's clock said when it answered; None if the answer does not tell."""
    for topic in response.topics:
        for partition in topic.partitions:
            for replica in partition.current_voters:
                if replica.replica_id == partition.leader_id and replica.last_caught_up_timestamp >= 0:
                    return replica.last_caught_up_timestamp
    return None
