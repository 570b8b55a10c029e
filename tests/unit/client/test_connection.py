"""The conversation with a broker, fed byte by byte, with garbage, too late and out of turn."""

from __future__ import annotations

import struct

import pytest

from kproducer.client.connection import BrokerConnection, ConnectionSettings, ConnectionState
from kproducer.errors import (
    IllegalStateError,
    InvalidFrameSizeError,
    KafkaError,
    KafkaTimeoutError,
    ProtocolError,
)
from kproducer.protocol.messages.api_versions import API_VERSIONS, ApiVersion, ApiVersionsResponse
from kproducer.protocol.messages.init_producer_id import INIT_PRODUCER_ID, InitProducerIdRequest
from kproducer.protocol.messages.metadata import METADATA, MetadataRequest, MetadataResponse

SETTINGS = ConnectionSettings("client", "1.0", request_timeout_ms=30_000, frame_limit=1 << 20)
KEYS = tuple(
    ApiVersion(api_key=key, min_version=0, max_version=high) for key, high in ((0, 9), (3, 12), (18, 3))
)


def versions_answer(correlation_id: int, version: int, response: ApiVersionsResponse | None = None) -> bytes:
    response = response or ApiVersionsResponse(api_keys=KEYS)
    return API_VERSIONS.encode_response(response, version, correlation_id=correlation_id)


def frame(correlation_id: int, body: bytes) -> bytes:
    return struct.pack(">ii", len(body) + 4, correlation_id) + body


def take(conn: BrokerConnection) -> bytes:
    data = conn.data_to_send()
    conn.sent(len(data))
    return data


def opened(**options: int) -> BrokerConnection:
    conn = BrokerConnection("broker 1 at h:1", SETTINGS, setup_deadline=10_000, **options)
    conn.connected(0)
    take(conn)
    return conn


def ready() -> BrokerConnection:
    conn = opened()
    conn.receive(versions_answer(0, 4), 1)
    assert conn.is_ready
    return conn


def asked_version(data: bytes) -> int:
    return int(struct.unpack_from(">h", data, 6)[0])


def test_conversation_begins_with_the_newest_api_versions() -> None:
    conn = BrokerConnection("b", SETTINGS, setup_deadline=10_000)
    assert conn.data_to_send() == b""
    conn.connected(0)
    assert asked_version(conn.data_to_send()) == API_VERSIONS.versions.high


def test_answers_are_understood_one_byte_at_a_time() -> None:
    conn = opened()
    for index, byte in enumerate(versions_answer(0, 4)):
        assert not conn.is_ready, index
        assert conn.receive(bytes([byte]), 0) == []
    assert conn.is_ready
    conn.send(METADATA, MetadataRequest(), 0)
    answers = []
    data = METADATA.encode_response(MetadataResponse(cluster_id="c"), 12, correlation_id=1)
    for byte in data:
        answers += conn.receive(bytes([byte]), 0)
    assert [answer.response.cluster_id for answer in answers] == ["c"]


def test_request_takes_the_version_that_both_speak() -> None:
    conn = ready()
    conn.send(METADATA, MetadataRequest(), 0)
    assert asked_version(take(conn)) == 12


def test_refusal_of_versions_is_followed_by_the_offered_version_on_the_same_connection() -> None:
    conn = opened()
    conn.receive(frame(0, struct.pack(">hihhh", 35, 1, 18, 0, 3)), 0)
    assert asked_version(take(conn)) == 3
    conn.receive(versions_answer(1, 3), 0)
    assert conn.is_ready


def test_refusal_with_an_empty_list_is_followed_by_version_zero() -> None:
    conn = opened()
    conn.receive(frame(0, struct.pack(">hi", 35, 0)), 0)
    assert asked_version(take(conn)) == 0


def test_malformed_refusal_of_librdkafkas_mock_is_followed_by_version_zero() -> None:
    conn = opened()
    conn.receive(frame(0, bytes.fromhex("0023 01 0012 0000 0002 00000000")), 0)
    assert asked_version(take(conn)) == 0
    conn.receive(versions_answer(1, 0), 0)
    assert conn.is_ready


def test_connection_lost_over_a_newer_version_deserves_the_oldest_on_the_next() -> None:
    assert opened().deserves_oldest_versions
    assert not opened(api_versions_version=0).deserves_oldest_versions
    assert not ready().deserves_oldest_versions


