"""Names of keys: Kafka's with dots, the same with underscores, and librdkafka's, which are reported once."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from kproducer.config.keys import snake
from kproducer.config.table import ALL_KEYS
from kproducer.config.values import INT_MAX, Flag, RefusedError, ValueKind, Whole, nearest
from kproducer.errors import ConfigError, UnsupportedConfigError

logger = logging.getLogger(__name__)


class Conversion(NamedTuple):
    """How a value under one of librdkafka's names becomes Kafka's; doc says it in words."""

    kind: ValueKind
    convert: Callable[..., object]
    doc: str


def _zero_is_default(size: int) -> int:
    return size or -1


# The aliases whose values differ: another unit, or another word for "no limit".
CONVERSIONS: Final[Mapping[str, Conversion]] = {
    "queue.buffering.max.kbytes": Conversion(
        Whole(1, INT_MAX), lambda kibibytes: kibibytes * 1024, "in KiB: times 1024"
    ),
    "message.timeout.ms": Conversion(
        Whole(0, INT_MAX), lambda timeout_ms: timeout_ms or INT_MAX, f"0, for ever, is {INT_MAX}"
    ),
    "socket.send.buffer.bytes": Conversion(Whole(0, INT_MAX), _zero_is_default, "0 is -1"),
    "socket.receive.buffer.bytes": Conversion(Whole(0, INT_MAX), _zero_is_default, "0 is -1"),
    "enable.gapless.guarantee": Conversion(
        Flag(), lambda is_on: "fail" if is_on else "continue", "true is `fail`, false `continue`"
    ),
}

_NO_LOGIN: Final = "no authentication is built yet"
_NO_TLS: Final = "TLS is not built yet"
# Names of librdkafka's that many configurations hold and that mean nothing of Kafka's.
_FOREIGN: Final[Mapping[str, str]] = {
    "compression.level": "give the level of a codec: compression.gzip.level, .lz4.level or .zstd.level",
    "batch.num.messages": "batch.size bounds a batch, in bytes",
    "queue.buffering.max.messages": "buffer.memory bounds what waits, in bytes",
    "debug": "the loggers below 'kproducer' tell what happens",
    "log_level": "the loggers below 'kproducer' have levels",
    "delivery.report.only.error": "on_delivery gets every outcome",
    "api.version.request": "versions are always negotiated",
    "broker.version.fallback": "versions are always negotiated",
    "stats_cb": "statistics.callback takes what KafkaProducer.metrics() returns, a mapping instead of JSON",
    "error_cb": "errors are raised, returned by futures and given to on_delivery",
    "throttle_cb": "produce-throttle-time-avg in metrics() tells it",
    "logger": "messages go to the loggers below 'kproducer'",
    "oauth_cb": _NO_LOGIN,
    "sasl.username": _NO_LOGIN,
    "sasl.password": _NO_LOGIN,
    "sasl.oauthbearer.method": _NO_LOGIN,
    "sasl.oauthbearer.config": _NO_LOGIN,
    "ssl.ca.location": _NO_TLS,
    "ssl.certificate.location": _NO_TLS,
    "ssl.key.location": _NO_TLS,
    "enable.ssl.certificate.verification": _NO_TLS,
}


def _spellings() -> dict[str, str]:
    names = {name: name for name in ALL_KEYS}
    names |= {alias: key.name for key in ALL_KEYS.values() for alias in key.aliases}
    return names | {snake(spelling): name for spelling, name in names.items()}


SPELLINGS: Final[Mapping[str, str]] = _spellings()
_ALIASES: Final[Mapping[str, str]] = {
    spelling: alias
    for key in ALL_KEYS.values()
    for alias in key.aliases
    for spelling in (alias, snake(alias))
}
_FOREIGN_SPELLINGS: Final[Mapping[str, str]] = {snake(name): name for name in _FOREIGN}
_reported: set[str] = set()


def canonical(spelling: object) -> str:
    """Return the dotted name of a key; raise ConfigError, with the nearest name, if there is none."""
    if not isinstance(spelling, str):
        raise ConfigError(f"a configuration key is of type {type(spelling).__name__}; allowed is str")
    name = SPELLINGS.get(spelling)
    if name is not None:
        return name
    if foreign := _FOREIGN_SPELLINGS.get(snake(spelling)):
        raise UnsupportedConfigError(
            f"{spelling} is a key of librdkafka's without a counterpart: {_FOREIGN[foreign]}"
        )
    near = nearest(spelling.replace("_", "."), ALL_KEYS)
    if near is None:
        raise ConfigError(f"unknown configuration key {spelling!r}")
    suggestion = near if "." in spelling else snake(near)
    raise ConfigError(f"unknown configuration key {spelling!r}; did you mean {suggestion!r}?")


def by_name(source: Mapping[str, object] | None) -> dict[str, object]:
    """Return values by dotted name, whatever the spelling they came in; translations are reported once."""
    if source is None:
        return {}
    if not isinstance(source, Mapping):
        raise ConfigError(f"the configuration is a {type(source).__name__}; allowed is a mapping by name")
    found: dict[str, object] = {}
    spelled: dict[str, str] = {}
    for spelling, value in source.items():
        name = canonical(spelling)
        if name in found:
            raise ConfigError(f"{spelled[name]} and {spelling} both set {name}; give one of them")
        alias = _ALIASES.get(spelling)
        found[name] = value if alias is None else _translated(alias, name, value)
        spelled[name] = spelling
    return found


def _translated(alias: str, name: str, value: object) -> object:
    """Return the value as Kafka's key takes it, and say that there was something to translate."""
    conversion = CONVERSIONS.get(alias)
    if conversion is None:
        _report(alias, f"{alias} is librdkafka's name of {name}")
        return value
    try:
        converted = conversion.convert(conversion.kind.parse(value))
    except RefusedError:
        shown = ALL_KEYS[name].show(value)
        raise ConfigError(f"{alias}={shown} is not valid; allowed is {conversion.kind.allowed}") from None
    _report(alias, f"{alias}={value} is librdkafka's way to say {name}={converted}")
    return converted


def _report(alias: str, sentence: str) -> None:
    if alias not in _reported:
        _reported.add(alias)
        logger.warning("%s", sentence)
