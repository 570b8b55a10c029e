"""Where codecs come from, and csrc's encoders against the decoders of PyPI packages."""

from __future__ import annotations

import ctypes
import gzip
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import lz4.frame
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from kproducer._core import codecs
from kproducer._core.codecs import CodecSource, resolve_codec, symbol_names
from kproducer.errors import ConfigError
from tests.wire.snappy import decompress_raw

ROOT = Path(__file__).parents[3]
IDS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
LEVEL_DEFAULT = -(2**31)
OK, FULL = 0, 2
XERIAL_HEADER = b"\x82SNAPPY\x00" + (1).to_bytes(4, "big") * 2
RESOLVE = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p)


def decode_xerial(data: bytes) -> bytes:
    assert data[:16] == XERIAL_HEADER
    out, at = [], 16
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        out.append(decompress_raw(data[at + 4 : at + 4 + size]) if size else b"")
        at += 4 + size
    return b"".join(out)


DECODERS: Mapping[str, Callable[[bytes], bytes]] = {
    "none": bytes,
    "gzip": gzip.decompress,
    "snappy": decode_xerial,
    "lz4": lz4.frame.decompress,
    "zstd": lambda data: zstandard.ZstdDecompressor().decompressobj().decompress(data),
}


class Codec:
    """A kp_codec_ctx whose library functions were handed in by address."""

    def __init__(self, csrc: ctypes.CDLL, source: CodecSource, level: int = LEVEL_DEFAULT) -> None:
        self._csrc = csrc
        self._ctx = ctypes.c_void_p()
        lib = ctypes.create_string_buffer(256)
        resolve = RESOLVE(lambda _, symbol: source.symbols.get(symbol.decode()))
        codec = IDS[source.name]
        assert csrc.kp_codec_lib_resolve(codec, resolve, None, lib) == OK
        assert csrc.kp_codec_ctx_new(codec, level, lib, ctypes.byref(self._ctx)) == OK

    def compress(self, data: bytes, room: int | None = None) -> bytes | None:
        """None if the result does not fit."""
        cap = self._csrc.kp_codec_bound(self._ctx, len(data)) if room is None else room
        out, written = ctypes.create_string_buffer(max(cap, 1)), ctypes.c_size_t()
        status = self._csrc.kp_codec_compress(self._ctx, data, len(data), out, cap, ctypes.byref(written))
        assert status in (OK, FULL)
        return out.raw[: written.value] if status == OK else None

    def close(self) -> None:
        self._csrc.kp_codec_ctx_free(self._ctx)


