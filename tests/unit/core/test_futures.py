"""RecordFuture: one outcome, asked for in any way, and told to nobody only through the next flush()."""

from __future__ import annotations

import asyncio
import copy
import gc
import logging
import pickle
import threading
import time
from typing import Any

import pytest

from kproducer import KafkaError, KafkaProducer, KafkaTimeoutError, RecordFuture, UnobservedDeliveryError
from kproducer.errors import InvalidRecordError
from tests.fakes.scripted_broker import ScriptedBroker
from tests.unit.core.world import MakeProducer, failing, gated, wait_until

BAD_TIMEOUTS = [(-1, ValueError), (float("nan"), ValueError), ("1", TypeError), (True, TypeError)]


def test_result_get_and_exception_tell_the_same_outcome(
    broker: ScriptedBroker, producer: KafkaProducer
) -> None:
    futures = [producer.send("t", b"v", partition=1) for _ in range(3)]
    assert [future.result(10).offset for future in futures] == [0, 1, 2]
    assert [future.get(10).offset for future in futures] == [0, 1, 2]
    assert [future.exception(10) for future in futures] == [None] * 3
    assert futures[0].result() == futures[0].result(0)


def test_the_garbage_collector_does_not_follow_futures(producer: KafkaProducer) -> None:
    bare, with_partition = producer.send("t", b"v"), producer.send("t", b"v", partition=1)
    assert not gc.is_tracked(bare)
    assert bare.result(10).topic == with_partition.result(10).topic == "t"


def test_failed_records_raise_their_own_error_with_its_facts(
    broker: ScriptedBroker, producer: KafkaProducer
) -> None:
    with failing(broker):
        future = producer.send("t", b"v", partition=2)
        with pytest.raises(InvalidRecordError) as caught:
            future.result(10)
    error = caught.value
    assert (error.topic, error.partition, error.broker, error.attempts) == ("t", 2, 1, 1)
    assert error.persisted == "no"
    assert error.elapsed_ms is not None
    again = future.exception()
    assert isinstance(again, InvalidRecordError)
    assert again is not error  # else tracebacks of all callers would gather in one object


def test_done_does_not_wait(broker: ScriptedBroker, producer: KafkaProducer) -> None:
    with gated(broker) as gate:
        future = producer.send("one", b"v")
        assert not future.done()
        gate.open()
        wait_until(future.done, "the record is acknowledged")
    assert future.result(0).offset == 0


def test_result_times_out_and_the_record_stays_on_its_way(
    broker: ScriptedBroker, producer: KafkaProducer
) -> None:
    with gated(broker):
        future = producer.send("one", b"v")
        for timeout in (0, 0.05):
            with pytest.raises(KafkaTimeoutError, match="still on its way") as caught:
                future.result(timeout)
            assert caught.value.persisted == "maybe"
            assert isinstance(caught.value, TimeoutError)
            with pytest.raises(KafkaTimeoutError):
                future.exception(timeout)
    assert future.result(10).offset == 0


@pytest.mark.parametrize(("timeout", "error"), BAD_TIMEOUTS)
def test_bad_timeouts_are_refused_by_the_other_names_too(
    producer: KafkaProducer, timeout: Any, error: type[Exception]
) -> None:
    future = producer.send("one", b"v")
    for call in (future.exception, future.get):  # result() and wait(): tests/unit/core/bad_input
        with pytest.raises(error, match="timeout"):
            call(timeout)
    assert future.result(float("inf")).offset == 0


def test_a_record_cannot_be_taken_back(producer: KafkaProducer) -> None:
    future = producer.send("one", b"v")
    assert not future.cancel()
    assert not future.cancelled()
    assert future.result(10).offset == 0


def test_futures_are_made_by_send_alone(producer: KafkaProducer) -> None:
    with pytest.raises(TypeError, match="made by send"):
        RecordFuture()
    bare = RecordFuture.__new__(RecordFuture)
    for call in (bare.done, bare.result, bare.exception, lambda: bare.add_done_callback(print)):
        with pytest.raises(TypeError, match="made by send"):
            call()
    future = producer.send("one", b"v")
    for copying in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError):
            copying(future)
    future.result(10)


def test_a_future_outlives_its_producer(broker: ScriptedBroker, make: MakeProducer) -> None:
    producer = make(broker)
    future = producer.send("one", b"v")
    producer.close()
    assert future.done()
    assert future.result(0).offset == 0


# --- done callbacks -----------------------------------------------------------------------------------------


def test_done_callbacks_run_once_each_with_the_future(
    broker: ScriptedBroker, producer: KafkaProducer
) -> None:
    seen: list[tuple[str, RecordFuture]] = []
    with gated(broker):
        future = producer.send("one", b"v")
        future.add_done_callback(lambda f: seen.append(("first", f)))
        future.add_done_callback(lambda f: seen.append(("second", f)))
        assert not seen
    producer.flush(10)
    assert seen == [("first", future), ("second", future)]


