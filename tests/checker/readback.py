"""Reads the log with clients that are not ours: confluent-kafka for records, kafka-python for transactions."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any, Final

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, IsolationLevel, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec
from kafka import KafkaAdminClient

from tests.checker.model import Message

_PATIENCE_S: Final = 60.0  # without a single message
_ASK_S: Final = 30.0


def end_offsets(
    bootstrap_servers: str, topic: str, partitions: int, isolation: IsolationLevel
) -> dict[int, int]:
    """The high watermarks of a topic's partitions, or their last stable offsets with READ_COMMITTED."""
    admin = AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0})
    latest: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]
    asked = {TopicPartition(topic, partition): latest for partition in range(partitions)}
    answers = admin.list_offsets(asked, isolation_level=isolation, request_timeout=_ASK_S)
    return {place.partition: answer.result(_ASK_S).offset for place, answer in answers.items()}


def read_topic(
    bootstrap_servers: str,
    topic: str,
    partitions: int,
    take: Callable[[list[Message]], None],
    *,
    is_committed: bool,
) -> int:
    """Hand all records of a topic to `take` in lists, from the beginning to the end of now; returns their number.

    Raises:
        AssertionError: the reader met an error, or got nothing for a minute before the end.
    """
    isolation = IsolationLevel.READ_COMMITTED if is_committed else IsolationLevel.READ_UNCOMMITTED
    ends = end_offsets(bootstrap_servers, topic, partitions, isolation)
    left = {partition for partition, end in ends.items() if end > 0}
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap_servers,
            "group.id": uuid.uuid4().hex,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "error",
            "check.crcs": True,
            "isolation.level": "read_committed" if is_committed else "read_uncommitted",
            # The last offsets may be markers, which are not handed out: the end must be told otherwise.
            "enable.partition.eof": True,
            "queued.max.messages.kbytes": 32 << 10,
        }
    )
    count = 0
    try:
        consumer.assign([TopicPartition(topic, partition, 0) for partition in sorted(left)])
        last = time.monotonic()
        while left:
            assert time.monotonic() - last < _PATIENCE_S, (
                f"partitions {left} of {topic} were not read to the end"
            )
            messages: list[Message] = []
            for message in consumer.consume(5_000, timeout=0.1):
                last = time.monotonic()
                problem = message.error()
                if problem is None:
                    messages.append(_plain(message))
                elif problem.name() == "_PARTITION_EOF":
                    left.discard(message.partition())
                elif not problem.retriable():
                    raise AssertionError(f"the reader met {problem}")
            take(messages)
            count += len(messages)
    finally:
        consumer.close()
    return count


def _plain(message: Any) -> Message:
    return (
        message.partition(),
        message.offset(),
        message.timestamp()[1],
        message.key(),
        message.value() or b"",
    )


def group_offsets(bootstrap_servers: str, group: str, topic: str, partitions: int) -> dict[int, int]:
    """The committed offsets of a consumer group, 0 where there is none."""
    admin = AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0})
    places = [TopicPartition(topic, partition) for partition in range(partitions)]
    asked = ConsumerGroupTopicPartitions(group, places)
    [answer] = admin.list_consumer_group_offsets(
        [asked], require_stable=True, request_timeout=_ASK_S
    ).values()
    told = answer.result(_ASK_S).topic_partitions
    return {place.partition: max(0, place.offset) for place in told}


def open_transactions(bootstrap_servers: str) -> list[str]:
    """What the coordinators still call ongoing or being ended, in words."""
    admin = KafkaAdminClient(bootstrap_servers=bootstrap_servers.split(","))
    try:
        listed = admin.list_transactions()
    finally:
        admin.close()
    done = ("Empty", "CompleteCommit", "CompleteAbort", "Dead")
    return [str(found) for of_broker in listed.values() for found in of_broker if not _is_any(found, done)]


def _is_any(listing: object, states: Sequence[str]) -> bool:
    told = getattr(listing, "state", None)
    return str(getattr(told, "value", told)) in states
