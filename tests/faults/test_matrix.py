"""Every row of the fault matrix has a test, or says why it waits."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.matrix import ROWS, WAITING, Matrix, marked_rows, rows_in
from tests.faults.workload import Verdict


def test_every_row_of_the_matrix_has_a_test_or_says_why_it_waits() -> None:
    marked = marked_rows()
    missing = [row for row in ROWS if row not in marked and row not in WAITING]
    assert missing == [], "these rows have no test: mark one, or write down why they wait"


def test_no_row_waits_that_has_a_test_and_no_test_names_a_row_that_there_is_not() -> None:
    marked = marked_rows()
    assert marked.isdisjoint(WAITING), "take these rows out of the table of those that wait"
    assert marked <= set(ROWS)


def test_rows_are_found_on_functions_on_parameters_and_on_modules() -> None:
    source = """
import pytest
pytestmark = pytest.mark.row("F1")
@pytest.mark.row("F2", "F3")
def test_one(): ...
@pytest.mark.parametrize("code", [pytest.param(1, marks=pytest.mark.row("F4"))])
def test_two(code): ...
# pytest.mark.row("F5") in a comment, and "pytest.mark.row('F6')" in a text, name nothing
"""
    assert rows_in(source) == {"F1", "F2", "F3", "F4"}


def test_a_row_that_is_deleted_is_missed(tmp_path: Path) -> None:
    module = tmp_path / "test_rows.py"
    module.write_text('import pytest\n@pytest.mark.row("F1")\ndef test_one(): ...\n', encoding="utf-8")
    assert marked_rows(tmp_path) == {"F1"}
    module.write_text("def test_one(): ...\n", encoding="utf-8")
    assert marked_rows(tmp_path) == set()


def _report(nodeid: str, outcome: str, when: str = "call", **more: object) -> pytest.TestReport:
    return pytest.TestReport(nodeid, (nodeid, 0, ""), {}, outcome, None, when, **more)  # type: ignore[arg-type]


def test_the_table_counts_runs_and_adds_up_what_workloads_showed() -> None:
    matrix = Matrix()
    matrix._rows_of = {"a": ("F1", "F7"), "b": ("F7",), "c": ("F9",), "d": ("F9",), "e": ("F10",)}
    matrix.record("a", Verdict(accepted=10, lost=1))
    matrix.record("b", Verdict(accepted=5, duplicated=2, reordered=3))
    matrix.pytest_runtest_logreport(_report("a", "passed", "setup"))
    for nodeid, outcome in (("a", "failed"), ("b", "passed"), ("c", "passed"), ("e", "skipped")):
        matrix.pytest_runtest_logreport(_report(nodeid, outcome))
    matrix.pytest_runtest_logreport(_report("d", "skipped", wasxfail="reason"))
    lines = [line.split() for line in matrix.lines()]
    assert lines == [
        ["row", "runs", "records", "lost", "duplicated", "reordered", "verdict"],
        ["F1", "1", "10", "1", "0", "0", "FAILED"],
        ["F7", "2", "15", "1", "2", "3", "FAILED"],
        ["F9", "2", "-", "-", "-", "-", "known", "fault"],
        ["F10", "0", "-", "-", "-", "-", "skipped"],
    ]
