"""The advisor against real brokers: what is right is not found fault with, and what is wrong is found."""

from __future__ import annotations

import json
import time

import pytest
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from kproducer import Diagnosis, KafkaError, KafkaProducer, Severity, diagnose
from kproducer.cli.app import main
from kproducer.errors import NotEnoughReplicasError
from kproducer.testing import KafkaCluster
from kproducer.testing.properties import PropertyValue
from tests.clusters import running_cluster


def codes(diagnosis: Diagnosis, subject: str | None = None) -> set[str]:
    """What was found worse than a note."""
    return {
        finding.code
        for finding in diagnosis.findings
        if finding.severity is not Severity.NOTE and subject in (None, finding.subject)
    }


def ask(kafka: KafkaCluster, *topics: str, **config: object) -> Diagnosis:
    return diagnose({"bootstrap.servers": kafka.bootstrap_servers, **config}, topics, timeout=20)


def test_a_broker_that_is_as_it_should_be_has_no_findings(kafka: KafkaCluster) -> None:
    kafka.create_topic("doctor-fine", partitions=3)
    diagnosis = ask(kafka, "doctor-fine")
    assert codes(diagnosis) == set(), diagnosis.findings
    assert diagnosis.exit_code == 0
    found = diagnosis.as_dict()
    (broker,), (topic,) = found["brokers"], found["topics"]
    assert (broker["id"], broker["address"], broker["error"]) == (1, kafka.bootstrap_servers, None)
    assert (broker["kafka"], broker["transaction_protocol"]) == ("4.1 or newer", 2)
    assert broker["settings"]["transaction.max.timeout.ms"] == "900000"
    assert topic["may_write"] is True
    assert topic["settings"]["min.insync.replicas"] == "1"
    assert [(p["leader"], p["in_sync_replicas"]) for p in topic["partitions"]] == [(1, [1])] * 3
    assert json.loads(json.dumps(found)) == found


def test_the_clock_of_a_broker_on_this_machine_is_ours(kafka: KafkaCluster) -> None:
    clock = ask(kafka).survey.clock
    assert clock.error is None
    assert clock.skew_ms is not None
    assert abs(clock.skew_ms) <= clock.uncertainty_ms + 50


def test_the_advisor_creates_no_topic_and_says_that_send_would(kafka: KafkaCluster) -> None:
    for _ in range(2):
        diagnosis = ask(kafka, "doctor-nowhere")
        assert codes(diagnosis, "topic doctor-nowhere") == {"topic-unknown"}
        (finding,) = [found for found in diagnosis.findings if found.code == "topic-unknown"]
        assert finding.severity is Severity.WARNING
    refused = ask(kafka, "doctor-nowhere", **{"allow.auto.create.topics": False})
    assert [finding.severity for finding in refused.findings if finding.code == "topic-unknown"] == [
        Severity.ERROR
    ]


def test_limits_of_broker_and_topic_are_held_against_the_configuration(kafka: KafkaCluster) -> None:
    kafka.create_topic("doctor-small", config={"max.message.bytes": 10_000, "cleanup.policy": "compact"})
    diagnosis = ask(kafka, "doctor-small")
    assert codes(diagnosis) == {"batch-too-large"}
    assert "compacted" in {finding.code for finding in diagnosis.findings}
    assert codes(ask(kafka, "doctor-small", **{"batch.size": 10_000})) == {"record-too-large"}
    assert codes(ask(kafka, "doctor-small", **{"batch.size": 10_000, "max.request.size": 10_000})) == set()
    assert codes(
        ask(
            kafka,
            **{"max.request.size": 200_000_000, "transactional.id": "t", "transaction.timeout.ms": 1_000_000},
        )
    ) == {"request-too-large", "transaction-timeout-too-long"}


def test_what_was_switched_off_by_itself_is_told(kafka: KafkaCluster) -> None:
    diagnosis = ask(kafka, **{"acks": "1", "request.timeout.ms": 200_000})
    texts = {finding.code: finding.text for finding in diagnosis.findings}
    assert "idempotence is off because of acks=1" in texts["idempotence-off"]
    assert "delivery.timeout.ms is raised" in texts["configuration-changed"]
    assert diagnosis.changed_config["enable.idempotence"] is False
    assert diagnosis.exit_code == 1


def test_replicas_are_held_against_acks(kafka3: KafkaCluster) -> None:
    kafka3.create_topic("doctor-isr-3", config={"min.insync.replicas": 3})
    kafka3.create_topic("doctor-isr-2", config={"min.insync.replicas": 2})
    kafka3.create_topic("doctor-isr-1", config={"min.insync.replicas": 1})
    kafka3.create_topic("doctor-single", replication=1, config={"min.insync.replicas": 2})
    topics = ["doctor-isr-3", "doctor-isr-2", "doctor-isr-1", "doctor-single"]
    diagnosis = ask(kafka3, *topics)
    found = {topic: codes(diagnosis, f"topic {topic}") for topic in topics}
    assert found == {
        "doctor-isr-3": {"no-replica-to-spare"},
        "doctor-isr-2": set(),
        "doctor-isr-1": {"acks-by-leader-alone"},
        "doctor-single": {"one-replica", "min-isr-above-replicas"},
    }
    assert codes(ask(kafka3, "doctor-isr-2", acks=1), "topic doctor-isr-2") == {"acks-below-all"}


