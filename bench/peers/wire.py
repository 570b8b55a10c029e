"""The few Kafka bytes that the runner writes itself, so that counting and replaying depend on no client.

Produce v7 and ListOffsets v1: served by every broker from 2.1 to 4.x.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Sequence
from typing import Self

API_PRODUCE, API_LIST_OFFSETS = 0, 2
LATEST = -1
TIMEOUT_S = 30.0


def _crc_table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
        table.append(crc)
    return tuple(table)


_CRC = _crc_table()


def crc32c(data: bytes) -> int:
    """Return the CRC-32C of `data`; slow, for what is encoded once and sent many times."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = (crc >> 8) ^ _CRC[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def _varint(value: int) -> bytes:
    rest = (value << 1) ^ (value >> 63)
    out = bytearray()
    while rest > 0x7F:
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    out.append(rest)
    return bytes(out)


def encode_record(value: bytes, offset_delta: int) -> bytes:
    """Return one record of a v2 batch: no key, no headers, timestamp delta 0."""
    body = b"\0\0" + _varint(offset_delta) + _varint(-1) + _varint(len(value)) + value + b"\0"
    return _varint(len(body)) + body


def encode_batch(values: Sequence[bytes], timestamp_ms: int) -> bytes:
    """Return an uncompressed batch v2 without a producer id, so that a broker takes it again and again."""
    records = b"".join(encode_record(value, index) for index, value in enumerate(values))
    count = len(values)
    covered = struct.pack(">hiqqqhii", 0, count - 1, timestamp_ms, timestamp_ms, -1, -1, -1, count) + records
    return struct.pack(">qiibI", 0, len(covered) + 9, -1, 2, crc32c(covered)) + covered


def fill_batch(values: Sequence[bytes], size_bytes: int, timestamp_ms: int) -> tuple[bytes, int]:
    """Return a batch of at most `size_bytes` (but one record) from the front of `values`, and its count."""
    size, count = 61, 0
    while count < len(values):
        size += len(encode_record(values[count], count))
        if size > size_bytes and count > 0:
            break
        count += 1
    return encode_batch(values[:count], timestamp_ms), count


def _string(text: str) -> bytes:
    data = text.encode()
    return struct.pack(">h", len(data)) + data


def _frame(api_key: int, version: int, body: bytes) -> bytes:
    header = struct.pack(">hhi", api_key, version, 0) + _string("bench-peers")
    return struct.pack(">i", len(header) + len(body)) + header + body


def produce_frame(topic: str, batches: dict[int, bytes], timeout_ms: int = 30_000) -> bytes:
    """Return a Produce v7 request with acks=all and one batch for each partition."""
    parts = [struct.pack(">ii", index, len(batch)) + batch for index, batch in batches.items()]
    body = struct.pack(">hhii", -1, -1, timeout_ms, 1) + _string(topic) + struct.pack(">i", len(parts))
    return _frame(API_PRODUCE, 7, body + b"".join(parts))


def produce_errors(answer: bytes) -> list[int]:
    """Return the error code of each partition in the Produce v7 answer of one topic."""
    (name_size,) = struct.unpack_from(">h", answer, 8)
    at = 10 + name_size
    (count,) = struct.unpack_from(">i", answer, at)
    return [struct.unpack_from(">h", answer, at + 8 + 30 * index)[0] for index in range(count)]


class ListOffsetsError(RuntimeError):
    """The broker could not tell the end of a partition."""


class Connection:
    """A blocking connection to one broker; one thread."""

    def __init__(self, bootstrap_servers: str) -> None:
        host, port = bootstrap_servers.split(",", maxsplit=1)[0].rsplit(":", 1)
        self._socket = socket.create_connection((host, int(port)), TIMEOUT_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, frame: bytes) -> None:
        """Write one whole request."""
        self._socket.sendall(frame)

    def receive(self) -> bytes:
        """Return one answer from its correlation id on.

        Raises:
            ConnectionError: the broker closed the connection.
        """
        (size,) = struct.unpack(">i", self._exactly(4))
        return self._exactly(size)

    def _exactly(self, size: int) -> bytes:
        data = self._socket.recv(size, socket.MSG_WAITALL)
        if len(data) != size:
            raise ConnectionError("the broker closed the connection")
        return data

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def wait_for_topic(connection: Connection, topic: str, partitions: int) -> None:
    """Wait until the broker leads every partition of `topic`, which metadata may promise a moment too early.

    Raises:
        TimeoutError: it does not after 30 s.
    """
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        try:
            end_offsets(connection, topic, partitions)
            return
        except ListOffsetsError as error:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{error}, for {TIMEOUT_S} s") from error
            time.sleep(0.1)


def end_offsets(connection: Connection, topic: str, partitions: int) -> list[int]:
    """Return the end offset of each partition.

    Raises:
        ListOffsetsError: the broker answered with an error code.
    """
    asked = b"".join(struct.pack(">iq", index, LATEST) for index in range(partitions))
    body = struct.pack(">ii", -1, 1) + _string(topic) + struct.pack(">i", partitions) + asked
    connection.send(_frame(API_LIST_OFFSETS, 1, body))
    reader = _Reader(connection.receive(), 8)
    reader.string()
    offsets = [0] * partitions
    for _ in range(reader.i32()):
        index, error = reader.i32(), reader.i16()
        reader.skip(8)
        offsets[index] = reader.i64()
        if error != 0:
            raise ListOffsetsError(f"ListOffsets of {topic}-{index}: error code {error}")
    return offsets


class _Reader:
    """A cursor over an answer of a broker that the runner started itself."""

    def __init__(self, data: bytes, at: int) -> None:
        self._data, self._at = data, at

    def _read(self, size: int) -> int:
        self._at += size
        return int.from_bytes(self._data[self._at - size : self._at], "big", signed=True)

    def i16(self) -> int:
        return self._read(2)

    def i32(self) -> int:
        return self._read(4)

    def i64(self) -> int:
        return self._read(8)

    def skip(self, size: int) -> None:
        self._at += size

    def string(self) -> None:
        self.skip(max(0, self.i16()))
