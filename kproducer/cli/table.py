"""A framed table of two columns in sections."""

from __future__ import annotations

from collections.abc import Sequence

Row = tuple[str, str]
Section = tuple[str, Sequence[Row]]

_FINE = tuple("╭─╮│├┤╰╯")
_PLAIN = tuple("+-+|++++")


def render_table(title: str, sections: Sequence[Section], encoding: str | None = "utf-8") -> str:
    """The table as text; with plain characters where `encoding` has no lines."""
    left, line, right, side, tee, eet, low_left, low_right = (
        _FINE if _can_show("".join(_FINE), encoding) else _PLAIN
    )
    names = max((len(name) for _, rows in sections for name, _ in rows), default=0)
    texts = [f"  {name.ljust(names)}   {value}" for _, rows in sections for name, value in rows]
    width = max(len(text) for text in [title, *texts, *(head for head, _ in sections)]) + 2

    def framed(text: str) -> str:
        return f"{side} {text.ljust(width - 2)} {side}"

    lines = [left + line * width + right, framed(title)]
    remaining = iter(texts)
    for head, rows in sections:
        lines += [tee + line * width + eet, framed(head)]
        lines += [framed(next(remaining)) for _ in rows]
    lines.append(low_left + line * width + low_right)
    return "\n".join(lines)


def choose_mark(encoding: str | None, fine: str, plain: str) -> str:
    """The fine form of a mark, or the plain one where `encoding` cannot show it."""
    return fine if _can_show(fine, encoding) else plain


def _can_show(text: str, encoding: str | None) -> bool:
    try:
        text.encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
