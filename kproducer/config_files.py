"""Configuration that lies in files: Java's .properties format. Owns the syntax, not the keys. Any thread."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from kproducer.errors import ConfigError

_BLANK: Final = " \t\f"
_ENTRY: Final = re.compile(
    r"(?P<name>(?:\\.|[^\\=: \t\f])*)"  # up to a separator that no backslash precedes
    r"[ \t\f]*[=:]?[ \t\f]*"
    r"(?P<value>.*)",
    re.DOTALL,
)
_ESCAPE: Final = re.compile(r"\\(?:u(?P<hex>[0-9A-Fa-f]{4})|(?P<other>.))", re.DOTALL)
_CONTROL: Final = {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}


def read_properties(path: str | os.PathLike[str]) -> dict[str, str]:
    r"""Return the entries of a .properties file as Java reads them; of a key given twice the last entry counts.

    A line is `key=value`, `key: value` or `key value`; `#` and `!` begin a comment line, and a backslash at the
    end goes on in the next line. Backslashes escape: `\t`, `\n`, `\r`, `\f`, `\u` with four hexadecimal digits,
    and any other character for itself. Blanks at the end of a value belong to it. Bytes are ISO 8859-1, as Kafka
    reads them: what lies outside is written with `\u`.

    Args:
        path: of the file.

    Raises:
        ConfigError: a `\u` without four digits; the message names the file and the line.
        OSError: the file cannot be read.
    """
    return parse_properties(Path(path).read_bytes().decode("iso-8859-1"), os.fspath(path))


def parse_properties(text: str, name: str) -> dict[str, str]:
    """Return the entries of the text of a .properties file; `name` says in messages where it comes from.

    Raises:
        ConfigError: as `read_properties`.
    """
    found: dict[str, str] = {}
    for number, line in _logical_lines(text):
        entry = _ENTRY.fullmatch(line)
        assert entry is not None  # every group may be empty
        try:
            found[_unescape(entry["name"])] = _unescape(entry["value"])
        except ValueError:  # without the text, which may hold a password
            raise ConfigError(rf"{name}, line {number}: \u needs four hexadecimal digits after it") from None
    return found


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield the lines that hold entries, continuations joined, each with the number of its first line."""
    line, first = "", 0
    for number, natural in enumerate(re.split(r"\r\n|\r|\n", text), start=1):
        part = natural.lstrip(_BLANK)
        if not line:
            first = number
            if part[:1] in ("", "#", "!"):  # even after a lone backslash: nothing has been read yet
                continue
        line += part
        if _ends_in_backslash(part):
            line = line[:-1]
            continue
        yield first, line
        line = ""
    if line:  # a lone backslash that ends a file is nothing here; Java reads it as an empty key at times
        yield first, line


def _ends_in_backslash(text: str) -> bool:
    """Tell whether the last character is a backslash that none before it escapes."""
    return (len(text) - len(text.rstrip("\\"))) % 2 == 1


def _unescape(text: str) -> str:
    """Resolve the escapes; raise ValueError for a malformed one."""
    if "\\" not in text:
        return text
    plain = _ESCAPE.sub(_resolve, text)
    # Java writes a character beyond U+FFFF as two escapes, the halves of a UTF-16 pair.
    return plain.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


def _resolve(escape: re.Match[str]) -> str:
    if escape["hex"] is not None:
        return chr(int(escape["hex"], 16))
    if escape["other"] == "u":
        raise ValueError
    return _CONTROL.get(escape["other"], escape["other"])
