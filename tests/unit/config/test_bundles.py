"""An organisation's bundle: settings below what is given, locks above it, and rules for settings and records."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kproducer.config.record_rules import RecordRules
from kproducer.errors import BundleViolationError, ConfigError, UnsupportedConfigError
from tests.unit.config.world import message_of, parse

Write = Callable[[str], str]
NAMED = 'name = "payments"\n'


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a bundle and return its path."""

    def write(text: str) -> str:
        path = tmp_path / "bundle.toml"
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


def violation(path: str, **overrides: Any) -> BundleViolationError:
    """The violation that a configuration with the bundle is."""
    with pytest.raises(BundleViolationError) as caught:
        parse(bundle_file=path, **overrides)
    assert caught.value.bundle == f"bundle 'payments' ({path})"
    assert caught.value.bundle in str(caught.value)
    return caught.value


# --- settings ---------------------------------------------------------------------------------------------


def test_settings_stand_in_for_the_defaults_and_yield_to_what_is_given(write: Write) -> None:
    path = write(NAMED + '[settings]\nlinger.ms = 20\n"batch.size" = 1000\nmax_block_ms = 7\n')
    cfg = parse(bundle_file=path, batch_size=5)
    assert (cfg.linger_ms, cfg.batch_size, cfg.max_block_ms) == (20, 5, 7)
    assert cfg.origins["linger.ms"] == f"bundle 'payments' ({path})"
    assert cfg.origins["batch.size"] == "given"


def test_settings_may_hold_the_brokers_and_librdkafkas_names(write: Write) -> None:
    path = write(
        NAMED + '[settings]\nbootstrap.servers = ["a:1", "b:2"]\nqueue.buffering.max.kbytes = 1024\n'
    )
    cfg = parse({"bundle.file": path, "bootstrap.servers": "c:3"})
    assert (cfg.bootstrap_servers, cfg.buffer_memory) == ((("c", 3),), 1_048_576)


def test_settings_may_choose_a_profile_which_is_below_them(write: Write) -> None:
    path = write(NAMED + '[settings]\nprofile = "throughput"\nlinger.ms = 20\n')
    cfg = parse(bundle_file=path)
    assert (cfg.profile, cfg.linger_ms, cfg.batch_size) == ("throughput", 20, 262_144)
    assert parse(bundle_file=path, profile="low-latency").linger_ms == 20
    assert parse(bundle_file=path, profile=None).batch_size == 16_384


# --- locks ------------------------------------------------------------------------------------------------


def test_locked_setting_holds_and_may_be_repeated(write: Write) -> None:
    path = write(NAMED + '[locked]\nacks = "all"\ncompression.type = "zstd"\n')
    cfg = parse(bundle_file=path, acks=-1)
    assert (cfg.acks, cfg.compression_type) == (-1, "zstd")
    assert cfg.origins["acks"] == f"locked by bundle 'payments' ({path})"


@pytest.mark.parametrize("given", [{"acks": 1}, {"request_required_acks": "0"}])
def test_other_value_than_the_locked_one_is_a_violation(write: Write, given: dict[str, object]) -> None:
    error = violation(write(NAMED + '[locked]\nacks = "all"\n'), **given)
    assert error.rule == "locked"
    assert "locks acks=-1; acks=" in str(error)


def test_profile_that_is_given_must_not_change_what_is_locked(write: Write) -> None:
    error = violation(write(NAMED + '[locked]\nacks = "all"\n'), profile="at-most-once")
    assert "locks acks=-1; profile 'at-most-once' with acks=1 does not go with it" in str(error)


def test_profile_of_the_bundle_itself_yields_to_its_locks(write: Write) -> None:
    path = write(NAMED + '[settings]\nprofile = "throughput"\n[locked]\ncompression.type = "lz4"\n')
    assert parse(bundle_file=path).compression_type == "lz4"


def test_profile_may_be_locked(write: Write) -> None:
    path = write(NAMED + '[locked]\nprofile = "safe"\n')
    assert parse(bundle_file=path).enable_idempotence
    assert violation(path, profile="durable").rule == "locked"


def test_what_contradicts_a_locked_setting_by_a_rule_names_the_bundle(write: Write) -> None:
    path = write(NAMED + "[locked]\nenable.idempotence = true\n")
    message = message_of(bundle_file=path, acks=1)
    assert message.endswith(f"(locked by bundle 'payments' ({path}): enable.idempotence)")


def test_locked_feature_that_is_not_built_is_unsupported(write: Write) -> None:
    with pytest.raises(UnsupportedConfigError, match=r"security\.protocol"):
        parse(bundle_file=write(NAMED + '[locked]\nsecurity.protocol = "SASL_SSL"\n'))


def test_locked_secret_is_not_shown(write: Write) -> None:
    error = violation(write(NAMED + '[locked]\nssl.key.password = "hunter2"\n'), ssl_key_password="swordfish")
    assert "hunter2" not in str(error)
    assert "swordfish" not in str(error)


# --- required settings ------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [{}, {"client_id": ""}, {"client_id": "  "}])
def test_required_setting_that_is_not_given_is_a_violation(write: Write, given: dict[str, object]) -> None:
    error = violation(write(NAMED + '[required]\nsettings = ["client.id"]\n'), **given)
    assert error.rule == "required.settings"
    assert str(error).endswith("requires settings that are not given: client.id")


def test_required_setting_that_is_given_will_do(write: Write) -> None:
    path = write(NAMED + '[required]\nsettings = ["client_id", "max.in.flight"]\n')
    assert parse(bundle_file=path, client_id="billing", max_in_flight=1).client_id == "billing"


