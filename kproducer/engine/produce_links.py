"""Produce connections until the pump has them: dialled here, handed over once they agree on versions, let go again.

Control thread only; `now` is milliseconds of a monotonic clock.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from kproducer._core.events import CloseCause, ConnClosed, ConnWanted
from kproducer.client.metadata import ClusterView
from kproducer.client.nodes import NodeDirectory
from kproducer.engine.link import Link, LinkHost, Wiring
from kproducer.engine.transactor import LAST_PRODUCE_OF_TV1, Transactions
from kproducer.errors import KafkaError

logger = logging.getLogger(__name__)

# Causes after which the broker is given time before it is dialled again.
_UNHEALTHY = frozenset({CloseCause.PEER, CloseCause.TIMEOUT, CloseCause.PROTOCOL})
_PRODUCE_BY_ID = 13


class ProducePump(Protocol):
    """What produce connections need of the pump; see `_core.pump` for the meaning of each command."""

    def adopt(self, node: int, conn_gen: int, fd: int, produce_version: int) -> None: ...
    def drop(self, node: int, conn_gen: int, drain: bool) -> None: ...


@dataclass(frozen=True, slots=True)
class _Adopted:
    """A connection that the pump has."""

    conn_gen: int
    produce_version: int


class ProduceLinks:
    """See the module.

    Args:
        host: takes links that fail.
        pump: asks for connections and takes them.
        wiring, nodes: what links are made of.
        cluster: knows who leads.
        transactions: says which versions of Produce its protocol allows.
    """

    def __init__(
        self,
        host: LinkHost,
        pump: ProducePump,
        wiring: Wiring,
        nodes: NodeDirectory,
        *,
        cluster: ClusterView,
        transactions: Transactions,
    ) -> None:
        self._host = host
        self._pump = pump
        self._wiring = wiring
        self._nodes = nodes
        self._cluster = cluster
        self._transactions = transactions
        self._wanted: set[int] = set()
        self._dialing: dict[int, Link] = {}
        self._adopted: dict[int, _Adopted] = {}
        self._last_conn_gen = 0

    # --- the pump's events -------------------------------------------------------------------------------

    def on_wanted(self, event: ConnWanted, now: float) -> None:
        """The pump has batches for a broker and no connection to it."""
        self._wanted.add(event.node)
        if self._nodes.get(event.node) is None:
            self._cluster.refresh(now)

    def on_closed(self, event: ConnClosed, now: float) -> bool:
        """The pump has closed a connection; return whether the broker is to blame."""
        adopted = self._adopted.get(event.node)
        if adopted is not None and adopted.conn_gen == event.conn_gen:
            del self._adopted[event.node]
        is_unhealthy = event.cause in _UNHEALTHY
        if is_unhealthy:
            self._nodes.failed(event.node, now)
        if event.in_flight or is_unhealthy:
            self._cluster.refresh(now)
        return is_unhealthy

    # --- an owner of links -------------------------------------------------------------------------------

    def links(self) -> list[Link]:
        """Return the links that are being dialled."""
        return list(self._dialing.values())

    def owns(self, link: Link) -> bool:
        """Whether a link is to become a produce connection."""
        return any(dialing is link for dialing in self._dialing.values())

    def became_ready(self, link: Link) -> None:
        """Hand a link over to the pump; raises KafkaError if the broker speaks no version that we may use."""
        node_id = link.node.key
        assert isinstance(node_id, int)
        version = link.versions.pick_produce(
            has_topic_ids=self._cluster.has_all_topic_ids, cap=self._transactions.produce_cap
        )
        descriptor = link.detach()
        del self._dialing[node_id]
        self._wanted.discard(node_id)
        self._last_conn_gen += 1
        self._adopted[node_id] = _Adopted(self._last_conn_gen, version)
        self._pump.adopt(node_id, self._last_conn_gen, descriptor, version)
        logger.debug("produce connection to %s, Produce version %d", link.node, version)

    def lost(self, link: Link, now: float) -> None:
        """A link failed before the pump had it; its node stays wanted."""
        assert isinstance(link.node.key, int)
        del self._dialing[link.node.key]

    def work(self, now: float) -> None:
        """Dial the nodes whose back-off is over."""
        for node_id in self._dialable():
            if self._nodes.usable_at(node_id) <= now:
                self._dial(node_id, now)

    def deadline(self) -> float:
        """Return when `work` has something to do."""
        return min((self._nodes.usable_at(node_id) for node_id in self._dialable()), default=math.inf)

    def close(self) -> None:
        """Close the links that the pump does not have."""
        for link in self._dialing.values():
            link.close()
        self._dialing.clear()

    # --- letting go --------------------------------------------------------------------------------------

    def drop(self, node_ids: Iterable[int]) -> None:
        """Let go of nodes that are gone or have moved."""
        for node_id in node_ids:
            self._release(node_id)
            link = self._dialing.pop(node_id, None)
            if link is not None:
                link.close()

    def drop_all(self) -> None:
        """Let go of every connection of the pump: the cluster may be another one."""
        for node_id in self._adopted:
            self._release(node_id)

    def drop_those_by_topic_id(self) -> None:
        """Let go of connections whose version can't name a topic without id."""
        self._release_if(lambda version: version >= _PRODUCE_BY_ID)

    def prepare(self, is_v2: bool) -> None:
        """Let go of connections whose version belongs to the other transaction protocol."""
        self._release_if(lambda version: (version > LAST_PRODUCE_OF_TV1) is not is_v2)

    # --- inside ------------------------------------------------------------------------------------------

    def _dialable(self) -> list[int]:
        """Return the nodes that the pump wants, that can be dialled, and that still lead something."""
        return [
            node_id
            for node_id in self._wanted
            if node_id not in self._dialing
            and self._nodes.get(node_id) is not None
            and self._cluster.is_leader(node_id)
        ]

    def _dial(self, node_id: int, now: float) -> None:
        node = self._nodes.get(node_id)
        assert node is not None
        link = self._dialing[node_id] = Link(node, self._wiring, self._nodes.setup_timeout_ms(node_id))
        try:
            link.start(now)
        except KafkaError as error:
            self._host.lose(link, error, now)

    def _release(self, node_id: int) -> None:
        """Let the pump end its connection to a node once its answers are in."""
        adopted = self._adopted.get(node_id)
        if adopted is not None:
            self._pump.drop(node_id, adopted.conn_gen, True)

    def _release_if(self, is_unfit: Callable[[int], bool]) -> None:
        for node_id, adopted in self._adopted.items():
            if is_unfit(adopted.produce_version):
                self._release(node_id)
