"""Options which several commands share."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any


def add_property_option(parser: argparse.ArgumentParser, name: str, help_text: str) -> None:
    """Add a repeatable `name=value` option that collects a dictionary."""
    parser.add_argument(name, action=_PropertyAction, default={}, metavar="NAME=VALUE", help=help_text)


class _PropertyAction(argparse.Action):
    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        name, separator, value = str(values).partition("=")
        if not separator or not name:
            parser.error(f"{option_string}: {name!r} has no value; write {option_string} NAME=VALUE")
        setattr(namespace, self.dest, getattr(namespace, self.dest) | {name: value})
