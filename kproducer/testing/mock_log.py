"""The records of a MockProducer: accepted in order, given their outcomes in order, and kept."""

from __future__ import annotations

from collections import deque
from typing import Final

from kproducer import KafkaError, ProducerConfig, ProducerRecord, TransactionAbortedError
from kproducer.partitioners import UserPartitioner
from kproducer.testing.mock_arguments import (
    CheckedRecord,
    check_callback,
    check_chosen,
    check_record,
    check_size,
    check_topic,
    serialize,
)
from kproducer.testing.mock_metrics import MockMetrics
from kproducer.testing.mock_partitions import MockPartitions
from kproducer.testing.mock_results import Delivery, Ledger, OnDelivery
from kproducer.testing.mock_transaction import MockTransaction

_NO_OFFSET: Final = -1


class MockLog:
    """What was sent.

    Attributes:
        pending: records without an outcome, the oldest first.
        history: what was sent, as it was given, but for what an open transaction holds.
    """

    def __init__(
        self,
        config: ProducerConfig,
        partitions: MockPartitions,
        txn: MockTransaction,
        ledger: Ledger,
        metrics: MockMetrics,
    ) -> None:
        self.pending: deque[Delivery] = deque()
        self.history: list[ProducerRecord] = []
        self._config = config
        given = config.partitioner_class
        self._partitioner = None if given is None else UserPartitioner(given, config.effective())
        self._partitions = partitions
        self._txn = txn
        self._ledger = ledger
        self._offsets: dict[tuple[str, int], int] = {}
        self._metrics = metrics

    @property
    def has_steps(self) -> bool:
        """Whether records pass through a serializer, a partitioner or the rules of a bundle."""
        cfg = self._config
        steps = (cfg.key_serializer, cfg.value_serializer, cfg.partitioner_class, cfg.record_rules)
        return any(step is not None for step in steps)

    def close(self) -> None:
        """Let go of a partitioner that was made here."""
        if self._partitioner is not None:
            self._partitioner.close()

    def accept(self, given: ProducerRecord, on_delivery: OnDelivery | None, *, is_watched: bool) -> Delivery:
        """Check a record, in the order in which KafkaProducer does, and queue it for its outcome."""
        cfg = self._config
        topic = check_topic(given.topic)
        value, key, partition = self._prepared(topic, given)
        record = check_record(value, key, given.headers, partition, given.timestamp_ms)
        if on_delivery is not None:
            check_callback(on_delivery, "on_delivery")
        check_size(record, topic, min(cfg.max_request_size, cfg.buffer_memory))
        with self._ledger.lock:
            chosen = self._partitions.choose(topic, record.partition, record.key, cfg.max_block_ms)
            delivery = Delivery(self._ledger, topic, chosen, record, on_delivery, is_watched=is_watched)
            self.pending.append(delivery)
            sent = self._txn.records if self._txn.is_transactional else self.history
            sent.append(self._as_given(given, topic, record))
        return delivery

    def _prepared(self, topic: str, given: ProducerRecord) -> tuple[object, object, int | None]:
        """What serializers and partitioner make of a record."""
        cfg = self._config
        value, key, partition = given.value, given.key, given.partition
        if cfg.record_rules is not None:
            cfg.record_rules.check(topic, given.headers)
        if cfg.key_serializer is not None:
            key = serialize("key", cfg.key_serializer, topic, key)
        if cfg.value_serializer is not None:
            value = serialize("value", cfg.value_serializer, topic, value)
        if partition is None and self._partitioner is not None:
            count = self._partitions.count_of(topic)
            chosen: object = self._partitioner.choose(topic, key, value, count)  # type: ignore[arg-type]  # as the producer
            partition = check_chosen(chosen, count)
        return value, key, partition

    def _as_given(self, given: ProducerRecord, topic: str, record: CheckedRecord) -> ProducerRecord:
        headers = tuple(record.headers) if isinstance(given.headers, tuple) else list(record.headers)
        return ProducerRecord(
            topic,
            record.value if self._config.value_serializer is None else given.value,
            record.key if self._config.key_serializer is None else given.key,
            headers or None,
            given.partition,
            given.timestamp_ms,
        )

    def settle_next(self, error: KafkaError | None) -> bool:
        """Give the oldest record its outcome, None for success; False if none waits."""
        with self._ledger.lock:
            if not self.pending:
                return False
            self._settle(self.pending.popleft(), error)
        return True

    def settle_all(self, error: KafkaError | None) -> None:
        """Give each record that waits the same outcome."""
        with self._ledger.lock:
            while self.pending:
                self._settle(self.pending.popleft(), error)

    def _settle(self, delivery: Delivery, error: KafkaError | None) -> None:
        offset = _NO_OFFSET
        self._metrics.count(delivery.topic, delivery.partition, is_acknowledged=error is None)
        if error is not None:
            self._txn.doom(error)
        else:
            place = (delivery.topic, delivery.partition)
            if self._config.acks != 0:
                offset = self._offsets.get(place, 0)
                self._offsets[place] = offset + 1
        self._ledger.settle(delivery, offset, error)

    def abort(self) -> None:
        """End the open transaction; what waits fails."""
        while self.pending:
            delivery = self.pending.popleft()
            error = TransactionAbortedError(
                "the transaction was aborted before the record was acknowledged",
                topic=delivery.topic,
                partition=delivery.partition,
            )
            self._settle(delivery, error)
        self._txn.end(is_commit=False)
        self._ledger.take_unobserved()  # who aborts knows
