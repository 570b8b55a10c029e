"""One broker-and-controller process of a local cluster, and the faults that a test may put on it."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kproducer.testing.errors import ClusterError
from kproducer.testing.guard import ProcessGuard
from kproducer.testing.jars import KafkaInstallation
from kproducer.testing.probe import ClusterState, fetch_metadata
from kproducer.testing.versions import why_metadata_is_lost

_TAIL_LINES = 15
_TAIL_BYTES = 16 << 10
_POLL_S = 0.05
# C1 alone starts a short-lived JVM fastest.
_TOOL_OPTIONS = ("-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
_BROKER_OPTIONS = ("-Xmx512m", "-Dorg.slf4j.simpleLogger.showDateTime=true")


@dataclass(frozen=True, slots=True)
class NodeFiles:
    """Where a node keeps its things."""

    folder: Path

    @property
    def properties(self) -> Path:
        return self.folder / "server.properties"

    @property
    def log_dir(self) -> Path:
        return self.folder / "data"

    @property
    def output(self) -> Path:
        return self.folder / "broker.log"


class KafkaNode:
    """One node of a `KafkaCluster`: `id` counts from 1, `port` is its PLAINTEXT listener on 127.0.0.1.

    Made by the cluster, not by users. Every wait raises ClusterError, with the last log lines, when it fails.
    """

    def __init__(
        self,
        node_id: int,
        port: int,
        files: NodeFiles,
        installation: KafkaInstallation,
        guard: ProcessGuard,
        start_timeout_s: float,
    ) -> None:
        self.id = node_id
        self.port = port
        self._files = files
        self._installation = installation
        self._guard = guard
        self._start_timeout_s = start_timeout_s
        self._process: subprocess.Popen[bytes] | None = None

    def __repr__(self) -> str:
        state = f"pid {self.pid}" if self.is_running else "not running"
        return f"<KafkaNode {self.id} at {self.address}, {state}>"

    @property
    def address(self) -> str:
        """`host:port`, to be used as a bootstrap server."""
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int | None:
        """Process id of the JVM, None while it does not run."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    @property
    def is_running(self) -> bool:
        """True while the process exists, paused or not."""
        return self.pid is not None

    def kill(self) -> None:
        """End the process at once with SIGKILL, as a crash does; its data stay for `restart()`."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def pause(self) -> None:
        """Freeze the process with SIGSTOP: connections stay open, nothing is answered."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused process go on (SIGCONT)."""
        self._signal(signal.SIGCONT)

    def stop(self, timeout_s: float = 30.0) -> None:
        """Shut down in good order (SIGTERM), leaders move first; killed after `timeout_s` (default 30 s)."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.terminate()
        self._process.send_signal(signal.SIGCONT)
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()

    def restart(self) -> None:
        """Start again on the same port and data, after killing what still runs, and wait until it serves."""
        if reason := why_metadata_is_lost(self._installation.version):
            raise ClusterError(reason)
        self.kill()
        self.launch()
        self.wait_until_ready()

    def log_tail(self, lines: int = _TAIL_LINES) -> str:
        """The last lines (default 15) which the process printed."""
        try:
            with self._files.output.open("rb") as output:
                output.seek(max(0, output.seek(0, 2) - _TAIL_BYTES))
                text = output.read().decode(errors="replace")
        except FileNotFoundError:
            return ""
        return "\n".join(text.splitlines()[-lines:])

    def begin_format(self, cluster_id: str, features: Mapping[str, int]) -> subprocess.Popen[bytes]:
        """Start Kafka's storage tool, which lays out the data folder; `finish_format` takes the process."""
        options = ["format", "--ignore-formatted", "-t", cluster_id, "-c", str(self._files.properties)]
        for name, level in features.items():
            options += ["--feature", f"{name}={level}"]
        command = self._installation.command("kafka.tools.StorageTool", *options, jvm_options=_TOOL_OPTIONS)
        return self._spawn(command)

    def finish_format(self, tool: subprocess.Popen[bytes]) -> None:
        """Wait for the storage tool."""
        try:
            exit_code = tool.wait(self._start_timeout_s)
        except subprocess.TimeoutExpired:
            tool.kill()
            exit_code = tool.wait()
        if exit_code:
            raise self._failure(f"could not format its data folder (exit code {exit_code})")

    def launch(self) -> None:
        """Start the process without waiting."""
        arguments = (str(self._files.properties),)
        self._process = self._spawn(
            self._installation.command("kafka.Kafka", *arguments, jvm_options=_BROKER_OPTIONS)
        )

    def wait_until_ready(self, brokers: int = 1) -> None:
        """Wait until this node answers Metadata, and itself and so many `brokers` (default 1) are in it."""
        deadline = time.monotonic() + self._start_timeout_s
        while True:
            state = self.ask()
            if state is not None and self.id in state.brokers and len(state.brokers) >= brokers:
                return
            if self._process is None or self._process.poll() is not None:
                code = None if self._process is None else self._process.returncode
                raise self._failure(f"exited while starting (exit code {code})")
            if time.monotonic() > deadline:
                raise self._failure(f"was not ready after {self._start_timeout_s:g} s")
            time.sleep(_POLL_S)

    def ask(self, *topics: str) -> ClusterState | None:
        """What this node knows of the cluster and the topics; None if it does not answer within a second."""
        if not self.is_running:
            return None
        try:
            return fetch_metadata(self.port, topics)
        except OSError:
            return None

    def _spawn(self, command: list[str]) -> subprocess.Popen[bytes]:
        with self._files.output.open("ab") as output:
            return self._guard.spawn(command, output)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is None or self._process.poll() is not None:
            raise ClusterError(f"Kafka node {self.id} does not run, so {number.name} cannot be sent")
        self._process.send_signal(number)

    def _failure(self, what: str) -> ClusterError:
        tail = self.log_tail() or "(nothing)"
        return ClusterError(
            f"Kafka node {self.id} ({self._installation.version}) {what}; last lines of its log:\n{tail}"
        )
