"""`kproducer route`: where keys go, and why."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kproducer.cli.app import main
from kproducer.partitioners import PARTITIONERS, key_partition
from kproducer.protocol.messages.metadata import METADATA
from tests.fakes.scripted_broker import ScriptedBroker

Route = Callable[..., str]


@pytest.fixture
def route(capsys: pytest.CaptureFixture[str]) -> Route:
    """Runs the command, which is to succeed, and returns what it printed."""

    def run(*arguments: str) -> str:
        assert main(["route", "--topic", "t", *arguments]) == 0
        return capsys.readouterr().out

    return run


def as_json(route: Route, *arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(route("--json", *arguments))
    return found


def test_without_a_cluster_keys_are_placed_by_the_rules_alone(route: Route) -> None:
    assert route("--partitions", "6", "user-7", "21", "").splitlines() == [
        "KEY     PARTITION  LEADER  WHY",
        f"user-7  {key_partition(b'user-7', 6)}          -       murmur2 {HASH_OF_USER_7} % 6",
        "21      0          -       murmur2 1173551340 % 6",
        "''      3          -       murmur2 275646681 % 6",
        "3 keys over 6 partitions: partition 0 has most, 1 (skew 2.00)",
    ]


HASH_OF_USER_7 = 696778364


def test_a_cluster_tells_partitions_and_leaders_and_gets_no_topic(
    route: Route, capsys: pytest.CaptureFixture[str]
) -> None:
    with ScriptedBroker() as broker, ScriptedBroker(broker.cluster, node_id=2):
        broker.cluster.create_topic("t", [1, 2, 2])
        found = as_json(route, "--bootstrap-server", str(broker.address), "a", "b", "c", "d")
        asked = [request.body for request in broker.received(METADATA)]
        assert main(["route", "--topic", "none", "--bootstrap-server", str(broker.address), "--producer-property",
                     "max.block.ms=100", "k"]) == 1  # fmt: skip
    assert "topic none" in capsys.readouterr().err
    assert [request.allow_auto_topic_creation for request in asked if request.topics] == [False]
    assert found["partitions"] == 3
    for entry in found["keys"]:
        assert entry["partition"] == key_partition(entry["key"].encode(), 3)
        assert entry["leader"] == [1, 2, 2][entry["partition"]]


@pytest.mark.parametrize("partitioner", PARTITIONERS)
def test_each_partitioner_is_followed(route: Route, partitioner: str) -> None:
    found = as_json(
        route, "--partitions", "5", "--no-key", "--producer-property", f"partitioner={partitioner}", "", "k"
    )
    for entry in found["keys"]:
        key = None if entry["key"] is None else entry["key"].encode()
        assert entry["partition"] == key_partition(key, 5, partitioner)
        assert (entry["hash"] is None) == (entry["rule"] in ("sticky", "random"))


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        ("partitioner.ignore.keys=true", "sticky"),
        ("partitioner=random", "random"),
        ("partitioner.class=org.apache.kafka.clients.producer.RoundRobinPartitioner", "partitioner.class"),
    ],
)
def test_what_does_not_depend_on_the_key_says_so(route: Route, given: str, rule: str) -> None:
    arguments = ("--partitions", "5", "--producer-property", given, "k")
    (entry,) = as_json(route, *arguments)["keys"]
    assert (entry["rule"], entry["hash"], entry["partition"]) == (rule, None, None)
    assert route(*arguments).splitlines()[1].startswith("k    any        -       ")


def test_a_record_without_a_key_is_shown_on_request(route: Route) -> None:
    assert route("--partitions", "2", "--no-key").splitlines()[1:] == [
        "(no key)  any        -       no key counts: the sticky partition, another one after batch.size bytes"
    ]


def test_compare_shows_what_moves(route: Route) -> None:
    keys = [f"key-{n}" for n in range(300)]
    found = as_json(route, "--partitions", "3", "--compare", "6", *keys)
    moves = [key_partition(key.encode(), 3) != key_partition(key.encode(), 6) for key in keys]
    assert [entry["moves"] for entry in found["keys"]] == moves
    assert found["moved"] == sum(moves)
    assert 100 < found["moved"] < 200
    lines = route("--partitions", "3", "--compare", "6", *keys).splitlines()
    assert lines[-1] == f"{sum(moves)} of 300 keys move from 3 to 6 partitions"
    assert sum(" -> " in line for line in lines) == sum(moves)


def test_the_page_shows_what_is_printed(route: Route) -> None:
    page = (Path(__file__).parents[3] / "docs" / "partitioning.md").read_text(encoding="utf-8")
    assert route("--partitions", "6", "--compare", "12", "--no-key", "user-7", "user-10") in page


def test_keys_come_from_standard_input_as_bytes(route: Route, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"a\n\xff\r\n\nlast")))
    found = as_json(route, "--partitions", "7")
    keys = [b"a", b"\xff", b"", b"last"]
    assert [entry["partition"] for entry in found["keys"]] == [key_partition(key, 7) for key in keys]
    assert [entry["key"] for entry in found["keys"]] == ["a", "\\xff", "", "last"]


@pytest.mark.parametrize(
    "arguments",
    [[], ["--partitions", "0"], ["--partitions", "x"], ["--partitions", "2", "--bootstrap-server", "b:1"]],
)
def test_wrong_options_are_refused(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["route", "--topic", "t", *arguments, "k"])
    assert caught.value.code == 2


def test_a_contradiction_in_the_properties_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    given = ("partitioner=fnv1a", "partitioner.ignore.keys=true")
    options = [text for name in given for text in ("--producer-property", name)]
    assert main(["route", "--topic", "t", "--partitions", "3", *options, "k"]) == 1
    assert "give one of them" in capsys.readouterr().err
