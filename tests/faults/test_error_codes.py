"""Error codes in Produce answers: what is sent again, what fails, and that the partition goes on afterwards."""

from __future__ import annotations

import time

import pytest

from kproducer.errors import KafkaError
from kproducer.protocol.messages.produce import (
    PRODUCE,
    BatchIndexAndErrorMessage,
    LeaderIdAndEpoch,
    NodeEndpoint,
)
from tests.faults.stage import (
    TOPIC,
    answered,
    appended_but_answered,
    late,
    lost_after_append,
    sequences,
    stage,
    without_partitions,
)

RETRIED = {
    "CORRUPT_MESSAGE": 2,
    "UNKNOWN_TOPIC_OR_PARTITION": 3,
    "LEADER_NOT_AVAILABLE": 5,
    "NOT_LEADER_OR_FOLLOWER": 6,
    "REQUEST_TIMED_OUT": 7,
    "NOT_ENOUGH_REPLICAS": 19,
    "NOT_ENOUGH_REPLICAS_AFTER_APPEND": 20,
    "KAFKA_STORAGE_ERROR": 56,
    "FENCED_LEADER_EPOCH": 74,
    "UNKNOWN_TOPIC_ID": 100,
}
APPENDED_ANYWAY = {
    "UNKNOWN_TOPIC_OR_PARTITION": 3,
    "NOT_LEADER_OR_FOLLOWER": 6,
    "REQUEST_TIMED_OUT": 7,
    "NOT_ENOUGH_REPLICAS_AFTER_APPEND": 20,
    "KAFKA_STORAGE_ERROR": 56,
}


def _expected(count: int) -> list[bytes]:
    return [b"%d" % n for n in range(count)]


@pytest.mark.parametrize("code", RETRIED.values(), ids=RETRIED.keys())
@pytest.mark.row("F12", "F15", "F24")
def test_a_retriable_refusal_is_sent_again_under_the_same_sequence(code: int) -> None:
    with stage() as on, on.producer() as producer:
        on.brokers[0].push(PRODUCE, answered(code), answered(code))
        futures = [producer.send(TOPIC, value, partition=0) for value in _expected(20)]
        assert [future.result(10).offset for future in futures] == list(range(20))
        requests = on.brokers[0].received(PRODUCE)
        assert len(set(sequences(requests)[:3])) == 1
        assert on.values() == _expected(20)


@pytest.mark.parametrize("code", APPENDED_ANYWAY.values(), ids=APPENDED_ANYWAY.keys())
@pytest.mark.row("F7", "F15", "F24")
def test_a_batch_that_was_appended_in_spite_of_its_error_is_not_written_twice(code: int) -> None:
    with stage() as on, on.producer() as producer:
        producer.send(TOPIC, b"0", partition=0).result(10)
        on.brokers[0].push(PRODUCE, appended_but_answered(on.brokers[0], code))
        assert producer.send(TOPIC, b"1", partition=0).result(10).offset == 1
        assert producer.send(TOPIC, b"2", partition=0).result(10).offset == 2
        assert on.values() == [b"0", b"1", b"2"]


@pytest.mark.row("F12")
def test_an_unknown_code_fails_its_batch_with_the_raw_number_and_the_partition_goes_on() -> None:
    with stage() as on, on.producer() as producer:
        producer.send(TOPIC, b"0", partition=0).result(10)
        on.brokers[0].push(PRODUCE, answered(9999))
        with pytest.raises(KafkaError) as caught:
            producer.send(TOPIC, b"1", partition=0).result(10)
        assert (caught.value.code, caught.value.persisted) == (9999, "maybe")
        assert (caught.value.topic, caught.value.partition, caught.value.attempts) == (TOPIC, 0, 1)
        assert producer.send(TOPIC, b"2", partition=0).result(10).offset == 1
        assert sequences(on.brokers[0].received(PRODUCE))[-1] == (1, 0)


@pytest.mark.row("F25")
def test_a_gap_at_the_head_restarts_the_sequence_under_the_next_epoch() -> None:
    with stage() as on, on.producer() as producer:
        producer.send(TOPIC, b"0", partition=0).result(10)
        on.brokers[0].push(PRODUCE, answered(45))
        assert producer.send(TOPIC, b"1", partition=0).result(10).offset == 1
        assert sequences(on.brokers[0].received(PRODUCE)) == [(0, 0), (0, 1), (1, 0)]


@pytest.mark.row("F7", "F25")
def test_a_gap_at_the_head_of_a_batch_that_may_be_in_the_log_fails_it() -> None:
    with stage() as on, on.producer() as producer:
        producer.send(TOPIC, b"0", partition=0).result(10)
        on.brokers[0].push(PRODUCE, answered(7), answered(45))
        with pytest.raises(KafkaError) as caught:
            producer.send(TOPIC, b"1", partition=0).result(10)
        assert (caught.value.code, caught.value.persisted) == (45, "maybe")
        assert producer.send(TOPIC, b"2", partition=0).result(10).offset == 1


@pytest.mark.row("F7")
def test_a_batch_whose_answer_was_lost_is_never_sent_under_another_epoch() -> None:
    # The broker would take it for a new batch: once in the log under each epoch.
    with stage() as on, on.producer() as producer:
        broker = on.brokers[0]
        producer.send(TOPIC, b"0", partition=0).result(10)
        broker.push(PRODUCE, lost_after_append(broker), answered(45))
        with pytest.raises(KafkaError) as caught:
            producer.send(TOPIC, b"1", partition=0).result(10)
        assert (caught.value.code, caught.value.persisted) == (45, "maybe")
        assert producer.send(TOPIC, b"2", partition=0).result(10).offset == 2
        assert on.values() == [b"0", b"1", b"2"]


