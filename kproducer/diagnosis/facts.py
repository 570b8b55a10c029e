"""What a survey of a cluster found out, before anybody judges it. Plain values, any thread."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from kproducer.config import HostPort
from kproducer.errors import KafkaError
from kproducer.protocol.versions import BrokerVersions
from kproducer.types import PartitionInfo


@dataclass(frozen=True, slots=True)
class BootstrapFacts:
    """An entry of bootstrap.servers.

    error: why it gave no metadata; None if it did.
    elapsed_ms: until it was connected and had told its versions.
    cluster_id: of the cluster that it belongs to.
    """

    address: HostPort
    error: KafkaError | None
    elapsed_ms: float = 0.0
    cluster_id: str | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of a topic or a broker as the broker applies them; `error` says why there are none."""

    values: Mapping[str, str | None] = field(default_factory=dict)
    error: KafkaError | None = None

    def number(self, name: str) -> int | None:
        """Return a whole number, or None if the setting was not told."""
        value = self.values.get(name)
        return None if value is None else int(value)


@dataclass(frozen=True, slots=True)
class BrokerFacts:
    """A broker of the metadata, dialled at the address that it advertises.

    error: why it could not be spoken to; None if it could.
    elapsed_ms: until it was connected and had told its versions.
    """

    node_id: int
    address: HostPort
    rack: str | None
    error: KafkaError | None
    elapsed_ms: float = 0.0
    versions: BrokerVersions | None = None
    settings: Settings = Settings()


@dataclass(frozen=True, slots=True)
class TopicFacts:
    """A topic that was asked for.

    error: why there is no metadata of it.
    may_write: whether this principal may; None if the brokers do not tell.
    """

    name: str
    error: KafkaError | None
    partitions: tuple[PartitionInfo, ...] = ()
    may_write: bool | None = None
    settings: Settings = Settings()


@dataclass(frozen=True, slots=True)
class ClockFacts:
    """The active controller's clock against ours.

    skew_ms: theirs minus ours; None if it was not to be had, and then `error` says why.
    uncertainty_ms: by which the skew may be wrong either way: half of the time that the question took.
    """

    skew_ms: float | None = None
    uncertainty_ms: float = 0.0
    error: KafkaError | None = None


@dataclass(frozen=True, slots=True)
class Survey:
    """All of it. Without a bootstrap server that answered, only `bootstrap` is filled.

    fenced: ids of brokers that are registered but not alive; empty also where brokers do not tell.
    may_write_idempotently: None where WRITE on the topic is enough, or brokers do not tell.
    """

    bootstrap: tuple[BootstrapFacts, ...]
    cluster_id: str | None = None
    brokers: tuple[BrokerFacts, ...] = ()
    topics: tuple[TopicFacts, ...] = ()
    fenced: tuple[int, ...] = ()
    may_write_idempotently: bool | None = None
    clock: ClockFacts = ClockFacts()

    @property
    def is_reachable(self) -> bool:
        """Whether a bootstrap server told about its cluster."""
        return any(entry.error is None for entry in self.bootstrap)
