"""Rates for people: one living line on a terminal, a line every five seconds elsewhere."""

from __future__ import annotations

import sys
import time
from typing import TextIO

_TERMINAL_INTERVAL_S = 0.25
_LOG_INTERVAL_S = 5.0


def format_bytes(size_bytes: float) -> str:
    """A size in decimal units, for example "1.5 MB"."""
    for unit in ("B", "kB", "MB"):
        if abs(size_bytes) < 1000:
            return f"{size_bytes:.0f} B" if unit == "B" else f"{size_bytes:.1f} {unit}"
        size_bytes /= 1000
    return f"{size_bytes:,.2f} GB"


def format_count(count: int, noun: str) -> str:
    """A number with its noun, for example "1 record" or "2,000 records"."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


class Progress:
    """Shows records, bytes and rate on `stream` (default: standard error), not oftener than one can read."""

    def __init__(self, verb: str, total_bytes: int | None = None, stream: TextIO | None = None) -> None:
        self._verb = verb
        self._total_bytes = total_bytes
        self._stream = stream or sys.stderr
        self._is_terminal = self._stream.isatty()
        self._interval_s = _TERMINAL_INTERVAL_S if self._is_terminal else _LOG_INTERVAL_S
        self._started = self._shown = time.monotonic()
        self._shown_records = self._shown_bytes = 0
        self._width = 0

    @property
    def elapsed_s(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._started

    def update(self, records: int, size_bytes: int) -> None:
        """Show the totals so far, if it is time."""
        now = time.monotonic()
        seconds = now - self._shown
        if seconds < self._interval_s:
            return
        rate = (records - self._shown_records) / seconds
        speed = (size_bytes - self._shown_bytes) / seconds
        self._shown, self._shown_records, self._shown_bytes = now, records, size_bytes
        self._show(
            f"{self._verb} {records:,} records  {format_bytes(size_bytes)}{self._share(size_bytes)}"
            f"  {rate:,.0f} records/s  {format_bytes(speed)}/s"
        )

    def skip(self, seconds: float) -> None:
        """Leave out the last `seconds` from the rate: something else was done in them."""
        self._shown += seconds

    def finish(self) -> None:
        """Remove the living line, so that what follows starts on a clean one."""
        if self._width:
            self._stream.write("\r" + " " * self._width + "\r")
            self._stream.flush()
            self._width = 0

    def _share(self, size_bytes: int) -> str:
        return f" ({min(size_bytes / self._total_bytes, 1):.0%})" if self._total_bytes else ""

    def _show(self, line: str) -> None:
        if self._is_terminal:
            self._stream.write("\r" + line.ljust(self._width))
            self._width = len(line)
        else:
            self._stream.write(line + "\n")
        self._stream.flush()
