"""The messages of a transaction in every version, as bytes counted out by hand from Kafka's schema files."""

from __future__ import annotations

from typing import Any

import pytest

from kproducer.errors import ProtocolError
from kproducer.protocol.api import Api
from kproducer.protocol.messages.add_offsets_to_txn import (
    ADD_OFFSETS_TO_TXN,
    AddOffsetsToTxnRequest,
    AddOffsetsToTxnResponse,
)
from kproducer.protocol.messages.add_partitions_to_txn import (
    ADD_PARTITIONS_TO_TXN,
    AddPartitionsToTxnPartitionResult,
    AddPartitionsToTxnRequest,
    AddPartitionsToTxnResponse,
    AddPartitionsToTxnTopic,
    AddPartitionsToTxnTopicResult,
    partition_results,
)
from kproducer.protocol.messages.end_txn import (
    END_TXN,
    END_TXN_TV1_CAP,
    EndTxnRequest,
    EndTxnResponse,
)
from kproducer.protocol.messages.find_coordinator import (
    FIND_COORDINATOR,
    Coordinator,
    CoordinatorType,
    FindCoordinatorResponse,
    coordinator_of,
    coordinator_request,
)
from kproducer.protocol.messages.txn_offset_commit import (
    TXN_OFFSET_COMMIT,
    TXN_OFFSET_COMMIT_TV1_CAP,
    TxnOffsetCommitRequest,
    TxnOffsetCommitRequestPartition,
    TxnOffsetCommitRequestTopic,
    TxnOffsetCommitResponse,
    TxnOffsetCommitResponsePartition,
    TxnOffsetCommitResponseTopic,
)

# Producer id 4242 and epoch 7, as they travel in all of these.
PRODUCER = "0000000000001092" + "0007"
THROTTLE_5 = "00000005"


def offset_commit(version: int) -> TxnOffsetCommitRequest:
    """A commit of offset 300 of b-2, by a member of the group where the version has members."""
    member: dict[str, Any] = {}
    if version >= 3:
        member = {"generation_id": 9, "member_id": "m", "group_instance_id": None}
    partition = TxnOffsetCommitRequestPartition(
        partition_index=2, committed_offset=300, committed_leader_epoch=6, committed_metadata="hi"
    )
    return TxnOffsetCommitRequest(
        transactional_id="tx",
        group_id="g",
        producer_id=4242,
        producer_epoch=7,
        topics=(TxnOffsetCommitRequestTopic(name="b", partitions=(partition,)),),
        **member,
    )


ADD_PARTITIONS = AddPartitionsToTxnRequest(
    v3_and_below_transactional_id="tx",
    v3_and_below_producer_id=4242,
    v3_and_below_producer_epoch=7,
    v3_and_below_topics=(AddPartitionsToTxnTopic(name="b", partitions=(2, 3)),),
)
PARTITIONS_ADDED = AddPartitionsToTxnResponse(
    throttle_time_ms=5,
    results_by_topic_v3_and_below=(
        AddPartitionsToTxnTopicResult(
            name="b",
            results_by_partition=(
                AddPartitionsToTxnPartitionResult(partition_index=2, partition_error_code=55),
                AddPartitionsToTxnPartitionResult(partition_index=3, partition_error_code=3),
            ),
        ),
    ),
)
ADD_OFFSETS = AddOffsetsToTxnRequest(transactional_id="tx", producer_id=4242, producer_epoch=7, group_id="g")
OFFSETS_ADDED = AddOffsetsToTxnResponse(throttle_time_ms=5, error_code=51)
COMMIT = EndTxnRequest(transactional_id="tx", producer_id=4242, producer_epoch=7, committed=True)
OFFSETS_COMMITTED = TxnOffsetCommitResponse(
    throttle_time_ms=5,
    topics=(
        TxnOffsetCommitResponseTopic(
            name="b", partitions=(TxnOffsetCommitResponsePartition(partition_index=2, error_code=22),)
        ),
    ),
)


def each(versions: range, api: Api[Any, Any], message: Any, hex_body: str) -> list[Any]:
    return [
        pytest.param(api, version, message, hex_body, id=f"{api.name}-v{version}") for version in versions
    ]


