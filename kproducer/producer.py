"""KafkaProducer: what users touch. Any thread may call it; the work is the runtime's."""

from __future__ import annotations

import itertools
import logging
import os
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, NoReturn, Self

from kproducer._core.accumulator import RecordAppender, check_topic
from kproducer.client.transaction_state import Call
from kproducer.config import ProducerConfig, parse_config, read_environment
from kproducer.config_files import read_properties
from kproducer.engine.runtime import Runtime
from kproducer.errors import (
    CommitOutcomeUnknownError,
    KafkaError,
    KafkaTimeoutError,
    SerializationError,
    TransactionCommittedError,
)
from kproducer.interceptors import InterceptorChain
from kproducer.partitioners import UserPartitioner
from kproducer.types import ConsumerGroupMetadata, OffsetAndMetadata, TopicPartition

if TYPE_CHECKING:
    from kproducer.types import Metrics, PartitionInfo

logger = logging.getLogger(__name__)

_numbers = itertools.count(1)
_CLOSE_GRACE_S: Final = 5.0  # for threads to end, after the caller's time is over
_Prepared = tuple[object, object, int | None]


class KafkaProducer(RecordAppender):
    """A thread-safe Kafka producer; create one for each process and share it.

    Records are encoded at once into the open batch of their partition; a C thread sends them without ever taking
    the GIL. Defaults are those of Kafka 4.x: `acks=all`, idempotence, `linger.ms=5`.

    Args:
        config: Kafka's dotted names, `{"bootstrap.servers": "host:9092"}`.
        **overrides: the same keys with underscores, `KafkaProducer(bootstrap_servers="host:9092")`; they win.

    Raises:
        ConfigError: a key is unknown, its value is out of range, or keys contradict each other.
        UnsupportedConfigError: a key of Kafka's whose feature is not built yet.
        BundleViolationError: a setting breaks a rule of `bundle.file`; `send()` raises it for a record that does.

    docs/config.md has every key, docs/profiles.md the key `profile` and the bundles.

    `send(topic, value=None, key=None, headers=None, partition=None, timestamp_ms=None, on_delivery=None)` takes a
    ProducerRecord as well and returns a RecordFuture. `produce(...)` takes the same, returns None and costs less.
    `on_delivery(metadata, error)` runs on the delivery thread, one of the two being None. `send_many(topic, values,
    keys=None, ...)` takes any iterable and returns one SendManyResult; `send_lines(topic, data, ...)` makes a record
    of each line of a bytes-like block, without an object for it; `send_columns(topic, values, keys=None, headers=None,
    partitions=None, timestamps_ms=None)` makes one of each row of Arrow data, NumPy arrays and other buffers
    (docs/bulk.md), and `send_many()` hands such columns over to it. If one of these three raises, the records before
    stay accepted, and `error.partial_result` is their SendManyResult. All block up to `max.block.ms` while the topic is
    unknown or `buffer.memory` is used up (`buffer.full.policy` knows other ways); then they raise KafkaTimeoutError or
    BufferExhaustedError, and the record was not accepted. A record that was accepted ends in exactly one of
    acknowledged or failed; a failure that nobody listened to (no callback, future dropped unasked) is raised by the
    next `flush()`, `close()` or exit of `with`.
    """

    def __init__(self, config: Mapping[str, object] | None = None, /, **overrides: object) -> None:
        self._config = parse_config(config, overrides)
        self._client_id = self._config.client_id or f"producer-{next(_numbers)}"
        self._close_lock = threading.Lock()
        interceptors = _make_chain(self._config)
        partitioner = _make_partitioner(self._config)
        runtime = Runtime(
            self._config,
            client_id=self._client_id,
            on_closed=[part.close for part in (interceptors, partitioner) if part is not None],
        )
        self._runtime = runtime
        self._set_up(
            runtime.pump,
            self._config.max_block_ms,
            _make_prepare(self._config, runtime, partitioner),
            runtime.reason_without_topic,
            runtime.reason_without_memory,
            raises_when_full=self._config.buffer_full_policy == "raise",
            interceptors=interceptors,
            has_serializer=bool(self._config.key_serializer or self._config.value_serializer),
        )
        runtime.pump.on_first_listener(runtime.ensure_delivery)
        try:
            runtime.start()
        except BaseException:  # no thread to be had
            runtime.close(_CLOSE_GRACE_S)
            raise
        finalizer = weakref.finalize(self, runtime.close_in_background)
        finalizer.atexit = False  # the exit handler is the runtime's

    @classmethod
    def from_properties(cls, path: str | os.PathLike[str], /, **overrides: object) -> Self:
        """Create a producer from a .properties file as Java's clients have it.

        Args:
            path: of the file.
            **overrides: keys with underscores; they win.

        Raises:
            OSError: the file cannot be read.
            ConfigError and its kinds: as the constructor.
        """
        return cls(read_properties(path), **overrides)

    @classmethod
    def from_env(cls, **overrides: object) -> Self:
        """Create a producer from environment variables, `KPRODUCER_LINGER_MS=5`; nothing else reads them.

        Args:
            **overrides: keys with underscores; they win.

        Raises:
            ConfigError and its kinds: as the constructor, and for a variable with the prefix that names no key.
        """
        return cls(read_environment(), **overrides)

    @property
    def config(self) -> ProducerConfig:
        """The effective configuration; `print(producer.config.describe())` shows it, secrets masked."""
        return self._config

    def flush(self, timeout: float | None = None) -> None:
        """Send what was accepted before this call and wait for its outcomes and callbacks.

        Args:
            timeout: seconds, default None: as long as it takes (`delivery.timeout.ms` bounds each record).

        Raises:
            KafkaTimeoutError: some records have no outcome yet; they stay on their way.
            UnobservedDeliveryError: records failed and nobody listened.
            IllegalStateError: called from a delivery callback.
        """
        pump = self._running().pump
        if not pump.flush(_milliseconds(timeout)):
            raise KafkaTimeoutError(
                f"flush: not every record has an outcome within {timeout} s", persisted="maybe"
            )
        pump.raise_unobserved()

    def close(self, timeout: float | None = None) -> None:
        """Take no more records, deliver those accepted, and end the threads. A second call does nothing.

        Args:
            timeout: seconds to deliver, default None: as long as it takes. What is left then fails with
                ProducerClosedError.

        Raises:
            UnobservedDeliveryError: records failed and nobody listened.
            IllegalStateError: called from a delivery callback.
        """
        wait_ms = _milliseconds(timeout)
        runtime = self._running()
        runtime.pump.refuse_fork()  # before the lock, which another thread of the parent may have held
        runtime.refuse_own_thread("close")
        with self._close_lock:
            if runtime.is_closed:
                return
            used_ms = runtime.abort_open_transaction(_seconds(wait_ms, self._config.max_block_ms))
            runtime.pump.close_appends()
            try:
                runtime.pump.flush(None if wait_ms is None else max(0.0, wait_ms - used_ms))
            finally:
                runtime.close(_CLOSE_GRACE_S)
        runtime.pump.raise_unobserved()

    # --- transactions ------------------------------------------------------------------------------------

    def init_transactions(self, timeout: float | None = None) -> None:
        """Get the producer id of `transactional.id`; fences earlier producers of it and aborts what they left open.

        Once, before the first transaction (KIP-98). After a timeout call it again.

        Args:
            timeout: seconds, default None: `max.block.ms`. The same for all calls below.

        Raises:
            KafkaTimeoutError: the coordinator has not answered in time; it goes on in the background.
            IllegalStateError: no `transactional.id`, or it was called before.
            AuthorizationError, InvalidTxnTimeoutError: the coordinator refuses; may be called again.
        """
        self._transact(Call.INIT, timeout)

    def begin_transaction(self) -> None:
        """Begin a transaction: the records sent from now on belong to it.

        Raises:
            IllegalStateError: `init_transactions()` has not been called, or a transaction is open.
            ProducerFencedError: another producer of the same `transactional.id` took over; only close() is left.
        """
        self._transact(Call.BEGIN, None)

    def send_offsets_to_transaction(
        self,
        offsets: Mapping[TopicPartition, OffsetAndMetadata | int],
        group_metadata: ConsumerGroupMetadata | str,
        timeout: float | None = None,
    ) -> None:
        """Commit a consumer group's positions together with the transaction's records (KIP-447).

        Args:
            offsets: by (topic, partition), the next offset to read. Empty: nothing is done.
            group_metadata: the group and its member as the consumer knows them; a group id alone is not fenced.

        Raises:
            CommitFailedError: the group has rebalanced; abort the transaction.
            KafkaTimeoutError: not in time; abort the transaction or go on waiting by its end.
            IllegalStateError, ValueError, TypeError: no transaction is open; an offset is negative.
        """
        positions = _checked_positions(offsets)
        self._transact(Call.SEND_OFFSETS, timeout, positions, _checked_group(group_metadata))

    def commit_transaction(self, timeout: float | None = None) -> None:
        """Send what is left, wait for every acknowledgement, and commit: the records become visible together.

        Raises:
            TransactionAbortableError: a record failed; abort the transaction.
            CommitOutcomeUnknownError: the coordinator was asked and has not answered in time. Call it again to
                learn the outcome, or abort_transaction().
            KafkaTimeoutError: not all records are acknowledged yet; call it again, or abort_transaction().
            ProducerFencedError: another producer took over, or `transaction.timeout.ms` ran out.
        """
        self._transact(Call.COMMIT, timeout)

    def abort_transaction(self, timeout: float | None = None) -> None:
        """Drop what was not sent, and abort: no record of the transaction becomes visible to read_committed.

        Raises:
            TransactionCommittedError: after CommitOutcomeUnknownError only: the commit had taken effect.
            KafkaTimeoutError: the coordinator has not answered in time; call it again.
        """
        self._transact(Call.ABORT, timeout)

    @contextmanager
    def transaction(self) -> Iterator[Self]:
        """`with producer.transaction():` begins one, commits it at the end, and aborts it on an exception.

        A commit that fails is aborted as well and its error raised, but for CommitOutcomeUnknownError, after which
        the caller decides. After a fatal error nothing is done, and that error is raised.
        """
        self.begin_transaction()
        try:
            yield self
        except BaseException as error:
            self._abort_because_of(error)
            raise
        try:
            self.commit_transaction()
        except CommitOutcomeUnknownError:
            raise
        except BaseException as error:
            self._abort_because_of(error)
            raise

    def _abort_because_of(self, error: BaseException) -> None:
        """Abort; a failure of that is only noted, unless it is fatal and so the better explanation."""
        try:
            self.abort_transaction()
        except TransactionCommittedError as failure:
            raise failure from error  # who repeats the block after a timeout would write it twice
        except KafkaError as failure:
            if failure.fatal and failure.code != getattr(error, "code", None):
                raise failure from error
            error.add_note(f"the transaction was not aborted: {failure}")

    def _transact(
        self,
        call: Call,
        timeout: float | None,
        offsets: Mapping[TopicPartition, OffsetAndMetadata] | None = None,
        group: ConsumerGroupMetadata | None = None,
    ) -> None:
        timeout_s = _seconds(_milliseconds(timeout), self._config.max_block_ms)
        self._running().transact(call, timeout_s, offsets, group)

    # --- questions ---------------------------------------------------------------------------------------

    def partitions_for(self, topic: str) -> list[PartitionInfo]:
        """Return the partitions of a topic, asking the cluster if need be (up to `max.block.ms`).

        Raises:
            KafkaTimeoutError: no metadata in time.
            InvalidTopicError: the name is not legal.
        """
        name = check_topic(topic)
        return list(self._running().partitions_for(name, self._config.max_block_ms / 1000))

    def metrics(self) -> Metrics:
        """Return every metric by group and name: `metrics()["producer-metrics"]["record-send-rate"]`.

        Groups and names are Java's, with percentiles and more added (docs/metrics.md). Brokers, topics and partitions
        have a group each, named `producer-node-metrics.node-1`, `producer-topic-metrics.orders` and, with
        `metrics.recording.level=DEBUG`, `producer-partition-metrics.orders-0`. Rates, means and maxima are of the last
        `metrics.num.samples` windows of `metrics.sample.window.ms`. Any thread, also after close().
        """
        runtime = self._running()
        runtime.pump.refuse_fork()
        return runtime.statistics.metrics()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
            return
        try:
            self.close()
        except KafkaError as unobserved:  # the body's own exception is the one to see
            logger.error("producer %s: %s", self._client_id, unobserved)

    def _running(self) -> Runtime:
        try:
            return self._runtime
        except AttributeError:
            raise RuntimeError("KafkaProducer.__init__ was not called, or failed") from None

    def __repr__(self) -> str:
        if not hasattr(self, "_runtime"):
            return "<KafkaProducer uninitialised>"
        state = "closed" if self._runtime.is_closed else "open"
        return f"<KafkaProducer {self._client_id} {state}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a KafkaProducer cannot be pickled or copied: create one in each process")


