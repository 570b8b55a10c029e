"""What a judgement of the facts consists of."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How bad a finding is; a note is none that CI should fail for."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that a user should know.

    code: its name, which stays the same; docs/doctor.md explains it.
    severity: `error` if records fail or cannot be sent, `warning` if they may be lost or fail one day, else `note`.
    subject: what it is about, such as "topic orders".
    text: what was found.
    remedy: what to do about it; may be empty.
    """

    code: str
    severity: Severity
    subject: str
    text: str
    remedy: str = ""


def error(code: str, subject: str, text: str, remedy: str = "") -> Finding:
    """Return a finding for which records fail."""
    return Finding(code, Severity.ERROR, subject, text, remedy)


def warning(code: str, subject: str, text: str, remedy: str = "") -> Finding:
    """Return a finding for which records may be lost or fail one day."""
    return Finding(code, Severity.WARNING, subject, text, remedy)


def note(code: str, subject: str, text: str, remedy: str = "") -> Finding:
    """Return a finding that needs no action."""
    return Finding(code, Severity.NOTE, subject, text, remedy)
