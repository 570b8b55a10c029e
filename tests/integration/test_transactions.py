"""Transactions against real brokers of both protocols (KIP-98, KIP-890); everything is read back by confluent-kafka."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import kafka as kafka_python
import pytest
from kafka.admin import KafkaAdminClient, UpdateFeatureType

from kproducer import (
    CommitFailedError,
    CommitOutcomeUnknownError,
    ConsumerGroupMetadata,
    IllegalStateError,
    KafkaProducer,
    KafkaTimeoutError,
    OffsetAndMetadata,
    RecordMetadata,
    RecordTooLargeError,
    TopicPartition,
    TransactionAbortableError,
    TransactionAbortedError,
    TransactionCommittedError,
)
from kproducer.errors import InvalidTxnTimeoutError, KafkaError
from kproducer.protocol.messages.add_offsets_to_txn import ADD_OFFSETS_TO_TXN
from kproducer.protocol.messages.add_partitions_to_txn import ADD_PARTITIONS_TO_TXN
from kproducer.protocol.messages.end_txn import END_TXN
from kproducer.protocol.messages.init_producer_id import INIT_PRODUCER_ID
from kproducer.protocol.messages.produce import PRODUCE
from kproducer.protocol.messages.txn_offset_commit import TXN_OFFSET_COMMIT
from kproducer.testing import Close, Direction, FaultProxy, Hold, KafkaCluster
from tests.integration.readback import (
    committed,
    committed_offset,
    is_open,
    new_topic,
    read_isolated,
    uncommitted,
    wait_until_stable,
)

_MIB = 1 << 20


def producing(bootstrap_servers: str, **config: Any) -> KafkaProducer:
    """A producer with an id of its own, ready for its first transaction."""
    settings = {"transactional_id": f"id-{new_topic()}", "transaction_timeout_ms": 120_000} | config
    producer = KafkaProducer(bootstrap_servers=bootstrap_servers, **settings)
    producer.init_transactions(30)
    return producer


def topic_of(cluster: KafkaCluster, partitions: int = 1, **config: Any) -> str:
    topic = new_topic()
    cluster.create_topic(topic, partitions, config=config)
    return topic


def numbered(first: int, count: int) -> list[bytes]:
    return [b"%d" % n for n in range(first, first + count)]


# --- commit and abort ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("codec", ["none", "zstd"])
def test_what_is_committed_is_seen_and_what_is_aborted_is_not(coordinator: KafkaCluster, codec: str) -> None:
    topic = topic_of(coordinator, partitions=3)
    with producing(coordinator.bootstrap_servers, compression_type=codec) as producer:
        for first, is_committed in ((0, True), (30, False), (60, True)):
            producer.begin_transaction()
            futures = [producer.send(topic, b"%d" % n, partition=n % 3) for n in range(first, first + 30)]
            for future in futures:
                future.result(30)
            if is_committed:
                producer.commit_transaction(30)
            else:
                producer.abort_transaction(30)
    everything = [[b"%d" % n for n in range(p, 90, 3)] for p in range(3)]
    assert uncommitted(coordinator.bootstrap_servers, topic, 3) == everything
    assert committed(coordinator.bootstrap_servers, topic, 3) == [
        values[:10] + values[20:] for values in everything
    ]


def test_acknowledged_records_are_seen_only_after_the_commit(coordinator: KafkaCluster) -> None:
    topic = topic_of(coordinator)
    servers = coordinator.bootstrap_servers
    with producing(servers) as producer:
        producer.begin_transaction()
        assert producer.send(topic, b"v").result(30).offset == 0
        assert is_open(servers, topic)
        assert read_isolated(servers, topic, 1, is_committed=True) == [[]]
        assert uncommitted(servers, topic) == [[b"v"]]
        producer.commit_transaction(30)
    assert committed(servers, topic) == [[b"v"]]


def test_the_with_statement_commits_at_its_end_and_aborts_on_an_exception(coordinator: KafkaCluster) -> None:
    topic = topic_of(coordinator)
    with producing(coordinator.bootstrap_servers) as producer:
        with producer.transaction():
            producer.send(topic, b"committed")
        with pytest.raises(ZeroDivisionError):
            _fail_in_a_transaction(producer, topic)
        with producer.transaction() as same:
            assert same is producer
            producer.send(topic, b"committed too")
    assert uncommitted(coordinator.bootstrap_servers, topic) == [[b"committed", b"aborted", b"committed too"]]
    assert committed(coordinator.bootstrap_servers, topic) == [[b"committed", b"committed too"]]


def _fail_in_a_transaction(producer: KafkaProducer, topic: str) -> None:
    with producer.transaction():
        producer.send(topic, b"aborted").result(30)
        raise ZeroDivisionError


def test_records_that_an_abort_drops_unsent_fail_as_aborted(coordinator: KafkaCluster) -> None:
    topic = topic_of(coordinator)
    told: list[KafkaError | None] = []
    with producing(coordinator.bootstrap_servers, linger_ms=60_000) as producer:
        producer.begin_transaction()
        futures = [producer.send(topic, value) for value in numbered(0, 100)]
        producer.produce(topic, b"c", on_delivery=lambda metadata, error: told.append(error))
        producer.abort_transaction(30)
        errors = [future.exception(0) for future in futures] + told
        with producer.transaction():
            producer.send(topic, b"next")
    assert len(errors) == 101
    assert all(isinstance(error, TransactionAbortedError) and error.persisted == "no" for error in errors)
    assert uncommitted(coordinator.bootstrap_servers, topic) == [[b"next"]]


def test_a_record_acknowledged_before_the_abort_keeps_its_offset(coordinator: KafkaCluster) -> None:
    topic = topic_of(coordinator)
    with producing(coordinator.bootstrap_servers) as producer:
        producer.begin_transaction()
        future = producer.send(topic, b"v")
        assert future.result(30).offset == 0
        producer.abort_transaction(30)
        assert future.result(0).offset == 0
    assert committed(coordinator.bootstrap_servers, topic) == [[]]


def test_a_transaction_without_records_asks_the_coordinator_nothing(coordinator: KafkaCluster) -> None:
    with (
        FaultProxy(coordinator.bootstrap_servers.split(",")) as proxy,
        producing(proxy.bootstrap_servers) as producer,
    ):
        for end in (producer.commit_transaction, producer.abort_transaction) * 2:
            producer.begin_transaction()
            end(30)
        assert proxy.requests(END_TXN.key) == 0
        assert proxy.requests(INIT_PRODUCER_ID.key) == 1


def test_protocol_2_adds_nothing_by_requests_of_its_own(kafka: KafkaCluster) -> None:
    asked = _asked_by_two_transactions(kafka)
    assert asked == {"AddPartitionsToTxn": 0, "AddOffsetsToTxn": 0, "TxnOffsetCommit": 2, "EndTxn": 2}


def test_protocol_1_adds_partitions_and_group_first(kafka_v1: KafkaCluster) -> None:
    asked = _asked_by_two_transactions(kafka_v1)
    # At most one request for each partition, fewer where they were new together; more only when one is to be retried.
    assert 2 <= asked.pop("AddPartitionsToTxn") <= 8
    assert asked == {"AddOffsetsToTxn": 2, "TxnOffsetCommit": 2, "EndTxn": 2}


def _asked_by_two_transactions(cluster: KafkaCluster) -> dict[str, int]:
    """Names and numbers of the requests of two transactions of three partitions and a group's offsets."""
    topic = topic_of(cluster, partitions=3)
    place, group = TopicPartition(topic, 0), f"group-{topic}"
    with producing(cluster.bootstrap_servers) as producer, producer.transaction():
        producer.send_offsets_to_transaction({place: 1}, group, 30)  # makes the coordinators' topics
    with (
        FaultProxy(cluster.bootstrap_servers.split(",")) as proxy,
        producing(proxy.bootstrap_servers) as producer,
    ):
        for _ in range(2):
            with producer.transaction():
                producer.send_many(topic, [b"v"] * 30, partition=0)
                for partition in (1, 2, 0, 1):
                    producer.send(topic, b"v", partition=partition).result(30)
                producer.send_offsets_to_transaction({place: 2}, group, 30)
        apis = (ADD_PARTITIONS_TO_TXN, ADD_OFFSETS_TO_TXN, TXN_OFFSET_COMMIT, END_TXN)
        return {api.name: proxy.requests(api.key) for api in apis}


