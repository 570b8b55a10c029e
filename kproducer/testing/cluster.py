"""A real Apache Kafka cluster on this machine, for tests and demonstrations."""

from __future__ import annotations

import atexit
import base64
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from kproducer.testing.errors import ClusterError
from kproducer.testing.guard import ProcessGuard
from kproducer.testing.jars import Progress, install_kafka, print_to_stderr
from kproducer.testing.node import KafkaNode, NodeFiles
from kproducer.testing.ports import find_free_ports
from kproducer.testing.probe import request_topic
from kproducer.testing.properties import PropertyValue, property_text, render, server_properties
from kproducer.testing.versions import DEFAULT_VERSION, parse_version, why_metadata_is_lost

_MAX_BROKERS = 9
_POLL_S = 0.02
_TOPIC_TIMEOUT_S = 30.0
# The controller may be in the middle of an election, or the brokers may not have registered yet.
_RETRIABLE_CREATION_CODES = frozenset({7, 8, 15, 38, 41})
_INVALID_REPLICATION_FACTOR = 38
_TOPIC_ALREADY_EXISTS = 36


class KafkaCluster:
    """Real Apache Kafka (KRaft, 127.0.0.1 only) with `brokers` nodes (default 1), a context manager.

    `version` (default "4.4.0", oldest "2.8.0") is downloaded once; `properties` are added to each node's
    `server.properties`; `features` are levels other than the version's own, such as `{"transaction.version": 1}`
    for 4.0 and newer; `progress` gets lines of text while it downloads (default: they go to stderr);
    `start_timeout_s` (default 60 s) bounds the wait for a node. Nothing outlives the process that starts it.
    Raises ValueError for a wrong argument; `start()` raises MissingExtraError without the extra `local`.
    """

    def __init__(
        self,
        brokers: int = 1,
        version: str = DEFAULT_VERSION,
        properties: Mapping[str, PropertyValue] | None = None,
        *,
        features: Mapping[str, int] | None = None,
        progress: Progress = print_to_stderr,
        start_timeout_s: float = 60.0,
    ) -> None:
        if not 1 <= brokers <= _MAX_BROKERS:
            raise ValueError(f"brokers is {brokers}; allowed are 1 to {_MAX_BROKERS}")
        if brokers > 1 and (reason := why_metadata_is_lost(version)):
            raise ValueError(reason)
        self._version = parse_version(version)
        self.version = version
        self._brokers = brokers
        self._properties = dict(properties or {})
        self._features = dict(features or {})
        self._progress = progress
        self._start_timeout_s = start_timeout_s
        self._nodes: tuple[KafkaNode, ...] = ()
        self._folder: Path | None = None
        self._guard: ProcessGuard | None = None
        self._owner_pid = 0

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def nodes(self) -> tuple[KafkaNode, ...]:
        """The nodes in the order of their ids, 1 first; ClusterError while the cluster is not started."""
        if not self._nodes:
            raise ClusterError("the Kafka cluster is not started")
        return self._nodes

    @property
    def bootstrap_servers(self) -> str:
        """`host:port,...` of all nodes; ClusterError while the cluster is not started."""
        return ",".join(node.address for node in self.nodes)

    def start(self) -> Self:
        """Start all nodes and wait until each of them knows all the others; does nothing if it is started."""
        if self._guard is not None:
            return self
        if os.name != "posix":
            raise ClusterError("KafkaCluster needs process groups and signals: Linux or macOS")
        installation = install_kafka(self.version, self._progress)
        self._owner_pid = os.getpid()
        atexit.register(self.stop)
        try:
            self._folder = Path(tempfile.mkdtemp(prefix="kproducer-kafka-"))
            self._guard = ProcessGuard(self._folder)
            ports = find_free_ports(2 * self._brokers)
            self._nodes = tuple(
                KafkaNode(
                    node_id,
                    ports[node_id - 1],
                    self._write_files(self._folder, node_id, ports),
                    installation,
                    self._guard,
                    self._start_timeout_s,
                )
                for node_id in range(1, self._brokers + 1)
            )
            self._format_and_launch()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Kill all nodes and remove their data; does nothing if the cluster is not started."""
        if self._owner_pid != os.getpid():  # a forked child must not stop its parent's brokers
            return
        atexit.unregister(self.stop)
        for node in self._nodes:
            node.kill()
        if self._guard is not None:
            self._guard.close()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        self._nodes, self._guard, self._folder = (), None, None

    def create_topic(
        self,
        name: str,
        partitions: int = 1,
        replication: int | None = None,
        config: Mapping[str, PropertyValue] | None = None,
    ) -> None:
        """Create a topic and wait until every running node knows a leader for each partition.

        `partitions` defaults to 1, `replication` to 3 or to the number of brokers if that is less; `config`
        holds topic properties. Raises ClusterError if the topic exists, Kafka refuses it, or 30 s are over.
        """
        replication = min(3, self._brokers) if replication is None else replication
        texts = {key: property_text(value) for key, value in (config or {}).items()}
        deadline = time.monotonic() + _TOPIC_TIMEOUT_S
        self._request_topic(name, partitions, replication, texts, deadline)
        while not self._is_known_everywhere(name, partitions):
            if time.monotonic() > deadline:
                raise ClusterError(f"topic {name!r} has no leaders after {_TOPIC_TIMEOUT_S:g} s")
            time.sleep(_POLL_S)

    def leader(self, topic: str, partition: int = 0) -> KafkaNode:
        """The running node that leads a partition (default 0), waited for up to 30 s; then ClusterError."""
        deadline = time.monotonic() + _TOPIC_TIMEOUT_S
        while (found := self._leader_now(topic, partition)) is None:
            if time.monotonic() > deadline:
                raise ClusterError(f"partition {partition} of topic {topic!r} has no leader")
            time.sleep(_POLL_S)
        return found

    def _leader_now(self, topic: str, partition: int) -> KafkaNode | None:
        for node in self.nodes:
            state = node.ask(topic)
            leader_id = -1 if state is None else state.topics[topic].leaders.get(partition, -1)
            if leader_id > 0 and self.nodes[leader_id - 1].is_running:
                return self.nodes[leader_id - 1]
        return None

    def _write_files(self, folder: Path, node_id: int, ports: list[int]) -> NodeFiles:
        files = NodeFiles(folder / f"node-{node_id}")
        files.folder.mkdir()
        properties = server_properties(
            self._version,
            node_id,
            ports[node_id - 1],
            ports[self._brokers :],
            files.log_dir,
            self._properties,
        )
        files.properties.write_text(render(properties))
        return files

    def _format_and_launch(self) -> None:
        cluster_id = _new_cluster_id()
        tools = [(node, node.begin_format(cluster_id, self._features)) for node in self._nodes]
        try:
            for node, tool in tools:
                node.finish_format(tool)
        finally:
            for _, tool in tools:
                tool.kill()
                tool.wait()
        for node in self._nodes:
            node.launch()
        for node in self._nodes:
            node.wait_until_ready(self._brokers)

    def _request_topic(
        self, name: str, partitions: int, replication: int, config: Mapping[str, str], deadline: float
    ) -> None:
        """Try the running nodes in turn until the controller has answered with something final."""
        is_repeated = False
        problem = "no node runs"
        while time.monotonic() < deadline:
            for node in self.nodes:
                if not node.is_running:
                    continue
                try:
                    code, message = request_topic(node.port, name, partitions, replication, config)
                except OSError as error:
                    # Whether it was created is unknown now, so "already exists" is no longer an error.
                    is_repeated, problem = True, f"node {node.id}: {error}"
                    continue
                if code == 0 or (code == _TOPIC_ALREADY_EXISTS and is_repeated):
                    return
                problem = f"{message or 'no message'} (error code {code})"
                is_hopeless = code == _INVALID_REPLICATION_FACTOR and replication > self._brokers
                if code not in _RETRIABLE_CREATION_CODES or is_hopeless:
                    raise ClusterError(f"Kafka refused the topic {name!r}: {problem}")
            time.sleep(_POLL_S)
        raise ClusterError(f"topic {name!r} was not created in {_TOPIC_TIMEOUT_S:g} s: {problem}")

    def _is_known_everywhere(self, topic: str, partitions: int) -> bool:
        """Ask all nodes that answer; a paused or killed one must not hold up the test that paused it."""
        states = [state for node in self.nodes if (state := node.ask(topic)) is not None]
        return bool(states) and all(state.topics[topic].has_leaders(partitions) for state in states)


def _new_cluster_id() -> str:
    """16 random bytes as Kafka writes them; the storage tool would take a leading dash for an option."""
    while (found := base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()).startswith("-"):
        pass
    return found
