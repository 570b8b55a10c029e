"""Plots as SVG, written by hand: a line for each contestant, its median as a bar or a dot, its range as a whisker.

The same figures give the same bytes, so a test can tell that a plot is that of the results.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from bench.peers.statistics import Spread

WIDTH, RIGHT = 860, 100
CHARACTER = 6.3  # how wide a letter of the names is taken to be: nobody measures fonts here
LINE, GROUP_GAP, TOP, BOTTOM = 18, 30, 54, 38
OWN_COLOUR, OTHER_COLOUR, LIMIT_COLOUR, INK, FAINT = "#1f6fb2", "#9aa3ab", "#d5dade", "#22272c", "#e4e7ea"
HALO = 'paint-order="stroke" stroke="#ffffff" stroke-width="3"'  # a line behind a text does not strike it out
_STEPS = (1, 2, 2.5, 5, 10)


@dataclass(frozen=True)
class Mark:
    """One contestant: its name, its figure, and the text beside it."""

    name: str
    spread: Spread
    text: str
    colour: str = OTHER_COLOUR


@dataclass(frozen=True)
class Group:
    """Marks that may be compared with each other."""

    heading: str
    marks: tuple[Mark, ...]


@dataclass(frozen=True)
class Axis:
    """Where a value lies between the left and the right end of the plot."""

    low: float
    high: float
    is_logarithmic: bool
    left: int = 0

    def at(self, value: float) -> float:
        """Return the x of a value, held between the ends."""
        value = min(max(value, self.low), self.high)
        if self.is_logarithmic:
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return round(self.left + share * (WIDTH - self.left - RIGHT), 1)

    def ticks(self) -> list[float]:
        """Return round values from end to end."""
        if self.is_logarithmic:
            first, last = round(math.log10(self.low)), round(math.log10(self.high))
            return [10.0**exponent for exponent in range(first, last + 1)]
        step = _round_step(self.high / 5)
        return [step * index for index in range(int(self.high / step + 1e-9) + 1)]


def make_axis(spreads: Sequence[Spread], *, is_logarithmic: bool, left: int = 0) -> Axis:
    """Return an axis that all of them fit on; a linear one begins at 0, so that lengths may be compared."""
    high = max(spread.high for spread in spreads)
    if not is_logarithmic:
        step = _round_step(high / 5)
        return Axis(0, step * math.ceil(high / step), is_logarithmic=False, left=left)
    low = min(spread.low for spread in spreads)
    first = math.floor(math.log10(low))
    return Axis(
        10.0**first, 10.0 ** max(first + 1, math.ceil(math.log10(high))), is_logarithmic=True, left=left
    )


def _round_step(size: float) -> float:
    power = 10.0 ** math.floor(math.log10(size))
    return power * next(step for step in _STEPS if step * power >= size * 0.999)


def draw(
    title: str,
    groups: Sequence[Group],
    *,
    is_logarithmic: bool = False,
    reference: tuple[float, str] | None = None,
) -> str:
    """Return a plot as SVG; `reference` is a value with its name that gets a line from top to bottom."""
    spreads = [mark.spread for group in groups for mark in group.marks]
    values = [*spreads, *([Spread(reference[0], reference[0], reference[0])] if reference else [])]
    longest = max(len(mark.name) for group in groups for mark in group.marks)
    axis = make_axis(values, is_logarithmic=is_logarithmic, left=30 + round(CHARACTER * longest))
    height = TOP + BOTTOM + sum(GROUP_GAP + LINE * len(group.marks) for group in groups)
    parts = [_head(title, height), *_grid(axis, height)]
    if reference is not None:
        parts += _reference(*reference, axis, height)
    top = TOP
    for group in groups:
        parts.append(_text(14, top + 20, group.heading, weight="600"))
        top += GROUP_GAP
        for mark in group.marks:
            parts += _mark(mark, axis, top)
            top += LINE
    return "\n".join([*parts, "</svg>"]) + "\n"


def _head(title: str, height: int) -> str:
    size = f'viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
    font = 'font-family="system-ui, sans-serif" font-size="12"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} {font}>',
            f"<title>{escape(title)}</title>",
            f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
            _text(14, 24, title, size=15, weight="600"),
        ]
    )


def _text(
    x: float, y: float, text: str, *, size: int = 12, weight: str = "400", anchor: str = "start"
) -> str:
    look = f'font-size="{size}" font-weight="{weight}" text-anchor="{anchor}" fill="{INK}" {HALO}'
    return f'<text x="{x:g}" y="{y:g}" {look}>{escape(text)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, width: float = 1) -> str:
    return (
        f'<line x1="{x1:g}" y1="{y1:g}" x2="{x2:g}" y2="{y2:g}" stroke="{colour}" stroke-width="{width:g}"/>'
    )


def _grid(axis: Axis, height: int) -> list[str]:
    bottom = height - BOTTOM
    parts = []
    for tick in axis.ticks():
        x = axis.at(tick)
        parts.append(_line(x, TOP - 8, x, bottom, FAINT))
        parts.append(_text(x, bottom + 18, tick_text(tick), size=11, anchor="middle"))
    return parts


def tick_text(value: float) -> str:
    """Return a number as an axis shows it: 2.5 M, 10 k, 0.01."""
    for size, unit in ((1e6, " M"), (1e3, " k")):
        if value >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"


def _mark(mark: Mark, axis: Axis, top: int) -> list[str]:
    middle = top + LINE / 2
    low, centre, high = (axis.at(value) for value in (mark.spread.low, mark.spread.median, mark.spread.high))
    parts = [_text(axis.left - 10, middle + 4, mark.name, anchor="end")]
    if axis.is_logarithmic:  # a length means nothing there
        parts.append(f'<circle cx="{centre:g}" cy="{middle:g}" r="4.5" fill="{mark.colour}"/>')
    else:
        width = round(centre - axis.left, 1)
        parts.append(
            f'<rect x="{axis.left}" y="{top + 3}" width="{width:g}" height="{LINE - 6}" fill="{mark.colour}"/>'
        )
    parts.append(_line(low, middle, high, middle, INK, 1.5))
    parts += [_line(x, middle - 3, x, middle + 3, INK, 1.5) for x in (low, high)]
    parts.append(_text(max(high, centre + 5) + 7, middle + 4, mark.text, size=11))
    return parts


def _reference(value: float, name: str, axis: Axis, height: int) -> list[str]:
    x = axis.at(value)
    return [
        _line(x, TOP - 8, x, height - BOTTOM, INK, 1.5),
        _text(x, TOP - 12, name, size=11, anchor="middle"),
    ]
