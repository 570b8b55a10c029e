"""Short runs of every workload against a real cluster with the nemesis; the long ones are started by hand.

KPRODUCER_CHECKER_SECONDS (default 60) and KPRODUCER_CHECKER_SEED (default 1) choose length and schedule.
"""

from __future__ import annotations

import os

import pytest

from tests.checker.run import WORKLOADS, Settings, render, run

_SECONDS = float(os.environ.get("KPRODUCER_CHECKER_SECONDS", "60"))
_SEED = int(os.environ.get("KPRODUCER_CHECKER_SEED", "1"))


@pytest.mark.checker
@pytest.mark.timeout(2 * _SECONDS + 600)
@pytest.mark.parametrize("workload", WORKLOADS)
def test_a_run_with_the_nemesis_is_clean(workload: str) -> None:
    result = run(Settings(workload=workload, seconds=_SECONDS, seed=_SEED))
    print(f"\n{render(result.verdict)}")
    assert result.findings.examples == {}
    assert result.verdict["acknowledged"] > 0
