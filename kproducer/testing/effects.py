"""What the fault proxy does to one frame, or to the connection that carried it.

Each effect is a value; the proxy carries it out. Hand one to `FaultProxy.on`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias


class Drop:
    """Swallows the frame; the connection goes on."""


class Duplicate:
    """Sends the frame twice."""


class Reset:
    """Ends both sides of the connection with RST instead of the frame."""


class Close:
    """Ends both sides of the connection with FIN instead of the frame."""


class BlackHole:
    """Nothing passes in this direction of the connection from now on, and nobody is told."""


@dataclass(frozen=True, slots=True)
class Delay:
    """Passes the frame on later, without holding up the reading of those behind it: a link with latency.

    Order is kept, so a frame never overtakes the one before it. Delays of several rules add up, and the
    effect of another rule on the same frame happens when the delay is over.

    Args:
        ms: how much later, in milliseconds.
        jitter_ms: each frame's delay is drawn evenly from `ms - jitter_ms` to `ms + jitter_ms`, default 0.
    """

    ms: float
    jitter_ms: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.jitter_ms <= self.ms:
            raise ValueError(
                f"Delay(ms={self.ms}, jitter_ms={self.jitter_ms}): allowed is 0 <= jitter_ms <= ms"
            )


@dataclass(frozen=True, slots=True)
class Answer:
    """Answers a request with an error of Kafka's, in the broker's name.

    For Produce, FindCoordinator, InitProducerId, AddPartitionsToTxn, AddOffsetsToTxn, EndTxn and TxnOffsetCommit;
    each partition of the request gets the code. A Produce with acks=0, which is not answered, is swallowed.

    Args:
        code: number of the error, such as 19 for NOT_ENOUGH_REPLICAS.
        forwards: whether the broker gets the request as well, and only its answer is replaced: the records are
            in the log, and the client is told of an error. Default False: the broker never sees the request.
    """

    code: int
    forwards: bool = False


@dataclass(frozen=True, slots=True)
class Hold:
    """Keeps the frame, and all after it in its direction, until `release()`."""

    _gate: threading.Event = field(default_factory=threading.Event)

    def release(self) -> None:
        """Let the frame pass."""
        self._gate.set()

    def wait(self, timeout_s: float) -> bool:
        """Wait for the release; returns whether it came."""
        return self._gate.wait(timeout_s)


@dataclass(frozen=True, slots=True)
class Trickle:
    """Sends the frame in pieces of `piece` bytes (default 1) with a pause between them (default 1 ms)."""

    piece: int = 1
    pause_ms: float = 1.0


@dataclass(frozen=True, slots=True)
class Rewrite:
    """Sends what `change` makes of the frame, size field included; empty bytes swallow it."""

    change: Callable[[bytes], bytes]


Effect: TypeAlias = Drop | Duplicate | Reset | Close | BlackHole | Delay | Answer | Hold | Trickle | Rewrite
