"""The tables of docs/reliability.md come from the committed verdicts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.checker import report

VERDICT = {
    "workload": "idempotent",
    "client": "kproducer",
    "seed": 1,
    "seconds": 600.0,
    "command": "python -m tests.checker --workload idempotent",
    "commit": "abc",
    "versions": {"client": "x"},
    "acknowledged": 12_345_678,
    "failed": 0,
    "info": 2,
    "transactions": {"ok": 0, "fail": 0},
    "strikes": 40,
    "recovery_ms": {"max": 1234},
    "longest_gap_of_all_ms": 4321,
    "faults": {"lost": 3, "late": 1},
    "verdict": "fault",
}


def test_the_page_shows_the_committed_verdicts() -> None:
    assert report.main(["--check"]) == 0, "run: python -m tests.checker.report"


def test_a_verdict_becomes_a_row() -> None:
    table = report.render([VERDICT])
    row = next(line for line in table.splitlines() if "12,345,678" in line)
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[:5] == ["idempotent", "1", "600 s", "40", "12,345,678"]
    assert "late: 1" in cells
    assert cells[-1] == "fault"


def test_other_clients_stand_in_a_table_of_their_own() -> None:
    peer = VERDICT | {"client": "aiokafka", "seconds": 180.0}
    assert "side by side" in report.render([VERDICT, peer])
    assert "side by side" not in report.render([VERDICT])


def test_a_page_without_markers_is_refused(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text("nothing")
    (tmp_path / "a.json").write_text(json.dumps(VERDICT))
    with pytest.raises(ValueError, match="needs the lines"):
        report.main(["--verdicts", str(tmp_path), "--page", str(tmp_path / "page.md")])