def test_error_in_the_answer_to_version_zero_is_raised() -> None:
    conn = opened(api_versions_version=0)
    with pytest.raises(KafkaError):
        conn.receive(frame(0, struct.pack(">hi", 42, 0)), 0)


def test_nothing_is_sent_before_the_versions_are_known() -> None:
    with pytest.raises(IllegalStateError, match="VERSIONS"):
        opened().send(METADATA, MetadataRequest(), 0)


@pytest.mark.parametrize("correlation_id", [0, 2, -1])
def test_wrong_correlation_id_is_a_protocol_error(correlation_id: int) -> None:
    conn = ready()
    conn.send(METADATA, MetadataRequest(), 0)
    answer = METADATA.encode_response(MetadataResponse(), 12, correlation_id=correlation_id)
    with pytest.raises(ProtocolError, match="correlation"):
        conn.receive(answer, 0)


def test_answer_that_nobody_asked_for_is_a_protocol_error() -> None:
    with pytest.raises(ProtocolError, match="nobody asked"):
        ready().receive(frame(1, b"\0\0"), 0)


def test_garbage_body_is_a_protocol_error() -> None:
    conn = ready()
    conn.send(METADATA, MetadataRequest(), 0)
    with pytest.raises(ProtocolError):
        conn.receive(frame(1, b"\xff" * 40), 0)


def test_bytes_after_the_end_of_an_answer_are_let_be() -> None:
    conn = ready()
    conn.send(METADATA, MetadataRequest(), 0)
    answer = METADATA.encode_response(MetadataResponse(cluster_id="c"), 12, correlation_id=1)
    (got,) = conn.receive(frame(1, answer[8:] + b"\0"), 0)
    assert got.response.cluster_id == "c"


@pytest.mark.parametrize("size", [0, -1, 3, 0x7FFFFFFF, SETTINGS.frame_limit + 1])
def test_impossible_frame_size_is_refused_before_the_bytes_come(size: int) -> None:
    with pytest.raises(InvalidFrameSizeError):
        ready().receive(struct.pack(">i", size), 0)


def test_setup_deadline_covers_connecting_and_versions() -> None:
    for conn in (BrokerConnection("b", SETTINGS, setup_deadline=10_000), opened()):
        conn.check_deadline(9_999)
        with pytest.raises(KafkaTimeoutError, match=r"socket\.connection\.setup\.timeout\.ms"):
            conn.check_deadline(10_000)


def test_request_deadline_is_that_of_the_oldest_request() -> None:
    conn = ready()
    assert conn.deadline == float("inf")
    conn.send(METADATA, MetadataRequest(), 100)
    conn.send(METADATA, MetadataRequest(), 200)
    assert conn.deadline == 30_100
    with pytest.raises(KafkaTimeoutError, match="Metadata within request"):
        conn.check_deadline(30_100)


def test_throttle_is_obeyed_after_the_answer() -> None:
    conn = ready()
    conn.send(METADATA, MetadataRequest(), 0)
    answer = METADATA.encode_response(MetadataResponse(throttle_time_ms=2000), 12, correlation_id=1)
    conn.receive(answer, 50)
    assert not conn.may_send(2049)
    assert conn.may_send(2050)


def test_in_flight_is_told_by_api() -> None:
    conn = ready()
    conn.send(METADATA, MetadataRequest(), 0)
    assert conn.is_awaiting(METADATA)
    assert not conn.is_awaiting(INIT_PRODUCER_ID)
    assert not conn.is_quiet


def test_connection_is_quiet_when_nothing_is_owed_or_half_received() -> None:
    conn = ready()
    assert conn.is_quiet
    conn.receive(b"\0", 0)
    assert not conn.is_quiet


def test_api_that_the_broker_lacks_is_named() -> None:
    with pytest.raises(KafkaError, match="InitProducerId"):
        ready().send(INIT_PRODUCER_ID, InitProducerIdRequest(), 0)


def test_closed_connection_cannot_go_on() -> None:
    conn = ready()
    conn.close()
    conn.close()
    assert conn.state is ConnectionState.CLOSED
    with pytest.raises(IllegalStateError):
        conn.connected(0)
