"""The calls of the API, as loops over RECORDS of 100 B: timed by bench_calls.py, counted by instructions.py.

Run as a program (`python -m bench.micro.calls BOOTSTRAP_SERVERS`), each loop is called once where callgrind collects,
and "records, item, name" are printed for each.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Final

from bench.micro.native import call_measured
from kproducer import KafkaProducer, RecordFuture

RECORDS: Final = 1000
TOPIC: Final = "bench"
VALUES: Final = [b"%0100d" % n for n in range(RECORDS)]
KEYS: Final = [b"key-%012d" % n for n in range(RECORDS)]
_LINES: Final = b"\n".join(VALUES) + b"\n"
_ROWS: Final = memoryview(b"".join(VALUES)).cast("B", [RECORDS, 100])
_KEY_ROWS: Final = memoryview(b"".join(KEYS)).cast("B", [RECORDS, 16])
_ROUNDS: Final = 10


def produce(producer: KafkaProducer) -> None:
    """No future, no callback."""
    call = producer.produce
    for value in VALUES:
        call(TOPIC, value)


def produce_keyed(producer: KafkaProducer) -> None:
    """The key chooses the partition."""
    call = producer.produce
    for value, key in zip(VALUES, KEYS, strict=True):
        call(TOPIC, value, key)


def produce_by_keyword(producer: KafkaProducer) -> None:
    """Each argument by its name."""
    call = producer.produce
    for value, key in zip(VALUES, KEYS, strict=True):
        call(topic=TOPIC, value=value, key=key)


def produce_with_callback(producer: KafkaProducer) -> None:
    """A delivery callback for each record."""
    call = producer.produce
    for value in VALUES:
        call(TOPIC, value, on_delivery=_ignore)


def send(producer: KafkaProducer) -> None:
    """Futures dropped at once."""
    call = producer.send
    for value in VALUES:
        call(TOPIC, value)


def send_keeping(producer: KafkaProducer) -> None:
    """Futures kept until all are there."""
    call = producer.send
    futures: list[RecordFuture] = [call(TOPIC, value) for value in VALUES]
    futures.clear()


def send_many(producer: KafkaProducer) -> None:
    """One call for all."""
    producer.send_many(TOPIC, VALUES)


def send_lines(producer: KafkaProducer) -> None:
    """One call for all, from one block of bytes."""
    producer.send_lines(TOPIC, _LINES)


def send_columns(producer: KafkaProducer) -> None:
    """One call for all, from a buffer with a row for each."""
    producer.send_columns(TOPIC, _ROWS)


def send_columns_keyed(producer: KafkaProducer) -> None:
    """The same, and the keys choose the partitions."""
    producer.send_columns(TOPIC, _ROWS, _KEY_ROWS)


def _ignore(*_: object) -> None:
    """A callback."""


CALLS: Final[dict[str, Callable[[KafkaProducer], None]]] = {
    "produce(topic, value)": produce,
    "produce(topic, value, key)": produce_keyed,
    "produce(topic, value, key) by keyword": produce_by_keyword,
    "produce(topic, value, on_delivery=)": produce_with_callback,
    "send(topic, value), dropped": send,
    "send(topic, value), kept": send_keeping,
    "send_many(topic, values)": send_many,
    "send_lines(topic, block)": send_lines,
    "send_columns(topic, values)": send_columns,
    "send_columns(topic, values, keys)": send_columns_keyed,
}


def _repeat(call: Callable[[KafkaProducer], None], producer: KafkaProducer) -> None:
    for _ in range(_ROUNDS):
        call(producer)


def main(bootstrap_servers: str) -> None:
    """Call each loop where callgrind collects, after one round that warms the caches of the interpreter."""
    with KafkaProducer(bootstrap_servers=bootstrap_servers) as producer:
        for name, call in CALLS.items():
            call(producer)
            producer.flush()
            call_measured(partial(_repeat, call, producer))
            producer.flush()
            print(RECORDS * _ROUNDS, "record", name, sep="\t")


if __name__ == "__main__":
    main(sys.argv[1])
