"""Builds one static library from csrc and one extension per .pyx; all other facts are in pyproject.toml."""

import os
import shlex
import shutil
import subprocess
import sysconfig
from pathlib import Path

from setuptools import Extension, find_packages, setup
from setuptools.command import build_clib, build_ext

WINDOWS = os.name == "nt"
C_FLAGS = ["/std:c11", "/O2"] if WINDOWS else ["-std=c11", "-O3", "-g0", "-fvisibility=hidden"]
LIBRARY_FLAGS = [*C_FLAGS, "-Icsrc", *(["/W3"] if WINDOWS else ["-Wall", "-Wextra"])]
LINK_FLAGS = ["ws2_32.lib"] if WINDOWS else ["-pthread"]
MACROS = {"zlib": "-DKP_HAVE_ZLIB", "liblz4": "-DKP_HAVE_LZ4", "libzstd": "-DKP_HAVE_ZSTD"}
MISSING = """kproducer is built from C: it needs a C compiler and Python.h.
Debian, Ubuntu: apt install gcc python3-dev    Fedora: dnf install gcc python3-devel
macOS: xcode-select --install                  Windows: Visual Studio Build Tools"""


def pkg_config(option: str, package: str) -> list[str] | None:
    command = f"{os.environ.get('PKG_CONFIG', 'pkg-config')} {option} {package}"
    status, text = subprocess.getstatusoutput(command)
    return shlex.split(text) if status == 0 else None


class BuildLibrary(build_clib.build_clib):
    def run(self) -> None:
        compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")[0]
        has_python_h = Path(sysconfig.get_path("include"), "Python.h").exists()
        if not has_python_h or not (WINDOWS or shutil.which(compiler)):  # setuptools looks for MSVC itself
            raise SystemExit(MISSING)
        super().run()


class BuildExtensions(build_ext.build_ext):
    def run(self) -> None:
        self.run_command("build_clib")  # build_ext alone would link a missing or stale library
        self.cython_c_in_temp = True  # no generated C in the source tree, so none in sdist and wheel
        self.cython_directives = {"language_level": "3"}
        super().run()


wish = os.environ.get("KPRODUCER_CODECS")  # system: link all or fail; runtime: none; unset: what has headers
for package in MACROS if wish != "runtime" else ():
    if (found := pkg_config("--cflags", package)) is not None:
        LIBRARY_FLAGS += [MACROS[package], *found]
        LINK_FLAGS += pkg_config("--libs", package) or []
    elif wish == "system":
        raise SystemExit(f"KPRODUCER_CODECS=system, but pkg-config does not find {package}")

stamp = Path("build/csrc-flags")  # other flags must rebuild everything
if not stamp.exists() or stamp.read_text() != repr(LIBRARY_FLAGS):
    stamp.parent.mkdir(exist_ok=True)
    stamp.write_text(repr(LIBRARY_FLAGS))
patterns = ("csrc/*.c", "csrc/*.h", "kproducer/_core/*.pxd", "kproducer/_core/*.pyx")
sources, headers, pxd, pyx = (sorted(map(str, Path().glob(pattern))) for pattern in patterns)
inputs = [str(stamp), *sources, *headers, *pxd]
library = {"sources": sources, "cflags": LIBRARY_FLAGS, "obj_deps": {"": [str(stamp), *headers]}}
flags = {"include_dirs": ["csrc"], "extra_compile_args": C_FLAGS, "extra_link_args": LINK_FLAGS}
setup(
    packages=find_packages(include=["kproducer", "kproducer.*"]),
    package_data={"": ["py.typed", "*.pyi"]},
    include_package_data=False,
    libraries=[("kproducer_csrc", library)],
    ext_modules=[Extension(path[:-4].replace(os.sep, "."), [path], depends=inputs, **flags) for path in pyx],
    cmdclass={"build_clib": BuildLibrary, "build_ext": BuildExtensions},
)
