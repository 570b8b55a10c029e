"""Helpers for spreading records over partitions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping


def skew(counts: Mapping[int, int] | Iterable[int]) -> float:
    """Return how many times the mean the fullest partition has: 1.0 is even, the number of partitions the worst.

    counts: records (or bytes) of each partition of a topic, the empty ones too, by partition or in a sequence.
        Without any record there is no skew: 1.0.
    """
    numbers = [*(counts.values() if isinstance(counts, Mapping) else counts)]
    total = sum(numbers)
    return max(numbers) * len(numbers) / total if total > 0 else 1.0
