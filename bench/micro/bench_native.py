"""Times the pieces of the core: record, varints, checksum, hash, append, seal and stamp, the pump, an answer.

One round is 1000 items, so microseconds in the table are nanoseconds an item.
"""

from __future__ import annotations

from functools import cache

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.micro import native
from bench.micro.native import Pieces

ITEMS = 1000
ROUNDS = 30


@cache
def _pieces() -> Pieces:
    native.build()
    return Pieces()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One benchmark for each piece that the library has."""
    if "piece" in metafunc.fixturenames:
        metafunc.parametrize("piece", _pieces().names)


def bench_piece(benchmark: BenchmarkFixture, piece: str) -> None:
    """One piece of C, prepared anew for each round."""
    pieces = _pieces()
    is_prepared = False

    def prepare() -> None:
        nonlocal is_prepared
        if is_prepared:
            pieces.finish(piece)
        pieces.prepare(piece, ITEMS)
        is_prepared = True

    benchmark.extra_info["items"] = ITEMS
    benchmark.pedantic(pieces.measured, args=(piece, ITEMS), setup=prepare, rounds=ROUNDS, warmup_rounds=1)
    pieces.finish(piece)
