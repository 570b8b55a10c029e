"""Arguments of send() and produce() that are refused at the call."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterator
from typing import Any, Final

from kproducer import InvalidTopicError, RecordTooLargeError
from tests.unit.core.bad_input.rows import BadRecord


class EvilInt(int):
    """An int that lies to comparisons."""

    def __le__(self, other: int) -> bool:
        return True

    def __ge__(self, other: int) -> bool:
        return True

    def __lt__(self, other: int) -> bool:
        return True

    def __gt__(self, other: int) -> bool:
        return True


class BadIndex:
    """Whose __index__ raises."""

    def __index__(self) -> int:
        raise LookupError("no index today")


class TextIndex:
    """Whose __index__ is none."""

    def __index__(self) -> int:
        return "1"  # type: ignore[return-value]  # noqa: PLE0305  # on purpose


class BadBool(list[Any]):
    """Headers whose truth is not to be had."""

    def __bool__(self) -> bool:
        raise LookupError("neither true nor false")


class ChangingDict(dict[str, bytes]):
    """A dict that grows while it is read."""

    def items(self) -> Any:
        for pair in super().items():
            self[f"{len(self)}"] = b""
            yield pair


class AwaitableCallback:
    """Calls of its instances are coroutines."""

    async def __call__(self, metadata: object, error: object) -> None:
        """Nobody would await it."""


async def coroutine_callback(metadata: object, error: object) -> None:
    """Nobody would await it."""


def raising_headers() -> Iterator[tuple[str, bytes]]:
    yield "h", b"1"
    raise LookupError("half-way")


def released() -> memoryview:
    view = memoryview(b"gone")
    view.release()
    return view


_CALLBACK = "on_delivery must be a plain function: it runs on the delivery thread, which awaits nothing"
_TOPIC = "must be 1 to 249 characters of a-z A-Z 0-9 . _ - and not . or .."
_PARTITION = "from 0 to 2\\*\\*31-2, or None"
_TIMESTAMP = "milliseconds since the epoch, 0 to 2\\*\\*63-1"

BAD_RECORDS: Final[dict[str, BadRecord]] = {
    "topic None": BadRecord("B14", TypeError, "^topic must be str, not NoneType$", {"topic": None}),
    "topic bytes": BadRecord("B14", TypeError, "^topic must be str, not bytes$", {"topic": b"t"}),
    "topic empty": BadRecord("B14", InvalidTopicError, f"^topic '': {_TOPIC}", {"topic": ""}),
    "topic dot": BadRecord("B14", InvalidTopicError, rf"^topic '\.': {_TOPIC}", {"topic": "."}),
    "topic dots": BadRecord("B14", InvalidTopicError, rf"^topic '\.\.': {_TOPIC}", {"topic": ".."}),
    "topic too long": BadRecord(
        "B14", InvalidTopicError, f"^topic '{'t' * 250}': {_TOPIC}", {"topic": "t" * 250}
    ),
    "topic far too long": BadRecord(
        "B14", InvalidTopicError, f"^topic '{'t' * 260}': {_TOPIC}", {"topic": "t" * 9999}
    ),
    "topic space": BadRecord("B14", InvalidTopicError, f"^topic 'a b': {_TOPIC}", {"topic": "a b"}),
    "topic newline": BadRecord("B14", InvalidTopicError, rf"^topic 't\\n': {_TOPIC}", {"topic": "t\n"}),
    "topic umlaut": BadRecord("B14", InvalidTopicError, f"^topic 't\u00e4': {_TOPIC}", {"topic": "t\u00e4"}),
    "topic digit of another script": BadRecord("B14", InvalidTopicError, _TOPIC, {"topic": "t\u0661"}),
    "topic surrogate": BadRecord(
        "B14", InvalidTopicError, rf"^topic 't\\udc80': {_TOPIC}", {"topic": "t\udc80"}
    ),
    "topic NUL": BadRecord("B14", InvalidTopicError, rf"^topic 't\\x00': {_TOPIC}", {"topic": "t\0"}),
    "str value": BadRecord(
        "B15",
        TypeError,
        "^value must be bytes-like or None, not str; give value_serializer for",
        {"value": "text"},
    ),
    "str key": BadRecord(
        "B15", TypeError, "^key must be bytes-like or None, not str; give key_serializer for", {"key": "text"}
    ),
    "int value": BadRecord(
        "B15", TypeError, "^value must be bytes-like or None, not int; give", {"value": 5}
    ),
    "bool key": BadRecord("B15", TypeError, "^key must be bytes-like or None, not bool; give", {"key": True}),
    "dict value": BadRecord(
        "B15", TypeError, "^value must be bytes-like or None, not dict; give", {"value": {"a": 1}}
    ),
    "strided value": BadRecord(
        "B15",
        TypeError,
        r"^value must be contiguous: bytes\(value\) copies it$",
        {"value": memoryview(b"abcdef")[::2]},
    ),
    "strided key": BadRecord(
        "B15",
        TypeError,
        r"^key must be contiguous: bytes\(key\) copies it$",
        {"key": memoryview(b"abcdef")[::2]},
    ),
    "value released": BadRecord("B15", ValueError, "released memoryview", {"value": released}),
    "record too large": BadRecord(
        "B16",
        RecordTooLargeError,
        r"^record of 1048576 bytes .* topic 'one': .* exceeds min\(max\.request\.size, buffer\.memory\)=1048576",
        {"value": bytes(1048576)},
    ),
    "headers too large": BadRecord(
        "B16",
        RecordTooLargeError,
        r"^record of \d+ bytes \(key, value, headers\)",
        {"headers": [("h", bytes(1048576))]},
    ),
    "partition negative": BadRecord(
        "B17", ValueError, f"^partition=-1: must be {_PARTITION}$", {"partition": -1}
    ),
    "partition too big": BadRecord(
        "B17", ValueError, f"^partition=2147483647: must be {_PARTITION}$", {"partition": 2**31 - 1}
    ),
    "partition huge": BadRecord(
        "B17", ValueError, f"^partition=10{{30}}: must be {_PARTITION}$", {"partition": 10**30}
    ),
    "partition of a thousand digits": BadRecord(
        "B17",
        ValueError,
        rf"^partition=10{{39}}\.\.\. \(1001 digits\): must be {_PARTITION}$",
        {"partition": 10**1000},
    ),
    "partition of more digits than Python prints": BadRecord(
        "B17",
        ValueError,
        f"^partition=an int of 16610 bits: must be {_PARTITION}$",
        {"partition": 10**5000},
    ),
    "partition bool": BadRecord(
        "B17", TypeError, f"^partition must be int or None, not bool: {_PARTITION}$", {"partition": True}
    ),
    "partition float": BadRecord(
        "B17", TypeError, f"^partition must be int or None, not float: {_PARTITION}$", {"partition": 1.0}
    ),
    "partition str": BadRecord(
        "B17", TypeError, f"^partition must be int or None, not str: {_PARTITION}$", {"partition": "1"}
    ),
    "timestamp negative": BadRecord(
        "B18", ValueError, f"^timestamp_ms=-1: must be {_TIMESTAMP}$", {"timestamp_ms": -1}
    ),
    "timestamp too big": BadRecord(
        "B18",
        ValueError,
        f"^timestamp_ms=9223372036854775808: must be {_TIMESTAMP}$",
        {"timestamp_ms": 2**63},
    ),
    "timestamp bool": BadRecord(
        "B18",
        TypeError,
        f"^timestamp_ms must be int or None, not bool: {_TIMESTAMP}$",
        {"timestamp_ms": False},
    ),
    "timestamp in seconds, as time() has it": BadRecord(
        "B18",
        TypeError,
        f"^timestamp_ms must be int or None, not float: {_TIMESTAMP}$",
        {"timestamp_ms": time.time()},
    ),
    "timestamp datetime": BadRecord(
        "B18",
        TypeError,
        f"^timestamp_ms must be int or None, not datetime: {_TIMESTAMP}$",
        {"timestamp_ms": dt.datetime(2024, 1, 1, tzinfo=dt.UTC)},
    ),
    "timestamp text": BadRecord(
        "B18",
        TypeError,
        f"^timestamp_ms must be int or None, not str: {_TIMESTAMP}$",
        {"timestamp_ms": "2024-01-01"},
    ),
    "headers int": BadRecord(
        "B19", TypeError, r"^headers must be \(key, value\) pairs, not int$", {"headers": 5}
    ),
    "headers str": BadRecord(
        "B19", TypeError, r"^headers must be \(key, value\) pairs, not str$", {"headers": "ab"}
    ),
    "header not a pair": BadRecord(
        "B19",
        TypeError,
        r"^header 1: must be a \(str, bytes \| None\) pair, not str$",
        {"headers": [("a", b""), "ab"]},
    ),
    "header triple": BadRecord(
        "B19",
        TypeError,
        r"^header 0: must be a \(str, bytes \| None\) pair, not tuple$",
        {"headers": [("a", b"", b"")]},
    ),
    "header key bytes": BadRecord(
        "B19", TypeError, "^header 0: key must be str, not bytes$", {"headers": [(b"a", b"")]}
    ),
    "header key None": BadRecord(
        "B19", TypeError, "^header 0: key must be str, not NoneType$", {"headers": [(None, b"")]}
    ),
    "header key surrogate": BadRecord(
        "B19",
        ValueError,
        "^header 1: key has a lone surrogate, which UTF-8 cannot hold$",
        {"headers": [("a", b""), ("\ud800", b"")]},
    ),
    "header value str": BadRecord(
        "B19", TypeError, "^header 'a': value must be bytes or None, not str$", {"headers": [("a", "")]}
    ),
    "header value int of a dict": BadRecord(
        "B19", TypeError, "^header 'a': value must be bytes or None, not int$", {"headers": {"a": 1}}
    ),
    "headers raising": BadRecord("B19", LookupError, "^half-way$", {"headers": raising_headers}),
    "a million headers": BadRecord(
        "B19", RecordTooLargeError, r"^record of 3\d{6} bytes", {"headers": [("h", None)] * 1_000_000}
    ),
    "callback not callable": BadRecord(
        "B20", TypeError, "^on_delivery must be callable, not int$", {"on_delivery": 5}
    ),
    "callback a coroutine function": BadRecord(
        "B20", TypeError, f"^{_CALLBACK}$", {"on_delivery": lambda: coroutine_callback}
    ),
    "callback of coroutines": BadRecord(
        "B20", TypeError, f"^{_CALLBACK}$", {"on_delivery": AwaitableCallback()}
    ),
    "partition that lies": BadRecord(
        "B27", ValueError, f"^partition=-5: must be {_PARTITION}$", {"partition": EvilInt(-5)}
    ),
    "partition of bad index": BadRecord("B27", LookupError, "^no index today$", {"partition": BadIndex()}),
    "partition of a text index": BadRecord(
        "B27", TypeError, r"__index__ returned non-int \(type str\)$", {"partition": TextIndex()}
    ),
    "timestamp that lies": BadRecord(
        "B27", ValueError, f"^timestamp_ms=-5: must be {_TIMESTAMP}$", {"timestamp_ms": EvilInt(-5)}
    ),
    "headers without truth": BadRecord(
        "B27", LookupError, "^neither true nor false$", {"headers": BadBool([("a", b"")])}
    ),
    "headers of a dict that changes": BadRecord(
        "B27", RuntimeError, "changed size during iteration", {"headers": lambda: ChangingDict(a=b"", b=b"")}
    ),
}
