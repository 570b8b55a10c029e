"""The table itself: a line for each goal of each scenario, for the terminal and for the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bench.table.results import Result
from bench.table.scenario import METRICS, Row, Scenario
from bench.table.verdict import Outcome, measured_text, met_text, outcome_of, target_text

HEADINGS = ("row", "figure", "against", "target", "measured (median, min..max)", "met?")

Line = tuple[str, ...]


def outcomes_of(scenario: Scenario, result: Result | None) -> list[Outcome]:
    """Return what came of each goal of a scenario."""
    runs = () if result is None else result.runs
    return [outcome_of(goal, runs) for goal in scenario.goals]


def overview(rows: Sequence[Row], results: Mapping[str, Result]) -> list[Line]:
    """Return the lines of the table in the order of HEADINGS."""
    return [
        _line(scenario, outcome)
        for row in rows
        for scenario in row.scenarios
        for outcome in outcomes_of(scenario, results.get(scenario.id))
    ]


def _line(scenario: Scenario, outcome: Outcome) -> Line:
    goal = outcome.goal
    label = METRICS[goal.metric].label
    return (
        scenario.text,
        label if goal.of == "kproducer" else f"{label}, {goal.of}",
        outcome.against or "-",
        target_text(goal),
        measured_text(outcome),
        met_text(outcome),
    )


def as_text(lines: Sequence[Line]) -> str:
    """Return lines under their headings in columns, for a terminal."""
    plain = [HEADINGS, *([cell.replace("*", "") for cell in line] for line in lines)]
    widths = [max(len(line[index]) for line in plain) for index in range(len(HEADINGS))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in plain
    )


def as_markdown(headings: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    rule = ["---"] * len(headings)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (headings, rule, *lines))
