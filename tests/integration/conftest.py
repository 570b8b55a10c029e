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
