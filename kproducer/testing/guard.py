"""The owner's side of the watchdog: a process group that does not outlive the process which made it."""

from __future__ import annotations

import os
import subprocess
import sys
import weakref
from pathlib import Path
from typing import IO

_WATCHDOG = Path(__file__).with_name("watchdog.py")


class ProcessGuard:
    """Holds a process group for brokers: however the owner dies, the group is killed and `folder` removed."""

    def __init__(self, folder: Path) -> None:
        self._watchdog = subprocess.Popen(
            [sys.executable, "-I", "-S", str(_WATCHDOG), str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            process_group=0,
        )
        _living.add(self)

    def spawn(self, command: list[str], output: IO[bytes]) -> subprocess.Popen[bytes]:
        """Start a process inside the group, so that there is no moment in which it is not watched."""
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            process_group=self._watchdog.pid,
        )

    def close(self) -> None:
        """Dismiss the watchdog; the owner has stopped the group's other processes before."""
        self._watchdog.kill()
        self._watchdog.wait()
        self.let_go()

    def let_go(self) -> None:
        """Close this process's end of the pipe."""
        if self._watchdog.stdin is not None:
            self._watchdog.stdin.close()


_living: weakref.WeakSet[ProcessGuard] = weakref.WeakSet()


def _let_go_in_child() -> None:
    """A forked child inherits the pipe: while it held it, the watchdog could not see the owner die."""
    for guard in list(_living):
        guard.let_go()
    _living.clear()


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(after_in_child=_let_go_in_child)
