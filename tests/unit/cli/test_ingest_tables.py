"""Parquet and Arrow files through the ingest command, with a producer that only remembers."""

from __future__ import annotations

import io
import re
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from kproducer.cli import main
from tests.unit.cli.fake_producer import FakeProducer

REASON = "needs the dependency group `columns`, which `make dev` installs"
pa: Any = pytest.importorskip("pyarrow", reason=REASON)
pq: Any = pytest.importorskip("pyarrow.parquet", reason=REASON)

ROWS = 1000
TABLE = pa.table(
    {
        "body": pa.array([f"value {n}" if n % 10 else None for n in range(ROWS)]),
        "id": pa.array([b"%d" % n for n in range(ROWS)]),
        "at": pa.array([n * 1_000_000 if n % 7 else None for n in range(ROWS)], pa.timestamp("us")),
        "part": pa.array([n % 3 for n in range(ROWS)], pa.int32()),
        "tags": pa.array([[("n", b"%d" % n)] for n in range(ROWS)], pa.map_(pa.string(), pa.binary())),
        "n": pa.array(range(ROWS)),
    }
)
VALUES = [None if text is None else text.encode() for text in TABLE["body"].to_pylist()]
ALL_COLUMNS = (
    *("--value-column", "body", "--key-column", "id", "--timestamp-column", "at"),
    *("--partition-column", "part", "--header-column", "tags"),
)


def ingest(producer: FakeProducer, kind: str, *arguments: str | Path) -> int:
    common = ["ingest", "--bootstrap-server", "host:9092", "--topic", "logs", "--format", kind]
    return main([*common, *map(str, arguments)], producer_factory=producer)


def write(folder: Path, kind: str) -> Path:
    path = folder / f"table.{kind}"
    if kind == "parquet":
        pq.write_table(TABLE, path, row_group_size=300)
        return path
    new = pa.ipc.new_file if kind == "arrow" else pa.ipc.new_stream
    with new(str(path), TABLE.schema) as writer:
        writer.write_table(TABLE, max_chunksize=300)
    return path


@pytest.mark.parametrize("kind", ["parquet", "arrow", "arrows"])
def test_every_part_of_a_record_comes_from_its_column(tmp_path: Path, kind: str) -> None:
    producer = FakeProducer()
    path = write(tmp_path, kind)

    assert ingest(producer, kind.removesuffix("s"), *ALL_COLUMNS, path) == 0

    assert producer.values == VALUES
    assert producer.sizes == [300, 300, 300, 100]  # one row group or record batch in memory at a time
    assert [tuple(record)[2:] for record in producer.records] == [
        (b"%d" % n, (("n", b"%d" % n),), n % 3, n * 1000 if n % 7 else None) for n in range(ROWS)
    ]


def test_the_summary_counts_the_bytes_of_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, "parquet")

    assert ingest(FakeProducer(), "parquet", "--value-column", "body", path) == 0

    size = f"{path.stat().st_size / 1000:.1f}"[:3]
    assert f"Delivered 1,000 records to topic logs from {size}" in capsys.readouterr().out


def test_an_arrow_stream_comes_from_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.BytesIO(write(tmp_path, "arrows").read_bytes())
    monkeypatch.setattr("sys.stdin", types.SimpleNamespace(buffer=stream))
    producer = FakeProducer()

    assert ingest(producer, "arrow", "--value-column", "body", "-") == 0

    assert producer.values == VALUES


def test_a_row_that_is_too_large_fails_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    producer = FakeProducer(is_too_large=lambda value: value in (b"value 301", b"value 599"))

    assert ingest(producer, "arrow", "--value-column", "body", write(tmp_path, "arrow")) == 1

    assert producer.values == [value for value in VALUES if value not in (b"value 301", b"value 599")]
    assert "Failed: 2 records; first: RecordTooLargeError" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--value-column", "boddy"), "the file has no column 'boddy'; it has body, id, at, part, tags, n"),
        (("--value-column", "n"), "values: the Arrow type int64 .* must be binary, utf8"),
        (("--value-column", "body", "--key-column", "at"), "keys: the Arrow type timestamp"),
        (("--value-column", "body", "--partition-column", "body"), "partitions: .* must be int32"),
    ],
)
@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_a_column_that_cannot_be_sent_stops_before_the_first_record(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str, arguments: tuple[str, ...], text: str
) -> None:
    producer = FakeProducer()

    assert ingest(producer, kind, *arguments, write(tmp_path, kind)) == 1

    out = capsys.readouterr().out
    assert producer.values == []
    assert "Stopped: InputError: " in out
    assert re.search(text, out)
    assert "Left: all of" in out


def test_a_number_that_is_no_partition_stops_at_its_batch(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = pa.table({"v": ["a", "b", "c"], "p": pa.array([0, 1, -1])})
    pq.write_table(table, tmp_path / "bad.parquet", row_group_size=2)
    producer = FakeProducer()
    options = ("--value-column", "v", "--partition-column", "p")

    assert ingest(producer, "parquet", *options, tmp_path / "bad.parquet") == 1

    assert producer.values == [b"a", b"b"]
    assert "Stopped: InputError: partitions: row 0 is -1" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_a_file_of_another_kind_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"just some lines\n" * 10)

    assert ingest(FakeProducer(), kind, "--value-column", "v", path) == 1

    assert f"{path} cannot be read as {kind}: " in capsys.readouterr().out


def test_parquet_cannot_come_from_standard_input(capsys: pytest.CaptureFixture[str]) -> None:
    assert ingest(FakeProducer(), "parquet", "--value-column", "v", "-") == 1
    assert "cannot be read from standard input" in capsys.readouterr().out


def test_without_pyarrow_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, "arrow")
    monkeypatch.setitem(sys.modules, "pyarrow", None)

    assert ingest(FakeProducer(), "arrow", "--value-column", "body", path) == 1

    assert "needs pyarrow: pip install 'kproducer[arrow]'" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("kind", "arguments", "text"),
    [
        ("parquet", (), "--format parquet needs --value-column"),
        ("arrow", ("--key-column", "k"), "--format arrow needs --value-column"),
        ("lines", ("--value-column", "v"), "columns are named with --format parquet or arrow only"),
        ("csv", ("--key-column", "k"), "columns are named with --format parquet or arrow only"),
        ("arrow", ("--value-column", "v", "--key-field", "k"), "--key-field needs --format ndjson or csv"),
    ],
)
def test_options_of_another_format_are_usage_errors(
    capsys: pytest.CaptureFixture[str], kind: str, arguments: tuple[str, ...], text: str
) -> None:
    assert ingest(FakeProducer(), kind, *arguments, "file") == 2
    assert text in capsys.readouterr().err
