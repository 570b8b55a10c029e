"""The pages: what they show is marked as what it is, the commands exist, the reference is whole, Sphinx is content."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import re
import shlex
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest

import kproducer
import kproducer.testing
from kproducer.cli import main
from tests.house.test_repository import COMMANDS
from tests.house.tree import ROOT
from tests.pages import PAGES, PYTHON, SHELL, SHOWN, Block, blocks

ALL = [block for page in PAGES for block in blocks(page) if not block.is_directive]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]


def name(block: Block) -> str:
    return block.place


@pytest.mark.parametrize("block", ALL, ids=name)
def test_a_block_is_of_a_kind_that_the_tests_know(block: Block) -> None:
    assert block.kind in {*PYTHON, *SHELL, *SHOWN}


@pytest.mark.parametrize("block", [block for block in ALL if block.kind in PYTHON], ids=name)
def test_python_compiles(block: Block) -> None:
    block.compiled(block.place)


@pytest.mark.parametrize("block", [block for block in ALL if block.kind in SHELL], ids=name)
def test_the_commands_of_a_shell_block_exist(block: Block) -> None:
    commands = [line for line in block.text.replace("\\\n", "").splitlines() if line.strip()]
    assert commands
    parts = [part for line in commands for part in pipeline(shlex.split(line, comments=True))]
    assert [part for part in parts if not exists(part)] == []


def pipeline(words: list[str]) -> list[list[str]]:
    """The commands between the bars of a line."""
    parts: list[list[str]] = [[]]
    for word in words:
        if word == "|":
            parts.append([])
        else:
            parts[-1].append(word)
    return parts


def exists(words: list[str]) -> bool:
    """Whether a command can be typed as it stands: its target, program, module, extra and options are there."""
    match words:
        case []:
            return True  # a comment
        case ["make", *targets]:
            return {word for word in targets if "=" not in word} <= COMMANDS
        case ["kproducer", *arguments]:
            return kproducer_takes(arguments)
        case ["python", "-m", module, *_]:
            return importlib.util.find_spec(module) is not None
        case ["printf" | "callgrind_annotate", *_]:
            return True  # not ours
        case ["pip", "install", *targets]:
            return all(installable(target) for target in targets)
        case _:
            return False


def kproducer_takes(arguments: list[str]) -> bool:
    """Whether the help of the command names every option that is given."""
    given = [word.partition("=")[0] for word in arguments if word.startswith("--")]
    subcommand = [word for word in arguments if re.fullmatch(r"[a-z]+", word)][:1]
    known = help_text(tuple(subcommand))
    return all(re.search(rf"(?<![\w-]){option}(?![\w-])", known) for option in given)


@cache
def help_text(subcommand: tuple[str, ...]) -> str:
    output = io.StringIO()
    with (
        contextlib.redirect_stdout(output),
        contextlib.redirect_stderr(output),
        pytest.raises(SystemExit) as left,
    ):
        main([*subcommand, "--help"])
    assert left.value.code == 0, output.getvalue()
    return output.getvalue()


def installable(target: str) -> bool:
    match = re.fullmatch(r"(?:\.|kproducer)(?:\[([\w,-]+)\])?", target)
    return match is not None and set(filter(None, (match[1] or "").split(","))) <= set(EXTRAS)


@pytest.mark.parametrize(
    ("command", "right"),
    [
        ("make demo", True),
        ("make demon", False),
        ("kproducer ingest --topic t", True),
        ("kproducer ingest --topics t", False),
        ("python -m bench.peers", True),
        ("python -m bench.nobody", False),
        ("pip install 'kproducer[codecs]'", True),
        ("pip install 'kproducer[nothing]'", False),
        ("rm -rf x", False),
    ],
)
def test_a_command_that_is_not_there_is_found_out(command: str, right: bool) -> None:
    assert exists(shlex.split(command)) is right


def test_sphinx_builds_the_pages_without_a_warning_and_the_reference_has_every_public_name(
    tmp_path: Path,
) -> None:
    pytest.importorskip("sphinx", reason="sphinx is missing: pip install --group docs")
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "--fail-on-warning",
        "--keep-going",
        "--quiet",
        "docs",
        str(tmp_path),
    ]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr

    reference = (tmp_path / "api.html").read_text(encoding="utf-8")
    for module in (kproducer, kproducer.testing):
        public = [
            f"{module.__name__}.{public}" for public in module.__all__ if callable(getattr(module, public))
        ]
        assert [item for item in public if f'id="{item}"' not in reference] == []
    home = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert all(
        f'href="{page.stem}.html"' in home for page in (ROOT / "docs").glob("*.md") if page.stem != "index"
    )
