"""One client, one run, one fresh process: a job as JSON on stdin, one JSON line with the outcome out."""

from __future__ import annotations

import json
import resource
import sys
import time
from dataclasses import asdict

from bench.peers.clients import CLIENTS
from bench.peers.job import Job, Measured
from bench.peers.payload import make_pool, repeat_to


def cpu_seconds() -> float:
    """Return user and system seconds of this process and of the children that it waited for."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def measure(job: Job) -> Measured:
    """Run `job`; everything that can be made before the first send is made before the clock starts."""
    pool = make_pool(job.size)
    values = repeat_to(pool, job.records)
    client = CLIENTS[job.client](job, pool)
    warmed = 0
    if job.warmup and client.warms_up:
        warmed = client.send_all(repeat_to(pool, job.warmup))
        client.flush()
    cpu_start, start = cpu_seconds(), time.perf_counter()
    timed = client.send_all(values)
    client.flush()
    seconds, cpu_s = time.perf_counter() - start, cpu_seconds() - cpu_start
    who = resource.RUSAGE_CHILDREN if client.own_seconds is not None else resource.RUSAGE_SELF
    max_rss_mb = resource.getrusage(who).ru_maxrss / 1024
    seconds = client.own_seconds or seconds
    client.close()
    return Measured(warmed + timed, timed, seconds, cpu_s, round(max_rss_mb, 1), client.version)


def main() -> None:
    """Read the job, run it, print what came of it."""
    job = Job(**json.loads(sys.stdin.read()))
    try:
        outcome = asdict(measure(job))
    except ImportError as error:
        outcome = {"missing": f"{type(error).__name__}: {error}"}
    except Exception as error:  # noqa: BLE001  # the process edge: the runner prints it as this client's error line
        outcome = {"failed": f"{type(error).__name__}: {error}"}
    print(json.dumps(outcome), flush=True)


if __name__ == "__main__":
    main()