@pytest.mark.broker28
def test_a_min_isr_that_old_brokers_take_at_its_word_is_an_error() -> None:
    for kafka in running_cluster(1, "2.8.2"):
        diagnosis = _ask_about_a_lone_replica(kafka, Severity.ERROR)
        assert diagnosis.as_dict()["brokers"][0]["kafka"] == "2.8 to 3.6"
        assert isinstance(_write(kafka), NotEnoughReplicasError)


@pytest.mark.broker39
def test_a_min_isr_that_newer_brokers_are_lenient_about_is_a_warning(kafka39: KafkaCluster) -> None:
    diagnosis = _ask_about_a_lone_replica(kafka39, Severity.WARNING)
    assert diagnosis.as_dict()["brokers"][0]["kafka"] == "3.8 or 3.9"
    assert _write(kafka39) is None
    assert "transactions-v1" in {
        finding.code for finding in ask(kafka39, **{"transactional.id": "t"}).findings
    }


def _ask_about_a_lone_replica(kafka: KafkaCluster, severity: Severity) -> Diagnosis:
    kafka.create_topic("doctor-single", config={"min.insync.replicas": 2})
    diagnosis = ask(kafka, "doctor-single", **{"enable.idempotence": False})
    assert [
        (finding.code, finding.severity)
        for finding in diagnosis.findings
        if finding.severity is not Severity.NOTE
    ] == [("min-isr-above-replicas", severity)]
    return diagnosis


def _write(kafka: KafkaCluster) -> KafkaError | None:
    with KafkaProducer(
        bootstrap_servers=kafka.bootstrap_servers, enable_idempotence=False, not_enough_replicas_policy="fail"
    ) as producer:
        return producer.send("doctor-single", b"v").exception(30)


@pytest.mark.slow
def test_a_principal_that_may_not_write_is_told_before_it_tries() -> None:
    properties: dict[str, PropertyValue] = {
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "allow.everyone.if.no.acl.found": True,
    }
    for kafka in running_cluster(1, properties=properties):
        kafka.create_topic("doctor-read-only")
        kafka.create_topic("doctor-hidden")
        kafka.create_topic("doctor-open")
        _allow(kafka, "doctor-read-only", AclOperation.DESCRIBE)
        _allow(kafka, "doctor-hidden", AclOperation.CREATE)
        diagnosis = ask(kafka, "doctor-read-only", "doctor-hidden", "doctor-open")
        assert codes(diagnosis, "topic doctor-read-only") == {"write-denied"}
        assert "settings-unknown" in {finding.code for finding in diagnosis.findings}
        assert codes(diagnosis, "topic doctor-hidden") == {"topic-hidden"}
        assert codes(diagnosis, "topic doctor-open") == set()
        assert diagnosis.exit_code == 1


def _allow(kafka: KafkaCluster, topic: str, operation: AclOperation) -> None:
    """Permit one operation on a topic, and so nothing else."""
    binding = AclBinding(
        ResourceType.TOPIC,
        topic,
        ResourcePatternType.LITERAL,
        "User:ANONYMOUS",
        "*",
        operation,
        AclPermissionType.ALLOW,
    )
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    admin.create_acls([binding])[binding].result(30)


def test_a_broker_that_died_is_found(kafka3: KafkaCluster, capsys: pytest.CaptureFixture[str]) -> None:
    kafka3.create_topic("doctor-kill", partitions=3, config={"min.insync.replicas": 3})
    kafka3.create_topic("doctor-kill-single", partitions=3, replication=1)
    victim = kafka3.nodes[2]
    victim.kill()
    try:
        diagnosis = _wait_for(
            kafka3, {"broker-fenced", "too-few-in-sync", "no-leader"}, "doctor-kill", "doctor-kill-single"
        )
        assert codes(diagnosis, f"bootstrap {victim.address}") == {"bootstrap-unreachable"}
        assert codes(diagnosis, f"broker {victim.id}") >= {"broker-fenced"}
        assert codes(diagnosis, "topic doctor-kill") >= {"under-replicated", "too-few-in-sync"}
        assert codes(diagnosis, "topic doctor-kill-single") >= {"no-leader"}
        assert diagnosis.exit_code == 1
        arguments = [
            "--bootstrap-server",
            kafka3.bootstrap_servers,
            "--topic",
            "doctor-kill",
            "--timeout",
            "20",
        ]
        assert main(["doctor", *arguments]) == 1
        out = capsys.readouterr().out
        assert f"broker {victim.id}: fenced" in out
    finally:
        victim.restart()
    _wait_for_none(kafka3, "doctor-kill")


def _wait_for(kafka: KafkaCluster, wanted: set[str], *topics: str) -> Diagnosis:
    """The controller takes some seconds to miss a broker, and then each other broker hears of it in its own time."""
    deadline = time.monotonic() + 60
    while not wanted <= codes(diagnosis := ask(kafka, *topics)):
        assert time.monotonic() < deadline, diagnosis.findings
    return diagnosis


def _wait_for_none(kafka: KafkaCluster, topic: str) -> None:
    deadline = time.monotonic() + 60
    while codes(diagnosis := ask(kafka, topic), f"topic {topic}") & {"under-replicated", "too-few-in-sync"}:
        assert time.monotonic() < deadline, diagnosis.findings
