"""A reader of .properties files by the rules of java.util.Properties.load: what Kafka makes of our text."""

from __future__ import annotations

from collections.abc import Iterator

_BLANK = " \t\f"
_ESCAPES = {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}


def load(text: str) -> dict[str, str]:
    """Return names and values.

    Raises:
        ValueError: a unicode escape has no four digits; Java refuses the whole file.
    """
    return dict(_name_and_value(line) for line in _logical_lines(text))


def _logical_lines(text: str) -> Iterator[str]:
    pending: str | None = None
    for natural in text.replace("\r\n", "\n").replace("\r", "\n").split("\n"):
        line = natural.lstrip(_BLANK)
        if pending is None and (not line or line[0] in "#!"):
            continue
        line = (pending or "") + line
        slashes = len(line) - len(line.rstrip("\\"))
        pending = line[:-1] if slashes % 2 else None
        if pending is None:
            yield line
    if pending is not None:
        yield pending


def _name_and_value(line: str) -> tuple[str, str]:
    end = 0
    while end < len(line) and line[end] not in "=:" + _BLANK:
        end += 2 if line[end] == "\\" else 1
    rest = line[end:].lstrip(_BLANK)
    value = rest[1:].lstrip(_BLANK) if rest[:1] in ("=", ":") else rest
    return _unescaped(line[:end]), _unescaped(value)


def _unescaped(text: str) -> str:
    parts = []
    at = 0
    while at < len(text):
        char = text[at]
        at += 1
        if char == "\\":
            char = text[at : at + 1]
            at += 1
            if char == "u":
                parts.append(_unicode(text[at : at + 4]))
                at += 4
                continue
            char = _ESCAPES.get(char, char)
        parts.append(char)
    # Java's strings are UTF-16: two escapes may be one character.
    return "".join(parts).encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _unicode(digits: str) -> str:
    if len(digits) != 4 or not set(digits) <= set("0123456789abcdefABCDEF"):
        raise ValueError(f"malformed \\u escape {digits!r}")
    return chr(int(digits, 16))
