"""`kproducer console`: lines of standard input become records, with the flags of kafka-console-producer."""

from __future__ import annotations

import argparse
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from kproducer import KafkaError, KafkaProducer, RecordTooLargeError, __version__
from kproducer.cli.console_lines import (
    LineError,
    LineFormat,
    LineParser,
    LineRecord,
    universal_newlines,
    unknown_properties,
)
from kproducer.cli.handover import Values, hand_over
from kproducer.cli.interrupts import Interrupts
from kproducer.cli.options import (
    add_client_options,
    add_property_option,
    add_statistics_option,
    merge_properties,
    read_client_properties,
    statistics_properties,
)
from kproducer.cli.settler import Settler
from kproducer.cli.sources import ReadInto, read_lines, split_lines

INTERRUPTED = 130  # 128 + SIGINT, as shells count
_CLIENT_ID = "console-producer"
_LINE_READERS = ("org.apache.kafka.tools.LineMessageReader", "kafka.tools.ConsoleProducer$LineMessageReader")
_SHOWN_FAILURES = 10
_PATIENCE_S = 5.0  # a bulk of lines takes its time to be acknowledged, too
_READER_HELP = (
    "how lines are read; may be repeated. parse.key=true: a key comes first, up to key.separator (default: a tab). "
    "parse.headers=true: headers come first, up to headers.delimiter (a tab), parted by headers.separator (a regular "
    "expression, default ,), names and values parted by headers.key.separator (:). null.marker=TEXT: a key, value, "
    "header value or all headers equal to TEXT are null. ignore.error=true: where a separator is missing, all is value"
)

