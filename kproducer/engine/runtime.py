"""Composition root: builds the machines, the pump and the threads of one producer, and ends them in order.

No thread refers to the producer object, so that it can be collected while they run.
"""

from __future__ import annotations

import _thread
import atexit
import copy
import logging
import math
import os
import random
import re
import threading
import time
import warnings
import weakref
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

from kproducer._core.completion import deliver
from kproducer._core.pump import Pump
from kproducer._version import __version__
from kproducer.client.backoff import ExponentialBackoff
from kproducer.client.connection import ConnectionSettings
from kproducer.client.coordinator import CoordinatorFinder
from kproducer.client.delivery import TOO_FEW_REPLICAS, DeliveryPolicy
from kproducer.client.gaps import SequenceGaps
from kproducer.client.idempotence import ProducerIdentity
from kproducer.client.metadata import ClusterView, MetadataPolicy
from kproducer.client.nodes import NodeDirectory
from kproducer.client.transaction_state import Call
from kproducer.client.transactions import TransactionManager
from kproducer.config import ProducerConfig
from kproducer.engine.dead_letters import make_dead_letters
from kproducer.engine.delivery import DeliveryThread
from kproducer.engine.link import Wiring
from kproducer.engine.lookup import NameLookup
from kproducer.engine.mailbox import Close, GiveUp, Mailbox, PartitionsFor, Transact
from kproducer.engine.sender import Chore, Sender
from kproducer.engine.statistics import (
    CALL_COUNTERS,
    METADATA_WAIT,
    CallTimes,
    Statistics,
    StatisticsTeller,
    make_teller,
)
from kproducer.engine.transactor import Transactor
from kproducer.errors import (
    CommitOutcomeUnknownError,
    ForkError,
    IllegalStateError,
    KafkaError,
    KafkaTimeoutError,
    ProducerClosedError,
    UnobservedDeliveryError,
    error_for,
)
from kproducer.metrics.source import CounterSource
from kproducer.net.poller import SelectorPoller
from kproducer.net.transport import PlainTransport, SocketOptions
from kproducer.protocol.messages.find_coordinator import CoordinatorType
from kproducer.types import ConsumerGroupMetadata, OffsetAndMetadata, PartitionInfo, TopicPartition

logger = logging.getLogger(__name__)

EXIT_FLUSH_S: Final = 5.0
EXIT_STOP_S: Final = 2.0
_FRAME_LIMIT: Final = 64 * 1024 * 1024
_INTERNAL_ERROR: Final = -1
# What brokers accept as a software version (KIP-511).
_NOT_IN_SOFTWARE_VERSION: Final = re.compile(r"[^a-zA-Z0-9\-.]+")

_live: weakref.WeakSet[Runtime] = weakref.WeakSet()


# A default, not a name of the module: freezegun in a user's tests replaces those, and no back-off would end.
def clock_ms(now_ns: Callable[[], int] = time.monotonic_ns) -> float:
    """Milliseconds of the monotonic clock."""
    return now_ns() / 1e6


