from collections.abc import Callable, Sequence
from types import ModuleType

from kproducer._core.counters import PartitionCounters
from kproducer._core.events import Action, Event
from kproducer._core.letters import LetterSink
from kproducer.errors import KafkaError

def codec_sources() -> dict[str, str]:
    """{compression.type: where its functions come from}; for a codec that cannot be had, what would give it."""

def refuse_second_import(events: ModuleType) -> None:
    """Raise ImportError if `_core.events` is not the module that the extensions have been imported with."""

class Pump:
    """The C core: accumulator, pump thread, queues. Commands may come from any thread; they never block.

    Owned by engine.runtime; every other part of _core is given one.
    """

    def __init__(
        self,
        *,
        client_id: str,
        acks: int,
        idempotent: bool,
        retries: int,
        max_in_flight: int,
        batch_size: int,
        linger_ms: int,
        buffer_memory: int,
        max_request_size: int,
        request_timeout_ms: int,
        delivery_timeout_ms: int,
        connections_max_idle_ms: int,
        compression: str,
        compression_level: int,
        ignore_keys: bool,
        partitioner: str = ...,
        is_adaptive: bool = ...,
        availability_timeout_ms: int = ...,
        transactional_id: str | None = None,
        drops_oldest: bool = ...,
        dead_letter_bytes: int = ...,
        max_response_bytes: int = ...,
    ) -> None: ...
    @property
    def control_thread(self) -> int: ...
    @property
    def delivery_thread(self) -> int: ...
    @property
    def has_listeners(self) -> bool: ...
    def start(self) -> None: ...
    def set_threads(self, control: int | None = None, delivery: int | None = None) -> None:
        """Tell which threads must not wait inside the API."""
    def on_first_listener(self, start_delivery: Callable[[], None]) -> None:
        """`start_delivery()` is called once, by the thread that registers the first callback."""
    def route_dead_letters(self, sink: LetterSink) -> None:
        """Give the records of batches refused for good to `sink.take(letters)`, on the delivery thread."""
    def event_fileno(self) -> int:
        """A descriptor that polls readable while events wait; take_events() empties it."""
    def take_events(self) -> list[Event]: ...
    def adopt(self, node: int, conn_gen: int, fd: int, produce_version: int) -> None:
        """Give a detached, non-blocking, authenticated socket to the pump, which owns it from now on."""
    def drop(self, node: int, conn_gen: int, drain: bool) -> None: ...
    def topic(self, topic: str, topic_id: bytes | None, leaders: Sequence[tuple[int, int]]) -> None:
        """Publish the partitions of a topic: (leader node or -1, leader epoch) each, in order of partition."""
    def topic_error(self, topic: str, code: int, message: str | None) -> None:
        """Wake those who wait for this topic with an error (not remembered: the next send() asks again)."""
    def fail_partition(
        self, topic: str, partition: int, code: int, message: str | None, *, is_refusal: bool = False
    ) -> None:
        """Fail the batches that were never sent; partition -1 is every partition of the topic.

        `is_refusal`: by a broker and for good, so that their records become dead letters.
        """
    def verdict(
        self,
        topic: str,
        partition: int,
        batch_id: int,
        action: Action,
        *,
        code: int = 0,
        message: str | None = None,
        persisted: int = 0,
        record_errors: Sequence[tuple[int, int, str | None]] = (),
        is_refusal: bool = False,
    ) -> None:
        """Settle or mark a refused batch. `persisted` is 0 no, 1 maybe, 2 yes.

        FAIL with `record_errors` ((batch index, code, message), ...) fails those records and sends the rest of the
        batch again when the batch was never `maybe`; it then needs resume(new_epoch=True) when sequenced.
        `is_refusal` as in fail_partition().
        """
    def resume(self, topic: str, partition: int, hold_gen: int, delay_ms: int, new_epoch: bool) -> None:
        """End the hold. `new_epoch` restarts the partition under the newest PRODUCER_ID once nothing is in flight."""
    def producer_id(self, producer_id: int, epoch: int) -> None: ...
    def txn_begin(self, gen: int, is_v2: bool) -> None:
        """Take appends for transaction `gen`; under protocol 1 each partition is told by TxnPartition."""
    def txn_allow(self, gen: int, topic: str, partition: int) -> None:
        """The coordinator has added the partition: its batches may leave (protocol 1)."""
    def txn_seal(self, gen: int) -> None:
        """Refuse appends, send what is left at once, and tell TxnDrained."""
    def txn_drop(self, gen: int, message: str | None, failure: KafkaError | None = None) -> None:
        """Refuse appends, fail what is not in flight with TransactionAbortedError, and tell TxnDrained.

        `failure`: why it can only be aborted; later appends raise it until txn_over().
        """
    def txn_over(self) -> None:
        """The transaction has ended, and with it the failure that refused its records."""
    def fail_all(self, code: int, message: str, fatal: bool) -> None:
        """Settle everything with this error; when fatal, every later append raises it too."""
    def stop(self) -> None:
        """Fail what is left, close the connections, end the thread; Stopped is the last event."""
    def join(self, timeout_ms: int) -> bool: ...
    def close_appends(self) -> None:
        """Refuse later appends with ProducerClosedError; none is under way when this returns."""
    def stop_delivery(self) -> None:
        """Let completion.deliver() return False once its lists are empty."""
    def flush(self, timeout_ms: float | None = None) -> bool:
        """Wait until all that was appended before has its outcome and its callbacks have run; False: not in time."""
    def raise_unobserved(self) -> None:
        """Raise one UnobservedDeliveryError for the failures that nobody listened to since the last call."""
    def abandon(self) -> None:
        """After fork, in the child: no lock is taken, nothing is freed, every later call raises ForkError."""
    def topics_used(self) -> list[str]:
        """Names of the topics that got records since the last call (KIP-526)."""
    def source_of_codec(self) -> str: ...
    def refuse_fork(self) -> None:
        """Raise ForkError in a forked child."""
    def counters(self) -> dict[str, int]:
        """Snapshot of the C counters, without a lock, and of what buffer.memory holds."""
    def counters_by_topic(self) -> dict[str, list[PartitionCounters]]:
        """{topic: its partition_counters()}, for all topics that were ever asked for."""
    def partition_counters(self, topic: str) -> list[PartitionCounters]:
        """What each partition of a topic has counted, by its number; without a lock, empty without metadata."""
