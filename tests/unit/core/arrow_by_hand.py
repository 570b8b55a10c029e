"""Arrow's C structures made by hand with ctypes, which count how often each is released."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

_EIO = 5
_WHY = ctypes.create_string_buffer(b"the disk is gone")


class Schema(ctypes.Structure):
    """struct ArrowSchema."""


class Array(ctypes.Structure):
    """struct ArrowArray."""


class Stream(ctypes.Structure):
    """struct ArrowArrayStream."""


_SCHEMA, _ARRAY, _STREAM = ctypes.POINTER(Schema), ctypes.POINTER(Array), ctypes.POINTER(Stream)
_RELEASE_SCHEMA = ctypes.CFUNCTYPE(None, _SCHEMA)
_RELEASE_ARRAY = ctypes.CFUNCTYPE(None, _ARRAY)
_RELEASE_STREAM = ctypes.CFUNCTYPE(None, _STREAM)
_GET_SCHEMA = ctypes.CFUNCTYPE(ctypes.c_int, _STREAM, _SCHEMA)
_GET_NEXT = ctypes.CFUNCTYPE(ctypes.c_int, _STREAM, _ARRAY)
_GET_ERROR = ctypes.CFUNCTYPE(ctypes.c_void_p, _STREAM)
Schema._fields_ = [
    ("format", ctypes.c_char_p),
    ("name", ctypes.c_char_p),
    ("metadata", ctypes.c_char_p),
    ("flags", ctypes.c_int64),
    ("n_children", ctypes.c_int64),
    ("children", ctypes.c_void_p),
    ("dictionary", ctypes.c_void_p),
    ("release", _RELEASE_SCHEMA),
    ("private_data", ctypes.c_void_p),
]
Array._fields_ = [
    ("length", ctypes.c_int64),
    ("null_count", ctypes.c_int64),
    ("offset", ctypes.c_int64),
    ("n_buffers", ctypes.c_int64),
    ("n_children", ctypes.c_int64),
    ("buffers", ctypes.POINTER(ctypes.c_void_p)),
    ("children", ctypes.c_void_p),
    ("dictionary", ctypes.c_void_p),
    ("release", _RELEASE_ARRAY),
    ("private_data", ctypes.c_void_p),
]
Stream._fields_ = [
    ("get_schema", _GET_SCHEMA),
    ("get_next", _GET_NEXT),
    ("get_last_error", _GET_ERROR),
    ("release", _RELEASE_STREAM),
    ("private_data", ctypes.c_void_p),
]


def _capsule(pointer: Any, name: bytes) -> object:
    new = ctypes.pythonapi.PyCapsule_New
    new.restype = ctypes.py_object
    new.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
    capsule: object = new(pointer, name, None)  # without a destructor: what nobody takes is never released
    return capsule


@dataclass
class ByHand:
    """A column of bytes by capsule: an array of one chunk, or a stream that may end in an error.

    chunks: rows of each.
    format: of the schema, whatever the buffers hold.
    fails_at: the chunk that the stream cannot give.
    """

    chunks: Sequence[Sequence[bytes]]
    format: bytes = b"z"
    fails_at: int | None = None
    released: list[str] = field(default_factory=list)
    kept: list[Any] = field(default_factory=list)

    def schema(self, into: Any = None) -> Any:
        """Fill in a schema."""
        schema = Schema() if into is None else into
        schema.format = self.format
        schema.release = self._releases("schema", _RELEASE_SCHEMA)
        self.kept.append(schema)
        return schema

    def array(self, rows: Sequence[bytes], into: Any = None) -> Any:
        """Fill in an array."""
        array = Array() if into is None else into
        data = ctypes.create_string_buffer(b"".join(rows) + b"\0")
        ends = [sum(map(len, rows[:n])) for n in range(len(rows) + 1)]
        offsets = (ctypes.c_int32 * len(ends))(*ends)
        buffers = (ctypes.c_void_p * 3)(None, ctypes.addressof(offsets), ctypes.addressof(data))
        array.length, array.null_count, array.offset, array.n_buffers, array.n_children = (
            len(rows),
            0,
            0,
            3,
            0,
        )
        array.buffers = buffers
        array.release = self._releases("array", _RELEASE_ARRAY)
        self.kept += [array, data, offsets, buffers]
        return array

    def _releases(self, what: str, kind: Callable[..., Any]) -> Any:
        def release(structure: Any) -> None:
            assert structure.contents.release, f"{what} was released twice"
            self.released.append(what)
            structure.contents.release = type(structure.contents.release)()

        callback = kind(release)
        self.kept.append(callback)
        return callback

    def capsules(self) -> tuple[object, object]:
        """Schema and array of the first chunk."""
        schema, array = self.schema(), self.array(self.chunks[0])
        return _capsule(ctypes.addressof(schema), b"arrow_schema"), _capsule(
            ctypes.addressof(array), b"arrow_array"
        )

    def stream(self) -> object:
        """All chunks."""
        chunks = list(enumerate(self.chunks))

        def get_schema(stream: Any, out: Any) -> int:
            if self.fails_at == -1:
                return _EIO
            self.schema(out.contents)
            return 0

        def get_next(stream: Any, out: Any) -> int:
            if not chunks:
                out.contents.release = _RELEASE_ARRAY()
                return 0
            number, rows = chunks.pop(0)
            if number == self.fails_at:
                return _EIO
            self.array(rows, out.contents)
            return 0

        stream = Stream(
            _GET_SCHEMA(get_schema),
            _GET_NEXT(get_next),
            _GET_ERROR(lambda stream: ctypes.addressof(_WHY)),
            self._releases("stream", _RELEASE_STREAM),
        )
        self.kept.append(stream)
        return _capsule(ctypes.addressof(stream), b"arrow_array_stream")


class ArrayByHand(ByHand):
    """Hands over its first chunk."""

    def __arrow_c_array__(self) -> tuple[object, object]:
        return self.capsules()


class StreamByHand(ByHand):
    """Hands over a stream."""

    def __arrow_c_stream__(self) -> object:
        return self.stream()
