"""Files of Java's .properties format, read as Java reads them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kproducer.config_files import parse_properties, read_properties
from kproducer.errors import ConfigError

# What java.util.Properties.load of Java 25 made of random texts; null where it threw IllegalArgumentException.
_BY_JAVA = json.loads((Path(__file__).parent / "properties_read_by_java.json").read_text(encoding="ascii"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a=1\n# b=2\n  ! c=3\n\nd : 4", {"a": "1", "d": "4"}),
        ("a = b\\\n   c\nd", {"a": "bc", "d": ""}),
        ("a b=c", {"a": "b=c"}),
        ("a = = b", {"a": "= b"}),
        ("a=x\\\\\nb  y z ", {"a": "x\\", "b": "y z "}),
        (r"a\=b=\u00e4\t\ud83d\ude00\x", {"a=b": "ä\t\U0001f600x"}),
        ("a=1\ra=2\r\nb=3", {"a": "2", "b": "3"}),
        ("a=1\\\n\nb=2", {"a": "1", "b": "2"}),
        ("a=1\\\n#2", {"a": "1#2"}),
        ("=1", {"": "1"}),
        ("", {}),
    ],
)
def test_lines_are_read_by_the_rules_of_java(text: str, expected: dict[str, str]) -> None:
    assert parse_properties(text, "f") == expected


@pytest.mark.parametrize("case", range(len(_BY_JAVA)))
def test_random_texts_give_what_java_read_from_them(case: int) -> None:
    text, expected = _BY_JAVA[case]
    if expected is None:
        with pytest.raises(ConfigError):
            parse_properties(text, "f")
    else:
        assert parse_properties(text, "f") == expected


def test_file_is_read_in_latin_1_as_kafka_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "producer.properties"
    path.write_bytes(b"client.id=\xe4\nbootstrap.servers : a:9092, b:9092\n")
    assert read_properties(path) == {"client.id": "ä", "bootstrap.servers": "a:9092, b:9092"}


def test_malformed_escape_names_file_and_line_and_not_the_value(tmp_path: Path) -> None:
    path = tmp_path / "producer.properties"
    path.write_text("# 1\na=1\\\n  2\nssl.key.password=hunter2\\u12x4\n")
    with pytest.raises(ConfigError, match="line 4") as caught:
        read_properties(str(path))
    assert str(path) in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_missing_file_is_the_operating_systems_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_properties(tmp_path / "none")


@given(st.text(alphabet=st.characters(max_codepoint=255)))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        parse_properties(text, "f")
    except ConfigError:
        assert "\\u" in text
