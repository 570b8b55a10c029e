"""The fault proxy before a real Kafka: what it forges is understood, and what it hides is survived."""

from __future__ import annotations

import time
from typing import Final

import confluent_kafka
import pytest

from kproducer import KafkaProducer, TopicPartition
from kproducer.testing import Answer, ApiKey, Close, Delay, Direction, FaultProxy, KafkaCluster
from tests.integration.readback import committed, committed_offset, new_topic, read_all

_COORDINATOR_LOAD_IN_PROGRESS: Final = 14
_COORDINATOR_NOT_AVAILABLE: Final = 15
_NOT_ENOUGH_REPLICAS: Final = 19
_REQUEST_TIMED_OUT: Final = 7
_CONCURRENT_TRANSACTIONS: Final = 51
_QUICK: Final = {"linger_ms": 0, "retry_backoff_ms": 20, "retry_backoff_max_ms": 100}


def _topic(cluster: KafkaCluster) -> str:
    name = new_topic()
    cluster.create_topic(name)
    return name


def test_a_producer_retries_the_errors_that_it_is_told(kafka: KafkaCluster) -> None:
    topic = _topic(kafka)
    with (
        FaultProxy(kafka.bootstrap_servers) as proxy,
        KafkaProducer(_QUICK, bootstrap_servers=proxy.bootstrap_servers) as producer,
    ):
        rule = proxy.on(Answer(_NOT_ENOUGH_REPLICAS), times=3)
        assert producer.send(topic, b"v").result(30).offset == 0
        assert producer.metrics()["producer-metrics"]["record-retry-total"] == 3
    assert rule.hits == 3
    assert [seen.value for seen in read_all(kafka.bootstrap_servers, topic)] == [b"v"]


@pytest.mark.parametrize(
    "effect", [Answer(_REQUEST_TIMED_OUT, forwards=True), Close()], ids=["an error", "no answer"]
)
def test_what_was_written_before_its_answer_was_lost_is_there_once(
    kafka: KafkaCluster, effect: Answer | Close
) -> None:
    topic = _topic(kafka)
    with (
        FaultProxy(kafka.bootstrap_servers) as proxy,
        KafkaProducer(_QUICK, bootstrap_servers=proxy.bootstrap_servers) as producer,
    ):
        rule = proxy.on(effect, times=2)
        for n in range(10):
            producer.send(topic, b"%d" % n).result(30)
        assert proxy.requests(ApiKey.PRODUCE) == 12
    assert rule.hits == 2
    assert [seen.value for seen in read_all(kafka.bootstrap_servers, topic)] == [b"%d" % n for n in range(10)]


def test_every_request_of_a_transaction_may_be_refused_and_is_repeated(coordinator: KafkaCluster) -> None:
    topic = _topic(coordinator)
    group = f"{topic}-group"
    with (
        FaultProxy(coordinator.bootstrap_servers) as proxy,
        KafkaProducer(
            _QUICK, bootstrap_servers=proxy.bootstrap_servers, transactional_id=topic, max_block_ms=30_000
        ) as producer,
    ):
        rules = {
            api: proxy.on(Answer(code), api_key=api, times=2)
            for api, code in {
                ApiKey.FIND_COORDINATOR: _COORDINATOR_NOT_AVAILABLE,
                ApiKey.INIT_PRODUCER_ID: _COORDINATOR_LOAD_IN_PROGRESS,
                ApiKey.ADD_PARTITIONS_TO_TXN: _CONCURRENT_TRANSACTIONS,
                ApiKey.ADD_OFFSETS_TO_TXN: _COORDINATOR_LOAD_IN_PROGRESS,
                ApiKey.TXN_OFFSET_COMMIT: _COORDINATOR_LOAD_IN_PROGRESS,
                ApiKey.END_TXN: _COORDINATOR_LOAD_IN_PROGRESS,
            }.items()
        }
        producer.init_transactions()
        with producer.transaction():
            producer.send(topic, b"v")
            producer.send_offsets_to_transaction({TopicPartition(topic, 0): 1}, group)
        is_v2 = proxy.requests(ApiKey.ADD_PARTITIONS_TO_TXN) == 0
    only_v1 = {ApiKey.ADD_PARTITIONS_TO_TXN, ApiKey.ADD_OFFSETS_TO_TXN}
    assert {api: rule.hits for api, rule in rules.items()} == {
        api: 0 if is_v2 and api in only_v1 else 2 for api in rules
    }
    assert committed(coordinator.bootstrap_servers, topic) == [[b"v"]]
    assert committed_offset(coordinator.bootstrap_servers, group, topic) == 1


def test_latency_is_what_a_record_takes(kafka: KafkaCluster) -> None:
    topic = _topic(kafka)
    with (
        FaultProxy(kafka.bootstrap_servers) as proxy,
        KafkaProducer(_QUICK, bootstrap_servers=proxy.bootstrap_servers) as producer,
    ):
        producer.send(topic, b"warm").result(30)
        for direction in Direction:
            proxy.on(Delay(60, jitter_ms=10), api_key=None, direction=direction, times=None)
        began = time.monotonic()
        producer.send(topic, b"v").result(30)
        assert time.monotonic() - began >= 0.1


def test_other_clients_stay_behind_the_proxy(kafka3: KafkaCluster) -> None:
    topic = new_topic()
    kafka3.create_topic(topic, partitions=3)
    with FaultProxy(kafka3.nodes[0].address) as proxy:
        producer = confluent_kafka.Producer({"bootstrap.servers": proxy.bootstrap_servers, "log_level": 0})
        for partition in range(3):
            producer.produce(topic, b"v", partition=partition)
        assert producer.flush(30) == 0
        assert proxy.requests(ApiKey.PRODUCE) >= 3
        seen = read_all(proxy.bootstrap_servers, topic, partitions=3)
    assert [(record.partition, record.value) for record in seen] == [(0, b"v"), (1, b"v"), (2, b"v")]
