"""The producer id and its epoch: when to ask for one, when to bump it (KIP-98, KIP-360).

Sequence numbers are the pump's. `now` is milliseconds of a monotonic clock. Control thread only.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from kproducer.client.backoff import ExponentialBackoff
from kproducer.errors import KafkaError, error_for, error_info
from kproducer.protocol.messages.init_producer_id import InitProducerIdRequest, InitProducerIdResponse

NO_PRODUCER_ID: Final = -1
NO_EPOCH: Final = -1
MAX_EPOCH: Final = 2**15 - 1

# Asking again cannot help: the API or its version is not there, or the request is called malformed.
_HOPELESS: Final = frozenset({35, 42})
_REMEDY: Final = (
    "an idempotent producer could not get a producer id; grant IDEMPOTENT_WRITE on the cluster or WRITE on a "
    "topic, or set enable.idempotence=false"
)


class IdentityChange(Enum):
    """What a verdict wants of the identity before its partition goes on."""

    KEEP = auto()
    BUMP = auto()
    RENEW = auto()


@dataclass(frozen=True, slots=True)
class Resume:
    """A partition that is to go on under a new identity."""

    topic: str
    partition: int
    hold_gen: int
    delay_ms: float


@dataclass(frozen=True, slots=True)
class NewIdentity:
    """A producer id and epoch to publish, and the partitions that waited for them."""

    producer_id: int
    epoch: int
    resumes: tuple[Resume, ...] = ()


class ProducerIdentity:
    """Who the producer is to the brokers.

    Args:
        is_enabled: enable.idempotence.
        backoff: delays between attempts to get a producer id.
        jitter: source of random numbers in [0, 1).
    """

    def __init__(self, *, is_enabled: bool, backoff: ExponentialBackoff, jitter: Callable[[], float]) -> None:
        self.producer_id = NO_PRODUCER_ID
        self.epoch = NO_EPOCH
        self._backoff = backoff
        self._jitter = jitter
        self._is_wanted = is_enabled
        self._is_in_flight = False
        self._failures = 0
        self._not_before = -math.inf
        self._parked: list[Resume] = []

    @property
    def current(self) -> tuple[int, int]:
        """Producer id and epoch, (-1, -1) before the first."""
        return self.producer_id, self.epoch

    @property
    def is_pending(self) -> bool:
        """Whether a producer id is still to come, so that nothing may go on under a new one yet."""
        return self._is_wanted

    @property
    def due_at(self) -> float:
        """When to send InitProducerId, infinity if there is no need."""
        return self._not_before if self._is_wanted and not self._is_in_flight else math.inf

    def begin_request(self) -> InitProducerIdRequest:
        """Return the request to send now; its end is told by `answered` or `failed`."""
        self._is_in_flight = True
        # As Java; brokers look at the timeout only if there is a transactional id.
        return InitProducerIdRequest(transactional_id=None, transaction_timeout_ms=2**31 - 1)

    def answered(self, response: InitProducerIdResponse, now: float) -> NewIdentity | None:
        """Take the answer; return the identity, or None if the request is to be repeated.

        Raises:
            KafkaError: fatal, with the remedy in its text: no producer id can be had.
        """
        self._is_in_flight = False
        if response.error_code == 0 and response.producer_id >= 0 and response.producer_epoch >= 0:
            return self._adopt(response.producer_id, response.producer_epoch)
        code = response.error_code or -1  # a negative id without an error is a broker's bug
        if error_info(code).fatal or code in _HOPELESS:
            raise refusal(code)
        self._retry_later(now)
        return None

    def failed(self, now: float) -> None:
        """Take note that the request got no answer."""
        if self._is_in_flight:
            self._is_in_flight = False
            self._retry_later(now)

    def change(self, wanted: IdentityChange, seen: tuple[int, int]) -> NewIdentity | None:
        """Bump the epoch or ask for a new id, once for all failures that saw the same identity (3.9).

        Args:
            seen: producer id and epoch of the batch that failed.

        Returns:
            the identity to publish; None if it is unchanged, was changed already, or comes by InitProducerId.
        """
        if wanted is IdentityChange.KEEP or self._is_wanted or seen != self.current:
            return None
        if wanted is IdentityChange.RENEW or self.epoch >= MAX_EPOCH:
            self._is_wanted = True
            self._failures = 0
            self._not_before = -math.inf
            return None
        self.epoch += 1
        return NewIdentity(self.producer_id, self.epoch)

    def park(self, resume: Resume) -> None:
        """Keep a partition back until the next identity, which `answered` returns it with."""
        self._parked.append(resume)

    def _adopt(self, producer_id: int, epoch: int) -> NewIdentity:
        self.producer_id, self.epoch = producer_id, epoch
        self._is_wanted = False
        self._failures = 0
        resumes = tuple(self._parked)
        self._parked.clear()
        return NewIdentity(producer_id, epoch, resumes)

    def _retry_later(self, now: float) -> None:
        self._not_before = now + self._backoff.delay_ms(self._failures, self._jitter())
        self._failures += 1


def refusal(code: int) -> KafkaError:
    """Return the fatal error of a producer that cannot get a producer id."""
    return error_for(code, f"{error_info(code).name}: {_REMEDY}", fatal=True)
