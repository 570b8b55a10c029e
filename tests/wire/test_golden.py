"""Bytes written down: from other implementations and from Kafka's schema files, counted out by hand."""

from __future__ import annotations

import tracemalloc
from uuid import UUID

import pytest

from kproducer.errors import ProtocolError
from kproducer.protocol.headers import RequestHeader, read_request_header
from kproducer.protocol.messages.api_versions import API_VERSIONS, ApiVersionsRequest
from kproducer.protocol.messages.init_producer_id import (
    INIT_PRODUCER_ID,
    InitProducerIdRequest,
    InitProducerIdResponse,
)
from kproducer.protocol.messages.metadata import (
    METADATA,
    MetadataRequest,
    MetadataRequestTopic,
    MetadataResponse,
    MetadataResponseTopic,
)
from kproducer.protocol.messages.produce import (
    PRODUCE,
    EncodedBatch,
    LeaderIdAndEpoch,
    NodeEndpoint,
    produce_request,
)
from kproducer.protocol.primitives import ZERO_UUID, Reader

TOPIC_ID = UUID("00112233-4455-6677-8899-aabbccddeeff")


def test_api_versions_request_v3() -> None:
    # ApiVersionsRequest.json: header 2 (int16 client id, tags), two compact strings, tags.
    frame = API_VERSIONS.encode_request(
        ApiVersionsRequest(client_software_name="kp", client_software_version="1"),
        3,
        correlation_id=5,
        client_id="c",
    )
    assert (
        frame.hex() == "00000012" + "0012" + "0003" + "00000005" + "000163" + "00" + "036b70" + "0231" + "00"
    )


def test_answer_to_api_versions_has_no_tags_in_its_header() -> None:
    # KIP-511: header 0, then the flexible body; one api (0: 0..9), throttle 0, no tags.
    body = "00000005" + "0000" + "02" + "0000" + "0000" + "0009" + "00" + "00000000" + "00"
    correlation_id, response = API_VERSIONS.decode_response(bytes.fromhex(body), 3)
    assert correlation_id == 5
    assert [(key.api_key, key.max_version) for key in response.api_keys] == [(0, 9)]


def test_metadata_request_for_all_topics_and_for_none() -> None:
    # MetadataRequest.json: null asks for all topics, an empty array for none; the byte behind says to create them.
    assert METADATA.request.encode(MetadataRequest(topics=None), 4).hex() == "ffffffff" + "01"
    assert METADATA.request.encode(MetadataRequest(topics=()), 4).hex() == "00000000" + "01"
    assert METADATA.request.encode(MetadataRequest(topics=None), 12).hex() == "00" + "01" + "00" + "00"


def test_metadata_request_v12_without_auto_creation() -> None:
    request = MetadataRequest(topics=(MetadataRequestTopic(name="ab"),), allow_auto_topic_creation=False)
    assert (
        METADATA.request.encode(request, 12).hex() == "02" + "00" * 16 + "036162" + "00" + "00" + "00" + "00"
    )


def test_init_producer_id_request_v4() -> None:
    # InitProducerIdRequest.json: null id, timeout, producer id -1, epoch -1, tags.
    request = InitProducerIdRequest(transaction_timeout_ms=60000)
    assert INIT_PRODUCER_ID.request.encode(request, 4).hex() == "00" + "0000ea60" + "ff" * 8 + "ffff" + "00"


def batches() -> list[EncodedBatch]:
    return [
        EncodedBatch("a", TOPIC_ID, 0, b"one"),
        EncodedBatch("b", ZERO_UUID, 7, b"two"),
        EncodedBatch("a", TOPIC_ID, 1, b"three"),
    ]


def test_produce_request_v3_groups_each_topic_once() -> None:
    request = produce_request(batches(), acks=-1, timeout_ms=30000)
    assert PRODUCE.request.encode(request, 3).hex() == (
        "ffff" + "ffff" + "00007530" + "00000002"
        + "000161" + "00000002" + "00000000" + "00000003" + b"one".hex()
        + "00000001" + "00000005" + b"three".hex()
        + "000162" + "00000001" + "00000007" + "00000003" + b"two".hex()
    )  # fmt: skip


def test_produce_request_v13_speaks_of_topics_by_id() -> None:
    request = produce_request(batches()[:1], acks=1, timeout_ms=1)
    assert PRODUCE.request.encode(request, 13).hex() == (
        "00" + "0001" + "00000001" + "02" + TOPIC_ID.hex + "02" + "00000000" + "04" + b"one".hex()
        + "00" + "00" + "00"
    )  # fmt: skip


