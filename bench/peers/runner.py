"""Runs every client of a cell in turn, round after round, and checks each run's count at the server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.peers.clients import SHARE_OF_RECORDS
from bench.peers.job import Job, Measured
from bench.peers.targets import PARTITIONS, TOPIC, Target

ROOT = Path(__file__).resolve().parents[2]
WORKER_TIMEOUT_S = 900
DEFAULT_BYTES = 300_000_000
MOST_RECORDS = 3_000_000

OK, VOID, FAILED, MISSING = "ok", "void", "failed", "missing"


@dataclass(frozen=True)
class Cell:
    """One table of the report: its clients run interleaved and are compared with each other only."""

    target: str
    size: int
    batch_size: int | None


@dataclass(frozen=True)
class Run:
    """One run of one client: what it measured and what the server says about it."""

    cell: Cell
    client: str
    round: int
    status: str  # ok | void | failed | missing
    message: str
    received: int
    measured: Measured | None
    server_cpu_s: float | None

    @property
    def rate(self) -> float:
        """Records per second of wall-clock time."""
        assert self.measured is not None
        return self.measured.timed / self.measured.seconds

    @property
    def cpu_per_million(self) -> float:
        """CPU seconds of the client's process per million records."""
        assert self.measured is not None
        return self.measured.cpu_s * 1e6 / self.measured.timed


@dataclass(frozen=True)
class Plan:
    """What every cell has in common."""

    clients: tuple[str, ...]
    rounds: int
    records: int | None  # None: about 300 MB of values, three million records at most
    warmup: int
    linger_ms: float


Worker = Callable[[Job], dict[str, object]]


def run_worker(job: Job) -> dict[str, object]:
    """Run `job` in a fresh interpreter and return the line it printed."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, "-m", "bench.peers.worker"]
    try:
        done = subprocess.run(
            command,
            input=json.dumps(asdict(job)),
            capture_output=True,
            text=True,
            env=environment,
            timeout=WORKER_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {"failed": f"no result within {WORKER_TIMEOUT_S} s"}
    lines = done.stdout.splitlines()
    if done.returncode != 0 or not lines:
        return {"failed": f"exit code {done.returncode}: {done.stderr.strip()[-300:]}"}
    outcome: dict[str, object] = json.loads(lines[-1])
    return outcome


def run_cell(cell: Cell, target: Target, plan: Plan, worker: Worker = run_worker) -> Iterator[Run]:
    """Run each client once a round, starting one further in each round, so that none has the best place.

    A client that is not importable is reported once and not tried again.
    """
    missing: set[str] = set()
    for round_number in range(plan.rounds):
        for client in _rotated(plan.clients, round_number):
            if client not in missing:
                run = _run_one(cell, target, plan, client, round_number, worker)
                if run.status == MISSING:
                    missing.add(client)
                yield run


def _rotated(clients: Sequence[str], by: int) -> list[str]:
    shift = by % len(clients)
    return [*clients[shift:], *clients[:shift]]


def _run_one(cell: Cell, target: Target, plan: Plan, client: str, round_number: int, worker: Worker) -> Run:
    job = make_job(cell, target, plan, client)
    target.begin()
    outcome = worker(job)
    for status in (MISSING, FAILED):
        if status in outcome:
            message = str(outcome[status])
            return Run(cell, client, round_number, status, message, target.received(), None, None)
    measured = Measured(**outcome)  # type: ignore[arg-type]  # written by worker.main from the same class
    received, complaint = target.received(), target.complaint()
    if received != measured.sent:
        complaint = f"sent {measured.sent}, received {received}" + (f"; {complaint}" if complaint else "")
    status = VOID if complaint else OK
    return Run(cell, client, round_number, status, complaint or "", received, measured, target.cpu_s())


def make_job(cell: Cell, target: Target, plan: Plan, client: str) -> Job:
    """Return what `client` has to do in `cell`."""
    records = plan.records or min(MOST_RECORDS, DEFAULT_BYTES // max(1, cell.size))
    share = SHARE_OF_RECORDS.get(client, 1.0)
    return Job(
        client=client,
        bootstrap_servers=target.bootstrap_servers,
        topic=TOPIC,
        partitions=PARTITIONS,
        size=cell.size,
        records=max(1, int(records * share)),
        warmup=int(plan.warmup * share),
        batch_size=cell.batch_size,
        linger_ms=plan.linger_ms,
    )
