"""Topics that are unknown, forbidden, remade, grown, or that refuse a batch or one of its records."""

from __future__ import annotations

import itertools
import random
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Final

import pytest
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    ResourcePatternType,
    ResourceType,
)

from kproducer import KafkaProducer
from kproducer._core.hashing import murmur2
from kproducer.errors import (
    KafkaError,
    KafkaTimeoutError,
    RecordTooLargeError,
    TopicAuthorizationError,
    UnknownTopicOrPartitionError,
)
from kproducer.protocol.messages.metadata import METADATA, MetadataResponse, MetadataResponseTopic
from kproducer.protocol.messages.produce import PRODUCE
from kproducer.testing import KafkaCluster
from kproducer.testing.properties import PropertyValue
from tests.fakes.scripted_broker import VERSION_TABLES, Close, Handler, Received, Reply
from tests.faults.admin import acls_of, add_partitions, delete_topic, wait_until
from tests.faults.conftest import start_cluster
from tests.faults.matrix import Recorder
from tests.faults.stage import TOPIC, Stage, answered, facts_of, stage
from tests.faults.workload import Workload, read_back

_UNKNOWN: Final = 3
_NOT_AUTHORIZED: Final = 29


def _name() -> str:
    return f"topics-{uuid.uuid4().hex[:8]}"


def _with_code(code: int) -> Callable[[MetadataResponse], MetadataResponse]:
    def change(truth: MetadataResponse) -> MetadataResponse:
        topics = (MetadataResponseTopic(error_code=code, name=topic.name) for topic in truth.topics)
        return replace(truth, topics=tuple(topics))

    return change


# --- F19: deleted and made again --------------------------------------------------------------------------------


@pytest.mark.row("F19")
@pytest.mark.parametrize("release", ["2.7", "4.1"], ids=["by name", "by id"])
def test_a_topic_made_again_under_load_gets_what_comes_after(release: str) -> None:

    with stage(partitions=2, versions=VERSION_TABLES[release]) as on:
        with on.producer(batch_size=500, metadata_max_age_ms=50) as producer:
            workload = Workload(producer, TOPIC, 2, rate=2_000)
            workload.start()
            for _ in range(3):
                wait_until(lambda: sum(on.topic.next_offsets.values()) > 300, "nothing arrives")
                on.topic = on.cluster.create_topic(TOPIC, [1, 1])
            wait_until(lambda: sum(on.topic.next_offsets.values()) > 300, "nothing arrives in the new topic")
            workload.stop()
            producer.flush(10)
        last = workload.judge(on.logs())
        # What went to the old topics is gone with them; the rest is there once, in order, and all has ended.
        assert (last.duplicated, last.reordered, last.phantom) == (0, 0, 0)
        assert (last.not_completed, last.completed_twice, last.false_failures) == (0, 0, 0)
        assert last.failed == 0, last.causes


@pytest.mark.row("F19")
def test_records_for_partitions_that_a_new_topic_has_not_fail_and_the_others_arrive() -> None:
    with stage(partitions=3) as on, on.producer() as producer:
        for p in range(3):
            producer.send(TOPIC, b"0", partition=p).result(10)
        on.topic = on.cluster.create_topic(TOPIC, [1])
        vanished = producer.send(TOPIC, b"1", partition=2)
        assert producer.send(TOPIC, b"1", partition=0).result(10).offset == 0
        with pytest.raises(KafkaError) as caught:
            vanished.result(10)
        assert (caught.value.topic, caught.value.partition) == (TOPIC, 2)
        assert producer.send(TOPIC, b"2", partition=0).result(10).offset == 1


@pytest.mark.row("F19")
def test_the_error_of_a_vanished_partition_says_that_it_is_unknown() -> None:
    with stage(partitions=3) as on, on.producer() as producer:
        producer.send(TOPIC, b"0", partition=2).result(10)
        on.topic = on.cluster.create_topic(TOPIC, [1])
        with pytest.raises(UnknownTopicOrPartitionError) as caught:  # long before delivery.timeout.ms
            producer.send(TOPIC, b"1", partition=2).result(10)
        assert caught.value.persisted == "no"


def _held(reply: Callable[[Received], Reply]) -> tuple[Handler, threading.Event, threading.Event]:
    """A handler that takes a request (first event) and replies when it is let go (second)."""
    has_come, may_go = threading.Event(), threading.Event()

    def handler(request: Received) -> Reply:
        made = reply(request)
        has_come.set()
        may_go.wait(10)
        return made

    return handler, has_come, may_go


