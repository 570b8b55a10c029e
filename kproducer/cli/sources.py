"""From an input file to records: chunks of bytes in, lists of values and keys out, in flat memory.

A line is the bytes between two b"\\n": nothing is stripped, decoded or dropped.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

CHUNK_BYTES = 1 << 18  # stays in the second-level cache from the read to the append
_CSV_ROWS = 4096
_MAX_CSV_FIELD = (1 << 31) - 1  # the module's own limit of 128 KiB would refuse valid rows

# Fills a buffer with the next bytes of the input and returns how many; 0 at the end.
ReadInto = Callable[[memoryview], int]


class InputError(ValueError):
    """The input as a whole cannot be used, for example a CSV file without the column of the keys."""


@dataclass(slots=True)
class Portion:
    """Records that are sent together, the bytes of input they came from, and what became no record.

    `values` is a list, or a block of lines as it was read: the core then finds the lines, without an object for each.
    A block is valid until the next portion is asked for.
    """

    values: list[bytes] | memoryview
    keys: list[bytes | None] | None
    size_bytes: int
    rejected: list[str]


class Format(Protocol):
    """Turns one input into portions."""

    def __call__(self, read_into: ReadInto, key_field: str | None) -> Iterator[Portion]: ...


def read_lines(read_into: ReadInto, key_field: str | None) -> Iterator[Portion]:
    """Each line is a value without a key."""
    for block in _blocks(read_into):
        yield Portion(block, None, len(block), [])


def read_ndjson(read_into: ReadInto, key_field: str | None) -> Iterator[Portion]:
    """Each line is a value as it is; with `key_field` the key is that field of the line's JSON object."""
    if key_field is None:
        yield from read_lines(read_into, None)
        return
    number = 0
    for lines, size_bytes in split_lines(read_into):
        portion = Portion([], [], size_bytes, [])
        for line in lines:
            number += 1
            _append_keyed(portion, line, key_field, f"line {number}")
        yield portion


def read_csv(read_into: ReadInto, key_field: str | None) -> Iterator[Portion]:
    """A row becomes a JSON object by the names in the first row; with `key_field` that column is the key."""
    source = _ChunkReader(read_into)
    text = io.TextIOWrapper(
        io.BufferedReader(source, CHUNK_BYTES), encoding="utf-8-sig", errors="surrogateescape", newline=""
    )
    csv.field_size_limit(_MAX_CSV_FIELD)
    rows = csv.reader(text, strict=True)
    try:
        header = next(rows, None)
    except csv.Error as error:
        raise InputError(f"the CSV header cannot be read: {error}") from error
    if header is None:
        return
    key_column = _key_column(header, key_field)
    reported = 0
    rejected: list[str] = []
    good_rows = _good_rows(rows, len(header), rejected)
    while True:
        taken = list(islice(good_rows, _CSV_ROWS))
        if not taken and not rejected:
            return
        values = [_encode(_compact_json(dict(zip(header, row, strict=True)))) for row in taken]
        keys: list[bytes | None] | None = None
        if key_column is not None:
            keys = [_encode(row[key_column]) for row in taken]
        yield Portion(values, keys, source.position - reported, rejected.copy())
        reported = source.position
        rejected.clear()


FORMATS: dict[str, Format] = {"lines": read_lines, "ndjson": read_ndjson, "csv": read_csv}


def _blocks(read_into: ReadInto) -> Iterator[memoryview]:
    """The input in blocks of whole lines; only the last may end without a newline. One buffer is used again."""
    buffer = bytearray(2 * CHUNK_BYTES)
    begun = 0  # bytes of a line whose end has not come yet, at the front of the buffer
    while size := read_into(memoryview(buffer)[begun:]):
        filled = begun + size
        end = buffer.rfind(b"\n", begun, filled) + 1
        if end > 0:
            yield memoryview(buffer)[:end]
            buffer[: filled - end] = buffer[end:filled]
        begun = filled - end
        if len(buffer) - begun < CHUNK_BYTES:  # a long line: room for more of it
            buffer = buffer[:begun] + bytearray(begun + CHUNK_BYTES)
    if begun:
        yield memoryview(buffer)[:begun]


def _chunks(read_into: ReadInto) -> Iterator[bytes]:
    buffer = memoryview(bytearray(CHUNK_BYTES))
    while size := read_into(buffer):
        yield bytes(buffer[:size])


def split_lines(read_into: ReadInto) -> Iterator[tuple[list[bytes], int]]:
    """Lists of whole lines, and how many bytes of input each list used up."""
    begun: list[bytes] = []  # the pieces of a line whose end has not come yet
    size_bytes = 0
    for chunk in _chunks(read_into):
        size_bytes += len(chunk)
        lines = chunk.split(b"\n")
        if len(lines) == 1:
            begun.append(chunk)
            continue
        if begun:
            lines[0] = b"".join((*begun, lines[0]))
        tail = lines.pop()
        begun = [tail] if tail else []
        yield lines, size_bytes - len(tail)
        size_bytes = len(tail)
    if begun:
        yield [b"".join(begun)], size_bytes


def _append_keyed(portion: Portion, line: bytes, key_field: str, place: str) -> None:
    key: bytes | None = None
    if line and not line.isspace():  # an empty line is a record like any other, but has no field
        try:
            document = json.loads(line.decode("utf-8", "surrogateescape"))
        except (ValueError, RecursionError):
            portion.rejected.append(f"{place} is not JSON")
            return
        if not isinstance(document, dict) or key_field not in document:
            portion.rejected.append(f"{place} has no field {key_field!r}")
            return
        key = _key_bytes(document[key_field])
    assert isinstance(portion.values, list)
    assert portion.keys is not None
    portion.values.append(line)
    portion.keys.append(key)


def _key_bytes(value: Any) -> bytes | None:
    """A string is its own key, null is no key, anything else is its JSON text."""
    if value is None:
        return None
    return _encode(value if isinstance(value, str) else _compact_json(value))


def _compact_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _encode(text: str) -> bytes:
    """Back to the very bytes of the input; only a lone surrogate out of a JSON escape is not among them."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


def _key_column(header: list[str], key_field: str | None) -> int | None:
    if len(set(header)) < len(header):
        raise InputError("the CSV header names a column twice")
    if key_field is None:
        return None
    if key_field not in header:
        raise InputError(f"the CSV header has no column {key_field!r}; it has {', '.join(header)}")
    return header.index(key_field)


def _good_rows(rows: Any, width: int, rejected: list[str]) -> Iterator[list[str]]:
    """The rows of a csv reader (a type without a name) that fit; for the others a reason in `rejected`."""
    while True:
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            rejected.append(f"line {rows.line_num} is not CSV: {error}")
            continue
        if not row:  # an empty line is no row
            continue
        if len(row) == width:
            yield row
        else:
            rejected.append(f"line {rows.line_num} has {len(row)} fields instead of {width}")


class _ChunkReader(io.RawIOBase):
    """Makes a file out of `read_into`, and knows how much was taken from it."""

    def __init__(self, read_into: ReadInto) -> None:
        self._read_into = read_into
        self.position = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        size = self._read_into(memoryview(buffer))
        self.position += size
        return size
