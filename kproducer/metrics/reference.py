"""The tables of docs/metrics.md: `python -m kproducer.metrics.reference docs/metrics.md` writes them anew."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from kproducer.metrics.table import ALL_METRICS, NODE, PARTITION, PRODUCER, TOPIC, Metric

# What follows it on the page is written from the table.
MARK: Final = "<!-- Written by `make docs-metrics` from kproducer/metrics; a test compares them. -->\n"
_HEADINGS: Final = {
    PRODUCER: "of the producer",
    NODE: "of each broker, such as `producer-node-metrics.node-1`",
    TOPIC: "of each topic, such as `producer-topic-metrics.orders`",
    PARTITION: "of each partition, such as `producer-partition-metrics.orders-0`, with `metrics.recording.level=DEBUG`",
}


def render() -> str:
    """Return the tables."""
    return "".join(
        f"\n### {group}\n\n{_HEADINGS[group]}:\n\n{_table(ALL_METRICS[group])}" for group in ALL_METRICS
    )


def rewritten(page: str) -> str:
    """Return the page with the tables in place of what follows the mark."""
    prose, mark, _ = page.partition(MARK)
    if not mark:
        raise ValueError(f"the page has no line {MARK!r}")
    return prose + mark + render()


def _table(metrics: Iterable[Metric]) -> str:
    rows = (
        f"| `{metric.name}` | {metric.unit} | {'Java' if metric.is_java else 'ours'} | {metric.doc} |\n"
        for metric in metrics
    )
    return "| Metric | Unit | Of | Meaning |\n| --- | --- | --- | --- |\n" + "".join(rows)


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(rewritten(path.read_text("utf-8")), "utf-8")
