"""`kproducer kafka` with real Kafka: it stays when the command has returned, and goes when it is told to."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def kafka_command(tmp_path: Path) -> Iterator[Command]:
    """Runs the command with a state folder and a folder for data of its own."""
    data = tmp_path / "data"
    data.mkdir()
    environment = os.environ | {"XDG_STATE_HOME": str(tmp_path), "TMPDIR": str(data)}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "kproducer.cli", "kafka", *arguments],
            env=environment,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )

    yield run
    run("down")


def topics_of(bootstrap_servers: str) -> set[str]:
    return set(
        AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0}).list_topics(timeout=10).topics
    )


def test_up_returns_with_a_working_kafka_that_down_removes(kafka_command: Command, tmp_path: Path) -> None:
    up = kafka_command("up")

    assert up.returncode == 0, up.stderr
    bootstrap_servers = up.stdout.strip()
    assert topics_of(bootstrap_servers) == set()
    assert kafka_command("status").returncode == 0
    assert kafka_command("up").stdout.strip() == bootstrap_servers

    assert kafka_command("down").returncode == 0
    assert kafka_command("status").returncode == 1
    assert not list((tmp_path / "data").iterdir())


def test_a_killed_supervisor_takes_its_kafka_along(kafka_command: Command, tmp_path: Path) -> None:
    assert kafka_command("up").returncode == 0
    status = kafka_command("status").stdout.splitlines()
    supervisor = int(status[0].rpartition(" ")[2])

    os.kill(supervisor, signal.SIGKILL)

    deadline = time.monotonic() + 10
    while list((tmp_path / "data").iterdir()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not list((tmp_path / "data").iterdir())
    assert kafka_command("status").stdout == "No local Kafka is running.\n"


def test_a_kafka_that_cannot_start_shows_why(kafka_command: Command) -> None:
    up = kafka_command("up", "--property", "authorizer.class.name=no.such.Authorizer")

    assert up.returncode == 1
    assert up.stdout == ""
    assert "no.such.Authorizer" in up.stderr
    assert kafka_command("status").returncode == 1
