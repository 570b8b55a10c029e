"""`kproducer doctor`: what a producer would meet on a cluster, for people and, by its exit code, for CI."""

from __future__ import annotations

import argparse
import json
import textwrap
from collections.abc import Iterator
from typing import Any

from kproducer import Diagnosis, Finding, Severity, diagnose
from kproducer.cli.options import add_property_option

_WIDTH = 110


def add_parser(commands: Any) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "doctor",
        help="look for what would keep a producer from working well on a cluster",
        epilog="Exit code: 0 nothing found, 1 errors or warnings, 2 no bootstrap server answers (or wrong options).",
    )
    parser.add_argument(
        "--bootstrap-server", required=True, metavar="HOST:PORT,...", help="brokers to ask first"
    )
    parser.add_argument(
        "--topic", action="append", default=[], metavar="NAME", help="a topic to look at; may be repeated"
    )
    add_property_option(
        parser, "--producer-property", "a key of the producer's configuration; may be repeated"
    )
    parser.add_argument(
        "--timeout", type=float, default=10.0, metavar="S", help="seconds for each broker (default 10)"
    )
    parser.add_argument("--json", action="store_true", help="print everything as one JSON object")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Ask, print, and return the exit code."""
    config = {"bootstrap.servers": options.bootstrap_server} | options.producer_property
    diagnosis = diagnose(config, options.topic, timeout=options.timeout)
    if options.json:
        print(json.dumps(diagnosis.as_dict(), indent=2))
    else:
        print("\n".join(_lines(diagnosis)))
    return diagnosis.exit_code


def _lines(diagnosis: Diagnosis) -> Iterator[str]:
    found = diagnosis.as_dict()
    yield f"cluster {found['cluster_id'] or 'unknown'}"
    for entry in found["bootstrap"]:
        yield f"  bootstrap {entry['address']}: {_contact(entry)}"
    for broker in found["brokers"]:
        yield f"  broker {broker['id']} at {broker['address']}: {_contact(broker)}{_versions(broker)}"
    for node_id in found["fenced_brokers"]:
        yield f"  broker {node_id}: fenced"
    for topic in found["topics"]:
        yield f"  topic {topic['name']}: {topic['error'] or _topic(topic)}"
    if diagnosis.is_reachable:
        yield f"  clock: {_clock(found['clock'])}"
    yield "configuration, where it is not the default"
    for name, value in diagnosis.changed_config.items():
        yield f"  {name}={','.join(value) if isinstance(value, list) else value}"
    if diagnosis.config.compression_type != "none":
        yield f"  codec {diagnosis.config.compression_type}: {diagnosis.codecs[diagnosis.config.compression_type]}"
    yield ""
    for finding in diagnosis.findings:
        yield from _finding(finding)
    yield _summary(diagnosis)


def _contact(contact: dict[str, Any]) -> str:
    error = contact["error"]
    return f"{error}" if error else f"answers, {contact['elapsed_ms']:.0f} ms"


def _versions(broker: dict[str, Any]) -> str:
    if broker["kafka"] is None:
        return ""
    produce = broker["apis"].get("Produce", "none")
    return (
        f"; Kafka {broker['kafka']}, Produce {produce}, transaction protocol {broker['transaction_protocol']}"
    )


def _topic(topic: dict[str, Any]) -> str:
    partitions = topic["partitions"]
    replicas = sorted({len(partition["replicas"]) for partition in partitions})
    counts = f"partitions {len(partitions)}, replicas {' or '.join(map(str, replicas)) or 0}"
    settings = [f"{name}={value}" for name, value in topic["settings"].items()]
    may_write = {True: "may be written", False: "may not be written", None: "permission unknown"}
    return ", ".join([counts, may_write[topic["may_write"]], *settings])


def _clock(clock: dict[str, Any]) -> str:
    if clock["skew_ms"] is None:
        return f"unknown ({clock['error']})"
    return f"the controller's minus ours is {clock['skew_ms']:.0f} ms, +-{clock['uncertainty_ms']:.0f}"


def _finding(finding: Finding) -> Iterator[str]:
    text = f"{finding.severity.upper()} {finding.subject}: {finding.text} [{finding.code}]"
    yield textwrap.fill(text, _WIDTH, subsequent_indent="    ", break_on_hyphens=False)
    if finding.remedy:
        remedy = f"    remedy: {finding.remedy}"
        yield textwrap.fill(remedy, _WIDTH, subsequent_indent="    ", break_on_hyphens=False)


def _summary(diagnosis: Diagnosis) -> str:
    if not diagnosis.is_reachable:
        return "No bootstrap server answers."
    counts = dict.fromkeys(Severity, 0)
    for finding in diagnosis.findings:
        counts[finding.severity] += 1
    return ", ".join(f"{severity}s: {count}" for severity, count in counts.items())
