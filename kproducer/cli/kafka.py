"""`kproducer kafka up|down|status`: a real Kafka on this machine that stays when the command has returned."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import NoReturn

from kproducer.cli.options import add_property_option
from kproducer.cli.state import AlreadyRunningError, LocalKafka, StateFolder
from kproducer.testing import DEFAULT_VERSION, ClusterError, KafkaCluster, install_kafka
from kproducer.testing.probe import fetch_metadata

_POLL_S = 0.05
_STOP_TIMEOUT_S = 20.0
_LOG_LINES = 20


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command and its options."""
    kafka = commands.add_parser("kafka", help="start and stop a real Kafka on this machine, without Docker")
    actions = kafka.add_subparsers(metavar="ACTION", required=True)
    up = actions.add_parser("up", help="start it, print its bootstrap servers, and return")
    _add_cluster_options(up)
    up.set_defaults(run=_up)
    actions.add_parser("down", help="stop it and remove its data").set_defaults(run=_down)
    actions.add_parser("status", help="tell whether it runs").set_defaults(run=_status)
    supervise = actions.add_parser("supervise")  # internal: what `up` starts in the background
    _add_cluster_options(supervise)
    supervise.set_defaults(run=_supervise)


def _add_cluster_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--brokers", type=int, default=1, metavar="N", help="number of nodes (default 1)")
    parser.add_argument(
        "--version", default=DEFAULT_VERSION, metavar="V", help=f"Kafka version (default {DEFAULT_VERSION})"
    )
    add_property_option(parser, "--property", "a broker property; may be repeated")


def _up(options: argparse.Namespace) -> int:
    """Start the supervisor in a session of its own and wait until the cluster is ready."""
    state = StateFolder.of_user()
    if state.supervisor_pid() is not None:
        return _report_running(state, options)
    KafkaCluster(options.brokers, options.version)  # wrong arguments are an error here, not in the background
    install_kafka(options.version)
    _say(f"Starting Apache Kafka {options.version}, nodes: {options.brokers} ...")
    supervisor = _start_supervisor(state, options)
    try:
        is_ready = _wait_until(
            lambda: supervisor.poll() is not None or _is_ready(state, supervisor.pid), timeout_s=None
        )
    except KeyboardInterrupt:
        supervisor.terminate()
        supervisor.wait()
        raise
    kafka = state.load()
    if not is_ready or supervisor.poll() is not None or kafka is None:
        raise ClusterError(f"the local Kafka did not start:\n{_tail(state)}")
    _say("It is ready; stop it with: kproducer kafka down")
    print(kafka.bootstrap_servers)
    return 0


def _report_running(state: StateFolder, options: argparse.Namespace) -> int:
    kafka = state.load()
    if kafka is None:
        raise ClusterError("a local Kafka is being started already; ask `kproducer kafka status`")
    if (kafka.version, len(kafka.node_pids)) != (options.version, options.brokers):
        raise ClusterError(
            f"a local Kafka {kafka.version} with {len(kafka.node_pids)} nodes runs already; "
            "stop it first with: kproducer kafka down"
        )
    _say("It runs already.")
    print(kafka.bootstrap_servers)
    return 0


def _start_supervisor(state: StateFolder, options: argparse.Namespace) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "kproducer.cli", "kafka", "supervise"]
    command += ["--brokers", str(options.brokers), "--version", options.version]
    for name, value in options.property.items():
        command += ["--property", f"{name}={value}"]
    state.folder.mkdir(parents=True, exist_ok=True)
    with state.log.open("wb") as log:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )


def _is_ready(state: StateFolder, pid: int) -> bool:
    return state.supervisor_pid() == pid and state.load() is not None


def _supervise(options: argparse.Namespace) -> int:
    """Run the cluster until SIGTERM; everything printed here is in the log that `up` shows when it fails."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _leave)
    os.chdir("/")
    state = StateFolder.of_user()
    try:
        with state.supervised(), KafkaCluster(options.brokers, options.version, options.property) as cluster:
            pids = [node.pid or 0 for node in cluster.nodes]
            state.save(LocalKafka(options.version, cluster.bootstrap_servers, pids))
            while True:
                signal.pause()
    except AlreadyRunningError as error:
        raise ClusterError(str(error)) from error


def _leave(number: int, _frame: FrameType | None) -> NoReturn:
    """Leave through the `with` blocks; a second signal must not interrupt them."""
    signal.signal(number, signal.SIG_IGN)
    raise SystemExit(0)


def _down(_options: argparse.Namespace) -> int:
    state = StateFolder.of_user()
    pid = state.supervisor_pid()
    if pid is None:
        _say("No local Kafka is running.")
        return 0
    os.kill(pid, signal.SIGTERM)
    if not _wait_until(lambda: state.supervisor_pid() is None, _STOP_TIMEOUT_S):
        os.kill(pid, signal.SIGKILL)  # its watchdog kills the brokers and removes their data
        if not _wait_until(lambda: state.supervisor_pid() is None, _STOP_TIMEOUT_S):
            raise ClusterError(f"process {pid}, which supervises the local Kafka, cannot be stopped")
    _say("The local Kafka is stopped.")
    return 0


def _status(_options: argparse.Namespace) -> int:
    """Exit code 0 if every node answers, 1 if not."""
    state = StateFolder.of_user()
    pid = state.supervisor_pid()
    kafka = state.load()
    if pid is None:
        print("No local Kafka is running.")
        return 1
    if kafka is None:
        print(f"A local Kafka is being started (process {pid}).")
        return 1
    addresses = kafka.bootstrap_servers.split(",")
    print(f"Apache Kafka {kafka.version}, supervised by process {pid}")
    answers = [_does_answer(address) for address in addresses]
    for node_id, (address, node_pid, answer) in enumerate(
        zip(addresses, kafka.node_pids, answers, strict=True), start=1
    ):
        print(
            f"  node {node_id}  {address}  process {node_pid}  {'answers' if answer else 'does not answer'}"
        )
    print(f"bootstrap servers: {kafka.bootstrap_servers}")
    return 0 if all(answers) else 1


def _does_answer(address: str) -> bool:
    try:
        fetch_metadata(int(address.rpartition(":")[2]))
    except OSError:
        return False
    return True


def _tail(state: StateFolder) -> str:
    lines = state.log.read_text(errors="replace").splitlines()
    return "\n".join(lines[-_LOG_LINES:])


def _wait_until(condition: Callable[[], bool], timeout_s: float | None) -> bool:
    """Poll; False when `timeout_s` is over, None waits for ever: what is waited for has its own limit."""
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    while not condition():
        if deadline is not None and time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return True


def _say(text: str) -> None:
    """For people; standard output holds the bootstrap servers alone, for `$(kproducer kafka up)`."""
    print(text, file=sys.stderr, flush=True)
