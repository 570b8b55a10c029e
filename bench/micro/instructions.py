"""Instructions for each record, batch or call, counted by callgrind and compared with a committed baseline.

    python -m bench.micro.instructions [--update] [--strict] [--baseline FILE] [--keep FOLDER]

A count is the same in every run of the same binary, on a busy machine too, so that a slower append shows where a
benchmark would see noise only. It is no time: a locked instruction or a cache miss counts as one.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from bench.micro import native
from bench.micro.compare import Count, Counts, Toolchain, Verdict, compare, differences, load, save, table
from bench.sink import Sink

ROOT: Final = Path(__file__).parents[2]
BASELINE: Final = Path(__file__).with_name("instructions.json")
NO_VALGRIND: Final = "instructions: not counted, valgrind is missing; run: sudo apt install valgrind"
_TIMEOUT_S: Final = 900  # seconds suffice, but the machine may be busy
_TOTALS = re.compile(r"^totals: (\d+)$", re.MULTILINE)


def count_all(keep: Path | None = None) -> Counts:
    """Build, run everything under callgrind, and return the counts.

    Args:
        keep: a folder for callgrind's files, one for each count, which callgrind_annotate reads. Default: none.

    Raises:
        RuntimeError: a build or a run failed, or callgrind's files are not what was expected.
    """
    native.build()
    counts = _callgrind([str(native.COUNT)], "micro_collected_piece", keep)
    with Sink() as sink:
        command = [sys.executable, "-m", "bench.micro.calls", sink.bootstrap_servers]
        counts |= _callgrind(command, "micro_collected_call", keep)
    return Counts(_toolchain(), counts)


def _callgrind(command: Sequence[str], function: str, keep: Path | None) -> dict[str, Count]:
    """Run a program that prints "items, item, name" for each call of the function, where alone callgrind collects."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "out"
        options = [
            f"--toggle-collect={function}",
            f"--dump-after={function}",
            f"--callgrind-out-file={output}",
        ]
        done = subprocess.run(
            ["valgrind", "--tool=callgrind", *options, *command],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": "0"},
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"{command[0]} failed under callgrind:\n{done.stdout}{done.stderr}")
        lines = done.stdout.splitlines()
        files = [output.with_name(f"out.{number}") for number in range(1, len(lines) + 1)]
        dumps = [file.read_text() for file in files if file.exists()]
        counts = read_counts(lines, dumps)
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        for name, dump in zip(counts, dumps, strict=True):
            (keep / file_name(name)).write_text(dump)
    return counts


def file_name(name: str) -> str:
    """Return what the file of a count is called: "send_many(topic, values)" is in send_many-topic-values."""
    return re.sub(r"\W+", "-", name).strip("-")


def read_counts(lines: Sequence[str], dumps: Sequence[str]) -> dict[str, Count]:
    """Join what the program said of each call with callgrind's dump of it.

    Raises:
        RuntimeError: they do not match, or nothing was collected.
    """
    totals = [int(match[1]) for dump in dumps if (match := _TOTALS.search(dump))]
    if len(totals) != len(lines) or 0 in totals:
        raise RuntimeError(f"{len(lines)} calls were made, callgrind tells of {totals}")
    counts = {}
    for line, total in zip(lines, totals, strict=True):
        items, per, name = line.split("\t")
        counts[name] = Count(per, total / int(items))
    return counts


def _toolchain() -> Toolchain:
    version = subprocess.run(
        ["valgrind", "--version"], capture_output=True, text=True, timeout=60, check=True
    )
    return Toolchain(
        compiler=native.compiler_version(),
        python=platform.python_version(),
        libc=" ".join(platform.libc_ver()),
        machine=platform.machine(),
        valgrind=version.stdout.strip(),
    )


def main(arguments: Sequence[str] | None = None, count: Callable[[Path | None], Counts] = count_all) -> int:
    """Print the table; 0, or with --strict 1 when a row is worth a look or nothing could be counted."""
    parser = argparse.ArgumentParser(prog="python -m bench.micro.instructions", description=__doc__)
    parser.add_argument("--update", action="store_true", help="write the counts as the new baseline")
    parser.add_argument("--strict", action="store_true", help="exit with 1 on any change of over 5 %%")
    parser.add_argument("--baseline", type=Path, default=BASELINE, help="default: %(default)s")
    parser.add_argument(
        "--keep", type=Path, metavar="FOLDER", help="for callgrind's files, one for each count"
    )
    options = parser.parse_args(arguments)
    if shutil.which("valgrind") is None:
        print(NO_VALGRIND)
        return int(options.strict)
    now, baseline = count(options.keep), load(options.baseline)
    rows = compare(now, baseline)
    print(table(rows))
    for line in differences(now.toolchain, baseline.toolchain) if baseline is not None else []:
        print(f"Not the baseline's {line}. A change may be of that.")
    if options.update:
        save(options.baseline, now)
        print(f"Written to {options.baseline}.")
        return 0
    marked = [row.name for row in rows if row.verdict is not Verdict.SAME]
    if marked:
        print(
            f"{len(marked)} of {len(rows)} differ from the baseline; if that is meant, commit a new one (--update)."
        )
    return int(options.strict and bool(marked))


if __name__ == "__main__":
    sys.exit(main())
