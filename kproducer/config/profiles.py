"""Profiles: named settings for a purpose, which stand in for the defaults."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from kproducer.config.values import ACKS_ALL, INT_MAX


class Profile(NamedTuple):
    """Settings for a purpose.

    doc: the purpose, in one sentence.
    settings: plain values by dotted name; they count as asked for, so a setting beside them that contradicts one
        is an error.
    required: names of keys that must be given beside the profile.
    """

    doc: str
    settings: Mapping[str, object]
    required: tuple[str, ...] = ()


# Kafka's defaults, but asked for: what would switch idempotence off in silence is an error beside them.
_SAFE: Final[Mapping[str, object]] = {
    "acks": ACKS_ALL,
    "enable.idempotence": True,
    "retries": INT_MAX,
    "max.in.flight.requests.per.connection": 5,
    "delivery.timeout.ms": 120_000,
}

PROFILES: Final[Mapping[str, Profile]] = {
    "safe": Profile(
        "No loss, no duplicates and no change of order while brokers fail and come back within two minutes.",
        _SAFE,
    ),
    "durable": Profile(
        "As safe, for records that must survive an outage of half an hour; a gap ends the producer.",
        {
            **_SAFE,
            "delivery.timeout.ms": 1_800_000,
            "max.block.ms": 1_800_000,
            "buffer.full.policy": "block",
            "not.enough.replicas.policy": "retry",
            "on.sequence.gap": "fail",
        },
    ),
    "throughput": Profile(
        "Most records a second: large batches, compressed, that wait for more; as safe as the defaults.",
        {
            "linger.ms": 50,
            "batch.size": 262_144,
            "buffer.memory": 134_217_728,
            "compression.type": "snappy",  # the one codec besides gzip that every build has
        },
    ),
    "low-latency": Profile(
        "Records leave at once, and a failure is told after seconds instead of minutes; as safe as the defaults.",
        {
            "linger.ms": 0,
            "compression.type": "none",
            "request.timeout.ms": 5_000,
            "delivery.timeout.ms": 15_000,
            "max.block.ms": 5_000,
            "socket.connection.setup.timeout.ms": 2_000,
            "socket.connection.setup.timeout.max.ms": 5_000,
            "reconnect.backoff.max.ms": 250,
            "retry.backoff.max.ms": 250,
        },
    ),
    "at-most-once": Profile(
        "No record is sent twice; what fails once is lost, and its failure is told. With acks=0 not even that.",
        {"acks": 1, "enable.idempotence": False, "retries": 0},
    ),
    "exactly-once": Profile(
        "Transactions: all records of one become visible together or not at all.",
        {**_SAFE, "on.sequence.gap": "fail"},
        required=("transactional.id",),
    ),
}
