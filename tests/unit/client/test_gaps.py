"""Gaps are counted, told once for each partition, or end the producer."""

from __future__ import annotations

import pytest

from kproducer.client.gaps import SequenceGaps


def test_the_first_gap_of_each_partition_is_logged_and_all_are_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    gaps = SequenceGaps(is_fatal=False)
    assert [gaps.note("t", partition) for partition in (0, 0, 1, 0)] == [None] * 4
    assert gaps.count == 4
    assert [record.getMessage().split(":")[0] for record in caplog.records] == ["t-0", "t-1"]


def test_a_fatal_gap_says_what_may_be_lost_and_what_to_do() -> None:
    error = SequenceGaps(is_fatal=True).note("t", 3)
    assert error is not None
    assert (error.fatal, error.persisted, error.topic, error.partition) == (True, "maybe", "t", 3)
    assert "on.sequence.gap=fail" in error.message
