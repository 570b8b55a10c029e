"""What metrics() tells, compared with what brokers hold and what other clients read."""

from __future__ import annotations

import logging
import threading
from collections import Counter

import pytest
from kafka.admin import KafkaAdminClient

from kproducer import KafkaProducer, Metrics, UnobservedDeliveryError
from kproducer.testing import KafkaCluster
from tests.integration.readback import new_topic, read_all

PARTITIONS = 4
CALLS = ("init", "begin", "commit")


def bytes_in_logs(cluster: KafkaCluster, topic: str) -> dict[int, int]:
    """The size of each partition's log, which is that of its batches."""
    admin = KafkaAdminClient(bootstrap_servers=cluster.bootstrap_servers)
    try:
        brokers = admin.describe_log_dirs([topic])
    finally:
        admin.close()
    return {
        partition["partition_index"]: partition["partition_size"]
        for broker in brokers
        for directory in broker["log_dirs"]
        for of_topic in directory["topics"]
        for partition in of_topic["partitions"]
    }


@pytest.mark.parametrize("codec", ["none", "zstd"])
def test_records_and_bytes_are_those_that_the_broker_has(kafka: KafkaCluster, codec: str) -> None:
    topic = new_topic()
    kafka.create_topic(topic, partitions=PARTITIONS, replication=1)
    told: list[Metrics] = []
    has_told = threading.Event()

    def keep(metrics: Metrics) -> None:
        told.append(metrics)
        has_told.set()

    with KafkaProducer(
        bootstrap_servers=kafka.bootstrap_servers,
        compression_type=codec,
        metrics_recording_level="DEBUG",
        statistics_interval_ms=50,
        statistics_callback=keep,
    ) as producer:
        for count in (5000, 300, 1):
            values = [b"%d" % number * 20 for number in range(count)]
            producer.send_many(topic, values, keys=values).wait(60)
        found = producer.metrics()
        assert has_told.wait(60)
    seen = Counter(record.partition for record in read_all(kafka.bootstrap_servers, topic, PARTITIONS))
    logs = bytes_in_logs(kafka, topic)
    assert sum(seen.values()) == 5301
    for partition in range(PARTITIONS):
        values_of = found[f"producer-partition-metrics.{topic}-{partition}"]
        assert values_of["record-send-total"] == seen[partition]
        assert values_of["last-offset"] == seen[partition] - 1
        assert values_of["byte-total"] == logs[partition]
    for group in (f"producer-topic-metrics.{topic}", "producer-metrics"):
        assert found[group]["record-send-total"] == 5301
        assert found[group]["byte-total"] == sum(logs.values())
    assert found["producer-metrics"]["connection-count"] == 1
    node = next(values for key, values in found.items() if key.startswith("producer-node-metrics.node-"))
    assert node["request-total"] == found["producer-metrics"]["request-total"] > 0
    assert 0 < node["request-latency-p99"] <= node["request-latency-max"]
    assert told[-1]["producer-metrics"]["record-send-total"] <= 5301


def test_records_that_the_broker_refuses_are_errors_of_their_topic(kafka: KafkaCluster) -> None:
    small, other = new_topic(), new_topic()
    kafka.create_topic(small, config={"max.message.bytes": "500"})
    kafka.create_topic(other)
    with KafkaProducer(bootstrap_servers=kafka.bootstrap_servers) as producer:
        producer.produce(small, bytes(1000))
        producer.produce(other, bytes(1000))
        with pytest.raises(UnobservedDeliveryError):
            producer.flush(30)
        found = producer.metrics()
    errors = [found[f"producer-topic-metrics.{topic}"]["record-error-total"] for topic in (small, other)]
    assert errors == [1, 0]
    assert found["producer-metrics"]["record-error-total"] == 1


def test_the_time_of_transactions_is_counted(kafka: KafkaCluster, caplog: pytest.LogCaptureFixture) -> None:
    topic = new_topic()
    kafka.create_topic(topic)
    caplog.set_level(logging.INFO, "kproducer.statistics")
    has_told = threading.Event()  # set after the line has been written
    with KafkaProducer(
        bootstrap_servers=kafka.bootstrap_servers,
        transactional_id=topic,
        statistics_interval_ms=20,
        statistics_callback=lambda _: has_told.set(),
    ) as producer:
        producer.init_transactions()
        with producer.transaction():
            producer.produce(topic, b"v")
        found = producer.metrics()["producer-metrics"]
        assert has_told.wait(60)
    for call in CALLS:
        assert 0 < found[f"txn-{call}-time-ns-total"] < 60e9, call
    assert found["txn-abort-time-ns-total"] == found["txn-send-offsets-time-ns-total"] == 0
    assert any(" records/s, " in message for message in caplog.messages)
