from typing import Final

from kproducer._core.counters import Histogram
from kproducer._core.pump import Pump

BUCKET_LIMITS_US: Final[tuple[int, ...]]

def histograms(pump: Pump) -> dict[str, Histogram]:
    """{name: Histogram} of queue, request and delivery time."""

def maxima(pump: Pump, take: bool) -> dict[str, int]:
    """The largest values by name since they were taken last; `take` begins anew, one thread at a time."""

def nodes(pump: Pump) -> dict[int, tuple[dict[str, int], Histogram]]:
    """{node id: (counters by name, Histogram of request time)}."""

def node_maxima(pump: Pump, take: bool) -> dict[int, dict[str, int]]:
    """{node id: its maxima()}."""

def topics(pump: Pump) -> dict[str, dict[str, int]]:
    """{topic: sums of its partitions' counters by name}, of those with metadata."""

def partitions(pump: Pump) -> dict[tuple[str, int], dict[str, int]]:
    """{(topic, partition): counters by name}."""
