"""What a file of results says about the run as a whole."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Sequence
from pathlib import Path

from bench.peers.runner import Run

_CPUINFO = Path("/proc/cpuinfo")


def meta_of(runs: Sequence[Run]) -> dict[str, object]:
    """Return when and on what machine the runs were made, and the version of each client."""
    return {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": _processor(),
        "cpus": os.cpu_count(),
        "load_average": round(os.getloadavg()[0], 2),
        "versions": {run.contestant: run.version for run in runs if run.version},
    }


def _processor() -> str:
    if _CPUINFO.exists():
        for line in _CPUINFO.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
