"""A conversation with its socket: look the name up, connect to each address in turn, agree on versions, ask.

Carries bytes between a Transport and a BrokerConnection. A failure is raised as KafkaError and leaves the link
for its owner to close. Control thread only; `now` is milliseconds of a monotonic clock.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from kproducer.client.connection import Answer, BrokerConnection, ConnectionSettings, ConnectionState
from kproducer.client.nodes import Node
from kproducer.engine.lookup import NameLookup, Resolution
from kproducer.errors import KafkaError, KafkaTimeoutError, NetworkError, ProtocolError
from kproducer.net.poller import Poller, Ready
from kproducer.net.resolver import Endpoint
from kproducer.net.transport import Transport
from kproducer.protocol.api import Api
from kproducer.protocol.versions import BrokerVersions

_OLDEST_API_VERSIONS = 0


@dataclass(frozen=True, slots=True)
class Wiring:
    """What links are made of; `dial` begins to connect to an address."""

    lookup: NameLookup
    dial: Callable[[Endpoint], Transport]
    poller: Poller
    settings: ConnectionSettings


class LinkHost(Protocol):
    """The control loop, as those see it that open links: whom they tell of a failure."""

    def lose(self, link: Link, error: KafkaError, now: float) -> None: ...
    def die(self, error: KafkaError) -> None: ...


class Link:
    """A control connection, or a produce connection until the pump adopts it.

    Args:
        node: whom to talk to.
        wiring: what the link is made of.
        setup_timeout_ms: time for the lookup, and for each address to connect and tell its versions.
    """

    def __init__(self, node: Node, wiring: Wiring, setup_timeout_ms: float) -> None:
        self.node = node
        self.last_used = -math.inf
        self._wiring = wiring
        self._setup_timeout_ms = setup_timeout_ms
        self._lookup_deadline = math.inf
        self._endpoints: deque[Endpoint] = deque()
        self._endpoint: Endpoint | None = None
        self._transport: Transport | None = None
        self._connection: BrokerConnection | None = None

    # --- what is known -----------------------------------------------------------------------------------

    @property
    def is_ready(self) -> bool:
        """Whether requests may be sent."""
        return self._connection is not None and self._connection.is_ready

    @property
    def stage(self) -> str:
        """What the link is busy with, for messages."""
        return "lookup" if self._connection is None else self._connection.state.name.lower()

    @property
    def deadline(self) -> float:
        """When `check_deadline` has something to do."""
        return self._lookup_deadline if self._connection is None else self._connection.deadline

    @property
    def versions(self) -> BrokerVersions:
        """What the broker speaks; only when ready."""
        return self._ready_connection().versions

    @property
    def throttled_until(self) -> float:
        """When requests may be sent again (KIP-219)."""
        return -math.inf if self._connection is None else self._connection.throttled_until

    def may_send(self, now: float) -> bool:
        """Whether a request may be sent now."""
        return self._connection is not None and self._connection.may_send(now)

    def is_awaiting(self, api: Api[Any, Any]) -> bool:
        """Whether a request of this API is in flight."""
        return self._connection is not None and self._connection.is_awaiting(api)

    # --- moves -------------------------------------------------------------------------------------------

    def start(self, now: float) -> None:
        """Begin with the name."""
        self.last_used = now
        self._lookup_deadline = now + self._setup_timeout_ms
        endpoints = self._wiring.lookup.ask(self.node.address)
        if endpoints is not None:
            self._connect_to_first(endpoints, now)

    def take_resolution(self, resolution: Resolution, now: float) -> None:
        """Go on with the addresses, if this link waits for them."""
        if resolution.address != self.node.address or not math.isfinite(self._lookup_deadline):
            return
        if resolution.error is not None:
            raise resolution.error
        self._connect_to_first(resolution.endpoints, now)

    def on_ready(self, ready: Ready, now: float) -> list[Answer]:
        """Move bytes; return the answers that arrived."""
        try:
            return self._pump_bytes(ready, now)
        except KafkaError as error:
            self._try_elsewhere(error, now)
            return []

    def check_deadline(self, now: float) -> None:
        """Try the next address, or raise KafkaTimeoutError, if the broker has taken too long."""
        if self._connection is None:
            if now >= self._lookup_deadline:
                raise KafkaTimeoutError(
                    f"{self.node.address.host} was not resolved within socket.connection.setup.timeout.ms"
                )
            return
        try:
            self._connection.check_deadline(now)
        except KafkaTimeoutError as error:
            self._try_elsewhere(error, now)

    def send(self, api: Api[Any, Any], request: object, now: float, *, version: int | None = None) -> None:
        """Send a request; its answer comes from `on_ready`.

        Args:
            version: default: the highest that both sides speak.
        """
        self.last_used = now
        self._ready_connection().send(api, request, now, version=version)
        self._flush()

    def detach(self) -> int:
        """Give the ready socket away; the link is over."""
        connection = self._ready_connection()
        if not connection.is_quiet:
            raise ProtocolError(f"{self.node} sent more than it was asked for")
        assert self._transport is not None
        self._wiring.poller.forget(self._transport.fileno())
        descriptor = self._transport.detach()
        self._transport = None
        connection.close()
        return descriptor

    def close(self) -> None:
        """Close the socket and forget what is in flight."""
        self._lookup_deadline = math.inf
        self._drop_transport()

    # --- inside ------------------------------------------------------------------------------------------

    def _ready_connection(self) -> BrokerConnection:
        assert self._connection is not None, "the link is not ready"
        return self._connection

    def _connect_to_first(self, endpoints: Iterable[Endpoint], now: float) -> None:
        self._lookup_deadline = math.inf
        self._endpoints.extend(endpoints)
        self._connect_to_next(NetworkError(f"{self.node} has no address"), now)

    def _try_elsewhere(self, error: KafkaError, now: float) -> None:
        """Go on with the same address in older words, or with the next one; raise the error if none is left."""
        connection = self._connection
        if connection is None or connection.state in (ConnectionState.READY, ConnectionState.CLOSED):
            raise error
        if connection.deserves_oldest_versions and not isinstance(error, KafkaTimeoutError):
            assert self._endpoint is not None
            try:
                self._connect(self._endpoint, now, _OLDEST_API_VERSIONS)
                return
            except NetworkError as failure:
                error = failure
        self._connect_to_next(error, now)

    def _connect_to_next(self, error: KafkaError, now: float) -> None:
        while self._endpoints:
            try:
                self._connect(self._endpoints.popleft(), now, None)
                return
            except NetworkError as failure:
                error = failure
        raise error

    def _connect(self, endpoint: Endpoint, now: float, api_versions_version: int | None) -> None:
        self._drop_transport()
        self._endpoint = endpoint
        self._connection = BrokerConnection(
            str(self.node),
            self._wiring.settings,
            setup_deadline=now + self._setup_timeout_ms,
            api_versions_version=api_versions_version,
        )
        self._transport = self._wiring.dial(endpoint)
        self._wiring.poller.watch(self._transport.fileno(), self, write=True)

    def _pump_bytes(self, ready: Ready, now: float) -> list[Answer]:
        transport, connection = self._transport, self._connection
        if transport is None or connection is None:  # closed while the poller's answers were worked through
            return []
        if connection.state is ConnectionState.CONNECTING:
            if not ready.writable:
                return []
            transport.finish_connect()
            connection.connected(now)
        answers: list[Answer] = []
        # One chunk a turn: the poller tells again while more is there.
        if ready.readable and (data := transport.receive()) is not None:
            answers = connection.receive(data, now)
        self._flush()
        return answers

    def _flush(self) -> None:
        assert self._transport is not None
        assert self._connection is not None
        data = self._connection.data_to_send()
        if data:
            self._connection.sent(self._transport.send(data))
        is_blocked = bool(self._connection.data_to_send())
        self._wiring.poller.watch(self._transport.fileno(), self, write=is_blocked)

    def _drop_transport(self) -> None:
        if self._connection is not None:
            self._connection.close()
        if self._transport is not None:
            self._wiring.poller.forget(self._transport.fileno())
            self._transport.close()
            self._transport = None
