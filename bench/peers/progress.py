"""What the one who waits sees: a line on stderr for each run."""

from __future__ import annotations

import sys

from bench.peers.runner import OK, Run


def show_run(heading: str, run: Run) -> None:
    """Print the outcome of one run."""
    where = f"{heading}, round {run.round + 1}, {run.contestant}"
    said = _figures(run) if run.status == OK else f"{run.status.upper()}: {run.message}"
    print(f"{where}: {said}", file=sys.stderr, flush=True)


def _figures(run: Run) -> str:
    times = {name: value for name, value in run.values.items() if name.endswith("_ms")}
    if times:
        return ", ".join(f"{name.removesuffix('_ms')} {value:.3f} ms" for name, value in times.items())
    return f"{run.values['rate']:,.0f}/s, {run.values['cpu']:.3f} CPU s/M"
