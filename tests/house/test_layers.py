"""The layers where the import linter does not see: #include, cimport, and imports of extension modules."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house.tree import ROOT

CORE = ROOT / "kproducer" / "_core"
C_FILES = sorted((ROOT / "csrc").glob("*.[ch]"))
CYTHON_FILES = sorted([*CORE.glob("*.pyx"), *CORE.glob("*.pxd")])
EXTENSIONS = {f"kproducer._core.{path.stem}" for path in CORE.glob("*.pyx")}
OUTBUILDINGS = {
    "cli",
    "testing",
    "compat",
    "serializers",
    "schema_registry",
    "exporters",
    "large",
    "tracing.py",
}

PORTABLE_HEADERS = {
    f"<{name}.h>"
    for name in (
        *("errno", "limits", "stdatomic", "stdbool", "stddef", "stdint", "stdlib", "string"),
        *("lz4", "lz4frame", "lz4hc", "zlib", "zstd", "zstd_errors"),
        *("nmmintrin", "wmmintrin", "arm_acle", "arm_neon", "arm64intr", "intrin"),
    )
}
# How one asks the processor what it can; both read a constant and no clock, descriptor or thread.
PROCESSOR_QUERIES = {"kp_crc32c.c": {"<sys/auxv.h>", "<windows.h>", "<sys/sysctl.h>", "<asm/hwcap.h>"}}


def includes(path: Path) -> set[str]:
    return set(re.findall(r"^\s*#\s*include\s+([<\"][^>\"]+[>\"])", path.read_text(), re.MULTILINE))


@pytest.mark.parametrize("path", C_FILES, ids=lambda path: path.name)
def test_csrc_knows_no_python_and_only_its_own_headers(path: Path) -> None:
    quoted = {name.strip('"') for name in includes(path) if name.startswith('"')}
    assert all((path.parent / name).is_file() and name.startswith("kp_") for name in quoted)
    assert "Python.h" not in path.read_text()


@pytest.mark.parametrize(
    "path", [path for path in C_FILES if not path.stem.startswith("kp_os")], ids=lambda path: path.name
)
def test_only_kp_os_includes_headers_of_an_operating_system(path: Path) -> None:
    system = {name for name in includes(path) if name.startswith("<")}
    assert system <= PORTABLE_HEADERS | PROCESSOR_QUERIES.get(path.name, set())


@pytest.mark.parametrize("path", CYTHON_FILES, ids=lambda path: path.name)
def test_cython_cimports_only_the_core_and_the_languages(path: Path) -> None:
    modules = re.findall(r"^\s*from\s+([\w.]+)\s+cimport\b", path.read_text(), re.MULTILINE)
    modules += re.findall(r"^\s*cimport\s+([\w.]+)", path.read_text(), re.MULTILINE)
    allowed = re.compile(r"kproducer\._core\.\w+|libc\.\w+|cpython(\.\w+)?|cython(\.\w+)*")
    assert [module for module in modules if not allowed.fullmatch(module)] == []


@pytest.mark.parametrize("path", CYTHON_FILES, ids=lambda path: path.name)
def test_cython_imports_nothing_above_the_core(path: Path) -> None:
    modules = re.findall(
        r"^\s*(?:from|import)\s+(kproducer[\w.]*)(?!.*\bcimport\b)", path.read_text(), re.MULTILINE
    )
    allowed = re.compile(r"kproducer\._core(\.\w+)?|kproducer\.(errors|types)")
    assert [module for module in modules if not allowed.fullmatch(module)] == []


@pytest.mark.parametrize("path", CYTHON_FILES, ids=lambda path: path.name)
def test_csrc_is_declared_to_cython_in_one_place(path: Path) -> None:
    if path.name != "csrc.pxd":
        assert 'extern from "kp_' not in path.read_text()
    assert not re.search(r"^\s*(include\s+[\"']|DEF\s|IF\s)", path.read_text(), re.MULTILINE)


def python_imports() -> Iterator[tuple[Path, str]]:
    """Every module of kproducer that a module of kproducer imports; `from a import b` may be both a and a.b."""
    for path in sorted((ROOT / "kproducer").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)]
            yield from ((path.relative_to(ROOT / "kproducer"), name) for name in names)


def test_nothing_but_the_outbuildings_imports_the_root_package() -> None:
    inside = [
        path for path, name in python_imports() if name == "kproducer" and path.parts[0] not in OUTBUILDINGS
    ]
    assert inside == []


def test_outbuildings_import_no_extension() -> None:
    found = [path for path, name in python_imports() if name in EXTENSIONS and path.parts[0] in OUTBUILDINGS]
    assert found == []
