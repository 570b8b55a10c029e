"""pytest in a process of its own, where this package's plugin is found as an installed one's."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
# Plugins that only take time to load.
_OTHERS: Final = ("cacheprovider", "hypothesispytest", "benchmark", "timeout", "anyio", "asyncio")


def run_pytest(folder: Path, *arguments: str, timeout_s: float = 100, **environment: str) -> str:
    """Run the tests of a folder, with the entry points of pyproject.toml on the path, and return the output."""
    site = folder.parent / f"{folder.name}-site"
    if not site.exists():
        _write_entry_points(site / "kproducer-0.dist-info")
    path = os.pathsep.join([str(site), str(ROOT)])
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", *(f"-pno:{name}" for name in _OTHERS), *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path, **environment},
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    return ended.stdout + ended.stderr


def _write_entry_points(dist_info: Path) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    dist_info.mkdir(parents=True)
    (dist_info / "METADATA").write_text("Metadata-Version: 2.1\nName: kproducer\nVersion: 0\n")
    lines = [f"{name} = {module}" for name, module in project["entry-points"]["pytest11"].items()]
    (dist_info / "entry_points.txt").write_text("\n".join(["[pytest11]", *lines, ""]))
