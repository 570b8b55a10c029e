"""DescribeCluster (60), versions 0 to 2: the brokers, from version 2 also those that are fenced (KIP-700, KIP-1073)."""

from dataclasses import dataclass
from typing import Annotated, Final

from kproducer.protocol.api import Api
from kproducer.protocol.schema import (
    BOOLEAN,
    INT8,
    INT16,
    INT32,
    STRING,
    Array,
    Message,
    Struct,
    Versions,
    Wire,
)

_BROKERS: Final = 1
# Kafka's "not asked for" in a bit field of authorized operations (KIP-430).
_NO_OPERATIONS: Final = -(1 << 31)


@dataclass(frozen=True, slots=True, kw_only=True)
class DescribeClusterRequest:
    """Asks for the brokers; one that is fenced is registered, but not alive or not caught up."""

    include_cluster_authorized_operations: Annotated[bool, Wire(BOOLEAN, "0+")] = False
    endpoint_type: Annotated[int, Wire(INT8, "1+")] = _BROKERS
    include_fenced_brokers: Annotated[bool, Wire(BOOLEAN, "2+")] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DescribeClusterBroker:
    """A broker and its address for our listener."""

    broker_id: Annotated[int, Wire(INT32, "0+")] = 0
    host: Annotated[str, Wire(STRING, "0+")] = ""
    port: Annotated[int, Wire(INT32, "0+")] = 0
    rack: Annotated[str | None, Wire(STRING, "0+", nullable="0+")] = None
    is_fenced: Annotated[bool, Wire(BOOLEAN, "2+")] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DescribeClusterResponse:
    """The cluster as the broker sees it."""

    throttle_time_ms: Annotated[int, Wire(INT32, "0+")] = 0
    error_code: Annotated[int, Wire(INT16, "0+")] = 0
    error_message: Annotated[str | None, Wire(STRING, "0+", nullable="0+")] = None
    endpoint_type: Annotated[int, Wire(INT8, "1+")] = _BROKERS
    cluster_id: Annotated[str, Wire(STRING, "0+")] = ""
    controller_id: Annotated[int, Wire(INT32, "0+")] = -1
    brokers: Annotated[
        tuple[DescribeClusterBroker, ...], Wire(Array(Struct(DescribeClusterBroker)), "0+")
    ] = ()
    cluster_authorized_operations: Annotated[int, Wire(INT32, "0+")] = _NO_OPERATIONS


DESCRIBE_CLUSTER: Final = Api(
    key=60,
    name="DescribeCluster",
    request=Message(DescribeClusterRequest, Versions(0, 2), flexible_from=0),
    response=Message(DescribeClusterResponse, Versions(0, 2), flexible_from=0),
)
