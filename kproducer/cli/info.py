"""`kproducer info`: the version and where each codec comes from."""

from __future__ import annotations

import argparse
import platform
from typing import Any

from kproducer import __version__, codec_sources


def add_parser(commands: Any) -> None:
    """Register the command."""
    parser = commands.add_parser("info", help="show the version and where each codec comes from")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the facts and return 0."""
    del options  # the command has none
    print(
        f"kproducer {__version__}, Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    )
    for codec, source in codec_sources().items():
        print(f"compression.type={codec:<7} {source}")
    return 0
