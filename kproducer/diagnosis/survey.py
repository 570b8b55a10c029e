"""Asks the brokers: who is there, what they speak, how topics and brokers are set, what time it is.

Every broker is asked at the address that it advertises, several at a time, each on a thread of its own. What
fails is a fact as well; only our own mistakes raise.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, TypeVar

from kproducer.client.nodes import Node
from kproducer.config import HostPort
from kproducer.diagnosis.facts import BootstrapFacts, BrokerFacts, ClockFacts, Settings, Survey, TopicFacts
from kproducer.diagnosis.session import Dialling, Session
from kproducer.errors import KafkaError, ProtocolError, error_for
from kproducer.protocol.messages.describe_cluster import DESCRIBE_CLUSTER, DescribeClusterRequest
from kproducer.protocol.messages.describe_configs import (
    DESCRIBE_CONFIGS,
    ConfigResourceType,
    DescribeConfigsRequest,
    DescribeConfigsResource,
    DescribeConfigsResult,
)
from kproducer.protocol.messages.describe_quorum import DESCRIBE_QUORUM, controller_time_ms, quorum_request
from kproducer.protocol.messages.metadata import (
    METADATA,
    MetadataRequest,
    MetadataRequestTopic,
    MetadataResponse,
    MetadataResponseBroker,
    MetadataResponsePartition,
    MetadataResponseTopic,
)
from kproducer.types import PartitionInfo

TOPIC_SETTINGS: Final = (
    "min.insync.replicas",
    "max.message.bytes",
    "cleanup.policy",
    "message.timestamp.type",
    "message.timestamp.after.max.ms",
    "message.timestamp.before.max.ms",
)
BROKER_SETTINGS: Final = (
    "auto.create.topics.enable",
    "socket.request.max.bytes",
    "transaction.max.timeout.ms",
)

# Kafka's numbers of operations in a bit field (KIP-430).
_WRITE: Final = 4
_IDEMPOTENT_WRITE: Final = 12
_NOT_TOLD: Final = -(1 << 31)
_FIRST_WITH_OPERATIONS: Final = 8
_LAST_WITH_CLUSTER_OPERATIONS: Final = 10
_FIRST_WITH_FENCED: Final = 2
_MAX_THREADS: Final = 16

Item = TypeVar("Item")
Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class _View:
    """A bootstrap server's answer."""

    facts: BootstrapFacts
    metadata: MetadataResponse | None


def survey(bootstrap: Sequence[HostPort], topics: Sequence[str], dialling: Dialling) -> Survey:
    """Find out all there is to know; takes up to three times `dialling.timeout_ms`."""
    views = _each(bootstrap, lambda address: _ask_bootstrap(address, topics, dialling))
    entries = tuple(view.facts for view in views)
    metadata = next((view.metadata for view in views if view.metadata is not None), None)
    if metadata is None:
        return Survey(entries)
    brokers = tuple(_each(metadata.brokers, lambda broker: _ask_broker(broker, dialling)))
    names = [topic.name or "" for topic in metadata.topics if not topic.error_code]
    cluster = _ask_any(brokers, names, dialling)
    return Survey(
        bootstrap=entries,
        cluster_id=metadata.cluster_id,
        brokers=brokers,
        topics=tuple(_topic_facts(topic, cluster.settings) for topic in metadata.topics),
        fenced=cluster.fenced,
        may_write_idempotently=_is_allowed(metadata.cluster_authorized_operations, _IDEMPOTENT_WRITE),
        clock=cluster.clock,
    )


def _each(items: Sequence[Item], ask: Callable[[Item], Found]) -> list[Found]:
    """Ask all at the same time: dead brokers each take the whole timeout."""
    if not items:
        return []
    with ThreadPoolExecutor(min(_MAX_THREADS, len(items)), "kproducer-doctor") as pool:
        return list(pool.map(ask, items))


# --- bootstrap servers --------------------------------------------------------------------------------------


def _ask_bootstrap(address: HostPort, topics: Sequence[str], dialling: Dialling) -> _View:
    try:
        with Session(Node(address, address), dialling) as session:
            version = session.versions.pick(METADATA)
            metadata = session.ask(METADATA, _metadata_request(topics, version))
            if metadata.error_code:
                raise error_for(metadata.error_code)
            elapsed_ms = session.elapsed_ms
    except KafkaError as error:
        return _View(BootstrapFacts(address, error), None)
    return _View(BootstrapFacts(address, None, elapsed_ms, metadata.cluster_id), metadata)


def _metadata_request(topics: Sequence[str], version: int) -> MetadataRequest:
    return MetadataRequest(
        topics=tuple(MetadataRequestTopic(name=name) for name in topics),
        allow_auto_topic_creation=False,
        include_topic_authorized_operations=version >= _FIRST_WITH_OPERATIONS,
        include_cluster_authorized_operations=(
            _FIRST_WITH_OPERATIONS <= version <= _LAST_WITH_CLUSTER_OPERATIONS
        ),
    )


