"""Answers of brokers as the fault proxy changes or forges them: addresses moved, requests refused.

Of each message only what is needed is read, up to the newest version that is known here; the rest is copied.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import Final, NamedTuple, TypeAlias

from kproducer.testing.frames import (
    SIZE_BYTES,
    FieldReader,
    FieldWriter,
    FrameError,
    RequestHead,
    framed,
)


class ApiKey(IntEnum):
    """Kafka's numbers of the requests that a producer sends."""

    PRODUCE = 0
    METADATA = 3
    FIND_COORDINATOR = 10
    API_VERSIONS = 18
    INIT_PRODUCER_ID = 22
    ADD_PARTITIONS_TO_TXN = 24
    ADD_OFFSETS_TO_TXN = 25
    END_TXN = 26
    TXN_OFFSET_COMMIT = 28


class Address(NamedTuple):
    """Where a broker listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


Move: TypeAlias = Callable[[Address], Address]

_HEAD_BYTES: Final = SIZE_BYTES + 8
_CORRELATION_BYTES: Final = 4
_NO_OFFSET: Final = -1
_ID_BYTES: Final = 16
_NODE_ENDPOINTS_TAG: Final = 0
_COORDINATORS_IN_A_LIST: Final = 4
# KIP-951: who is not the leader any more says where the new one is.
_PRODUCE_WITH_ENDPOINTS: Final = 10
_PRODUCE_BY_TOPIC_ID: Final = 13

# The first flexible version of each API (KIP-482), and the newest that is known here.
FLEXIBLE_FROM: Final[dict[int, int]] = {
    ApiKey.PRODUCE: 9,
    ApiKey.METADATA: 9,
    ApiKey.FIND_COORDINATOR: 3,
    ApiKey.INIT_PRODUCER_ID: 2,
    ApiKey.ADD_PARTITIONS_TO_TXN: 3,
    ApiKey.ADD_OFFSETS_TO_TXN: 3,
    ApiKey.END_TXN: 3,
    ApiKey.TXN_OFFSET_COMMIT: 3,
}
NEWEST: Final[dict[int, int]] = {
    ApiKey.PRODUCE: 13,
    ApiKey.METADATA: 13,
    ApiKey.FIND_COORDINATOR: 6,
    ApiKey.INIT_PRODUCER_ID: 5,
    ApiKey.ADD_PARTITIONS_TO_TXN: 3,
    ApiKey.ADD_OFFSETS_TO_TXN: 4,
    ApiKey.END_TXN: 5,
    ApiKey.TXN_OFFSET_COMMIT: 5,
}
_OLDEST_PRODUCE: Final = 3


# --- addresses ------------------------------------------------------------------------------------------------


def readdress(frame: bytes, api_key: int, version: int, move: Move) -> bytes:
    """Put other addresses into an answer.

    Args:
        frame: the answer, size included.
        api_key, version: of its request.
        move: tells the new address of each broker that is named.

    Raises:
        FrameError: the frame is no such answer, or of a version that is not known.
    """
    find = _FINDERS.get(api_key)
    if find is None or (api_key == ApiKey.PRODUCE and version < _PRODUCE_WITH_ENDPOINTS):
        return frame
    is_flexible = _is_flexible(api_key, version)
    reader = FieldReader(frame, SIZE_BYTES + _CORRELATION_BYTES, is_flexible=is_flexible)
    reader.tags()
    begin, patch = find(reader, version, move)
    if patch == reader.since(begin):
        return frame
    return framed(frame[SIZE_BYTES:begin] + patch + frame[reader.at :])


def _is_flexible(api_key: int, version: int) -> bool:
    if version > NEWEST[api_key]:
        name = ApiKey(api_key).name
        raise FrameError(f"{name} version {version}: the proxy knows versions up to {NEWEST[api_key]}")
    return version >= FLEXIBLE_FROM[api_key]


def _moved(reader: FieldReader, writer: FieldWriter, move: Move) -> None:
    """Copy a host and a port, moved; a broker that is not known has an empty host."""
    address = Address(reader.text() or "", reader.int32())
    moved = move(address) if address.host else address
    writer.text(moved.host)
    writer.int32(moved.port)


def _in_metadata(reader: FieldReader, version: int, move: Move) -> tuple[int, bytes]:
    if version >= 3:
        reader.int32()  # throttle time
    writer = FieldWriter(is_flexible=version >= FLEXIBLE_FROM[ApiKey.METADATA])
    begin, brokers = reader.at, reader.count()
    writer.count(brokers)
    for _ in range(brokers):
        writer.int32(reader.int32())  # node id
        _moved(reader, writer, move)
        if version >= 1:
            writer.text(reader.text())  # rack
        writer.tags(reader.tags())
    return begin, writer.getvalue()


def _in_coordinators(reader: FieldReader, version: int, move: Move) -> tuple[int, bytes]:
    if version >= 1:
        reader.int32()  # throttle time
    writer = FieldWriter(is_flexible=version >= FLEXIBLE_FROM[ApiKey.FIND_COORDINATOR])
    if version < _COORDINATORS_IN_A_LIST:
        reader.int16()  # error code
        if version >= 1:
            reader.text()
        reader.int32()  # node id
        begin = reader.at
        _moved(reader, writer, move)
        return begin, writer.getvalue()
    begin, coordinators = reader.at, reader.count()
    writer.count(coordinators)
    for _ in range(coordinators):
        writer.text(reader.text())  # key
        writer.int32(reader.int32())  # node id
        _moved(reader, writer, move)
        writer.int16(reader.int16())
        writer.text(reader.text())
        writer.tags(reader.tags())
    return begin, writer.getvalue()


def _in_produced(reader: FieldReader, version: int, move: Move) -> tuple[int, bytes]:
    for _ in range(reader.count()):
        _copy_topic(reader, FieldWriter(is_flexible=True), version)
        for _ in range(reader.count()):
            reader.raw(4 + 2 + 8 + 8 + 8)  # partition, error code, offset, append time, log start
            for _ in range(reader.count()):  # refused records (KIP-467)
                reader.int32()
                reader.text()
                reader.tags()
            reader.text()
            reader.tags()
        reader.tags()
    reader.int32()  # throttle time
    begin = reader.at
    tags = [
        (number, _moved_endpoints(content, move) if number == _NODE_ENDPOINTS_TAG else content)
        for number, content in reader.tags()
    ]
    writer = FieldWriter(is_flexible=True)
    writer.tags(tags)
    return begin, writer.getvalue()


def _moved_endpoints(content: bytes, move: Move) -> bytes:
    reader, writer = FieldReader(content, 0, is_flexible=True), FieldWriter(is_flexible=True)
    endpoints = reader.count()
    writer.count(endpoints)
    for _ in range(endpoints):
        writer.int32(reader.int32())  # node id
        _moved(reader, writer, move)
        writer.text(reader.text())  # rack
        writer.tags(reader.tags())
    return writer.getvalue()


_FINDERS: Final[dict[int, Callable[[FieldReader, int, Move], tuple[int, bytes]]]] = {
    ApiKey.METADATA: _in_metadata,
    ApiKey.FIND_COORDINATOR: _in_coordinators,
    ApiKey.PRODUCE: _in_produced,
}


# --- refusals -------------------------------------------------------------------------------------------------


def is_answered(frame: bytes) -> bool:
    """Whether a broker answers this request: all but Produce with acks=0."""
    head = RequestHead.of(frame)
    if head.api_key != ApiKey.PRODUCE or not _OLDEST_PRODUCE <= head.api_version <= NEWEST[ApiKey.PRODUCE]:
        return True
    reader = _request_body(frame, head)
    reader.text()  # transactional id
    return reader.int16() != 0


def refusal(frame: bytes, code: int) -> bytes:
    """Return the answer that refuses a request with an error code, for each partition that it names.

    Args:
        frame: the request, size included.
        code: number of the error.

    Raises:
        FrameError: the request is of an API or a version for which no answer is known.
    """
    head = RequestHead.of(frame)
    refuse = _REFUSERS.get(head.api_key)
    if refuse is None:
        allowed = ", ".join(ApiKey(key).name for key in sorted(_REFUSERS))
        raise FrameError(f"no error answer is known for API {head.api_key}; allowed are {allowed}")
    reader = _request_body(frame, head)
    writer = FieldWriter(is_flexible=_is_flexible(head.api_key, head.api_version))
    writer.int32(head.correlation_id)
    writer.tags()
    refuse(reader, writer, head.api_version, code)
    writer.tags()
    return framed(writer.getvalue())


def can_refuse(api_key: int | None) -> bool:
    """Whether `refusal` knows the API."""
    return api_key in _REFUSERS


def _request_body(frame: bytes, head: RequestHead) -> FieldReader:
    # The client id is never compact, so that a broker can read it before it knows the version.
    client_id = FieldReader(frame, _HEAD_BYTES, is_flexible=False)
    client_id.text()
    is_flexible = _is_flexible(head.api_key, head.api_version)
    reader = FieldReader(frame, client_id.at, is_flexible=is_flexible)
    reader.tags()
    return reader


def _copy_topic(reader: FieldReader, writer: FieldWriter, version: int) -> None:
    """Copy what names a topic in Produce."""
    if version >= _PRODUCE_BY_TOPIC_ID:
        writer.raw(reader.raw(_ID_BYTES))
    else:
        writer.text(reader.text())


def _refuse_produce(reader: FieldReader, writer: FieldWriter, version: int, code: int) -> None:
    if version < _OLDEST_PRODUCE:
        raise FrameError(f"PRODUCE version {version}: the proxy knows versions from {_OLDEST_PRODUCE} on")
    reader.text()  # transactional id
    reader.raw(2 + 4)  # acks, timeout
    topics = reader.count()
    writer.count(topics)
    for _ in range(topics):
        _copy_topic(reader, writer, version)
        partitions = reader.count()
        writer.count(partitions)
        for _ in range(partitions):
            writer.int32(reader.int32())
            reader.skip_bytes()
            reader.tags()
            _write_refused_batch(writer, version, code)
        reader.tags()
        writer.tags()
    writer.int32(0)  # throttle time


def _write_refused_batch(writer: FieldWriter, version: int, code: int) -> None:
    writer.int16(code)
    writer.int64(_NO_OFFSET)
    writer.int64(-1)  # append time
    if version >= 5:
        writer.int64(_NO_OFFSET)  # start of the log
    if version >= 8:
        writer.count(0)  # refused records
        writer.text(None)
    writer.tags()


def _refuse_find_coordinator(reader: FieldReader, writer: FieldWriter, version: int, code: int) -> None:
    if version >= 1:
        writer.int32(0)  # throttle time
    if version < _COORDINATORS_IN_A_LIST:
        writer.int16(code)
        if version >= 1:
            writer.text(None)
        _write_nobody(writer)
        return
    reader.raw(1)  # type of the key
    keys = reader.count()
    writer.count(keys)
    for _ in range(keys):
        writer.text(reader.text())
        _write_nobody(writer)
        writer.int16(code)
        writer.text(None)
        writer.tags()


def _write_nobody(writer: FieldWriter) -> None:
    writer.int32(-1)
    writer.text("")
    writer.int32(-1)


def _refuse_init_producer_id(reader: FieldReader, writer: FieldWriter, version: int, code: int) -> None:
    _refuse_plainly(reader, writer, version, code)
    writer.int64(-1)  # producer id
    writer.int16(-1)  # epoch


def _refuse_end_txn(reader: FieldReader, writer: FieldWriter, version: int, code: int) -> None:
    _refuse_plainly(reader, writer, version, code)
    if version >= 5:
        writer.int64(-1)  # the next producer id
        writer.int16(-1)  # and epoch


def _refuse_plainly(reader: FieldReader, writer: FieldWriter, version: int, code: int) -> None:
    writer.int32(0)  # throttle time
    writer.int16(code)


def _refuse_partitions(reader: FieldReader, writer: FieldWriter, version: int, code: int) -> None:
    reader.text()  # transactional id
    reader.raw(8 + 2)  # producer id, epoch
    _refuse_each(reader, writer, code, lambda: None)


def _refuse_offsets(reader: FieldReader, writer: FieldWriter, version: int, code: int) -> None:
    reader.text()  # transactional id
    reader.text()  # group
    reader.raw(8 + 2)  # producer id, epoch
    if version >= 3:
        reader.int32()  # generation
        reader.text()  # member
        reader.text()  # static member

    def skip_offset() -> None:
        reader.raw(8 + 4 if version >= 2 else 8)  # offset, leader epoch
        reader.text()  # metadata
        reader.tags()

    _refuse_each(reader, writer, code, skip_offset)


def _refuse_each(reader: FieldReader, writer: FieldWriter, code: int, skip_rest: Callable[[], None]) -> None:
    """Answer topics of partitions with topics of (partition, code)."""
    writer.int32(0)  # throttle time
    topics = reader.count()
    writer.count(topics)
    for _ in range(topics):
        writer.text(reader.text())
        partitions = reader.count()
        writer.count(partitions)
        for _ in range(partitions):
            writer.int32(reader.int32())
            skip_rest()
            writer.int16(code)
            writer.tags()
        reader.tags()
        writer.tags()


_REFUSERS: Final[dict[int, Callable[[FieldReader, FieldWriter, int, int], None]]] = {
    ApiKey.PRODUCE: _refuse_produce,
    ApiKey.FIND_COORDINATOR: _refuse_find_coordinator,
    ApiKey.INIT_PRODUCER_ID: _refuse_init_producer_id,
    ApiKey.ADD_PARTITIONS_TO_TXN: _refuse_partitions,
    ApiKey.ADD_OFFSETS_TO_TXN: _refuse_plainly,
    ApiKey.END_TXN: _refuse_end_txn,
    ApiKey.TXN_OFFSET_COMMIT: _refuse_offsets,
}
