"""How Sphinx makes the pages: `make docs`. The pages are Markdown, which also reads well where they are stored."""

from __future__ import annotations

import inspect

from sphinx.application import Sphinx

from kproducer import __version__

project = "kproducer"
author = "The kproducer developers"
release = version = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns: list[str] = []
html_theme = "furo"
html_title = f"kproducer {__version__}"
html_show_copyright = False

default_role = "code"  # docstrings write `names` with one backtick

myst_heading_anchors = 3  # links to a heading, as [text](page.md#heading)

autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", _keep_property_whole, priority=600)  # after napoleon, at 500
    app.connect("autodoc-skip-member", _skip_field)


def _keep_property_whole(
    _app: Sphinx, _what: str, _name: str, found: object, _options: object, lines: list[str]
) -> None:
    """Napoleon takes what stands before a colon in the first line of a property for its type; we write none there."""
    if inspect.isdatadescriptor(found):
        lines[:] = inspect.cleandoc(found.__doc__ or "").splitlines()


def _skip_field(
    _app: Sphinx, _what: str, _name: str, found: object, _skip: bool, _options: object
) -> bool | None:
    """Leave out the fields of named tuples, which the class describes; None lets Sphinx decide."""
    return True if (found.__doc__ or "").startswith("Alias for field number") else None
