"""What the delivery thread hands on of records that were refused for good."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from kproducer.errors import KafkaError


class DeadLetter(NamedTuple):
    """A record as it was to be sent, and the error that its future and callback get."""

    topic: str
    partition: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    error: KafkaError


class LetterSink(Protocol):
    """Where dead letters go; called on the delivery thread only."""

    @property
    def is_pending(self) -> bool:
        """Whether letters are on their way as records, so that a flush must wait for them."""
        ...

    def take(self, letters: Sequence[DeadLetter]) -> None:
        """Write them, or count those that cannot be written; must not raise."""
        ...
