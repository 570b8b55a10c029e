"""Values larger than a request: cut into chunks, or stored elsewhere and sent as a reference."""

from kproducer.large.chunks import AssembledRecord, ChunkAssembler, ChunkedFuture, ChunkingSender
from kproducer.large.claim_check import ClaimCheckSender, redeem
from kproducer.large.errors import LargeRecordError

__all__ = [
    "AssembledRecord",
    "ChunkAssembler",
    "ChunkedFuture",
    "ChunkingSender",
    "ClaimCheckSender",
    "LargeRecordError",
    "redeem",
]
