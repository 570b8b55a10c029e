"""Where the clients send to: the sink, or a real broker; both can tell how many records they took."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any, Protocol

from bench.peers.wire import Connection, end_offsets, wait_for_topic
from bench.sink import Sink

TOPIC = "bench"
PARTITIONS = 6
KAFKA_VERSION = "4.4.0"

# Minutes of benchmarking fill gigabytes; nothing is read back, so old segments may go at once.
KAFKA_PROPERTIES = {
    "log.segment.bytes": "67108864",
    "log.retention.bytes": "134217728",
    "log.retention.check.interval.ms": "2000",
    "log.segment.delete.delay.ms": "1000",
}


class Target(Protocol):
    """A running server with the topic `bench`."""

    bootstrap_servers: str

    def begin(self) -> None:
        """Start counting."""

    def received(self) -> int:
        """Return the records that were taken since `begin()`."""

    def complaint(self) -> str | None:
        """Return what was wrong with what arrived since `begin()`, None for nothing."""

    def cpu_s(self) -> float | None:
        """Return the CPU seconds of the server since `begin()`, None where it cannot tell."""


class SinkTarget:
    """The sink: counts from the batch headers."""

    def __init__(self, sink: Sink) -> None:
        self.bootstrap_servers = sink.bootstrap_servers
        self._sink = sink

    def begin(self) -> None:
        self._sink.reset()

    def received(self) -> int:
        return self._sink.stats().records

    def complaint(self) -> str | None:
        stats = self._sink.stats()
        wrong = {"bad": stats.bad, "sequence_errors": stats.sequence_errors, "malformed": stats.malformed}
        found = [f"{name}={count}" for name, count in wrong.items() if count]
        return "the sink found " + ", ".join(found) if found else None

    def cpu_s(self) -> float | None:
        return self._sink.stats().cpu_s


class KafkaTarget:
    """A real broker: counts by the end offsets of the topic."""

    def __init__(self, bootstrap_servers: str) -> None:
        self.bootstrap_servers = bootstrap_servers
        self._start = 0
        with Connection(bootstrap_servers) as connection:
            wait_for_topic(connection, TOPIC, PARTITIONS)

    def _total(self) -> int:
        with Connection(self.bootstrap_servers) as connection:
            return sum(end_offsets(connection, TOPIC, PARTITIONS))

    def begin(self) -> None:
        self._start = self._total()

    def received(self) -> int:
        return self._total() - self._start

    def complaint(self) -> str | None:
        return None

    def cpu_s(self) -> float | None:
        return None


@contextmanager
def open_sink() -> Iterator[Target]:
    """Run the sink while the block runs."""
    with Sink([TOPIC], partitions=PARTITIONS) as sink:
        yield SinkTarget(sink)


@contextmanager
def open_kafka() -> Iterator[Target]:
    """Run one real broker while the block runs.

    Raises:
        ImportError: kproducer or its extra `local` is not installed.
    """
    testing: Any = import_module("kproducer.testing")
    with testing.KafkaCluster(brokers=1, version=KAFKA_VERSION, properties=KAFKA_PROPERTIES) as cluster:
        cluster.create_topic(TOPIC, PARTITIONS, replication=1)
        yield KafkaTarget(cluster.bootstrap_servers)


TARGETS = {"sink": open_sink, "kafka": open_kafka}
