"""docs/benchmarks.md: it is what the results render to, and it hides nothing."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from bench.peers.runner import FAILED, Run
from bench.peers.statistics import Spread
from bench.table.page import DOCS, PAGE, PLOTS, load_all, render, settings_text, write_page
from bench.table.plot import Group, Mark, draw, make_axis, tick_text
from bench.table.results import RESULTS, make_result, save
from bench.table.rows import all_rows
from bench.table.scenario import Scenario
from bench.table.soak import SOAK
from tests.unit.bench.targets import ok_run

SCENARIOS = {scenario.id: scenario for row in all_rows() for scenario in row.scenarios}


def write_result(folder: Path, scenario: Scenario, *, is_quick: bool = False, factor: float = 1.0) -> None:
    """Write a result in which each contestant is faster than the one before it by `factor`."""
    runs = [
        ok_run(one.name, index, rate=1000 * factor**place, cpu=1.0 + place, rss_mib=50.0)
        for place, one in enumerate(scenario.contestants)
        for index in range(2)
    ]
    save(make_result(scenario, scenario.contestants, runs, is_quick=is_quick), folder)


def rendered(folder: Path) -> dict[Path, str]:
    return render(load_all(folder), folder / SOAK)


def test_page_and_plots_in_docs_are_those_of_the_results() -> None:
    files = render(load_all(), RESULTS / SOAK)
    there = {PAGE, *(path.relative_to(DOCS) for path in (DOCS / PLOTS).glob("*.svg"))}
    assert there == set(files), "run: python -m bench report"
    for path, text in files.items():
        assert (DOCS / path).read_text() == text, f"docs/{path} is old; run: python -m bench report"


def test_page_without_results_lists_every_scenario_as_not_run(tmp_path: Path) -> None:
    (text,) = rendered(tmp_path).values()
    assert "None of the rows has been run yet." in text
    assert text.count("\nNot run.\n") == len(SCENARIOS) + 1  # and the soak
    assert f"Not run: {', '.join(f'`{name}`' for name in SCENARIOS)}." in text


def test_page_shows_a_lost_comparison_and_counts_it(tmp_path: Path) -> None:
    write_result(tmp_path, SCENARIOS["many"], factor=2.0)
    text = rendered(tmp_path)[PAGE]
    assert "0 of " in text
    assert "1 are missed" in text
    assert "| confluent-kafka | >= 8x | 0.5x (0.5x..0.5x) | **no** |" in text
    assert "| confluent-kafka | 2,000 (2,000..2,000) |" in text


def test_page_shows_a_failed_run_in_its_place(tmp_path: Path) -> None:
    scenario = SCENARIOS["many"]
    runs = [ok_run("kproducer", 0, rate=1.0), Run("confluent-kafka", 0, FAILED, "broke")]
    save(make_result(scenario, scenario.contestants, runs, is_quick=False), tmp_path)
    assert "| confluent-kafka | ERROR failed in round 1: broke |" in rendered(tmp_path)[PAGE]


def test_page_marks_quick_results_as_no_measurement(tmp_path: Path) -> None:
    write_result(tmp_path, SCENARIOS["many"], is_quick=True)
    assert "**Made by `--quick`, so no measurement:** `many`." in rendered(tmp_path)[PAGE]


def test_every_plot_of_the_page_exists_and_is_well_formed(tmp_path: Path) -> None:
    for name in ("many", "produce-100-16k", "callback"):
        write_result(tmp_path, SCENARIOS[name])
    files = rendered(tmp_path)
    named = {Path(name) for name in re.findall(r"\]\((benchmarks/[^)]+)\)", files[PAGE])}
    assert named == set(files) - {PAGE}
    assert {path.name for path in named} >= {"goals.svg", "many-rate.svg", "produce-cpu.svg"}
    for path in named:
        assert ET.fromstring(files[path]).tag.endswith("svg")


def test_report_removes_the_plots_of_results_that_are_gone(tmp_path: Path) -> None:
    results, docs = tmp_path / "results", tmp_path / "docs"
    write_result(results, SCENARIOS["many"])
    assert docs / PLOTS / "many-rate.svg" in write_page(results, docs)
    (results / "many.json").unlink()
    assert write_page(results, docs) == [docs / PAGE]
    assert list((docs / PLOTS).iterdir()) == []


def test_linear_axis_begins_at_zero_and_holds_every_value() -> None:
    axis = make_axis([Spread(5, 3, 8.7)], is_logarithmic=False)
    assert (axis.low, axis.high, axis.ticks()) == (0, 10, [0, 2, 4, 6, 8, 10])


def test_logarithmic_axis_ends_at_powers_of_ten() -> None:
    axis = make_axis([Spread(0.5, 0.03, 20)], is_logarithmic=True)
    assert axis.ticks() == [0.01, 0.1, 1, 10, 100]
    assert axis.at(1) == pytest.approx((axis.at(0.01) + axis.at(100)) / 2)


def test_longer_bar_is_the_larger_value() -> None:
    marks = (Mark("a", Spread(1, 1, 1), "1"), Mark("b", Spread(4, 4, 4), "4"))
    tree = ET.fromstring(draw("title", [Group("group", marks)]))
    bars = [float(node.attrib["width"]) for node in tree if node.tag.endswith("rect")][1:]
    assert bars[1] == pytest.approx(4 * bars[0])


def test_text_of_a_plot_may_hold_any_character() -> None:
    plot = draw("a < b & c", [Group("<g>", (Mark("x>y", Spread(1, 1, 1), "1"),))])
    assert "a < b & c" in [node.text for node in ET.fromstring(plot)]


def test_ticks_are_short() -> None:
    assert [tick_text(value) for value in (0, 0.01, 2.5, 10_000, 2_500_000)] == [
        "0",
        "0.01",
        "2.5",
        "10 k",
        "2.5 M",
    ]


def test_settings_leave_out_what_the_row_says() -> None:
    assert (
        settings_text({"client": "java", "measure": "rate", "level": 3, "codec": "zstd"})
        == "level=3, codec=zstd"
    )
