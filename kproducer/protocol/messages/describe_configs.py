"""DescribeConfigs (32), versions 1 to 4: the settings of topics and brokers as the brokers apply them (KIP-133)."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated, Final

from kproducer.protocol.api import Api
from kproducer.protocol.schema import (
    BOOLEAN,
    INT8,
    INT16,
    INT32,
    STRING,
    Array,
    Message,
    Struct,
    Versions,
    Wire,
)


class ConfigResourceType(IntEnum):
    """What has settings; the `resource_type` of a request."""

    TOPIC = 2
    BROKER = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class DescribeConfigsResource:
    """A topic, or a broker by its id as text, and the settings that are asked for; None means all."""

    resource_type: Annotated[int, Wire(INT8, "0+")] = 0
    resource_name: Annotated[str, Wire(STRING, "0+")] = ""
    configuration_keys: Annotated[tuple[str, ...] | None, Wire(Array(STRING), "0+", nullable="0+")] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DescribeConfigsRequest:
    """Asks for settings; those of a broker must be asked of that broker."""

    resources: Annotated[
        tuple[DescribeConfigsResource, ...], Wire(Array(Struct(DescribeConfigsResource)), "0+")
    ] = ()
    include_synonyms: Annotated[bool, Wire(BOOLEAN, "1+")] = False
    include_documentation: Annotated[bool, Wire(BOOLEAN, "3+")] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DescribeConfigsSynonym:
    """Another place that a setting could come from."""

    name: Annotated[str, Wire(STRING, "1+")] = ""
    value: Annotated[str | None, Wire(STRING, "1+", nullable="0+")] = None
    source: Annotated[int, Wire(INT8, "1+")] = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DescribeConfigsResourceResult:
    """A setting and where it comes from; a sensitive one has no value."""

    name: Annotated[str, Wire(STRING, "0+")] = ""
    value: Annotated[str | None, Wire(STRING, "0+", nullable="0+")] = None
    read_only: Annotated[bool, Wire(BOOLEAN, "0+")] = False
    config_source: Annotated[int, Wire(INT8, "1+", ignorable=True)] = -1
    is_sensitive: Annotated[bool, Wire(BOOLEAN, "0+")] = False
    synonyms: Annotated[
        tuple[DescribeConfigsSynonym, ...], Wire(Array(Struct(DescribeConfigsSynonym)), "1+", ignorable=True)
    ] = ()
    config_type: Annotated[int, Wire(INT8, "3+", ignorable=True)] = 0
    documentation: Annotated[str | None, Wire(STRING, "3+", nullable="0+", ignorable=True)] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DescribeConfigsResult:
    """The settings of one resource, or why they cannot be told."""

    error_code: Annotated[int, Wire(INT16, "0+")] = 0
    error_message: Annotated[str | None, Wire(STRING, "0+", nullable="0+")] = None
    resource_type: Annotated[int, Wire(INT8, "0+")] = 0
    resource_name: Annotated[str, Wire(STRING, "0+")] = ""
    configs: Annotated[
        tuple[DescribeConfigsResourceResult, ...], Wire(Array(Struct(DescribeConfigsResourceResult)), "0+")
    ] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DescribeConfigsResponse:
    """One result for each resource."""

    throttle_time_ms: Annotated[int, Wire(INT32, "0+")] = 0
    results: Annotated[
        tuple[DescribeConfigsResult, ...], Wire(Array(Struct(DescribeConfigsResult)), "0+")
    ] = ()


# Version 0 says in another field whether a setting is the default, and brokers 4.x have dropped it.
DESCRIBE_CONFIGS: Final = Api(
    key=32,
    name="DescribeConfigs",
    request=Message(DescribeConfigsRequest, Versions(1, 4), flexible_from=4),
    response=Message(DescribeConfigsResponse, Versions(1, 4), flexible_from=4),
)
