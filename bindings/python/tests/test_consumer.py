"""Reading on from where a group stands."""

from __future__ import annotations

import threading
from typing import Any

import pytest

import oncelog

T = oncelog.TopicPartition("t", 0)


@pytest.fixture
def engine(oncelog_engine: oncelog.Engine) -> oncelog.Engine:
    oncelog_engine.create_topic("t", partitions=2)
    producer = oncelog_engine.producer()
    producer.send_many("t", [b"%d" % n for n in range(10)], partition=0).result()
    producer.send_many("t", [b"1%d" % n for n in range(10)], partition=1).result()
    return oncelog_engine


def test_a_topic_stands_for_all_its_partitions_and_a_pair_for_one(engine: oncelog.Engine) -> None:
    assert len(engine.consumer("t").poll(timeout=0)) == 20
    assert len(engine.consumer(("t", 1)).poll(timeout=0)) == 10
    assert len(engine.consumer(T, oncelog.TopicPartition("t", 1)).poll(timeout=0)) == 20
    consumer = engine.consumer()
    with pytest.raises(oncelog.StateError):
        consumer.poll(timeout=0)
    consumer.assign("t")
    assert len(consumer.poll()) == 20
    with pytest.raises(oncelog.UnknownTopicOrPartitionError):
        consumer.assign("nothing")
    with pytest.raises(oncelog.UnknownTopicOrPartitionError):
        consumer.assign(("t", 2))
    with pytest.raises(oncelog.ArgumentError):
        consumer.assign("t", ("t", 0))
    with pytest.raises(oncelog.ArgumentError):
        consumer.assign()


def test_a_poll_with_nothing_there_answers_nothing(engine: oncelog.Engine) -> None:
    consumer = engine.consumer("t", start="latest")
    records = consumer.poll(timeout=0.01)
    assert not records and len(records) == 0 and list(records) == []


def test_a_loop_ends_when_nothing_came_for_so_long(engine: oncelog.Engine) -> None:
    consumer = engine.consumer("t", timeout=0)
    assert len([record.offset for record in consumer]) == 20
    engine.producer().send("t", b"more").result()
    assert [record.value for record in consumer] == [b"more"]


def test_a_loop_waits_for_what_is_still_to_come(engine: oncelog.Engine) -> None:
    consumer = engine.consumer("t", start="latest")
    assert not consumer.poll(timeout=0)
    sender = threading.Thread(target=lambda: engine.producer().send("t", b"late", partition=0).result())
    sender.start()
    assert next(consumer).value == b"late"
    sender.join()


def test_a_commit_in_a_loop_commits_what_was_handed_out_and_no_more(engine: oncelog.Engine) -> None:
    consumer = engine.consumer("t", group="g", timeout=0)
    seen = []
    for record in consumer:
        seen.append((record.partition, record.offset))
        consumer.commit()
        assert consumer.committed((record.topic, record.partition)) == record.offset + 1
        if len(seen) == 5:
            break
    rest = [(record.partition, record.offset) for record in engine.consumer("t", group="g", timeout=0)]
    assert sorted(seen + rest) == [(partition, offset) for partition in range(2) for offset in range(10)]


def test_positions_in_a_loop_are_those_of_the_caller(engine: oncelog.Engine) -> None:
    consumer = engine.consumer(T, group="g", timeout=0)
    for count, record in enumerate(consumer, start=1):
        assert record.offset == count - 1
        assert consumer.position(T) == count and consumer.lag(T) == 10 - count
        assert consumer.positions() == {T: oncelog.OffsetAndMetadata(count)}


def test_a_poll_behind_a_loop_goes_on_where_the_loop_stopped(engine: oncelog.Engine) -> None:
    consumer = engine.consumer(T)
    assert next(consumer).offset == 0
    assert [record.offset for record in consumer.poll(timeout=0)] == list(range(1, 10))


def test_positions_move_by_hand(engine: oncelog.Engine) -> None:
    consumer = engine.consumer(T, group="g", timeout=0)
    assert next(consumer).offset == 0
    consumer.seek(T, 7)
    assert [record.offset for record in consumer] == [7, 8, 9]
    consumer.commit({T: 4})
    consumer.commit_offsets({("t", 1): oncelog.OffsetAndMetadata(5, "note", 3)})
    consumer.rewind()
    assert next(consumer).offset == 4
    consumer.rewind()
    assert consumer.position(T) == 4 and consumer.committed(("t", 1)) == 5
    with pytest.raises(oncelog.OffsetOutOfRangeError):
        consumer.seek(T, 11)
    with pytest.raises(oncelog.StateError):
        consumer.seek(("t", 1), 0)
    assert consumer.bounds(("t", 1)) == oncelog.Bounds(0, 10, 10)


def test_what_was_stored_beside_an_offset_comes_back(engine: oncelog.Engine) -> None:
    consumer = engine.consumer(T, group="g")
    stored = {oncelog.TopicPartition("t", 1): oncelog.OffsetAndMetadata(5, "note", 3)}
    consumer.commit_offsets(stored)
    assert consumer.committed_offsets([T, ("t", 1)]) == stored
    # The keys of a dict name partitions too; two of one name are one.
    assert consumer.committed_offsets(stored) == consumer.committed_offsets(iter([*stored, *stored])) == stored
    assert consumer.committed_offsets([]) == {}
    with pytest.raises(oncelog.UnknownTopicOrPartitionError):
        consumer.committed_offsets([("t", 1), ("t", 2)])
    with pytest.raises(TypeError):
        consumer.committed_offsets(("t", 1))  # type: ignore[arg-type]


