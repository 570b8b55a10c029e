"""Instruction counts beside a baseline: what changed, what is new or gone, and whether they may be compared at all."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import Final

LIMIT: Final = 0.05  # counts are exact, but a compiler moves a few of them with every edit nearby


@dataclass(frozen=True)
class Toolchain:
    """What else than the code decides how many instructions there are."""

    compiler: str
    python: str
    libc: str
    machine: str
    valgrind: str


@dataclass(frozen=True)
class Count:
    """Instructions for one item, which `per` names."""

    per: str
    instructions: float


@dataclass(frozen=True)
class Counts:
    """The counts of one run by name, in order."""

    toolchain: Toolchain
    counts: dict[str, Count]


class Verdict(StrEnum):
    """What a row says; the text stands in the table."""

    SAME = ""
    CHANGED = "CHANGED"
    NEW = "no baseline"
    GONE = "not counted any more"


@dataclass(frozen=True)
class Row:
    """One count beside its baseline; None where it is missing."""

    name: str
    now: Count | None
    baseline: Count | None

    @property
    def change(self) -> float | None:
        """The relative change, such as 0.1 for a tenth more."""
        if self.now is None or self.baseline is None:
            return None
        return self.now.instructions / self.baseline.instructions - 1

    @property
    def verdict(self) -> Verdict:
        """Whether the row is worth a look."""
        if self.now is None:
            return Verdict.GONE
        if self.change is None:
            return Verdict.NEW
        # Rounded, so that the limit itself is no change whatever the last bit of a float says.
        return Verdict.CHANGED if round(abs(self.change), 9) > LIMIT else Verdict.SAME


def compare(now: Counts, baseline: Counts | None) -> list[Row]:
    """Return a row for each count of either, those of now first."""
    before = baseline.counts if baseline is not None else {}
    names = [*now.counts, *(name for name in before if name not in now.counts)]
    return [Row(name, now.counts.get(name), before.get(name)) for name in names]


def differences(now: Toolchain, baseline: Toolchain) -> list[str]:
    """Return a line for each tool that is not the baseline's."""
    return [
        f"{field.name}: {getattr(now, field.name)}; the baseline is of {getattr(baseline, field.name)}"
        for field in fields(Toolchain)
        if getattr(now, field.name) != getattr(baseline, field.name)
    ]


def table(rows: Sequence[Row]) -> str:
    """Return the rows as a Markdown table."""
    lines = ["| what | per | instructions | baseline | change | |", "|---|---|---:|---:|---:|---|"]
    for row in rows:
        shown = row.now or row.baseline
        per = shown.per if shown is not None else ""
        change = "" if row.change is None else f"{round(row.change, 3) + 0.0:+.1%}"  # no "-0.0%"
        lines.append(
            f"| {row.name} | {per} | {_number(row.now)} | {_number(row.baseline)} | {change} | {row.verdict} |"
        )
    return "\n".join(lines)


def _number(count: Count | None) -> str:
    return "-" if count is None else f"{count.instructions:,.1f}"


def load(path: Path) -> Counts | None:
    """Read what `save` wrote; None if the file is not there."""
    if not path.exists():
        return None
    data = json.loads(path.read_text())
    counts = {name: Count(**count) for name, count in data["counts"].items()}
    return Counts(Toolchain(**data["toolchain"]), counts)


def save(path: Path, counts: Counts) -> None:
    """Write the counts as JSON, one decimal each: the rest is noise in a diff."""
    data = asdict(counts)
    for count in data["counts"].values():
        count["instructions"] = round(count["instructions"], 1)
    path.write_text(json.dumps(data, indent=2) + "\n")
