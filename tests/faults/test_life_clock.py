"""The wall clock jumps by an hour under a running producer: only the timestamps of records move (F36)."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import uuid
from pathlib import Path

import pytest

from kproducer.protocol.messages.produce import PRODUCE
from kproducer.testing import KafkaCluster
from tests.fakes.scripted_broker import Silent
from tests.faults.preload import compiled
from tests.faults.stage import TOPIC, answered, stage
from tests.faults.workload import read_back

_ROOT = Path(__file__).parents[2]

# Adds the seconds in a mapped file to every reading of the wall clock, in C and in Python alike.
_SHIFTED_CLOCK = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile int64_t *shift;

__attribute__((constructor)) static void map(void) {
    const char *path = getenv("CLOCK_SHIFT_FILE");
    const int fd = path == NULL ? -1 : open(path, O_RDONLY);
    void *at = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof *shift, PROT_READ, MAP_SHARED, fd, 0);
    shift = at == MAP_FAILED ? NULL : at;
    if (fd >= 0) close(fd);
}

static int64_t now(void) { return shift == NULL ? 0 : *shift; }

int clock_gettime(clockid_t id, struct timespec *ts) {
    static int (*real)(clockid_t, struct timespec *);
    if (real == NULL) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    const int status = real(id, ts);
    if (status == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) ts->tv_sec += now();
    return status;
}

int gettimeofday(struct timeval *restrict tv, void *restrict zone) {
    struct timespec ts;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &ts);
    tv->tv_sec = ts.tv_sec;
    tv->tv_usec = ts.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *out) {
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    if (out != NULL) *out = ts.tv_sec;
    return ts.tv_sec;
}
"""

_SETUP = """
import os, struct, sys, threading, time
from kproducer import *

SERVERS, TOPIC = sys.argv[1:3]
HOUR = 3600

def step(seconds):
    before = time.time() - time.monotonic()
    with open(os.environ["CLOCK_SHIFT_FILE"], "r+b") as file:
        file.write(struct.pack("q", seconds))
    moved = time.time() - time.monotonic() - before
    return moved

assert abs(step(HOUR) - HOUR) < 1 and abs(step(0) + HOUR) < 1, "the clock does not move"

def within(low, high, call):
    began = time.monotonic()
    result = call()
    took = time.monotonic() - began
    assert low <= took <= high, f"{took} s, not {low} to {high}"
    return result

def refused(call):
    try:
        call()
    except KafkaTimeoutError:
        return
    sys.exit("no KafkaTimeoutError")

def stepping_meanwhile(seconds, after):
    timer = threading.Timer(after, step, (seconds,))
    timer.start()
    return timer
"""


def _run(folder: Path, body: str, *arguments: str) -> None:
    library = compiled(folder, "shifted_clock", _SHIFTED_CLOCK)
    shift = folder / "shift"
    shift.write_bytes(bytes(8))
    done = subprocess.run(
        [sys.executable, "-c", _SETUP + textwrap.dedent(body), *arguments],
        cwd=_ROOT, capture_output=True, text=True, timeout=100, check=False,
        env=os.environ | {"LD_PRELOAD": str(library), "CLOCK_SHIFT_FILE": str(shift), "PYTHONPATH": str(_ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    noise = [line for line in done.stderr.splitlines() if "on.sequence.gap" not in line]
    assert noise == []  # what expired in flight may be missing, and is told so


@pytest.mark.row("F36")
@pytest.mark.parametrize("hours", [1, -1])
def test_linger_backoff_expiry_and_max_block_do_not_follow_the_wall_clock(tmp_path: Path, hours: int) -> None:
    with stage(partitions=3) as on:
        broker = on.brokers[0]
        append = broker.default(PRODUCE)

        def mood(request: object) -> object:
            partition = request.body.topic_data[0].partition_data[0].index  # type: ignore[attr-defined]
            return Silent() if partition == 2 else append(request)  # type: ignore[arg-type]

        broker.on(PRODUCE, mood)
        broker.push(PRODUCE, broker.default(PRODUCE), answered(19))
        _run(
            tmp_path,
            """
            producer = KafkaProducer(
                bootstrap_servers=SERVERS, linger_ms=400, retry_backoff_ms=500, retry_backoff_max_ms=500,
                request_timeout_ms=900, delivery_timeout_ms=1500, max_block_ms=700, retries=100)
            producer.send(TOPIC, b"warm", partition=0).result(10)
            jump = int(sys.argv[3]) * HOUR

            timer = stepping_meanwhile(jump, 0.2)  # in the middle of linger, and again in the middle of the backoff
            future = producer.send(TOPIC, b"lingers, is refused, is sent again", partition=0)
            within(0.7, 3, lambda: future.result(10))
            timer.join()

            timer = stepping_meanwhile(0, 0.3)
            lost = producer.send(TOPIC, b"expires", partition=2)
            error = within(1.3, 2.6, lambda: lost.exception(10))
            assert isinstance(error, KafkaTimeoutError), error
            assert 1400 <= error.elapsed_ms < 2600, error
            timer.join()

            timer = stepping_meanwhile(jump, 0.3)
            within(0.6, 2, lambda: refused(lambda: producer.send("no-such-topic", b"")))
            timer.join()

            timer = stepping_meanwhile(0, 0.1)
            pending = producer.send(TOPIC, b"pending", partition=2)
            within(0.4, 1.5, lambda: refused(lambda: producer.flush(0.5)))
            assert not pending.done()
            timer.join()

            timer = stepping_meanwhile(jump, 0.1)
            within(0.2, 2, lambda: producer.close(0.3))
            timer.join()
            """,
            on.bootstrap_servers,
            TOPIC,
            str(hours),
        )


@pytest.mark.row("F36")
def test_a_real_broker_gets_every_record_once_while_the_clock_jumps_and_timestamps_follow(
    harmed3: KafkaCluster, tmp_path: Path
) -> None:
    topic = f"clock-{uuid.uuid4().hex[:8]}"
    harmed3.create_topic(topic, partitions=1, config={"message.timestamp.after.max.ms": 10 * 3600 * 1000})
    _run(
        tmp_path,
        """
        producer = KafkaProducer(bootstrap_servers=SERVERS)
        futures = []
        for n in range(6):
            producer.flush(10)  # a record that joins an open batch is not stamped before the batch's first
            step((0, HOUR, -HOUR, HOUR, 0, -HOUR)[n])
            for k in range(200):
                before = time.time()
                future = producer.send(TOPIC, b"%d" % (200 * n + k), partition=0)
                futures.append((future, before))
                if k % 50 == 0:
                    within(0, 5, lambda: future.result(10))
        producer.flush(10)
        for n, (future, before) in enumerate(futures):
            metadata = future.result(0)
            assert metadata.offset == n
            assert abs(metadata.timestamp_ms / 1000 - before) < 2, (n, metadata, before)
        producer.close()
        """,
        harmed3.bootstrap_servers,
        topic,
    )
    (log,) = read_back(harmed3.bootstrap_servers, topic, 1)
    assert [value for _, value in log] == [b"%d" % n for n in range(1200)]
