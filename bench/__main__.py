"""`python -m bench`: the whole table of benchmarks; `report` writes its page, `soak` runs very long."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bench.peers.runner import OK
from bench.table.overview import as_text, overview
from bench.table.page import DOCS, write_page
from bench.table.results import RESULTS, Result
from bench.table.rows import DEFAULT_DATA, Means, all_rows
from bench.table.run import Plan, run_scenarios
from bench.table.scenario import Row, Scenario
from bench.table.soak import run_soak, soak_text

QUICK_RESULTS = Path("build") / "bench-quick"  # never among the results that the page is made of


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not a positive number")
    return value


def _names(text: str) -> tuple[str, ...]:
    known = {name for row in all_rows() for name in (row.id, *(one.id for one in row.scenarios))}
    names = tuple(text.split(","))
    for name in names:
        if name not in known:
            raise argparse.ArgumentTypeError(f"unknown row {name!r}; allowed: {', '.join(sorted(known))}")
    return names


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="The whole table of benchmarks.")
    add = parser.add_argument
    add("--only", type=_names, metavar="ROW[,ROW]", help="only these rows, or scenarios of rows; default all")
    add("--rounds", type=_positive, help="rounds of each scenario; default 5, with --quick 1")
    add(
        "--quick",
        action="store_true",
        help="few records, one round: shows that everything runs, measures nothing",
    )
    add(
        "--data",
        default=DEFAULT_DATA,
        help=f"folder with real logs, from the repository; default {DEFAULT_DATA}",
    )
    add("--free-threaded", metavar="PYTHON", help="a Python without GIL that can import kproducer")
    add(
        "--results",
        type=Path,
        help=f"folder of the results; default bench/results, with --quick {QUICK_RESULTS}",
    )
    add("--list", action="store_true", help="print the rows and their scenarios, and run nothing")
    commands = parser.add_subparsers(dest="command", metavar="report | soak")
    report = commands.add_parser("report", help="write docs/benchmarks.md and its plots from the results")
    report.add_argument("--results", type=Path, default=RESULTS)
    report.add_argument("--docs", type=Path, default=DOCS)
    soak = commands.add_parser("soak", help="very many records through one producer to the sink")
    soak.add_argument("--records", type=_positive, default=1_000_000_000, help="default 1000000000")
    soak.add_argument("--results", type=Path, default=RESULTS)
    return parser


def chosen(rows: Sequence[Row], only: Sequence[str] | None) -> list[Scenario]:
    """Return the scenarios that were asked for, by their own name or by that of their row."""
    return [
        scenario
        for row in rows
        for scenario in row.scenarios
        if only is None or row.id in only or scenario.id in only
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; 1 if a run was void, failed or could not be made, or a soak not passed."""
    options = make_parser().parse_args(arguments)
    if options.command == "report":
        for path in write_page(options.results, options.docs):
            print(path)
        return 0
    if options.command == "soak":
        soak = run_soak(options.records, options.results)
        print(soak_text(soak))
        return 0 if soak.is_good else 1
    rows = all_rows(Means(options.data, options.free_threaded))
    return _list(rows) if options.list else _run(rows, options)


def _list(rows: Sequence[Row]) -> int:
    for row in rows:
        print(row.id)
        for scenario in row.scenarios:
            print(
                f"  {scenario.id:<20} {scenario.text}{f' ({scenario.missing})' if scenario.missing else ''}"
            )
    return 0


def _run(rows: Sequence[Row], options: argparse.Namespace) -> int:
    scenarios = chosen(rows, options.only)
    for scenario in scenarios:
        if scenario.missing is not None:
            print(f"{scenario.id}: NOT RUN: {scenario.missing}", file=sys.stderr)
    folder = options.results or (QUICK_RESULTS if options.quick else RESULTS)
    plan = Plan(options.rounds or (1 if options.quick else 5), options.quick, folder)
    results = _run_all(scenarios, plan)
    lines = overview([_only(row, scenarios) for row in rows], results)
    print(as_text(lines))
    is_whole = len(results) == sum(scenario.missing is None for scenario in scenarios)
    are_good = all(run.status == OK for result in results.values() for run in result.runs)
    return 0 if is_whole and are_good else 1


def _run_all(scenarios: Sequence[Scenario], plan: Plan) -> dict[str, Result]:
    results: dict[str, Result] = {}
    try:
        for result in run_scenarios(scenarios, plan):
            results[result.scenario] = result
    except (ImportError, RuntimeError, OSError) as error:
        print(f"ERROR {type(error).__name__}: {error}", file=sys.stderr)
    return results


def _only(row: Row, scenarios: Sequence[Scenario]) -> Row:
    return replace(row, scenarios=tuple(one for one in row.scenarios if one in scenarios))


if __name__ == "__main__":
    sys.exit(main())
