"""C libraries for LD_PRELOAD, compiled by the test that needs them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest


def compiled(folder: Path, name: str, source: str) -> Path:
    """Compile a shared library, or skip where there is no C compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler: cc is not on the path")
    code, library = folder / f"{name}.c", folder / f"{name}.so"
    code.write_text(source)
    command = [compiler, "-O1", "-shared", "-fPIC", "-o", str(library), str(code), "-ldl"]
    subprocess.run(command, check=True, timeout=60)
    return library
