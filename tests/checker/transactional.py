"""Transactions as an application runs them: commit mostly, abort sometimes, and carry on after every kind of error."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Final

from kproducer import KafkaProducer
from kproducer.errors import (
    CommitOutcomeUnknownError,
    IllegalStateError,
    KafkaError,
    KafkaTimeoutError,
    TransactionCommittedError,
)
from tests.checker.clients import DELIVERY_TIMEOUT_MS, LINGER_MS, REQUEST_TIMEOUT_MS, Client, KproducerClient
from tests.checker.history import History, Outcome, Stream, Transaction
from tests.checker.workloads import Pace, Worker, send_run

TRANSACTION_TIMEOUT_MS: Final = 10_000
ABORT_ODDS: Final = 32
ABANDON_ODDS: Final = 64
HASTE_ODDS: Final = 16

_CALL_S: Final = 5.0
_HASTY_S: Final = 0.05  # a commit that is given so little time has an unknown outcome now and then
_GIVE_UP_S: Final = 120.0
_CLOSE_S: Final = 30.0
_LEAST_RECORDS: Final = 50
_MOST_RECORDS: Final = 2000
_MOST_PARTITIONS: Final = 4


class TransactionalSession:
    """A transactional id, and the incarnations of the producer that has it.

    Args:
        bootstrap_servers: of the cluster.
        history: gets incarnations, transactions and records.
        topic, partitions: where to.
        transactional_id: shared by all incarnations.
        choose: for what is left to chance.
    """

    def __init__(
        self,
        bootstrap_servers: str,
        history: History,
        topic: str,
        partitions: int,
        transactional_id: str,
        choose: random.Random,
    ) -> None:
        self.history = history
        self._bootstrap_servers = bootstrap_servers
        self._topic = topic
        self._partitions = partitions
        self._transactional_id = transactional_id
        self._random = choose
        self._number = 0
        self.streams: list[Stream] = []
        self.producer: KafkaProducer
        self.client: Client

    def start(self) -> None:
        """Begin an incarnation; what an earlier one left open is aborted by it."""
        self.producer = KafkaProducer(
            bootstrap_servers=self._bootstrap_servers,
            transactional_id=self._transactional_id,
            transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
            linger_ms=LINGER_MS,
            request_timeout_ms=REQUEST_TIMEOUT_MS,
            delivery_timeout_ms=DELIVERY_TIMEOUT_MS,
            max_block_ms=10_000,
        )
        self.client = KproducerClient(self.producer, self._topic, self.history)
        self.streams = self.history.begin_incarnation(
            self._topic, self._partitions, "kproducer", self._transactional_id
        )
        self._number = 0
        repeat(self.producer.init_transactions)

    def begin(self) -> Transaction:
        """Begin a transaction."""
        self.producer.begin_transaction()
        transaction = self.history.begin_transaction(self.streams[0].incarnation, self._number)
        self._number += 1
        return transaction

    def commit(self, transaction: Transaction) -> bool:
        """Commit, and find out what became of it; returns whether it is surely committed."""
        deadline = time.monotonic() + _GIVE_UP_S
        timeout_s = self._random.uniform(0, _HASTY_S) if self._random.random() < 1 / HASTE_ODDS else _CALL_S
        while True:
            try:
                self.producer.commit_transaction(timeout_s)
            except KafkaTimeoutError as error:
                # An application may ask again, or make sure that it is over: both must be right.
                self.history.refusals[f"commit: {error.name}"] += 1
                if time.monotonic() > deadline or self._random.random() < 0.5:
                    return self._abort_late(transaction, error)
                timeout_s = _CALL_S
            except KafkaError as error:
                self._abort_failed(transaction, error)
                return False
            else:
                self.history.end_transaction(transaction, Outcome.OK)
                return True

    def abort(self, transaction: Transaction, cause: str) -> None:
        """Abort; the transaction is surely aborted, even if that takes another incarnation."""
        try:
            repeat(self.producer.abort_transaction)
        except KafkaError as error:
            self.replace(transaction, f"{cause}, then {error.name}")
        else:
            self.history.end_transaction(transaction, Outcome.FAIL, cause)

    def replace(self, transaction: Transaction, cause: str, outcome: Outcome = Outcome.FAIL) -> None:
        """Go on with a new incarnation, which fences this one: its open transaction can only be aborted."""
        old = self.client
        self.start()
        self.history.end_transaction(transaction, outcome, cause)
        close(old)

    def abandon(self, transaction: Transaction) -> None:
        """Leave a transaction open, as a crash does; then let the fenced incarnation try to commit it."""
        old, old_producer = self.client, self.producer
        self.start()
        outcome = Outcome.FAIL
        try:
            old_producer.commit_transaction(_CALL_S)
        except KafkaError as error:
            cause = f"abandoned, {error.name}"
        else:
            outcome, cause = Outcome.OK, "committed by a fenced producer"
        self.history.end_transaction(transaction, outcome, cause)
        close(old)

    def stop(self) -> None:
        """Close the producer."""
        self.client.close()

    def _abort_late(self, transaction: Transaction, error: KafkaTimeoutError) -> bool:
        """Abort what may be committed by now; returns whether it surely is."""
        is_unknown = isinstance(error, CommitOutcomeUnknownError)
        try:
            repeat(self.producer.abort_transaction)
        except TransactionCommittedError:
            self.history.end_transaction(transaction, Outcome.OK, "abort found it committed")
            return True
        except KafkaError as failure:
            outcome = Outcome.INFO if is_unknown else Outcome.FAIL
            self.replace(transaction, f"{error.name}, then {failure.name}", outcome)
            return False
        self.history.end_transaction(transaction, Outcome.FAIL, f"aborted after {error.name}")
        return False

    def _abort_failed(self, transaction: Transaction, error: KafkaError) -> None:
        """A commit that raised anything else has not committed, unless the producer is dead: then nobody knows."""
        self.history.refusals[f"commit: {error.name}"] += 1
        if error.fatal:
            self.replace(transaction, error.name, Outcome.INFO)
        else:
            self.abort(transaction, error.name)


def repeat(call: Callable[[float], None]) -> None:
    """Repeat a call of the transaction API until it is not the time that ran out."""
    deadline = time.monotonic() + _GIVE_UP_S
    while True:
        try:
            call(_CALL_S)
            return
        except KafkaTimeoutError:
            if time.monotonic() > deadline:
                raise


def close(client: Client) -> None:
    """Close a client of whose records nobody waits for good news."""
    try:
        client.close(_CLOSE_S)
    except KafkaError:
        pass  # failures that nobody listened to; the history has them from the callbacks


class Transactional:
    """Several transactional ids, each with its thread, transactions of 50 to 2000 records in up to 4 partitions.

    Args:
        bootstrap_servers: of the cluster.
        history: gets the outcomes.
        seed: of what is left to chance.
        rate: records per second.
        ids, partitions: how many; default 3 and 6.
    """

    name = "transactional"

    def __init__(
        self,
        bootstrap_servers: str,
        history: History,
        seed: int,
        rate: float,
        ids: int = 3,
        partitions: int = 6,
    ) -> None:
        self.topics = {"checked": partitions}
        self._writers = [
            _Writer(
                TransactionalSession(
                    bootstrap_servers,
                    history,
                    "checked",
                    partitions,
                    f"writer-{index}",
                    random.Random(f"{seed}/{index}"),
                ),
                random.Random(f"{seed}:{index}"),
                rate / ids,
            )
            for index in range(ids)
        ]

    def start(self) -> None:
        """Begin to send."""
        for writer in self._writers:
            writer.start()

    def stop(self) -> None:
        """End the transactions and close the producers."""
        for writer in self._writers:
            writer.worker.ask_to_stop()
        for writer in self._writers:
            writer.worker.join()


class _Writer:
    def __init__(self, session: TransactionalSession, choose: random.Random, rate: float) -> None:
        self._session = session
        self._random = choose
        self._rate = rate
        self.worker = Worker("writer", self._one_transaction, session.stop)

    def start(self) -> None:
        self._session.start()
        self._pace = Pace(self._rate)
        self.worker.start()

    def _one_transaction(self) -> None:
        session, choose = self._session, self._random
        transaction = session.begin()
        wanted = choose.randint(_LEAST_RECORDS, _MOST_RECORDS)
        fate = choose.random()
        sent = self._send(transaction, wanted)
        if sent < wanted:
            session.abort(transaction, "a send was refused")
        elif fate < 1 / ABANDON_ODDS:
            session.abandon(transaction)
        elif fate < 1 / ABANDON_ODDS + 1 / ABORT_ODDS:
            session.abort(transaction, "asked for")
        else:
            session.commit(transaction)
        self._pace.wait(max(1, sent), self.worker)

    def _send(self, transaction: Transaction, wanted: int) -> int:
        """Send records of one transaction; stops at the first that is refused."""
        session = self._session
        streams = self._random.sample(session.streams, self._random.randint(1, _MOST_PARTITIONS))
        sent = 0
        while sent < wanted:
            stream = self._random.choice(streams)
            limit = min(wanted - sent, self._random.randint(1, 64))
            try:
                taken = send_run(session.history, session.client, stream, limit, transaction.number)
            except IllegalStateError:
                return sent
            if taken == 0:
                return sent
            sent += taken
        return sent
