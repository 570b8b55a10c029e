"""Events that the pump tells the control thread, as plain facts (PUMP contract, last section).

Each is a copy: nothing here refers to memory of the C core. `hold_gen` numbers the hold of a partition, and a
command that carries an older one is ignored by the pump.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

from kproducer.errors import KafkaError


class CloseCause(IntEnum):
    """Why the pump closed a produce connection."""

    PEER = 0
    TIMEOUT = 1
    PROTOCOL = 2
    IDLE = 3
    DRAINED = 4
    DROPPED = 5


class Action(IntEnum):
    """What a verdict does with a refused batch."""

    ACK = 0
    RETRY = 1
    SPLIT = 2
    FAIL = 3


class ConnWanted(NamedTuple):
    """Batches wait for this node and it has no produce connection. A level: told again after each CONN_CLOSED."""

    node: int


class ConnClosed(NamedTuple):
    """A produce connection is gone; its batches are parked, `maybe` when a byte of them was written."""

    node: int
    conn_gen: int
    cause: CloseCause
    in_flight: int


class LeaderHint(NamedTuple):
    """KIP-951: leader, its epoch and, when the broker told it, the endpoint."""

    leader: int
    leader_epoch: int
    host: str | None
    port: int


class BatchRefused(NamedTuple):
    """A batch ended in an error code, or ran out of `retries`; its partition is held until RESUME(hold_gen)."""

    topic: str
    partition: int
    hold_gen: int
    batch_id: int
    code: int
    message: str | None
    record_errors: tuple[tuple[int, str | None], ...]
    is_head: bool
    maybe: bool
    attempts: int
    records: int
    log_start_offset: int
    node: int
    producer_id: int
    producer_epoch: int
    hint: LeaderHint | None


class PartitionQuiet(NamedTuple):
    """Nothing sequenced is left of a held partition; `unresolved` when a batch expired and may be in the log.

    `has_gap`: its records were told that they may be in the log, so whoever goes on may overtake them.
    """

    topic: str
    partition: int
    hold_gen: int
    last_acked: int
    unresolved: bool
    producer_id: int
    producer_epoch: int
    has_gap: bool = False


class Expired(NamedTuple):
    """Notice: batches ran out of delivery.timeout.ms."""

    topic: str
    partition: int
    hold_gen: int
    batches: int
    ever_sent: bool


class MetadataStale(NamedTuple):
    """Batches of this topic wait for a leader that is not known."""

    topic: str


class TopicWanted(NamedTuple):
    """A caller waits for this topic to have at least `partitions` partitions."""

    topic: str
    partitions: int


class Throttled(NamedTuple):
    """Notice: the broker asked for a pause (KIP-219) and the pump obeys it."""

    node: int
    throttle_ms: int


class TxnPartition(NamedTuple):
    """A record was appended to a partition that is new in the transaction (protocol 1 only)."""

    txn_gen: int
    topic: str
    partition: int


class TxnFailed(NamedTuple):
    """A record of the open transaction failed or was refused: it can only be aborted. Told once."""

    txn_gen: int
    topic: str | None
    partition: int
    error: KafkaError


class TxnDrained(NamedTuple):
    """Nothing of a sealed or dropped transaction is on the network, or waits to be.

    was_sent: a produce request of it left. is_broken: a sequence was given away and not acknowledged. has_failed: a
    record failed or was refused, which TxnFailed has told unless there was no memory for it.
    """

    txn_gen: int
    was_sent: bool
    is_broken: bool
    has_failed: bool = False


class Stopped(NamedTuple):
    """The pump's thread is about to end; `leftovers` batches were failed."""

    leftovers: int


class PumpFatal(NamedTuple):
    """The pump met a state that cannot be: every outstanding batch was failed."""

    cause: str


Event = (
    ConnWanted
    | ConnClosed
    | BatchRefused
    | PartitionQuiet
    | Expired
    | MetadataStale
    | TopicWanted
    | Throttled
    | TxnPartition
    | TxnFailed
    | TxnDrained
    | Stopped
    | PumpFatal
)
