"""`python -m bench.peers`: the command line of the comparison."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from bench.peers.clients import CLIENTS
from bench.peers.report import Row, as_json, summarize, table
from bench.peers.runner import OK, Cell, Plan, Run, run_cell
from bench.peers.targets import TARGETS, Target

DEFAULT_CLIENTS = "kproducer,kproducer-many,confluent,replay"


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not a positive number")
    return value


def _sizes(text: str) -> list[int]:
    return [_positive(part) for part in text.split(",")]


def _batch_sizes(text: str) -> list[int | None]:
    return [None if part == "own" else _positive(part) for part in text.split(",")]


def _milliseconds(text: str) -> float:
    value = float(text)
    return int(value) if value.is_integer() else value  # Kafka's linger.ms is a whole number


class _Names:
    """Parses a comma-separated list of known names."""

    def __init__(self, known: Sequence[str]) -> None:
        self._known = known

    def __call__(self, text: str) -> tuple[str, ...]:
        names = tuple(text.split(","))
        for name in names:
            if name not in self._known:
                raise argparse.ArgumentTypeError(f"unknown name {name!r}; allowed: {', '.join(self._known)}")
        return names


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.peers", description="kproducer beside its peers.")
    add = parser.add_argument
    add("--targets", type=_Names([*TARGETS]), default="sink,kafka", help="default sink,kafka")
    add("--clients", type=_Names([*CLIENTS]), default=DEFAULT_CLIENTS, help=f"default {DEFAULT_CLIENTS}")
    add("--sizes", type=_sizes, default="100,1024", help="bytes of a value, default 100,1024")
    add(
        "--batch-sizes",
        type=_batch_sizes,
        default="16384,own",
        help="batch.size for all; own: each client's own default (replay: 131072); default 16384,own",
    )
    add("--rounds", type=_positive, default=5, help="default 5")
    add("--records", type=_positive, help="records in a run; default 300 MB of values, 3,000,000 at most")
    add("--warmup", type=int, default=10_000, help="records flushed before the clock starts, default 10000")
    add("--linger-ms", type=_milliseconds, default=5, help="linger.ms for all, default 5")
    add("--baseline", choices=[*CLIENTS], default="confluent", help="whom ratios refer to, default confluent")
    add("--json", type=Path, help="write every run and the summary to this file")
    return parser


def _progress(run: Run) -> None:
    size, batch = run.cell.size, run.cell.batch_size or "own"
    where = f"{run.cell.target} {size} B batch {batch} round {run.round + 1} {run.client}"
    if run.status == OK:
        print(f"{where}: {run.rate:,.0f}/s, {run.cpu_per_million:.3f} CPU s/M", file=sys.stderr, flush=True)
    else:
        print(f"{where}: {run.status.upper()}: {run.message}", file=sys.stderr, flush=True)


def _run_target(name: str, target: Target, options: argparse.Namespace, plan: Plan) -> list[Run]:
    runs: list[Run] = []
    for size in options.sizes:
        for batch_size in options.batch_sizes:
            cell = Cell(name, size, batch_size)
            for run in run_cell(cell, target, plan):
                _progress(run)
                runs.append(run)
    return runs


def _warm_up(name: str, target: Target, plan: Plan) -> None:
    """Let a broker's JVM compile its hot paths: one replay that nobody counts."""
    if name == "kafka":
        once = Plan(("replay",), 1, plan.records, plan.warmup, plan.linger_ms)
        for _ in run_cell(Cell(name, 100, None), target, once):
            pass


def _meta(options: argparse.Namespace, runs: Sequence[Run]) -> dict[str, object]:
    return {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "linger_ms": options.linger_ms,
        "warmup": options.warmup,
        "baseline": options.baseline,
        "versions": {run.client: run.measured.version for run in runs if run.measured is not None},
        "settings": "acks=all, enable.idempotence=true, compression.type=none, 6 partitions, no key",
    }


def _tables(rows: Sequence[Row], baseline: str) -> str:
    cells = list(dict.fromkeys(row.cell for row in rows))
    return "\n\n".join(table([row for row in rows if row.cell == cell], baseline) for cell in cells)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the comparison; return 1 if any run was void, failed or could not be made, else 0."""
    options = make_parser().parse_args(arguments)
    plan = Plan(options.clients, options.rounds, options.records, options.warmup, options.linger_ms)
    runs: list[Run] = []
    is_complete = True
    for name in options.targets:
        try:
            with TARGETS[name]() as target:
                _warm_up(name, target, plan)
                runs += _run_target(name, target, options, plan)
        except (ImportError, RuntimeError, OSError) as error:
            print(f"{name}: ERROR {type(error).__name__}: {error}", file=sys.stderr)
            is_complete = False
    rows = summarize(runs, options.baseline)
    if rows:
        print(_tables(rows, options.baseline))
    if options.json is not None:
        options.json.write_text(json.dumps(as_json(rows, runs, _meta(options, runs)), indent=1) + "\n")
    return 0 if is_complete and all(run.status == OK for run in runs) else 1


if __name__ == "__main__":
    sys.exit(main())
