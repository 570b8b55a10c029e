"""From runs to medians, ratios and tables; no clock, no process, no socket."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from statistics import median

from bench.peers.runner import OK, Cell, Run


@dataclass(frozen=True)
class Spread:
    """A median with the smallest and the largest of its rounds."""

    median: float
    low: float
    high: float


@dataclass(frozen=True)
class Row:
    """One client of one cell; `error` is set, and every figure None, when any of its runs did not count."""

    cell: Cell
    client: str
    version: str = ""
    rounds: int = 0
    error: str | None = None
    rate: Spread | None = None  # records per second
    cpu: Spread | None = None  # CPU seconds per million records
    max_rss_mb: float | None = None
    server_cpu: float | None = None  # CPU seconds of the server per million records
    rate_ratio: Spread | None = None  # times the baseline's records per second
    cpu_ratio: Spread | None = None  # times less CPU than the baseline
    limit_ratio: Spread | None = None  # share of the replay's records per second


def spread(values: Sequence[float]) -> Spread:
    """Return median, minimum and maximum of `values`."""
    return Spread(median(values), min(values), max(values))


def summarize(runs: Sequence[Run], baseline: str) -> list[Row]:
    """Return a row for each client of each cell, in order of first appearance in round 0.

    Ratios pair the runs of one round, which stand next to each other in time; their median is shown.
    """
    grouped: dict[tuple[Cell, str], list[Run]] = {}
    for run in runs:
        grouped.setdefault((run.cell, run.client), []).append(run)
    rows = []
    for (cell, client), mine in grouped.items():
        bad = next((run for run in mine if run.status != OK), None)
        if bad is not None:
            message = f"{bad.status} in round {bad.round + 1}: {bad.message}"
            rows.append(Row(cell, client, rounds=len(mine), error=message))
            continue
        rows.append(_row(mine, grouped.get((cell, baseline), []), grouped.get((cell, "replay"), [])))
    return rows


def _row(mine: list[Run], baseline: list[Run], limit: list[Run]) -> Row:
    measured = [run.measured for run in mine if run.measured is not None]
    server = [run.server_cpu_s * 1e6 / run.received for run in mine if run.server_cpu_s is not None]
    return Row(
        cell=mine[0].cell,
        client=mine[0].client,
        version=measured[0].version,
        rounds=len(mine),
        rate=spread([run.rate for run in mine]),
        cpu=spread([run.cpu_per_million for run in mine]),
        max_rss_mb=max(one.max_rss_mb for one in measured),
        server_cpu=median(server) if server else None,
        rate_ratio=_paired(mine, baseline, lambda a, b: a.rate / b.rate),
        cpu_ratio=_paired(mine, baseline, lambda a, b: b.cpu_per_million / a.cpu_per_million),
        limit_ratio=_paired(mine, limit, lambda a, b: a.rate / b.rate),
    )


def _paired(mine: list[Run], others: list[Run], ratio: Callable[[Run, Run], float]) -> Spread | None:
    if not others or any(run.status != OK for run in others):
        return None
    by_round = {run.round: run for run in others}
    pairs = [ratio(run, by_round[run.round]) for run in mine if run.round in by_round]
    return spread(pairs) if pairs else None


def table(rows: Sequence[Row], baseline: str) -> str:
    """Return the rows of one cell as text, with its heading."""
    cell = rows[0].cell
    batch = "own default" if cell.batch_size is None else f"{cell.batch_size:,} B"
    lines = [f"{cell.target}, {cell.size:,} B values, batch.size {batch}"]
    heading = (
        f"  {'client':<19}{'records/s':>12}{'min..max':>23}{'CPU s/M':>9}{'min..max':>16}"
        f"{'rate':>7}{'CPU':>8}{'limit':>7}{'RSS MB':>8}{'server s/M':>12}"
    )
    lines.append(heading)
    lines += [_line(row) for row in rows]
    lines.append(
        f"  rate: times {baseline}'s; CPU: times less than {baseline}; limit: share of replay's rate"
    )
    return "\n".join(lines)


def _line(row: Row) -> str:
    if row.rate is None or row.cpu is None:
        return f"  {row.client:<19}ERROR {row.error}"
    rates = f"{row.rate.low:,.0f}..{row.rate.high:,.0f}"
    cpus = f"{row.cpu.low:.2f}..{row.cpu.high:.2f}"
    server = "-" if row.server_cpu is None else f"{row.server_cpu:.3f}"
    return (
        f"  {row.client:<19}{row.rate.median:>12,.0f}{rates:>23}{row.cpu.median:>9.3f}{cpus:>16}"
        f"{_times(row.rate_ratio):>7}{_times(row.cpu_ratio):>8}{_times(row.limit_ratio):>7}"
        f"{row.max_rss_mb or 0:>8.0f}{server:>12}"
    )


def _times(ratio: Spread | None) -> str:
    return "-" if ratio is None else f"{ratio.median:.2f}x"


def as_json(rows: Sequence[Row], runs: Sequence[Run], meta: dict[str, object]) -> dict[str, object]:
    """Return everything that was measured: the summary, and each run for whoever wants other statistics."""
    return {"meta": meta, "summary": [asdict(row) for row in rows], "runs": [asdict(run) for run in runs]}
