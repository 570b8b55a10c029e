"""Runs the scenarios of the table, one after the other, and writes what came of each."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

from bench.peers.progress import show_run
from bench.peers.runner import OK, Contestant, Worker, run_once, run_rounds, run_worker
from bench.peers.targets import KafkaPlace, Place, Target
from bench.table.results import Result, make_result, save
from bench.table.scenario import OWN, Scenario

QUICK_RECORDS = 2000
QUICK_WARMUP = 100
QUICK_STARTS = 2
LEVEL_RECORDS = 200_000  # enough of them that the size of a record is known to a thousandth


@dataclass(frozen=True)
class Plan:
    """How the table is run."""

    rounds: int
    is_quick: bool
    results: Path
    worker: Worker = run_worker
    show: Callable[[str], None] = lambda text: print(text, file=sys.stderr, flush=True)


def run_scenarios(scenarios: Sequence[Scenario], plan: Plan) -> Iterator[Result]:
    """Run the scenarios and yield the result of each, after it was written.

    A broker is started once for all that need it, and before the sinks' turn: it is not to run beside them.
    """
    able = [scenario for scenario in scenarios if scenario.missing is None]
    able.sort(key=lambda scenario: not isinstance(scenario.place, KafkaPlace))
    for place, group in groupby(able, key=lambda scenario: scenario.place):
        yield from _run_at(place, list(group), plan)


def _run_at(place: Place, scenarios: Sequence[Scenario], plan: Plan) -> Iterator[Result]:
    if isinstance(place, KafkaPlace):
        with place.open() as target:
            for scenario in scenarios:
                yield _run_scenario(scenario, target, plan)
        return
    for scenario in scenarios:
        with place.open() as target:
            yield _run_scenario(scenario, target, plan)


def _run_scenario(scenario: Scenario, target: Target, plan: Plan) -> Result:
    contestants = [quickened(one) if plan.is_quick else one for one in scenario.contestants]
    contestants = equalized(contestants, scenario, target, plan)
    runs = []
    for run in run_rounds(contestants, target, plan.rounds, plan.worker):
        show_run(scenario.id, run)
        runs.append(run)
    result = make_result(scenario, contestants, runs, is_quick=plan.is_quick)
    save(result, plan.results)
    return result


def quickened(contestant: Contestant) -> Contestant:
    """Return a contestant with so little to do that its figures say nothing, but all of its code runs."""
    job = contestant.job
    most = QUICK_STARTS if job.measure == "start" else QUICK_RECORDS
    if job.per_second:
        most = min(most, job.per_second)
    small = replace(
        job,
        records=min(job.records, most),
        warmup=min(job.warmup, QUICK_WARMUP),
        topics=min(job.topics, QUICK_WARMUP),  # each of them is to be known after the warm-up
        known_topics=min(job.known_topics, QUICK_WARMUP),
    )
    return Contestant(contestant.name, small)


def equalized(
    contestants: Sequence[Contestant], scenario: Scenario, target: Target, plan: Plan
) -> list[Contestant]:
    """Return the contestants with those codec levels at which their records take as many bytes as kproducer's."""
    if not scenario.levels:
        return list(contestants)
    own = next(one for one in contestants if one.name == OWN)
    wanted = _record_bytes(own, target, plan)
    return [
        _nearest(one, scenario.levels[one.name], wanted, target, plan) if one.name in scenario.levels else one
        for one in contestants
    ]


def _nearest(
    contestant: Contestant,
    levels: Sequence[int | None],
    wanted: float | None,
    target: Target,
    plan: Plan,
) -> Contestant:
    sizes: dict[int | None, float] = {}
    for level in levels:
        size = _record_bytes(_at_level(contestant, level), target, plan)
        if size is not None:
            sizes[level] = size
            plan.show(f"{contestant.name} at level {level or 'default'}: {size:.2f} bytes a record")
    if wanted is None or not sizes:
        return contestant
    return _at_level(contestant, min(sizes, key=lambda level: abs(sizes[level] - wanted)))


def _at_level(contestant: Contestant, level: int | None) -> Contestant:
    return Contestant(contestant.name, replace(contestant.job, level=level))


def _record_bytes(contestant: Contestant, target: Target, plan: Plan) -> float | None:
    few = replace(contestant.job, records=min(contestant.job.records, LEVEL_RECORDS))
    run = run_once(Contestant(contestant.name, few), target, 0, plan.worker)
    return run.values.get("record_bytes") if run.status == OK else None