@pytest.mark.parametrize("name", ["kafka", pytest.param("kafka_v1", marks=pytest.mark.chaos)])
def test_three_hundred_small_transactions_in_a_row_are_all_seen_in_order(
    request: pytest.FixtureRequest, name: str
) -> None:
    coordinator: KafkaCluster = request.getfixturevalue(name)
    topic = topic_of(coordinator)
    with producing(coordinator.bootstrap_servers, linger_ms=0) as producer:
        for n in range(300):
            producer.begin_transaction()
            producer.produce(topic, b"%d" % n)
            if n % 10 == 9:
                producer.abort_transaction(30)
            else:
                producer.commit_transaction(30)
    expected = [value for n, value in enumerate(numbered(0, 300)) if n % 10 != 9]
    assert committed(coordinator.bootstrap_servers, topic) == [expected]


def test_a_transaction_larger_than_the_buffer_is_committed_whole(coordinator: KafkaCluster) -> None:
    topic = topic_of(coordinator)
    values = [b"%6d" % n * 2_000 for n in range(500)]
    with producing(coordinator.bootstrap_servers, buffer_memory=_MIB) as producer:
        producer.begin_transaction()
        producer.send_many(topic, values, partition=0)
        producer.commit_transaction(60)
    assert committed(coordinator.bootstrap_servers, topic) == [values]


