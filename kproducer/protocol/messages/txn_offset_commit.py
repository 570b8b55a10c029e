"""TxnOffsetCommit (28), versions 0 to 5: a group's offsets as part of a transaction (KIP-98, KIP-447).

It goes to the coordinator of the group; the other requests of a transaction go to that of the transactional id.
"""

from dataclasses import dataclass
from typing import Annotated, Final

from kproducer.protocol.api import Api
from kproducer.protocol.schema import INT16, INT32, INT64, STRING, Array, Message, Struct, Versions, Wire

# Version 5 adds the group to the transaction too, which only transaction protocol 2 knows (KIP-890).
TXN_OFFSET_COMMIT_TV1_CAP: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class TxnOffsetCommitRequestPartition:
    """The offset of a partition; leader epoch -1 if unknown."""

    partition_index: Annotated[int, Wire(INT32, "0+")] = 0
    committed_offset: Annotated[int, Wire(INT64, "0+")] = 0
    committed_leader_epoch: Annotated[int, Wire(INT32, "2+", ignorable=True)] = -1
    committed_metadata: Annotated[str | None, Wire(STRING, "0+", nullable="0+")] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TxnOffsetCommitRequestTopic:
    """The offsets of a topic."""

    name: Annotated[str, Wire(STRING, "0+")] = ""
    partitions: Annotated[
        tuple[TxnOffsetCommitRequestPartition, ...],
        Wire(Array(Struct(TxnOffsetCommitRequestPartition)), "0+"),
    ] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TxnOffsetCommitRequest:
    """Commits offsets if the transaction commits."""

    transactional_id: Annotated[str, Wire(STRING, "0+")] = ""
    group_id: Annotated[str, Wire(STRING, "0+")] = ""
    producer_id: Annotated[int, Wire(INT64, "0+")] = 0
    producer_epoch: Annotated[int, Wire(INT16, "0+")] = 0
    # Not ignorable: an older broker would not fence a member that the group has lost (KIP-447).
    generation_id: Annotated[int, Wire(INT32, "3+")] = -1
    member_id: Annotated[str, Wire(STRING, "3+")] = ""
    group_instance_id: Annotated[str | None, Wire(STRING, "3+", nullable="3+")] = None
    topics: Annotated[
        tuple[TxnOffsetCommitRequestTopic, ...], Wire(Array(Struct(TxnOffsetCommitRequestTopic)), "0+")
    ] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TxnOffsetCommitResponsePartition:
    """What became of an offset."""

    partition_index: Annotated[int, Wire(INT32, "0+")] = 0
    error_code: Annotated[int, Wire(INT16, "0+")] = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TxnOffsetCommitResponseTopic:
    """What became of the offsets of a topic."""

    name: Annotated[str, Wire(STRING, "0+")] = ""
    partitions: Annotated[
        tuple[TxnOffsetCommitResponsePartition, ...],
        Wire(Array(Struct(TxnOffsetCommitResponsePartition)), "0+"),
    ] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TxnOffsetCommitResponse:
    """What became of each offset."""

    throttle_time_ms: Annotated[int, Wire(INT32, "0+", ignorable=True)] = 0
    topics: Annotated[
        tuple[TxnOffsetCommitResponseTopic, ...], Wire(Array(Struct(TxnOffsetCommitResponseTopic)), "0+")
    ] = ()


TXN_OFFSET_COMMIT: Final = Api(
    key=28,
    name="TxnOffsetCommit",
    request=Message(TxnOffsetCommitRequest, Versions(0, 5), flexible_from=3),
    response=Message(TxnOffsetCommitResponse, Versions(0, 5), flexible_from=3),
)
