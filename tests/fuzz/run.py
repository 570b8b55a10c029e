"""Fuzzes every target for a while: `python -m tests.fuzz.run --seconds 1200`; one line each, status 1 for a finding."""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from tests.fuzz.seeds import CORPUS
from tests.fuzz.targets import TARGETS

ROOT: Final = Path(__file__).resolve().parents[2]
PROGRAMS: Final = ROOT / "build" / "csrc" / "fuzz"
WORK: Final = ROOT / "build" / "fuzz"
_GRACE_SECONDS: Final = 120
_LIMITS: Final = ("-timeout=20", "-rss_limit_mb=2048", "-max_len=4096", "-print_final_stats=1")
# Without this a run of the C targets fills its memory with what ASan keeps back.
_ENVIRONMENT: Final = {"ASAN_OPTIONS": "quarantine_size_mb=16"}


@dataclass(frozen=True, slots=True)
class Report:
    """What came of a target; `findings` are the inputs that show one, or the log if there is no such input."""

    name: str
    runs: int
    coverage: int
    corpus: int
    findings: tuple[Path, ...]

    def __str__(self) -> str:
        found = "no finding" if not self.findings else "FINDING: " + " ".join(map(str, self.findings))
        return (
            f"{self.name:14} {self.runs:>10} runs {self.coverage:>6} edges {self.corpus:>6} inputs  {found}"
        )


def commands() -> dict[str, list[str]]:
    """How each target is started, C first."""
    programs = sorted(path for path in PROGRAMS.glob("fuzz_*") if not path.suffix)
    found = {path.name.removeprefix("fuzz_"): [str(path)] for path in programs}
    return found | {name: [sys.executable, "-m", "tests.fuzz.atheris_main", name] for name in TARGETS}


def fuzz(name: str, command: Sequence[str], *, seconds: int) -> Report:
    """Run one target; what it learns is kept in build/fuzz for the next time."""
    learned, findings, log = WORK / name, WORK / "findings" / name, WORK / f"{name}.log"
    for folder in (learned, findings):
        folder.mkdir(parents=True, exist_ok=True)
    before = set(findings.iterdir())
    options = [*_LIMITS, f"-max_total_time={seconds}", f"-artifact_prefix={findings}{os.sep}"]
    with log.open("w") as output:
        status = subprocess.run(
            [*command, *options, str(learned), str(CORPUS / name)],
            cwd=ROOT,
            env=os.environ | _ENVIRONMENT,
            stdout=output,
            stderr=subprocess.STDOUT,
            timeout=seconds + _GRACE_SECONDS,
            check=False,
        ).returncode
    found = sorted(set(findings.iterdir()) - before)
    shown = tuple(path.relative_to(ROOT) for path in found or [log])
    return _report(name, log.read_text(errors="replace"), shown if status or found else ())


def _report(name: str, log: str, findings: tuple[Path, ...]) -> Report:
    def last(pattern: str) -> int:
        numbers = re.findall(pattern, log)
        return int(numbers[-1]) if numbers else 0

    return Report(
        name,
        runs=last(r"number_of_executed_units:\s+(\d+)"),
        coverage=last(r" cov: (\d+)"),
        corpus=last(r" corp: (\d+)"),
        findings=findings,
    )


def main() -> int:
    """Run the chosen targets, a few at a time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="for each target (default 60)")
    parser.add_argument("--jobs", type=int, default=2, help="targets at a time (default 2)")
    parser.add_argument("targets", nargs="*", help="default all")
    args = parser.parse_args()
    every = commands()
    if unknown := set(args.targets) - every.keys():
        parser.error(f"unknown target {min(unknown)}; there are {', '.join(every)}")
    chosen = {name: command for name, command in every.items() if name in (args.targets or every)}
    has_finding = False
    with ThreadPoolExecutor(args.jobs) as pool:
        for report in pool.map(partial(fuzz, seconds=args.seconds), chosen.keys(), chosen.values()):
            print(report, flush=True)
            has_finding = has_finding or bool(report.findings)
    return int(has_finding)


if __name__ == "__main__":
    sys.exit(main())
