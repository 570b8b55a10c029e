"""The door of the `kproducer` command: options in, exit code out."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import Any

from kproducer import KafkaError
from kproducer.cli import console, demo, doctor, info, ingest, kafka, perf, route
from kproducer.testing import ClusterError

INTERRUPTED = 130  # 128 + SIGINT, as shells count
_COMMANDS = (console, ingest, perf, kafka, demo, doctor, route, info)


def main(argv: Sequence[str] | None = None, *, producer_factory: Callable[..., Any] | None = None) -> int:
    """Run one command and return its exit code: 0 done, 1 failed, 2 wrong options, 130 interrupted;
    `doctor` has codes of its own.

    `argv` are the arguments without the program's name (default: the process's own); `producer_factory` takes
    the place of `KafkaProducer` in tests.
    """
    options = _parser().parse_args(argv)
    options.producer_factory = producer_factory
    try:
        run: Callable[[argparse.Namespace], int] = options.run
        return run(options)
    except (ClusterError, KafkaError, ValueError, OSError) as error:
        print(f"kproducer: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("kproducer: interrupted", file=sys.stderr)
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="kproducer", description="Send records to Apache Kafka.")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in _COMMANDS:
        command.add_parser(commands)
    return parser
