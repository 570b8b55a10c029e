"""Which Kafka versions can be started, and what is known to be broken in some."""

from __future__ import annotations

import re

Version = tuple[int, int, int]

DEFAULT_VERSION = "4.4.0"
_OLDEST: Version = (2, 8, 0)  # the first with KRaft (KIP-500); older ones need ZooKeeper
# 2.8.2's new length checks refuse its own RegisterBrokerRecord when that is read back from the metadata log:
# seen with one node after a restart and with three at the start. 2.8.1 does both.
_CANNOT_REREAD_METADATA: dict[Version, str] = {(2, 8, 2): "2.8.1"}


def parse_version(version: str) -> Version:
    """Split a Kafka version such as "4.4.0"; ValueError if it is malformed or older than KRaft."""
    match = re.fullmatch(r"(\d+)\.(\d+)\.(\d+)", version)
    if match is None:
        raise ValueError(f"Kafka version {version!r} is not of the form '{DEFAULT_VERSION}'")
    major, minor, patch = map(int, match.groups())
    if (major, minor, patch) < _OLDEST:
        oldest = ".".join(map(str, _OLDEST))
        raise ValueError(
            f"Kafka {version} has no KRaft mode; choose {oldest} or newer, for example {DEFAULT_VERSION}"
        )
    return major, minor, patch


def why_metadata_is_lost(version: str) -> str | None:
    """Why this version cannot restart a node or run several, and what to take instead; None if it can."""
    remedy = _CANNOT_REREAD_METADATA.get(parse_version(version))
    if remedy is None:
        return None
    return f"Kafka {version} cannot read its own metadata log (no restart, no second node); take {remedy}"
