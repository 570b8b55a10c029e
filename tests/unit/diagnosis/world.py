"""Facts as a survey would have found them, each test changing what it is about."""

from __future__ import annotations

from typing import Any

from kproducer.config import HostPort, ProducerConfig, parse_config
from kproducer.diagnosis.facts import BootstrapFacts, BrokerFacts, Settings, Survey, TopicFacts
from kproducer.protocol.schema import Versions
from kproducer.protocol.versions import SUPPORTED_APIS, BrokerVersions
from kproducer.types import PartitionInfo

GOOD_SETTINGS = {
    "min.insync.replicas": "2",
    "max.message.bytes": "1048588",
    "cleanup.policy": "delete",
    "message.timestamp.type": "CreateTime",
    "message.timestamp.after.max.ms": "3600000",
    "message.timestamp.before.max.ms": "9223372036854775807",
}


def config(**keys: Any) -> ProducerConfig:
    return parse_config({"bootstrap.servers": "a:1"}, keys)


def address(node_id: int) -> HostPort:
    return HostPort("a", node_id)


def versions(**newest: int) -> BrokerVersions:
    """A broker that speaks all that we do, or less of some APIs; -1 for not at all."""
    ranges = {
        api.key: Versions(0, newest.get(api.name, api.versions.high))
        for api in SUPPORTED_APIS
        if newest.get(api.name, 0) >= 0
    }
    return BrokerVersions("broker", ranges, finalized_features={"transaction.version": 2})


def broker(node_id: int, **facts: Any) -> BrokerFacts:
    good: dict[str, Any] = {
        "node_id": node_id,
        "address": address(node_id),
        "rack": None,
        "error": None,
        "versions": versions(),
        "settings": Settings({"auto.create.topics.enable": "true"}),
    }
    return BrokerFacts(**(good | facts))


def partition(
    number: int, leader: int | None = None, replicas: tuple[int, ...] = (1, 2, 3), **more: Any
) -> PartitionInfo:
    info = PartitionInfo("t", number, replicas[0] if leader is None else leader, 0, replicas, replicas)
    return info._replace(**more)


def spread(count: int) -> tuple[PartitionInfo, ...]:
    """Partitions whose leaders are spread over three brokers."""
    orders = [(1, 2, 3), (2, 3, 1), (3, 1, 2)]
    return tuple(partition(number, replicas=orders[number % 3]) for number in range(count))


def topic(**facts: Any) -> TopicFacts:
    return TopicFacts(
        **{
            "name": "t",
            "error": None,
            "partitions": spread(3),
            "may_write": True,
            "settings": Settings(GOOD_SETTINGS),
        }
        | facts
    )


def settings(**changed: str | None) -> Settings:
    """Good settings but for some, whose dots are underscores here."""
    return Settings(GOOD_SETTINGS | {name.replace("_", "."): value for name, value in changed.items()})


def survey(**facts: Any) -> Survey:
    """Three brokers that are well."""
    return Survey(
        **{
            "bootstrap": tuple(BootstrapFacts(address(n), None, 1.0, "c") for n in (1, 2)),
            "cluster_id": "c",
            "brokers": tuple(broker(n) for n in (1, 2, 3)),
            "topics": (),
        }
        | facts
    )
