"""How a block of records is given to the producer: a record that is too large fails alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

from kproducer import KafkaError, RecordTooLargeError

# A list of values, or a block of lines as it was read, in which the core finds the lines by itself.
Values: TypeAlias = Sequence[bytes | None] | memoryview


def hand_over(
    producer: Any, topic: str, values: Values, keys: Sequence[bytes | None] | None = None
) -> Iterator[Any]:
    """Give all values to `send_many` or `send_lines`; yield each result, and the error of each record too large.

    A result is yielded also for what a call accepted before it raised. Other errors of the producer, and
    KeyboardInterrupt, end it after that.
    """
    while values:
        try:
            result = _send(producer, topic, values, keys)
        except (KafkaError, KeyboardInterrupt) as error:
            partial = getattr(error, "partial_result", None)
            if partial is not None:
                yield partial
            if not isinstance(error, RecordTooLargeError):
                raise
            yield error
            done = 1 + (0 if partial is None else partial.count)
            values = _after(values, done)
            keys = None if keys is None else keys[done:]
        else:
            yield result
            return


def _send(producer: Any, topic: str, values: Values, keys: Sequence[bytes | None] | None) -> Any:
    if isinstance(values, memoryview):
        return producer.send_lines(topic, values)
    return producer.send_many(topic, values, keys=keys)


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
