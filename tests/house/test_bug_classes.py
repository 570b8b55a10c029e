"""docs/bug_classes.md: a row for each class of bugs, and each named test is there."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import Final

import pytest

from tests.house.tree import ROOT

_PAGE: Final = ROOT / "docs" / "bug_classes.md"
_CLASSES: Final = [f"T{n}" for n in range(1, 36)]
_NAMED: Final = re.compile(r"`([\w./-]+)::(\w+)`")
_C_TEST: Final = re.compile(r"^static void (test_\w+)\(void\) \{", re.MULTILINE)
_LATER: Final = re.compile(r"Later: .{10,}")


@cache
def _rows() -> dict[str, list[tuple[str, str]]]:
    """(bug, tests) of each row, by class."""
    rows: dict[str, list[tuple[str, str]]] = {}
    for line in _PAGE.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if re.fullmatch(r"T\d+", cells[0]):
            assert len(cells) == 3, f"{cells[0]}: {len(cells)} columns"
            rows.setdefault(cells[0], []).append((cells[1], cells[2]))
    return rows


@cache
def _functions(path: Path) -> frozenset[str]:
    """Names of the tests in a file of Python or C."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".c":
        return frozenset(_C_TEST.findall(text))
    return frozenset(node.name for node in ast.parse(text).body if isinstance(node, ast.FunctionDef))


def test_every_class_has_one_row() -> None:
    assert list(_rows()) == _CLASSES
    assert {name for name, rows in _rows().items() if len(rows) > 1} == set()


@pytest.mark.parametrize("name", _CLASSES)
def test_a_class_names_tests_that_exist_or_says_when_they_come(name: str) -> None:
    (bug, tests) = _rows()[name][0]
    assert len(bug) > 10
    named = _NAMED.findall(tests)
    assert tests.count("::") == len(named), "a test that is not written as `file::function`"
    missing = [f"{file}::{test}" for file, test in named if not _exists(file, test)]
    assert missing == []
    assert named or _LATER.fullmatch(tests)


def _exists(file: str, test: str) -> bool:
    path = ROOT / file
    return test.startswith("test_") and path.is_file() and test in _functions(path)
