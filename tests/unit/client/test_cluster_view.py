"""What metadata answers change, and when the next question is due."""

from __future__ import annotations

import math
from uuid import UUID

import pytest

from kproducer._core.events import LeaderHint
from kproducer.client.backoff import ExponentialBackoff
from kproducer.client.metadata import ClusterView, MetadataPolicy, MetadataUpdate, TopicSnapshot
from kproducer.config import HostPort
from kproducer.errors import InvalidTopicError, UnknownTopicOrPartitionError
from kproducer.protocol.messages.metadata import (
    MetadataResponse,
    MetadataResponseBroker,
    MetadataResponsePartition,
    MetadataResponseTopic,
)
from kproducer.protocol.primitives import ZERO_UUID

ID_1, ID_2 = UUID(int=1), UUID(int=2)
BROKERS = (
    MetadataResponseBroker(node_id=1, host="h", port=9),
    MetadataResponseBroker(node_id=2, host="i", port=9),
)
POLICY = MetadataPolicy(
    max_age_ms=300_000,
    max_idle_ms=600_000,
    rebootstrap_trigger_ms=300_000,
    max_block_ms=60_000,
    allows_auto_creation=True,
    backoff=ExponentialBackoff(100, 1000),
)


def make() -> ClusterView:
    return ClusterView(POLICY, jitter=lambda: 0.5, now=0)


def topic(
    *leaders: tuple[int, int], name: str = "t", topic_id: UUID = ID_1, error_code: int = 0
) -> MetadataResponseTopic:
    return MetadataResponseTopic(
        error_code=error_code,
        name=name,
        topic_id=topic_id,
        partitions=tuple(
            MetadataResponsePartition(partition_index=index, leader_id=leader, leader_epoch=epoch)
            for index, (leader, epoch) in enumerate(leaders)
        ),
    )


def answer(*topics: MetadataResponseTopic, cluster_id: str | None = "c") -> MetadataResponse:
    return MetadataResponse(brokers=BROKERS, cluster_id=cluster_id, topics=topics)


def ask(view: ClusterView, now: float, response: MetadataResponse) -> MetadataUpdate:
    assert view.due_at <= now
    view.begin_request(now)
    return view.answered(response, now)


def knowing(*leaders: tuple[int, int], topic_id: UUID = ID_1) -> ClusterView:
    view = make()
    view.want("t", 1, 0)
    ask(view, 0, answer(topic(*leaders, topic_id=topic_id)))
    return view


def again(view: ClusterView, now: float, response: MetadataResponse) -> MetadataUpdate:
    view.mark_stale("t", now)
    return ask(view, view.due_at, response)


def test_first_question_is_due_at_once_and_asks_for_no_topic() -> None:
    view = make()
    assert view.due_at == 0
    assert view.begin_request(0).topics == ()
    assert math.isinf(view.due_at)


def test_wanted_topic_is_asked_for_and_published() -> None:
    view = make()
    assert not view.want("t", 1, 0)
    request = view.begin_request(0)
    assert [entry.name for entry in request.topics or ()] == ["t"]
    update = view.answered(answer(topic((1, 5), (2, 6))), 0)
    assert update.changed == [TopicSnapshot("t", ID_1.bytes, ((1, 5), (2, 6)))]
    assert update.brokers == {1: HostPort("h", 9), 2: HostPort("i", 9)}
    assert view.want("t", 2, 1)


def test_auto_creation_comes_from_the_policy() -> None:
    view = make()
    assert view.begin_request(0).allow_auto_topic_creation


def test_unchanged_topic_is_not_published_again() -> None:
    view = knowing((1, 5))
    assert again(view, 500, answer(topic((1, 5)))).changed == []


def test_the_age_of_metadata_is_that_of_the_newest_answer_of_use() -> None:
    view = knowing((1, 5))
    again(view, 500, answer(topic((1, 5))))
    assert view.updated_at == 500
    ask(view, view.due_at, MetadataResponse(brokers=(), topics=()))
    assert view.updated_at == 500


def test_everything_is_asked_again_at_max_age() -> None:
    view = knowing((1, 5))
    assert view.due_at == POLICY.max_age_ms
    assert [entry.name for entry in view.begin_request(POLICY.max_age_ms).topics or ()] == ["t"]


def test_a_new_topic_does_not_ask_for_the_old_ones() -> None:
    view = knowing((1, 5))
    view.want("new", 1, 1000)
    assert [entry.name for entry in view.begin_request(1000).topics or ()] == ["new"]


