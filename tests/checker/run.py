"""One run: a cluster, a workload, the nemesis, the final healing, the readers, the checks, the verdict."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from confluent_kafka import IsolationLevel

import kproducer
from kproducer.testing import DEFAULT_VERSION, KafkaCluster
from kproducer.testing.properties import PropertyValue
from tests.checker.batches import BatchHeader, read_partition
from tests.checker.clients import CLIENTS, DELIVERY_TIMEOUT_MS, REQUEST_TIMEOUT_MS
from tests.checker.findings import Fault, Findings
from tests.checker.history import History, Outcome
from tests.checker.judge import RECOVERY_LIMIT_MS, Scope, acknowledgements, judge
from tests.checker.model import Message, longest_gap_ms, recovery_ms
from tests.checker.nemesis import AnyBroker, wait_until_whole
from tests.checker.readback import end_offsets, group_offsets, open_transactions, read_topic
from tests.checker.workloads import GROUP, Idempotent, Workload

ROOT: Final = Path(__file__).resolve().parents[2]
WORKLOADS: Final = ("idempotent", "transactional", "copy")
RATES: Final = {"idempotent": 22_000.0, "transactional": 12_000.0, "copy": 3_000.0}

_CALM_S: Final = 6.0  # after the last healing, before the workload ends
_GRACE_MS: Final = 1_000
_START_S: Final = 180.0  # of a broker, on a machine that others use as well
_STUCK_S: Final = 30.0
_POLL_S: Final = 0.5
# A dead broker is noticed, and a leader elected, within 3 s.
_BROKER_PROPERTIES: Final[dict[str, PropertyValue]] = {
    "broker.session.timeout.ms": 3000,
    "broker.heartbeat.interval.ms": 500,
    "replica.lag.time.max.ms": 3000,
    "unclean.leader.election.enable": False,
    "log.retention.ms": -1,
    "log.retention.bytes": -1,
    "log.segment.bytes": 256 << 20,
    "auto.create.topics.enable": False,
}
_INTERNAL: Final = ("__transaction_state", "__consumer_offsets")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What is run."""

    workload: str
    client: str = "kproducer"
    seconds: float = 600.0
    seed: int = 1
    rate: float | None = None
    broker_version: str = DEFAULT_VERSION
    is_calm: bool = False

    @property
    def name(self) -> str:
        """Of the files that the run leaves."""
        broker = "" if self.broker_version == DEFAULT_VERSION else f"-kafka{self.broker_version}"
        return f"{self.workload}-{self.client}-seed{self.seed}{broker}"

    @property
    def command(self) -> str:
        """What to type to run it again."""
        parts = [
            f"--workload {self.workload} --client {self.client} --seconds {self.seconds:g} --seed {self.seed}"
        ]
        parts += [f"--rate {self.rate:g}"] if self.rate is not None else []
        parts += [f"--broker-version {self.broker_version}"] if self.broker_version != DEFAULT_VERSION else []
        parts += ["--calm"] if self.is_calm else []
        return " ".join(["python -m tests.checker", *parts])


@dataclass(slots=True)
class Result:
    """What a run showed."""

    history: History
    findings: Findings
    verdict: dict[str, Any]

    @property
    def is_clean(self) -> bool:
        """Whether no fault was found."""
        return not self.findings.faults


def run(settings: Settings) -> Result:
    """Run it; the brokers' logs are gone afterwards, even if it fails."""
    base_ms = int(time.time() * 1000)
    history = History(uuid.uuid4().bytes[:8], base_ms)
    with KafkaCluster(3, settings.broker_version, _BROKER_PROPERTIES, start_timeout_s=_START_S) as cluster:
        workload = make_workload(settings, cluster.bootstrap_servers, history)
        for topic, partitions in workload.topics.items():
            cluster.create_topic(topic, partitions, 3)
        threads = threading.active_count()
        history.started = time.monotonic()
        sending_s = _send(settings, cluster, history, workload)
        left = _threads_left(threads)
        began = time.monotonic()
        scope = Scope(
            topics=workload.topics,
            is_transactional=workload.name != "idempotent",
            is_copy=workload.name == "copy",
            late_ms=DELIVERY_TIMEOUT_MS + _GRACE_MS,
        )
        source = ClusterSource(cluster, workload.topics, is_transactional=scope.is_transactional)
        findings = judge(history, scope, source)
        if left:
            findings.add(Fault.STUCK, f"threads were left behind, these run: {', '.join(left)}")
        checking_s = time.monotonic() - began
        verdict = _verdict(settings, cluster, history, scope, findings)
    verdict |= {"sending_s": round(sending_s, 1), "checking_s": round(checking_s, 1)}
    return Result(history, findings, verdict)


