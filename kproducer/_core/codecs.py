"""Finds the C functions of a codec that was not linked in: in a shared library, else in a PyPI package.

The addresses go to csrc/kp_codec.h, which calls them without the GIL. Runs where a producer is constructed.
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from kproducer.errors import ConfigError

BUILTIN: Final = "built in"
_SAMPLE: Final = b"offset=17 partition=3 level=INFO " * 40


@dataclass(frozen=True, slots=True)
class CodecSource:
    """Where a codec comes from, as `kproducer info` and the metrics say it.

    Args:
        name: Kafka's name of the codec.
        origin: "built in", the file name of a shared library, or "<name> package".
        symbols: address of each C function that the codec calls; empty for a built-in codec.
    """

    name: str
    origin: str
    symbols: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))


def resolve_codec(name: str, builtin: bool = False) -> CodecSource:
    """Return the source of a codec, after a round trip through it has given the same bytes back.

    Args:
        name: none, gzip, snappy, lz4 or zstd.
        builtin: whether the codec was linked in; "none" and "snappy" always are. Default False.

    Raises:
        ConfigError: the codec is unknown, or no source has it; names the sources tried and the remedies.
    """
    if name in ("none", "snappy") or (builtin and name in _LIBRARIES):
        return CodecSource(name, BUILTIN)
    if name not in _LIBRARIES:
        raise ConfigError(
            f"compression.type={name!r}: allowed are none, gzip, snappy, lz4, zstd", name="compression.type"
        )
    return _find(name)


def symbol_names(name: str) -> tuple[str, ...]:
    """Return the C functions that gzip, lz4 or zstd calls, in the order of csrc; KeyError for others."""
    return _LIBRARIES[name].symbols


# --- sources, in the order they are tried -------------------------------------------------------------------


class _UnusableError(Exception):
    """Why a source cannot be taken."""


@dataclass(frozen=True, slots=True)
class _Library:
    """What one codec needs, and where it may be."""

    title: str
    symbols: tuple[str, ...]
    files: Mapping[str, str]  # by sys.platform
    package: str
    module: str  # the extension module inside the package that exports the symbols
    compress: Callable[[ctypes.CDLL, bytes], bytes]
    decompress: Callable[[ctypes.CDLL, bytes, int], bytes]  # by the same library
    package_decompress: Callable[[bytes, int], bytes]  # by the package's own Python API
    remedies: str


@cache  # a round trip once per process
def _find(name: str) -> CodecSource:
    library = _LIBRARIES[name]
    failures = []
    for origin, path, is_package in _candidates(library):
        try:
            return CodecSource(name, origin, MappingProxyType(_load(library, path, is_package)))
        except (_UnusableError, OSError, ImportError) as error:
            failures.append(f"{origin}: {error}")
    raise ConfigError(
        f"compression.type={name}: this build of kproducer has no {library.title}, and at run time none was "
        f"usable ({'; '.join(failures) or 'nothing was found'}); {library.remedies}",
        name="compression.type",
    )


def _candidates(library: _Library) -> Iterator[tuple[str, str, bool]]:
    file = library.files.get(sys.platform, library.files["linux"])
    yield file, file, False
    path = _module_file(library.module)
    if path is not None:
        yield f"{library.package} package", path, True


def _module_file(module: str) -> str | None:
    """Path of an extension module, without importing it or its package."""
    package, _, rest = module.partition(".")
    spec = importlib.util.find_spec(package)
    if spec is None:
        return None
    if not rest:
        return spec.origin if spec.has_location else None
    for location in spec.submodule_search_locations or ():
        for suffix in EXTENSION_SUFFIXES:
            path = Path(location, *rest.split(".")).with_suffix(suffix)
            if path.exists():
                return str(path)
    return None


def _load(library: _Library, path: str, is_package: bool) -> dict[str, int]:
    loaded = ctypes.CDLL(path)  # never unloaded by ctypes, so the addresses stay valid
    symbols = {symbol: _address(loaded, symbol) for symbol in library.symbols}
    packed = library.compress(loaded, _SAMPLE)
    if is_package:
        back = library.package_decompress(packed, len(_SAMPLE))
    else:
        back = library.decompress(loaded, packed, len(_SAMPLE))
    if back != _SAMPLE:
        raise _UnusableError("a round trip did not give the same bytes back")
    return symbols


def _address(loaded: ctypes.CDLL, symbol: str) -> int:
    try:
        address = ctypes.cast(getattr(loaded, symbol), ctypes.c_void_p).value
    except AttributeError:
        raise _UnusableError(f"does not export {symbol}") from None
    if not address:
        raise _UnusableError(f"does not export {symbol}")
    return address


def _function(loaded: ctypes.CDLL, symbol: str, result: Any, *arguments: Any) -> Callable[..., Any]:
    """A ctypes function of our own, because attributes of a CDLL are shared with everyone."""
    return ctypes.CFUNCTYPE(result, *arguments)(_address(loaded, symbol))


# --- zstd ---------------------------------------------------------------------------------------------------

_ZSTD_LEVEL_PARAMETER: Final = 100


def _zstd_compress(loaded: ctypes.CDLL, data: bytes) -> bytes:
    size_t, pointer = ctypes.c_size_t, ctypes.c_void_p
    create = _function(loaded, "ZSTD_createCCtx", pointer)
    free = _function(loaded, "ZSTD_freeCCtx", size_t, pointer)
    set_parameter = _function(loaded, "ZSTD_CCtx_setParameter", size_t, pointer, ctypes.c_int, ctypes.c_int)
    compress = _function(loaded, "ZSTD_compress2", size_t, pointer, pointer, size_t, ctypes.c_char_p, size_t)
    error_code = _function(loaded, "ZSTD_getErrorCode", ctypes.c_int, size_t)
    room = _function(loaded, "ZSTD_compressBound", size_t, size_t)(len(data))
    out = ctypes.create_string_buffer(room)
    context = create()
    try:
        if error_code(set_parameter(context, _ZSTD_LEVEL_PARAMETER, 3)) != 0:
            raise _UnusableError("refused level 3")
        written = compress(context, out, room, data, len(data))
    finally:
        free(context)
    if error_code(written) != 0:
        raise _UnusableError(f"compressing failed with error {error_code(written)}")
    return out.raw[:written]


def _zstd_decompress(loaded: ctypes.CDLL, data: bytes, size: int) -> bytes:
    size_t = ctypes.c_size_t
    decompress = _function(
        loaded, "ZSTD_decompress", size_t, ctypes.c_void_p, size_t, ctypes.c_char_p, size_t
    )
    out = ctypes.create_string_buffer(size)
    written = decompress(out, size, data, len(data))
    return out.raw[:written] if written <= size else b""


def _zstandard_decompress(data: bytes, size: int) -> bytes:
    back: bytes = importlib.import_module("zstandard").decompress(data, max_output_size=size)
    return back


# --- lz4 ----------------------------------------------------------------------------------------------------


def _lz4_compress(loaded: ctypes.CDLL, data: bytes) -> bytes:
    """A block by the fast compressor, after one by the high compressor, so that both have run."""
    integer, pointer, text = ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p
    room = len(data) + 64
    out = ctypes.create_string_buffer(room)
    written = 0
    for size_of, compress in (
        ("LZ4_sizeofStateHC", "LZ4_compress_HC_extStateHC"),
        ("LZ4_sizeofState", "LZ4_compress_fast_extState"),
    ):
        state = ctypes.create_string_buffer(_function(loaded, size_of, integer)())
        call = _function(loaded, compress, integer, pointer, text, pointer, integer, integer, integer)
        written = call(state, data, out, len(data), room, 1)
        if written <= 0:
            raise _UnusableError(f"{compress} failed")
    return out.raw[:written]


def _lz4_decompress(loaded: ctypes.CDLL, data: bytes, size: int) -> bytes:
    integer = ctypes.c_int
    decompress = _function(
        loaded, "LZ4_decompress_safe", integer, ctypes.c_char_p, ctypes.c_void_p, integer, integer
    )
    out = ctypes.create_string_buffer(size)
    written = decompress(data, out, len(data), size)
    return out.raw[: max(written, 0)]


def _lz4_package_decompress(data: bytes, size: int) -> bytes:
    back: bytes = importlib.import_module("lz4.block").decompress(data, uncompressed_size=size)
    return back


# --- gzip ---------------------------------------------------------------------------------------------------


class _ZStream(ctypes.Structure):
    """zlib's z_stream; csrc/kp_codec_gzip.c has the same layout."""

    _fields_ = (
        ("next_in", ctypes.c_char_p),
        ("avail_in", ctypes.c_uint),
        ("total_in", ctypes.c_ulong),
        ("next_out", ctypes.c_void_p),
        ("avail_out", ctypes.c_uint),
        ("total_out", ctypes.c_ulong),
        ("msg", ctypes.c_char_p),
        ("state", ctypes.c_void_p),
        ("alloc", ctypes.c_void_p),
        ("release", ctypes.c_void_p),
        ("opaque", ctypes.c_void_p),
        ("data_type", ctypes.c_int),
        ("checksum", ctypes.c_ulong),
        ("reserved", ctypes.c_ulong),
    )


