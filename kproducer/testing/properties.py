"""The `server.properties` of one node: what every version gets, and what only some know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from kproducer.testing.versions import Version

PropertyValue = str | int | float | bool

# By the version since which they are known; an unknown property would only be a warning in the broker's log.
_SINCE: tuple[tuple[Version, Mapping[str, str]], ...] = (
    (
        (2, 8, 0),
        {
            "process.roles": "broker,controller",
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "offsets.topic.num.partitions": "3",
            "transaction.state.log.num.partitions": "3",
            "group.initial.rebalance.delay.ms": "0",
            "num.network.threads": "2",
            "num.io.threads": "4",
            # A killed node may register again only when its old session is over: 13 s with the default 9 s.
            "broker.session.timeout.ms": "4000",
            "broker.heartbeat.interval.ms": "500",
            "log.cleaner.dedupe.buffer.size": "16777216",
        },
    ),
    ((4, 0, 0), {"share.coordinator.state.topic.num.partitions": "3"}),
)
_REPLICATION_FACTORS: tuple[tuple[Version, str], ...] = (
    ((2, 8, 0), "default.replication.factor"),
    ((2, 8, 0), "offsets.topic.replication.factor"),
    ((2, 8, 0), "transaction.state.log.replication.factor"),
    ((4, 0, 0), "share.coordinator.state.topic.replication.factor"),
)
_MINIMUM_IN_SYNC: tuple[tuple[Version, str], ...] = (
    ((2, 8, 0), "min.insync.replicas"),
    ((2, 8, 0), "transaction.state.log.min.isr"),
    ((4, 0, 0), "share.coordinator.state.topic.min.isr"),
)


def server_properties(
    version: Version,
    node_id: int,
    port: int,
    controller_ports: Sequence[int],
    log_dir: Path,
    extra: Mapping[str, PropertyValue],
) -> dict[str, str]:
    """All properties of node `node_id` (counted from 1); `extra` wins over everything else."""
    replication = min(3, len(controller_ports))
    controller_port = controller_ports[node_id - 1]
    voters = (f"{n}@127.0.0.1:{p}" for n, p in enumerate(controller_ports, start=1))
    properties = {
        "node.id": str(node_id),
        "controller.quorum.voters": ",".join(voters),
        "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
        "log.dirs": str(log_dir),
    }
    for since, fixed in _SINCE:
        if version >= since:
            properties |= fixed
    properties |= {name: str(replication) for since, name in _REPLICATION_FACTORS if version >= since}
    properties |= {name: str(max(1, replication - 1)) for since, name in _MINIMUM_IN_SYNC if version >= since}
    return properties | {name: property_text(value) for name, value in extra.items()}


def property_text(value: PropertyValue) -> str:
    """A value as Kafka writes it: `true`, not `True`."""
    return str(value).lower() if isinstance(value, bool) else str(value)


# Java drops a blank in front of a value, and reads the file as Latin-1.
_ESCAPES = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r", "\f": r"\f"})


def render(properties: Mapping[str, str]) -> str:
    """The text of a properties file, in ASCII; values may be any text."""
    return "".join(f"{name}={_escaped(value)}\n" for name, value in properties.items())


def _escaped(value: str) -> str:
    text = value.translate(_ESCAPES)
    text = "\\" + text if text.startswith(" ") else text
    return "".join(char if char.isascii() else _utf16_escape(char) for char in text)


def _utf16_escape(char: str) -> str:
    code_units = char.encode("utf-16-be").hex()
    return "".join(rf"\u{code_units[at : at + 4]}" for at in range(0, len(code_units), 4))
