"""The checker is checked: good runs are clean, and each way to spoil one is found and called by its name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from struct import Struct

import pytest

from tests.checker.batches import headers_in
from tests.checker.findings import Fault
from tests.checker.history import NO_OFFSET, History, Outcome, Stream, Strike
from tests.checker.records import HEAD
from tests.checker.synthetic import LATE_MS, Entry, World, copy_world, idempotent_world, transactional_world

WORLDS = {"idempotent": idempotent_world, "transactional": transactional_world, "copy": copy_world}
SEEDS = range(1, 6)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("make", WORLDS.values(), ids=WORLDS)
def test_a_good_run_is_clean(make: Callable[[int], World], seed: int) -> None:
    assert make(seed).judge().examples == {}


# --- spoilers: each returns what it must be called ---------------------------------------------------------


def drop_an_acknowledged_record(world: World) -> set[Fault]:
    log, at = world.entry_of(*world.find(Outcome.OK))
    del log[at]
    return {Fault.LOST}


def duplicate_a_record(world: World) -> set[Fault]:
    log, at = world.entry_of(*world.find(Outcome.OK))
    log.append(replace(log[at], offset=log[-1].offset + 1))
    return {Fault.DUPLICATE}


def duplicate_an_uncertain_record(world: World) -> set[Fault]:
    log = world.logs["t", 0]
    stream = world.history.streams[0, 0]
    n = next(n for n in range(len(stream)) if stream.outcomes[n] == Outcome.INFO and is_logged(world, n))
    log.append(replace(log[world.entry_of(stream, n)[1]], offset=log[-1].offset + 1))
    return {Fault.DUPLICATE}


def is_logged(world: World, n: int) -> bool:
    return any(HEAD.unpack_from(entry.value)[4] == n for entry in world.logs["t", 0])


def swap(world: World) -> tuple[Stream, int]:
    """Two records that were acknowledged one after the other change places."""
    stream = world.history.streams[0, 0]
    n = stream.outcomes.find(bytes((Outcome.OK, Outcome.OK)))
    log, at = world.entry_of(stream, n)
    a, b = log[at], log[at + 1]
    stream.offsets[n], stream.offsets[n + 1] = a.offset, b.offset
    log[at], log[at + 1] = replace(b, offset=a.offset), replace(a, offset=b.offset)
    return stream, n


def swap_two_records(world: World) -> set[Fault]:
    swap(world)
    return {Fault.ORDER, Fault.WRONG_OFFSET}


def swap_two_records_whose_offsets_nobody_told(world: World) -> set[Fault]:
    stream, n = swap(world)
    stream.offsets[n] = stream.offsets[n + 1] = NO_OFFSET
    return {Fault.ORDER}


def move_to_another_partition(world: World) -> set[Fault]:
    stream, n = world.find(Outcome.OK)
    log, at = world.entry_of(stream, n)
    other = world.logs["t", (stream.partition + 1) % 3]
    other.append(replace(log.pop(at), offset=other[-1].offset + 1))
    return {Fault.LOST, Fault.WRONG_PLACE}


def move_to_another_topic(world: World) -> set[Fault]:
    stream, n = world.find(Outcome.OK, "in")
    log, at = world.entry_of(stream, n, "in")
    other = world.logs["out", stream.partition]
    # The input keeps its offsets: what is missing in the copies must not hide what is tested here.
    other.append(replace(log[at], offset=other[-1].offset + 2))
    return {Fault.WRONG_PLACE}


def flip_a_byte_of_the_filler(world: World) -> set[Fault]:
    log, at = world.entry_of(*world.find(Outcome.OK))
    value = log[at].value
    log[at] = replace(log[at], value=value[:-1] + bytes([value[-1] ^ 1]))
    return {Fault.CORRUPT}


def flip_a_byte_of_the_run(world: World) -> set[Fault]:
    log, at = world.entry_of(*world.find(Outcome.OK))
    log[at] = replace(log[at], value=b"\0" + log[at].value[1:])
    return {Fault.PHANTOM, Fault.LOST}


def cut_a_value_short(world: World) -> set[Fault]:
    log, at = world.entry_of(*world.find(Outcome.OK))
    log[at] = replace(log[at], value=log[at].value[:-3])
    return {Fault.CORRUPT}


def put_the_bytes_of_a_neighbour_behind_a_head(world: World) -> set[Fault]:
    log, at = world.entry_of(*world.find(Outcome.OK))
    log[at] = replace(log[at], value=log[at].value[: HEAD.size] + log[at + 1].value[HEAD.size :])
    return {Fault.CORRUPT}


def lose_a_key(world: World) -> set[Fault]:
    log, at = next((log, at) for log in world.logs.values() for at, e in enumerate(log) if e.key is not None)
    log[at] = replace(log[at], key=None)
    return {Fault.CORRUPT}


def change_a_timestamp(world: World) -> set[Fault]:
    log, at = world.entry_of(*world.find(Outcome.OK))
    log[at] = replace(log[at], timestamp_ms=log[at].timestamp_ms + 1000)
    return {Fault.CORRUPT}


def add_what_was_never_sent(world: World) -> set[Fault]:
    world.logs["t", 0].append(Entry(10_000, 0, None, b"hello"))
    return {Fault.PHANTOM}


def add_a_record_beyond_the_last(world: World) -> set[Fault]:
    value = world.history.records.value(0, 0, 10_000)
    world.logs["t", 0].append(Entry(10_000, 0, None, value))
    return {Fault.PHANTOM}


def call_a_logged_record_failed(world: World) -> set[Fault]:
    stream, n = world.find(Outcome.OK)
    stream.outcomes[n] = Outcome.FAIL
    return {Fault.FALSE_FAILURE}


def acknowledge_a_record_that_failed(world: World) -> set[Fault]:
    stream, n = world.find(Outcome.FAIL)
    stream.outcomes[n] = Outcome.OK
    return {Fault.LOST}


def deliver_fewer_than_were_counted(world: World) -> set[Fault]:
    stream, n = world.find(Outcome.FAIL)
    stream.outcomes[n] = Outcome.INFO
    stream.counted.append((n, 1, 1, 0))
    return {Fault.LOST}


def find_more_than_were_counted(world: World) -> set[Fault]:
    stream, n = world.find(Outcome.OK)
    stream.outcomes[n] = Outcome.INFO
    stream.counted.append((n, 1, 0, 1))
    return {Fault.FALSE_FAILURE}


def tell_a_wrong_offset(world: World) -> set[Fault]:
    stream = world.history.streams[0, 0]
    n = next(n for n, offset in enumerate(stream.offsets) if offset >= 0)
    stream.offsets[n] += 1
    return {Fault.WRONG_OFFSET}


def acknowledge_the_second_copy(world: World) -> set[Fault]:
    """A retry that was appended again: the offset told is that of the later copy, which is no fault besides."""
    stream, n = world.find(Outcome.OK)
    log, at = world.entry_of(stream, n)
    log.append(replace(log[at], offset=log[-1].offset + 1))
    stream.offsets[n] = log[-1].offset
    return {Fault.DUPLICATE}


def never_complete(world: World) -> set[Fault]:
    stream, n = world.find(Outcome.INFO)
    stream.completions[n] = 0
    stream.outcomes[n] = Outcome.PENDING
    return {Fault.NOT_COMPLETED}


def complete_twice(world: World) -> set[Fault]:
    stream, n = world.find(Outcome.OK)
    stream.ok(n, -1, stream.done_ms[n])
    return {Fault.COMPLETED_TWICE}


def complete_late(world: World) -> set[Fault]:
    stream, n = world.find(Outcome.INFO)
    stream.done_ms[n] = stream.sent_ms[n] + LATE_MS + 1
    return {Fault.LATE}


def acknowledge_out_of_order(world: World) -> set[Fault]:
    stream = world.history.streams[0, 0]
    first = stream.accept(2, 0)
    log = world.logs["t", 0]
    for n, offset in ((first + 1, 10_001), (first, 10_000)):
        stream.ok(n, offset, 30)
    for n in (first, first + 1):
        value = world.history.records.value(0, 0, n)
        key = value[9:23] if n % 4 == 0 else None
        log.append(Entry(10_000 + n - first, world.history.records.timestamp_ms(n), key, value))
    return {Fault.ACK_ORDER}


def skip_a_sequence(world: World) -> set[Fault]:
    headers = world.batches["t", 0]
    at = next(k for k in range(1, len(headers)) if headers[k].base_sequence > 0)
    headers[at] = headers[at]._replace(base_sequence=headers[at].base_sequence + 1)
    return {Fault.SEQUENCE}


def begin_an_epoch_with_a_later_sequence(world: World) -> set[Fault]:
    headers = world.batches["t", 0]
    del headers[next(k for k, header in enumerate(headers) if header.base_sequence == 0)]
    return {Fault.SEQUENCE}


def go_back_to_an_older_epoch(world: World) -> set[Fault]:
    headers = world.batches["t", 0]
    assert headers[-1].epoch > 0
    headers.append(headers[-1]._replace(epoch=headers[-1].epoch - 1, base_sequence=0))
    return {Fault.EPOCH}


def let_a_replica_differ(world: World) -> set[Fault]:
    headers = world.batches["t", 0]
    world.broken_replica = [headers[0]._replace(crc=1), *headers[1:]]
    return {Fault.REPLICAS}


def let_a_replica_be_shorter(world: World) -> set[Fault]:
    world.broken_replica = world.batches["t", 0][:-1]
    return {Fault.REPLICAS}


def hold_the_last_stable_offset(world: World) -> set[Fault]:
    world.unrest.append("last stable offset 1, high watermark 2")
    return {Fault.STUCK}


def need_six_seconds_to_recover(world: World) -> set[Fault]:
    stream = world.history.streams[0, 0]
    for n in range(len(stream)):
        if stream.done_ms[n] >= 200:
            stream.done_ms[n] += 6_000
            stream.sent_ms[n] += 6_000
    return {Fault.RECOVERY}


def never_recover(world: World) -> set[Fault]:
    world.history.strikes.append(Strike("pause", 2, 100, 150, 5_000_000))
    return {Fault.RECOVERY}


IDEMPOTENT = (
    drop_an_acknowledged_record,
    duplicate_a_record,
    duplicate_an_uncertain_record,
    swap_two_records,
    swap_two_records_whose_offsets_nobody_told,
    move_to_another_partition,
    flip_a_byte_of_the_filler,
    flip_a_byte_of_the_run,
    cut_a_value_short,
    put_the_bytes_of_a_neighbour_behind_a_head,
    lose_a_key,
    change_a_timestamp,
    add_what_was_never_sent,
    add_a_record_beyond_the_last,
    call_a_logged_record_failed,
    acknowledge_a_record_that_failed,
    deliver_fewer_than_were_counted,
    find_more_than_were_counted,
    tell_a_wrong_offset,
    acknowledge_the_second_copy,
    never_complete,
    complete_twice,
    complete_late,
    acknowledge_out_of_order,
    skip_a_sequence,
    begin_an_epoch_with_a_later_sequence,
    go_back_to_an_older_epoch,
    let_a_replica_differ,
    let_a_replica_be_shorter,
    hold_the_last_stable_offset,
    need_six_seconds_to_recover,
    never_recover,
)


def records_of(world: World, outcome: Outcome, *, is_visible: bool) -> list[Entry]:
    """The records of the last transaction that ended so and is, or is not, visible."""
    for number in reversed(range(len(world.history.transactions))):
        if world.history.transactions[0, number].outcome is not outcome:
            continue
        logs = (world.logs["t", partition] for partition in range(3))
        found = [entry for log in logs for entry in log if HEAD.unpack_from(entry.value)[5] == number]
        if found[0].is_visible is is_visible:
            return found
    raise LookupError(outcome)


def show(entries: list[Entry], *, is_visible: bool) -> None:
    for entry in entries:
        entry.is_visible = is_visible


def make_an_aborted_transaction_visible(world: World) -> set[Fault]:
    show(records_of(world, Outcome.FAIL, is_visible=False), is_visible=True)
    return {Fault.ABORTED_VISIBLE}


def make_one_aborted_record_visible(world: World) -> set[Fault]:
    show(records_of(world, Outcome.FAIL, is_visible=False)[:1], is_visible=True)
    return {Fault.ABORTED_VISIBLE}


def hide_a_committed_transaction(world: World) -> set[Fault]:
    show(records_of(world, Outcome.OK, is_visible=True), is_visible=False)
    return {Fault.COMMITTED_INVISIBLE}


def hide_one_committed_record(world: World) -> set[Fault]:
    show(records_of(world, Outcome.OK, is_visible=True)[-1:], is_visible=False)
    return {Fault.COMMITTED_INVISIBLE}


def tear_an_uncertain_transaction(world: World) -> set[Fault]:
    entries = records_of(world, Outcome.INFO, is_visible=True)
    show(entries[len(entries) // 2 :], is_visible=False)
    return {Fault.TORN}


def show_one_record_of_an_uncertain_transaction(world: World) -> set[Fault]:
    show(records_of(world, Outcome.INFO, is_visible=False)[:1], is_visible=True)
    return {Fault.TORN}


def commit_although_a_record_failed(world: World) -> set[Fault]:
    number = next(key for key, t in world.history.transactions.items() if t.outcome is Outcome.OK)[1]
    stream = world.history.streams[0, 0]
    n = stream.transactions.index(number)
    stream.outcomes[n] = Outcome.INFO
    return {Fault.COMMITTED_FAILURE}


def drop_a_record_of_an_aborted_transaction(world: World) -> set[Fault]:
    entry = records_of(world, Outcome.FAIL, is_visible=False)[0]
    next(log for log in world.logs.values() if entry in log).remove(entry)
    return {Fault.LOST}


def end_a_transaction_with_the_marker_of_a_later_one(world: World) -> set[Fault]:
    headers = world.batches["t", 0]
    at = next(k for k, header in enumerate(headers) if header.is_control)
    headers[at] = headers[at]._replace(epoch=headers[at].epoch + 1)
    del headers[at + 1 : at + 3]  # the transaction in between; its sequences began at 0 as well
    return {Fault.MARKER}


def leave_a_transaction_open(world: World) -> set[Fault]:
    world.batches["t", 0].pop()
    return {Fault.STUCK}


TRANSACTIONAL = (
    drop_an_acknowledged_record,
    duplicate_a_record,
    flip_a_byte_of_the_filler,
    move_to_another_partition,
    make_an_aborted_transaction_visible,
    make_one_aborted_record_visible,
    hide_a_committed_transaction,
    hide_one_committed_record,
    tear_an_uncertain_transaction,
    show_one_record_of_an_uncertain_transaction,
    commit_although_a_record_failed,
    drop_a_record_of_an_aborted_transaction,
    end_a_transaction_with_the_marker_of_a_later_one,
    leave_a_transaction_open,
)


def leave_an_original_uncopied(world: World) -> set[Fault]:
    """The input has one record more than anybody copied; its offset was committed nevertheless."""
    stream = world.history.streams[0, 0]
    log = world.logs["in", 0]
    offset = log[-1].offset + 1
    n = stream.accept(1, 0)
    stream.ok(n, offset, 1)
    value = world.history.records.value(0, 0, n)
    key = value[9:23] if n % 4 == 0 else None
    log.append(Entry(offset, world.history.records.timestamp_ms(n), key, value))
    world.offsets[0] += 1
    return {Fault.NOT_COPIED}


def show_an_aborted_copy(world: World) -> set[Fault]:
    log, at = next((log, at) for log in world.logs.values() for at, e in enumerate(log) if not e.is_visible)
    number = HEAD.unpack_from(log[at].value)[5]
    show([entry for entry in log if HEAD.unpack_from(entry.value)[5] == number], is_visible=True)
    return {Fault.ABORTED_VISIBLE, Fault.COPIED_TWICE}


def put_the_group_offset_one_short(world: World) -> set[Fault]:
    world.offsets[1] -= 1
    return {Fault.GROUP_OFFSET}


def put_the_group_offset_one_beyond(world: World) -> set[Fault]:
    world.offsets[2] += 1
    return {Fault.GROUP_OFFSET}


def change_a_copy(world: World) -> set[Fault]:
    log = world.logs["out", 0]
    log[3] = replace(log[3], value=log[3].value[:-1] + bytes([log[3].value[-1] ^ 1]))
    return {Fault.CORRUPT}


COPY = (
    leave_an_original_uncopied,
    show_an_aborted_copy,
    put_the_group_offset_one_short,
    put_the_group_offset_one_beyond,
    change_a_copy,
    move_to_another_topic,
)

SPOILED = [
    *((idempotent_world, spoil) for spoil in IDEMPOTENT),
    *((transactional_world, spoil) for spoil in TRANSACTIONAL),
    *((copy_world, spoil) for spoil in COPY),
]


@pytest.mark.parametrize(
    ("make", "spoil"), SPOILED, ids=[f"{make.__name__}-{spoil.__name__}" for make, spoil in SPOILED]
)
def test_a_spoiled_run_is_called_by_its_name(
    make: Callable[[int], World], spoil: Callable[[World], set[Fault]]
) -> None:
    for seed in SEEDS:
        world = make(seed)
        expected = spoil(world)
        findings = world.judge()
        assert findings.faults == expected, findings.examples


def test_every_kind_of_fault_is_planted_somewhere() -> None:
    planted = {fault for make, spoil in SPOILED for fault in spoil(make(1))}
    assert planted == set(Fault)


def test_an_example_shows_the_rows_around_it() -> None:
    world = idempotent_world()
    stream, n = world.find(Outcome.OK)
    log, at = world.entry_of(stream, n)
    del log[at]
    lines = world.judge().examples[Fault.LOST]
    assert f"n={n}" in lines[0]
    assert any(f"n={n + 1} " in line for line in lines[1:])


def test_a_history_is_read_as_it_was_written(tmp_path: Path) -> None:
    world = transactional_world()
    world.history.strikes.append(Strike("kill", 3, 1, 2, 3))
    world.history.streams[0, 1].counted.append((3, 2, 1, 0))
    world.history.streams[0, 1].causes["x"] = 4
    path = tmp_path / "run.history.gz"
    world.history.write(path)
    read = History.read(path)
    for key, stream in world.history.streams.items():
        assert read.streams[key].columns() == stream.columns()
        assert read.streams[key].counted == stream.counted
        assert read.streams[key].causes == stream.causes
    assert read.transactions == world.history.transactions
    assert read.incarnations == world.history.incarnations
    assert read.strikes == world.history.strikes
    assert read.records.value(0, 0, 7) == world.history.records.value(0, 0, 7)


def test_headers_are_read_from_the_bytes_of_a_segment() -> None:
    layout = Struct(">qiiBIhiqqqhii")
    batch = layout.pack(5, 49 + 7, 0, 2, 99, 0x10, 2, 0, 0, 42, 3, 17, 3) + bytes(7)
    [first, second] = headers_in(batch + batch + bytes(100))
    assert first == second
    assert (first.base_offset, first.crc, first.last_offset_delta) == (5, 99, 2)
    assert (first.producer_id, first.epoch, first.base_sequence, first.records) == (42, 3, 17, 3)
    assert first.is_transactional
    assert not first.is_control
