"""Records per second and CPU: from the first send to the return of flush."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from bench.peers.burners import burning
from bench.peers.clients import CLIENTS, Client
from bench.peers.job import Job, Measured
from bench.peers.payload import make_load, make_values, repeat_to
from bench.peers.usage import children_peak_rss_mib, cpu_seconds, peak_rss_mib

Load = Sequence[list[bytes]]


def warm_up(client: Client, job: Job, pool: list[bytes]) -> int:
    """Send and flush what nobody counts; return how many records."""
    if job.warmup == 0 or not client.warms_up:
        return 0
    sent = client.send_all(repeat_to(pool, job.warmup))
    client.flush()
    return sent


def measure_rate(job: Job) -> Measured:
    """Run `job`; everything that can be made before the first send is made before the clock starts."""
    pool = make_values(job)
    loads = [make_load(pool, share, job.chunk) for share in shares(job.records, job.threads)]
    client = CLIENTS[job.client](job, pool)
    warmed = warm_up(client, job, pool)
    with burning(job.burners):
        cpu_start, start = cpu_seconds(), time.perf_counter()
        timed = send_loads(client, loads)
        client.flush()
        seconds, cpu_s = time.perf_counter() - start, cpu_seconds() - cpu_start
    is_child = client.own_seconds is not None
    rss_mib = children_peak_rss_mib() if is_child else peak_rss_mib()
    seconds = client.own_seconds or seconds
    client.close()
    return Measured(warmed + timed, timed, seconds, cpu_s, round(rss_mib, 1), client.version)


def shares(records: int, threads: int) -> list[int]:
    """Return how many of `records` each of `threads` sends; they differ by one at most."""
    each, rest = divmod(records, threads)
    return [each + (index < rest) for index in range(threads)]


def send_loads(client: Client, loads: Sequence[Load]) -> int:
    """Send each load from a thread of its own, a single one from this thread; return the number of records.

    Raises:
        Exception: the first one that a thread ended with.
    """
    if len(loads) == 1:
        return sum(client.send_all(values) for values in loads[0])
    sent: list[int] = []
    failures: list[Exception] = []

    def run(load: Load) -> None:
        try:
            sent.append(sum(client.send_all(values) for values in load))
        except Exception as error:  # noqa: BLE001  # a thread's edge: raised again below
            failures.append(error)

    threads = [threading.Thread(target=run, args=(load,)) for load in loads]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return sum(sent)
