"""Which broker to talk to, and when: addresses, reconnect backoff, bootstrap and re-bootstrap (KIP-899, KIP-1102).

A node is known by its id, or by its address while it is only an entry of bootstrap.servers. `now` is
milliseconds of a monotonic clock. Control thread only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from kproducer.client.backoff import ExponentialBackoff
from kproducer.config import HostPort

NodeKey: TypeAlias = int | HostPort

# reconnect.backoff.ms=0 is allowed, a busy loop is not.
MIN_DELAY_MS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Node:
    """A broker that can be dialled."""

    key: NodeKey
    address: HostPort

    def __str__(self) -> str:
        return (
            f"broker {self.key} at {self.address}" if isinstance(self.key, int) else f"broker {self.address}"
        )


@dataclass(slots=True)
class _History:
    failures: int = 0
    not_before: float = -math.inf


class NodeDirectory:
    """Brokers, and how they behaved.

    Args:
        bootstrap: bootstrap.servers.
        reconnect: delays after failed or lost connections.
        setup_timeout: socket.connection.setup.timeout.ms and its growth (KIP-601).
        can_rebootstrap: whether metadata.recovery.strategy is "rebootstrap".
        jitter: source of random numbers in [0, 1).
    """

    def __init__(
        self,
        bootstrap: Iterable[HostPort],
        *,
        reconnect: ExponentialBackoff,
        setup_timeout: ExponentialBackoff,
        can_rebootstrap: bool,
        jitter: Callable[[], float],
    ) -> None:
        self._bootstrap = {address: Node(address, address) for address in bootstrap}
        self._known: dict[int, Node] = {}
        self._histories: dict[NodeKey, _History] = {}
        self._reconnect = reconnect
        self._setup_timeout = setup_timeout
        self._can_rebootstrap = can_rebootstrap
        self._jitter = jitter
        self._is_bootstrapping = True

    @property
    def is_bootstrapping(self) -> bool:
        """Whether the next control connection goes to an entry of bootstrap.servers."""
        return self._is_bootstrapping

    def get(self, node_id: int) -> Node | None:
        """Return a broker by its id."""
        return self._known.get(node_id)

    def update(self, brokers: Mapping[int, HostPort]) -> list[int]:
        """Take the brokers of a metadata answer; return the ids of those whose address has changed."""
        moved = [
            node_id
            for node_id, address in brokers.items()
            if (known := self._known.get(node_id)) is not None and known.address != address
        ]
        for node_id in moved:
            self._histories.pop(node_id, None)
        self._known = {node_id: Node(node_id, address) for node_id, address in brokers.items()}
        self._is_bootstrapping = False
        return moved

    def add(self, node_id: int, address: HostPort) -> None:
        """Take the address of one broker, as a leader hint tells it (KIP-951); a known one is kept."""
        self._known.setdefault(node_id, Node(node_id, address))

    def rebootstrap(self) -> None:
        """Begin again with bootstrap.servers; addresses stay known for the connections that are wanted."""
        self._is_bootstrapping = True

    def choose(self, now: float) -> Node | None:
        """Return the broker for a control connection: the one with the fewest failures, None if all must wait."""
        node = self._choose(self._candidates(), now)
        if node is None and not self._is_bootstrapping and self._can_rebootstrap:
            # All of them have failed since their last success, else one were free to be dialled.
            self.rebootstrap()
            node = self._choose(self._candidates(), now)
        return node

    def next_choice_at(self) -> float:
        """Return when `choose` finds a broker at the latest."""
        return min((self.usable_at(node.key) for node in self._candidates()), default=math.inf)

    def usable_at(self, key: NodeKey) -> float:
        """Return when a node may be dialled."""
        return self._history(key).not_before

    def setup_timeout_ms(self, key: NodeKey) -> float:
        """Return how long an attempt to connect to the node may take."""
        return self._setup_timeout.delay_ms(self._history(key).failures, self._jitter())

    def succeeded(self, key: NodeKey) -> None:
        """Take note that the node accepted a connection."""
        self._histories.pop(key, None)

    def failed(self, key: NodeKey, now: float) -> None:
        """Take note that a connection to the node failed or was lost."""
        history = self._histories.setdefault(key, _History())
        delay_ms = self._reconnect.delay_ms(history.failures, self._jitter())
        history.not_before = now + max(delay_ms, MIN_DELAY_MS)
        history.failures += 1

    def _candidates(self) -> list[Node]:
        if self._is_bootstrapping or not self._known:
            return list(self._bootstrap.values())
        return list(self._known.values())

    def _choose(self, candidates: list[Node], now: float) -> Node | None:
        usable = [node for node in candidates if self.usable_at(node.key) <= now]
        if not usable:
            return None
        fewest = min(self._history(node.key).failures for node in usable)
        best = [node for node in usable if self._history(node.key).failures == fewest]
        return best[int(self._jitter() * len(best))]

    def _history(self, key: NodeKey) -> _History:
        return self._histories.get(key, _FRESH)


_FRESH = _History()
