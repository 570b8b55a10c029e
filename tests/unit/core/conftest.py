"""A producer against a scripted broker that keeps what it got, or against the C sink that only acknowledges."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from bench.sink import Sink
from kproducer import KafkaError, KafkaProducer
from tests.fakes.scripted_broker import ScriptedBroker
from tests.unit.core.world import MakeProducer


@pytest.fixture
def broker() -> Iterator[ScriptedBroker]:
    """A scripted broker with topic t of three partitions and topic one of a single one."""
    with ScriptedBroker() as broker:
        broker.cluster.create_topic("t", [1, 1, 1])
        broker.cluster.create_topic("one", [1])
        yield broker


@pytest.fixture
def sink() -> Iterator[Sink]:
    """A process that acknowledges records of topic bench, six partitions."""
    with Sink() as sink:
        yield sink


@pytest.fixture
def make() -> Iterator[MakeProducer]:
    """Makes producers, closes them at the end, and looks that no thread of theirs is left."""
    made: list[KafkaProducer] = []

    def make(server: ScriptedBroker | Sink, **config: Any) -> KafkaProducer:
        address = server.bootstrap_servers if isinstance(server, Sink) else str(server.address)
        producer = KafkaProducer(bootstrap_servers=address, **config)
        made.append(producer)
        return producer

    yield make
    for producer in made:
        try:
            producer.close(0)
        except KafkaError:
            pass  # what the test left undelivered
    left = [thread.name for thread in threading.enumerate() if thread.name.startswith("kproducer-")]
    assert not left, f"threads of closed producers: {left}"


@pytest.fixture
def producer(make: MakeProducer, broker: ScriptedBroker) -> KafkaProducer:
    """A producer with defaults, connected to the scripted broker."""
    return make(broker)