_Z_FINISH: Final = 4
_Z_STREAM_END: Final = 1
_GZIP_WINDOW_BITS: Final = 31


def _gzip_compress(loaded: ctypes.CDLL, data: bytes) -> bytes:
    integer, stream_pointer = ctypes.c_int, ctypes.POINTER(_ZStream)
    init = _function(
        loaded, "deflateInit2_", integer, stream_pointer, *[integer] * 5, ctypes.c_char_p, integer
    )
    reset = _function(loaded, "deflateReset", integer, stream_pointer)
    deflate = _function(loaded, "deflate", integer, stream_pointer, integer)
    end = _function(loaded, "deflateEnd", integer, stream_pointer)
    bound = _function(loaded, "deflateBound", ctypes.c_ulong, stream_pointer, ctypes.c_ulong)
    stream = _ZStream()
    if init(stream, 6, 8, _GZIP_WINDOW_BITS, 8, 0, b"1.2.11", ctypes.sizeof(_ZStream)) != 0:
        raise _UnusableError("deflateInit2_ failed")
    try:
        out = ctypes.create_string_buffer(bound(stream, len(data)))
        stream.next_in, stream.avail_in = data, len(data)
        stream.next_out, stream.avail_out = ctypes.addressof(out), len(out)
        if reset(stream) != 0 or deflate(stream, _Z_FINISH) != _Z_STREAM_END:
            raise _UnusableError("deflate failed")
        return out.raw[: stream.total_out]
    finally:
        end(stream)


