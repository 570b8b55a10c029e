"""The page docs/config.md, written from the table of keys: `python -m kproducer.config.reference` prints it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import MISSING
from typing import Final

from kproducer.config.keys import Key, Status
from kproducer.config.spellings import CONVERSIONS
from kproducer.config.table import ALL_KEYS, KEYS, NOT_BUILT

_HEAD: Final = """\
# Configuration

<!-- Written by `make docs-config` from kproducer/config; a test compares them. -->

A key is given by Kafka's name with dots, or by the same name with underscores:

```python fragment
from kproducer import KafkaProducer

KafkaProducer({"bootstrap.servers": "localhost:9092", "linger.ms": 20})
KafkaProducer(bootstrap_servers="localhost:9092", linger_ms=20)
KafkaProducer.from_properties("producer.properties", linger_ms=20)  # Java's format, read as Java reads it
KafkaProducer.from_env(linger_ms=20)  # KPRODUCER_BOOTSTRAP_SERVERS and its like; only this call reads them
```

What wins, from the first to the last: what a [bundle](profiles.md) locks, keywords, the mapping or file or environment,
the bundle's settings, the profile, the default. `read_properties(path)` and `read_environment()` return mappings, for
those who want to mix them otherwise.

A value is given as its Python type or as the text that a .properties file would hold: `5` or `"5"`, `True` or `"true"`,
a list or text with commas. An unknown key is an error that names the nearest one. `print(producer.config.describe())`
shows every value in use, where it comes from, and what a rule between keys changed; secrets are masked.

Rules between keys are Java's: `delivery.timeout.ms` covers `linger.ms + request.timeout.ms`; idempotence, the default,
needs `acks=all`, `retries` above 0 and at most 5 requests in flight. If `acks` or `retries` contradict it, it is
switched off with a warning, unless it or a `transactional.id` was asked for: then that is an error.
"""
_NOT_BUILT: Final = """
## Not built yet

These keys are checked, and then refused with `UnsupportedConfigError` unless their value asks for nothing, as the
default does. A secret is never shown.
"""
_JVM: Final = """
## Of a JVM only

These are taken, so that a Java program's file can be used as it is, with one warning for all of them.
"""
_ALIASES: Final = """
## librdkafka's names

They are taken where they mean the same; each is reported once, by the logger `kproducer.config.spellings`. A name of
both Kafka and librdkafka means what it means in Kafka: `metadata.max.age.ms`, `request.timeout.ms` and
`delivery.timeout.ms` among them.

| librdkafka | here | value |
| --- | --- | --- |
"""
_COLUMNS: Final = (
    "| Key | Type | Default | Allowed | KIP | Meaning |\n| --- | --- | --- | --- | --- | --- |\n"
)


def render() -> str:
    """Return the page."""
    off, jvm = (
        [key for key in NOT_BUILT.values() if key.status is status]
        for status in (Status.NOT_BUILT, Status.JVM_ONLY)
    )
    parts = [
        _HEAD, "\n## Keys\n\n", _table(KEYS.values()),
        _NOT_BUILT, "\n", _table(off),
        _JVM, "\n", _table(jvm),
        _ALIASES, *(_alias_row(alias, key) for key in ALL_KEYS.values() for alias in key.aliases),
    ]  # fmt: skip
    return "".join(parts)


def _table(keys: Iterable[Key]) -> str:
    return _COLUMNS + "".join(_row(key) for key in keys)


def _row(key: Key) -> str:
    kip = "" if key.kip is None else f"KIP-{key.kip}"
    cells = (f"`{key.name}`", key.kind.type, _default(key.default), key.kind.allowed, kip, key.doc)
    return "| " + " | ".join(cells) + " |\n"


def _default(default: object) -> str:
    if default is MISSING:
        return "required"
    if isinstance(default, tuple):
        default = ",".join(map(str, default))
    if default in (None, ""):
        return "none" if default is None else "empty"
    text = str(default).lower() if isinstance(default, bool) else str(default)
    return f"`{text}`"


def _alias_row(alias: str, key: Key) -> str:
    return (
        f"| `{alias}` | `{key.name}` | {CONVERSIONS[alias].doc if alias in CONVERSIONS else 'the same'} |\n"
    )


if __name__ == "__main__":
    print(render(), end="")
