"""Delays between attempts, computed from the number of the attempt (KIP-580). Pure; any thread."""

from __future__ import annotations

from dataclasses import dataclass

# 2**63 exceeds every ratio of two int64 durations, and keeps the power far from float overflow.
_LAST_GROWING_ATTEMPT = 63


@dataclass(frozen=True, slots=True)
class ExponentialBackoff:
    """`min(max, initial * multiplier ** attempt * (1 - jitter .. 1 + jitter))`, as KIP-580 defines it.

    initial_ms: delay of attempt 0 before jitter, in milliseconds; above max_ms it acts as max_ms (no growth).
    max_ms: bound which no delay exceeds, jitter included, in milliseconds.
    multiplier: growth per attempt (default 2).
    jitter: largest relative deviation, 0 for none (default 0.2).
    """

    initial_ms: float
    max_ms: float
    multiplier: float = 2.0
    jitter: float = 0.2

    def delay_ms(self, attempt: int, jitter: float) -> float:
        """Return the delay in milliseconds before attempt number `attempt`, counted from 0.

        jitter: a random number in [0, 1) drawn by the caller; 0.5 gives the delay without jitter.
        """
        growth = self.multiplier ** min(attempt, _LAST_GROWING_ATTEMPT)
        term = min(self.initial_ms * growth, self.max_ms)
        spread = 1.0 + self.jitter * (2.0 * jitter - 1.0)
        return min(term * spread, self.max_ms)
