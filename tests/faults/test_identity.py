"""Producer ids: state that the brokers lost (F25), sequences and epochs at their end (F26)."""

from __future__ import annotations

import struct
import time
import uuid
from collections.abc import Iterator
from typing import Final

import pytest

from kproducer import KafkaProducer
from kproducer.protocol.messages.init_producer_id import INIT_PRODUCER_ID, InitProducerIdResponse
from kproducer.protocol.messages.produce import (
    PRODUCE,
    PartitionProduceResponse,
    ProduceResponse,
    TopicProduceResponse,
)
from kproducer.testing import KafkaCluster
from tests.fakes.scripted_broker import Handler, Received, ScriptedBroker
from tests.faults.admin import delete_records
from tests.faults.conftest import start_cluster
from tests.faults.matrix import Recorder
from tests.faults.stage import TOPIC, answered, sequences, stage
from tests.faults.workload import Workload, read_back

_MAX_EPOCH: Final = 2**15 - 1


# --- F25 ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def forgetful() -> Iterator[KafkaCluster]:
    """A broker that forgets a producer after a second without a record."""
    properties = {"producer.id.expiration.ms": 1_000, "producer.id.expiration.check.interval.ms": 200}
    yield from start_cluster(1, properties=properties)


def _new_topic(kafka: KafkaCluster, replication: int) -> str:
    name = f"identity-{uuid.uuid4().hex[:8]}"
    kafka.create_topic(name, 1, replication)
    return name


@pytest.mark.row("F25")
def test_records_cut_off_up_to_the_end_of_the_log_do_not_stop_their_producer(harmed3: KafkaCluster) -> None:
    topic = _new_topic(harmed3, 3)
    with KafkaProducer(bootstrap_servers=harmed3.bootstrap_servers, linger_ms=0) as producer:
        for n in range(0, 40, 10):
            futures = [producer.send(topic, b"%d" % i, partition=0) for i in range(n, n + 10)]
            assert [future.result(20).offset for future in futures] == list(range(n, n + 10))
            delete_records(harmed3, topic, 0, n + 10)
        assert producer.send(topic, b"last", partition=0).result(20).offset == 40


@pytest.mark.row("F25")
@pytest.mark.chaos
def test_a_producer_whom_the_broker_has_forgotten_goes_on_as_if_nothing_had_been(
    forgetful: KafkaCluster,
) -> None:
    topic = _new_topic(forgetful, 1)
    with KafkaProducer(bootstrap_servers=forgetful.bootstrap_servers, linger_ms=0) as producer:
        for n in range(0, 30, 10):
            futures = [producer.send(topic, b"%d" % i, partition=0) for i in range(n, n + 10)]
            assert [future.result(20).offset for future in futures] == list(range(n, n + 10))
            time.sleep(3)
    assert read_back(forgetful.bootstrap_servers, topic, 1) == [[(n, b"%d" % n) for n in range(30)]]


@pytest.mark.row("F25")
@pytest.mark.parametrize("code", [45, 59], ids=["OUT_OF_ORDER_SEQUENCE_NUMBER", "UNKNOWN_PRODUCER_ID"])
def test_a_leader_that_has_lost_its_state_gets_the_batches_under_the_next_epoch(code: int) -> None:
    with stage() as on, on.producer(batch_size=200) as producer:
        broker = on.brokers[0]
        for n in range(3):
            producer.send(TOPIC, b"%d" % n, partition=0).result(10)
        on.topic.producers.clear()
        broker.on(PRODUCE, _refusing_the_middle(broker, code))
        futures = [producer.send(TOPIC, b"%d" % n, partition=0) for n in range(3, 100)]
        assert [future.result(10).offset for future in futures] == list(range(3, 100))
        assert on.values() == [b"%d" % n for n in range(100)]
        assert on.epochs_and_gaps() == ({0, 1}, 0)


def _refusing_the_middle(broker: ScriptedBroker, code: int) -> Handler:
    """Refuse what does not begin a sequence, until one has begun: brokers before 2.5 and from 4.5 on do."""
    append = broker.default(PRODUCE)

    def handler(request: Received) -> ProduceResponse:
        is_known = bool(broker.cluster.topics[TOPIC].producers)
        starts_anew = sequences([request])[0][1] == 0
        refuse = answered(code, log_start_offset=3)
        answer: ProduceResponse = (append if is_known or starts_anew else refuse)(request)
        return answer

    return handler


