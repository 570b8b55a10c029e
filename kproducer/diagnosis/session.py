"""A blocking conversation with one broker, over the link that the control loop uses. One thread each."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Final, Self, TypeVar

from kproducer.client.connection import Answer, ConnectionSettings
from kproducer.client.nodes import Node
from kproducer.config import ProducerConfig
from kproducer.engine.link import Link, Wiring
from kproducer.engine.lookup import NameLookup
from kproducer.engine.runtime import clock_ms
from kproducer.errors import KafkaTimeoutError
from kproducer.net.poller import SelectorPoller
from kproducer.net.transport import PlainTransport, SocketOptions
from kproducer.protocol.api import Api
from kproducer.protocol.versions import BrokerVersions

Request = TypeVar("Request")
Response = TypeVar("Response")

_FRAME_LIMIT: Final = 64 * 1024 * 1024
_LOOKUP = "lookup"


@dataclass(frozen=True, slots=True)
class Dialling:
    """How brokers are dialled.

    software_version: of this package, as brokers accept it (KIP-511).
    timeout_ms: for each broker, from its name to its last answer.
    """

    client_id: str
    software_version: str
    options: SocketOptions
    timeout_ms: float

    @classmethod
    def of(cls, config: ProducerConfig, software_version: str, timeout_ms: float) -> Self:
        """Return how a producer of this configuration would do it."""
        options = SocketOptions(config.send_buffer_bytes, config.receive_buffer_bytes)
        return cls(config.client_id or "kproducer-doctor", software_version, options, timeout_ms)


class Session:
    """A context manager that is connected inside.

    Args:
        node: whom to talk to.
        dialling: how.

    Raises:
        KafkaError: the name is not known, nobody answers there, or not as a broker does.
    """

    def __init__(self, node: Node, dialling: Dialling) -> None:
        self._node = node
        self._deadline = clock_ms() + dialling.timeout_ms
        self._woken = threading.Event()
        self._lookup = NameLookup(self._woken.set)
        self._poller = SelectorPoller()
        settings = ConnectionSettings(
            dialling.client_id, dialling.software_version, dialling.timeout_ms, _FRAME_LIMIT
        )
        wiring = Wiring(
            self._lookup, partial(PlainTransport, options=dialling.options), self._poller, settings
        )
        self._link = Link(node, wiring, dialling.timeout_ms)
        self.elapsed_ms = 0.0

    def __enter__(self) -> Self:
        began = clock_ms()
        try:
            self._link.start(began)
            while not self._link.is_ready:
                self._turn()
        except BaseException:
            self._close()
            raise
        self.elapsed_ms = clock_ms() - began
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    @property
    def versions(self) -> BrokerVersions:
        """What the broker speaks."""
        return self._link.versions

    def ask(self, api: Api[Request, Response], request: Request) -> Response:
        """Send a request and return its answer.

        Raises:
            UnsupportedVersionError: the broker does not speak the API.
            KafkaError: no answer, or not in time.
        """
        self._link.send(api, request, clock_ms())
        while True:
            for answer in self._turn():
                response: Response = answer.response
                return response

    def _turn(self) -> list[Answer]:
        """Wait for whatever is next, and return the answers that came."""
        now = clock_ms()
        if now >= self._deadline:
            raise KafkaTimeoutError(f"{self._node} did not answer in time (stage {self._link.stage})")
        self._link.check_deadline(now)
        wait_ms = max(0.0, min(self._deadline, self._link.deadline) - now)
        if self._link.stage == _LOOKUP:  # there is no socket yet
            self._woken.wait(wait_ms / 1000)
            for resolution in self._lookup.take():
                self._link.take_resolution(resolution, clock_ms())
            return []
        found: list[Answer] = []
        for ready in self._poller.poll(wait_ms):
            found += self._link.on_ready(ready, clock_ms())
        return found

    def _close(self) -> None:
        self._link.close()
        self._poller.close()
