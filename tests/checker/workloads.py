"""What is sent while the nemesis strikes: one thread each, every outcome in the history."""

from __future__ import annotations

import functools
import itertools
import threading
import time
from collections.abc import Callable
from typing import Final, Protocol

from tests.checker.clients import Client, Factory
from tests.checker.history import History, Stream
from tests.checker.records import NO_TRANSACTION, key_of, run_left

GROUP: Final = "copiers"

_JOIN_S: Final = 300.0


class Workload(Protocol):
    """Sends to topics of its own."""

    name: str
    topics: dict[str, int]  # how many partitions each has

    def start(self) -> None:
        """Begin to send."""

    def stop(self) -> None:
        """End sending, have every record completed and every transaction ended, and close the clients."""


class Worker:
    """A thread that does a thing again and again until it is told to stop, and keeps what it raised."""

    def __init__(self, name: str, step: Callable[[], None], last: Callable[[], None] | None = None) -> None:
        self.error: BaseException | None = None
        self._step = step
        self._last = last
        self._is_stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def ask_to_stop(self) -> None:
        """Let the step that is being done be the last."""
        self._is_stopping.set()

    @property
    def is_stopping(self) -> bool:
        """Whether it was asked to stop."""
        return self._is_stopping.is_set()

    def wait(self, seconds: float) -> bool:
        """Wait unless it is to stop; returns whether it is."""
        return self._is_stopping.wait(seconds)

    def join(self) -> None:
        """Wait for the end; raises what the thread raised."""
        self._thread.join(_JOIN_S)
        assert not self._thread.is_alive(), f"{self._thread.name} hangs"
        if self.error is not None:
            raise self.error

    def _run(self) -> None:
        try:
            while not self._is_stopping.is_set():
                self._step()
            if self._last is not None:
                self._last()
        except BaseException as error:  # noqa: BLE001  # raised by join()
            self.error = error


class Pace:
    """So many records per second; time lost to a fault is made up for."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._due = time.monotonic()

    def wait(self, count: int, worker: Worker) -> None:
        """Wait until records that were sent have used their time up."""
        self._due += count / self._rate
        ahead_s = self._due - time.monotonic()
        if ahead_s > 0:
            worker.wait(ahead_s)


def send_run(
    history: History, client: Client, stream: Stream, limit: int, transaction: int = NO_TRANSACTION
) -> int:
    """Send up to `limit` records of a partition in one call; returns how many were taken."""
    first = len(stream)
    count = min(run_left(first), limit)
    values = history.records.values(stream.incarnation, stream.partition, first, count, transaction)
    keys = [key_of(value, n) for n, value in enumerate(values, start=first)]
    stream.accept(count, history.now_ms(), transaction)
    taken = client.send(stream, first, values, keys, history.records.timestamp_ms(first))
    stream.withdraw(count - taken)
    return taken


class Idempotent:
    """One producer, the partitions in turn.

    Args:
        bootstrap_servers: of the cluster.
        history: gets the outcomes.
        factory: makes the client.
        client: its name.
        rate: records per second.
        topic, partitions: where to, default 12 partitions.
    """

    name = "idempotent"

    def __init__(
        self,
        bootstrap_servers: str,
        history: History,
        factory: Factory,
        client: str,
        rate: float,
        topic: str = "checked",
        partitions: int = 12,
    ) -> None:
        self.topics = {topic: partitions}
        self._history = history
        self._make = functools.partial(factory, bootstrap_servers, topic, history)
        self._streams = history.begin_incarnation(topic, partitions, client)
        self._turns = itertools.cycle(self._streams)
        self._rate = rate
        self._worker = Worker("idempotent", self._turn)

    def start(self) -> None:
        """Begin to send."""
        self._client = self._make()
        self._pace = Pace(self._rate)
        self._worker.start()

    def _turn(self) -> None:
        taken = send_run(self._history, self._client, next(self._turns), limit=64)
        self._pace.wait(max(1, taken), self._worker)

    def stop(self) -> None:
        """End sending and close the client."""
        self._worker.ask_to_stop()
        try:
            self._worker.join()
        finally:
            self._client.close()
