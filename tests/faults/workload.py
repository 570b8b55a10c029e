"""Unique records at a sustained rate, an independent reader, and a verdict on what became of each record.

A record is (run, partition, n); n counts what was accepted for its partition. What is checked is the list of the
reliability protocol: nothing acknowledged is missing, nothing is there twice, the order is kept, nothing that was
called "not persisted" is there, and each record completed exactly once, in order.
"""

from __future__ import annotations

import bisect
import functools
import itertools
import struct
import threading
import time
import uuid
from array import array
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from confluent_kafka import Consumer, TopicPartition

from kproducer import KafkaProducer
from kproducer.errors import KafkaError
from kproducer.types import RecordMetadata

_HEAD: Final = struct.Struct(">8sIQ")
_NO_OFFSET: Final = -2  # not acknowledged; -1 is an acknowledgement without an offset
_TICK_S: Final = 0.02
_READ_TIMEOUT_S: Final = 120.0


@dataclass(slots=True)
class PartitionHistory:
    """What the producer told about one partition; indices are n."""

    offsets: array[int] = field(default_factory=lambda: array("q"))
    completions: bytearray = field(default_factory=bytearray)
    failures: dict[int, KafkaError] = field(default_factory=dict)
    out_of_turn: int = 0
    acks_at: list[float] = field(default_factory=list)
    _last: int = -1

    def accepted(self) -> int:
        """Make room for the next record and return its n."""
        self.offsets.append(_NO_OFFSET)
        self.completions.append(0)
        return len(self.completions) - 1

    def withdraw(self) -> None:
        """Take the newest record back: it was not accepted after all."""
        self.offsets.pop()
        self.completions.pop()

    def done(self, n: int, metadata: RecordMetadata | None, error: KafkaError | None) -> None:
        """Take an outcome; the delivery thread's."""
        self.completions[n] += 1
        self.out_of_turn += n <= self._last
        self._last = n
        if metadata is None:
            assert error is not None
            self.failures[n] = error
            return
        self.offsets[n] = metadata.offset
        now = time.monotonic()
        if not self.acks_at or now - self.acks_at[-1] >= _TICK_S:
            self.acks_at.append(now)

    def first_ack_after(self, at: float) -> float | None:
        """When the partition was acknowledged again, to 20 ms; None if never."""
        index = bisect.bisect_right(self.acks_at, at)
        return self.acks_at[index] if index < len(self.acks_at) else None

    def longest_gap_s(self) -> float:
        """The longest time without an acknowledgement."""
        return max((b - a for a, b in itertools.pairwise(self.acks_at)), default=0.0)


@dataclass(slots=True, kw_only=True)
class Verdict:
    """What a run showed; everything but `accepted`, `acknowledged` and `failed` must be 0."""

    accepted: int = 0
    acknowledged: int = 0
    failed: int = 0
    lost: int = 0
    duplicated: int = 0
    reordered: int = 0
    phantom: int = 0
    misplaced: int = 0
    false_failures: int = 0
    not_completed: int = 0
    completed_twice: int = 0
    out_of_turn: int = 0
    causes: Counter[str] = field(default_factory=Counter)

    @property
    def faults(self) -> dict[str, int]:
        """What must not be, by name."""
        names = ("lost", "duplicated", "reordered", "phantom", "misplaced", "false_failures", "not_completed")
        counts = {name: getattr(self, name) for name in (*names, "completed_twice", "out_of_turn")}
        return {name: count for name, count in counts.items() if count}


