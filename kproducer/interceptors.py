"""The chain of interceptors and its rules: order, what an exception does, what a refused record is told.

Owns no thread: `on_send` runs where the record is sent, `on_acknowledgement` on the delivery thread.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, TypeAlias

from kproducer.errors import ConfigError, KafkaError
from kproducer.interfaces import Interceptor
from kproducer.types import Headers, ProducerRecord, RecordMetadata

logger = logging.getLogger(__name__)

OnDelivery: TypeAlias = Callable[[RecordMetadata | None, KafkaError | None], object]

_CALLS: Final = ("on_send", "on_acknowledgement", "close")
_UNKNOWN_PARTITION: Final = -1  # Java's RecordMetadata.UNKNOWN_PARTITION


class InterceptorChain:
    """The interceptors of one producer, asked in the order in which they were given (KIP-42).

    An interceptor that raises is logged, and the next one gets what the one before it returned. Any thread.

    Args:
        interceptors: objects with on_send, on_acknowledgement and close; at least one.

    Raises:
        ConfigError: one of them lacks a function, is a class, or is there twice.
    """

    def __init__(self, interceptors: Sequence[Interceptor]) -> None:
        self._interceptors = tuple(interceptors)
        for interceptor in self._interceptors:
            _check_interceptor(interceptor)
        if len({id(interceptor) for interceptor in self._interceptors}) != len(self._interceptors):
            raise ConfigError("interceptor.classes names the same interceptor twice; allowed is once")

    def on_send(self, record: ProducerRecord) -> ProducerRecord:
        """Return what the interceptors make of a record; its headers become a tuple of pairs."""
        record = record._replace(headers=_as_pairs(record.headers))
        for interceptor in self._interceptors:
            try:
                record = _checked_record(interceptor.on_send(record))
            except Exception:
                logger.exception(
                    "interceptor %s failed in on_send for topic %s", _name(interceptor), record.topic
                )
        return record

    def on_acknowledgement(self, metadata: RecordMetadata, error: Exception | None, headers: Headers) -> None:
        """Tell every interceptor the outcome of a record."""
        for interceptor in self._interceptors:
            try:
                interceptor.on_acknowledgement(metadata, error, headers)
            except Exception:
                logger.exception(
                    "interceptor %s failed in on_acknowledgement for topic %s",
                    _name(interceptor),
                    metadata.topic,
                )

    def on_send_error(self, record: ProducerRecord, error: BaseException) -> None:
        """Tell every interceptor that a record failed before it was accepted; a wait may have been interrupted."""
        told = error if isinstance(error, Exception) else _interrupted(record, error)
        self.on_acknowledgement(_failed_metadata(record, told), told, _sent_headers(record))

    def listener(self, record: ProducerRecord, on_delivery: OnDelivery | None) -> OnDelivery:
        """Return the delivery callback of an intercepted record, which calls the user's own afterwards."""
        return _Acknowledgement(self, record, on_delivery)

    def close(self) -> None:
        """Close every interceptor, in order."""
        for interceptor in self._interceptors:
            try:
                interceptor.close()
            except Exception:
                logger.exception("interceptor %s failed in close", _name(interceptor))


class _Acknowledgement:
    """Hears of one record's outcome: the interceptors first, as in Java, then the user's callback."""

    __slots__ = ("_chain", "_on_delivery", "_record")

    def __init__(
        self, chain: InterceptorChain, record: ProducerRecord, on_delivery: OnDelivery | None
    ) -> None:
        self._chain = chain
        self._record = record._replace(
            key=None, value=None
        )  # what was sent need not be kept until it arrives
        self._on_delivery = on_delivery

    def __call__(self, metadata: RecordMetadata | None, error: KafkaError | None) -> None:
        try:
            told = _failed_metadata(self._record, error) if metadata is None else metadata
            self._chain.on_acknowledgement(told, error, _sent_headers(self._record))
        finally:  # an interceptor that ends its thread must not take the user's callback with it
            if self._on_delivery is not None:
                self._on_delivery(metadata, error)


def _check_interceptor(interceptor: object) -> None:
    if isinstance(interceptor, type):
        raise ConfigError(
            f"interceptor.classes has the class {interceptor.__name__}; allowed is an instance of it"
        )
    missing = [call for call in _CALLS if not callable(getattr(interceptor, call, None))]
    if missing:
        raise ConfigError(
            f"interceptor.classes: {_name(interceptor)} has no {' and no '.join(missing)}; "
            f"allowed are subclasses of Interceptor and objects with {', '.join(_CALLS)}"
        )


def _checked_record(record: object) -> ProducerRecord:
    if not isinstance(record, ProducerRecord):
        raise TypeError(f"on_send returned {type(record).__name__}: must be a ProducerRecord")
    return record._replace(headers=_as_pairs(record.headers))


def _as_pairs(headers: object) -> Headers:
    """Return headers that can be read more than once; what is no headers at all is left for send() to refuse."""
    if headers is None:
        return ()
    if isinstance(headers, Mapping):
        return tuple(headers.items())
    if isinstance(headers, str | bytes | tuple) or not isinstance(headers, Iterable):
        return headers  # type: ignore[return-value]
    return tuple(headers)


def _sent_headers(record: ProducerRecord) -> Headers:
    return record.headers if isinstance(record.headers, tuple) else ()


def _interrupted(record: ProducerRecord, cause: BaseException) -> KafkaError:
    """What on_acknowledgement is told of Ctrl-C in a wait, as Java tells of an InterruptException."""
    error = KafkaError(
        f"interrupted by {type(cause).__name__} before the record was accepted",
        topic=record.topic,
        persisted="no",
    )
    error.__cause__ = cause
    return error


def _failed_metadata(record: ProducerRecord, error: Exception | None) -> RecordMetadata:
    """Topic and, if it was known, partition of a record that failed."""
    partition = getattr(error, "partition", None)
    if partition is None:
        partition = record.partition
    return RecordMetadata(record.topic, _UNKNOWN_PARTITION if partition is None else partition)


def _name(interceptor: object) -> str:
    return type(interceptor).__name__
