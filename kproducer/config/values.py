"""Kinds of values: what a key takes, and how it is read. Values are plain; any thread.

They are named tuples, since a dataclass takes a millisecond to make and `import kproducer` is to be quick.

A value is given as its Python type or as the text that a .properties file would hold: "5" for an int, "true"
or "false" for a bool, "a,b" for a list. A bool is no int, an int no bool, and a float no whole number.
"""

from __future__ import annotations

import difflib
import math
import operator
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple, Protocol

from kproducer.partitioners import RoundRobinPartitioner, is_partitioner

INT_MAX: Final = 2**31 - 1
LONG_MAX: Final = 2**63 - 1
# Java users write Long.MAX_VALUE for "for ever"; 31 years serve as well, and fit a clock in nanoseconds.
MAX_DURATION_MS: Final = 10**12
ACKS_ALL: Final = -1
_MAX_STRING_BYTES: Final = 32767  # a STRING on the wire has an int16 length


class RefusedError(Exception):
    """The value is not allowed; the text, if any, is a hint for the message."""


class ValueKind(Protocol):
    """Reads the values of a key."""

    @property
    def type(self) -> str:
        """Java's word for the type: boolean, int, long, double, string, list, class or password."""
        ...

    @property
    def allowed(self) -> str:
        """What may be given, as the end of the sentence "allowed is ..."."""
        ...

    def parse(self, value: object) -> object:
        """Return the plain value, or raise RefusedError."""
        ...


def nearest(name: str, candidates: Iterable[str]) -> str | None:
    """Return the candidate that `name` is most likely a misspelling of."""
    found = difflib.get_close_matches(name.lower(), [*candidates], n=1)
    return found[0] if found else None


def text_of(value: object) -> str:
    """Return text without the blanks around it; refuse all else."""
    if not isinstance(value, str):
        raise RefusedError(f"got {type(value).__name__}")
    return value.strip()


def entries_of(value: object) -> list[str]:
    """Return the entries of a list, or of text with commas; those that are empty do not count."""
    if not isinstance(value, str | Sequence) or isinstance(value, bytes | bytearray | memoryview):
        raise RefusedError(f"got {type(value).__name__}")
    texts = [value] if isinstance(value, str) else [text_of(item) for item in value]
    return [entry for text in texts for part in text.split(",") if (entry := part.strip())]


class Whole(NamedTuple):
    """A whole number from low to high, or `special`; numbers above clip_to are held at it."""

    low: int
    high: int
    special: int | None = None
    clip_to: int | None = None

    @property
    def type(self) -> str:
        """See ValueKind."""
        return "int" if self.high <= INT_MAX else "long"

    @property
    def allowed(self) -> str:
        """See ValueKind."""
        special = "" if self.special is None else f", or {self.special}"
        return f"a whole number from {self.low} to {self.high}{special}"

    def parse(self, value: object) -> int:
        """See ValueKind."""
        number = _whole(value)
        if number != self.special and not self.low <= number <= self.high:
            raise RefusedError
        return number if self.clip_to is None else min(number, self.clip_to)


def _whole(value: object) -> int:
    if isinstance(value, bool):
        raise RefusedError("a bool is not a number")
    if isinstance(value, str):
        # int() alone would also take "1_000", other scripts' digits, and minutes for a million digits.
        digits = value.strip()  # of more than what int() takes for a blank
        if re.fullmatch(r"[+-]?[0-9]{1,20}", digits) is None:
            raise RefusedError
        return int(digits)
    try:
        return operator.index(value)  # type: ignore[arg-type]  # that it may have no __index__ is the question
    except TypeError:
        raise RefusedError(f"got {type(value).__name__}") from None


class Decimal(NamedTuple):
    """A finite number from low to high."""

    low: float
    high: float

    @property
    def type(self) -> str:
        """See ValueKind."""
        return "double"

    @property
    def allowed(self) -> str:
        """See ValueKind."""
        return f"a number from {self.low:g} to {self.high:g}"

    def parse(self, value: object) -> float:
        """See ValueKind."""
        number = _number(value)
        if not self.low <= number <= self.high:  # NaN neither
            raise RefusedError
        return number


