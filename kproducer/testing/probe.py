"""Three Kafka requests over a bare socket, so that a cluster can be watched without any client library.

ApiVersions v0, Metadata v4 and CreateTopics v4 are accepted from 2.8 to 4.x, and none is flexible (KIP-482).
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from kproducer.testing.errors import ClusterError

_METADATA = (3, 4)
_API_VERSIONS = (18, 0)
_CREATE_TOPICS = (19, 4)
_MAX_ANSWER_BYTES = 16 << 20

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class TopicState:
    """One topic of a Metadata answer: its error code and the leader's node id by partition, -1 for none."""

    error_code: int
    leaders: Mapping[int, int] = field(default_factory=dict)

    def has_leaders(self, partitions: int) -> bool:
        """True if exactly this many partitions are known and each has a leader."""
        return self.error_code == 0 and len(self.leaders) == partitions and min(self.leaders.values()) >= 0


@dataclass(frozen=True, slots=True)
class ClusterState:
    """What one broker knows: ids of the live brokers, id of the controller, and the topics asked for."""

    brokers: frozenset[int]
    controller: int
    topics: Mapping[str, TopicState]


def fetch_api_versions(port: int, timeout_s: float = 1.0) -> dict[int, tuple[int, int]]:
    """Ask a broker on 127.0.0.1 for the version range of each API key; OSError without an answer in time."""
    answer = _call(port, _API_VERSIONS, b"", timeout_s)
    error_code = answer.int16()
    if error_code:
        raise ClusterError(f"broker on port {port} refused ApiVersions with error code {error_code}")
    return dict(answer.array(lambda a: (a.int16(), (a.int16(), a.int16()))))


def fetch_metadata(port: int, topics: tuple[str, ...] = (), timeout_s: float = 1.0) -> ClusterState:
    """Ask a broker on 127.0.0.1 for the cluster and some topics; OSError if it does not answer in time."""
    body = struct.pack(">i", len(topics)) + b"".join(map(_string, topics)) + b"\0"  # 0: create nothing
    answer = _call(port, _METADATA, body, timeout_s)
    answer.int32()  # throttle time
    brokers = answer.array(_broker_id)
    answer.string()  # cluster id
    controller = answer.int32()
    return ClusterState(frozenset(brokers), controller, dict(answer.array(_topic)))


def request_topic(
    port: int,
    name: str,
    partitions: int,
    replication: int,
    config: Mapping[str, str],
    timeout_s: float = 10.0,
) -> tuple[int, str]:
    """Ask a broker on 127.0.0.1 to create a topic; returns its error code (0 for success) and message."""
    configs = b"".join(_string(key) + _string(value) for key, value in config.items())
    topic = _string(name) + struct.pack(">ihii", partitions, replication, 0, len(config)) + configs
    body = struct.pack(">i", 1) + topic + struct.pack(">i?", int(timeout_s * 1000), False)
    answer = _call(port, _CREATE_TOPICS, body, timeout_s)
    answer.int32()  # throttle time
    [(error_code, message)] = answer.array(_creation)
    return error_code, message


def _call(port: int, api: tuple[int, int], body: bytes, timeout_s: float) -> _Answer:
    """Send one request with correlation id 1 on a connection of its own."""
    request = struct.pack(">hhi", *api, 1) + _string("kproducer-testing") + body
    with socket.create_connection(("127.0.0.1", port), timeout_s) as connection:
        connection.sendall(struct.pack(">i", len(request)) + request)
        (size,) = struct.unpack(">i", _receive(connection, 4))
        if not 4 <= size <= _MAX_ANSWER_BYTES:
            raise ConnectionError(f"port {port} answered {size} bytes, which no Kafka broker does")
        answer = _Answer(_receive(connection, size))
    if answer.int32() != 1:
        raise ConnectionError(f"port {port} answered another request")
    return answer


def _receive(connection: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        chunk = connection.recv(size - len(data))
        if not chunk:
            raise ConnectionError("the broker closed the connection")
        data += chunk
    return bytes(data)


def _string(text: str) -> bytes:
    data = text.encode()
    return struct.pack(">h", len(data)) + data


class _Answer:
    """Reads the fields of an answer one after the other."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    def int32(self) -> int:
        return self._number(">i", 4)

    def int16(self) -> int:
        return self._number(">h", 2)

    def boolean(self) -> bool:
        return bool(self._number(">b", 1))

    def string(self) -> str:
        return self._take(max(self.int16(), 0)).decode()

    def array(self, read: Callable[[_Answer], _T]) -> list[_T]:
        return [read(self) for _ in range(self.int32())]

    def _number(self, layout: str, size: int) -> int:
        number: int = struct.unpack(layout, self._take(size))[0]
        return number

    def _take(self, size: int) -> bytes:
        end = self._position + size
        if end > len(self._data):
            raise ConnectionError("the broker's answer is cut short")
        taken, self._position = self._data[self._position : end], end
        return taken


def _broker_id(answer: _Answer) -> int:
    node_id = answer.int32()
    answer.string(), answer.int32(), answer.string()  # host, port, rack
    return node_id


def _topic(answer: _Answer) -> tuple[str, TopicState]:
    error_code, name = answer.int16(), answer.string()
    answer.boolean()  # is internal
    return name, TopicState(error_code, dict(answer.array(_partition_leader)))


def _partition_leader(answer: _Answer) -> tuple[int, int]:
    answer.int16()  # error code: a missing leader is -1 as well
    partition, leader = answer.int32(), answer.int32()
    answer.array(_Answer.int32), answer.array(_Answer.int32)  # replicas, in-sync replicas
    return partition, leader


def _creation(answer: _Answer) -> tuple[int, str]:
    answer.string()  # name
    return answer.int16(), answer.string()
