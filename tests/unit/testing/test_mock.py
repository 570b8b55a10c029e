"""MockProducer's own verbs: what a test asks it, and what a test tells it to do."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import Any

import pytest

from kproducer import (
    BufferExhaustedError,
    CommitOutcomeUnknownError,
    ConfigError,
    Headers,
    IllegalStateError,
    Interceptor,
    KafkaError,
    KafkaTimeoutError,
    OffsetAndMetadata,
    PartitionInfo,
    ProducerClosedError,
    ProducerFencedError,
    ProducerRecord,
    RecordMetadata,
    RecordTooLargeError,
    SerializationError,
    TopicPartition,
    TransactionAbortableError,
    TransactionAbortedError,
    UnobservedDeliveryError,
    UnsupportedConfigError,
)
from kproducer.testing import MockProducer

PLACE = TopicPartition("in", 0)


def transactional(**config: Any) -> MockProducer:
    """A producer with a transaction open."""
    producer = MockProducer(transactional_id="x", **config)
    producer.init_transactions()
    producer.begin_transaction()
    return producer


# --- records ----------------------------------------------------------------------------------------------------


def test_the_history_holds_records_as_they_were_given() -> None:
    producer = MockProducer()
    producer.send("t", b"v", b"k", [("h", b"1")], 0, 5)
    producer.produce(ProducerRecord("u", None))
    producer.send_many("t", [b"1", b"2"], [b"a", None])
    producer.send_lines("t", b"3\n4\n")
    assert producer.history == [
        ProducerRecord("t", b"v", b"k", [("h", b"1")], 0, 5),
        ProducerRecord("u"),
        ProducerRecord("t", b"1", b"a"),
        ProducerRecord("t", b"2"),
        ProducerRecord("t", b"3"),
        ProducerRecord("t", b"4"),
    ]
    producer.history.clear()
    assert len(producer.history) == 6


def test_a_buffer_that_changes_later_does_not_change_the_history() -> None:
    producer, value = MockProducer(), bytearray(b"then")
    producer.send("t", value)
    value[:] = b"now!"
    assert producer.history == [ProducerRecord("t", b"then")]


def test_with_serializers_the_history_holds_the_objects() -> None:
    producer = MockProducer(value_serializer=lambda v: repr(v).encode())
    metadata = producer.send("t", {"id": 1}, b"k").result(0)
    assert producer.history == [ProducerRecord("t", {"id": 1}, b"k")]
    assert metadata.serialized_value_size == len(b"{'id': 1}")


def test_with_interceptors_the_history_holds_what_they_made() -> None:
    class Upper(Interceptor):
        def on_send(self, record: ProducerRecord) -> ProducerRecord:
            return record._replace(value=record.value.upper(), headers=[("by", b"me")])  # type: ignore[attr-defined]

    producer = MockProducer(interceptor_classes=[Upper()], value_serializer=str.encode)
    producer.send("t", "text", b"k")
    assert producer.history == [ProducerRecord("t", "TEXT", b"k", (("by", b"me"),))]


def test_interceptors_hear_of_what_the_test_decides() -> None:
    class Hearing(Interceptor):
        def on_acknowledgement(
            self, metadata: RecordMetadata, error: Exception | None, headers: Headers
        ) -> None:
            heard.append((metadata.offset, error))

        def close(self) -> None:
            heard.append("close")

    heard: list[object] = []
    refused, failed = BufferExhaustedError("full"), KafkaError("no leader in time")
    producer = MockProducer(interceptor_classes=[Hearing()], auto_complete=False)
    for _ in range(3):
        producer.produce("t", b"v")
    producer.send_exception = refused
    with pytest.raises(BufferExhaustedError):
        producer.produce("t", b"v")
    producer.complete_next()
    producer.error_next(failed)
    with pytest.raises(UnobservedDeliveryError) as caught:
        producer.close()
    assert heard == [(-1, refused), (0, None), (-1, failed), (1, None), "close"]
    assert caught.value.count == 1  # to have heard of it as an interceptor is not to observe it


def test_headers_keep_the_kind_of_their_container() -> None:
    producer = MockProducer()
    producer.send("t", headers=(("a", b"1"),))
    producer.send("t", headers={"a": b"1"})
    producer.send("t", headers=[])
    assert [record.headers for record in producer.history] == [(("a", b"1"),), [("a", b"1")], None]


def test_offsets_count_by_partition_and_keyless_records_take_turns() -> None:
    producer = MockProducer(partitions={"t": 3})
    places = [producer.send("t", b"v").result(0)[1:3] for _ in range(7)]
    assert places == [(0, 0), (1, 0), (2, 0), (0, 1), (1, 1), (2, 1), (0, 2)]
    assert producer.send("t", b"v", partition=2).result(0).offset == 2


def test_keys_are_hashed_unless_they_are_to_be_ignored() -> None:
    keyed = MockProducer(partitions={"t": 50})
    assert len({keyed.send("t", b"v", b"same").result(0).partition for _ in range(5)}) == 1
    ignoring = MockProducer(partitions={"t": 50}, partitioner_ignore_keys=True)
    assert [ignoring.send("t", b"v", b"same").result(0).partition for _ in range(3)] == [0, 1, 2]


def test_partitions_are_those_that_were_given() -> None:
    infos = [PartitionInfo("u", 1, 7, 3, (7, 8), (7,), (8,)), PartitionInfo("u", 0, 8)]
    producer = MockProducer(partitions={"t": 2, "u": infos})
    assert producer.partitions_for("u") == infos[::-1]
    assert producer.partitions_for("t") == [
        PartitionInfo("t", n, 1, replicas=(1,), in_sync_replicas=(1,)) for n in (0, 1)
    ]
    assert len(MockProducer().partitions_for("anything")) == 1


@pytest.mark.parametrize(
    "given", [0, -1, [], [PartitionInfo("t", 1)], [PartitionInfo("u", 0)], [PartitionInfo("t", 0)] * 2]
)
def test_partitions_have_to_be_whole(given: Any) -> None:
    with pytest.raises(ValueError, match="partitions of 't'"):
        MockProducer(partitions={"t": given})


# --- outcomes ---------------------------------------------------------------------------------------------------


def test_records_are_completed_and_failed_in_their_order() -> None:
    producer = MockProducer(auto_complete=False)
    heard: list[object] = []
    futures = [
        producer.send("t", b"%d" % n, timestamp_ms=n, on_delivery=lambda *args: heard.append(args))
        for n in range(3)
    ]
    assert (producer.flushed, heard) == (False, [])
    error = BufferExhaustedError("full")

    assert producer.complete_next()
    assert producer.error_next(error)
    assert [future.done() for future in futures] == [True, True, False]
    assert producer.complete_next()

    assert not producer.complete_next()
    assert not producer.error_next(error)
    assert producer.flushed
    first, third = RecordMetadata("t", 0, 0, 0, 0, -1, 1), RecordMetadata("t", 0, 1, 2, 0, -1, 1)
    assert heard == [(first, None), (None, error), (third, None)]
    assert (futures[0].result(0), futures[1].exception(0), futures[2].get(0)) == (first, error, third)
    with pytest.raises(BufferExhaustedError, match="full"):
        futures[1].result(0)
    metrics = producer.metrics()
    for group in ("producer-metrics", "producer-topic-metrics.t"):
        assert (metrics[group]["record-send-total"], metrics[group]["record-error-total"]) == (2, 1)


def test_only_what_a_producer_could_tell_is_an_error() -> None:
    with pytest.raises(TypeError, match="error must be KafkaError, not ValueError"):
        MockProducer().error_next(ValueError())  # type: ignore[arg-type]


def test_flush_completes_what_waits() -> None:
    producer = MockProducer(auto_complete=False)
    result = producer.send_many("t", [b"1", b"2"])
    assert not result.done()
    with pytest.raises(KafkaTimeoutError, match="no outcome of all records within 0 s"):
        result.wait(0)
    producer.flush()
    assert (result.done(), result.failed, result.offsets) == (True, 0, {("t", 0): 0})


def test_a_result_tells_its_errors_by_partition() -> None:
    producer = MockProducer(auto_complete=False, partitions={"t": 2})
    result = producer.send_many("t", [b"1", b"2", b"3"])
    errors = [KafkaError(str(n)) for n in range(2)]
    producer.complete_next()
    producer.error_next(errors[0])
    producer.error_next(errors[1])
    assert (result.count, result.failed, result.errors()) == (3, 2, errors[::-1])
    assert result.first_error is errors[1]
    assert result.offsets == {("t", 0): 0}


def test_a_pending_future_times_out_and_another_thread_may_complete_it() -> None:
    producer = MockProducer(auto_complete=False)
    future = producer.send("t", b"v")
    with pytest.raises(KafkaTimeoutError, match="no outcome within 0 s; the record is still on its way"):
        future.result(0)
    timer = threading.Timer(0.02, producer.complete_next)
    timer.start()
    assert future.result(10).offset == 0
    timer.join()
    assert not future.cancel()
    assert not future.cancelled()


def test_done_callbacks_get_the_future_whenever_they_come() -> None:
    producer = MockProducer(auto_complete=False)
    future = producer.send("t", b"v")
    heard: list[object] = []
    future.add_done_callback(heard.append)
    assert heard == []
    producer.complete_next()
    future.add_done_callback(heard.append)
    assert heard == [future, future]


def test_a_callback_that_raises_is_logged_and_the_next_one_runs(caplog: pytest.LogCaptureFixture) -> None:
    heard: list[object] = []

    def fail(metadata: object, error: object) -> None:
        raise LookupError("in a callback")

    producer = MockProducer()
    with caplog.at_level(logging.ERROR):
        producer.produce("t", b"1", on_delivery=fail)
        producer.produce("t", b"2", on_delivery=lambda *_: heard.append(1))
    assert heard == [1]
    assert "delivery callback failed for t-0" in caplog.text
    assert "in a callback" in caplog.text


def test_a_callback_that_sends_is_not_run_within_itself() -> None:
    producer, depth, deepest = MockProducer(), 0, 0

    def resend(metadata: RecordMetadata | None, error: KafkaError | None) -> None:
        nonlocal depth, deepest
        depth += 1
        deepest = max(depth, deepest)
        if len(producer.history) < 2_000:
            producer.produce("t", b"again", on_delivery=resend)
        depth -= 1

    producer.produce("t", b"v", on_delivery=resend)
    assert (len(producer.history), deepest) == (2_000, 1)


def test_a_future_may_be_awaited() -> None:
    producer = MockProducer(auto_complete=False)

    async def send() -> RecordMetadata:
        future = producer.send("t", b"v")
        asyncio.get_running_loop().call_later(0.01, producer.complete_next)
        return await future

    assert asyncio.run(send()).offset == 0


def test_an_awaited_failure_is_raised() -> None:
    async def send() -> None:
        producer = MockProducer(auto_complete=False)
        future = producer.send("t", b"v")
        producer.error_next(KafkaError("lost"))
        await future

    with pytest.raises(KafkaError, match="lost"):
        asyncio.run(send())


# --- failures that nobody heard of --------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["flush", "close", "with"])
def test_a_failure_that_nobody_listened_to_is_raised_at_the_end(end: str) -> None:
    producer = MockProducer(auto_complete=False, partitions={"t": 2})
    producer.produce("t", b"1")
    producer.produce("t", b"2")
    producer.produce("t", b"3")
    for _ in range(3):
        producer.error_next(KafkaError("lost"))
    with pytest.raises(UnobservedDeliveryError) as caught:
        producer.__exit__(None, None, None) if end == "with" else getattr(producer, end)()
    assert caught.value.by_partition == {("t", 0): 2, ("t", 1): 1}
    assert str(caught.value.first_error) == "lost"
    producer.flush()


@pytest.mark.parametrize("is_dropped_first", [True, False])
def test_a_future_that_is_dropped_unasked_leaves_its_failure_to_flush(is_dropped_first: bool) -> None:
    producer = MockProducer(auto_complete=False)
    future = producer.send("t", b"v")
    if is_dropped_first:
        del future
        producer.error_next(KafkaError("lost"))
    else:
        producer.error_next(KafkaError("lost"))
        producer.flush()  # it may still be asked
        del future
    with pytest.raises(UnobservedDeliveryError, match="1 record failed"):
        producer.flush()


def test_a_result_that_is_dropped_unasked_leaves_its_failures_to_flush() -> None:
    producer = MockProducer(auto_complete=False)
    producer.send_many("t", [b"1", b"2"])
    producer.error_next(KafkaError("lost"))
    with pytest.raises(UnobservedDeliveryError, match="1 record failed"):
        producer.flush()


def test_who_listens_or_asks_is_not_told_again() -> None:
    producer = MockProducer(auto_complete=False)
    error = KafkaError("lost")
    asked = producer.send("t", b"1")
    watched = producer.send("t", b"2")
    watched.add_done_callback(lambda future: None)
    producer.send("t", b"3", on_delivery=lambda metadata, error: None)
    many = producer.send_many("t", [b"4"])
    for _ in range(4):
        producer.error_next(error)
    assert asked.exception() is error
    assert many.failed == 1
    del asked, watched, many
    producer.flush()


def test_the_bodys_own_exception_is_the_one_to_see(caplog: pytest.LogCaptureFixture) -> None:
    producer = MockProducer(auto_complete=False, client_id="c")
    producer.produce("t", b"v")
    producer.error_next(KafkaError("lost"))
    with pytest.raises(LookupError), producer:
        raise LookupError
    assert producer.closed
    assert "producer c: 1 record failed unobserved" in caplog.text


# --- calls that are told to fail ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("send", lambda p: p.send("t", b"v")),
        ("send", lambda p: p.produce("t", b"v")),
        ("send", lambda p: p.send_many("t", [b"v"])),
        ("send", lambda p: p.send_lines("t", b"v")),
        ("flush", lambda p: p.flush()),
        ("partitions_for", lambda p: p.partitions_for("t")),
        ("close", lambda p: p.close()),
    ],
)
def test_a_call_raises_what_it_is_told_until_it_is_told_otherwise(name: str, call: Any) -> None:
    producer = MockProducer()
    error = BufferExhaustedError("as told")
    setattr(producer, f"{name}_exception", error)
    for _ in range(2):
        with pytest.raises(BufferExhaustedError, match="as told"):
            call(producer)
    assert producer.history == []
    assert not producer.closed
    setattr(producer, f"{name}_exception", None)
    call(producer)


@pytest.mark.parametrize(
    ("name", "before", "call"),
    [
        ("init_transactions", 0, lambda p: p.init_transactions()),
        ("begin_transaction", 1, lambda p: p.begin_transaction()),
        ("send_offsets_to_transaction", 2, lambda p: p.send_offsets_to_transaction({PLACE: 1}, "g")),
        ("commit_transaction", 2, lambda p: p.commit_transaction()),
        ("abort_transaction", 2, lambda p: p.abort_transaction()),
    ],
)
def test_a_call_of_the_transaction_api_raises_what_it_is_told(name: str, before: int, call: Any) -> None:
    producer = MockProducer(transactional_id="x")
    for step in [producer.init_transactions, producer.begin_transaction][:before]:
        step()
    setattr(producer, f"{name}_exception", KafkaTimeoutError("as told"))
    with pytest.raises(KafkaTimeoutError, match="as told"):
        call(producer)
    setattr(producer, f"{name}_exception", None)
    call(producer)


# --- transactions -------------------------------------------------------------------------------------------------


def test_a_commit_moves_records_and_offsets_into_the_history() -> None:
    producer = MockProducer(transactional_id="x")
    assert not producer.transaction_initialized
    producer.init_transactions()
    assert (producer.transaction_initialized, producer.transaction_in_flight) == (True, False)
    producer.begin_transaction()
    assert producer.transaction_in_flight
    producer.send("t", b"v")
    producer.send_offsets_to_transaction({}, "g")
    assert (producer.sent_offsets, producer.uncommitted_offsets) == (False, {})
    producer.send_offsets_to_transaction({PLACE: 1}, "g")
    producer.send_offsets_to_transaction({PLACE: OffsetAndMetadata(2, 3, "m")}, "g")
    assert producer.sent_offsets
    assert (producer.history, producer.uncommitted_records) == ([], [ProducerRecord("t", b"v")])
    assert producer.uncommitted_offsets == {"g": {PLACE: OffsetAndMetadata(2, 3, "m")}}
    assert producer.consumer_group_offsets_history == []

    producer.commit_transaction()

    assert (producer.history, producer.uncommitted_records) == ([ProducerRecord("t", b"v")], [])
    assert producer.consumer_group_offsets_history == [{"g": {PLACE: OffsetAndMetadata(2, 3, "m")}}]
    assert (producer.transaction_committed, producer.transaction_aborted) == (True, False)
    assert (producer.commit_count, producer.uncommitted_offsets) == (1, {})
    producer.begin_transaction()
    assert (producer.transaction_committed, producer.sent_offsets) == (False, False)
    producer.commit_transaction()
    assert (producer.commit_count, len(producer.consumer_group_offsets_history)) == (2, 1)


def test_an_abort_drops_them_and_fails_what_waits() -> None:
    producer = transactional(auto_complete=False)
    future = producer.send("t", b"v")
    producer.produce("t", b"nobody listens to")
    producer.send_offsets_to_transaction({PLACE: 1}, "g")
    producer.abort_transaction()
    assert isinstance(future.exception(0), TransactionAbortedError)
    assert (producer.history, producer.uncommitted_records, producer.uncommitted_offsets) == ([], [], {})
    assert (producer.transaction_committed, producer.transaction_aborted) == (False, True)
    producer.flush()


def test_a_commit_completes_what_waits() -> None:
    producer = transactional(auto_complete=False)
    heard: list[object] = []
    future = producer.send("t", b"v", on_delivery=lambda metadata, error: heard.append(error))
    producer.commit_transaction()
    assert future.result(0).offset == 0
    assert heard == [None]


def test_a_record_that_fails_leaves_only_the_abort() -> None:
    producer = transactional(auto_complete=False)
    future = producer.send("t", b"v")
    producer.error_next(KafkaError("lost"))
    for call in (
        lambda: producer.send("t", b"v"),
        producer.commit_transaction,
        lambda: producer.send_offsets_to_transaction({PLACE: 1}, "g"),
    ):
        with pytest.raises(TransactionAbortableError, match="the transaction can only be aborted: lost"):
            call()
    with pytest.raises(IllegalStateError, match="ABORTABLE_ERROR: lost"):
        producer.begin_transaction()
    assert future.exception(0) is not None
    producer.abort_transaction()
    with producer.transaction():
        producer.send("t", b"next")
    assert producer.history == [ProducerRecord("t", b"next")]


def test_an_abort_too_many_does_not_quote_why_the_one_before_was_needed() -> None:
    producer = transactional(auto_complete=False)
    producer.produce("t", b"v", on_delivery=lambda metadata, error: None)
    producer.error_next(KafkaError("lost"))
    producer.abort_transaction()
    with pytest.raises(IllegalStateError, match=r"^abort_transaction\(\) in state READY$"):
        producer.abort_transaction()


def test_a_record_that_is_refused_at_the_call_dooms_the_transaction_and_a_wrong_type_does_not() -> None:
    producer = transactional()
    with pytest.raises(TypeError):
        producer.send("t", "text")
    producer.send("t", b"v")
    with pytest.raises(RecordTooLargeError):
        producer.send("t", bytes(2 << 20))
    with pytest.raises(TransactionAbortableError, match="exceeds"):
        producer.commit_transaction()


def test_a_serializer_that_raises_leaves_the_transaction_as_it_was() -> None:
    producer = transactional(value_serializer=lambda value: 1 // value)
    with pytest.raises(SerializationError):
        producer.send("t", 0)
    producer.commit_transaction()


def test_a_transaction_block_aborts_on_an_exception_and_on_a_failed_commit() -> None:
    producer = MockProducer(transactional_id="x")
    producer.init_transactions()
    with pytest.raises(LookupError), producer.transaction():
        raise LookupError
    assert producer.transaction_aborted
    producer.commit_transaction_exception = CommitOutcomeUnknownError("who knows")
    with pytest.raises(CommitOutcomeUnknownError), producer.transaction():
        producer.send("t", b"v")
    assert producer.transaction_in_flight  # the caller decides
    producer.commit_transaction_exception = None
    producer.commit_transaction()
    assert producer.history == [ProducerRecord("t", b"v")]


def test_a_fenced_producer_can_only_be_closed() -> None:
    producer = transactional(auto_complete=False)
    future = producer.send("t", b"v")
    assert (producer.fenced, future.done()) == (False, False)
    producer.fence_producer()
    assert producer.fenced
    assert isinstance(future.exception(0), ProducerFencedError)
    for call in (
        lambda: producer.send("t", b"v"),
        producer.commit_transaction,
        producer.abort_transaction,
        producer.begin_transaction,
        producer.fence_producer,
        lambda: producer.partitions_for("t"),
    ):
        with pytest.raises(ProducerFencedError) as caught:
            call()
        assert caught.value.fatal
    producer.close()


def test_only_an_open_producer_with_an_id_can_be_fenced() -> None:
    producer = MockProducer(transactional_id="x")
    with pytest.raises(IllegalStateError, match="before init_transactions"):
        producer.fence_producer()
    producer.init_transactions()
    producer.close()
    with pytest.raises(ProducerClosedError):
        producer.fence_producer()


# --- the rest -----------------------------------------------------------------------------------------------------


def test_close_delivers_what_waits_unless_there_is_no_time() -> None:
    patient, hasty = MockProducer(auto_complete=False), MockProducer(auto_complete=False)
    futures = [producer.send("t", b"v") for producer in (patient, hasty)]
    patient.close()
    hasty.close(0)
    assert futures[0].result(0).offset == 0
    assert isinstance(futures[1].exception(0), ProducerClosedError)
    assert patient.closed
    assert hasty.closed


def test_close_aborts_an_open_transaction() -> None:
    producer = transactional()
    producer.send("t", b"v")
    producer.close()
    assert (producer.transaction_aborted, producer.history) == (True, [])


def test_clear_forgets_all_but_the_state() -> None:
    producer = transactional(auto_complete=False)
    future = producer.send("t", b"v")
    producer.send_offsets_to_transaction({PLACE: 1}, "g")
    producer.clear()
    assert (producer.history, producer.uncommitted_records, producer.uncommitted_offsets) == ([], [], {})
    assert (producer.flushed, producer.sent_offsets, producer.complete_next()) == (True, False, False)
    assert not future.done()
    producer.commit_transaction()
    assert producer.consumer_group_offsets_history == []


def test_metrics_are_what_the_test_sets_beside_two_counts() -> None:
    producer = MockProducer()
    producer.send("t", b"v")
    producer.set_metric("buffer-available-bytes", 17)
    producer.set_metric("request-latency-avg", 3.5, "producer-node-metrics.node-1")
    found = producer.metrics()
    others = {name: value for name, value in found["producer-metrics"].items() if value}
    assert others == {"record-send-total": 1, "buffer-available-bytes": 17}
    assert found["producer-topic-metrics.t"]["record-send-total"] == 1
    node = found["producer-node-metrics.node-1"]
    assert (node["request-latency-avg"], node["request-total"]) == (3.5, 0)


def test_metrics_of_partitions_are_told_on_request() -> None:
    producer = MockProducer(metrics_recording_level="DEBUG", partitions={"t": 2})
    producer.send("t", b"v", partition=1)
    found = producer.metrics()
    assert found["producer-partition-metrics.t-1"]["record-send-total"] == 1
    without = MockProducer()
    without.send("t", b"v")
    assert set(without.metrics()) == {"producer-metrics", "producer-topic-metrics.t"}


def test_the_configuration_is_checked_as_the_producers_is() -> None:
    producer = MockProducer({"linger.ms": "7"}, client_id="mine")
    assert (producer.config.linger_ms, producer.config.client_id) == (7, "mine")
    assert MockProducer({"bootstrap.servers": "h:1"}).config.bootstrap_servers[0].host == "h"
    assert repr(producer) == "<MockProducer mine open>"
    for bad, error in (
        ({"linger.mss": 1}, ConfigError),
        ({"acks": "some"}, ConfigError),
        (5, ConfigError),
        ({"security.protocol": "SSL"}, UnsupportedConfigError),
    ):
        with pytest.raises(error):
            MockProducer(bad)  # type: ignore[arg-type]


def test_many_threads_may_send_and_one_complete() -> None:
    producer = MockProducer(auto_complete=False, partitions={"t": 4})
    heard: list[object] = []

    def send() -> None:
        for _ in range(500):
            producer.send("t", b"v", on_delivery=lambda metadata, error: heard.append(metadata))

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    completed = 0
    while completed < 2_000:
        completed += producer.complete_next()
    for thread in threads:
        thread.join()
    assert len(set(heard)) == 2_000
    assert producer.flushed
