"""Processes that fork, exit, import twice or import elsewhere: exit codes, what is said, and what arrives."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from kproducer.protocol.messages.produce import PRODUCE
from tests.fakes.scripted_broker import Silent
from tests.faults.stage import TOPIC, Stage, stage

_ROOT = Path(__file__).parents[2]
_SETUP = """
import atexit, gc, multiprocessing, os, signal, sys, threading, time, warnings
from kproducer import *
SERVERS, TOPIC = sys.argv[1:3]
def make(**config):
    return KafkaProducer(bootstrap_servers=SERVERS, **config)
def fork():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # 3.12 warns of threads
        return os.fork()
"""


def _run(on: Stage, body: str, *options: str, setup: str = _SETUP) -> subprocess.CompletedProcess[str]:
    """Run a script in a process of its own, in which warnings are shown."""
    return subprocess.run(
        [sys.executable, "-Wdefault", *options, "-c", setup + textwrap.dedent(body), on.bootstrap_servers, TOPIC],
        cwd=_ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


# --- fork -----------------------------------------------------------------------------------------------------


@pytest.mark.row("F40")
def test_ten_thousand_pending_records_are_delivered_once_by_the_parent_of_a_fork() -> None:
    with stage(partitions=3) as on:
        done = _run(
            on,
            """
            producer = make(linger_ms=300, client_id="parent")
            producer.send(TOPIC, b"warm", partition=0).result(10)
            many = producer.send_many(TOPIC, (b"%d" % n for n in range(10_000)))
            child = fork()
            if child == 0:
                began = time.monotonic()
                try:
                    producer.send(TOPIC, b"from the child")
                except ForkError:
                    took = time.monotonic() - began
                    os._exit(0 if took < 0.1 else 2)
                os._exit(1)
            assert os.waitpid(child, 0)[1] == 0
            many.wait(20)
            assert many.failed == 0
            producer.close()
            """,
        )
        assert (done.returncode, done.stderr) == (0, "")
        values = sorted(int(v) for p in range(3) for v in on.values(p) if v not in (None, b"warm"))
        assert values == list(range(10_000))


@pytest.mark.row("F40")
def test_the_child_of_a_fork_closes_its_descriptors_and_the_parents_connections_live_on() -> None:
    with stage() as on:
        done = _run(
            on,
            """
            producer = make()
            producer.send(TOPIC, b"0", partition=0).result(10)
            child = fork()
            if child == 0:
                mine = [os.readlink(f"/proc/self/fd/{n}") for n in os.listdir("/proc/self/fd")
                        if os.path.exists(f"/proc/self/fd/{n}")]
                os._exit(len([name for name in mine if name.startswith("socket:")]))
            left = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            for n in range(1, 20):
                assert producer.send(TOPIC, b"%d" % n, partition=0).result(10).offset == n
            producer.close()
            print(left)
            """,
        )
        assert (done.returncode, done.stderr) == (0, "")
        # The two wake-up pairs of the pump are sockets without a peer outside; see test_life.py for the ports.
        assert int(done.stdout) <= 6
        assert on.brokers[0].connections == 2, "control and produce: nothing had to be opened again"


@pytest.mark.row("F40")
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_workers_of_multiprocessing_make_producers_of_their_own(tmp_path: Path, method: str) -> None:
    script = tmp_path / "preload.py"
    script.write_text(
        textwrap.dedent(
            """
            import multiprocessing, os, sys, warnings
            from kproducer import ForkError, KafkaProducer

            SERVERS, TOPIC = sys.argv[1:3]
            inherited = None

            def work(number):
                if inherited is not None:
                    try:
                        inherited.send(TOPIC, b"x")
                    except ForkError:
                        pass
                    else:
                        os._exit(3)
                with KafkaProducer(bootstrap_servers=SERVERS) as own:
                    for n in range(100):
                        own.produce(TOPIC, b"%d-%d" % (number, n), partition=0)

            if __name__ == "__main__":
                warnings.simplefilter("ignore", DeprecationWarning)
                inherited = KafkaProducer(bootstrap_servers=SERVERS)  # as a server that preloads its application
                inherited.send(TOPIC, b"parent", partition=0).result(10)
                context = multiprocessing.get_context(sys.argv[3])
                workers = [context.Process(target=work, args=(n,)) for n in range(3)]
                for worker in workers:
                    worker.start()
                for worker in workers:
                    worker.join(30)
                assert [worker.exitcode for worker in workers] == [0, 0, 0]
                assert inherited.send(TOPIC, b"parent again", partition=0).result(10).has_offset
                try:
                    context.Process(target=inherited.flush).start() if sys.argv[3] != "fork" else inherited.__reduce__()
                except TypeError as error:
                    assert "cannot be pickled" in str(error)
                else:
                    sys.exit(4)
                inherited.close()
            """
        )
    )
    with stage() as on:
        done = subprocess.run(
            [sys.executable, str(script), on.bootstrap_servers, TOPIC, method],
            cwd=_ROOT, env={"PYTHONPATH": str(_ROOT)}, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        expected = {b"%d-%d" % (number, n) for number in range(3) for n in range(100)}
        values = on.values()
        assert len(values) == 302
        assert set(values) == expected | {b"parent", b"parent again"}


# --- exit -----------------------------------------------------------------------------------------------------

_SENDS = """
producer = make(linger_ms=1000)
for n in range(500):
    producer.produce(TOPIC, b"%d" % n, partition=0)
