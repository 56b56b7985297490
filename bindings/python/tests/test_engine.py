"""Opening, topics, closing."""

from __future__ import annotations

import gc
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

import oncelog


def test_a_log_is_made_where_there_is_none_and_found_again(tmp_path: Path) -> None:
    with oncelog.open(tmp_path / "log") as engine:
        assert engine.opening.created and engine.opening.cut is None and engine.opening.damage == []
        engine.create_topic("orders", partitions=3, durability="os")
    with oncelog.open(str(tmp_path / "log"), create=False) as engine:
        opening = engine.opening
        assert not opening.created and opening.incarnation == 2
        assert opening.loading > 0 and opening.frames_folded < 10 and opening.bytes_folded < 10_000
        (orders,) = engine.topics()
        assert (orders.name, orders.partitions, orders.durability) == ("orders", 3, "os")
        assert isinstance(orders.id, uuid.UUID) and orders.id.int != 0


def test_an_exception_in_the_block_closes_the_log_too(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), oncelog.open(tmp_path / "log") as engine:
        raise RuntimeError
    with pytest.raises(oncelog.ClosedError):
        engine.topics()
    oncelog.open(tmp_path / "log").close()


def test_the_last_handle_that_goes_closes_the_log(tmp_path: Path) -> None:
    partition = make_partition(tmp_path)
    with pytest.raises(oncelog.LockedError):
        oncelog.open(tmp_path / "log")
    del partition
    gc.collect()
    oncelog.open(tmp_path / "log").close()


def make_partition(path: Path) -> oncelog.Partition:
    engine = oncelog.open(path / "log")
    engine.create_topic("t")
    return engine.partition("t", 0)


def test_a_second_writer_is_refused_and_readers_are_not_while_nobody_writes(tmp_path: Path) -> None:
    with oncelog.open(tmp_path / "log") as engine:
        engine.create_topic("t")
        with pytest.raises(oncelog.LockedError) as error:
            oncelog.open(tmp_path / "log")
        assert error.value.code == 5
    with oncelog.open(tmp_path / "log", read_only=True) as one, oncelog.open(tmp_path / "log", read_only=True) as two:
        assert one.topics() == two.topics()
        with pytest.raises(oncelog.ReadOnlyError):
            one.create_topic("u")


def test_a_log_that_may_have_lost_a_decision_takes_no_appends_until_the_loss_is_accepted(tmp_path: Path) -> None:
    path = tmp_path / "log"
    script = "import oncelog, os, sys; e = oncelog.open(sys.argv[1]); e.create_topic('t'); p = e.producer()\n"
    script += "[p.send('t', v).result() for v in (b'first', b'hidden', b'last')]; os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", script, path], check=False)
    segment = path / "00000000000000000001.0.seg"
    data = bytearray(segment.read_bytes())
    # 90 bytes before its value lies the number of the frame, which may be anything then, and the frame behind it says
    # that it was durable.
    data[data.index(b"hidden") - 90] ^= 1
    segment.write_bytes(data)

    def append(engine: oncelog.Engine, value: bytes) -> None:
        engine.producer().send("t", value).result()

    with oncelog.open(path) as engine:
        (damage,) = engine.opening.damage
        assert not damage.records_only and damage.first_lsn == damage.last_lsn
        with pytest.raises(oncelog.CorruptError, match="first_lsn="):
            append(engine, b"refused")
        with pytest.raises(oncelog.CorruptError):
            engine.create_topic("u")
        assert engine.partition("t", 0).read(0)[0].value == b"first"
    with oncelog.open(path, accept_loss=True) as engine:
        append(engine, b"again")
    # Accepted once, it is accepted for good; what is lost is told where it lay.
    with oncelog.open(path) as engine:
        append(engine, b"later")
        with pytest.raises(oncelog.CorruptError, match=r"offsets=1\.\.2"):
            engine.partition("t", 0).read(0).values()
        assert engine.partition("t", 0).read(2).values() == [b"last", b"again", b"later"]


def test_what_rots_on_the_disk_is_found_before_somebody_reads_it(tmp_path: Path) -> None:
    engine = oncelog.open(tmp_path / "log")
    engine.create_topic("t")
    producer = engine.producer()
    for value in (b"sound", b"rotten"):
        producer.send("t", value).result()
    engine.flush()
    whole = engine.verify()
    assert whole.segments == 1 and whole.frames > 3 and whole.bytes > 400 and whole.damage == []
    segment = tmp_path / "log" / "00000000000000000001.0.seg"
    with segment.open("r+b") as file:
        file.seek(segment.read_bytes().index(b"rotten"))
        file.write(b"R")
    found = engine.verify()
    (damage,) = found.damage
    assert damage.file == segment.name and damage.records_only and damage.first_lsn == damage.last_lsn
    assert found.frames == whole.frames - 1
    engine.close()
    with pytest.raises(oncelog.ClosedError):
        engine.verify()


def test_topics_are_created_grown_and_deleted(oncelog_engine: oncelog.Engine) -> None:
    engine = oncelog_engine
    engine.create_topic("a")
    with pytest.raises(oncelog.TopicExistsError):
        engine.create_topic("a")
    engine.add_partitions("a", 4)
    assert engine.topics()[0].partitions == 4
    with pytest.raises(oncelog.ArgumentError):
        engine.add_partitions("a", 4)
    with pytest.raises(oncelog.UnknownTopicOrPartitionError):
        engine.partition("a", 4)
    engine.delete_topic("a")
    assert engine.topics() == []
    with pytest.raises(oncelog.UnknownTopicOrPartitionError):
        engine.delete_topic("a")


