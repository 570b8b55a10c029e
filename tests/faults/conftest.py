"""Clusters that are there to be harmed, apart from those that other tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kproducer.testing import KafkaCluster
from kproducer.testing.properties import PropertyValue
from kproducer.testing.versions import DEFAULT_VERSION
from tests.clusters import running_cluster

# A dead broker is noticed, and a leader elected, within 3 s.
_QUICK: dict[str, PropertyValue] = {
    "broker.session.timeout.ms": 3000,
    "broker.heartbeat.interval.ms": 500,
    "replica.lag.time.max.ms": 3000,
    "unclean.leader.election.enable": False,
    "num.partitions": 3,
}


def start_cluster(brokers: int, version: str = DEFAULT_VERSION) -> Iterator[KafkaCluster]:
    """Run a cluster that notices failures quickly."""
    return running_cluster(brokers, version, _QUICK)


@pytest.fixture(scope="session")
def harmed3() -> Iterator[KafkaCluster]:
    """Three brokers of the newest Kafka; a test that harms a node leaves it running again."""
    yield from start_cluster(3)