# --- F26 ------------------------------------------------------------------------------------------------------


@pytest.mark.row("F26")
def test_the_last_epoch_is_followed_by_another_producer_id() -> None:
    with stage() as on:
        broker = on.brokers[0]
        broker.push(INIT_PRODUCER_ID, InitProducerIdResponse(producer_id=7, producer_epoch=_MAX_EPOCH - 1))
        with on.producer() as producer:
            assert producer.send(TOPIC, b"0", partition=0).result(10).offset == 0
            broker.push(PRODUCE, answered(45))  # a gap: the next epoch
            assert producer.send(TOPIC, b"1", partition=0).result(10).offset == 1
            broker.push(PRODUCE, answered(45))  # and there is none after this one
            assert producer.send(TOPIC, b"2", partition=0).result(10).offset == 2
            assert producer.send(TOPIC, b"3", partition=0).result(10).offset == 3
            assert len(broker.received(INIT_PRODUCER_ID)) == 2
        identities = [(b.producer_id, b.producer_epoch, b.base_sequence) for b in on.batches()]
        assert identities[:2] == [(7, _MAX_EPOCH - 1, 0), (7, _MAX_EPOCH, 0)]
        renewed = identities[2][0]
        assert renewed != 7
        assert identities[2:] == [(renewed, 0, 0), (renewed, 0, 1)]
        assert on.values() == [b"0", b"1", b"2", b"3"]


@pytest.mark.row("F26")
def test_a_new_producer_id_under_load_neither_loses_nor_repeats_nor_reorders(matrix: Recorder) -> None:
    with stage(partitions=2) as on:
        broker = on.brokers[0]
        broker.push(INIT_PRODUCER_ID, InitProducerIdResponse(producer_id=7, producer_epoch=_MAX_EPOCH))
        with on.producer(batch_size=500) as producer:
            workload = Workload(producer, TOPIC, 2, rate=2_000)
            workload.send(0)
            workload.send(1)
            producer.flush(10)
            workload.start()
            broker.push(PRODUCE, answered(47), answered(45), answered(45))
            deadline = time.monotonic() + 10
            while len(broker.received(INIT_PRODUCER_ID)) < 2 or workload.acknowledged() < 1_000:
                assert time.monotonic() < deadline
                time.sleep(0.01)
            workload.stop()
            producer.flush(10)
        verdict = matrix.record(workload.judge(on.logs()))
        assert (verdict.faults, verdict.failed) == ({}, 0)


class _Counting:
    """Acknowledges in the place of a broker: keeps the heads of batches, not two thousand million records."""

    def __init__(self) -> None:
        self.next_sequence = 0
        self.gaps = 0
        self.wraps = 0
        self.records = 0

    def __call__(self, request: Received) -> ProduceResponse:
        (topic,) = request.body.topic_data
        (part,) = topic.partition_data
        (first,) = struct.unpack_from(">i", part.records, 53)
        (count,) = struct.unpack_from(">i", part.records, 57)
        self.gaps += first != self.next_sequence
        after = first + count
        self.next_sequence = after & 0x7FFFFFFF
        self.wraps += after > 0x7FFFFFFF
        answer = PartitionProduceResponse(index=part.index, base_offset=self.records)
        self.records += count
        return ProduceResponse(
            responses=(
                TopicProduceResponse(name=topic.name, topic_id=topic.topic_id, partition_responses=(answer,)),
            )
        )


@pytest.mark.row("F26")
@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_the_sequence_goes_on_at_zero_after_two_thousand_million_records() -> None:
    # The wrap itself is tested in tests/csrc/test_batch.c; this is the whole way, record by record.
    counting = _Counting()
    lines = b"\n" * 4_000_000
    with stage() as on:
        on.brokers[0].on(PRODUCE, counting)
        with on.producer(
            batch_size=1 << 20, linger_ms=50, compression_type="lz4", buffer_memory=256 << 20,
            delivery_timeout_ms=600_000, request_timeout_ms=60_000, max_block_ms=600_000,
        ) as producer:  # fmt: skip
            for _ in range(2**31 // 4_000_000 + 2):
                producer.send_lines(TOPIC, lines, partition=0)
            producer.flush(600)
            assert producer.metrics()["producer-metrics"]["record-error-total"] == 0
    assert (counting.wraps, counting.gaps) == (1, 0)
    assert counting.records > 2**31
