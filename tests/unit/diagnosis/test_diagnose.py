"""The advisor against scripted brokers: what is asked, what an answer or its absence becomes, and its exit code."""

from __future__ import annotations

import json
import logging
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from kproducer import ConfigError, Diagnosis, InvalidTopicError, Severity, diagnose
from kproducer.protocol.messages.api_versions import API_VERSIONS
from kproducer.protocol.messages.describe_cluster import DESCRIBE_CLUSTER
from kproducer.protocol.messages.describe_configs import DESCRIBE_CONFIGS, DescribeConfigsResponse
from kproducer.protocol.messages.describe_quorum import DESCRIBE_QUORUM
from kproducer.protocol.messages.metadata import METADATA
from tests.fakes.scripted_broker import (
    VERSION_TABLES,
    Close,
    Handler,
    Received,
    ScriptedBroker,
    ScriptedCluster,
    Silent,
)
from tests.unit.diagnosis.brokers import (
    WRITE,
    clock_answer,
    cluster_answer,
    scripted,
    settings_answer,
    unused_address,
    with_operations,
)


@pytest.fixture
def broker() -> Iterator[ScriptedBroker]:
    """A broker that answers all that the advisor asks, with topic t of one partition."""
    cluster = ScriptedCluster()
    cluster.create_topic("t", [1])
    with scripted(cluster) as broker:
        yield broker


def ask(broker: ScriptedBroker, *topics: str, timeout: float = 5.0, **config: object) -> Diagnosis:
    return diagnose({"bootstrap.servers": str(broker.address), **config}, topics, timeout=timeout)


def codes(diagnosis: Diagnosis) -> list[tuple[str, str]]:
    return [(finding.code, finding.severity.value) for finding in diagnosis.findings]


# --- what is asked ------------------------------------------------------------------------------------------


def test_a_broker_that_is_well_has_no_findings(broker: ScriptedBroker) -> None:
    diagnosis = ask(broker, "t")
    assert codes(diagnosis) == []
    assert diagnosis.exit_code == 0
    found = diagnosis.as_dict()
    assert json.loads(json.dumps(found)) == found
    assert found["bootstrap"][0] | {"elapsed_ms": 0} == {
        "address": str(broker.address), "error": None, "elapsed_ms": 0, "cluster_id": "scripted",
    }  # fmt: skip
    (one,) = found["brokers"]
    assert (one["id"], one["kafka"], one["apis"]["Metadata"]) == (1, "4.1 or newer", 13)
    (topic,) = found["topics"]
    assert (topic["name"], topic["may_write"]) == ("t", True)
    assert topic["settings"] == {"min.insync.replicas": "1", "max.message.bytes": "1048588"}
    assert found["config"]["linger.ms"] == 5


def test_no_topic_is_created_and_no_record_sent(broker: ScriptedBroker) -> None:
    ask(broker, "t", "nowhere")
    assert [request.body.allow_auto_topic_creation for request in broker.received(METADATA)] == [False]
    assert {request.api_key for request in broker.requests} == {18, 3, 32, 55, 60}


def test_without_topics_only_the_cluster_is_asked(broker: ScriptedBroker) -> None:
    diagnosis = ask(broker)
    assert (codes(diagnosis), diagnosis.survey.topics) == ([], ())
    assert [request.body.topics for request in broker.received(METADATA)] == [()]


def test_a_topic_is_asked_for_once(broker: ScriptedBroker) -> None:
    assert [topic.name for topic in ask(broker, "t", "u", "t").survey.topics] == ["t", "u"]


@pytest.mark.parametrize("release", ["2.1", "2.3", "2.8"])
def test_older_brokers_are_asked_for_what_they_know(release: str) -> None:
    cluster = ScriptedCluster()
    cluster.create_topic("t", [1])
    with scripted(cluster, versions={**VERSION_TABLES[release], 32: (0, 2)}) as broker:
        diagnosis = ask(broker, "t")
    assert diagnosis.exit_code == 0
    assert ("clock-unknown", "note") in codes(diagnosis)
    assert diagnosis.survey.topics[0].may_write is (None if release == "2.1" else True)
    assert diagnosis.survey.topics[0].settings.values["min.insync.replicas"] == "1"


# --- what the answers become --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operations", "expected"), [(1 << 8, False), (WRITE | 1 << 8, True), (-(1 << 31), None)]
)
def test_the_operations_of_this_principal_are_read(
    broker: ScriptedBroker, operations: int, expected: bool | None
) -> None:
    broker.on(METADATA, with_operations(broker, operations))
    assert ask(broker, "t").survey.topics[0].may_write is expected