def test_two_producers_do_not_see_each_others_transactions_end(kafka: KafkaCluster) -> None:
    topic = topic_of(kafka)
    with producing(kafka.bootstrap_servers) as one, producing(kafka.bootstrap_servers) as other:
        one.begin_transaction()
        one.send(topic, b"one").result(30)
        with other.transaction():
            other.send(topic, b"other")
        one.abort_transaction(30)
    assert committed(kafka.bootstrap_servers, topic) == [[b"other"]]


# --- records and their outcomes ------------------------------------------------------------------------------


def test_callbacks_have_run_when_the_commit_returns(coordinator: KafkaCluster) -> None:
    topic = topic_of(coordinator)
    told: list[int] = []

    def remember(metadata: RecordMetadata | None, error: KafkaError | None) -> None:
        assert metadata is not None
        time.sleep(0.001)
        told.append(metadata.offset)

    with producing(coordinator.bootstrap_servers) as producer:
        for first in (0, 101):  # a marker follows the first hundred
            producer.begin_transaction()
            for value in numbered(first, 100):
                producer.produce(topic, value, on_delivery=remember)
            producer.commit_transaction(30)
            assert told[-100:] == list(range(first, first + 100))


def test_a_record_refused_at_the_call_dooms_the_transaction(coordinator: KafkaCluster) -> None:
    topic = topic_of(coordinator)
    with producing(coordinator.bootstrap_servers) as producer:
        producer.begin_transaction()
        producer.send(topic, b"good").result(30)
        with pytest.raises(RecordTooLargeError):
            producer.send(topic, bytes(2 * _MIB))
        with pytest.raises(TransactionAbortableError) as found:
            producer.commit_transaction(30)
        assert found.value.requires_abort
        assert not found.value.fatal
        with pytest.raises(TransactionAbortableError) as refused:
            producer.send(topic, b"after")
        assert refused.value.requires_abort
        producer.abort_transaction(30)
        with producer.transaction():
            producer.send(topic, b"next")
    assert committed(coordinator.bootstrap_servers, topic) == [[b"next"]]


def test_connections_cut_inside_a_transaction_cost_nothing(coordinator: KafkaCluster) -> None:
    topic = topic_of(coordinator, partitions=3)
    settings = {"reconnect_backoff_ms": 20, "reconnect_backoff_max_ms": 50, "retry_backoff_ms": 20}
    with (
        FaultProxy(coordinator.bootstrap_servers.split(",")) as proxy,
        producing(proxy.bootstrap_servers, linger_ms=1, batch_size=500, **settings) as producer,
    ):
        futures = []
        for transaction in range(2):
            producer.begin_transaction()
            for n in range(3_000):
                futures.append(producer.send(topic, b"%d" % (transaction * 3_000 + n), partition=n % 3))
                if n % 600 == 599:
                    proxy.on(Close(), direction=list(Direction)[n % 7 % 2])
                    proxy.cut()
            producer.commit_transaction(60)
        assert all(future.exception(0) is None for future in futures)
    assert committed(coordinator.bootstrap_servers, topic, 3) == [
        [b"%d" % n for n in range(p, 6_000, 3)] for p in range(3)
    ]


