"""From a line of standard input to a record, by the rules of the LineMessageReader of kafka-console-producer.

Works on bytes: what is no separator and no null marker goes through untouched, whether it is UTF-8 or not.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from kproducer.cli.sources import ReadInto

_LF: Final = 0x0A
_DEFAULTS: Final[Mapping[str, str | None]] = {
    "parse.key": "false",
    "parse.headers": "false",
    "ignore.error": "false",
    "key.separator": "\t",
    "headers.delimiter": "\t",
    "headers.separator": ",",
    "headers.key.separator": ":",
    "null.marker": None,
}
# Two marks of one line must differ, or it could be read in two ways; the order is the one of the messages.
_MUST_DIFFER: Final = (
    ("headers.delimiter", "headers.separator"),
    ("headers.delimiter", "headers.key.separator"),
    ("headers.separator", "headers.key.separator"),
    ("null.marker", "key.separator"),
    ("null.marker", "headers.separator"),
    ("null.marker", "headers.delimiter"),
    ("null.marker", "headers.key.separator"),
)

Headers = list[tuple[str, bytes | None]]


class LineError(ValueError):
    """A line lacks a separator, or the reader's properties contradict each other; no text of a line is shown."""


class LineRecord(NamedTuple):
    """What one line holds; `headers` is None where the line has none."""

    value: bytes | None
    key: bytes | None
    headers: Headers | None


@dataclass(frozen=True, slots=True)
class LineFormat:
    """The reader's properties, as `parse.key=true` and the like gave them."""

    parse_key: bool
    parse_headers: bool
    ignore_error: bool
    key_separator: bytes
    headers_delimiter: bytes
    headers_separator: re.Pattern[str]
    headers_key_separator: bytes
    null_marker: bytes | None

    @classmethod
    def from_properties(cls, properties: Mapping[str, str]) -> LineFormat:
        """Check the properties; LineError if two of them must not be equal. Unknown ones have no effect."""
        given = {name: properties.get(name, default) for name, default in _DEFAULTS.items()}
        for first, second in _MUST_DIFFER:
            if given[first] == given[second]:
                raise LineError(f"{first} and {second} may not be equal")

        def flag(name: str) -> bool:
            return (given[name] or "").strip().lower() == "true"

        def text(name: str) -> bytes:
            return (given[name] or "").encode("utf-8", "surrogateescape")

        return cls(
            parse_key=flag("parse.key"),
            parse_headers=flag("parse.headers"),
            ignore_error=flag("ignore.error"),
            key_separator=text("key.separator"),
            headers_delimiter=text("headers.delimiter"),
            headers_separator=_pattern("headers.separator", given["headers.separator"] or ""),
            headers_key_separator=text("headers.key.separator"),
            null_marker=None if given["null.marker"] is None else text("null.marker"),
        )

    @property
    def is_plain(self) -> bool:
        """Whether each line is a value and nothing else."""
        return not self.parse_key and not self.parse_headers and self.null_marker is None


def unknown_properties(properties: Mapping[str, str]) -> list[str]:
    """A sentence for each property that has no effect: the real tool says nothing of a mistyped one."""
    found = []
    for name in properties:
        if name not in _DEFAULTS:
            near = difflib.get_close_matches(name, _DEFAULTS, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            found.append(f"the reader property {name!r} is not known and has no effect{hint}")
    return found


class LineParser:
    """Turns lines into records; counts them for its messages."""

    def __init__(self, line_format: LineFormat) -> None:
        self._format = line_format
        self._line_number = 0

    def parse(self, line: bytes) -> LineRecord:
        """The record of the next line, or LineError."""
        self._line_number += 1
        fmt, at = self._format, 0
        headers: bytes | None = None
        key: bytes | None = None
        if fmt.parse_headers:
            headers, at = self._cut(line, at, fmt.headers_delimiter, "headers delimiter")
        if fmt.parse_key:
            key, at = self._cut(line, at, fmt.key_separator, "key separator")
        pairs = None if headers is None or headers == fmt.null_marker else self._split(headers)
        return LineRecord(self._nullable(line[at:]), self._nullable(key), pairs)

    def _cut(self, line: bytes, start: int, separator: bytes, what: str) -> tuple[bytes | None, int]:
        """The bytes up to the next separator and where the rest begins; None if it is missing and may be."""
        end = line.find(separator, start)
        if end >= 0:
            return line[start:end], end + len(separator)
        if self._format.ignore_error:
            return None, start
        raise LineError(f"No {what} found on line number {self._line_number}")

    def _nullable(self, field: bytes | None) -> bytes | None:
        return None if field == self._format.null_marker else field

    def _split(self, headers: bytes) -> Headers:
        # As text, since the separator is a regular expression of characters; the detour keeps every byte.
        pairs = split_as_java(self._format.headers_separator, headers.decode("utf-8", "surrogateescape"))
        return [self._header(pair.encode("utf-8", "surrogateescape")) for pair in pairs]

    def _header(self, pair: bytes) -> tuple[str, bytes | None]:
        key, value = pair, None
        at = pair.find(self._format.headers_key_separator)
        if at >= 0:
            key = pair[:at]
            value = self._nullable(pair[at + len(self._format.headers_key_separator) :])
            if key == self._format.null_marker:
                marker = key.decode("utf-8", "replace")
                raise LineError(
                    f"Header keys should not be equal to the null marker '{marker}' as they can't be null, "
                    f"on line number {self._line_number}"
                )
        elif not self._format.ignore_error:
            raise LineError(f"No header key separator found on line number {self._line_number}")
        return key.decode("utf-8", "replace"), value


def split_as_java(pattern: re.Pattern[str], text: str) -> list[str]:
    """As Java's Pattern.split: no empty strings at the end, and none before an empty match at the beginning."""
    parts: list[str] = []
    begin = 0
    for match in pattern.finditer(text):
        if match.end() > 0:
            parts.append(text[begin : match.start()])
            begin = match.end()
    if not parts:
        return [text]
    parts.append(text[begin:])
    while parts and not parts[-1]:
        parts.pop()
    return parts


def universal_newlines(read_into: ReadInto) -> ReadInto:
    r"""The same input with each "\r\n" and each lone "\r" as "\n": Java ends a line at any of the three."""
    is_after_cr = False

    def read(buffer: memoryview) -> int:
        nonlocal is_after_cr
        while size := read_into(buffer):
            data = bytes(buffer[:size])
            has_half = is_after_cr and data[0] == _LF  # of a "\r\n" whose first half ended a line already
            is_after_cr = data.endswith(b"\r")
            if not has_half and b"\r" not in data:
                return size
            data = data[has_half:].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
            buffer[: len(data)] = data
            if data:
                return len(data)
        return 0

    return read


def _pattern(name: str, text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        raise LineError(f"{name} is not a regular expression: {error}") from None
