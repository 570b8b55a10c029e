"""Rows F27 to F33 of the fault matrix: transactions on real brokers of both protocols, read back by another client."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, Final

import kafka as kafka_python
import pytest

from kproducer import (
    CommitFailedError,
    CommitOutcomeUnknownError,
    ConsumerGroupMetadata,
    KafkaError,
    KafkaProducer,
    ProducerFencedError,
    TopicPartition,
    TransactionAbortableError,
    TransactionCommittedError,
)
from kproducer.errors import InvalidRecordError, TopicAuthorizationError
from kproducer.protocol.messages.add_partitions_to_txn import ADD_PARTITIONS_TO_TXN, partition_results
from kproducer.protocol.messages.end_txn import END_TXN
from kproducer.protocol.messages.init_producer_id import INIT_PRODUCER_ID
from kproducer.protocol.messages.produce import PRODUCE
from kproducer.testing import Direction, FaultProxy, Hold, KafkaCluster, KafkaNode, Rewrite, Rule
from kproducer.testing.properties import PropertyValue
from tests.clusters import running_cluster
from tests.integration.readback import committed, committed_offset, is_open, uncommitted, wait_until_stable

_PATIENCE_S: Final = 60.0
_QUICK: Final[dict[str, Any]] = {
    "request_timeout_ms": 1_500,
    "retry_backoff_ms": 20,
    "retry_backoff_max_ms": 100,
    "reconnect_backoff_ms": 20,
    "reconnect_backoff_max_ms": 100,
    "max_block_ms": 60_000,
    "linger_ms": 0,
}
_STATE_PARTITIONS: Final = 3  # transaction.state.log.num.partitions of our clusters
_TOPIC_AUTHORIZATION_FAILED: Final = 29
_FENCED: Final = 90
_INVALID_STATE: Final = 48


# The coordinator looks for transactions that are over their time.
_ALERT: Final[dict[str, PropertyValue]] = {
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": 500,
    "broker.session.timeout.ms": 3000,
}
_PROTOCOL_1: Final = {"transaction.version": 1}


@pytest.fixture(scope="session")
def alert() -> Iterator[KafkaCluster]:
    """One broker of the newest Kafka, at transaction protocol 2."""
    yield from running_cluster(1, properties=_ALERT)


@pytest.fixture(scope="session")
def alert_v1() -> Iterator[KafkaCluster]:
    """One broker of the newest Kafka, whose cluster stays at transaction protocol 1."""
    yield from running_cluster(1, properties=_ALERT, features=_PROTOCOL_1)


@pytest.fixture(scope="session")
def alert_39() -> Iterator[KafkaCluster]:
    """One broker of the last Kafka that knows transaction protocol 1 only."""
    yield from running_cluster(1, "3.9.2", _ALERT)


@pytest.fixture(params=["alert", "alert_v1", pytest.param("alert_39", marks=pytest.mark.broker39)])
def coordinator(request: pytest.FixtureRequest) -> KafkaCluster:
    """One broker of each transaction protocol."""
    found: KafkaCluster = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def speaks_v2(request: pytest.FixtureRequest, coordinator: KafkaCluster) -> bool:
    """Whether `coordinator` speaks transaction protocol 2."""
    return bool(request.node.callspec.params["coordinator"] == "alert")


@pytest.fixture(scope="session")
def replicated_v1() -> Iterator[KafkaCluster]:
    """Three brokers of the newest Kafka, whose cluster stays at transaction protocol 1."""
    yield from running_cluster(3, properties=_ALERT, features=_PROTOCOL_1)


@pytest.fixture(params=["harmed3", pytest.param("replicated_v1", marks=pytest.mark.chaos)])
def replicated(request: pytest.FixtureRequest) -> KafkaCluster:
    """Three brokers, so that another takes over from a coordinator that dies."""
    found: KafkaCluster = request.getfixturevalue(request.param)
    return found


def _topic(cluster: KafkaCluster, **config: Any) -> str:
    name = f"rows-{uuid.uuid4().hex[:8]}"
    cluster.create_topic(name, config={name.replace("_", "."): value for name, value in config.items()})
    return name


def _producing(bootstrap_servers: str, transactional_id: str, **config: Any) -> KafkaProducer:
    """A producer ready for its first transaction."""
    settings = {"transaction_timeout_ms": 60_000} | _QUICK | config
    producer = KafkaProducer(
        bootstrap_servers=bootstrap_servers, transactional_id=transactional_id, **settings
    )
    producer.init_transactions(_PATIENCE_S)
    return producer


@contextlib.contextmanager
def _behind_proxy(
    cluster: KafkaCluster, transactional_id: str, **config: Any
) -> Iterator[tuple[FaultProxy, KafkaProducer]]:
    with (
        FaultProxy(cluster.bootstrap_servers.split(",")) as proxy,
        _producing(proxy.bootstrap_servers, transactional_id, **config) as producer,
    ):
        yield proxy, producer


def _wait_for(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen in {_PATIENCE_S:g} s"
        time.sleep(0.01)


# --- F27 -----------------------------------------------------------------------------------------------------


def _coordinator_of(cluster: KafkaCluster, transactional_id: str) -> KafkaNode:
    """The broker that leads the id's partition of the transaction log, chosen by Java's String.hashCode."""
    code = 0
    for character in transactional_id:
        code = (31 * code + ord(character)) & 0xFFFFFFFF
    return cluster.leader("__transaction_state", (code & 0x7FFFFFFF) % _STATE_PARTITIONS)


@pytest.mark.row("F27")
@pytest.mark.chaos
def test_a_coordinator_killed_before_the_commit_delays_it(replicated: KafkaCluster) -> None:
    topic = _topic(replicated)
    with _producing(replicated.bootstrap_servers, topic) as producer:
        producer.begin_transaction()
        producer.send(topic, b"v").result(_PATIENCE_S)
        node = _coordinator_of(replicated, topic)
        node.kill()
        try:
            producer.commit_transaction(_PATIENCE_S)
            with producer.transaction():
                producer.send(topic, b"next")
        finally:
            node.restart()
    assert committed(replicated.bootstrap_servers, topic) == [[b"v", b"next"]]


@pytest.mark.row("F27")
@pytest.mark.parametrize(
    "held",
    [pytest.param(Direction.REQUEST, marks=pytest.mark.chaos), Direction.RESPONSE],
    ids=["before the append", "after the append"],
)
def test_a_coordinator_killed_during_the_commit_delays_it(replicated: KafkaCluster, held: Direction) -> None:
    topic = _topic(replicated)
    with _behind_proxy(replicated, topic, request_timeout_ms=30_000) as (proxy, producer):
        rules = _hold_end(proxy, replicated, held)
        producer.begin_transaction()
        producer.send(topic, b"v").result(_PATIENCE_S)
        with _killed_when_held(proxy, replicated, rules):
            producer.commit_transaction(_PATIENCE_S)
            with producer.transaction():
                producer.send(topic, b"next")
    assert committed(replicated.bootstrap_servers, topic) == [[b"v", b"next"]]


def _hold_end(proxy: FaultProxy, cluster: KafkaCluster, direction: Direction) -> dict[str, Rule]:
    """Hold the next EndTxn, or its answer, whichever broker it goes to; returns the rules by broker."""
    addresses = [node.address for node in cluster.nodes]
    return {
        address: proxy.on(Hold(), api_key=END_TXN.key, direction=direction, broker=address)
        for address in addresses
    }


@contextlib.contextmanager
def _killed_when_held(proxy: FaultProxy, cluster: KafkaCluster, rules: dict[str, Rule]) -> Iterator[None]:
    """Kill the broker whose frame is held as soon as one is; the frame is lost, the broker runs again afterwards."""

    def kill() -> KafkaNode:
        _wait_for(lambda: any(rule.hits for rule in rules.values()), "the frame to hold")
        (node,) = (node for node in cluster.nodes if rules[node.address].hits)
        node.kill()
        proxy.cut(node.address)
        proxy.clear()
        return node

    with ThreadPoolExecutor(1) as pool:
        killing = pool.submit(kill)
        try:
            yield
        finally:
            killing.result().restart()


@pytest.mark.row("F27")
@pytest.mark.chaos
@pytest.mark.parametrize("held", Direction, ids=["before the append", "after the append"])
@pytest.mark.parametrize("then", ["commit", "abort"])
def test_a_commit_given_up_when_its_coordinator_dies_tells_the_truth_later(
    replicated: KafkaCluster, held: Direction, then: str
) -> None:
    topic = _topic(replicated)
    with _behind_proxy(replicated, topic, request_timeout_ms=30_000) as (proxy, producer):
        rules = _hold_end(proxy, replicated, held)
        producer.begin_transaction()
        producer.send(topic, b"v").result(_PATIENCE_S)
        with pytest.raises(CommitOutcomeUnknownError) as unknown:
            producer.commit_transaction(2)
        assert unknown.value.persisted == "maybe"
        with _killed_when_held(proxy, replicated, rules):
            is_committed = _ended(producer, then)
            with producer.transaction():
                producer.send(topic, b"next")
    assert is_committed is (then == "commit" or held is Direction.RESPONSE)
    expected = [b"v", b"next"] if is_committed else [b"next"]
    assert committed(replicated.bootstrap_servers, topic) == [expected]


def _ended(producer: KafkaProducer, how: str) -> bool:
    """End a transaction; returns whether it was committed."""
    if how == "commit":
        producer.commit_transaction(_PATIENCE_S)
        return True
    try:
        producer.abort_transaction(_PATIENCE_S)
    except TransactionCommittedError:
        return True
    return False


# --- F28 -----------------------------------------------------------------------------------------------------


def _kept(proxy: FaultProxy, api_key: int) -> list[bytes]:
    """The next request of an API, which is taken off the road to be delivered later."""
    kept: list[bytes] = []

    def keep(frame: bytes) -> bytes:
        kept.append(frame)
        return b""

    proxy.on(Rewrite(keep), api_key=api_key, direction=Direction.REQUEST)
    return kept


def _delivered(frame: bytes, node: KafkaNode) -> bytes:
    """Deliver a request to a broker, late and by another connection; returns its answer without the size."""
    with socket.create_connection(("127.0.0.1", node.port), timeout=_PATIENCE_S) as connection:
        connection.sendall(frame)
        with connection.makefile("rb") as answers:
            (size,) = struct.unpack(">i", answers.read(4))
            return answers.read(size)


@pytest.mark.row("F28")
@pytest.mark.parametrize("end", ["commit", "abort"])
def test_a_delayed_end_of_a_transaction_does_not_end_the_next_one(
    coordinator: KafkaCluster, speaks_v2: bool, end: str
) -> None:
    topic = _topic(coordinator)
    with _behind_proxy(coordinator, topic) as (proxy, producer):
        epochs = proxy.requests(INIT_PRODUCER_ID.key)
        late = _kept(proxy, END_TXN.key)
        producer.begin_transaction()
        producer.send(topic, b"first").result(_PATIENCE_S)
        _ended(producer, end)  # by another connection, as the first one's answer is overdue
        assert proxy.requests(END_TXN.key) == 2
        producer.begin_transaction()
        producer.send(topic, b"second").result(_PATIENCE_S)
        answer = _delivered(late[0], _coordinator_of(coordinator, topic))
        _, told = END_TXN.decode_response(answer, 5 if speaks_v2 else 4)
        assert told.error_code != 0
        assert is_open(coordinator.bootstrap_servers, topic)
        producer.send(topic, b"third").result(_PATIENCE_S)
        producer.commit_transaction(_PATIENCE_S)
        # Under protocol 1 both transactions would have the same epoch (KAFKA-17754).
        assert (proxy.requests(INIT_PRODUCER_ID.key) == epochs) is speaks_v2
    visible = [b"first"] * (end == "commit") + [b"second", b"third"]
    assert committed(coordinator.bootstrap_servers, topic) == [visible]
    assert uncommitted(coordinator.bootstrap_servers, topic) == [[b"first", b"second", b"third"]]


@pytest.mark.row("F28")
def test_a_delayed_addition_of_a_partition_opens_no_transaction(alert_v1: KafkaCluster) -> None:
    topic = _topic(alert_v1)
    with _behind_proxy(alert_v1, topic) as (proxy, producer):
        epochs = proxy.requests(INIT_PRODUCER_ID.key)
        late = _kept(proxy, ADD_PARTITIONS_TO_TXN.key)
        with producer.transaction():
            producer.send(topic, b"first")
        _wait_for(lambda: proxy.requests(INIT_PRODUCER_ID.key) > epochs, "the new epoch")
        with producer.transaction():
            producer.send(topic, b"second")
        answer = _delivered(late[0], alert_v1.nodes[0])
        ((_, _, code),) = partition_results(ADD_PARTITIONS_TO_TXN.decode_response(answer, 3)[1])
        assert code != 0
    assert committed(alert_v1.bootstrap_servers, topic) == [[b"first", b"second"]]


# --- F29, F30 ------------------------------------------------------------------------------------------------


def _assert_over(call: Callable[[], object], *codes: int) -> None:
    """The call says that it is over for good, and the two things that may have happened."""
    with pytest.raises(KafkaError, match=r"another producer.*transaction\.timeout\.ms=") as over:
        call()
    assert over.value.fatal
    assert over.value.code in codes


def _assert_only_close_is_left(producer: KafkaProducer, topic: str, *codes: int) -> None:
    for call in (producer.begin_transaction, producer.commit_transaction, producer.abort_transaction):
        _assert_over(call, *codes)
    _assert_over(lambda: producer.send(topic, b"refused"), *codes)
    began = time.monotonic()
    producer.close(10)
    assert time.monotonic() - began < 5


@pytest.mark.row("F29")
@pytest.mark.parametrize("call", ["commit", "abort"])
def test_a_second_producer_of_an_id_fences_the_first(coordinator: KafkaCluster, call: str) -> None:
    topic = _topic(coordinator)
    old = _producing(coordinator.bootstrap_servers, topic)
    old.begin_transaction()
    old.send(topic, b"old").result(_PATIENCE_S)
    with _producing(coordinator.bootstrap_servers, topic) as new:
        with new.transaction():
            new.send(topic, b"new")
        _assert_over(old.commit_transaction if call == "commit" else old.abort_transaction, _FENCED)
        _assert_only_close_is_left(old, topic, _FENCED)
        with new.transaction():
            new.send(topic, b"new again")
    assert committed(coordinator.bootstrap_servers, topic) == [[b"new", b"new again"]]


@pytest.mark.row("F29")
def test_a_record_of_a_fenced_producer_fails_and_so_does_its_transaction(coordinator: KafkaCluster) -> None:
    topic = _topic(coordinator)
    old = _producing(coordinator.bootstrap_servers, topic)
    with old.transaction():
        old.send(topic, b"old")
    with _producing(coordinator.bootstrap_servers, topic) as new:
        old.begin_transaction()
        error = old.send(topic, b"fenced").exception(_PATIENCE_S)
        assert error is not None
        with pytest.raises((TransactionAbortableError, ProducerFencedError)):
            old.commit_transaction(_PATIENCE_S)
        _assert_over(lambda: old.abort_transaction(_PATIENCE_S), _FENCED)
        _assert_only_close_is_left(old, topic, _FENCED)
        with new.transaction():
            new.send(topic, b"new")
    assert committed(coordinator.bootstrap_servers, topic) == [[b"old", b"new"]]


@pytest.mark.row("F30")
def test_a_transaction_over_its_time_is_aborted_and_its_producer_told_why(coordinator: KafkaCluster) -> None:
    topic = _topic(coordinator)
    servers = coordinator.bootstrap_servers
    slow = _producing(servers, topic, transaction_timeout_ms=2_000)
    slow.begin_transaction()
    slow.send(topic, b"late").result(_PATIENCE_S)
    wait_until_stable(servers, topic)
    _assert_over(lambda: slow.commit_transaction(_PATIENCE_S), _FENCED, _INVALID_STATE)
    _assert_only_close_is_left(slow, topic, _FENCED, _INVALID_STATE)
    with _producing(servers, topic) as again, again.transaction():
        again.send(topic, b"in time")
    assert uncommitted(servers, topic) == [[b"late", b"in time"]]
    assert committed(servers, topic) == [[b"in time"]]


# --- F31 -----------------------------------------------------------------------------------------------------

_VICTIM: Final = """
import sys, time
from kproducer import KafkaProducer
servers, topic, timeout_ms, count = sys.argv[1:]
producer = KafkaProducer(
    bootstrap_servers=servers, transactional_id=topic, transaction_timeout_ms=int(timeout_ms), linger_ms=0
)
producer.init_transactions(60)
for transaction in range(int(count)):
    producer.begin_transaction()
    for n in range(10):
        producer.send(topic, b"%d-%d" % (transaction, n))
    producer.flush(60)
    print(transaction, flush=True)
    if transaction + 1 < int(count):
        producer.commit_transaction(60)
