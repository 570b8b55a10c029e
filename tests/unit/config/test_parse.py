"""From names and values to a configuration, and back to what is shown."""

from __future__ import annotations

import dataclasses
import json

import pytest

from kproducer.config import ALL_KEYS, INT_MAX, KEYS, Key, ProducerConfig, parse_config
from kproducer.config.table import _presentable
from kproducer.config.values import KafkaString
from kproducer.errors import ConfigError
from tests.unit.config.world import message_of, parse

# --- names ------------------------------------------------------------------------------------------------


def test_every_field_is_declared_under_its_own_name() -> None:
    names = {f.name for f in dataclasses.fields(ProducerConfig)} - {
        "idempotence_note", "adjustments", "origins", "record_rules",
    }  # fmt: skip
    assert names == {key.field_name for key in KEYS.values()}


def test_every_default_is_a_value_that_its_key_allows() -> None:
    for key in ALL_KEYS.values():
        if key.default is not dataclasses.MISSING:
            assert key.parse(key.default) == key.default


def test_every_key_is_documented_in_one_sentence() -> None:
    assert [key.name for key in ALL_KEYS.values() if not key.doc.endswith(".") or "\n" in key.doc] == []


def test_dotted_names_keywords_and_aliases_mean_the_same() -> None:
    dotted = parse({"max.in.flight.requests.per.connection": 3})
    assert dotted == parse(max_in_flight_requests_per_connection=3) == parse({"max.in.flight": 3})
    assert dotted.max_in_flight_requests_per_connection == 3


def test_keywords_win_over_the_mapping() -> None:
    assert parse({"linger.ms": 1}, linger_ms=2).linger_ms == 2


def test_two_spellings_of_one_key_in_a_mapping_are_refused() -> None:
    assert "linger.ms and linger_ms" in message_of({"linger.ms": 1, "linger_ms": 1})


def test_unknown_key_does_not_show_its_value() -> None:
    assert "hunter2" not in message_of({"sasl.password": "hunter2"})


def test_mapping_is_neither_kept_nor_changed() -> None:
    servers = ["a:1"]
    mapping: dict[str, object] = {"bootstrap.servers": servers, "transactional.id": None}
    cfg = parse_config(mapping)
    assert mapping == {"bootstrap.servers": ["a:1"], "transactional.id": None}
    servers.append("b:2")
    assert cfg.bootstrap_servers == (("a", 1),)


# --- defaults ---------------------------------------------------------------------------------------------


def test_defaults_are_those_of_kafka_4() -> None:
    cfg = parse()
    assert (cfg.acks, cfg.enable_idempotence, cfg.retries) == (-1, True, INT_MAX)
    assert (cfg.linger_ms, cfg.batch_size, cfg.buffer_memory) == (5, 16384, 33554432)
    assert (cfg.delivery_timeout_ms, cfg.request_timeout_ms, cfg.max_block_ms) == (120000, 30000, 60000)
    assert (cfg.compression_type, cfg.metadata_recovery_strategy) == ("none", "rebootstrap")
    assert cfg.idempotence_note == ""


def test_defaults_warn_about_nothing(caplog: pytest.LogCaptureFixture) -> None:
    parse()
    assert caplog.records == []


def test_socket_buffers_are_left_to_the_kernel() -> None:
    assert (parse().send_buffer_bytes, parse().receive_buffer_bytes) == (-1, -1)


def test_config_is_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        parse().linger_ms = 1  # type: ignore[misc]


# --- what is shown ----------------------------------------------------------------------------------------


def test_effective_names_every_key_and_parses_back() -> None:
    cfg = parse(bootstrap_servers="[::1]:1,b:2", acks=1, reconnect_backoff_ms=10, compression_type="zstd")
    effective = cfg.effective()
    assert effective.keys() == KEYS.keys()
    assert effective["bootstrap.servers"] == ["[::1]:1", "b:2"]
    assert dataclasses.replace(parse_config(effective), idempotence_note=cfg.idempotence_note) == cfg
    json.dumps(effective)


def test_repr_shows_what_differs_from_the_defaults() -> None:
    shown = repr(parse(linger_ms=50))
    assert "linger_ms=50" in shown
    assert "localhost" in shown
    assert "batch_size" not in shown


def test_description_has_every_key_with_its_value_and_where_it_comes_from() -> None:
    lines = parse(linger_ms=50, bootstrap_servers="a:1,b:2", profile="safe").describe().splitlines()
    shown = {line.split()[0]: line.partition(" = ")[2] for line in lines}
    assert shown.keys() == KEYS.keys()
    assert shown["linger.ms"] == "50  (given)"
    assert shown["bootstrap.servers"] == "'a:1, b:2'  (given)"
    assert shown["acks"] == "-1  (profile 'safe')"
    assert shown["batch.size"] == "16384  (default)"


def test_secret_values_are_masked_everywhere() -> None:
    key = Key("some.password", KafkaString(), "", "Doc.", is_secret=True)
    assert key.show("hunter2") == "'***'"
    assert _presentable(key, "hunter2") == "***"
    with pytest.raises(ConfigError) as caught:
        key.parse("hunter2\ud800")
    assert "hunter2" not in str(caught.value)


def test_errors_are_value_errors() -> None:
    with pytest.raises(ValueError, match="unknown configuration key"):
        parse(nonsense=1)
