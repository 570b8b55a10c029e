"""Delays of KIP-580: growth, jitter, bounds."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kproducer.client.backoff import ExponentialBackoff

NO_JITTER = 0.5


def test_delay_doubles_from_initial_until_max() -> None:
    backoff = ExponentialBackoff(100, 1000)
    assert [backoff.delay_ms(attempt, NO_JITTER) for attempt in range(6)] == [100, 200, 400, 800, 1000, 1000]


def test_multiplier_sets_the_growth() -> None:
    backoff = ExponentialBackoff(10, 10_000, multiplier=3)
    assert [backoff.delay_ms(attempt, NO_JITTER) for attempt in range(4)] == [10, 30, 90, 270]


def test_jitter_spreads_twenty_percent_to_either_side() -> None:
    backoff = ExponentialBackoff(100, 1000)
    assert backoff.delay_ms(0, 0.0) == 80
    assert 119.9 < backoff.delay_ms(0, 0.9999) < 120


def test_zero_jitter_ignores_the_random_number() -> None:
    backoff = ExponentialBackoff(100, 1000, jitter=0)
    assert backoff.delay_ms(1, 0.0) == backoff.delay_ms(1, 0.9) == 200


def test_initial_above_max_acts_as_max_without_growth() -> None:
    backoff = ExponentialBackoff(5000, 1000)
    assert [backoff.delay_ms(attempt, NO_JITTER) for attempt in range(3)] == [1000, 1000, 1000]


def test_initial_of_zero_never_waits() -> None:
    assert ExponentialBackoff(0, 1000).delay_ms(50, 0.9) == 0


@given(
    initial=st.integers(0, 10**12),
    maximum=st.integers(0, 10**12),
    attempt=st.integers(0, 2**31 - 1),
    jitter=st.floats(0, 1, exclude_max=True),
)
def test_delay_never_leaves_its_bounds(initial: int, maximum: int, attempt: int, jitter: float) -> None:
    delay = ExponentialBackoff(initial, maximum).delay_ms(attempt, jitter)
    assert 0.8 * min(initial, maximum) * (1 - 1e-9) <= delay <= maximum
