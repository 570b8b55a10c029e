"""Negotiation: what brokers of all ages answer, and which versions follow."""

import pytest

from kproducer.errors import ClusterAuthorizationError, ProtocolError, UnsupportedVersionError
from kproducer.protocol.messages.add_partitions_to_txn import ADD_PARTITIONS_TO_TXN
from kproducer.protocol.messages.api_versions import (
    API_VERSIONS,
    ApiVersion,
    ApiVersionsResponse,
    FinalizedFeatureKey,
    SupportedFeatureKey,
)
from kproducer.protocol.messages.end_txn import END_TXN, END_TXN_TV1_CAP
from kproducer.protocol.messages.init_producer_id import INIT_PRODUCER_ID
from kproducer.protocol.messages.metadata import METADATA
from kproducer.protocol.messages.produce import PRODUCE
from kproducer.protocol.messages.txn_offset_commit import TXN_OFFSET_COMMIT, TXN_OFFSET_COMMIT_TV1_CAP
from kproducer.protocol.schema import Versions
from kproducer.protocol.versions import SUPPORTED_APIS, BrokerVersions, Fallback, read_api_versions

BROKER = "broker 1 at kafka-1:9092"


def answer(body: str | bytes, version: int) -> BrokerVersions | Fallback:
    data = bytes.fromhex(body) if isinstance(body, str) else body
    return read_api_versions(b"\x00\x00\x00\x07" + data, version, broker=BROKER)


def body(version: int, **ranges: tuple[int, int]) -> bytes:
    keys = {api.name: api.key for api in SUPPORTED_APIS}
    response = ApiVersionsResponse(
        api_keys=tuple(
            ApiVersion(api_key=keys[name], min_version=low, max_version=high)
            for name, (low, high) in ranges.items()
        )
    )
    return API_VERSIONS.response.encode(response, version)


def broker(**ranges: tuple[int, int]) -> BrokerVersions:
    versions = answer(body(3, **ranges), 3)
    assert isinstance(versions, BrokerVersions)
    return versions


# (Produce, Metadata, InitProducerId) of some releases, and what must come of them.
RELEASES = {
    "2.1": ((0, 7), (0, 7), (0, 1), (7, 7, 1)),
    "2.4": ((0, 8), (0, 9), (0, 2), (8, 9, 2)),
    "2.8": ((0, 9), (0, 11), (0, 4), (9, 11, 4)),
    "3.9": ((0, 11), (0, 12), (0, 5), (11, 12, 5)),
    "4.0": ((0, 12), (0, 13), (0, 5), (12, 13, 5)),
    "4.1": ((0, 13), (0, 13), (0, 6), (13, 13, 5)),
    "far future": ((12, 99), (10, 99), (4, 99), (13, 13, 5)),
}


@pytest.mark.parametrize("release", RELEASES)
def test_highest_common_version_is_picked(release: str) -> None:
    produce, metadata, init, expected = RELEASES[release]
    versions = broker(Produce=produce, Metadata=metadata, InitProducerId=init, ApiVersions=(0, 3))
    picked = versions.pick_produce(), versions.pick(METADATA), versions.pick(INIT_PRODUCER_ID)
    assert picked == expected
    assert not versions.is_below_floor


def test_broker_older_than_the_floor_is_seen() -> None:
    versions = broker(Produce=(0, 6), Metadata=(0, 6))
    assert versions.is_below_floor
    assert versions.pick_produce() == 6


def test_produce_by_id_needs_the_ids() -> None:
    versions = broker(Produce=(0, 13), Metadata=(0, 13))
    assert versions.pick_produce(has_topic_ids=False) == 12
    assert versions.pick_produce(cap=11) == 11
    assert versions.pick_produce(has_topic_ids=False, cap=13) == 12


def test_produce_stays_at_12_if_metadata_has_no_ids() -> None:
    assert broker(Produce=(0, 13), Metadata=(0, 9)).pick_produce() == 12


@pytest.mark.parametrize(
    ("produce", "text"),
    [
        ({"Produce": (0, 2)}, f"{BROKER} offers Produce 0..2, we speak 3..13"),
        ({"Produce": (14, 20)}, f"{BROKER} offers Produce 14..20, we speak 3..13"),
        ({}, f"{BROKER} does not offer Produce, we speak 3..13"),
    ],
)
def test_missing_overlap_names_broker_api_and_both_ranges(
    produce: dict[str, tuple[int, int]], text: str
) -> None:
    versions = broker(Metadata=(0, 13), **produce)
    with pytest.raises(UnsupportedVersionError) as caught:
        versions.require(METADATA, PRODUCE)
    assert text in str(caught.value)
    assert "Kafka 2.1" in str(caught.value)


def test_features_are_carried() -> None:
    response = ApiVersionsResponse(
        supported_features=(SupportedFeatureKey(name="transaction.version", max_version=2),),
        finalized_features_epoch=41,
        finalized_features=(FinalizedFeatureKey(name="transaction.version", max_version_level=2),),
    )
    versions = answer(API_VERSIONS.response.encode(response, 4), 4)
    assert isinstance(versions, BrokerVersions)
    assert versions.finalized_features == {"transaction.version": 2}
    assert versions.finalized_features_epoch == 41
    assert versions.supported_features == {"transaction.version": Versions(0, 2)}


def test_finalized_features_without_an_epoch_do_not_count() -> None:
    response = ApiVersionsResponse(
        finalized_features=(FinalizedFeatureKey(name="transaction.version", max_version_level=2),)
    )
    versions = answer(API_VERSIONS.response.encode(response, 3), 3)
    assert isinstance(versions, BrokerVersions)
    assert versions.finalized_features == {}