"""
_COLLECTED = _SENDS + "del producer\ngc.collect()\n"
_DAEMON = """
producer = make()
def work():
    while True:
        producer.produce(TOPIC, b"daemon", partition=0)
        time.sleep(0.001)
threading.Thread(target=work, daemon=True).start()
time.sleep(0.1)
producer.send_many(TOPIC, [b"%d" % n for n in range(500)], partition=0).wait(10)
"""
_BLOCKED_DAEMON = """
producer = make()
threading.Thread(target=producer.send, args=("no-such-topic", b"v"), daemon=True).start()
time.sleep(0.1)
producer.send_many(TOPIC, [b"%d" % n for n in range(500)], partition=0).wait(10)
"""
_IN_CALLBACK = """
producer = make()
def leave(metadata, error):
    sys.exit(7)
producer.produce(TOPIC, b"0", partition=0, on_delivery=leave)
producer.flush(10)
for n in range(1, 500):
    producer.produce(TOPIC, b"%d" % n, partition=0)
"""
_INTERRUPTS_FROM_CALLBACK = """
producer = make()
many = producer.send_many(TOPIC, [b"%d" % n for n in range(500)], partition=0)
many.wait(10)
producer.produce(TOPIC, b"last", partition=0, on_delivery=lambda m, e: os.kill(os.getpid(), signal.SIGINT))
time.sleep(10)
"""


@pytest.mark.row("F41")
@pytest.mark.parametrize(
    ("body", "code", "says"),
    [
        (_SENDS, 0, "ResourceWarning: producer .* was not closed: 0 records were not delivered at exit"),
        (_SENDS + "sys.exit(3)", 3, "ResourceWarning"),
        (_SENDS + "raise LookupError('mine')", 1, "LookupError: mine"),
        (_SENDS + "producer.close()", 0, "^$"),
        (_COLLECTED, 0, "^$|ResourceWarning"),
        (_DAEMON, 0, "ResourceWarning"),
        (_BLOCKED_DAEMON, 0, "ResourceWarning"),
        (_IN_CALLBACK, 0, "SystemExit: 7"),
        (_INTERRUPTS_FROM_CALLBACK, -2, "KeyboardInterrupt"),
    ],
    ids=[
        "end", "sys.exit", "exception", "close", "collected", "daemon sends", "daemon waits", "exit in a callback",
        "interrupt from a callback",
    ],
)  # fmt: skip
def test_exit_delivers_everything_in_time_and_never_crashes(body: str, code: int, says: str) -> None:
    with stage() as on:
        began = time.monotonic()
        done = _run(on, body)
        assert time.monotonic() - began < 9
        assert done.returncode == code, done.stderr
        assert re.search(says, done.stderr), done.stderr
        assert "Fatal Python error" not in done.stderr
        assert "Exception ignored" not in done.stderr
        values = [value for value in on.values() if value not in (b"daemon", b"last")]
        assert values == [b"%d" % n for n in range(500)]


@pytest.mark.row("F41")
def test_exit_without_a_broker_is_bounded_and_names_the_count_of_what_was_lost() -> None:
    with stage() as on:
        on.brokers[0].on(PRODUCE, lambda request: Silent())
        began = time.monotonic()
        done = _run(on, 'make().send_many(TOPIC, [b"v"] * 1234)')
        assert time.monotonic() - began < 9
        assert done.returncode == 0, done.stderr
        assert "1234 records were not delivered" in done.stderr


# --- imports --------------------------------------------------------------------------------------------------

_NOTHING = "import importlib, sys, threading\n"
_SUBINTERPRETER = """
import os
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
if sys.argv[1] == "first":
    import kproducer
