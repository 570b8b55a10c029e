"""The words of the table: a row has scenarios, a scenario has contestants and goals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bench.peers.runner import Contestant
from bench.peers.targets import Place

OWN = "kproducer"

AT_LEAST, AT_MOST, WITHIN = ">=", "<=", "within"


@dataclass(frozen=True)
class Metric:
    """A figure that runs have: how it is called, its unit, and how many digits it is worth."""

    label: str
    unit: str
    digits: int


METRICS: Mapping[str, Metric] = {
    "rate": Metric("records/s", "/s", 0),
    "cpu": Metric("CPU us/record", "us", 3),
    "rss_mib": Metric("resident MiB", " MiB", 1),
    "p50_ms": Metric("p50 ms", " ms", 3),
    "p99_ms": Metric("p99 ms", " ms", 3),
    "p999_ms": Metric("p99.9 ms", " ms", 3),
    "record_bytes": Metric("wire bytes/record", " B", 1),
    "mb_s": Metric("wire MB/s", " MB/s", 0),
    "batch_records": Metric("records/batch", "", 1),
    "server_cpu": Metric("sink CPU us/record", "us", 3),
    "import_ms": Metric("import ms", " ms", 1),
    "construct_ms": Metric("construct ms", " ms", 1),
    "first_ack_ms": Metric("first ack ms", " ms", 1),
    "start_ms": Metric("together ms", " ms", 1),
}


@dataclass(frozen=True)
class Goal:
    """What a figure of one contestant is to be, as a ratio to another's, or by itself.

    Args:
        metric: a name in METRICS.
        relation: AT_LEAST, AT_MOST, or WITHIN: the ratio differs from 1 by no more than the bound.
        bound: of the ratio; of the figure itself if `against` is empty.
        against: contestants; of several the best one counts.
        of: the contestant that is judged. Default kproducer.
    """

    metric: str
    relation: str
    bound: float
    against: tuple[str, ...] = ()
    of: str = OWN


@dataclass(frozen=True)
class Scenario:
    """Contestants that run interleaved against one target, and what is expected of their figures.

    Args:
        id: name of its file in bench/results.
        text: what is measured, as the table shows it.
        place: what the clients send to.
        levels: by contestant, the codec levels to try; the one whose size is nearest to kproducer's is taken.
        missing: why it cannot be run as things are, None if it can.
    """

    id: str
    text: str
    place: Place
    contestants: tuple[Contestant, ...]
    goals: tuple[Goal, ...]
    levels: Mapping[str, tuple[int | None, ...]] = field(default_factory=dict)
    missing: str | None = None


@dataclass(frozen=True)
class Row:
    """A chapter of the table.

    Args:
        id: what `--only` takes.
        text: what is done, and what is equal for all.
        columns: metrics that its tables show.
        plots: metrics that it draws.
        is_logarithmic: the axis of its plots.
    """

    id: str
    title: str
    text: str
    scenarios: tuple[Scenario, ...]
    columns: tuple[str, ...] = ("rate", "cpu", "rss_mib")
    plots: tuple[str, ...] = ("rate",)
    is_logarithmic: bool = False