def _number(value: object) -> float:
    if isinstance(value, bool):
        raise RefusedError("a bool is not a number")
    if isinstance(value, int | float):
        return float(value) if abs(value) <= LONG_MAX else math.inf  # float() of a long int overflows
    if re.fullmatch(r"[+-]?[0-9]{1,20}(\.[0-9]{0,20})?([eE][+-]?[0-9]{1,2})?", text_of(value)) is None:
        raise RefusedError
    return float(text_of(value))


class Flag:
    """True or False."""

    allowed: Final = "True, False, 'true' or 'false'"
    type: Final = "boolean"

    def parse(self, value: object) -> bool:
        """See ValueKind."""
        if isinstance(value, bool):
            return value
        try:
            return {"true": True, "false": False}[text_of(value).lower()]
        except KeyError:
            raise RefusedError from None


class Choice(NamedTuple):
    """One of some names; `not_built` are further ones of Kafka's, which are read and refused later as such."""

    names: tuple[str, ...]
    not_built: tuple[str, ...] = ()
    ignores_case: bool = False
    may_be_none: bool = False

    @property
    def type(self) -> str:
        """See ValueKind."""
        return "string"

    @property
    def allowed(self) -> str:
        """See ValueKind."""
        names = (*self.names, "None") if self.may_be_none else self.names
        return ("one of " if len(names) > 1 else "only ") + ", ".join(names)

    def parse(self, value: object) -> str | None:
        """See ValueKind."""
        if value is None and self.may_be_none:
            return None
        text = text_of(value)
        for name in (*self.names, *self.not_built):
            if text == name or (self.ignores_case and text.lower() == name.lower()):
                return name
        near = {name.lower(): name for name in self.names}
        hint = nearest(text, near)
        raise RefusedError(f"did you mean {near[hint]!r}?" if hint else "")


class Acks:
    """Number of acknowledgements: -1 (also spelled all), 0 or 1."""

    allowed: Final = "'all' (or -1), 0 or 1"
    type: Final = "string"

    def parse(self, value: object) -> int:
        """See ValueKind."""
        if isinstance(value, str) and value.strip() == "all":
            return ACKS_ALL
        number = _whole(value)
        if number not in (ACKS_ALL, 0, 1):
            raise RefusedError
        return number


class KafkaString:
    """Text that fits a STRING of the protocol."""

    allowed: Final = f"text of at most {_MAX_STRING_BYTES} bytes in UTF-8"
    type: Final = "string"

    def parse(self, value: object) -> str:
        """See ValueKind."""
        text = text_of(value)
        if re.search("[\ud800-\udfff]", text):  # asked first, since the error of encode() has all of the text
            raise RefusedError("it has a lone surrogate")
        encoded = text.encode()
        if len(encoded) > _MAX_STRING_BYTES:
            raise RefusedError(f"it has {len(encoded)} bytes")
        return text


class Name:
    """Text that is not empty, or None."""

    allowed: Final = f"None or text of 1 to {_MAX_STRING_BYTES} bytes in UTF-8"
    type: Final = "string"

    def parse(self, value: object) -> str | None:
        """See ValueKind."""
        if value is None:
            return None
        text = KafkaString().parse(value)
        if not text:
            raise RefusedError("it is empty")
        return text


class TopicName:
    """The name of a topic; None or empty for none."""

    allowed: Final = "1 to 249 characters of a-z A-Z 0-9 . _ - and not . or .., or None"
    type: Final = "string"

    def parse(self, value: object) -> str | None:
        """See ValueKind."""
        text = "" if value is None else text_of(value)
        if text and (re.fullmatch(r"[a-zA-Z0-9._-]{1,249}", text) is None or text in (".", "..")):
            raise RefusedError
        return text or None