# --- brokers ------------------------------------------------------------------------------------------------


def _ask_broker(broker: MetadataResponseBroker, dialling: Dialling) -> BrokerFacts:
    address = HostPort(broker.host, broker.port)
    try:
        with Session(Node(broker.node_id, address), dialling) as session:
            name = str(broker.node_id)
            settings = _ask_settings(session, ConfigResourceType.BROKER, [name], BROKER_SETTINGS)[name]
            return BrokerFacts(
                broker.node_id, address, broker.rack, None, session.elapsed_ms, session.versions, settings
            )
    except KafkaError as error:
        return BrokerFacts(broker.node_id, address, broker.rack, error)


def _ask_settings(
    session: Session, kind: ConfigResourceType, names: Iterable[str], keys: tuple[str, ...]
) -> dict[str, Settings]:
    """Return the settings by name; a refusal stands in their place."""
    found = {name: Settings(error=ProtocolError("the broker left it out of its answer")) for name in names}
    resources = tuple(
        DescribeConfigsResource(resource_type=kind, resource_name=name, configuration_keys=keys)
        for name in found
    )
    try:
        answer = session.ask(DESCRIBE_CONFIGS, DescribeConfigsRequest(resources=resources))
    except KafkaError as error:
        return {name: Settings(error=error) for name in found}
    for result in answer.results:
        found[result.resource_name] = _settings_of(result)
    return found


def _settings_of(result: DescribeConfigsResult) -> Settings:
    if result.error_code:
        return Settings(error=error_for(result.error_code, result.error_message))
    return Settings({config.name: config.value for config in result.configs})


# --- what any broker can tell -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _ClusterAnswers:
    settings: dict[str, Settings]
    fenced: tuple[int, ...]
    clock: ClockFacts


def _ask_any(brokers: Sequence[BrokerFacts], topics: Sequence[str], dialling: Dialling) -> _ClusterAnswers:
    """Ask the first broker that answers for what all of them know."""
    error: KafkaError = ProtocolError("no broker could be asked")
    for broker in brokers:
        if broker.error is not None:
            error = broker.error
            continue
        try:
            with Session(Node(broker.node_id, broker.address), dialling) as session:
                clock = _ask_clock(session)
                settings = (
                    _ask_settings(session, ConfigResourceType.TOPIC, topics, TOPIC_SETTINGS) if topics else {}
                )
                return _ClusterAnswers(settings, _ask_fenced(session), clock)
        except KafkaError as failure:
            error = failure
    return _ClusterAnswers({name: Settings(error=error) for name in topics}, (), ClockFacts(error=error))


def _ask_clock(session: Session) -> ClockFacts:
    # Twice, as the first answer of a fresh JVM may take long, and the time it takes is the uncertainty.
    measured = [_measure_clock(session) for _ in range(2)]
    return min(measured, key=lambda facts: (facts.error is not None, facts.uncertainty_ms))


def _measure_clock(session: Session) -> ClockFacts:
    before_ms = time.time() * 1000
    began = time.perf_counter()
    try:
        answer = session.ask(DESCRIBE_QUORUM, quorum_request())
    except KafkaError as error:
        return ClockFacts(error=error)
    half_ms = (time.perf_counter() - began) * 1000 / 2
    if answer.error_code:
        return ClockFacts(error=error_for(answer.error_code))
    theirs_ms = controller_time_ms(answer)
    if theirs_ms is None:
        return ClockFacts(error=ProtocolError("the controller did not tell its time"))
    return ClockFacts(theirs_ms - (before_ms + half_ms), half_ms)


def _ask_fenced(session: Session) -> tuple[int, ...]:
    try:
        if session.versions.pick(DESCRIBE_CLUSTER) < _FIRST_WITH_FENCED:
            return ()
        answer = session.ask(DESCRIBE_CLUSTER, DescribeClusterRequest(include_fenced_brokers=True))
    except KafkaError:
        return ()
    return tuple(sorted(broker.broker_id for broker in answer.brokers if broker.is_fenced))


# --- topics -------------------------------------------------------------------------------------------------


def _topic_facts(topic: MetadataResponseTopic, settings: dict[str, Settings]) -> TopicFacts:
    name = topic.name or ""
    if topic.error_code:
        return TopicFacts(name, error_for(topic.error_code, topic=name))
    partitions = sorted(topic.partitions, key=lambda partition: partition.partition_index)
    return TopicFacts(
        name,
        None,
        tuple(_partition_info(name, partition) for partition in partitions),
        _is_allowed(topic.topic_authorized_operations, _WRITE),
        settings[name],
    )


def _partition_info(topic: str, partition: MetadataResponsePartition) -> PartitionInfo:
    return PartitionInfo(
        topic,
        partition.partition_index,
        partition.leader_id,
        partition.leader_epoch,
        partition.replica_nodes,
        partition.isr_nodes,
        partition.offline_replicas,
    )


def _is_allowed(operations: int, operation: int) -> bool | None:
    return None if operations == _NOT_TOLD else bool(operations >> operation & 1)
