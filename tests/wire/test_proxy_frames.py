"""The fault proxy's own reading of frames, against the protocol package: every version, random messages."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kproducer.protocol.api import Api
from kproducer.protocol.messages.add_offsets_to_txn import ADD_OFFSETS_TO_TXN
from kproducer.protocol.messages.add_partitions_to_txn import ADD_PARTITIONS_TO_TXN, partition_results
from kproducer.protocol.messages.describe_cluster import DESCRIBE_CLUSTER
from kproducer.protocol.messages.describe_configs import DESCRIBE_CONFIGS
from kproducer.protocol.messages.describe_quorum import DESCRIBE_QUORUM
from kproducer.protocol.messages.end_txn import END_TXN
from kproducer.protocol.messages.find_coordinator import FIND_COORDINATOR
from kproducer.protocol.messages.init_producer_id import INIT_PRODUCER_ID
from kproducer.protocol.messages.metadata import METADATA
from kproducer.protocol.messages.produce import PRODUCE
from kproducer.protocol.messages.txn_offset_commit import TXN_OFFSET_COMMIT
from kproducer.protocol.versions import SUPPORTED_APIS
from kproducer.testing.answers import FLEXIBLE_FROM, NEWEST, Address, ApiKey, is_answered, readdress, refusal
from kproducer.testing.frames import FrameCutter, FrameError
from tests.wire.strategies import messages

CODE = 19
ASKED_BY_THE_DOCTOR = (DESCRIBE_CLUSTER, DESCRIBE_CONFIGS, DESCRIBE_QUORUM)


def moved(address: Address) -> Address:
    """Away, under a name of another length."""
    return Address("behind.the.proxy", (address.port + 1) % 2**31)


def with_moved(endpoint: Any) -> Any:
    there = moved(Address(endpoint.host, endpoint.port))
    return replace(endpoint, host=there.host, port=there.port) if endpoint.host else endpoint


def versions_of(*apis: Api[Any, Any]) -> list[Any]:
    return [
        pytest.param(api, version, id=f"{api.name}-{version}")
        for api in apis
        for version in range(api.versions.low, api.versions.high + 1)
    ]


def test_every_api_that_we_speak_is_known_in_each_of_its_versions() -> None:
    sent = [
        api for api in SUPPORTED_APIS if api not in ASKED_BY_THE_DOCTOR
    ]  # whose requests pass as they are
    spoken = {api.key: (api.versions.high, api.request.flexible_from) for api in sent}
    del spoken[ApiKey.API_VERSIONS]  # nothing of it is read
    assert {key: (newest, FLEXIBLE_FROM[key]) for key, newest in NEWEST.items() if key != 10} == {
        key: facts for key, facts in spoken.items() if key != FIND_COORDINATOR.key
    }
    assert NEWEST[FIND_COORDINATOR.key] >= FIND_COORDINATOR.versions.high  # version 6 has no other layout
    assert FLEXIBLE_FROM[FIND_COORDINATOR.key] == FIND_COORDINATOR.request.flexible_from
    assert {key.name.replace("_", "").lower() for key in ApiKey} == {api.name.lower() for api in sent}


@pytest.mark.parametrize(("api", "version"), versions_of(METADATA, FIND_COORDINATOR, PRODUCE))
@settings(max_examples=15)
@given(data=st.data())
def test_addresses_are_moved_and_nothing_else(api: Api[Any, Any], version: int, data: st.DataObject) -> None:
    answer = data.draw(messages(api.response.message_class, version))
    expected = answer
    if api is METADATA:
        expected = replace(answer, brokers=tuple(map(with_moved, answer.brokers)))
    elif api is PRODUCE:
        expected = replace(answer, node_endpoints=tuple(map(with_moved, answer.node_endpoints)))
    elif version >= 4:
        expected = replace(answer, coordinators=tuple(map(with_moved, answer.coordinators)))
    else:
        expected = with_moved(answer)
    frame = api.encode_response(answer, version, correlation_id=7)

    found = readdress(frame, api.key, version, moved)

    assert found == api.encode_response(expected, version, correlation_id=7)


def test_an_answer_without_addresses_is_not_read() -> None:
    assert readdress(b"no frame", ApiKey.END_TXN, 99, moved) == b"no frame"
    assert readdress(b"no frame", ApiKey.PRODUCE, 9, moved) == b"no frame"


def test_an_answer_of_an_unknown_version_is_not_guessed_at() -> None:
    with pytest.raises(FrameError, match="METADATA version 14: the proxy knows versions up to 13"):
        readdress(bytes(20), ApiKey.METADATA, 14, moved)


@pytest.mark.parametrize(
    ("api", "version"),
    versions_of(
        PRODUCE, FIND_COORDINATOR, INIT_PRODUCER_ID, ADD_PARTITIONS_TO_TXN, ADD_OFFSETS_TO_TXN, END_TXN,
        TXN_OFFSET_COMMIT,
    ),
)  # fmt: skip
@settings(max_examples=15)
@given(data=st.data())
def test_a_request_is_refused_as_a_broker_would_refuse_it(
    api: Api[Any, Any], version: int, data: st.DataObject
) -> None:
    request = data.draw(messages(api.request.message_class, version))
    frame = api.encode_request(request, version, correlation_id=42, client_id="c")

    answer = refusal(frame, CODE)

    correlation_id, found = api.decode_response(answer[4:], version)
    assert answer == api.encode_response(found, version, correlation_id=42)  # no byte more or less
    assert correlation_id == 42
    assert codes_in(api, version, request, found) == places_in(api, version, request)


def places_in(api: Api[Any, Any], version: int, request: Any) -> list[Any]:
    """What is refused: each place of a request, with the code."""
    if api is PRODUCE:
        return [
            (topic.name, topic.topic_id, part.index, CODE, -1)
            for topic in request.topic_data
            for part in topic.partition_data
        ]
    if api is ADD_PARTITIONS_TO_TXN:
        return [(t.name, p, CODE) for t in request.v3_and_below_topics for p in t.partitions]
    if api is TXN_OFFSET_COMMIT:
        return [(t.name, p.partition_index, CODE) for t in request.topics for p in t.partitions]
    if api is FIND_COORDINATOR and version >= 4:
        return [(key, CODE, "") for key in request.coordinator_keys]
    return [CODE]


def codes_in(api: Api[Any, Any], version: int, request: Any, answer: Any) -> list[Any]:
    """What an answer says, in the form of `places_in`."""
    if api is PRODUCE:
        return [
            (topic.name, topic.topic_id, part.index, part.error_code, part.base_offset)
            for topic in answer.responses
            for part in topic.partition_responses
        ]
    if api is ADD_PARTITIONS_TO_TXN:
        return list(partition_results(answer))
    if api is TXN_OFFSET_COMMIT:
        return [(t.name, p.partition_index, p.error_code) for t in answer.topics for p in t.partitions]
    if api is FIND_COORDINATOR and version >= 4:
        return [(c.key, c.error_code, c.host) for c in answer.coordinators]
    return [answer.error_code]


@pytest.mark.parametrize(("api", "version"), versions_of(PRODUCE))
@pytest.mark.parametrize("acks", [-1, 0, 1])
def test_only_a_produce_without_acks_is_not_answered(api: Api[Any, Any], version: int, acks: int) -> None:
    request = api.request.message_class(acks=acks, transactional_id=None)
    frame = api.encode_request(request, version, correlation_id=1, client_id=None)
    assert is_answered(frame) is (acks != 0)


def test_other_requests_are_answered_whatever_their_version() -> None:
    assert is_answered(bytes(4) + b"\x00\x12\x00\x63" + bytes(8))
    assert is_answered(bytes(4) + b"\x00\x00\x00\x63" + bytes(8))


def test_no_answer_is_invented_for_an_api_that_is_not_known() -> None:
    with pytest.raises(FrameError, match="no error answer is known for API 18; allowed are PRODUCE, "):
        refusal(bytes(4) + b"\x00\x12\x00\x00" + bytes(8), CODE)


@pytest.mark.parametrize("api", [METADATA, FIND_COORDINATOR, PRODUCE], ids=lambda api: api.name)
@settings(max_examples=15)
@given(data=st.data())
def test_an_answer_that_is_cut_or_garbled_is_a_value_error_at_worst(
    api: Api[Any, Any], data: st.DataObject
) -> None:
    version = api.versions.high
    answer = data.draw(messages(api.response.message_class, version))
    frame = bytearray(api.encode_response(answer, version, correlation_id=1))
    frame[data.draw(st.integers(8, len(frame) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(ValueError):
        readdress(bytes(frame[: data.draw(st.integers(8, len(frame)))]), api.key, version, moved)


def test_frames_are_cut_out_of_any_pieces() -> None:
    stream = b"".join(len(body).to_bytes(4, "big") + body for body in (b"four", b"sixsix", bytes(300)))
    for piece in (1, 3, 7, 1000):
        cutter = FrameCutter(1000)
        found = [
            frame for at in range(0, len(stream), piece) for frame in cutter.feed(stream[at : at + piece])
        ]
        assert b"".join(found) == stream
        assert [len(frame) for frame in found] == [8, 10, 304]


@pytest.mark.parametrize("size", [-1, 0, 3, 1001])
def test_a_size_that_no_frame_has_is_an_error(size: int) -> None:
    with pytest.raises(FrameError, match=f"a frame of {size} bytes"):
        FrameCutter(1000).feed(size.to_bytes(4, "big", signed=True))
