"""A Sender in a world without sockets and with a manual clock: transports are lists of bytes."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from kproducer.client.backoff import ExponentialBackoff
from kproducer.client.connection import ConnectionSettings
from kproducer.client.coordinator import CoordinatorFinder
from kproducer.client.delivery import DeliveryPolicy
from kproducer.client.gaps import SequenceGaps
from kproducer.client.idempotence import ProducerIdentity
from kproducer.client.metadata import ClusterView, MetadataPolicy
from kproducer.client.nodes import NodeDirectory
from kproducer.client.transactions import TransactionManager
from kproducer.config import HostPort
from kproducer.engine.link import Wiring
from kproducer.engine.lookup import Resolution
from kproducer.engine.mailbox import Mailbox
from kproducer.engine.sender import Sender
from kproducer.engine.transactor import Transactor
from kproducer.errors import DisconnectError, KafkaError
from kproducer.net.poller import Ready
from kproducer.net.resolver import Endpoint
from kproducer.protocol.frames import FrameSplitter
from kproducer.protocol.headers import read_request_header
from kproducer.protocol.messages.api_versions import (
    API_VERSIONS,
    ApiVersion,
    ApiVersionsResponse,
    FinalizedFeatureKey,
)
from kproducer.protocol.messages.find_coordinator import (
    FIND_COORDINATOR,
    Coordinator,
    CoordinatorType,
    FindCoordinatorResponse,
)
from kproducer.protocol.messages.init_producer_id import INIT_PRODUCER_ID, InitProducerIdResponse
from kproducer.protocol.messages.metadata import (
    METADATA,
    MetadataResponse,
    MetadataResponseBroker,
    MetadataResponsePartition,
    MetadataResponseTopic,
)
from kproducer.protocol.primitives import Reader
from kproducer.protocol.versions import SUPPORTED_APIS
from tests.unit.engine.fake_pump import FakePump
from tests.unit.engine.transaction_replies import REPLIES

APIS = {api.key: api for api in SUPPORTED_APIS}
KEYS = tuple(
    ApiVersion(api_key=key, min_version=0, max_version=high)
    for key, high in ((0, 13), (3, 13), (18, 4), (22, 5))
)
TXN_KEYS = KEYS + tuple(
    ApiVersion(api_key=key, min_version=0, max_version=high)
    for key, high in ((10, 5), (24, 5), (25, 4), (26, 5), (28, 5))
)
SILENT = object()
CLOSE = object()


class Clock:
    """Milliseconds that only a test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class FakeTransport:
    """What a broker would see of a socket, and what it answers."""

    def __init__(self, world: World, endpoint: Endpoint, number: int) -> None:
        self.endpoint = endpoint
        self.number = number
        self.requests: list[Any] = []
        self.is_closed = False
        self.is_detached = False
        self.error: KafkaError | None = world.connect_errors.get(str(endpoint))
        self.never_connects = str(endpoint) in world.black_holes
        self.incoming: deque[bytes | KafkaError] = deque()
        self._world = world
        self._splitter = FrameSplitter()

    def fileno(self) -> int:
        return self.number

    def finish_connect(self) -> None:
        if self.error is not None:
            raise self.error

    def send(self, data: bytes) -> int:
        for frame in self._splitter.feed(data):
            self._take(frame)
        return len(data)

    def receive(self) -> bytes | None:
        if not self.incoming:
            return None
        item = self.incoming.popleft()
        if isinstance(item, KafkaError):
            raise item
        return item

    def detach(self) -> int:
        self.is_detached = True
        return self.number

    def close(self) -> None:
        self.is_closed = True

    def _take(self, frame: bytes) -> None:
        reader = Reader(frame)
        header = read_request_header(reader, lambda key, version: APIS[key].request.is_flexible(version))
        api = APIS[header.api_key]
        request = api.request.read(reader, header.api_version)
        self.requests.append(request)
        self._world.requests.append((api.name, header.api_version, self._world.clock.now, self))
        reply = self._world.reply(api.name, request, header.api_version)
        if reply is CLOSE:
            self.incoming.append(DisconnectError("closed"))
        elif reply is not SILENT:
            data = api.encode_response(reply, header.api_version, correlation_id=header.correlation_id)
            self.incoming.append(data)


