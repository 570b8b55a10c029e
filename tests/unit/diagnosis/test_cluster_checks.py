"""What is said of a cluster, from facts alone."""

from __future__ import annotations

from typing import Any

import pytest

from kproducer.config import ProducerConfig
from kproducer.diagnosis.cluster_checks import check_cluster
from kproducer.diagnosis.facts import BootstrapFacts, ClockFacts, Settings
from kproducer.errors import ClusterAuthorizationError, NetworkError
from tests.unit.diagnosis.world import address, broker, config, survey, topic, versions

DOWN = NetworkError("cannot connect")


def found(cfg: ProducerConfig | None = None, **facts: Any) -> list[tuple[str, str, str]]:
    return [
        (finding.code, finding.severity.value, finding.subject)
        for finding in check_cluster(cfg or config(), survey(**facts))
    ]


def entry(n: int, error: NetworkError | None = None, cluster: str | None = "c") -> BootstrapFacts:
    return BootstrapFacts(address(n), error, 1.0, None if error else cluster)


def test_a_good_cluster_has_no_findings() -> None:
    assert found() == []


def test_a_bootstrap_server_that_is_down_is_worse_if_it_is_the_last() -> None:
    assert found(bootstrap=(entry(1), entry(2, DOWN))) == [
        ("bootstrap-unreachable", "warning", "bootstrap a:2")
    ]
    assert found(bootstrap=(entry(1, DOWN),), brokers=()) == [
        ("bootstrap-unreachable", "error", "bootstrap a:1")
    ]


def test_bootstrap_servers_of_two_clusters_are_an_error() -> None:
    assert found(bootstrap=(entry(1), entry(2, cluster="d"))) == [
        ("several-clusters", "error", "bootstrap.servers")
    ]
    assert found(bootstrap=(entry(1), entry(2, cluster=None))) == []


def test_a_single_bootstrap_server_of_several_brokers_is_noted() -> None:
    assert found(bootstrap=(entry(1),)) == [("one-bootstrap-server", "note", "bootstrap.servers")]
    assert found(bootstrap=(entry(1),), brokers=(broker(1),)) == []


def test_a_broker_that_cannot_be_reached_is_worse_if_it_leads() -> None:
    down = broker(3, error=DOWN, versions=None, settings=Settings())
    brokers = (broker(1), broker(2), down)
    assert found(brokers=brokers) == [("broker-unreachable", "warning", "broker 3")]
    assert found(brokers=brokers, topics=(topic(),)) == [("broker-unreachable", "error", "broker 3")]


@pytest.mark.parametrize(
    ("spoken", "cfg", "expected"),
    [
        ({"Produce": 2}, {}, [("version-unsupported", "error"), ("broker-too-old", "warning")]),
        ({"InitProducerId": -1}, {}, [("version-unsupported", "error")]),
        ({"InitProducerId": -1}, {"enable_idempotence": False}, []),
        ({"Metadata": 6}, {}, [("broker-too-old", "warning")]),
        ({"EndTxn": 4}, {"transactional_id": "x"}, [("transactions-v1", "note")]),
        ({"EndTxn": 4}, {}, []),
    ],
)
def test_versions_are_held_against_the_configuration(
    spoken: dict[str, int], cfg: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    findings = found(config(**cfg), brokers=(broker(1, versions=versions(**spoken)),))
    assert [finding[:2] for finding in findings] == expected


@pytest.mark.parametrize(
    ("name", "value", "cfg", "expected"),
    [
        ("socket.request.max.bytes", "1048576", {}, []),
        ("socket.request.max.bytes", "1048575", {}, ["request-too-large"]),
        ("transaction.max.timeout.ms", "59999", {}, []),
        ("transaction.max.timeout.ms", "59999", {"transactional_id": "x"}, ["transaction-timeout-too-long"]),
        ("transaction.max.timeout.ms", "60000", {"transactional_id": "x"}, []),
    ],
)
def test_limits_of_brokers_are_held_against_the_configuration(
    name: str, value: str, cfg: dict[str, Any], expected: list[str]
) -> None:
    findings = found(config(**cfg), brokers=(broker(1, settings=Settings({name: value})),))
    assert [code for code, _, _ in findings] == expected


def test_settings_that_cannot_be_read_are_noted() -> None:
    refused = broker(1, settings=Settings(error=ClusterAuthorizationError()))
    assert found(brokers=(refused,)) == [("settings-unknown", "note", "broker 1")]


def test_a_fenced_broker_is_told() -> None:
    assert found(fenced=(4, 5)) == [
        ("broker-fenced", "warning", "broker 4"),
        ("broker-fenced", "warning", "broker 5"),
    ]


def test_a_missing_idempotent_write_counts_with_idempotence_only() -> None:
    assert found(may_write_idempotently=False) == [("idempotent-write-denied", "error", "cluster")]
    assert found(config(enable_idempotence=False), may_write_idempotently=False) == []
    assert found(may_write_idempotently=True) == []


@pytest.mark.parametrize(
    ("skew_ms", "uncertainty_ms", "expected"),
    [
        (999.0, 0.0, []),
        (1001.0, 0.0, [("clock-skew", "warning", "cluster")]),
        (-1001.0, 0.0, [("clock-skew", "warning", "cluster")]),
        (-1400.0, 500.0, []),
    ],
)
def test_clocks_may_differ_by_a_second_beyond_what_cannot_be_measured(
    skew_ms: float, uncertainty_ms: float, expected: list[tuple[str, str, str]]
) -> None:
    assert found(clock=ClockFacts(skew_ms, uncertainty_ms)) == expected


def test_whose_clock_is_ahead_is_told() -> None:
    (ahead,) = check_cluster(config(), survey(clock=ClockFacts(60_000.0, 3.0)))
    assert "is 60.0 s ahead of this machine's (give or take 3 ms)" in ahead.text
    (behind,) = check_cluster(config(), survey(clock=ClockFacts(-60_000.0, 3.0)))
    assert "is 60.0 s behind this machine's" in behind.text


def test_a_clock_that_cannot_be_read_is_noted() -> None:
    assert found(clock=ClockFacts(error=ClusterAuthorizationError())) == [
        ("clock-unknown", "note", "cluster")
    ]
