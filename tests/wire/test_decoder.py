"""The independent decoder, tried on bytes that were not written by the package under test."""

from __future__ import annotations

import gzip
from collections.abc import Callable

import lz4.frame
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from kafka.record.memory_records import MemoryRecordsBuilder
from kafka.record.util import calc_crc32c

from tests.wire.decoder import HEADER_SIZE, DecodedRecord, decode_batch, decode_batches
from tests.wire.snappy import decompress_raw

# Written by hand from the layout in Kafka's DefaultRecordBatch; accepted by kafka-python.
GOLDEN = bytes.fromhex(
    "00000000000000000000004fffffffff022476425c00000000000200000174876e800000000174876e80050000000000001092"
    "0007000000640000000318000000026b027602026802780c000a0201010012000504000002026e01"
)
RECORDS = (
    DecodedRecord(0, 1600000000000, b"k", b"v", (("h", b"x"),)),
    DecodedRecord(1, 1600000000005, None, None, ()),
    DecodedRecord(2, 1599999999997, b"", b"", (("n", None),)),
)


def test_golden_batch_is_decoded() -> None:
    batch = decode_batch(GOLDEN)
    assert batch.records == RECORDS
    assert batch.crc_ok
    assert (batch.producer_id, batch.producer_epoch, batch.base_sequence) == (4242, 7, 100)
    assert (batch.base_offset, batch.leader_epoch, batch.magic, batch.attributes) == (0, -1, 2, 0)
    assert (batch.last_offset_delta, batch.record_count, batch.size_bytes) == (2, 3, len(GOLDEN))
    assert (batch.base_timestamp, batch.max_timestamp) == (1600000000000, 1600000000005)


def test_flipped_bit_is_seen_in_the_checksum() -> None:
    data = bytearray(GOLDEN)
    data[45] ^= 1
    assert not decode_batch(bytes(data)).crc_ok


def test_wrong_length_is_refused() -> None:
    with pytest.raises(ValueError, match="length field"):
        decode_batch(GOLDEN + b"\x00")


def snappy(data: bytes) -> bytes:
    cramjam = pytest.importorskip("cramjam", reason="needs cramjam")
    return bytes(cramjam.snappy.compress_raw(data))


def xerial(data: bytes, block: int = 16) -> bytes:
    out = b"\x82SNAPPY\x00" + (1).to_bytes(4, "big") * 2
    for start in range(0, len(data), block):
        piece = snappy(data[start : start + block])
        out += len(piece).to_bytes(4, "big") + piece
    return out


COMPRESSED = [
    ("gzip", 1, gzip.compress),
    ("snappy", 2, xerial),
    ("snappy", 2, snappy),
    ("lz4", 3, lz4.frame.compress),
    ("zstd", 4, zstandard.compress),
]


@pytest.mark.parametrize(("codec", "bits", "compress"), COMPRESSED)
def test_compressed_batch_gives_the_same_records(
    codec: str, bits: int, compress: Callable[[bytes], bytes]
) -> None:
    body = compress(GOLDEN[HEADER_SIZE:])
    data = bytearray(GOLDEN[:HEADER_SIZE] + body)
    data[8:12] = (len(data) - 12).to_bytes(4, "big")
    data[22] = bits
    data[17:21] = calc_crc32c(bytes(data[21:])).to_bytes(4, "big")
    batch = decode_batch(bytes(data))
    assert (batch.codec, batch.crc_ok, batch.records) == (codec, True, RECORDS)


@given(st.binary(max_size=40), st.integers(1, 3000))
def test_the_decoder_of_snappy_reads_what_another_writes(chunk: bytes, repeat: int) -> None:
    assert decompress_raw(snappy(chunk * repeat)) == chunk * repeat


@pytest.mark.parametrize(
    "data", [b"", b"\xff" * 5, b"\x05\x10abc", b"\x04\x05\x01", b"\x05\x00a\x05\x00", b"\x02\x00a"]
)
def test_the_decoder_of_snappy_refuses_what_does_not_fit(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"end|cut|back|instead"):
        decompress_raw(data)


def test_batches_in_a_row_are_decoded() -> None:
    builder = MemoryRecordsBuilder(magic=2, compression_type=0, batch_size=1000)
    builder.append(timestamp=5, key=b"a", value=b"b", headers=[])
    builder.close()
    first, second = decode_batches(bytes(builder.buffer()) + GOLDEN)
    assert first.records == (DecodedRecord(0, 5, b"a", b"b", ()),)
    assert second.records == RECORDS
