"""Parquet and Arrow files as columns of records, a record batch at a time, so that memory holds a row group at most.

pyarrow reads them: the extra `arrow`. Nothing of it is imported before such a file is opened.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any, Final, Self

from kproducer import KafkaError, read_columns
from kproducer.cli.sources import InputError

TABLE_FORMATS: Final = ("parquet", "arrow")
_BATCH_ROWS: Final = 65_536


@dataclass(frozen=True, slots=True)
class ColumnNames:
    """Which column of a file holds which part of its records."""

    values: str
    keys: str | None = None
    headers: str | None = None
    partitions: str | None = None
    timestamps_ms: str | None = None

    def named(self) -> Iterator[tuple[str, str]]:
        """(argument of send_columns, column of the file) of those that are used."""
        for argument in ("values", "keys", "headers", "partitions", "timestamps_ms"):
            name = getattr(self, argument)
            if name is not None:
                yield argument, name


@dataclass(frozen=True, slots=True)
class Columns:
    """Rows that are sent together: a load for `hand_over_load`."""

    by_argument: dict[str, Any]

    def send(self, producer: Any, topic: str) -> Any:
        """Give them to the producer; InputError if a row cannot be a record at all."""
        try:
            return producer.send_columns(topic, **self.by_argument)
        except KafkaError:
            raise
        except (TypeError, ValueError) as error:
            raise InputError(str(error)) from error

    def after(self, count: int) -> Self | None:
        """The rows behind the first `count`, None if there are none."""
        if count >= len(self.by_argument["values"]):
            return None
        rest = {argument: column.slice(count) for argument, column in self.by_argument.items()}
        return replace(self, by_argument=rest)


@dataclass(slots=True)
class TablePortion:
    """One record batch, and its share of the file's bytes."""

    columns: Columns
    size_bytes: int
    rejected: list[str]


def read_table(
    kind: str, name: str | None, total_bytes: int | None, names: ColumnNames
) -> Iterator[TablePortion]:
    """Read a file, or standard input (name None), which Arrow's stream format alone can come from.

    Raises:
        InputError: pyarrow is missing, the file is of another kind, or a column is missing or cannot be sent.
        OSError: the file cannot be read.
    """
    pa = _pyarrow("pyarrow", kind)
    try:
        schema, batches, count = (
            _open_parquet(name, names, kind) if kind == "parquet" else _open_arrow(name, kind)
        )
        _check_columns(schema, names)
        done_bytes = 0
        for number, batch in enumerate(batches, 1):
            columns = {argument: batch.column(name) for argument, name in names.named()}
            end = (
                batch.nbytes + done_bytes
                if total_bytes is None or not count
                else _share(total_bytes, number, count)
            )
            yield TablePortion(Columns(columns), end - done_bytes, [])
            done_bytes = end
    except pa.ArrowException as error:
        raise InputError(f"{name or 'standard input'} cannot be read as {kind}: {error}") from error


def _share(total_bytes: int, number: int, count: int) -> int:
    return total_bytes * min(number, count) // count


def _pyarrow(module: str, kind: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        raise InputError(f"--format {kind} needs pyarrow: pip install 'kproducer[arrow]'") from error


def _open_parquet(name: str | None, names: ColumnNames, kind: str) -> tuple[Any, Iterator[Any], int]:
    """Schema, record batches and how many of these there are."""
    if name is None:
        raise InputError(
            "a Parquet file cannot be read from standard input: its table of contents is at the end"
        )
    file = _pyarrow("pyarrow.parquet", kind).ParquetFile(name)
    sizes = [file.metadata.row_group(group).num_rows for group in range(file.metadata.num_row_groups)]
    batches = (
        batch
        for group in range(len(sizes))
        for batch in file.iter_batches(
            _BATCH_ROWS, row_groups=[group], columns=list(dict.fromkeys(name for _, name in names.named()))
        )
    )
    return file.schema_arrow, batches, sum(-(-rows // _BATCH_ROWS) for rows in sizes)


def _open_arrow(name: str | None, kind: str) -> tuple[Any, Iterator[Any], int]:
    """The same of Arrow's file format, or of its stream format, which does not tell how many batches it has."""
    pa, ipc = _pyarrow("pyarrow", kind), _pyarrow("pyarrow.ipc", kind)
    if name is None:
        stream = ipc.open_stream(sys.stdin.buffer)
        return stream.schema, iter(stream), 0
    source = pa.memory_map(name)
    if source.read(6) == b"ARROW1":
        source.seek(0)
        file = ipc.open_file(source)
        count = file.num_record_batches
        return file.schema, (file.get_batch(number) for number in range(count)), count
    source.seek(0)
    stream = ipc.open_stream(source)
    return stream.schema, iter(stream), 0


def _check_columns(schema: Any, names: ColumnNames) -> None:
    """Before the first record: every column is there, once, and of a type that can be sent."""
    for _, name in names.named():
        if name not in schema.names:
            raise InputError(f"the file has no column {name!r}; it has {', '.join(schema.names)}")
        if schema.names.count(name) > 1:
            raise InputError(f"the file has column {name!r} twice")
    empty = schema.empty_table()
    try:
        read_columns("topic", **{argument: empty.column(name) for argument, name in names.named()})
    except TypeError as error:
        raise InputError(str(error)) from error
