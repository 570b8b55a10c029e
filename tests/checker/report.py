"""python -m tests.checker.report: renders the committed verdicts as the tables of docs/reliability.md."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from tests.checker.run import ROOT

BEGIN: Final = "<!-- verdicts: begin -->"
END: Final = "<!-- verdicts: end -->"
PAGE: Final = ROOT / "docs" / "reliability.md"
VERDICTS: Final = Path(__file__).with_name("verdicts")

Verdict = dict[str, Any]
_ORDER: Final = ("idempotent", "transactional", "copy")


def _seconds(milliseconds: float | None) -> str:
    return "-" if milliseconds is None else f"{milliseconds / 1000:.1f} s"


def _count(verdict: Verdict, *faults: str) -> str:
    return str(sum(verdict["faults"].get(fault, 0) for fault in faults))


def _others(verdict: Verdict) -> str:
    told = {"lost", "duplicate", "order", "torn", "aborted visible", "committed invisible"}
    others = [f"{fault}: {count}" for fault, count in verdict["faults"].items() if fault not in told]
    return ", ".join(others) or "none"


_COLUMNS: Final[tuple[tuple[str, Callable[[Verdict], str]], ...]] = (
    ("workload", lambda v: v["workload"]),
    ("client", lambda v: f"{v['client']} {v['versions']['client']}"),
    ("seed", lambda v: str(v["seed"])),
    ("duration", lambda v: f"{v['seconds']:g} s"),
    ("faults", lambda v: str(v["strikes"])),
    ("acknowledged", lambda v: f"{v['acknowledged']:,}"),
    ("failed / unknown", lambda v: f"{v['failed']:,} / {v['info']:,}"),
    ("committed / aborted", lambda v: f"{v['transactions']['ok']:,} / {v['transactions']['fail']:,}"),
    ("lost", lambda v: _count(v, "lost")),
    ("duplicated", lambda v: _count(v, "duplicate", "copied twice")),
    ("reordered", lambda v: _count(v, "order")),
    ("torn", lambda v: _count(v, "torn", "aborted visible", "committed invisible")),
    ("other findings", _others),
    ("slowest recovery", lambda v: _seconds(v["recovery_ms"].get("max"))),
    ("longest gap", lambda v: _seconds(v["longest_gap_of_all_ms"])),
    ("commit", lambda v: v["commit"]),
    ("verdict", lambda v: v["verdict"]),
)


def load(folder: Path) -> list[Verdict]:
    """All verdicts of a folder: by workload, ours first, by seed."""
    found: list[Verdict] = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    return sorted(
        found,
        key=lambda v: (_ORDER.index(v["workload"]), v["client"] != "kproducer", v["client"], v["seed"]),
    )


def render(verdicts: Sequence[Verdict]) -> str:
    """A table of runs of ours, and one of the clients side by side if there are others."""
    ours = [v for v in verdicts if v["client"] == "kproducer" and v["seconds"] >= 600]
    compared = [v for v in verdicts if v["workload"] == "idempotent" and v not in ours]
    parts = ["### Runs of ten minutes", _table(ours, leave_out={"client"})]
    if compared:
        hidden = {"workload", "committed / aborted", "torn"}
        parts += ["### The idempotent workload, side by side", _table(compared, leave_out=hidden)]
    commands = sorted({v["command"] for v in [*ours, *compared]})
    parts += ["Commands:", "```\n" + "\n".join(commands) + "\n```"] if commands else []
    return "\n\n".join(parts)


def _table(verdicts: Sequence[Verdict], leave_out: set[str]) -> str:
    if not verdicts:
        return "No run is recorded yet."
    columns = [(name, show) for name, show in _COLUMNS if name not in leave_out]
    lines = ["| " + " | ".join(name for name, _ in columns) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(show(verdict) for _, show in columns) + " |" for verdict in verdicts]
    return "\n".join(lines)


def insert(page: str, tables: str) -> str:
    """The page with the tables between its two markers.

    Raises:
        ValueError: a marker is missing.
    """
    head, begin, rest = page.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page needs the lines {BEGIN} and {END}")
    return f"{head}{BEGIN}\n\n{tables}\n\n{END}{tail}"


def main(arguments: list[str] | None = None) -> int:
    """Render, or with --check tell whether the page is up to date."""
    parser = argparse.ArgumentParser(prog="python -m tests.checker.report", description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="change nothing; exit code 1 if the page is stale"
    )
    parser.add_argument("--verdicts", type=Path, default=VERDICTS)
    parser.add_argument("--page", type=Path, default=PAGE)
    told = parser.parse_args(arguments)
    old = told.page.read_text()
    new = insert(old, render(load(told.verdicts)))
    if told.check:
        return int(new != old)
    told.page.write_text(new)
    return 0


if __name__ == "__main__":
    sys.exit(main())
