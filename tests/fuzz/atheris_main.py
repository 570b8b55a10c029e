"""Runs one Python target under Atheris: `python -m tests.fuzz.atheris_main TARGET [libFuzzer's options] [folders]`."""

from __future__ import annotations

import sys

import atheris


def main() -> None:
    """Hand the target to the fuzzer, which ends the process."""
    name = sys.argv.pop(1)
    # What is imported here is compiled with counters for the fuzzer's feedback.
    with atheris.instrument_imports(include=["kproducer", "tests.fuzz"]):
        from tests.fuzz.targets import TARGETS, prepare  # noqa: PLC0415 # see above
    prepare()
    atheris.Setup(sys.argv, TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