def test_a_done_callback_added_late_runs_at_once_in_this_thread(producer: KafkaProducer) -> None:
    future = producer.send("one", b"v")
    future.result(10)
    threads: list[threading.Thread] = []
    future.add_done_callback(lambda f: threads.append(threading.current_thread()))
    assert threads == [threading.current_thread()]


def test_what_a_done_callback_raises_is_logged_wherever_it_runs(
    broker: ScriptedBroker, producer: KafkaProducer, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(future: RecordFuture) -> None:
        raise LookupError("in a callback")

    with gated(broker):
        future = producer.send("one", b"v")
        future.add_done_callback(fail)
    producer.flush(10)
    future.add_done_callback(fail)
    assert [record.levelno for record in caplog.records if "one-0" in record.message] == [logging.ERROR] * 2


def test_done_callbacks_hear_of_failures(broker: ScriptedBroker, producer: KafkaProducer) -> None:
    seen: list[KafkaError | None] = []
    with failing(broker):
        producer.send("one", b"v").add_done_callback(lambda f: seen.append(f.exception()))
        producer.flush(10)
    assert [type(error) for error in seen] == [InvalidRecordError]


def test_only_callables_are_done_callbacks(producer: KafkaProducer) -> None:
    future = producer.send("one", b"v")
    with pytest.raises(TypeError, match="callable, not int"):
        future.add_done_callback(5)  # type: ignore[arg-type]
    future.result(10)


# --- asyncio ------------------------------------------------------------------------------------------------


def test_futures_can_be_awaited(broker: ScriptedBroker, producer: KafkaProducer) -> None:
    async def main() -> list[int]:
        futures = [producer.send("one", b"v") for _ in range(100)]
        found = [(await future).offset for future in futures]
        return [*found, (await futures[0]).offset]  # again, when it is done

    assert asyncio.run(main()) == [*range(100), 0]


def test_awaiting_a_failed_record_raises_its_error(broker: ScriptedBroker, producer: KafkaProducer) -> None:
    async def main() -> None:
        await producer.send("one", b"v")

    with failing(broker), pytest.raises(InvalidRecordError):
        asyncio.run(main())
    producer.flush(10)  # it has been told


def test_the_loop_runs_on_while_a_record_is_awaited(broker: ScriptedBroker, producer: KafkaProducer) -> None:
    async def main() -> int:
        with gated(broker) as gate:
            task = asyncio.ensure_future(_wait_for(producer.send("one", b"v")))
            for _ in range(10):
                await asyncio.sleep(0.001)
            assert not task.done()
            gate.open()
            return await task

    assert asyncio.run(main()) == 0


async def _wait_for(future: RecordFuture) -> int:
    return (await future).offset


def test_a_cancelled_wait_does_not_unsend_and_does_not_hide_a_failure(
    broker: ScriptedBroker, producer: KafkaProducer
) -> None:
    async def main() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(_wait_for(producer.send("one", b"v")), 0.05)

    with failing(broker):
        with gated(broker):
            asyncio.run(main())
        gc.collect()  # the traceback holds the future
        with pytest.raises(UnobservedDeliveryError) as caught:
            producer.flush(10)
    assert caught.value.count == 1


def test_a_loop_closed_before_the_outcome_is_no_trouble(
    broker: ScriptedBroker, producer: KafkaProducer, caplog: pytest.LogCaptureFixture
) -> None:
    futures: list[RecordFuture] = []

    async def main() -> None:
        futures.append(producer.send("one", b"v"))
        task = asyncio.ensure_future(_wait_for(futures[0]))
        await asyncio.sleep(0.01)
        task.cancel()

    with gated(broker):
        asyncio.run(main())
    assert futures[0].result(10).offset == 0
    producer.flush(10)
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


# --- failures that nobody asked about -----------------------------------------------------------------------


def test_a_failure_of_a_dropped_future_is_raised_once_by_the_next_flush(
    broker: ScriptedBroker, producer: KafkaProducer
) -> None:
    with failing(broker):
        producer.send("t", b"a", partition=0)
        producer.send("t", b"b", partition=2)
        producer.produce("t", b"c", partition=2)
        with pytest.raises(UnobservedDeliveryError, match="3 records failed unobserved") as caught:
            producer.flush(10)
    assert caught.value.count == 3
    assert caught.value.by_partition == {("t", 0): 1, ("t", 2): 2}
    assert isinstance(caught.value.first_error, InvalidRecordError)
    assert caught.value.__cause__ is caught.value.first_error
    producer.flush(10)
    producer.close()


def test_close_raises_it_too(broker: ScriptedBroker, producer: KafkaProducer) -> None:
    with failing(broker):
        producer.produce("one", b"v")
        with pytest.raises(UnobservedDeliveryError):
            producer.close()
    producer.close()


def test_the_end_of_with_raises_it_too(broker: ScriptedBroker, producer: KafkaProducer) -> None:
    with failing(broker), pytest.raises(UnobservedDeliveryError), producer:
        producer.produce("one", b"v")
    producer.close()


def test_the_bodys_own_exception_is_not_hidden_by_it(
    broker: ScriptedBroker, producer: KafkaProducer, caplog: pytest.LogCaptureFixture
) -> None:
    def body() -> None:
        with producer:
            producer.produce("one", b"v")
            raise LookupError("the body's")

    with failing(broker), pytest.raises(LookupError, match="the body's"):
        body()
    assert "1 record failed unobserved" in caplog.text


def test_what_was_asked_is_not_raised_again(broker: ScriptedBroker, producer: KafkaProducer) -> None:
    with failing(broker):
        assert producer.send("t", b"a").exception(10) is not None
        with pytest.raises(InvalidRecordError):
            producer.send("t", b"b").result(10)
        producer.send("t", b"c").add_done_callback(lambda f: None)
        producer.send("t", b"d", on_delivery=lambda m, e: None)
        producer.produce("t", b"e", on_delivery=lambda m, e: None)
        assert producer.send_many("t", [b"f", b"g"]).failed == 2
        producer.flush(10)
    producer.close()


def test_done_or_a_wait_in_vain_is_not_asking(broker: ScriptedBroker, producer: KafkaProducer) -> None:
    with failing(broker):
        with gated(broker):
            future = producer.send("one", b"v")
            assert not future.done()
            with pytest.raises(KafkaTimeoutError):
                future.result(0)
        producer.flush(10)  # the future lives, so it may still be asked
    del future
    with pytest.raises(UnobservedDeliveryError):
        producer.flush(10)


@pytest.mark.parametrize("drop_first", [True, False])
def test_futures_that_live_may_still_be_asked(
    broker: ScriptedBroker, producer: KafkaProducer, drop_first: bool
) -> None:
    with failing(broker):
        futures = [producer.send("one", b"v") for _ in range(5)]
        if not drop_first:
            producer.flush(10)
        del futures[0]
        with pytest.raises(UnobservedDeliveryError, match="1 record failed"):
            producer.flush(10)
    assert all(future.exception() for future in futures)
    del futures
    gc.collect()
    producer.flush(10)


def test_a_callback_speaks_for_its_own_record_only(broker: ScriptedBroker, producer: KafkaProducer) -> None:
    heard: list[KafkaError] = []
    with failing(broker):
        for n in range(10):
            listens = {"on_delivery": lambda m, e: heard.append(e)} if n < 4 else {}
            producer.send("one", b"v", **listens)  # type: ignore[arg-type]
        with pytest.raises(UnobservedDeliveryError) as caught:
            producer.flush(10)
    assert (len(heard), caught.value.count) == (4, 6)


def test_many_done_callbacks_of_one_future_hide_no_other_failure(
    broker: ScriptedBroker, producer: KafkaProducer
) -> None:
    with failing(broker):
        future = producer.send("one", b"v")
        for _ in range(5):
            future.add_done_callback(lambda f: None)
        producer.produce("one", b"nobody listens")
        with pytest.raises(UnobservedDeliveryError) as caught:
            producer.flush(10)
    assert caught.value.count == 1


def test_successes_are_never_unobserved(broker: ScriptedBroker, producer: KafkaProducer) -> None:
    for n in range(1000):
        (producer.send if n % 2 else producer.produce)("t", b"v")
    producer.flush(10)
    producer.close()


def test_results_can_be_asked_by_many_threads(broker: ScriptedBroker, producer: KafkaProducer) -> None:
    with gated(broker):
        future = producer.send("one", b"v")
        offsets: list[int] = []
        threads = [
            threading.Thread(target=lambda: offsets.append(future.result(10).offset)) for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        time.sleep(0.05)
        assert not offsets
    for thread in threads:
        thread.join(10)
    assert offsets == [0] * 8


def test_futures_and_results_in_garbage_cycles_are_collected(
    broker: ScriptedBroker, make: MakeProducer
) -> None:
    producer = make(broker)
    for _ in range(50):
        cycle: list[Any] = [producer.send("one", b"v"), producer.send_many("one", [b"v"]), producer]
        cycle.append(cycle)
        del cycle
    producer.flush(10)
    producer.close()
    gc.collect()  # which clears members before it frees their owner
