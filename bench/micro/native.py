"""Builds the C half of bench/micro with make, and calls its pieces through ctypes."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

FOLDER = Path(__file__).parent
BUILD = FOLDER.parents[1] / "build" / "micro"
LIBRARY = BUILD / "libmicro.so"
COUNT = BUILD / "count"
COMPILER = os.environ.get("CC") or "cc"
_VoidFunction = ctypes.CFUNCTYPE(None)


def build() -> None:
    """Bring LIBRARY and COUNT up to date.

    Raises:
        RuntimeError: make or the C compiler is missing, or one of them failed.
    """
    for tool in ("make", COMPILER.split()[0]):
        if shutil.which(tool) is None:
            raise RuntimeError(f"bench/micro is C and there is no {tool} here")
    command = ["make", "--silent", f"-j{os.cpu_count() or 1}", f"--directory={FOLDER}", f"CC={COMPILER}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"bench/micro cannot be built:\n{done.stdout}{done.stderr}")


def compiler_version() -> str:
    """Return the first line of what the compiler says of itself."""
    done = subprocess.run(
        [*COMPILER.split(), "--version"], capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout.splitlines()[0]


class Pieces:
    """The pieces of LIBRARY by name; what they work on is static, so one of them is prepared at a time."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(str(LIBRARY))
        self._library.micro_name.restype = ctypes.c_char_p
        self.names: list[str] = []
        while (name := self._library.micro_name(len(self.names))) is not None:
            self.names.append(name.decode())

    def prepare(self, name: str, items: int) -> None:
        """Set up what `measured` works on."""
        self._library.micro_prepare(self.names.index(name), items)

    def measured(self, name: str, items: int) -> None:
        """Work on so many items."""
        self._library.micro_measured(self.names.index(name), items)

    def finish(self, name: str) -> None:
        """Free what `prepare` made."""
        self._library.micro_finish(self.names.index(name))


def call_measured(function: Callable[[], None]) -> None:
    """Call a Python function where callgrind collects.

    Raises:
        Exception: what the function raised; ctypes by itself would only print it.
    """
    failures: list[Exception] = []

    def guarded() -> None:
        try:
            function()
        except Exception as error:  # noqa: BLE001 # carried over the C frame, raised below
            failures.append(error)

    callback = _VoidFunction(guarded)
    ctypes.PyDLL(str(LIBRARY)).micro_measured_call(callback)
    if failures:
        raise failures[0]
