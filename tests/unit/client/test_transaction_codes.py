"""What a coordinator's code means: every row of every table, and the codes that no table names."""

from __future__ import annotations

from typing import Any

import pytest

from kproducer.client.transaction_codes import Reaction, reaction, worst
from kproducer.errors import ERROR_TABLE
from kproducer.protocol.api import Api
from kproducer.protocol.messages.add_offsets_to_txn import ADD_OFFSETS_TO_TXN
from kproducer.protocol.messages.add_partitions_to_txn import ADD_PARTITIONS_TO_TXN
from kproducer.protocol.messages.end_txn import END_TXN
from kproducer.protocol.messages.init_producer_id import INIT_PRODUCER_ID
from kproducer.protocol.messages.txn_offset_commit import TXN_OFFSET_COMMIT

DONE, RETRY, FIND, ABORT, FATAL = Reaction
INIT, ADD, GROUP, OFFSETS, END = (
    INIT_PRODUCER_ID,
    ADD_PARTITIONS_TO_TXN,
    ADD_OFFSETS_TO_TXN,
    TXN_OFFSET_COMMIT,
    END_TXN,
)
APIS = (INIT, ADD, GROUP, OFFSETS, END)

# code: reaction to it in the answer to InitProducerId, AddPartitionsToTxn, AddOffsetsToTxn, TxnOffsetCommit, EndTxn
ROWS: dict[int, tuple[Reaction, Reaction, Reaction, Reaction, Reaction]] = {
    -1: (RETRY, ABORT, ABORT, ABORT, RETRY),
    0: (DONE, DONE, DONE, DONE, DONE),
    3: (FATAL, RETRY, ABORT, RETRY, FATAL),
    7: (FIND, FIND, FIND, FIND, FIND),
    8: (FIND, FIND, FIND, FIND, FIND),
    14: (RETRY, RETRY, RETRY, RETRY, RETRY),
    15: (FIND, FIND, FIND, FIND, FIND),
    16: (FIND, FIND, FIND, FIND, FIND),
    22: (FATAL, ABORT, ABORT, ABORT, FATAL),
    25: (FATAL, ABORT, ABORT, ABORT, FATAL),
    29: (FATAL, ABORT, ABORT, ABORT, FATAL),
    30: (FATAL, ABORT, ABORT, ABORT, FATAL),
    31: (FATAL, FATAL, FATAL, FATAL, FATAL),
    35: (FATAL, FATAL, FATAL, FATAL, FATAL),
    47: (FATAL, FATAL, FATAL, FATAL, FATAL),
    48: (FATAL, FATAL, FATAL, FATAL, FATAL),
    49: (FATAL, FATAL, FATAL, FATAL, FATAL),
    50: (FATAL, FATAL, FATAL, FATAL, FATAL),
    51: (RETRY, RETRY, RETRY, RETRY, RETRY),
    52: (FIND, FIND, FIND, FIND, FIND),
    53: (FATAL, FATAL, FATAL, FATAL, FATAL),
    55: (FATAL, RETRY, ABORT, ABORT, FATAL),
    82: (FATAL, ABORT, ABORT, ABORT, FATAL),
    89: (RETRY, RETRY, RETRY, RETRY, RETRY),
    90: (FATAL, FATAL, FATAL, FATAL, FATAL),
    105: (FATAL, FATAL, FATAL, FATAL, FATAL),
    120: (RETRY, ABORT, ABORT, ABORT, ABORT),
}
OTHERS = (FATAL, ABORT, ABORT, ABORT, FATAL)


@pytest.mark.parametrize("api", APIS, ids=lambda api: api.name)
@pytest.mark.parametrize("code", ROWS)
def test_row_of_the_table(code: int, api: Api[Any, Any]) -> None:
    assert reaction(api, code) is ROWS[code][APIS.index(api)]


@pytest.mark.parametrize("api", APIS, ids=lambda api: api.name)
def test_any_other_code_aborts_the_transaction_or_ends_the_producer_where_nothing_is_left_to_abort(
    api: Api[Any, Any],
) -> None:
    others = [code for code in (*ERROR_TABLE, 9999, -2) if code not in ROWS]
    assert {reaction(api, code) for code in others} == {OTHERS[APIS.index(api)]}


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        ([0, 0], (DONE, 0)),
        ([0, 51], (RETRY, 51)),
        ([51, 16], (FIND, 16)),
        ([16, 29, 3], (ABORT, 29)),
        ([29, 90, 0], (FATAL, 90)),
        ([55, 29, 55], (ABORT, 29)),  # the others were not tried because of this one
        ([55, 3], (RETRY, 55)),
    ],
)
def test_worst_code_of_an_answer_decides(codes: list[int], expected: tuple[Reaction, int]) -> None:
    assert worst(ADD, codes) == expected
