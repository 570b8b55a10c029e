"""The Protocols that users implement; plain functions satisfy them. Called by `send()`, on its thread."""

from __future__ import annotations

from typing import Any, Protocol


class Serializer(Protocol):
    """Turns a key or a value into bytes: `value_serializer=lambda v: json.dumps(v).encode()`."""

    # Any: only the user knows what the function takes; `object` would refuse every narrower function.
    def __call__(self, data: Any, /) -> bytes | bytearray | memoryview | None:
        """Return the bytes of `data`, or None for a null; what it raises is raised by `send()`."""
        ...


class Partitioner(Protocol):
    """Chooses the partition of each record that names none."""

    def __call__(self, topic: str, key: bytes | None, value: bytes | None, partition_count: int, /) -> int:
        """Return a number from 0 to `partition_count - 1` for the serialized key and value."""
        ...
