"""What our producer puts on the wire: frames against the schema's encoder, batches against another decoder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kproducer import KafkaProducer
from kproducer.protocol.messages.produce import PRODUCE, ProduceRequest
from tests.fakes.scripted_broker import Received, ScriptedBroker, ScriptedCluster
from tests.wire.decoder import CODECS, DecodedBatch, decode_batch

PARTITIONS = 3
CLIENT_ID = "frame-tester"


class CapturingBroker(ScriptedBroker):
    """Keeps each Produce request as it came, without its size field."""

    def __init__(self, cluster: ScriptedCluster | None = None, **options: Any) -> None:
        super().__init__(cluster, **options)
        self.frames: list[tuple[bytes, Received]] = []

    def _decode(self, frame: bytes, number: int) -> Received:
        request = super()._decode(frame, number)
        if request.api_key == PRODUCE.key:
            self.frames.append((bytes(frame), request))
        return request


def producing(broker: ScriptedBroker, **config: Any) -> KafkaProducer:
    return KafkaProducer(bootstrap_servers=str(broker.address), client_id=CLIENT_ID, **config)


# --- frames -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("acks", ["all", 1, 0])
@pytest.mark.parametrize("version", range(3, 14))
def test_produce_frames_are_those_of_the_schema(version: int, acks: object) -> None:
    versions = {0: (0, version), 3: (0, 12), 18: (0, 4), 22: (0, 5)}
    idempotent = acks == "all"
    with CapturingBroker(versions=versions) as broker:
        topics = {
            name: broker.cluster.create_topic(name, [1] * PARTITIONS) for name in ("a", "bb", "c" * 249)
        }
        with producing(
            broker, acks=acks, enable_idempotence=idempotent, linger_ms=50, request_timeout_ms=12345
        ) as producer:
            for topic in topics:
                for partition in range(PARTITIONS):
                    producer.produce(topic, b"value", b"key", [("h", b"1")], partition, 1000)
            producer.flush(10)
        broker.wait_for(PRODUCE)
        frames = list(broker.frames)
    seen = []
    for frame, request in frames:
        body: ProduceRequest = request.body
        assert request.api_version == version
        assert (body.acks, body.timeout_ms, body.transactional_id) == (
            -1 if acks == "all" else acks,
            12345,
            None,
        )
        encoded = PRODUCE.encode_request(
            body, version, correlation_id=request.correlation_id, client_id=CLIENT_ID
        )
        assert encoded[4:] == frame
        for data in body.topic_data:
            name = data.name if version < 13 else _named(topics, data.topic_id)
            for part in data.partition_data:
                seen.append((name, part.index))
                (record,) = decode_batch(part.records or b"").records
                assert (record.value, record.key, record.headers) == (b"value", b"key", (("h", b"1"),))
    assert sorted(seen) == [(topic, partition) for topic in sorted(topics) for partition in range(PARTITIONS)]


def _named(topics: dict[str, Any], topic_id: UUID) -> str:
    return next(name for name, topic in topics.items() if topic.topic_id == topic_id)


def test_correlation_ids_count_up() -> None:
    with CapturingBroker() as broker:
        broker.cluster.create_topic("a", [1])
        with producing(broker) as producer:
            for _ in range(5):
                producer.send("a", b"v").result(10)
        ids = [request.correlation_id for _, request in broker.frames]
    assert ids == list(range(ids[0], ids[0] + 5))


# --- batches ------------------------------------------------------------------------------------------------

Record = tuple[bytes | None, bytes | None, list[tuple[str, bytes | None]], int]
_DATA = st.none() | st.binary(max_size=300) | st.integers(0, 2000).map(bytes)
_HEADERS = st.lists(st.tuples(st.text(max_size=5), st.none() | st.binary(max_size=20)), max_size=4)
_TIMESTAMPS = st.integers(0, 2**63 - 1) | st.integers(1_700_000_000_000, 1_700_000_100_000)
_RECORDS: st.SearchStrategy[list[Record]] = st.lists(
    st.tuples(_DATA, _DATA, _HEADERS, _TIMESTAMPS), min_size=1, max_size=30
)


@pytest.fixture(scope="module")
def stage() -> Iterator[dict[tuple[str, bool], tuple[ScriptedBroker, KafkaProducer]]]:
    """A broker and a producer for each codec, with and without idempotence."""
    with ExitStack() as stack:
        made = {}
        for codec in CODECS:
            for idempotent in (True, False):
                broker = stack.enter_context(ScriptedBroker())
                broker.cluster.create_topic("t", [1])
                producer = producing(
                    broker,
                    compression_type=codec,
                    enable_idempotence=idempotent,
                    batch_size=4000,
                    linger_ms=1000,
                )
                made[codec, idempotent] = broker, stack.enter_context(producer)
        yield made


@pytest.mark.parametrize("idempotent", [True, False])
@pytest.mark.parametrize("codec", CODECS)
def test_batches_are_read_by_another_decoder(
    stage: dict[tuple[str, bool], tuple[ScriptedBroker, KafkaProducer]], codec: str, idempotent: bool
) -> None:
    broker, producer = stage[codec, idempotent]
    topic = broker.cluster.topics["t"]
    sequence = 0

    @given(records=_RECORDS)
    def check(records: list[Record]) -> None:
        nonlocal sequence
        topic.batches[0].clear()
        for value, key, headers, timestamp in records:
            producer.produce("t", value, key, headers, 0, timestamp)
        producer.flush(10)
        batches = [decode_batch(batch) for batch in topic.batches[0]]
        got = [(r.value, r.key, list(r.headers), r.timestamp) for batch in batches for r in batch.records]
        assert got == records
        for batch in batches:
            sequence = _check_header(batch, codec, sequence if idempotent else None)

    check()


def _check_header(batch: DecodedBatch, codec: str, sequence: int | None) -> int:
    assert batch.crc_ok
    assert batch.codec in (codec, "none")  # a batch that would grow is sent raw
    assert (batch.magic, batch.base_offset, batch.leader_epoch) == (2, 0, -1)
    assert not batch.is_transactional
    assert [record.offset_delta for record in batch.records] == list(range(batch.record_count))
    assert batch.last_offset_delta == batch.record_count - 1
    assert batch.base_timestamp == batch.records[0].timestamp
    assert batch.max_timestamp == max(record.timestamp for record in batch.records)
    if sequence is None:
        assert (batch.producer_id, batch.producer_epoch, batch.base_sequence) == (-1, -1, -1)
        return 0
    assert batch.producer_id > 0
    assert (batch.producer_epoch, batch.base_sequence) == (0, sequence)
    return sequence + batch.record_count


@pytest.mark.parametrize("codec", CODECS[1:])
def test_what_can_be_compressed_is(
    stage: dict[tuple[str, bool], tuple[ScriptedBroker, KafkaProducer]], codec: str
) -> None:
    broker, producer = stage[codec, False]
    topic = broker.cluster.topics["t"]
    topic.batches[0].clear()
    producer.produce("t", b"a" * 3000)
    producer.flush(10)
    (batch,) = [decode_batch(batch) for batch in topic.batches[0]]
    assert batch.codec == codec
    assert batch.size_bytes < 1000
    assert [record.value for record in batch.records] == [b"a" * 3000]
