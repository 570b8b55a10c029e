"""The values that users see."""

from __future__ import annotations

import pytest

from kproducer.types import (
    Header,
    PartitionInfo,
    ProducerRecord,
    RecordMetadata,
    TimestampType,
    TopicPartition,
)


def test_record_needs_only_a_topic() -> None:
    assert ProducerRecord("t") == ProducerRecord(
        topic="t", value=None, key=None, headers=None, partition=None, timestamp_ms=None
    )


def test_record_takes_headers_as_tuples_or_headers() -> None:
    record = ProducerRecord("t", headers=[("a", b"1"), Header("b")])
    assert record.headers == [Header("a", b"1"), ("b", None)]


def test_metadata_without_offset_says_so() -> None:
    metadata = RecordMetadata("t", 3)
    assert (metadata.offset, metadata.has_offset, metadata.has_timestamp) == (-1, False, False)


def test_metadata_with_offset_zero_has_one() -> None:
    metadata = RecordMetadata("t", 3, offset=0, timestamp_ms=0, timestamp_type=1)
    assert (metadata.has_offset, metadata.has_timestamp) == (True, True)
    assert metadata.timestamp_type == TimestampType.LOG_APPEND_TIME
    assert metadata.topic_partition == TopicPartition("t", 3)


def test_topic_partition_reads_like_kafka_logs_and_is_a_dictionary_key() -> None:
    assert str(TopicPartition("clicks", 7)) == "clicks-7"
    assert {TopicPartition("t", 1): "x"}[TopicPartition("t", 1)] == "x"


def test_partition_without_leader_says_so() -> None:
    assert not PartitionInfo("t", 0).has_leader
    assert PartitionInfo("t", 0, leader=0, leader_epoch=4).has_leader


@pytest.mark.parametrize(
    "value",
    [TopicPartition("t", 0), ProducerRecord("t"), RecordMetadata("t", 0), PartitionInfo("t", 0), Header("h")],
)
def test_values_are_immutable(value: object) -> None:
    with pytest.raises(AttributeError):
        value.topic = "other"  # type: ignore[attr-defined]
    assert not hasattr(value, "__dict__")