def test_an_answer_lost_at_each_step_is_asked_for_again(coordinator: KafkaCluster) -> None:
    topic = topic_of(coordinator)
    group = f"group-{topic}"
    settings = {"reconnect_backoff_ms": 20, "reconnect_backoff_max_ms": 50, "retry_backoff_ms": 20}
    apis = (INIT_PRODUCER_ID, ADD_PARTITIONS_TO_TXN, PRODUCE, ADD_OFFSETS_TO_TXN, TXN_OFFSET_COMMIT, END_TXN)
    with FaultProxy(coordinator.bootstrap_servers.split(",")) as proxy:
        rules = {api.name: proxy.on(Close(), api_key=api.key) for api in apis}
        with producing(proxy.bootstrap_servers, **settings) as producer:
            for n in range(2):
                producer.begin_transaction()
                producer.send(topic, b"%d" % n)
                producer.send_offsets_to_transaction({TopicPartition(topic, 0): n + 1}, group, 30)
                producer.commit_transaction(30)
        assert {name for name, rule in rules.items() if rule.hits == 1} >= {
            api.name for api in (INIT_PRODUCER_ID, PRODUCE, TXN_OFFSET_COMMIT, END_TXN)
        }
    assert committed(coordinator.bootstrap_servers, topic) == [[b"0", b"1"]]
    assert committed_offset(coordinator.bootstrap_servers, group, topic) == 2


# --- offsets -------------------------------------------------------------------------------------------------


def test_offsets_are_seen_after_the_commit_and_never_after_an_abort(coordinator: KafkaCluster) -> None:
    topic = topic_of(coordinator)
    servers, group, place = coordinator.bootstrap_servers, f"group-{topic}", TopicPartition(topic, 0)
    with producing(servers) as producer:
        producer.begin_transaction()
        producer.send_offsets_to_transaction({place: 5}, group, 30)
        producer.abort_transaction(30)
        assert committed_offset(servers, group, topic) is None
        with producer.transaction():
            producer.send(topic, b"v")
            producer.send_offsets_to_transaction({place: 6}, ConsumerGroupMetadata(group), 30)
            producer.send_offsets_to_transaction({place: OffsetAndMetadata(7, -1, "note")}, group, 30)
        assert committed_offset(servers, group, topic) == 7
        with producer.transaction():
            producer.send_offsets_to_transaction({}, group)
    assert committed_offset(servers, group, topic) == 7


def test_a_member_of_the_group_moves_its_position_and_a_stranger_does_not(coordinator: KafkaCluster) -> None:
    topic = topic_of(coordinator)
    servers, group, place = coordinator.bootstrap_servers, f"group-{topic}", TopicPartition(topic, 0)
    consumer = kafka_python.KafkaConsumer(
        topic, bootstrap_servers=servers, group_id=group, enable_auto_commit=False
    )
    try:
        deadline = time.monotonic() + 30
        while not consumer.assignment():
            assert time.monotonic() < deadline, "the consumer was assigned nothing"
            consumer.poll(100)
        member = consumer.group_metadata()
        with producing(servers) as producer:
            with producer.transaction():
                producer.send_offsets_to_transaction({place: 3}, _metadata(member), 30)
            producer.begin_transaction()
            stale = ConsumerGroupMetadata(group, member.generation_id - 1, member.member_id)
            with pytest.raises(CommitFailedError) as refused:
                producer.send_offsets_to_transaction({place: 9}, stale, 30)
            producer.abort_transaction(30)
            assert refused.value.requires_abort
            assert refused.value.code == 22
            with producer.transaction():
                producer.send(topic, b"v")
    finally:
        consumer.close()
    assert committed_offset(servers, group, topic) == 3
    assert committed(servers, topic) == [[b"v"]]


def _metadata(member: Any) -> ConsumerGroupMetadata:
    return ConsumerGroupMetadata(
        member.group_id, member.generation_id, member.member_id, member.group_instance_id
    )


# --- calls that are not legal --------------------------------------------------------------------------------