def _milliseconds(timeout: float | None) -> float | None:
    if timeout is None:
        return None
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)):
        raise TypeError(f"timeout must be seconds or None, not {type(timeout).__name__}")
    if not timeout >= 0:  # NaN too
        raise ValueError(f"timeout={timeout}: must be seconds >= 0, or None to wait as long as it takes")
    return min(timeout * 1000, 1e12)


def _seconds(wait_ms: float | None, default_ms: float) -> float:
    return (default_ms if wait_ms is None else wait_ms) / 1000


def _checked_positions(offsets: object) -> dict[TopicPartition, OffsetAndMetadata]:
    if not isinstance(offsets, Mapping):
        raise TypeError(
            f"offsets must be a mapping of (topic, partition) to an offset, not {type(offsets).__name__}"
        )
    return {_checked_place(place): _checked_position(place, offsets[place]) for place in offsets}


def _checked_place(place: object) -> TopicPartition:
    if not isinstance(place, tuple) or len(place) != 2:
        raise TypeError(f"offsets are by (topic, partition), not by {type(place).__name__}")
    topic, partition = place
    name = check_topic(topic)
    if isinstance(partition, bool) or not isinstance(partition, int):
        raise TypeError(f"partition of {name} must be int, not {type(partition).__name__}")
    if not 0 <= partition < 2**31:
        raise ValueError(f"partition={partition} of {name}: must be from 0 to 2**31-1")
    return TopicPartition(name, partition)


