"""The pages that users read, and the blocks of code in them.

A block is fenced with its language, or indented (then it is shell). What stands behind the language says what the
tests do with it: `python` is run, page by page and in order; `python fragment` only has to compile; `sh` names commands
that have to exist; other languages of `SHOWN` are only shown.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import CodeType
from typing import Final

from markdown_it import MarkdownIt

ROOT: Final = Path(__file__).resolve().parents[1]
PAGES: Final = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "bench" / "README.md")
PYTHON: Final = ("python", "python fragment")
SHELL: Final = ("sh", "")
SHOWN: Final = ("ini", "json", "properties", "text", "toml")


@dataclass(frozen=True, slots=True)
class Block:
    """One block of code, and where it stands."""

    page: Path
    line: int
    kind: str
    text: str

    @property
    def place(self) -> str:
        """Page and line, as a traceback would say it."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def is_directive(self) -> bool:
        """Whether it is no code but an order to Sphinx, such as {toctree}."""
        return self.kind.startswith("{")

    def compiled(self, filename: str) -> CodeType:
        """The code object, whose lines are those of the page."""
        module = ast.parse(self.text, filename)
        ast.increment_lineno(module, self.line)
        return compile(module, filename, "exec", dont_inherit=True)


def blocks(page: Path) -> Iterator[Block]:
    """Every block of a page, from above."""
    for token in MarkdownIt("commonmark").parse(page.read_text(encoding="utf-8")):
        if token.type in {"fence", "code_block"} and token.map is not None:
            yield Block(page, token.map[0] + (token.type == "fence"), token.info.strip(), token.content)
