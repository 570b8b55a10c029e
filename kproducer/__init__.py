"""kproducer: a Kafka producer with a C core that works while Python is busy."""

from kproducer._core.completion import RecordFuture, SendManyResult
from kproducer._core.pump import codec_sources
from kproducer._version import __version__
from kproducer.config import ProducerConfig, parse_config, read_environment
from kproducer.config_files import read_properties
from kproducer.diagnosis.diagnose import Diagnosis, diagnose
from kproducer.diagnosis.findings import Finding, Severity
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
from kproducer.interfaces import Interceptor, Partitioner, Serializer
from kproducer.producer import KafkaProducer
from kproducer.types import (
    ConsumerGroupMetadata,
    Header,
    Headers,
    OffsetAndMetadata,
    PartitionInfo,
    ProducerRecord,
    RecordMetadata,
    TopicPartition,
)

__all__ = [
    "AuthorizationError",
    "BufferExhaustedError",
    "BundleViolationError",
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
    "OffsetAndMetadata",
    "PartitionInfo",
    "Partitioner",
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
    "TopicPartition",
    "TransactionAbortableError",
    "TransactionAbortedError",
    "TransactionCommittedError",
    "UnobservedDeliveryError",
    "UnsupportedConfigError",
    "__version__",
    "codec_sources",
    "diagnose",
    "parse_config",
    "read_environment",
    "read_properties",
]
