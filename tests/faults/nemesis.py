"""Breaks a cluster in a seeded order and heals it again."""

from __future__ import annotations

import random
import threading
import time
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from kproducer.testing import KafkaCluster

_HEALED_TIMEOUT_S: Final = 60.0


class Fault(Enum):
    """What is done to a broker."""

    KILL = auto()
    PAUSE = auto()


@dataclass(frozen=True, slots=True)
class Deed:
    """One fault: which broker, and when it began and was over, in seconds of the monotonic clock."""

    fault: Fault
    broker: int
    began: float
    healed: float


class Nemesis:
    """A thread that kills or pauses the leader of a random partition, again and again.

    Args:
        cluster: to break; all brokers run again after `stop()`.
        topic, partitions: whose leaders are hit.
        seed: of the schedule.
        pause_s: least and greatest time between two faults, default 5 to 15 s.
        freeze_s: least and greatest time of a pause, default 3 to 8 s.
        kinds: default both.
    """

    def __init__(
        self,
        cluster: KafkaCluster,
        topic: str,
        partitions: int,
        *,
        seed: int,
        pause_s: tuple[float, float] = (5, 15),
        freeze_s: tuple[float, float] = (3, 8),
        kinds: tuple[Fault, ...] = tuple(Fault),
    ) -> None:
        self.deeds: list[Deed] = []
        self.error: Exception | None = None
        self._cluster = cluster
        self._topic = topic
        self._partitions = partitions
        self._random = random.Random(seed)
        self._pause_s = pause_s
        self._freeze_s = freeze_s
        self._kinds = kinds
        self._is_stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="nemesis", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Heal what is broken and end; raises what went wrong with the cluster itself."""
        self._is_stopping.set()
        self._thread.join(2 * _HEALED_TIMEOUT_S)
        assert not self._thread.is_alive(), "the nemesis hangs"
        if self.error is not None:
            raise self.error

    def strike(self, fault: Fault, partition: int, freeze_s: float) -> Deed:
        """Do one thing to the leader of a partition, and undo it."""
        node = self._cluster.leader(self._topic, partition)
        began = time.monotonic()
        if fault is Fault.KILL:
            node.kill()
            time.sleep(min(freeze_s, 1.0))
            node.restart()
        else:
            node.pause()
            try:
                time.sleep(freeze_s)
            finally:
                node.resume()
        deed = Deed(fault, node.id, began, time.monotonic())
        self.deeds.append(deed)
        return deed

    def _run(self) -> None:
        try:
            while not self._is_stopping.wait(self._random.uniform(*self._pause_s)):
                fault = self._random.choice(self._kinds)
                self.strike(
                    fault, self._random.randrange(self._partitions), self._random.uniform(*self._freeze_s)
                )
        except Exception as error:  # noqa: BLE001  # raised by stop()
            self.error = error
