"""Configuration in environment variables."""

from __future__ import annotations

import pytest

from kproducer.config import ALL_KEYS, parse_config, read_environment
from kproducer.errors import ConfigError, UnsupportedConfigError


def test_variables_with_the_prefix_are_keys() -> None:
    found = read_environment(
        {"KPRODUCER_BOOTSTRAP_SERVERS": "a:1", "KPRODUCER_LINGER_MS": "7", "PATH": "/", "KPRODUCERX": "1"}
    )
    assert found == {"bootstrap_servers": "a:1", "linger_ms": "7"}
    assert parse_config(found).linger_ms == 7


def test_the_environment_is_that_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KPRODUCER_CLIENT_ID", "mine")
    assert read_environment()["client_id"] == "mine"


@pytest.mark.parametrize("name", ALL_KEYS)
def test_every_key_has_its_variable(name: str) -> None:
    variable = "KPRODUCER_" + name.replace(".", "_").upper()
    assert read_environment({variable: "x"}) == {name.replace(".", "_"): "x"}


def test_names_of_librdkafka_are_taken() -> None:
    found = read_environment({"KPRODUCER_METADATA_BROKER_LIST": "a:1"})
    assert parse_config(found).bootstrap_servers == (("a", 1),)


def test_variable_of_no_key_is_named_with_the_nearest() -> None:
    with pytest.raises(ConfigError) as caught:
        read_environment({"KPRODUCER_LINGER_MSEC": "hunter2"})
    assert str(caught.value) == (
        "environment variable KPRODUCER_LINGER_MSEC: unknown configuration key 'linger_msec'; "
        "did you mean 'linger_ms'?"
    )


def test_variable_of_a_key_without_counterpart_is_unsupported() -> None:
    with pytest.raises(UnsupportedConfigError, match="KPRODUCER_SASL_USERNAME"):
        read_environment({"KPRODUCER_SASL_USERNAME": "x"})


def test_the_variable_of_the_build_is_no_key() -> None:
    assert read_environment({"KPRODUCER_CODECS": "system"}) == {}