def _checked_position(place: object, position: object) -> OffsetAndMetadata:
    found = position if isinstance(position, OffsetAndMetadata) else OffsetAndMetadata(position)  # type: ignore[arg-type]  # checked below
    if isinstance(found.offset, bool) or not isinstance(found.offset, int):
        raise TypeError(f"offset of {place} must be int or OffsetAndMetadata, not {type(position).__name__}")
    if not 0 <= found.offset < 2**63:
        raise ValueError(f"offset={found.offset} of {place}: must be from 0 to 2**63-1")
    return found


def _checked_group(group: object) -> ConsumerGroupMetadata:
    found = ConsumerGroupMetadata(group) if isinstance(group, str) else group
    if not isinstance(found, ConsumerGroupMetadata):
        raise TypeError(
            f"group_metadata must be ConsumerGroupMetadata or a group id, not {type(group).__name__}"
        )
    if not found.group_id:
        raise ValueError("group_metadata: group_id is empty")
    if found.generation_id >= 0 and not found.member_id:
        raise ValueError(f"group_metadata: generation {found.generation_id} without a member_id")
    return found


def _make_chain(config: ProducerConfig) -> InterceptorChain | None:
    return InterceptorChain(config.interceptor_classes) if config.interceptor_classes else None


def _make_partitioner(config: ProducerConfig) -> UserPartitioner | None:
    given = config.partitioner_class
    return None if given is None else UserPartitioner(given, config.effective())