def test_illegal_calls_are_refused_and_change_nothing(kafka: KafkaCluster) -> None:
    topic = topic_of(kafka)
    with KafkaProducer(
        bootstrap_servers=kafka.bootstrap_servers, transactional_id=f"id-{topic}", max_block_ms=30_000
    ) as producer:
        send: Callable[[], object] = lambda: producer.send(topic, b"refused")  # noqa: E731
        offsets: Callable[[], object] = lambda: producer.send_offsets_to_transaction(  # noqa: E731
            {TopicPartition(topic, 0): 1}, "group"
        )
        for call in (producer.begin_transaction, producer.commit_transaction, producer.abort_transaction):
            _assert_illegal(call)
        _assert_illegal(send)
        _assert_illegal(offsets)
        producer.init_transactions(30)
        for call in (producer.init_transactions, producer.commit_transaction, producer.abort_transaction):
            _assert_illegal(call)
        _assert_illegal(send)
        _assert_illegal(offsets)
        producer.begin_transaction()
        _assert_illegal(producer.begin_transaction)
        _assert_illegal(producer.init_transactions)
        producer.send(topic, b"v")
        producer.commit_transaction(30)
        for call in (producer.commit_transaction, producer.abort_transaction):
            _assert_illegal(call)
        _assert_illegal(send)
    assert uncommitted(kafka.bootstrap_servers, topic) == [[b"v"]]
    assert committed(kafka.bootstrap_servers, topic) == [[b"v"]]


def _assert_illegal(call: Callable[[], object]) -> None:
    with pytest.raises(IllegalStateError) as refused:
        call()
    assert not refused.value.fatal


def test_a_producer_without_transactional_id_knows_no_transactions(kafka: KafkaCluster) -> None:
    with KafkaProducer(bootstrap_servers=kafka.bootstrap_servers) as producer:
        for call in (producer.init_transactions, producer.begin_transaction, producer.commit_transaction):
            with pytest.raises(IllegalStateError, match=r"transactional\.id"):
                call()


def test_a_transaction_timeout_above_the_brokers_maximum_is_refused(coordinator: KafkaCluster) -> None:
    producer = KafkaProducer(
        bootstrap_servers=coordinator.bootstrap_servers,
        transactional_id=new_topic(),
        transaction_timeout_ms=3_600_000,
    )
    for _ in range(2):
        with pytest.raises(InvalidTxnTimeoutError) as refused:
            producer.init_transactions(30)
        assert refused.value.code == 50
    began = time.monotonic()
    producer.close(10)
    assert time.monotonic() - began < 5


# --- threads -------------------------------------------------------------------------------------------------


def test_each_call_may_come_from_another_thread(coordinator: KafkaCluster) -> None:
    topic = topic_of(coordinator, partitions=8)

    def send(partition: int) -> None:
        for value in numbered(0, 500):
            producer.produce(topic, value, partition=partition)

    with producing(coordinator.bootstrap_servers) as producer, ThreadPoolExecutor(8) as pool:
        pool.submit(producer.begin_transaction).result(30)
        list(pool.map(send, range(8)))
        pool.submit(producer.commit_transaction, 30).result(60)
    assert committed(coordinator.bootstrap_servers, topic, 8) == [numbered(0, 500)] * 8


def test_a_commit_amid_sends_takes_exactly_what_was_accepted(coordinator: KafkaCluster) -> None:
    topic = topic_of(coordinator)
    accepted: list[list[bytes]] = [[], []]
    under_way = threading.Barrier(3)

    def send(thread: int) -> None:
        for n in range(1_000_000):
            try:
                producer.produce(topic, value := b"%d-%d" % (thread, n), partition=0)
            except IllegalStateError:  # the commit has begun
                return
            accepted[thread].append(value)
            if n == 1_000:
                under_way.wait(30)

    with producing(coordinator.bootstrap_servers) as producer:
        producer.begin_transaction()
        threads = [threading.Thread(target=send, args=(n,)) for n in range(2)]
        for thread in threads:
            thread.start()
        under_way.wait(30)
        producer.commit_transaction(60)
        for thread in threads:
            thread.join(30)
    (found,) = committed(coordinator.bootstrap_servers, topic)
    for n in range(2):
        assert [value for value in found if value.startswith(b"%d-" % n)] == accepted[n]


# --- calls that time out -------------------------------------------------------------------------------------


