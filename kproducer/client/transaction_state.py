"""The words of a transaction: states and their legal moves, calls and their tickets, orders for the pump. Pure data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, NamedTuple, TypeAlias

from kproducer.errors import KafkaError
from kproducer.types import TopicPartition


class State(Enum):
    """Where the producer stands. A prepared transaction (KIP-939) would come between IN_TRANSACTION and COMMITTING."""

    UNINITIALIZED = auto()
    INITIALIZING = auto()
    READY = auto()
    IN_TRANSACTION = auto()
    COMMITTING = auto()
    COMMIT_UNKNOWN = auto()
    ABORTABLE_ERROR = auto()
    ABORTING = auto()
    FATAL_ERROR = auto()


MOVES: Final[Mapping[State, frozenset[State]]] = {
    State.UNINITIALIZED: frozenset({State.INITIALIZING}),
    State.INITIALIZING: frozenset({State.READY, State.UNINITIALIZED}),
    State.READY: frozenset({State.IN_TRANSACTION, State.INITIALIZING}),
    State.IN_TRANSACTION: frozenset({State.COMMITTING, State.ABORTING, State.ABORTABLE_ERROR}),
    State.COMMITTING: frozenset(
        {State.READY, State.INITIALIZING, State.COMMIT_UNKNOWN, State.ABORTABLE_ERROR, State.ABORTING}
    ),
    State.COMMIT_UNKNOWN: frozenset(
        {State.READY, State.INITIALIZING, State.COMMITTING, State.ABORTABLE_ERROR, State.ABORTING}
    ),
    State.ABORTABLE_ERROR: frozenset({State.ABORTING}),
    State.ABORTING: frozenset({State.READY, State.INITIALIZING}),
    State.FATAL_ERROR: frozenset(),
}


class Call(Enum):
    """A call of the application whose outcome may take time."""

    INIT = "init_transactions"
    BEGIN = "begin_transaction"
    SEND_OFFSETS = "send_offsets_to_transaction"
    COMMIT = "commit_transaction"
    ABORT = "abort_transaction"


@dataclass(slots=True, eq=False)
class Ticket:
    """The outcome of a call, for whoever waits for it.

    may_have_ended: EndTxn(commit) may have reached the coordinator.
    is_given_up: nobody waits any more, and the outcome has not been told.
    """

    call: Call
    is_done: bool = False
    error: KafkaError | None = None
    may_have_ended: bool = False
    is_given_up: bool = False


# --- what the pump is to do -----------------------------------------------------------------------------------


class Publish(NamedTuple):
    """Use this producer id and epoch from the next transaction on."""

    producer_id: int
    epoch: int


class Begin(NamedTuple):
    """Take records for transaction `generation`."""

    generation: int
    is_v2: bool


class Allow(NamedTuple):
    """These partitions have been added to the transaction."""

    generation: int
    partitions: tuple[TopicPartition, ...]


class Seal(NamedTuple):
    """Take no more records and send what is left."""

    generation: int


class Drop(NamedTuple):
    """Take no more records and fail what is not in flight; `failure`: why it can only be aborted."""

    generation: int
    message: str
    failure: KafkaError | None = None


class Over(NamedTuple):
    """The transaction has ended: its failure, if any, is of no concern any more."""

    generation: int


class Die(NamedTuple):
    """Fail everything: the producer can only be closed."""

    error: KafkaError


Order: TypeAlias = Publish | Begin | Allow | Seal | Drop | Over | Die
