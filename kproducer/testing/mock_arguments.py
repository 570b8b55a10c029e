"""The checks that `send()` and its kin make of their arguments, as MockProducer makes them: same types, same texts.

The producer's own are in C and Cython, which outbuildings do not see; tests compare the two, call by call.
"""

from __future__ import annotations

import inspect
import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

from kproducer import (
    ConsumerGroupMetadata,
    Header,
    InvalidTopicError,
    OffsetAndMetadata,
    ProducerRecord,
    RecordTooLargeError,
    SerializationError,
    TopicPartition,
)

Headers: TypeAlias = Sequence[tuple[str, bytes | None]] | Mapping[str, bytes | None]

_TOPIC_NAME: Final = re.compile(r"[a-zA-Z0-9._-]{1,249}")
_LAST_PARTITION: Final = 2**31 - 2
_LAST_TIMESTAMP: Final = 2**63 - 1
# What a batch of one record takes at most beside key, value and headers.
_MOST_BITS_TOLD: Final = 4096
_OVERHEAD_BYTES: Final = 61 + 32


class CheckedRecord(NamedTuple):
    """Key and value as bytes, and what else of a record was checked."""

    value: bytes | None
    key: bytes | None
    headers: tuple[Header, ...]
    headers_size: int
    partition: int | None
    timestamp_ms: int | None

    @property
    def size(self) -> int:
        """Bytes of key, value and headers."""
        return len(self.key or b"") + len(self.value or b"") + self.headers_size


def as_record(
    topic: str | ProducerRecord,
    value: Any,
    key: Any,
    headers: Headers | None,
    partition: int | None,
    timestamp_ms: int | None,
) -> ProducerRecord:
    """The arguments of a call as one; a ProducerRecord stands for all of them."""
    if type(topic) is ProducerRecord:
        given = zip(ProducerRecord._fields[1:], (value, key, headers, partition, timestamp_ms), strict=True)
        for name, argument in given:
            if argument is not None:
                raise TypeError(
                    f"{name} was given beside a ProducerRecord, which stands for all arguments but on_delivery"
                )
        return topic
    return ProducerRecord(topic, value, key, headers, partition, timestamp_ms)  # type: ignore[arg-type]  # checked later


def as_block(data: bytes | bytearray | memoryview) -> bytes:
    """The block that lines are to be made of, or TypeError."""
    try:
        view = memoryview(data)
    except TypeError:
        raise TypeError(f"data must be bytes-like, not {type(data).__name__}") from None
    if not view.c_contiguous:
        raise TypeError("data must be contiguous: bytes(data) copies it")
    return bytes(view)


def lines_of(data: bytes) -> list[bytes]:
    """The lines of a block; a newline at its end begins no other."""
    lines = data.split(b"\n")
    return lines if lines[-1] else lines[:-1]


def check_values(values: object) -> None:
    """Raise TypeError for a single value where many are to be given."""
    if isinstance(values, str | bytes | bytearray):
        raise TypeError(
            f"values must be an iterable of values, not {type(values).__name__}: put one into a list"
        )


def check_topic(name: object) -> str:
    """Return a legal topic name as an exact str; raise TypeError or InvalidTopicError."""
    if not isinstance(name, str):
        raise TypeError(f"topic must be str, not {type(name).__name__}")
    exact = str.__str__(name)
    if not _TOPIC_NAME.fullmatch(exact) or exact in (".", ".."):
        raise InvalidTopicError(
            f"topic {exact[:260]!r}: must be 1 to 249 characters of a-z A-Z 0-9 . _ - and not . or .."
        )
    return exact


