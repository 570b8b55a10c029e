"""Declarative messages: a frozen dataclass whose fields say how they travel becomes an encoder and a decoder.

A field is written `name: Annotated[type, Wire(TYPE, "versions")] = default`. For each version that is used,
the dataclass is compiled once into a list of (field, codec).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, dataclass, field, fields
from functools import cached_property
from typing import Any, Final, Generic, Protocol, TypeVar, get_type_hints

from kproducer.protocol.primitives import Reader, Writer

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Versions:
    """A closed range of versions of an API."""

    low: int
    high: int

    def __contains__(self, version: int) -> bool:
        return self.low <= version <= self.high

    def __str__(self) -> str:
        return f"{self.low}..{self.high}"

    @classmethod
    def parse(cls, text: str) -> Versions:
        """Read Kafka's notation: "3", "0-12", "9+", or "" for no version at all.

        Raises:
            ValueError: text is none of these.
        """
        if not text:
            return NO_VERSION
        if text.endswith("+"):
            return cls(int(text[:-1]), _LAST_VERSION)
        low, _, high = text.partition("-")
        return cls(int(low), int(high or low))


_LAST_VERSION: Final = 0x7FFF
NO_VERSION: Final = Versions(0, -1)


# Any: a codec belongs to one field, whose type the dataclass states; the table of codecs is heterogeneous.
@dataclass(frozen=True, slots=True)
class Codec:
    """How one type travels in one version: read, write, and the fewest bytes that it takes."""

    read: Callable[[Reader], Any]
    write: Callable[[Writer, Any], None]
    min_size: int


class WireType(Protocol):
    """A type of Kafka's schema language, which becomes a codec once the version is known."""

    def codec(self, version: int, *, is_flexible: bool, is_nullable: bool) -> Codec: ...


@dataclass(frozen=True, slots=True)
class _Fixed:
    only: Codec

    def codec(self, version: int, *, is_flexible: bool, is_nullable: bool) -> Codec:
        return self.only


@dataclass(frozen=True, slots=True)
class _Sized:
    plain: Codec
    nullable: Codec
    compact: Codec
    compact_nullable: Codec

    def codec(self, version: int, *, is_flexible: bool, is_nullable: bool) -> Codec:
        if is_flexible:
            return self.compact_nullable if is_nullable else self.compact
        return self.nullable if is_nullable else self.plain


@dataclass(frozen=True, slots=True)
class Struct:
    """A nested message: a dataclass of annotated fields."""

    message_class: type[Any]

    def codec(self, version: int, *, is_flexible: bool, is_nullable: bool) -> Codec:
        return _compile(self.message_class, version, is_flexible).as_codec()


@dataclass(frozen=True, slots=True)
class Array:
    """An array, which is a tuple in Python; None where null is allowed."""

    element: WireType

    def codec(self, version: int, *, is_flexible: bool, is_nullable: bool) -> Codec:
        element = self.element.codec(version, is_flexible=is_flexible, is_nullable=False)
        # A field-less element would let a tiny frame announce a huge array.
        min_size = max(1, element.min_size)
        read_count = Reader.compact_array_count if is_flexible else Reader.array_count
        write_count = Writer.compact_array_count if is_flexible else Writer.array_count

        def read(reader: Reader) -> tuple[Any, ...] | None:
            count = read_count(reader, min_size)
            if count is None:
                # Lenient, as no harm can come of it: null where it is not allowed counts as empty.
                return None if is_nullable else ()
            return tuple([element.read(reader) for _ in range(count)])

        def write(writer: Writer, items: tuple[Any, ...] | None) -> None:
            if items is None:
                if not is_nullable:
                    raise ValueError("array is None where null is not allowed")
                write_count(writer, None)
                return
            write_count(writer, len(items))
            for item in items:
                element.write(writer, item)

        return Codec(read, write, 1 if is_flexible else 4)


BOOLEAN: Final = _Fixed(Codec(Reader.boolean, Writer.boolean, 1))
INT8: Final = _Fixed(Codec(Reader.int8, Writer.int8, 1))
INT16: Final = _Fixed(Codec(Reader.int16, Writer.int16, 2))
INT32: Final = _Fixed(Codec(Reader.int32, Writer.int32, 4))
INT64: Final = _Fixed(Codec(Reader.int64, Writer.int64, 8))
UUID16: Final = _Fixed(Codec(Reader.uuid, Writer.uuid, 16))
STRING: Final = _Sized(
    plain=Codec(Reader.string, Writer.string, 2),
    nullable=Codec(Reader.nullable_string, Writer.nullable_string, 2),
    compact=Codec(Reader.compact_string, Writer.compact_string, 1),
    compact_nullable=Codec(Reader.compact_nullable_string, Writer.compact_nullable_string, 1),
)
BYTES: Final = _Sized(
    plain=Codec(Reader.bytes_, Writer.bytes_, 4),
    nullable=Codec(Reader.nullable_bytes, Writer.nullable_bytes, 4),
    compact=Codec(Reader.compact_bytes, Writer.compact_bytes, 1),
    compact_nullable=Codec(Reader.compact_nullable_bytes, Writer.compact_nullable_bytes, 1),
)


