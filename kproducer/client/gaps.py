"""What becomes of a producer whose records may be lost in front of others (on.sequence.gap); no I/O."""

from __future__ import annotations

import logging

from kproducer.client.delivery import OUT_OF_ORDER_SEQUENCE
from kproducer.errors import KafkaError, error_for

logger = logging.getLogger(__name__)


class SequenceGaps:
    """Counts gaps, warns once for each partition, or ends the producer at the first one.

    Args:
        is_fatal: whether on.sequence.gap=fail.
    """

    def __init__(self, *, is_fatal: bool) -> None:
        self.count = 0
        self._is_fatal = is_fatal
        self._warned: set[tuple[str, int]] = set()

    def note(self, topic: str, partition: int) -> KafkaError | None:
        """Take note of a gap; return the fatal error if the producer is to end, None to go on."""
        self.count += 1
        if self._is_fatal:
            return error_for(
                OUT_OF_ORDER_SEQUENCE,
                f"records of {topic}-{partition} whose outcome is not known may be lost, and on.sequence.gap=fail "
                "lets none overtake them; read the log, then go on with another producer",
                topic=topic,
                partition=partition,
                persisted="maybe",
                fatal=True,
            )
        if (topic, partition) not in self._warned:
            self._warned.add((topic, partition))
            logger.warning(
                "%s-%d: records whose outcome is not known (persisted='maybe') may be lost, later ones go on under "
                "another producer epoch (on.sequence.gap=continue); not said again for this partition",
                topic,
                partition,
            )
        return None
