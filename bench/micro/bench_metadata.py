"""Times what a metadata answer with 50,000 partitions costs the control thread; the app threads never wait for it."""

from __future__ import annotations

import math
from uuid import UUID

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from kproducer.client.backoff import ExponentialBackoff
from kproducer.client.metadata import ClusterView, MetadataPolicy
from kproducer.protocol.messages.metadata import (
    METADATA,
    MetadataResponse,
    MetadataResponseBroker,
    MetadataResponsePartition,
    MetadataResponseTopic,
)

VERSION = 12
TOPICS = 1000
PARTITIONS = 50
BROKERS = 3
ROUNDS = 5


def answer() -> MetadataResponse:
    """TOPICS topics of PARTITIONS partitions with three replicas."""
    partitions = tuple(
        MetadataResponsePartition(
            partition_index=n,
            leader_id=n % BROKERS,
            leader_epoch=7,
            replica_nodes=(0, 1, 2),
            isr_nodes=(0, 1, 2),
        )
        for n in range(PARTITIONS)
    )
    topics = tuple(
        MetadataResponseTopic(name=f"topic-{n:04d}", topic_id=UUID(int=n + 1), partitions=partitions)
        for n in range(TOPICS)
    )
    brokers = tuple(
        MetadataResponseBroker(node_id=n, host="127.0.0.1", port=9092 + n) for n in range(BROKERS)
    )
    return MetadataResponse(brokers=brokers, topics=topics)


@pytest.fixture(scope="module")
def body() -> bytes:
    """The answer as a broker writes it."""
    return METADATA.response.encode(answer(), VERSION)


def bench_parse(benchmark: BenchmarkFixture, body: bytes) -> None:
    """Bytes into messages."""
    told = benchmark.pedantic(METADATA.response.decode, args=(body, VERSION), rounds=ROUNDS, warmup_rounds=1)
    assert sum(len(topic.partitions) for topic in told.topics) == TOPICS * PARTITIONS


def bench_take(benchmark: BenchmarkFixture) -> None:
    """Messages into the view of the cluster, when all of it is new."""
    told = answer()

    def new_view() -> tuple[tuple[ClusterView, MetadataResponse, float], dict[str, object]]:
        backoff = ExponentialBackoff(initial_ms=100, max_ms=1000)
        policy = MetadataPolicy(
            max_age_ms=300_000,
            max_idle_ms=300_000,
            rebootstrap_trigger_ms=math.inf,
            max_block_ms=60_000,
            allows_auto_creation=True,
            backoff=backoff,
        )
        view = ClusterView(policy, jitter=lambda: 0.5, now=0)
        for topic in told.topics:
            view.want(topic.name or "", 1, 0)
        view.begin_request(0)
        return (view, told, 1.0), {}

    update = benchmark.pedantic(ClusterView.answered, setup=new_view, rounds=ROUNDS)
    assert len(update.changed) == TOPICS
