"""docs/benchmarks.md and its plots, made of the results alone, so that text and figures cannot disagree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.peers.payload import ROOT
from bench.peers.statistics import Spread, problem, runs_of, spread_of
from bench.table.overview import HEADINGS, as_markdown, outcomes_of, overview
from bench.table.plot import LIMIT_COLOUR, OTHER_COLOUR, OWN_COLOUR, Group, Mark, draw
from bench.table.results import RESULTS, Result, load
from bench.table.rows import LIMIT, all_rows
from bench.table.scenario import AT_LEAST, METRICS, OWN, WITHIN, Row, Scenario
from bench.table.soak import SOAK, soak_section
from bench.table.verdict import short_number

DOCS = ROOT / "docs"
PAGE = Path("benchmarks.md")
PLOTS = Path("benchmarks")

Results = Mapping[str, Result]

_INTRODUCTION = """# Benchmarks

This page is written by `python -m bench report` from the files in `bench/results`; `make bench` runs all of it
again and rewrites it. How a run is made, what is equal for all clients and what makes a run void stands in
`bench/README.md`. Comparisons that kproducer loses are shown like those that it wins.

A ratio pairs the runs of one round, which stand next to each other in time; what is shown is the median of the
rounds and, in brackets, the smallest and the largest. `1/4` of the CPU is a quarter of what the other one takes.
Where several are named as "against", the best of them counts. CPU is user and system time of the client's whole
process, all threads; for Java it has the start of the JVM in it.
"""


def load_all(folder: Path = RESULTS) -> dict[str, Result]:
    """Return the results that exist, by scenario."""
    found = [load(folder, scenario.id) for row in all_rows() for scenario in row.scenarios]
    return {result.scenario: result for result in found if result is not None}


def write_page(results: Path = RESULTS, docs: Path = DOCS) -> list[Path]:
    """Write the page and its plots, remove plots that are no longer its own, and return the files."""
    files = render(load_all(results), results / SOAK)
    (docs / PLOTS).mkdir(parents=True, exist_ok=True)
    for stale in set((docs / PLOTS).glob("*.svg")) - {docs / path for path in files}:
        stale.unlink()
    for path, text in files.items():
        (docs / path).write_text(text)
    return [docs / path for path in files]


def render(results: Results, soak: Path) -> dict[Path, str]:
    """Return the page and its plots by their paths below docs/."""
    rows = all_rows()
    plots: dict[Path, str] = {}
    chapters = [_INTRODUCTION, _conditions(results), _standing(rows, results)]
    goals = _goals_plot(rows, results)
    if goals is not None:
        plots[PLOTS / "goals.svg"] = goals
        chapters.append(f"![How far each figure is from its target]({PLOTS / 'goals.svg'})\n")
    chapters.append(as_markdown(HEADINGS, overview(rows, results)) + "\n")
    for row in rows:
        text, drawn = _chapter(row, results)
        chapters.append(text)
        plots |= drawn
    chapters.append(soak_section(soak))
    return {PAGE: "\n".join(chapters), **plots}


def _conditions(results: Results) -> str:
    if not results:
        return "None of the rows has been run yet.\n"
    metas: list[Mapping[str, Any]] = [result.meta for result in results.values()]
    machines = dict.fromkeys(
        f"{meta['processor']}, {meta['cpus']} CPUs, {meta['platform']}, CPython {meta['python']}"
        for meta in metas
    )
    versions = sorted({f"{name} {version}" for name, version in _versions(results).items()})
    times = sorted(str(meta["time"]) for meta in metas)
    return (
        f"Measured from {times[0]} to {times[-1]} on {'; '.join(machines)}. Versions: {', '.join(versions)}; "
        "Kafka 4.4.0 as the broker.\n"
    )


def _versions(results: Results) -> dict[str, str]:
    """Return versions by client; a contestant's name is that of its client, a comma and its way."""
    found: dict[str, str] = {}
    for result in results.values():
        for name, settings in result.settings.items():
            version = result.meta["versions"].get(name)
            client = OWN if settings["client"].startswith(OWN) else name.partition(",")[0]
            if version and name != LIMIT:
                found[client] = version
    return found


def _standing(rows: Sequence[Row], results: Results) -> str:
    scenarios = [scenario for row in rows for scenario in row.scenarios]
    outcomes = [one for scenario in scenarios for one in outcomes_of(scenario, results.get(scenario.id))]
    met = sum(one.is_met is True for one in outcomes)
    missed = sum(one.is_met is False for one in outcomes)
    unknown = len(outcomes) - met - missed
    lines = [f"{met} of {len(outcomes)} targets are met, {missed} are missed, {unknown} not known."]
    not_run = [scenario.id for scenario in scenarios if scenario.id not in results]
    if not_run:
        lines.append(f"Not run: {', '.join(f'`{name}`' for name in not_run)}.")
    quick = [f"`{name}`" for name, result in results.items() if result.is_quick]
    if quick:
        lines.append(f"**Made by `--quick`, so no measurement:** {', '.join(quick)}.")
    return " ".join(lines) + "\n"