REQUESTS = [
    *each(range(1, 3), FIND_COORDINATOR, coordinator_request("tx", CoordinatorType.TRANSACTION), "00027478" + "01"),
    *each(range(3, 4), FIND_COORDINATOR, coordinator_request("g", CoordinatorType.GROUP), "0267" + "00" + "00"),
    *each(
        range(4, 6),
        FIND_COORDINATOR,
        coordinator_request("tx", CoordinatorType.TRANSACTION),
        "01" + "02" + "037478" + "00",
    ),
    *each(
        range(3),
        ADD_PARTITIONS_TO_TXN,
        ADD_PARTITIONS,
        "00027478" + PRODUCER + "00000001" + "000162" + "00000002" + "00000002" + "00000003",
    ),
    *each(
        range(3, 4),
        ADD_PARTITIONS_TO_TXN,
        ADD_PARTITIONS,
        "037478" + PRODUCER + "02" + "0262" + "03" + "00000002" + "00000003" + "00" + "00",
    ),
    *each(range(3), ADD_OFFSETS_TO_TXN, ADD_OFFSETS, "00027478" + PRODUCER + "000167"),
    *each(range(3, 5), ADD_OFFSETS_TO_TXN, ADD_OFFSETS, "037478" + PRODUCER + "0267" + "00"),
    *each(range(3), END_TXN, COMMIT, "00027478" + PRODUCER + "01"),
    *each(range(3, 6), END_TXN, COMMIT, "037478" + PRODUCER + "01" + "00"),
    *each(
        range(2),
        TXN_OFFSET_COMMIT,
        offset_commit(0),
        "00027478" + "000167" + PRODUCER + "00000001" + "000162" + "00000001"
        + "00000002" + "000000000000012c" + "00026869",
    ),
    *each(
        range(2, 3),
        TXN_OFFSET_COMMIT,
        offset_commit(2),
        "00027478" + "000167" + PRODUCER + "00000001" + "000162" + "00000001"
        + "00000002" + "000000000000012c" + "00000006" + "00026869",
    ),
    *each(
        range(3, 6),
        TXN_OFFSET_COMMIT,
        offset_commit(3),
        "037478" + "0267" + PRODUCER + "00000009" + "026d" + "00" + "02" + "0262" + "02"
        + "00000002" + "000000000000012c" + "00000006" + "036869" + "00" + "00" + "00",
    ),
]  # fmt: skip

ANSWERS = [
    *each(
        range(1, 3),
        FIND_COORDINATOR,
        FindCoordinatorResponse(throttle_time_ms=5, node_id=1, host="h", port=9092),
        THROTTLE_5 + "0000" + "ffff" + "00000001" + "000168" + "00002384",
    ),
    *each(
        range(3, 4),
        FIND_COORDINATOR,
        FindCoordinatorResponse(throttle_time_ms=5, error_code=15, error_message="no", node_id=-1, port=-1),
        THROTTLE_5 + "000f" + "036e6f" + "ffffffff" + "01" + "ffffffff" + "00",
    ),
    *each(
        range(4, 6),
        FIND_COORDINATOR,
        FindCoordinatorResponse(
            throttle_time_ms=5, coordinators=(Coordinator(key="tx", node_id=1, host="h", port=9092),)
        ),
        THROTTLE_5 + "02" + "037478" + "00000001" + "0268" + "00002384" + "0000" + "00" + "00" + "00",
    ),
    *each(
        range(3),
        ADD_PARTITIONS_TO_TXN,
        PARTITIONS_ADDED,
        THROTTLE_5 + "00000001" + "000162" + "00000002" + "00000002" + "0037" + "00000003" + "0003",
    ),
    *each(
        range(3, 4),
        ADD_PARTITIONS_TO_TXN,
        PARTITIONS_ADDED,
        THROTTLE_5
        + "02"
        + "0262"
        + "03"
        + "00000002"
        + "0037"
        + "00"
        + "00000003"
        + "0003"
        + "00"
        + "00"
        + "00",
    ),
    *each(range(3), ADD_OFFSETS_TO_TXN, OFFSETS_ADDED, THROTTLE_5 + "0033"),
    *each(range(3, 5), ADD_OFFSETS_TO_TXN, OFFSETS_ADDED, THROTTLE_5 + "0033" + "00"),
    *each(range(3), END_TXN, EndTxnResponse(throttle_time_ms=5, error_code=48), THROTTLE_5 + "0030"),
    *each(range(3, 5), END_TXN, EndTxnResponse(throttle_time_ms=5), THROTTLE_5 + "0000" + "00"),
    *each(
        range(5, 6),
        END_TXN,
        EndTxnResponse(throttle_time_ms=5, producer_id=4242, producer_epoch=7),
        THROTTLE_5 + "0000" + PRODUCER + "00",
    ),
    *each(
        range(3),
        TXN_OFFSET_COMMIT,
        OFFSETS_COMMITTED,
        THROTTLE_5 + "00000001" + "000162" + "00000001" + "00000002" + "0016",
    ),
    *each(
        range(3, 6),
        TXN_OFFSET_COMMIT,
        OFFSETS_COMMITTED,
        THROTTLE_5 + "02" + "0262" + "02" + "00000002" + "0016" + "00" + "00" + "00",
    ),
]


@pytest.mark.parametrize(("api", "version", "request_", "hex_body"), REQUESTS)
def test_request_has_the_bytes_of_the_schema(
    api: Api[Any, Any], version: int, request_: Any, hex_body: str
) -> None:
    assert api.request.encode(request_, version).hex() == hex_body


@pytest.mark.parametrize(("api", "version", "request_", "hex_body"), REQUESTS)
def test_request_survives_a_round_trip(
    api: Api[Any, Any], version: int, request_: Any, hex_body: str
) -> None:
    read = api.request.decode(bytes.fromhex(hex_body), version)
    assert api.request.encode(read, version).hex() == hex_body


