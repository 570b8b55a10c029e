"""The runner of the peers: what counts, what is void, what the ratios say, and that a small run works."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from bench.peers import __main__ as command
from bench.peers.clients.replay import ReplayClient
from bench.peers.job import Job, Measured
from bench.peers.latency import due, percentiles_ms
from bench.peers.payload import make_load, make_pool, read_lines, repeat_to, topic_names
from bench.peers.rate import send_loads, shares
from bench.peers.report import table
from bench.peers.runner import (
    FAILED,
    MISSING,
    OK,
    VOID,
    Run,
    run_rounds,
    run_worker,
    wire_latencies_ns,
)
from bench.peers.statistics import Spread, ratio_of, runs_of, spread, spread_of
from bench.peers.wire import encode_record, fill_batch
from bench.sink import Sink, Stamp
from tests.unit.bench.targets import CountingTarget, answer, contestants, measured, ok_run


class CollectingClient:
    """A client that remembers how many records each call brought."""

    version = "1"
    warms_up = True
    own_seconds: float | None = None

    def __init__(self) -> None:
        self.sent: list[int] = []

    def send_all(self, values: list[bytes]) -> int:
        self.sent.append(len(values))
        return len(values)

    def flush(self) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Nothing to do."""


def test_run_counts_when_the_target_received_what_was_sent() -> None:
    (run,) = run_rounds(contestants("confluent"), CountingTarget(110), 1, answer(asdict(measured())))
    assert (run.status, run.values["rate"], run.values["cpu"]) == (OK, 100.0, 10_000.0)


@pytest.mark.parametrize("arrived", [109, 111])
def test_run_is_void_when_the_counts_differ(arrived: int) -> None:
    (run,) = run_rounds(contestants("confluent"), CountingTarget(arrived), 1, answer(asdict(measured())))
    assert (run.status, run.message) == (VOID, f"sent 110, received {arrived}")
    assert run.values == {}


def test_run_is_void_when_the_target_complains() -> None:
    target = CountingTarget(110, "the sink found bad=1")
    (run,) = run_rounds(contestants("confluent"), target, 1, answer(asdict(measured())))
    assert (run.status, run.message) == (VOID, "the sink found bad=1")


def test_missing_client_is_reported_once_and_a_failing_one_each_round() -> None:
    def worker(job: Job) -> dict[str, object]:
        return {"missing": "no module"} if job.client == "kproducer" else {"failed": "broke"}

    runs = list(run_rounds(contestants("kproducer", "confluent"), CountingTarget(0), 3, worker))
    assert [run.status for run in runs_of(runs, "kproducer")] == [MISSING]
    assert [run.status for run in runs_of(runs, "confluent")] == [FAILED] * 3


def test_contestants_are_interleaved_and_take_turns_in_going_first() -> None:
    target, worker = CountingTarget(110), answer(asdict(measured()))
    runs = run_rounds(contestants("kproducer", "confluent", "replay"), target, 2, worker)
    assert [run.contestant for run in runs] == [
        *("kproducer", "confluent", "replay"),
        *("confluent", "replay", "kproducer"),
    ]


def test_settings_are_equal_for_all_and_slow_clients_send_fewer_records() -> None:
    options = command.make_parser().parse_args(["--clients=kproducer,aiokafka", "--records=100"])
    jobs = [one.job for one in command.make_contestants(options, 100, 16_384)]
    assert {(job.batch_size, job.linger_ms, job.size) for job in jobs} == {(16_384, 5, 100)}
    assert [job.records for job in jobs] == [100, 10]


def test_worker_without_its_interpreter_is_missing() -> None:
    assert "missing" in run_worker(Job("kproducer", interpreter="/nowhere/python3.13t"))


def test_figures_of_an_interpreter_that_has_its_gil_are_refused() -> None:
    with Sink() as sink:
        job = Job("replay", records=10, warmup=0, interpreter=sys.executable)
        outcome = run_worker(replace(job, bootstrap_servers=sink.bootstrap_servers))
    assert "the GIL is on" in str(outcome["failed"])


def test_spread_is_median_minimum_and_maximum() -> None:
    assert spread([3.0, 1.0, 10.0]) == Spread(3.0, 1.0, 10.0)


def test_ratios_are_medians_of_the_pairs_of_one_round() -> None:
    others = [ok_run("confluent", index, rate=rate) for index, rate in enumerate((100.0, 50.0, 25.0))]
    mine = [ok_run("kproducer", index, rate=rate) for index, rate in enumerate((200.0, 200.0, 50.0))]
    assert ratio_of(mine, others, "rate") == Spread(2.0, 2.0, 4.0)
    assert spread_of(mine, "rate") == Spread(200.0, 50.0, 200.0)
    assert ratio_of(mine, others, "rss_mib") is None


