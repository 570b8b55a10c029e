"""Consume, transform, produce: two members of a consumer group copy a topic, exactly once (KIP-447)."""

from __future__ import annotations

import random
import struct
import time
from collections.abc import Sequence
from itertools import groupby
from typing import Any, Final

from confluent_kafka import Consumer, KafkaException
from confluent_kafka import TopicPartition as Place

from kproducer.errors import KafkaError
from kproducer.types import ConsumerGroupMetadata, TopicPartition
from tests.checker.clients import make_kproducer
from tests.checker.history import History, Transaction
from tests.checker.readback import end_offsets, group_offsets
from tests.checker.records import key_of, run_left
from tests.checker.transactional import ABANDON_ODDS, ABORT_ODDS, TransactionalSession
from tests.checker.workloads import GROUP, Idempotent, Worker

INPUT: Final = "originals"
OUTPUT: Final = "copies"

_METADATA_MAGIC: Final = b"CGMDv2:"
_DRAIN_S: Final = 180.0
_POLL_S: Final = 1.0
_PAUSE_S: Final = 0.1
_CALL_S: Final = 5.0
_COMMITTED_S: Final = 1.0  # asked again at once: the coordinator that was asked may be the one that is paused
_MOST_RECORDS: Final = 2000


def read_group_metadata(data: bytes) -> ConsumerGroupMetadata:
    """What librdkafka hands out as opaque bytes: magic, generation in native order, group and member.

    Raises:
        ValueError: the bytes are of another form.
    """
    if not data.startswith(_METADATA_MAGIC):
        raise ValueError(f"group metadata starts with {data[:8]!r}")
    start = len(_METADATA_MAGIC)
    (generation,) = struct.unpack_from("=i", data, start)
    group, member, _ = data[start + 4 :].split(b"\0", 2)
    return ConsumerGroupMetadata(group.decode(), generation, member.decode())


class Copying:
    """An idempotent producer feeds the input topic, two copiers read it committed and copy it in transactions.

    Args:
        bootstrap_servers: of the cluster.
        history: gets the outcomes.
        seed: of what is left to chance.
        rate: records per second into the input topic.
        partitions: of each topic, default 6.
        copiers: default 2.
    """

    name = "copy"

    def __init__(
        self,
        bootstrap_servers: str,
        history: History,
        seed: int,
        rate: float,
        partitions: int = 6,
        copiers: int = 2,
    ) -> None:
        self.topics = {INPUT: partitions, OUTPUT: partitions}
        self._bootstrap_servers = bootstrap_servers
        self._partitions = partitions
        self._feeder = Idempotent(
            bootstrap_servers, history, make_kproducer, "kproducer", rate, INPUT, partitions
        )
        self._copiers = [
            _Copier(
                bootstrap_servers, history, partitions, f"copier-{index}", random.Random(f"{seed}/{index}")
            )
            for index in range(copiers)
        ]

    def start(self) -> None:
        """Begin to feed and to copy."""
        self._feeder.start()
        for copier in self._copiers:
            copier.start()

    def stop(self) -> None:
        """Feed no more, let everything be copied, and close."""
        self._feeder.stop()
        self._wait_until_copied()
        for copier in self._copiers:
            copier.worker.ask_to_stop()
        for copier in self._copiers:
            copier.worker.join()

    def _wait_until_copied(self) -> None:
        """Wait for the group's offsets; what is missing when the time is over shows in the checks."""
        from confluent_kafka import IsolationLevel  # noqa: PLC0415, RUF100

        ends = end_offsets(self._bootstrap_servers, INPUT, self._partitions, IsolationLevel.READ_COMMITTED)
        deadline = time.monotonic() + _DRAIN_S
        while time.monotonic() < deadline and not any(copier.worker.error for copier in self._copiers):
            if group_offsets(self._bootstrap_servers, GROUP, INPUT, self._partitions) == ends:
                return
            time.sleep(_POLL_S)


