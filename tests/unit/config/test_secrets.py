"""No secret is shown: by no repr, text, log, error or its causes, and not by what a command prints."""

from __future__ import annotations

import itertools
import json
import logging
import re
import traceback
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from kproducer import KafkaProducer, parse_config, read_environment, read_properties
from kproducer.cli.app import main
from kproducer.config import ALL_KEYS, KEYS, Key, Status, spellings
from kproducer.errors import ConfigError
from kproducer.testing import MockProducer
from tests.fakes.scripted_broker import ScriptedBroker
from tests.unit.diagnosis.brokers import unused_address

CANARY = "hunter2"
SECRETS = [key for key in ALL_KEYS.values() if key.is_secret]
SPELLINGS = [(key.name, name) for key in SECRETS for name in (key.name, *key.aliases)]
BOOTSTRAP = {"bootstrap.servers": "127.0.0.1:1"}


class Shown:
    """An object whose repr has the secret."""

    def __repr__(self) -> str:
        return CANARY

    __str__ = __repr__


@pytest.fixture(autouse=True)
def everything_is_logged(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr(spellings, "_reported", set())


def told_by(error: BaseException) -> Iterator[str]:
    """All that an error and those behind it say, also to who looks at arguments and attributes."""
    yield "".join(traceback.format_exception(error))
    seen: list[BaseException] = []
    left: list[BaseException | None] = [error]
    while left:
        if (found := left.pop()) is None or found in seen:
            continue
        seen.append(found)
        yield from (str(found), repr(found), repr(found.args), repr(vars(found)))
        yield from getattr(found, "__notes__", [])
        left += [found.__cause__, found.__context__]


def assert_hidden(*texts: str) -> None:
    for text in texts:
        assert CANARY not in text


def refused(call: Callable[[], object]) -> ConfigError:
    """The error of a call, which does not tell the secret."""
    with pytest.raises(ConfigError) as caught:
        call()
    assert_hidden(*told_by(caught.value))
    return caught.value


def test_secret_keys_are_known_by_their_names() -> None:
    """A key that is called like one holds a secret; what only names a file or a place does not."""
    like_one = re.compile(r"(password|passphrase|secret|jaas\.config|\.key|certificates|certificate\.chain)$")
    assert [key.name for key in ALL_KEYS.values() if like_one.search(key.name)] == [k.name for k in SECRETS]
    assert len(SECRETS) >= 9


# --- ways in ----------------------------------------------------------------------------------------------

VALUES: dict[str, Any] = {
    "text": CANARY,
    "many lines": f"-----BEGIN-----\n{CANARY}\n-----END-----",
    "with a name and a place": f"user:{CANARY}@host:1",
    "a surrogate": f"{CANARY}\ud800",
    "very long": CANARY * 10_000,
    "bytes": CANARY.encode(),
    "a list": [CANARY],
    "a mapping": {"password": CANARY},
    "an object": Shown(),
}


@pytest.mark.parametrize(("name", "spelling"), SPELLINGS)
@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES.keys())
@pytest.mark.parametrize("make", [parse_config, KafkaProducer, MockProducer])
def test_a_secret_in_a_mapping_or_a_keyword_is_not_shown(
    caplog: pytest.LogCaptureFixture, make: Any, name: str, spelling: str, value: Any
) -> None:
    error = refused(lambda: make(BOOTSTRAP | {spelling: value}))
    assert name in str(error)
    keyword = {spelling.replace(".", "_"): value}
    refused(lambda: make(BOOTSTRAP, keyword) if make is parse_config else make(BOOTSTRAP, **keyword))
    assert_hidden(caplog.text)


@pytest.mark.parametrize(("name", "spelling"), SPELLINGS)
def test_a_secret_in_the_environment_is_not_shown(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, name: str, spelling: str
) -> None:
    monkeypatch.setenv("KPRODUCER_" + spelling.replace(".", "_").upper(), CANARY)
    assert read_environment()[spelling.replace(".", "_")] == CANARY
    assert name in str(refused(lambda: KafkaProducer.from_env(bootstrap_servers="127.0.0.1:1")))
    monkeypatch.setenv("KPRODUCER_SSL_KEY_PASSWROD", CANARY)
    assert "KPRODUCER_SSL_KEY_PASSWROD" in str(refused(read_environment))
    assert_hidden(caplog.text)


