"""The producer of the soak, in a process of its own: bootstrap servers, records, records a sample, partitions."""

from __future__ import annotations

import json
import sys
import time

from bench.peers.payload import make_load, make_pool
from bench.peers.usage import resident_mib
from kproducer import KafkaProducer

TOPIC = "bench"


def main() -> None:
    """Send, take samples, and print what came of it as a JSON line."""
    servers, records, sample_every, partitions = sys.argv[1], *map(int, sys.argv[2:])
    load = make_load(make_pool(100), records, min(4096, sample_every))
    samples: list[tuple[float, int, float]] = []
    sent, next_sample = 0, sample_every
    with KafkaProducer({"bootstrap.servers": servers}) as producer:
        produce = producer.produce
        start = time.perf_counter()
        for values in load:
            for value in values:
                produce(TOPIC, value)
            sent += len(values)
            if sent >= next_sample:
                next_sample += sample_every
                samples.append((time.perf_counter() - start, sent, resident_mib()))
                print(f"soak: {sent:,} records, {samples[-1][2]:.1f} MiB", file=sys.stderr, flush=True)
        producer.flush()
        seconds = time.perf_counter() - start
        offsets = [
            producer.send(TOPIC, b"last", partition=index).result(60).offset for index in range(partitions)
        ]
    print(json.dumps({"seconds": seconds, "samples": samples, "offsets": offsets}))


if __name__ == "__main__":
    main()
