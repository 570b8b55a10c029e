"""Brokers of every supported release by their version tables, librdkafka's mock cluster, and real 3.9 and 2.8."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka import Producer as ConfluentProducer

from kproducer import KafkaProducer
from kproducer.errors import KafkaError
from kproducer.protocol.api import Api
from kproducer.protocol.messages.init_producer_id import INIT_PRODUCER_ID
from kproducer.protocol.messages.metadata import METADATA
from kproducer.protocol.messages.produce import PRODUCE
from kproducer.testing import KafkaCluster
from tests.fakes.scripted_broker import VERSION_TABLES, Close
from tests.faults.admin import wait_until
from tests.faults.conftest import start_cluster
from tests.faults.matrix import Recorder
from tests.faults.nemesis import Fault, Nemesis
from tests.faults.stage import TOPIC, answered, stage
from tests.faults.workload import Workload, read_back

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")


@pytest.mark.parametrize("release", VERSION_TABLES)
@pytest.mark.row("F48")
def test_a_release_gets_the_newest_words_that_it_knows(release: str) -> None:
    table = VERSION_TABLES[release]
    with stage(brokers=2, partitions=2, versions=table) as on, on.producer(batch_size=300) as producer:
        on.brokers[0].push(PRODUCE, answered(6), Close())
        futures = [producer.send(TOPIC, b"%d" % n, key=b"k", partition=n % 2) for n in range(200)]
        assert [future.result(10).offset for future in futures] == [n // 2 for n in range(200)]
        for partition, broker in enumerate(on.brokers):
            assert {request.api_version for request in broker.received(PRODUCE)} == {table[PRODUCE.key][1]}
            assert on.values(partition) == [b"%d" % n for n in range(partition, 200, 2)]


@pytest.mark.parametrize("release", VERSION_TABLES)
@pytest.mark.row("F48")
def test_a_rolling_upgrade_changes_the_words_on_each_connection(release: str) -> None:
    with stage(versions=VERSION_TABLES["2.1"]) as on, on.producer() as producer:
        broker = on.brokers[0]
        producer.send(TOPIC, b"0", partition=0).result(10)
        broker.versions = VERSION_TABLES[release]
        broker.close_connections()
        assert producer.send(TOPIC, b"1", partition=0).result(10).offset == 1
        newest = VERSION_TABLES[release][PRODUCE.key][1]
        # Topic ids come with the next metadata, and Produce 13 speaks of topics by id only.
        assert broker.received(PRODUCE)[-1].api_version in (newest, min(newest, 12))


@pytest.mark.row("F48")
def test_brokers_of_several_releases_in_one_cluster_each_get_their_own_words(matrix: Recorder) -> None:
    releases = ["2.8", "3.9", "4.0", "4.1"]
    with stage(brokers=4, partitions=4) as on:
        for broker, release in zip(on.brokers, releases, strict=True):
            broker.versions = VERSION_TABLES[release]
        with on.producer(batch_size=500, metadata_max_age_ms=50) as producer:
            workload = Workload(producer, TOPIC, 4, rate=2_000)
            workload.start()
            for turn in range(1, 4):
                on.wait_for_metadata(2)
                for partition in range(4):  # each leads each partition once
                    on.cluster.move(TOPIC, partition, (partition + turn) % 4 + 1)
                wait_until(lambda: workload.acknowledged() > 400 * turn, "nothing is acknowledged")  # noqa: B023
            workload.stop()
            producer.flush(10)
        for broker, release in zip(on.brokers, releases, strict=True):
            newest = VERSION_TABLES[release][PRODUCE.key][1]
            # Topic ids come from brokers that know them, and Produce 13 speaks of topics by id only.
            spoken = {request.api_version for request in broker.received(PRODUCE)}
            assert spoken <= {newest, min(newest, 12)}
    verdict = matrix.record(workload.judge(on.logs()))
    assert (verdict.faults, verdict.failed) == ({}, 0)


@pytest.mark.row("F48")
def test_produce_by_topic_id_is_not_spoken_to_a_broker_whose_metadata_has_no_ids() -> None:
    # Azure Event Hubs offers the newest Produce beside an old Metadata.
    with stage(versions={**VERSION_TABLES["4.1"], METADATA.key: (0, 9)}) as on, on.producer() as producer:
        assert [producer.send(TOPIC, b"%d" % n).result(10).offset for n in range(5)] == list(range(5))
        assert {request.api_version for request in on.brokers[0].received(PRODUCE)} == {12}


@pytest.mark.row("F48")
@pytest.mark.parametrize("missing", [METADATA, PRODUCE, INIT_PRODUCER_ID], ids=lambda api: api.name)
def test_an_api_that_no_broker_has_is_named_in_the_error(missing: Api[Any, Any]) -> None:
    table = {key: versions for key, versions in VERSION_TABLES["4.1"].items() if key != missing.key}
    with (
        stage(versions=table) as on,
        on.producer(max_block_ms=700, delivery_timeout_ms=1_000, request_timeout_ms=500) as producer,
    ):
        with pytest.raises(KafkaError) as caught:
            producer.send(TOPIC, b"0").result(10)
        assert missing.name in str(caught.value) or "enable.idempotence" in str(caught.value)


@pytest.mark.row("F48")
def test_the_mock_cluster_of_librdkafka_answers_api_versions_in_no_version_and_is_served() -> None:
    mock = ConfluentProducer({"test.mock.num.brokers": 3, "log_level": 0, "logger": _Silence()})
    brokers = mock.list_topics(timeout=10).brokers.values()
    servers = ",".join(f"{broker.host}:{broker.port}" for broker in brokers)
    with KafkaProducer(bootstrap_servers=servers, max_block_ms=10_000) as producer:
        futures = [producer.send("mocked", b"%d" % n, partition=n % 4) for n in range(1000)]
        assert [future.result(10).offset for future in futures] == [n // 4 for n in range(1000)]
    logs = read_back(servers, "mocked", 4)
    assert logs == [[(n // 4, b"%d" % n) for n in range(partition, 1000, 4)] for partition in range(4)]


class _Silence:
    """Takes what librdkafka logs about its mock cluster."""

    def log(self, *arguments: object) -> None:
        """Do nothing."""


def _check_codecs(kafka: KafkaCluster, **config: object) -> None:
    for codec in CODECS:
        topic = f"read-back-{uuid.uuid4().hex[:8]}"
        kafka.create_topic(topic, 3, 1)
        values = [b"%d " % n * 20 for n in range(3_000)]
        settings: dict[str, object] = {
            "bootstrap_servers": kafka.bootstrap_servers,
            "compression_type": codec,
        }
        with KafkaProducer(settings | config) as producer:
            futures = [producer.send(topic, value, partition=n % 3) for n, value in enumerate(values)]
            assert [future.result(20).offset for future in futures] == [n // 3 for n in range(3_000)]
        logs = read_back(kafka.bootstrap_servers, topic, 3)
        assert logs == [[(n // 3, values[n]) for n in range(p, 3_000, 3)] for p in range(3)]


@pytest.fixture(scope="module")
def kafka39() -> Iterator[KafkaCluster]:
    """Three brokers of 3.9."""
    yield from start_cluster(3, version="3.9.2")


@pytest.fixture(scope="module")
def kafka28() -> Iterator[KafkaCluster]:
    """One broker of 2.8, which forgets everything when it dies."""
    yield from start_cluster(1, version="2.8.2")


@pytest.mark.broker39
@pytest.mark.row("F48")
def test_kafka_39_takes_all_codecs(kafka39: KafkaCluster) -> None:
    _check_codecs(kafka39)


@pytest.mark.broker39
@pytest.mark.row("F48")
@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Fault.KILL, marks=pytest.mark.row("F1"), id="kill"),
        pytest.param(Fault.PAUSE, marks=pytest.mark.row("F3"), id="pause"),
    ],
)
def test_kafka_39_loses_nothing_when_a_leader_dies_or_freezes(
    kafka39: KafkaCluster, fault: Fault, matrix: Recorder
) -> None:
    topic = f"harmed-{uuid.uuid4().hex[:8]}"
    kafka39.create_topic(topic, 6, 3)
    with KafkaProducer(bootstrap_servers=kafka39.bootstrap_servers, request_timeout_ms=3_000) as producer:
        workload = Workload(producer, topic, 6)
        workload.start()
        Nemesis(kafka39, topic, 6, seed=1).strike(fault, 0, 5)
        workload.stop()
    verdict = matrix.record(workload.verdict(kafka39.bootstrap_servers))
    assert (verdict.faults, verdict.failed) == ({}, 0)


@pytest.mark.broker28
@pytest.mark.row("F48")
def test_kafka_28_takes_all_codecs_without_idempotence(kafka28: KafkaCluster) -> None:
    # Without idempotence a refused batch (a topic just made) may be overtaken, unless one is in flight.
    _check_codecs(kafka28, enable_idempotence=False, max_in_flight_requests_per_connection=1)


@pytest.mark.broker28
@pytest.mark.row("F48")
def test_kafka_28_in_kraft_mode_has_no_producer_ids_and_the_error_names_the_key(
    kafka28: KafkaCluster,
) -> None:
    kafka28.create_topic("idempotent", 1, 1)
    producer = KafkaProducer(bootstrap_servers=kafka28.bootstrap_servers, max_block_ms=10_000)
    try:
        with pytest.raises(KafkaError, match=r"enable\.idempotence") as caught:
            producer.send("idempotent", b"0").result(20)
        assert caught.value.fatal
    finally:
        producer.close(5)