class FilePath:
    """The path of a file as text or os.PathLike; None or empty for none."""

    allowed: Final = "a path as str or os.PathLike, or None"
    type: Final = "string"

    def parse(self, value: object) -> str | None:
        """See ValueKind."""
        if value is None:
            return None
        path = os.fspath(value) if isinstance(value, os.PathLike) else value
        if not isinstance(path, str):
            raise RefusedError(f"got {type(value).__name__}")
        if "\0" in path:
            raise RefusedError("it has a null character")
        return path or None


class Text(NamedTuple):
    """Text of which nothing more is known here, or None."""

    type: str = "string"

    @property
    def allowed(self) -> str:
        """See ValueKind."""
        return "text or None"

    def parse(self, value: object) -> str | None:
        """See ValueKind."""
        return None if value is None else text_of(value)


class Names:
    """A list of names, or their text with commas."""

    allowed: Final = "a list of names, or names joined by commas"
    type: Final = "list"

    def parse(self, value: object) -> tuple[str, ...]:
        """See ValueKind."""
        return () if value is None else tuple(entries_of(value))


def encode_string(data: str | None) -> bytes | None:
    """Do what Java's StringSerializer does: UTF-8, and null for None."""
    return None if data is None else data.encode()


class Objects(NamedTuple):
    """A list of objects, one of them alone, or nothing; never a class by its name."""

    allowed: str

    @property
    def type(self) -> str:
        """See ValueKind."""
        return "list"

    def parse(self, value: object) -> tuple[object, ...]:
        """See ValueKind."""
        if value is None or value == "":
            return ()
        if isinstance(value, str):
            raise RefusedError("Java class names are not understood")
        return tuple(value) if isinstance(value, list | tuple) else (value,)


# What a Java program's .properties file must name although most records are bytes or text.
_JAVA_SERIALIZERS: Final[Mapping[str, object]] = {
    "org.apache.kafka.common.serialization.ByteArraySerializer": None,
    "org.apache.kafka.common.serialization.ByteBufferSerializer": None,
    "org.apache.kafka.common.serialization.BytesSerializer": None,
    "org.apache.kafka.common.serialization.StringSerializer": encode_string,
}


_JAVA_ROUND_ROBIN: Final = "org.apache.kafka.clients.producer.RoundRobinPartitioner"


class PartitionerClass:
    """A function, an object with `partition()`, a class of one of them, Java's name of its one class, or None."""

    type: Final = "class"
    allowed: Final = f"a callable, an object or class with partition(), {_JAVA_ROUND_ROBIN} or None"

    def parse(self, value: object) -> object:
        """See ValueKind."""
        if value is None:
            return None
        if isinstance(value, str):
            if value.strip() == _JAVA_ROUND_ROBIN:
                return RoundRobinPartitioner
            raise RefusedError("other Java class names are not understood")
        if not is_partitioner(value):
            raise RefusedError
        return value


def _makes_what_it_returns(cls: type) -> bool:
    """Is it a class such as bytes, not one whose instances are to be called?"""
    return not any("__call__" in vars(base) for base in cls.__mro__)


class Function(NamedTuple):
    """A callable, or None for the built-in behaviour; of a serializer, also Java's name of one."""

    takes_class: bool = True
    is_serializer: bool = False

    @property
    def type(self) -> str:
        """See ValueKind."""
        return "class"

    @property
    def allowed(self) -> str:
        """See ValueKind."""
        return "a callable or None"

    def parse(self, value: object) -> object:
        """See ValueKind."""
        if value is None:
            return None
        if isinstance(value, type) and not (self.takes_class and _makes_what_it_returns(value)):
            raise RefusedError("give an instance or a function instead of the class")
        if isinstance(value, str):
            return self._of_java(value.strip())
        if not callable(value):
            raise RefusedError
        return value

    def _of_java(self, name: str) -> object:
        if self.is_serializer and name in _JAVA_SERIALIZERS:
            return _JAVA_SERIALIZERS[name]
        understood = (
            " but for ByteArray-, ByteBuffer-, Bytes- and StringSerializer" if self.is_serializer else ""
        )
        raise RefusedError(f"Java class names are not understood{understood}")
