"""The clients under test: equal settings, each one's best documented loop; they run in a worker process."""

from __future__ import annotations

from bench.peers.clients.base import Client, ClientFactory
from bench.peers.clients.confluent import (
    ConfluentBatch,
    ConfluentCallback,
    ConfluentPollThread,
    ConfluentPollWhenFull,
    ConfluentProduce,
)
from bench.peers.clients.java import JavaPerformance
from bench.peers.clients.own import (
    KproducerCallback,
    KproducerColumns,
    KproducerFuture,
    KproducerProduce,
    KproducerSendMany,
    KproducerTopics,
)
from bench.peers.clients.pure_python import Aiokafka, AiokafkaFuture, KafkaPython, KafkaPythonFuture
from bench.peers.clients.replay import ReplayClient

__all__ = ["CLIENTS", "SHARE_OF_RECORDS", "Client", "ClientFactory"]

CLIENTS: dict[str, ClientFactory] = {
    "kproducer": KproducerProduce,
    "kproducer-many": KproducerSendMany,
    "kproducer-columns": KproducerColumns,
    "kproducer-callback": KproducerCallback,
    "kproducer-future": KproducerFuture,
    "kproducer-topics": KproducerTopics,
    "confluent": ConfluentProduce,
    "confluent-poll-when-full": ConfluentPollWhenFull,
    "confluent-poll-thread": ConfluentPollThread,
    "confluent-callback": ConfluentCallback,
    "confluent-batch": ConfluentBatch,
    "kafka-python": KafkaPython,
    "kafka-python-future": KafkaPythonFuture,
    "aiokafka": Aiokafka,
    "aiokafka-future": AiokafkaFuture,
    "java": JavaPerformance,
    "replay": ReplayClient,
}

# The slow ones send fewer records, so that a round takes seconds; rates and CPU are per record all the same.
SHARE_OF_RECORDS = {"aiokafka": 0.1, "kafka-python": 0.02}
