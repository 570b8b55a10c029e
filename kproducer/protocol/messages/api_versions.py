"""ApiVersions (18), versions 0 to 4: what a broker speaks (KIP-35, KIP-511, KIP-584)."""

from dataclasses import dataclass
from typing import Annotated, Final

from kproducer.protocol.api import Api
from kproducer.protocol.schema import (
    BOOLEAN,
    INT16,
    INT32,
    INT64,
    STRING,
    Array,
    Message,
    Struct,
    Versions,
    Wire,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiVersionsRequest:
    """Asks a broker what it speaks, and tells it who we are."""

    client_software_name: Annotated[str, Wire(STRING, "3+", ignorable=True)] = ""
    client_software_version: Annotated[str, Wire(STRING, "3+", ignorable=True)] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiVersion:
    """The versions of one API."""

    api_key: Annotated[int, Wire(INT16, "0+")] = 0
    min_version: Annotated[int, Wire(INT16, "0+")] = 0
    max_version: Annotated[int, Wire(INT16, "0+")] = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SupportedFeatureKey:
    """The versions of a feature that the broker supports."""

    name: Annotated[str, Wire(STRING, "3+")] = ""
    min_version: Annotated[int, Wire(INT16, "3+")] = 0
    max_version: Annotated[int, Wire(INT16, "3+")] = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class FinalizedFeatureKey:
    """The level of a feature that the cluster has agreed on."""

    name: Annotated[str, Wire(STRING, "3+")] = ""
    max_version_level: Annotated[int, Wire(INT16, "3+")] = 0
    min_version_level: Annotated[int, Wire(INT16, "3+")] = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiVersionsResponse:
    """What the broker speaks; valid finalized features have an epoch of 0 or more."""

    error_code: Annotated[int, Wire(INT16, "0+")] = 0
    api_keys: Annotated[tuple[ApiVersion, ...], Wire(Array(Struct(ApiVersion)), "0+")] = ()
    throttle_time_ms: Annotated[int, Wire(INT32, "1+", ignorable=True)] = 0
    supported_features: Annotated[
        tuple[SupportedFeatureKey, ...],
        Wire(Array(Struct(SupportedFeatureKey)), "3+", tag=0, ignorable=True),
    ] = ()
    finalized_features_epoch: Annotated[int, Wire(INT64, "3+", tag=1, ignorable=True)] = -1
    finalized_features: Annotated[
        tuple[FinalizedFeatureKey, ...],
        Wire(Array(Struct(FinalizedFeatureKey)), "3+", tag=2, ignorable=True),
    ] = ()
    zk_migration_ready: Annotated[bool, Wire(BOOLEAN, "3+", tag=3, ignorable=True)] = False


API_VERSIONS: Final = Api(
    key=18,
    name="ApiVersions",
    request=Message(ApiVersionsRequest, Versions(0, 4), flexible_from=3),
    response=Message(ApiVersionsResponse, Versions(0, 4), flexible_from=3),
)