def test_older_leader_epoch_is_ignored() -> None:
    view = knowing((1, 5))
    assert again(view, 500, answer(topic((2, 4)))).changed == []
    assert view.partitions_of("t")[0].leader == 1


def test_newer_leader_epoch_is_published() -> None:
    view = knowing((1, 5))
    assert again(view, 500, answer(topic((2, 6)))).changed == [TopicSnapshot("t", ID_1.bytes, ((2, 6),))]


def test_another_topic_id_is_taken_with_older_epochs_and_fewer_partitions() -> None:
    view = knowing((1, 5), (1, 5))
    update = again(view, 500, answer(topic((2, 0), topic_id=ID_2)))
    assert update.recreated == ["t"]
    assert update.changed == [TopicSnapshot("t", ID_2.bytes, ((2, 0),))]


def test_partitions_never_become_fewer() -> None:
    view = knowing((1, 5), (2, 5))
    assert again(view, 500, answer(topic((1, 5)))).changed == []
    assert len(view.partitions_of("t")) == 2


def test_more_partitions_are_published() -> None:
    view = knowing((1, 5))
    assert again(view, 500, answer(topic((1, 5), (2, 0)))).changed[0].leaders == ((1, 5), (2, 0))


def test_a_topic_missing_from_an_answer_stays_known() -> None:
    view = knowing((1, 5))
    assert again(view, 500, answer()).changed == []
    assert view.snapshot_of("t") == TopicSnapshot("t", ID_1.bytes, ((1, 5),))


def test_topics_that_nobody_asked_for_are_not_taken() -> None:
    view = make()
    assert ask(view, 0, answer(topic((1, 1), name="stranger"))).changed == []
    assert view.partitions_of("stranger") == ()


def test_an_id_once_known_survives_an_answer_without_ids() -> None:
    view = knowing((1, 5))
    again(view, 500, answer(topic((1, 5), topic_id=ZERO_UUID)))
    assert view.has_all_topic_ids


def test_without_ids_there_is_none_to_produce_by() -> None:
    view = knowing((1, 5), topic_id=ZERO_UUID)
    snapshot = view.snapshot_of("t")
    assert snapshot is not None
    assert snapshot.topic_id is None
    assert not view.has_all_topic_ids


def test_partition_without_leader_is_published_and_asked_for_with_backoff() -> None:
    view = knowing((1, 5), (1, 5))
    update = again(view, 500, answer(topic((1, 5), (-1, 6))))
    assert update.changed[0].leaders == ((1, 5), (-1, 6))
    delays = []
    for _ in range(5):
        now = view.due_at
        ask(view, now, answer(topic((1, 5), (-1, 6))))
        delays.append(view.due_at - now)
    assert delays == [200, 400, 800, 1000, 1000]


def test_impossible_partition_numbers_are_ignored() -> None:
    view = make()
    view.want("t", 1, 0)
    strange = MetadataResponseTopic(
        name="t",
        topic_id=ID_1,
        partitions=(
            MetadataResponsePartition(partition_index=2**31 - 1, leader_id=1),
            MetadataResponsePartition(partition_index=-1, leader_id=1),
        ),
    )
    assert ask(view, 0, answer(strange)).changed[0].leaders == ((-1, -1), (-1, -1))


@pytest.mark.parametrize("code", [3, 5])
def test_unknown_topic_is_asked_for_until_nobody_waits(code: int) -> None:
    view = make()
    view.want("t", 1, 0)
    update = ask(view, 0, answer(topic(error_code=code)))
    assert update.refused == []
    assert view.due_at == 100
    assert view.topic_errors["t"].code == code
    ask(view, 60_000, answer(topic(error_code=code)))
    assert view.active_topics == frozenset()


def test_zero_partitions_are_asked_for_again() -> None:
    view = make()
    view.want("t", 1, 0)
    assert ask(view, 0, answer(topic())).changed == []
    assert view.due_at == 100


@pytest.mark.parametrize("code", [17, 29])
def test_refused_topic_is_told_and_asked_for_no_more(code: int) -> None:
    view = make()
    view.want("t", 1, 0)
    update = ask(view, 0, answer(topic(error_code=code)))
    assert [(name, error.code) for name, error in update.refused] == [("t", code)]
    assert view.due_at == POLICY.max_age_ms
    assert not view.want("t", 1, 10)
    assert view.due_at <= 110


