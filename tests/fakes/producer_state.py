"""What a leader remembers of idempotent producers in one partition, to refuse gaps and answer duplicates.

As brokers do from 2.5 on: a producer without state may begin anywhere, the last five batches are known again.
"""

from __future__ import annotations

import struct
from collections import deque
from dataclasses import dataclass
from typing import Final

OUT_OF_ORDER: Final = 45
INVALID_EPOCH: Final = 47

_PRODUCER = struct.Struct(">qhii")  # id, epoch, base sequence, record count
_PRODUCER_AT: Final = 43
_KNOWN_BATCHES: Final = 5
_SEQUENCE_MASK: Final = 0x7FFFFFFF


@dataclass(frozen=True, slots=True)
class Appended:
    """A batch in the log."""

    first: int
    last: int
    base_offset: int


class ProducerState:
    """One producer id in one partition."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        self.batches: deque[Appended] = deque(maxlen=_KNOWN_BATCHES)


class ProducerStates:
    """All producers of one partition."""

    def __init__(self) -> None:
        self._states: dict[int, ProducerState] = {}

    def judge(self, batch: bytes, next_offset: int) -> tuple[int, int | None]:
        """Check a batch that is about to be appended at `next_offset`.

        Returns:
            an error code, and the offset of the batch that this one repeats, None if it is to be appended.
        """
        producer_id, epoch, first, count = _PRODUCER.unpack_from(batch, _PRODUCER_AT)
        if producer_id < 0:
            return 0, None
        last = (first + count - 1) & _SEQUENCE_MASK
        state = self._states.get(producer_id)
        if state is None or epoch > state.epoch:
            if state is not None and first != 0:
                return OUT_OF_ORDER, None
            state = self._states[producer_id] = ProducerState(epoch)
        elif epoch < state.epoch:
            return INVALID_EPOCH, None
        for known in state.batches:
            if (known.first, known.last) == (first, last):
                return 0, known.base_offset
        if state.batches and first != (state.batches[-1].last + 1) & _SEQUENCE_MASK:
            return OUT_OF_ORDER, None
        state.batches.append(Appended(first, last, next_offset))
        return 0, None
