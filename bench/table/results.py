"""The files in bench/results: one for each scenario, with settings, versions and every run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from bench.peers.job import Job
from bench.peers.meta import meta_of
from bench.peers.payload import ROOT
from bench.peers.runner import Contestant, Run
from bench.table.scenario import Scenario

RESULTS = ROOT / "bench" / "results"
_PLACED = frozenset({"bootstrap_servers", "topic", "partitions"})


@dataclass(frozen=True)
class Result:
    """What is known of one scenario."""

    scenario: str
    is_quick: bool  # few records in one round: says that it works, nothing about speed
    meta: Mapping[str, Any]
    settings: Mapping[str, Mapping[str, Any]]  # by contestant, what is not the default of a job
    runs: tuple[Run, ...]


def make_result(
    scenario: Scenario, contestants: Sequence[Contestant], runs: Sequence[Run], *, is_quick: bool
) -> Result:
    """Return the result of a scenario that has just been run by `contestants`."""
    settings = {one.name: settings_of(one.job) for one in contestants}
    return Result(scenario.id, is_quick, meta_of(runs), settings, tuple(runs))


def settings_of(job: Job) -> dict[str, Any]:
    """Return the settings that differ from a job's defaults; an interpreter is not told by its path."""
    found = {
        one.name: getattr(job, one.name)
        for one in fields(job)
        if one.name not in _PLACED and getattr(job, one.name) != one.default
    }
    return found | ({"interpreter": "free-threaded"} if job.interpreter else {})


def save(result: Result, folder: Path) -> Path:
    """Write a result and return its file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{result.scenario}.json"
    written = asdict(result) | {"runs": [_rounded(run) for run in result.runs]}
    path.write_text(json.dumps(written, indent=1) + "\n")
    return path


def _rounded(run: Run) -> dict[str, Any]:
    return asdict(run) | {"values": {name: float(f"{value:.6g}") for name, value in run.values.items()}}


def load(folder: Path, scenario: str) -> Result | None:
    """Return the result of a scenario, None if it has not been run."""
    path = folder / f"{scenario}.json"
    if not path.exists():
        return None
    read = json.loads(path.read_text())
    return Result(**read | {"runs": tuple(Run(**run) for run in read["runs"])})