def make_workload(settings: Settings, bootstrap_servers: str, history: History) -> Workload:
    """The workload by name."""
    rate = RATES[settings.workload] if settings.rate is None else settings.rate
    if settings.workload == "idempotent":
        return Idempotent(bootstrap_servers, history, CLIENTS[settings.client], settings.client, rate)
    if settings.client != "kproducer":
        raise ValueError(f"the workload {settings.workload} is for kproducer, not for {settings.client}")
    # Imported here: the idempotent workload runs against peers without the transactional API.
    from tests.checker.copying import Copying  # noqa: PLC0415, RUF100
    from tests.checker.transactional import Transactional  # noqa: PLC0415, RUF100

    make = Transactional if settings.workload == "transactional" else Copying
    return make(bootstrap_servers, history, settings.seed, rate)


def _send(settings: Settings, cluster: KafkaCluster, history: History, workload: Workload) -> float:
    workload.start()
    # The internal topics exist once a transaction has begun.
    topics = [*workload.topics, *(() if workload.name == "idempotent" else _INTERNAL)]
    nemesis = AnyBroker(cluster, history, topics, seed=settings.seed)
    began = time.monotonic()
    try:
        if settings.is_calm:
            time.sleep(settings.seconds)
        else:
            nemesis.start()
            time.sleep(settings.seconds)
            nemesis.stop()
            wait_until_whole(cluster, topics)
            time.sleep(_CALM_S)
    finally:
        workload.stop()
    return time.monotonic() - began


def _threads_left(before: int) -> list[str]:
    """The names of all threads, if there are more than before; ten seconds are given to them."""
    deadline = time.monotonic() + 10
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.1)
    is_more = threading.active_count() > before
    return sorted(thread.name for thread in threading.enumerate()) if is_more else []


class ClusterSource:
    """The logs of a running cluster; the brokers are killed for the sake of their segments at the end.

    Args:
        cluster, topics: where, and how many partitions each has.
        is_transactional: whether to ask coordinators for open transactions.
        patience_s: what they get to end the abandoned ones, default 30 s.
    """

    def __init__(
        self,
        cluster: KafkaCluster,
        topics: Mapping[str, int],
        *,
        is_transactional: bool,
        patience_s: float = _STUCK_S,
    ) -> None:
        self._patience_s = patience_s
        self._cluster = cluster
        self._servers = cluster.bootstrap_servers
        self._topics = topics
        self._is_transactional = is_transactional

    def read(self, topic: str, take: Callable[[list[Message]], None], *, is_committed: bool) -> None:
        """See LogSource."""
        read_topic(self._servers, topic, self._topics[topic], take, is_committed=is_committed)

    def group_offsets(self, topic: str) -> Mapping[int, int]:
        """See LogSource."""
        return group_offsets(self._servers, GROUP, topic, self._topics[topic])

    def stuck(self) -> list[str]:
        """See LogSource."""
        deadline = time.monotonic() + self._patience_s
        while (found := self._stuck_now()) and time.monotonic() < deadline:
            time.sleep(_POLL_S)
        return found

    def _stuck_now(self) -> list[str]:
        found = open_transactions(self._servers) if self._is_transactional else []
        for topic, partitions in self._topics.items():
            stable = end_offsets(self._servers, topic, partitions, IsolationLevel.READ_COMMITTED)
            high = end_offsets(self._servers, topic, partitions, IsolationLevel.READ_UNCOMMITTED)
            if stable != high:
                found.append(f"{topic}: last stable offsets {stable}, high watermarks {high}")
        return found

    def replicas(self, topic: str, partition: int) -> Mapping[str, Sequence[BatchHeader]]:
        """See LogSource."""
        for node in self._cluster.nodes:
            node.kill()  # what was written is in the files; an orderly end would add nothing
        return {
            f"broker {node.id}": read_partition(node._files.log_dir / f"{topic}-{partition}")
            for node in self._cluster.nodes
        }


# --- the verdict -------------------------------------------------------------------------------------------