@pytest.mark.parametrize(("api", "version", "response", "hex_body"), ANSWERS)
def test_answer_is_read_and_written_as_the_schema_says(
    api: Api[Any, Any], version: int, response: Any, hex_body: str
) -> None:
    assert api.response.decode(bytes.fromhex(hex_body), version) == response
    assert api.response.encode(response, version).hex() == hex_body


@pytest.mark.parametrize("cases", [REQUESTS, ANSWERS], ids=["requests", "answers"])
@pytest.mark.parametrize(
    "api",
    [FIND_COORDINATOR, ADD_PARTITIONS_TO_TXN, ADD_OFFSETS_TO_TXN, END_TXN, TXN_OFFSET_COMMIT],
    ids=lambda api: api.name,
)
def test_no_version_is_left_out_here(api: Api[Any, Any], cases: list[Any]) -> None:
    covered = [case.values[1] for case in cases if case.values[0] is api]
    assert covered == list(range(api.versions.low, api.versions.high + 1))


@pytest.mark.parametrize(("api", "version", "response", "hex_body"), ANSWERS)
def test_answer_cut_at_any_offset_is_refused(
    api: Api[Any, Any], version: int, response: Any, hex_body: str
) -> None:
    body = bytes.fromhex(hex_body)
    for end in range(len(body)):
        with pytest.raises(ProtocolError):
            api.response.decode(body[:end], version)


@pytest.mark.parametrize(("api", "version", "request_", "hex_body"), REQUESTS)
def test_request_cut_at_any_offset_is_refused(
    api: Api[Any, Any], version: int, request_: Any, hex_body: str
) -> None:
    body = bytes.fromhex(hex_body)
    for end in range(len(body)):
        with pytest.raises(ProtocolError):
            api.request.decode(body[:end], version)


# --- FindCoordinator in its two shapes ----------------------------------------------------------------------


@pytest.mark.parametrize(("version", "key"), [(1, ""), (2, ""), (3, ""), (4, "tx"), (5, "tx")])
def test_coordinator_is_read_from_either_shape(version: int, key: str) -> None:
    found = Coordinator(key=key, node_id=3, host="kafka-3", port=9094)
    if version < 4:
        response = FindCoordinatorResponse(node_id=3, host="kafka-3", port=9094)
    else:
        response = FindCoordinatorResponse(coordinators=(found,))
    frame = FIND_COORDINATOR.encode_response(response, version, correlation_id=1)[4:]
    assert coordinator_of(FIND_COORDINATOR.decode_response(frame, version)[1]) == found


@pytest.mark.parametrize(
    "response",
    [
        FindCoordinatorResponse(error_code=15, error_message="not yet", node_id=-1, port=-1),
        FindCoordinatorResponse(
            coordinators=(Coordinator(key="tx", error_code=15, error_message="not yet", node_id=-1, port=-1),)
        ),
    ],
    ids=["in the answer itself", "in the list"],
)
def test_error_of_a_coordinator_is_read_from_either_shape(response: FindCoordinatorResponse) -> None:
    coordinator = coordinator_of(response)
    assert (coordinator.error_code, coordinator.error_message) == (15, "not yet")
    assert (coordinator.node_id, coordinator.host, coordinator.port) == (-1, "", -1)


def test_answer_without_a_coordinator_does_not_pass_for_broker_0() -> None:
    empty_list_v4 = FIND_COORDINATOR.response.decode(bytes.fromhex("00000000" + "01" + "00"), 4)
    with pytest.raises(ProtocolError, match="neither an error nor a coordinator"):
        coordinator_of(empty_list_v4)


def test_answer_about_several_keys_is_refused() -> None:
    two = FindCoordinatorResponse(
        coordinators=(Coordinator(key="a", host="h"), Coordinator(key="b", host="h"))
    )
    with pytest.raises(ProtocolError, match="2 keys"):
        coordinator_of(two)


# --- helpers, and what a version cannot say -----------------------------------------------------------------


def test_results_are_read_by_topic_and_partition() -> None:
    assert partition_results(PARTITIONS_ADDED) == [("b", 2, 55), ("b", 3, 3)]


def test_versions_from_broker_to_broker_are_not_spoken() -> None:
    with pytest.raises(ValueError, match=r"0\.\.3, not 4"):
        ADD_PARTITIONS_TO_TXN.request.encode(ADD_PARTITIONS, 4)


def test_generation_is_not_dropped_silently_before_version_3() -> None:
    with pytest.raises(ValueError, match="no field generation_id"):
        TXN_OFFSET_COMMIT.request.encode(offset_commit(3), 2)


def test_caps_are_one_below_transaction_protocol_2() -> None:
    assert (END_TXN_TV1_CAP + 1, TXN_OFFSET_COMMIT_TV1_CAP + 1) == (5, 5)
    assert END_TXN.request.encode(COMMIT, END_TXN_TV1_CAP) == END_TXN.request.encode(COMMIT, 5)
