"""The codes of findings are promised to stay the same, so each has its row in docs/doctor.md."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from tests.house.tree import ROOT

MAKERS = {"error", "warning", "note", "found"}


def codes_in_code() -> Iterator[str]:
    for path in (ROOT / "kproducer" / "diagnosis").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in MAKERS:
                first = node.args[0]
                if isinstance(first, ast.Constant):
                    yield str(first.value)


def test_every_code_of_a_finding_is_explained() -> None:
    page = (ROOT / "docs" / "doctor.md").read_text()
    explained = re.findall(r"^\| `([a-z0-9-]+)` \|", page, re.MULTILINE)
    assert sorted(explained) == sorted(set(codes_in_code()))
