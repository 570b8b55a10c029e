"""Declarative messages: versions, null, tags, defaults, and what is malformed."""

from dataclasses import dataclass
from typing import Annotated

import pytest

from kproducer.errors import InvalidLengthError, ProtocolError
from kproducer.protocol.schema import INT8, INT16, STRING, Array, Message, Struct, Versions, Wire


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    number: Annotated[int, Wire(INT16, "0+")] = 0
    late: Annotated[int, Wire(INT8, "1+", ignorable=True)] = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    early: Annotated[int, Wire(INT8, "0-1")] = 0
    leaves: Annotated[tuple[Leaf, ...] | None, Wire(Array(Struct(Leaf)), "0+", nullable="1+")] = ()
    label: Annotated[str | None, Wire(STRING, "1+", nullable="2+")] = ""
    hint: Annotated[Leaf, Wire(Struct(Leaf), "2+", tag=0)] = Leaf()
    note: Annotated[str, Wire(STRING, "2+", tag=3)] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hollow:
    items: Annotated[tuple[Leaf, ...], Wire(Array(Struct(Leaf)), "0+")] = ()


TREE = Message(Tree, Versions(0, 2), flexible_from=2)


def test_versions_read_kafkas_notation() -> None:
    assert Versions.parse("3") == Versions(3, 3)
    assert Versions.parse("0-12") == Versions(0, 12)
    assert 9 in Versions.parse("9+")
    assert 8 not in Versions.parse("9+")
    assert 0 not in Versions.parse("")


def test_field_travels_only_in_its_versions() -> None:
    tree = Tree(early=1, leaves=(Leaf(number=2),))
    assert TREE.encode(tree, 0).hex() == "01" + "00000001" + "0002"
    assert TREE.encode(tree, 1).hex() == "01" + "00000001" + "000207" + "0000"


def test_flexible_version_is_compact_and_ends_each_struct_with_tags() -> None:
    tree = Tree(leaves=(Leaf(number=2),), label="ab")
    assert TREE.encode(tree, 2).hex() == "02" + "000207" + "00" + "03" + "6162" + "00"


def test_tags_travel_only_if_they_differ_from_the_default() -> None:
    tree = Tree(hint=Leaf(number=9, late=8), note="n", label=None)
    encoded = TREE.encode(tree, 2)
    assert encoded.hex() == "01" + "00" + "02" + "0004" + "000908" + "00" + "0302" + "026e"
    assert TREE.decode(encoded, 2) == tree


def test_absent_fields_get_their_defaults() -> None:
    assert TREE.decode(bytes.fromhex("05" + "00000001" + "0002"), 0) == Tree(
        early=5, leaves=(Leaf(number=2, late=7),)
    )


def test_unknown_tags_are_skipped() -> None:
    encoded = bytes.fromhex("01" + "01" + "02" + "0102ffff" + "09020000")
    assert TREE.decode(encoded, 2) == Tree()


def test_null_array_is_none_where_it_is_allowed() -> None:
    assert TREE.decode(TREE.encode(Tree(leaves=None), 1), 1).leaves is None


def test_null_array_counts_as_empty_where_it_is_not_allowed() -> None:
    assert TREE.decode(bytes.fromhex("00ffffffff"), 0).leaves == ()


@pytest.mark.parametrize(
    ("tree", "version", "text"),
    [
        (Tree(early=1), 2, "no field early"),
        (Tree(label="x"), 0, "no field label"),
        (Tree(note="x"), 1, "no field note"),
        (Tree(leaves=None), 0, "null is not allowed"),
        (Tree(label=None), 1, "Tree.label"),
        (Tree(early=128), 0, "does not fit"),
        (Tree(), 3, "has versions 0..2, not 3"),
    ],
)
def test_value_that_the_version_cannot_carry_is_refused(tree: Tree, version: int, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        TREE.encode(tree, version)


def test_ignorable_value_is_dropped_where_the_version_lacks_it() -> None:
    assert TREE.encode(Tree(leaves=(Leaf(late=1),)), 0).hex() == "00" + "00000001" + "0000"


def test_bytes_after_the_message_are_refused() -> None:
    with pytest.raises(InvalidLengthError, match="1 bytes are left"):
        TREE.decode(TREE.encode(Tree(), 1) + b"\x00", 1)


def test_count_is_judged_by_the_elements_smallest_size() -> None:
    # Two leaves of version 1 take six bytes, and five are left.
    with pytest.raises(InvalidLengthError, match="at least 3"):
        TREE.decode(bytes.fromhex("00" + "00000002") + bytes(5), 1)


def test_message_cut_at_any_offset_is_refused() -> None:
    encoded = TREE.encode(Tree(leaves=(Leaf(number=1), Leaf()), label="abc", note="n"), 2)
    for end in range(len(encoded)):
        with pytest.raises(ProtocolError):
            TREE.decode(encoded[:end], 2)


def test_tag_section_counts_towards_an_elements_smallest_size() -> None:
    # A leaf of version 2 takes number, late and its tag section: two of them do not fit into seven bytes.
    with pytest.raises(InvalidLengthError, match="at least 4"):
        TREE.decode(bytes.fromhex("03") + bytes(7), 2)
