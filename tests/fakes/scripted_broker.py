"""A broker that says what a test tells it to: real loopback socket, any version table, any answer.

Without a script it behaves: it keeps the topics of a ScriptedCluster, hands out producer ids and acknowledges
batches. A test puts answers in front of that, once (`push`) or for good (`on`).
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, Final, Self, TypeAlias
from uuid import UUID

from kproducer.config import HostPort
from kproducer.errors import ProtocolError
from kproducer.protocol.api import Api
from kproducer.protocol.frames import FrameSplitter
from kproducer.protocol.headers import read_request_header
from kproducer.protocol.messages.api_versions import API_VERSIONS, ApiVersion, ApiVersionsResponse
from kproducer.protocol.messages.init_producer_id import INIT_PRODUCER_ID, InitProducerIdResponse
from kproducer.protocol.messages.metadata import (
    METADATA,
    MetadataRequest,
    MetadataResponse,
    MetadataResponseBroker,
    MetadataResponsePartition,
    MetadataResponseTopic,
)
from kproducer.protocol.messages.produce import (
    PRODUCE,
    PartitionProduceData,
    PartitionProduceResponse,
    ProduceRequest,
    ProduceResponse,
    TopicProduceData,
    TopicProduceResponse,
)
from kproducer.protocol.primitives import ZERO_UUID, Reader
from kproducer.protocol.versions import SUPPORTED_APIS
from tests.fakes.producer_state import ProducerStates

VersionTable: TypeAlias = Mapping[int, tuple[int, int]]

# Ranges of Produce, Metadata, ApiVersions and InitProducerId by release.
VERSION_TABLES: Final[Mapping[str, VersionTable]] = {
    release: {0: (0, produce), 3: (0, metadata), 18: (0, versions), 22: (0, producer_id)}
    for release, (produce, metadata, versions, producer_id) in {
        "2.1": (7, 7, 2, 1),
        "2.2": (7, 7, 2, 1),
        "2.3": (7, 8, 2, 1),
        "2.4": (8, 9, 3, 2),
        "2.5": (8, 9, 3, 3),
        "2.6": (8, 9, 3, 3),
        "2.7": (8, 9, 3, 4),
        "2.8": (9, 11, 3, 4),
        "3.9": (11, 12, 4, 5),
        "4.0": (12, 13, 4, 5),
        "4.1": (13, 13, 4, 5),
    }.items()
}
NEWEST: Final = "4.1"

_APIS: Final[Mapping[int, Api[Any, Any]]] = {api.key: api for api in SUPPORTED_APIS}
_UNSUPPORTED_VERSION: Final = 35
_UNKNOWN_TOPIC: Final = 3
_UNKNOWN_TOPIC_ID: Final = 100
_RECORD_COUNT_AT: Final = 57
_POLL_S: Final = 0.05


# --- what may be answered -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Body:
    """Raw bytes after a correct size and correlation id; flexible headers get no tag section."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Frame:
    """Raw bytes, size included."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Wrong:
    """A good answer under another correlation id."""

    reply: Any
    correlation_id: int


@dataclass(frozen=True, slots=True)
class Late:
    """An answer after a delay."""

    reply: Any
    delay_ms: float


@dataclass(frozen=True, slots=True)
class Trickled:
    """An answer that comes one byte at a time."""

    reply: Any


class Close:
    """Closes the connection instead of answering."""


class Silent:
    """Never answers."""


@dataclass(frozen=True, slots=True)
class Received:
    """A request; `body` is decoded, None for an API or version that the broker does not know."""

    api_key: int
    api_version: int
    correlation_id: int
    client_id: str | None
    body: Any
    connection: int
    at: float


# A response object of the API, or one of the classes above.
Reply: TypeAlias = Any
Handler: TypeAlias = Callable[[Received], Reply]


# --- the cluster --------------------------------------------------------------------------------------------


@dataclass(slots=True)
class ScriptedTopic:
    """leaders: node id of each partition, -1 for none; batches: what was produced, by partition."""

    name: str
    leaders: list[int]
    epochs: list[int]
    topic_id: UUID
    error_code: int = 0
    batches: dict[int, list[bytes]] = field(default_factory=lambda: defaultdict(list))
    next_offsets: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    producers: dict[int, ProducerStates] = field(default_factory=lambda: defaultdict(ProducerStates))


class ScriptedCluster:
    """What the brokers of one cluster agree on; change it from the test at any time."""

    def __init__(self, cluster_id: str = "scripted") -> None:
        self.cluster_id: str | None = cluster_id
        self.lock = threading.RLock()
        self.brokers: dict[int, HostPort] = {}
        self.topics: dict[str, ScriptedTopic] = {}
        self.next_producer_id = 4000
        self._topic_count = 0

    def create_topic(self, name: str, leaders: list[int]) -> ScriptedTopic:
        """Create the topic, or create it again under another id."""
        with self.lock:
            self._topic_count += 1
            topic = ScriptedTopic(name, list(leaders), [0] * len(leaders), UUID(int=self._topic_count))
            self.topics[name] = topic
            return topic

    def move(self, name: str, partition: int, leader: int) -> None:
        """Give a partition another leader, and the next leader epoch."""
        with self.lock:
            topic = self.topics[name]
            topic.leaders[partition] = leader
            topic.epochs[partition] += 1

    def by_id(self, topic_id: UUID) -> ScriptedTopic | None:
        """Return the topic of this id."""
        return next((topic for topic in self.topics.values() if topic.topic_id == topic_id), None)

    def metadata(self, request: MetadataRequest, version: int) -> MetadataResponse:
        """Return a true answer."""
        with self.lock:
            names = list(self.topics) if request.topics is None else [t.name or "" for t in request.topics]
            brokers = tuple(
                MetadataResponseBroker(node_id=node_id, host=address.host, port=address.port)
                for node_id, address in self.brokers.items()
            )
            return MetadataResponse(
                brokers=brokers,
                cluster_id=self.cluster_id,
                controller_id=next(iter(self.brokers), -1),
                topics=tuple(self._describe(name, version) for name in names),
            )

    def _describe(self, name: str, version: int) -> MetadataResponseTopic:
        topic = self.topics.get(name)
        if topic is None:
            return MetadataResponseTopic(error_code=_UNKNOWN_TOPIC, name=name)
        return MetadataResponseTopic(
            error_code=topic.error_code,
            name=name,
            topic_id=topic.topic_id if version >= 10 else ZERO_UUID,
            partitions=tuple(
                MetadataResponsePartition(
                    error_code=0 if leader >= 0 else 5,
                    partition_index=index,
                    leader_id=leader,
                    leader_epoch=topic.epochs[index],
                    replica_nodes=(max(leader, 0),),
                    isr_nodes=(max(leader, 0),),
                )
                for index, leader in enumerate(topic.leaders)
            ),
        )


# --- the broker ---------------------------------------------------------------------------------------------


class ScriptedBroker:
    """One broker: an accepting thread, and a thread for each connection.

    Args:
        cluster: shared with the other brokers; default: one of its own.
        node_id: of this broker, default 1.
        versions: ranges by API key, default those of the newest Kafka.

    Use it as a context manager. `requests` holds all that was asked, in order of arrival.
    """

    def __init__(
        self,
        cluster: ScriptedCluster | None = None,
        *,
        node_id: int = 1,
        versions: VersionTable = VERSION_TABLES[NEWEST],
    ) -> None:
        self.cluster = cluster or ScriptedCluster()
        self.node_id = node_id
        self.versions = versions
        self.requests: list[Received] = []
        self.connections = 0
        self._scripts: dict[int, deque[Reply]] = defaultdict(deque)
        self._handlers: dict[int, Handler] = {
            API_VERSIONS.key: self._api_versions,
            METADATA.key: self._metadata,
            INIT_PRODUCER_ID.key: self._init_producer_id,
            PRODUCE.key: self._produce,
        }
        self._news = threading.Condition()
        self._open: dict[int, socket.socket] = {}
        self._threads: list[threading.Thread] = []
        self._is_stopping = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(_POLL_S)
        self.address = HostPort(*self._listener.getsockname()[:2])
        self.cluster.brokers[node_id] = self.address

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # --- the script --------------------------------------------------------------------------------------

    def push(self, api: Api[Any, Any], *replies: Reply | Handler) -> None:
        """Answer the next requests of an API with these, one each."""
        with self._news:
            self._scripts[api.key].extend(replies)

    def on(self, api: Api[Any, Any], handler: Handler) -> None:
        """Answer all requests of an API with what the handler returns."""
        with self._news:
            self._handlers[api.key] = handler

    def default(self, api: Api[Any, Any]) -> Handler:
        """Return the handler in use, to build another one on it."""
        return self._handlers[api.key]

    def received(self, api: Api[Any, Any]) -> list[Received]:
        """Return the requests of one API so far."""
        with self._news:
            return [request for request in self.requests if request.api_key == api.key]

    def wait_for(self, api: Api[Any, Any], count: int = 1, timeout_s: float = 5.0) -> list[Received]:
        """Wait until so many requests of an API have arrived, and return them."""
        with self._news:
            self._news.wait_for(lambda: len(self.received(api)) >= count, timeout_s)
            found = self.received(api)
        assert len(found) >= count, f"{len(found)} {api.name} requests came in {timeout_s} s, not {count}"
        return found

    def close_connections(self) -> None:
        """Close all connections; new ones are accepted."""
        with self._news:
            sockets = list(self._open.values())
        for sock in sockets:
            # A plain close() sends no FIN while another thread reads.
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    # --- life --------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to accept."""
        self._spawn(self._accept)

    def stop(self) -> None:
        """Stop listening, close all connections, end all threads."""
        self._is_stopping.set()
        self._listener.close()
        self.close_connections()
        for thread in self._threads:
            thread.join(5)
        alive = [thread.name for thread in self._threads if thread.is_alive()]
        assert not alive, f"scripted broker threads that did not end: {alive}"

    def _spawn(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, name=f"scripted-{self.node_id}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._is_stopping.is_set():
            try:
                sock, _ = self._listener.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._news:
                self.connections += 1
                number = self.connections
                self._open[number] = sock
                self._news.notify_all()
            self._spawn(self._serve, sock, number)

    def _serve(self, sock: socket.socket, number: int) -> None:
        splitter = FrameSplitter(limit=256 * 1024 * 1024)
        sock.settimeout(_POLL_S)
        try:
            while not self._is_stopping.is_set():
                try:
                    data = sock.recv(1 << 16)
                except TimeoutError:
                    continue
                if not data or not all(self._take(sock, number, frame) for frame in splitter.feed(data)):
                    return
        except OSError:
            pass  # the test or the client has closed it
        finally:
            with self._news:
                self._open.pop(number, None)
            sock.close()

    def _take(self, sock: socket.socket, number: int, frame: bytes) -> bool:
        """Answer one request; return whether the connection goes on."""
        request = self._decode(frame, number)
        with self._news:
            self.requests.append(request)
            script = self._scripts[request.api_key]
            step: Any = script.popleft() if script else self._handlers.get(request.api_key, Close())
            self._news.notify_all()
        reply = step(request) if callable(step) and not isinstance(step, type) else step
        return self._send(sock, request, reply)

    def _decode(self, frame: bytes, number: int) -> Received:
        reader = Reader(frame)
        header = read_request_header(reader, _is_flexible)
        api = _APIS.get(header.api_key)
        body = None
        if api is not None and header.api_version in api.versions:
            with contextlib.suppress(ProtocolError):
                body = api.request.read(reader, header.api_version)
        return Received(
            api_key=header.api_key,
            api_version=header.api_version,
            correlation_id=header.correlation_id,
            client_id=header.client_id,
            body=body,
            connection=number,
            at=time.monotonic(),
        )

    def _send(self, sock: socket.socket, request: Received, reply: Reply) -> bool:
        match reply:
            case Close():
                return False
            case Silent() | None:
                return True
            case Late():
                self._is_stopping.wait(reply.delay_ms / 1000)
                return self._send(sock, request, reply.reply)
            case Trickled():
                for byte in self._encode(request, reply.reply):
                    sock.sendall(bytes([byte]))
            case _:
                sock.sendall(self._encode(request, reply))
        return True

    def _encode(self, request: Received, reply: Reply) -> bytes:
        match reply:
            case Frame():
                return reply.data
            case Body():
                return struct.pack(">ii", len(reply.data) + 4, request.correlation_id) + reply.data
            case Wrong():
                return self._encode(replace(request, correlation_id=reply.correlation_id), reply.reply)
        api = _APIS[request.api_key]
        return api.encode_response(reply, request.api_version, correlation_id=request.correlation_id)

    # --- good manners ------------------------------------------------------------------------------------

    def _api_versions(self, request: Received) -> Reply:
        low, high = self.versions.get(API_VERSIONS.key, (0, 0))
        if not low <= request.api_version <= high:
            # KIP-511: version 0 of the answer; brokers before 2.4 leave the list empty.
            known = struct.pack(">hhh", API_VERSIONS.key, low, high) if high >= 3 else b""
            return Body(struct.pack(">hi", _UNSUPPORTED_VERSION, len(known) // 6) + known)
        keys = tuple(
            ApiVersion(api_key=key, min_version=low, max_version=high)
            for key, (low, high) in self.versions.items()
        )
        return ApiVersionsResponse(api_keys=keys)

    def _metadata(self, request: Received) -> Reply:
        return self.cluster.metadata(request.body, request.api_version)

    def _init_producer_id(self, request: Received) -> Reply:
        with self.cluster.lock:
            self.cluster.next_producer_id += 1
            return InitProducerIdResponse(producer_id=self.cluster.next_producer_id, producer_epoch=0)

    def _produce(self, request: Received) -> Reply:
        body: ProduceRequest = request.body
        responses = tuple(self._append_topic(topic, request.api_version) for topic in body.topic_data)
        return Silent() if body.acks == 0 else ProduceResponse(responses=responses)

    def _append_topic(self, data: TopicProduceData, version: int) -> TopicProduceResponse:
        with self.cluster.lock:
            by_id = version >= 13
            topic = self.cluster.by_id(data.topic_id) if by_id else self.cluster.topics.get(data.name)
            missing = _UNKNOWN_TOPIC_ID if by_id else _UNKNOWN_TOPIC
            return TopicProduceResponse(
                name=data.name,
                topic_id=data.topic_id,
                partition_responses=tuple(
                    PartitionProduceResponse(index=part.index, error_code=missing, base_offset=-1)
                    if topic is None
                    else self._append(topic, part)
                    for part in data.partition_data
                ),
            )

    def _append(self, topic: ScriptedTopic, part: PartitionProduceData) -> PartitionProduceResponse:
        if not 0 <= part.index < len(topic.leaders):
            return PartitionProduceResponse(index=part.index, error_code=_UNKNOWN_TOPIC, base_offset=-1)
        if topic.leaders[part.index] != self.node_id:
            return PartitionProduceResponse(index=part.index, error_code=6, base_offset=-1)
        records = part.records or b""
        (count,) = struct.unpack_from(">i", records, _RECORD_COUNT_AT)
        base_offset = topic.next_offsets[part.index]
        code, known_at = topic.producers[part.index].judge(records, base_offset)
        if code:
            return PartitionProduceResponse(index=part.index, error_code=code, base_offset=-1)
        if known_at is not None:
            return PartitionProduceResponse(index=part.index, base_offset=known_at, log_start_offset=0)
        topic.next_offsets[part.index] += count
        topic.batches[part.index].append(records)
        return PartitionProduceResponse(index=part.index, base_offset=base_offset, log_start_offset=0)


def _is_flexible(api_key: int, version: int) -> bool:
    api = _APIS.get(api_key)
    return api is not None and api.request.is_flexible(version)