def _verdict(
    settings: Settings, cluster: KafkaCluster, history: History, scope: Scope, findings: Findings
) -> dict[str, Any]:
    times = acknowledgements(history, scope)
    end = history.now_ms()
    return {
        "workload": settings.workload,
        "client": settings.client,
        "seed": settings.seed,
        "seconds": settings.seconds,
        "command": settings.command,
        "commit": _commit_id(),
        "versions": _versions(settings.client, cluster),
        "timeouts_ms": {"delivery": DELIVERY_TIMEOUT_MS, "request": REQUEST_TIMEOUT_MS},
        "accepted": sum(map(len, history.streams.values())),
        "acknowledged": sum(history.acknowledged(*key) for key in history.streams),
        "failed": history.count(Outcome.FAIL),
        "info": history.count(Outcome.INFO) - _counted(history),
        "causes": dict(history.causes()),
        "refusals": dict(history.refusals),
        "incarnations": len(history.incarnations),
        "transactions": {
            outcome.name.lower(): sum(1 for t in history.transactions.values() if t.outcome is outcome)
            for outcome in Outcome
        },
        "strikes": len(history.strikes),
        "recovery_ms": _recoveries(history, times),
        "longest_gap_ms": {
            fault: max(
                longest_gap_ms(of_topic, strike.began_ms, strike.healed_ms + RECOVERY_LIMIT_MS)
                for strike in history.strikes
                if strike.fault == fault
                for of_topic in times.values()
            )
            for fault in sorted({strike.fault for strike in history.strikes})
        },
        "longest_gap_of_all_ms": max(longest_gap_ms(of_topic, 0, end) for of_topic in times.values()),
        "faults": {fault.value: findings.counts[fault] for fault in Fault if findings.counts[fault]},
        "examples": {fault.value: lines for fault, lines in findings.examples.items()},
        "verdict": "fault" if findings.faults else "ok",
    }


def _counted(history: History) -> int:
    """Records that were acknowledged among others that were not, so that nobody knows which."""
    return sum(acked for stream in history.streams.values() for _, _, acked, _ in stream.counted)


def _recoveries(history: History, times: dict[str, dict[int, list[int]]]) -> dict[str, float]:
    took = sorted(max(recovery_ms(s, of_topic) for of_topic in times.values()) for s in history.strikes)
    if not took:
        return {}
    return {"median": took[len(took) // 2], "max": took[-1]}


def _commit_id() -> str:
    """HEAD, marked if anything but verdicts differs from it: those of runs at the same time are no other code."""

    def git(*arguments: str) -> str:
        command = ["git", *arguments]
        return subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True).stdout.strip()

    changed = git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!tests/checker/verdicts")
    return git("rev-parse", "--short=12", "HEAD") + ("-dirty" if changed else "")


def _versions(client: str, cluster: KafkaCluster) -> dict[str, str]:
    return {
        "kafka": cluster.version,
        "client": kproducer.__version__ if client == "kproducer" else version(client),
        "reader": f"confluent-kafka {version('confluent-kafka')}",
        "python": platform.python_version(),
        "processors": str(os.cpu_count()),
    }


def render(verdict: dict[str, Any]) -> str:
    """A verdict as a table of two columns."""
    rows = {key: value for key, value in verdict.items() if key not in ("examples", "faults")}
    width = max(map(len, rows))
    lines = [f"{key:<{width}}  {_short(value)}" for key, value in rows.items()]
    lines += [f"{fault:<{width}}  {count}" for fault, count in verdict["faults"].items()]
    for fault, examples in verdict["examples"].items():
        lines += [f"  {fault}: {line}" for line in examples]
    return "\n".join(lines)


def _short(value: object) -> str:
    return json.dumps(value) if isinstance(value, dict) else str(value)


def write(result: Result, settings: Settings, out: Path, histories: Path) -> Path:
    """Write verdict and history; returns the verdict's path."""
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"{settings.name}.json"
    path.write_text(json.dumps(result.verdict, indent=1, sort_keys=False) + "\n")
    result.history.write(histories / f"{settings.name}.history.gz")
    return path


def main_run(settings: Settings, out: Path, histories: Path) -> int:
    """Run, print, write; returns the exit code."""
    result = run(settings)
    sys.stdout.write(render(result.verdict) + "\n")
    sys.stdout.write(f"written to {write(result, settings, out, histories)}\n")
    return 0 if result.is_clean else 1
