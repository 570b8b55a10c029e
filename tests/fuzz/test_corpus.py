"""The committed corpus through every Python target; the C targets replay theirs in tests/csrc/Makefile."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from tests.fuzz import seeds, targets

LARGEST_CORPUS = 200 * 1024


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    logger = logging.getLogger("kproducer")
    before = logger.level
    targets.prepare()
    yield
    logger.setLevel(before)


@pytest.mark.parametrize("name", targets.TARGETS)
def test_target_finds_nothing_in_its_corpus(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(targets, "MEASURED_IN", 1)
    inputs = sorted((seeds.CORPUS / name).iterdir())
    assert inputs
    for path in inputs:
        data = path.read_bytes()
        for cut in {len(data), len(data) // 2, max(0, len(data) - 1)}:
            targets.TARGETS[name](data[:cut])


@pytest.mark.parametrize("make_seeds", seeds.ALL, ids=lambda function: function.__name__)
def test_every_seed_is_committed(make_seeds: seeds.SeedMaker) -> None:
    folder = seeds.CORPUS / make_seeds.__name__
    stale = [
        name
        for name, seed in make_seeds().items()
        if not (folder / name).is_file() or (folder / name).read_bytes() != seed
    ]
    assert stale == [], "python -m tests.fuzz.seeds writes them anew"


def test_corpus_stays_small() -> None:
    assert sum(path.stat().st_size for path in seeds.CORPUS.rglob("*") if path.is_file()) < LARGEST_CORPUS


def test_a_parser_that_takes_too_much_memory_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(targets, "MEASURED_IN", 1)
    with pytest.raises(AssertionError, match="bytes of memory for 4 bytes"):
        targets.within_memory(4, 0, lambda: bytes(10**6))