# Flags that are one property of the producer each; of two for the same property the later row wins.
_PRODUCER_FLAGS: Final = (
    ("--timeout", "linger.ms", "MS", "how long a record may wait for company"),
    ("--request-required-acks", "acks", "ACKS", "acknowledgements to wait for: all, 1 or 0"),
    ("--request-timeout-ms", "request.timeout.ms", "MS", "how long to wait for an answer"),
    ("--message-send-max-retries", "retries", "N", "how often a record is sent again"),
    ("--retry-backoff-ms", "retry.backoff.ms", "MS", "the pause before a record is sent again"),
    ("--socket-buffer-size", "send.buffer.bytes", "BYTES", "size of the socket's send buffer"),
    ("--max-memory-bytes", "buffer.memory", "BYTES", "memory for records that wait to be sent"),
    ("--batch-size", "batch.size", "BYTES", "size of a batch of a partition"),
    ("--max-partition-memory-bytes", "batch.size", "BYTES", "an older name of --batch-size"),
    ("--metadata-expiry-ms", "metadata.max.age.ms", "MS", "how old metadata may become"),
    ("--max-block-ms", "max.block.ms", "MS", "how long to wait for a topic, or for memory"),
)


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command and its options."""
    parser = commands.add_parser(
        "console",
        help="send the lines that you type, with the flags of kafka-console-producer",
        description="Send each line of standard input as one record, as kafka-console-producer does. "
        "Exit code 1 if a line could not be read or a record was not delivered.",
    )
    parser.add_argument(
        "--bootstrap-server", "--bootstrap-servers", required=True, metavar="HOST:PORT[,HOST:PORT...]"
    )
    parser.add_argument("--topic", required=True)
    add_property_option(parser, "--reader-property", _READER_HELP, "--property")
    parser.add_argument(
        "--reader-config", action="append", default=[], metavar="FILE", help="a .properties file of them"
    )
    parser.add_argument(
        "--line-reader",
        type=_line_reader,
        metavar="CLASS",
        help=f"only {_LINE_READERS[0]}, the default: Java classes cannot be run here",
    )
    add_client_options(parser, "--producer-property")
    parser.add_argument("--sync", action="store_true", help="wait for the answer to each line")
    parser.add_argument(
        "--compression-codec",
        nargs="?",
        const="gzip",
        metavar="CODEC",
        help="none, gzip, snappy, lz4 or zstd; gzip if none is named (compression.type)",
    )
    for flag, key, metavar, text in _PRODUCER_FLAGS:
        parser.add_argument(flag, metavar=metavar, help=f"{text} ({key})")
    add_statistics_option(parser)
    parser.add_argument("--version", action="version", version=f"kproducer {__version__}")
    parser.set_defaults(run=_run)


def _line_reader(name: str) -> str:
    if name in _LINE_READERS:
        return name
    raise argparse.ArgumentTypeError(
        f"{name!r} is a Java class, which cannot be run here; only {_LINE_READERS[0]} is built in, and formats "
        "that it cannot read are for `kproducer ingest` or a program of your own"
    )


def _run(options: argparse.Namespace) -> int:
    reader_properties = merge_properties(options.reader_config, options.reader_property)
    for sentence in unknown_properties(reader_properties):
        _say(sentence)
    line_format = LineFormat.from_properties(reader_properties)
    factory: Callable[[dict[str, str]], Any] = options.producer_factory or KafkaProducer
    console = _SyncConsole if options.sync else _Console
    return console(factory(_producer_properties(options)), options.topic, line_format).run()


def _producer_properties(options: argparse.Namespace) -> dict[str, str]:
    """A flag wins over a property of the command line, and that over one of a file."""
    properties = read_client_properties(options)
    properties.setdefault("client.id", _CLIENT_ID)
    if options.sync:
        properties.setdefault("linger.ms", "0")  # no other record comes before the answer
    if options.compression_codec is not None:
        properties["compression.type"] = options.compression_codec
    for flag, key, _, _ in _PRODUCER_FLAGS:
        value = getattr(options, flag.strip("-").replace("-", "_"))
        if value is not None:
            properties[key] = value
    properties |= statistics_properties(options)
    properties["bootstrap.servers"] = options.bootstrap_server
    return properties


class _StopReadingError(Exception):
    """Ctrl-C came; a line whose end has not been read is dropped."""


class _Failures:
    """Tells of records that were not delivered, the first ones one by one. Any thread."""

    def __init__(self) -> None:
        self.count = 0
        self._shown = 0
        self._lock = threading.Lock()

    def add(self, count: int, error: BaseException) -> None:
        with self._lock:
            self.count += count
            self._shown += 1
            shown = self._shown
        if shown <= _SHOWN_FAILURES:
            _say(f"{_records(count)} not delivered: {type(error).__name__}: {error}")

    def on_delivery(self, _metadata: object, error: KafkaError | None) -> None:
        """The callback of a record that is sent by itself."""
        if error is not None:
            self.add(1, error)

    def summarize(self) -> None:
        if self._shown > _SHOWN_FAILURES:
            _say(f"{_records(self.count)} not delivered in all")


class _Console:
    """One run of the command."""

    def __init__(self, producer: Any, topic: str, line_format: LineFormat) -> None:
        self._producer = producer
        self._topic = topic
        self._format = line_format
        self._parser = LineParser(line_format)
        self._failures = _Failures()
        self._settler = Settler(self._failures.add)
        self._interrupts = Interrupts(lambda: None)  # the end of a session at a keyboard needs no words
        self._is_broken = False

    def run(self) -> int:
        """Send until the input ends or Ctrl-C; then deliver what was read. Returns the exit code."""
        with self._interrupts:
            try:
                self._send_all()
                with self._interrupts.breakable():
                    self._settler.finish(self._announce_wait, _PATIENCE_S)
                    self._producer.close()
            except KeyboardInterrupt:
                self._interrupts.is_requested = True
                self._abandon()
        self._failures.summarize()
        if self._interrupts.is_requested:
            return INTERRUPTED
        return 1 if self._is_broken or self._failures.count else 0

    def _send_all(self) -> None:
        try:
            self._send_input(self._readable())
        except _StopReadingError:
            pass
        except (KafkaError, LineError, OSError) as error:
            self._is_broken = True
            name = f"{type(error).__name__}: " if isinstance(error, KafkaError) else ""
            _say(f"{name}{error}; what comes after it is not sent")

    def _send_input(self, read_into: ReadInto) -> None:
        if self._format.is_plain:
            for portion in read_lines(read_into, None):
                self._send_block(portion.values)
            return
        for lines, _ in split_lines(read_into):
            self._send_lines(lines)

    def _readable(self) -> ReadInto:
        """Standard input: each call takes what has come, with a prompt before it if a person types."""
        stream: Any = sys.stdin.buffer
        has_prompt = stream.isatty() and sys.stdout.isatty()

        def read(buffer: memoryview) -> int:
            if self._interrupts.is_requested:
                raise _StopReadingError
            if has_prompt:
                print(">", end="", flush=True)
            try:
                with self._interrupts.breakable():
                    return int(stream.readinto1(buffer))
            except KeyboardInterrupt:
                raise _StopReadingError from None

        return universal_newlines(read)

    def _send_lines(self, lines: list[bytes]) -> None:
        """Send the records of some lines; those before one that cannot be read, too."""
        records: list[LineRecord] = []
        try:
            for line in lines:
                record = self._parser.parse(line)
                records.append(record)
        except LineError:
            self._send_records(records)
            raise
        self._send_records(records)

    def _send_records(self, records: list[LineRecord]) -> None:
        if self._format.parse_headers:
            self._send_each(records)
        else:
            self._send_block([record.value for record in records], [record.key for record in records])

    def _send_block(self, values: Values, keys: list[bytes | None] | None = None) -> None:
        for outcome in hand_over(self._producer, self._topic, values, keys):
            if isinstance(outcome, RecordTooLargeError):
                self._failures.add(1, outcome)
            else:
                self._settler.watch(outcome)

    def _send_each(self, records: list[LineRecord]) -> None:
        """Headers differ from record to record, which a block cannot tell."""
        produce, on_delivery = self._producer.produce, self._failures.on_delivery
        for value, key, headers in records:
            try:
                produce(self._topic, value, key, headers, on_delivery=on_delivery)
            except RecordTooLargeError as error:
                self._failures.add(1, error)

    def _announce_wait(self) -> None:
        _say("waiting for the answers to what was read; press Ctrl-C to stop at once")

    def _abandon(self) -> None:
        with suppress(KafkaError):
            self._producer.close(0.0)
        _say("stopped at once; records without an answer may have been delivered")


class _SyncConsole(_Console):
    """One record at a time; the first that is not delivered ends the run."""

    def _send_input(self, read_into: ReadInto) -> None:
        for lines, _ in split_lines(read_into):
            for line in lines:
                if self._interrupts.is_requested:
                    raise _StopReadingError
                value, key, headers = self._parser.parse(line)
                self._producer.send(self._topic, value, key, headers).result()


def _records(count: int) -> str:
    return "1 record was" if count == 1 else f"{count:,} records were"


def _say(text: str) -> None:
    print(f"kproducer console: {text}", file=sys.stderr, flush=True)
