"""A decoder of raw Snappy in Python, from the description of its format; not every interpreter has a package for it."""

from __future__ import annotations


def decompress_raw(data: bytes) -> bytes:
    """The plain bytes of one raw block; ValueError if it does not hold what it says."""
    size, at = _varint(data)
    out = bytearray()
    while at < len(data):
        tag = data[at]
        at = _copy(data, at, out) if tag & 3 else _literal(data, at, out)
    if len(out) != size:
        raise ValueError(f"{len(out)} bytes instead of {size}")
    return bytes(out)


def _varint(data: bytes) -> tuple[int, int]:
    """The number at the start, and where it ends."""
    value = 0
    for at, byte in enumerate(data[:5]):
        value |= (byte & 0x7F) << (7 * at)
        if byte < 0x80:
            return value, at + 1
    raise ValueError("the length does not end")


def _literal(data: bytes, at: int, out: bytearray) -> int:
    """Append the bytes that stand behind their tag; return where the next tag is."""
    length, at = data[at] >> 2, at + 1
    if length >= 60:  # the length itself stands in the next one to four bytes
        width = length - 59
        length, at = int.from_bytes(data[at : at + width], "little"), at + width
    end = at + length + 1
    if end > len(data):
        raise ValueError("a literal is cut")
    out += data[at:end]
    return end


def _copy(data: bytes, at: int, out: bytearray) -> int:
    """Append what stands some way back, which may overlap its own end; return where the next tag is."""
    tag, width = data[at], (0, 1, 2, 4)[data[at] & 3]
    offset, end = int.from_bytes(data[at + 1 : at + 1 + width], "little"), at + 1 + width
    if end > len(data):
        raise ValueError("a copy is cut")
    length = (tag >> 2) + 1
    if width == 1:
        length, offset = (tag >> 2 & 7) + 4, offset | (tag >> 5) << 8
    if not 0 < offset <= len(out):
        raise ValueError(f"a copy from {offset} bytes back, where {len(out)} are")
    start = len(out) - offset
    out += (out[start : start + length] * (length // offset + 1))[:length]
    return end
