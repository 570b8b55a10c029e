"""Lines, NDJSON and CSV, cut into chunks at any place."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kproducer.cli.sources import FORMATS, InputError, Portion


def portions_of(form: str, data: bytes, chunk: int = 7, key_field: str | None = None) -> list[Portion]:
    """Read `data` in pieces of `chunk` bytes."""
    stream = io.BytesIO(data)
    portions = FORMATS[form](lambda buffer: stream.readinto(buffer[:chunk]), key_field)
    # A block is valid until the next one: take it apart at once.
    return [replace(portion, values=_lines(portion.values)) for portion in portions]


def _lines(values: list[bytes] | memoryview) -> list[bytes]:
    if isinstance(values, list):
        return values
    lines = bytes(values).split(b"\n")
    return lines if lines[-1] else lines[:-1]


def values_of(form: str, data: bytes, chunk: int = 7, key_field: str | None = None) -> list[bytes]:
    return [
        value for portion in portions_of(form, data, chunk, key_field) for value in _lines(portion.values)
    ]


def keys_of(form: str, data: bytes, key_field: str) -> list[bytes | None]:
    return [key for portion in portions_of(form, data, 7, key_field) for key in portion.keys or []]


def rejections_of(form: str, data: bytes, key_field: str | None = None) -> list[str]:
    return [reason for portion in portions_of(form, data, 7, key_field) for reason in portion.rejected]


@given(
    st.lists(st.sampled_from([b"\n", b"\r", b"a", b"\xff", b"\0", b"\r\n", b"longer text"])).map(b"".join),
    st.integers(1, 12),
)
def test_joined_lines_are_the_file_whatever_the_chunks(data: bytes, chunk: int) -> None:
    values = values_of("lines", data, chunk)

    assert b"\n".join(values) == data.removesuffix(b"\n")
    assert len(values) == data.count(b"\n") + (bool(data) and not data.endswith(b"\n"))


@given(st.binary(), st.integers(1, 12))
def test_portions_add_up_to_the_size_of_the_file(data: bytes, chunk: int) -> None:
    assert sum(portion.size_bytes for portion in portions_of("lines", data, chunk)) == len(data)


def test_a_line_longer_than_many_chunks_stays_whole() -> None:
    assert values_of("lines", b"x" * 10_000 + b"\ny", 3) == [b"x" * 10_000, b"y"]


def test_carriage_return_invalid_utf8_and_empty_lines_are_kept() -> None:
    assert values_of("lines", b"a\r\n\xff\n\n\nlast") == [b"a\r", b"\xff", b"", b"", b"last"]


def test_an_empty_file_has_no_lines() -> None:
    assert values_of("lines", b"") == []


def test_ndjson_values_are_the_lines_byte_for_byte() -> None:
    data = b'{"k" : 1}\r\n\xff\n\nend'

    assert values_of("ndjson", data) == data.split(b"\n")


@pytest.mark.parametrize(
    ("field", "key"),
    [
        (b'"text"', b"text"),
        (b'"\\u00e9"', "é".encode()),
        (b'"\xff"', b"\xff"),
        (b'"\\ud800"', b"\xed\xa0\x80"),
        (b"12345678901234567890123", b"12345678901234567890123"),
        (b"true", b"true"),
        (b'{"a": [1, "\xc3\xa9"]}', '{"a":[1,"é"]}'.encode()),
        (b"null", None),
    ],
)
def test_the_key_is_a_strings_text_and_other_values_json(field: bytes, key: bytes | None) -> None:
    assert keys_of("ndjson", b'{"k": ' + field + b"}\n", "k") == [key]


def test_an_empty_line_of_keyed_ndjson_is_kept_without_a_key() -> None:
    assert values_of("ndjson", b'{"k":1}\n\n', key_field="k") == [b'{"k":1}', b""]
    assert keys_of("ndjson", b'{"k":1}\n\n', "k") == [b"1", None]


def test_lines_without_the_key_field_are_rejected_with_their_number() -> None:
    data = b'{"k":1}\nnot json\n{"other":1}\n[1]\n{"k":2}\n' + b"[" * 100_000

    assert rejections_of("ndjson", data, "k") == [
        "line 2 is not JSON",
        "line 3 has no field 'k'",
        "line 4 has no field 'k'",
        "line 6 is not JSON",
    ]
    assert keys_of("ndjson", data, "k") == [b"1", b"2"]


def test_a_csv_row_becomes_a_json_object_by_the_header() -> None:
    data = 'id,name\r\n1,"Weiß, ""J"""\r\n2,"two\nlines"\r\n'.encode()

    assert [json.loads(value) for value in values_of("csv", data)] == [
        {"id": "1", "name": 'Weiß, "J"'},
        {"id": "2", "name": "two\nlines"},
    ]


def test_a_csv_column_can_be_the_key() -> None:
    assert keys_of("csv", b"id,name\n1,a\n,b\n", "id") == [b"1", b""]


def test_a_byte_order_mark_is_not_part_of_the_first_column() -> None:
    assert values_of("csv", b"\xef\xbb\xbfid\n1\n") == [b'{"id":"1"}']


def test_invalid_utf8_in_csv_is_kept() -> None:
    assert values_of("csv", b"id\n\xff\n") == [b'{"id":"\xff"}']


def test_csv_rows_that_do_not_fit_the_header_are_rejected_with_their_line() -> None:
    data = b'a,b\n1,2\n3\n\n4,5,6\n"x"y,1\n7,8\n"open'

    assert values_of("csv", data) == [b'{"a":"1","b":"2"}', b'{"a":"7","b":"8"}']
    reasons = rejections_of("csv", data)
    assert reasons[:2] == ["line 3 has 1 fields instead of 2", "line 5 has 3 fields instead of 2"]
    assert [reason.split(":")[0] for reason in reasons[2:]] == ["line 6 is not CSV", "line 8 is not CSV"]


@pytest.mark.parametrize("blank_lines", [4096, 10_000])
def test_many_empty_csv_lines_do_not_end_the_file(blank_lines: int) -> None:
    assert values_of("csv", b"a\n" + b"\n" * blank_lines + b"1\n", 4096) == [b'{"a":"1"}']


def test_a_large_csv_field_is_accepted() -> None:
    [value] = values_of("csv", b"a\n" + b"x" * 200_000, 4096)

    assert len(value) == 200_000 + len('{"a":""}')


@pytest.mark.parametrize(
    ("header", "key_field", "problem"),
    [
        (b"a,b\n1,2", "c", "no column 'c'; it has a, b"),
        (b"a,a\n1,2", None, "twice"),
        (b'"a\n', None, "header"),
    ],
)
def test_an_unusable_csv_header_is_an_input_error(header: bytes, key_field: str | None, problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        portions_of("csv", header, key_field=key_field)


def test_an_empty_csv_file_has_no_rows() -> None:
    assert values_of("csv", b"") == []


@given(st.lists(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=2, max_size=2)))
def test_csv_written_by_another_writer_comes_back(rows: list[list[str]]) -> None:
    text = io.StringIO(newline="")
    csv.writer(text).writerows([["first", "second"], *rows])
    data = text.getvalue().encode()

    portions = portions_of("csv", data)

    read = [json.loads(value) for portion in portions for value in _lines(portion.values)]
    assert [[row["first"], row["second"]] for row in read] == rows
    assert sum(portion.size_bytes for portion in portions) == len(data) or not rows
