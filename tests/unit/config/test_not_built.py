"""Keys of features that are not built, and those of a JVM: checked, then refused or left alone, never ignored."""

from __future__ import annotations

import logging

import pytest

from kproducer.config import ALL_KEYS, NOT_BUILT, Key, Status
from kproducer.config.values import Choice, Decimal, Flag, Names, Whole
from kproducer.errors import ConfigError, UnsupportedConfigError
from tests.unit.config.world import message_of, parse

OFF = sorted(name for name, key in NOT_BUILT.items() if key.status is Status.NOT_BUILT)
OF_A_JVM = sorted(name for name, key in NOT_BUILT.items() if key.status is Status.JVM_ONLY)
TYPED = [name for name in OFF if isinstance(NOT_BUILT[name].kind, Whole | Decimal | Flag | Choice)]


def wish(key: Key) -> object:
    """A value that the key takes and that asks for something."""
    match key.kind:
        case Whole() | Decimal():
            return key.kind.high
        case Flag():
            return not key.default
        case Choice():
            return next(name for name in key.kind.names if name != key.default)
        case Names():
            return ["hunter2"]
    return "hunter2"


@pytest.mark.parametrize("name", OFF)
def test_key_that_is_not_built_passes_only_with_what_asks_for_nothing(name: str) -> None:
    parse({name: NOT_BUILT[name].default})
    parse({name: None})
    with pytest.raises(
        UnsupportedConfigError, match=rf"^{name} is a key of Kafka's that is not supported yet"
    ) as caught:
        parse({name: wish(NOT_BUILT[name])})
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("name", TYPED)
def test_value_of_a_key_that_is_not_built_is_checked_first(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"^{name}='nonsense' is not valid") as caught:
        parse({name: "nonsense"})
    assert not isinstance(caught.value, UnsupportedConfigError)


def test_a_wrong_value_is_told_before_a_feature_that_is_not_built() -> None:
    assert message_of({"sasl.jaas.config": "x", "linger.ms": -1}).startswith("linger.ms=-1 is not valid")


@pytest.mark.parametrize(
    ("value", "hint"), [(0.49, "from 0.5 to 1"), ("1.01", "from 0.5"), (float("nan"), "from 0.5")]
)
def test_ranges_of_decimals_hold(value: object, hint: str) -> None:
    assert hint in message_of({"sasl.login.refresh.window.factor": value})


def test_value_of_a_secret_is_never_shown() -> None:
    assert "hunter2" not in message_of({"ssl.key.password": "hunter2"})
    assert "hunter2" not in message_of({"sasl.jaas.config": ["hunter2"]})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("partitioner.rack.aware", "False"),
        ("ssl.enabled.protocols", ["TLSv1.2", "TLSv1.3"]),
        ("ssl.enabled.protocols", "TLSv1.2, TLSv1.3"),
        ("sasl.kerberos.ticket.renew.jitter", 0.05),
        ("sasl.kerberos.ticket.renew.jitter", "5e-2"),
        ("sasl.oauthbearer.assertion.algorithm", "rs256"),
    ],
)
def test_what_asks_for_nothing_has_the_spellings_of_its_type(name: str, value: object) -> None:
    parse({name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("security.protocol", "sasl_ssl"),
        ("security.protocol", "SSL"),
        ("client.dns.lookup", "resolve_canonical_bootstrap_servers_only"),
    ],
)
def test_value_of_a_built_key_that_is_not_built_is_refused(name: str, value: object) -> None:
    with pytest.raises(UnsupportedConfigError, match=rf"{name}.*not supported yet; allowed is only"):
        parse({name: value})


def test_telemetry_is_off_unless_asked_for() -> None:
    assert ALL_KEYS["enable.metrics.push"].default is False
    with pytest.raises(UnsupportedConfigError, match=r"enable\.metrics\.push"):
        parse(enable_metrics_push=True)


def test_value_that_kafka_does_not_have_either_is_no_unsupported_feature() -> None:
    with pytest.raises(ConfigError) as caught:
        parse(security_protocol="TLS")
    assert not isinstance(caught.value, UnsupportedConfigError)


@pytest.mark.parametrize("name", OF_A_JVM)
def test_key_of_a_jvm_is_taken_with_a_warning(name: str, caplog: pytest.LogCaptureFixture) -> None:
    parse({name: "incremental"})
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert name in caplog.text
    assert "JVM" in caplog.text


def test_all_keys_of_a_jvm_share_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    parse({"ssl.provider": "x", "security.providers": "y", "metric.reporters": None})
    (record,) = caplog.records
    assert record.getMessage().endswith("ssl.provider, security.providers")
