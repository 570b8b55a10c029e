"""What both ways of sending a large value ask of the producer and of the value."""

from __future__ import annotations

from kproducer import Headers, KafkaProducer, ProducerConfig
from kproducer.headers import has_header
from kproducer.serializers import ByteArraySerializer

# Leaves an eighth of a request to the key, the headers, and the batch around them.
_SHARE_OF_A_REQUEST = 7 / 8


def refuse_value_serializer(producer: KafkaProducer, sender: str) -> None:
    """Raise ValueError if the producer would serialize what is bytes already."""
    serializer = producer.config.value_serializer
    if serializer is not None and not isinstance(serializer, ByteArraySerializer):
        raise ValueError(
            f"{sender} sends bytes: it needs a producer without value.serializer, or with ByteArraySerializer"
        )


def default_limit(config: ProducerConfig) -> int:
    """Return the bytes of a value that surely fit a request, with an ordinary key and headers."""
    return max(1, int(config.max_request_size * _SHARE_OF_A_REQUEST))


def checked_limit(name: str, limit: int | None, config: ProducerConfig) -> int:
    """Return the limit, or the default for None; raise TypeError or ValueError."""
    if limit is None:
        return default_limit(config)
    if isinstance(limit, bool) or not isinstance(limit, int):
        raise TypeError(f"{name} must be int or None, not {type(limit).__name__}")
    if limit < 1:
        raise ValueError(f"{name}={limit}: must be 1 or more")
    return limit


def as_bytes_view(value: object) -> memoryview:
    """Return the value as a flat view of bytes, uncopied."""
    if not isinstance(value, bytes | bytearray | memoryview):
        raise TypeError(f"value must be bytes-like, not {type(value).__name__}")
    view = memoryview(value)
    if not view.c_contiguous:
        raise TypeError("value must be contiguous: bytes(value) copies it")
    return view.cast("B")


def refuse_own_header(headers: Headers | None, name: str) -> None:
    """Raise ValueError if the record looks like one of ours already."""
    if has_header(headers, name):
        raise ValueError(f"the header {name!r} belongs to kproducer.large")
