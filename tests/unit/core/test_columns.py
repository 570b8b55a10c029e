"""Columns out of plain buffers and hand-made Arrow capsules: what rows they have, what is refused, who is released."""

from __future__ import annotations

import array
import ctypes
import gc
from typing import Any

import pytest

from kproducer import is_column, read_columns
from tests.unit.core.arrow_by_hand import Array, ArrayByHand, Schema, StreamByHand

ROWS = memoryview(b"aabbcc").cast("B", [3, 2])


def values_of(column: Any) -> list[object]:
    return [record.value for record in read_columns("t", column)]


def test_a_second_dimension_makes_rows_of_a_buffer() -> None:
    assert values_of(ROWS) == [b"aa", b"bb", b"cc"]
    assert values_of((ctypes.c_char * 2 * 2)(*[(ctypes.c_char * 2)(b"a", b"b")] * 2)) == [b"ab", b"ab"]
    assert values_of(memoryview(bytes(range(12))).cast("B", [2, 3, 2])) == [
        bytes(range(6)),
        bytes(range(6, 12)),
    ]


def test_numbers_are_their_bytes_and_rows_may_stand_apart() -> None:
    numbers = array.array("H", [1, 2, 0x0403])
    assert values_of(numbers) == [n.to_bytes(2, "little") for n in numbers]
    assert values_of(memoryview(numbers)[::-2]) == [b"\3\4", b"\1\0"]