time.sleep(600)
"""


def _killed_in_transaction(
    servers: str, topic: str, *, timeout_ms: int, count: int = 1, after: int = 0
) -> None:
    """Run a producer in a process of its own, and kill that when transaction `after` of `count` has its records."""
    command = [sys.executable, "-c", _VICTIM, servers, topic, str(timeout_ms), str(count)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=dict(os.environ)) as victim:
        assert victim.stdout is not None
        try:
            while victim.stdout.readline().strip() != str(after):
                assert victim.poll() is None, "the producer's process ended by itself"
        finally:
            victim.send_signal(signal.SIGKILL)


@pytest.mark.row("F31")
def test_the_transaction_of_a_killed_process_is_aborted_by_its_successor(coordinator: KafkaCluster) -> None:
    topic = _topic(coordinator)
    servers = coordinator.bootstrap_servers
    _killed_in_transaction(servers, topic, timeout_ms=60_000, count=2, after=1)
    assert is_open(servers, topic)
    with _producing(servers, topic) as successor:
        wait_until_stable(servers, topic, timeout_s=10)
        with successor.transaction():
            successor.send(topic, b"successor")
    assert len(uncommitted(servers, topic)[0]) == 21
    assert committed(servers, topic) == [[*(b"0-%d" % n for n in range(10)), b"successor"]]


@pytest.mark.row("F31")
def test_the_transaction_of_a_killed_process_ends_by_itself_after_its_timeout(
    coordinator: KafkaCluster,
) -> None:
    topic = _topic(coordinator)
    servers = coordinator.bootstrap_servers
    _killed_in_transaction(servers, topic, timeout_ms=3_000)
    with _producing(servers, f"other-{topic}") as other, other.transaction():
        other.send(topic, b"other")
    wait_until_stable(servers, topic)
    assert len(uncommitted(servers, topic)[0]) == 11
    assert committed(servers, topic) == [[b"other"]]


@pytest.mark.row("F31")
@pytest.mark.chaos
def test_a_process_killed_at_any_moment_leaves_whole_transactions(coordinator: KafkaCluster) -> None:
    topic = _topic(coordinator)
    servers = coordinator.bootstrap_servers
    for moment in range(8):
        _killed_in_transaction(servers, topic, timeout_ms=60_000, count=1_000, after=moment * 7)
    _producing(servers, topic).close()
    (found,) = committed(servers, topic)
    assert len(found) > 8
    for start in range(0, len(found), 10):
        transaction, _, _ = found[start].partition(b"-")
        assert found[start : start + 10] == [b"%s-%d" % (transaction, n) for n in range(10)]


# --- F32 -----------------------------------------------------------------------------------------------------


def _assert_doomed(producer: KafkaProducer, topic: str) -> None:
    """The transaction takes no commit and no more records."""
    doomed: list[Callable[[], object]] = [
        lambda: producer.commit_transaction(_PATIENCE_S),
        lambda: producer.send(topic, b"refused", b"key"),
        lambda: producer.commit_transaction(_PATIENCE_S),
    ]
    for call in doomed:
        with pytest.raises(TransactionAbortableError) as refused:
            call()
        assert refused.value.requires_abort
        assert not refused.value.fatal


@pytest.mark.row("F32")
def test_a_refused_record_dooms_its_transaction_which_is_really_aborted(coordinator: KafkaCluster) -> None:
    topic = _topic(coordinator, cleanup_policy="compact")
    with _behind_proxy(coordinator, topic) as (proxy, producer):
        producer.begin_transaction()
        error = producer.send(topic, b"without a key").exception(_PATIENCE_S)
        assert isinstance(error, InvalidRecordError)
        _assert_doomed(producer, topic)
        assert proxy.requests(END_TXN.key) == 0
        producer.abort_transaction(_PATIENCE_S)
        # Nothing was acknowledged, but the coordinator knows of the partition (KAFKA-12671).
        assert proxy.requests(END_TXN.key) == 1
        with producer.transaction():
            producer.send(topic, b"next", b"key")
    assert committed(coordinator.bootstrap_servers, topic) == [[b"next"]]


@pytest.mark.row("F32")
def test_a_topic_that_may_not_be_written_dooms_the_transaction(
    coordinator: KafkaCluster, speaks_v2: bool
) -> None:
    topic = _topic(coordinator)
    with _behind_proxy(coordinator, topic) as (proxy, producer):
        with producer.transaction():
            producer.send(topic, b"before", b"key")
        version = 13 if speaks_v2 else 11
        proxy.on(Rewrite(lambda frame: _refused(frame, version, _TOPIC_AUTHORIZATION_FAILED)))
        producer.begin_transaction()
        error = producer.send(topic, b"denied", b"key").exception(_PATIENCE_S)
        assert isinstance(error, TopicAuthorizationError)
        _assert_doomed(producer, topic)
        producer.abort_transaction(_PATIENCE_S)
        with producer.transaction():
            producer.send(topic, b"next", b"key")
    assert committed(coordinator.bootstrap_servers, topic) == [[b"before", b"next"]]


def _refused(frame: bytes, version: int, code: int) -> bytes:
    """A Produce answer with this code for each partition."""
    correlation_id, told = PRODUCE.decode_response(frame[4:], version)
    responses = tuple(
        replace(
            topic,
            partition_responses=tuple(
                replace(part, error_code=code, base_offset=-1) for part in topic.partition_responses
            ),
        )
        for topic in told.responses
    )
    return PRODUCE.encode_response(replace(told, responses=responses), version, correlation_id=correlation_id)


# --- F33 -----------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _member(servers: str, topic: str, group: str) -> Iterator[kafka_python.KafkaConsumer]:
    """A consumer; it joins the group while it polls."""
    consumer = kafka_python.KafkaConsumer(
        topic, bootstrap_servers=servers, group_id=group, enable_auto_commit=False, heartbeat_interval_ms=200
    )
    try:
        assert consumer.partitions_for_topic(topic)
        yield consumer
    finally:
        consumer.close()


@contextlib.contextmanager
def _newcomer(servers: str, topic: str, group: str) -> Iterator[None]:
    """Another consumer of the group, in a thread of its own."""
    is_over = threading.Event()

    def poll() -> None:
        with _member(servers, topic, group) as consumer:
            while not is_over.is_set():
                consumer.poll(100)

    with ThreadPoolExecutor(1) as pool:
        polling = pool.submit(poll)
        try:
            yield
        finally:
            is_over.set()
            polling.result(_PATIENCE_S)


def _metadata(consumer: kafka_python.KafkaConsumer) -> ConsumerGroupMetadata:
    member = consumer.group_metadata()
    return ConsumerGroupMetadata(
        member.group_id, member.generation_id, member.member_id, member.group_instance_id
    )


def _polled(consumer: kafka_python.KafkaConsumer) -> kafka_python.KafkaConsumer:
    """Let the consumer do its work for a moment; what it reads does not matter."""
    consumer.poll(100)
    return consumer


@pytest.mark.row("F33")
def test_positions_of_a_member_that_a_rebalance_left_behind_are_refused(coordinator: KafkaCluster) -> None:
    topic = _topic(coordinator)
    servers, group, place = coordinator.bootstrap_servers, f"group-{topic}", TopicPartition(topic, 0)
    with _producing(servers, topic) as producer, _member(servers, topic, group) as consumer:
        _wait_for(lambda: _polled(consumer).assignment(), "the assignment")
        before = _metadata(consumer)
        with producer.transaction():
            producer.send_offsets_to_transaction({place: 1}, before, _PATIENCE_S)
        producer.begin_transaction()
        producer.send(topic, b"stale").result(_PATIENCE_S)
        with _newcomer(servers, topic, group):
            _wait_for(
                lambda: _metadata(_polled(consumer)).generation_id > before.generation_id,
                "the rebalance",
            )
        with pytest.raises(CommitFailedError) as refused:
            producer.send_offsets_to_transaction({place: 2}, before, _PATIENCE_S)
        assert refused.value.requires_abort
        assert not refused.value.fatal
        with pytest.raises(TransactionAbortableError):
            producer.commit_transaction(_PATIENCE_S)
        producer.abort_transaction(_PATIENCE_S)
        assert committed_offset(servers, group, topic) == 1
    assert committed(servers, topic) == [[]]


@pytest.mark.row("F33")
def test_positions_of_somebody_who_is_no_member_are_refused(coordinator: KafkaCluster) -> None:
    topic = _topic(coordinator)
    servers, group, place = coordinator.bootstrap_servers, f"group-{topic}", TopicPartition(topic, 0)
    with _producing(servers, topic) as producer:
        producer.begin_transaction()
        with pytest.raises(CommitFailedError):
            producer.send_offsets_to_transaction(
                {place: 2}, ConsumerGroupMetadata(group, 3, "stranger"), _PATIENCE_S
            )
        producer.abort_transaction(_PATIENCE_S)
        with producer.transaction():
            producer.send(topic, b"next")
    assert committed_offset(servers, group, topic) is None
    assert committed(servers, topic) == [[b"next"]]
