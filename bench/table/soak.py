"""A soak: very many records through one producer to the sink; memory must stay flat and nothing be out of order."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.peers.meta import meta_of
from bench.peers.payload import ROOT
from bench.peers.runner import worker_environment
from bench.peers.targets import PARTITIONS
from bench.sink import Sink

SOAK = "soak.json"
SAMPLES = 200
FLAT_MIB = 8.0  # growth that is still called flat: the allocator's and the interpreter's own noise


@dataclass(frozen=True)
class Soak:
    """What came of it.

    Args:
        offsets: by partition, the offset of a last record, sent when all others were acknowledged.
        expected_offsets: by partition, what that must be: the records before it.
        samples: seconds since the start, records handed over, and resident MiB.
    """

    records: int
    received: int
    seconds: float
    complaint: str | None
    offsets: tuple[int, ...]
    expected_offsets: tuple[int, ...]
    samples: tuple[tuple[float, int, float], ...]
    meta: Mapping[str, Any]

    @property
    def growth_mib(self) -> float:
        """Resident memory of the last tenth less that of the second tenth, when all buffers had been in use."""
        tenth = max(1, len(self.samples) // 10)
        resident = [mib for _, _, mib in self.samples]
        return statistics.median(resident[-tenth:]) - statistics.median(
            resident[tenth : 2 * tenth] or resident
        )

    @property
    def is_good(self) -> bool:
        """Whether every record arrived, in order, at the offset it was told, and memory stayed flat."""
        is_whole = self.received == self.records and self.complaint is None
        return is_whole and self.offsets == self.expected_offsets and self.growth_mib <= FLAT_MIB


def run_soak(records: int, folder: Path) -> Soak:
    """Send `records` records of 100 B to the sink, write the outcome and return it.

    Raises:
        RuntimeError: the producer's process failed.
    """
    with Sink(partitions=PARTITIONS) as sink:
        told = _run_worker(
            [sink.bootstrap_servers, str(records), str(max(1, records // SAMPLES)), str(PARTITIONS)]
        )
        stats, counts = sink.stats(), sink.partitions()
    wrong = {"bad": stats.bad, "sequence_errors": stats.sequence_errors, "malformed": stats.malformed}
    complaint = ", ".join(f"{name}={count}" for name, count in wrong.items() if count) or None
    soak = Soak(
        records=records,
        received=stats.records - PARTITIONS,  # the last record of each partition
        seconds=told["seconds"],
        complaint=complaint,
        offsets=tuple(told["offsets"]),
        expected_offsets=tuple(row.records - 1 for row in counts),
        samples=tuple((round(at, 2), sent, round(mib, 2)) for at, sent, mib in told["samples"]),
        meta=meta_of(()),
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / SOAK).write_text(json.dumps(asdict(soak), indent=None) + "\n")
    return soak


def _run_worker(arguments: Sequence[str]) -> dict[str, Any]:
    """Run the producer in a process of its own; what it says while it runs goes to stderr."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.table.soak_worker", *arguments],
        stdout=subprocess.PIPE,
        text=True,
        env=worker_environment(),
        cwd=ROOT,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"the producer of the soak ended with exit code {done.returncode}")
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def load_soak(path: Path) -> Soak | None:
    """Return the outcome of the last soak, None if there was none."""
    if not path.exists():
        return None
    read = json.loads(path.read_text())
    lists = {name: tuple(read[name]) for name in ("offsets", "expected_offsets")}
    return Soak(**read | lists | {"samples": tuple(tuple(sample) for sample in read["samples"])})


def soak_section(path: Path) -> str:
    """Return the chapter of the page."""
    soak = load_soak(path)
    outcome = "Not run." if soak is None else soak_text(soak)
    return (
        "## Soak\n\n"
        "One producer, one thread, records of 100 B to the sink, default settings (`python -m bench soak`).\n\n"
        f"{outcome}\n"
    )


def soak_text(soak: Soak) -> str:
    """Return what came of a soak as a paragraph."""
    resident = [mib for _, _, mib in soak.samples]
    wrong = "no error of sequence, CRC or count" if soak.complaint is None else f"found {soak.complaint}"
    are_right = "are" if soak.offsets == soak.expected_offsets else "are **not**"
    rate = soak.records / soak.seconds
    sentences = (
        f"{soak.records:,} records in {soak.seconds:,.0f} s ({rate:,.0f}/s), {soak.received:,} arrived.",
        f"The sink: {wrong}. The offsets told at the end {are_right} those counted.",
        f"Resident memory was {min(resident):.1f} to {max(resident):.1f} MiB in {len(resident)} samples.",
        f"It grew by {soak.growth_mib:.1f} MiB from the second to the last tenth; up to {FLAT_MIB:g} is flat.",
        f"{'Passed' if soak.is_good else '**Not passed**'}, {soak.meta['time']}.",
    )
    return "\n".join(sentences)
