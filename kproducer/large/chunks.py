"""A large value as several records of one partition, and the way back. The convention is in docs/large_records.md.

The first chunk goes where the producer's partitioner puts it, the others follow it there by number: a topic that
grows, or a partitioner that looks at values, must not part them.
"""

from __future__ import annotations

import re
import uuid
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from kproducer import Headers, KafkaProducer, RecordFuture, RecordMetadata
from kproducer.headers import has_header, last_header
from kproducer.large.errors import LargeRecordError
from kproducer.large.values import as_bytes_view, checked_limit, refuse_own_header, refuse_value_serializer

CHUNK_ID: Final = "kproducer.chunk.id"
CHUNK_INDEX: Final = "kproducer.chunk.index"
CHUNK_COUNT: Final = "kproducer.chunk.count"
CHUNK_SIZE: Final = "kproducer.chunk.size"
CHUNK_CRC32: Final = "kproducer.chunk.crc32"

_OWN_HEADERS: Final = frozenset({CHUNK_ID, CHUNK_INDEX, CHUNK_COUNT, CHUNK_SIZE, CHUNK_CRC32})
_NUMBER: Final = re.compile(rb"[0-9]{1,18}")


# --- sending ------------------------------------------------------------------------------------------------


class ChunkedFuture:
    """The outcome of a value that was sent in one or more records.

    futures: of the records, in order.
    """

    def __init__(self, futures: Sequence[RecordFuture]) -> None:
        self.futures = tuple(futures)

    def done(self) -> bool:
        """Whether every outcome is known."""
        return all(future.done() for future in self.futures)

    def result(self, timeout: float | None = None) -> list[RecordMetadata]:
        """Return where each record is, waiting up to `timeout` seconds for each (default None: for ever).

        Raises:
            KafkaTimeoutError: an outcome is not known in time.
            KafkaError: a record failed, so the value cannot be put together again.
        """
        return [future.result(timeout) for future in self.futures]


class ChunkingSender:
    """Sends values of any size; those over `chunk_bytes` as several records.

    Not for compacted topics: the chunks share their key, so only the last one would stay.

    Args:
        producer: any KafkaProducer without a value serializer.
        chunk_bytes: of a value in one record, at most (default None: seven eighths of max.request.size).

    Raises:
        ValueError, TypeError: chunk_bytes is no size, or the producer serializes values.
    """

    def __init__(self, producer: KafkaProducer, *, chunk_bytes: int | None = None) -> None:
        refuse_value_serializer(producer, "ChunkingSender")
        self._producer = producer
        self._chunk_bytes = checked_limit("chunk_bytes", chunk_bytes, producer.config)

    def send(
        self,
        topic: str,
        value: bytes | bytearray | memoryview | None,
        key: Any = None,
        headers: Headers | None = None,
        partition: int | None = None,
        timestamp_ms: int | None = None,
    ) -> ChunkedFuture:
        """Send a value; the arguments are those of KafkaProducer.send().

        A value that fits goes as it is. Otherwise the call waits for the first chunk to be acknowledged, since that
        tells its partition, and for room in buffer.memory. If it raises, a part of the chunks may be in the log;
        within a transaction no consumer of committed records ever sees those.

        Raises:
            KafkaError: the first chunk failed, or a later one was not accepted.
        """
        refuse_own_header(headers, CHUNK_ID)
        data = None if value is None else as_bytes_view(value)
        if data is None or data.nbytes <= self._chunk_bytes:
            return ChunkedFuture([self._producer.send(topic, value, key, headers, partition, timestamp_ms)])
        futures = []
        marks = _marks_of(data, self._chunk_bytes)
        for index, start in enumerate(range(0, data.nbytes, self._chunk_bytes)):
            chunk = data[start : start + self._chunk_bytes]
            own = [*(headers or ()), *marks, (CHUNK_INDEX, b"%d" % index)]
            future = self._producer.send(topic, chunk, key, own, partition, timestamp_ms)
            if partition is None:
                partition = future.result().partition
            futures.append(future)
        return ChunkedFuture(futures)


