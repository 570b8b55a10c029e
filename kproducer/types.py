"""The values that users pass in and get back: records, their metadata, partitions.

Owns no behaviour and checks nothing: the producer validates at `send()`. Named tuples, because they are
immutable, have no instance dictionary, and are created faster than frozen dataclasses. Any thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple, TypeAlias

NO_OFFSET = -1
NO_TIMESTAMP = -1
NO_LEADER = -1
NO_LEADER_EPOCH = -1
NULL_SIZE = -1


class TimestampType(IntEnum):
    """Who stamped a record, in Kafka's numbers: the client, the broker, or nobody known."""

    NO_TIMESTAMP_TYPE = -1
    CREATE_TIME = 0
    LOG_APPEND_TIME = 1


class Header(NamedTuple):
    """One record header; a plain `(key, value)` tuple is accepted wherever a Header is.

    key: text, may repeat within a record and may be empty.
    value: bytes, or None for a null value.
    """

    key: str
    value: bytes | None = None


# The name of a group, or group.tag, and of a metric: metrics()["producer-metrics"]["record-send-rate"].
Metrics: TypeAlias = dict[str, dict[str, float]]
Headers: TypeAlias = Sequence[tuple[str, bytes | None]]


class TopicPartition(NamedTuple):
    """A topic and one of its partitions, numbered from 0."""

    topic: str
    partition: int

    def __str__(self) -> str:
        return f"{self.topic}-{self.partition}"


class ProducerRecord(NamedTuple):
    """A record to send, as Java's ProducerRecord.

    topic: name of the topic.
    value, key: what the serializers take; bytes or None without a serializer (default None).
    headers: (key, value) pairs in order, duplicates kept (default None: no headers).
    partition: number of the partition (default None: chosen by key or by the partitioner).
    timestamp_ms: milliseconds since the epoch (default None: the time of `send()`).
    """

    topic: str
    value: object = None
    key: object = None
    headers: Headers | None = None
    partition: int | None = None
    timestamp_ms: int | None = None


class RecordMetadata(NamedTuple):
    """Where a delivered record is in the log, as Java's RecordMetadata.

    offset: position in the partition; -1 if the broker did not tell (acks=0, or a forgotten duplicate).
    timestamp_ms: milliseconds since the epoch; -1 if unknown.
    timestamp_type: number of a `TimestampType`.
    serialized_key_size, serialized_value_size: bytes before compression; -1 for null.
    """

    topic: str
    partition: int
    offset: int = NO_OFFSET
    timestamp_ms: int = NO_TIMESTAMP
    timestamp_type: int = TimestampType.NO_TIMESTAMP_TYPE
    serialized_key_size: int = NULL_SIZE
    serialized_value_size: int = NULL_SIZE

    @property
    def has_offset(self) -> bool:
        """Whether the broker told the offset."""
        return self.offset != NO_OFFSET

    @property
    def has_timestamp(self) -> bool:
        """Whether the timestamp is known."""
        return self.timestamp_ms != NO_TIMESTAMP

    @property
    def topic_partition(self) -> TopicPartition:
        """The topic and partition as one value, fit to be a dictionary key."""
        return TopicPartition(self.topic, self.partition)


class OffsetAndMetadata(NamedTuple):
    """A position that a consumer group has reached, as Java's class of this name.

    offset: the next record to read.
    leader_epoch: of the last record read (KIP-320); -1 if not known (the default).
    metadata: any text, kept with the offset (default empty).
    """

    offset: int
    leader_epoch: int = NO_LEADER_EPOCH
    metadata: str = ""


class ConsumerGroupMetadata(NamedTuple):
    """Who commits offsets: the group, and with a generation also the member, which may be fenced (KIP-447).

    generation_id: of the group (default -1: no fencing of members).
    member_id: given by the group's coordinator (default empty).
    group_instance_id: of a static member (default None).
    """

    group_id: str
    generation_id: int = -1
    member_id: str = ""
    group_instance_id: str | None = None


class PartitionInfo(NamedTuple):
    """What the cluster said about one partition, as Java's PartitionInfo.

    leader: node id; -1 while there is none.
    leader_epoch: counts leader changes (KIP-320); -1 if the broker did not tell.
    replicas, in_sync_replicas, offline_replicas: node ids.
    """

    topic: str
    partition: int
    leader: int = NO_LEADER
    leader_epoch: int = NO_LEADER_EPOCH
    replicas: tuple[int, ...] = ()
    in_sync_replicas: tuple[int, ...] = ()
    offline_replicas: tuple[int, ...] = ()

    @property
    def has_leader(self) -> bool:
        """Whether a leader was known."""
        return self.leader != NO_LEADER