class Workload:
    """Sends records with callbacks from a thread of its own.

    Args:
        producer: under test; closed by the caller.
        topic, partitions: where to.
        rate: records per second over all partitions, default 20,000.
        size: bytes of a value, default 100.
    """

    def __init__(
        self, producer: KafkaProducer, topic: str, partitions: int, *, rate: int = 20_000, size: int = 100
    ) -> None:
        self.topic = topic
        self.run = uuid.uuid4().bytes[:8]
        self.histories = [PartitionHistory() for _ in range(partitions)]
        self.refused = 0
        self.error: Exception | None = None
        self._producer = producer
        self._rate = rate
        self._filler = bytes(max(0, size - _HEAD.size))
        self._is_stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="workload", daemon=True)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def stop(self, timeout_s: float = 60.0) -> None:
        """End sending; raises what ended it early."""
        self._is_stopping.set()
        self._thread.join(timeout_s)
        assert not self._thread.is_alive(), "the workload's thread hangs in produce()"
        if self.error is not None:
            raise self.error

    def send(self, partition: int, count: int = 1) -> None:
        """Send records from the calling thread; a refusal is counted and raised."""
        history = self.histories[partition]
        for _ in range(count):
            n = history.accepted()
            value = _HEAD.pack(self.run, partition, n) + self._filler
            try:
                done = functools.partial(history.done, n)
                self._producer.produce(self.topic, value, partition=partition, on_delivery=done)
            except KafkaError:
                history.withdraw()
                self.refused += 1
                raise

    def recovery_s(self, at: float) -> float:
        """Seconds from `at` until the last partition had been acknowledged again; infinity if one never was."""
        firsts = [history.first_ack_after(at) for history in self.histories]
        return max(float("inf") if first is None else first - at for first in firsts)

    def acknowledged(self) -> int:
        """Records acknowledged so far."""
        return sum(1 for history in self.histories for offset in history.offsets if offset != _NO_OFFSET)

    def _run(self) -> None:
        partitions = itertools.cycle(range(len(self.histories)))
        per_turn = max(1, self._rate // 500)
        due = time.monotonic()
        try:
            while not self._is_stopping.is_set():
                # Runs of one partition: batches of several records even at a modest rate.
                self.send(next(partitions), per_turn)
                due = max(due + per_turn / self._rate, time.monotonic() - 0.1)
                self._is_stopping.wait(max(0.0, due - time.monotonic()))
        except Exception as error:  # noqa: BLE001  # raised by stop()
            self.error = error

    # --- the verdict -------------------------------------------------------------------------------------

    def verdict(self, bootstrap_servers: str) -> Verdict:
        """Read all back with another client and compare."""
        return self.judge(read_back(bootstrap_servers, self.topic, len(self.histories)))

    def judge(self, logs: list[list[tuple[int, bytes]]]) -> Verdict:
        """Compare what the producer told with the (offset, value) pairs of each partition."""
        verdict = Verdict()
        for partition, history in enumerate(self.histories):
            self._judge(partition, history, logs[partition], verdict)
        return verdict

    def _judge(
        self, partition: int, history: PartitionHistory, log: list[tuple[int, bytes]], verdict: Verdict
    ) -> None:
        found: dict[int, int] = {}
        newest = -1
        for offset, value in log:
            if len(value) < _HEAD.size or value[_HEAD.size :] != self._filler:
                verdict.phantom += 1
                continue
            run, told, n = _HEAD.unpack_from(value)
            if run != self.run or told != partition or n >= len(history.completions):
                verdict.phantom += 1
            elif n in found:
                verdict.duplicated += 1
            else:
                found[n] = offset
                verdict.reordered += n < newest
                newest = max(newest, n)
        self._judge_outcomes(history, found, verdict)

    def _judge_outcomes(self, history: PartitionHistory, found: dict[int, int], verdict: Verdict) -> None:
        verdict.accepted += len(history.completions)
        verdict.out_of_turn += history.out_of_turn
        verdict.failed += len(history.failures)
        for n, (completions, offset) in enumerate(zip(history.completions, history.offsets, strict=True)):
            verdict.not_completed += completions == 0
            verdict.completed_twice += completions > 1
            if offset != _NO_OFFSET:
                verdict.acknowledged += 1
                verdict.lost += n not in found
                verdict.misplaced += offset >= 0 and found.get(n, offset) != offset
        for n, error in history.failures.items():
            verdict.causes[f"{error.name}/{error.persisted}"] += 1
            verdict.false_failures += error.persisted == "no" and n in found


def read_back(bootstrap_servers: str, topic: str, partitions: int) -> list[list[tuple[int, bytes]]]:
    """Return (offset, value) of all records of each partition, read by confluent-kafka from the beginning."""
    logs: list[list[tuple[int, bytes]]] = [[] for _ in range(partitions)]
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap_servers,
            "group.id": uuid.uuid4().hex,
            "enable.auto.commit": False,
            "auto.offset.reset": "error",
            "check.crcs": True,
        }
    )
    try:
        ends = {
            partition: consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=30)[1]
            for partition in range(partitions)
        }
        consumer.assign([TopicPartition(topic, partition, 0) for partition in range(partitions)])
        left = {partition for partition, end in ends.items() if end > 0}
        deadline = time.monotonic() + _READ_TIMEOUT_S
        while left:
            assert time.monotonic() < deadline, f"partitions {left} of {topic} were not read to their end"
            for message in consumer.consume(10_000, timeout=0.05):
                problem = message.error()
                if problem is not None and not problem.retriable():
                    raise AssertionError(f"the reader met {problem}")
                if problem is not None:
                    continue
                partition, offset = message.partition(), message.offset()
                assert partition is not None
                assert offset is not None
                logs[partition].append((offset, message.value() or b""))
                if offset >= ends[partition] - 1:
                    left.discard(partition)
    finally:
        consumer.close()
    return logs