def _marks_of(data: memoryview, chunk_bytes: int) -> list[tuple[str, bytes]]:
    """The headers that all chunks of a value share."""
    return [
        (CHUNK_ID, uuid.uuid4().hex.encode()),
        (CHUNK_COUNT, b"%d" % -(-data.nbytes // chunk_bytes)),
        (CHUNK_SIZE, b"%d" % data.nbytes),
        (CHUNK_CRC32, b"%08x" % zlib.crc32(data)),
    ]


# --- putting together ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AssembledRecord:
    """A record as it was before it was cut, or one that never was.

    value: None for a null.
    headers: without those of the chunks.
    first_offset, last_offset: of the records that it came in.
    """

    value: bytes | None
    headers: Headers
    first_offset: int
    last_offset: int


@dataclass(slots=True)
class _Pending:
    count: int
    size: int
    crc32: bytes
    headers: Headers
    first_offset: int
    chunks: dict[int, bytes] = field(default_factory=dict)
    pending_bytes: int = 0


class ChunkAssembler:
    """Puts chunks together again, in a consumer of any library; records without chunks pass through.

    What never completes (a producer that died in between, a consumer that began in the middle) is given up when it
    is the oldest and there is no room. One thread at a time.

    Args:
        max_pending_bytes: of chunks that wait for others, at most, default 256 MiB; a larger value cannot be read.

    Attributes:
        given_up: how many values were given up.
    """

    def __init__(self, *, max_pending_bytes: int = 256 * 1024 * 1024) -> None:
        if max_pending_bytes < 1:
            raise ValueError(f"max_pending_bytes={max_pending_bytes}: must be 1 or more")
        self.given_up = 0
        self._max_pending_bytes = max_pending_bytes
        self._pending_bytes = 0
        self._pending: dict[tuple[str, int, bytes], _Pending] = {}

    def add(
        self, topic: str, partition: int, offset: int, value: bytes | None, headers: Headers | None
    ) -> AssembledRecord | None:
        """Take a record as it was consumed; return a complete one, or None while chunks are missing.

        Records of a partition come in the order of their offsets; one that comes again counts once.

        Raises:
            LargeRecordError: the headers of a chunk contradict themselves or another chunk's, the value is larger
                than max_pending_bytes, or its checksum is wrong. Its chunks are dropped; go on with the next record.
        """
        if not has_header(headers, CHUNK_ID):
            return AssembledRecord(value, headers or (), offset, offset)
        assert headers is not None
        place = (topic, partition, last_header(headers, CHUNK_ID) or b"")
        try:
            pending = self._take(place, offset, value or b"", headers)
            if len(pending.chunks) < pending.count:
                return None
            whole = _joined(pending)
        except LargeRecordError as error:
            error.topic, error.partition = topic, partition
            self._forget(place)
            raise
        self._forget(place)
        return AssembledRecord(whole, pending.headers, pending.first_offset, offset)

    def committable_offset(self, topic: str, partition: int, next_offset: int) -> int:
        """Return the offset to commit when `next_offset` is the next to read: not past the chunks that wait."""
        waiting = [
            pending.first_offset
            for (of_topic, of_partition, _), pending in self._pending.items()
            if (of_topic, of_partition) == (topic, partition)
        ]
        return min([next_offset, *waiting])

    def forget_partition(self, topic: str, partition: int) -> None:
        """Drop what waits, when the partition was revoked: its next reader begins at the committed offset."""
        for place in [place for place in self._pending if place[:2] == (topic, partition)]:
            self._forget(place)

    def _take(self, place: tuple[str, int, bytes], offset: int, chunk: bytes, headers: Headers) -> _Pending:
        index, count = _number(headers, CHUNK_INDEX), _number(headers, CHUNK_COUNT)
        size, crc32 = _number(headers, CHUNK_SIZE), last_header(headers, CHUNK_CRC32) or b""
        if index >= count:
            raise LargeRecordError(f"chunk {index} of {count}: there is no such chunk")
        if size > self._max_pending_bytes:
            raise LargeRecordError(f"value of {size} bytes: max_pending_bytes={self._max_pending_bytes}")
        pending = self._pending.get(place)
        if pending is None:
            pending = _Pending(count, size, crc32, _without_own(headers), offset)
            self._pending[place] = pending
        if (pending.count, pending.size, pending.crc32) != (count, size, crc32):
            raise LargeRecordError(f"chunk {index} of {count}: another chunk of the value says otherwise")
        if index not in pending.chunks:
            pending.chunks[index] = bytes(chunk)
            pending.pending_bytes += len(chunk)
            self._pending_bytes += len(chunk)
            self._make_room(place)
        return pending

    def _make_room(self, kept: tuple[str, int, bytes]) -> None:
        while self._pending_bytes > self._max_pending_bytes:
            oldest = next((place for place in self._pending if place != kept), None)
            if oldest is None:
                raise LargeRecordError(
                    f"chunks of one value exceed max_pending_bytes={self._max_pending_bytes}"
                )
            self._forget(oldest)
            self.given_up += 1

    def _forget(self, place: tuple[str, int, bytes]) -> None:
        pending = self._pending.pop(place, None)
        if pending is not None:
            self._pending_bytes -= pending.pending_bytes


def _without_own(headers: Headers) -> Headers:
    return tuple((name, value) for name, value in headers if name not in _OWN_HEADERS)


def _number(headers: Headers, name: str) -> int:
    text = last_header(headers, name) or b""
    if _NUMBER.fullmatch(text) is None:
        raise LargeRecordError(f"a chunk without a number in its header {name}")
    return int(text)


def _joined(pending: _Pending) -> bytes:
    whole = b"".join(pending.chunks[index] for index in range(pending.count))
    if len(whole) != pending.size or b"%08x" % zlib.crc32(whole) != pending.crc32:
        raise LargeRecordError(
            f"{pending.count} chunks with {len(whole)} bytes are not the value that was sent"
        )
    return whole
