"""Who coordinates a transactional id or a group: ask, remember, ask again when it has moved.

`now` is milliseconds of a monotonic clock. Control thread only.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from kproducer.client.backoff import ExponentialBackoff
from kproducer.client.transaction_codes import TRANSACTION_ABORTABLE
from kproducer.config import HostPort
from kproducer.errors import error_for, error_info
from kproducer.protocol.messages.find_coordinator import (
    CoordinatorType,
    FindCoordinatorRequest,
    FindCoordinatorResponse,
    coordinator_of,
    coordinator_request,
)


class CoordinatorFinder:
    """The coordinator of one key.

    Args:
        key: transactional id or group id.
        key_type: which of the two.
        backoff, jitter: of the delays between attempts.

    Attributes:
        node_id: the coordinator, None while it is not known.
    """

    def __init__(
        self, key: str, key_type: CoordinatorType, *, backoff: ExponentialBackoff, jitter: Callable[[], float]
    ) -> None:
        self.key = key
        self.key_type = key_type
        self.node_id: int | None = None
        self._backoff = backoff
        self._jitter = jitter
        self._is_in_flight = False
        self._failures = 0
        self._not_before = -math.inf

    @property
    def due_at(self) -> float:
        """When to send FindCoordinator, infinity while it is known or asked for."""
        return math.inf if self.node_id is not None or self._is_in_flight else self._not_before

    def begin_request(self) -> FindCoordinatorRequest:
        """Return the request to send now; its end is told by `answered` or `failed`."""
        self._is_in_flight = True
        return coordinator_request(self.key, self.key_type)

    def answered(self, response: FindCoordinatorResponse, now: float) -> HostPort | None:
        """Take the answer; return the coordinator's address, or None if it is to be asked again.

        Raises:
            KafkaError: asking again cannot help.
        """
        self._is_in_flight = False
        found = coordinator_of(response)
        if found.error_code == 0:
            self.node_id = found.node_id
            self._failures = 0
            return HostPort(found.host, found.port)
        if not error_info(found.error_code).retriable and found.error_code != TRANSACTION_ABORTABLE:
            raise error_for(found.error_code, f"FindCoordinator of {self.key!r}: {found.error_message or ''}")
        self._retry_later(now)
        return None

    def failed(self, now: float) -> None:
        """Take note that the request got no answer."""
        if self._is_in_flight:
            self._is_in_flight = False
            self._retry_later(now)

    def forget(self, now: float) -> None:
        """Find it again: it has moved, or cannot be reached."""
        if self.node_id is not None:
            self.node_id = None
            self._retry_later(now)

    def _retry_later(self, now: float) -> None:
        self._not_before = now + self._backoff.delay_ms(self._failures, self._jitter())
        self._failures += 1