@pytest.mark.parametrize("skew_ms", [-50_000.0, 50_000.0])
def test_the_controllers_clock_is_measured(broker: ScriptedBroker, skew_ms: float) -> None:
    broker.on(DESCRIBE_QUORUM, clock_answer(skew_ms))
    diagnosis = ask(broker)
    clock = diagnosis.survey.clock
    assert clock.skew_ms is not None
    assert abs(clock.skew_ms - skew_ms) <= clock.uncertainty_ms + 20
    assert codes(diagnosis) == [("clock-skew", "warning")]


@pytest.mark.parametrize(
    "handler", [clock_answer(error_code=31), clock_answer(replica=3), lambda request: Close()]
)
def test_a_clock_that_is_not_told_is_noted(broker: ScriptedBroker, handler: Handler) -> None:
    broker.on(DESCRIBE_QUORUM, handler)
    diagnosis = ask(broker)
    assert ("clock-unknown", "note") in codes(diagnosis)
    assert diagnosis.exit_code == 0


def test_settings_that_are_refused_are_noted(broker: ScriptedBroker) -> None:
    broker.on(DESCRIBE_CONFIGS, settings_answer(error_code=29))
    diagnosis = ask(broker, "t")
    assert codes(diagnosis) == [("settings-unknown", "note")] * 2
    assert diagnosis.as_dict()["topics"][0]["settings_error"].startswith("TopicAuthorizationError")


def test_settings_that_are_left_out_are_noted(broker: ScriptedBroker) -> None:
    broker.on(DESCRIBE_CONFIGS, lambda request: DescribeConfigsResponse())
    assert codes(ask(broker, "t")) == [("settings-unknown", "note")] * 2


def test_fenced_brokers_are_told(broker: ScriptedBroker) -> None:
    broker.on(DESCRIBE_CLUSTER, cluster_answer(7, 5))
    diagnosis = ask(broker)
    assert diagnosis.survey.fenced == (5, 7)
    assert diagnosis.exit_code == 1


def test_findings_come_with_the_worst_first(broker: ScriptedBroker) -> None:
    broker.on(DESCRIBE_CONFIGS, settings_answer({"cleanup.policy": "compact", "max.message.bytes": "10"}))
    broker.on(METADATA, with_operations(broker, 0))
    assert codes(ask(broker, "t")) == [
        ("write-denied", "error"), ("batch-too-large", "warning"), ("compacted", "note"),
    ]  # fmt: skip


# --- brokers that do not answer -----------------------------------------------------------------------------


def test_without_a_bootstrap_server_the_exit_code_is_2() -> None:
    diagnosis = diagnose({"bootstrap.servers": [unused_address(), unused_address()]}, ["t"], timeout=5)
    assert not diagnosis.is_reachable
    assert diagnosis.exit_code == 2
    assert codes(diagnosis) == [("bootstrap-unreachable", "error")] * 2
    assert diagnosis.survey.topics == ()


@pytest.mark.parametrize("misbehave", [lambda request: Silent(), lambda request: Close()])
def test_what_does_not_answer_as_a_broker_does_is_unreachable_in_time(
    broker: ScriptedBroker, misbehave: Callable[[Received], Any]
) -> None:
    broker.on(API_VERSIONS, misbehave)
    began = time.monotonic()
    assert ask(broker, timeout=0.3).exit_code == 2
    assert time.monotonic() - began < 5


def test_a_name_that_is_not_known_is_unreachable(
    monkeypatch: pytest.MonkeyPatch, broker: ScriptedBroker
) -> None:
    def refuse(*args: object, **more: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    diagnosis = diagnose({"bootstrap.servers": "nowhere.invalid:9092"}, timeout=5)
    assert diagnosis.exit_code == 2
    assert "cannot resolve nowhere.invalid" in diagnosis.findings[0].text


def test_a_name_is_resolved(broker: ScriptedBroker) -> None:
    diagnosis = diagnose({"bootstrap.servers": f"localhost:{broker.address.port}"}, timeout=5)
    assert diagnosis.exit_code == 0


def test_the_addresses_of_a_name_share_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("0.0.0.0", 0)) as mute:  # all of 127.0.0.0/8
        found = (socket.AF_INET, socket.SOCK_STREAM, 0, "")
        addresses = [(*found, (f"127.0.0.{n}", mute.getsockname()[1])) for n in (1, 2, 3, 4)]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **more: addresses)
        began = time.monotonic()
        diagnosis = diagnose({"bootstrap.servers": "several:9092"}, timeout=0.5)
        assert time.monotonic() - began < 0.9
    assert diagnosis.exit_code == 2


