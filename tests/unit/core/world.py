"""What the tests of the core share: looks into a scripted broker, answers that fail, signals in time."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from kproducer import KafkaProducer
from kproducer.protocol.messages.produce import (
    PRODUCE,
    PartitionProduceResponse,
    ProduceResponse,
    TopicProduceResponse,
)
from tests.fakes.scripted_broker import Handler, Received, ScriptedBroker, Silent
from tests.wire.decoder import DecodedRecord, decode_batch

MakeProducer: TypeAlias = Callable[..., KafkaProducer]

FATAL_TO_A_BATCH = 87  # INVALID_RECORD: not retriable, and no reason to ask for another epoch


def batches_of(broker: ScriptedBroker, topic: str = "t", partition: int = 0) -> list[bytes]:
    """The raw batches of a partition, in order."""
    with broker.cluster.lock:
        return list(broker.cluster.topics[topic].batches[partition])


def records_of(broker: ScriptedBroker, topic: str = "t", partition: int | None = None) -> list[DecodedRecord]:
    """The records of a partition, or of all partitions one after another."""
    count = len(broker.cluster.topics[topic].leaders)
    wanted = range(count) if partition is None else [partition]
    return [
        record
        for p in wanted
        for batch in batches_of(broker, topic, p)
        for record in decode_batch(batch).records
    ]


def values_of(broker: ScriptedBroker, topic: str = "t", partition: int | None = None) -> list[bytes | None]:
    """The values of `records_of`."""
    return [record.value for record in records_of(broker, topic, partition)]


def refuse(code: int = FATAL_TO_A_BATCH) -> Handler:
    """A handler that refuses every batch with an error code."""

    def handler(request: Received) -> ProduceResponse:
        return ProduceResponse(
            responses=tuple(
                TopicProduceResponse(
                    name=topic.name,
                    topic_id=topic.topic_id,
                    partition_responses=tuple(
                        PartitionProduceResponse(index=data.index, error_code=code, base_offset=-1)
                        for data in topic.partition_data
                    ),
                )
                for topic in request.body.topic_data
            )
        )

    return handler


@dataclass
class Gate:
    """Holds the answers to Produce back until it is opened."""

    opened: threading.Event = field(default_factory=threading.Event)

    def open(self) -> None:
        """Let all answers go, those to come too."""
        self.opened.set()


@contextmanager
def gated(broker: ScriptedBroker) -> Iterator[Gate]:
    """Answer no Produce before the gate is opened; opens it at the end."""
    gate = Gate()
    answer = broker.default(PRODUCE)

    def handler(request: Received) -> Any:
        gate.opened.wait(20)
        return answer(request)

    broker.on(PRODUCE, handler)
    try:
        yield gate
    finally:
        gate.open()
        broker.on(PRODUCE, answer)


@contextmanager
def failing(broker: ScriptedBroker, code: int = FATAL_TO_A_BATCH) -> Iterator[None]:
    """Refuse every batch."""
    answer = broker.default(PRODUCE)
    broker.on(PRODUCE, refuse(code))
    try:
        yield
    finally:
        broker.on(PRODUCE, answer)


def silence(broker: ScriptedBroker) -> None:
    """Never answer a Produce again."""
    broker.on(PRODUCE, lambda request: Silent())


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """Stop a process with SIGSTOP for a while."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@contextmanager
def interrupted(after_s: float) -> Iterator[list[float]]:
    """Send SIGINT to the main thread after a while; the list gets the time when it was sent."""
    sent: list[float] = []

    def interrupt() -> None:
        sent.append(time.monotonic())
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    timer = threading.Timer(after_s, interrupt)
    timer.start()
    try:
        yield sent
    finally:
        timer.cancel()
        timer.join()


def counters(producer: KafkaProducer) -> dict[str, int]:
    """The C counters of a producer."""
    return producer._runtime.pump.counters()


def open_descriptors() -> int:
    """How many descriptors this process has."""
    return len(list(Path("/proc/self/fd").iterdir()))


def wait_until(condition: Callable[[], bool], what: str, timeout_s: float = 10.0) -> None:
    """Wait until a condition holds that no event tells of."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {what}"
        time.sleep(0.002)