class Runtime:
    """Pump, control thread and delivery thread of one producer.

    Args:
        config: plain values.
        client_id: name that brokers show.
        on_closed: each called once, when the last record has its outcome and its callbacks have run; must not raise.

    Attributes:
        pump: the C core.
    """

    def __init__(
        self, config: ProducerConfig, *, client_id: str, on_closed: Sequence[Callable[[], object]] = ()
    ) -> None:
        self.pump = make_pump(config, client_id)
        self._dead_letters = make_dead_letters(config, self.pump, self.reason_without_topic)
        self._gaps = SequenceGaps(is_fatal=config.on_sequence_gap == "fail")
        self._call_times = CallTimes(clock_ms)
        source = CounterSource(
            self.pump, self._counts, has_partitions=config.metrics_recording_level != "INFO"
        )
        self.statistics = Statistics(source, config, clock_ms)
        self._teller = make_teller(config, client_id, source, self.statistics.metrics, clock_ms())
        self._client_id = client_id
        self._on_closed = on_closed
        self._mailbox = Mailbox()
        self._poller = SelectorPoller()
        self._cluster, self._sender, self._transactions = _make_sender(
            config, client_id, self.pump, self._mailbox, self._poller, self._gaps, [self.statistics]
        )
        self._control = threading.Thread(
            target=self._run_control, name=f"kproducer-control-{client_id}", daemon=True
        )
        self._delivery = DeliveryThread(
            partial(deliver, self.pump)
            if self._teller is None
            else partial(_deliver_and_tell, self.pump, self._teller),
            on_crash=self._crash,
            name=f"kproducer-delivery-{client_id}",
        )
        self._fatal: KafkaError | None = None
        self._close_lock = threading.Lock()
        self._is_closing = False
        self._is_forked = False

    # --- life --------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the pump and the control thread."""
        _live.add(self)
        self.pump.start()
        self._control.start()
        if self._teller is not None:
            self._delivery.ensure_started()
        if self._dead_letters is not None:
            self.pump.route_dead_letters(self._dead_letters)
            self._delivery.ensure_started()
            self._dead_letters.start()

    @property
    def is_closed(self) -> bool:
        """Whether close() has begun."""
        return self._is_closing

    def ensure_delivery(self) -> None:
        """Start the delivery thread, before the first callback is registered."""
        self._delivery.ensure_started()

    def close(self, timeout_s: float) -> None:
        """Stop everything; what is not delivered fails. A second time does nothing.

        Args:
            timeout_s: how long to wait for the threads, in seconds.

        Raises:
            IllegalStateError: called on one of our own threads, in a callback for example.
            ForkError: this process is a fork of the producer's.
        """
        self._refuse_fork()
        self.refuse_own_thread("close")
        with self._close_lock:
            if self._is_closing:
                return
            self._is_closing = True
        self._stop(time.monotonic() + timeout_s)
        for let_go in self._on_closed:
            let_go()
        _live.discard(self)

    def close_in_background(self) -> None:
        """Deliver what is buffered, then close, without waiting: the producer object was collected."""
        if self._is_closing or self._is_forked:
            return
        try:
            # Not threading.Thread, whose start() waits, and waiting is not for a finalizer.
            _thread.start_new_thread(self._flush_and_close, (None,))
        except RuntimeError:
            pass  # the interpreter is going down: the exit handler does the same

    def _flush_and_close(self, flush_ms: float | None) -> int:
        """Close when nobody is left to call close(); return how many records were given up."""
        try:
            self.abort_open_transaction(EXIT_STOP_S)
            self.pump.close_appends()
            self.pump.flush(flush_ms)
            failed_before = self.pump.counters()["records_failed"]
            self.close(EXIT_STOP_S)
            left = self.pump.counters()["records_failed"] - failed_before
            self.pump.raise_unobserved()
        except UnobservedDeliveryError as error:
            logger.warning("producer %s was not closed: %s", self._client_id, error)
        except KafkaError as error:
            logger.warning("closing producer %s: %s", self._client_id, error)
            return 0
        return left

    def _stop(self, deadline: float) -> None:
        self.pump.stop()
        is_ended = self.pump.join(max(0, math.ceil((deadline - time.monotonic()) * 1000)))
        self.pump.stop_delivery()
        if self._control.is_alive():
            try:
                self._mailbox.post(Close())
            except ProducerClosedError:
                pass  # it saw the pump's Stopped
            self._control.join(max(0.1, deadline - time.monotonic()))
        if self._control.ident is None:  # never started
            self._end_control(ProducerClosedError("the producer is closed"))
        is_ended &= not self._control.is_alive()
        is_delivered = self._delivery.join(max(0.1, deadline - time.monotonic()))
        is_ended &= is_delivered
        if self._dead_letters is not None and is_delivered:
            self._dead_letters.close()
        if not is_ended:
            logger.warning("producer %s: not all threads ended in time", self._client_id)

    # --- transactions ------------------------------------------------------------------------------------

    def transact(
        self,
        call: Call,
        timeout_s: float,
        offsets: Mapping[TopicPartition, OffsetAndMetadata] | None = None,
        group: ConsumerGroupMetadata | None = None,
    ) -> None:
        """Have the control thread do a call of the transaction API, and wait for its outcome.

        Raises:
            KafkaTimeoutError: it is not done in time; CommitOutcomeUnknownError if EndTxn may have been sent.
            KafkaError: as the call says.
        """
        with self._call_times.count(CALL_COUNTERS[call]):
            self._transact(call, timeout_s, offsets, group)

    def _transact(
        self,
        call: Call,
        timeout_s: float,
        offsets: Mapping[TopicPartition, OffsetAndMetadata] | None,
        group: ConsumerGroupMetadata | None,
    ) -> None:
        self.raise_if_fatal()
        self.refuse_own_thread(call.value)
        if self._transactions is None:
            raise IllegalStateError(f"{call.value}() needs the configuration key transactional.id")
        deadline = time.monotonic() + timeout_s
        command = Transact(call, offsets or {}, group)
        self._mailbox.post(command)
        try:
            command.reply.wait(timeout_s)
        except TimeoutError:
            self._mailbox.post(GiveUp(command))
            raise self._transaction_timeout(command, timeout_s) from None
        except KafkaError as error:
            raise copy.copy(error) from error.__cause__
        except BaseException:  # a signal's
            self._mailbox.post(GiveUp(command))
            raise
        if call in (Call.COMMIT, Call.ABORT):
            self.pump.flush(max(0.0, deadline - time.monotonic()) * 1000)  # callbacks have run
        if call is Call.ABORT:
            self._forget_unobserved()

    def abort_open_transaction(self, timeout_s: float) -> float:
        """Abort what is open, before the producer is closed; a failure is logged. Return the milliseconds it took."""
        if self._transactions is None or self._fatal is not None or self._sender.fatal is not None:
            return 0.0
        if not self._transactions.wants_abort:
            return 0.0
        began = time.monotonic()
        try:
            self.transact(Call.ABORT, timeout_s)
        except KafkaError as error:
            logger.warning("producer %s: the open transaction was not aborted: %s", self._client_id, error)
        return (time.monotonic() - began) * 1000

    def _transaction_timeout(self, command: Transact, timeout_s: float) -> KafkaTimeoutError:
        reason = self.last_connection_error()
        detail = f"; last connection error: {reason}" if reason else ""
        again = f"{command.call.value}() again"
        if command.call is Call.COMMIT and command.ticket is not None and command.ticket.may_have_ended:
            return CommitOutcomeUnknownError(
                f"the commit may have taken effect: call {again}, or abort_transaction(){detail}",
                elapsed_ms=timeout_s * 1000,
                persisted="maybe",
            )
        return KafkaTimeoutError(
            f"{command.call.value}() goes on: call {again} for its outcome{detail}",
            elapsed_ms=timeout_s * 1000,
            persisted="maybe" if command.call is Call.COMMIT else "no",
        )

    def _forget_unobserved(self) -> None:
        """Who aborts knows that the records are gone."""
        try:
            self.pump.raise_unobserved()
        except UnobservedDeliveryError as error:
            logger.debug("producer %s aborted a transaction: %s", self._client_id, error)

    # --- questions ---------------------------------------------------------------------------------------

    def raise_if_fatal(self) -> None:
        """Raise ForkError in a forked child, and the error that ended the producer, if any."""
        self._refuse_fork()
        fatal = self._fatal or self._sender.fatal
        if fatal is not None:
            raise copy.copy(fatal)  # a shared exception would collect the tracebacks of all callers

    def partitions_for(self, topic: str, timeout_s: float) -> tuple[PartitionInfo, ...]:
        """Return the partitions of a topic.

        Raises:
            KafkaTimeoutError: they were not known in time; the text says why.
            KafkaError: the brokers refuse the topic, or the producer has failed.
        """
        self.raise_if_fatal()
        self.refuse_own_thread("partitions_for", is_delivery_allowed=True)
        command = PartitionsFor(topic)
        self._mailbox.post(command)
        try:
            with self._call_times.count(METADATA_WAIT):
                return command.reply.wait(timeout_s)
        except TimeoutError:
            raise self.metadata_timeout(topic, timeout_s * 1000) from self.last_topic_error(topic)
        except KafkaError as error:
            raise copy.copy(error) from None

    def metadata_timeout(self, topic: str, elapsed_ms: float) -> KafkaTimeoutError:
        """Return the error of a caller that waited in vain for a topic, with the last reason in its text."""
        reason = self.last_topic_error(topic) or self.last_connection_error()
        detail = f"; last error: {reason}" if reason else ""
        return KafkaTimeoutError(
            f"no metadata of topic {topic} in time{detail}",
            topic=topic,
            elapsed_ms=elapsed_ms,
            persisted="no",
        )

    def last_topic_error(self, topic: str) -> KafkaError | None:
        """Return what the brokers last said about a topic that is not to be had; any thread."""
        return self._cluster.topic_errors.get(topic)

    def reason_without_topic(self, topic: str) -> KafkaError | str | None:
        """Return why a topic has no metadata: for the error of a send() that waited in vain."""
        return self.last_topic_error(topic) or self.last_connection_error()

    def reason_without_memory(self) -> str:
        """Return why buffer.memory may not get free: for the error of a send() that waited in vain."""
        return self.last_connection_error() or "the brokers acknowledge more slowly than records come in"

    def last_connection_error(self) -> str | None:
        """Return stage, broker and reason of the last connection that failed; any thread."""
        return self._sender.last_connection_error

    def _counts(self) -> dict[str, float]:
        """Return what C does not count, by the name of the counter; any thread."""
        letters = self._dead_letters
        return {
            "sequence_gaps": self._gaps.count,
            "dead_letters": 0 if letters is None else letters.written,
            "dead_letters_dropped": 0 if letters is None else letters.dropped,
            "metadata_age_ms": max(0.0, clock_ms() - self._cluster.updated_at),
            **self._call_times.counts(),
        }

    # --- the control thread ------------------------------------------------------------------------------

    def _run_control(self) -> None:
        end: KafkaError = ProducerClosedError("the producer is closed")
        try:
            self.pump.set_threads(control=threading.get_ident())
            while not self._sender.is_stopped:
                self._sender.run_once(clock_ms())
        except Exception as error:
            end = self._crash(error)
            logger.exception("the control thread of producer %s failed", self._client_id)
        finally:
            self._end_control(end)

    def _end_control(self, error: KafkaError) -> None:
        self._sender.close(error)
        self._mailbox.close(error)
        self._poller.close()

    def _crash(self, cause: BaseException) -> KafkaError:
        """End the producer's work after an error of our own: never a silent hang."""
        error = error_for(_INTERNAL_ERROR, f"internal error of the producer: {cause!r}", fatal=True)
        error.__cause__ = cause
        self._fatal = error
        self.pump.fail_all(_INTERNAL_ERROR, error.message, True)
        return error

    def refuse_own_thread(self, call: str, *, is_delivery_allowed: bool = False) -> None:
        """Raise IllegalStateError on a thread of ours, which would wait for itself."""
        is_ours = threading.current_thread() is self._control
        if is_ours or (self._delivery.is_current and not is_delivery_allowed):
            raise IllegalStateError(f"{call}() would wait for the very thread that it was called on")

    # --- fork and exit -----------------------------------------------------------------------------------

    def _refuse_fork(self) -> None:
        if self._is_forked:
            raise ForkError("the producer was made before a fork; make another in this process")

    def _abandon(self) -> None:
        self._is_forked = True
        self.pump.abandon()
        self._sender.abandon()
        self._mailbox.abandon()

    def _exit(self) -> None:
        if self._is_closing or self._is_forked:
            return
        left = self._flush_and_close(EXIT_FLUSH_S * 1000)
        text = f"producer {self._client_id} was not closed: {left} records were not delivered at exit"
        if left:
            logger.warning("%s", text)
        # Last, since a filter may turn it into an exception.
        warnings.warn(text, ResourceWarning, stacklevel=2)


