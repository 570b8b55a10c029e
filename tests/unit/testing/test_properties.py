"""The properties of a node."""

from __future__ import annotations

from pathlib import Path

from kproducer.testing.properties import PropertyValue, render, server_properties

LOGS = Path("/logs")


def properties_of(
    version: tuple[int, int, int] = (4, 4, 0),
    controllers: tuple[int, ...] = (20, 21, 22),
    extra: dict[str, PropertyValue] | None = None,
) -> dict[str, str]:
    return server_properties(version, 1, 10, controllers, LOGS, extra or {})


def test_every_listener_is_on_loopback() -> None:
    properties = properties_of()

    assert properties["listeners"] == "PLAINTEXT://127.0.0.1:10,CONTROLLER://127.0.0.1:20"
    assert properties["advertised.listeners"] == "PLAINTEXT://127.0.0.1:10"
    assert properties["controller.quorum.voters"] == "1@127.0.0.1:20,2@127.0.0.1:21,3@127.0.0.1:22"


def test_three_nodes_replicate_three_times_and_need_two() -> None:
    properties = properties_of()

    assert properties["default.replication.factor"] == "3"
    assert properties["min.insync.replicas"] == "2"


def test_one_node_replicates_nothing() -> None:
    properties = properties_of(controllers=(20,))

    assert {value for name, value in properties.items() if name.endswith("replication.factor")} == {"1"}
    assert {value for name, value in properties.items() if name.endswith(("min.isr", "insync.replicas"))} == {
        "1"
    }


def test_only_kafka_4_gets_the_share_coordinator() -> None:
    assert not [name for name in properties_of((3, 9, 2)) if name.startswith("share.")]
    assert properties_of((4, 0, 0))["share.coordinator.state.topic.replication.factor"] == "3"


def test_extra_properties_win_and_are_written_as_kafka_writes_them() -> None:
    properties = properties_of(extra={"min.insync.replicas": 1, "auto.create.topics.enable": False})

    assert properties["min.insync.replicas"] == "1"
    assert properties["auto.create.topics.enable"] == "false"


def test_a_backslash_survives_the_properties_file() -> None:
    assert render({"a": "x\\y", "b": "1"}) == "a=x\\\\y\nb=1\n"
