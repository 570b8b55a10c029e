"""Scripted brokers that share a topic, a producer in front of them, and what ended up in the log."""

from __future__ import annotations

import contextlib
import functools
import itertools
import struct
import time
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeAlias

from kproducer import KafkaProducer
from kproducer.errors import KafkaError
from kproducer.protocol.api import Api
from kproducer.protocol.messages.metadata import METADATA, MetadataResponse
from kproducer.protocol.messages.produce import (
    PRODUCE,
    PartitionProduceResponse,
    ProduceRequest,
    ProduceResponse,
    TopicProduceResponse,
)
from kproducer.testing import FaultProxy
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

    def logs(self) -> list[list[tuple[int, bytes]]]:
        """(offset, value) of each partition, as `Workload.judge` takes them."""
        count = len(self.topic.leaders)
        return [
            list(enumerate(value or b"" for value in self.values(partition))) for partition in range(count)
        ]

    def epochs_and_gaps(self, partition: int = 0) -> tuple[set[int], int]:
        """The producer epochs in the log of a partition, and how many batches do not follow their neighbour."""
        batches = self.batches(partition)
        gaps = sum(
            after.base_sequence != before.base_sequence + before.record_count
            for before, after in itertools.pairwise(batches)
            if after.producer_epoch == before.producer_epoch
        )
        return {batch.producer_epoch for batch in batches}, gaps

    def received(self, api: Api[Any, Any]) -> int:
        """How many requests of an API came to all brokers together."""
        return sum(len(broker.received(api)) for broker in self.brokers)

    def wait_for_metadata(self, rounds: int, timeout_s: float = 5.0) -> None:
        """Wait until metadata was asked for so many times more."""
        target, deadline = self.received(METADATA) + rounds, time.monotonic() + timeout_s
        while self.received(METADATA) < target:
            assert time.monotonic() < deadline, "metadata was not asked for again"
            time.sleep(0.01)

    def on_metadata(self, change: Callable[[MetadataResponse], MetadataResponse]) -> Callable[[], None]:
        """Let every broker change what it says of the cluster; returns what ends that."""
        truths = [broker.default(METADATA) for broker in self.brokers]
        for broker, truth in zip(self.brokers, truths, strict=True):
            broker.on(METADATA, functools.partial(_changed, truth, change))

        def tell_the_truth() -> None:
            for broker, truth in zip(self.brokers, truths, strict=True):
                broker.on(METADATA, truth)

        return tell_the_truth


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


def _changed(
    truth: Handler, change: Callable[[MetadataResponse], MetadataResponse], request: Received
) -> MetadataResponse:
    return change(truth(request))


@contextlib.contextmanager
def behind_proxy(on: Stage, **config: object) -> Iterator[tuple[FaultProxy, KafkaProducer]]:
    """A producer that reaches the brokers through a fault proxy."""
    with (
        FaultProxy(on.bootstrap_servers.split(",")) as proxy,
        on.producer(**({"bootstrap_servers": proxy.bootstrap_servers} | config)) as producer,
    ):
        yield proxy, producer


def facts_of(error: KafkaError) -> dict[str, object]:
    """What an error tells of its record, but for the time, which is only checked to be there."""
    assert error.elapsed_ms is not None
    assert error.elapsed_ms >= 0
    return {
        "broker": error.broker,
        "place": (error.topic, error.partition),
        "attempts": error.attempts,
        "persisted": error.persisted,
    }


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
