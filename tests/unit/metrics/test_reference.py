"""The page of metrics says what metrics() returns."""

from __future__ import annotations

import re

import pytest

from kproducer import ALL_METRICS
from kproducer.metrics.reference import MARK, rewritten
from tests.house.tree import ROOT

PAGE = (ROOT / "docs" / "metrics.md").read_text("utf-8")
_HEADING = re.compile(r"^### (\S+)$", re.MULTILINE)
_ROW = re.compile(r"^\| `([^`]+)` \| [^|]+ \| (Java|ours) \|", re.MULTILINE)


def test_the_tables_of_the_page_are_those_of_the_code() -> None:
    assert rewritten(PAGE) == PAGE, "make docs-metrics writes them anew"


def test_the_page_has_each_name_of_each_group_and_no_other() -> None:
    parts = _HEADING.split(PAGE.partition(MARK)[2])
    found = {group: dict(_ROW.findall(text)) for group, text in zip(parts[1::2], parts[2::2], strict=True)}
    assert found == {
        group: {metric.name: "Java" if metric.is_java else "ours" for metric in metrics}
        for group, metrics in ALL_METRICS.items()
    }


def test_names_in_the_prose_are_names_of_metrics() -> None:
    names = {metric.name for metrics in ALL_METRICS.values() for metric in metrics}
    prose, _, left_out = PAGE.partition(MARK)[0].partition("## What Java has and is not here")
    told = re.findall(r"`((?:record|request|batch|compression|buffer)[a-z]*-[a-z0-9.-]+)`", prose)
    assert told
    assert set(told) <= names
    absent = re.findall(r"`([a-z]+-[a-z-]+)`", left_out)
    assert absent
    assert not set(absent) & (names - {"bufferpool-wait-time-ns-total"}) - {"app-info"}


def test_a_page_without_the_mark_is_not_written() -> None:
    with pytest.raises(ValueError, match="the page has no line"):
        rewritten("# Metrics\n")
