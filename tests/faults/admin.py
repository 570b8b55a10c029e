"""What an operator does to a real cluster: leaders moved, topics grown and remade, records cut off, quotas set."""

from __future__ import annotations

import contextlib
import socket
import struct
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import confluent_kafka
from confluent_kafka.admin import AclBinding, AclBindingFilter, AdminClient, NewPartitions
from kafka import KafkaAdminClient, TopicPartition

from kproducer.testing import KafkaCluster

_WAIT_S: Final = 30.0
_ALTER_CLIENT_QUOTAS: Final = 49


def wait_until(is_so: Callable[[], bool], what: str, timeout_s: float = _WAIT_S) -> None:
    """Poll; AssertionError if it has not come true in time."""
    deadline = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def _ask(cluster: KafkaCluster, call: Callable[[AdminClient], Mapping[Any, Any]]) -> None:
    """Make one request of librdkafka's admin client and wait for all its results."""
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap_servers, "log_level": 0})
    for future in call(admin).values():  # which end when the client is collected
        future.result(_WAIT_S)


@contextlib.contextmanager
def _kafka_python(cluster: KafkaCluster) -> Iterator[KafkaAdminClient]:
    admin = KafkaAdminClient(bootstrap_servers=cluster.bootstrap_servers.split(","))
    try:
        yield admin
    finally:
        admin.close()


class LeaderMover:
    """Moves the leaders of a topic with three replicas to the next broker, without harm, again and again."""

    def __init__(self, cluster: KafkaCluster, topic: str, partitions: int) -> None:
        self._cluster = cluster
        self._topic = topic
        self._partitions = partitions
        self._turn = 0

    def move(self) -> None:
        """Make another replica the preferred one of each partition (reassignment), and elect it."""
        self._turn += 1
        ids = [node.id for node in self._cluster.nodes]
        orders = {
            TopicPartition(self._topic, p): [ids[(p + self._turn + n) % 3] for n in range(3)]
            for p in range(self._partitions)
        }
        with _kafka_python(self._cluster) as admin:
            admin.alter_partition_reassignments(orders)
        wait_until(lambda: self._elect(orders), "the preferred replicas were not elected")

    def _elect(self, orders: Mapping[TopicPartition, list[int]]) -> bool:
        places = [confluent_kafka.TopicPartition(tp.topic, tp.partition) for tp in orders]
        admin = AdminClient({"bootstrap.servers": self._cluster.bootstrap_servers, "log_level": 0})
        admin.elect_leaders(confluent_kafka.ElectionType.PREFERRED, places).result(_WAIT_S)
        leaders = {tp: self._cluster.leader(self._topic, tp.partition).id for tp in orders}
        return all(leaders[tp] == order[0] for tp, order in orders.items())


def add_partitions(cluster: KafkaCluster, topic: str, total: int) -> None:
    """Let a topic have more partitions."""
    _ask(cluster, lambda admin: admin.create_partitions([NewPartitions(topic, total)]))


def delete_topic(cluster: KafkaCluster, topic: str) -> None:
    """Delete a topic, and wait until every broker has forgotten it."""
    _ask(cluster, lambda admin: admin.delete_topics([topic]))

    def is_gone() -> bool:
        states = [node.ask(topic) for node in cluster.nodes]
        return all(state is not None and not state.topics[topic].leaders for state in states)

    wait_until(is_gone, f"{topic} is still there")


def delete_records(cluster: KafkaCluster, topic: str, partition: int, before_offset: int) -> None:
    """Cut the log off below an offset."""
    with _kafka_python(cluster) as admin:
        admin.delete_records({TopicPartition(topic, partition): before_offset})


def set_producer_quota(cluster: KafkaCluster, client_id: str, bytes_per_s: float | None) -> None:
    """Limit what a client may produce on each broker; None: no limit. AlterClientQuotas v0 over a bare socket."""
    remove = bytes_per_s is None
    entity = struct.pack(">i", 1) + _string("client-id") + _string(client_id)
    change = (
        struct.pack(">i", 1) + _string("producer_byte_rate") + struct.pack(">d?", bytes_per_s or 0.0, remove)
    )
    body = struct.pack(">i", 1) + entity + change + b"\0"
    request = struct.pack(">hhi", _ALTER_CLIENT_QUOTAS, 0, 1) + _string("faults") + body
    with socket.create_connection(("127.0.0.1", cluster.nodes[0].port), 10) as connection:
        connection.sendall(struct.pack(">i", len(request)) + request)
        answer = connection.makefile("rb")
        (size,) = struct.unpack(">i", answer.read(4))
        _, _, count, code = struct.unpack_from(">iiih", answer.read(size))
    assert (count, code) == (1, 0), f"AlterClientQuotas was answered with code {code}"


def _string(text: str) -> bytes:
    data = text.encode()
    return struct.pack(">h", len(data)) + data


@contextlib.contextmanager
def acls_of(cluster: KafkaCluster, binding: AclBinding, same: AclBindingFilter) -> Iterator[None]:
    """Let an access right hold for the time of the block."""
    _ask(cluster, lambda admin: admin.create_acls([binding]))
    try:
        yield
    finally:
        _ask(cluster, lambda admin: admin.delete_acls([same]))
