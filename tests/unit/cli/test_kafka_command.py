"""The state of the detached Kafka, and the answers of the command when none runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from kproducer.cli import main
from kproducer.cli.state import AlreadyRunningError, LocalKafka, StateFolder

KAFKA = LocalKafka("4.4.0", "127.0.0.1:1", [1])
HOLDER = """
import pathlib, sys
from kproducer.cli.state import LocalKafka, StateFolder
state = StateFolder(pathlib.Path(sys.argv[1]))
with state.supervised():
    state.save(LocalKafka("4.4.0", "127.0.0.1:1", [1]))
    print("ready", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StateFolder:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return StateFolder.of_user()


def start_holder(state: StateFolder) -> subprocess.Popen[bytes]:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(state.folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"ready\n"
    return holder


def end(holder: subprocess.Popen[bytes]) -> None:
    holder.kill()
    holder.communicate()


def test_nobody_supervises_at_first(state: StateFolder) -> None:
    assert state.supervisor_pid() is None
    assert state.load() is None


def test_a_living_supervisor_is_known_by_its_pid_and_cluster(state: StateFolder) -> None:
    holder = start_holder(state)
    try:
        assert state.supervisor_pid() == holder.pid
        assert state.load() == KAFKA
    finally:
        end(holder)


def test_a_killed_supervisor_is_not_taken_for_a_living_one(state: StateFolder) -> None:
    end(start_holder(state))

    assert state.supervisor_pid() is None


def test_the_state_of_a_killed_supervisor_is_not_taken_for_the_next_ones(state: StateFolder) -> None:
    end(start_holder(state))

    with state.supervised():
        assert state.load() is None


def test_a_second_supervisor_is_refused(state: StateFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kproducer.cli.state._LOCK_TIMEOUT_S", 0.05)
    holder = start_holder(state)
    try:
        with pytest.raises(AlreadyRunningError), state.supervised():
            pass
    finally:
        end(holder)


def test_the_state_is_gone_after_a_good_end(state: StateFolder) -> None:
    with state.supervised():
        state.save(KAFKA)

    assert state.load() is None
    assert state.supervisor_pid() is None


def test_status_of_nothing_exits_with_1(state: StateFolder, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["kafka", "status"]) == 1
    assert capsys.readouterr().out == "No local Kafka is running.\n"


def test_status_tells_a_node_that_does_not_answer(
    state: StateFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    holder = start_holder(state)
    try:
        assert main(["kafka", "status"]) == 1
        assert "127.0.0.1:1  process 1  does not answer" in capsys.readouterr().out
    finally:
        end(holder)


def test_down_without_a_kafka_is_no_error(state: StateFolder, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["kafka", "down"]) == 0
    assert "No local Kafka is running" in capsys.readouterr().err


def test_down_ends_the_supervisor(state: StateFolder) -> None:
    holder = start_holder(state)
    try:
        assert main(["kafka", "down"]) == 0
        assert holder.wait(5) != 0
    finally:
        end(holder)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--version", "1.0.0"], "no KRaft mode"),
        (["--brokers", "0"], "brokers is 0; allowed are 1 to 9"),
        (["--brokers", "3", "--version", "2.8.2"], "take 2.8.1"),
    ],
)
def test_wrong_arguments_of_up_are_one_line(
    state: StateFolder, capsys: pytest.CaptureFixture[str], arguments: list[str], problem: str
) -> None:
    assert main(["kafka", "up", *arguments]) == 1
    error = capsys.readouterr().err
    assert problem in error
    assert error.count("\n") == 1


def test_up_beside_another_version_is_refused(state: StateFolder, capsys: pytest.CaptureFixture[str]) -> None:
    holder = start_holder(state)
    try:
        assert main(["kafka", "up", "--brokers", "3"]) == 1
        assert "a local Kafka 4.4.0 with 1 nodes runs already" in capsys.readouterr().err
    finally:
        end(holder)


def test_up_beside_the_same_prints_its_address(
    state: StateFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    holder = start_holder(state)
    try:
        assert main(["kafka", "up"]) == 0
        assert capsys.readouterr().out == "127.0.0.1:1\n"
    finally:
        end(holder)
