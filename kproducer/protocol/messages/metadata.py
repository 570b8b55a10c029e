"""Metadata (3), versions 4 to 13: brokers, topics, and who leads which partition."""

from dataclasses import dataclass
from typing import Annotated, Final
from uuid import UUID

from kproducer.protocol.api import Api
from kproducer.protocol.primitives import ZERO_UUID
from kproducer.protocol.schema import (
    BOOLEAN,
    INT16,
    INT32,
    STRING,
    UUID16,
    Array,
    Message,
    Struct,
    Versions,
    Wire,
)

# Kafka's "not asked for" in a bit field of authorized operations (KIP-430).
_NO_OPERATIONS: Final = -(1 << 31)


@dataclass(frozen=True, slots=True, kw_only=True)
class MetadataRequestTopic:
    """A topic that is asked for."""

    # Versions 10 and 11 want the name and a zero id: brokers did not implement the lookup by id.
    topic_id: Annotated[UUID, Wire(UUID16, "10+", ignorable=True)] = ZERO_UUID
    name: Annotated[str | None, Wire(STRING, "0+", nullable="10+")] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetadataRequest:
    """Asks for brokers and topics; topics None means all, () none."""

    topics: Annotated[
        tuple[MetadataRequestTopic, ...] | None,
        Wire(Array(Struct(MetadataRequestTopic)), "0+", nullable="1+"),
    ] = ()
    allow_auto_topic_creation: Annotated[bool, Wire(BOOLEAN, "4+")] = True
    include_cluster_authorized_operations: Annotated[bool, Wire(BOOLEAN, "8-10")] = False
    include_topic_authorized_operations: Annotated[bool, Wire(BOOLEAN, "8+")] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MetadataResponseBroker:
    """A broker and its address for our listener."""

    node_id: Annotated[int, Wire(INT32, "0+")] = 0
    host: Annotated[str, Wire(STRING, "0+")] = ""
    port: Annotated[int, Wire(INT32, "0+")] = 0
    rack: Annotated[str | None, Wire(STRING, "1+", nullable="1+", ignorable=True)] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MetadataResponsePartition:
    """A partition and its leader, -1 if it has none."""

    error_code: Annotated[int, Wire(INT16, "0+")] = 0
    partition_index: Annotated[int, Wire(INT32, "0+")] = 0
    leader_id: Annotated[int, Wire(INT32, "0+")] = 0
    leader_epoch: Annotated[int, Wire(INT32, "7+", ignorable=True)] = -1
    replica_nodes: Annotated[tuple[int, ...], Wire(Array(INT32), "0+")] = ()
    isr_nodes: Annotated[tuple[int, ...], Wire(Array(INT32), "0+")] = ()
    offline_replicas: Annotated[tuple[int, ...], Wire(Array(INT32), "5+", ignorable=True)] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class MetadataResponseTopic:
    """A topic, or why it is not there."""

    error_code: Annotated[int, Wire(INT16, "0+")] = 0
    name: Annotated[str | None, Wire(STRING, "0+", nullable="12+")] = ""
    topic_id: Annotated[UUID, Wire(UUID16, "10+", ignorable=True)] = ZERO_UUID
    is_internal: Annotated[bool, Wire(BOOLEAN, "1+", ignorable=True)] = False
    partitions: Annotated[
        tuple[MetadataResponsePartition, ...], Wire(Array(Struct(MetadataResponsePartition)), "0+")
    ] = ()
    topic_authorized_operations: Annotated[int, Wire(INT32, "8+")] = _NO_OPERATIONS


@dataclass(frozen=True, slots=True, kw_only=True)
class MetadataResponse:
    """The cluster as the broker sees it."""

    throttle_time_ms: Annotated[int, Wire(INT32, "3+", ignorable=True)] = 0
    brokers: Annotated[
        tuple[MetadataResponseBroker, ...], Wire(Array(Struct(MetadataResponseBroker)), "0+")
    ] = ()
    cluster_id: Annotated[str | None, Wire(STRING, "2+", nullable="2+", ignorable=True)] = None
    controller_id: Annotated[int, Wire(INT32, "1+", ignorable=True)] = -1
    topics: Annotated[
        tuple[MetadataResponseTopic, ...], Wire(Array(Struct(MetadataResponseTopic)), "0+")
    ] = ()
    cluster_authorized_operations: Annotated[int, Wire(INT32, "8-10")] = _NO_OPERATIONS
    error_code: Annotated[int, Wire(INT16, "13+", ignorable=True)] = 0


METADATA: Final = Api(
    key=3,
    name="Metadata",
    request=Message(MetadataRequest, Versions(4, 13), flexible_from=9),
    response=Message(MetadataResponse, Versions(4, 13), flexible_from=9),
)
