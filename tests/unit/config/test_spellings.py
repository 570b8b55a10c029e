"""librdkafka's names, and what has no counterpart."""

from __future__ import annotations

import logging

import pytest

from kproducer.config import ALL_KEYS, INT_MAX, spellings
from kproducer.config.spellings import CONVERSIONS
from kproducer.errors import ConfigError, UnsupportedConfigError
from tests.unit.config.world import BOOTSTRAP, message_of, parse

ALIASES = [(alias, key) for key in ALL_KEYS.values() for alias in key.aliases]


@pytest.fixture(autouse=True)
def unreported(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing has been reported in this process."""
    monkeypatch.setattr(spellings, "_reported", set())


@pytest.mark.parametrize(
    ("alias", "name"), [(alias, key.name) for alias, key in ALIASES if alias not in CONVERSIONS]
)
def test_name_of_librdkafka_stands_for_kafkas(alias: str, name: str) -> None:
    (found,) = spellings.by_name({alias: "x"})
    assert found == name
    assert spellings.by_name({alias.replace(".", "_"): "x"}) == {name: "x"}


@pytest.mark.parametrize(
    ("alias", "value", "name", "expected"),
    [
        ("queue.buffering.max.kbytes", "1024", "buffer.memory", 1_048_576),
        ("message.timeout.ms", 0, "delivery.timeout.ms", INT_MAX),
        ("message.timeout.ms", 300_000, "delivery.timeout.ms", 300_000),
        ("socket.send.buffer.bytes", 0, "send.buffer.bytes", -1),
        ("socket.receive.buffer.bytes", 4096, "receive.buffer.bytes", 4096),
        ("enable.gapless.guarantee", "true", "on.sequence.gap", "fail"),
        ("enable.gapless.guarantee", False, "on.sequence.gap", "continue"),
    ],
)
def test_value_of_librdkafka_becomes_kafkas(alias: str, value: object, name: str, expected: object) -> None:
    assert getattr(parse({alias: value}), name.replace(".", "_")) == expected


def test_each_conversion_belongs_to_an_alias() -> None:
    assert CONVERSIONS.keys() <= {alias for alias, _ in ALIASES}


@pytest.mark.parametrize("alias", CONVERSIONS)
def test_value_that_librdkafka_does_not_take_either_is_refused(alias: str) -> None:
    assert message_of({alias: "nonsense"}).startswith(f"{alias}='nonsense' is not valid; allowed is ")


def test_each_translation_is_reported_once(caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(2):
        parse({"queue.buffering.max.ms": 7, "message_timeout_ms": 0})
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (logging.WARNING, "queue.buffering.max.ms is librdkafka's name of linger.ms"),
        (logging.WARNING, "message.timeout.ms=0 is librdkafka's way to say delivery.timeout.ms=2147483647"),
    ]


def test_kafkas_own_names_are_not_reported(caplog: pytest.LogCaptureFixture) -> None:
    parse({"linger.ms": 7, "max_block_ms": 1})
    assert caplog.records == []


def test_secret_under_librdkafkas_name_is_not_reported(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(UnsupportedConfigError) as caught:
        parse({"ssl.key.pem": "hunter2"})
    assert "hunter2" not in caplog.text + str(caught.value)
    assert "ssl.keystore.key" in str(caught.value)


def test_both_names_of_a_key_are_too_many() -> None:
    message = message_of({"linger.ms": 1, "queue.buffering.max.ms": 1})
    assert message == "linger.ms and queue.buffering.max.ms both set linger.ms; give one of them"


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("compression.level", "compression.gzip.level"),
        ("compression_level", "compression.gzip.level"),
        ("queue.buffering.max.messages", "buffer.memory"),
        ("sasl.username", "no authentication is built yet"),
        ("ssl.ca.location", "TLS is not built yet"),
    ],
)
def test_key_of_librdkafka_without_counterpart_says_what_to_do(name: str, hint: str) -> None:
    with pytest.raises(UnsupportedConfigError, match="librdkafka") as caught:
        parse({name: "hunter2"})
    assert hint in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_aliases_win_as_overrides_too() -> None:
    assert parse({"linger.ms": 1}, queue_buffering_max_ms=2).linger_ms == 2


def test_unknown_name_that_is_near_nothing_has_no_hint() -> None:
    with pytest.raises(ConfigError, match=r"^unknown configuration key 'zzz'$"):
        parse({**BOOTSTRAP, "zzz": 1})
