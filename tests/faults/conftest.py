"""Clusters that are there to be harmed, apart from those that other tests share, and the fault matrix."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

import pytest

from kproducer.testing import KafkaCluster
from kproducer.testing.properties import PropertyValue
from kproducer.testing.versions import DEFAULT_VERSION
from tests.clusters import running_cluster
from tests.faults.matrix import Matrix, Recorder

# A dead broker is noticed, and a leader elected, within 3 s.
_QUICK: Final[Mapping[str, PropertyValue]] = {
    "broker.session.timeout.ms": 3000,
    "broker.heartbeat.interval.ms": 500,
    "replica.lag.time.max.ms": 3000,
    "unclean.leader.election.enable": False,
    "num.partitions": 3,
}
_MATRIX: Final = pytest.StashKey[Matrix]()


def pytest_configure(config: pytest.Config) -> None:
    """Put the matrix into the run."""
    matrix = config.stash[_MATRIX] = Matrix()
    config.pluginmanager.register(matrix, "fault-matrix")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let the matrix see the rows of all tests that run, here and elsewhere."""
    config.stash[_MATRIX].take_items(items)


@pytest.fixture
def matrix(request: pytest.FixtureRequest) -> Recorder:
    """Takes the verdict of a workload for the table at the end."""
    return Recorder(request.config.stash[_MATRIX], request.node.nodeid)


def start_cluster(
    brokers: int, version: str = DEFAULT_VERSION, properties: Mapping[str, PropertyValue] | None = None
) -> Iterator[KafkaCluster]:
    """Run a cluster that notices failures quickly."""
    return running_cluster(brokers, version, {**_QUICK, **(properties or {})})


@pytest.fixture(scope="session")
def harmed3() -> Iterator[KafkaCluster]:
    """Three brokers of the newest Kafka; a test that harms a node leaves it running again."""
    yield from start_cluster(3)