def test_last_topic_error_is_remembered_until_the_topic_is_there() -> None:
    view = make()
    view.want("t", 1, 0)
    ask(view, 0, answer(topic(error_code=3)))
    assert isinstance(view.topic_errors["t"], UnknownTopicOrPartitionError)
    ask(view, 100, answer(topic((1, 0))))
    assert "t" not in view.topic_errors
    assert InvalidTopicError.code == 17


def test_more_partitions_are_awaited_with_backoff() -> None:
    view = knowing((1, 5))
    assert not view.want("t", 3, 500)
    assert view.due_at == 500
    ask(view, 500, answer(topic((1, 5))))
    assert view.due_at == 600
    update = ask(view, 600, answer(topic((1, 5), (1, 5), (1, 5))))
    assert len(update.changed[0].leaders) == 3
    assert view.due_at == POLICY.max_age_ms


def test_staleness_is_asked_about_at_most_ten_times_a_second() -> None:
    view = knowing((1, 5))
    view.mark_stale("t", 10)
    assert view.due_at == 100
    ask(view, 100, answer(topic((1, 5))))
    view.mark_stale("t", 150)
    assert view.due_at == 200


def test_refresh_is_asked_for_at_most_ten_times_a_second() -> None:
    view = knowing((1, 5))
    view.refresh(20)
    assert view.due_at == 100


def test_failed_question_is_asked_again_with_growing_delay() -> None:
    view = make()
    delays = []
    now = 0.0
    for _ in range(4):
        view.begin_request(now)
        view.failed(now)
        delays.append(view.due_at - now)
        now = view.due_at
    assert delays == [100, 200, 400, 800]


def test_answer_without_brokers_counts_as_none() -> None:
    view = make()
    update = ask(view, 0, MetadataResponse())
    assert update.brokers is None
    assert view.due_at == 100


def test_another_cluster_is_fatal() -> None:
    view = knowing((1, 5))
    assert again(view, 500, answer(cluster_id=None)).fatal is None
    update = again(view, 1000, answer(cluster_id="other"))
    assert update.fatal is not None
    assert update.fatal.fatal
    assert "other" in str(update.fatal)


def test_broker_may_ask_for_a_new_bootstrap() -> None:
    view = make()
    assert ask(view, 0, MetadataResponse(error_code=129)).rebootstraps


def test_trigger_counts_from_the_first_attempt_without_an_answer() -> None:
    view = make()
    assert math.isinf(view.trigger_at)
    view.begin_attempt(10)
    view.begin_attempt(5000)
    assert view.trigger_at == 300_010
    ask(view, 6000, answer())
    assert math.isinf(view.trigger_at)


def test_idle_topics_leave_the_question_but_stay_known() -> None:
    view = knowing((1, 5))
    names = view.begin_request(POLICY.max_idle_ms).topics
    assert names == ()
    assert view.snapshot_of("t") is not None
    view.answered(answer(), POLICY.max_idle_ms)
    view.mark_stale("t", POLICY.max_idle_ms + 1000)
    assert view.active_topics == {"t"}


def test_topics_in_use_stay_in_the_question() -> None:
    view = knowing((1, 5))
    view.mark_used(["t", "stranger"], POLICY.max_idle_ms)
    assert [entry.name for entry in view.begin_request(POLICY.max_idle_ms).topics or ()] == ["t"]


@pytest.mark.parametrize(
    "hint", [None, LeaderHint(-1, 9, None, 0), LeaderHint(2, 5, None, 0), LeaderHint(2, 4, None, 0)]
)
def test_hint_that_is_not_newer_is_ignored(hint: LeaderHint | None) -> None:
    view = knowing((1, 5))
    assert view.apply_hint("t", 0, hint) is None
    assert view.partitions_of("t")[0].leader == 1


@pytest.mark.parametrize("place", [("t", 7), ("stranger", 0)])
def test_hint_for_an_unknown_partition_is_ignored(place: tuple[str, int]) -> None:
    assert knowing((1, 5)).apply_hint(*place, LeaderHint(2, 6, None, 0)) is None


def test_newer_hint_changes_only_its_partition() -> None:
    view = knowing((1, 5), (1, 5))
    assert view.apply_hint("t", 1, LeaderHint(2, 6, "h", 1)) == TopicSnapshot(
        "t", ID_1.bytes, ((1, 5), (2, 6))
    )
    assert view.is_leader(2)
