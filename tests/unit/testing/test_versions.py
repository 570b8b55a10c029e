"""Kafka versions: which are accepted, and what a broken one is answered with."""

from __future__ import annotations

import pytest

from kproducer.testing import KafkaCluster
from kproducer.testing.versions import parse_version, why_metadata_is_lost


def test_a_version_is_three_numbers() -> None:
    assert parse_version("3.10.2") == (3, 10, 2)


@pytest.mark.parametrize("version", ["", "4", "4.4", "4.4.0-rc1", "v4.4.0", "4.4.0+other:thing:1", "latest"])
def test_a_malformed_version_is_refused_with_an_example(version: str) -> None:
    with pytest.raises(ValueError, match=r"4\.4\.0"):
        KafkaCluster(version=version)


def test_a_version_without_kraft_is_refused_with_the_oldest_allowed() -> None:
    with pytest.raises(ValueError, match=r"2\.7\.2 has no KRaft mode; choose 2\.8\.0 or newer"):
        KafkaCluster(version="2.7.2")


def test_three_nodes_of_a_version_that_loses_its_metadata_are_refused_with_the_remedy() -> None:
    with pytest.raises(ValueError, match=r"2\.8\.2 .* take 2\.8\.1"):
        KafkaCluster(3, version="2.8.2")


@pytest.mark.parametrize("version", ["2.8.1", "3.9.2", "4.4.0"])
def test_other_versions_keep_their_metadata(version: str) -> None:
    assert why_metadata_is_lost(version) is None


@pytest.mark.parametrize("brokers", [0, -1, 10])
def test_a_wrong_number_of_brokers_is_refused_with_the_range(brokers: int) -> None:
    with pytest.raises(ValueError, match=f"{brokers}; allowed are 1 to 9"):
        KafkaCluster(brokers)
