"""Together or not at all."""

from __future__ import annotations

import gc

import pytest

import oncelog


@pytest.fixture
def engine(oncelog_engine: oncelog.Engine) -> oncelog.Engine:
    for topic in ("in", "out"):
        oncelog_engine.create_topic(topic)
    oncelog_engine.producer().send_many("in", [b"%d" % n for n in range(10)]).result()
    return oncelog_engine


def end(engine: oncelog.Engine, topic: str = "out") -> int:
    return engine.partition(topic, 0).bounds().end


def test_the_block_commits(engine: oncelog.Engine) -> None:
    producer = engine.transactional_producer("x")
    with producer.begin_transaction() as transaction:
        transaction.send("out", b"a", key=b"k", headers={"h": None}, partition=0, timestamp_ms=3)
        transaction.send("in", b"b")
        assert end(engine) == 0 and transaction.is_open
    assert end(engine) == 1 and not transaction.is_open
    assert engine.partition("out", 0).read(0)[0].timestamp == 3


def test_many_records_go_in_at_once(engine: oncelog.Engine) -> None:
    out = engine.partition("out", 0)
    for buffer in (1 << 20, 0):
        start = out.bounds().end
        producer = engine.transactional_producer("x", transaction_buffer=buffer)
        with producer.begin_transaction() as transaction:
            values, keys = (b"%d" % n for n in range(100)), [None] * 99 + [b"k"]
            transaction.send_many("out", values, keys, headers={"h": b"v"}, timestamps_ms=range(100))
            transaction.send_many("out", [])
            transaction.send_many("out", [bytearray(b"x"), None], partition=0)
        records = out.read(start).to_list()
        assert [record.value for record in records] == [b"%d" % n for n in range(100)] + [b"x", None]
        assert [record.timestamp for record in records[:100]] == list(range(100))
        assert records[99].key == b"k" and records[0].headers == (("h", b"v"),)


def test_of_many_records_those_before_a_refused_one_are_in(engine: oncelog.Engine) -> None:
    with engine.transactional_producer("x").begin_transaction() as transaction:
        with pytest.raises(oncelog.RecordTooLargeError):
            transaction.send_many("out", [b"a", b"b", bytes(1 << 21), b"c"])
        for wrong in ({"keys": [b"k"]}, {"timestamps_ms": [1, 2, 3]}, {"partition": -1}, {"headers": 5}):
            with pytest.raises((oncelog.ArgumentError, TypeError, OverflowError)):
                transaction.send_many("out", [b"x", b"y"], **wrong)
        with pytest.raises(TypeError):
            transaction.send_many("out", [b"x", 5])  # type: ignore[list-item]
        with pytest.raises(oncelog.UnknownTopicOrPartitionError):
            transaction.send_many("none", [b"x"])
    assert [record.value for record in engine.partition("out", 0).read(0)] == [b"a", b"b"]
    with pytest.raises(oncelog.InvalidTransactionStateError):
        transaction.send_many("out", [b"x"])


def test_an_exception_aborts(engine: oncelog.Engine) -> None:
    producer = engine.transactional_producer("x")
    with pytest.raises(ZeroDivisionError), producer.begin_transaction() as transaction:
        transaction.send("out", b"a")
        raise ZeroDivisionError
    assert end(engine) == 0 and not transaction.is_open
    with producer.begin_transaction():
        pass


def test_a_transaction_that_is_let_go_aborts(engine: oncelog.Engine) -> None:
    producer = engine.transactional_producer("x")
    transaction = producer.begin_transaction()
    transaction.send("out", b"a")
    with pytest.raises(oncelog.InvalidTransactionStateError):
        producer.begin_transaction()
    del transaction
    gc.collect()
    producer.begin_transaction().abort()
    assert end(engine) == 0


def test_after_its_end_every_call_is_refused(engine: oncelog.Engine) -> None:
    producer = engine.transactional_producer("x")
    for finish in ("commit", "abort"):
        with producer.begin_transaction() as transaction:
            transaction.send("out", b"a")
            getattr(transaction, finish)()
        for call in (
            lambda t=transaction: t.send("out", b"b"),
            lambda t=transaction: t.send_position(1),
            lambda t=transaction: t.send_offsets(oncelog.GroupMetadata("g"), {("in", 0): 1}),
            transaction.abort,
        ):
            with pytest.raises(oncelog.InvalidTransactionStateError):
                call()
        if finish == "abort":
            with pytest.raises(oncelog.InvalidTransactionStateError):
                transaction.commit()
    assert end(engine) == 1


def test_a_commit_asked_for_again_answers_the_same(engine: oncelog.Engine) -> None:
    transaction = engine.transactional_producer("x").begin_transaction()
    transaction.send("out", b"a")
    ticket = transaction.commit_ticket()
    committed = transaction.commit()
    assert committed == transaction.commit() == ticket.result()
    assert committed.number == transaction.number and end(engine) == 1


def test_offsets_and_output_go_together(engine: oncelog.Engine) -> None:
    consumer = engine.consumer("in", group="g")
    producer = engine.transactional_producer("x")
    with pytest.raises(KeyError), producer.begin_transaction_for(consumer) as transaction:
        assert len(consumer.poll(timeout=0)) == 10
        transaction.send("out", b"a")
        raise KeyError
    assert consumer.position(("in", 0)) == 0 and consumer.committed(("in", 0)) is None
    with producer.begin_transaction_for(consumer) as transaction:
        for record in consumer.poll(timeout=0):
            transaction.send("out", record.value)
        with pytest.raises(oncelog.StateError):
            consumer.commit()
    assert consumer.committed(("in", 0)) == 10 and end(engine) == 10