def _make_again_under_way(on: Stage, partitions: int, has_come: threading.Event) -> None:
    """Once the request has come: another topic of that name, of which the producer has heard."""
    assert has_come.wait(10)
    on.topic = on.cluster.create_topic(TOPIC, [1] * partitions)
    on.wait_for_metadata(2)  # it asks the second time when it has taken the answer to the first


@pytest.mark.row("F19")
@pytest.mark.parametrize(
    ("reply", "persisted"),
    [(answered(100), "no"), (lambda request: Close(), "maybe")],
    ids=["refused", "lost"],
)
def test_a_record_on_its_way_to_a_partition_that_vanishes_fails_when_its_answer_has_come(
    reply: Handler, persisted: str
) -> None:
    with stage(partitions=3) as on, on.producer(metadata_max_age_ms=50) as producer:
        producer.send(TOPIC, b"0", partition=2).result(10)
        handler, has_come, may_go = _held(reply)
        on.brokers[0].push(PRODUCE, handler)
        future = producer.send(TOPIC, b"1", partition=2)
        _make_again_under_way(on, 1, has_come)
        may_go.set()
        with pytest.raises(UnknownTopicOrPartitionError) as caught:
            future.result(10)
        assert facts_of(caught.value) == {
            "broker": 1, "place": (TOPIC, 2), "attempts": 1, "persisted": persisted
        }  # fmt: skip


@pytest.mark.row("F19")
@pytest.mark.parametrize("release", ["2.8", "4.1"], ids=["by name", "by id"])
def test_an_answer_of_the_old_topic_counts_and_costs_no_connection(release: str) -> None:
    with (
        stage(partitions=2, versions=VERSION_TABLES[release]) as on,
        on.producer(metadata_max_age_ms=50) as producer,
    ):
        broker = on.brokers[0]
        assert producer.send(TOPIC, b"0", partition=0).result(10).offset == 0
        handler, has_come, may_go = _held(broker.default(PRODUCE))
        broker.push(PRODUCE, handler)
        future = producer.send(TOPIC, b"1", partition=0)
        connections = broker.connections
        _make_again_under_way(on, 2, has_come)
        may_go.set()
        assert future.result(10).offset == 1
        assert producer.send(TOPIC, b"2", partition=0).result(10).offset == 0
        assert broker.connections == connections
        assert on.values() == [b"2"]


@pytest.mark.row("F19")
@pytest.mark.chaos
@pytest.mark.timeout(240)
def test_a_real_topic_deleted_and_made_again_under_load_gets_what_comes_after(
    harmed3: KafkaCluster, matrix: Recorder
) -> None:
    topic = _name()
    harmed3.create_topic(topic, 3, 3)
    with KafkaProducer(
        bootstrap_servers=harmed3.bootstrap_servers, metadata_max_age_ms=1_000, allow_auto_create_topics=False,
        request_timeout_ms=3_000, max_block_ms=60_000,
    ) as producer:  # fmt: skip
        workload = Workload(producer, topic, 3, rate=3_000)
        workload.start()
        for _ in range(5):
            time.sleep(2)
            delete_topic(harmed3, topic)
            harmed3.create_topic(topic, 3, 3)
        made_again = time.monotonic()
        time.sleep(5)
        workload.stop()
        producer.flush(60)
    verdict = workload.verdict(harmed3.bootstrap_servers)
    faults = verdict.faults
    faults.pop("lost", None)  # with the topics that were deleted
    faults.pop("misplaced", None)
    assert faults == {}, verdict.causes
    assert workload.recovery_s(made_again) < 5
    verdict.lost = 0
    matrix.record(verdict)


# --- F20: unknown or forbidden ----------------------------------------------------------------------------------


@pytest.mark.row("F20")
def test_an_unknown_topic_is_named_within_max_block_ms_and_found_once_it_is_there() -> None:
    with stage() as on, on.producer(max_block_ms=400, allow_auto_create_topics=False) as producer:
        began = time.monotonic()
        with pytest.raises(KafkaTimeoutError, match="no-such-topic") as caught:
            producer.send("no-such-topic", b"0")
        assert 0.35 < time.monotonic() - began < 1.5
        assert isinstance(caught.value.__cause__, KafkaError)
        assert caught.value.__cause__.code == _UNKNOWN
        assert (caught.value.topic, caught.value.persisted) == ("no-such-topic", "no")
        requests = on.brokers[0].received(METADATA)
        assert not any(request.body.allow_auto_topic_creation for request in requests)
        on.cluster.create_topic("no-such-topic", [1])
        assert producer.send("no-such-topic", b"0").result(10).offset == 0


