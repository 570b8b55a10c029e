"""`python -m bench.peers`: the command line of the comparison."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from bench.peers.clients import CLIENTS, SHARE_OF_RECORDS
from bench.peers.job import Job
from bench.peers.meta import meta_of
from bench.peers.progress import show_run
from bench.peers.report import table
from bench.peers.runner import OK, Contestant, Run, run_rounds
from bench.peers.targets import TARGETS, Target

DEFAULT_BYTES = 300_000_000
MOST_RECORDS = 3_000_000
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


def make_contestants(options: argparse.Namespace, size: int, batch_size: int | None) -> list[Contestant]:
    """Return the clients asked for, with the same settings for each."""
    records = options.records or min(MOST_RECORDS, DEFAULT_BYTES // size)
    contestants = []
    for client in options.clients:
        share = SHARE_OF_RECORDS.get(client, 1.0)
        job = Job(
            client=client,
            records=max(1, int(records * share)),
            size=size,
            batch_size=batch_size,
            linger_ms=options.linger_ms,
            warmup=int(options.warmup * share),
        )
        contestants.append(Contestant(client, job))
    return contestants


def _compare(heading: str, contestants: Sequence[Contestant], target: Target, rounds: int) -> list[Run]:
    runs = []
    for run in run_rounds(contestants, target, rounds):
        show_run(heading, run)
        runs.append(run)
    return runs


def _compare_all(name: str, target: Target, options: argparse.Namespace) -> dict[str, list[Run]]:
    found = {}
    for size in options.sizes:
        for batch_size in options.batch_sizes:
            batch = "own default" if batch_size is None else f"{batch_size:,} B"
            heading = f"{name}, {size:,} B values, batch.size {batch}"
            contestants = make_contestants(options, size, batch_size)
            found[heading] = _compare(heading, contestants, target, options.rounds)
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the comparison; return 1 if any run was void, failed or could not be made, else 0."""
    options = make_parser().parse_args(arguments)
    comparisons: dict[str, list[Run]] = {}
    is_complete = True
    for name in options.targets:
        try:
            with TARGETS[name].open() as target:
                comparisons |= _compare_all(name, target, options)
        except (ImportError, RuntimeError, OSError) as error:
            print(f"{name}: ERROR {type(error).__name__}: {error}", file=sys.stderr)
            is_complete = False
    for heading, runs in comparisons.items():
        print(table(heading, runs, options.baseline), end="\n\n")
    every = [run for runs in comparisons.values() for run in runs]
    if options.json is not None:
        runs_by_heading = {heading: [asdict(run) for run in runs] for heading, runs in comparisons.items()}
        written = {"meta": meta_of(every), "comparisons": runs_by_heading}
        options.json.write_text(json.dumps(written, indent=1) + "\n")
    return 0 if is_complete and all(run.status == OK for run in every) else 1


if __name__ == "__main__":
    sys.exit(main())
