"""Instruction counts beside their baseline: what is marked, what is said of another compiler, what the exit code is."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from bench.micro.compare import Count, Counts, Toolchain, Verdict, compare, differences, load, save, table
from bench.micro.instructions import BASELINE, NO_VALGRIND, file_name, main, read_counts

GCC = Toolchain("gcc 12.2.0", "3.11.7", "glibc 2.36", "x86_64", "valgrind-3.19.0")


def counts(toolchain: Toolchain = GCC, **instructions: float) -> Counts:
    return Counts(toolchain, {name: Count("record", value) for name, value in instructions.items()})


def dump(total: int) -> str:
    return f"version: 1\nevents: Ir\nfn=(1) f\n3 {total}\n\ntotals: {total}\n"


@pytest.fixture
def baseline(tmp_path: Path) -> Path:
    """A file with one count of 100 instructions."""
    path = tmp_path / "instructions.json"
    save(path, counts(append=100.0))
    return path


@pytest.fixture(autouse=True)
def valgrind(monkeypatch: pytest.MonkeyPatch) -> None:
    """A valgrind that is there: these tests bring their counts."""
    monkeypatch.setattr(shutil, "which", lambda _: "/usr/bin/valgrind")


@pytest.mark.parametrize(
    ("now", "verdict"),
    [
        (100.0, Verdict.SAME),
        (105.0, Verdict.SAME),
        (105.1, Verdict.CHANGED),
        (95.0, Verdict.SAME),
        (94.9, Verdict.CHANGED),
    ],
)
def test_more_than_five_percent_either_way_is_a_change(now: float, verdict: Verdict) -> None:
    (row,) = compare(counts(append=now), counts(append=100.0))
    assert row.verdict is verdict
    assert row.change == pytest.approx(now / 100 - 1)


def test_a_count_without_a_baseline_is_new_and_one_that_is_not_counted_any_more_is_gone() -> None:
    rows = compare(counts(append=100.0, fresh=7.0), counts(append=100.0, old=9.0))
    assert [(row.name, row.verdict) for row in rows] == [
        ("append", Verdict.SAME),
        ("fresh", Verdict.NEW),
        ("old", Verdict.GONE),
    ]
    assert [row.change for row in rows] == [0.0, None, None]


def test_without_any_baseline_everything_is_new() -> None:
    assert [row.verdict for row in compare(counts(append=1.0), None)] == [Verdict.NEW]


def test_only_the_tools_that_differ_are_named() -> None:
    assert differences(GCC, GCC) == []
    other = replace(GCC, compiler="gcc 14.1.0")
    assert differences(other, GCC) == ["compiler: gcc 14.1.0; the baseline is of gcc 12.2.0"]


def test_the_table_shows_the_change_and_marks_it() -> None:
    now = counts(append=1110.0, send=999.9, fresh=7.0)
    lines = table(compare(now, counts(append=1000.0, send=1000.0))).splitlines()
    assert lines[2] == "| append | record | 1,110.0 | 1,000.0 | +11.0% | CHANGED |"
    assert lines[3] == "| send | record | 999.9 | 1,000.0 | +0.0% |  |"
    assert lines[4] == "| fresh | record | 7.0 | - |  | no baseline |"


def test_what_was_saved_is_loaded_with_one_decimal(tmp_path: Path) -> None:
    path = tmp_path / "instructions.json"
    save(path, counts(append=471.26))
    assert load(path) == counts(append=471.3)
    assert load(tmp_path / "none.json") is None


def test_the_committed_baseline_names_its_compiler_and_what_must_not_grow() -> None:
    committed = load(BASELINE)
    assert committed is not None
    assert committed.toolchain.compiler
    assert {"append 100 B, one partition", "produce(topic, value)"} <= set(committed.counts)
    assert len({file_name(name) for name in committed.counts}) == len(committed.counts)


def test_dumps_are_divided_by_the_items_of_their_calls() -> None:
    lines = ["100\trecord\tappend", "4\tbatch\tstamp"]
    assert read_counts(lines, [dump(47100), dump(18000)]) == {
        "append": Count("record", 471.0),
        "stamp": Count("batch", 4500.0),
    }


def test_files_are_named_after_their_counts() -> None:
    assert file_name("produce(topic, value, key) by keyword") == "produce-topic-value-key-by-keyword"
    assert file_name("send_many(topic, values)") == "send_many-topic-values"
    assert file_name("append 100 B, one partition") == "append-100-B-one-partition"


@pytest.mark.parametrize("dumps", [[], [dump(10), dump(10)], [dump(0)]])
def test_dumps_that_do_not_match_the_calls_are_an_error(dumps: list[str]) -> None:
    with pytest.raises(RuntimeError, match="1 calls were made"):
        read_counts(["100\trecord\tappend"], dumps)


@pytest.mark.parametrize(
    ("now", "options", "code"), [(120.0, [], 0), (120.0, ["--strict"], 1), (101.0, ["--strict"], 0)]
)
def test_a_change_is_reported_and_fails_only_when_strict(
    baseline: Path, capsys: pytest.CaptureFixture[str], now: float, options: list[str], code: int
) -> None:
    assert main([*options, f"--baseline={baseline}"], lambda _: counts(append=now)) == code
    assert ("CHANGED" in capsys.readouterr().out) == (now == 120.0)


def test_another_compiler_is_said(baseline: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = replace(GCC, compiler="clang 17")
    assert main([f"--baseline={baseline}"], lambda _: counts(other, append=100.0)) == 0
    assert "compiler: clang 17; the baseline is of gcc 12.2.0" in capsys.readouterr().out


def test_an_update_writes_the_counts_and_their_toolchain(baseline: Path) -> None:
    now = counts(replace(GCC, compiler="clang 17"), append=200.0, fresh=3.0)
    assert main(["--update", "--strict", f"--baseline={baseline}"], lambda _: now) == 0
    assert load(baseline) == now


@pytest.mark.parametrize(("options", "code"), [([], 0), (["--strict"], 1)])
def test_without_valgrind_one_line_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], options: list[str], code: int
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert main(options, lambda _: counts(append=1.0)) == code
    assert capsys.readouterr().out == NO_VALGRIND + "\n"
