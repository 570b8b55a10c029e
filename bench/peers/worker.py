"""One client, one run, one fresh process: a job as JSON on stdin, one JSON line with the outcome out."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import asdict

from bench.peers.job import Job, Measured
from bench.peers.latency import measure_callback, measure_wire
from bench.peers.rate import measure_rate
from bench.peers.start import measure_start

MEASURES: dict[str, Callable[[Job], Measured]] = {
    "rate": measure_rate,
    "wire": measure_wire,
    "callback": measure_callback,
    "start": measure_start,
}


def _check_free_threading(job: Job) -> None:
    """Refuse a figure of a free-threaded interpreter in which some extension switched the GIL on again."""
    has_gil: Callable[[], bool] | None = getattr(sys, "_is_gil_enabled", None)
    if job.interpreter is not None and (has_gil is None or has_gil()):
        raise RuntimeError("the GIL is on in the interpreter that was to run without it")


def measure(job: Job) -> Measured:
    """Run `job`."""
    measured = MEASURES[job.measure](job)
    _check_free_threading(job)
    return measured


def main() -> None:
    """Read the job, run it, print what came of it."""
    job = Job(**json.loads(sys.stdin.read()))
    try:
        outcome = asdict(measure(job))
    except ImportError as error:
        outcome = {"missing": f"{type(error).__name__}: {error}"}
    except Exception as error:  # noqa: BLE001  # the process edge: the runner prints it as this client's error line
        outcome = {"failed": f"{type(error).__name__}: {error}"}
    print(json.dumps(outcome), flush=True)


if __name__ == "__main__":
    main()
