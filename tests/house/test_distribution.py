"""What a user gets: the sdist, the wheel built from it, and an import of it in an empty environment."""

from __future__ import annotations

import configparser
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path, PurePosixPath

import pytest

from tests.house.tree import ROOT, tracked_files

pytestmark = pytest.mark.timeout(400)  # the first test waits for the build

CORE_SOURCES = sorted((ROOT / "kproducer" / "_core").glob("*.pyx"))


def names_in(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def test_wheel_holds_no_sources_of_extensions_and_no_tests(wheel: Path) -> None:
    suffixes = {PurePosixPath(name).suffix for name in names_in(wheel) if ".dist-info/" not in name}
    tops = {PurePosixPath(name).parts[0] for name in names_in(wheel)}
    assert suffixes == {".py", ".pyi", ".so", ".typed"}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"kproducer"}


def test_wheel_holds_every_module_stub_and_extension(wheel: Path) -> None:
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    expected = {
        str(path)
        for path in tracked_files()
        if path.parts[0] == "kproducer" and path.suffix in {".py", ".pyi"}
    }
    expected |= {f"kproducer/_core/{path.stem}{suffix}" for path in CORE_SOURCES} | {"kproducer/py.typed"}
    assert expected <= set(names_in(wheel))


def test_wheel_names_its_licence(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        metadata = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        lines = archive.read(metadata).decode().splitlines()
    assert "License-Expression: Apache-2.0" in lines
    assert "License-File: LICENSE" in lines


def test_wheel_brings_the_command_and_the_pytest_plugin(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        metadata = next(name for name in archive.namelist() if name.endswith(".dist-info/entry_points.txt"))
        points = configparser.ConfigParser()
        points.read_string(archive.read(metadata).decode())
    assert dict(points["console_scripts"]) == {"kproducer": "kproducer.cli:main"}
    assert dict(points["pytest11"]) == {"kproducer": "kproducer.testing.pytest_plugin"}


def test_sdist_holds_the_sources_and_nothing_generated(distribution: Path) -> None:
    with tarfile.open(next(distribution.glob("*.tar.gz"))) as archive:
        names = {str(PurePosixPath(*PurePosixPath(name).parts[1:])) for name in archive.getnames()}
    assert {f"csrc/{path.name}" for path in (ROOT / "csrc").glob("*.[ch]")} <= names
    assert {f"kproducer/_core/{path.name}" for path in CORE_SOURCES} <= names
    assert not {
        name for name in names if name.startswith("kproducer/") and name.endswith((".c", ".so", ".html"))
    }
    assert not {name for name in names if name.startswith(("tests/", "bench/"))}


def test_wheel_imports_and_runs_in_an_empty_environment(wheel: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "venv", with_pip=False, symlinks=True)
    python = tmp_path / "venv" / "bin" / "python"
    install = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(python),
        "install",
        "--no-index",
        "--no-deps",
        str(wheel),
    ]
    subprocess.run(install, check=True, capture_output=True)
    program = "import kproducer; print(kproducer.__file__, kproducer.__version__); kproducer.KafkaProducer"
    imported = subprocess.run(
        [str(python), "-I", "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert imported.stdout.startswith(str(tmp_path))
    helped = [str(tmp_path / "venv" / "bin" / "kproducer"), "--help"]
    assert "ingest" in subprocess.run(helped, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
