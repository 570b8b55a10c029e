from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol, TypeAlias

from kproducer._core.completion import RecordFuture, SendManyResult
from kproducer._core.pump import Pump
from kproducer.errors import KafkaError
from kproducer.interfaces import Column
from kproducer.types import Headers, ProducerRecord, RecordMetadata

_OnDelivery: TypeAlias = Callable[[RecordMetadata | None, KafkaError | None], object]

def check_topic(name: object) -> str:
    """Return a legal topic name as an exact str; raise TypeError or InvalidTopicError."""

class _Interceptors(Protocol):
    """What the appender asks of an InterceptorChain."""

    def on_send(self, record: ProducerRecord) -> ProducerRecord: ...
    def on_send_error(self, record: ProducerRecord, error: BaseException) -> None: ...
    def listener(self, record: ProducerRecord, on_delivery: _OnDelivery | None) -> _OnDelivery: ...

class TopicHandle: ...

class RecordAppender:
    def _set_up(
        self,
        pump: Pump,
        max_block_ms: int,
        prepare: Callable[[str, Any, Any, Any, int | None, int], tuple[object, object, int | None]] | None,
        explain_topic: Callable[[str], KafkaError | str | None],
        explain_buffer: Callable[[], str],
        *,
        raises_when_full: bool = False,
        interceptors: _Interceptors | None = None,
        has_serializer: bool = False,
    ) -> None: ...
    def send(
        self,
        topic: str | ProducerRecord,
        value: Any = None,
        key: Any = None,
        headers: Headers | Mapping[str, bytes | None] | None = None,
        partition: int | None = None,
        timestamp_ms: int | None = None,
        on_delivery: Callable[[RecordMetadata | None, KafkaError | None], object] | None = None,
    ) -> RecordFuture: ...
    def produce(
        self,
        topic: str | ProducerRecord,
        value: Any = None,
        key: Any = None,
        headers: Headers | Mapping[str, bytes | None] | None = None,
        partition: int | None = None,
        timestamp_ms: int | None = None,
        on_delivery: Callable[[RecordMetadata | None, KafkaError | None], object] | None = None,
    ) -> None: ...
    def send_lines(
        self,
        topic: str,
        data: bytes | bytearray | memoryview,
        headers: Headers | Mapping[str, bytes | None] | None = None,
        partition: int | None = None,
        timestamp_ms: int | None = None,
    ) -> SendManyResult: ...
    def send_many(
        self,
        topic: str,
        values: Iterable[Any] | Column,
        keys: Iterable[Any] | Column | None = None,
        headers: Headers | Mapping[str, bytes | None] | None = None,
        partition: int | None = None,
        timestamp_ms: int | None = None,
    ) -> SendManyResult: ...
    def send_columns(
        self,
        topic: str,
        values: Column,
        keys: Column | None = None,
        headers: Headers | Mapping[str, bytes | None] | Column | None = None,
        partitions: int | Column | None = None,
        timestamps_ms: int | Column | None = None,
    ) -> SendManyResult: ...

def send(
    self: RecordAppender,
    topic: str | ProducerRecord,
    value: Any = None,
    key: Any = None,
    headers: Headers | Mapping[str, bytes | None] | None = None,
    partition: int | None = None,
    timestamp_ms: int | None = None,
    on_delivery: _OnDelivery | None = None,
) -> RecordFuture:
    """What RecordAppender.send() hands on: a call that is not the usual one. Its name is in the texts of TypeErrors."""

def produce(
    self: RecordAppender,
    topic: str | ProducerRecord,
    value: Any = None,
    key: Any = None,
    headers: Headers | Mapping[str, bytes | None] | None = None,
    partition: int | None = None,
    timestamp_ms: int | None = None,
    on_delivery: _OnDelivery | None = None,
) -> None:
    """What RecordAppender.produce() hands on."""

class LetterAppender(RecordAppender):
    """Appends dead letters to their topic, also while the producer closes: a close waits for them."""

    def open(
        self,
        pump: Pump,
        topic: str,
        max_block_ms: int,
        explain_topic: Callable[[str], KafkaError | str | None],
        explain_buffer: Callable[[], str],
    ) -> None:
        """Wire the appender; failures of the topic's records make no dead letters from now on."""
    def want(self) -> None:
        """Ask for the topic's metadata, so that the first letter need not wait for it."""
    def put(
        self,
        value: bytes | None,
        key: bytes | None,
        headers: Headers | None,
        on_delivery: Callable[[RecordMetadata | None, KafkaError | None], object],
    ) -> None:
        """Append one letter, waiting up to max_block_ms for metadata and memory."""
