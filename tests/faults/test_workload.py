"""The judge is judged: each kind of fault, planted in a good history, must be seen, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest

from kproducer.errors import KafkaTimeoutError
from kproducer.types import RecordMetadata
from tests.faults.workload import Workload

Logs = list[list[tuple[int, bytes]]]


class _Perfect:
    """Acknowledges each record at once and keeps it."""

    def __init__(self) -> None:
        self.logs: Logs = [[], []]

    def produce(
        self, topic: str, value: bytes, *, partition: int, on_delivery: Callable[..., object]
    ) -> None:
        log = self.logs[partition]
        log.append((len(log), value))
        on_delivery(RecordMetadata(topic, partition, len(log) - 1), None)


def _run() -> tuple[Workload, Logs]:
    producer = _Perfect()
    workload = Workload(cast("Any", producer), "judged", 2)
    for partition in (0, 1):
        workload.send(partition, 50)
    return workload, producer.logs


def _swap(_: Workload, logs: Logs) -> None:
    (a, first), (b, second) = logs[0][10:12]
    logs[0][10:12] = [(a, second), (b, first)]


def _repeat(_: Workload, logs: Logs) -> None:
    logs[0].append((50, logs[0][7][1]))


def _lose(_: Workload, logs: Logs) -> None:
    del logs[1][20]


def _move(_: Workload, logs: Logs) -> None:
    logs[1].append((50, logs[0].pop()[1]))


def _corrupt(_: Workload, logs: Logs) -> None:
    offset, value = logs[0][3]
    logs[0][3] = (offset, value[:-1] + b"\x01")


def _shift(_: Workload, logs: Logs) -> None:
    logs[0] = [(offset + 1, value) for offset, value in logs[0]]


def _forget_completion(workload: Workload, _: Logs) -> None:
    workload.histories[0].completions[5] = 0


def _complete_twice(workload: Workload, _: Logs) -> None:
    workload.histories[0].done(49, RecordMetadata("judged", 0, 49), None)


def _blame_wrongly(workload: Workload, _: Logs) -> None:
    history = workload.histories[1]
    history.offsets[9] = -2
    history.failures[9] = KafkaTimeoutError("expired", persisted="no")


PLANTED: dict[str, tuple[Callable[[Workload, Logs], None], dict[str, int]]] = {
    "nothing": (lambda workload, logs: None, {}),
    "two swapped": (_swap, {"reordered": 1, "misplaced": 2}),
    "one repeated": (_repeat, {"duplicated": 1}),
    "one lost": (_lose, {"lost": 1}),
    "one in the wrong partition": (_move, {"lost": 1, "phantom": 1}),
    "one byte changed": (_corrupt, {"lost": 1, "phantom": 1}),
    "all offsets off by one": (_shift, {"misplaced": 50}),
    "never completed": (_forget_completion, {"not_completed": 1}),
    "completed twice": (_complete_twice, {"completed_twice": 1, "out_of_turn": 1}),
    "called not persisted, but there": (_blame_wrongly, {"false_failures": 1}),
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_fault_is_found(name: str) -> None:
    workload, logs = _run()
    plant, expected = PLANTED[name]
    plant(workload, logs)
    assert workload.judge(logs).faults == expected
