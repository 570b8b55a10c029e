"""The values that `kproducer perf` sends, made in groups: random letters, lines of a file, or numbers."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

_POOL_BYTES = 1 << 22  # more than any batch holds, so that no codec finds a value twice
_LETTERS = bytes(65 + number * 26 // 256 for number in range(256))

# The values of records number `first` to `first + count - 1`.
Payloads = Callable[[int, int], list[bytes]]


def random_letters(size: int) -> Payloads:
    """Values of `size` random capital letters: consecutive pieces of a pool, the same in each run."""
    generator = random.Random(0)
    pool = generator.randbytes(max(_POOL_BYTES, 4 * size)).translate(_LETTERS)
    last = len(pool) - size
    at = 0

    def take(_first: int, count: int) -> list[bytes]:
        nonlocal at
        values = []
        for _ in range(count):
            values.append(pool[at : at + size])
            at += size
            if at > last:  # the next round is cut at other places
                at = generator.randrange(min(size, last) + 1)
        return values

    return take


def payloads_of_file(path: str, delimiter: str) -> Payloads:
    """Values drawn from the pieces of a file; ValueError if it has none. Prints what the real tool prints."""
    file = Path(path)
    print(f"Reading payloads from: {file.absolute()}", flush=True)
    data = file.read_bytes() if file.exists() else b""
    if not data:
        raise ValueError(f"{path}: file does not exist, or is empty")
    pieces = split_payloads(data, delimiter.encode())
    print(f"Number of records read: {len(pieces)}", flush=True)
    if not pieces:
        raise ValueError(f"{path}: nothing but a delimiter is in it")
    generator = random.Random(0)
    return lambda _first, count: generator.choices(pieces, k=count)


def split_payloads(data: bytes, delimiter: bytes) -> list[bytes]:
    """The pieces between delimiters; one at the very beginning and one at the very end part nothing."""
    pieces = data.split(delimiter)
    if not pieces[0]:
        del pieces[0]
    if pieces and not pieces[-1]:
        del pieces[-1]
    return pieces


def monotonic_numbers(first: int, count: int) -> list[bytes]:
    """The numbers of the records, as text."""
    return [b"%d" % number for number in range(first, first + count)]
