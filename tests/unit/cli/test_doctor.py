"""`kproducer doctor`: what people and CI get to see; the asking itself is tested elsewhere."""

from __future__ import annotations

import json
import re

import pytest

from kproducer.cli.app import main
from kproducer.protocol.messages.describe_cluster import DESCRIBE_CLUSTER
from kproducer.protocol.messages.metadata import METADATA
from tests.fakes.scripted_broker import ScriptedBroker, ScriptedCluster
from tests.unit.diagnosis.brokers import cluster_answer, scripted, unused_address, with_operations


def doctor(*arguments: str) -> int:
    return main(["doctor", "--timeout", "5", *arguments])


@pytest.fixture
def cluster() -> ScriptedCluster:
    """A cluster with topic t of one partition."""
    found = ScriptedCluster()
    found.create_topic("t", [1])
    return found


def test_people_see_facts_then_findings(cluster: ScriptedCluster, capsys: pytest.CaptureFixture[str]) -> None:
    with scripted(cluster) as broker:
        broker.on(METADATA, with_operations(broker, 0))
        broker.on(DESCRIBE_CLUSTER, cluster_answer(4))
        address = str(broker.address)
        assert (
            doctor(
                "--bootstrap-server", address, "--topic", "t", "--topic", "u", "--producer-property", "acks=1"
            )
            == 1
        )
    out = re.sub(
        r"-?\d+ ms, \+-\d+", "N ms, +-N", re.sub(r"answers, \d+ ms", "answers, N ms", capsys.readouterr().out)
    )
    assert out.splitlines() == [
        "cluster scripted",
        f"  bootstrap {address}: answers, N ms",
        f"  broker 1 at {address}: answers, N ms; Kafka 4.1 or newer, Produce 13, transaction protocol 1",
        "  broker 4: fenced",
        "  topic t: partitions 1, replicas 1, may not be written, min.insync.replicas=1, max.message.bytes=1048588",
        "  topic u: UnknownTopicOrPartitionError: The broker does not have this topic or partition.",
        "  clock: the controller's minus ours is N ms, +-N",
        "configuration, where it is not the default",
        f"  bootstrap.servers={address}",
        "  acks=1",
        "  enable.idempotence=False",
        "",
        "ERROR topic t: this principal may not write to it [write-denied]",
        "    remedy: grant WRITE on the topic",
        "WARNING configuration: idempotence is off because of acks=1: loss and duplicates are possible",
        "    [idempotence-off]",
        "    remedy: set acks=all and retries above 0",
        "WARNING broker 4: it is registered, but the controller does not hear of it: it is down, or cannot catch up",
        "    [broker-fenced]",
        "    remedy: start it, or unregister it if it is gone for good",
        "WARNING topic u: it does not exist; the first send() creates it, with the brokers' defaults [topic-unknown]",
        "    remedy: create it with the partitions and replicas that it needs",
        "errors: 1, warnings: 3, notes: 0",
    ]


def test_a_codec_in_use_is_named(cluster: ScriptedCluster, capsys: pytest.CaptureFixture[str]) -> None:
    with scripted(cluster) as broker:
        assert (
            doctor("--bootstrap-server", str(broker.address), "--producer-property", "compression.type=gzip")
            == 0
        )
    assert re.search(r"^  codec gzip: \S", capsys.readouterr().out, re.MULTILINE)


def test_machines_get_json(cluster: ScriptedCluster, capsys: pytest.CaptureFixture[str]) -> None:
    with scripted(cluster) as broker:
        assert doctor("--bootstrap-server", str(broker.address), "--topic", "t", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["exit_code"], found["findings"], found["cluster_id"]) == (0, [], "scripted")


def test_nobody_there_is_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor("--bootstrap-server", unused_address()) == 2
    assert capsys.readouterr().out.endswith("No bootstrap server answers.\n")
    assert doctor("--bootstrap-server", unused_address(), "--json") == 2
    assert json.loads(capsys.readouterr().out)["exit_code"] == 2


def test_a_wrong_configuration_is_exit_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor("--bootstrap-server", "a:1", "--producer-property", "acks=2") == 1
    assert "acks='2' is not valid" in capsys.readouterr().err


def test_the_bootstrap_server_is_required(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        doctor("--topic", "t")
    assert left.value.code == 2
    assert "--bootstrap-server" in capsys.readouterr().err


def test_an_unscripted_broker_is_not_asked_to_do_anything(cluster: ScriptedCluster) -> None:
    with ScriptedBroker(cluster) as broker:  # speaks none of the admin's APIs
        assert doctor("--bootstrap-server", str(broker.address), "--topic", "t") == 0
