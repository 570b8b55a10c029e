"""The control connection: to one broker at a time, asked for metadata, producer ids and coordinators.

Control thread only; `now` is milliseconds of a monotonic clock.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection

from kproducer.client.idempotence import ProducerIdentity, refusal
from kproducer.client.metadata import ClusterView
from kproducer.client.nodes import NodeDirectory
from kproducer.engine.link import Link, LinkHost, Wiring
from kproducer.engine.transactor import Transactions
from kproducer.errors import KafkaError, UnsupportedVersionError
from kproducer.protocol.messages.find_coordinator import FIND_COORDINATOR
from kproducer.protocol.messages.init_producer_id import INIT_PRODUCER_ID
from kproducer.protocol.messages.metadata import METADATA

_ASKED_HERE = (METADATA, INIT_PRODUCER_ID, FIND_COORDINATOR)


class ControlLink:
    """See the module; there is no connection while nothing is due, and none longer than `idle_ms` without use.

    Args:
        host: takes links that fail and errors that end the producer.
        wiring, nodes: what the link is made of and whom it may go to.
        cluster, identity, transactions: they say what is due, and when.
        topics_in_use: names of topics that got records since the last call (KIP-526).
        idle_ms: connections.max.idle.ms, infinity for never.
    """

    def __init__(
        self,
        host: LinkHost,
        wiring: Wiring,
        nodes: NodeDirectory,
        *,
        cluster: ClusterView,
        identity: ProducerIdentity,
        transactions: Transactions,
        topics_in_use: Callable[[], Collection[str]],
        idle_ms: float,
    ) -> None:
        self._host = host
        self._wiring = wiring
        self._nodes = nodes
        self._cluster = cluster
        self._identity = identity
        self._transactions = transactions
        self._topics_in_use = topics_in_use
        self._idle_ms = idle_ms
        self._link: Link | None = None

    def links(self) -> list[Link]:
        """Return the link, if there is one."""
        return [] if self._link is None else [self._link]

    def owns(self, link: Link) -> bool:
        """Whether a link is the control connection."""
        return link is self._link

    def became_ready(self, link: Link) -> None:
        """What is due is sent by `work`."""

    def lost(self, link: Link, now: float) -> None:
        """The link is gone, and what was asked there stays due."""
        self.forget(now)

    def work(self, now: float) -> None:
        """Send what is due, over a new link if there is none; close one that nobody needs."""
        if self._due_at() <= now:
            if self._link is None:
                self._open(now)
            if self._link is not None and self._link.may_send(now):
                self._send_due(self._link, now)
        if self._link is not None and now >= self._idle_at(self._link):
            self.close()

    def deadline(self) -> float:
        """Return when `work` has something to do."""
        due_at = self._due_at()
        link = self._link
        if link is None:
            return max(due_at, self._nodes.next_choice_at())
        if not link.is_ready:
            return math.inf
        return min(max(due_at, link.throttled_until), self._idle_at(link))

    def forget(self, now: float) -> None:
        """Close the link; everything that was asked there is asked again."""
        self.close()
        self._cluster.failed(now)
        self._identity.failed(now)
        self._transactions.control_lost(now)

    def close(self) -> None:
        """Close the link, if there is one."""
        if self._link is not None:
            self._link.close()
            self._link = None

    # --- inside ------------------------------------------------------------------------------------------

    def _due_at(self) -> float:
        return min(self._cluster.due_at, self._identity.due_at, self._transactions.find_due_at)

    def _idle_at(self, link: Link) -> float:
        is_busy = not link.is_ready or any(link.is_awaiting(api) for api in _ASKED_HERE)
        return math.inf if is_busy else link.last_used + self._idle_ms

    def _open(self, now: float) -> None:
        self._cluster.begin_attempt(now)
        node = self._nodes.choose(now)
        if node is None:
            return
        link = self._link = Link(node, self._wiring, self._nodes.setup_timeout_ms(node.key))
        try:
            link.start(now)
        except KafkaError as error:
            self._host.lose(link, error, now)

    def _send_due(self, link: Link, now: float) -> None:
        try:
            if self._cluster.due_at <= now:
                self._cluster.mark_used(self._topics_in_use(), now)
                link.send(METADATA, self._cluster.begin_request(now), now)
            if self._identity.due_at <= now:
                self._ask_producer_id(link, now)
            self._transactions.find(link, now)
        except KafkaError as error:
            self._host.lose(link, error, now)

    def _ask_producer_id(self, link: Link, now: float) -> None:
        try:
            link.versions.require(INIT_PRODUCER_ID)
        except UnsupportedVersionError as error:
            self._host.die(refusal(error.code or 0))
            return
        link.send(INIT_PRODUCER_ID, self._identity.begin_request(), now)