def check_record(
    value: object, key: object, headers: Headers | None, partition: object, timestamp_ms: object
) -> CheckedRecord:
    """Check what stands beside the topic, in the order in which the producer does."""
    chosen = (
        None
        if partition is None
        else _number("partition", partition, _LAST_PARTITION, "from 0 to 2**31-2, or None")
    )
    stamp = None
    if timestamp_ms is not None:
        allowed = "milliseconds since the epoch, 0 to 2**63-1"
        stamp = _number("timestamp_ms", timestamp_ms, _LAST_TIMESTAMP, allowed)
    pairs = tuple(_headers(headers)) if headers else ()
    key_bytes = _bytes("key", key)
    value_bytes = _bytes("value", value)
    return CheckedRecord(value_bytes, key_bytes, pairs, _headers_size(pairs), chosen, stamp)


def check_size(record: CheckedRecord, topic: str, limit: int) -> None:
    """Raise RecordTooLargeError if no request may be as big as the record."""
    if record.size + _OVERHEAD_BYTES <= limit:
        return
    raise RecordTooLargeError(
        f"record of {record.size} bytes (key, value, headers) for topic {topic!r}: with the batch's overhead of "
        f"about 100 bytes it exceeds min(max.request.size, buffer.memory)={limit}",
        topic=topic,
        persisted="no",
    )


def check_callback(fn: object, what: str) -> None:
    """Raise TypeError unless `fn` can be called by a thread."""
    if not callable(fn):
        raise TypeError(f"{what} must be callable, not {type(fn).__name__}")
    if inspect.iscoroutinefunction(fn) or inspect.iscoroutinefunction(type(fn).__call__):
        raise TypeError(
            f"{what} must be a plain function: it runs on the delivery thread, which awaits nothing"
        )


def check_timeout(timeout: object, hint: str = "as long as it takes") -> float | None:
    """Return seconds, None for no end."""
    if timeout is None:
        return None
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)):
        raise TypeError(f"timeout must be seconds or None, not {type(timeout).__name__}")
    if not timeout >= 0:  # NaN too
        raise ValueError(f"timeout={timeout}: must be seconds >= 0, or None to wait {hint}")
    return timeout


def serialize(what: str, serializer: Callable[[Any], object], topic: str, data: object) -> object:
    """Return what a serializer makes of a key or value; SerializationError if it raises."""
    try:
        return serializer(data)
    except Exception as error:
        raise SerializationError(
            f"{what}_serializer failed on {type(data).__name__} for topic {topic!r}: {type(error).__name__}",
            topic=topic,
        ) from error


def check_chosen(chosen: object, count: int) -> int:
    """Return what a partitioner chose, if it is one of so many partitions."""
    if isinstance(chosen, bool) or not isinstance(chosen, int):
        raise TypeError(f"the partitioner returned {type(chosen).__name__}: must be int")
    if not 0 <= chosen < count:
        raise ValueError(f"the partitioner returned {chosen}: must be from 0 to {count - 1}")
    return chosen


# --- offsets of a transaction ---------------------------------------------------------------------------------


def check_offsets(
    offsets: Mapping[TopicPartition, OffsetAndMetadata | int],
) -> dict[TopicPartition, OffsetAndMetadata]:
    """Return positions by partition; raise TypeError, ValueError or InvalidTopicError."""
    if not isinstance(offsets, Mapping):
        raise TypeError(
            f"offsets must be a mapping of (topic, partition) to an offset, not {type(offsets).__name__}"
        )
    return {_place(place): _position(place, offsets[place]) for place in offsets}


def check_group(group: object) -> ConsumerGroupMetadata:
    """Return who commits; raise TypeError or ValueError."""
    found = ConsumerGroupMetadata(group) if isinstance(group, str) else group
    if not isinstance(found, ConsumerGroupMetadata):
        raise TypeError(
            f"group_metadata must be ConsumerGroupMetadata or a group id, not {type(group).__name__}"
        )
    if not found.group_id:
        raise ValueError("group_metadata: group_id is empty")
    if found.generation_id >= 0 and not found.member_id:
        raise ValueError(f"group_metadata: generation {found.generation_id} without a member_id")
    return found


