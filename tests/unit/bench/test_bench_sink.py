"""The sink against independent codecs (kafka-python's protocol classes) and the clients to be measured."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.peers.wire import (
    Connection,
    ListOffsetsError,
    crc32c,
    encode_batch,
    end_offsets,
    produce_errors,
    produce_frame,
)
from bench.sink import CFLAGS, Sink, build_sink

kafka_metadata: Any = pytest.importorskip("kafka.protocol.metadata", reason="needs kafka-python 3")
kafka_producer: Any = pytest.importorskip("kafka.protocol.producer", reason="needs kafka-python 3")

VALUES = [b"first", b"second", b""]
SANITIZE = (*CFLAGS, "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
NO_ID = "00000000-0000-0000-0000-000000000000"


@pytest.fixture
def sink() -> Iterator[Sink]:
    with Sink(["bench", "other"], partitions=3, verify_every=1, stamp=True) as running:
        yield running


@pytest.fixture
def connection(sink: Sink) -> Iterator[Connection]:
    with Connection(sink.bootstrap_servers) as open_connection:
        yield open_connection


def ask(connection: Connection, request: Any, response: Any, version: int) -> Any:
    request.API_VERSION = version
    request.with_header(correlation_id=7)
    connection.send(request.encode(header=True, framed=True))
    answer = connection.receive()
    assert answer[:4] == struct.pack(">i", 7)
    body = answer[header_size(response, version) :]
    decoded = response.decode(body, version=version)
    assert decoded.encode() == body  # no byte is left over, none is missing
    return decoded


def header_size(response: Any, version: int) -> int:
    is_flexible = response.flexible_version_q(version) and "ApiVersions" not in response.name
    return 5 if is_flexible else 4


def with_header_field(batch: bytes, at: int, field: bytes) -> bytes:
    """Return `batch` with bytes replaced and its CRC made right again."""
    changed = batch[:at] + field + batch[at + len(field) :]
    return changed[:17] + struct.pack(">I", crc32c(changed[21:])) + changed[21:]


def idempotent_batch(values: list[bytes], sequence: int) -> bytes:
    return with_header_field(encode_batch(values, 0), 43, struct.pack(">qhi", 5, 0, sequence))


def produce(connection: Connection, batch: bytes, topic: str = "bench", partition: int = 0) -> list[int]:
    connection.send(produce_frame(topic, {partition: batch}))
    return produce_errors(connection.receive())


def test_crc32c_of_the_check_string_is_the_published_one() -> None:
    assert crc32c(b"123456789") == 0xE3069283


def test_records_and_bytes_are_counted_by_partition(sink: Sink, connection: Connection) -> None:
    batch = encode_batch(VALUES, 0)
    assert produce(connection, batch, "other", 2) == [0]
    assert produce(connection, batch, "bench", 1) == [0]
    stats = sink.stats()
    assert (stats.records, stats.bytes, stats.batches, stats.requests) == (6, 2 * len(batch), 2, 2)
    assert 0 < stats.first_ns <= stats.last_ns <= time.monotonic_ns()
    filled = [(row.topic, row.partition, row.records, row.bytes) for row in sink.partitions() if row.records]
    assert filled == [("bench", 1, 3, len(batch)), ("other", 2, 3, len(batch))]


def test_reset_clears_counts_and_stamps(sink: Sink, connection: Connection) -> None:
    produce(connection, encode_batch(VALUES, 0))
    sink.reset()
    assert sink.stats().records == sink.stats().first_ns == 0
    assert sink.stamps() == []
    assert not any(row.records for row in sink.partitions())


def test_stamps_tell_arrival_and_records_of_each_request(sink: Sink, connection: Connection) -> None:
    before = time.monotonic_ns()
    produce(connection, encode_batch(VALUES, 0))
    between = time.monotonic_ns()
    produce(connection, encode_batch(VALUES[:1], 0))
    first, second = sink.stamps()
    assert (first.records, second.records) == (3, 1)
    assert before < first.ns < between < second.ns < time.monotonic_ns()


def test_batch_with_wrong_crc_is_refused_and_counted_bad(sink: Sink, connection: Connection) -> None:
    batch = encode_batch(VALUES, 0)
    assert produce(connection, batch[:-1] + b"x") == [2]
    assert (sink.stats().bad, sink.stats().records) == (1, 0)


@pytest.mark.parametrize(
    ("at", "field"),
    [
        pytest.param(57, struct.pack(">i", 4), id="count-above-offset-delta"),
        pytest.param(57, struct.pack(">i", 0), id="no-records"),
        pytest.param(57, struct.pack(">i", -1), id="negative-count"),
        pytest.param(8, struct.pack(">i", 40), id="length-too-small"),
        pytest.param(8, struct.pack(">i", 1 << 30), id="length-too-large"),
        pytest.param(16, b"\1", id="old-magic"),
        pytest.param(61, b"\x7f", id="record-beyond-the-end"),
        pytest.param(61, b"\1", id="record-of-negative-length"),
    ],
)
def test_batch_that_contradicts_itself_is_refused(
    sink: Sink, connection: Connection, at: int, field: bytes
) -> None:
    assert produce(connection, with_header_field(encode_batch(VALUES, 0), at, field)) == [87]
    assert (sink.stats().bad, sink.stats().records) == (1, 0)


def test_record_count_is_checked_against_the_records(sink: Sink, connection: Connection) -> None:
    batch = with_header_field(encode_batch(VALUES, 0), 23, struct.pack(">i", 1))
    assert produce(connection, with_header_field(batch, 57, struct.pack(">i", 2))) == [87]


def test_one_batch_in_n_is_verified() -> None:
    with Sink(verify_every=3) as sink, Connection(sink.bootstrap_servers) as connection:
        broken = encode_batch(VALUES, 0)[:-1] + b"x"
        assert [produce(connection, broken)[0] for _ in range(7)] == [2, 0, 0, 2, 0, 0, 2]
        assert sink.stats().bad == 3


def test_unknown_topic_and_partition_are_refused_without_being_bad(
    sink: Sink, connection: Connection
) -> None:
    batch = encode_batch(VALUES, 0)
    assert produce(connection, batch, "absent", 0) == produce(connection, batch, "bench", 3) == [3]
    assert (sink.stats().bad, sink.stats().records) == (0, 0)


def test_gap_in_the_sequence_of_a_producer_is_counted(sink: Sink, connection: Connection) -> None:
    for sequence in (0, 3, 6):
        produce(connection, idempotent_batch(VALUES, sequence))
    assert sink.stats().sequence_errors == 0
    produce(connection, idempotent_batch(VALUES, 6))
    produce(connection, idempotent_batch(VALUES, 12))
    assert sink.stats().sequence_errors == 2


@pytest.mark.parametrize("version", range(13))
def test_metadata_is_what_an_independent_decoder_reads(
    sink: Sink, connection: Connection, version: int
) -> None:
    topic = kafka_metadata.MetadataRequest.MetadataRequestTopic
    asked = [topic(name="other", topic_id=NO_ID), topic(name="absent", topic_id=NO_ID)]
    request = kafka_metadata.MetadataRequest(topics=asked, version=version)
    answer = ask(connection, request, kafka_metadata.MetadataResponse, version)
    assert [(broker.host, broker.port) for broker in answer.brokers] == [("127.0.0.1", sink.port)]
    assert [(one.error_code, one.name, len(one.partitions)) for one in answer.topics] == [
        (0, "other", 3),
        (3, "absent", 0),
    ]
    assert {one.leader_id for one in answer.topics[0].partitions} == {answer.brokers[0].node_id}


@pytest.mark.parametrize("version", [0, 1, 9, 12])
def test_metadata_of_all_topics_lists_them(connection: Connection, version: int) -> None:
    request = kafka_metadata.MetadataRequest(topics=[] if version == 0 else None, version=version)
    answer = ask(connection, request, kafka_metadata.MetadataResponse, version)
    assert [topic.name for topic in answer.topics] == ["bench", "other"]


@pytest.mark.parametrize("version", range(5))
def test_api_versions_are_what_an_independent_decoder_reads(connection: Connection, version: int) -> None:
    request = kafka_metadata.ApiVersionsRequest(
        client_software_name="test", client_software_version="1", version=version
    )
    answer = ask(connection, request, kafka_metadata.ApiVersionsResponse, version)
    ranges = {api.api_key: (api.min_version, api.max_version) for api in answer.api_keys}
    assert (ranges[0], ranges[3], ranges[18], ranges[22]) == ((0, 12), (0, 12), (0, 4), (0, 5))


def test_unknown_api_versions_version_is_answered_in_v0(connection: Connection) -> None:
    connection.send(struct.pack(">ihhih", 10, 18, 99, 7, -1))
    answer = kafka_metadata.ApiVersionsResponse.decode(connection.receive()[4:], version=0)
    assert answer.error_code == 35
    assert 18 in [api.api_key for api in answer.api_keys]


@pytest.mark.parametrize("version", range(6))
def test_each_producer_gets_its_own_id_and_a_bump_keeps_it(connection: Connection, version: int) -> None:
    fields = {"transactional_id": None, "transaction_timeout_ms": 1000, "version": version}
    answers = [
        ask(
            connection,
            kafka_producer.InitProducerIdRequest(producer_id=-1, producer_epoch=-1, **fields),
            kafka_producer.InitProducerIdResponse,
            version,
        )
        for _ in range(2)
    ]
    assert [answer.producer_epoch for answer in answers] == [0, 0]
    assert answers[0].producer_id != answers[1].producer_id
    if version >= 3:
        bump = kafka_producer.InitProducerIdRequest(
            producer_id=answers[0].producer_id, producer_epoch=0, **fields
        )
        bumped = ask(connection, bump, kafka_producer.InitProducerIdResponse, version)
        assert (bumped.producer_id, bumped.producer_epoch) == (answers[0].producer_id, 1)


@pytest.mark.parametrize("version", range(3, 14))
def test_produce_is_answered_with_the_next_offset(version: int) -> None:
    with Sink(produce_max=13, verify_every=1) as sink, Connection(sink.bootstrap_servers) as connection:
        request = kafka_metadata.MetadataRequest(topics=None, version=12)
        topic_id = ask(connection, request, kafka_metadata.MetadataResponse, 12).topics[0].topic_id
        message = kafka_producer.ProduceRequest
        data = message.TopicProduceData
        offsets = []
        for _ in range(2):
            partition = data.PartitionProduceData(index=4, records=encode_batch(VALUES, 0))
            topic = data(name="bench", topic_id=topic_id, partition_data=[partition])
            request = message(
                transactional_id=None, acks=-1, timeout_ms=9, topic_data=[topic], version=version
            )
            answer = ask(connection, request, kafka_producer.ProduceResponse, version)
            (one,) = answer.responses[0].partition_responses
            assert (one.index, one.error_code) == (4, 0)
            offsets.append(one.base_offset)
        assert offsets == [0, 3]


def test_acks_0_gets_no_answer_but_is_counted(sink: Sink, connection: Connection) -> None:
    frame = bytearray(produce_frame("bench", {0: encode_batch(VALUES, 0)}))
    acks_at = 4 + 8 + 2 + len("bench-peers") + 2
    assert frame[acks_at : acks_at + 2] == b"\xff\xff"
    frame[acks_at : acks_at + 2] = b"\0\0"
    connection.send(bytes(frame))
    assert sink.wait_for_records(3).records == 3
    request = kafka_metadata.MetadataRequest(topics=None, version=1)
    ask(connection, request, kafka_metadata.MetadataResponse, 1)  # the first answer on this connection


def test_delay_holds_answers_back_without_blocking_reads(sink: Sink, connection: Connection) -> None:
    sink.set_delay_ms(300)
    start = time.monotonic()
    for _ in range(3):
        connection.send(produce_frame("bench", {0: encode_batch(VALUES, 0)}))
    assert sink.wait_for_records(9).requests == 3
    with Connection(sink.bootstrap_servers) as other:
        request = kafka_metadata.MetadataRequest(topics=None, version=1)
        ask(other, request, kafka_metadata.MetadataResponse, 1)
    assert time.monotonic() - start < 0.3
    for _ in range(3):
        assert produce_errors(connection.receive()) == [0]
    assert 0.3 <= time.monotonic() - start < 0.6


def test_held_answers_keep_the_order_of_their_requests(sink: Sink, connection: Connection) -> None:
    sink.set_delay_ms(50)
    connection.send(produce_frame("bench", {0: encode_batch(VALUES, 0)}))
    request = kafka_metadata.MetadataRequest(topics=None, version=1)
    request.with_header(correlation_id=7)
    connection.send(request.encode(header=True, framed=True))
    assert [connection.receive()[:4] for _ in range(2)] == [struct.pack(">i", 0), struct.pack(">i", 7)]


def test_steady_stream_of_held_answers_arrives_whole(sink: Sink, connection: Connection) -> None:
    sink.set_delay_ms(2)
    frame = produce_frame("bench", {0: encode_batch(VALUES, 0)})
    for index in range(3000):
        connection.send(frame)
        if index >= 40:
            assert produce_errors(connection.receive()) == [0]
    for _ in range(40):
        assert produce_errors(connection.receive()) == [0]
    assert sink.stats().records == 9000


def test_request_fed_byte_by_byte_is_served(sink: Sink, connection: Connection) -> None:
    frame = produce_frame("bench", {0: encode_batch(VALUES, 0)})
    for index in range(len(frame)):
        connection.send(frame[index : index + 1])
    assert produce_errors(connection.receive()) == [0]


def test_request_larger_than_the_read_buffer_is_served(sink: Sink, connection: Connection) -> None:
    batch = encode_batch([b"x" * 300_000] * 4, 0)
    connection.send(produce_frame("bench", {0: batch, 1: batch}))
    assert produce_errors(connection.receive()) == [0, 0]
    assert produce(connection, encode_batch(VALUES, 0)) == [0]


def test_api_that_is_not_served_closes_the_connection(sink: Sink, connection: Connection) -> None:
    with pytest.raises((ConnectionError, ListOffsetsError, struct.error)):
        end_offsets(connection, "bench", 1)
    assert sink.stats().malformed == 1


def send_and_hang_up(sink: Sink, data: bytes) -> None:
    with contextlib.suppress(ConnectionError), socket.create_connection(("127.0.0.1", sink.port)) as plain:
        plain.sendall(data)
        plain.shutdown(socket.SHUT_WR)
        while plain.recv(1 << 16):
            pass


@pytest.fixture(scope="module")
def sanitized() -> Path:
    try:
        return build_sink(SANITIZE)
    except RuntimeError as error:
        pytest.skip(f"no compiler with ASan and UBSan: {error}")


def test_malformed_requests_never_hurt_the_sink(sanitized: Path) -> None:
    rng = random.Random(1)
    request = kafka_metadata.MetadataRequest(
        topics=[kafka_metadata.MetadataRequest.MetadataRequestTopic(name="bench", topic_id=NO_ID)], version=12
    )
    request.with_header(correlation_id=7)
    frames = [produce_frame("bench", {0: encode_batch(VALUES, 0)}), request.encode(header=True, framed=True)]
    with Sink(program=sanitized, verify_every=1) as sink:
        for end in range(4, len(frames[0])):
            send_and_hang_up(sink, struct.pack(">i", end - 4) + frames[0][4:end])
        assert sink.stats().malformed == len(frames[0]) - 4
        for frame in frames:
            for _ in range(300):
                body = bytearray(frame)
                for _ in range(rng.randint(1, 4)):
                    body[rng.randrange(8, len(body))] = rng.choice(
                        (0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256))
                    )
                send_and_hang_up(sink, bytes(body))
        for length in (-1, 0, 7, 1 << 30):
            send_and_hang_up(sink, struct.pack(">i", length) + rng.randbytes(64))
        with Connection(sink.bootstrap_servers) as connection:
            assert produce(connection, encode_batch(VALUES, 0)) == [0]


def test_sink_ends_with_its_stdin() -> None:
    sink = Sink()
    pid = sink.pid
    sink.close()
    assert not Path(f"/proc/{pid}").exists()
    sink.close()


def test_sink_listens_on_loopback_only(sink: Sink) -> None:
    rows = Path("/proc/net/tcp").read_text().splitlines()[1:]
    addresses = [row.split()[1] for row in rows if row.split()[3] == "0A"]
    assert f"0100007F:{sink.port:04X}" in addresses
    assert f"00000000:{sink.port:04X}" not in addresses


def test_wait_for_records_times_out(sink: Sink) -> None:
    with pytest.raises(TimeoutError, match="0 of 1 records"):
        sink.wait_for_records(1, timeout_s=0.02)


@pytest.mark.parametrize(
    ("codec", "produce_max"),
    [("none", 12), ("none", 13), ("gzip", 12), ("snappy", 12), ("lz4", 12), ("zstd", 12)],
)
def test_confluent_kafka_delivers(codec: str, produce_max: int) -> None:
    confluent_kafka = pytest.importorskip("confluent_kafka", reason="needs confluent-kafka")
    with Sink(verify_every=1, produce_max=produce_max) as sink:
        producer = confluent_kafka.Producer(
            {
                "bootstrap.servers": sink.bootstrap_servers,
                "enable.idempotence": True,
                "compression.type": codec,
                "log_level": 0,
            }
        )
        for index in range(2000):
            producer.produce("bench", b"value %d" % index)
        assert producer.flush(10) == 0
        stats = sink.stats()
        assert (stats.records, stats.bad, stats.sequence_errors, stats.malformed) == (2000, 0, 0, 0)


def test_kafka_python_delivers(sink: Sink) -> None:
    kafka = pytest.importorskip("kafka", reason="needs kafka-python")
    producer = kafka.KafkaProducer(bootstrap_servers=sink.bootstrap_servers, acks="all", linger_ms=1)
    futures = [producer.send("bench", b"value %d" % index) for index in range(500)]
    producer.flush(10)
    producer.close(5)
    assert min(future.get(1).offset for future in futures) == 0
    assert (sink.stats().records, sink.stats().bad, sink.stats().malformed) == (500, 0, 0)


def test_aiokafka_delivers(sink: Sink) -> None:
    aiokafka = pytest.importorskip("aiokafka", reason="needs aiokafka")

    async def send() -> None:
        async with aiokafka.AIOKafkaProducer(
            bootstrap_servers=sink.bootstrap_servers, enable_idempotence=True
        ) as producer:
            for index in range(500):
                await producer.send("bench", b"value %d" % index)
            await producer.flush()

    asyncio.run(send())
    assert (sink.stats().records, sink.stats().bad, sink.stats().malformed) == (500, 0, 0)
