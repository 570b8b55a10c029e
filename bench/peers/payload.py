"""Realistic record values, made once before the clock starts: of an exact size, or the lines of real logs."""

from __future__ import annotations

import json
import random
from pathlib import Path

from bench.peers.job import Job

ROOT = Path(__file__).resolve().parents[2]
POOL_SIZE = 4096

_EVENTS = ("page_view", "click", "add_to_cart", "checkout", "search", "login")
_AGENTS = ("Mozilla/5.0 (X11; Linux x86_64)", "okhttp/4.12.0", "curl/8.5.0", "Safari/605.1.15")
_WORDS = ("order", "shipped", "warehouse", "express", "courier", "second", "retry", "payment", "accepted")


def make_pool(size: int, count: int = POOL_SIZE, seed: int = 1) -> list[bytes]:
    """Return `count` different values of `size` bytes each: JSON events cut or padded, the same for all.

    A pool of different values keeps branch predictors and codecs honest, which one constant value would not.
    """
    rng = random.Random(seed)
    return [_value(rng, index, size) for index in range(count)]


def make_values(job: Job) -> list[bytes]:
    """Return the distinct values that a job sends in turn."""
    return make_pool(job.size) if job.lines_of is None else read_lines(ROOT / job.lines_of)


def repeat_to(pool: list[bytes], records: int) -> list[bytes]:
    """Return a list of `records` references that goes round `pool`."""
    rounds, rest = divmod(records, len(pool))
    return pool * rounds + pool[:rest]


def _value(rng: random.Random, index: int, size: int) -> bytes:
    event = {
        "id": f"{rng.getrandbits(48):012x}",
        "n": index,
        "event": rng.choice(_EVENTS),
        "user": rng.randrange(1_000_000),
        "price": round(rng.random() * 500, 2),
        "agent": rng.choice(_AGENTS),
    }
    text = json.dumps(event, separators=(",", ":"))
    while len(text) < size:
        text += " " + rng.choice(_WORDS)
    return text[:size].encode()


def read_lines(folder: Path) -> list[bytes]:
    """Return the lines of all `*.log` files below `folder`, shuffled the same way each time.

    Shuffled, because Java's tool draws its values at random from a file, and equal batches compress equally well.

    Raises:
        FileNotFoundError: there is no such file.
    """
    texts = [path.read_text(encoding="utf-8", errors="replace") for path in sorted(folder.rglob("*.log"))]
    lines = [line.encode() for text in texts for line in text.split("\n") if line]
    if not lines:
        raise FileNotFoundError(f"no *.log file with a line in it below {folder}")
    random.Random(1).shuffle(lines)
    return lines


def topic_names(count: int) -> list[str]:
    """Return the names of `count` topics, `bench` the first."""
    return ["bench", *(f"bench-{index}" for index in range(1, count))]


def make_load(pool: list[bytes], records: int, chunk: int | None = None) -> list[list[bytes]]:
    """Return lists of values, `records` in all and at most `chunk` in each; equal ones are one object.

    So a run of ten million records does not have to hold a list of ten million references.
    """
    whole = repeat_to(pool, min(records, chunk or records))
    full, rest = divmod(records, len(whole))
    return [whole] * full + ([whole[:rest]] if rest else [])