@pytest.mark.row("F20")
def test_a_real_cluster_is_not_asked_to_create_topics_unless_that_is_wanted(harmed3: KafkaCluster) -> None:
    topic = _name()
    config: dict[str, Any] = {"bootstrap_servers": harmed3.bootstrap_servers}
    with (
        KafkaProducer(config, max_block_ms=1_500, allow_auto_create_topics=False) as forbidding,
        pytest.raises(KafkaTimeoutError, match=topic),
    ):
        forbidding.send(topic, b"0")
    with KafkaProducer(config, max_block_ms=20_000) as allowing:
        assert allowing.send(topic, b"0", partition=0).result(20).offset == 0


@pytest.mark.row("F20")
def test_a_forbidden_topic_is_an_error_at_once_and_works_when_access_is_granted() -> None:
    with stage() as on, on.producer() as producer:
        grant = on.on_metadata(_with_code(_NOT_AUTHORIZED))
        began = time.monotonic()
        with pytest.raises(TopicAuthorizationError, match=TOPIC):
            producer.send(TOPIC, b"0")
        assert time.monotonic() - began < 2
        grant()
        assert producer.send(TOPIC, b"1").result(10).offset == 0
        assert on.values() == [b"1"]


@pytest.mark.row("F20")
def test_access_that_is_taken_while_sending_fails_the_records_and_gives_them_way_when_it_is_back() -> None:
    with stage() as on, on.producer() as producer:
        broker = on.brokers[0]
        producer.send(TOPIC, b"0", partition=0).result(10)
        broker.push(PRODUCE, answered(_NOT_AUTHORIZED))
        with pytest.raises(TopicAuthorizationError) as caught:
            producer.send(TOPIC, b"1", partition=0).result(10)
        assert facts_of(caught.value) == {"broker": 1, "place": (TOPIC, 0), "attempts": 1, "persisted": "no"}
        assert producer.send(TOPIC, b"2", partition=0).result(10).offset == 1
        assert on.values() == [b"0", b"2"]


@pytest.fixture(scope="module")
def guarded() -> Iterator[KafkaCluster]:
    """One broker that knows access rights; without any, everybody may do everything."""
    properties: dict[str, PropertyValue] = {
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "allow.everyone.if.no.acl.found": True,
    }
    yield from start_cluster(1, properties=properties)


@pytest.mark.row("F20")
@pytest.mark.chaos
def test_a_real_access_right_that_is_denied_then_granted_needs_no_restart(guarded: KafkaCluster) -> None:
    topic = _name()
    guarded.create_topic(topic, 1, 1)
    place = (ResourceType.TOPIC, topic, ResourcePatternType.LITERAL, "User:ANONYMOUS", "*")
    denied = AclBinding(*place, AclOperation.WRITE, AclPermissionType.DENY)
    with KafkaProducer(bootstrap_servers=guarded.bootstrap_servers, linger_ms=0) as producer:
        assert producer.send(topic, b"0").result(20).offset == 0
        with acls_of(guarded, denied, AclBindingFilter(*place, AclOperation.WRITE, AclPermissionType.DENY)):
            wait_until(lambda: _error_of(producer, topic) is not None, "nothing is denied")
            error = _error_of(producer, topic)
            assert isinstance(error, TopicAuthorizationError)
            assert (error.topic, error.persisted) == (topic, "no")
        wait_until(lambda: _error_of(producer, topic) is None, "nothing is granted")


def _error_of(producer: KafkaProducer, topic: str) -> KafkaError | None:
    try:
        producer.send(topic, b"1").result(20)
    except KafkaError as error:
        return error
    return None


# --- F21: more partitions ---------------------------------------------------------------------------------------


def _partition_of(key: bytes, partitions: int) -> int:
    return (murmur2(key) & 0x7FFFFFFF) % partitions


@pytest.mark.row("F21")
def test_partitions_added_while_sending_move_each_key_once_and_get_records_without_key(
    harmed3: KafkaCluster,
) -> None:
    topic = _name()
    harmed3.create_topic(topic, 3, 3)
    keys = [b"key-%d" % n for n in range(40)]
    sent: list[tuple[int, Any]] = []
    with KafkaProducer(
        bootstrap_servers=harmed3.bootstrap_servers, metadata_max_age_ms=300, linger_ms=0, batch_size=2_000
    ) as producer:
        began = time.monotonic()
        n = 0
        while time.monotonic() - began < 4:
            if n == 200:
                add_partitions(harmed3, topic, 12)
                added = time.monotonic()
            sent.append((n, producer.send(topic, b"%d" % n, key=keys[n % 40])))
            producer.produce(topic, b"unkeyed %d" % n)
            n += 1
            time.sleep(0.001)
        producer.flush(20)
        places = [(i, future.result(1).partition) for i, future in sent]
    assert added is not None
    for number, key in enumerate(keys):
        seen = [partition for i, partition in places if i % 40 == number]
        moves = [(a, b) for a, b in itertools.pairwise(seen) if a != b]
        assert moves in ([], [(_partition_of(key, 3), _partition_of(key, 12))])
        assert seen[-1] == _partition_of(key, 12)
    logs = [[value for _, value in log] for log in read_back(harmed3.bootstrap_servers, topic, 12)]
    assert sum(map(len, logs)) == 2 * n
    for log in logs:
        keyed = [int(value) for value in log if not value.startswith(b"unkeyed")]
        assert keyed == sorted(keyed)
    assert all(any(value.startswith(b"unkeyed") for value in log) for log in logs)


