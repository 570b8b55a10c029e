"""The headers of batches in the log segments of stopped brokers, and the audit of their sequence numbers.

Nothing of the package under test is used here.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from struct import Struct
from typing import Final, NamedTuple

from tests.checker.findings import Fault, Findings

# base offset, length, (leader epoch), magic, crc, attributes, last offset delta, (timestamps), producer id,
# epoch, base sequence, records
_HEADER: Final = Struct(">qi4xBIhi16xqhii")
_LENGTH_EXCLUDES: Final = 12
_IS_TRANSACTIONAL: Final = 0x10
_IS_CONTROL: Final = 0x20
_SEQUENCE_MASK: Final = 0x7FFFFFFF


class BatchHeader(NamedTuple):
    """What a batch says of itself; the broker changes none of it but the base offset."""

    base_offset: int
    magic: int
    crc: int
    attributes: int
    last_offset_delta: int
    producer_id: int
    epoch: int
    base_sequence: int
    records: int

    @property
    def is_control(self) -> bool:
        """Whether this is a transaction marker."""
        return bool(self.attributes & _IS_CONTROL)

    @property
    def is_transactional(self) -> bool:
        """Whether this belongs to a transaction."""
        return bool(self.attributes & _IS_TRANSACTIONAL)


def headers_in(data: bytes | mmap.mmap) -> Iterator[BatchHeader]:
    """Go from header to header; a preallocated or torn end is left alone."""
    at = 0
    while at + _HEADER.size <= len(data):
        base_offset, length, *rest = _HEADER.unpack_from(data, at)
        if length <= 0:
            return
        yield BatchHeader(base_offset, *rest)
        at += length + _LENGTH_EXCLUDES


def read_partition(folder: Path) -> list[BatchHeader]:
    """The headers of all segments of one replica."""
    headers: list[BatchHeader] = []
    for segment in sorted(folder.glob("*.log")):
        if segment.stat().st_size == 0:
            continue  # mmap refuses an empty file
        with segment.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            headers.extend(headers_in(data))
    return headers


@dataclass(slots=True)
class _ProducerState:
    epoch: int
    next_sequence: int = 0
    open_epoch: int | None = None  # of the transaction without a marker yet


def audit(name: str, headers: Iterable[BatchHeader], findings: Findings) -> int:
    """Check that sequences of each (producer id, epoch) begin at 0 and are contiguous; returns how many batches."""
    states: dict[int, _ProducerState] = {}
    batches = 0
    for header in headers:
        batches += 1
        if header.producer_id < 0:
            continue
        state = states.setdefault(header.producer_id, _ProducerState(header.epoch))
        what = f"{name} at {header.base_offset}: producer {header.producer_id} epoch {header.epoch}"
        if header.epoch < state.epoch:
            findings.add(Fault.EPOCH, f"{what} behind epoch {state.epoch}")
        elif header.is_control:
            _audit_marker(what, header, state, findings)
        else:
            _audit_data(what, header, state, findings)
    for producer_id, state in states.items():
        if state.open_epoch is not None:
            findings.add(Fault.STUCK, f"{name}: producer {producer_id} has a transaction without an end")
    return batches


def _audit_marker(what: str, header: BatchHeader, state: _ProducerState, findings: Findings) -> None:
    # With KIP-890 a marker carries the epoch after its transaction; so does the abort of a fenced producer.
    if state.open_epoch is not None and header.epoch - state.open_epoch not in (0, 1):
        findings.add(Fault.MARKER, f"{what} ends a transaction of epoch {state.open_epoch}")
    state.open_epoch = None
    if header.epoch > state.epoch:
        state.epoch, state.next_sequence = header.epoch, 0


def _audit_data(what: str, header: BatchHeader, state: _ProducerState, findings: Findings) -> None:
    if header.epoch > state.epoch:
        state.epoch, state.next_sequence = header.epoch, 0
    if header.base_sequence != state.next_sequence:
        findings.add(
            Fault.SEQUENCE, f"{what} sequence {header.base_sequence}, expected {state.next_sequence}"
        )
    state.next_sequence = header.base_sequence + header.records & _SEQUENCE_MASK
    if header.is_transactional:
        state.open_epoch = header.epoch


def compare_replicas(name: str, replicas: Mapping[str, Sequence[BatchHeader]], findings: Findings) -> None:
    """All replicas hold the same batches."""
    (first_name, first), *others = replicas.items()
    for other_name, other in others:
        if list(other) == list(first):
            continue
        pairs = enumerate(zip(first, other, strict=False))
        at = next((index for index, (a, b) in pairs if a != b), min(len(first), len(other)))
        what = f"{len(first)} and {len(other)} batches, first difference at batch {at}"
        findings.add(Fault.REPLICAS, f"{name} on {first_name} and {other_name}: {what}")
