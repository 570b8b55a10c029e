"""The Python of the pages runs as it stands, against a real broker."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kproducer import KafkaProducer
from kproducer.testing import KafkaCluster
from tests.pages import PAGES, Block, blocks

ADDRESS = "localhost:9092"  # in the pages; here it is the one of the cluster
RUN = [page for page in PAGES if any(block.kind == "python" for block in blocks(page))]


@pytest.fixture
def namespace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """The names of a page, in a folder of its own; a producer that is left open is closed and raises what failed."""
    monkeypatch.chdir(tmp_path)
    loggers = [logging.getLogger(name) for name in ("kproducer", "kproducer.statistics")]
    levels = [logger.level for logger in loggers]
    names: dict[str, Any] = {"__name__": "__page__"}
    yield names
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)
    for found in names.values():
        if isinstance(found, KafkaProducer):
            found.close(timeout=30)


@pytest.mark.parametrize("page", RUN, ids=lambda page: page.name)
def test_the_python_of_a_page_runs(page: Path, kafka: KafkaCluster, namespace: dict[str, Any]) -> None:
    for block in blocks(page):
        if block.kind == "python":
            text = block.text.replace(ADDRESS, kafka.bootstrap_servers)
            here = Block(page, block.line, block.kind, text)
            exec(here.compiled(str(page)), namespace)


def test_the_pages_that_teach_have_python_that_runs() -> None:
    names = {page.name for page in RUN}
    teaching = (
        "quickstart",
        "delivery",
        "ordering",
        "batching",
        "partitioning",
        "errors",
        "tuning",
        "failures",
    )
    assert {"README.md", "transactions.md", *(f"{name}.md" for name in teaching)} <= names
