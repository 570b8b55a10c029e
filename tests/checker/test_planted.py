"""Bugs planted into the real producer in front of a real broker are found, and nothing else is."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pytest

from kproducer import KafkaProducer
from kproducer.errors import KafkaError
from kproducer.testing import FaultProxy, KafkaCluster
from tests.checker import run
from tests.checker.batches import BatchHeader
from tests.checker.clients import KproducerClient
from tests.checker.findings import Findings
from tests.checker.history import History, Outcome
from tests.checker.judge import Scope, judge
from tests.checker.model import Message
from tests.checker.planted import BUGS, SKIPPED, Bug
from tests.checker.workloads import send_run
from tests.clusters import running_cluster

_PARTITIONS = 3
_TURNS = 40
_CLOSE_S = 20.0


@pytest.fixture(scope="module")
def broker() -> Iterator[KafkaCluster]:
    yield from running_cluster(1)


class LiveSource:
    """A topic of a broker that goes on; its batches are left to the runs."""

    def __init__(self, broker: KafkaCluster, topic: str, *, is_transactional: bool) -> None:
        topics = {topic: _PARTITIONS}
        self._source = run.ClusterSource(broker, topics, is_transactional=is_transactional, patience_s=2.0)

    def read(self, topic: str, take: Callable[[list[Message]], None], *, is_committed: bool) -> None:
        self._source.read(topic, take, is_committed=is_committed)

    def group_offsets(self, topic: str) -> Mapping[int, int]:
        return {}

    def stuck(self) -> list[str]:
        return self._source.stuck()

    def replicas(self, topic: str, partition: int) -> Mapping[str, Sequence[BatchHeader]]:
        return {"live": ()}


def send(history: History, producer: KafkaProducer, client: KproducerClient, topic: str) -> None:
    """A request for each of the batches that the proxy lets pass, then as many as it takes."""
    streams = history.begin_incarnation(topic, _PARTITIONS, "kproducer")
    for turn in range(_TURNS):
        send_run(history, client, streams[turn % _PARTITIONS], limit=16)
        if turn < SKIPPED:
            producer.flush(_CLOSE_S)
        time.sleep(0.002)  # so that batches follow each other instead of one that holds all


def send_transactions(history: History, producer: KafkaProducer, client: KproducerClient, topic: str) -> None:
    """Commit and abort in turn; the last one commits, so that nothing is left open by intention."""
    streams = history.begin_incarnation(topic, _PARTITIONS, "kproducer", "planted")
    producer.init_transactions(_CLOSE_S)
    for number in range(7):
        producer.begin_transaction()
        transaction = history.begin_transaction(0, number)
        for stream in streams:
            send_run(history, client, stream, limit=16, transaction=number)
        try:
            if number % 2 == 0:
                producer.commit_transaction(_CLOSE_S)
            else:
                producer.flush(_CLOSE_S)
                producer.abort_transaction(_CLOSE_S)
        except KafkaError as error:
            history.end_transaction(transaction, Outcome.INFO, error.name)
            return
        history.end_transaction(transaction, Outcome.FAIL if number % 2 else Outcome.OK)


def find_faults(bug: Bug, broker: KafkaCluster, patch: pytest.MonkeyPatch) -> Findings:
    topic = f"planted-{uuid.uuid4().hex[:8]}"
    broker.create_topic(topic, _PARTITIONS, 1)
    history = History(uuid.uuid4().bytes[:8], int(time.time() * 1000))
    settings: dict[str, Any] = {"linger_ms": 0, "retry_backoff_ms": 50, "request_timeout_ms": 5_000}
    settings |= {"transactional_id": topic} if bug.is_transactional else {}
    with FaultProxy(node.address for node in broker.nodes) as proxy:
        bug.plant(patch, proxy)
        producer = KafkaProducer(bootstrap_servers=proxy.bootstrap_servers, **settings, **dict(bug.config))
        client = KproducerClient(producer, topic, history)
        try:
            if bug.is_transactional:
                send_transactions(history, producer, client, topic)
            else:
                send(history, producer, client, topic)
        finally:
            client.close(_CLOSE_S)
    scope = Scope(
        topics={topic: _PARTITIONS}, is_transactional=bug.is_transactional, is_copy=False, late_ms=60_000
    )
    return judge(history, scope, LiveSource(broker, topic, is_transactional=bug.is_transactional))


@pytest.mark.checker
@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: f"{bug.name}{'-txn' if bug.is_transactional else ''}")
def test_a_planted_bug_is_called_by_its_name(
    bug: Bug, broker: KafkaCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    findings = find_faults(bug, broker, monkeypatch)
    assert bug.faults <= findings.faults <= bug.faults | bug.by_chance, findings.examples
