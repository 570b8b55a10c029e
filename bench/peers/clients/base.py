"""What a client under test is, and the settings that are equal for all of them."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, Protocol

from bench.peers.job import Job

CLOSE_TIMEOUT_S = 120


class Client(Protocol):
    """One producer with its connection; made before the clock starts."""

    version: str
    warms_up: bool
    own_seconds: float | None  # set by a client that takes its own time, as the JVM's start is not its rate

    def send_all(self, values: list[bytes]) -> int:
        """Send every value, and return how many records left."""

    def flush(self) -> None:
        """Wait until everything is acknowledged."""

    def close(self) -> None:
        """Release the connection."""


class ClientFactory(Protocol):
    """Makes a client for a job; `pool` are the distinct values that will be sent."""

    def __call__(self, job: Job, pool: list[bytes], /) -> Client: ...


def public_name(module: str, name: str) -> Callable[..., Any]:
    """Return a peer's class; a peer is imported only when it runs, so a missing one costs the others nothing."""
    found: Callable[..., Any] | None = getattr(import_module(module), name, None)
    if found is None:  # a folder of that name on the path, or a package half built
        raise ImportError(f"cannot import name {name!r} from {module!r}")
    return found


def version_of(module: str) -> str:
    """Return the version that a peer's package tells."""
    return str(getattr(import_module(module), "__version__", "unknown"))


def java_names(job: Job) -> dict[str, Any]:
    """Return the settings that are equal for all, under Kafka's names."""
    settings: dict[str, Any] = {
        "bootstrap.servers": job.bootstrap_servers,
        "acks": "all",
        "enable.idempotence": True,
        "compression.type": job.codec,
        "linger.ms": job.linger_ms,
    }
    if job.batch_size is not None:
        settings["batch.size"] = job.batch_size
    if job.level is not None:
        settings[f"compression.{job.codec}.level"] = job.level
    return settings


def python_names(job: Job, batch_size: str) -> dict[str, Any]:
    """Return the same for the clients in pure Python, with the name that one gives to batch.size."""
    settings = {
        "bootstrap_servers": job.bootstrap_servers,
        "acks": "all",
        "enable_idempotence": True,
        "compression_type": None if job.codec == "none" else job.codec,
        "linger_ms": job.linger_ms,
    }
    return settings if job.batch_size is None else settings | {batch_size: job.batch_size}