def test_one_void_round_takes_every_figure_of_its_client_away() -> None:
    void = Run("confluent", 1, VOID, "sent 1, received 2")
    runs = [ok_run("confluent", 0, rate=1.0), void, ok_run("kproducer", 0, rate=1.0, cpu=1.0, rss_mib=1.0)]
    assert spread_of(runs_of(runs, "confluent"), "rate") is None
    assert ratio_of(runs_of(runs, "kproducer"), runs_of(runs, "confluent"), "rate") is None
    text = table("a comparison", runs, "confluent")
    assert "ERROR void in round 2: sent 1, received 2" in text


def test_percentiles_are_values_that_were_measured() -> None:
    latencies = [index * 1_000_000 for index in range(1000)]
    assert percentiles_ms(latencies) == {"p50_ms": 500.0, "p99_ms": 990.0, "p999_ms": 999.0}
    assert percentiles_ms([7_000_000]) == {"p50_ms": 7.0, "p99_ms": 7.0, "p999_ms": 7.0}


def test_wire_latency_pairs_each_record_with_the_request_it_arrived_in() -> None:
    stamps = [Stamp(5, 2), Stamp(20, 1), Stamp(45, 2)]  # the warm-up of two records, then three
    assert wire_latencies_ns([10, 30, 40], stamps) == [10, 15, 5]


def test_records_are_not_handed_over_before_they_are_due() -> None:
    start = time.perf_counter()
    assert list(due(5, 100)) == [0, 1, 2, 3, 4]
    assert time.perf_counter() - start >= 0.04


def test_wire_latency_of_a_run_is_that_of_its_timed_records() -> None:
    with Sink(partitions=1, stamp=True) as sink:
        job = Job("replay", measure="wire", records=3, warmup=5, batch_size=1, per_second=1000)
        outcome = run_worker(replace(job, bootstrap_servers=sink.bootstrap_servers, partitions=1))
        sent_ns = Measured(**outcome).sent_ns  # type: ignore[arg-type]  # written by the worker
        latencies = wire_latencies_ns(sent_ns, sink.stamps())
    assert len(latencies) == 3
    assert all(0 < latency < 10_000_000_000 for latency in latencies)


def test_load_holds_all_records_in_lists_that_are_one_object() -> None:
    load = make_load([b"a", b"b", b"c"], 10, chunk=4)
    assert [len(values) for values in load] == [4, 4, 2]
    assert load[0] is load[1]
    assert make_load([b"a"], 3) == [[b"a"] * 3]


def test_threads_share_the_records_and_send_them_all() -> None:
    assert shares(10, 4) == [3, 3, 2, 2]
    client = CollectingClient()
    assert send_loads(client, [make_load([b"a"], count) for count in shares(10, 4)]) == 10
    assert sorted(client.sent) == [2, 2, 3, 3]


def test_failure_in_a_thread_is_a_failure_of_the_run() -> None:
    class Failing(CollectingClient):
        def send_all(self, values: list[bytes]) -> int:
            raise RuntimeError("broke")

    with pytest.raises(RuntimeError, match="broke"):
        send_loads(Failing(), [[[b"a"]], [[b"b"]]])


def test_lines_of_logs_come_in_the_same_mixed_order_each_time(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "b.log").write_bytes(b"b0\nb1\n\nb\xff2")
    (tmp_path / "a.log").write_text("".join(f"a{index}\n" for index in range(20)))
    lines = read_lines(tmp_path)
    assert sorted(lines) == sorted(
        [*(b"a%d" % index for index in range(20)), b"b0", b"b1", "b\ufffd2".encode()]
    )
    assert lines == read_lines(tmp_path) != sorted(lines)


def test_folder_without_logs_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no \*\.log file"):
        read_lines(tmp_path)


def test_first_topic_is_the_one_that_all_clients_send_to() -> None:
    assert topic_names(3) == [Job("kproducer").topic, "bench-1", "bench-2"]


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
        job = Job("replay", batch_size=batch_size, bootstrap_servers=sink.bootstrap_servers, partitions=2)
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
        job = Job("replay", batch_size=1000, bootstrap_servers=sink.bootstrap_servers, partitions=2)
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
    (runs,) = written["comparisons"].values()
    assert [run["contestant"] for run in runs] == ["confluent", "replay"]
    assert [run["status"] for run in runs] == [OK, OK]
    assert runs[0]["received"] == 3100


def test_void_run_makes_the_exit_code_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        command,
        "run_rounds",
        lambda clients, target, rounds: run_rounds(clients, target, rounds, answer(asdict(measured()))),
    )
    options = ["--targets=sink", "--clients=confluent", "--sizes=100", "--batch-sizes=own", "--rounds=1"]
    assert command.main(options) == 1
    assert "ERROR void in round 1: sent 110, received 0" in capsys.readouterr().out


def test_unknown_client_is_refused_with_the_names_that_exist(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.main(["--clients", "librdkafka"])
    assert "unknown name 'librdkafka'; allowed: kproducer, kproducer-many," in capsys.readouterr().err
