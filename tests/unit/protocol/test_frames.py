"""The frame splitter: any chunking gives the same frames, a bad size is refused before memory is taken."""

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kproducer.errors import InvalidFrameSizeError
from kproducer.protocol.frames import DEFAULT_FRAME_LIMIT, FrameSplitter


def framed(*payloads: bytes) -> bytes:
    return b"".join(len(payload).to_bytes(4, "big") + payload for payload in payloads)


@given(
    payloads=st.lists(st.binary(min_size=4, max_size=50), max_size=6),
    cuts=st.lists(st.integers(1, 30), min_size=1, max_size=50),
)
def test_any_chunking_gives_the_same_frames(payloads: list[bytes], cuts: list[int]) -> None:
    stream, splitter, seen = framed(*payloads), FrameSplitter(), []
    position = turn = 0
    while position < len(stream):
        size = cuts[turn % len(cuts)]
        seen += splitter.feed(stream[position : position + size])
        position += size
        turn += 1
    assert seen == payloads
    assert splitter.buffered_bytes == 0


def test_byte_by_byte_gives_each_frame_at_its_last_byte() -> None:
    splitter = FrameSplitter()
    results = [splitter.feed(bytes([byte])) for byte in framed(b"abcd", b"efghi")]
    assert [(index, frames) for index, frames in enumerate(results) if frames] == [
        (7, [b"abcd"]),
        (16, [b"efghi"]),
    ]


@pytest.mark.parametrize("size", ["7fffffff", "ffffffff", "80000000", "00000000", "00000003", "01000001"])
def test_bad_size_is_refused_before_memory_is_taken(size: str) -> None:
    splitter = FrameSplitter()
    tracemalloc.start()
    with pytest.raises(InvalidFrameSizeError, match="allowed are 4 to 16777216"):
        splitter.feed(bytes.fromhex(size))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64 * 1024


def test_frame_of_exactly_the_limit_is_accepted() -> None:
    payload = bytes(DEFAULT_FRAME_LIMIT)
    assert FrameSplitter().feed(framed(payload)) == [payload]


def test_limit_may_rise_between_frames() -> None:
    splitter = FrameSplitter(limit=8)
    assert splitter.feed(framed(b"small")) == [b"small"]
    splitter.limit = 100
    assert splitter.feed(framed(b"much bigger")) == [b"much bigger"]


def test_lost_position_is_reported_again() -> None:
    splitter = FrameSplitter()
    for _ in range(2):
        with pytest.raises(InvalidFrameSizeError):
            splitter.feed(b"\xff\xff\xff\xff")


def test_memoryviews_are_accepted() -> None:
    assert FrameSplitter().feed(memoryview(framed(b"abcd"))) == [b"abcd"]
