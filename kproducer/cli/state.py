"""Where the detached local Kafka of `kproducer kafka` leaves its traces, and whether it is alive.

The supervisor holds a lock as long as it lives, so no stale file or reused process id is taken for it.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

_LOCK_TIMEOUT_S = 1.0
_LOCK_POLL_S = 0.01


@dataclass(frozen=True, slots=True)
class LocalKafka:
    """What `kproducer kafka status` knows about a cluster that is ready."""

    version: str
    bootstrap_servers: str
    node_pids: list[int]


class AlreadyRunningError(RuntimeError):
    """Another supervisor holds the lock."""


class StateFolder:
    """The folder with the lock, the state and the log of one detached cluster."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def of_user(cls) -> StateFolder:
        """`$XDG_STATE_HOME/kproducer/kafka`, else below `~/.local/state`."""
        base = os.environ.get("XDG_STATE_HOME")
        return cls((Path(base) if base else Path.home() / ".local" / "state") / "kproducer" / "kafka")

    @property
    def log(self) -> Path:
        """What the supervisor printed."""
        return self.folder / "supervisor.log"

    @contextmanager
    def supervised(self) -> Iterator[None]:
        """Hold the lock with this process's id in it; AlreadyRunningError if another process holds it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._lock_path.open("a+") as lock:
            # Somebody who asks `supervisor_pid` holds the lock for a moment, too.
            if not _try_lock(lock, timeout_s=_LOCK_TIMEOUT_S):
                raise AlreadyRunningError(f"a local Kafka is already supervised in {self.folder}")
            self._state_path.unlink(missing_ok=True)  # of a supervisor that was killed
            lock.truncate(0)
            lock.write(f"{os.getpid()}\n")
            lock.flush()
            try:
                yield
            finally:
                self._state_path.unlink(missing_ok=True)
                lock.truncate(0)

    def supervisor_pid(self) -> int | None:
        """Process id of the living supervisor, None if there is none."""
        try:
            with self._lock_path.open("r+") as lock:
                if _try_lock(lock, shared=True):
                    return None
                return int(lock.read() or 0) or None
        except FileNotFoundError:
            return None

    def save(self, kafka: LocalKafka) -> None:
        """Say that the cluster is ready."""
        draft = self._state_path.with_suffix(".draft")
        draft.write_text(json.dumps(asdict(kafka)))
        draft.replace(self._state_path)

    def load(self) -> LocalKafka | None:
        """The ready cluster of the living supervisor, None if it has not got that far."""
        try:
            return LocalKafka(**json.loads(self._state_path.read_text()))
        except (FileNotFoundError, ValueError, TypeError):
            return None

    @property
    def _lock_path(self) -> Path:
        return self.folder / "lock"

    @property
    def _state_path(self) -> Path:
        return self.folder / "state.json"


def _try_lock(lock: IO[str], *, shared: bool = False, timeout_s: float = 0.0) -> bool:
    import fcntl  # noqa: PLC0415  # Windows has none, and yet runs the other commands

    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            fcntl.flock(lock, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(_LOCK_POLL_S)
        else:
            return True
