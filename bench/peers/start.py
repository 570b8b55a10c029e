"""Import, construct, first acknowledgement: what a short-lived process pays."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time

from bench.peers.clients.base import java_names, version_of
from bench.peers.job import Job, Measured
from bench.peers.usage import children_peak_rss_mib, cpu_seconds

_KPRODUCER = """
import time
began = time.perf_counter()
from kproducer import KafkaProducer
imported = time.perf_counter()
producer = KafkaProducer(SETTINGS)
made = time.perf_counter()
producer.send(TOPIC, b"first").result(30)
acked = time.perf_counter()
print([imported - began, made - imported, acked - made])
producer.close()
"""

_CONFLUENT = """
import time
began = time.perf_counter()
from confluent_kafka import Producer
imported = time.perf_counter()
producer = Producer(SETTINGS)
made = time.perf_counter()
errors = []
producer.produce(TOPIC, b"first", on_delivery=lambda error, message: errors.append(error))
producer.flush(30)
acked = time.perf_counter()
assert errors == [None], errors
print([imported - began, made - imported, acked - made])
"""

_SCRIPTS = {"kproducer": (_KPRODUCER, "kproducer"), "confluent": (_CONFLUENT, "confluent_kafka")}
_PHASES = ("import_ms", "construct_ms", "first_ack_ms")


def measure_start(job: Job) -> Measured:
    """Start `job.records` fresh interpreters one after the other; the figures are medians in milliseconds."""
    script, module = _SCRIPTS[job.client]
    named = script.replace("TOPIC", repr(job.topic)).replace("SETTINGS", repr(java_names(job)))
    command = [sys.executable, "-c", named]
    cpu_start, start = cpu_seconds(), time.perf_counter()
    for _ in range(job.warmup):  # the first one reads files from the disk and compiles what was not compiled
        _run(command)
    starts = [_run(command) for _ in range(job.records)]
    seconds, cpu_s = time.perf_counter() - start, cpu_seconds() - cpu_start
    phases = zip(*starts, strict=True)
    values = {name: statistics.median(times) for name, times in zip(_PHASES, phases, strict=True)}
    values["start_ms"] = statistics.median(sum(times) for times in starts)
    sent = job.warmup + job.records
    return Measured(sent, sent, seconds, cpu_s, round(children_peak_rss_mib(), 1), version_of(module), values)


def _run(command: list[str]) -> list[float]:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"the first record was not acknowledged: {done.stderr.strip()[-300:]}")
    seconds: list[float] = json.loads(done.stdout.splitlines()[-1])
    return [1000 * phase_s for phase_s in seconds]
