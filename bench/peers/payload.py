"""Realistic record values of an exact size, generated once before the clock starts."""

from __future__ import annotations

import json
import random

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
