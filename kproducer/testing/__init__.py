"""Real Apache Kafka for tests: `KafkaCluster` starts it from PyPI packages (extra `local`)."""

from kproducer.testing.cluster import KafkaCluster
from kproducer.testing.errors import ClusterError, MissingExtraError
from kproducer.testing.jars import KafkaInstallation, install_kafka
from kproducer.testing.node import KafkaNode
from kproducer.testing.versions import DEFAULT_VERSION

__all__ = [
    "DEFAULT_VERSION",
    "ClusterError",
    "KafkaCluster",
    "KafkaInstallation",
    "KafkaNode",
    "MissingExtraError",
    "install_kafka",
]
