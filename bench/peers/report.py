"""The text table of one comparison."""

from __future__ import annotations

from collections.abc import Sequence

from bench.peers.runner import Run
from bench.peers.statistics import Spread, problem, ratio_of, runs_of, spread_of

LIMIT = "replay"  # the contestant that shows what the server can take


def table(heading: str, runs: Sequence[Run], baseline: str) -> str:
    """Return the runs of one comparison as text, with its heading."""
    names = list(dict.fromkeys(run.contestant for run in runs))
    columns = (
        f"  {'client':<25}{'records/s':>12}{'min..max':>23}{'CPU s/M':>9}{'min..max':>16}"
        f"{'rate':>7}{'CPU':>8}{'limit':>7}{'RSS MiB':>9}{'server s/M':>12}"
    )
    legend = f"  rate: times {baseline}'s; CPU: times less than {baseline}; limit: share of {LIMIT}'s rate"
    return "\n".join([heading, columns, *(_line(name, runs, baseline) for name in names), legend])


def _line(name: str, runs: Sequence[Run], baseline: str) -> str:
    mine, others = runs_of(runs, name), runs_of(runs, baseline)
    wrong = problem(mine)
    if wrong is not None:
        return f"  {name:<25}ERROR {wrong}"
    rate, cpu, rss = (spread_of(mine, metric) for metric in ("rate", "cpu", "rss_mib"))
    assert rate is not None
    assert cpu is not None
    assert rss is not None
    server = spread_of(mine, "server_cpu")
    return (
        f"  {name:<25}{rate.median:>12,.0f}{f'{rate.low:,.0f}..{rate.high:,.0f}':>23}"
        f"{cpu.median:>9.3f}{f'{cpu.low:.2f}..{cpu.high:.2f}':>16}"
        f"{_times(ratio_of(mine, others, 'rate')):>7}{_times(ratio_of(others, mine, 'cpu')):>8}"
        f"{_times(ratio_of(mine, runs_of(runs, LIMIT), 'rate')):>7}"
        f"{rss.high:>9.0f}{'-' if server is None else f'{server.median:.3f}':>12}"
    )


def _times(ratio: Spread | None) -> str:
    return "-" if ratio is None else f"{ratio.median:.2f}x"
