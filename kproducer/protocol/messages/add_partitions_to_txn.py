"""AddPartitionsToTxn (24), versions 0 to 3: partitions that a transaction is about to write to (KIP-98)."""

from dataclasses import dataclass
from typing import Annotated, Final

from kproducer.protocol.api import Api
from kproducer.protocol.schema import INT16, INT32, INT64, STRING, Array, Message, Struct, Versions, Wire


@dataclass(frozen=True, slots=True, kw_only=True)
class AddPartitionsToTxnTopic:
    """A topic and its partitions that are added."""

    name: Annotated[str, Wire(STRING, "0+")] = ""
    partitions: Annotated[tuple[int, ...], Wire(Array(INT32), "0+")] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AddPartitionsToTxnRequest:
    """Adds partitions to the transaction that is open, or begins one with them."""

    v3_and_below_transactional_id: Annotated[str, Wire(STRING, "0-3")] = ""
    v3_and_below_producer_id: Annotated[int, Wire(INT64, "0-3")] = 0
    v3_and_below_producer_epoch: Annotated[int, Wire(INT16, "0-3")] = 0
    v3_and_below_topics: Annotated[
        tuple[AddPartitionsToTxnTopic, ...], Wire(Array(Struct(AddPartitionsToTxnTopic)), "0-3")
    ] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AddPartitionsToTxnPartitionResult:
    """What became of a partition."""

    partition_index: Annotated[int, Wire(INT32, "0+")] = 0
    partition_error_code: Annotated[int, Wire(INT16, "0+")] = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class AddPartitionsToTxnTopicResult:
    """What became of the partitions of a topic."""

    name: Annotated[str, Wire(STRING, "0+")] = ""
    results_by_partition: Annotated[
        tuple[AddPartitionsToTxnPartitionResult, ...],
        Wire(Array(Struct(AddPartitionsToTxnPartitionResult)), "0+"),
    ] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AddPartitionsToTxnResponse:
    """What became of each partition: all are added, or none."""

    throttle_time_ms: Annotated[int, Wire(INT32, "0+", ignorable=True)] = 0
    results_by_topic_v3_and_below: Annotated[
        tuple[AddPartitionsToTxnTopicResult, ...], Wire(Array(Struct(AddPartitionsToTxnTopicResult)), "0-3")
    ] = ()


# Brokers advertise 4 and 5, but those are from broker to broker only (KIP-890). Transaction protocol 2 does
# without this API: the first Produce adds the partition.
ADD_PARTITIONS_TO_TXN: Final = Api(
    key=24,
    name="AddPartitionsToTxn",
    request=Message(AddPartitionsToTxnRequest, Versions(0, 3), flexible_from=3),
    response=Message(AddPartitionsToTxnResponse, Versions(0, 3), flexible_from=3),
)


def partition_results(response: AddPartitionsToTxnResponse) -> list[tuple[str, int, int]]:
    """Return (topic, partition, error code) of each partition in an answer."""
    return [
        (topic.name, partition.partition_index, partition.partition_error_code)
        for topic in response.results_by_topic_v3_and_below
        for partition in topic.results_by_partition
    ]
