"""What the one who waits sees: a line on stderr for each run."""

from __future__ import annotations

import sys

from bench.peers.runner import OK, Run


def show_run(heading: str, run: Run) -> None:
    """Print the outcome of one run."""
    where = f"{heading}, round {run.round + 1}, {run.contestant}"
    if run.status == OK:
        said = f"{run.values['rate']:,.0f}/s, {run.values['cpu']:.3f} CPU s/M"
    else:
        said = f"{run.status.upper()}: {run.message}"
    print(f"{where}: {said}", file=sys.stderr, flush=True)
