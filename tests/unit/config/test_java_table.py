"""The table beside Java's: ProducerConfig.configDef() of the kafka-clients 4.4.0 jar, as its own code printed it.

tests/integration/test_java_config.py compares the committed print with the jar.
"""

from __future__ import annotations

import json
import re
from dataclasses import MISSING
from pathlib import Path
from typing import Any

import pytest

from kproducer.config import ALL_KEYS, KEYS, NOT_BUILT, Key, Status
from kproducer.config.values import Acks, Choice, Decimal, Whole

JAVA: dict[str, dict[str, Any]] = {
    row["name"]: row for row in json.loads((Path(__file__).parent / "java_producer_config.json").read_text())
}
OURS = {
    "allow.auto.create.topics",  # Java's producer always lets brokers create
    "buffer.full.policy",
    "bundle.file",
    "errors.dead.letter.queue.file",
    "errors.dead.letter.queue.max.bytes",
    "errors.dead.letter.queue.topic.name",
    "not.enough.replicas.policy",
    "on.sequence.gap",
    "partitioner",
    "profile",
    "statistics.callback",
    "statistics.interval.ms",
}
OTHER_DEFAULTS = {
    "bootstrap.servers": MISSING,
    "key.serializer": None,  # bytes go as they are
    "value.serializer": None,
    "send.buffer.bytes": -1,  # a fixed size switches the kernel's autotuning off
    "receive.buffer.bytes": -1,
    "buffer.memory.allocation.strategy": "FULL",
    # Not built, so that off is the default.
    "enable.metrics.push": False,
    "metadata.cluster.check.enable": False,
}
# Where Java checks nothing and a value can only be a mistake, or would be refused later.
STRICTER = {
    "connections.max.idle.ms",
    "sasl.kerberos.min.time.before.relogin",
    "sasl.kerberos.ticket.renew.jitter",
    "sasl.kerberos.ticket.renew.window.factor",
    "sasl.login.connect.timeout.ms",
    "sasl.login.read.timeout.ms",
    "sasl.login.retry.backoff.max.ms",
    "sasl.login.retry.backoff.ms",
    "sasl.oauthbearer.clock.skew.seconds",
    "sasl.oauthbearer.jwks.endpoint.refresh.ms",
    "sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms",
    "sasl.oauthbearer.jwks.endpoint.retry.backoff.ms",
    "socket.connection.setup.timeout.max.ms",
    "socket.connection.setup.timeout.ms",
    "transaction.timeout.ms",
}
BOTH = sorted(JAVA.keys() & ALL_KEYS.keys())


def test_the_table_has_every_key_of_java_and_no_other_but_ours() -> None:
    assert ALL_KEYS.keys() - JAVA.keys() == OURS
    assert JAVA.keys() - ALL_KEYS.keys() == set()
    assert len(JAVA) == 120  # the 112 of Kafka 4.1, and eight that are newer


@pytest.mark.parametrize("name", BOTH)
def test_type_is_javas(name: str) -> None:
    same = {"short": "int", "int": "int"}
    java = JAVA[name]["type"]
    assert ALL_KEYS[name].kind.type == same.get(java, java)


@pytest.mark.parametrize("name", BOTH)
def test_default_is_javas(name: str) -> None:
    key, java = ALL_KEYS[name], JAVA[name]["default"]
    if name in OTHER_DEFAULTS:
        assert key.default == OTHER_DEFAULTS[name]
        assert java != str(key.default)
    else:
        assert key.default == (None if java is None else key.parse(java))


@pytest.mark.parametrize("name", BOTH)
def test_range_is_javas(name: str) -> None:
    key, valid = ALL_KEYS[name], JAVA[name]["valid"]
    if bounds := re.fullmatch(r"\[([-0-9.]+?),\.\.\.(?:,([-0-9.]+))?\](?: or (-?\d+))?", valid):
        assert_bounds(key, *bounds.groups())
    elif names := re.fullmatch(r"(\(case insensitive\) )?\[(.+)\]", valid):
        assert_names(key, set(names[2].split(", ")), ignores_case=names[1] is not None)
    else:
        assert valid in ("", "non-empty string")
        assert isinstance(key.kind, Whole | Decimal) == (name in STRICTER)


def assert_bounds(key: Key, low: str, high: str | None, special: str | None) -> None:
    assert isinstance(key.kind, Whole | Decimal)
    assert key.kind.low == float(low)
    if high is not None:
        assert key.kind.high == float(high)
    if isinstance(key.kind, Whole):
        assert key.kind.special == (None if special is None else int(special))


def assert_names(key: Key, names: set[str], *, ignores_case: bool) -> None:
    if isinstance(key.kind, Acks):
        assert {key.parse(name) for name in names} == {-1, 0, 1}
        return
    assert isinstance(key.kind, Choice)
    ours = {*key.kind.names, *key.kind.not_built}
    assert {name.upper() for name in ours} == {name.upper() for name in names}
    assert ignores_case == key.kind.ignores_case
    if not ignores_case:
        assert ours == names


@pytest.mark.parametrize("name", [name for name in BOTH if JAVA[name]["type"] == "password"])
def test_what_java_calls_a_password_is_a_secret(name: str) -> None:
    assert ALL_KEYS[name].is_secret


def test_a_key_is_declared_once() -> None:
    assert not KEYS.keys() & NOT_BUILT.keys()
    assert all((key.status is Status.BUILT) == (name in KEYS) for name, key in ALL_KEYS.items())
    aliases = [alias for key in ALL_KEYS.values() for alias in key.aliases]
    assert len(aliases) == len(set(aliases) - ALL_KEYS.keys())
