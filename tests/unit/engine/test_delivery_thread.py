"""The delivery thread runs until it is told that nothing more comes, and survives what deliver raises."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator

import pytest

from kproducer.engine.delivery import DeliveryThread


def test_delivers_until_the_end() -> None:
    turns = iter([True, True, False])
    names = []

    def deliver() -> bool:
        names.append(threading.current_thread().name)
        return next(turns)

    thread = DeliveryThread(deliver, on_crash=lambda _: None, name="delivery")
    assert thread.join(0)
    thread.ensure_started()
    thread.ensure_started()
    assert thread.join(5)
    assert names == ["delivery"] * 3


@pytest.mark.row("F45")
def test_error_of_deliver_is_told_and_logged_and_the_thread_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    steps: Iterator[Exception | bool] = iter([RuntimeError("broken"), True, False])
    crashes: list[BaseException] = []

    def deliver() -> bool:
        step = next(steps)
        if isinstance(step, Exception):
            raise step
        return step

    thread = DeliveryThread(deliver, on_crash=crashes.append, name="delivery")
    with caplog.at_level(logging.ERROR):
        thread.ensure_started()
        assert thread.join(5)
    assert [str(crash) for crash in crashes] == ["broken"]
    assert "broken" in caplog.text


@pytest.mark.row("F45")
def test_error_that_comes_back_each_time_ends_the_thread() -> None:
    crashes: list[BaseException] = []

    def deliver() -> bool:
        raise RuntimeError("always")

    thread = DeliveryThread(deliver, on_crash=crashes.append, name="delivery")
    thread.ensure_started()
    assert thread.join(5)
    assert len(crashes) == 3
