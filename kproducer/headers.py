"""Record headers as a whole: the last of a name, as Java's Headers has it, and one name with a new value.

Headers are a sequence of (key, value) pairs, in which a key may come several times. Nothing is changed in place.
"""

from __future__ import annotations

from kproducer.types import Header, Headers


def last_header(headers: Headers | None, key: str) -> bytes | None:
    """Return the value of the last header of a name; None if there is none, or if its value is null.

    Args:
        headers: of a record; None for none.
        key: the name.
    """
    for name, value in reversed(headers or ()):
        if name == key:
            return value
    return None


def has_header(headers: Headers | None, key: str) -> bool:
    """Return whether there is a header of a name, whatever its value."""
    return any(name == key for name, _ in headers or ())


def without_header(headers: Headers | None, key: str) -> tuple[Header, ...]:
    """Return the headers without those of a name."""
    return tuple(Header(name, value) for name, value in headers or () if name != key)


def with_header(headers: Headers | None, key: str, value: bytes | None) -> tuple[Header, ...]:
    """Return the headers with one more at the end, which is the only one of its name."""
    return (*without_header(headers, key), Header(key, value))