code = '''
import sys
sys.path.insert(0, {root!r})
try:
    import kproducer
except ImportError as error:
    print("ImportError", error)
else:
    print("imported", kproducer.KafkaProducer)
'''.format(root=os.getcwd())
made = interpreters.create()
print(interpreters.run_string(made, code))
interpreters.destroy(made)
try:
    import kproducer
    print("main", kproducer.KafkaProducer(bootstrap_servers="127.0.0.1:9", client_id="main"))
except ImportError as error:
    print("main ImportError", error)
"""


def _run_import(body: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", _NOTHING + textwrap.dedent(body), *arguments],
        cwd=_ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.mark.row("F53")
def test_a_subinterpreter_gets_an_import_error_and_the_main_one_works() -> None:
    done = _run_import(_SUBINTERPRETER, "first")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("ImportError")
    assert "main <KafkaProducer main open>" in done.stdout


@pytest.mark.row("F53")
def test_whichever_interpreter_comes_second_gets_an_import_error() -> None:
    done = _run_import(_SUBINTERPRETER, "second")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("ImportError") == 1


@pytest.mark.row("F53")
def test_the_package_may_be_imported_in_a_thread_that_ends() -> None:
    with stage() as on:
        done = _run(
            on,
            """
            import sys, threading
            made = []
            def work():
                import kproducer
                made.append(kproducer.KafkaProducer(bootstrap_servers=sys.argv[1]))
            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
            with made[0] as producer:
                future = producer.send(sys.argv[2], b"v", on_delivery=lambda m, e: print("heard"))
            print(future.result(0).offset)
            """,
            setup="",
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.split() == ["heard", "0"]


@pytest.mark.row("F53")
def test_a_reload_crashes_nothing_and_old_producers_work_on() -> None:
    with stage() as on:
        done = _run(
            on,
            """
            import importlib
            import kproducer
            old = make()
            old.send(TOPIC, b"0", partition=0).result(10)
            importlib.reload(kproducer)
            old.send(TOPIC, b"1", partition=0).result(10)
            new = kproducer.KafkaProducer(bootstrap_servers=SERVERS)
            new.send(TOPIC, b"2", partition=0).result(10)
            old.close()
            new.close()
            """,
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert on.values() == [b"0", b"1", b"2"]


@pytest.mark.row("F53")
def test_a_second_import_works_or_is_refused() -> None:
    with stage() as on:
        done = _run(
            on,
            """
            for name in [name for name in sys.modules if name.split(".")[0] == "kproducer"]:
                del sys.modules[name]
            try:
                import kproducer
            except ImportError as error:
                sys.exit(0)
            with kproducer.KafkaProducer(bootstrap_servers=SERVERS) as again:
                again.send(TOPIC, b"0", partition=0).result(10)
            """,
        )
        assert done.returncode == 0, done.stderr
