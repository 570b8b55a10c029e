"""The process group that does not outlive its owner, with `sleep` in the place of a broker."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from kproducer.testing.guard import ProcessGuard

pytestmark = pytest.mark.skipif(os.name != "posix", reason="process groups exist on POSIX only")

OWNER = """
import os, pathlib, sys, time
from kproducer.testing.guard import ProcessGuard
folder = pathlib.Path(sys.argv[1])
guard = ProcessGuard(folder)
with open(os.devnull, "wb") as output:
    child = guard.spawn(["sleep", "600"], output)
if sys.argv[2] == "fork" and os.fork() == 0:
    os.close(1)
    time.sleep(20)
    os._exit(0)
print(child.pid, flush=True)
time.sleep(600)
"""


def wait_for(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "timed out"
        time.sleep(0.01)


def is_gone(pid: int) -> bool:
    """True if no such process runs; one that nobody reaped yet does not run either."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    status = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return status.stdout.strip().startswith("Z")


@pytest.mark.parametrize("mode", ["plain", "fork"])
def test_a_killed_owner_takes_its_processes_and_folder_along(tmp_path: Path, mode: str) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, str(folder), mode], stdout=subprocess.PIPE, start_new_session=True
    ) as owner:
        assert owner.stdout is not None
        child_pid = int(owner.stdout.readline())
        owner.kill()

    try:
        wait_for(lambda: is_gone(child_pid))
        wait_for(lambda: not folder.exists())
    finally:
        if mode == "fork":
            os.killpg(owner.pid, signal.SIGKILL)


def test_a_paused_process_is_killed_too(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, str(tmp_path), "plain"], stdout=subprocess.PIPE
    ) as owner:
        assert owner.stdout is not None
        child_pid = int(owner.stdout.readline())
        os.kill(child_pid, signal.SIGSTOP)
        owner.kill()

    wait_for(lambda: is_gone(child_pid))


def test_a_dismissed_watchdog_leaves_the_folder_to_the_owner(tmp_path: Path) -> None:
    guard = ProcessGuard(tmp_path)

    guard.close()

    assert tmp_path.exists()


def test_the_watchdog_refuses_to_kill_a_group_that_is_not_its_own(tmp_path: Path) -> None:
    script = Path(__file__).parents[3] / "kproducer" / "testing" / "watchdog.py"

    run = subprocess.run(
        [sys.executable, str(script), str(tmp_path)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )

    assert run.returncode == 1
    assert "somebody else's" in run.stderr
    assert tmp_path.exists()
