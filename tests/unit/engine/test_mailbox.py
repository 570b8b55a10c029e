"""Commands across threads, replies, and the end of the mailbox."""

from __future__ import annotations

import select
import threading

import pytest

from kproducer.engine.mailbox import Close, Mailbox, PartitionsFor, Reply
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
