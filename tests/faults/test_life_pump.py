"""The pump's thread of a real producer runs out of memory: records fail with a cause, and nothing hangs or crashes."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.faults.preload import compiled
from tests.faults.stage import TOPIC, stage

_ROOT = Path(__file__).parents[2]

# Allocations of one thread fail, from the n-th on, a number of times.
_NO_MEMORY = """
#define _GNU_SOURCE
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);

static volatile int victim, first, last, seen;

void no_memory_for(int thread, int from, int until) { seen = 0; first = from; last = until; victim = thread; }
int no_memory_seen(void) { return seen; }

static int fails(void) {
    if (victim == 0 || (int)syscall(SYS_gettid) != victim) return 0;
    seen++;
    return seen >= first && seen <= last;
}

void *malloc(size_t size) { return fails() ? NULL : __libc_malloc(size); }
void *calloc(size_t count, size_t size) { return fails() ? NULL : __libc_calloc(count, size); }
void *realloc(void *old, size_t size) { return fails() ? NULL : __libc_realloc(old, size); }
"""

_SCRIPT = """
import ctypes, os, sys, threading
from kproducer import KafkaError, KafkaProducer

SERVERS, TOPIC, LIBRARY = sys.argv[1:4]
FAILURES = int(sys.argv[4])
library = ctypes.CDLL(LIBRARY)

def pump_thread():
    known = {thread.native_id for thread in threading.enumerate()}
    (pump,) = {int(name) for name in os.listdir("/proc/self/task")} - known
    return pump

def try_with(first):
    producer = KafkaProducer(bootstrap_servers=SERVERS, linger_ms=1, client_id=f"first-{first}")
    producer.send(TOPIC, b"warm", partition=0).result(10)
    library.no_memory_for(pump_thread(), first, first + FAILURES - 1)
    refused = 0
    futures = []
    for n in range(20):
        try:
            futures.append(producer.send(TOPIC, b"v", partition=n % 3))
            futures[-1].exception(10)
        except KafkaError as error:
            assert "no outcome within" not in str(error), "a record hangs"
            refused += 1
    seen = library.no_memory_seen()
    library.no_memory_for(0, 0, 0)
    failed = [error for future in futures if (error := future.exception(10)) is not None]
    if refused:
        assert failed, "somebody was told of the error before"
    if failed and not refused:
        assert producer.send(TOPIC, b"after", partition=0).result(10).has_offset
    producer.close(5)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("kproducer-")]
    return seen >= first, len(failed)

total = 0
for first in range(1, 60):
    fails, failed = try_with(first)
    total += failed
    if not fails:
        break
print("failed", total)
assert total > 0
"""


@pytest.mark.row("F37")
@pytest.mark.row("F45")
@pytest.mark.parametrize("failures", [1, 30])
def test_any_allocation_of_the_pump_may_fail(tmp_path: Path, failures: int) -> None:
    library = compiled(tmp_path, "no_memory", _NO_MEMORY)
    with stage(partitions=3) as on:
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(_SCRIPT), on.bootstrap_servers, TOPIC, str(library), str(failures)],
            cwd=_ROOT, capture_output=True, text=True, timeout=100, check=False,
            env=os.environ | {"LD_PRELOAD": str(library), "PYTHONPATH": str(_ROOT)},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
