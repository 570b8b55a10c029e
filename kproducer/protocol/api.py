"""One API of Kafka: its key, its versions, and how its requests and answers become frames."""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import Final, Generic, TypeVar

from kproducer.protocol.headers import (
    RequestHeader,
    read_response_header,
    write_request_header,
    write_response_header,
)
from kproducer.protocol.primitives import Reader, Writer
from kproducer.protocol.schema import Message, Versions

Request = TypeVar("Request")
Response = TypeVar("Response")

_SIZE: Final = Struct(">i")


@dataclass(frozen=True, slots=True)
class Api(Generic[Request, Response]):
    """A kind of request that we speak.

    Args:
        key: Kafka's number of the API.
        name: Kafka's name of the API.
        request, response: the two bodies; both describe the same versions.
    """

    key: int
    name: str
    request: Message[Request]
    response: Message[Response]

    @property
    def versions(self) -> Versions:
        """The versions that we can encode and decode."""
        return self.request.versions

    def encode_request(
        self, request: Request, version: int, *, correlation_id: int, client_id: str | None
    ) -> bytes:
        """Return a whole frame: size, header and body.

        Raises:
            ValueError: a value does not fit its type, or the version has no such field.
        """
        header = RequestHeader(
            api_key=self.key, api_version=version, correlation_id=correlation_id, client_id=client_id
        )
        writer = Writer()
        write_request_header(writer, header, is_flexible=self.request.is_flexible(version))
        self.request.write(writer, request, version)
        return _framed(writer)

    def decode_response(self, frame: bytes | memoryview, version: int) -> tuple[int, Response]:
        """Read an answer without its size; return correlation id and body.

        Raises:
            ProtocolError: the bytes are not such an answer.
        """
        reader = Reader(frame)
        correlation_id = self.read_response_header(reader, version)
        # What follows the body is ignored, as Java does: librdkafka's mock adds a byte to Metadata 9 and later.
        return correlation_id, self.response.read(reader, version)

    def read_response_header(self, reader: Reader, version: int) -> int:
        """Read the answer's header and return its correlation id; raises ProtocolError."""
        return read_response_header(reader, self.key, is_flexible=self.response.is_flexible(version))

    def encode_response(self, response: Response, version: int, *, correlation_id: int) -> bytes:
        """Return a whole frame as a broker would send it; raises ValueError as `encode_request` does."""
        writer = Writer()
        write_response_header(
            writer, self.key, correlation_id, is_flexible=self.response.is_flexible(version)
        )
        self.response.write(writer, response, version)
        return _framed(writer)


def _framed(writer: Writer) -> bytes:
    return _SIZE.pack(len(writer)) + writer.getvalue()
