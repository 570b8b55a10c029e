"""The state of a MockProducer's transactions: which call is legal when, and what a commit makes visible."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from enum import Enum, auto

from kproducer import (
    ConsumerGroupMetadata,
    IllegalStateError,
    KafkaError,
    OffsetAndMetadata,
    ProducerFencedError,
    ProducerRecord,
    TopicPartition,
    TransactionAbortableError,
)

GroupOffsets = dict[str, dict[TopicPartition, OffsetAndMetadata]]


class State(Enum):
    """Where the producer stands, in the words of its errors."""

    UNINITIALIZED = auto()
    READY = auto()
    IN_TRANSACTION = auto()
    ABORTABLE_ERROR = auto()


class MockTransaction:
    """One transaction after the other; the caller holds the lock.

    Attributes:
        records, offsets: of the open transaction.
        was_committed, was_aborted: how the last one ended.
        has_sent_offsets: since the last begin.
        commits: how many were committed.
    """

    def __init__(self, transactional_id: str | None) -> None:
        self.is_transactional = transactional_id is not None
        self.state = State.UNINITIALIZED
        self.records: list[ProducerRecord] = []
        self.offsets: GroupOffsets = {}
        self.was_committed = self.was_aborted = self.has_sent_offsets = False
        self.commits = 0
        self._fenced: ProducerFencedError | None = None
        self._cause: KafkaError | None = None

    @property
    def is_open(self) -> bool:
        """Whether a transaction has begun and not ended."""
        return self.state in (State.IN_TRANSACTION, State.ABORTABLE_ERROR)

    @property
    def is_fenced(self) -> bool:
        """Whether another producer is said to have taken over."""
        return self._fenced is not None

    def raise_if_fenced(self) -> None:
        """Raise ProducerFencedError after `fence`."""
        if self._fenced is not None:
            raise copy.copy(self._fenced)

    def require_id(self, call: str) -> None:
        """Raise IllegalStateError without a transactional.id."""
        if not self.is_transactional:
            raise IllegalStateError(f"{call}() needs the configuration key transactional.id")

    def require_for_send(self) -> None:
        """Raise why no record is taken now."""
        if not self.is_transactional or self.state is State.IN_TRANSACTION:
            return
        if self.state is State.ABORTABLE_ERROR:
            raise self._abortable()
        raise IllegalStateError("no transaction is open: call begin_transaction() first")

    def require_open(self, call: str) -> None:
        """Raise why nothing can be added or committed now."""
        if self.state is State.ABORTABLE_ERROR:
            raise self._abortable()
        if self.state is not State.IN_TRANSACTION:
            raise IllegalStateError(f"{call}() in state {self.state.name}: call begin_transaction() first")

    def require_abortable(self) -> None:
        """Raise IllegalStateError if nothing can be aborted."""
        if not self.is_open:
            raise IllegalStateError(f"abort_transaction() in state {self.state.name}{self._because()}")

    def init(self) -> None:
        """Have a producer id."""
        if self.state is not State.UNINITIALIZED:
            raise IllegalStateError("init_transactions() was called already")
        self.state = State.READY

    def require_ready(self) -> None:
        """Raise why no transaction can begin now."""
        if self.state is State.UNINITIALIZED:
            raise IllegalStateError("begin_transaction() before init_transactions()")
        if self.state is not State.READY:
            raise IllegalStateError(f"begin_transaction() in state {self.state.name}{self._because()}")

    def begin(self) -> None:
        """Open a transaction."""
        self.state, self._cause = State.IN_TRANSACTION, None
        self.was_committed = self.was_aborted = self.has_sent_offsets = False

    def add_offsets(
        self, positions: Mapping[TopicPartition, OffsetAndMetadata], group: ConsumerGroupMetadata
    ) -> None:
        """Add a group's positions; none is no change."""
        if positions:
            self.offsets.setdefault(group.group_id, {}).update(positions)
            self.has_sent_offsets = True

    def doom(self, cause: KafkaError) -> None:
        """Take note that a record failed: the open transaction can only be aborted."""
        if self.state is State.IN_TRANSACTION:
            self.state = State.ABORTABLE_ERROR
            self._cause = cause

    def end(self, *, is_commit: bool) -> tuple[list[ProducerRecord], GroupOffsets]:
        """End the transaction; return what it held."""
        ended = self.records, self.offsets
        self.forget()
        self.state, self._cause = State.READY, None
        self.was_committed, self.was_aborted = is_commit, not is_commit
        self.commits += is_commit
        return ended

    def forget(self) -> None:
        """Drop what the open transaction holds."""
        self.records, self.offsets = [], {}

    def fence(self) -> ProducerFencedError:
        """Let another producer take over."""
        self._fenced = ProducerFencedError(
            "another producer with the same transactional.id took over (MockProducer.fence_producer() was called)"
        )
        return self._fenced

    def _because(self) -> str:
        return "" if self._cause is None else f": {self._cause}"

    def _abortable(self) -> TransactionAbortableError:
        assert self._cause is not None  # it is what made the state
        return TransactionAbortableError.because_of(self._cause)
