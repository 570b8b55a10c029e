"""The counters of a pump and of the engine, under the keys of metrics(). Any thread."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from kproducer._core import readings
from kproducer._core.counters import Histogram
from kproducer._core.pump import Pump
from kproducer.metrics.table import NODE, PARTITION, PRODUCER, TOPIC
from kproducer.metrics.view import Subject
from kproducer.metrics.windows import Maxima, Reading

_NO_HISTOGRAMS: Final[Mapping[str, Histogram]] = {}


class CounterSource:
    """Reads without a lock but for the pool's, while everything goes on.

    Args:
        pump: the C core.
        engine_counts: what Python counts, by the name of the counter; added to C's of that name.
        has_partitions: whether partitions are told of one by one (metrics.recording.level).
    """

    def __init__(
        self, pump: Pump, engine_counts: Callable[[], Mapping[str, float]], *, has_partitions: bool
    ) -> None:
        self._pump = pump
        self._engine_counts = engine_counts
        self._has_partitions = has_partitions

    def read(self) -> Reading:
        """See Source."""
        found = {PRODUCER: Subject(self._producer_counts(), readings.histograms(self._pump))}
        for node, (counts, latency) in readings.nodes(self._pump).items():
            found[_node_key(node)] = Subject(counts, {"request": latency})
        for topic, sums in readings.topics(self._pump).items():
            found[f"{TOPIC}.{topic}"] = Subject(sums, _NO_HISTOGRAMS)
        if self._has_partitions:
            for (topic, index), counters in readings.partitions(self._pump).items():
                found[f"{PARTITION}.{topic}-{index}"] = Subject(counters, _NO_HISTOGRAMS)
        return found

    def maxima(self, *, take: bool) -> Maxima:
        """See Source."""
        found = {PRODUCER: readings.maxima(self._pump, take)}
        for node, maxima in readings.node_maxima(self._pump, take).items():
            found[_node_key(node)] = maxima
        return found

    def _producer_counts(self) -> dict[str, float]:
        counts: dict[str, float] = dict(self._pump.counters())
        for name, count in self._engine_counts().items():
            counts[name] = counts.get(name, 0) + count
        return counts


def _node_key(node: int) -> str:
    return f"{NODE}.node-{node}"
