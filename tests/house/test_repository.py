"""One version, one place; commands that exist; nothing of the machine that wrote a file."""

from __future__ import annotations

import re
import socket
import tomllib
from pathlib import Path

from tests.house.tree import ROOT, tracked_files, tracked_texts

VERSION = re.search(r'__version__ = "([^"]+)"', (ROOT / "kproducer" / "_version.py").read_text())
LONG_FILE = 600
TARGETS = set(re.findall(r"^([a-z][\w-]*(?: [a-z][\w-]*)*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
COMMANDS = {name for group in TARGETS for name in group.split()}


def test_version_stands_in_one_place() -> None:
    assert VERSION is not None
    literal = re.compile(r"(?:version|VERSION)\w*\W{1,6}" + re.escape(VERSION[1]) + r"(?![\d.])")
    sources = (
        item
        for item in tracked_texts()
        if item[0].suffix in {".py", ".pyx", ".toml", ".cfg", ".h", ".c", ".yml"}
    )
    assert [str(path) for path, text in sources if literal.search(text)] == ["kproducer/_version.py"]


def test_changelog_starts_with_this_version() -> None:
    assert VERSION is not None
    headings = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0] == VERSION[1]


def test_build_group_asks_for_what_the_build_requires() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert set(project["build-system"]["requires"]) <= set(project["dependency-groups"]["build"])


def test_setup_py_stays_short() -> None:
    assert len((ROOT / "setup.py").read_text().splitlines()) < 60


def make_commands(path: Path) -> set[str]:
    """The targets of the make commands in a file: at the start of a line, or of a code span; elsewhere it is a verb."""
    start = r"^(?: {4}|`)|`" if path.suffix == ".md" else r"^[\s-]*(?:run: |entry: )?"
    return set(
        re.findall(rf"(?:{start})(?:sudo )?make ([a-z][\w-]*)", (ROOT / path).read_text(), re.MULTILINE)
    )


def test_every_make_command_that_is_named_exists() -> None:
    callers = [
        path for path in tracked_files() if path.suffix in {".md", ".yml", ".yaml"} or path.parts[0] == ".ci"
    ]
    unknown = {f"{path}: make {name}" for path in callers for name in make_commands(path) - COMMANDS}
    assert unknown == set()


def test_readme_names_the_two_commands_of_a_fresh_machine() -> None:
    assert {"demo", "test"} <= make_commands(Path("README.md"))


def test_ci_runs_lint_and_the_test_command_of_the_readme() -> None:
    script = (ROOT / ".ci" / "run").read_text().splitlines()
    assert "make lint" in script
    assert script[-2:] == ["make test", "make instructions"]  # the latter reports and does not fail


def test_workflows_call_only_make() -> None:
    steps = [
        (path.name, line)
        for path in sorted((ROOT / ".github" / "workflows").glob("*.yml"))
        for line in re.findall(r"run: (.*)", path.read_text())
    ]
    assert steps
    assert [step for step in steps if not re.match(r"(sudo )?make [\w-]+$", step[1])] == []


def test_every_check_is_called_by_a_workflow() -> None:
    workflows = (ROOT / ".github" / "workflows").glob("*.yml")
    called = {name for path in workflows for name in make_commands(path)}
    checks = {
        "lint",
        "test",
        "test-all",
        "unit",
        "integration",
        "faults",
        "cross",
        "docs",
        "wheel-test",
        "sbom",
    }
    assert {*checks, "csrc-test", "csrc-sanitize", "csrc-clang", "asan"} <= called


def test_no_file_names_the_machine_it_was_written_on() -> None:
    folders = {str(ROOT), str(ROOT.parent), str(Path.home())} - {"/", "/home", "/tmp"}
    here = [re.compile(rf"(?<![\w.~]){re.escape(folder)}/") for folder in sorted(folders)]
    if len(socket.gethostname()) > 8 and socket.gethostname() != "localhost":
        here.append(re.compile(rf"\b{re.escape(socket.gethostname())}\b"))
    foreign = re.compile(r"(?<![\w.~])/(?:work|root|home/\w+|Users/\w+)/\w+")
    found = {
        str(path) for path, text in tracked_texts() for pattern in (*here, foreign) if pattern.search(text)
    }
    assert found == set()


def test_a_long_file_has_its_reason_in_the_design() -> None:
    design = (ROOT / "docs" / "design.md").read_text()
    shipped = (item for item in tracked_texts() if item[0].suffix in {".py", ".pyx", ".c", ".h"})
    long_files = {
        path.name
        for path, text in shipped
        if path.parts[0] in {"kproducer", "csrc"} and text.count("\n") > LONG_FILE
    }
    assert {name for name in long_files if name not in design} == set()
