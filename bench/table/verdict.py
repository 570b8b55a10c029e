"""Is a goal met? From the runs of a scenario to one line of the table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.peers.runner import Run
from bench.peers.statistics import Spread, problem, ratio_of, runs_of, spread_of
from bench.table.scenario import AT_LEAST, AT_MOST, METRICS, WITHIN, Goal


@dataclass(frozen=True)
class Outcome:
    """What came of a goal; `measured` and `is_met` are None when there is no figure, and `remark` says why."""

    goal: Goal
    against: str
    measured: Spread | None = None
    is_met: bool | None = None
    remark: str = ""


def outcome_of(goal: Goal, runs: Sequence[Run]) -> Outcome:
    """Judge a goal by the median over the rounds."""
    if not runs:
        return Outcome(goal, _joined(goal.against), remark="not run")
    mine = runs_of(runs, goal.of)
    involved = [goal.of, *goal.against]
    wrong = {name: problem(runs_of(runs, name)) for name in involved}
    bad = [f"{name}: {reason}" for name, reason in wrong.items() if reason is not None]
    if bad:  # the best of three is unknown if one of them is
        return Outcome(goal, _joined(goal.against), remark="; ".join(bad))
    opponent = _best(goal, runs)
    measured = (
        ratio_of(mine, runs_of(runs, opponent), goal.metric) if opponent else spread_of(mine, goal.metric)
    )
    if measured is None:
        return Outcome(goal, _joined(goal.against), remark=f"no {METRICS[goal.metric].label} measured")
    return Outcome(goal, opponent, measured, is_met(goal, measured.median))


def is_met(goal: Goal, value: float) -> bool:
    """Return whether a value, the ratio or the figure itself, is what the goal asks for."""
    if goal.relation == AT_LEAST:
        return value >= goal.bound
    if goal.relation == AT_MOST:
        return value <= goal.bound
    return abs(value - 1) <= goal.bound


def _best(goal: Goal, runs: Sequence[Run]) -> str:
    """Return the one that is hardest to beat; empty for a goal that is against nobody."""
    medians: dict[str, float] = {}
    for name in goal.against:
        found = spread_of(runs_of(runs, name), goal.metric)
        if found is not None:
            medians[name] = found.median
    if not medians:
        return ""
    choose = min if goal.relation == AT_MOST else max
    return choose(medians, key=lambda name: medians[name])


def _joined(names: Sequence[str]) -> str:
    return ", ".join(names)


def target_text(goal: Goal) -> str:
    """Return what is asked for, as the table shows it."""
    if goal.relation == WITHIN:
        return f"within {goal.bound:.0%}"
    value = _ratio_text(goal, goal.bound) if goal.against else f"{goal.bound:g}{METRICS[goal.metric].unit}"
    return f"{goal.relation} {value}"


def measured_text(outcome: Outcome) -> str:
    """Return what was measured: median and range of the rounds, or why there is nothing."""
    spread, goal = outcome.measured, outcome.goal
    if spread is None:
        return outcome.remark
    if not goal.against:
        unit = METRICS[goal.metric].unit
        return f"{spread.median:.1f}{unit} ({spread.low:.1f}..{spread.high:.1f})"
    texts = [_ratio_text(goal, value) for value in (spread.median, spread.low, spread.high)]
    return f"{texts[0]} ({texts[1]}..{texts[2]})"


def met_text(outcome: Outcome) -> str:
    """Return yes, no, or - for what is not known."""
    return {True: "yes", False: "**no**", None: "-"}[outcome.is_met]


def _ratio_text(goal: Goal, value: float) -> str:
    if goal.relation == AT_MOST and goal.bound < 0.5 and value > 0:  # "a sixth of the CPU"
        return f"1/{short_number(1 / value)}"
    return f"{short_number(value)}x"


def short_number(value: float) -> str:
    """Return three digits of a ratio, all of those before the point."""
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"
