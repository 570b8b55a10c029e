"""AddOffsetsToTxn (25), versions 0 to 4: a group whose offsets a transaction is about to commit (KIP-98)."""

from dataclasses import dataclass
from typing import Annotated, Final

from kproducer.protocol.api import Api
from kproducer.protocol.schema import INT16, INT32, INT64, STRING, Message, Versions, Wire


@dataclass(frozen=True, slots=True, kw_only=True)
class AddOffsetsToTxnRequest:
    """Adds a group's partition of __consumer_offsets to the transaction."""

    transactional_id: Annotated[str, Wire(STRING, "0+")] = ""
    producer_id: Annotated[int, Wire(INT64, "0+")] = 0
    producer_epoch: Annotated[int, Wire(INT16, "0+")] = 0
    group_id: Annotated[str, Wire(STRING, "0+")] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AddOffsetsToTxnResponse:
    """Whether the group was added."""

    throttle_time_ms: Annotated[int, Wire(INT32, "0+", ignorable=True)] = 0
    error_code: Annotated[int, Wire(INT16, "0+")] = 0


# Transaction protocol 2 does without this API: TxnOffsetCommit version 5 adds the group (KIP-890).
ADD_OFFSETS_TO_TXN: Final = Api(
    key=25,
    name="AddOffsetsToTxn",
    request=Message(AddOffsetsToTxnRequest, Versions(0, 4), flexible_from=3),
    response=Message(AddOffsetsToTxnResponse, Versions(0, 4), flexible_from=3),
)