@pytest.mark.parametrize("name", ["", ".", "a/b", "a" * 250, "ä", "a\0"])
def test_a_name_that_kafka_would_refuse_is_refused(oncelog_engine: oncelog.Engine, name: str) -> None:
    with pytest.raises(oncelog.ArgumentError):
        oncelog_engine.create_topic(name)


def test_batches_are_appended_and_read(oncelog_engine: oncelog.Engine, topic: str) -> None:
    partition = oncelog_engine.partition(topic, 0)
    batch = oncelog.Batch()
    batch.add(b"one", key=b"k", headers={"h": b"v", "n": None}, timestamp_ms=5)
    batch.add(None)
    assert len(batch) == 2
    appended = partition.append(batch).result()
    assert (appended.first, appended.last, appended.partition, appended.duplicate) == (0, 1, 0, False)
    again = partition.append(oncelog.Batch.from_bytes(bytes(batch)), durability="disk").result()
    assert (again.offset, again.last) == (2, 3)
    records = partition.read(0).to_list()
    assert [record.value for record in records] == [b"one", None, b"one", None]
    assert records[0].headers == (("h", b"v"), ("n", None)) and records[0].timestamp == 5
    assert partition.bounds() == oncelog.Bounds(0, 4, 4)
    assert (partition.topic, partition.number) == (topic, 0)
    with pytest.raises(oncelog.OffsetOutOfRangeError):
        partition.read(5)
    with pytest.raises(oncelog.StateError):
        batch.add(b"late")


def test_an_empty_batch_is_refused(oncelog_engine: oncelog.Engine, topic: str) -> None:
    with pytest.raises(oncelog.InvalidRecordError):
        oncelog_engine.partition(topic, 0).append(oncelog.Batch())
    with pytest.raises(oncelog.CorruptError):
        oncelog.Batch.from_bytes(b"no batch at all" * 10)


def test_what_was_answered_can_be_waited_for_at_disk_level(oncelog_engine: oncelog.Engine, topic: str) -> None:
    flushes = oncelog_engine.metrics().flush_nanos.count
    appended = oncelog_engine.producer().send(topic, b"v").result()
    oncelog_engine.wait_durable(appended.lsn)
    assert oncelog_engine.metrics().flush_nanos.count > flushes
    with pytest.raises(oncelog.ArgumentError):
        oncelog_engine.wait_durable(1 << 40)


def test_an_engine_without_threads_is_driven_by_whoever_waits(oncelog_open: Callable[..., oncelog.Engine]) -> None:
    engine = oncelog_open(threads=False)
    engine.create_topic("t")
    ticket = engine.producer().send("t", b"v")
    engine.drive()
    assert ticket.result().offset == 0
    assert len(engine.consumer("t").poll(timeout=0)) == 1


def test_every_call_after_the_close_says_closed(oncelog_engine: oncelog.Engine, topic: str) -> None:
    engine = oncelog_engine
    producer, named = engine.producer(), engine.producer(name="n")
    transactional = engine.transactional_producer("x")
    transaction = transactional.begin_transaction()
    consumer = engine.consumer(topic, group="g")
    partition = engine.partition(topic, 0)
    identity = engine.init_producer("raw")
    ticket = producer.send(topic, b"v")
    engine.close()
    engine.close()
    assert ticket.result().offset == 0, "what was sent before the close is answered"
    batch = oncelog.Batch()
    batch.add(b"v")
    calls: list[Callable[[], object]] = [
        lambda: engine.create_topic("u"),
        lambda: engine.delete_topic(topic),
        lambda: engine.add_partitions(topic, 2),
        engine.topics,
        lambda: engine.partition(topic, 0),
        engine.producer,
        lambda: engine.producer(name="m"),
        lambda: engine.transactional_producer("y"),
        lambda: engine.delete_producer("n"),
        lambda: engine.consumer(topic),
        lambda: engine.consumer(),
        engine.init_producer,
        lambda: engine.init_producer("raw"),
        lambda: engine.send_offsets(identity, oncelog.GroupMetadata("g"), {(topic, 0): 1}),
        lambda: engine.end_transaction(identity, "abort"),
        lambda: engine.abort_transaction(1),
        lambda: engine.transaction_status(1),
        engine.describe_transactions,
        lambda: engine.wait_durable(1),
        engine.flush,
        lambda: producer.send(topic, b"v"),
        lambda: producer.send_many(topic, [b"v"]),
        producer.flush,
        lambda: named.send(topic, b"v", position=1),
        transactional.begin_transaction,
        lambda: transactional.begin_transaction_for(consumer),
        lambda: transaction.send(topic, b"v"),
        lambda: transaction.send_position(1),
        transaction.commit,
        lambda: consumer.poll(timeout=0),
        lambda: next(consumer),
        lambda: consumer.assign(topic),
        lambda: consumer.seek((topic, 0), 0),
        lambda: consumer.position((topic, 0)),
        lambda: consumer.committed((topic, 0)),
        lambda: consumer.commit({(topic, 0): 1}),
        consumer.commit,
        consumer.rewind,
        lambda: consumer.lag((topic, 0)),
        lambda: partition.append(batch),
        lambda: partition.read(0),
        lambda: partition.read(oncelog.Place(1, 1, 0)),
        lambda: partition.offset_at(0),
        partition.max_timestamp,
        partition.producers,
    ]
    for call in calls:
        with pytest.raises(oncelog.ClosedError):
            call()


def test_what_is_acknowledged_in_memory_is_seen_at_once(oncelog_engine: oncelog.Engine) -> None:
    oncelog_engine.create_topic("fast", durability="memory")
    (fast,) = oncelog_engine.topics()
    assert fast.durability == "memory"
    assert oncelog_engine.producer(durability="memory").send("fast", b"v").result().offset == 0
    assert oncelog_engine.partition("fast", 0).read(0).values() == [b"v"]
