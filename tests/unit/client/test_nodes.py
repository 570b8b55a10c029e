"""Which broker is dialled, and when."""

from __future__ import annotations

from kproducer.client.backoff import ExponentialBackoff
from kproducer.client.nodes import MIN_DELAY_MS, Node, NodeDirectory
from kproducer.config import HostPort

A, B, C = HostPort("a", 1), HostPort("b", 2), HostPort("c", 3)


def make(*, can_rebootstrap: bool = True, reconnect_ms: float = 50) -> NodeDirectory:
    return NodeDirectory(
        [A, B],
        reconnect=ExponentialBackoff(reconnect_ms, 1000),
        setup_timeout=ExponentialBackoff(10_000, 30_000),
        can_rebootstrap=can_rebootstrap,
        jitter=lambda: 0.5,
    )


def test_bootstrap_servers_come_first() -> None:
    nodes = make()
    node = nodes.choose(0)
    assert node is not None
    assert node.address in (A, B)
    assert nodes.is_bootstrapping


def test_a_failed_node_is_left_alone_for_the_backoff() -> None:
    nodes = make()
    nodes.failed(A, 0)
    assert nodes.usable_at(A) == 50
    chosen = nodes.choose(10)
    assert chosen is not None
    assert chosen.key == B
    nodes.failed(B, 10)
    assert nodes.choose(20) is None
    assert nodes.next_choice_at() == 50


def test_backoff_grows_to_its_maximum_and_ends_with_success() -> None:
    nodes = make()
    delays = []
    for _ in range(7):
        nodes.failed(A, 0)
        delays.append(nodes.usable_at(A))
    assert delays == [50, 100, 200, 400, 800, 1000, 1000]
    nodes.succeeded(A)
    nodes.failed(A, 0)
    assert nodes.usable_at(A) == 50


def test_backoff_of_zero_is_no_busy_loop() -> None:
    nodes = make(reconnect_ms=0)
    nodes.failed(A, 5)
    assert nodes.usable_at(A) == 5 + MIN_DELAY_MS


def test_node_with_fewer_failures_is_preferred() -> None:
    nodes = make()
    nodes.update({1: A, 2: B, 3: C})
    nodes.failed(1, 0)
    nodes.failed(3, 0)
    chosen = nodes.choose(5000)
    assert chosen is not None
    assert chosen.key == 2


def test_setup_timeout_grows_with_failures() -> None:
    nodes = make()
    timeouts = []
    for _ in range(3):
        timeouts.append(nodes.setup_timeout_ms(A))
        nodes.failed(A, 0)
    assert timeouts == [10_000, 20_000, 30_000]


def test_when_all_known_brokers_fail_bootstrap_servers_are_asked_again() -> None:
    nodes = make()
    nodes.update({1: C})
    nodes.failed(1, 0)
    chosen = nodes.choose(1)
    assert chosen is not None
    assert chosen.key in (A, B)
    assert nodes.is_bootstrapping
    assert nodes.get(1) is not None


def test_without_the_strategy_known_brokers_are_waited_for() -> None:
    nodes = make(can_rebootstrap=False)
    nodes.update({1: C})
    nodes.failed(1, 0)
    assert nodes.choose(1) is None
    assert nodes.next_choice_at() == 50


def test_a_node_that_moved_is_told_and_its_failures_forgotten() -> None:
    nodes = make()
    nodes.update({1: A, 2: B})
    nodes.failed(1, 0)
    assert nodes.update({1: C, 2: B}) == [1]
    assert nodes.usable_at(1) < 0


def test_a_hinted_address_does_not_replace_a_known_one() -> None:
    nodes = make()
    nodes.update({1: A})
    nodes.add(1, C)
    nodes.add(2, C)
    first, second = nodes.get(1), nodes.get(2)
    assert first is not None
    assert second is not None
    assert (first.address, second.address) == (A, C)


def test_nodes_are_named_in_messages() -> None:
    assert str(Node(1, A)) == "broker 1 at a:1"
    assert str(Node(A, A)) == "broker a:1"
