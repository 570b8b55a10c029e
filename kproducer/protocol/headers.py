"""Headers in front of every request and answer (KIP-482)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from kproducer.protocol.primitives import Reader, Writer

API_VERSIONS_KEY: Final = 18


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestHeader:
    """What stands in front of a request; header version 2 if `is_flexible`, else 1."""

    api_key: int
    api_version: int
    correlation_id: int
    client_id: str | None = None


def write_request_header(writer: Writer, header: RequestHeader, *, is_flexible: bool) -> None:
    """Append a request header.

    Args:
        is_flexible: True if this version of the request is a flexible one.
    """
    writer.int16(header.api_key)
    writer.int16(header.api_version)
    writer.int32(header.correlation_id)
    # Never compact, so that a broker can read it before it knows the version.
    writer.nullable_string(header.client_id)
    if is_flexible:
        writer.tagged_fields([])


def read_request_header(reader: Reader, is_flexible: Callable[[int, int], bool]) -> RequestHeader:
    """Read a request header, as a broker does.

    Args:
        is_flexible: tells from api key and version whether a tag section follows.

    Raises:
        ProtocolError: the bytes are no header.
    """
    header = RequestHeader(
        api_key=reader.int16(),
        api_version=reader.int16(),
        correlation_id=reader.int32(),
        client_id=reader.nullable_string(),
    )
    if is_flexible(header.api_key, header.api_version):
        reader.tagged_fields(_skip)
    return header


def write_response_header(writer: Writer, api_key: int, correlation_id: int, *, is_flexible: bool) -> None:
    """Append an answer's header, as a broker does."""
    writer.int32(correlation_id)
    if _has_response_tags(api_key, is_flexible):
        writer.tagged_fields([])


def read_response_header(reader: Reader, api_key: int, *, is_flexible: bool) -> int:
    """Read an answer's header and return its correlation id.

    Raises:
        ProtocolError: the bytes are no header.
    """
    correlation_id = reader.int32()
    if _has_response_tags(api_key, is_flexible):
        reader.tagged_fields(_skip)
    return correlation_id


def _has_response_tags(api_key: int, is_flexible: bool) -> bool:
    # The answer to ApiVersions keeps header version 0: the client may not share a version yet (KIP-511).
    return is_flexible and api_key != API_VERSIONS_KEY


def _skip(tag: int, content: Reader) -> bool:
    return False
