"""Where to read on behind what was aborted: answers without a record tell it too."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable

import pytest

import oncelog
import oncelog.aio

T, U = oncelog.TopicPartition("t", 0), oncelog.TopicPartition("t", 1)


@pytest.fixture
def engine(oncelog_engine: oncelog.Engine) -> oncelog.Engine:
    oncelog_engine.create_topic("t", partitions=2)
    oncelog_engine.create_topic("out")
    return oncelog_engine


def abort(engine: oncelog.Engine, at: oncelog.TopicPartition = T, count: int = 3) -> None:
    """Leaves records in the log that are aborted."""
    transaction = engine.transactional_producer("aborts", transaction_buffer=0).begin_transaction()
    for _ in range(count):
        transaction.send(at.topic, b"aborted", partition=at.partition)
    transaction.abort()
    engine.flush()


def soon(call: Callable[[], object]) -> threading.Timer:
    """Calls while a poll waits, which looks for signals every 100 ms."""
    timer = threading.Timer(0.15, call)
    timer.start()
    return timer


@pytest.mark.parametrize("timeout", [0, 0.01, 0.25])
def test_a_poll_that_found_only_what_was_aborted_says_where_to_read_on(engine: oncelog.Engine, timeout: float) -> None:
    abort(engine)
    consumer = engine.consumer("t", group="g")
    records = consumer.poll(timeout=timeout)
    assert not records and len(records) == 0 and list(records) == [] and records.nbytes == 0
    assert records.next_offsets() == {T: 3} and records.next_offset("t", 0) == 3
    assert records.next_place("t", 0) == engine.partition("t", 0).read(3).next_place("t", 0)
    assert consumer.position(T) == 3
    assert consumer.poll(timeout=timeout).next_offsets() == {}, "it is told once"


def test_a_poll_tells_all_that_it_went_past_while_it_waited(engine: oncelog.Engine) -> None:
    abort(engine)
    consumer = engine.consumer("t")
    timer = soon(lambda: abort(engine, U, 2))
    assert consumer.poll(timeout=0.5).next_offsets() == {T: 3, U: 2}
    timer.join()
    abort(engine)
    timer = soon(lambda: engine.producer().send("t", b"v", partition=1))
    records = consumer.poll()
    timer.join()
    assert records.values() == [b"v"] and records.next_offsets() == {T: 6, U: 3}
    abort(engine)
    timer = soon(lambda: engine.producer().send("t", b"w", partition=0))
    records = consumer.poll()
    timer.join()
    assert records.values() == [b"w"] and records.next_offsets() == {T: 10}


@pytest.mark.parametrize("bound", [False, True])
def test_a_transaction_commits_the_position_behind_what_was_aborted(engine: oncelog.Engine, bound: bool) -> None:
    abort(engine)
    consumer = engine.consumer("t", group="g")
    producer = engine.transactional_producer("transforms")
    transaction = producer.begin_transaction_for(consumer) if bound else producer.begin_transaction()
    with transaction:
        records = consumer.poll(timeout=0)
        transaction.send("out", b"%d records" % len(records))
        if not bound:
            transaction.send_offsets(consumer.group_metadata(), records.next_offsets())
    assert engine.partition("out", 0).read(0).values() == [b"0 records"]
    assert consumer.committed(T) == 3 and engine.consumer("t", group="g").position(T) == 3


def test_a_consumer_commits_the_offsets_of_an_answer_without_a_record(engine: oncelog.Engine) -> None:
    abort(engine)
    consumer = engine.consumer("t", group="g")
    consumer.commit(consumer.poll(timeout=0).next_offsets())
    assert consumer.committed(T) == 3 and consumer.committed(U) is None


def test_a_read_of_what_was_aborted_is_empty_and_says_where_to_read_on(engine: oncelog.Engine) -> None:
    abort(engine)
    partition = engine.partition("t", 0)
    records = partition.read(0)
    assert not records and records.values() == [] and records.next_offsets() == {T: 3}
    assert len(partition.read(0, isolation="read_uncommitted")) == 3
    engine.producer().send_many("t", [b"v"] * 2, partition=0).result()
    seen, at = [], 0
    while records := partition.read(at):
        seen += records.values()
        at = records.next_offset("t", 0) or 0
    assert (seen, at) == ([b"v"] * 2, 5)


def test_a_loop_passes_by_what_was_aborted_and_the_next_poll_tells_it(engine: oncelog.Engine) -> None:
    abort(engine)
    consumer = engine.consumer("t", timeout=0)
    assert list(consumer) == [] and consumer.position(T) == 3
    abort(engine, U)
    assert list(consumer) == [] and consumer.poll(timeout=0).next_offsets() == {T: 3, U: 3}
    abort(engine)
    engine.producer().send("t", b"v", partition=0).result()
    assert [record.offset for record in consumer] == [6] and consumer.lag(T) == 0
    assert consumer.poll(timeout=0).next_offsets() == {}


def test_what_was_passed_by_is_not_told_of_partitions_that_are_read_no_more(engine: oncelog.Engine) -> None:
    abort(engine)
    consumer = engine.consumer("t", timeout=0)
    assert list(consumer) == []
    consumer.assign(U)
    assert consumer.poll(timeout=0).next_offsets() == {}


@pytest.mark.parametrize("how", ["abort", "timeout"])
def test_what_was_passed_by_is_not_told_when_a_refused_commit_put_the_consumer_back(
    engine: oncelog.Engine, how: str
) -> None:
    engine.producer().send_many("t", [b"v"] * 5, partition=0).result()
    abort(engine)
    consumer = engine.consumer("t", group="g", max_records=1, timeout=0)
    seconds = 0.05 if how == "timeout" else None
    producer = engine.transactional_producer("refused", transaction_buffer=0, transaction_timeout=seconds)
    transaction = producer.begin_transaction_for(consumer)
    transaction.send("out", b"v")
    assert len(list(consumer)) == 5 and consumer.position(T) == 8
    if how == "abort":
        engine.abort_transaction(transaction.number)
    while engine.transaction_status(transaction.number) == "open":
        time.sleep(0.01)
    with pytest.raises((oncelog.TransactionAbortedError, oncelog.TransactionTimedOutError)):
        transaction.commit()
    assert consumer.position(T) == 0
    engine.producer().send("t", b"w", partition=1).result()
    # The turn is the other partition's, and one record is all that a poll may answer.
    assert consumer.poll(timeout=0).next_offsets() == {U: 1} and consumer.position(T) == 0
    assert [record.offset for record in consumer] == list(range(5))


def test_a_loop_that_came_to_the_next_partition_stands_behind_what_was_aborted(engine: oncelog.Engine) -> None:
    for at in (T, U):
        engine.producer().send("t", b"v", partition=at.partition).result()
        abort(engine, at)
    consumer = engine.consumer("t", group="g")
    first = next(consumer)
    own = oncelog.TopicPartition("t", first.partition)
    assert consumer.position(own) == 1
    consumer.commit()
    assert consumer.committed(own) == 1
    second = next(consumer)
    assert {first.partition, second.partition} == {0, 1} and consumer.position(own) == 4
    consumer.commit()
    assert consumer.committed(own) == 4 and consumer.committed(("t", second.partition)) == 1


def test_polls_of_asyncio_tell_the_same(engine: oncelog.Engine) -> None:
    async def main() -> None:
        consumer = oncelog.aio.Engine(engine).consumer("t", group="g")
        abort(engine)
        for timeout, at in ((0, 3), (0.01, 6), (0.1, 9)):
            records = await consumer.poll(timeout=timeout)
            assert not records and records.next_offsets() == {T: at}
            abort(engine)
        poll = asyncio.ensure_future(consumer.poll(timeout=0.3))
        await asyncio.sleep(0.05)
        abort(engine, U)
        assert (await poll).next_offsets() == {T: 12, U: 3}
        abort(engine)
        poll = asyncio.ensure_future(consumer.poll())
        await asyncio.sleep(0.05)
        poll.cancel()
        await asyncio.wait((poll,))
        assert poll.cancelled() and await consumer.position(T) == 15
        assert (await consumer.poll(timeout=0)).next_offsets() == {T: 15}, "a cancelled poll takes nothing"
        abort(engine)
        poll = asyncio.ensure_future(consumer.poll())
        await asyncio.sleep(0.05)
        engine.producer().send("t", b"v", partition=1)
        records = await poll
        assert records.values() == [b"v"] and records.next_offsets() == {T: 18, U: 4}
        await consumer.commit(records.next_offsets())
        assert await consumer.committed(T) == 18

    asyncio.run(main())