def test_a_broker_that_is_not_where_it_says_is_an_error_if_it_leads(broker: ScriptedBroker) -> None:
    cluster = broker.cluster
    host, _, port = unused_address().rpartition(":")
    cluster.brokers[2] = replace_address(broker, host, int(port))
    cluster.create_topic("led", [1, 2])
    diagnosis = ask(broker, "led")
    assert ("broker-unreachable", "error") in codes(diagnosis)
    assert ("broker-unreachable", "warning") in codes(ask(broker, "t"))
    (finding,) = [found for found in diagnosis.findings if found.code == "broker-unreachable"]
    assert finding.subject == "broker 2"
    assert "it leads 1 partition of" in finding.text
    assert f"{host}:{port} is what the broker advertises" in finding.remedy


def replace_address(broker: ScriptedBroker, host: str, port: int) -> Any:
    return broker.address._replace(host=host, port=port)


def test_when_no_broker_can_be_asked_settings_and_clock_are_unknown(broker: ScriptedBroker) -> None:
    broker.cluster.brokers[1] = replace_address(broker, "127.0.0.1", int(unused_address().rpartition(":")[2]))
    diagnosis = ask(broker, "t")
    assert {code for code, _ in codes(diagnosis)} == {
        "broker-unreachable",
        "settings-unknown",
        "clock-unknown",
    }
    assert diagnosis.exit_code == 1


def test_all_brokers_are_asked_at_the_same_time(broker: ScriptedBroker) -> None:
    cluster = broker.cluster
    with socket.create_server(("127.0.0.1", 0)) as mute:
        for node_id in range(2, 10):
            cluster.brokers[node_id] = replace_address(broker, *mute.getsockname())
        began = time.monotonic()
        diagnosis = ask(broker, timeout=0.5)
        assert time.monotonic() - began < 3
    assert codes(diagnosis).count(("broker-unreachable", "warning")) == 8


# --- the configuration --------------------------------------------------------------------------------------


def test_changes_that_the_configuration_makes_are_findings(broker: ScriptedBroker) -> None:
    diagnosis = ask(broker, acks=1, **{"reconnect.backoff.ms": 5000, "reconnect.backoff.max.ms": 1000})
    assert codes(diagnosis) == [("idempotence-off", "warning"), ("configuration-changed", "note")]
    assert diagnosis.findings[0].text.startswith("idempotence is off because of acks=1")
    assert "reconnect.backoff.ms=5000 exceeds" in diagnosis.findings[1].text
    assert diagnosis.changed_config == {
        "bootstrap.servers": [str(broker.address)],
        "acks": 1,
        "enable.idempotence": False,
        "reconnect.backoff.ms": 1000,
    }


def test_the_listener_for_changes_goes_again(broker: ScriptedBroker) -> None:
    before = list(logging.getLogger("kproducer.config").handlers)
    ask(broker)
    with pytest.raises(ConfigError):
        ask(broker, acks=7)
    assert logging.getLogger("kproducer.config").handlers == before


@pytest.mark.parametrize(
    ("config", "topics", "timeout", "error"),
    [
        ({}, [], 1, ConfigError),
        ({"bootstrap.servers": "a"}, [], 1, ConfigError),
        ({"bootstrap.servers": "a:1"}, "topic", 1, TypeError),
        ({"bootstrap.servers": "a:1"}, ["no topic"], 1, InvalidTopicError),
        ({"bootstrap.servers": "a:1"}, [1], 1, TypeError),
        ({"bootstrap.servers": "a:1"}, [], 0, ValueError),
        ({"bootstrap.servers": "a:1"}, [], float("nan"), ValueError),
        ({"bootstrap.servers": "a:1"}, [], True, TypeError),
        ({"bootstrap.servers": "a:1"}, [], "1", TypeError),
    ],
)
def test_wrong_arguments_are_refused(config: Any, topics: Any, timeout: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        diagnose(config, topics, timeout=timeout)


def test_a_configuration_with_functions_is_still_json(broker: ScriptedBroker) -> None:
    config: dict[str, Any] = {"value.serializer": str.encode}
    found = ask(broker, **config).as_dict()
    assert "encode" in json.loads(json.dumps(found))["config"]["value.serializer"]


def test_severities_are_in_order() -> None:
    assert [severity.value for severity in Severity] == ["error", "warning", "note"]
