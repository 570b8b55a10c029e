"""kproducer: a Kafka producer with a C core that works while Python is busy."""

from kproducer._core.completion import RecordFuture, SendManyResult
from kproducer._core.pump import codec_sources
from kproducer._version import __version__
from kproducer.config import ProducerConfig
from kproducer.errors import (
    AuthorizationError,
    BufferExhaustedError,
    ConfigError,
    ForkError,
    IllegalStateError,
    InvalidTopicError,
    KafkaError,
    KafkaTimeoutError,
    ProducerClosedError,
    RecordTooLargeError,
    RetriableError,
    SerializationError,
    UnobservedDeliveryError,
    UnsupportedConfigError,
)
from kproducer.interfaces import Partitioner, Serializer
from kproducer.producer import KafkaProducer
from kproducer.types import Header, PartitionInfo, ProducerRecord, RecordMetadata, TopicPartition

__all__ = [
    "AuthorizationError",
    "BufferExhaustedError",
    "ConfigError",
    "ForkError",
    "Header",
    "IllegalStateError",
    "InvalidTopicError",
    "KafkaError",
    "KafkaProducer",
    "KafkaTimeoutError",
    "PartitionInfo",
    "Partitioner",
    "ProducerClosedError",
    "ProducerConfig",
    "ProducerRecord",
    "RecordFuture",
    "RecordMetadata",
    "RecordTooLargeError",
    "RetriableError",
    "SendManyResult",
    "SerializationError",
    "Serializer",
    "TopicPartition",
    "UnobservedDeliveryError",
    "UnsupportedConfigError",
    "__version__",
    "codec_sources",
]
