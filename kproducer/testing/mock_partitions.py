"""Where MockProducer puts records: the partitions of its topics, and the producer's choice among them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

from kproducer import KafkaTimeoutError, PartitionInfo
from kproducer.partitioners import key_partition

Partitions: TypeAlias = Mapping[str, int | Sequence[PartitionInfo]]

_BROKER: Final = 1


class MockPartitions:
    """The topics that exist.

    Args:
        partitions: by topic, how many or which; None: any topic, with one partition each.
        partitioner: how keys are hashed, None for keys that are ignored.
    """

    def __init__(self, partitions: Partitions | None, partitioner: str | None) -> None:
        self._partitioner = partitioner
        self._is_open = partitions is None
        self._by_topic = {topic: _infos(topic, given) for topic, given in (partitions or {}).items()}
        self._turns: dict[str, int] = {}

    def of(self, topic: str) -> list[PartitionInfo] | None:
        """Return the partitions of a topic, None if there is none."""
        if self._is_open and topic not in self._by_topic:
            self._by_topic[topic] = _infos(topic, 1)
        return self._by_topic.get(topic)

    def count_of(self, topic: str) -> int:
        """Return how many there are; KafkaTimeoutError, at once, for a topic that is not there."""
        infos = self.of(topic)
        if infos is None:
            raise KafkaTimeoutError(f"no metadata of topic {topic} in time", topic=topic, persisted="no")
        return len(infos)

    def choose(self, topic: str, partition: int | None, key: bytes | None, max_block_ms: int) -> int:
        """Return the partition of a record: the given one, that of its key, or the next in turn.

        Raises:
            KafkaTimeoutError: there is no such topic or partition; at once, where a producer would have waited.
        """
        infos = self.of(topic)
        count = len(infos or ())
        if count <= (partition or 0):
            what = f"has {count} partitions, so no partition {partition}," if count else "has no metadata"
            raise KafkaTimeoutError(
                f"topic {topic!r} {what} after max.block.ms={max_block_ms}", topic=topic, persisted="no"
            )
        if partition is not None:
            return partition
        by_key = None if self._partitioner is None else key_partition(key, count, self._partitioner)
        if by_key is not None:
            return by_key
        turn = self._turns.get(topic, 0)
        self._turns[topic] = (turn + 1) % count
        return turn


def _infos(topic: str, given: int | Sequence[PartitionInfo]) -> list[PartitionInfo]:
    if isinstance(given, int):
        if given < 1:
            raise ValueError(f"partitions of {topic!r}: {given}; allowed is 1 or more")
        return [
            PartitionInfo(topic, n, _BROKER, replicas=(_BROKER,), in_sync_replicas=(_BROKER,))
            for n in range(given)
        ]
    infos = sorted(given, key=lambda info: info.partition)
    if [(info.topic, info.partition) for info in infos] != [
        (topic, n) for n in range(len(infos))
    ] or not infos:
        raise ValueError(f"partitions of {topic!r}: allowed is a PartitionInfo for each number from 0 on")
    return infos
