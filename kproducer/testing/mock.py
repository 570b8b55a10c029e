"""MockProducer: a producer for unit tests without a broker, a thread or a wait, after Java's class of this name."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Final, cast

from kproducer import (
    Column,
    ConsumerGroupMetadata,
    IllegalStateError,
    KafkaError,
    KafkaProducer,
    Metrics,
    OffsetAndMetadata,
    PartitionInfo,
    ProducerClosedError,
    ProducerConfig,
    ProducerRecord,
    SendManyResult,
    SerializationError,
    TopicPartition,
    is_column,
    parse_config,
    read_columns,
)
from kproducer.interceptors import InterceptorChain
from kproducer.testing.mock_arguments import (
    Headers,
    as_block,
    as_record,
    check_callback,
    check_group,
    check_offsets,
    check_record,
    check_timeout,
    check_topic,
    check_values,
    lines_of,
)
from kproducer.testing.mock_log import MockLog
from kproducer.testing.mock_metrics import MockMetrics
from kproducer.testing.mock_partitions import MockPartitions, Partitions
from kproducer.testing.mock_results import (
    Delivery,
    Ledger,
    MockRecordFuture,
    MockSendManyResult,
    OnDelivery,
)
from kproducer.testing.mock_transaction import GroupOffsets, MockTransaction, State

logger = logging.getLogger(__name__)

_numbers = itertools.count(1)
_NO_OFFSET: Final = -1
_NOBODY: Final = "127.0.0.1:9092"  # never dialled


class MockProducer(KafkaProducer):
    """A KafkaProducer whose records go nowhere, for tests of the code that sends them.

    It checks arguments and raises as KafkaProducer does, calls interceptors, serializers, partitioner and callbacks,
    and keeps what was sent in `history`. With `auto_complete=False` the test decides when each record is
    acknowledged (`complete_next`) or failed (`error_next`), in the order in which they were sent. Callbacks run on
    the thread that brings the outcome. It never waits: a topic or partition that is not there is a
    KafkaTimeoutError at once.

    Args:
        config: as of KafkaProducer, and checked like it; `bootstrap.servers` may be missing.
        auto_complete: whether each record is acknowledged as soon as it is sent, default True.
        partitions: by topic, how many partitions or their PartitionInfo; default None: every topic has one. Records
            with a key go where `partitioner` puts them, others take partitions in turn.
        **overrides: as of KafkaProducer.

    Attributes:
        init_transactions_exception, begin_transaction_exception, send_offsets_to_transaction_exception,
        commit_transaction_exception, abort_transaction_exception, send_exception, flush_exception,
        partitions_for_exception, close_exception: what the call raises from now on, None (the default) to let it
            pass. `send_exception` holds for `send`, `produce`, `send_many`, `send_columns` and `send_lines`.

    Raises:
        ConfigError, UnsupportedConfigError: as KafkaProducer does.
        ValueError: `partitions` names no partition of a topic, or leaves out a number.
    """

    def __init__(
        self,
        config: Mapping[str, object] | None = None,
        /,
        *,
        auto_complete: bool = True,
        partitions: Partitions | None = None,
        **overrides: object,
    ) -> None:
        self._settings = _parsed(config, overrides)
        classes = self._settings.interceptor_classes
        self._chain = InterceptorChain(classes) if classes else None
        self._name = self._settings.client_id or f"mock-producer-{next(_numbers)}"
        self._auto_complete = auto_complete
        ignores_keys = self._settings.partitioner_ignore_keys
        self._partitions = MockPartitions(partitions, None if ignores_keys else self._settings.partitioner)
        self._ledger = Ledger()
        self._lock = self._ledger.lock
        self._txn = MockTransaction(self._settings.transactional_id)
        self._metrics = MockMetrics(has_partitions=self._settings.metrics_recording_level != "INFO")
        self._log = MockLog(self._settings, self._partitions, self._txn, self._ledger, self._metrics)
        self._offsets_history: list[GroupOffsets] = []
        self._is_closed = False
        self.init_transactions_exception: BaseException | None = None
        self.begin_transaction_exception: BaseException | None = None
        self.send_offsets_to_transaction_exception: BaseException | None = None
        self.commit_transaction_exception: BaseException | None = None
        self.abort_transaction_exception: BaseException | None = None
        self.send_exception: BaseException | None = None
        self.flush_exception: BaseException | None = None
        self.partitions_for_exception: BaseException | None = None
        self.close_exception: BaseException | None = None

    # --- what the test asks and says ---------------------------------------------------------------------

    @property
    def history(self) -> list[ProducerRecord]:
        """The records that were sent, in order, as they were given; those of a transaction once it is committed.

        With interceptors: as those made them. Bytes-like keys and values are copied to bytes; what goes through a
        serializer is the object itself.
        """
        with self._lock:
            return list(self._log.history)

    @property
    def uncommitted_records(self) -> list[ProducerRecord]:
        """The records of the open transaction."""
        with self._lock:
            return list(self._txn.records)

    @property
    def uncommitted_offsets(self) -> GroupOffsets:
        """The positions that the open transaction would commit, by group."""
        with self._lock:
            return {group: dict(positions) for group, positions in self._txn.offsets.items()}

    @property
    def consumer_group_offsets_history(self) -> list[GroupOffsets]:
        """The positions by group of each committed transaction that had any."""
        with self._lock:
            return list(self._offsets_history)

    @property
    def commit_count(self) -> int:
        """How many transactions were committed."""
        return self._txn.commits

    @property
    def transaction_initialized(self) -> bool:
        """Whether `init_transactions()` was called."""
        return self._txn.state is not State.UNINITIALIZED

    @property
    def transaction_in_flight(self) -> bool:
        """Whether a transaction is open."""
        return self._txn.is_open

    @property
    def transaction_committed(self) -> bool:
        """Whether the last transaction that ended was committed, and none has begun since."""
        return self._txn.was_committed

    @property
    def transaction_aborted(self) -> bool:
        """Whether the last transaction that ended was aborted, and none has begun since."""
        return self._txn.was_aborted

    @property
    def sent_offsets(self) -> bool:
        """Whether offsets were sent in the transaction that began last."""
        return self._txn.has_sent_offsets

    @property
    def flushed(self) -> bool:
        """Whether every record has its outcome."""
        return not self._log.pending

    @property
    def closed(self) -> bool:
        """Whether `close()` was called."""
        return self._is_closed

    @property
    def fenced(self) -> bool:
        """Whether `fence_producer()` was called."""
        return self._txn.is_fenced

    def complete_next(self) -> bool:
        """Acknowledge the record that waits longest and run its callbacks; False if none waits."""
        return self._settle_next(None)

    def error_next(self, error: KafkaError) -> bool:
        """Fail the record that waits longest and run its callbacks; False if none waits.

        In a transaction the failure means that it can only be aborted, as with KafkaProducer.

        Args:
            error: what the future and the callbacks get.

        Raises:
            TypeError: no KafkaError, and KafkaProducer tells of no others.
        """
        if not isinstance(error, KafkaError):
            raise TypeError(f"error must be KafkaError, not {type(error).__name__}")
        return self._settle_next(error)

    def fence_producer(self) -> None:
        """Let another producer of the same `transactional.id` take over: all but `close()` raises ProducerFencedError.

        Raises:
            IllegalStateError: `init_transactions()` has not been called.
            ProducerClosedError: the producer is closed.
            ProducerFencedError: it was called before.
        """
        with self._lock:
            self._require_alive()
            if self._txn.state is State.UNINITIALIZED:
                raise IllegalStateError("fence_producer() before init_transactions()")
            error = self._txn.fence()
            self._log.settle_all(error)
        self._ledger.run_callbacks()

    def set_metric(self, name: str, value: float, group: str = "producer-metrics") -> None:
        """Have `metrics()` return this value under this name of a group, also of one with a tag."""
        with self._lock:
            self._metrics.set(group, name, value)

    def clear(self) -> None:
        """Forget all records and offsets, also those that wait for their outcome, which they never get."""
        with self._lock:
            self._log.pending.clear()
            self._log.history.clear()
            self._offsets_history.clear()
            self._txn.forget()
            self._txn.has_sent_offsets = False
            self._ledger.take_unobserved()

    # --- KafkaProducer: sending --------------------------------------------------------------------------

    def send(
        self,
        topic: str | ProducerRecord,
        value: Any = None,
        key: Any = None,
        headers: Headers | None = None,
        partition: int | None = None,
        timestamp_ms: int | None = None,
        on_delivery: OnDelivery | None = None,
    ) -> MockRecordFuture:
        """Take a record and return the future of its outcome. See KafkaProducer."""
        record = as_record(topic, value, key, headers, partition, timestamp_ms)
        delivery = self._take(record, on_delivery, is_watched=True)
        return MockRecordFuture(delivery, is_asked=on_delivery is not None)

    def produce(
        self,
        topic: str | ProducerRecord,
        value: Any = None,
        key: Any = None,
        headers: Headers | None = None,
        partition: int | None = None,
        timestamp_ms: int | None = None,
        on_delivery: OnDelivery | None = None,
    ) -> None:
        """Take a record; failures without on_delivery are raised by the next flush(). See KafkaProducer."""
        record = as_record(topic, value, key, headers, partition, timestamp_ms)
        self._take(record, on_delivery, is_watched=on_delivery is not None)

    def send_many(
        self,
        topic: str,
        values: Iterable[Any] | Column,
        keys: Iterable[Any] | Column | None = None,
        headers: Headers | None = None,
        partition: int | None = None,
        timestamp_ms: int | None = None,
    ) -> MockSendManyResult:
        """Take many records and return one result. See KafkaProducer."""
        has_serializer = self._settings.key_serializer or self._settings.value_serializer
        if not has_serializer and is_column(values) and (keys is None or is_column(keys)):
            return self.send_columns(topic, values, keys, headers, partition, timestamp_ms)
        check_values(values)
        result = MockSendManyResult()
        end = object()
        key = None
        with _telling_accepted("send_many", result):
            key_iterator = None if keys is None else iter(cast("Iterable[Any]", keys))
            for value in cast("Iterable[Any]", values):
                if key_iterator is not None and (key := next(key_iterator, end)) is end:
                    raise ValueError("keys has fewer items than values")
                record = as_record(topic, value, key, headers, partition, timestamp_ms)
                result.note(self._take(record, None, is_watched=True))
            if key_iterator is not None and next(key_iterator, end) is not end:
                raise ValueError("keys has more items than values")
        return result

    def send_columns(
        self,
        topic: str,
        values: Column,
        keys: Column | None = None,
        headers: Headers | Column | None = None,
        partitions: int | Column | None = None,
        timestamps_ms: int | Column | None = None,
    ) -> MockSendManyResult:
        """Take a record for each row of columns and return one result. See KafkaProducer."""
        self._require_alive()
        name = check_topic(topic)
        rows = read_columns(name, values, keys, headers, partitions, timestamps_ms)
        with _telling_accepted("send_columns", result := MockSendManyResult()):
            for row in rows:
                result.note(self._take(as_record(*row), None, is_watched=True))
        return result

    def send_lines(
        self,
        topic: str,
        data: bytes | bytearray | memoryview,
        headers: Headers | None = None,
        partition: int | None = None,
        timestamp_ms: int | None = None,
    ) -> MockSendManyResult:
        """Take each line of a bytes-like block and return one result. See KafkaProducer."""
        self._require_alive()
        if self._log.has_steps or self._chain is not None:
            return self.send_many(topic, lines_of(bytes(data)), None, headers, partition, timestamp_ms)
        block = as_block(data)
        with _telling_accepted("send_lines", result := MockSendManyResult()):
            name = check_topic(topic)
            same = check_record(None, None, headers, partition, timestamp_ms)  # before the first line
            for line in lines_of(block):
                record = ProducerRecord(name, line, None, same.headers, same.partition, same.timestamp_ms)
                result.note(self._take(record, None, is_watched=True))
        return result

    def flush(self, timeout: float | None = None) -> None:
        """Acknowledge what waits and run the callbacks; then raise what failed unobserved. See KafkaProducer."""
        check_timeout(timeout)
        if self._ledger.is_in_callback:
            raise IllegalStateError("flush() from a delivery callback would wait for itself")
        _raise_if_set(self.flush_exception)
        self._log.settle_all(None)
        self._ledger.run_callbacks()
        self._ledger.raise_unobserved()

    def close(self, timeout: float | None = None) -> None:
        """Abort an open transaction, acknowledge what waits, and take no more records. See KafkaProducer.

        Args:
            timeout: 0 fails what waits with ProducerClosedError, as the real one does with what is left.
        """
        seconds = check_timeout(timeout)
        self._refuse_callback("close")
        with self._lock:
            if self._is_closed:
                return
            _raise_if_set(self.close_exception)
            self._is_closed = True
            if self._txn.is_open and not self._txn.is_fenced:
                self._log.abort()
            self._log.settle_all(_closed_early() if seconds == 0 else None)
        self._ledger.run_callbacks()
        if self._chain is not None:
            self._chain.close()
        self._log.close()
        self._ledger.raise_unobserved()

    # --- KafkaProducer: transactions ---------------------------------------------------------------------

    def init_transactions(self, timeout: float | None = None) -> None:
        """Get a producer id. See KafkaProducer."""
        with self._in_transaction_call("init_transactions", timeout):
            if not self.transaction_initialized:
                _raise_if_set(self.init_transactions_exception)
            self._txn.init()

    def begin_transaction(self) -> None:
        """Begin a transaction. See KafkaProducer."""
        with self._in_transaction_call("begin_transaction", None):
            self._txn.require_ready()
            _raise_if_set(self.begin_transaction_exception)
            self._txn.begin()

    def send_offsets_to_transaction(
        self,
        offsets: Mapping[TopicPartition, OffsetAndMetadata | int],
        group_metadata: ConsumerGroupMetadata | str,
        timeout: float | None = None,
    ) -> None:
        """Add a consumer group's positions to the transaction. See KafkaProducer."""
        positions, group = check_offsets(offsets), check_group(group_metadata)
        with self._in_transaction_call("send_offsets_to_transaction", timeout):
            self._txn.require_open("send_offsets_to_transaction")
            _raise_if_set(self.send_offsets_to_transaction_exception)
            self._txn.add_offsets(positions, group)

    def commit_transaction(self, timeout: float | None = None) -> None:
        """Acknowledge what waits and move the transaction's records into the history. See KafkaProducer."""
        with self._in_transaction_call("commit_transaction", timeout):
            self._txn.require_open("commit_transaction")
            _raise_if_set(self.commit_transaction_exception)
            self._log.settle_all(None)
            records, offsets = self._txn.end(is_commit=True)
            self._log.history += records
            if offsets:
                self._offsets_history.append(offsets)
        self._ledger.run_callbacks()

    def abort_transaction(self, timeout: float | None = None) -> None:
        """Drop the transaction's records; those that wait fail with TransactionAbortedError. See KafkaProducer."""
        with self._in_transaction_call("abort_transaction", timeout):
            self._txn.require_abortable()
            _raise_if_set(self.abort_transaction_exception)
            self._log.abort()
        self._ledger.run_callbacks()

    # --- KafkaProducer: questions ------------------------------------------------------------------------

    @property
    def config(self) -> ProducerConfig:
        """The effective configuration; secrets are masked in its repr."""
        return self._settings

    def partitions_for(self, topic: str) -> list[PartitionInfo]:
        """Return the partitions that the producer was made with. See KafkaProducer."""
        name = check_topic(topic)
        self._require_alive()
        _raise_if_set(self.partitions_for_exception)
        self._partitions.count_of(name)
        return list(self._partitions.of(name) or ())

    def metrics(self) -> Metrics:
        """Return groups and names as KafkaProducer does: how many records were acknowledged and failed, what
        `set_metric` was told, and 0 for all else.
        """
        with self._lock:
            return self._metrics.snapshot()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
            return
        try:
            self.close()
        except KafkaError as unobserved:  # the body's own exception is the one to see
            logger.error("producer %s: %s", self._name, unobserved)

    def __repr__(self) -> str:
        return f"<MockProducer {self._name} {'closed' if self._is_closed else 'open'}>"

    # --- inside ------------------------------------------------------------------------------------------

    def _take(self, given: ProducerRecord, on_delivery: OnDelivery | None, *, is_watched: bool) -> Delivery:
        """Have the interceptors see a record, then accept it; they hear of a refusal too."""
        self._require_alive()
        self._txn.require_for_send()
        if self._chain is None:
            delivery = self._accept(given, on_delivery, is_watched=is_watched)
        else:
            delivery = self._accept_intercepted(self._chain, given, on_delivery, is_watched=is_watched)
        if self._auto_complete:
            self.complete_next()
        return delivery

    def _accept_intercepted(
        self,
        chain: InterceptorChain,
        given: ProducerRecord,
        on_delivery: OnDelivery | None,
        *,
        is_watched: bool,
    ) -> Delivery:
        if on_delivery is not None:
            check_callback(on_delivery, "on_delivery")
        sent = chain.on_send(given)
        try:
            return self._accept(sent, chain.listener(sent, on_delivery), is_watched=is_watched)
        except BaseException as error:
            chain.on_send_error(sent, error)
            raise

    def _accept(self, given: ProducerRecord, on_delivery: OnDelivery | None, *, is_watched: bool) -> Delivery:
        """Check a record and accept it; a KafkaError dooms the open transaction, which is then not the one meant."""
        try:
            _raise_if_set(self.send_exception)
            return self._log.accept(given, on_delivery, is_watched=is_watched)
        except (IllegalStateError, SerializationError):
            raise
        except KafkaError as error:
            self._txn.doom(error)
            raise

    def _settle_next(self, error: KafkaError | None) -> bool:
        is_settled = self._log.settle_next(error)
        self._ledger.run_callbacks()
        return is_settled

    @contextmanager
    def _in_transaction_call(self, call: str, timeout: float | None) -> Iterator[None]:
        check_timeout(timeout)
        self._txn.raise_if_fenced()
        self._refuse_callback(call)
        self._txn.require_id(call)
        with self._lock:
            self._require_alive()
            yield

    def _require_alive(self) -> None:
        self._txn.raise_if_fenced()
        if self._is_closed:
            raise ProducerClosedError("the producer is closed")

    def _refuse_callback(self, call: str) -> None:
        if self._ledger.is_in_callback:
            raise IllegalStateError(f"{call}() would wait for the very thread that it was called on")


def _parsed(config: Mapping[str, object] | None, overrides: Mapping[str, object]) -> ProducerConfig:
    """The configuration, with an address of nobody where none is given."""
    given = {*overrides, *(config if isinstance(config, Mapping) else ())}
    if given & {"bootstrap.servers", "bootstrap_servers"}:
        return parse_config(config, overrides)
    return parse_config(config, {"bootstrap_servers": _NOBODY, **overrides})


def _raise_if_set(error: BaseException | None) -> None:
    if error is not None:
        raise error


@contextmanager
def _telling_accepted(call: str, result: SendManyResult) -> Iterator[None]:
    """The records before the one that raised stay accepted: their outcomes are in `error.partial_result`."""
    try:
        yield
    except BaseException as error:
        error.add_note(f"{call}: the {result.count} records before it were accepted; see partial_result")
        error.partial_result = result  # type: ignore[attr-defined]  # as the producer does
        raise


def _closed_early() -> ProducerClosedError:
    return ProducerClosedError("the producer was closed before the record was acknowledged")
