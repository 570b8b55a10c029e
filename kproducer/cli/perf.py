"""`kproducer perf`: how fast records go out and come to be acknowledged, as kafka-producer-perf-test tells it."""

from __future__ import annotations

import argparse
import sys
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from kproducer import KafkaError, KafkaProducer, UnobservedDeliveryError
from kproducer.cli.options import add_client_options, read_client_properties
from kproducer.cli.perf_payload import Payloads, monotonic_numbers, payloads_of_file, random_letters
from kproducer.cli.perf_stats import Stats, format_metrics

_CLIENT_ID = "perf-producer-client"
_TRANSACTION_MS = 3000
_REPORTING_MS = 5000
# Flat out, 16 records in a row are handed over within some 10 us and share a batch: one callback speaks for them,
# since a callback each would cost more than the sending that is measured. Below this rate each has its own.
_GROUP = 16
_GROUPED_ABOVE_PER_S = 100_000
_LEAST_PAUSE_S = 0.001


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command and its options."""
    parser = commands.add_parser(
        "perf",
        help="measure throughput and latency, with the flags of kafka-producer-perf-test",
        description="Send records to a topic and print rate and latency as kafka-producer-perf-test does. A latency "
        "is the time from the call of the producer to the callback. Exit code 1 if a record was not delivered.",
    )
    parser.add_argument("--bootstrap-server", "--bootstrap-servers", metavar="HOST:PORT[,HOST:PORT...]")
    parser.add_argument("--topic", required=True)
    parser.add_argument("--num-records", required=True, type=_positive, metavar="N", help="records to send")
    parser.add_argument(
        "--throughput",
        required=True,
        type=_throughput,
        metavar="N",
        help="records a second, -1 for as many as possible",
    )
    payload = parser.add_mutually_exclusive_group(required=True)
    payload.add_argument(
        "--record-size", type=_positive, metavar="BYTES", help="values of that many random letters"
    )
    payload.add_argument("--payload-file", metavar="FILE", help="values drawn from the lines of a file")
    payload.add_argument("--payload-monotonic", action="store_true", help="values are 0, 1, 2, ...")
    parser.add_argument(
        "--payload-delimiter",
        default="\\n",
        metavar="TEXT",
        help="what parts the values of the file (a newline)",
    )
    add_client_options(parser, "--producer-props", nargs="+")
    parser.add_argument(
        "--print-metrics", action="store_true", help="print the producer's metrics at the end"
    )
    parser.add_argument("--transactional-id", metavar="ID", help="send in transactions of this id")
    parser.add_argument(
        "--transaction-duration-ms",
        type=_positive,
        metavar="MS",
        help=f"send in transactions, each committed after that time (default with an id: {_TRANSACTION_MS})",
    )
    parser.add_argument(
        "--warmup-records",
        type=int,
        default=0,
        metavar="N",
        help="the first records, left out of a second summary (default 0)",
    )
    parser.add_argument(
        "--reporting-interval",
        type=_positive,
        default=_REPORTING_MS,
        metavar="MS",
        help=f"time between two lines (default {_REPORTING_MS})",
    )
    parser.set_defaults(run=_run)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not 1 or more")
    return number


def _throughput(text: str) -> float:
    rate = float(text)
    if not rate or rate != rate:  # not a number
        raise argparse.ArgumentTypeError(f"{text} is neither above 0 nor -1")
    return rate


def _run(options: argparse.Namespace) -> int:
    if options.warmup_records >= options.num_records:
        print("kproducer perf: --warmup-records must be fewer than --num-records", file=sys.stderr)
        return 2
    payloads = _payloads(options)
    properties = _producer_properties(options)
    factory: Callable[[dict[str, str]], Any] = options.producer_factory or KafkaProducer
    producer = factory(properties)
    try:
        return _Perf(producer, options, payloads, properties).run()
    except BaseException:  # nobody waits for the rest of a measurement that has ended
        with suppress(KafkaError):
            producer.close(0.0)
        raise


def _payloads(options: argparse.Namespace) -> Payloads:
    if options.payload_file is not None:
        delimiter = "\n" if options.payload_delimiter == "\\n" else options.payload_delimiter
        return payloads_of_file(options.payload_file, delimiter)
    if options.record_size is not None:
        return random_letters(options.record_size)
    return monotonic_numbers


def _producer_properties(options: argparse.Namespace) -> dict[str, str]:
    properties = read_client_properties(options)
    properties.setdefault("client.id", _CLIENT_ID)
    if options.bootstrap_server is not None:
        properties["bootstrap.servers"] = options.bootstrap_server
    if options.transactional_id is not None:
        properties["transactional.id"] = options.transactional_id
    elif options.transaction_duration_ms is not None:
        properties.setdefault("transactional.id", f"performance-producer-{uuid.uuid4()}")
    return properties


class _Perf:
    """One run of the command."""

    def __init__(
        self, producer: Any, options: argparse.Namespace, payloads: Payloads, properties: dict[str, str]
    ) -> None:
        self._producer = producer
        self._options = options
        self._payloads = payloads
        self._client_id = properties["client.id"]
        self._transactions = _Transactions(producer, options, "transactional.id" in properties)
        self._group = _group_size(options.num_records, options.throughput)
        self._failed = 0
        self._first_error: BaseException | None = None
        self._stats: Stats
        self._steady: Stats | None = None

    def run(self) -> int:
        """Send, wait for the answers, print. Returns the exit code."""
        self._transactions.init()
        warmup = self._options.warmup_records
        if warmup > 0:
            _show(
                f"Warmup first {warmup} records. "
                "Steady state results will print after the complete test summary."
            )
        self._stats = Stats(self._options.reporting_interval, time.monotonic(), show=_show)
        self._send_all()
        self._settle()
        ended = time.monotonic()
        _show(self._stats.total_line(ended))
        if self._steady is not None:
            _show(self._steady.total_line(ended))
        if self._options.print_metrics:
            _show(format_metrics(self._producer.metrics(), self._client_id))
        self._producer.close()
        if self._failed:
            error = self._first_error
            print(
                f"kproducer perf: {self._failed} records were not delivered; "
                f"first: {type(error).__name__}: {error}",
                file=sys.stderr,
            )
        return 1 if self._failed else 0

    def _send_all(self) -> None:
        options, warmup = self._options, self._options.warmup_records
        began = time.monotonic()
        sent = 0
        while sent < options.num_records:
            if sent == warmup > 0:
                self._stats.is_silent = True
                self._steady = Stats(
                    options.reporting_interval, time.monotonic(), " steady state", show=_show
                )
            until = warmup if sent < warmup else options.num_records
            count = min(self._group, until - sent)
            self._transactions.begin_if_due()
            self._send_group(self._payloads(sent, count))
            self._transactions.commit_if_due()
            sent += count
            if options.throughput > 0:
                _pause_until(began + sent / options.throughput)
        self._transactions.commit()

    def _send_group(self, values: list[bytes]) -> None:
        """The first record speaks for the group; failures of the others are told by `flush()`."""
        topic, produce = self._options.topic, self._producer.produce
        size_bytes = sum(map(len, values))
        on_delivery = partial(self._on_delivery, self._steady, time.monotonic(), len(values), size_bytes)
        produce(topic, values[0], on_delivery=on_delivery)
        for value in values[1:]:
            produce(topic, value)

    def _on_delivery(
        self,
        steady: Stats | None,
        sent_at: float,
        count: int,
        size_bytes: int,
        _metadata: object,
        error: KafkaError | None,
    ) -> None:
        if error is not None:
            self._fail(1, error)
            return
        now = time.monotonic()
        latency_ms = int((now - sent_at) * 1000)
        self._stats.record(latency_ms, count, size_bytes, now)
        if steady is not None:
            steady.record(latency_ms, count, size_bytes, now)

    def _fail(self, count: int, error: BaseException | None) -> None:
        self._failed += count
        if self._first_error is None:
            self._first_error = error

    def _settle(self) -> None:
        try:
            self._producer.flush()
        except UnobservedDeliveryError as error:
            self._fail(error.count, error.first_error)
        if self._failed:
            acked = self._options.num_records - self._failed
            self._stats.correct(acked)
            if self._steady is not None:
                self._steady.correct(max(0, acked - self._options.warmup_records))


class _Transactions:
    """Begins and commits as time goes by; does nothing without a transactional.id."""

    def __init__(self, producer: Any, options: argparse.Namespace, is_on: bool) -> None:
        self._producer = producer
        self._is_on = is_on
        self._duration_s = (options.transaction_duration_ms or _TRANSACTION_MS) / 1000
        self._began: float | None = None

    def init(self) -> None:
        if self._is_on:
            self._producer.init_transactions()

    def begin_if_due(self) -> None:
        if self._is_on and self._began is None:
            self._producer.begin_transaction()
            self._began = time.monotonic()

    def commit_if_due(self) -> None:
        if self._began is not None and time.monotonic() - self._began >= self._duration_s:
            self.commit()

    def commit(self) -> None:
        if self._began is not None:
            self._producer.commit_transaction()
            self._began = None


def _group_size(records: int, throughput: float) -> int:
    """See `_GROUP`; a run that is over in a moment has a latency for each record."""
    is_fast = throughput < 0 or throughput > _GROUPED_ABOVE_PER_S
    return _GROUP if is_fast and records >= _GROUPED_ABOVE_PER_S else 1


def _pause_until(due: float) -> None:
    """Short pauses are saved up: sleeping takes longer than asked for."""
    ahead = due - time.monotonic()
    if ahead >= _LEAST_PAUSE_S:
        time.sleep(ahead)


def _show(line: str) -> None:
    print(line, flush=True)
