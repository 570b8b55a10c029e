"""Name lookups beside the control thread: each runs on a short-lived daemon thread of its own.

`getaddrinfo` cannot be given a deadline, and one dead name must not keep the others waiting.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass

from kproducer.config import HostPort
from kproducer.errors import KafkaError, NetworkError
from kproducer.net.resolver import Endpoint, resolve, resolve_literal


@dataclass(frozen=True, slots=True)
class Resolution:
    """What became of a lookup."""

    address: HostPort
    endpoints: tuple[Endpoint, ...] = ()
    error: KafkaError | None = None


class NameLookup:
    """Asks for addresses; `ask` and `take` are for the control thread.

    Args:
        wake: called on the helper thread when an answer can be taken.
        resolver: the blocking lookup, default getaddrinfo.
    """

    def __init__(
        self, wake: Callable[[], None], resolver: Callable[[str, int], list[Endpoint]] = resolve
    ) -> None:
        self._wake = wake
        self._resolver = resolver
        self._pending: set[HostPort] = set()
        self._answers: queue.SimpleQueue[Resolution] = queue.SimpleQueue()

    def ask(self, address: HostPort) -> tuple[Endpoint, ...] | None:
        """Return the addresses of a literal at once; else None, and `take` brings them later."""
        literal = resolve_literal(address.host, address.port)
        if literal is not None:
            return tuple(literal)
        if address not in self._pending:
            self._pending.add(address)
            self._start(address)
        return None

    def take(self) -> list[Resolution]:
        """Return the lookups that have ended since the last call."""
        ended = []
        while not self._answers.empty():
            resolution = self._answers.get_nowait()
            self._pending.discard(resolution.address)
            ended.append(resolution)
        return ended

    def _start(self, address: HostPort) -> None:
        name = f"kproducer-lookup-{address.host}"
        try:
            threading.Thread(target=self._run, args=(address,), name=name, daemon=True).start()
        except RuntimeError as error:  # the system has no thread left: backs off as any failed lookup
            failure = NetworkError(f"cannot resolve {address.host}: {error}", persisted="no")
            self._answers.put(Resolution(address, error=failure))
            self._wake()

    def _run(self, address: HostPort) -> None:
        try:
            answer = Resolution(address, tuple(self._resolver(address.host, address.port)))
        except KafkaError as error:
            answer = Resolution(address, error=error)
        self._answers.put(answer)
        self._wake()
