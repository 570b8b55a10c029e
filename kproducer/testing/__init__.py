"""Tools for tests of programs that use kproducer.

`KafkaCluster` starts a real Apache Kafka from PyPI packages (extra `local`), `FaultProxy` stands before brokers and
breaks things, and `MockProducer` is a producer without a broker. `pytest_plugin` has the fixture `kafka_cluster`.
"""

from kproducer.testing.answers import ApiKey
from kproducer.testing.cluster import KafkaCluster
from kproducer.testing.effects import (
    Answer,
    BlackHole,
    Close,
    Delay,
    Drop,
    Duplicate,
    Effect,
    Hold,
    Reset,
    Rewrite,
    Trickle,
)
from kproducer.testing.errors import ClusterError, MissingExtraError
from kproducer.testing.jars import KafkaInstallation, install_kafka
from kproducer.testing.mock import MockProducer
from kproducer.testing.mock_results import MockRecordFuture, MockSendManyResult
from kproducer.testing.node import KafkaNode
from kproducer.testing.pipe import Direction
from kproducer.testing.proxy import FaultProxy, Rule
from kproducer.testing.schedule import Schedule
from kproducer.testing.versions import DEFAULT_VERSION

__all__ = [
    "DEFAULT_VERSION",
    "Answer",
    "ApiKey",
    "BlackHole",
    "Close",
    "ClusterError",
    "Delay",
    "Direction",
    "Drop",
    "Duplicate",
    "Effect",
    "FaultProxy",
    "Hold",
    "KafkaCluster",
    "KafkaInstallation",
    "KafkaNode",
    "MissingExtraError",
    "MockProducer",
    "MockRecordFuture",
    "MockSendManyResult",
    "Reset",
    "Rewrite",
    "Rule",
    "Schedule",
    "Trickle",
    "install_kafka",
]
