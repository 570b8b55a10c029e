"""metrics() of a MockProducer: the shape of KafkaProducer's, with the counts that a mock has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final

from kproducer import ALL_METRICS, Metrics, TopicPartition

PRODUCER: Final = "producer-metrics"


class MockMetrics:
    """What became of records, and what the test set; the caller holds the lock.

    Args:
        has_partitions: whether each partition has a group (metrics.recording.level).
    """

    def __init__(self, *, has_partitions: bool) -> None:
        self._has_partitions = has_partitions
        self._acknowledged: Counter[TopicPartition] = Counter()
        self._failed: Counter[TopicPartition] = Counter()
        self._set: dict[str, dict[str, float]] = {}

    def count(self, topic: str, partition: int, *, is_acknowledged: bool) -> None:
        """Take note of an outcome."""
        counter = self._acknowledged if is_acknowledged else self._failed
        counter[TopicPartition(topic, partition)] += 1

    def set(self, group: str, name: str, value: float) -> None:
        """Have `snapshot` tell this value."""
        self._set.setdefault(group, {})[name] = value

    def snapshot(self) -> Metrics:
        """Return every group and name; 0 for what a mock does not have."""
        found = {PRODUCER: _zeros(PRODUCER)}
        for name, counts in (("record-send-total", self._acknowledged), ("record-error-total", self._failed)):
            self._add(found, name, counts)
        for group, values in self._set.items():
            found.setdefault(group, _zeros(group)).update(values)
        return found

    def _add(self, found: Metrics, name: str, counts: Mapping[TopicPartition, int]) -> None:
        for place, count in counts.items():
            groups = [PRODUCER, f"producer-topic-metrics.{place.topic}"]
            if self._has_partitions:
                groups.append(f"producer-partition-metrics.{place}")
            for group in groups:
                found.setdefault(group, _zeros(group))[name] += count


def _zeros(group: str) -> dict[str, float]:
    return {metric.name: 0 for metric in ALL_METRICS.get(group.partition(".")[0], ())}
