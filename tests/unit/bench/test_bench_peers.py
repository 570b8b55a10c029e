"""The runner of the peers: what counts, what is void, what the ratios say, and that a small run works."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from bench.peers import __main__ as command
from bench.peers.job import Job, Measured
from bench.peers.payload import make_pool, repeat_to
from bench.peers.replay import ReplayClient
from bench.peers.report import Spread, spread, summarize, table
from bench.peers.runner import FAILED, MISSING, OK, VOID, Cell, Plan, Run, Worker, make_job, run_cell
from bench.peers.wire import encode_record, fill_batch
from bench.sink import Sink

CELL = Cell("sink", 100, 16_384)


class CountingTarget:
    """A target that took what `arrivals` says, run after run."""

    bootstrap_servers = "127.0.0.1:1"

    def __init__(self, arrivals: int, complaint: str | None = None) -> None:
        self._arrivals, self._complaint = arrivals, complaint

    def begin(self) -> None:
        """Nothing to do."""

    def received(self) -> int:
        return self._arrivals

    def complaint(self) -> str | None:
        return self._complaint

    def cpu_s(self) -> float | None:
        return 0.5


def plan(*clients: str, rounds: int = 1) -> Plan:
    return Plan(clients, rounds, records=100, warmup=10, linger_ms=5)


def measured(timed: int = 100, seconds: float = 1.0, cpu_s: float = 1.0) -> Measured:
    return Measured(sent=timed + 10, timed=timed, seconds=seconds, cpu_s=cpu_s, max_rss_mb=30, version="1")


def answer(outcome: dict[str, object]) -> Worker:
    return lambda job: outcome


def ok_run(client: str, round_number: int, seconds: float, cpu_s: float) -> Run:
    return Run(CELL, client, round_number, OK, "", 110, measured(seconds=seconds, cpu_s=cpu_s), None)


def test_run_counts_when_the_target_received_what_was_sent() -> None:
    (run,) = run_cell(CELL, CountingTarget(110), plan("confluent"), answer(asdict(measured())))
    assert (run.status, run.rate, run.cpu_per_million) == (OK, 100.0, 10_000.0)


@pytest.mark.parametrize("arrived", [109, 111])
def test_run_is_void_when_the_counts_differ(arrived: int) -> None:
    (run,) = run_cell(CELL, CountingTarget(arrived), plan("confluent"), answer(asdict(measured())))
    assert (run.status, run.message) == (VOID, f"sent 110, received {arrived}")


def test_run_is_void_when_the_target_complains() -> None:
    target = CountingTarget(110, "the sink found bad=1")
    (run,) = run_cell(CELL, target, plan("confluent"), answer(asdict(measured())))
    assert (run.status, run.message) == (VOID, "the sink found bad=1")


def test_missing_client_is_reported_once_and_a_failing_one_each_round() -> None:
    def worker(job: Job) -> dict[str, object]:
        return {"missing": "no module"} if job.client == "kproducer" else {"failed": "broke"}

    runs = list(run_cell(CELL, CountingTarget(0), plan("kproducer", "confluent", rounds=3), worker))
    assert [run.status for run in runs if run.client == "kproducer"] == [MISSING]
    assert [run.status for run in runs if run.client == "confluent"] == [FAILED] * 3


def test_clients_are_interleaved_and_take_turns_in_going_first() -> None:
    target, worker = CountingTarget(110), answer(asdict(measured()))
    runs = run_cell(CELL, target, plan("kproducer", "confluent", "replay", rounds=2), worker)
    assert [run.client for run in runs] == [
        *("kproducer", "confluent", "replay"),
        *("confluent", "replay", "kproducer"),
    ]


def test_settings_are_equal_for_all_and_slow_clients_send_fewer_records() -> None:
    jobs = [make_job(CELL, CountingTarget(0), plan(), client) for client in ("kproducer", "aiokafka")]
    assert {(job.batch_size, job.linger_ms, job.size) for job in jobs} == {(16_384, 5, 100)}
    assert [job.records for job in jobs] == [100, 10]


def test_spread_is_median_minimum_and_maximum() -> None:
    assert spread([3.0, 1.0, 10.0]) == Spread(3.0, 1.0, 10.0)


def test_ratios_are_medians_of_the_pairs_of_one_round() -> None:
    runs = [
        *(ok_run("confluent", index, seconds, 4.0) for index, seconds in enumerate((1.0, 2.0, 4.0))),
        *(ok_run("kproducer", index, seconds, 0.5) for index, seconds in enumerate((0.5, 0.5, 2.0))),
        *(ok_run("replay", index, 0.25, 0.1) for index in range(3)),
    ]
    rows = {row.client: row for row in summarize(runs, "confluent")}
    assert rows["kproducer"].rate_ratio == Spread(2.0, 2.0, 4.0)
    assert rows["kproducer"].cpu_ratio == Spread(8.0, 8.0, 8.0)
    assert rows["kproducer"].limit_ratio == Spread(0.5, 0.125, 0.5)
    assert rows["kproducer"].rate == Spread(200.0, 50.0, 200.0)


def test_one_void_round_takes_every_figure_of_its_client_away() -> None:
    void = Run(CELL, "confluent", 1, VOID, "sent 1, received 2", 2, measured(), None)
    runs = [ok_run("confluent", 0, 1.0, 1.0), void, ok_run("kproducer", 0, 1.0, 1.0)]
    rows = summarize(runs, "confluent")
    assert rows[0].rate is None
    assert rows[1].rate_ratio is None
    text = table(rows, "confluent")
    assert "ERROR void in round 2: sent 1, received 2" in text


def test_pool_has_different_values_of_the_exact_size() -> None:
    for size in (1, 10, 100, 1024):
        pool = make_pool(size, count=50)
        assert {len(value) for value in pool} == {size}
        assert pool == make_pool(size, count=50)
    assert len(set(make_pool(100, count=50))) == 50


def test_values_go_round_the_pool() -> None:
    assert repeat_to([b"a", b"b"], 5) == [b"a", b"b", b"a", b"b", b"a"]


@pytest.mark.parametrize("size_bytes", [1, 200, 16_384])
def test_filled_batch_is_as_large_as_it_may_be(size_bytes: int) -> None:
    values = make_pool(100, count=500)
    batch, count = fill_batch(values, size_bytes, 0)
    assert count == 1 or len(batch) <= size_bytes
    assert len(batch) + len(encode_record(values[count], count)) > size_bytes


@pytest.mark.parametrize("batch_size", [16_384, None])
def test_replay_sends_whole_batches_that_the_sink_accepts(batch_size: int | None) -> None:
    with Sink(partitions=2, verify_every=1) as sink:
        job = Job("replay", sink.bootstrap_servers, "bench", 2, 100, 10_000, 0, batch_size, 5)
        pool = make_pool(100)
        client = ReplayClient(job, pool)
        sent = client.send_all(repeat_to(pool, 10_000))
        client.flush()
        client.close()
        stats = sink.stats()
        assert (stats.records, stats.bad) == (sent, 0)
        assert sent >= 10_000
        assert stats.bytes / stats.batches > 0.95 * (batch_size or 131_072)


def test_replay_stops_at_an_answer_with_an_error() -> None:
    with Sink(partitions=1) as sink:
        job = Job("replay", sink.bootstrap_servers, "bench", 2, 100, 10, 0, 1000, 5)
        client = ReplayClient(job, make_pool(100))
        client.send_all([b""])
        with pytest.raises(RuntimeError, match=r"error codes \[3\]"):
            client.flush()
        client.close()


def test_small_run_prints_the_table_and_writes_the_figures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("confluent_kafka", reason="needs confluent-kafka")
    out = tmp_path / "peers.json"
    options = [
        "--targets=sink",
        "--clients=confluent,replay",
        "--sizes=100",
        "--batch-sizes=16384",
        "--rounds=1",
    ]
    assert command.main([*options, "--records", "3000", "--warmup", "100", "--json", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "sink, 100 B values, batch.size 16,384 B" in printed
    written = json.loads(out.read_text())
    assert [row["client"] for row in written["summary"]] == ["confluent", "replay"]
    assert [run["status"] for run in written["runs"]] == [OK, OK]
    assert written["runs"][0]["received"] == 3100


def test_void_run_makes_the_exit_code_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        command,
        "run_cell",
        lambda cell, target, plan: run_cell(cell, target, plan, answer(asdict(measured()))),
    )
    options = ["--targets=sink", "--clients=confluent", "--sizes=100", "--batch-sizes=own", "--rounds=1"]
    assert command.main(options) == 1
    assert "ERROR void in round 1: sent 110, received 0" in capsys.readouterr().out


def test_unknown_client_is_refused_with_the_names_that_exist(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.main(["--clients", "librdkafka"])
    assert (
        "unknown name 'librdkafka'; allowed: kproducer, kproducer-many, confluent" in capsys.readouterr().err
    )
