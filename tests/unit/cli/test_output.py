"""Progress lines and tables."""

from __future__ import annotations

import io

import pytest

from kproducer.cli.progress import Progress, format_bytes, format_count
from kproducer.cli.table import render_table


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time in its only element."""
    now = [100.0]
    monkeypatch.setattr("kproducer.cli.progress.time.monotonic", lambda: now[0])
    return now


def test_a_file_gets_a_line_every_five_seconds(clock: list[float]) -> None:
    stream = io.StringIO()
    shown = Progress("sent", 4000, stream)

    for clock[0] in (101.0, 104.9, 105.0, 109.9):
        shown.update(1000, 2000)

    assert stream.getvalue() == "sent 1,000 records  2.0 kB (50%)  200 records/s  400 B/s\n"


def test_a_terminal_gets_one_living_line_that_is_removed_at_the_end(clock: list[float]) -> None:
    stream = Terminal()
    shown = Progress("sent", None, stream)
    clock[0] += 1
    shown.update(1000, 2000)
    clock[0] += 1
    shown.update(1001, 2000)

    shown.finish()

    lines = stream.getvalue().split("\r")
    assert lines[1].startswith("sent 1,000 records")
    assert len(lines[2]) == len(lines[1])
    assert lines[3].strip() == ""
    assert "\n" not in stream.getvalue()


def test_skipped_time_does_not_lower_the_rate(clock: list[float]) -> None:
    stream = Terminal()
    shown = Progress("sent", None, stream)
    clock[0] += 10
    shown.skip(9.0)

    shown.update(1000, 0)

    assert "1,000 records/s" in stream.getvalue()


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (2_500_000, "2.5 MB"), (3e12, "3,000.00 GB")],
)
def test_sizes_are_decimal(size: float, text: str) -> None:
    assert format_bytes(size) == text


def test_one_is_singular() -> None:
    assert (format_count(1, "line"), format_count(1000, "line")) == ("1 line", "1,000 lines")


def test_a_table_is_as_wide_as_its_longest_line() -> None:
    table = render_table("title", [("head", [("a", "1"), ("long name", "2")])])

    assert table.splitlines() == [
        "╭─────────────────╮",
        "│ title           │",
        "├─────────────────┤",
        "│ head            │",
        "│   a           1 │",
        "│   long name   2 │",
        "╰─────────────────╯",
    ]


def test_a_plain_terminal_gets_plain_lines() -> None:
    assert render_table("t", [], "ascii").splitlines() == ["+---+", "| t |", "+---+"]
