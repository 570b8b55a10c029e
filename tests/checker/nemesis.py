"""Kills or pauses any broker, again and again, and says when the cluster was whole again."""

from __future__ import annotations

import random
import socket
import struct
import time
from collections.abc import Sequence
from typing import Final

from kproducer.protocol.messages.metadata import (
    METADATA,
    MetadataRequest,
    MetadataRequestTopic,
    MetadataResponse,
)
from kproducer.testing import KafkaCluster, KafkaNode
from tests.checker.history import History, Strike
from tests.faults.nemesis import Deed, Fault, Nemesis

_METADATA_VERSION: Final = 4  # not flexible; from 2.8 to 4.x
_POLL_S: Final = 0.1
_WHOLE_TIMEOUT_S: Final = 90.0
_QUIET_S: Final = 5.5  # after a healing: the recovery within 5 s is measured before the next fault


class AnyBroker(Nemesis):
    """Strikes a random broker 5 to 15 s after the last strike, but not before the last one had 5.5 s to recover.

    Args:
        cluster: to break; all brokers run again after `stop()`.
        history: gets the strikes.
        topics: whose replicas must all be in sync for the cluster to be whole.
        seed: of the schedule.
        pause_s: least and greatest time between two strikes, default 5 to 15 s.
        down_s: least and greatest time that a broker is killed or paused, default 2 to 6 s.
    """

    def __init__(
        self,
        cluster: KafkaCluster,
        history: History,
        topics: Sequence[str],
        *,
        seed: int,
        pause_s: tuple[float, float] = (5, 15),
        down_s: tuple[float, float] = (2, 6),
    ) -> None:
        super().__init__(cluster, topics[0], 1, seed=seed, pause_s=pause_s, freeze_s=down_s)
        self._history = history
        self._topics = topics

    def _run(self) -> None:
        try:
            pause_s = self._random.uniform(*self._pause_s)
            while not self._is_stopping.wait(pause_s):
                began = time.monotonic()
                self._strike_any(self._random)
                due = began + self._random.uniform(*self._pause_s)
                pause_s = max(_QUIET_S, due - time.monotonic())
        except Exception as error:  # noqa: BLE001  # raised by stop()
            self.error = error

    def _strike_any(self, choose: random.Random) -> None:
        fault, node = choose.choice(self._kinds), choose.choice(self._cluster.nodes)
        down_s = choose.uniform(*self._freeze_s)
        began = time.monotonic()
        _hit(node, fault, down_s)
        undone = time.monotonic()
        wait_until_whole(self._cluster, self._topics)
        healed = time.monotonic()
        self.deeds.append(Deed(fault, node.id, began, healed))
        times = (int((at - self._history.started) * 1000) for at in (began, undone, healed))
        self._history.strikes.append(Strike(fault.name.lower(), node.id, *times))


def _hit(node: KafkaNode, fault: Fault, down_s: float) -> None:
    if fault is Fault.KILL:
        node.kill()
        time.sleep(down_s)
        node.restart()
        return
    node.pause()
    try:
        time.sleep(down_s)
    finally:
        node.resume()


def wait_until_whole(cluster: KafkaCluster, topics: Sequence[str]) -> None:
    """Wait until every broker says that all brokers are there and all replicas of these topics in sync.

    Raises:
        AssertionError: that took longer than 90 s.
    """
    deadline = time.monotonic() + _WHOLE_TIMEOUT_S
    while not all(_sees_all(node, len(cluster.nodes), topics) for node in cluster.nodes):
        assert time.monotonic() < deadline, "the cluster is not whole again"
        time.sleep(_POLL_S)


def _sees_all(node: KafkaNode, brokers: int, topics: Sequence[str]) -> bool:
    try:
        told = _ask(node.port, topics)
    except OSError:
        return False
    partitions = [partition for topic in told.topics for partition in topic.partitions]
    return len(told.brokers) == brokers and all(
        partition.leader_id >= 0 and len(partition.isr_nodes) == len(partition.replica_nodes)
        for partition in partitions
    )


def _ask(port: int, topics: Sequence[str]) -> MetadataResponse:
    asked = tuple(MetadataRequestTopic(name=topic) for topic in topics)
    request = MetadataRequest(topics=asked, allow_auto_topic_creation=False)
    with (
        socket.create_connection(("127.0.0.1", port), timeout=1) as connection,
        connection.makefile("rb") as answers,
    ):
        connection.sendall(
            METADATA.encode_request(request, _METADATA_VERSION, correlation_id=1, client_id="nemesis")
        )
        size = answers.read(4)
        if len(size) < 4:
            raise ConnectionError("closed")
        (length,) = struct.unpack(">i", size)
        frame = answers.read(length)
        if len(frame) < length:
            raise ConnectionError("closed")
    return METADATA.decode_response(frame, _METADATA_VERSION)[1]
