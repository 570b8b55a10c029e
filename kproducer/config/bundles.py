"""An organisation's bundle: a TOML file of settings, locked settings and rules, shipped by those who run Kafka."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from kproducer.config.record_rules import RecordRules
from kproducer.config.spellings import by_name, canonical
from kproducer.config.table import ALL_KEYS
from kproducer.config.values import nearest
from kproducer.errors import BundleViolationError, ConfigError

_TABLES: Final[Mapping[str, tuple[str, ...]]] = {
    "required": ("settings", "headers"),
    "allowed": ("topics",),
}
_TOP: Final = ("name", "settings", "locked", *_TABLES)


@dataclass(frozen=True, slots=True)
class Bundle:
    """What a bundle file says, its values read and checked.

    label: how messages call it: its name and its file.
    settings: plain values by dotted name, which stand in for the defaults.
    locked: plain values which nobody may change.
    required_settings: names that the application must give.
    """

    label: str
    settings: Mapping[str, object]
    locked: Mapping[str, object]
    required_settings: tuple[str, ...]
    record_rules: RecordRules | None

    def check_settings(self, values: Mapping[str, object], whose: str = "") -> None:
        """Raise BundleViolationError if plain values change what is locked; `whose` they are, if not the caller's."""
        for name, value in values.items():
            if name in self.locked and value != self.locked[name]:
                key = ALL_KEYS[name]
                raise BundleViolationError(
                    f"{self.label} locks {name}={key.show(self.locked[name])}; {whose}{name}={key.show(value)} does "
                    f"not go with it",
                    bundle=self.label, rule="locked",
                )  # fmt: skip

    def check_required(self, values: Mapping[str, object]) -> None:
        """Raise BundleViolationError if a required setting is not among the values."""
        missing = [name for name in self.required_settings if values.get(name) in (None, "", ())]
        if missing:
            raise BundleViolationError(
                f"{self.label} requires settings that are not given: {', '.join(missing)}",
                bundle=self.label, rule="required.settings",
            )  # fmt: skip


def read_bundle(path: str) -> Bundle:
    """Read a bundle; raise ConfigError, which names the file, for anything wrong with it."""
    document = _document(path)
    try:
        return _bundle(path, document)
    except ConfigError as error:
        raise type(error)(f"bundle.file={path!r}: {error.message}") from None


def _document(path: str) -> dict[str, Any]:
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"bundle.file={path!r} cannot be read: {error}") from error
    except ValueError as error:
        problem = str(error)  # the error itself has all of the file, a secret perhaps, and stays here
    raise ConfigError(f"bundle.file={path!r} cannot be read: {problem}")


def _bundle(path: str, document: dict[str, Any]) -> Bundle:
    _check_names(document, _TOP, "")
    name = document.get("name")
    if not isinstance(name, str) or not name.strip():
        raise ConfigError("name is missing; a bundle has one, for messages")
    label = f"bundle {name.strip()!r} ({path})"
    settings, locked = (_settings(document, table) for table in ("settings", "locked"))
    if twice := settings.keys() & locked.keys():
        raise ConfigError(f"{min(twice)} is in settings and in locked; give it in one of them")
    if "bundle.file" in settings.keys() | locked.keys():
        raise ConfigError("a bundle cannot name another one by bundle.file")
    for table, names in _TABLES.items():
        _check_names(_table(document, table), names, f"{table}.")
    headers, topics = _texts(document, "required", "headers"), _texts(document, "allowed", "topics")
    rules = RecordRules(label, headers, topics) if headers or topics else None
    required = tuple(canonical(name) for name in _texts(document, "required", "settings"))
    return Bundle(label, settings, locked, required, rules)


def _check_names(found: Mapping[str, object], allowed: tuple[str, ...], prefix: str) -> None:
    for name in found.keys() - set(allowed):
        near = nearest(name, allowed)
        hint = f"did you mean {prefix + near!r}?" if near else f"allowed is {', '.join(allowed)}"
        raise ConfigError(f"unknown entry {prefix + name!r}; {hint}")


def _table(document: dict[str, Any], name: str) -> dict[str, Any]:
    table = document.get(name, {})
    if not isinstance(table, dict):
        raise ConfigError(f"{name} is of type {type(table).__name__}; it is a table, [{name}]")
    return table


def _texts(document: dict[str, Any], table: str, name: str) -> tuple[str, ...]:
    texts = _table(document, table).get(name, [])
    if not isinstance(texts, list) or not all(isinstance(text, str) and text for text in texts):
        raise ConfigError(f"{table}.{name} is not a list of texts")
    return tuple(texts)


def _settings(document: dict[str, Any], table: str) -> dict[str, object]:
    values = by_name(dict(_flat(_table(document, table))))
    return {name: ALL_KEYS[name].parse(value) for name, value in values.items()}


def _flat(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, object]]:
    """Yield names and values: TOML makes of `linger.ms = 5` a table in a table."""
    for name, value in table.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
