"""Real Kafka clusters, started when the first test asks, shared by all tests, stopped at the end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kproducer.testing import KafkaCluster
from tests.clusters import running_cluster


@pytest.fixture(scope="session")
def kafka() -> Iterator[KafkaCluster]:
    """One broker of the newest Kafka."""
    yield from running_cluster(1)


@pytest.fixture(scope="session")
def kafka3() -> Iterator[KafkaCluster]:
    """Three brokers of the newest Kafka; a test that harms a node leaves it running again."""
    yield from running_cluster(3)


@pytest.fixture(scope="session")
def kafka_v1() -> Iterator[KafkaCluster]:
    """One broker of the newest Kafka whose cluster stays at transaction protocol 1."""
    yield from running_cluster(1, features={"transaction.version": 1})


@pytest.fixture(scope="session")
def kafka39() -> Iterator[KafkaCluster]:
    """One broker of the last Kafka that knows transaction protocol 1 only."""
    yield from running_cluster(1, "3.9.2")


@pytest.fixture(params=["kafka", "kafka_v1", pytest.param("kafka39", marks=pytest.mark.broker39)])
def coordinator(request: pytest.FixtureRequest) -> KafkaCluster:
    """One broker of each transaction protocol."""
    found: KafkaCluster = request.getfixturevalue(request.param)
    return found
