"""kproducer: a Kafka producer with a C core that works while Python is busy."""

from importlib import import_module
from typing import TYPE_CHECKING

from kproducer._core.columns import is_column, read_columns
from kproducer._core.completion import RecordFuture, SendManyResult
from kproducer._core.pump import codec_sources
from kproducer._version import __version__
from kproducer.config import ProducerConfig, parse_config, read_environment
from kproducer.config_files import read_properties
from kproducer.errors import (
    AuthorizationError,
    BufferExhaustedError,
    BundleViolationError,
    CommitFailedError,
    CommitOutcomeUnknownError,
    ConfigError,
    ForkError,
    IllegalStateError,
    InvalidTopicError,
    KafkaError,
    KafkaTimeoutError,
    ProducerClosedError,
    ProducerFencedError,
    RecordDroppedError,
    RecordTooLargeError,
    RetriableError,
    SerializationError,
    TransactionAbortableError,
    TransactionAbortedError,
    TransactionCommittedError,
    UnobservedDeliveryError,
    UnsupportedConfigError,
)
from kproducer.interfaces import (
    ArrowArray,
    ArrowStream,
    Column,
    Interceptor,
    Partitioner,
    PartitionerObject,
    Serializer,
    StatisticsCallback,
)
from kproducer.metrics.table import ALL_METRICS, Metric
from kproducer.producer import KafkaProducer
from kproducer.types import (
    ConsumerGroupMetadata,
    Header,
    Headers,
    Metrics,
    OffsetAndMetadata,
    PartitionInfo,
    ProducerRecord,
    RecordMetadata,
    TopicPartition,
)

if TYPE_CHECKING:
    from kproducer.diagnosis.diagnose import Diagnosis, diagnose
    from kproducer.diagnosis.findings import Finding, Severity

__all__ = [
    "ALL_METRICS",
    "ArrowArray",
    "ArrowStream",
    "AuthorizationError",
    "BufferExhaustedError",
    "BundleViolationError",
    "Column",
    "CommitFailedError",
    "CommitOutcomeUnknownError",
    "ConfigError",
    "ConsumerGroupMetadata",
    "Diagnosis",
    "Finding",
    "ForkError",
    "Header",
    "Headers",
    "IllegalStateError",
    "Interceptor",
    "InvalidTopicError",
    "KafkaError",
    "KafkaProducer",
    "KafkaTimeoutError",
    "Metric",
    "Metrics",
    "OffsetAndMetadata",
    "PartitionInfo",
    "Partitioner",
    "PartitionerObject",
    "ProducerClosedError",
    "ProducerConfig",
    "ProducerFencedError",
    "ProducerRecord",
    "RecordDroppedError",
    "RecordFuture",
    "RecordMetadata",
    "RecordTooLargeError",
    "RetriableError",
    "SendManyResult",
    "SerializationError",
    "Serializer",
    "Severity",
    "StatisticsCallback",
    "TopicPartition",
    "TransactionAbortableError",
    "TransactionAbortedError",
    "TransactionCommittedError",
    "UnobservedDeliveryError",
    "UnsupportedConfigError",
    "__version__",
    "codec_sources",
    "diagnose",
    "is_column",
    "parse_config",
    "read_columns",
    "read_environment",
    "read_properties",
]

# The doctor is asked for by few, and would cost every start a third of its time.
_LATE = {
    "Diagnosis": "kproducer.diagnosis.diagnose",
    "Finding": "kproducer.diagnosis.findings",
    "Severity": "kproducer.diagnosis.findings",
    "diagnose": "kproducer.diagnosis.diagnose",
}


def __getattr__(name: str) -> object:
    """Import the doctor's names when they are used (PEP 562)."""
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LATE[name]), name)
