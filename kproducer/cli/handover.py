"""How a block of records is given to the producer: a record that is too large fails alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from kproducer import KafkaError, RecordTooLargeError

# A list of values, or a block of lines as it was read, in which the core finds the lines by itself.
Values: TypeAlias = Sequence[bytes | None] | memoryview


class Load(Protocol):
    """Records that are given to the producer in one call."""

    def send(self, producer: Any, topic: str) -> Any:
        """Make the call and return its result."""
        ...

    def after(self, count: int) -> Load | None:
        """The records behind the first `count`, None if there are none."""
        ...


def hand_over(
    producer: Any, topic: str, values: Values, keys: Sequence[bytes | None] | None = None
) -> Iterator[Any]:
    """Give all values to `send_many` or `send_lines`, as `hand_over_load` does."""
    if values:
        yield from hand_over_load(producer, topic, _Records(values, keys))


def hand_over_load(producer: Any, topic: str, load: Load) -> Iterator[Any]:
    """Give all records to the producer; yield each result, and the error of each record too large.

    A result is yielded also for what a call accepted before it raised. Other errors of the producer, and
    KeyboardInterrupt, end it after that.
    """
    left: Load | None = load
    while left is not None:
        try:
            result = left.send(producer, topic)
        except (KafkaError, KeyboardInterrupt) as error:
            partial = getattr(error, "partial_result", None)
            if partial is not None:
                yield partial
            if not isinstance(error, RecordTooLargeError):
                raise
            yield error
            left = left.after(1 + (0 if partial is None else partial.count))
        else:
            yield result
            return


@dataclass(frozen=True, slots=True)
class _Records:
    """Values with their keys, or a block of lines."""

    values: Values
    keys: Sequence[bytes | None] | None

    def send(self, producer: Any, topic: str) -> Any:
        if isinstance(self.values, memoryview):
            return producer.send_lines(topic, self.values)
        return producer.send_many(topic, self.values, keys=self.keys)

    def after(self, count: int) -> _Records | None:
        values = _after(self.values, count)
        return _Records(values, None if self.keys is None else self.keys[count:]) if values else None


def _after(values: Values, count: int) -> Values:
    """The values without the first `count`."""
    if not isinstance(values, memoryview):
        return values[count:]
    block, at = bytes(values), 0
    for _ in range(count):
        at = block.find(b"\n", at) + 1
        if at == 0:
            return values[:0]
    return values[at:]
