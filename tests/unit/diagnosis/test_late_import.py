"""The doctor costs nothing before it is asked for."""

from __future__ import annotations

import subprocess
import sys

import pytest

import kproducer


def test_import_of_kproducer_leaves_the_doctor_out_until_it_is_used() -> None:
    script = (
        "import sys, kproducer\n"
        "assert not [name for name in sys.modules if name.startswith('kproducer.diagnosis')]\n"
        "assert kproducer.Severity.__module__ == 'kproducer.diagnosis.findings'\n"
        "from kproducer import *\n"
        "assert callable(diagnose)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'kproducer' has no attribute 'doctor'"):
        kproducer.doctor  # noqa: B018  # the access is the test
