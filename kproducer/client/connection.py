"""One conversation with a broker as a table of states: versions first, then requests in order of sending.

Owns correlation ids, the requests in flight, deadlines and the throttle. Sans-I/O: bytes go in and out as
values, `now` is milliseconds of a monotonic clock. Used by the control thread only.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Final

from kproducer.errors import IllegalStateError, KafkaTimeoutError, ProtocolError
from kproducer.protocol.api import Api
from kproducer.protocol.frames import FrameSplitter
from kproducer.protocol.messages.api_versions import API_VERSIONS, ApiVersionsRequest
from kproducer.protocol.versions import BrokerVersions, Fallback, read_api_versions

SOFTWARE_NAME: Final = "kproducer"
# No answer to ApiVersions comes near this, and the peer may not even be a broker.
_HANDSHAKE_FRAME_LIMIT: Final = 512 * 1024
_MAX_CORRELATION_ID: Final = 2**31 - 1


class ConnectionState(Enum):
    """Where a conversation stands."""

    CONNECTING = auto()
    VERSIONS = auto()
    READY = auto()
    CLOSED = auto()


_MOVES: Final[Mapping[ConnectionState, frozenset[ConnectionState]]] = {
    ConnectionState.CONNECTING: frozenset({ConnectionState.VERSIONS, ConnectionState.CLOSED}),
    ConnectionState.VERSIONS: frozenset({ConnectionState.READY, ConnectionState.CLOSED}),
    ConnectionState.READY: frozenset({ConnectionState.CLOSED}),
    ConnectionState.CLOSED: frozenset(),
}


@dataclass(frozen=True, slots=True)
class ConnectionSettings:
    """What all conversations of a producer have in common.

    client_id: name that brokers show.
    software_version: version of this package, told by ApiVersions (KIP-511).
    request_timeout_ms: time that a broker has to answer a request.
    frame_limit: biggest answer in bytes that is accepted.
    """

    client_id: str
    software_version: str
    request_timeout_ms: float
    frame_limit: int


@dataclass(frozen=True, slots=True)
class Answer:
    """A decoded answer; `request` is the object that was sent, `version` the one that both were coded in."""

    api: Api[Any, Any]
    request: object
    response: Any  # the response class of `api`
    version: int


@dataclass(frozen=True, slots=True)
class _InFlight:
    api: Api[Any, Any]
    request: object
    version: int
    correlation_id: int
    deadline: float


class BrokerConnection:
    """A broker connection without its socket.

    Args:
        broker: how messages call the broker, such as "broker 1 at host:9092".
        settings: what all conversations have in common.
        setup_deadline: when connecting and ApiVersions must be done, in milliseconds.
        api_versions_version: version of ApiVersions to begin with; default: the newest that we know.
    """

    def __init__(
        self,
        broker: str,
        settings: ConnectionSettings,
        *,
        setup_deadline: float,
        api_versions_version: int | None = None,
    ) -> None:
        self.broker = broker
        self.state = ConnectionState.CONNECTING
        self.throttled_until = -math.inf
        self._settings = settings
        self._setup_deadline = setup_deadline
        self._versions_version = (
            API_VERSIONS.versions.high if api_versions_version is None else api_versions_version
        )
        self._versions: BrokerVersions | None = None
        self._splitter = FrameSplitter(_HANDSHAKE_FRAME_LIMIT)
        self._in_flight: deque[_InFlight] = deque()
        self._outgoing = bytearray()
        self._next_correlation_id = 0

    # --- what is known -----------------------------------------------------------------------------------

    @property
    def versions(self) -> BrokerVersions:
        """What the broker speaks; raises IllegalStateError before READY."""
        if self._versions is None:
            raise IllegalStateError(f"the versions of {self.broker} are not known yet")
        return self._versions

    @property
    def is_ready(self) -> bool:
        """Whether requests may be sent."""
        return self.state is ConnectionState.READY

    @property
    def is_quiet(self) -> bool:
        """Whether nothing is in flight, unsent or half received, so that the socket can change hands."""
        return not (self._in_flight or self._outgoing or self._splitter.buffered_bytes)

    @property
    def deserves_oldest_versions(self) -> bool:
        """Whether a new connection should begin with ApiVersions 0.

        True if this one ended over a newer version: some brokers close the connection instead of answering.
        """
        return self.state is ConnectionState.VERSIONS and self._versions_version > 0

    @property
    def deadline(self) -> float:
        """When `check_deadline` will fail next, infinity if nothing is awaited."""
        if not self.is_ready:
            return self._setup_deadline
        return self._in_flight[0].deadline if self._in_flight else math.inf

    def is_awaiting(self, api: Api[Any, Any]) -> bool:
        """Whether a request of this API is in flight."""
        return any(pending.api is api for pending in self._in_flight)

    def may_send(self, now: float) -> bool:
        """Whether a request may be sent at this time (KIP-219)."""
        return self.is_ready and now >= self.throttled_until

    # --- moves -------------------------------------------------------------------------------------------

    def connected(self, now: float) -> None:
        """Begin: the socket is connected."""
        self._move(ConnectionState.VERSIONS)
        self._ask_versions(now)

    def close(self) -> None:
        """End the conversation; what is in flight is forgotten."""
        if self.state is not ConnectionState.CLOSED:
            self._move(ConnectionState.CLOSED)
        self._in_flight.clear()
        self._outgoing.clear()

    def check_deadline(self, now: float) -> None:
        """Raise KafkaTimeoutError if the broker has taken too long."""
        if now < self.deadline:
            return
        if not self.is_ready:
            raise KafkaTimeoutError(
                f"{self.broker} was not ready within socket.connection.setup.timeout.ms "
                f"(stage {self.state.name.lower()})"
            )
        raise KafkaTimeoutError(
            f"{self.broker} did not answer {self._in_flight[0].api.name} within request.timeout.ms"
        )

    # --- bytes -------------------------------------------------------------------------------------------

    def send(self, api: Api[Any, Any], request: object, now: float, *, version: int | None = None) -> None:
        """Queue a request for sending.

        Args:
            version: default: the highest that both sides speak.

        Raises:
            IllegalStateError: the connection is not READY.
            UnsupportedVersionError: both sides have no version of the API in common.
        """
        if not self.is_ready:
            raise IllegalStateError(f"{self.broker} is {self.state.name}, not READY")
        self._enqueue(api, request, self.versions.pick(api) if version is None else version, now)

    def data_to_send(self) -> bytes:
        """Return the bytes that wait for the socket; `sent` says how many it took."""
        return bytes(self._outgoing)

    def sent(self, size: int) -> None:
        """Forget the first `size` bytes of `data_to_send`."""
        del self._outgoing[:size]

    def receive(self, data: bytes, now: float) -> list[Answer]:
        """Take received bytes and return the answers that they complete.

        Raises:
            ProtocolError: the broker sent what cannot be its answer; close the connection.
            KafkaError: the broker refused ApiVersions; close the connection.
        """
        answers = []
        for frame in self._splitter.feed(data):
            answer = self._take_frame(frame, now)
            if answer is not None:
                answers.append(answer)
        return answers

    def _take_frame(self, frame: bytes, now: float) -> Answer | None:
        if not self._in_flight:
            raise ProtocolError(f"{self.broker} sent an answer that nobody asked for")
        pending = self._in_flight.popleft()
        self._check_correlation(frame, pending)
        if self.state is ConnectionState.VERSIONS:
            self._take_versions(frame, pending, now)
            return None
        _, response = pending.api.decode_response(frame, pending.version)
        throttle_ms = getattr(response, "throttle_time_ms", 0)
        self.throttled_until = max(self.throttled_until, now + throttle_ms)
        return Answer(pending.api, pending.request, response, pending.version)

    def _check_correlation(self, frame: bytes, pending: _InFlight) -> None:
        # Answers come strictly in the order of the requests.
        got = int.from_bytes(frame[:4], "big", signed=True)
        if got != pending.correlation_id:
            raise ProtocolError(
                f"{self.broker} answered correlation id {got}, expected {pending.correlation_id}"
            )

    def _take_versions(self, frame: bytes, pending: _InFlight, now: float) -> None:
        outcome = read_api_versions(frame, pending.version, broker=self.broker)
        if isinstance(outcome, Fallback):
            self._versions_version = outcome.version
            self._ask_versions(now)
            return
        self._versions = outcome
        self._splitter.limit = self._settings.frame_limit
        self._move(ConnectionState.READY)

    def _ask_versions(self, now: float) -> None:
        request = ApiVersionsRequest(
            client_software_name=SOFTWARE_NAME, client_software_version=self._settings.software_version
        )
        self._enqueue(API_VERSIONS, request, self._versions_version, now)

    def _enqueue(self, api: Api[Any, Any], request: object, version: int, now: float) -> None:
        correlation_id = self._next_correlation_id
        self._next_correlation_id = (correlation_id + 1) & _MAX_CORRELATION_ID
        self._outgoing += api.encode_request(
            request, version, correlation_id=correlation_id, client_id=self._settings.client_id
        )
        deadline = now + self._settings.request_timeout_ms
        self._in_flight.append(_InFlight(api, request, version, correlation_id, deadline))

    def _move(self, state: ConnectionState) -> None:
        if state not in _MOVES[self.state]:
            raise IllegalStateError(f"{self.broker} cannot go from {self.state.name} to {state.name}")
        self.state = state
