"""The declaration of one key: its names, what it takes, and what it means."""

from __future__ import annotations

from enum import Enum
from typing import Final, NamedTuple

from kproducer.config.values import Choice, RefusedError, ValueKind
from kproducer.errors import ConfigError, UnsupportedConfigError

_MAX_SHOWN_CHARS: Final = 120


class Status(Enum):
    """Whether a key does anything here."""

    BUILT = "built"
    NOT_BUILT = "not built"  # checked, then refused unless its value asks for nothing
    JVM_ONLY = "JVM only"  # checked, then left alone with a warning


class Key(NamedTuple):
    """Declaration of one key.

    name: Kafka's dotted name; with underscores it is the keyword and the field of ProducerConfig.
    kind: what values it takes.
    default: plain value, or dataclasses.MISSING for a required key; of a key that is not built the value that asks
        for nothing.
    doc: one sentence.
    aliases: librdkafka's names of the same thing.
    kip: number of the Kafka improvement proposal that brought it, if any.
    status: whether it does anything.
    is_secret: whether the value must never be shown.
    """

    name: str
    kind: ValueKind
    default: object
    doc: str
    aliases: tuple[str, ...] = ()
    kip: int | None = None
    status: Status = Status.BUILT
    is_secret: bool = False

    @property
    def field_name(self) -> str:
        """The name with underscores."""
        return snake(self.name)

    def parse(self, value: object) -> object:
        """Return the plain value, built or not; raise ConfigError."""
        if value is None and self.status is not Status.BUILT:
            return None  # never set
        try:
            return self.kind.parse(value)
        except RefusedError as refused:
            hint = f" ({refused})" if str(refused) else ""
            raise ConfigError(
                f"{self.name}={self.show(value)} is not valid{hint}; allowed is {self.kind.allowed}"
            ) from None

    def refuse_unless_built(self, value: object) -> None:
        """Raise UnsupportedConfigError if the plain value asks for a feature that is not built."""
        if self.status is Status.NOT_BUILT:
            if value not in (None, (), self.default):
                remedy = (
                    "leave it out"
                    if self.default in (None, ())
                    else f"leave it out or set it to {self.default!r}"
                )
                raise UnsupportedConfigError(
                    f"{self.name} is a key of Kafka's that is not supported yet; {remedy}"
                )
        elif isinstance(self.kind, Choice) and value in self.kind.not_built:
            raise UnsupportedConfigError(
                f"{self.name}={self.show(value)} is not supported yet; allowed is {self.kind.allowed}"
            )

    def show(self, value: object) -> str:
        """Return the value as text that may appear in a message or a log."""
        if self.is_secret:
            return "'***'"
        shown = repr(value)
        if "@" in shown:  # an address with a user name and a password in a place where none belongs
            shown = "***@" + shown.rpartition("@")[2]
        return shown if len(shown) <= _MAX_SHOWN_CHARS else shown[:_MAX_SHOWN_CHARS] + "..."


def snake(name: str) -> str:
    """Return the keyword of a dotted name."""
    return name.replace(".", "_")