def test_what_is_beside_the_values_stands_in_its_row() -> None:
    keys, partitions, stamps = ROWS[:], array.array("i", [0, 2, 1]), array.array("q", [5, 0, 7])
    records = list(read_columns("t", ROWS, keys, [("h", b"1")], partitions, stamps))
    assert [tuple(record) for record in records] == [
        ("t", b"aa", b"aa", [("h", b"1")], 0, 5),
        ("t", b"bb", b"bb", [("h", b"1")], 2, 0),
        ("t", b"cc", b"cc", [("h", b"1")], 1, 7),
    ]
    assert [tuple(record)[2:] for record in read_columns("t", ROWS, None, None, 3, 9)] == [
        (None, None, 3, 9)
    ] * 3


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ((b"abc",), TypeError, "values must be a column.*not bytes"),
        (("abc",), TypeError, "not str"),
        (([b"a"],), TypeError, "not list"),
        ((None,), TypeError, "not NoneType"),
        ((memoryview(b"abc"),), TypeError, "values: a single block of bytes has no rows"),
        ((array.array("B", [1]),), TypeError, "a single block of bytes"),
        ((array.array("w" if "w" in array.typecodes else "u", "ab"),), TypeError, "four bytes a character"),
        ((ctypes.c_int(5),), TypeError, "not a single value"),
        ((ROWS, b"abc"), TypeError, "keys must be a column.*not bytes"),
        ((ROWS, array.array("H", [1])), ValueError, "values has 3 rows, keys has 1"),
        ((ROWS, None, None, array.array("i", [1])), ValueError, "values has 3 rows, partitions has 1"),
        ((ROWS, None, None, None, array.array("q")), ValueError, "values has 3 rows, timestamps_ms has 0"),
        ((ROWS, None, None, array.array("H", [1, 2, 3])), TypeError, "partitions: .* must be .* int32, int64"),
        ((ROWS, None, None, array.array("f", [1, 2, 3])), TypeError, "format 'f'"),
        ((ROWS, None, None, array.array("I", [1, 2, 3])), TypeError, "format 'I'"),
        ((ROWS, None, None, array.array("i", [1, -1, 3])), ValueError, r"partitions: row 1 is -1: .*2\*\*31-2"),
        ((ROWS, None, None, array.array("q", [1, 2, 2**31 - 1])), ValueError, "row 2 is 2147483647"),
        ((ROWS, None, None, -1), ValueError, "partition=-1"),
        ((ROWS, None, None, "1"), TypeError, "partition must be int"),
        ((ROWS, None, None, None, array.array("i", [1, 2, 3])), TypeError, "timestamps_ms: .* int64"),
        ((ROWS, None, None, None, array.array("q", [1, 2, -3])), ValueError, "row 2 is -3: .*milliseconds"),
        ((ROWS, None, None, None, -1), ValueError, "timestamp_ms=-1"),
        ((ROWS, None, ROWS), TypeError, "headers: a memoryview holds none"),
        ((ROWS, None, [("h", 1)]), TypeError, "header 'h': value must be bytes"),
    ],
)  # fmt: skip
def test_what_cannot_be_a_column_is_refused(
    arguments: tuple[Any, ...], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        read_columns("t", *arguments)


def test_columns_are_told_from_what_else_has_bytes() -> None:
    assert is_column(ROWS)
    assert is_column(memoryview(b"a block"))  # and refused, with a hint, where one is wanted
    assert is_column(array.array("d"))
    assert is_column(ArrayByHand([[]]))
    assert is_column(StreamByHand([[]]))
    for other in (b"a", bytearray(b"a"), "a", [b"a"], None, 5, ctypes.c_int(5), ArrayByHand):
        assert not is_column(other)


# --- release ----------------------------------------------------------------------------------------------------


def test_an_array_is_released_once_when_its_rows_were_read() -> None:
    column = ArrayByHand([[b"a", b"bc", b""]])
    rows = read_columns("t", column)
    assert [record.value for record in rows] == [b"a", b"bc", b""]
    assert column.released == []
    moved = [structure for structure in column.kept if isinstance(structure, (Schema, Array))]
    assert [bool(structure.release) for structure in moved] == [
        False,
        False,
    ]  # what a capsule's destructor looks at
    del rows
    assert sorted(column.released) == ["array", "schema"]


def test_every_chunk_of_a_stream_is_released_once() -> None:
    chunks = [[b"%d" % n] * (n % 3) for n in range(20)]
    column = StreamByHand(chunks)
    assert values_of(column) == [row for chunk in chunks for row in chunk]
    gc.collect()
    assert sorted(column.released) == ["array"] * 20 + ["schema", "stream"]


def test_a_column_that_is_refused_is_released_all_the_same() -> None:
    column = ArrayByHand([[b"a"]], format=b"g")
    with pytest.raises(
        TypeError, match=r"the Arrow type double \(format 'g'\) is not taken here: must be binary"
    ):
        read_columns("t", column)
    assert sorted(column.released) == ["array", "schema"]
    stream = StreamByHand([[b"a"], [b"b"]], format=b"+s")
    with pytest.raises(TypeError, match="struct"):
        read_columns("t", stream)
    assert sorted(stream.released) == ["array", "schema", "stream"]


def test_all_columns_are_released_when_one_of_them_is_refused() -> None:
    values, keys = ArrayByHand([[b"a"]]), StreamByHand([[b"a"], [b"b"]])
    with pytest.raises(ValueError, match="values has 1 rows, keys has 2"):
        read_columns("t", values, keys)
    assert sorted(values.released) == ["array", "schema"]
    assert sorted(keys.released) == ["array", "array", "schema", "stream"]


@pytest.mark.parametrize(("fails_at", "arrays"), [(-1, 0), (0, 0), (2, 2)])
def test_a_stream_that_fails_says_why_and_gives_back_what_it_gave(fails_at: int, arrays: int) -> None:
    column = StreamByHand([[b"a"], [b"b"], [b"c"]], fails_at=fails_at)
    with pytest.raises(OSError, match="values: the Arrow stream failed: the disk is gone") as caught:
        read_columns("t", column)
    assert caught.value.errno == 5
    schemas = ["schema"] if fails_at >= 0 else []
    assert sorted(column.released) == ["array"] * arrays + schemas + ["stream"]


def test_capsules_are_taken_once() -> None:
    capsules = ArrayByHand([[b"a"]]).capsules()

    class Again:
        def __arrow_c_array__(self) -> tuple[object, object]:
            return capsules

    assert values_of(Again()) == [b"a"]
    with pytest.raises(ValueError, match="was released already"):
        values_of(Again())


def test_capsules_of_another_kind_are_refused() -> None:
    column = ArrayByHand([[b"a"]])

    class Swapped:
        def __arrow_c_array__(self) -> tuple[object, object]:
            schema, array = column.capsules()
            return array, schema

    class Three:
        def __arrow_c_array__(self) -> tuple[object, ...]:
            return (*column.capsules(), None)

    with pytest.raises(ValueError, match="incorrect name"):
        read_columns("t", Swapped())
    with pytest.raises(ValueError, match="3 capsules instead of 2"):
        read_columns("t", Three())  # type: ignore[arg-type]  # is what it is for
    assert column.released == []


def test_a_buffer_is_let_go_at_the_end() -> None:
    block = bytearray(b"aabb")
    rows = read_columns("t", memoryview(block).cast("B", [2, 2]))
    with pytest.raises(BufferError):
        block.append(1)
    del rows
    gc.collect()
    block.append(1)
    with pytest.raises(ValueError, match="keys has 1"):
        read_columns("t", memoryview(block)[:4].cast("B", [2, 2]), memoryview(block)[:2].cast("B", [1, 2]))
    block.append(2)