class FakePoller:
    """Reports ready transports; with none, moves the clock."""

    def __init__(self, world: World) -> None:
        self.polls = 0
        self.watched: dict[int, tuple[object, bool]] = {}
        self._world = world

    def watch(self, fd: int, owner: object, *, write: bool) -> None:
        self.watched[fd] = (owner, write)

    def forget(self, fd: int) -> None:
        self.watched.pop(fd, None)

    def poll(self, timeout_ms: float) -> list[Ready]:
        self.polls += 1
        ready = [
            Ready(owner, bool(transport.incoming), write)
            for fd, (owner, write) in self.watched.items()
            if (transport := self._world.transports.get(fd)) is not None
            and not transport.never_connects
            and (transport.incoming or write)
        ]
        if not ready:
            self._world.clock.now = min(self._world.clock.now + timeout_ms, self._world.horizon)
        return ready

    def close(self) -> None:
        self.watched.clear()


@dataclass
class FakeLookup:
    """Names to addresses at once, except those that are pending."""

    names: dict[str, list[str]] = field(default_factory=dict)
    slow: set[str] = field(default_factory=set)
    answers: list[Resolution] = field(default_factory=list)

    def ask(self, address: HostPort) -> tuple[Endpoint, ...] | None:
        return None if address.host in self.slow else self.endpoints(address)

    def endpoints(self, address: HostPort) -> tuple[Endpoint, ...]:
        return tuple(
            Endpoint(2, (host, address.port)) for host in self.names.get(address.host, [address.host])
        )

    def take(self) -> list[Resolution]:
        taken, self.answers = self.answers, []
        return taken


