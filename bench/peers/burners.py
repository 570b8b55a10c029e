"""Threads that burn CPU in Python and never call a client: what an application does beside its sending."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_WORK = {"numbers": list(range(50)), "text": "x" * 50}


def _burn(is_over: threading.Event) -> None:
    while not is_over.is_set():
        for _ in range(50):
            json.loads(json.dumps(_WORK))


@contextmanager
def burning(count: int) -> Iterator[None]:
    """Run `count` such threads while the block runs."""
    is_over = threading.Event()
    threads = [threading.Thread(target=_burn, args=(is_over,), daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        is_over.set()
        for thread in threads:
            thread.join()
