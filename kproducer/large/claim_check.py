"""A large value kept elsewhere, with its reference in a header. The convention is in docs/large_records.md."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from kproducer import Headers, KafkaProducer, RecordFuture
from kproducer.headers import has_header, last_header
from kproducer.large.errors import LargeRecordError
from kproducer.large.values import as_bytes_view, checked_limit, refuse_own_header, refuse_value_serializer

CLAIM_REFERENCE: Final = "kproducer.claim.reference"
CLAIM_SIZE: Final = "kproducer.claim.size"
CLAIM_SHA256: Final = "kproducer.claim.sha256"

Store: TypeAlias = Callable[[str, memoryview], str]
Load: TypeAlias = Callable[[str], bytes]


class ClaimCheckSender:
    """Sends values of any size; those over `threshold_bytes` are stored and sent as a reference.

    The record of a stored value is empty, not null, so that no compacted topic takes it for a tombstone.

    Args:
        producer: any KafkaProducer without a value serializer.
        store: (topic, value) -> reference. Called by send() on its thread, before the record is sent; what it
            raises is raised by send(). The value is only valid during the call.
        threshold_bytes: of a value that is sent as it is, at most (default None: seven eighths of
            max.request.size).

    Raises:
        ValueError, TypeError: threshold_bytes is no size, or the producer serializes values.
    """

    def __init__(self, producer: KafkaProducer, store: Store, *, threshold_bytes: int | None = None) -> None:
        refuse_value_serializer(producer, "ClaimCheckSender")
        if not callable(store):
            raise TypeError(f"store must be callable, not {type(store).__name__}")
        self._producer = producer
        self._store = store
        self._threshold_bytes = checked_limit("threshold_bytes", threshold_bytes, producer.config)

    def send(
        self,
        topic: str,
        value: bytes | bytearray | memoryview | None,
        key: Any = None,
        headers: Headers | None = None,
        partition: int | None = None,
        timestamp_ms: int | None = None,
    ) -> RecordFuture:
        """Send a value; the arguments are those of KafkaProducer.send().

        If the record fails afterwards, what was stored stays there: let the store forget what is older than the
        topic's retention.
        """
        refuse_own_header(headers, CLAIM_REFERENCE)
        data = None if value is None else as_bytes_view(value)
        if data is None or data.nbytes <= self._threshold_bytes:
            return self._producer.send(topic, value, key, headers, partition, timestamp_ms)
        reference: object = self._store(topic, data)
        if not isinstance(reference, str) or not reference:
            raise TypeError(f"store returned {type(reference).__name__}: must be text that is not empty")
        claim = [
            (CLAIM_REFERENCE, reference.encode()),
            (CLAIM_SIZE, b"%d" % data.nbytes),
            (CLAIM_SHA256, hashlib.sha256(data).hexdigest().encode()),
        ]
        return self._producer.send(topic, b"", key, [*(headers or ()), *claim], partition, timestamp_ms)


def redeem(value: bytes | None, headers: Headers | None, load: Load) -> bytes | None:
    """Return the value of a consumed record, loaded if it has a reference, else as it is.

    Args:
        value, headers: of the record, as any consumer gives them.
        load: reference -> value; what it raises is raised here.

    Raises:
        LargeRecordError: what was loaded is not what was stored.
    """
    if not has_header(headers, CLAIM_REFERENCE):
        return value
    reference = (last_header(headers, CLAIM_REFERENCE) or b"").decode()
    loaded = load(reference)
    size, digest = last_header(headers, CLAIM_SIZE), last_header(headers, CLAIM_SHA256)
    if b"%d" % len(loaded) != size or hashlib.sha256(loaded).hexdigest().encode() != digest:
        raise LargeRecordError(
            f"{reference!r} holds {len(loaded)} bytes that are not the value that was sent"
        )
    return loaded