def test_without_a_group_nothing_is_committed(engine: oncelog.Engine) -> None:
    consumer = engine.consumer("t")
    for call in (consumer.commit, lambda: consumer.committed(T), lambda: consumer.committed_offsets([T]), consumer.group_metadata):
        with pytest.raises(oncelog.ArgumentError):
            call()


def test_the_start_rule_counts_where_nothing_is_committed(engine: oncelog.Engine) -> None:
    assert engine.consumer(T, start="earliest").position(T) == 0
    assert engine.consumer(T, start="latest").position(T) == 10
    consumer = engine.consumer(T, start="none")
    with pytest.raises(oncelog.OffsetOutOfRangeError):
        consumer.poll(timeout=0)
    with pytest.raises(oncelog.OffsetOutOfRangeError):
        next(consumer)
    consumer.seek(T, 9)
    assert next(consumer).offset == 9


def test_polls_keep_their_bounds(engine: oncelog.Engine) -> None:
    counts, consumer = [], engine.consumer("t", max_records=3)
    while records := consumer.poll(timeout=0):
        counts.append(len(records))
    assert max(counts) == 3 and sum(counts) == 20
    with pytest.raises(oncelog.ArgumentError):
        engine.consumer("t", max_records=0)
    wrongs: list[dict[str, Any]] = [{"isolation": "dirty"}, {"start": "middle"}, {"timeout": -1}]
    for wrong in wrongs:
        with pytest.raises(oncelog.ArgumentError):
            engine.consumer("t", **wrong)


def test_a_deleted_topic_ends_the_reading(engine: oncelog.Engine) -> None:
    consumer = engine.consumer("t", timeout=0)
    next(consumer)
    engine.delete_topic("t")
    with pytest.raises(oncelog.UnknownTopicOrPartitionError):
        for _ in range(30):
            next(consumer)


def test_offsets_are_named_by_pairs_and_by_names_side_by_side(oncelog_engine: oncelog.Engine) -> None:
    oncelog_engine.create_topic("two", partitions=2)
    oncelog_engine.producer().send_many("two", [b"v"] * 5, partition=0).result()
    consumer = oncelog_engine.consumer("two", group="g")
    named = oncelog.TopicPartition("two", 1)
    consumer.commit({("two", 0): 5, named: oncelog.OffsetAndMetadata(0, "m")})
    consumer.commit(consumer.positions())
    alone: dict[oncelog.TopicPartition, int] = {named: 0}
    consumer.commit_offsets(alone)
    assert (consumer.committed(("two", 0)), consumer.committed(named)) == (5, 0)


def test_offsets_may_be_whole_numbers_of_any_kind(engine: oncelog.Engine) -> None:
    class Whole:
        """As numpy's are: no int, but as good as one where a whole number is asked for."""

        def __init__(self, number: int) -> None:
            self.number = number

        def __index__(self) -> int:
            return self.number

    consumer = engine.consumer(T, group="g")
    consumer.commit({T: Whole(3)})
    assert consumer.committed(T) == 3
    consumer.commit_offsets({T: (Whole(4), "note", Whole(1))})  # type: ignore[dict-item]
    assert consumer.committed_offsets([T]) == {T: oncelog.OffsetAndMetadata(4, "note", 1)}


def test_a_consumer_that_was_closed_answers_nothing_and_counts_no_more(engine: oncelog.Engine) -> None:
    with engine.consumer(T, group="g", timeout=0) as consumer:
        assert next(consumer).offset == 0
        assert [lag.group for lag in engine.metrics().lags] == ["g"]
    assert engine.metrics().lags == () and list(consumer) == []
    consumer.close()
    for call in (consumer.poll, consumer.commit, consumer.positions, consumer.rewind, lambda: consumer.assign("t")):
        with pytest.raises(oncelog.ClosedError):
            call()
    # Nothing was committed.
    assert engine.consumer(T, group="g").position(T) == 0


def test_a_loop_in_another_thread_ends_when_the_consumer_is_closed(engine: oncelog.Engine) -> None:
    consumer = engine.consumer(T)
    seen: list[int] = []
    loop = threading.Thread(target=lambda: seen.extend(record.offset for record in consumer))
    loop.start()
    while len(seen) < 10:
        pass
    consumer.close()
    loop.join()
    assert seen == list(range(10))


def test_a_transaction_commits_what_a_consumer_was_given_that_was_closed_since(engine: oncelog.Engine) -> None:
    with engine.consumer(T, group="g", timeout=0) as consumer:
        transaction = engine.transactional_producer("x").begin_transaction_for(consumer)
        assert [next(consumer).offset for _ in range(3)] == [0, 1, 2]
    transaction.commit()
    assert engine.consumer(T, group="g").position(T) == 3
    engine.close()
    consumer.close()
