"""What a coordinator's error code means for a transaction: one table for each API of it (KIP-98, KIP-890, KIP-1050).

Produce answers are judged in `client.delivery`. Pure; control thread only.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto
from types import MappingProxyType
from typing import Any, Final

from kproducer.protocol.api import Api
from kproducer.protocol.messages.add_offsets_to_txn import ADD_OFFSETS_TO_TXN
from kproducer.protocol.messages.add_partitions_to_txn import ADD_PARTITIONS_TO_TXN
from kproducer.protocol.messages.end_txn import END_TXN
from kproducer.protocol.messages.init_producer_id import INIT_PRODUCER_ID
from kproducer.protocol.messages.txn_offset_commit import TXN_OFFSET_COMMIT

UNKNOWN_SERVER_ERROR: Final = -1
INVALID_PRODUCER_EPOCH: Final = 47
INVALID_TXN_STATE: Final = 48
CONCURRENT_TRANSACTIONS: Final = 51
PRODUCER_FENCED: Final = 90
TRANSACTION_ABORTABLE: Final = 120


class Reaction(Enum):
    """What is done about a code."""

    DONE = auto()
    RETRY = auto()
    FIND = auto()  # the coordinator again, then retry
    ABORT = auto()  # the transaction can only be aborted
    FATAL = auto()


_COMMON: Final = {
    0: Reaction.DONE,
    7: Reaction.FIND,
    8: Reaction.FIND,
    14: Reaction.RETRY,
    15: Reaction.FIND,
    16: Reaction.FIND,
    51: Reaction.RETRY,
    52: Reaction.FIND,
    89: Reaction.RETRY,
    120: Reaction.ABORT,
}
_FENCED: Final = dict.fromkeys((31, 35, 47, 48, 49, 50, 53, 90, 105), Reaction.FATAL)

_TABLES: Final[Mapping[int, Mapping[int, Reaction]]] = MappingProxyType(
    {
        INIT_PRODUCER_ID.key: _COMMON
        | {UNKNOWN_SERVER_ERROR: Reaction.RETRY, TRANSACTION_ABORTABLE: Reaction.RETRY},
        # 55 is the answer for those partitions that were not tried because of another one.
        ADD_PARTITIONS_TO_TXN.key: _COMMON | _FENCED | {3: Reaction.RETRY, 55: Reaction.RETRY},
        ADD_OFFSETS_TO_TXN.key: _COMMON | _FENCED,
        TXN_OFFSET_COMMIT.key: _COMMON | _FENCED | {3: Reaction.RETRY},
        # The same EndTxn may be sent again, and after -1 nobody knows whether it took effect.
        END_TXN.key: _COMMON | {UNKNOWN_SERVER_ERROR: Reaction.RETRY},
    }
)
# Codes that no table names: an end that cannot be carried out leaves nothing to go on with.
_OTHERWISE: Final[Mapping[int, Reaction]] = MappingProxyType(
    {INIT_PRODUCER_ID.key: Reaction.FATAL, END_TXN.key: Reaction.FATAL}
)


def reaction(api: Api[Any, Any], code: int) -> Reaction:
    """Judge the code of an answer to one of the transaction's requests."""
    return _TABLES[api.key].get(code, _OTHERWISE.get(api.key, Reaction.ABORT))


def worst(api: Api[Any, Any], codes: list[int]) -> tuple[Reaction, int]:
    """Judge an answer with a code for each partition by the one that weighs most."""
    order = list(Reaction)
    return max(((reaction(api, code), code) for code in codes), key=lambda found: order.index(found[0]))
