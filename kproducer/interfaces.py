"""The Protocols that users implement; plain functions satisfy those with `__call__` alone.

Serializers, partitioners and `on_send` are called by `send()`, on its thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from kproducer.types import Headers, Metrics, ProducerRecord, RecordMetadata

if TYPE_CHECKING:
    from typing_extensions import Buffer


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


class PartitionerObject(Protocol):
    """The same as a method, after Java's interface; wherever a Partitioner is taken, so is this, and a class of it.

    Of a class, the producer makes an object without arguments, calls `configure(settings)` with the values in use by
    dotted name, and `close()` when it is closed; the class need not have these two.
    """

    def partition(self, topic: str, key: bytes | None, value: bytes | None, partition_count: int, /) -> int:
        """Return a number from 0 to `partition_count - 1` for the serialized key and value."""
        ...


class Interceptor(Protocol):
    """Sees every record before it is serialized, and every outcome; Java's ProducerInterceptor (KIP-42, KIP-512).

    Subclass it and override what you need. What it raises is logged and goes no further.
    """

    def on_send(self, record: ProducerRecord) -> ProducerRecord:
        """Return the record to send, this one or a changed copy of it; runs on the thread that sends.

        Key and value are not serialized yet, and `record.headers` is a sequence of pairs, never None.
        """
        return record

    # A statement each, so that subclasses need not override them: a Protocol's body of `...` counts as abstract.
    def on_acknowledgement(self, metadata: RecordMetadata, error: Exception | None, headers: Headers) -> None:
        """Take note of an outcome; runs before the record's own callback, on the delivery thread.

        If sending failed before the record was accepted, it runs on the thread that sent, and `send()` raises.

        metadata: where the record is; on failure its topic, and its partition or -1.
        error: why it failed, or None.
        headers: as they were sent.
        """
        return

    def close(self) -> None:
        """Let go of what the interceptor holds; called once, when the producer is closed."""
        return


class StatisticsCallback(Protocol):
    """Is told of the metrics each `statistics.interval.ms`, as librdkafka's stats_cb."""

    def __call__(self, metrics: Metrics, /) -> object:
        """Take what `metrics()` returns; runs on the delivery thread, where what it raises is logged."""
        ...


class ArrowArray(Protocol):
    """An array that hands itself over by Arrow's PyCapsule interface: pyarrow's, nanoarrow's, arro3's."""

    def __arrow_c_array__(self) -> tuple[object, object]:
        """Return the capsules `arrow_schema` and `arrow_array`."""
        ...


class ArrowStream(Protocol):
    """The same for one that comes in pieces: pyarrow's ChunkedArray, a Series of pandas or polars."""

    def __arrow_c_stream__(self) -> object:
        """Return the capsule `arrow_array_stream`."""
        ...


# What `send_columns()` takes; a buffer has a row for each record, as a NumPy array has.
Column: TypeAlias = "ArrowArray | ArrowStream | Buffer"
