"""Builds one static library from csrc and one extension per .pyx; all other facts are in pyproject.toml."""

import os
import shlex
import shutil
import subprocess
import sysconfig
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command import build_clib, build_ext

WINDOWS = os.name == "nt"
GCC_FLAGS, MSVC_FLAGS = "-std=c11 -O3 -g0 -fvisibility=hidden", "/std:c11 /experimental:c11atomics /O2"
C_FLAGS = (MSVC_FLAGS if WINDOWS else GCC_FLAGS).split()
LIBRARY_FLAGS = [*C_FLAGS, "-Icsrc", *(["/W3"] if WINDOWS else ["-Wall", "-Wextra"])]
LINK_FLAGS = ["ws2_32.lib"] if WINDOWS else ["-pthread"]
MACROS = {"zlib": "-DKP_HAVE_ZLIB", "liblz4": "-DKP_HAVE_LZ4", "libzstd": "-DKP_HAVE_ZSTD"}


class BuildLibrary(build_clib.build_clib):
    def run(self) -> None:
        compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")[0]
        has_compiler = WINDOWS or shutil.which(compiler)  # setuptools looks for MSVC itself
        if not has_compiler or not Path(sysconfig.get_path("include"), "Python.h").exists():
            raise SystemExit("kproducer needs a C compiler and Python.h: apt install gcc python3-dev")
        super().run()


class BuildExtensions(build_ext.build_ext):
    def run(self) -> None:
        self.run_command("build_clib")  # build_ext alone would link a missing or stale library
        self.cython_c_in_temp = True  # no generated C in the source tree, so none in sdist and wheel
        super().run()


wish = os.environ.get("KPRODUCER_CODECS")  # system: link all or fail; runtime: none; unset: what has headers
pkg_config = os.environ.get("PKG_CONFIG", "pkg-config") + (" --msvc-syntax" if WINDOWS else "")
for package in MACROS if wish != "runtime" else ():
    status, text = subprocess.getstatusoutput(f"{pkg_config} --cflags --libs {package}")
    if status == 0:
        LIBRARY_FLAGS += [MACROS[package], *(word for word in shlex.split(text) if word[1:2] in ("I", "D"))]
        LINK_FLAGS += [word for word in shlex.split(text) if word[1:2] not in ("I", "D")]
    elif wish == "system":
        raise SystemExit(f"KPRODUCER_CODECS=system, but pkg-config does not find {package}")
stamp = Path("build/csrc-flags")  # other flags must rebuild everything
if not stamp.exists() or stamp.read_text() != repr(LIBRARY_FLAGS):
    stamp.parent.mkdir(exist_ok=True)
    stamp.write_text(repr(LIBRARY_FLAGS))
patterns = ("csrc/*.c", "csrc/*.h", "kproducer/**/*.pyx", "kproducer/**/*.pxd")
sources, headers, pyx, pxd = (sorted(map(str, Path().glob(pattern))) for pattern in patterns)
depends = [str(stamp), *headers]
flags = {"include_dirs": ["csrc"], "extra_compile_args": C_FLAGS, "extra_link_args": LINK_FLAGS}
flags["depends"] = [*depends, *sources, *pxd]
setup(
    libraries=[("kproducer_csrc", {"sources": sources, "cflags": LIBRARY_FLAGS, "obj_deps": {"": depends}})],
    ext_modules=[Extension(path[:-4].replace(os.sep, "."), [path], **flags) for path in pyx],
    cmdclass={"build_clib": BuildLibrary, "build_ext": BuildExtensions},
)
