"""A Kafka sink in C that only acknowledges, as a process of its own; this builds, starts and asks it.

Owned by the thread that made it: a `Sink` is not meant for several threads.
"""

from __future__ import annotations

import hashlib
import json
import os
import select
import shutil
import subprocess
import sysconfig
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

__all__ = ["PartitionCount", "Sink", "SinkStats", "Stamp", "build_sink"]

SOURCE = Path(__file__).with_name("sink.c")
CFLAGS = ("-std=c11", "-O2", "-Wall", "-Wextra")
ANSWER_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class SinkStats:
    """What the sink counted since its start or its last reset."""

    records: int
    bytes: int  # of the record batches, headers included
    batches: int
    requests: int
    bad: int  # batches refused: CRC-32C, record count or batch header wrong
    sequence_errors: int  # batches of one producer that did not continue the last one of their partition
    malformed: int  # connections closed because of a request that did not parse or is not served
    first_ns: int  # arrival of the first Produce request on CLOCK_MONOTONIC, 0 for none
    last_ns: int
    cpu_s: float  # CPU seconds of the sink process


@dataclass(frozen=True)
class Stamp:
    """One Produce request: when it had arrived whole, on CLOCK_MONOTONIC, and how many records it held."""

    ns: int
    records: int


@dataclass(frozen=True)
class PartitionCount:
    """What one partition received since the sink's start or its last reset."""

    topic: str
    partition: int
    records: int
    bytes: int


def build_sink(cflags: Sequence[str] = CFLAGS) -> Path:
    """Compile the sink once per source, compiler and flags, and return the program.

    The compiler is `$CC`, else the one that Python was built with, else `cc`; the program lies in
    `$XDG_CACHE_HOME/kproducer/bench` (default `~/.cache`).

    Raises:
        RuntimeError: there is no C compiler, or it refused the source.
    """
    compiler = _compiler()
    digest = hashlib.sha256(SOURCE.read_bytes() + repr((compiler, tuple(cflags))).encode()).hexdigest()[:16]
    program = _cache_dir() / f"sink-{digest}"
    if not program.exists():
        _compile(compiler, cflags, program)
    return program


def _compiler() -> str:
    built_with = str(sysconfig.get_config_var("CC") or "").split()[:1]
    for name in (os.environ.get("CC", ""), *built_with, "cc"):
        if name and shutil.which(name):
            return name
    raise RuntimeError("the sink is a C program and no C compiler was found: set CC or install one (cc)")


def _cache_dir() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    path = Path(home) / "kproducer" / "bench"
    path.mkdir(parents=True, exist_ok=True)
    return path


def _compile(compiler: str, cflags: Sequence[str], program: Path) -> None:
    # Two runs may build at once: each compiles into its own folder, and the rename is atomic.
    with tempfile.TemporaryDirectory(dir=program.parent) as folder:
        fresh = Path(folder) / "sink"
        command = [compiler, *cflags, "-o", str(fresh), str(SOURCE)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"{compiler} could not build the sink:\n{done.stderr}")
        fresh.replace(program)


class Sink:
    """A running sink: one broker on loopback that acknowledges everything and keeps nothing.

    Args:
        topics: names of the topics that exist; others are UNKNOWN_TOPIC_OR_PARTITION. Default one, "bench".
        partitions: partitions of each topic. Default 6.
        delay_ms: how late each Produce is answered, without holding up other reads. Default 0.
        stamp: keep the arrival time of each Produce request for `stamps()`. Default False.
        verify_every: check CRC-32C and records of one batch in so many. Default 1000; 1 checks all.
        produce_max: newest Produce version offered, 3 to 13; 13 names topics by id (KIP-516). Default 12.
        program: a sink built with other flags. Default the one of `build_sink()`.

    Raises:
        RuntimeError: it could not be built, or it ended or fell silent.
    """

    def __init__(
        self,
        topics: Sequence[str] = ("bench",),
        *,
        partitions: int = 6,
        delay_ms: float = 0,
        stamp: bool = False,
        verify_every: int = 1000,
        produce_max: int = 12,
        program: Path | None = None,
    ) -> None:
        command = [str(program or build_sink()), "--topics", ",".join(topics)]
        command += ["--partitions", str(partitions), "--delay-ms", str(delay_ms)]
        command += ["--verify-every", str(verify_every)]
        command += ["--produce-max", str(produce_max), *(["--stamp"] if stamp else [])]
        self._unread = b""
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        try:
            self.port: int = self._answer()["port"]
        except BaseException:
            self.close()
            raise

    @property
    def bootstrap_servers(self) -> str:
        """`host:port` of the sink."""
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """Process id of the sink."""
        return self._process.pid

    def stats(self) -> SinkStats:
        """Return what was counted since the start or the last `reset()`."""
        return SinkStats(**self._ask("stats"))

    def stamps(self) -> list[Stamp]:
        """Return the arrivals since the start or the last `reset()`; empty unless made with `stamp=True`."""
        return [Stamp(*pair) for pair in self._ask("stamps")["stamps"]]

    def partitions(self) -> list[PartitionCount]:
        """Return the counts of every partition, in order of topic and partition."""
        return [PartitionCount(*row) for row in self._ask("partitions")["partitions"]]

    def reset(self) -> None:
        """Set all counts to 0 and forget the stamps; offsets go on."""
        self._ask("reset")

    def set_delay_ms(self, delay_ms: float) -> None:
        """Answer Produce requests that arrive from now on `delay_ms` late."""
        self._ask(f"delay {delay_ms}")

    def wait_for_records(self, records: int, timeout_s: float = 10.0) -> SinkStats:
        """Wait until at least `records` are counted, as `acks=0` gives no sign of arrival.

        Raises:
            TimeoutError: fewer arrived within `timeout_s` seconds.
        """
        deadline = time.monotonic() + timeout_s
        while (stats := self.stats()).records < records:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{stats.records} of {records} records arrived in {timeout_s} s")
            time.sleep(0.005)
        return stats

    def close(self) -> None:
        """Stop the process; a second call does nothing."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()  # the end of its stdin ends the sink
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _ask(self, command: str) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(command.encode() + b"\n")
        self._process.stdin.flush()
        answer = self._answer()
        if "error" in answer:
            raise RuntimeError(f"the sink refused {command!r}: {answer['error']}")
        return answer

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        fd = self._process.stdout.fileno()
        deadline = time.monotonic() + ANSWER_TIMEOUT_S
        while b"\n" not in self._unread:
            if not select.select([fd], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise RuntimeError(f"the sink did not answer within {ANSWER_TIMEOUT_S} s")
            chunk = os.read(fd, 1 << 20)
            if not chunk:
                raise RuntimeError(f"the sink ended with exit code {self._process.wait()}")
            self._unread += chunk
        line, self._unread = self._unread.split(b"\n", 1)
        answer: dict[str, Any] = json.loads(line)
        return answer