def make_pump(config: ProducerConfig, client_id: str) -> Pump:
    """Return the C core for a configuration, not started."""
    levels = {
        "gzip": config.compression_gzip_level,
        "lz4": config.compression_lz4_level,
        "zstd": config.compression_zstd_level,
    }
    return Pump(
        client_id=client_id,
        acks=config.acks,
        idempotent=config.enable_idempotence,
        retries=config.retries,
        max_in_flight=config.max_in_flight_requests_per_connection,
        batch_size=config.batch_size,
        linger_ms=config.linger_ms,
        buffer_memory=config.buffer_memory,
        max_request_size=config.max_request_size,
        request_timeout_ms=config.request_timeout_ms,
        delivery_timeout_ms=config.delivery_timeout_ms,
        connections_max_idle_ms=config.connections_max_idle_ms,
        compression=config.compression_type,
        compression_level=levels.get(config.compression_type, 0),
        ignore_keys=config.partitioner_ignore_keys,
        partitioner=config.partitioner,
        is_adaptive=config.partitioner_adaptive_partitioning_enable,
        availability_timeout_ms=config.partitioner_availability_timeout_ms,
        transactional_id=config.transactional_id,
        drops_oldest=config.buffer_full_policy == "drop-oldest",
        dead_letter_bytes=_kept_bytes(config),
    )