# --- rules for records ------------------------------------------------------------------------------------


def test_bundle_without_rules_for_records_asks_nothing_of_them(write: Write) -> None:
    assert parse(bundle_file=write(NAMED)).record_rules is None
    assert parse().record_rules is None


def test_rules_for_records_are_read(write: Write) -> None:
    path = write(NAMED + '[required]\nheaders = ["trace-id"]\n[allowed]\ntopics = ["payments.*"]\n')
    rules = parse(bundle_file=path).record_rules
    assert rules == RecordRules(f"bundle 'payments' ({path})", ("trace-id",), ("payments.*",))


@pytest.mark.parametrize("topic", ["payments.in", "payments.", "audit-1"])
def test_topic_that_matches_a_glob_is_allowed(topic: str) -> None:
    RecordRules("b", (), ("payments.*", "audit-[0-9]")).check(topic, None)


@pytest.mark.parametrize("topic", ["payments", "xpayments.in", "paymentsXin", "audit-12", "Payments.in"])
def test_topic_that_matches_no_glob_is_a_violation(topic: str) -> None:
    with pytest.raises(
        BundleViolationError, match="does not allow this topic; allowed is payments"
    ) as caught:
        RecordRules("b", (), ("payments.*", "audit-[0-9]")).check(topic, None)
    assert (caught.value.rule, caught.value.topic, caught.value.persisted) == ("allowed.topics", topic, "no")


@pytest.mark.parametrize(
    "headers",
    [
        {"a": b"1", "b": None},
        [("b", b""), ("a", b"1"), ("c", b"")],
        (["a", b"1"], ("b", b"2")),
        {"a": b"1", "b": b"2"}.items(),
    ],
)
def test_required_headers_may_come_in_any_shape(headers: object) -> None:
    RecordRules("b", ("a", "b")).check("t", headers)


@pytest.mark.parametrize("headers", [None, [], {}, {"A": b"1"}, [("b", b"a")], [5, "a"]])
def test_missing_header_is_a_violation(headers: object) -> None:
    with pytest.raises(BundleViolationError, match=r"does not have: a \(topic t\)$") as caught:
        RecordRules("b", ("a",)).check("t", headers)
    assert caught.value.rule == "required.headers"


@pytest.mark.parametrize("headers", [iter([("a", b"")]), 5, "a"])
def test_headers_that_cannot_be_read_twice_are_refused_where_some_are_required(headers: object) -> None:
    with pytest.raises((TypeError, BundleViolationError)):
        RecordRules("b", ("a",)).check("t", headers)


def test_topic_of_dead_letters_must_be_allowed_too(write: Write) -> None:
    path = write(NAMED + '[allowed]\ntopics = ["payments.*"]\n')
    assert violation(path, errors_dead_letter_queue_topic_name="dead").rule == "allowed.topics"
    parse(bundle_file=path, errors_dead_letter_queue_topic_name="payments.dead")


def test_violation_keeps_its_facts_when_pickled() -> None:
    error = BundleViolationError("no", bundle="b", rule="locked", topic="t")
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.bundle, copy.rule, copy.topic) == ("no (topic t)", "b", "locked", "t")


# --- files ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("", "name is missing"),
        ("name = 5", "name is missing"),
        ("name = ", "cannot be read: Invalid value"),
        (NAMED + "[setings]\nlinger.ms = 1", "unknown entry 'setings'; did you mean 'settings'?"),
        (
            NAMED + "[required]\nheader = []",
            "unknown entry 'required.header'; did you mean 'required.headers'?",
        ),
        (NAMED + "[allowed]\nzzz = []", "unknown entry 'allowed.zzz'; allowed is topics"),
        (NAMED + "settings = 1", "settings is of type int; it is a table, [settings]"),
        (
            NAMED + "[settings]\nlinger.msec = 1",
            "unknown configuration key 'linger.msec'; did you mean 'linger.ms'?",
        ),
        (NAMED + "[locked]\nlinger.ms = 1.5", "linger.ms=1.5 is not valid"),
        (NAMED + "[locked]\nlinger.ms = 2024-01-01", "linger.ms=datetime.date(2024, 1, 1) is not valid"),
        (NAMED + "[locked]\nlinger.ms = 1\nlinger_ms = 1", "both set linger.ms"),
        (NAMED + "[settings]\nacks = 1\n[locked]\nacks = 1", "acks is in settings and in locked"),
        (NAMED + '[settings]\nbundle.file = "x"', "a bundle cannot name another one"),
        (NAMED + '[required]\nheaders = "a"', "required.headers is not a list of texts"),
        (NAMED + "[allowed]\ntopics = [1]", "allowed.topics is not a list of texts"),
        (NAMED + '[required]\nsettings = ["zzz"]', "unknown configuration key 'zzz'"),
    ],
)
def test_what_is_wrong_with_a_file_is_told_with_its_name(write: Write, text: str, hint: str) -> None:
    path = write(text)
    message = message_of(bundle_file=path)
    assert message.startswith(f"bundle.file={path!r}")
    assert hint in message


def test_file_that_cannot_be_read_is_an_error_of_the_configuration(tmp_path: Path) -> None:
    missing = tmp_path / "none.toml"
    with pytest.raises(ConfigError, match="cannot be read") as caught:
        parse(bundle_file=missing)
    assert isinstance(caught.value.__cause__, FileNotFoundError)
    (tmp_path / "bytes.toml").write_bytes(b"\xff")
    assert "cannot be read" in message_of(bundle_file=tmp_path / "bytes.toml")
