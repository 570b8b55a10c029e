"""`kproducer ingest`: lines of files or of standard input, or rows of tables, become records of a topic."""

from __future__ import annotations

import argparse
import stat
import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kproducer import KafkaError, KafkaProducer, RecordTooLargeError, UnobservedDeliveryError
from kproducer.cli.handover import hand_over, hand_over_load
from kproducer.cli.interrupts import Interrupts
from kproducer.cli.options import add_property_option, add_statistics_option, statistics_properties
from kproducer.cli.progress import Progress, format_bytes, format_count
from kproducer.cli.sources import FORMATS, InputError, Portion, ReadInto
from kproducer.cli.tables import TABLE_FORMATS, ColumnNames, TablePortion, read_table

INTERRUPTED = 130  # 128 + SIGINT, as shells count
_STDIN = "-"
# More than buffer.memory by default, so that waiting for the oldest portion seldom means to stand still.
_MAX_PENDING_BYTES = 64 << 20
_MAX_PENDING = 4096
_SHOWN_REJECTIONS = 5
# By option: the argument of send_columns, and what the column is.
_COLUMN_OPTIONS = {
    "value-column": ("values", "the values: binary or text"),
    "key-column": ("keys", "the keys: binary or text; null for none"),
    "header-column": ("headers", "the headers: a map, or a list of structs of key and value"),
    "partition-column": ("partitions", "the partitions: int32 or int64; null for the partitioner's choice"),
    "timestamp-column": ("timestamps_ms", "the timestamps, or milliseconds as int64; null for now"),
}


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command and its options."""
    parser = commands.add_parser(
        "ingest",
        help="send the lines or rows of files to a topic",
        description="Send each line, JSON document, CSV row or row of a Parquet or Arrow file as one record. "
        "Exit code 1 if any failed.",
    )
    parser.add_argument(
        "--bootstrap-server", "--bootstrap-servers", required=True, metavar="HOST:PORT[,HOST:PORT...]"
    )
    parser.add_argument("--topic", required=True)
    parser.add_argument(
        "--format",
        choices=[*FORMATS, *TABLE_FORMATS],
        default="lines",
        help="lines (default): each line is a value, byte for byte; ndjson: the same, and a line is a JSON "
        "object with a field for the key; csv: a row becomes a JSON object by the names in the first row; "
        "parquet, arrow: a column of each row is its value, others are what the options say (extra `arrow`)",
    )
    parser.add_argument("--key-field", metavar="NAME", help="the JSON field or CSV column that holds the key")
    for option, (_, text) in _COLUMN_OPTIONS.items():
        parser.add_argument(f"--{option}", metavar="NAME", help=f"the column of a table that holds {text}")
    add_property_option(parser, "--producer-property", "a producer property; may be repeated")
    add_statistics_option(parser)
    parser.add_argument("files", nargs="+", metavar="FILE", help="a file, or - for standard input")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    if options.key_field is not None and options.format not in ("ndjson", "csv"):
        print("kproducer ingest: --key-field needs --format ndjson or csv", file=sys.stderr)
        return 2
    wrong = _wrong_columns(options)
    if wrong is not None:
        print(f"kproducer ingest: {wrong}", file=sys.stderr)
        return 2
    sources = [_Source.find(name) for name in options.files]
    factory: Callable[[dict[str, str]], Any] = options.producer_factory or KafkaProducer
    try:
        producer = factory(
            {
                "bootstrap.servers": options.bootstrap_server,
                **options.producer_property,
                **statistics_properties(options),
            }
        )
    except KafkaError as error:
        print(f"kproducer ingest: {error}", file=sys.stderr)
        return 1
    return _Ingest(producer, options, sources).run()


def _named_columns(options: argparse.Namespace) -> dict[str, str]:
    """The names that were given, by argument of send_columns."""
    given = {
        argument: getattr(options, option.replace("-", "_"))
        for option, (argument, _) in _COLUMN_OPTIONS.items()
    }
    return {argument: name for argument, name in given.items() if name is not None}


def _wrong_columns(options: argparse.Namespace) -> str | None:
    """What is wrong with the options that name columns."""
    names = _named_columns(options)
    if options.format not in TABLE_FORMATS:
        return f"columns are named with --format {' or '.join(TABLE_FORMATS)} only" if names else None
    if "values" not in names:
        return f"--format {options.format} needs --value-column"
    return None


@dataclass(slots=True)
class _Source:
    """One input, and how far it was read."""

    name: str
    total_bytes: int | None
    consumed_bytes: int = 0
    is_finished: bool = False

    @classmethod
    def find(cls, name: str) -> _Source:
        """Look at a file before anything is sent; InputError if it cannot be read."""
        if name == _STDIN:
            return cls(name, None)
        try:
            status = Path(name).stat()
        except OSError as error:
            raise InputError(f"{name}: {error.strerror}") from error
        if stat.S_ISDIR(status.st_mode):
            raise InputError(f"{name} is a directory")
        return cls(name, status.st_size if stat.S_ISREG(status.st_mode) else None)

    @contextmanager
    def opened(self) -> Iterator[ReadInto]:
        """A function that fills a buffer; from a pipe it takes what has come."""
        if self.name == _STDIN:
            yield sys.stdin.buffer.readinto1  # type: ignore[union-attr]  # typeshed lacks it
            return
        with Path(self.name).open("rb", buffering=0) as file:
            yield file.readinto

    @property
    def label(self) -> str:
        """What people call it."""
        return "standard input" if self.name == _STDIN else self.name

    def remainder(self) -> str:
        """What was not read, in words."""
        if self.consumed_bytes == 0:
            return f"all of {self.label}"
        if self.total_bytes is None:
            return f"the rest of {self.label}"
        return f"{format_bytes(max(0, self.total_bytes - self.consumed_bytes))} of {self.label}"


@dataclass(slots=True)
class _Tally:
    """What became of the records; `problems` are the sentences for the summary."""

    sent: int = 0
    delivered: int = 0
    failed: int = 0
    rejected: int = 0
    consumed_bytes: int = 0
    first_error: BaseException | None = None
    shown_rejections: list[str] = field(default_factory=list)
    problem: str | None = None

    def fail(self, count: int, error: BaseException | None) -> None:
        self.failed += count
        if self.first_error is None:
            self.first_error = error

    def reject(self, source: _Source, reasons: list[str]) -> None:
        self.rejected += len(reasons)
        room = _SHOWN_REJECTIONS - len(self.shown_rejections)
        self.shown_rejections += [f"{source.label}: {reason}" for reason in reasons[:room]]

    @property
    def unknown(self) -> int:
        """Records that were handed over and whose fate nobody waited for."""
        return self.sent - self.delivered - self.failed

    @property
    def is_clean(self) -> bool:
        return not (self.failed or self.rejected or self.problem or self.unknown)


class _Ingest:
    """One run of the command."""

    def __init__(self, producer: Any, options: argparse.Namespace, sources: list[_Source]) -> None:
        self._producer = producer
        self._topic: str = options.topic
        self._format: str = options.format
        self._key_field: str | None = options.key_field
        self._columns = _named_columns(options)
        self._sources = sources
        self._pending: deque[tuple[Any, int]] = deque()
        self._pending_bytes = 0
        self._tally = _Tally()
        totals = [source.total_bytes for source in sources]
        known = None if None in totals else sum(total or 0 for total in totals)
        self._progress = Progress("sent", known)
        self._interrupts = Interrupts(self._announce_drain)

    def run(self) -> int:
        with self._interrupts:
            try:
                self._send_all()
                self._drain()
                self._close()
            except KeyboardInterrupt:  # the second one
                self._abandon()
        self._progress.finish()
        self._print_summary()
        if self._interrupts.is_requested:
            return INTERRUPTED
        return 0 if self._tally.is_clean else 1

    def _send_all(self) -> None:
        try:
            for source in self._sources:
                self._send_source(source)
                if self._interrupts.is_requested:
                    return
        except (OSError, InputError, KafkaError) as error:
            self._tally.problem = f"{type(error).__name__}: {error}"

    def _send_source(self, source: _Source) -> None:
        with self._portions(source) as portions:
            while not self._interrupts.is_requested:
                portion = self._next_portion(portions)
                if portion is None:
                    source.is_finished = not self._interrupts.is_requested
                    return
                self._send(portion)
                source.consumed_bytes += portion.size_bytes
                self._tally.consumed_bytes += portion.size_bytes
                self._tally.reject(source, portion.rejected)
                self._progress.update(self._tally.sent, self._tally.consumed_bytes)

    @contextmanager
    def _portions(self, source: _Source) -> Iterator[Iterator[Portion | TablePortion]]:
        if self._format in TABLE_FORMATS:
            name = None if source.name == _STDIN else source.name
            yield read_table(self._format, name, source.total_bytes, ColumnNames(**self._columns))
            return
        with source.opened() as read_into:
            yield FORMATS[self._format](read_into, self._key_field)

    def _next_portion(self, portions: Iterator[Portion | TablePortion]) -> Portion | TablePortion | None:
        try:
            with self._interrupts.breakable():
                return next(portions, None)
        except KeyboardInterrupt:
            return None

    def _send(self, portion: Portion | TablePortion) -> None:
        """Hand a portion over; a record that is too large fails alone, any other trouble ends the run."""
        for outcome in self._hand_over(portion):
            if isinstance(outcome, RecordTooLargeError):
                self._tally.sent += 1
                self._tally.fail(1, outcome)
            else:
                self._tally.sent += outcome.count
                self._watch(outcome, portion.size_bytes)

    def _hand_over(self, portion: Portion | TablePortion) -> Iterator[Any]:
        if isinstance(portion, TablePortion):
            return hand_over_load(self._producer, self._topic, portion.columns)
        return hand_over(self._producer, self._topic, portion.values, portion.keys)

    def _watch(self, result: Any, size_bytes: int) -> None:
        self._pending.append((result, size_bytes))
        self._pending_bytes += size_bytes
        while self._pending_bytes > _MAX_PENDING_BYTES or len(self._pending) > _MAX_PENDING:
            self._settle_oldest()

    def _settle_oldest(self) -> None:
        result, size_bytes = self._pending[0]
        result.wait(None)
        self._pending.popleft()
        self._pending_bytes -= size_bytes
        self._tally.delivered += result.count - result.failed
        self._tally.fail(result.failed, result.first_error)

    def _drain(self) -> None:
        while self._pending:
            self._settle_oldest()
            self._progress.update(self._tally.sent, self._tally.consumed_bytes)

    def _close(self) -> None:
        """End the producer; every record has been settled by its result."""
        try:
            self._producer.close()
        except UnobservedDeliveryError as error:
            self._tally.fail(error.count, error.first_error)

    def _abandon(self) -> None:
        """Stop at once; whatever close() has to say about it, the records without an answer are counted."""
        self._interrupts.is_requested = True
        with suppress(KafkaError):
            self._producer.close(0.0)

    def _announce_drain(self) -> None:
        self._progress.finish()
        print("Stopping after what was read; press Ctrl-C again to stop at once.", file=sys.stderr)

    def _print_summary(self) -> None:
        tally, seconds = self._tally, max(self._progress.elapsed_s, 1e-9)
        print(
            f"Delivered {format_count(tally.delivered, 'record')} to topic {self._topic} "
            f"from {format_bytes(tally.consumed_bytes)} in {seconds:.2f} s "
            f"({tally.delivered / seconds:,.0f} records/s, {format_bytes(tally.consumed_bytes / seconds)}/s)."
        )
        for line in self._complaints():
            print(line)

    def _complaints(self) -> Iterator[str]:
        tally = self._tally
        if tally.failed:
            error = tally.first_error
            yield f"Failed: {format_count(tally.failed, 'record')}; first: {type(error).__name__}: {error}"
        if tally.rejected:
            yield f"Not sent: {format_count(tally.rejected, 'line')}"
            yield from (f"  {reason}" for reason in tally.shown_rejections)
        if tally.unknown:
            yield f"Without an answer: {format_count(tally.unknown, 'record')}; they may have been delivered"
        if tally.problem:
            yield f"Stopped: {tally.problem}"
        left = [source.remainder() for source in self._sources if not source.is_finished]
        if left:
            yield f"Left: {', '.join(left)}"