def test_two_batches_for_a_partition_are_refused() -> None:
    with pytest.raises(ValueError, match="two batches for a-0"):
        produce_request([*batches(), batches()[0]], acks=1, timeout_ms=1)


def test_produce_answer_v10_names_the_new_leader() -> None:
    # KIP-951: tag 0 of the partition and tag 0 of the answer; each struct in a tag ends with its own tags.
    body = (
        "0000000b" + "00" + "02" + "0261" + "02" + "00000003" + "0006" + "ff" * 8 + "ff" * 8 + "ff" * 8
        + "01" + "00" + "01" + "00" + "09" + "00000002" + "0000000c" + "00" + "00"
        + "00000000" + "01" + "00" + "0e" + "02" + "00000002" + "0368" + "69" + "00002384" + "00" + "00"
    )  # fmt: skip
    correlation_id, response = PRODUCE.decode_response(bytes.fromhex(body), 10)
    partition = response.responses[0].partition_responses[0]
    assert correlation_id == 11
    assert (partition.index, partition.error_code, partition.base_offset) == (3, 6, -1)
    assert partition.current_leader == LeaderIdAndEpoch(leader_id=2, leader_epoch=12)
    assert response.node_endpoints == (NodeEndpoint(node_id=2, host="hi", port=9092),)


def test_produce_answer_v8_names_the_guilty_records() -> None:
    # KIP-467: record errors and a message, not yet flexible.
    body = (
        "00000001" + "00000001" + "000161" + "00000001" + "00000000" + "0057" + "ff" * 8 + "ff" * 8 + "00" * 8
        + "00000001" + "00000004" + "00026e6f" + "0003626164" + "00000000"
    )  # fmt: skip
    _, response = PRODUCE.decode_response(bytes.fromhex(body), 8)
    partition = response.responses[0].partition_responses[0]
    assert [(e.batch_index, e.batch_index_error_message) for e in partition.record_errors] == [(4, "no")]
    assert partition.error_message == "bad"


def test_request_header_is_read_back_as_a_broker_does() -> None:
    frame = METADATA.encode_request(MetadataRequest(), 12, correlation_id=9, client_id=None)
    reader = Reader(frame[4:])
    header = read_request_header(reader, lambda key, version: key == METADATA.key and version >= 9)
    assert header == RequestHeader(api_key=3, api_version=12, correlation_id=9, client_id=None)
    assert METADATA.request.read(reader, 12) == MetadataRequest()


@pytest.mark.parametrize(
    "body",
    [
        "00000001" + "7fffffff" + "00" * 64,
        "00000001" + "00000001" + "0001" + "61" + "00ffffff" + "00" * 64,
        "00000001" + "00000001" + "7fff" + "61" * 64,
    ],
)
def test_huge_counts_are_refused_before_memory_is_taken(body: str) -> None:
    data = bytes.fromhex(body)
    PRODUCE.response.encode(PRODUCE.response.message_class(), 3)  # compiles the schema
    tracemalloc.start()
    with pytest.raises(ProtocolError):
        PRODUCE.decode_response(data, 3)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64 * 1024


def test_bytes_after_an_answer_are_ignored() -> None:
    # librdkafka's mock appends one to Metadata answers from version 9 on.
    frame = INIT_PRODUCER_ID.encode_response(InitProducerIdResponse(producer_id=1), 5, correlation_id=1)
    assert INIT_PRODUCER_ID.decode_response(frame[4:] + b"\x00", 5)[1].producer_id == 1


def test_topic_without_a_name_is_an_answer_of_metadata_v12_only() -> None:
    # Null names came with the lookup by id; before that a null name is a malformed answer.
    frame = METADATA.encode_response(
        MetadataResponse(topics=(MetadataResponseTopic(name=None, topic_id=TOPIC_ID),)), 12, correlation_id=1
    )
    assert METADATA.decode_response(frame[4:], 12)[1].topics[0].name is None
    null_name_v11 = (
        "00000001" + "00" + "00000000" + "01" + "00" + "ffffffff" + "02" + "0000" + "00" + "00" * 16
    )
    with pytest.raises(ProtocolError, match="length -1"):
        METADATA.decode_response(bytes.fromhex(null_name_v11 + "00" + "01" + "80000000" + "00" + "00"), 11)