def test_init_that_timed_out_is_called_again_for_its_outcome(coordinator: KafkaCluster) -> None:
    topic = topic_of(coordinator)
    with FaultProxy(coordinator.bootstrap_servers.split(",")) as proxy:
        held = Hold()
        proxy.on(held, api_key=INIT_PRODUCER_ID.key)
        with KafkaProducer(bootstrap_servers=proxy.bootstrap_servers, transactional_id=topic) as producer:
            for timeout in (0, 0.5):
                with pytest.raises(KafkaTimeoutError, match=r"init_transactions\(\) again"):
                    producer.init_transactions(timeout)
            _assert_illegal(producer.begin_transaction)
            held.release()
            producer.init_transactions(30)
            with producer.transaction():
                producer.send(topic, b"v")
            assert proxy.requests(INIT_PRODUCER_ID.key) == 1
    assert committed(coordinator.bootstrap_servers, topic) == [[b"v"]]


def test_a_commit_that_waits_for_records_is_not_unknown(coordinator: KafkaCluster) -> None:
    topic = topic_of(coordinator)
    with (
        FaultProxy(coordinator.bootstrap_servers.split(",")) as proxy,
        producing(proxy.bootstrap_servers) as producer,
    ):
        held = Hold()
        proxy.on(held, api_key=PRODUCE.key)
        producer.begin_transaction()
        producer.send(topic, b"v")
        with pytest.raises(KafkaTimeoutError) as timed_out:
            producer.commit_transaction(0.3)
        assert not isinstance(timed_out.value, CommitOutcomeUnknownError)
        _assert_illegal(producer.begin_transaction)
        held.release()
        producer.commit_transaction(30)
    assert committed(coordinator.bootstrap_servers, topic) == [[b"v"]]


@pytest.mark.parametrize("direction", Direction, ids=lambda direction: direction.name.lower())
def test_a_commit_of_unknown_outcome_is_called_again_for_it(
    coordinator: KafkaCluster, direction: Direction
) -> None:
    topic = topic_of(coordinator)
    with (
        FaultProxy(coordinator.bootstrap_servers.split(",")) as proxy,
        producing(proxy.bootstrap_servers) as producer,
    ):
        held = Hold()
        proxy.on(held, api_key=END_TXN.key, direction=direction)
        producer.begin_transaction()
        producer.send(topic, b"v")
        for _ in range(2):
            with pytest.raises(CommitOutcomeUnknownError) as unknown:
                producer.commit_transaction(0.3)
            assert unknown.value.persisted == "maybe"
        _assert_illegal(producer.begin_transaction)
        _assert_illegal(lambda: producer.send(topic, b"refused"))
        held.release()
        producer.commit_transaction(30)
        with producer.transaction():
            producer.send(topic, b"next")
    assert committed(coordinator.bootstrap_servers, topic) == [[b"v", b"next"]]


def test_an_abort_after_an_unknown_commit_tells_that_it_took_effect(coordinator: KafkaCluster) -> None:
    topic = topic_of(coordinator)
    with (
        FaultProxy(coordinator.bootstrap_servers.split(",")) as proxy,
        producing(proxy.bootstrap_servers, request_timeout_ms=800) as producer,
    ):
        held = Hold()
        proxy.on(held, api_key=END_TXN.key)
        producer.begin_transaction()
        producer.send(topic, b"v")
        with pytest.raises(CommitOutcomeUnknownError):
            producer.commit_transaction(0.4)
        with pytest.raises(TransactionCommittedError) as told:
            producer.abort_transaction(30)
        assert told.value.persisted == "yes"
        held.release()
        with producer.transaction():
            producer.send(topic, b"next")
    assert committed(coordinator.bootstrap_servers, topic) == [[b"v", b"next"]]


def test_an_abort_after_a_commit_that_never_arrived_aborts(coordinator: KafkaCluster) -> None:
    topic = topic_of(coordinator)
    with (
        FaultProxy(coordinator.bootstrap_servers.split(",")) as proxy,
        producing(proxy.bootstrap_servers, request_timeout_ms=800) as producer,
    ):
        held = Hold()
        proxy.on(held, api_key=END_TXN.key, direction=Direction.REQUEST)
        producer.begin_transaction()
        producer.send(topic, b"aborted")
        with pytest.raises(CommitOutcomeUnknownError):
            producer.commit_transaction(0.4)
        producer.abort_transaction(30)
        producer.begin_transaction()
        producer.send(topic, b"next").result(30)
        held.release()  # the late commit meets an open transaction
        producer.send(topic, b"and its neighbour").result(30)
        producer.commit_transaction(30)
    assert uncommitted(coordinator.bootstrap_servers, topic) == [[b"aborted", b"next", b"and its neighbour"]]
    assert committed(coordinator.bootstrap_servers, topic) == [[b"next", b"and its neighbour"]]


