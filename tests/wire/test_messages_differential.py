"""Every request and answer, in every version, byte for byte against kafka-python's protocol classes."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kafka.protocol.admin import (
    DescribeClusterRequest,
    DescribeClusterResponse,
    DescribeConfigsRequest,
    DescribeConfigsResponse,
    DescribeQuorumRequest,
    DescribeQuorumResponse,
)
from kafka.protocol.metadata import (
    ApiVersionsRequest,
    ApiVersionsResponse,
    FindCoordinatorRequest,
    FindCoordinatorResponse,
    MetadataRequest,
    MetadataResponse,
)
from kafka.protocol.producer import (
    AddOffsetsToTxnRequest,
    AddOffsetsToTxnResponse,
    AddPartitionsToTxnRequest,
    AddPartitionsToTxnResponse,
    EndTxnRequest,
    EndTxnResponse,
    InitProducerIdRequest,
    InitProducerIdResponse,
    ProduceRequest,
    ProduceResponse,
    TxnOffsetCommitRequest,
    TxnOffsetCommitResponse,
)

from kproducer.errors import ProtocolError
from kproducer.protocol.api import Api
from kproducer.protocol.schema import Versions
from kproducer.protocol.versions import SUPPORTED_APIS
from tests.wire.strategies import messages, wires

THEIR_REQUESTS = {
    "Produce": ProduceRequest,
    "Metadata": MetadataRequest,
    "ApiVersions": ApiVersionsRequest,
    "InitProducerId": InitProducerIdRequest,
    "FindCoordinator": FindCoordinatorRequest,
    "AddPartitionsToTxn": AddPartitionsToTxnRequest,
    "AddOffsetsToTxn": AddOffsetsToTxnRequest,
    "EndTxn": EndTxnRequest,
    "TxnOffsetCommit": TxnOffsetCommitRequest,
    "DescribeConfigs": DescribeConfigsRequest,
    "DescribeQuorum": DescribeQuorumRequest,
    "DescribeCluster": DescribeClusterRequest,
}
THEIR_RESPONSES = {
    "Produce": ProduceResponse,
    "Metadata": MetadataResponse,
    "ApiVersions": ApiVersionsResponse,
    "InitProducerId": InitProducerIdResponse,
    "FindCoordinator": FindCoordinatorResponse,
    "AddPartitionsToTxn": AddPartitionsToTxnResponse,
    "AddOffsetsToTxn": AddOffsetsToTxnResponse,
    "EndTxn": EndTxnResponse,
    "TxnOffsetCommit": TxnOffsetCommitResponse,
    "DescribeConfigs": DescribeConfigsResponse,
    "DescribeQuorum": DescribeQuorumResponse,
    "DescribeCluster": DescribeClusterResponse,
}
# Kafka gives these names to what is asked for and to what is answered alike.
THEIR_NAMES = {
    "QuorumTopicData": "TopicData",
    "QuorumPartitionData": "PartitionData",
    "QuorumTopicState": "TopicData",
    "QuorumPartitionState": "PartitionData",
}
CASES = [
    pytest.param(api, version, id=f"{api.name}-v{version}")
    for api in SUPPORTED_APIS
    for version in range(api.versions.low, api.versions.high + 1)
]


def theirs(their_class: Any, message: Any, version: int) -> Any:
    """Build kafka-python's object from ours."""
    values = {}
    for name, wire in wires(type(message)).items():
        value = getattr(message, name)
        if version not in Versions.parse(wire.versions):
            continue
        if wire.tag is not None and value == getattr(type(message)(), name):
            continue  # it writes each tag that it is given, even a default one
        if name.endswith("_authorized_operations") and isinstance(value, int) and not isinstance(value, bool):
            values["authorized_operations"] = {bit for bit in range(32) if value >> bit & 1}
            continue
        values[name] = their_value(their_class, value, version)
    return their_class(version=version, **values)


def their_value(their_class: Any, value: Any, version: int) -> Any:
    if isinstance(value, tuple):
        return [their_value(their_class, item, version) for item in value]
    if hasattr(value, "__dataclass_fields__"):
        name = type(value).__name__
        return theirs(getattr(their_class, THEIR_NAMES.get(name, name)), value, version)
    return value


@pytest.mark.parametrize(("api", "version"), CASES)
@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_request_has_the_bytes_of_kafka_python(api: Api[Any, Any], version: int, data: st.DataObject) -> None:
    request = data.draw(messages(api.request.message_class, version))
    correlation_id = data.draw(st.integers(0, 2**31 - 1))
    client_id = data.draw(st.none() | st.text(max_size=10))
    their_request = theirs(THEIR_REQUESTS[api.name], request, version)
    their_request.with_header(correlation_id=correlation_id, client_id=client_id)
    ours = api.encode_request(request, version, correlation_id=correlation_id, client_id=client_id)
    assert ours.hex() == their_request.encode(header=True, framed=True).hex()


@pytest.mark.parametrize(("api", "version"), CASES)
@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_answer_of_kafka_python_is_decoded(api: Api[Any, Any], version: int, data: st.DataObject) -> None:
    response = data.draw(messages(api.response.message_class, version))
    correlation_id = data.draw(st.integers(0, 2**31 - 1))
    their_response = theirs(THEIR_RESPONSES[api.name], response, version)
    their_response.with_header(correlation_id=correlation_id)
    frame = their_response.encode(header=True, framed=True)
    assert api.decode_response(frame[4:], version) == (correlation_id, response)
    assert api.encode_response(response, version, correlation_id=correlation_id).hex() == frame.hex()


@pytest.mark.parametrize(("api", "version"), CASES)
@settings(max_examples=3, deadline=None)
@given(data=st.data())
def test_answer_cut_at_any_offset_is_refused(api: Api[Any, Any], version: int, data: st.DataObject) -> None:
    response = data.draw(messages(api.response.message_class, version))
    frame = api.encode_response(response, version, correlation_id=1)[4:]
    for end in range(len(frame)):
        with pytest.raises(ProtocolError):
            api.decode_response(frame[:end], version)


@pytest.mark.parametrize(("api", "version"), CASES)
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_garbled_answer_raises_protocol_errors_only(
    api: Api[Any, Any], version: int, data: st.DataObject
) -> None:
    response = data.draw(messages(api.response.message_class, version))
    frame = bytearray(api.encode_response(response, version, correlation_id=1)[4:])
    for _ in range(data.draw(st.integers(1, 4))):
        frame[data.draw(st.integers(0, len(frame) - 1))] = data.draw(st.integers(0, 255))
    with suppress(ProtocolError):
        api.decode_response(bytes(frame), version)


@pytest.mark.parametrize(("api", "version"), CASES)
@settings(max_examples=15, deadline=None)
@given(garbage=st.binary(max_size=100))
def test_garbage_raises_protocol_errors_only(api: Api[Any, Any], version: int, garbage: bytes) -> None:
    with suppress(ProtocolError):
        api.decode_response(garbage, version)