@pytest.mark.parametrize(("name", "spelling"), SPELLINGS)
def test_a_secret_in_a_properties_file_is_not_shown(
    caplog: pytest.LogCaptureFixture, tmp_path: Path, name: str, spelling: str
) -> None:
    path = tmp_path / "producer.properties"
    path.write_text(f"bootstrap.servers=127.0.0.1:1\n{spelling}={CANARY}\n")
    assert name in str(refused(lambda: KafkaProducer.from_properties(path)))
    path.write_text(f"{spelling}={CANARY}\\u12\n")
    assert "line 1" in str(refused(lambda: read_properties(path)))
    assert_hidden(caplog.text)


TABLES = ["settings", "locked"]


def bundle_of(path: Path, table: str, entry: str) -> dict[str, object]:
    path.write_text(f'name = "b"\n[{table}]\n{entry}\n')
    return {**BOOTSTRAP, "bundle.file": str(path)}


@pytest.mark.parametrize("key", SECRETS, ids=lambda key: key.name)
@pytest.mark.parametrize("table", TABLES)
def test_a_secret_in_a_bundle_is_not_shown(
    caplog: pytest.LogCaptureFixture, tmp_path: Path, table: str, key: Key
) -> None:
    path = tmp_path / "bundle.toml"
    for entry in (f'"{key.name}" = "{CANARY}"', f'{key.name} = ["{CANARY}"]', f'{key.name}.x = "{CANARY}"'):
        given = bundle_of(path, table, entry)
        refused(partial(parse_config, given))
    given = bundle_of(path, "locked", f'"{key.name}" = "{CANARY}"')
    assert "locks" in str(refused(lambda: parse_config(given | {key.name: f"other {CANARY}"})))
    assert_hidden(caplog.text)


@pytest.mark.parametrize("broken", [f'a = "{CANARY}', f"{CANARY}", f'[settings\na = "{CANARY}"'])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_bundle_that_cannot_be_read_is_not_shown(tmp_path: Path, broken: str, encoding: str) -> None:
    path = tmp_path / "bundle.toml"
    path.write_bytes(broken.encode(encoding) + b"\xff" * (encoding == "utf-8"))
    assert "cannot be read" in str(refused(lambda: parse_config(BOOTSTRAP | {"bundle.file": str(path)})))
    path.write_text(broken)
    assert "cannot be read" in str(refused(lambda: parse_config(BOOTSTRAP | {"bundle.file": str(path)})))


WRONG_PLACES: dict[str, Mapping[Any, Any]] = {
    "an address": {"bootstrap.servers": f"user:{CANARY}@localhost:9092"},
    "an address with a comma": {"bootstrap.servers": f"PLAINTEXT://u:{CANARY},x@a:1"},
    "one of some addresses": {"bootstrap.servers": ["a:1", f"u:{CANARY}@b:2", "c"]},
    "a misspelt name": {"ssl.key.passwrod": CANARY},
    "a misspelt keyword": {"sasl_jaas_confg": CANARY},
    "a name of librdkafka's": {"sasl.password": CANARY},
    "another of librdkafka's": {"sasl.username": "me", "sasl.password": CANARY},
    "two spellings": {"ssl.key.password": CANARY, "ssl_key_password": CANARY},
    "a name of Kafka's and one of librdkafka's": {"ssl.keystore.key": CANARY, "ssl.key.pem": CANARY},
    "beside a wrong value": {"ssl.key.password": CANARY, "linger.ms": -1},
    "beside a conflict": {"ssl.key.password": CANARY, "acks": 1, "enable.idempotence": True},
    "beside a profile": {"ssl.key.password": CANARY, "profile": "exactly-once"},
    "the address of tokens": {"sasl.oauthbearer.token.endpoint.url": f"https://u:{CANARY}@host/token"},
}


@pytest.mark.parametrize("config", WRONG_PLACES.values(), ids=WRONG_PLACES.keys())
@pytest.mark.parametrize("make", [parse_config, KafkaProducer, MockProducer])
def test_a_secret_in_the_wrong_place_or_company_is_not_shown(
    caplog: pytest.LogCaptureFixture, make: Any, config: Mapping[Any, Any]
) -> None:
    refused(lambda: make(BOOTSTRAP | dict(config)))
    assert_hidden(caplog.text)


# --- ways out ---------------------------------------------------------------------------------------------


@pytest.fixture
def secret_client_id(monkeypatch: pytest.MonkeyPatch) -> None:
    """While no key with a secret is built, one that is built is declared to hold one."""
    assert not [key for key in SECRETS if key.status is Status.BUILT]
    key = KEYS["client.id"]._replace(is_secret=True)
    monkeypatch.setitem(KEYS, "client.id", key)
    monkeypatch.setitem(ALL_KEYS, "client.id", key)


