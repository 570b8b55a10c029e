"""Lines of the console become records by the rules of the LineMessageReader; integration tests run the real one."""

from __future__ import annotations

import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kproducer.cli.console_lines import (
    LineError,
    LineFormat,
    LineParser,
    LineRecord,
    split_as_java,
    universal_newlines,
    unknown_properties,
)

KEYED = {"parse.key": "true", "key.separator": ":"}
ALL = {"parse.key": "true", "parse.headers": "true"}


def parse(line: bytes, **properties: str) -> LineRecord:
    return LineParser(LineFormat.from_properties(properties)).parse(line)


@pytest.mark.parametrize(
    ("line", "key", "value"),
    [
        (b"a:b", b"a", b"b"),
        (b"a:b:c", b"a", b"b:c"),
        (b":b", b"", b"b"),
        (b"a:", b"a", b""),
        (b":", b"", b""),
        (b"\xff:\xfe", b"\xff", b"\xfe"),
    ],
)
def test_the_key_ends_at_the_first_separator(line: bytes, key: bytes, value: bytes) -> None:
    assert parse(line, **KEYED) == (value, key, None)


def test_separators_may_be_long_empty_or_not_ascii() -> None:
    assert parse(b"a==>b", **KEYED | {"key.separator": "==>"}) == (b"b", b"a", None)
    assert parse("aµb".encode(), **KEYED | {"key.separator": "µ"}) == (b"b", b"a", None)
    assert parse(b"ab", **KEYED | {"key.separator": ""}) == (b"ab", b"", None)


def test_headers_come_before_the_key_and_may_repeat() -> None:
    record = parse(b"h1:v1,h2:a:b,h1:\tkey\tva\tlue", **ALL)

    assert record == (b"va\tlue", b"key", [("h1", b"v1"), ("h2", b"a:b"), ("h1", b"")])


def test_all_separators_can_be_chosen() -> None:
    own = {
        "headers.delimiter": "|",
        "headers.separator": ";",
        "headers.key.separator": "=",
        "key.separator": "/",
    }

    assert parse(b"a=1;b=2|k/v", **ALL | own) == (b"v", b"k", [("a", b"1"), ("b", b"2")])


def test_header_values_keep_their_bytes() -> None:
    assert parse(b"h:\xff\xfe\tv", **{"parse.headers": "true"}) == (b"v", None, [("h", b"\xff\xfe")])


def test_flags_are_read_as_java_does() -> None:
    assert parse(b"a:b", **KEYED | {"parse.key": " TRUE "}).key == b"a"
    assert parse(b"a:b", **KEYED | {"parse.key": "yes"}).key is None


@pytest.mark.parametrize(
    ("line", "properties", "message"),
    [
        (b"secret", KEYED, "No key separator found on line number 2"),
        (b"secret", ALL, "No headers delimiter found on line number 2"),
        (b"h:secret\tv", ALL, "No key separator found on line number 2"),
        (b"secret\tk\tv", ALL, "No header key separator found on line number 2"),
        (b"\tk\tv", ALL, "No header key separator found on line number 2"),
        (
            b"N:secret\tk\tv",
            ALL | {"null.marker": "N"},
            "Header keys should not be equal to the null marker 'N' as they can't be null, on line number 2",
        ),
    ],
)
def test_an_unreadable_line_is_named_by_its_number_alone(
    line: bytes, properties: dict[str, str], message: str
) -> None:
    parser = LineParser(LineFormat.from_properties(properties))
    parser.parse(b"a:1\tk:\tv")

    with pytest.raises(LineError) as caught:
        parser.parse(line)

    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("line", "record"),
    [
        (b"nothing", (b"nothing", None, None)),
        (b"h:1\tkv", (b"kv", None, [("h", b"1")])),
        (b"hv\tk\tv", (b"v", b"k", [("hv", None)])),
        (b"\tk\tv", (b"v", b"k", [("", None)])),
    ],
)
def test_with_ignore_error_what_cannot_be_parted_is_value(
    line: bytes, record: tuple[bytes, bytes | None, object]
) -> None:
    assert parse(line, **ALL | {"ignore.error": "true"}) == record


@pytest.mark.parametrize(
    ("line", "record"),
    [
        (b"NULL\tk\tv", (b"v", b"k", None)),
        (b"h:NULL\tNULL\tNULL", (None, None, [("h", None)])),
        (b"h:1\tk\tNULLs", (b"NULLs", b"k", [("h", b"1")])),
    ],
)
def test_the_null_marker_stands_for_null(line: bytes, record: tuple[bytes, bytes | None, object]) -> None:
    assert parse(line, **ALL | {"null.marker": "NULL"}) == record


def test_an_empty_null_marker_makes_tombstones_of_empty_values() -> None:
    assert parse(b"k:", **KEYED | {"null.marker": ""}) == (None, b"k", None)
    assert parse(b"", **{"null.marker": ""}) == (None, None, None)


@pytest.mark.parametrize(
    ("properties", "first", "second"),
    [
        ({"headers.delimiter": ","}, "headers.delimiter", "headers.separator"),
        ({"headers.delimiter": ":"}, "headers.delimiter", "headers.key.separator"),
        ({"headers.separator": ":"}, "headers.separator", "headers.key.separator"),
        ({"null.marker": ";", "key.separator": ";"}, "null.marker", "key.separator"),
        ({"null.marker": ","}, "null.marker", "headers.separator"),
        ({"null.marker": "|", "headers.delimiter": "|"}, "null.marker", "headers.delimiter"),
        ({"null.marker": ":"}, "null.marker", "headers.key.separator"),
    ],
)
def test_marks_that_must_differ(properties: dict[str, str], first: str, second: str) -> None:
    with pytest.raises(LineError, match=re.escape(f"{first} and {second} may not be equal")):
        LineFormat.from_properties(properties)


def test_a_header_separator_that_is_no_regular_expression_is_an_error() -> None:
    with pytest.raises(LineError, match=r"headers\.separator is not a regular expression"):
        LineFormat.from_properties({"headers.separator": "("})


def test_a_mistyped_reader_property_is_told_with_the_nearest_name() -> None:
    assert unknown_properties({"parse.keys": "true", "parse.key": "true"}) == [
        "the reader property 'parse.keys' is not known and has no effect; did you mean 'parse.key'?"
    ]


@pytest.mark.parametrize(
    ("pattern", "text", "parts"),
    [
        (",", "a,b", ["a", "b"]),
        (",", "", [""]),
        (",", ",", []),
        (",", ",a", ["", "a"]),
        (",", "a,,b,,", ["a", "", "b"]),
        ("[;,]", "a;b,c", ["a", "b", "c"]),
        ("|", "ab", ["a", "b"]),
        ("(;)", "a;b", ["a", "b"]),
    ],
)
def test_headers_are_parted_as_by_javas_split(pattern: str, text: str, parts: list[str]) -> None:
    assert split_as_java(re.compile(pattern), text) == parts


@given(
    st.lists(st.sampled_from([b"\n", b"\r", b"\r\n", b"a", b"\xff", b"longer text"])).map(b"".join),
    st.integers(1, 9),
)
def test_every_line_end_is_a_newline_whatever_the_pieces(data: bytes, chunk: int) -> None:
    stream = io.BytesIO(data)
    read = universal_newlines(lambda buffer: stream.readinto(buffer[:chunk]))
    buffer = bytearray(16)

    seen = b""
    while size := read(memoryview(buffer)):
        seen += buffer[:size]

    assert seen == data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