# --- F22: batches and records too large -------------------------------------------------------------------------


@pytest.mark.row("F22")
@pytest.mark.parametrize("codec", ["none", "zstd"])
def test_a_batch_too_large_is_split_and_a_record_too_large_fails_alone(
    harmed3: KafkaCluster, codec: str
) -> None:
    topic = _name()
    harmed3.create_topic(topic, 1, 3, {"max.message.bytes": 2_000})
    noise = random.Random(1)
    values = [noise.randbytes(300) for _ in range(200)]
    values[90] = noise.randbytes(3_000)
    with KafkaProducer(
        bootstrap_servers=harmed3.bootstrap_servers, linger_ms=50, compression_type=codec
    ) as producer:
        futures = [producer.send(topic, value, partition=0) for value in values]
        errors = [future.exception(30) for future in futures]
        offsets = [
            future.result().offset for future, error in zip(futures, errors, strict=True) if error is None
        ]
    assert [n for n, error in enumerate(errors) if error is not None] == [90]
    assert offsets == list(range(199))
    error = errors[90]
    assert isinstance(error, RecordTooLargeError)
    assert facts_of(error)["persisted"] == "no"
    assert (error.topic, error.partition) == (topic, 0)
    assert error.broker in (1, 2, 3)
    left = [value for n, value in enumerate(values) if n != 90]
    assert read_back(harmed3.bootstrap_servers, topic, 1) == [list(enumerate(left))]


@pytest.mark.row("F22")
def test_batches_too_large_under_load_are_split_without_a_loss(
    harmed3: KafkaCluster, matrix: Recorder
) -> None:
    topic = _name()
    harmed3.create_topic(topic, 2, 3, {"max.message.bytes": 3_000})
    with KafkaProducer(bootstrap_servers=harmed3.bootstrap_servers, linger_ms=20) as producer:
        workload = Workload(producer, topic, 2, rate=3_000, size=200)
        workload.start()
        time.sleep(1.5)
        workload.stop()
        producer.flush(30)
        assert producer.metrics()["producer-metrics"]["batch-split-total"] > 10
    verdict = matrix.record(workload.verdict(harmed3.bootstrap_servers))
    assert (verdict.faults, verdict.failed) == ({}, 0)


# --- F23: one bad record ----------------------------------------------------------------------------------------

_HOURS_2: Final = 2 * 3600 * 1000


@pytest.mark.row("F23")
def test_a_record_without_key_for_a_compacted_topic_fails_alone(harmed3: KafkaCluster) -> None:
    topic = _name()
    harmed3.create_topic(topic, 1, 3, {"cleanup.policy": "compact"})
    _check_one_bad_record(harmed3, topic, 87, {"key": None})


@pytest.mark.row("F23")
def test_a_record_from_the_future_fails_alone(harmed3: KafkaCluster) -> None:
    topic = _name()
    harmed3.create_topic(topic, 1, 3)
    _check_one_bad_record(harmed3, topic, 32, {"timestamp_ms": int(time.time() * 1000) + _HOURS_2})


def _check_one_bad_record(harmed3: KafkaCluster, topic: str, code: int, flaw: dict[str, Any]) -> None:
    with KafkaProducer(bootstrap_servers=harmed3.bootstrap_servers, linger_ms=100) as producer:
        futures = []
        for n in range(50):
            fields = {"key": b"%d" % n} | (flaw if n == 20 else {})
            futures.append(producer.send(topic, b"%d" % n, partition=0, **fields))
        errors = [future.exception(30) for future in futures]
        assert [n for n, error in enumerate(errors) if error is not None] == [20]
        error = errors[20]
        assert error is not None
        assert (error.code, error.persisted, error.topic, error.partition) == (code, "no", topic, 0)
        later = [producer.send(topic, b"%d" % n, key=b"%d" % n, partition=0) for n in range(50, 60)]
        assert [future.result(20).offset for future in later] == list(range(49, 59))
    expected = [b"%d" % n for n in range(60) if n != 20]
    assert read_back(harmed3.bootstrap_servers, topic, 1) == [list(enumerate(expected))]
