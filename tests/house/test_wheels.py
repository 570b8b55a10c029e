"""Which wheels a release has, and that one of them, repaired, serves a machine that has nothing else."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path
from typing import Any, Final

import pytest

from tests.house.tree import ROOT

pytestmark = pytest.mark.timeout(400)  # the first test waits for the build

INTERPRETERS: Final = ("cp311", "cp312", "cp313", "cp314", "cp314t", "cp315", "cp315t")
PLATFORMS: Final = {
    "linux": ("manylinux_x86_64", "manylinux_aarch64", "musllinux_x86_64", "musllinux_aarch64"),
    "macos": ("macosx_x86_64", "macosx_arm64"),
    "windows": ("win_amd64",),
}
BUNDLED: Final = {"liblz4", "libzstd"}  # every Linux that a manylinux wheel is for has zlib
DEMO_RECORDS: Final = "100000"


def tool(name: str) -> str:
    """A program of the development environment, whether or not that is on PATH."""
    path = Path(sys.executable).with_name(name)
    if not path.exists():
        pytest.skip(f"{name} is missing: pip install --group wheels")
    return str(path)


def run(*command: str | Path, cwd: Path = ROOT, timeout_s: float = 300) -> str:
    """Run a command that finds this environment's programs, and nothing of this checkout."""
    folder = str(Path(sys.executable).parent)
    environment = {**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout_s,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("platform", PLATFORMS)
def test_cibuildwheel_builds_these_wheels_and_no_other(platform: str) -> None:
    listing = run(
        tool("cibuildwheel"), "--print-build-identifiers", "--platform", platform, "--archs", "all", ROOT
    )
    expected = {f"{interpreter}-{tag}" for interpreter in INTERPRETERS for tag in PLATFORMS[platform]}
    assert set(listing.split()) == expected


def test_classifiers_name_the_interpreters_that_have_wheels() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    versions = {
        match[1] for line in project["classifiers"] if (match := re.fullmatch(r".* :: (3\.\d+)", line))
    }
    assert versions == {f"3.{name[3:].rstrip('t')}" for name in INTERPRETERS}
    assert any(":: Free Threading ::" in line for line in project["classifiers"])


def test_the_workflow_builds_by_the_release_of_cibuildwheel_that_is_tested_here() -> None:
    workflow = (ROOT / ".github" / "workflows" / "wheels.yml").read_text()
    (used,) = re.findall(r"pypa/cibuildwheel@v([\d.]+)", workflow)
    group = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]["wheels"]
    assert f"cibuildwheel=={used}" in group


def bill_of(dist: Path, folder: Path) -> dict[str, Any]:
    """The bill of materials that a release of these files would have."""
    run(sys.executable, ROOT / ".ci" / "sbom.py", dist, folder)
    (path,) = folder.glob("*.cdx.json")
    bill: dict[str, Any] = json.loads(path.read_text())
    return bill


def test_the_bill_of_a_release_names_its_files_with_their_hashes(distribution: Path, tmp_path: Path) -> None:
    bill = bill_of(distribution, tmp_path)
    hashes = {item["name"]: item["hashes"][0]["content"] for item in bill["components"]}
    assert hashes == {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in distribution.iterdir()
    }
    assert len(hashes) == 2
    product = bill["metadata"]["component"]
    assert (product["name"], product["licenses"]) == ("kproducer", [{"expression": "Apache-2.0"}])


@pytest.fixture(scope="module")
def repaired(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout and this machine, with the codecs' libraries bundled."""
    folder = tmp_path_factory.mktemp("repaired")
    run(tool("auditwheel"), "repair", "--wheel-dir", folder, wheel)
    return next(folder.glob("*.whl"))


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(sys.platform != "linux", reason="auditwheel repairs wheels for Linux")
def test_the_repaired_wheel_bundles_the_codecs_and_the_bill_says_so(repaired: Path, tmp_path: Path) -> None:
    assert "manylinux_" in repaired.name
    with zipfile.ZipFile(repaired) as archive:
        files = {name for name in archive.namelist() if name.startswith("kproducer.libs/lib")}
    assert {Path(name).name.partition("-")[0] for name in files} == BUNDLED
    (wheel,) = bill_of(repaired.parent, tmp_path)["components"]
    packages = [item for item in wheel["components"] if item.get("purl")]
    assert len(packages) >= len(BUNDLED)
    assert all(item["version"] for item in packages)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.skipif(sys.platform != "linux", reason="auditwheel repairs wheels for Linux")
def test_the_demo_runs_from_the_repaired_wheel_in_an_empty_environment(
    repaired: Path, tmp_path: Path
) -> None:
    venv.create(tmp_path / "venv", with_pip=False, symlinks=True)
    programs = tmp_path / "venv" / "bin"
    pip = (
        sys.executable,
        "-m",
        "pip",
        "--disable-pip-version-check",
        "--python",
        programs / "python",
        "install",
    )
    run(*pip, "--quiet", f"kproducer[demo] @ {repaired.as_uri()}", timeout_s=600)

    where = run(programs / "python", "-I", "-c", "import kproducer; print(kproducer.__file__)", cwd=tmp_path)
    assert where.startswith(str(tmp_path))
    sources = re.findall(r"compression\.type=(\w+) +(.*)", run(programs / "kproducer", "info", cwd=tmp_path))
    assert dict(sources) == dict.fromkeys(("none", "gzip", "snappy", "lz4", "zstd"), "built in")
    table = run(programs / "kproducer", "demo", "--records", DEMO_RECORDS, cwd=tmp_path, timeout_s=600)
    assert f"{int(DEMO_RECORDS):,}" in table
