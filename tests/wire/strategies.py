"""Random messages for any schema at any version, for property tests."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, Final, get_type_hints

from hypothesis import strategies as st

from kproducer.protocol.schema import (
    BOOLEAN,
    BYTES,
    INT8,
    INT16,
    INT32,
    INT64,
    STRING,
    UUID16,
    Array,
    Struct,
    Versions,
    Wire,
    WireType,
)

_SCALARS: Final[list[tuple[WireType, st.SearchStrategy[Any]]]] = [
    (BOOLEAN, st.booleans()),
    (INT8, st.integers(-(2**7), 2**7 - 1)),
    (INT16, st.integers(-(2**15), 2**15 - 1)),
    (INT32, st.integers(-(2**31), 2**31 - 1)),
    (INT64, st.integers(-(2**63), 2**63 - 1)),
    (UUID16, st.uuids()),
    (STRING, st.text(max_size=12)),
    (BYTES, st.binary(max_size=200)),
]


def wires(message_class: type[Any]) -> dict[str, Wire]:
    """The declared wire form of each field."""
    hints = get_type_hints(message_class, include_extras=True)
    return {f.name: hints[f.name].__metadata__[0] for f in fields(message_class)}


def messages(message_class: type[Any], version: int) -> st.SearchStrategy[Any]:
    """Messages of a class with only those fields set which the version has."""
    return st.builds(
        message_class,
        **{
            name: _values(wire.type, version, is_nullable=version in Versions.parse(wire.nullable))
            for name, wire in wires(message_class).items()
            if version in Versions.parse(wire.versions)
        },
    )


def _values(wire_type: WireType, version: int, *, is_nullable: bool) -> st.SearchStrategy[Any]:
    if isinstance(wire_type, Struct):
        strategy = messages(wire_type.message_class, version)
    elif isinstance(wire_type, Array):
        element = _values(wire_type.element, version, is_nullable=False)
        strategy = st.lists(element, max_size=3).map(tuple)
    else:
        strategy = next(values for scalar, values in _SCALARS if scalar is wire_type)
    return st.none() | strategy if is_nullable else strategy