@pytest.mark.usefixtures("secret_client_id")
def test_a_configuration_that_holds_a_secret_shows_none(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    bundle = bundle_of(tmp_path / "bundle.toml", "settings", f'"client.id" = "{CANARY}"')
    for cfg in (parse_config(BOOTSTRAP | {"client.id": CANARY, "acks": 1}), parse_config(bundle)):
        assert cfg.client_id == CANARY
        assert_hidden(repr(cfg), str(cfg), f"{cfg}", cfg.describe(), json.dumps(cfg.effective()))
        assert_hidden(repr(cfg.origins), repr(cfg.adjustments))
        assert cfg.effective()["client.id"] == "***"
    for value in (f"{CANARY}\ud800", CANARY * 10_000, CANARY.encode(), [CANARY], Shown()):
        error = refused(partial(parse_config, BOOTSTRAP | {"client.id": value}))
        assert "client.id='***' is not valid" in str(error)
    locked = bundle_of(tmp_path / "bundle.toml", "locked", f'"client.id" = "{CANARY}"')
    assert "locks client.id='***'; client.id='***'" in str(
        refused(lambda: parse_config(locked | {"client.id": f"other {CANARY}"}))
    )
    assert_hidden(caplog.text)


@pytest.mark.usefixtures("secret_client_id")
@pytest.mark.parametrize("options", [[], ["--json"]], ids=["text", "json"])
@pytest.mark.parametrize("is_there", [True, False])
def test_the_doctor_shows_no_secret(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str], options: list[str], is_there: bool
) -> None:
    with ScriptedBroker() as broker:
        address = str(broker.address) if is_there else str(unused_address())
        main(
            [
                *("doctor", "--timeout", "2", "--bootstrap-server", address, "--topic", "t"),
                *("--producer-property", f"client.id={CANARY}", *options),
            ]
        )
    out, err = capsys.readouterr()
    assert "client.id" in out
    assert_hidden(out, err, caplog.text)


COMMANDS: TypeAlias = list[str]
PLACES: dict[str, COMMANDS] = {
    "doctor": ["doctor", "--bootstrap-server", "127.0.0.1:1", "--producer-property", f"ssl.key.password={CANARY}"],
    "doctor, an address": ["doctor", "--bootstrap-server", f"u:{CANARY}@127.0.0.1:1"],
    "doctor, no value": ["doctor", "--bootstrap-server", "a:1", "--producer-property", f"ssl.key.password:{CANARY}"],
    "console": [
        *("console", "--bootstrap-server", "127.0.0.1:1", "--topic", "t"),
        *("--command-property", f"sasl.jaas.config={CANARY}"),
    ],
}  # fmt: skip


@pytest.mark.parametrize("command", PLACES.values(), ids=PLACES.keys())
def test_commands_show_no_secret_that_they_refuse(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str], command: COMMANDS
) -> None:
    try:
        code: object = main(command)
    except SystemExit as ended:
        code = ended.code
    assert code in (1, 2)
    out, err = capsys.readouterr()
    assert err
    assert_hidden(out, err, caplog.text)


def test_a_running_producer_shows_nothing_of_its_configuration(caplog: pytest.LogCaptureFixture) -> None:
    """Whatever of the configuration could be a secret one day: what logs and metrics tell is counted off here."""
    with ScriptedBroker() as broker:
        broker.cluster.create_topic("t", [1])
        with KafkaProducer(
            bootstrap_servers=str(broker.address), value_serializer=CanarySerializer()
        ) as producer:
            producer.send("t", "v", b"key of " + CANARY.encode(), {"h": CANARY.encode()}).result(10)
            shown = [repr(producer), repr(producer.metrics()), repr(producer.send("t", "v"))]
            shown += itertools.chain.from_iterable(told_by(error) for error in _errors_of(producer))
    assert_hidden(caplog.text, *shown)


class CanarySerializer:
    """Makes the payload, which is nobody's to show either."""

    def __call__(self, data: object) -> bytes:
        if data == CANARY:
            raise ValueError("not this one")
        return CANARY.encode()


def _errors_of(producer: KafkaProducer) -> Iterator[BaseException]:
    wrong: list[dict[str, Any]] = [
        {"value": CANARY},
        {"value": "v", "key": CANARY},
        {"value": "v", "headers": {"h": CANARY}},
        {"value": "v", "headers": CANARY},
        {"value": "v", "timestamp_ms": CANARY},
        {"value": "v", "partition": CANARY},
        {"value": "v", "key": CANARY.encode() * 1_000_000},
        {"value": "v", "on_delivery": CANARY},
    ]
    for arguments in wrong:
        with pytest.raises((TypeError, ValueError)) as caught:
            producer.send("t", **arguments)
        yield caught.value