# What brokers 4.x advertise, whatever transaction.version the cluster has agreed on.
OFFERS_OF_4_0 = {
    "Produce": (0, 12),
    "EndTxn": (0, 5),
    "TxnOffsetCommit": (0, 5),
    "AddPartitionsToTxn": (0, 5),
}


def broker_at(transaction_version: int | None, offers: dict[str, tuple[int, int]]) -> BrokerVersions:
    keys = {api.name: api.key for api in SUPPORTED_APIS}
    finalized = (
        ()
        if transaction_version is None
        else (FinalizedFeatureKey(name="transaction.version", max_version_level=transaction_version),)
    )
    response = ApiVersionsResponse(
        api_keys=tuple(
            ApiVersion(api_key=keys[name], min_version=low, max_version=high)
            for name, (low, high) in offers.items()
        ),
        finalized_features_epoch=1,
        finalized_features=finalized,
    )
    versions = answer(API_VERSIONS.response.encode(response, 4), 4)
    assert isinstance(versions, BrokerVersions)
    return versions


@pytest.mark.parametrize(
    ("transaction_version", "speaks_it"), [(None, False), (0, False), (1, False), (2, True), (3, True)]
)
def test_transaction_protocol_2_needs_the_agreement_of_the_cluster(
    transaction_version: int | None, speaks_it: bool
) -> None:
    assert broker_at(transaction_version, OFFERS_OF_4_0).speaks_transactions_v2 is speaks_it


@pytest.mark.parametrize(("name", "too_low"), [("Produce", 11), ("EndTxn", 4), ("TxnOffsetCommit", 4)])
def test_transaction_protocol_2_needs_all_three_versions(name: str, too_low: int) -> None:
    assert not broker_at(2, OFFERS_OF_4_0 | {name: (0, too_low)}).speaks_transactions_v2
    others = {other: offer for other, offer in OFFERS_OF_4_0.items() if other != name}
    assert not broker_at(2, others).speaks_transactions_v2


def test_feature_that_is_supported_but_not_finalized_does_not_count() -> None:
    response = ApiVersionsResponse(
        api_keys=tuple(ApiVersion(api_key=api.key, max_version=api.versions.high) for api in SUPPORTED_APIS),
        supported_features=(SupportedFeatureKey(name="transaction.version", max_version=2),),
        finalized_features_epoch=1,
    )
    versions = answer(API_VERSIONS.response.encode(response, 4), 4)
    assert isinstance(versions, BrokerVersions)
    assert not versions.speaks_transactions_v2


def test_caps_hold_a_broker_of_4_0_to_transaction_protocol_1() -> None:
    versions = broker_at(1, OFFERS_OF_4_0)
    assert (versions.pick(END_TXN), versions.pick(TXN_OFFSET_COMMIT)) == (5, 5)
    assert versions.pick(END_TXN, cap=END_TXN_TV1_CAP) == 4
    assert versions.pick(TXN_OFFSET_COMMIT, cap=TXN_OFFSET_COMMIT_TV1_CAP) == 4


def test_add_partitions_stays_below_the_versions_between_brokers() -> None:
    assert broker_at(1, OFFERS_OF_4_0).pick(ADD_PARTITIONS_TO_TXN) == 3


@pytest.mark.parametrize(
    ("name", "refusal", "version"),
    [
        ("KIP-511: version 0, only its own range", "0023" + "00000001" + "0012" + "0000" + "0003", 3),
        ("its own range is no lower than what was asked", "0023" + "00000001" + "0012" + "0000" + "0004", 0),
        ("other keys only", "0023" + "00000001" + "0000" + "0000" + "0003", 0),
        ("before 2.4: an empty list", "0023" + "00000000", 0),
        ("just the code", "0023", 0),
        ("mock cluster of librdkafka", "0023" + "01" + "0012" + "0000" + "0002" + "00000000", 0),
        ("huge count", "0023" + "7fffffff", 0),
        ("version 1 with a throttle time", "0023" + "00000001" + "0012" + "0000" + "0002" + "00000000", 2),
    ],
)
def test_refusal_falls_back(name: str, refusal: str, version: int) -> None:
    assert answer(refusal, 4) == Fallback(version), name


def test_version_0_body_without_error_to_a_newer_request_falls_back() -> None:
    assert answer(body(0, Produce=(0, 9), Metadata=(0, 9)), 3) == Fallback(0)


def test_refusal_of_version_0_is_final() -> None:
    with pytest.raises(UnsupportedVersionError, match="kafka-1:9092"):
        answer("0023" + "00000000", 0)


def test_other_error_is_raised() -> None:
    with pytest.raises(ClusterAuthorizationError, match="kafka-1:9092"):
        answer("001f" + "00000000", 3)


def test_senseless_ranges_are_left_out() -> None:
    versions = broker(Produce=(9, 3), Metadata=(-1, 4), InitProducerId=(0, 4))
    assert dict(versions.ranges) == {INIT_PRODUCER_ID.key: Versions(0, 4)}


@pytest.mark.parametrize("version", range(5))
def test_answer_cut_at_any_offset_is_a_fallback_or_a_protocol_error(version: int) -> None:
    whole = body(version, Produce=(0, 13), Metadata=(0, 13))
    for end in range(len(whole)):
        try:
            result = answer(whole[:end], version)
        except ProtocolError:
            continue
        assert result == Fallback(0)
        assert version > 0