def _kept_bytes(config: ProducerConfig) -> int:
    """Return how much of buffer.memory refused batches may keep: the letters themselves need some of it."""
    if not (config.errors_dead_letter_queue_topic_name or config.errors_dead_letter_queue_file):
        return 0
    return max(1, min(config.errors_dead_letter_queue_max_bytes, config.buffer_memory // 2))


def _make_sender(
    config: ProducerConfig,
    client_id: str,
    pump: Pump,
    mailbox: Mailbox,
    poller: SelectorPoller,
    gaps: SequenceGaps,
    chores: Sequence[Chore],
) -> tuple[ClusterView, Sender, TransactionManager | None]:
    jitter = random.random
    retry = ExponentialBackoff(config.retry_backoff_ms, config.retry_backoff_max_ms)
    can_rebootstrap = config.metadata_recovery_strategy == "rebootstrap"
    cluster = ClusterView(_metadata_policy(config, retry, can_rebootstrap), jitter=jitter, now=clock_ms())
    nodes = NodeDirectory(
        config.bootstrap_servers,
        reconnect=ExponentialBackoff(config.reconnect_backoff_ms, config.reconnect_backoff_max_ms),
        setup_timeout=ExponentialBackoff(
            config.socket_connection_setup_timeout_ms, config.socket_connection_setup_timeout_max_ms
        ),
        can_rebootstrap=can_rebootstrap,
        jitter=jitter,
    )
    settings = ConnectionSettings(client_id, _software_version(), config.request_timeout_ms, _FRAME_LIMIT)
    options = SocketOptions(config.send_buffer_bytes, config.receive_buffer_bytes)
    wiring = Wiring(NameLookup(mailbox.wake), partial(PlainTransport, options=options), poller, settings)
    idle_ms = config.connections_max_idle_ms
    transactor = _make_transactor(config, pump, wiring, nodes, retry)
    is_transactional = transactor is not None
    sender = Sender(
        pump,
        mailbox,
        wiring,
        cluster=cluster,
        nodes=nodes,
        identity=ProducerIdentity(
            is_enabled=config.enable_idempotence and not is_transactional, backoff=retry, jitter=jitter
        ),
        policy=DeliveryPolicy(
            config.retries,
            retry,
            is_transactional,
            TOO_FEW_REPLICAS if config.not_enough_replicas_policy == "fail" else frozenset(),
        ),
        clock=clock_ms,
        jitter=jitter,
        idle_ms=math.inf if idle_ms < 0 else idle_ms,
        topics_in_use=pump.topics_used,
        transactor=transactor,
        gaps=gaps,
        chores=chores,
    )
    return cluster, sender, None if transactor is None else transactor.manager


def _deliver_and_tell(pump: Pump, teller: StatisticsTeller) -> bool:
    goes_on = deliver(pump, teller.wait_ms(clock_ms()))
    teller.tell_if_due(clock_ms())
    return goes_on


def _make_transactor(
    config: ProducerConfig, pump: Pump, wiring: Wiring, nodes: NodeDirectory, retry: ExponentialBackoff
) -> Transactor | None:
    own_id = config.transactional_id
    if own_id is None:
        return None
    manager = TransactionManager(own_id, config.transaction_timeout_ms, backoff=retry, jitter=random.random)

    def make_finder(group: str | None) -> CoordinatorFinder:
        if group is None:
            return CoordinatorFinder(own_id, CoordinatorType.TRANSACTION, backoff=retry, jitter=random.random)
        return CoordinatorFinder(group, CoordinatorType.GROUP, backoff=retry, jitter=random.random)

    return Transactor(manager, pump, wiring, nodes, make_finder)


def _metadata_policy(
    config: ProducerConfig, backoff: ExponentialBackoff, can_rebootstrap: bool
) -> MetadataPolicy:
    return MetadataPolicy(
        max_age_ms=config.metadata_max_age_ms,
        max_idle_ms=config.metadata_max_idle_ms,
        rebootstrap_trigger_ms=(
            config.metadata_recovery_rebootstrap_trigger_ms if can_rebootstrap else math.inf
        ),
        max_block_ms=config.max_block_ms,
        allows_auto_creation=config.allow_auto_create_topics,
        backoff=backoff,
    )


def _software_version() -> str:
    return _NOT_IN_SOFTWARE_VERSION.sub("-", __version__)


def _exit_all() -> None:
    for runtime in list(_live):
        runtime._exit()


def _abandon_all() -> None:
    for runtime in list(_live):
        runtime._abandon()


atexit.register(_exit_all)
if hasattr(os, "register_at_fork"):  # not on Windows, which cannot fork
    os.register_at_fork(after_in_child=_abandon_all)
