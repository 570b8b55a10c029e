"""What the operating system says about this process."""

from __future__ import annotations

import resource
from pathlib import Path

_STATUS = Path("/proc/self/status")


def cpu_seconds() -> float:
    """Return user and system seconds of this process and of the children that it waited for."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def peak_rss_mib() -> float:
    """Return the largest resident memory of this process since it began.

    Linux hands ru_maxrss of the parent down through fork and exec, so its own VmHWM is read there.
    """
    if _STATUS.exists():
        return resident_mib("VmHWM")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def children_peak_rss_mib() -> float:
    """Return the largest resident memory of any child that was waited for."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


def resident_mib(field: str = "VmRSS") -> float:
    """Return a line of /proc/self/status that counts memory: VmRSS, what is resident now, or VmHWM, its peak."""
    for line in _STATUS.read_text().splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0]) / 1024
    raise LookupError(f"{_STATUS} has no {field}")