@pytest.fixture(scope="module")
def csrc(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """The codec files as a shared library without any codec linked in."""
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("needs a C compiler in PATH")
    suffix = sysconfig.get_config_var("SHLIB_SUFFIX") or ".so"
    target = tmp_path_factory.mktemp("csrc") / f"codecs{suffix}"
    names = ("kp_codec", "kp_codec_gzip", "kp_codec_lz4", "kp_codec_zstd", "kp_snappy")
    sources = [str(ROOT / "csrc" / f"{name}.c") for name in names]
    flags = ["-std=c11", "-O2", "-shared", "-fPIC", f"-I{ROOT / 'csrc'}"]
    subprocess.run([compiler, *flags, *sources, "-o", str(target)], check=True, timeout=120)
    return declare(ctypes.CDLL(str(target)))


def declare(csrc: ctypes.CDLL) -> ctypes.CDLL:
    pointer, size_t, integer = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
    csrc.kp_codec_lib_resolve.argtypes = [integer, RESOLVE, pointer, pointer]
    csrc.kp_codec_ctx_new.argtypes = [integer, integer, pointer, pointer]
    csrc.kp_codec_ctx_free.argtypes = [pointer]
    csrc.kp_codec_ctx_free.restype = None
    csrc.kp_codec_bound.argtypes = [pointer, size_t]
    csrc.kp_codec_bound.restype = size_t
    csrc.kp_codec_compress.argtypes = [pointer, ctypes.c_char_p, size_t, pointer, size_t, pointer]
    csrc.kp_codec_symbol_names.argtypes = [integer, pointer]
    csrc.kp_codec_symbol_names.restype = ctypes.POINTER(ctypes.c_char_p)
    return csrc


@pytest.fixture(autouse=True)
def forget_sources() -> Iterator[None]:
    codecs._find.cache_clear()
    yield
    codecs._find.cache_clear()


def change(monkeypatch: pytest.MonkeyPatch, name: str, **fields: Any) -> None:
    table = {**codecs._LIBRARIES, name: replace(codecs._LIBRARIES[name], **fields)}
    monkeypatch.setattr(codecs, "_LIBRARIES", MappingProxyType(table))


NO_FILE = {"linux": "libabsent-kproducer.so.9"}


def without_shared_library(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Leave the PyPI package as the only source; skip where it was built without what exports its C functions."""
    module = codecs._LIBRARIES[name].module
    if codecs._module_file(module) is None:  # zstandard has it only where there is a cffi
        pytest.skip(f"needs {module}")
    change(monkeypatch, name, files=NO_FILE)


# --- sources ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["none", "snappy"])
def test_codecs_of_csrc_are_always_built_in(name: str) -> None:
    assert resolve_codec(name) == CodecSource(name, "built in")


@pytest.mark.parametrize("name", ["gzip", "lz4", "zstd"])
def test_a_linked_codec_is_built_in_and_looks_nothing_up(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    change(monkeypatch, name, files=NO_FILE, module="absent_kproducer")
    assert resolve_codec(name, builtin=True) == CodecSource(name, "built in")


@pytest.mark.parametrize("name", ["gzip", "lz4", "zstd"])
def test_a_shared_library_comes_first(name: str) -> None:
    file = codecs._LIBRARIES[name].files[sys.platform]
    try:
        ctypes.CDLL(file)
    except OSError:
        pytest.skip(f"needs {file}")
    source = resolve_codec(name)
    assert source.origin == file
    assert tuple(source.symbols) == symbol_names(name)
    assert all(address > 0 for address in source.symbols.values())


@pytest.mark.parametrize(("name", "origin"), [("lz4", "lz4 package"), ("zstd", "zstandard package")])
def test_the_package_is_taken_when_the_shared_library_is_missing(
    name: str, origin: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_shared_library(monkeypatch, name)
    source = resolve_codec(name)
    assert source.origin == origin
    assert tuple(source.symbols) == symbol_names(name)


@pytest.mark.parametrize(
    ("name", "remedies"),
    [
        ("gzip", ["apt install zlib1g", "zlib1g-dev"]),
        ("lz4", ["apt install liblz4-1", "pip install lz4"]),
        ("zstd", ["apt install libzstd1", "pip install zstandard"]),
    ],
)
def test_no_source_at_all_is_an_error_that_names_both_remedies(
    name: str, remedies: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    change(monkeypatch, name, files=NO_FILE, module="absent_kproducer")
    with pytest.raises(ConfigError) as error:
        resolve_codec(name)
    assert all(part in str(error.value) for part in [f"compression.type={name}", *remedies, "libabsent"])


def test_a_library_without_a_function_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    change(monkeypatch, "zstd", files={"linux": "libz.so.1"}, module="absent_kproducer")
    with pytest.raises(ConfigError, match="does not export ZSTD_createCCtx"):
        resolve_codec("zstd")


def test_a_source_that_fails_its_round_trip_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    change(monkeypatch, "lz4", decompress=lambda loaded, data, size: b"other")
    assert resolve_codec("lz4").origin == "lz4 package"


def test_an_unknown_codec_is_an_error_that_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="'brotli': allowed are none, gzip, snappy, lz4, zstd"):
        resolve_codec("brotli", builtin=True)


@pytest.mark.parametrize("name", ["gzip", "lz4", "zstd"])
def test_python_and_c_name_the_same_functions(name: str, csrc: ctypes.CDLL) -> None:
    count = ctypes.c_size_t()
    names = csrc.kp_codec_symbol_names(IDS[name], ctypes.byref(count))
    assert tuple(names[i].decode() for i in range(count.value)) == symbol_names(name)


# --- csrc through each source -------------------------------------------------------------------------------

SAMPLES = [b"", b"x", b"abc" * 5, b"key=value;" * 2000, os.urandom(70_000), os.urandom(100) * 3000]


@pytest.mark.parametrize("is_shared", [True, False], ids=["shared", "package"])
@pytest.mark.parametrize("name", IDS)
def test_packages_read_what_csrc_writes(
    name: str, is_shared: bool, csrc: ctypes.CDLL, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not is_shared and name in ("lz4", "zstd"):
        without_shared_library(monkeypatch, name)
    codec = Codec(csrc, resolve_codec(name))
    for data in SAMPLES:
        packed = codec.compress(data)
        assert packed is not None
        assert DECODERS[name](packed) == data
        assert name == "none" or len(data) < 10_000 or data == SAMPLES[4] or len(packed) < len(data)
    codec.close()


@pytest.mark.parametrize("name", ["gzip", "snappy", "lz4", "zstd"])
def test_any_bytes_survive_and_a_result_that_does_not_fit_says_so(name: str, csrc: ctypes.CDLL) -> None:
    codec = Codec(csrc, resolve_codec(name))

    @settings(max_examples=60, deadline=None)
    @given(st.binary(max_size=300), st.integers(1, 400))
    def check(chunk: bytes, repeat: int) -> None:
        data = chunk * repeat
        packed = codec.compress(data)
        assert packed is not None
        assert DECODERS[name](packed) == data
        assert codec.compress(data, room=len(packed) - 1) is None
        if name != "zstd":  # which wants a few spare bytes to work in
            assert codec.compress(data, room=len(packed)) == packed
        assert codec.compress(data) == packed

    check()
    codec.close()


def test_snappy_packs_about_as_tightly_as_the_reference(csrc: ctypes.CDLL) -> None:
    cramjam = pytest.importorskip("cramjam", reason="needs cramjam")
    text = b"".join(
        b'{"user":%d,"page":"/item/%d","ms":%d}\n' % (i % 97, i * 7 % 1009, i) for i in range(3000)
    )
    codec = Codec(csrc, resolve_codec("snappy"))
    packed = codec.compress(text)
    codec.close()
    reference = len(bytes(cramjam.snappy.compress_raw(text)))
    assert packed is not None
    assert len(packed) < 1.15 * reference