def _gzip_decompress(data: bytes, size: int) -> bytes:
    back: bytes = importlib.import_module("zlib").decompress(data, _GZIP_WINDOW_BITS, size)
    return back


# --- the table ----------------------------------------------------------------------------------------------

_LIBRARIES: Final[Mapping[str, _Library]] = MappingProxyType(
    {
        "gzip": _Library(
            title="zlib",
            symbols=("deflateInit2_", "deflate", "deflateReset", "deflateEnd", "deflateBound"),
            files={"linux": "libz.so.1", "darwin": "libz.1.dylib", "win32": "zlib1.dll"},
            package="zlib",
            module="zlib",  # of the standard library: often linked with the shared zlib, or exporting its own
            compress=_gzip_compress,
            decompress=lambda loaded, data, size: _gzip_decompress(data, size),
            package_decompress=_gzip_decompress,
            remedies="install the system's zlib (Debian, Ubuntu: apt install zlib1g), or rebuild kproducer "
            "with its headers (apt install zlib1g-dev pkg-config)",
        ),
        "lz4": _Library(
            title="liblz4",
            symbols=(
                "LZ4_sizeofState",
                "LZ4_compress_fast_extState",
                "LZ4_sizeofStateHC",
                "LZ4_compress_HC_extStateHC",
            ),
            files={"linux": "liblz4.so.1", "darwin": "liblz4.1.dylib", "win32": "liblz4.dll"},
            package="lz4",
            module="lz4.frame._frame",
            compress=_lz4_compress,
            decompress=_lz4_decompress,
            package_decompress=_lz4_package_decompress,
            remedies="install the system's liblz4 (Debian, Ubuntu: apt install liblz4-1), or the package: "
            "pip install lz4",
        ),
        "zstd": _Library(
            title="libzstd",
            symbols=(
                "ZSTD_createCCtx",
                "ZSTD_freeCCtx",
                "ZSTD_CCtx_setParameter",
                "ZSTD_compress2",
                "ZSTD_compressBound",
                "ZSTD_getErrorCode",
            ),
            files={"linux": "libzstd.so.1", "darwin": "libzstd.1.dylib", "win32": "libzstd.dll"},
            package="zstandard",
            module="zstandard._cffi",
            compress=_zstd_compress,
            decompress=_zstd_decompress,
            package_decompress=_zstandard_decompress,
            remedies="install the system's libzstd (Debian, Ubuntu: apt install libzstd1), or the package: "
            "pip install zstandard",
        ),
    }
)