def test_a_loop_left_early_commits_what_it_was_given(engine: oncelog.Engine) -> None:
    consumer = engine.consumer("in", group="g", timeout=0)
    producer = engine.transactional_producer("x")
    with producer.begin_transaction_for(consumer) as transaction:
        for record in consumer:
            transaction.send("out", record.value)
            if record.offset == 3:
                break
    assert consumer.committed(("in", 0)) == 4 and end(engine) == 4
    with producer.begin_transaction_for(consumer) as transaction:
        for record in consumer:
            transaction.send("out", record.value)
    assert consumer.committed(("in", 0)) == 10
    assert engine.partition("out", 0).read(0).values() == [b"%d" % n for n in range(10)]


@pytest.mark.parametrize("how", ["abort", "drop", "exception"])
def test_a_loop_in_a_transaction_that_ends_otherwise_begins_again(engine: oncelog.Engine, how: str) -> None:
    consumer = engine.consumer("in", group="g", timeout=0)
    producer = engine.transactional_producer("x")
    transaction = producer.begin_transaction_for(consumer)
    assert next(consumer).offset == 0 and next(consumer).offset == 1
    if how == "abort":
        transaction.abort()
    elif how == "exception":
        transaction.__exit__(KeyError, KeyError(), None)
    del transaction
    gc.collect()
    assert [record.offset for record in consumer] == list(range(10))


def test_offsets_of_any_group_and_a_position_are_sent(engine: oncelog.Engine) -> None:
    producer = engine.transactional_producer("x")
    assert producer.position is None
    consumer = engine.consumer("in", group="g")
    with producer.begin_transaction() as transaction:
        transaction.send_offsets(consumer.group_metadata(), {("in", 0): oncelog.OffsetAndMetadata(3, "note")})
        transaction.send_offsets(oncelog.GroupMetadata("h"), {oncelog.TopicPartition("in", 0): 4})
        transaction.send_position(17)
    assert consumer.committed(("in", 0)) == 3 and producer.position == 17
    assert engine.consumer(group="h").committed(("in", 0)) == 4


def test_a_newer_holder_fences_the_older(engine: oncelog.Engine) -> None:
    older = engine.transactional_producer("x")
    transaction = older.begin_transaction()
    transaction.send("out", b"a")
    newer = engine.transactional_producer("x")
    with pytest.raises(oncelog.ProducerFencedError):
        transaction.commit()
    with pytest.raises(oncelog.ProducerFencedError):
        older.begin_transaction()
    with newer.begin_transaction() as transaction:
        transaction.send("out", b"b")
    assert engine.partition("out", 0).read(0).values() == [b"b"]


def test_a_transaction_larger_than_its_buffer_goes_on_and_is_committed_whole(engine: oncelog.Engine) -> None:
    with engine.transactional_producer("x").begin_transaction() as transaction:
        for _ in range(100):
            transaction.send("out", bytes(100_000))
        with pytest.raises(oncelog.RecordTooLargeError):
            transaction.send("out", bytes(2_000_000))
    assert end(engine) == 100


def test_a_record_is_added_if_that_takes_nothing_but_memory(engine: oncelog.Engine) -> None:
    large = bytes(600_000)
    with engine.transactional_producer("id").begin_transaction() as transaction:
        assert transaction.try_send("out", large, key=b"k", headers={"h": b"x"}, partition=0, timestamp_ms=17)
        assert not transaction.try_send("out", large)
        assert engine.describe_transactions() == []
        with pytest.raises(oncelog.UnknownTopicOrPartitionError):
            transaction.try_send("nowhere", b"")
        transaction.send("out", large)
        assert len(engine.describe_transactions()) == 1
    record, other = engine.partition("out", 0).read(0)[0], engine.partition("out", 0).bounds().end
    assert (record.key, record.timestamp, record.headers, other) == (b"k", 17, (("h", b"x"),), 2)
    with pytest.raises(oncelog.InvalidTransactionStateError):
        transaction.try_send("out", b"")


def test_a_transaction_that_goes_while_an_exception_is_on_its_way_leaves_that_alone(engine: oncelog.Engine) -> None:
    producer = engine.transactional_producer("x")

    def ended() -> oncelog.Transaction:
        transaction = producer.begin_transaction()
        transaction.abort()
        return transaction

    # Nothing but the call holds the transaction, so it goes when the exception is set.
    for call in (
        lambda: ended().send("out", b"x"),
        lambda: ended().send_many("out", [b"x"]),
        lambda: ended().send_position(1),
        lambda: ended().commit(),
        lambda: ended().abort(),
    ):
        with pytest.raises(oncelog.InvalidTransactionStateError):
            call()
    with pytest.raises(TypeError, match="encode the text first"):
        ended().send("out", "text")  # type: ignore[arg-type]
    # An open one aborts, and says what was wrong.
    with pytest.raises(TypeError, match="encode the text first"):
        producer.begin_transaction().send("out", "text")  # type: ignore[arg-type]
    with pytest.raises(oncelog.UnknownTopicOrPartitionError):
        producer.begin_transaction_for(engine.consumer("in", group="g")).send("none", b"x")
    assert end(engine) == 0
