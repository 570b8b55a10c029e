"""Named settings for a purpose, and what they yield to."""

from __future__ import annotations

from typing import Any

import pytest

from kproducer.config import KEYS, PROFILES
from tests.unit.config.world import message_of, parse


def with_profile(name: str, **more: Any) -> dict[str, Any]:
    """A configuration of the profile with what it requires."""
    return {"profile": name, **dict.fromkeys(PROFILES[name].required, "tx"), **more}


def test_the_profiles_are_those_of_the_manual() -> None:
    assert [*PROFILES] == ["safe", "durable", "throughput", "low-latency", "at-most-once", "exactly-once"]


@pytest.mark.parametrize("name", PROFILES)
def test_profile_sets_what_it_says_and_nothing_else(name: str, caplog: pytest.LogCaptureFixture) -> None:
    cfg, plain = parse(with_profile(name)), parse()
    for key in KEYS.values():
        if key.name in PROFILES[name].settings:
            assert getattr(cfg, key.field_name) == PROFILES[name].settings[key.name]
            assert cfg.origins[key.name] == f"profile {name!r}"
        elif key.name not in ("profile", *PROFILES[name].required):
            assert getattr(cfg, key.field_name) == getattr(plain, key.field_name), key.name
    assert (cfg.adjustments, caplog.records) == ((), [])


@pytest.mark.parametrize("name", PROFILES)
def test_settings_of_a_profile_are_plain_values_of_their_keys(name: str) -> None:
    for key, value in PROFILES[name].settings.items():
        assert KEYS[key].parse(value) == value


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("safe", {"acks": -1, "enable_idempotence": True}),
        ("durable", {"acks": -1, "enable_idempotence": True, "on_sequence_gap": "fail"}),
        ("throughput", {"acks": -1, "enable_idempotence": True}),
        ("low-latency", {"acks": -1, "enable_idempotence": True, "linger_ms": 0}),
        ("at-most-once", {"retries": 0, "enable_idempotence": False}),
        ("exactly-once", {"acks": -1, "enable_idempotence": True, "transactional_id": "tx"}),
    ],
)
def test_profile_keeps_its_promise(name: str, what: dict[str, object]) -> None:
    cfg = parse(with_profile(name))
    assert {field: getattr(cfg, field) for field in what} == what


def test_what_is_given_beside_a_profile_wins() -> None:
    cfg = parse(profile="throughput", linger_ms=1)
    assert (cfg.linger_ms, cfg.batch_size) == (1, 262_144)
    assert (cfg.origins["linger.ms"], cfg.origins["batch.size"]) == ("given", "profile 'throughput'")


def test_profile_may_come_from_the_mapping_or_be_none() -> None:
    assert parse({"profile": "low-latency"}).linger_ms == 0
    assert parse({"profile": "low-latency"}, profile=None).linger_ms == 5


@pytest.mark.parametrize("conflict", [{"acks": 1}, {"retries": 0}])
def test_what_contradicts_a_profile_is_an_error_that_names_it(conflict: dict[str, object]) -> None:
    message = message_of(conflict, profile="safe")
    assert message.startswith("enable.idempotence=true does not go with ")
    assert "(profile 'safe': " in message
    assert message.endswith("enable.idempotence)")


def test_conflict_among_given_values_names_no_profile() -> None:
    assert "profile" not in message_of(profile="throughput", acks=1, enable_idempotence=True)


def test_timeout_of_a_profile_that_is_too_short_for_what_is_given_names_it() -> None:
    message = message_of(profile="low-latency", request_timeout_ms=60_000)
    assert message.endswith("(profile 'low-latency': delivery.timeout.ms, linger.ms)")


def test_exactly_once_needs_a_transactional_id() -> None:
    assert message_of(profile="exactly-once") == (
        "profile 'exactly-once' needs transactional.id; give it beside the profile"
    )


def test_misspelt_profile_names_the_nearest() -> None:
    assert "did you mean 'low-latency'?" in message_of(profile="low_latency")


def test_at_most_once_goes_with_fewer_acknowledgements_and_not_with_transactions() -> None:
    assert parse(profile="at-most-once", acks=0).acks == 0
    assert "transactional.id does not go with enable.idempotence=false" in message_of(
        profile="at-most-once", transactional_id="tx"
    )


def test_a_profile_parses_back_from_what_is_effective() -> None:
    cfg = parse(profile="durable", linger_ms=3)
    assert parse(cfg.effective()) == cfg
