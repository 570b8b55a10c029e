"""ApiVersions negotiation: from a broker's answer to the version of each API on that connection.

Versions belong to a connection, not to a cluster: brokers are upgraded one by one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from kproducer.errors import ProtocolError, UnsupportedVersionError, error_for
from kproducer.protocol.api import Api
from kproducer.protocol.messages.add_offsets_to_txn import ADD_OFFSETS_TO_TXN
from kproducer.protocol.messages.add_partitions_to_txn import ADD_PARTITIONS_TO_TXN
from kproducer.protocol.messages.api_versions import API_VERSIONS, ApiVersionsResponse
from kproducer.protocol.messages.describe_cluster import DESCRIBE_CLUSTER
from kproducer.protocol.messages.describe_configs import DESCRIBE_CONFIGS
from kproducer.protocol.messages.describe_quorum import DESCRIBE_QUORUM
from kproducer.protocol.messages.end_txn import END_TXN
from kproducer.protocol.messages.find_coordinator import FIND_COORDINATOR
from kproducer.protocol.messages.init_producer_id import INIT_PRODUCER_ID
from kproducer.protocol.messages.metadata import METADATA
from kproducer.protocol.messages.produce import PRODUCE
from kproducer.protocol.messages.txn_offset_commit import TXN_OFFSET_COMMIT
from kproducer.protocol.primitives import Reader
from kproducer.protocol.schema import NO_VERSION, Versions

# Any: the APIs differ in their message types, here only key, name and versions matter.
SUPPORTED_APIS: Final[tuple[Api[Any, Any], ...]] = (
    PRODUCE,
    METADATA,
    FIND_COORDINATOR,
    API_VERSIONS,
    INIT_PRODUCER_ID,
    ADD_PARTITIONS_TO_TXN,
    ADD_OFFSETS_TO_TXN,
    END_TXN,
    TXN_OFFSET_COMMIT,
    DESCRIBE_CONFIGS,
    DESCRIBE_QUORUM,
    DESCRIBE_CLUSTER,
)

OLDEST_BROKER: Final = "2.1"
# Kafka 2.1 is the first release with these (KIP-110, KIP-320).
_FLOOR: Final = {PRODUCE.key: 7, METADATA.key: 7}

_TRANSACTION_VERSION: Final = "transaction.version"
# Transaction protocol 2 needs all three (KIP-890).
_TRANSACTIONS_V2: Final = {PRODUCE.key: 12, END_TXN.key: 5, TXN_OFFSET_COMMIT.key: 5}

_UNSUPPORTED_VERSION: Final = 35
_METADATA_WITH_TOPIC_IDS: Final = 10
_LAST_PRODUCE_BY_NAME: Final = 12


@dataclass(frozen=True, slots=True)
class BrokerVersions:
    """What one broker speaks, as it said on one connection.

    Args:
        broker: how messages call the broker, such as "broker 1 at host:9092".
        ranges: versions by API key.
        supported_features: versions by feature name (KIP-584).
        finalized_features: the cluster's level by feature name; empty if the epoch is negative.
        finalized_features_epoch: -1 if unknown; of several answers, the one with the highest counts.
    """

    broker: str
    ranges: Mapping[int, Versions]
    supported_features: Mapping[str, Versions] = field(default_factory=dict)
    finalized_features: Mapping[str, int] = field(default_factory=dict)
    finalized_features_epoch: int = -1

    @property
    def is_below_floor(self) -> bool:
        """True if the broker is older than Kafka 2.1: it may work, but nobody has tried."""
        return any(self._offered(key).high < version for key, version in _FLOOR.items())

    @property
    def speaks_transactions_v2(self) -> bool:
        """True if the cluster has agreed on transaction protocol 2 and the broker offers its versions (KIP-890).

        If not, EndTxn and TxnOffsetCommit are for `END_TXN_TV1_CAP` and `TXN_OFFSET_COMMIT_TV1_CAP` at most.
        """
        # The offers alone prove nothing: brokers 4.x advertise EndTxn 5 at transaction.version 0 and 1 too.
        return self.finalized_features.get(_TRANSACTION_VERSION, 0) >= 2 and all(
            self._offered(key).high >= version for key, version in _TRANSACTIONS_V2.items()
        )

    def pick(self, api: Api[Any, Any], cap: int | None = None) -> int:
        """Return the highest version of an API that both sides speak.

        Args:
            cap: highest version that the caller can use, default none.

        Raises:
            UnsupportedVersionError: there is none.
        """
        ours = api.versions if cap is None else Versions(api.versions.low, min(cap, api.versions.high))
        # Brokers 4.x offer Produce from 0 but refuse 0 to 2 (KAFKA-18659), so only the overlap counts.
        offered = self._offered(api.key)
        version = min(ours.high, offered.high)
        if version < max(ours.low, offered.low):
            raise UnsupportedVersionError(
                f"{self.broker} {_describe(api.name, offered)}, we speak {ours}; "
                f"Kafka {OLDEST_BROKER} is the oldest broker that is supported"
            )
        return version

    def pick_produce(self, *, has_topic_ids: bool = True, cap: int | None = None) -> int:
        """Return the version of Produce for a request.

        Args:
            has_topic_ids: False if the id of a topic in the request is not known; version 13 speaks of topics
                by id only. A broker that offers 13, but no Metadata with ids, gets 12 as well.
            cap: highest version that the caller can use, default none.

        Raises:
            UnsupportedVersionError: there is none.
        """
        knows_ids = self._offered(METADATA.key).high >= _METADATA_WITH_TOPIC_IDS
        if not (has_topic_ids and knows_ids):
            cap = _LAST_PRODUCE_BY_NAME if cap is None else min(cap, _LAST_PRODUCE_BY_NAME)
        return self.pick(PRODUCE, cap)

    def require(self, *apis: Api[Any, Any]) -> None:
        """Raise UnsupportedVersionError at once if one of the APIs has no common version."""
        for api in apis:
            self.pick(api)

    def _offered(self, key: int) -> Versions:
        return self.ranges.get(key, NO_VERSION)


@dataclass(frozen=True, slots=True)
class Fallback:
    """The broker did not understand: ask again with this version, on the same connection or a new one."""

    version: int


def read_api_versions(frame: bytes | memoryview, version: int, *, broker: str) -> BrokerVersions | Fallback:
    """Judge the answer to ApiVersions; the correlation id is the caller's to check.

    Args:
        frame: the answer without its size.
        version: the version that was asked.
        broker: how messages call the broker.

    Raises:
        ProtocolError: not even version 0 can be understood.
        UnsupportedVersionError: the broker refuses version 0.
        KafkaError: any other error code in the answer.
    """
    reader = Reader(frame)
    API_VERSIONS.read_response_header(reader, version)
    body = bytes(reader.raw(reader.remaining))
    error_code = Reader(body).int16()
    if error_code == _UNSUPPORTED_VERSION:
        return _fallback(body, version, broker)
    if error_code:
        raise error_for(error_code, f"{broker} refused ApiVersions version {version}")
    try:
        return _broker_versions(API_VERSIONS.response.decode(body, version), broker)
    except ProtocolError:
        if version == 0:
            raise
        return Fallback(0)


def _fallback(body: bytes, version: int, broker: str) -> Fallback:
    if version == 0:
        raise UnsupportedVersionError(f"{broker} refuses ApiVersions version 0")
    # The body is version 0 and names only ApiVersions (KIP-511). Brokers before 2.4 send an empty list, and
    # the mock cluster of librdkafka a body of no version at all: both get version 0.
    try:
        answer = API_VERSIONS.response.read(Reader(body), 0)
    except ProtocolError:
        return Fallback(0)
    for offered in answer.api_keys:
        if offered.api_key == API_VERSIONS.key and 0 <= offered.max_version < version:
            return Fallback(offered.max_version)
    return Fallback(0)


def _broker_versions(answer: ApiVersionsResponse, broker: str) -> BrokerVersions:
    is_finalized = answer.finalized_features_epoch >= 0
    return BrokerVersions(
        broker=broker,
        ranges={
            offered.api_key: Versions(offered.min_version, offered.max_version)
            for offered in answer.api_keys
            if 0 <= offered.min_version <= offered.max_version
        },
        supported_features={
            feature.name: Versions(feature.min_version, feature.max_version)
            for feature in answer.supported_features
        },
        finalized_features={
            feature.name: feature.max_version_level for feature in answer.finalized_features if is_finalized
        },
        finalized_features_epoch=answer.finalized_features_epoch,
    )


def _describe(name: str, offered: Versions) -> str:
    return f"does not offer {name}" if offered == NO_VERSION else f"offers {name} {offered}"
