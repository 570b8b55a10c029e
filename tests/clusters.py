"""A real Kafka for as long as a fixture needs it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest

from kproducer.testing import KafkaCluster, MissingExtraError
from kproducer.testing.properties import PropertyValue
from kproducer.testing.versions import DEFAULT_VERSION


def running_cluster(
    brokers: int,
    version: str = DEFAULT_VERSION,
    properties: Mapping[str, PropertyValue] | None = None,
    features: Mapping[str, int] | None = None,
) -> Iterator[KafkaCluster]:
    """Run a cluster, or skip when the extra for it is missing."""
    cluster = KafkaCluster(brokers, version, properties, features=features)
    try:
        cluster.start()
    except MissingExtraError as error:
        pytest.skip(str(error))
    with cluster:
        yield cluster