def test_an_abort_that_timed_out_is_called_again(coordinator: KafkaCluster) -> None:
    topic = topic_of(coordinator)
    with (
        FaultProxy(coordinator.bootstrap_servers.split(",")) as proxy,
        producing(proxy.bootstrap_servers) as producer,
    ):
        held = Hold()
        proxy.on(held, api_key=END_TXN.key)
        producer.begin_transaction()
        producer.send(topic, b"v").result(30)
        with pytest.raises(KafkaTimeoutError, match=r"abort_transaction\(\) again"):
            producer.abort_transaction(0.5)
        _assert_illegal(producer.commit_transaction)
        _assert_illegal(producer.begin_transaction)
        held.release()
        producer.abort_transaction(30)
        with producer.transaction():
            producer.send(topic, b"next")
    assert committed(coordinator.bootstrap_servers, topic) == [[b"next"]]


# --- close ---------------------------------------------------------------------------------------------------


@pytest.mark.row("F39")
def test_close_aborts_an_open_transaction(coordinator: KafkaCluster) -> None:
    topic = topic_of(coordinator)
    producer = producing(coordinator.bootstrap_servers)
    producer.begin_transaction()
    producer.send(topic, b"v").result(30)
    producer.close(30)
    wait_until_stable(coordinator.bootstrap_servers, topic, timeout_s=10)
    assert uncommitted(coordinator.bootstrap_servers, topic) == [[b"v"]]
    assert committed(coordinator.bootstrap_servers, topic) == [[]]
    with pytest.raises(KafkaError):
        producer.begin_transaction()


@pytest.mark.row("F39")
def test_close_after_a_record_failed_aborts_too(kafka: KafkaCluster) -> None:
    topic = topic_of(kafka)
    producer = producing(kafka.bootstrap_servers)
    producer.begin_transaction()
    producer.send(topic, b"v").result(30)
    with pytest.raises(RecordTooLargeError):
        producer.send(topic, bytes(2 * _MIB))
    producer.close(30)
    wait_until_stable(kafka.bootstrap_servers, topic, timeout_s=10)
    assert committed(kafka.bootstrap_servers, topic) == [[]]


# --- the protocol changes while a producer lives ---------------------------------------------------------------


@pytest.mark.row("F48")
@pytest.mark.chaos
@pytest.mark.parametrize("reconnects", [False, True], ids=["old connections", "new connections"])
def test_a_producer_follows_the_clusters_transaction_version_down_and_up(reconnects: bool) -> None:
    # Not to 0: a broker that was set to it cannot write what protocol 2 left, and answers "busy" for ever.
    with KafkaCluster(1) as cluster, FaultProxy(cluster.bootstrap_servers.split(",")) as proxy:
        topic = topic_of(cluster)
        expected, added = [], []
        with producing(proxy.bootstrap_servers, reconnect_backoff_ms=20) as producer:
            for version in (2, 1, 2, 1):
                _change_transaction_version(cluster, version)
                if reconnects:
                    proxy.cut()
                before = 0
                for n in range(20):
                    if n == 10:  # the first ones may begin before the news is there
                        before = proxy.requests(ADD_PARTITIONS_TO_TXN.key)
                    with producer.transaction():
                        producer.send(topic, value := b"%d-%d" % (version, n)).result(30)
                    expected.append(value)
                added.append(proxy.requests(ADD_PARTITIONS_TO_TXN.key) > before)
        # A connection tells the version when it is opened; a broker takes protocol 2 at version 1 as well.
        assert added == ([False, True, False, True] if reconnects else [False] * 4)
        assert committed(cluster.bootstrap_servers, topic) == [expected]


def _change_transaction_version(cluster: KafkaCluster, version: int) -> None:
    admin = KafkaAdminClient(bootstrap_servers=cluster.bootstrap_servers)
    try:
        _, now = admin.describe_features()["transaction.version"].get("finalized", (0, 0))
        if version != now:
            kind = UpdateFeatureType.UPGRADE if version > now else UpdateFeatureType.SAFE_DOWNGRADE
            admin.update_features({"transaction.version": (kind, version)})
    finally:
        admin.close()
