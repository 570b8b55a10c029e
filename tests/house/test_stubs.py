"""The stubs beside the extensions say what the extensions are."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.tree import ROOT

CORE = ROOT / "kproducer" / "_core"
# An extension of C functions alone shows nothing to Python.
SEEN_FROM_PYTHON = re.compile(r"^(def|cpdef|class|cdef class)\b", re.MULTILINE)
EXTENSIONS = sorted(
    f"kproducer._core.{path.stem}" for path in CORE.glob("*.pyx") if SEEN_FROM_PYTHON.search(path.read_text())
)
# Cython gives every class its own __reduce__, and an __init__ that takes anything where there is a __cinit__.
ALLOWED = (
    r".*\.__(reduce|setstate)(_cython)?__",
    r".*\.__init__",
    r".*\.__pyx_.*",
    r".*\.__test__",
)


def test_stubtest_finds_no_difference(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    allowlist = tmp_path / "allowlist"
    allowlist.write_text("\n".join(ALLOWED))
    command = [
        sys.executable,
        "-m",
        "mypy.stubtest",
        "--concise",
        "--ignore-unused-allowlist",
        "--ignore-disjoint-bases",
    ]
    command += [
        "--allowlist",
        str(allowlist),
        "--mypy-config-file",
        str(ROOT / "pyproject.toml"),
        *EXTENSIONS,
    ]
    run = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_every_extension_has_a_stub(extension: str) -> None:
    assert (CORE / f"{extension.rpartition('.')[2]}.pyi").is_file()
