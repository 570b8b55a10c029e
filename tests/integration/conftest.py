"""Real Kafka clusters, started when the first test asks, shared by all tests, stopped at the end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kproducer.testing import KafkaCluster, MissingExtraError


def _run(brokers: int) -> Iterator[KafkaCluster]:
    cluster = KafkaCluster(brokers)
    try:
        cluster.start()
    except MissingExtraError as error:
        pytest.skip(str(error))
    with cluster:
        yield cluster


@pytest.fixture(scope="session")
def kafka() -> Iterator[KafkaCluster]:
    """One broker of the newest Kafka."""
    yield from _run(1)


@pytest.fixture(scope="session")
def kafka3() -> Iterator[KafkaCluster]:
    """Three brokers of the newest Kafka; a test that harms a node leaves it running again."""
    yield from _run(3)
