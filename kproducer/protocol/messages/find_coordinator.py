"""FindCoordinator (10), versions 1 to 5: who coordinates a group or a transactional id (KIP-98, KIP-699)."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated, Final

from kproducer.errors import ProtocolError
from kproducer.protocol.api import Api
from kproducer.protocol.schema import INT8, INT16, INT32, STRING, Array, Message, Struct, Versions, Wire


class CoordinatorType(IntEnum):
    """What a coordinator is asked for; the `key_type` of a request."""

    GROUP = 0
    TRANSACTION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class FindCoordinatorRequest:
    """Asks who coordinates a key; `coordinator_request` fills it for all versions."""

    # Kafka's schema lets neither form of the key be dropped; we set both, as the version is chosen later.
    key: Annotated[str, Wire(STRING, "0-3", ignorable=True)] = ""
    key_type: Annotated[int, Wire(INT8, "1+")] = CoordinatorType.GROUP
    coordinator_keys: Annotated[tuple[str, ...], Wire(Array(STRING), "4+", ignorable=True)] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Coordinator:
    """The coordinator of a key and its address, or why there is none."""

    key: Annotated[str, Wire(STRING, "4+")] = ""
    node_id: Annotated[int, Wire(INT32, "4+")] = 0
    host: Annotated[str, Wire(STRING, "4+")] = ""
    port: Annotated[int, Wire(INT32, "4+")] = 0
    error_code: Annotated[int, Wire(INT16, "4+")] = 0
    error_message: Annotated[str | None, Wire(STRING, "4+", nullable="4+", ignorable=True)] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FindCoordinatorResponse:
    """The coordinator in the answer itself, from version 4 in a list; `coordinator_of` reads both."""

    throttle_time_ms: Annotated[int, Wire(INT32, "1+", ignorable=True)] = 0
    error_code: Annotated[int, Wire(INT16, "0-3")] = 0
    error_message: Annotated[str | None, Wire(STRING, "1-3", nullable="1-3", ignorable=True)] = None
    node_id: Annotated[int, Wire(INT32, "0-3")] = 0
    host: Annotated[str, Wire(STRING, "0-3")] = ""
    port: Annotated[int, Wire(INT32, "0-3")] = 0
    coordinators: Annotated[tuple[Coordinator, ...], Wire(Array(Struct(Coordinator)), "4+")] = ()


# Version 0 has no key type, and version 6 adds only share groups.
FIND_COORDINATOR: Final = Api(
    key=10,
    name="FindCoordinator",
    request=Message(FindCoordinatorRequest, Versions(1, 5), flexible_from=3),
    response=Message(FindCoordinatorResponse, Versions(1, 5), flexible_from=3),
)


def coordinator_request(key: str, key_type: int) -> FindCoordinatorRequest:
    """Return the request for one key, fit for every version.

    Args:
        key: group id or transactional id.
        key_type: a `CoordinatorType`.
    """
    return FindCoordinatorRequest(key=key, key_type=key_type, coordinator_keys=(key,))


def coordinator_of(response: FindCoordinatorResponse) -> Coordinator:
    """Return the one coordinator of an answer to `coordinator_request`; `key` is empty before version 4.

    Raises:
        ProtocolError: the answer has neither an error nor an address, or speaks of several keys.
    """
    if len(response.coordinators) > 1:
        raise ProtocolError(f"FindCoordinator answered {len(response.coordinators)} keys, asked was 1")
    coordinator = response.coordinators[0] if response.coordinators else _in_the_answer_itself(response)
    # An empty list of version 4 looks like this too, and must not pass for broker 0.
    if not coordinator.error_code and not coordinator.host:
        raise ProtocolError("FindCoordinator answered neither an error nor a coordinator")
    return coordinator


def _in_the_answer_itself(response: FindCoordinatorResponse) -> Coordinator:
    return Coordinator(
        node_id=response.node_id,
        host=response.host,
        port=response.port,
        error_code=response.error_code,
        error_message=response.error_message,
    )
