"""A TCP proxy on loopback that knows Kafka's frames: put it between a client and brokers, then break things.

It listens once for each broker and rewrites the addresses in answers, so that the client stays behind it. Without
rules nothing else is changed. Two threads for each connection; rules may be added at any time from any thread.
"""

from __future__ import annotations

import logging
import random
import socket
import threading
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Final, Self

from kproducer.testing.answers import Address, ApiKey, can_refuse
from kproducer.testing.effects import Answer, Delay, Effect, Hold
from kproducer.testing.pipe import Direction, Exchange, Pipe
from kproducer.testing.schedule import Schedule

logger = logging.getLogger(__name__)

_HOST: Final = "127.0.0.1"
_POLL_S: Final = 0.05
_CONNECT_TIMEOUT_S: Final = 5.0
_JOIN_TIMEOUT_S: Final = 5.0


class Rule:
    """When to apply an effect; made by `FaultProxy.on`.

    hits: how often it was applied so far.
    """

    def __init__(
        self,
        effect: Effect,
        api_key: int | None,
        direction: Direction,
        broker: Address | None,
        skip: int,
        times: int | None,
    ) -> None:
        self.effect = effect
        self.hits = 0
        self._api_key = api_key
        self._direction = direction
        self._broker = broker
        self._skip = skip
        self._times = times

    def applies(self, exchange: Exchange, direction: Direction) -> bool:
        """Whether this frame is hit; counts it."""
        if direction is not self._direction or self._api_key not in (None, exchange.api_key):
            return False
        if self._broker not in (None, exchange.broker) or self._times == 0:
            return False
        if self._skip > 0:
            self._skip -= 1
            return False
        self._times = None if self._times is None else self._times - 1
        self.hits += 1
        return True


