"""EndTxn (26), versions 0 to 5: commits or aborts a transaction (KIP-98, KIP-890)."""

from dataclasses import dataclass
from typing import Annotated, Final

from kproducer.protocol.api import Api
from kproducer.protocol.schema import BOOLEAN, INT16, INT32, INT64, STRING, Message, Versions, Wire

# Version 5 raises the epoch with each transaction, which only transaction protocol 2 does (KIP-890). Brokers
# 4.x advertise it at transaction.version 0 and 1 too.
END_TXN_TV1_CAP: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class EndTxnRequest:
    """Commits the transaction, or aborts it."""

    transactional_id: Annotated[str, Wire(STRING, "0+")] = ""
    producer_id: Annotated[int, Wire(INT64, "0+")] = 0
    producer_epoch: Annotated[int, Wire(INT16, "0+")] = 0
    committed: Annotated[bool, Wire(BOOLEAN, "0+")] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class EndTxnResponse:
    """Whether it ended, and from version 5 the producer id and epoch of the next transaction."""

    throttle_time_ms: Annotated[int, Wire(INT32, "0+", ignorable=True)] = 0
    error_code: Annotated[int, Wire(INT16, "0+")] = 0
    producer_id: Annotated[int, Wire(INT64, "5+", ignorable=True)] = -1
    producer_epoch: Annotated[int, Wire(INT16, "5+", ignorable=True)] = -1


END_TXN: Final = Api(
    key=26,
    name="EndTxn",
    request=Message(EndTxnRequest, Versions(0, 5), flexible_from=3),
    response=Message(EndTxnResponse, Versions(0, 5), flexible_from=3),
)
