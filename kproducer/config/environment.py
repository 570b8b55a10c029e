"""Configuration in environment variables: KPRODUCER_LINGER_MS=5."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

from kproducer.config.keys import snake
from kproducer.config.spellings import canonical
from kproducer.errors import ConfigError

PREFIX: Final = "KPRODUCER_"
_OF_THE_BUILD: Final = {"KPRODUCER_CODECS"}  # no key: setup.py reads it


def read_environment(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the keys that environment variables set: `KPRODUCER_` and the name in capitals with underscores.

    Args:
        environ: variables by name, default None: those of this process.

    Raises:
        ConfigError: a variable with the prefix names no key; the message has the nearest name.
    """
    variables = os.environ if environ is None else environ
    found: dict[str, str] = {}
    for variable, value in variables.items():
        if variable.startswith(PREFIX) and variable not in _OF_THE_BUILD:
            found[_keyword(variable)] = value
    return found


def _keyword(variable: str) -> str:
    """Return the spelling with underscores, which `parse_config` takes; aliases stay what they are."""
    spelling = variable.removeprefix(PREFIX).lower()
    try:
        canonical(spelling)
    except ConfigError as error:
        raise type(error)(f"environment variable {variable}: {error.message}") from None
    return snake(spelling)
