"""Targets, workers and runs that say what a test wants them to say."""

from __future__ import annotations

from bench.peers.job import Job, Measured
from bench.peers.runner import OK, Contestant, Run, Worker
from bench.sink import Stamp


class CountingTarget:
    """A target that took what `arrivals` says, run after run."""

    bootstrap_servers = "127.0.0.1:1"
    partitions = 6

    def __init__(self, arrivals: int, complaint: str | None = None) -> None:
        self._arrivals, self._complaint = arrivals, complaint

    def begin(self) -> None:
        """Nothing to do."""

    def received(self) -> int:
        return self._arrivals

    def complaint(self) -> str | None:
        return self._complaint

    def figures(self) -> dict[str, float]:
        return {}

    def stamps(self) -> list[Stamp]:
        return []


def contestants(*clients: str) -> list[Contestant]:
    return [Contestant(client, Job(client)) for client in clients]


def measured(timed: int = 100, seconds: float = 1.0, cpu_s: float = 1.0) -> Measured:
    return Measured(sent=timed + 10, timed=timed, seconds=seconds, cpu_s=cpu_s, rss_mib=30, version="1")


def answer(outcome: dict[str, object]) -> Worker:
    return lambda job: outcome


def ok_run(contestant: str, round_number: int, **values: float) -> Run:
    return Run(contestant, round_number, OK, "", 110, 110, "1", values)
