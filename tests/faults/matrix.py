"""The fault matrix: which test stands for which row, what its run showed, and the table at the end.

A test names its rows with `@pytest.mark.row("F7")` and hands a verdict to the fixture `matrix`. Rows are found by
reading the source text of tests/, so that the check needs no import and sees the tests that a run leaves out.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest

from tests.faults.workload import Verdict

ROWS: Final = tuple(f"F{number}" for number in range(1, 55))

# Rows without a test, and what they wait for.
WAITING: Final[Mapping[str, str]] = {
    "F34": "SASL: the mechanisms are not built",
    "F35": "TLS: the transport is not built",
    "F49": "telemetry (KIP-714) is not built",
    "F52": "the asyncio face is not built",
}

_TESTS: Final = Path(__file__).resolve().parent.parent


# --- which rows have a test ---------------------------------------------------------------------------------


def rows_in(source: str) -> set[str]:
    """Rows named by `pytest.mark.row(...)` in the text of a module, wherever it stands."""
    return {
        argument.value
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call) and _is_row_marker(node.func)
        for argument in node.args
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str)
    }


def marked_rows(folder: Path = _TESTS) -> set[str]:
    """Rows that a test below the folder names."""
    texts = (path.read_text(encoding="utf-8") for path in folder.rglob("test_*.py"))
    return {row for text in texts for row in rows_in(text)}


def _is_row_marker(function: ast.expr) -> bool:
    match function:
        case ast.Attribute(attr="row", value=ast.Attribute(attr="mark", value=ast.Name(id="pytest"))):
            return True
    return False


# --- what a run showed --------------------------------------------------------------------------------------


@dataclass(slots=True)
class RowReport:
    """What the tests of a row showed together; counts are None while no test of the row has told any."""

    runs: int = 0
    failures: int = 0
    skips: int = 0
    known: int = 0
    counts: tuple[int, int, int, int] | None = None

    def add(self, verdict: Verdict) -> None:
        """Add what one workload showed."""
        told = (verdict.accepted, verdict.lost, verdict.duplicated, verdict.reordered)
        before = self.counts or (0, 0, 0, 0)
        self.counts = (before[0] + told[0], before[1] + told[1], before[2] + told[2], before[3] + told[3])

    @property
    def verdict(self) -> str:
        """One word, or two where a known fault waits for its repair."""
        if self.failures:
            return "FAILED"
        if self.known:
            return "known fault"
        return "held" if self.runs else "skipped"


@dataclass(eq=False)  # pytest keeps plugins by their hash
class Matrix:
    """All rows of one run of pytest; a plugin."""

    rows: dict[str, RowReport] = field(default_factory=lambda: defaultdict(RowReport))
    _verdicts: dict[str, list[Verdict]] = field(default_factory=lambda: defaultdict(list))
    _rows_of: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def take_items(self, items: Iterable[pytest.Item]) -> None:
        """Take note of the rows of each test."""
        for item in items:
            rows = dict.fromkeys(row for marker in item.iter_markers("row") for row in marker.args)
            unknown = [row for row in rows if row not in ROWS]
            if unknown:
                raise pytest.UsageError(f"{item.nodeid} names rows that are not in the matrix: {unknown}")
            self._rows_of[item.nodeid] = tuple(rows)

    def record(self, nodeid: str, verdict: Verdict) -> None:
        """Take the verdict of a test that runs."""
        self._verdicts[nodeid].append(verdict)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count a test once: at its call, or where it failed or was skipped before."""
        if report.when != "call" and report.passed:
            return
        for row in self._rows_of.get(report.nodeid, ()):
            self._count(self.rows[row], report)

    def _count(self, row: RowReport, report: pytest.TestReport) -> None:
        is_known = hasattr(report, "wasxfail") and report.skipped
        row.known += is_known
        row.skips += report.skipped and not is_known
        row.failures += report.failed
        row.runs += not report.skipped or is_known
        for verdict in self._verdicts.get(report.nodeid, ()) if report.when == "call" else ():
            row.add(verdict)

    def lines(self) -> Iterator[str]:
        """The table, by row; nothing if no row was run."""
        if not self.rows:
            return
        head = ("row", "runs", "records", "lost", "duplicated", "reordered")
        yield "{:5}{:>6}{:>12}{:>8}{:>12}{:>11}  {}".format(*head, "verdict")
        for row in sorted(self.rows, key=ROWS.index):
            told = self.rows[row]
            counts = told.counts or ("-", "-", "-", "-")
            yield "{:5}{:>6}{:>12}{:>8}{:>12}{:>11}  {}".format(row, told.runs, *counts, told.verdict)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the table."""
        lines = list(self.lines())
        if lines:
            terminalreporter.section("fault matrix")
            for line in lines:
                terminalreporter.write_line(line)


class Recorder:
    """The fixture `matrix` of one test."""

    def __init__(self, matrix: Matrix, nodeid: str) -> None:
        self._matrix = matrix
        self._nodeid = nodeid

    def record(self, verdict: Verdict) -> Verdict:
        """Count a verdict to the rows of the test, and return it."""
        self._matrix.record(self._nodeid, verdict)
        return verdict
