"""Runs every contestant in turn, round after round, and checks each run's count at the server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace

from bench.peers.job import Job, Measured
from bench.peers.latency import percentiles_ms
from bench.peers.payload import ROOT
from bench.peers.targets import Target
from bench.sink import Stamp

WORKER_TIMEOUT_S = 900

OK, VOID, FAILED, MISSING = "ok", "void", "failed", "missing"


@dataclass(frozen=True)
class Contestant:
    """One line of a comparison: a client with its settings."""

    name: str
    job: Job


@dataclass(frozen=True)
class Run:
    """One run of one contestant: what it measured and what the server says about it."""

    contestant: str
    round: int
    status: str  # ok | void | failed | missing
    message: str = ""
    sent: int = 0
    received: int = 0
    version: str = ""
    values: dict[str, float] = field(default_factory=dict)  # figures by name; empty unless the run counts


Worker = Callable[[Job], dict[str, object]]


def worker_environment() -> dict[str, str]:
    """Return the environment of a worker, which finds this repository wherever it was started from."""
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}


def run_worker(job: Job) -> dict[str, object]:
    """Run `job` in a fresh interpreter and return the line it printed."""
    command = [job.interpreter or sys.executable, "-m", "bench.peers.worker"]
    try:
        done = subprocess.run(
            command,
            input=json.dumps(asdict(job)),
            capture_output=True,
            text=True,
            env=worker_environment(),
            timeout=WORKER_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {"failed": f"no result within {WORKER_TIMEOUT_S} s"}
    except OSError as error:
        return {"missing": f"{job.interpreter}: {error}"}
    lines = done.stdout.splitlines()
    if done.returncode != 0 or not lines:
        return {"failed": f"exit code {done.returncode}: {done.stderr.strip()[-300:]}"}
    outcome: dict[str, object] = json.loads(lines[-1])
    return outcome


def run_rounds(
    contestants: Sequence[Contestant], target: Target, rounds: int, worker: Worker = run_worker
) -> Iterator[Run]:
    """Run each contestant once a round, starting one further in each round, so that none has the best place.

    One whose client is not importable is reported once and not tried again.
    """
    missing: set[str] = set()
    for round_number in range(rounds):
        for contestant in _rotated(contestants, round_number):
            if contestant.name not in missing:
                run = run_once(contestant, target, round_number, worker)
                if run.status == MISSING:
                    missing.add(contestant.name)
                yield run


def _rotated(contestants: Sequence[Contestant], by: int) -> list[Contestant]:
    shift = by % len(contestants)
    return [*contestants[shift:], *contestants[:shift]]


def run_once(contestant: Contestant, target: Target, round_number: int, worker: Worker = run_worker) -> Run:
    """Run one contestant and ask the target what it thinks of it."""
    job = replace(contestant.job, bootstrap_servers=target.bootstrap_servers, partitions=target.partitions)
    target.begin()
    outcome = worker(job)
    for status in (MISSING, FAILED):
        if status in outcome:
            return Run(contestant.name, round_number, status, str(outcome[status]))
    measured = Measured(**outcome)  # type: ignore[arg-type]  # written by worker.main from the same class
    received, complaint = target.received(), target.complaint()
    if received != measured.sent:
        complaint = f"sent {measured.sent}, received {received}" + (f"; {complaint}" if complaint else "")
    return Run(
        contestant=contestant.name,
        round=round_number,
        status=VOID if complaint else OK,
        message=complaint or "",
        sent=measured.sent,
        received=received,
        version=measured.version,
        values={} if complaint else _values(measured, target),
    )


def _values(measured: Measured, target: Target) -> dict[str, float]:
    values = {
        "rate": measured.timed / measured.seconds,
        "cpu": measured.cpu_s * 1e6 / measured.timed,
        "rss_mib": measured.rss_mib,
    }
    if measured.sent_ns:
        values |= percentiles_ms(wire_latencies_ns(measured.sent_ns, target.stamps()))
    figures = target.figures()
    if "record_bytes" in figures:
        values["mb_s"] = values["rate"] * figures["record_bytes"] / 1e6
    return values | measured.values | figures


def wire_latencies_ns(sent_ns: Sequence[int], stamps: Sequence[Stamp]) -> list[int]:
    """Return how long after its hand-over each record arrived; the stamps of the warm-up come first.

    The stream has one partition, so records arrive in the order of the calls.
    """
    arrived_ns = [stamp.ns for stamp in stamps for _ in range(stamp.records)]
    timed_ns = arrived_ns[len(arrived_ns) - len(sent_ns) :]
    return [arrived - sent for sent, arrived in zip(sent_ns, timed_ns, strict=True)]
