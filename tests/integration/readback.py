"""Reads topics with clients that are not ours."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass
from typing import Any

import confluent_kafka
import kafka as kafka_python
from confluent_kafka.admin import AdminClient, OffsetSpec

READ_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Seen:
    """A record as another client sees it."""

    partition: int
    offset: int
    value: bytes | None
    key: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    timestamp_ms: int


def new_topic() -> str:
    """A name that nobody has used."""
    return f"t-{uuid.uuid4().hex[:12]}"


def read_all(bootstrap_servers: str, topic: str, partitions: int = 1, count: int | None = None) -> list[Seen]:
    """All records of a topic by partition and offset, read by confluent-kafka.

    count: how many to wait for, where their acknowledgement did not tell that they can be read (acks 0 and 1);
        default: up to the high watermarks of now.
    """
    consumer = confluent_kafka.Consumer(
        {"bootstrap.servers": bootstrap_servers, "group.id": topic, "log_level": 0, "enable.auto.commit": False,
         "fetch.message.max.bytes": 4 << 20}
    )  # fmt: skip
    try:
        places = [confluent_kafka.TopicPartition(topic, p, 0) for p in range(partitions)]
        readable = sum(consumer.get_watermark_offsets(place, timeout=10)[1] for place in places)
        expected = readable if count is None else count
        consumer.assign(places)
        found: list[Seen] = []
        deadline = time.monotonic() + READ_TIMEOUT_S
        while len(found) < expected and time.monotonic() < deadline:
            found += [_seen(message) for message in consumer.consume(10_000, 0.5) if message.error() is None]
    finally:
        consumer.close()
    assert len(found) == expected
    return sorted(found, key=lambda seen: (seen.partition, seen.offset))


def _seen(message: Any) -> Seen:
    return Seen(
        partition=message.partition(),
        offset=message.offset(),
        value=message.value(),
        key=message.key(),
        headers=tuple(message.headers() or ()),
        timestamp_ms=message.timestamp()[1],
    )


def read_with_kafka_python(bootstrap_servers: str, topic: str, count: int) -> list[Seen]:
    """The first records of partition 0, by kafka-python."""
    place = kafka_python.TopicPartition(topic, 0)
    consumer = kafka_python.KafkaConsumer(
        bootstrap_servers=bootstrap_servers, enable_auto_commit=False, consumer_timeout_ms=10_000
    )
    try:
        consumer.assign([place])
        consumer.seek_to_beginning(place)
        found = []
        for record in consumer:
            found.append(
                Seen(0, record.offset, record.value, record.key, tuple(record.headers), record.timestamp)
            )
            if len(found) == count:
                break
    finally:
        consumer.close()
    return found


def committed(bootstrap_servers: str, topic: str, partitions: int = 1) -> list[list[bytes]]:
    """The values that read_committed sees by partition, when no transaction is open there any more."""
    wait_until_stable(bootstrap_servers, topic, partitions)
    return read_isolated(bootstrap_servers, topic, partitions, is_committed=True)


def uncommitted(bootstrap_servers: str, topic: str, partitions: int = 1) -> list[list[bytes]]:
    """The values that read_uncommitted sees by partition."""
    return read_isolated(bootstrap_servers, topic, partitions, is_committed=False)


def read_isolated(
    bootstrap_servers: str, topic: str, partitions: int, *, is_committed: bool
) -> list[list[bytes]]:
    """All values of now by partition; with `is_committed` up to the last stable offset, without aborted ones."""
    consumer = confluent_kafka.Consumer(
        {
            "bootstrap.servers": bootstrap_servers,
            "group.id": topic,
            "log_level": 0,
            "enable.auto.commit": False,
            "fetch.wait.max.ms": 10,
            "enable.partition.eof": True,  # the last offsets may be markers, which no consumer hands out
            "isolation.level": "read_committed" if is_committed else "read_uncommitted",
        }
    )
    found: list[list[bytes]] = [[] for _ in range(partitions)]
    unread = set(range(partitions))
    deadline = time.monotonic() + READ_TIMEOUT_S
    try:
        consumer.assign([confluent_kafka.TopicPartition(topic, p, 0) for p in range(partitions)])
        while unread:
            assert time.monotonic() < deadline, f"partitions {unread} of {topic} were not read to the end"
            for message in consumer.consume(10_000, 0.1):
                error, partition = message.error(), message.partition()
                assert partition is not None
                if error is None:
                    found[partition].append(message.value() or b"")
                elif error.code() == confluent_kafka.KafkaError._PARTITION_EOF:
                    unread.discard(partition)
    finally:
        consumer.close()
    return found


def stable_offsets(bootstrap_servers: str, topic: str, partitions: int = 1) -> list[tuple[int, int]]:
    """(last stable offset, high watermark) of each partition: they differ while a transaction is open there."""
    admin = AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0})
    latest: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]
    asked = {confluent_kafka.TopicPartition(topic, p): latest for p in range(partitions)}
    both = []
    for isolation in (
        confluent_kafka.IsolationLevel.READ_COMMITTED,
        confluent_kafka.IsolationLevel.READ_UNCOMMITTED,
    ):
        answers = admin.list_offsets(asked, isolation_level=isolation, request_timeout=READ_TIMEOUT_S)
        both.append([answers[place].result(READ_TIMEOUT_S).offset for place in asked])
    return list(zip(*both, strict=True))


def wait_until_stable(
    bootstrap_servers: str, topic: str, partitions: int = 1, timeout_s: float = READ_TIMEOUT_S
) -> None:
    """Wait until no transaction is open on a topic: its markers are written after EndTxn was answered."""
    deadline = time.monotonic() + timeout_s
    while is_open(bootstrap_servers, topic, partitions):
        assert time.monotonic() < deadline, f"a transaction is still open on {topic}"
        time.sleep(0.05)


def is_open(bootstrap_servers: str, topic: str, partitions: int = 1) -> bool:
    """Whether a transaction is open on a topic."""
    return any(stable != end for stable, end in stable_offsets(bootstrap_servers, topic, partitions))


def committed_offset(bootstrap_servers: str, group: str, topic: str, partition: int = 0) -> int | None:
    """The position of a group as the group's coordinator tells it, None without one."""
    consumer = confluent_kafka.Consumer(
        {"bootstrap.servers": bootstrap_servers, "group.id": group, "log_level": 0}
    )
    try:
        (place,) = consumer.committed(
            [confluent_kafka.TopicPartition(topic, partition)], timeout=READ_TIMEOUT_S
        )
    finally:
        consumer.close()
    return None if place.offset < 0 else place.offset
