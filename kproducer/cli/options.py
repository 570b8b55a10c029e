"""Options which several commands share, and the producer's properties out of them."""

from __future__ import annotations

import argparse
import logging
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kproducer import read_properties

# A producer.config made for Java names classes for these two; a command sends the bytes that it has read.
_SERIALIZERS = ("key.serializer", "value.serializer")


def add_property_option(
    parser: argparse.ArgumentParser,
    name: str,
    help_text: str,
    *aliases: str,
    nargs: str | None = None,
) -> None:
    """Add a repeatable `name=value` option that collects a dictionary; `nargs="+"` takes several at a time."""
    parser.add_argument(
        name, *aliases, action=_PropertyAction, nargs=nargs, default={}, metavar="NAME=VALUE", help=help_text
    )


def add_client_options(parser: argparse.ArgumentParser, old_property: str, nargs: str | None = None) -> None:
    """Add `--command-property` and `--command-config`, and the names that they had before Kafka 4.2."""
    add_property_option(
        parser, "--command-property", "a producer property; may be repeated", old_property, nargs=nargs
    )
    parser.add_argument(
        "--command-config",
        "--producer.config",
        action="append",
        default=[],
        metavar="FILE",
        help="a .properties file for the producer, by Java's rules; a property on the command line wins",
    )


def read_client_properties(options: argparse.Namespace) -> dict[str, str]:
    """The producer's properties of `add_client_options`: files in their order, then the command line."""
    merged = merge_properties(options.command_config, options.command_property)
    return {name: value for name, value in merged.items() if name not in _SERIALIZERS}


def merge_properties(files: Iterable[str], properties: Mapping[str, str]) -> dict[str, str]:
    """The properties of all files, the later before the earlier, and `properties` before all of them."""
    merged: dict[str, str] = {}
    for path in files:
        merged |= read_properties(path)
    return merged | dict(properties)


def add_statistics_option(parser: argparse.ArgumentParser) -> None:
    """Add `--statistics-interval-ms`."""
    parser.add_argument(
        "--statistics-interval-ms",
        type=int,
        metavar="MS",
        help="print a line about rates, times and errors to standard error at this interval "
        "(statistics.interval.ms)",
    )


def statistics_properties(options: argparse.Namespace) -> dict[str, str]:
    """The property of `add_statistics_option`; the lines are printed from now on."""
    if options.statistics_interval_ms is None:
        return {}
    logger = logging.getLogger("kproducer.statistics")
    logger.setLevel(logging.INFO)
    if not logger.handlers:
        logger.addHandler(_Printer())
    return {"statistics.interval.ms": str(options.statistics_interval_ms)}


class _Printer(logging.Handler):
    """Prints messages to what is standard error at that time."""

    def emit(self, record: logging.LogRecord) -> None:
        print(record.getMessage(), file=sys.stderr)


class _PropertyAction(argparse.Action):
    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        texts = [values] if isinstance(values, str) else values or []
        for text in map(str, texts):
            name, separator, value = text.partition("=")
            if not separator or not name:
                name = re.sub(r"[^\w.-].*", "", name, flags=re.DOTALL)  # what follows may be a secret
                parser.error(f"{option_string}: {name!r} has no value; write {option_string} NAME=VALUE")
            setattr(namespace, self.dest, getattr(namespace, self.dest) | {name: value})