class World:
    """Everything around a Sender; `run(until)` moves the time."""

    def __init__(
        self,
        *,
        idempotent: bool = True,
        retries: int = 10,
        can_rebootstrap: bool = True,
        idle_ms: float = 540_000,
        fails_on_gap: bool = False,
        bootstrap: str = "boot",
        transactional_id: str | None = None,
    ) -> None:
        self.clock = Clock()
        self.horizon = math.inf
        self.pump = FakePump()
        self.mailbox = Mailbox()
        self.poller = FakePoller(self)
        self.lookup = FakeLookup()
        self.transports: dict[int, FakeTransport] = {}
        self.requests: list[tuple[str, int, float, FakeTransport]] = []
        self.connect_errors: dict[str, KafkaError] = {}
        self.black_holes: set[str] = set()
        self.scripts: dict[str, deque[Any]] = {api.name: deque() for api in APIS.values()}
        self.brokers = {1: HostPort("one", 9092), 2: HostPort("two", 9092)}
        self.topics: dict[str, MetadataResponseTopic] = {}
        self.api_keys = KEYS if transactional_id is None else TXN_KEYS
        self.transaction_version = 0
        self.features_epoch = 1
        self.coordinators: dict[str, int] = {}  # by key; 1 unless told otherwise
        self.producer_ids = 40
        backoff = ExponentialBackoff(100, 1000)
        jitter = lambda: 0.5  # noqa: E731
        wiring = Wiring(
            self.lookup,  # type: ignore[arg-type]  # stands in for NameLookup
            self._dial,
            self.poller,
            ConnectionSettings("client", "1.0", 30_000, 1 << 24),
        )
        trigger_ms = 300_000 if can_rebootstrap else math.inf
        self.cluster = ClusterView(
            MetadataPolicy(300_000, 600_000, trigger_ms, 60_000, True, backoff), jitter=jitter, now=0
        )
        self.nodes = NodeDirectory(
            [HostPort(bootstrap, 9092)],
            reconnect=ExponentialBackoff(50, 1000),
            setup_timeout=ExponentialBackoff(10_000, 30_000),
            can_rebootstrap=can_rebootstrap,
            jitter=jitter,
        )
        self.transactor = self._make_transactor(transactional_id, wiring, backoff)
        has_own_ids = idempotent and transactional_id is None
        self.identity = ProducerIdentity(is_enabled=has_own_ids, backoff=backoff, jitter=jitter)
        self.gaps = SequenceGaps(is_fatal=fails_on_gap)
        self.sender = Sender(
            self.pump,
            self.mailbox,
            wiring,
            cluster=self.cluster,
            nodes=self.nodes,
            identity=self.identity,
            policy=DeliveryPolicy(retries, backoff),
            clock=self.clock,
            jitter=jitter,
            idle_ms=idle_ms,
            gaps=self.gaps,
            transactor=self.transactor,
        )

    def _make_transactor(
        self, transactional_id: str | None, wiring: Wiring, backoff: ExponentialBackoff
    ) -> Transactor | None:
        if transactional_id is None:
            return None

        def make_finder(group: str | None) -> CoordinatorFinder:
            key_type = CoordinatorType.TRANSACTION if group is None else CoordinatorType.GROUP
            key = transactional_id if group is None else group
            return CoordinatorFinder(key, key_type, backoff=backoff, jitter=lambda: 0.5)

        manager = TransactionManager(transactional_id, 60_000, backoff=backoff, jitter=lambda: 0.5)
        return Transactor(manager, self.pump, wiring, self.nodes, make_finder)

    def close(self) -> None:
        self.sender.close(KafkaError("end of test"))
        self.mailbox.close(KafkaError("end of test"))
        self.pump.close()

    # --- time --------------------------------------------------------------------------------------------

    def run(self, until: float) -> None:
        """Run the loop until the clock shows `until`; fails if the loop does not let time pass."""
        self.horizon = until
        for _ in range(2000):
            self.sender.run_once(self.clock.now)
            if self.clock.now >= until or self.sender.is_stopped:
                return
        raise AssertionError(f"busy loop: the time stays at {self.clock.now}")

    def settle(self) -> None:
        """Run for one millisecond."""
        self.run(self.clock.now + 1)

    # --- the brokers -------------------------------------------------------------------------------------

    def create(self, name: str, *leaders: tuple[int, int], topic_id: int = 1) -> None:
        """Set what metadata says of a topic: (leader, epoch) of each partition."""
        self.topics[name] = MetadataResponseTopic(
            name=name,
            topic_id=UUID(int=topic_id),
            partitions=tuple(
                MetadataResponsePartition(partition_index=index, leader_id=leader, leader_epoch=epoch)
                for index, (leader, epoch) in enumerate(leaders)
            ),
        )

    def reply(self, name: str, request: Any, version: int) -> Any:
        script = self.scripts[name]
        if script:
            return script.popleft()
        if name == API_VERSIONS.name:
            return self.api_versions()
        if name == METADATA.name:
            return self.metadata(request)
        if name == FIND_COORDINATOR.name:
            return self.coordinator(request.coordinator_keys[0])
        if name in REPLIES:
            return REPLIES[name](request, version)
        assert name == INIT_PRODUCER_ID.name
        if request.producer_id >= 0:
            bumped = request.producer_epoch + 1
            return InitProducerIdResponse(producer_id=request.producer_id, producer_epoch=bumped)
        self.producer_ids += 1
        return InitProducerIdResponse(producer_id=self.producer_ids, producer_epoch=0)

    def api_versions(self) -> ApiVersionsResponse:
        level = self.transaction_version
        feature = FinalizedFeatureKey(
            name="transaction.version", max_version_level=level, min_version_level=level
        )
        return ApiVersionsResponse(
            api_keys=self.api_keys,
            finalized_features_epoch=self.features_epoch,
            finalized_features=(feature,),
        )

    def coordinator(self, key: str) -> FindCoordinatorResponse:
        node_id = self.coordinators.get(key, 1)
        address = self.brokers[node_id]
        found = Coordinator(key=key, node_id=node_id, host=address.host, port=address.port)
        return FindCoordinatorResponse(coordinators=(found,))

    def metadata(self, request: Any) -> MetadataResponse:
        names = [entry.name for entry in request.topics]
        return MetadataResponse(
            cluster_id="c",
            brokers=tuple(
                MetadataResponseBroker(node_id=node, host=address.host, port=address.port)
                for node, address in self.brokers.items()
            ),
            topics=tuple(
                self.topics.get(name, MetadataResponseTopic(error_code=3, name=name)) for name in names
            ),
        )

    def asked(self, name: str) -> list[float]:
        """Return when requests of an API were sent."""
        return [at for asked, _, at, _ in self.requests if asked == name]

    def open_transports(self) -> list[FakeTransport]:
        return [t for t in self.transports.values() if not (t.is_closed or t.is_detached)]

    def _dial(self, endpoint: Endpoint) -> FakeTransport:
        number = 1000 + len(self.transports)
        self.transports[number] = FakeTransport(self, endpoint, number)
        return self.transports[number]
