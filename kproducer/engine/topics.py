"""What metadata says of topics, on its way to the pump and to the callers of partitions_for().

Control thread only; `now` is milliseconds of a monotonic clock.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Protocol

from kproducer._core.events import TopicWanted
from kproducer.client.metadata import ClusterView, MetadataUpdate, TopicSnapshot
from kproducer.engine.mailbox import PartitionsFor
from kproducer.engine.produce_links import ProduceLinks
from kproducer.errors import KafkaError

logger = logging.getLogger(__name__)


class TopicPump(Protocol):
    """What topics need of the pump; see `_core.pump` for the meaning of each command."""

    def topic(self, topic: str, topic_id: bytes | None, leaders: Sequence[tuple[int, int]]) -> None: ...
    def topic_error(self, topic: str, code: int, message: str | None) -> None: ...
    def fail_partition(
        self, topic: str, partition: int, code: int, message: str | None, *, is_refusal: bool = False
    ) -> None: ...


class Topics:
    """See the module.

    Args:
        pump: is told of leaders and of topics that are refused.
        cluster: the metadata.
        produce: its connections by topic id can't serve a topic without one.
    """

    def __init__(self, pump: TopicPump, cluster: ClusterView, produce: ProduceLinks) -> None:
        self._pump = pump
        self._cluster = cluster
        self._produce = produce
        self._callers: list[PartitionsFor] = []

    def publish(self, snapshot: TopicSnapshot) -> None:
        """Tell the pump who leads a topic's partitions."""
        self._pump.topic(snapshot.topic, snapshot.topic_id, snapshot.leaders)
        if snapshot.topic_id is None:
            self._produce.drop_those_by_topic_id()

    def take(self, update: MetadataUpdate) -> None:
        """Publish what an answer changed."""
        for topic in update.recreated:
            logger.warning("topic %s has been deleted and created again; records go to the new one", topic)
        for snapshot in update.changed:
            self.publish(snapshot)
        for topic, error in update.refused:
            self._refuse(topic, error)

    def on_wanted(self, event: TopicWanted, now: float) -> None:
        """A sender waits for a topic."""
        if self._cluster.want(event.topic, event.partitions, now):
            snapshot = self._cluster.snapshot_of(event.topic)
            assert snapshot is not None
            self.publish(snapshot)  # the sender looked just before this was published: wake it again

    # --- callers of partitions_for() ---------------------------------------------------------------------

    def ask(self, command: PartitionsFor, now: float) -> None:
        """Take a caller; `answer` and `take` give it its result."""
        self._callers.append(command)
        self._cluster.want(command.topic, 1, now)

    def answer(self) -> None:
        """Answer the callers whose topic is known."""
        waiting = []
        for command in self._callers:
            partitions = self._cluster.partitions_of(command.topic)
            if partitions:
                command.reply.set_result(partitions)
            elif not command.reply.is_abandoned:
                waiting.append(command)
        self._callers = waiting

    def fail_callers(self, error: KafkaError) -> None:
        """Answer all callers with an error: the producer is over."""
        for command in self._callers:
            command.reply.set_error(error)
        self._callers.clear()

    def _refuse(self, topic: str, error: KafkaError) -> None:
        assert error.code is not None
        self._pump.topic_error(topic, error.code, error.message)
        self._pump.fail_partition(topic, -1, error.code, error.message, is_refusal=True)
        for command in self._callers:
            if command.topic == topic:
                command.reply.set_error(error)
        self._callers = [command for command in self._callers if command.topic != topic]
