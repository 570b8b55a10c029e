"""What the tests of the configuration share."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from kproducer.config import ProducerConfig, parse_config
from kproducer.errors import ConfigError

BOOTSTRAP = {"bootstrap.servers": "localhost:9092"}


def parse(mapping: Mapping[str, object] | None = None, **overrides: object) -> ProducerConfig:
    """Parse a configuration that needs nothing but what is given."""
    return parse_config(BOOTSTRAP | dict(mapping or {}), overrides)


def message_of(mapping: Mapping[str, object] | None = None, **overrides: object) -> str:
    """The message of the ConfigError that a configuration raises."""
    with pytest.raises(ConfigError) as caught:
        parse(mapping, **overrides)
    return str(caught.value)
