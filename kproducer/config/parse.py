"""From mappings of keys to a frozen ProducerConfig: names, values, profile and bundle, then the rules between keys."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from kproducer.config.addresses import Hosts
from kproducer.config.keys import Status
from kproducer.config.profiles import PROFILES
from kproducer.config.rules import apply_rules, check_rules_of_not_built
from kproducer.config.spellings import by_name
from kproducer.config.table import ALL_KEYS, KEYS, ProducerConfig
from kproducer.errors import ConfigError

if TYPE_CHECKING:
    from kproducer.config.bundles import Bundle

logger = logging.getLogger(__name__)

_GIVEN: Final = "given"


def parse_config(
    mapping: Mapping[str, object] | None = None, overrides: Mapping[str, object] | None = None
) -> ProducerConfig:
    """Check every key and value and return a ProducerConfig; neither mapping is kept or changed.

    What wins, from the last to the first: Kafka's defaults, the profile, the bundle's settings, mapping, overrides;
    and over all of them what the bundle locks, which to contradict is an error.

    mapping: values by dotted name ("linger.ms") or by keyword ("linger_ms") (default None: empty).
    overrides: the same, usually keyword arguments; wins over mapping (default None: empty).

    Raises ConfigError for an unknown key, a value out of range and a conflict of keys, UnsupportedConfigError for a
    key or value of Kafka's whose feature is not built yet, and BundleViolationError for a rule of the bundle. Rules
    between keys follow Java 4.x.
    """
    given = by_name(mapping) | by_name(overrides)
    settings = _Settings({}, {})
    settings.add({name: ALL_KEYS[name].parse(value) for name, value in given.items()}, _GIVEN)
    bundle = _apply_bundle_and_profile(settings)
    _refuse_what_is_not_built(settings.values)
    if "bootstrap.servers" not in settings.values:
        raise ConfigError(f"bootstrap.servers is missing; allowed is {Hosts().allowed}")
    cfg = _with_rules(settings)
    if bundle is not None and bundle.record_rules is not None:
        if cfg.errors_dead_letter_queue_topic_name is not None:
            bundle.record_rules.check_topic(cfg.errors_dead_letter_queue_topic_name)
        cfg = replace(cfg, record_rules=bundle.record_rules)
    return cfg


class _Settings(NamedTuple):
    """Plain values by dotted name, and where each comes from."""

    values: dict[str, object]
    origins: dict[str, str]

    def add(self, values: Mapping[str, object], origin: str) -> None:
        """Let values win over those that are there."""
        self.values.update(values)
        self.origins.update(dict.fromkeys(values, origin))

    def add_below(self, values: Mapping[str, object], origin: str) -> None:
        """Let those that are there win."""
        self.add({name: value for name, value in values.items() if name not in self.values}, origin)


def _apply_bundle_and_profile(settings: _Settings) -> Bundle | None:
    given = dict(settings.values)
    bundle = _bundle_of(given)
    if bundle is not None:
        bundle.check_settings(given)
        bundle.check_required(given)
        settings.add_below(bundle.settings, bundle.label)
        settings.add(bundle.locked, f"locked by {bundle.label}")
    name = settings.values.get("profile")
    if name is None:
        return bundle
    profile = PROFILES[str(name)]
    if bundle is not None and "profile" in given and "profile" not in bundle.locked:
        bundle.check_settings(profile.settings, f"profile {name!r} with ")
    settings.add_below(profile.settings, f"profile {name!r}")
    missing = [required for required in profile.required if settings.values.get(required) is None]
    if missing:
        raise ConfigError(f"profile {name!r} needs {', '.join(missing)}; give it beside the profile")
    return bundle


def _bundle_of(given: Mapping[str, object]) -> Bundle | None:
    path = given.get("bundle.file")
    if path is None:
        return None
    # Imported here: nobody without a bundle is to wait for its reader and that of TOML.
    from kproducer.config.bundles import read_bundle  # noqa: PLC0415

    return read_bundle(str(path))


def _refuse_what_is_not_built(values: Mapping[str, object]) -> None:
    """Tell of keys that are a JVM's, and raise for what asks for a feature that is not there."""
    check_rules_of_not_built(values)
    of_a_jvm = [
        name
        for name, value in values.items()
        if ALL_KEYS[name].status is Status.JVM_ONLY and value is not None
    ]
    if of_a_jvm:
        logger.warning("left alone, since they mean something to a JVM only: %s", ", ".join(of_a_jvm))
    for name, value in values.items():
        ALL_KEYS[name].refuse_unless_built(value)


def _with_rules(settings: _Settings) -> ProducerConfig:
    # Any: each value has the type of its field, which its key has seen to.
    built: dict[str, Any] = {
        KEYS[name].field_name: value for name, value in settings.values.items() if name in KEYS
    }
    origins = {name: origin for name, origin in settings.origins.items() if name in KEYS}
    try:
        return apply_rules(ProducerConfig(**built, origins=origins), settings.values.keys())
    except ConfigError as error:
        if whose := _not_given_by_the_caller(origins, error.message):
            raise ConfigError(f"{error.message} ({whose})") from None
        raise


def _not_given_by_the_caller(origins: Mapping[str, str], message: str) -> str:
    """Tell which of the values in a message come from a profile or a bundle, and from which."""
    by_origin: dict[str, list[str]] = {}
    for name, origin in sorted(origins.items()):
        if origin != _GIVEN and f"{name}=" in message:
            by_origin.setdefault(origin, []).append(name)
    return "; ".join(f"{origin}: {', '.join(names)}" for origin, names in by_origin.items())
