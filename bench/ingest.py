"""`kproducer ingest` of a file against `send_many` of the same lines in memory, interleaved, on the sink.

    python -m bench.ingest [--gigabytes 1.0] [--rounds 3]

Prints records/s of both, their ratio by round, and the largest resident memory of the ingest process. Each run is a
fresh process; the clock runs from the first read (ingest) or the first append (send_many) to the end of flush.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.sink import Sink

_LINE = b'{"user": "user-%07d", "page": "/catalogue/%05d", "referrer": "search", "ms": %04d, "ok": true}'

_INGEST = """
import json, resource, sys, time
from kproducer.cli import main
began = time.perf_counter()
code = main(["ingest", "--bootstrap-server", sys.argv[1], "--topic", "bench", sys.argv[2]])
seconds = time.perf_counter() - began
rss_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"seconds": seconds, "rss_mb": rss_mb, "code": code}))
"""

_SEND_MANY = """
import json, resource, sys, time
from kproducer import KafkaProducer
with open(sys.argv[2], "rb") as source:
    lines = source.read().split(b"\\n")[:-1]
with KafkaProducer({"bootstrap.servers": sys.argv[1]}) as producer:
    producer.send("bench", b"warm").result(10)
    began = time.perf_counter()
    producer.send_many("bench", lines)
    producer.flush()
    seconds = time.perf_counter() - began
print(json.dumps({"seconds": seconds, "records": len(lines)}))
"""


def write_lines(path: Path, size_bytes: int) -> int:
    """Write about size_bytes of different lines and return how many."""
    count = 0
    with path.open("wb") as target:
        while target.tell() < size_bytes:
            block = [_LINE % (n % 5_000_000, n % 99_991, n % 9973) for n in range(count, count + 100_000)]
            target.write(b"\n".join(block) + b"\n")
            count += len(block)
    return count


def run(script: str, *arguments: str) -> dict[str, float]:
    """Run a script in a fresh process and return its last line as JSON."""
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        check=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def main() -> int:
    """Run the comparison; 1 when a record is missing at the sink."""
    parser = argparse.ArgumentParser(prog="bench.ingest", description=__doc__.splitlines()[0])
    parser.add_argument("--gigabytes", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    ratios = []
    with tempfile.TemporaryDirectory() as folder, Sink() as sink:
        path = Path(folder) / "lines.ndjson"
        count = write_lines(path, int(options.gigabytes * 1e9))
        for number in range(1, options.rounds + 1):
            sink.reset()
            ingest = run(_INGEST, sink.bootstrap_servers, str(path))
            if ingest["code"] != 0 or sink.stats().records != count:
                print(f"ERROR void: {sink.stats().records} of {count} records at the sink", file=sys.stderr)
                return 1
            many = run(_SEND_MANY, sink.bootstrap_servers, str(path))
            rates = count / ingest["seconds"], many["records"] / many["seconds"]
            ratios.append(rates[0] / rates[1])
            print(
                f"round {number}: ingest {rates[0]:,.0f}/s ({options.gigabytes / ingest['seconds']:.2f} GB/s, "
                f"RSS {ingest['rss_mb']:.0f} MB), send_many {rates[1]:,.0f}/s, ratio {ratios[-1]:.2f}"
            )
    print(f"ingest is {statistics.median(ratios):.2f} of send_many's rate (median of {options.rounds})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