class FaultProxy:
    """Stands in for brokers that speak PLAINTEXT, and harms what passes as its rules say.

    Use it as a context manager; `bootstrap_servers` is what the client gets. Brokers that answers name beside the
    given ones get a place in the proxy too.

    Args:
        brokers: addresses of the real ones as they advertise themselves: `"host:port,host:port"`, or an iterable.
        receive_buffer_bytes: of each connection of a client, default the system's; a small one is a small window.
        seed: of the jitter, default None: another one in each run.

    Raises:
        ValueError: no broker, or an address is not of the form host:port.
    """

    def __init__(
        self,
        brokers: str | Iterable[str],
        *,
        receive_buffer_bytes: int | None = None,
        seed: int | None = None,
    ) -> None:
        given = brokers.split(",") if isinstance(brokers, str) else list(brokers)
        if not given:
            raise ValueError("brokers is empty; allowed is at least one host:port")
        self._given = list(dict.fromkeys(map(_address, given)))
        self._receive_buffer_bytes = receive_buffer_bytes
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self._rules: list[Rule] = []
        self._counts: dict[int, int] = {}
        self._is_stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._schedules: list[Schedule] = []
        self._pipes: set[Pipe] = set()
        self._refused: set[Address] = set()
        self._listeners: dict[Address, socket.socket] = {}
        self._addresses: dict[Address, Address] = {}
        self.connections = 0

    def __enter__(self) -> Self:
        if self._listeners:
            raise RuntimeError("a FaultProxy is used once: make another")
        for broker in self._given:
            self.move(broker)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_stopping.set()
        with self._lock:
            schedules = list(self._schedules)
        for schedule in schedules:
            schedule.cancel()
        self.clear()
        self.cut()
        self._join()
        if kind is None:  # else the body's own exception is the one to see
            for schedule in schedules:
                schedule.wait(_JOIN_TIMEOUT_S)

    @property
    def bootstrap_servers(self) -> str:
        """Addresses of the proxy, one for each given broker; RuntimeError outside of its `with`."""
        if not self._addresses:
            raise RuntimeError("the FaultProxy is not started: use it in a with statement")
        return ",".join(str(self._addresses[broker]) for broker in self._given)

    # --- faults ------------------------------------------------------------------------------------------

    def on(
        self,
        effect: Effect,
        *,
        api_key: int | None = ApiKey.PRODUCE,
        direction: Direction | None = None,
        broker: str | None = None,
        skip: int = 0,
        times: int | None = 1,
    ) -> Rule:
        """Apply an effect to frames to come. Of several rules the first that hits a frame counts, and each Delay.

        Args:
            effect: what happens; see `kproducer.testing.effects`.
            api_key: an ApiKey or another number of Kafka's, default Produce; None for any API.
            direction: default: answers, and requests for Answer, which can do nothing else.
            broker: `host:port` of the real broker, default None: all.
            skip: frames that pass unharmed first, default 0.
            times: how many are hit, default 1; None for all.

        Raises:
            ValueError: Answer to an API whose errors are not known here, or to answers; a broker without a port.
        """
        if isinstance(effect, Answer):
            if direction is Direction.RESPONSE or not can_refuse(api_key):
                raise ValueError(f"{effect} is for requests of one API that it knows, not for {api_key!r}")
            direction = Direction.REQUEST
        rule = Rule(
            effect,
            api_key,
            direction or Direction.RESPONSE,
            None if broker is None else _address(broker),
            skip,
            times,
        )
        with self._lock:
            self._rules.append(rule)
        return rule

    def remove(self, rule: Rule) -> None:
        """Forget one rule; what it holds is released. A second time does nothing."""
        with self._lock:
            self._rules = [other for other in self._rules if other is not rule]
        _release(rule)

    def clear(self) -> None:
        """Forget all rules; what is held is released."""
        with self._lock:
            rules, self._rules = self._rules, []
        for rule in rules:
            _release(rule)

    def cut(self, broker: str | None = None) -> None:
        """Close the connections to a broker, default to all of them, with FIN."""
        with self._lock:
            pipes = [p for p in self._pipes if broker is None or p.broker == _address(broker)]
        for pipe in pipes:
            pipe.close()

    def refuse(self, *brokers: str) -> None:
        """Close each new connection to these brokers at once; without any: refuse none."""
        with self._lock:
            self._refused = {_address(broker) for broker in brokers}

    def schedule(self, steps: Iterable[tuple[float, Callable[[], object]]]) -> Schedule:
        """Do things at given times: `proxy.schedule([(0.5, proxy.cut), (2, proxy.clear)])`.

        What a step raises is raised by `wait()` of the result, or at the end of the proxy's `with`.

        Args:
            steps: (seconds from now, callable without arguments) each.
        """
        schedule = Schedule(steps)
        with self._lock:
            self._schedules.append(schedule)
        return schedule

    def requests(self, api_key: int) -> int:
        """How many requests of an API came through."""
        with self._lock:
            return self._counts.get(api_key, 0)

    # --- what pipes ask ----------------------------------------------------------------------------------

    def fate_of(self, exchange: Exchange, direction: Direction) -> tuple[float, Effect | None]:
        """Return the seconds by which a frame is delayed, and what happens to it then."""
        delay_ms, effect = 0.0, None
        with self._lock:
            for rule in self._rules:
                if effect is not None and not isinstance(rule.effect, Delay):
                    continue  # not asked, so that it does not count the frame
                if not rule.applies(exchange, direction):
                    continue
                if isinstance(rule.effect, Delay):
                    jitter_ms = rule.effect.jitter_ms
                    delay_ms += rule.effect.ms + self._random.uniform(-jitter_ms, jitter_ms)
                else:
                    effect = rule.effect
        return delay_ms / 1000, effect

    def count(self, api_key: int) -> None:
        """Take note of a request."""
        with self._lock:
            self._counts[api_key] = self._counts.get(api_key, 0) + 1

    def forget(self, pipe: Pipe) -> None:
        """Take note that a connection is over."""
        with self._lock:
            self._pipes.discard(pipe)

    def move(self, broker: Address) -> Address:
        """Return the proxy's address for a broker's; one that is new gets its own listener."""
        with self._lock:
            if broker in self._addresses.values():
                return broker
            if broker in self._addresses:
                return self._addresses[broker]
            listener = self._listen_locked(broker)
        self._spawn(self._accept, broker, listener)
        return self._addresses[broker]

    # --- inside ------------------------------------------------------------------------------------------

    def _listen_locked(self, broker: Address) -> socket.socket:
        listener = socket.create_server((_HOST, 0))
        listener.settimeout(_POLL_S)
        if self._receive_buffer_bytes is not None:  # accepted sockets inherit it
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._receive_buffer_bytes)
        self._listeners[broker] = listener
        self._addresses[broker] = Address(_HOST, listener.getsockname()[1])
        return listener

    def _spawn(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, name="fault-proxy", daemon=True)
        thread.start()  # not under the lock: it waits for the thread, and every frame waits for the lock
        with self._lock:
            self._threads.append(thread)

    def _accept(self, broker: Address, listener: socket.socket) -> None:
        while not self._is_stopping.is_set():
            try:
                client, _ = listener.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            self._connect(broker, client)

    def _connect(self, broker: Address, client: socket.socket) -> None:
        with self._lock:
            is_refused = broker in self._refused
        try:
            if is_refused:
                raise ConnectionRefusedError
            server = socket.create_connection(broker, timeout=_CONNECT_TIMEOUT_S)
        except OSError as error:
            logger.debug("no connection to %s: %r", broker, error)
            client.close()
            return
        pipe = Pipe(self, broker, client, server)
        with self._lock:
            self.connections += 1
            self._pipes.add(pipe)
        for line in pipe.lines:
            self._spawn(line.run)
        if self._is_stopping.is_set():  # after the cut of all
            pipe.close()

    def _join(self) -> None:
        with self._lock:
            listeners = list(self._listeners.values())
        for listener in listeners:
            listener.close()
        while (thread := self._next_thread()) is not None:  # one that ends may have begun another
            thread.join(_JOIN_TIMEOUT_S)
            if thread.is_alive():
                raise RuntimeError("a thread of the fault proxy did not end")

    def _next_thread(self) -> threading.Thread | None:
        with self._lock:
            return self._threads.pop(0) if self._threads else None


def _release(rule: Rule) -> None:
    if isinstance(rule.effect, Hold):
        rule.effect.release()


def _address(text: str) -> Address:
    host, _, port = text.strip().rpartition(":")
    if not host or not port.isdecimal():
        raise ValueError(f"broker {text!r}: allowed is host:port")
    return Address(host.strip("[]"), int(port))
