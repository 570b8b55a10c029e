"""What threads lose that take turns with the GIL, without our code: a loop over a method of int, alone and shared.

python -m bench.micro.turns [--threads N] [--rounds N] [--interval SECONDS] [--busy N]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_CALLS: Final = 20_000_000


def _call_often(times: int) -> None:
    call = int.bit_length
    for n in range(times):
        call(n)


def rate(threads: int, calls: int = _CALLS) -> float:
    """Calls per second of all threads together."""
    crew = [threading.Thread(target=_call_often, args=(calls // threads,)) for _ in range(threads)]
    begin = time.perf_counter()
    for thread in crew:
        thread.start()
    for thread in crew:
        thread.join()
    return calls / (time.perf_counter() - begin)


def main() -> int:
    """Print each round and the median of what several threads do of one thread's rate."""
    parser = argparse.ArgumentParser(prog="python -m bench.micro.turns", description=__doc__)
    parser.add_argument("--threads", type=int, default=4, help="default 4")
    parser.add_argument("--rounds", type=int, default=5, help="default 5")
    parser.add_argument(
        "--interval", type=float, default=sys.getswitchinterval(), help="default Python's own"
    )
    parser.add_argument("--busy", type=int, default=0, help="processes that keep processors busy; default 0")
    args = parser.parse_args()
    sys.setswitchinterval(args.interval)
    with _busy(args.busy):
        shares = [_share(args.threads) for _ in range(args.rounds)]
    print(f"median: {statistics.median(shares):.3f}, switch interval {args.interval:g} s")
    return 0


def _share(threads: int) -> float:
    alone = rate(1)
    share = rate(threads) / alone
    print(f"{threads} threads: {share:.3f} of one ({alone / 1e6:.1f} M calls/s)", flush=True)
    return share


@contextmanager
def _busy(processes: int) -> Iterator[None]:
    """In place of what else needs a processor meanwhile, as a pump and a broker do."""
    started = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(processes)]
    try:
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()


if __name__ == "__main__":
    sys.exit(main())
