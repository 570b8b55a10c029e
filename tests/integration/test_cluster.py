"""KafkaCluster with real Kafka, looked at with clients that are not ours."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import confluent_kafka
import pytest
from confluent_kafka.admin import AdminClient, ConfigResource
from kafka.admin import KafkaAdminClient

from kproducer.testing import ClusterError, KafkaCluster
from kproducer.testing.probe import fetch_api_versions

OWNER = """
from kproducer.testing import KafkaCluster
import time
cluster = KafkaCluster(1).start()
print(cluster.nodes[0].pid, flush=True)
time.sleep(600)
"""


def new_topic() -> str:
    return f"t-{uuid.uuid4().hex[:12]}"


def produce(bootstrap_servers: str, topic: str, values: list[bytes]) -> None:
    """Deliver all values to partition 0, or fail."""
    producer = confluent_kafka.Producer(
        {"bootstrap.servers": bootstrap_servers, "acks": "all", "log_level": 0, "message.timeout.ms": 30_000}
    )
    problems: list[object] = []
    for value in values:
        producer.produce(
            topic, value, partition=0, on_delivery=lambda error, _: problems.append(error) if error else None
        )
    assert producer.flush(30) == 0
    assert not problems


def consume(bootstrap_servers: str, topic: str, count: int) -> list[bytes]:
    """Read `count` values of partition 0 from the start."""
    consumer = confluent_kafka.Consumer(
        {
            "bootstrap.servers": bootstrap_servers,
            "group.id": topic,
            "auto.offset.reset": "earliest",
            "log_level": 0,
        }
    )
    consumer.assign([confluent_kafka.TopicPartition(topic, 0, 0)])
    values: list[bytes] = []
    deadline = time.monotonic() + 30
    while len(values) < count and time.monotonic() < deadline:
        values += [
            message.value() or b"" for message in consumer.consume(count, 0.5) if message.error() is None
        ]
    consumer.close()
    return values


def is_alive(pid: int) -> bool:
    """True if the process runs; one that nobody reaped yet does not."""
    run = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return bool(run.stdout.strip()) and not run.stdout.startswith("Z")


def test_what_one_client_writes_another_reads(kafka: KafkaCluster) -> None:
    topic, values = new_topic(), [b"%d" % n for n in range(100)]
    kafka.create_topic(topic)

    produce(kafka.bootstrap_servers, topic, values)

    assert consume(kafka.bootstrap_servers, topic, 100) == values


def test_a_topic_has_the_partitions_and_configuration_it_was_created_with(kafka: KafkaCluster) -> None:
    topic = new_topic()

    kafka.create_topic(
        topic, partitions=6, config={"max.message.bytes": 12345, "message.timestamp.type": "LogAppendTime"}
    )

    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    assert len(admin.list_topics(topic, timeout=10).topics[topic].partitions) == 6
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
    config = admin.describe_configs([resource])[resource].result(10)
    assert config["max.message.bytes"].value == "12345"
    assert config["message.timestamp.type"].value == "LogAppendTime"


def test_a_topic_that_exists_is_refused(kafka: KafkaCluster) -> None:
    topic = new_topic()
    kafka.create_topic(topic)

    with pytest.raises(ClusterError, match=f"{topic}.*error code 36"):
        kafka.create_topic(topic)


def test_more_replicas_than_brokers_are_refused_at_once(kafka: KafkaCluster) -> None:
    with pytest.raises(ClusterError, match="error code 38"):
        kafka.create_topic(new_topic(), replication=2)


def test_the_newest_kafka_speaks_produce_with_topic_ids(kafka: KafkaCluster) -> None:
    assert fetch_api_versions(kafka.nodes[0].port)[0][1] >= 13


def test_a_cluster_has_the_feature_levels_it_was_given(kafka: KafkaCluster, kafka_v1: KafkaCluster) -> None:
    assert _transaction_version(kafka_v1) == 1
    assert _transaction_version(kafka) == 2


def _transaction_version(cluster: KafkaCluster) -> int:
    admin = KafkaAdminClient(bootstrap_servers=cluster.bootstrap_servers)
    try:
        return int(admin.describe_features()["transaction.version"]["finalized"][1])
    finally:
        admin.close()


def test_an_unknown_feature_is_refused() -> None:
    with pytest.raises(ClusterError, match=r"could not format(?s:.*)no\.such\.feature"):
        KafkaCluster(1, features={"no.such.feature": 1}).start()


def test_a_paused_node_answers_nothing_until_it_is_resumed(kafka: KafkaCluster) -> None:
    node = kafka.nodes[0]

    node.pause()
    try:
        assert node.ask() is None
        assert node.is_running
    finally:
        node.resume()

    node.wait_until_ready()


def test_records_survive_the_crash_of_the_only_node(kafka: KafkaCluster) -> None:
    topic, values = new_topic(), [b"%d" % n for n in range(100)]
    kafka.create_topic(topic)
    produce(kafka.bootstrap_servers, topic, values)
    node = kafka.nodes[0]

    node.kill()
    assert not node.is_running
    assert node.pid is None
    node.restart()

    assert consume(kafka.bootstrap_servers, topic, 100) == values


def test_a_node_that_does_not_run_cannot_be_paused(kafka3: KafkaCluster) -> None:
    node = kafka3.nodes[2]
    node.stop()
    try:
        with pytest.raises(ClusterError, match="node 3 does not run"):
            node.pause()
    finally:
        node.restart()


def test_three_nodes_know_each_other_and_replicate(kafka3: KafkaCluster) -> None:
    topic = new_topic()
    kafka3.create_topic(topic, partitions=3)

    state = kafka3.nodes[0].ask(topic)

    assert state is not None
    assert state.brokers == {1, 2, 3}
    assert set(state.topics[topic].leaders.values()) == {1, 2, 3}


def test_another_node_leads_after_the_leader_was_killed(kafka3: KafkaCluster) -> None:
    topic, values = new_topic(), [b"%d" % n for n in range(100)]
    kafka3.create_topic(topic)
    old_leader = kafka3.leader(topic)

    old_leader.kill()
    try:
        produce(kafka3.bootstrap_servers, topic, values)
        new_leader = kafka3.leader(topic)
    finally:
        old_leader.restart()

    assert new_leader is not old_leader
    assert consume(kafka3.bootstrap_servers, topic, 100) == values


def test_topics_can_be_created_while_a_node_is_down(kafka3: KafkaCluster) -> None:
    topic = new_topic()
    down = kafka3.nodes[0]
    down.kill()
    try:
        kafka3.create_topic(topic, replication=2)
        assert kafka3.leader(topic) is not down
    finally:
        down.restart()


def test_stop_leaves_neither_processes_nor_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with KafkaCluster(1) as cluster:
        pid = cluster.nodes[0].pid
        assert list(tmp_path.iterdir())

    assert pid is not None
    assert not is_alive(pid)
    assert not list(tmp_path.iterdir())
    with pytest.raises(ClusterError, match="not started"):
        _ = cluster.bootstrap_servers


def test_nothing_is_left_when_the_owner_is_killed(tmp_path: Path) -> None:
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    with subprocess.Popen([sys.executable, "-c", OWNER], stdout=subprocess.PIPE, env=environment) as owner:
        assert owner.stdout is not None
        pid = int(owner.stdout.readline())
        owner.send_signal(signal.SIGKILL)

    deadline = time.monotonic() + 10
    while (is_alive(pid) or list(tmp_path.iterdir())) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_alive(pid)
    assert not list(tmp_path.iterdir())


def test_a_broker_that_cannot_start_shows_its_last_log_lines() -> None:
    cluster = KafkaCluster(1, properties={"num.io.threads": "many"})

    with pytest.raises(ClusterError, match=r"node 1 \(4\.4\.0\)(?s:.*)num\.io\.threads"):
        cluster.start()

    with pytest.raises(ClusterError, match="not started"):
        _ = cluster.nodes


def test_a_broker_that_dies_at_its_start_shows_its_last_log_lines() -> None:
    cluster = KafkaCluster(1, properties={"authorizer.class.name": "no.such.Authorizer"})

    with pytest.raises(
        ClusterError, match=r"exited while starting \(exit code 1\)(?s:.*)no\.such\.Authorizer"
    ):
        cluster.start()


@pytest.mark.old_brokers
@pytest.mark.parametrize(("version", "brokers"), [("3.9.2", 1), ("3.9.2", 3), ("2.8.2", 1), ("2.8.1", 3)])
def test_older_versions_serve_and_survive_a_crash(version: str, brokers: int) -> None:
    topic, values = new_topic(), [b"%d" % n for n in range(100)]
    with KafkaCluster(brokers, version=version) as cluster:
        cluster.create_topic(topic)
        produce(cluster.bootstrap_servers, topic, values)
        if version != "2.8.2":  # that one cannot read its own metadata log
            leader = cluster.leader(topic)
            leader.kill()
            leader.restart()

        assert consume(cluster.bootstrap_servers, topic, 100) == values


@pytest.mark.old_brokers
def test_restart_of_a_version_that_loses_its_metadata_is_refused() -> None:
    with KafkaCluster(1, version="2.8.2") as cluster, pytest.raises(ClusterError, match=r"take 2\.8\.1"):
        cluster.nodes[0].restart()
