"""Where a long call in C meets the interpreter: signals, and the turn of other threads."""

from __future__ import annotations


def between_instructions() -> None:
    """Do nothing, in byte code: on entry the interpreter handles signals, and gives the GIL to a thread that waits.

    Letting the GIL go and taking it back from C is no substitute. Who waits for it asks for it only after a switch
    interval in which nobody let go, so one who lets go in every interval, and is back at once, keeps it for good.
    """
