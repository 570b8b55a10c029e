"""An independent decoder of record batches v2: kafka-python parses, PyPI's codecs decompress, our own code Snappy.

Nothing of the package under test is used here.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from struct import Struct
from typing import Any, Final

import lz4.frame
import zstandard
from kafka.record.default_records import DefaultRecordBatch

from tests.wire.snappy import decompress_raw

HEADER_SIZE: Final = 61
CODECS: Final = ("none", "gzip", "snappy", "lz4", "zstd")

_BATCH_START: Final = Struct(">qi")
_LENGTH_EXCLUDES: Final = 12
_ATTRIBUTES: Final = Struct(">h")
_ATTRIBUTES_AT: Final = 21
_INT32: Final = Struct(">i")
_XERIAL_MAGIC: Final = b"\x82SNAPPY\x00"
_XERIAL_HEADER_SIZE: Final = 16


@dataclass(frozen=True, slots=True)
class DecodedRecord:
    """A record as a consumer sees it."""

    offset_delta: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]


@dataclass(frozen=True, slots=True)
class DecodedBatch:
    """The facts of a batch's header, whether its CRC is right, and its records."""

    size_bytes: int
    base_offset: int
    leader_epoch: int
    magic: int
    crc_ok: bool
    attributes: int
    last_offset_delta: int
    base_timestamp: int
    max_timestamp: int
    producer_id: int
    producer_epoch: int
    base_sequence: int
    record_count: int
    records: tuple[DecodedRecord, ...]

    @property
    def codec(self) -> str:
        """The compression's name."""
        return CODECS[self.attributes & 0x07]

    @property
    def is_transactional(self) -> bool:
        """True if the batch belongs to a transaction."""
        return bool(self.attributes & 0x10)


def decode_batch(data: bytes, *, check_crc: bool = True) -> DecodedBatch:
    """Decode one batch that must fill the data.

    Args:
        data: header and records, as in a Produce request.
        check_crc: False skips the checksum, which is slow in Python (0.3 s for 1 MiB).

    Raises:
        ValueError: the length field disagrees with the data, or the magic byte is not 2.
        Exception: kafka-python or a codec found the content malformed.
    """
    _, length = _BATCH_START.unpack_from(data)
    if length + _LENGTH_EXCLUDES != len(data):
        raise ValueError(f"length field says {length + _LENGTH_EXCLUDES} bytes, there are {len(data)}")
    header = DefaultRecordBatch(data)
    if header.magic != 2:
        raise ValueError(f"magic is {header.magic}")
    return DecodedBatch(
        size_bytes=len(data),
        base_offset=header.base_offset,
        leader_epoch=header.leader_epoch,
        magic=header.magic,
        crc_ok=header.validate_crc() if check_crc else False,
        attributes=header.attributes,
        last_offset_delta=header.last_offset_delta,
        base_timestamp=header.first_timestamp,
        max_timestamp=header.max_timestamp,
        producer_id=header.producer_id,
        producer_epoch=header.producer_epoch,
        base_sequence=header.base_sequence,
        record_count=header.records_count,
        records=tuple(_records(data, header)),
    )


def decode_batches(data: bytes, *, check_crc: bool = True) -> list[DecodedBatch]:
    """Decode batches that stand one after another, as in a log segment."""
    batches, start = [], 0
    while start < len(data):
        _, length = _BATCH_START.unpack_from(data, start)
        end = start + length + _LENGTH_EXCLUDES
        batches.append(decode_batch(data[start:end], check_crc=check_crc))
        start = end
    return batches


def _records(data: bytes, header: Any) -> Iterator[DecodedRecord]:
    # kafka-python caps zstd at 1 MiB and lacks snappy here, so it gets the records uncompressed.
    plain = bytearray(data[:HEADER_SIZE] + _decompress(CODECS[header.attributes & 0x07], data[HEADER_SIZE:]))
    _ATTRIBUTES.pack_into(plain, _ATTRIBUTES_AT, header.attributes & ~0x07)
    for record in DefaultRecordBatch(plain):
        yield DecodedRecord(
            offset_delta=record.offset - header.base_offset,
            timestamp=record.timestamp,
            key=record.key,
            value=record.value,
            headers=tuple(record.headers),
        )


def _decompress(codec: str, data: bytes) -> bytes:
    if codec == "gzip":
        return gzip.decompress(data)
    if codec == "snappy":
        return _decompress_snappy(data)
    if codec == "lz4":
        return bytes(lz4.frame.decompress(data))
    if codec == "zstd":
        return zstandard.ZstdDecompressor().decompressobj().decompress(data)
    return data


def _decompress_snappy(data: bytes) -> bytes:
    if not data.startswith(_XERIAL_MAGIC):
        return decompress_raw(data)
    blocks, start = [], _XERIAL_HEADER_SIZE
    while start < len(data):
        (size,) = _INT32.unpack_from(data, start)
        start += _INT32.size
        blocks.append(decompress_raw(data[start : start + size]))
        start += size
    return b"".join(blocks)
