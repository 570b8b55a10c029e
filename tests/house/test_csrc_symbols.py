"""What csrc may hold and call, read from its object files."""

from __future__ import annotations

import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.house.tree import ROOT

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads ELF objects with nm")

SOURCES = sorted((ROOT / "csrc").glob("*.c"))
WRITABLE = set("bBcCdDgGsS")
# What computes; the rest is the pump's and the accumulator's, which lock and wait.
COMPUTING = re.compile(
    r"kp_(batch|codec\w*|columns\w*|crc\w+|heap|murmur2|produce|record|rows|snappy|stats|trail)"
)
FORBIDDEN_PREFIXES = ("pthread_", "mtx_", "cnd_", "thrd_", "sem_", "epoll_", "clock_", "eventfd", "timerfd")
FORBIDDEN = {
    *("time", "gettimeofday", "nanosleep", "usleep", "sleep", "sched_yield"),
    *("socket", "connect", "accept", "send", "sendto", "sendmsg", "recv", "recvfrom", "recvmsg", "shutdown"),
    *(
        "read",
        "write",
        "readv",
        "writev",
        "open",
        "close",
        "fcntl",
        "ioctl",
        "pipe",
        "poll",
        "ppoll",
        "select",
    ),
    *("getenv", "secure_getenv", "setenv"),
    *("printf", "fprintf", "vfprintf", "puts", "fputs", "fwrite", "perror", "syslog", "stderr", "stdout"),
    *("fork", "system", "rand", "random", "srand"),
}
# Of C11; a name that begins with "__" is the compiler's own.
STANDARD = {
    *("calloc", "free", "malloc", "realloc", "qsort"),
    *("memchr", "memcmp", "memcpy", "memmove", "memset", "strcmp", "strlen", "strncmp"),
}
PROCESSOR_QUERIES = {"kp_crc32c": {"getauxval"}}


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Each source file compiled; not as PIC, where constant tables of pointers would look writable."""
    folder = tmp_path_factory.mktemp("objects")

    def build(source: Path) -> Path:
        target = folder / f"{source.stem}.o"
        flags = ["-std=c11", "-O1", "-fno-pic", "-I", str(ROOT / "csrc")]
        subprocess.run(["gcc", *flags, "-c", str(source), "-o", str(target)], check=True)
        return target

    with ThreadPoolExecutor(2) as pool:
        return dict(zip((source.stem for source in SOURCES), pool.map(build, SOURCES), strict=True))


def symbols(path: Path, option: str) -> list[tuple[str, str]]:
    """(kind, name) of each symbol, kinds as in nm(1)."""
    text = subprocess.run(["nm", option, str(path)], check=True, capture_output=True, text=True).stdout
    return [(words[-2], words[-1]) for line in text.splitlines() if len(words := line.split()) >= 2]


def test_csrc_has_no_mutable_globals(objects: dict[str, Path]) -> None:
    found = {
        f"{stem}: {name}"
        for stem, path in objects.items()
        for kind, name in symbols(path, "--defined-only")
        if kind in WRITABLE
    }
    assert found == set()


def test_only_kp_os_calls_clocks_threads_and_descriptors(objects: dict[str, Path]) -> None:
    found = {
        f"{stem}: {name}"
        for stem, path in objects.items()
        if not stem.startswith("kp_os")
        for _, name in symbols(path, "--undefined-only")
        if name in FORBIDDEN or name.startswith(FORBIDDEN_PREFIXES)
    }
    assert found == set()


def test_all_but_kp_os_calls_nothing_that_standard_c_lacks(objects: dict[str, Path]) -> None:
    own = {name for path in objects.values() for _, name in symbols(path, "--defined-only")}
    found = {
        f"{stem}: {name}"
        for stem, path in objects.items()
        if not stem.startswith("kp_os")
        for _, name in symbols(path, "--undefined-only")
        if not name.startswith("__") and name not in own | STANDARD | PROCESSOR_QUERIES.get(stem, set())
    }
    assert found == set()


def test_what_computes_calls_nothing_of_kp_os(objects: dict[str, Path]) -> None:
    services = {name for _, name in symbols(objects["kp_os_posix"], "--defined-only")}
    found = {
        f"{stem}: {name}"
        for stem, path in objects.items()
        if COMPUTING.fullmatch(stem)
        for _, name in symbols(path, "--undefined-only")
        if name in services
    }
    assert services
    assert found == set()


def test_everything_that_csrc_exports_carries_its_prefix(objects: dict[str, Path]) -> None:
    exported = {
        name for path in objects.values() for kind, name in symbols(path, "--defined-only") if kind.isupper()
    }
    assert {name for name in exported if not name.startswith("kp_")} == set()