def _goals_plot(rows: Sequence[Row], results: Results) -> str | None:
    groups = []
    for row in rows:
        marks = [
            mark for scenario in row.scenarios for mark in _goal_marks(scenario, results.get(scenario.id))
        ]
        if marks:
            groups.append(Group(row.title, tuple(marks)))
    if not groups:
        return None
    title = "Measured against target: right of the line is better than asked for"
    return draw(title, groups, is_logarithmic=True, reference=(1.0, "target"))


def _goal_marks(scenario: Scenario, result: Result | None) -> list[Mark]:
    marks = []
    for outcome in outcomes_of(scenario, result):
        goal, measured = outcome.goal, outcome.measured
        if measured is None or goal.relation == WITHIN:
            continue
        values = [measured.median, measured.low, measured.high]
        # Turned so that more is better, whichever way the goal looks.
        shares = [value / goal.bound if goal.relation == AT_LEAST else goal.bound / value for value in values]
        shown = Spread(shares[0], min(shares), max(shares))
        who = "" if goal.of == OWN else f", {goal.of}"
        name = f"{scenario.id}: {METRICS[goal.metric].label}{who}"
        colour = OWN_COLOUR if outcome.is_met else OTHER_COLOUR
        against = f" / {_short(outcome.against)}" if outcome.against else ""
        marks.append(Mark(name + against, shown, short_number(shown.median), colour))
    return marks


def _short(name: str) -> str:
    words = {"confluent-kafka": "confluent", "Java ProducerPerformance": "Java", LIMIT: "limit"}
    return words.get(name, name)


def _chapter(row: Row, results: Results) -> tuple[str, dict[Path, str]]:
    parts = [f"## {row.title}\n", f"{row.text}\n"]
    plots: dict[Path, str] = {}
    for metric in row.plots:
        groups = _metric_groups(row, metric, results)
        if groups:
            path = PLOTS / f"{row.id}-{metric.removesuffix('_ms')}.svg"
            title = f"{row.title}: {METRICS[metric].label}"
            plots[path] = draw(title, groups, is_logarithmic=row.is_logarithmic)
            parts.append(f"![{title}]({path})\n")
    for scenario in row.scenarios:
        parts.append(f"### {scenario.text}\n")
        parts.append(_details(scenario, row.columns, results.get(scenario.id)))
    return "\n".join(parts), plots


def _metric_groups(row: Row, metric: str, results: Results) -> list[Group]:
    groups = []
    for scenario in row.scenarios:
        result = results.get(scenario.id)
        marks = [] if result is None else _metric_marks(scenario, metric, result)
        if marks:
            groups.append(Group(scenario.text, tuple(marks)))
    return groups


def _metric_marks(scenario: Scenario, metric: str, result: Result) -> list[Mark]:
    marks = []
    for contestant in scenario.contestants:
        found = spread_of(runs_of(result.runs, contestant.name), metric)
        if found is not None:
            marks.append(Mark(contestant.name, found, number(metric, found.median), _colour(contestant.name)))
    return marks


def _colour(name: str) -> str:
    if name == LIMIT:
        return LIMIT_COLOUR
    return OTHER_COLOUR if name.startswith(("confluent", "Java", "aiokafka", "kafka-python")) else OWN_COLOUR


def number(metric: str, value: float) -> str:
    """Return a figure with as many digits as it is worth."""
    return f"{value:,.{METRICS[metric].digits}f}"


def _details(scenario: Scenario, columns: Sequence[str], result: Result | None) -> str:
    if result is None:
        return "Not run.\n"
    headings = ("client", *(METRICS[metric].label for metric in columns), "settings")
    lines = [_detail_line(one.name, columns, result) for one in scenario.contestants]
    rounds = 1 + max((run.round for run in result.runs), default=0)
    quick = " **Made by `--quick`: no measurement.**" if result.is_quick else ""
    heading = f"{rounds} round{'s' if rounds > 1 else ''}, {result.meta['time']}.{quick}"
    return f"{as_markdown(headings, lines)}\n\n{heading}\n"


def _detail_line(name: str, columns: Sequence[str], result: Result) -> list[str]:
    mine = runs_of(result.runs, name)
    settings = settings_text(result.settings.get(name, {}))
    wrong = problem(mine) if mine else "not run"
    if wrong is not None:
        return [name, f"ERROR {wrong}", *[""] * (len(columns) - 1), settings]
    return [name, *(_cell(metric, spread_of(mine, metric)) for metric in columns), settings]


def _cell(metric: str, found: Spread | None) -> str:
    if found is None:
        return "-"
    shown = [number(metric, value) for value in (found.median, found.low, found.high)]
    return f"{shown[0]} ({shown[1]}..{shown[2]})"


def settings_text(settings: Mapping[str, Any]) -> str:
    """Return the settings of a contestant as one line; what the text of its row says already is left out."""
    hidden = ("client", "measure", "size")
    return ", ".join(f"{name}={value}" for name, value in settings.items() if name not in hidden)
