"""Judges what a survey found of the cluster as a whole: addresses, versions, fenced brokers, clocks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from kproducer.config import ProducerConfig
from kproducer.diagnosis.facts import BrokerFacts, Survey
from kproducer.diagnosis.findings import Finding, error, note, warning
from kproducer.errors import KafkaError
from kproducer.protocol.api import Api
from kproducer.protocol.messages.init_producer_id import INIT_PRODUCER_ID
from kproducer.protocol.messages.metadata import METADATA
from kproducer.protocol.messages.produce import PRODUCE
from kproducer.protocol.versions import OLDEST_BROKER

_MAX_SKEW_MS: Final = 1_000.0
_CLUSTER: Final = "cluster"


def check_cluster(config: ProducerConfig, survey: Survey) -> Iterator[Finding]:
    """Yield what is wrong with the cluster, whatever the topic."""
    yield from _check_bootstrap(survey)
    for broker in survey.brokers:
        yield from _check_broker(config, survey, broker)
    yield from _check_fenced(survey)
    if survey.may_write_idempotently is False and config.enable_idempotence:
        yield error(
            "idempotent-write-denied",
            _CLUSTER,
            "this principal has no IDEMPOTENT_WRITE on the cluster, which brokers before 2.8 ask for",
            "grant it, or set enable.idempotence=false",
        )
    yield from _check_clock(survey)


def _check_bootstrap(survey: Survey) -> Iterator[Finding]:
    for entry in survey.bootstrap:
        if entry.error is not None:
            found = warning if survey.is_reachable else error
            yield found("bootstrap-unreachable", f"bootstrap {entry.address}", _why(entry.error))
    clusters = {entry.cluster_id for entry in survey.bootstrap if entry.cluster_id is not None}
    if len(clusters) > 1:
        yield error(
            "several-clusters",
            "bootstrap.servers",
            f"its entries belong to different clusters: {', '.join(sorted(clusters))}",
            "name the brokers of one cluster",
        )
    if survey.is_reachable and len(survey.bootstrap) == 1 and len(survey.brokers) > 1:
        yield note(
            "one-bootstrap-server",
            "bootstrap.servers",
            f"it names one of {len(survey.brokers)} brokers: while that one is down, no producer can start",
            "name two or three",
        )


def _check_broker(config: ProducerConfig, survey: Survey, broker: BrokerFacts) -> Iterator[Finding]:
    subject = f"broker {broker.node_id}"
    if broker.error is not None:
        led = _led_by(survey, broker.node_id)
        found = error if led else warning
        yield found(
            "broker-unreachable",
            subject,
            f"{_why(broker.error)}; it leads {led} partition{'' if led == 1 else 's'} of the topics asked for",
            f"{broker.address} is what the broker advertises: it must be reachable from here (advertised.listeners)",
        )
        return
    yield from _check_versions(config, broker, subject)
    yield from _check_broker_settings(config, broker, subject)


def _led_by(survey: Survey, node_id: int) -> int:
    return sum(partition.leader == node_id for topic in survey.topics for partition in topic.partitions)


def _check_versions(config: ProducerConfig, broker: BrokerFacts, subject: str) -> Iterator[Finding]:
    assert broker.versions is not None
    needed: list[Api[Any, Any]] = [
        PRODUCE,
        METADATA,
        *([INIT_PRODUCER_ID] if config.enable_idempotence else []),
    ]
    for api in needed:
        problem = _why_not_spoken(broker, api)
        if problem is not None:
            yield error("version-unsupported", subject, problem)
    if broker.versions.is_below_floor:
        yield warning(
            "broker-too-old", subject, f"it is older than Kafka {OLDEST_BROKER}, which nobody has tried"
        )
    elif config.transactional_id is not None and not broker.versions.speaks_transactions_v2:
        yield note(
            "transactions-v1",
            subject,
            "transactions use protocol 1: the cluster has not agreed on transaction.version 2 (KIP-890)",
            "on Kafka 4, upgrade the feature transaction.version",
        )


# Any: the types of its messages do not matter here.
def _why_not_spoken(broker: BrokerFacts, api: Api[Any, Any]) -> str | None:
    assert broker.versions is not None
    try:
        broker.versions.require(api)
    except KafkaError as refused:
        return refused.message
    return None


def _check_broker_settings(config: ProducerConfig, broker: BrokerFacts, subject: str) -> Iterator[Finding]:
    settings = broker.settings
    if settings.error is not None:
        yield note("settings-unknown", subject, f"its settings cannot be read: {_why(settings.error)}")
    largest = settings.number("socket.request.max.bytes")
    if largest is not None and largest < config.max_request_size:
        yield error(
            "request-too-large",
            subject,
            f"socket.request.max.bytes={largest} is below max.request.size={config.max_request_size}: it closes the "
            "connection of a larger request without an answer",
            f"set max.request.size={largest} or less",
        )
    longest = settings.number("transaction.max.timeout.ms")
    if (
        config.transactional_id is not None
        and longest is not None
        and longest < config.transaction_timeout_ms
    ):
        yield error(
            "transaction-timeout-too-long",
            subject,
            f"transaction.max.timeout.ms={longest} is below transaction.timeout.ms={config.transaction_timeout_ms}: "
            "init_transactions() fails",
            f"set transaction.timeout.ms={longest} or less",
        )


def _check_fenced(survey: Survey) -> Iterator[Finding]:
    for node_id in survey.fenced:
        yield warning(
            "broker-fenced",
            f"broker {node_id}",
            "it is registered, but the controller does not hear of it: it is down, or cannot catch up",
            "start it, or unregister it if it is gone for good",
        )


def _check_clock(survey: Survey) -> Iterator[Finding]:
    clock = survey.clock
    if clock.skew_ms is None:
        if clock.error is not None:
            yield note("clock-unknown", _CLUSTER, f"its clock cannot be read: {_why(clock.error)}")
        return
    if abs(clock.skew_ms) - clock.uncertainty_ms > _MAX_SKEW_MS:
        way = "ahead of" if clock.skew_ms > 0 else "behind"
        yield warning(
            "clock-skew",
            _CLUSTER,
            f"the controller's clock is {abs(clock.skew_ms) / 1000:.1f} s {way} this machine's "
            f"(give or take {clock.uncertainty_ms:.0f} ms); records carry this machine's time",
            "synchronise the clocks of both",
        )


def _why(failure: KafkaError) -> str:
    return f"{type(failure).__name__}: {failure.message}"
