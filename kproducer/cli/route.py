"""`kproducer route`: where keys go and why, and which of them move when a topic gets more partitions."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from kproducer import KafkaProducer, PartitionInfo, ProducerConfig, parse_config
from kproducer.cli.options import add_client_options, read_client_properties
from kproducer.partitioners import key_hash, skew

_HEADINGS: Final = ("KEY", "PARTITION", "LEADER", "WHY")
_NO_KEY: Final = "(no key)"
_NOBODY: Final = "127.0.0.1:9092"  # never dialled
_HASHES: Final = {"murmur2": "murmur2", "consistent": "crc32", "fnv1a": "fnv1a"}
# Asking for a topic must not make it, and who asks does not wait for a minute.
_GENTLE: Final = {"allow.auto.create.topics": "false", "max.block.ms": "10000"}


@dataclass(frozen=True, slots=True)
class Route:
    """Where the records of one key go.

    rule: what decides: the name of a hash, `sticky`, `random` or `partitioner.class`.
    number: the key's hash; None if the key does not decide.
    partition: None if the key does not decide; leader: of it, None if not known.
    compared: the partition among `--compare` many.
    """

    key: bytes | None
    rule: str
    number: int | None
    partition: int | None
    leader: int | None
    compared: int | None

    @property
    def moves(self) -> bool:
        """Whether it goes elsewhere among `--compare` many."""
        return self.compared is not None and self.compared != self.partition


def add_parser(commands: Any) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "route",
        help="show where keys go and why, and which of them move when a topic grows",
        description="Show the partition of each key, its leader, and the rule that chose it. Nothing is sent.",
    )
    parser.add_argument("--topic", required=True, metavar="NAME")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--bootstrap-server", metavar="HOST:PORT,...", help="brokers to ask for the partitions"
    )
    source.add_argument(
        "--partitions", type=_count, metavar="N", help="take it that the topic has so many, and ask nobody"
    )
    parser.add_argument(
        "--compare", type=_count, metavar="N", help="show what moves if the topic had so many"
    )
    parser.add_argument("--no-key", action="store_true", help="show also where a record without a key goes")
    parser.add_argument("--json", action="store_true", help="print everything as one JSON object")
    add_client_options(parser, "--producer-property")
    parser.add_argument(
        "keys", nargs="*", metavar="KEY", help="keys (default: the lines of standard input, unless --no-key)"
    )
    parser.set_defaults(run=run)


def _count(text: str) -> int:
    number = int(text) if text.isascii() and text.isdigit() else 0
    if not 0 < number < 2**31:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of partitions: allowed is 1 to {2**31 - 1}")
    return number


def run(options: argparse.Namespace) -> int:
    """Print the routes and return 0."""
    given = read_client_properties(options)
    config = parse_config({"bootstrap.servers": options.bootstrap_server or _NOBODY} | given)
    leaders = _leaders(options, given)
    routes = [find_route(key, config, leaders, options.compare) for key in _keys(options)]
    print(_as_json(options, leaders, routes) if options.json else "\n".join(_lines(options, leaders, routes)))
    return 0


def _leaders(options: argparse.Namespace, given: dict[str, str]) -> list[int | None]:
    """The leader of each partition, None where it is not known."""
    if options.partitions is not None:
        return [None] * options.partitions
    factory: Callable[[dict[str, str]], Any] = options.producer_factory or KafkaProducer
    with factory({"bootstrap.servers": options.bootstrap_server} | _GENTLE | given) as producer:
        infos: Sequence[PartitionInfo] = producer.partitions_for(options.topic)
    return [None if info.leader < 0 else info.leader for info in sorted(infos, key=lambda i: i.partition)]


def _keys(options: argparse.Namespace) -> Iterator[bytes | None]:
    """The keys of the command line, or those of standard input; what is no text comes through as it is."""
    if options.no_key:
        yield None
    yield from map(os.fsencode, options.keys)
    if not options.keys and not options.no_key:
        for line in sys.stdin.buffer:
            yield line.removesuffix(b"\n").removesuffix(b"\r")


def find_route(
    key: bytes | None, config: ProducerConfig, leaders: Sequence[int | None], compare: int | None
) -> Route:
    """Return where a producer of this configuration sends the records of a key.

    Args:
        key: None for records without one.
        leaders: of each partition of the topic, None where it is not known.
        compare: another number of partitions; None for none.
    """
    rule, number = _rule(key, config)
    if number is None:
        return Route(key, rule, None, None, None, None)
    partition = number % len(leaders)
    compared = None if compare is None else number % compare
    return Route(key, rule, number, partition, leaders[partition], compared)


def _rule(key: bytes | None, config: ProducerConfig) -> tuple[str, int | None]:
    if config.partitioner_class is not None:
        return "partitioner.class", None
    number = None if config.partitioner_ignore_keys else key_hash(key, config.partitioner)
    if number is not None:
        return _HASHES[config.partitioner.removesuffix("_random")], number
    return ("random" if config.partitioner == "random" and key is not None else "sticky"), None


# --- for people ------------------------------------------------------------------------------------------


def _lines(
    options: argparse.Namespace, leaders: Sequence[int | None], routes: Sequence[Route]
) -> Iterator[str]:
    rows = [_HEADINGS, *(_row(route, len(leaders), options.compare) for route in routes)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS) - 1)]
    for row in rows:
        yield "  ".join([*(text.ljust(width) for text, width in zip(row, widths, strict=False)), row[-1]])
    yield from _summary(options, leaders, routes)


def _row(route: Route, count: int, compare: int | None) -> tuple[str, str, str, str]:
    partition = "any" if route.partition is None else str(route.partition)
    if route.moves:
        partition += f" -> {route.compared}"
    return (
        _shown(route.key),
        partition,
        "-" if route.leader is None else str(route.leader),
        _why(route, count),
    )


def _shown(key: bytes | None) -> str:
    if key is None:
        return _NO_KEY
    text = key.decode("utf-8", "backslashreplace")
    return text if text.isprintable() and text else repr(text)


def _why(route: Route, count: int) -> str:
    if route.number is not None:
        return f"{route.rule} {route.number} % {count}"
    return {
        "sticky": "no key counts: the sticky partition, another one after batch.size bytes",
        "random": "partitioner=random draws one for each record",
        "partitioner.class": "partitioner.class decides for each record",
    }[route.rule]


def _summary(
    options: argparse.Namespace, leaders: Sequence[int | None], routes: Sequence[Route]
) -> Iterator[str]:
    placed = [route for route in routes if route.partition is not None]
    if len(placed) > 1:
        counts = _counts(leaders, placed)
        fullest = max(counts, key=lambda partition: counts[partition])
        spread = f"{len(placed)} keys over {len(leaders)} partitions"
        yield f"{spread}: partition {fullest} has most, {counts[fullest]} (skew {skew(counts):.2f})"
    if options.compare is not None:
        moved = sum(route.moves for route in placed)
        yield f"{moved} of {len(placed)} keys move from {len(leaders)} to {options.compare} partitions"


def _counts(leaders: Sequence[int | None], placed: Sequence[Route]) -> dict[int, int]:
    found = Counter(route.partition for route in placed)
    return {partition: found[partition] for partition in range(len(leaders))}


# --- for programs ----------------------------------------------------------------------------------------


def _as_json(options: argparse.Namespace, leaders: Sequence[int | None], routes: Sequence[Route]) -> str:
    placed = [route for route in routes if route.partition is not None]
    found: dict[str, object] = {
        "topic": options.topic,
        "partitions": len(leaders),
        "skew": skew(_counts(leaders, placed)),
        "keys": [_as_dict(route, options.compare) for route in routes],
    }
    if options.compare is not None:
        found |= {"compared_partitions": options.compare, "moved": sum(route.moves for route in placed)}
    return json.dumps(found, indent=2)


def _as_dict(route: Route, compare: int | None) -> dict[str, object]:
    found: dict[str, object] = {
        "key": None if route.key is None else route.key.decode("utf-8", "backslashreplace"),
        "rule": route.rule,
        "hash": route.number,
        "partition": route.partition,
        "leader": route.leader,
    }
    if compare is not None:
        found |= {"compared_partition": route.compared, "moves": route.moves}
    return found