def _make_prepare(
    config: ProducerConfig, runtime: Runtime, partitioner: UserPartitioner | None
) -> Callable[..., _Prepared] | None:
    """The step before the append, or None when bytes go straight through: chosen once."""
    serialize_key, serialize_value, rules = (
        config.key_serializer,
        config.value_serializer,
        config.record_rules,
    )
    if serialize_key is None and serialize_value is None and partitioner is None and rules is None:
        return None
    choose = None if partitioner is None else partitioner.choose

    def prepare(
        topic: str, value: Any, key: Any, headers: object, partition: int | None, known_partitions: int
    ) -> _Prepared:
        if rules is not None:
            rules.check(topic, headers)
        if serialize_key is not None:
            key = _serialize("key", serialize_key, topic, key)
        if serialize_value is not None:
            value = _serialize("value", serialize_value, topic, value)
        if partition is None and choose is not None:
            count = known_partitions or len(runtime.partitions_for(topic, config.max_block_ms / 1000))
            partition = _checked_partition(choose(topic, key, value, count), count)
        return value, key, partition

    return prepare


def _serialize(what: str, serializer: Callable[[Any], object], topic: str, data: Any) -> object:
    try:
        return serializer(data)
    except Exception as error:
        raise SerializationError(
            f"{what}_serializer failed on {type(data).__name__} for topic {topic!r}: {type(error).__name__}",
            topic=topic,
        ) from error


def _checked_partition(chosen: object, count: int) -> int:
    if isinstance(chosen, bool) or not isinstance(chosen, int):
        raise TypeError(f"the partitioner returned {type(chosen).__name__}: must be int")
    if not 0 <= chosen < count:
        raise ValueError(f"the partitioner returned {chosen}: must be from 0 to {count - 1}")
    return chosen
