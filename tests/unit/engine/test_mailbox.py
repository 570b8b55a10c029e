"""Commands across threads, replies, and the end of the mailbox."""

from __future__ import annotations

import select
import threading

import pytest

from kproducer.client.transaction_state import Call
from kproducer.engine.mailbox import Close, GiveUp, Mailbox, PartitionsFor, Reply, Transact
from kproducer.errors import ForkError, ProducerClosedError


def is_readable(mailbox: Mailbox) -> bool:
    return bool(select.select([mailbox.fileno()], [], [], 0)[0])


def test_commands_arrive_in_order_and_wake_the_reader() -> None:
    mailbox = Mailbox()
    first, second = PartitionsFor("a"), Close()
    assert not is_readable(mailbox)
    mailbox.post(first)
    mailbox.post(second)
    assert is_readable(mailbox)
    assert mailbox.take() == [first, second]
    assert not is_readable(mailbox)
    assert mailbox.take() == []
    mailbox.close(ProducerClosedError())


def test_wake_never_blocks_however_often_it_is_called() -> None:
    mailbox = Mailbox()
    for _ in range(100_000):
        mailbox.wake()
    mailbox.take()
    assert not is_readable(mailbox)
    mailbox.close(ProducerClosedError())
    mailbox.wake()


def test_closed_mailbox_fails_what_waits_and_takes_nothing() -> None:
    mailbox = Mailbox()
    command = PartitionsFor("t")
    mailbox.post(command)
    mailbox.close(ProducerClosedError("closed"))
    with pytest.raises(ProducerClosedError):
        command.reply.wait(1)
    with pytest.raises(ProducerClosedError):
        mailbox.post(Close())


def test_forked_child_cannot_post(monkeypatch: pytest.MonkeyPatch) -> None:
    mailbox = Mailbox()
    monkeypatch.setattr("kproducer.engine.mailbox.os.getpid", lambda: -1)
    with pytest.raises(ForkError):
        mailbox.post(Close())
    monkeypatch.undo()
    mailbox.close(ProducerClosedError())


def test_reply_crosses_threads() -> None:
    reply: Reply[int] = Reply()
    thread = threading.Thread(target=reply.set_result, args=(7,))
    thread.start()
    assert reply.wait(5) == 7
    thread.join()


def test_reply_that_does_not_come_times_out_and_is_abandoned() -> None:
    reply: Reply[int] = Reply()
    with pytest.raises(TimeoutError):
        reply.wait(0.01)
    assert reply.is_abandoned


def test_reply_may_be_an_error() -> None:
    reply: Reply[int] = Reply()
    reply.set_error(ProducerClosedError("x"))
    with pytest.raises(ProducerClosedError):
        reply.wait(0)


def test_reply_tells_whether_somebody_took_it() -> None:
    taken: Reply[int] = Reply()
    assert taken.set_result(7)
    assert taken.wait(0) == 7
    left: Reply[int] = Reply()
    with pytest.raises(TimeoutError):
        left.wait(0)
    assert not left.set_result(7)
    assert not left.set_error(ProducerClosedError("x"))


def test_answer_before_the_wait_is_not_abandoned_whatever_the_timeout() -> None:
    reply: Reply[int] = Reply()
    reply.set_result(7)
    assert reply.wait(0) == 7
    assert not reply.is_abandoned


def test_result_is_taken_or_refused_but_never_lost_between_a_wait_that_ends_and_an_answer_that_comes() -> (
    None
):
    for _ in range(200):
        reply: Reply[int] = Reply()
        taken: list[bool] = []
        thread = threading.Thread(target=lambda r=reply, t=taken: t.append(r.set_result(7)))
        thread.start()
        try:
            has_got = reply.wait(0.0001) == 7
        except TimeoutError:
            has_got = False
        thread.join()
        assert taken == [has_got]


def test_wait_that_a_signal_ends_abandons_the_reply(monkeypatch: pytest.MonkeyPatch) -> None:
    reply: Reply[int] = Reply()

    def interrupted(timeout: float) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr(reply._done, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        reply.wait(1)
    assert reply.is_abandoned
    assert not reply.set_result(7)


def test_closed_mailbox_fails_the_transaction_calls_that_wait_and_forgets_who_gave_up() -> None:
    mailbox = Mailbox()
    command = Transact(Call.COMMIT)
    mailbox.post(command)
    mailbox.post(GiveUp(Transact(Call.ABORT)))
    mailbox.close(ProducerClosedError("closed"))
    with pytest.raises(ProducerClosedError):
        command.reply.wait(1)


def test_two_calls_with_the_same_arguments_are_two_commands() -> None:
    assert Transact(Call.COMMIT) != Transact(Call.COMMIT)
