"""Where the clients send to: the sink, or a real broker; both can tell how many records they took."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol

from bench.peers.clients.replay import ReplayClient
from bench.peers.job import Job
from bench.peers.payload import make_pool, topic_names
from bench.peers.wire import Connection, end_offsets, wait_for_topic
from bench.sink import Sink, Stamp

TOPIC = "bench"
PARTITIONS = 6
KAFKA_VERSION = "4.4.0"
WARM_UP_RECORDS = 1_000_000

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
    partitions: int

    def begin(self) -> None:
        """Start counting."""

    def received(self) -> int:
        """Return the records that were taken since `begin()`."""

    def complaint(self) -> str | None:
        """Return what was wrong with what arrived since `begin()`, None for nothing."""

    def figures(self) -> dict[str, float]:
        """Return what the server itself measured since `begin()`, by name; empty where it cannot tell."""

    def stamps(self) -> list[Stamp]:
        """Return when each request arrived since `begin()`; empty where it cannot tell."""


class SinkTarget:
    """The sink: counts from the batch headers."""

    def __init__(self, sink: Sink, partitions: int = PARTITIONS) -> None:
        self.bootstrap_servers = sink.bootstrap_servers
        self.partitions = partitions
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

    def figures(self) -> dict[str, float]:
        stats = self._sink.stats()
        if stats.records == 0:
            return {}
        return {
            "server_cpu": stats.cpu_s * 1e6 / stats.records,
            "record_bytes": stats.bytes / stats.records,
            "batch_records": stats.records / stats.batches,
        }

    def stamps(self) -> list[Stamp]:
        return self._sink.stamps()


class KafkaTarget:
    """A real broker: counts by the end offsets of the topic."""

    partitions = PARTITIONS

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

    def figures(self) -> dict[str, float]:
        return {}

    def stamps(self) -> list[Stamp]:
        return []


def _warm_up(target: KafkaTarget) -> None:
    """Let a broker's JVM compile its hot paths: a replay that nobody counts."""
    job = Job("replay", bootstrap_servers=target.bootstrap_servers, partitions=target.partitions)
    client = ReplayClient(job, make_pool(job.size))
    client.send_all([b""] * WARM_UP_RECORDS)
    client.flush()
    client.close()


@dataclass(frozen=True)
class SinkPlace:
    """A sink of its own, with these topics and ways."""

    topics: int = 1
    partitions: int = PARTITIONS
    stamp: bool = False
    delay_ms: float = 0

    @contextmanager
    def open(self) -> Iterator[Target]:
        """Run the sink while the block runs."""
        names = topic_names(self.topics)
        with Sink(names, partitions=self.partitions, stamp=self.stamp, delay_ms=self.delay_ms) as sink:
            yield SinkTarget(sink, self.partitions)


@dataclass(frozen=True)
class KafkaPlace:
    """One real broker with one topic of six partitions."""

    version: str = KAFKA_VERSION

    @contextmanager
    def open(self) -> Iterator[Target]:
        """Run the broker while the block runs.

        Raises:
            ImportError: kproducer or its extra `local` is not installed.
        """
        testing: Any = import_module("kproducer.testing")
        with testing.KafkaCluster(brokers=1, version=self.version, properties=KAFKA_PROPERTIES) as cluster:
            cluster.create_topic(TOPIC, PARTITIONS, replication=1)
            target = KafkaTarget(cluster.bootstrap_servers)
            _warm_up(target)
            yield target


Place = SinkPlace | KafkaPlace
TARGETS: dict[str, Place] = {"sink": SinkPlace(), "kafka": KafkaPlace()}
