"""From runs to medians and ratios; no clock, no process, no socket."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from bench.peers.runner import OK, Run


@dataclass(frozen=True)
class Spread:
    """A median with the smallest and the largest of its rounds."""

    median: float
    low: float
    high: float


def spread(values: Sequence[float]) -> Spread:
    """Return median, minimum and maximum of `values`."""
    return Spread(median(values), min(values), max(values))


def runs_of(runs: Sequence[Run], contestant: str) -> list[Run]:
    """Return the runs of one contestant."""
    return [run for run in runs if run.contestant == contestant]


def problem(runs: Sequence[Run]) -> str | None:
    """Return why the runs of one contestant have no figures, None if each of them counts.

    One round that does not count takes every figure away: a median of the lucky rounds would be no median.
    """
    bad = next((run for run in runs if run.status != OK), None)
    return None if bad is None else f"{bad.status} in round {bad.round + 1}: {bad.message}"


def spread_of(runs: Sequence[Run], metric: str) -> Spread | None:
    """Return the spread of a figure over the runs of one contestant, None where it has none."""
    if not runs or problem(runs) is not None or any(metric not in run.values for run in runs):
        return None
    return spread([run.values[metric] for run in runs])


def ratio_of(mine: Sequence[Run], others: Sequence[Run], metric: str) -> Spread | None:
    """Return the spread of mine / others over the rounds, None where one of them has no figure.

    Ratios pair the runs of one round, which stand next to each other in time.
    """
    if spread_of(mine, metric) is None or spread_of(others, metric) is None:
        return None
    by_round = {run.round: run.values[metric] for run in others}
    pairs = [(run.values[metric], by_round[run.round]) for run in mine if by_round.get(run.round)]
    return spread([value / other for value, other in pairs]) if pairs else None
