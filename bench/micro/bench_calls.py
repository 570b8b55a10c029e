"""Times the calls of the API against the C sink; microseconds in the table are nanoseconds a record.

The pump works beside the calls: with two cores its share of the time is its own, with one it is in the figures.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.micro.calls import CALLS, RECORDS
from bench.sink import Sink
from kproducer import KafkaProducer

ROUNDS = 50


@pytest.fixture(scope="module")
def producer() -> Iterator[KafkaProducer]:
    """A producer with defaults, connected and warm."""
    with Sink() as sink, KafkaProducer(bootstrap_servers=sink.bootstrap_servers) as producer:
        for call in CALLS.values():
            call(producer)
        producer.flush()
        yield producer


@pytest.mark.parametrize("name", CALLS)
def bench_call(benchmark: BenchmarkFixture, producer: KafkaProducer, name: str) -> None:
    """1000 records; what the round before left is out of the way first."""
    benchmark.extra_info["items"] = RECORDS
    benchmark.pedantic(CALLS[name], args=(producer,), setup=producer.flush, rounds=ROUNDS, warmup_rounds=2)