@pytest.mark.row("F7")
def test_a_bump_for_one_batch_does_not_resend_another_whose_answer_was_lost() -> None:
    with stage() as on, on.producer() as producer:
        broker = on.brokers[0]
        producer.send(TOPIC, b"0", partition=0).result(10)
        broker.push(PRODUCE, late(appended_but_answered(broker, 9999), 200), lost_after_append(broker))
        failed = producer.send(TOPIC, b"1", partition=0)
        broker.wait_for(PRODUCE, 2)
        lost = producer.send(TOPIC, b"2", partition=0)
        for future in (failed, lost):
            with pytest.raises(KafkaError) as caught:
                future.result(10)
            assert caught.value.persisted == "maybe"
        assert producer.send(TOPIC, b"3", partition=0).result(10).offset == 3
        assert on.values() == [b"0", b"1", b"2", b"3"]


@pytest.mark.row("F12")
def test_a_partition_left_out_of_the_answer_is_sent_again_and_not_written_twice() -> None:
    with stage() as on, on.producer() as producer:
        producer.send(TOPIC, b"0", partition=0).result(10)
        on.brokers[0].push(PRODUCE, without_partitions(on.brokers[0]))
        assert producer.send(TOPIC, b"1", partition=0).result(10).offset == 1
        assert producer.send(TOPIC, b"2", partition=0).result(10).offset == 2
        assert on.values() == [b"0", b"1", b"2"]


@pytest.mark.row("F2")
def test_a_leader_hint_is_followed_at_once_even_to_a_broker_that_is_new() -> None:
    # 5 s of backoff: without the hint the record would come late (KIP-951).
    with stage(brokers=2) as on, on.producer(retry_backoff_ms=5_000, retry_backoff_max_ms=5_000) as producer:
        first, second = on.brokers
        hidden = on.cluster.brokers.pop(second.node_id)
        producer.send(TOPIC, b"0", partition=0).result(10)
        hint = LeaderIdAndEpoch(leader_id=second.node_id, leader_epoch=7)
        endpoint = NodeEndpoint(node_id=second.node_id, host=hidden.host, port=hidden.port)

        def moved(request: object) -> object:
            on.topic.leaders[0], on.topic.epochs[0] = second.node_id, 7
            answer = answered(6, current_leader=hint)(request)  # type: ignore[arg-type]
            return type(answer)(responses=answer.responses, node_endpoints=(endpoint,))

        first.push(PRODUCE, moved)
        began = time.monotonic()
        assert producer.send(TOPIC, b"1", partition=0).result(10).offset == 1
        assert time.monotonic() - began < 2.5
        assert len(second.received(PRODUCE)) == 1


@pytest.mark.row("F2")
def test_a_leader_hint_of_an_older_epoch_is_ignored() -> None:
    with stage(brokers=2) as on, on.producer() as producer:
        on.topic.epochs[0] = 9
        first, second = on.brokers
        producer.send(TOPIC, b"0", partition=0).result(10)
        old = LeaderIdAndEpoch(leader_id=second.node_id, leader_epoch=3)
        first.push(PRODUCE, answered(6, current_leader=old))
        assert producer.send(TOPIC, b"1", partition=0).result(10).offset == 1
        assert second.received(PRODUCE) == []


@pytest.mark.row("F15")
def test_later_batches_in_flight_wait_behind_a_refused_one_and_keep_their_order() -> None:
    with stage() as on, on.producer(batch_size=200) as producer:
        producer.send(TOPIC, b"0", partition=0).result(10)
        on.brokers[0].push(PRODUCE, answered(19), answered(45), answered(45), answered(45), answered(45))
        futures = [producer.send(TOPIC, b"%d" % n, partition=0) for n in range(1, 200)]
        assert [future.result(10).offset for future in futures] == list(range(1, 200))
        assert on.values() == _expected(200)


@pytest.mark.row("F13")
def test_a_new_topic_gets_one_batch_at_a_time_until_its_leader_has_acknowledged_one() -> None:
    # KAFKA-15591: a leader without state accepts any first sequence, so a second batch would overtake for good.
    with stage() as on, on.producer(batch_size=200) as producer:
        on.brokers[0].push(PRODUCE, answered(6))
        futures = [producer.send(TOPIC, b"%d" % n, partition=0) for n in range(200)]
        assert [future.result(10).offset for future in futures] == list(range(200))
        assert on.values() == _expected(200)


@pytest.mark.row("F23")
def test_an_innocent_record_of_a_rejected_batch_is_delivered() -> None:
    with stage() as on, on.producer(linger_ms=200) as producer:
        guilty = (BatchIndexAndErrorMessage(batch_index=1, batch_index_error_message="no key"),)
        on.brokers[0].push(PRODUCE, answered(87, record_errors=guilty))
        futures = [producer.send(TOPIC, b"%d" % n, partition=0) for n in range(3)]
        assert [futures[0].result(10).offset, futures[2].result(10).offset] == [0, 1]
        with pytest.raises(KafkaError) as caught:
            futures[1].result(10)
        assert (caught.value.code, caught.value.persisted) == (87, "no")
        assert "no key" in str(caught.value)
        assert on.values() == [b"0", b"2"]
