"""Identities, batches and transactions of callers that keep the protocol themselves, as a broker does."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from test_records import crc32c

import oncelog

T = oncelog.TopicPartition("t", 0)
GROUP = oncelog.GroupMetadata("g")


@pytest.fixture
def engine(oncelog_engine: oncelog.Engine, topic: str) -> oncelog.Engine:
    return oncelog_engine


def batch(identity: oncelog.Identity, sequence: int, *values: bytes, transactional: bool = True) -> oncelog.Batch:
    batch = oncelog.Batch(producer=identity, base_sequence=sequence, transactional=transactional)
    for value in values:
        batch.add(value)
    return batch


def append(engine: oncelog.Engine, batch: oncelog.Batch) -> oncelog.Appended:
    return engine.partition("t", 0).append(batch).result()


def test_batches_of_an_identity_are_written_once_and_in_order(engine: oncelog.Engine) -> None:
    identity = engine.init_producer()
    assert isinstance(identity, oncelog.Identity) and identity.epoch == 0
    assert engine.init_producer(timeout=0).producer_id != identity.producer_id
    assert append(engine, batch(identity, 0, b"a", b"b", transactional=False)).first == 0
    again = append(engine, batch(identity, 0, b"a", b"b", transactional=False))
    assert again.duplicate and again.first == 0
    assert append(engine, batch(identity, 2, b"c", transactional=False)).first == 2
    with pytest.raises(oncelog.OutOfOrderSequenceError):
        append(engine, batch(identity, 9, b"d", transactional=False))
    with pytest.raises(oncelog.UnknownProducerError):
        append(engine, batch(oncelog.Identity(1 << 40, 0), 0, b"d", transactional=False))
    with pytest.raises(oncelog.InvalidTransactionStateError):
        append(engine, batch(identity, 3, b"d"))
    assert engine.partition("t", 0).read(0).values() == [b"a", b"b", b"c"]


def test_a_raw_transaction_commits_batches_and_offsets_together_and_raises_the_epoch(engine: oncelog.Engine) -> None:
    identity = engine.init_producer("shop", timeout=30)
    assert append(engine, batch(identity, 0, b"a")).first == 0
    engine.send_offsets(identity, GROUP, {T: 7})
    engine.send_offsets(identity, GROUP, {("t", 0): oncelog.OffsetAndMetadata(8, "note")})
    assert engine.partition("t", 0).bounds() == oncelog.Bounds(0, 0, 1)
    (described,) = engine.describe_transactions()
    assert (described.transactional_id, described.identity, described.raw) == ("shop", identity, True)
    assert (described.timeout, described.partitions) == (30.0, {T: 0})
    with pytest.raises(oncelog.UnstableOffsetsError) as unstable:
        engine.consumer(group="g").committed(T)
    assert unstable.value.retriable
    assert engine.consumer(group="g", isolation="read_uncommitted").committed(T) is None

    following = engine.end_transaction(identity, "commit")
    assert following == (identity.producer_id, identity.epoch + 1)
    assert engine.end_transaction(identity, "commit") == following, "asked again, because the answer was lost"
    assert engine.transaction_status(described.number) == "committed"
    assert engine.consumer(group="g").committed(T) == 8
    assert engine.partition("t", 0).read(0).values() == [b"a"]
    with pytest.raises(oncelog.StaleEpochError):
        append(engine, batch(identity, 1, b"late"))

    append(engine, batch(following, 0, b"b"))
    assert engine.end_transaction(following, "abort").epoch == identity.epoch + 2
    assert engine.partition("t", 0).read(0).values() == [b"a"]


def test_polls_wait_for_the_decision_on_offsets_that_are_pending(engine: oncelog.Engine) -> None:
    shop, other = engine.init_producer("shop"), engine.init_producer()
    append(engine, batch(other, 0, b"a", b"b", b"c", transactional=False))
    engine.send_offsets(shop, GROUP, {T: 1})
    consumer = engine.consumer("t", group="g", timeout=30)
    assert len(consumer.poll(timeout=0)) == 0
    for answer in (consumer.position, consumer.lag):
        with pytest.raises(oncelog.UnstableOffsetsError):
            answer(T)
    decided = threading.Timer(0.05, engine.end_transaction, (shop, "commit"))
    decided.start()
    for record in consumer:
        # What the poll read further is given back: it is as if one record had been read.
        assert (record.value, consumer.position(T)) == (b"b", 2)
        break
    decided.join()
    consumer.commit()
    assert engine.consumer("t", group="g").committed(T) == 2
    assert [record.value for record in consumer.poll(timeout=30)] == [b"c"]


def test_producers_are_told_by_their_last_batch_and_their_open_transaction(engine: oncelog.Engine) -> None:
    partition = engine.partition("t", 0)
    assert partition.producers() == []
    shop, other = engine.init_producer("shop"), engine.init_producer()
    append(engine, batch(shop, 0, b"a"))
    timed = oncelog.Batch(producer=other, base_sequence=0)
    for timestamp in (2_000, 1_000):
        timed.add(b"b", timestamp_ms=timestamp)
    append(engine, timed)
    first, second = partition.producers()
    assert isinstance(first, oncelog.ActiveProducer) and first.last_timestamp is not None
    assert (first.identity, first.last_sequence, first.transaction_start_offset) == (shop, 0, 0)
    assert second == oncelog.ActiveProducer(other, 1, 2_000, None)
    engine.end_transaction(shop, "commit")
    assert partition.producers() == [first._replace(transaction_start_offset=None), second], "there is no marker"
    with engine.transactional_producer("bulk", transaction_buffer=0).begin_transaction() as transaction:
        transaction.send("t", b"c", partition=0)
        (*_, bulk) = partition.producers()
        assert (bulk.last_sequence, bulk.last_timestamp, bulk.transaction_start_offset) == (None, None, 3)
    assert len(partition.producers()) == 2
    engine.delete_topic("t")
    with pytest.raises(oncelog.UnknownTopicOrPartitionError):
        partition.producers()


def test_a_newer_identity_fences_the_older_and_aborts_what_it_left_open(engine: oncelog.Engine) -> None:
    older = engine.init_producer("shop")
    append(engine, batch(older, 0, b"left"))
    (left,) = engine.describe_transactions()
    newer = engine.init_producer("shop")
    assert newer.producer_id == older.producer_id and newer.epoch > older.epoch
    assert engine.transaction_status(left.number) == "aborted"
    calls: list[tuple[type[oncelog.Error], Callable[[], object]]] = [
        (oncelog.ProducerFencedError, lambda: engine.end_transaction(older, "commit")),
        (oncelog.ProducerFencedError, lambda: engine.init_producer("shop", current=older)),
        (oncelog.StaleEpochError, lambda: engine.send_offsets(older, GROUP, {T: 1})),
        (oncelog.StaleEpochError, lambda: append(engine, batch(older, 1, b"late"))),
    ]
    for kind, call in calls:
        with pytest.raises(kind):
            call()
    raised = engine.init_producer("shop", current=newer)
    assert raised.epoch == newer.epoch + 1
    assert engine.init_producer("shop", current=newer) == raised, "asked again, because the answer was lost"


def test_what_an_identity_may_not_do_is_refused(engine: oncelog.Engine) -> None:
    nobody, shop = engine.init_producer(), engine.init_producer("shop")
    calls: list[tuple[type[oncelog.Error], Callable[[], object]]] = [
        (oncelog.UnknownTransactionalIdError, lambda: engine.send_offsets(nobody, GROUP, {T: 1})),
        (oncelog.UnknownTransactionalIdError, lambda: engine.end_transaction(nobody, "commit")),
        (oncelog.InvalidTransactionStateError, lambda: engine.end_transaction(shop, "commit")),
        (oncelog.UnknownTopicOrPartitionError, lambda: engine.send_offsets(shop, GROUP, {("u", 0): 1})),
        (oncelog.LimitExceededError, lambda: engine.send_offsets(
            shop, GROUP, {T: oncelog.OffsetAndMetadata(1, "x" * 4097)})),
        (oncelog.ArgumentError, lambda: engine.init_producer("")),
        (oncelog.ArgumentError, lambda: engine.init_producer("shop", timeout=0)),
        (oncelog.ArgumentError, lambda: engine.init_producer("shop", timeout=901)),
        (oncelog.ArgumentError, lambda: engine.init_producer("shop", timeout=-1)),
        (oncelog.ArgumentError, lambda: engine.end_transaction(shop, "Commit")),  # type: ignore[arg-type]
        (oncelog.ArgumentError, lambda: engine.end_transaction(oncelog.Identity(1 << 63, 0), "commit")),
        (oncelog.ArgumentError, lambda: engine.end_transaction(oncelog.Identity(1, 1 << 15), "commit")),
        (oncelog.ArgumentError, lambda: engine.abort_transaction(-1)),
        (oncelog.ArgumentError, lambda: engine.transaction_status(1 << 64)),
    ]
    for kind, call in calls:
        with pytest.raises(kind):
            call()
    wrongs: list[Any] = [None, 1, "x", (1,), (1, 2, 3), [1, 2], ("1", 2)]
    for wrong in wrongs:
        for call in (
            lambda: engine.end_transaction(wrong, "commit"),
            lambda: engine.send_offsets(wrong, GROUP, {T: 1}),
            lambda: wrong is not None and engine.init_producer("shop", current=wrong) or int("x"),
            lambda: oncelog.Batch(producer=wrong, base_sequence=0) if wrong is not None else int("x"),
        ):
            with pytest.raises((TypeError, ValueError)):
                call()
    with pytest.raises(TypeError, match="an Identity, as init_producer answers, is needed, not int"):
        engine.end_transaction(5, "commit")  # type: ignore[arg-type]
    assert engine.end_transaction(shop, "abort").epoch == shop.epoch + 1, "an abort of nothing raises the epoch"


@pytest.mark.parametrize("keep", [True, False])
def test_raw_transactions_stay_open_over_a_restart_if_they_are_to(
    oncelog_open: Callable[..., oncelog.Engine], keep: bool
) -> None:
    with oncelog_open(keep_raw_transactions=keep) as engine:
        engine.create_topic("t")
        identity = engine.init_producer("shop")
        append(engine, batch(identity, 0, b"v"))
        (before,) = engine.describe_transactions()
    engine = oncelog_open(keep_raw_transactions=keep)
    assert engine.transaction_status(before.number) == ("open" if keep else "aborted")
    assert [open.number for open in engine.describe_transactions()] == [before.number] * keep
    if keep:
        append(engine, batch(identity, 1, b"w"))
        engine.end_transaction(identity, "commit")
        assert engine.partition("t", 0).read(0).values() == [b"v", b"w"]
    else:
        with pytest.raises(oncelog.InvalidTransactionStateError):
            engine.end_transaction(identity, "commit")


def test_a_batch_is_refused_at_once_what_does_not_go_together(engine: oncelog.Engine) -> None:
    identity = engine.init_producer()
    wrongs: list[dict[str, Any]] = [{"transactional": True}, {"producer": identity}, {"base_sequence": 0}]
    wrongs += [{"producer": identity, "base_sequence": sequence} for sequence in (-1, 1 << 31)]
    wrongs += [{"producer": wrong, "base_sequence": 0} for wrong in ((-1, 0), (1, -1), (1 << 63, 0), (0, 1 << 15))]
    for wrong in [*wrongs, {"compression": "brotli"}]:
        with pytest.raises((oncelog.ArgumentError, oncelog.InvalidRecordError)):
            oncelog.Batch(**wrong)
    unlike: list[dict[str, Any]] = [{"transactional": 1}, {"compression": None}, {"base_sequence": "0"}]
    for wrong in unlike:
        with pytest.raises(TypeError):
            oncelog.Batch(**wrong)
    kept = oncelog.Batch(producer=identity, base_sequence=0)
    with pytest.raises(oncelog.InvalidRecordError):
        append(engine, kept)
    kept.add(b"v")
    assert not append(engine, kept).duplicate and append(engine, kept).duplicate, "it is still the producer's"


def test_a_batch_shows_its_header_and_its_records(engine: oncelog.Engine) -> None:
    identity = engine.init_producer("shop")
    made = oncelog.Batch(producer=identity, base_sequence=(1 << 31) - 1, transactional=True, compression="zstd")
    for n in range(50):
        made.add(b"value " * 50, key=b"k", headers=[("h", None), ("h", b"")], timestamp_ms=1_000 + n)
    header = made.header
    assert isinstance(header, oncelog.BatchHeader)
    assert (header.producer, header.base_sequence, header.last_sequence) == (identity, (1 << 31) - 1, 48)
    assert (header.count, header.base_offset, header.last_offset) == (50, 0, 49)
    assert (header.base_timestamp, header.max_timestamp, header.timestamp_type) == (1_000, 1_049, "create")
    assert (header.compression, header.transactional) == ("zstd", True)
    assert not header.control and not header.delete_horizon
    packed = bytes(made)
    assert (header.size, header.magic) == (len(packed), 2)
    assert header.leader_epoch == int.from_bytes(packed[12:16], "big", signed=True)
    assert header.crc.to_bytes(4, "big") == packed[17:21] and header.attributes.to_bytes(2, "big") == packed[21:23]
    for again in (made, oncelog.Batch.from_bytes(packed)):
        assert again.header == header and again.records() == made.records()
    records = made.records()
    assert [record.offset for record in records] == list(range(50))
    assert records[7] == oncelog.BatchRecord(7, 1_007, b"value " * 50, b"k", (("h", None), ("h", b"")))
    with pytest.raises(oncelog.StateError):
        made.add(b"late")


def test_a_batch_of_nobody_shows_none(engine: oncelog.Engine) -> None:
    made = oncelog.Batch()
    calls: list[Callable[[], object]] = [lambda: made.header, made.records]
    for call in calls:
        with pytest.raises(oncelog.InvalidRecordError):
            call()
    made.add(None, timestamp_ms=-1)
    header, (record,) = made.header, made.records()
    assert (header.producer, header.base_sequence, header.last_sequence) == (None, None, None)
    assert (header.compression, header.transactional, header.max_timestamp) == ("none", False, -1)
    assert record == (0, -1, None, None, ())
    # As Kafka's clients may write it: they check no names.
    other = oncelog.Batch()
    other.add(b"", headers={"name": b"v"})
    packed = bytearray(bytes(other)).replace(b"name", b"n\xff\xc3\x28")
    packed[17:21] = crc32c(bytes(packed[21:])).to_bytes(4, "big")
    ((name, value),) = oncelog.Batch.from_bytes(packed).records()[0].headers
    assert name.encode(errors="surrogateescape") == b"n\xff\xc3\x28" and value == b"v"
