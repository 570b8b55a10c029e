"""Scripted brokers that share a topic, a producer in front of them, and what ended up in the log."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeAlias

from kproducer import KafkaProducer
from kproducer.protocol.messages.produce import (
    PRODUCE,
    PartitionProduceResponse,
    ProduceRequest,
    ProduceResponse,
    TopicProduceResponse,
)
from tests.fakes.scripted_broker import (
    NEWEST,
    VERSION_TABLES,
    Close,
    Handler,
    Late,
    Received,
    ScriptedBroker,
    ScriptedCluster,
    VersionTable,
)
from tests.wire.decoder import DecodedBatch, decode_batch

TOPIC: Final = "faults"

# Short delays: the waits are tested where they matter, not everywhere.
QUICK: Final[dict[str, object]] = {
    "linger_ms": 0,
    "retry_backoff_ms": 20,
    "retry_backoff_max_ms": 50,
    "reconnect_backoff_ms": 20,
    "reconnect_backoff_max_ms": 50,
    "request_timeout_ms": 5_000,
    "delivery_timeout_ms": 20_000,
    "max_block_ms": 10_000,
}

SequenceStart: TypeAlias = tuple[int, int]


class Stage:
    """Brokers 1 to n of one cluster; partition p of the topic is led by broker p % n + 1."""

    def __init__(
        self, brokers: int = 1, partitions: int = 1, versions: VersionTable = VERSION_TABLES[NEWEST]
    ) -> None:
        self.cluster = ScriptedCluster()
        self.brokers = [
            ScriptedBroker(self.cluster, node_id=node_id, versions=versions)
            for node_id in range(1, brokers + 1)
        ]
        self.topic = self.cluster.create_topic(TOPIC, [p % brokers + 1 for p in range(partitions)])

    @property
    def bootstrap_servers(self) -> str:
        """Addresses of all brokers."""
        return ",".join(f"{broker.address.host}:{broker.address.port}" for broker in self.brokers)

    @contextlib.contextmanager
    def producer(self, **config: object) -> Iterator[KafkaProducer]:
        """A producer with short delays, closed at the end whatever happened."""
        settings: dict[str, Any] = {"bootstrap_servers": self.bootstrap_servers} | QUICK | config
        producer = KafkaProducer(**settings)
        try:
            yield producer
        finally:
            with contextlib.suppress(Exception):  # the test has said what it thinks of failures
                producer.close(5)

    def batches(self, partition: int = 0) -> list[DecodedBatch]:
        """The log of a partition, by batch."""
        return [decode_batch(data) for data in self.topic.batches[partition]]

    def values(self, partition: int = 0) -> list[bytes | None]:
        """The log of a partition, by value."""
        return [record.value for batch in self.batches(partition) for record in batch.records]


@contextlib.contextmanager
def stage(
    brokers: int = 1, partitions: int = 1, versions: VersionTable = VERSION_TABLES[NEWEST]
) -> Iterator[Stage]:
    """Run scripted brokers."""
    with contextlib.ExitStack() as stack:
        made = Stage(brokers, partitions, versions)
        for broker in made.brokers:
            stack.enter_context(broker)
        yield made


def answered(code: int, **fields: Any) -> Handler:
    """Answer every partition of a Produce request with this code, and append nothing."""

    def handler(request: Received) -> ProduceResponse:
        return _answer(
            request.body,
            lambda index: PartitionProduceResponse(index=index, error_code=code, base_offset=-1, **fields),
        )

    return handler


def appended_but_answered(broker: ScriptedBroker, code: int) -> Handler:
    """Append, then answer with an error, as a broker whose replicas are slow does."""
    append = broker.default(PRODUCE)

    def handler(request: Received) -> ProduceResponse:
        append(request)
        answer: ProduceResponse = answered(code)(request)
        return answer

    return handler


def lost_after_append(broker: ScriptedBroker) -> Handler:
    """Append, and close the connection instead of answering."""
    append = broker.default(PRODUCE)

    def handler(request: Received) -> Close:
        append(request)
        return Close()

    return handler


def late(handler: Handler, delay_ms: float) -> Handler:
    """Do what the handler does, and answer later."""
    return lambda request: Late(handler(request), delay_ms)


def without_partitions(broker: ScriptedBroker) -> Handler:
    """Append, and leave every partition out of the answer."""
    append = broker.default(PRODUCE)

    def handler(request: Received) -> ProduceResponse:
        append(request)
        return ProduceResponse()

    return handler


def sequences(requests: list[Received]) -> list[SequenceStart]:
    """(epoch, base sequence) of the first batch of each Produce request."""
    found = []
    for request in requests:
        records = request.body.topic_data[0].partition_data[0].records
        found.append(struct.unpack_from(">hi", records, 51))
    return found


def _answer(request: ProduceRequest, judge: Callable[[int], PartitionProduceResponse]) -> ProduceResponse:
    return ProduceResponse(
        responses=tuple(
            TopicProduceResponse(
                name=topic.name,
                topic_id=topic.topic_id,
                partition_responses=tuple(judge(part.index) for part in topic.partition_data),
            )
            for topic in request.topic_data
        )
    )
