from collections.abc import Iterator, Mapping
from typing import Self, TypeGuard

from kproducer.interfaces import Column as _Column
from kproducer.types import Headers, ProducerRecord

def is_column(data: object) -> TypeGuard[_Column]: ...
def read_columns(
    topic: str,
    values: _Column,
    keys: _Column | None = None,
    headers: Headers | Mapping[str, bytes | None] | _Column | None = None,
    partitions: int | _Column | None = None,
    timestamps_ms: int | _Column | None = None,
) -> Iterator[ProducerRecord]: ...

class Column: ...

class Rows:
    def __iter__(self) -> Self: ...
    def __next__(self) -> ProducerRecord: ...
