"""python -m tests.checker: one run of the checker; exit code 1 if it found a fault."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from kproducer.testing import DEFAULT_VERSION
from tests.checker.clients import CLIENTS
from tests.checker.run import ROOT, WORKLOADS, Settings, main_run


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.checker", description=__doc__)
    parser.add_argument("--workload", choices=WORKLOADS, required=True)
    parser.add_argument("--client", choices=sorted(CLIENTS), default="kproducer")
    parser.add_argument("--seconds", type=float, default=600.0, help="how long the nemesis strikes (600)")
    parser.add_argument("--seed", type=int, default=1, help="of the nemesis and the workload (1)")
    parser.add_argument("--rate", type=float, help="records per second; default by workload")
    parser.add_argument(
        "--broker-version", default=DEFAULT_VERSION, help=f"Kafka version ({DEFAULT_VERSION})"
    )
    parser.add_argument("--calm", action="store_true", help="without the nemesis")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("verdicts"))
    parser.add_argument("--histories", type=Path, default=ROOT / "build" / "checker")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Run as the command line says."""
    told = _parse(arguments)
    settings = Settings(
        workload=told.workload,
        client=told.client,
        seconds=told.seconds,
        seed=told.seed,
        rate=told.rate,
        broker_version=told.broker_version,
        is_calm=told.calm,
    )
    return main_run(settings, told.out, told.histories)


if __name__ == "__main__":
    sys.exit(main())
