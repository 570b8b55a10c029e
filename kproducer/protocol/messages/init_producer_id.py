"""InitProducerId (22), versions 0 to 5: a producer id and its epoch (KIP-98, KIP-360)."""

from dataclasses import dataclass
from typing import Annotated, Final

from kproducer.protocol.api import Api
from kproducer.protocol.schema import INT16, INT32, INT64, STRING, Message, Versions, Wire


@dataclass(frozen=True, slots=True, kw_only=True)
class InitProducerIdRequest:
    """Asks for a producer id, or with one for the next epoch of it."""

    transactional_id: Annotated[str | None, Wire(STRING, "0+", nullable="0+")] = None
    transaction_timeout_ms: Annotated[int, Wire(INT32, "0+")] = 0
    # Both -1 or both set, else the broker answers INVALID_REQUEST.
    producer_id: Annotated[int, Wire(INT64, "3+")] = -1
    producer_epoch: Annotated[int, Wire(INT16, "3+")] = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class InitProducerIdResponse:
    """The producer id and epoch."""

    throttle_time_ms: Annotated[int, Wire(INT32, "0+", ignorable=True)] = 0
    error_code: Annotated[int, Wire(INT16, "0+")] = 0
    producer_id: Annotated[int, Wire(INT64, "0+")] = -1
    producer_epoch: Annotated[int, Wire(INT16, "0+")] = 0


# Version 6 belongs to KIP-939, which brokers 4.0 to 4.3 do not offer.
INIT_PRODUCER_ID: Final = Api(
    key=22,
    name="InitProducerId",
    request=Message(InitProducerIdRequest, Versions(0, 5), flexible_from=2),
    response=Message(InitProducerIdResponse, Versions(0, 5), flexible_from=2),
)