@dataclass(frozen=True, slots=True)
class Wire:
    """Says how a field travels.

    Args:
        type: the wire type.
        versions: versions that have the field, in Kafka's notation.
        nullable: versions in which it may be null, default none.
        tag: number of the field in the tag section, default None for an ordinary field.
        ignorable: True if a value may be dropped silently in a version without the field.
    """

    type: WireType
    versions: str
    nullable: str = ""
    tag: int | None = None
    ignorable: bool = False


@dataclass(frozen=True, slots=True)
class _BoundField:
    name: str
    codec: Codec
    default: Any


@dataclass(frozen=True)
class _Compiled:
    """A message class at one version."""

    message_class: type[Any]
    version: int
    is_flexible: bool
    plain: tuple[_BoundField, ...]
    tagged: dict[int, _BoundField]
    must_be_default: tuple[_BoundField, ...]

    @cached_property
    def min_size(self) -> int:
        return sum(f.codec.min_size for f in self.plain) + (1 if self.is_flexible else 0)

    def as_codec(self) -> Codec:
        return Codec(self.read, self.write, self.min_size)

    def read(self, reader: Reader) -> Any:
        values = {f.name: f.codec.read(reader) for f in self.plain}
        if self.is_flexible:

            def read_known(tag: int, content: Reader) -> bool:
                if (f := self.tagged.get(tag)) is None:
                    return False
                values[f.name] = f.codec.read(content)
                return True

            reader.tagged_fields(read_known)
        return self.message_class(**values)

    def write(self, writer: Writer, message: Any) -> None:
        for f in self.must_be_default:
            if getattr(message, f.name) != f.default:
                raise ValueError(
                    f"{self.message_class.__name__} version {self.version} has no field {f.name}"
                )
        for f in self.plain:
            self._write_field(writer, f, message)
        if self.is_flexible:
            writer.tagged_fields(self._encode_tags(message))

    def _write_field(self, writer: Writer, f: _BoundField, message: Any) -> None:
        try:
            f.codec.write(writer, getattr(message, f.name))
        except (TypeError, AttributeError) as error:
            raise ValueError(f"{self.message_class.__name__}.{f.name}: {error}") from error

    def _encode_tags(self, message: Any) -> list[tuple[int, bytes]]:
        encoded = []
        for tag, f in self.tagged.items():
            if getattr(message, f.name) != f.default:
                content = Writer()
                self._write_field(content, f, message)
                encoded.append((tag, content.getvalue()))
        return encoded


def _compile(message_class: type[Any], version: int, is_flexible: bool) -> _Compiled:
    plain, tagged, must_be_default = [], {}, []
    for name, wire, default in _declared_fields(message_class):
        codec = wire.type.codec(
            version, is_flexible=is_flexible, is_nullable=version in Versions.parse(wire.nullable)
        )
        bound = _BoundField(name, codec, default)
        if version not in Versions.parse(wire.versions):
            if not wire.ignorable:
                must_be_default.append(bound)
        elif wire.tag is None:
            plain.append(bound)
        else:
            tagged[wire.tag] = bound
    return _Compiled(message_class, version, is_flexible, tuple(plain), tagged, tuple(must_be_default))


def _declared_fields(message_class: type[Any]) -> list[tuple[str, Wire, Any]]:
    hints = get_type_hints(message_class, include_extras=True)
    declared = []
    for f in fields(message_class):
        (wire,) = hints[f.name].__metadata__
        default = f.default if f.default_factory is MISSING else f.default_factory()
        declared.append((f.name, wire, default))
    return declared


@dataclass(frozen=True, slots=True)
class Message(Generic[T]):
    """A request's or an answer's body in all its versions.

    Args:
        message_class: frozen dataclass of annotated fields, all with a default.
        versions: the versions that are described.
        flexible_from: first version with compact types and tags (KIP-482).
    """

    message_class: type[T]
    versions: Versions
    flexible_from: int
    _by_version: dict[int, _Compiled] = field(default_factory=dict, init=False, repr=False, compare=False)

    def is_flexible(self, version: int) -> bool:
        """True if the version has compact types and tag sections."""
        return version >= self.flexible_from

    def write(self, writer: Writer, message: T, version: int) -> None:
        """Append the body.

        Raises:
            ValueError: a value does not fit its type, or the version has no such field.
        """
        self._compiled(version).write(writer, message)

    def read(self, reader: Reader, version: int) -> T:
        """Read the body; bytes after it stay unread.

        Raises:
            ProtocolError: the bytes are not such a body.
        """
        message: T = self._compiled(version).read(reader)
        return message

    def encode(self, message: T, version: int) -> bytes:
        """Return the body as bytes; raises as `write` does."""
        writer = Writer()
        self.write(writer, message, version)
        return writer.getvalue()

    def decode(self, data: bytes | memoryview, version: int) -> T:
        """Read a body that must fill the data; raises as `read` does."""
        reader = Reader(data)
        message = self.read(reader, version)
        reader.expect_end()
        return message

    def _compiled(self, version: int) -> _Compiled:
        compiled = self._by_version.get(version)
        if compiled is None:
            if version not in self.versions:
                raise ValueError(f"{self.message_class.__name__} has versions {self.versions}, not {version}")
            compiled = _compile(self.message_class, version, self.is_flexible(version))
            self._by_version[version] = compiled
        return compiled
