"""The hash functions, against known answers, other implementations and bad input."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka.partitioner.default import murmur2 as kafka_python_murmur2

from kproducer._core import hashing


# From Kafka's UtilsTest.testMurmur2.
@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_murmur2_gives_the_numbers_of_kafkas_own_test(data: bytes, expected: int) -> None:
    assert hashing.murmur2(data) == expected


@given(st.binary(max_size=100))
def test_murmur2_agrees_with_kafka_python(data: bytes) -> None:
    assert hashing.murmur2(data) & 0xFFFFFFFF == kafka_python_murmur2(data) & 0xFFFFFFFF


@given(st.binary(max_size=40), st.integers(1, 2**31 - 1))
def test_partition_is_the_positive_hash_modulo_the_count(key: bytes, count: int) -> None:
    assert hashing.murmur2_partition(key, count) == (kafka_python_murmur2(key) & 0x7FFFFFFF) % count


@pytest.mark.parametrize(
    ("data", "expected"),
    [(b"", 0), (b"123456789", 0xE3069283), (bytes(32), 0x8A9136AA), (b"\xff" * 32, 0x62A8AB43)],
)
def test_crc32c_gives_the_numbers_of_rfc_3720(data: bytes, expected: int) -> None:
    assert hashing.crc32c(data) == expected


@given(st.binary(max_size=5000), st.binary(max_size=5000))
def test_checksums_go_on_from_an_earlier_result(first: bytes, second: bytes) -> None:
    assert hashing.crc32(second, hashing.crc32(first)) == zlib.crc32(first + second)
    assert hashing.crc32c(second, hashing.crc32c(first)) == hashing.crc32c(first + second)


@pytest.mark.parametrize("wrap", [bytes, bytearray, memoryview])
def test_any_contiguous_buffer_can_be_hashed(wrap: type) -> None:
    assert hashing.murmur2(wrap(b"abc")) == 479470107
    assert hashing.crc32c(wrap(b"123456789")) == 0xE3069283


@pytest.mark.parametrize("function", [hashing.murmur2, hashing.crc32, hashing.crc32c])
def test_what_is_no_buffer_is_refused(function: object) -> None:
    assert callable(function)
    for wrong in ("text", 5, None, memoryview(b"abcdef")[::2]):
        with pytest.raises((TypeError, BufferError)):
            function(wrong)


@pytest.mark.parametrize("count", [0, -1])
def test_partition_count_must_be_positive(count: int) -> None:
    with pytest.raises(ValueError, match=f"partition_count={count}"):
        hashing.murmur2_partition(b"key", count)
