"""Reads topics with clients that are not ours."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass
from typing import Any

import confluent_kafka
import kafka as kafka_python

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