def _place(place: object) -> TopicPartition:
    if not isinstance(place, tuple) or len(place) != 2:
        raise TypeError(f"offsets are by (topic, partition), not by {type(place).__name__}")
    topic, partition = place
    name = check_topic(topic)
    if isinstance(partition, bool) or not isinstance(partition, int):
        raise TypeError(f"partition of {name} must be int, not {type(partition).__name__}")
    if not 0 <= partition < 2**31:
        raise ValueError(f"partition={partition} of {name}: must be from 0 to 2**31-1")
    return TopicPartition(name, partition)


def _position(place: object, position: object) -> OffsetAndMetadata:
    offset = position.offset if isinstance(position, OffsetAndMetadata) else position
    if isinstance(offset, bool) or not isinstance(offset, int):
        raise TypeError(f"offset of {place} must be int or OffsetAndMetadata, not {type(position).__name__}")
    if not 0 <= offset < 2**63:
        raise ValueError(f"offset={offset} of {place}: must be from 0 to 2**63-1")
    return position if isinstance(position, OffsetAndMetadata) else OffsetAndMetadata(offset)


# --- parts of a record ----------------------------------------------------------------------------------------


def _number(what: str, value: object, highest: int, allowed: str) -> int:
    if isinstance(value, bool) or not hasattr(type(value), "__index__"):
        raise TypeError(f"{what} must be int or None, not {type(value).__name__}: {allowed}")
    number = operator.index(value)  # type: ignore[arg-type]  # it has __index__; the result is an exact int
    if not 0 <= number <= highest:
        raise ValueError(f"{what}={_told(number)}: must be {allowed}")
    return number


def _told(number: int) -> str:
    """Digits of a huge int are not even made: the interpreter refuses to."""
    bits = number.bit_length()
    return _shortened(int.__repr__(number)) if bits <= _MOST_BITS_TOLD else f"an int of {bits} bits"


def _shortened(digits: str) -> str:
    return digits if len(digits) <= 40 else f"{digits[:40]}... ({len(digits)} digits)"


def _bytes(what: str, value: object) -> bytes | None:
    """The bytes as they are now: a buffer that changes later is none of the record's."""
    if value is None or type(value) is bytes:
        return value
    wanted = TypeError(
        f"{what} must be bytes-like or None, not {type(value).__name__}; give {what}_serializer for other types"
    )
    if isinstance(value, str):
        raise wanted
    try:
        view = memoryview(value)  # type: ignore[arg-type]  # that is the question
    except TypeError:
        raise wanted from None
    if not view.c_contiguous:
        raise TypeError(f"{what} must be contiguous: bytes({what}) copies it")
    return bytes(view)


def _headers(headers: Any) -> Iterator[Header]:
    pairs = headers.items() if isinstance(headers, dict) else headers
    if isinstance(pairs, (str, bytes)) or not hasattr(type(pairs), "__iter__"):
        raise TypeError(f"headers must be (key, value) pairs, not {type(headers).__name__}")
    for n, pair in enumerate(pairs):
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise TypeError(f"header {n}: must be a (str, bytes | None) pair, not {type(pair).__name__}")
        key, value = pair
        if not isinstance(key, str):
            raise TypeError(f"header {n}: key must be str, not {type(key).__name__}")
        if value is not None and not isinstance(value, (bytes, bytearray, memoryview)):
            raise TypeError(f"header {key!r}: value must be bytes or None, not {type(value).__name__}")
        try:
            key.encode()
        except UnicodeEncodeError:
            raise ValueError(f"header {n}: key has a lone surrogate, which UTF-8 cannot hold") from None
        yield Header(key, None if value is None else bytes(value))


def _headers_size(headers: tuple[Header, ...]) -> int:
    if not headers:
        return 0
    fields = [field for key, value in headers for field in (key.encode(), value or b"")]
    return _varint_size(len(headers)) + sum(_varint_size(len(field)) + len(field) for field in fields)


def _varint_size(number: int) -> int:
    """Bytes of a number from 0 on, zigzag encoded."""
    return max(1, ((number << 1).bit_length() + 6) // 7)