class _Copier:
    def __init__(
        self, bootstrap_servers: str, history: History, partitions: int, name: str, choose: random.Random
    ) -> None:
        self._session = TransactionalSession(bootstrap_servers, history, OUTPUT, partitions, name, choose)
        self._history = history
        self._random = choose
        self._must_rewind = False
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap_servers,
                "group.id": GROUP,
                "isolation.level": "read_committed",
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
                # It is the producer that is judged. With 6 s a pause of the coordinator costs a member its place, and
                # both copiers stand still for the group's rebalance; by default a consumer also looks for a lost
                # broker, and for a coordinator that moved, up to ten seconds late.
                "session.timeout.ms": 30_000,
                "heartbeat.interval.ms": 1_000,
                "socket.timeout.ms": 5_000,
                "reconnect.backoff.max.ms": 500,
                "coordinator.query.interval.ms": 1_000,
                # Small fetches: with large ones a copier that is behind stays with one partition for long.
                "max.partition.fetch.bytes": 128 << 10,
                "queued.min.messages": 1_000,
                "log_level": 0,
            }
        )
        self.worker = Worker(name, self._step, self._close)

    def start(self) -> None:
        self._session.start()
        # With callbacks a rebalance waits for consume(): the generation cannot change under a transaction.
        self._consumer.subscribe([INPUT], on_assign=_assign, on_revoke=self._revoked, on_lost=self._revoked)
        self.worker.start()

    def _revoked(self, consumer: Any, places: Sequence[Place]) -> None:
        self._must_rewind = True

    def _step(self) -> None:
        if self._must_rewind and not self._rewind():
            return
        found = self._consumer.consume(self._random.randint(1, _MOST_RECORDS), timeout=0.2)
        messages = [message for message in found if message.error() is None]
        # What came before a rebalance in the same call may belong to somebody else by now.
        if messages and not self._must_rewind:
            metadata = read_group_metadata(self._consumer.consumer_group_metadata())
            self._must_rewind = not self._copy(messages, metadata)

    def _copy(self, messages: list[Any], metadata: ConsumerGroupMetadata) -> bool:
        """Copy messages in one transaction; returns whether it was committed."""
        session, fate = self._session, self._random.random()
        transaction = session.begin()
        if not self._send(transaction, messages):
            session.abort(transaction, "a send was refused")
            return False
        if fate < 1 / ABORT_ODDS:
            session.abort(transaction, "asked for")
            return False
        ends = {TopicPartition(INPUT, m.partition()): m.offset() + 1 for m in messages}
        try:
            session.producer.send_offsets_to_transaction(ends, metadata, _CALL_S)
        except KafkaError as error:
            self._history.refusals[f"send_offsets: {error.name}"] += 1
            session.abort(transaction, error.name)
            return False
        if fate < 1 / ABORT_ODDS + 1 / ABANDON_ODDS:
            session.abandon(transaction)
            return False
        return session.commit(transaction)

    def _send(self, transaction: Transaction, messages: list[Any]) -> bool:
        by_partition = sorted(messages, key=lambda message: (message.partition(), message.offset()))
        for partition, group in groupby(by_partition, key=lambda message: message.partition()):
            left = list(group)
            while left:
                count = min(run_left(len(self._session.streams[partition])), len(left))
                if self._send_run(transaction, partition, left[:count]) < count:
                    return False
                left = left[count:]
        return True

    def _send_run(self, transaction: Transaction, partition: int, messages: list[Any]) -> int:
        stream, records = self._session.streams[partition], self._history.records
        first, count = len(stream), len(messages)
        values = [
            records.copy(
                stream.incarnation,
                partition,
                n,
                transaction.number,
                (message.partition(), message.offset()),
                message.value(),
            )
            for n, message in enumerate(messages, start=first)
        ]
        keys = [key_of(value, n) for n, value in enumerate(values, start=first)]
        stream.accept(count, self._history.now_ms(), transaction.number)
        taken = self._session.client.send(stream, first, values, keys, records.timestamp_ms(first))
        stream.withdraw(count - taken)
        return taken

    def _rewind(self) -> bool:
        """Go back to what is committed; returns whether that succeeded."""
        assigned = self._consumer.assignment()
        try:
            for place in self._consumer.committed(assigned, timeout=_COMMITTED_S) if assigned else ():
                if place.error is not None:
                    return False
                self._consumer.seek(Place(INPUT, place.partition, max(0, place.offset)))
        except KafkaException as error:
            self._history.refusals[f"rewind: {error.args[0].name()}"] += 1
            self.worker.wait(_PAUSE_S)
            return False
        self._must_rewind = False
        return True

    def _close(self) -> None:
        self._consumer.close()
        self._session.stop()


def _assign(consumer: Any, places: Sequence[Place]) -> None:
    """Begin at the committed offsets, which is what happens without an own assignment."""
