"""What Windows lacks is imported by nothing that Windows runs."""

from __future__ import annotations

import subprocess
import sys

from tests.house.tree import ROOT

_POSIX_ONLY = ("fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty")
# The standard library has imported what it needs before the modules are taken away.
_PROGRAM = """
import sys, pathlib, pkgutil, importlib, shutil, subprocess, tempfile, multiprocessing.synchronize, asyncio
for name in sys.argv[1].split(","):
    sys.modules[name] = None
import kproducer
modules = [module.name for module in pkgutil.walk_packages(kproducer.__path__, "kproducer.")]
for name in modules:
    if not name.endswith("__main__"):
        importlib.import_module(name)
print(len(modules))
"""


def test_every_module_imports_without_the_modules_of_posix() -> None:
    command = [sys.executable, "-c", _PROGRAM, ",".join(_POSIX_ONLY)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert int(run.stdout) > 50
