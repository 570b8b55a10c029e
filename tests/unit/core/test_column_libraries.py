"""Columns of NumPy, pyarrow, pandas and polars: every type that is taken, cut, in pieces, with nulls."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kproducer import is_column, read_columns

REASON = "needs the dependency group `columns`, which `make dev` installs"
np: Any = pytest.importorskip("numpy", reason=REASON)
pa: Any = pytest.importorskip("pyarrow", reason=REASON)
pd: Any = pytest.importorskip("pandas", reason=REASON)
pl: Any = pytest.importorskip("polars", reason=REASON)

WORDS = ["a", None, "longer than twelve bytes", "", "größer", "x" * 300, None, "a"]
BYTES = [None if word is None else word.encode() for word in WORDS]
TYPES = {
    "binary": pa.binary(),
    "large_binary": pa.large_binary(),
    "utf8": pa.string(),
    "large_utf8": pa.large_string(),
    "binary_view": pa.binary_view(),
    "utf8_view": pa.string_view(),
    "dictionary of utf8": pa.dictionary(pa.int8(), pa.string()),
    "dictionary of large binary": pa.dictionary(pa.uint64(), pa.large_binary()),
}


def values_of(column: Any) -> list[object]:
    return [record.value for record in read_columns("t", column)]


def array_of(words: list[str | None], kind: Any) -> Any:
    if pa.types.is_dictionary(kind):
        plain = pa.array(words, pa.string()).cast(kind.value_type)
        return plain.dictionary_encode().cast(kind)
    return pa.array(words, pa.string()).cast(kind)


@pytest.mark.parametrize("name", TYPES)
def test_arrays_of_arrow_whole_cut_and_in_chunks(name: str) -> None:
    array = array_of(WORDS, TYPES[name])
    assert values_of(array) == BYTES
    assert values_of(array.slice(3, 4)) == BYTES[3:7]
    chunked = pa.chunked_array([array, array.slice(5), array.slice(2, 0), array.slice(1, 2)])
    assert values_of(chunked) == BYTES + BYTES[5:] + BYTES[1:3]
    assert values_of(pa.chunked_array([], TYPES[name])) == []
    assert values_of(array.slice(2, 0)) == []


def test_arrays_of_one_width_and_of_nothing() -> None:
    array = pa.array([b"abc", None, b"def", b"ghi"], pa.binary(3))
    assert values_of(array) == [b"abc", None, b"def", b"ghi"]
    assert values_of(array.slice(1, 2)) == [None, b"def"]
    assert values_of(pa.nulls(2)) == [None, None]
    assert values_of(pa.array([], pa.binary(0))) == []
    assert values_of(pa.array([b"", None], pa.binary(0))) == [b"", None]


@st.composite
def arrays(draw: st.DrawFn) -> tuple[Any, list[bytes | None]]:
    """An Arrow array or chunked array of any type that is taken, perhaps cut, and its rows."""
    words = draw(st.lists(st.none() | st.text(max_size=40), max_size=40))
    kind = draw(st.sampled_from([*TYPES.values(), pa.binary(5)]))
    if pa.types.is_fixed_size_binary(kind):
        whole = pa.array([None if w is None else w.encode()[:5].ljust(5, b"x") for w in words], kind)
    else:
        whole = array_of(words, kind)
    rows = [
        None if row is None else row.encode() if isinstance(row, str) else row for row in whole.to_pylist()
    ]
    cuts = sorted(draw(st.lists(st.integers(0, len(rows)), max_size=4)))
    bounds = list(zip([0, *cuts], [*cuts, len(rows)], strict=True))
    if draw(st.booleans()):
        first, last = bounds[draw(st.integers(0, len(bounds) - 1))]
        return whole.slice(first, last - first), rows[first:last]
    return pa.chunked_array([whole.slice(a, b - a) for a, b in bounds], whole.type), rows


@given(arrays())
def test_any_array_reads_back_as_its_rows(sample: tuple[Any, list[bytes | None]]) -> None:
    column, rows = sample
    assert values_of(column) == rows


HEADERS = st.lists(
    st.none()
    | st.lists(st.tuples(st.text(max_size=8), st.none() | st.binary(max_size=20)), max_size=5).map(tuple),
    max_size=20,
)
HEADER_TYPES = [
    pa.map_(pa.string(), pa.binary()),
    pa.list_(pa.struct([("key", pa.string()), ("value", pa.binary())])),
    pa.large_list(pa.struct([("key", pa.large_string()), ("value", pa.binary_view())])),
]


@given(HEADERS, st.sampled_from(HEADER_TYPES), st.integers(0, 20), st.integers(0, 20))
def test_any_headers_read_back_as_they_were(rows: list[Any], kind: Any, first: int, n: int) -> None:
    as_dicts = not pa.types.is_map(kind)
    items = [
        row if row is None or not as_dicts else [{"key": key, "value": value} for key, value in row]
        for row in rows
    ]
    column = pa.array(items, kind).slice(first, n)
    values = pa.nulls(len(column), pa.binary())
    expected = [row or () for row in rows[first : first + n]]
    assert [record.headers for record in read_columns("t", values, headers=column)] == expected


UNITS = {"s": 1000, "ms": 1, "us": 1 / 1000, "ns": 1 / 1_000_000}


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("zone", [None, "Europe/Berlin"])
def test_timestamps_of_every_unit_become_milliseconds(unit: str, zone: str | None) -> None:
    numbers = [0, 1_700_000_000_123, None, 999_999]
    column = pa.array(numbers, pa.timestamp(unit, zone)).slice(1)
    found = [r.timestamp_ms for r in read_columns("t", pa.nulls(3), timestamps_ms=column)]
    assert found == [None if n is None else int(n * UNITS[unit]) for n in numbers[1:]]


def test_a_time_before_the_epoch_or_beyond_the_range_is_refused() -> None:
    with pytest.raises(ValueError, match="timestamps_ms: row 1 is -1"):
        read_columns("t", pa.nulls(2), timestamps_ms=pa.array([0, -1], pa.timestamp("us")))
    with pytest.raises(ValueError, match=f"row 0 is {2**62}"):
        read_columns("t", pa.nulls(1), timestamps_ms=pa.array([2**62], pa.timestamp("s")))


@pytest.mark.parametrize("kind", ["int32", "int64"])
def test_partitions_of_both_widths_and_none(kind: str) -> None:
    column = pa.chunked_array([pa.array([5, None], kind), pa.array([0], kind)])
    assert [r.partition for r in read_columns("t", pa.nulls(3), partitions=column)] == [5, None, 0]
    with pytest.raises(ValueError, match="partitions: row 2 is -7"):
        read_columns("t", pa.nulls(3), partitions=pa.chunked_array([[1, 2], [-7]], kind))


@pytest.mark.parametrize(
    ("column", "name"),
    [
        (pa.array([1]), r"int64 \(format 'l'\)"),
        (pa.array([1.5]), "double"),
        (pa.array([True]), "bool"),
        (pa.array([[b"a"]]), "list<binary"),
        (pa.array([{"a": b"b"}]), "struct<binary"),
        (pa.table({"a": [b"b"]}), "struct<binary"),
        (pa.array([1]).dictionary_encode(), "dictionary<int32, int64"),
        (pa.array([dt.date(2020, 1, 1)]), "date32"),
        (pl.DataFrame({"a": [b"b"]}), "struct<binary_view"),
        (pl.Series([1]), "int64"),
    ],
)
def test_other_types_are_refused_by_name(column: Any, name: str) -> None:
    with pytest.raises(TypeError, match=f"values: the Arrow type {name}.* must be binary, utf8") as caught:
        read_columns("t", column)
    assert str(caught.value).endswith("by itself") == ("struct<" in str(caught.value))


@pytest.mark.parametrize("column", [pa.array([b"a"]), pa.array([[b"a"]]), pa.array([[{"key": "a"}]])])
def test_headers_that_are_no_pairs_are_refused(column: Any) -> None:
    with pytest.raises(TypeError, match=r"headers: the Arrow type .* must be list<struct<key"):
        read_columns("t", pa.nulls(1), headers=column)


def test_a_header_without_a_key_is_refused() -> None:
    kind = pa.list_(pa.struct([("k", pa.string()), ("v", pa.binary())]))
    column = pa.array([[{"k": "a", "v": b""}], [{"k": None, "v": b""}]], kind)
    with pytest.raises(ValueError, match=r"headers: .* malformed at row 1: the key of a header is null"):
        read_columns("t", pa.nulls(2), headers=column)


def test_offsets_that_run_backwards_are_refused() -> None:
    offsets = pa.py_buffer(np.array([0, 3, 1], "i4"))
    column = pa.Array.from_buffers(pa.binary(), 2, [None, offsets, pa.py_buffer(b"abc")])
    with pytest.raises(
        ValueError, match="values: the Arrow array is malformed at row 1: its offsets decrease"
    ):
        read_columns("t", column)


# --- NumPy ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("array", "rows"),
    [
        (np.array([b"abc", b"de", b""]), [b"abc", b"de", b""]),  # padding as NumPy itself reads it
        (np.array([b"abc", b"de"], "V4"), [b"abc\0", b"de\0\0"]),
        (np.arange(6, dtype="u1").reshape(3, 2), [b"\0\1", b"\2\3", b"\4\5"]),
        (np.arange(6, dtype="u1").reshape(3, 2)[::-2], [b"\4\5", b"\0\1"]),
        (np.array([1, 2], "<u2"), [b"\1\0", b"\2\0"]),
        (np.array([1, 2], ">u2"), [b"\0\1", b"\0\2"]),
        (np.array([1.0], "<f8"), [np.float64(1).tobytes()]),
        (np.array([True, False]), [b"\1", b"\0"]),
        (np.array([(1, b"x")], [("n", "<i2"), ("O", "S2")]), [b"\1\0x\0"]),
        (np.array([(1, b"x")], [("n", "<i2"), ("word", "S2")])["word"], [b"x"]),
        (np.zeros((2, 0), "u1"), [b"", b""]),
        (np.zeros((0, 3), "u1"), []),
    ],
)
def test_arrays_of_numpy(array: Any, rows: list[bytes]) -> None:
    assert is_column(array)
    assert values_of(array) == rows


@pytest.mark.parametrize(
    ("array", "error", "text"),
    [
        (np.zeros(3, "u1"), TypeError, "a single block of bytes"),
        (np.array(["text"]), TypeError, "four bytes a character"),
        (np.array([b"a", None]), TypeError, "array of Python objects"),
        (np.array([(1, "x")], [("n", "i4"), ("o", "O")]), TypeError, "array of Python objects"),
        (np.zeros(2, "M8[ms]"), TypeError, "cannot be one"),
        (np.zeros((2, 3), "u1").T, ValueError, "must be contiguous"),
    ],
)
def test_arrays_of_numpy_that_are_refused(array: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=f"values.*{text}"):
        read_columns("t", array)


def test_single_values_and_arrays_of_objects_are_no_columns() -> None:
    for value in (np.float64(1), np.int64(1), np.bytes_(b"a"), np.void(b"ab"), np.array(1)):
        assert not is_column(value)
    assert not is_column(np.array([b"a", None]))


# --- pandas and polars ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [None, "category", "string[pyarrow]", "object"])
def test_series_of_pandas(kind: str | None) -> None:
    assert values_of(pd.Series(WORDS, dtype=kind)) == BYTES
    assert values_of(pd.Series(BYTES)) == BYTES
    assert values_of(pd.DataFrame({"v": WORDS}, dtype=kind)["v"][2:5]) == BYTES[2:5]


def test_dates_of_pandas_are_timestamps() -> None:
    column = pd.Series(pd.to_datetime(["2020-01-01T00:00:00.123456", None]))
    found = [r.timestamp_ms for r in read_columns("t", pa.nulls(2), timestamps_ms=column)]
    assert found == [1_577_836_800_123, None]


@pytest.mark.parametrize(
    "kind", [pl.String, pl.Categorical, pl.Enum([w for w in dict.fromkeys(WORDS) if w is not None])]
)
def test_series_of_polars(kind: Any) -> None:
    series = pl.Series(WORDS, dtype=kind)
    assert values_of(series) == BYTES
    assert values_of(pl.concat([series, series[2:5]])) == BYTES + BYTES[2:5]
    assert values_of(pl.Series(BYTES)) == BYTES


def test_lists_of_structs_of_polars_are_headers() -> None:
    column = pl.Series([[{"key": "a", "value": b"1"}, {"key": "a", "value": None}], None, []])
    found = [r.headers for r in read_columns("t", pl.Series(["1", "2", "3"]), headers=column)]
    assert found == [(("a", b"1"), ("a", None)), (), ()]
