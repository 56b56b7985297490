"""What reads answer, as sequences, views and columns."""

from __future__ import annotations

import gc
import os
import random
import sys
import sysconfig
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

import oncelog


@pytest.fixture
def records(oncelog_engine: oncelog.Engine, topic: str) -> oncelog.Records:
    producer = oncelog_engine.producer()
    producer.send_many(topic, [b"a", None, b"", b"dd"], [None, b"k", b"", b"kk"], timestamps_ms=[1, 2, 3, 4]).result()
    return oncelog_engine.partition(topic, 0).read(0)


def test_records_are_counted_and_walked_as_often_as_needed(records: oncelog.Records) -> None:
    assert len(records) == 4 and records and records.nbytes > 0 and records.next_offset("t", 0) == 4
    for _ in range(2):
        assert [record.offset for record in records] == [0, 1, 2, 3]
    assert [records[n].value for n in (0, 3, -1, -4)] == [b"a", b"dd", b"dd", b"a"]
    assert [record.offset for record in records[1:3]] == [1, 2] and records[4:] == []
    for wrong in (4, -5, 1 << 70):
        with pytest.raises(IndexError):
            records[wrong]
    with pytest.raises(TypeError):
        records["a"]  # type: ignore[call-overload]
    iterator = iter(records)
    assert iter(iterator) is iterator and len(list(iterator)) == 4 and list(iterator) == []


def test_where_to_read_on_is_told_for_every_partition(oncelog_engine: oncelog.Engine, topic: str) -> None:
    oncelog_engine.create_topic("u", partitions=3)
    producer = oncelog_engine.producer()
    producer.send_many(topic, [b"a", b"b", b"c"]).result()
    producer.send_many("u", [b"d", b"e"], partition=2).result()
    consumer = oncelog_engine.consumer(topic, "u", group="g")
    records = consumer.poll(timeout=0)
    offsets = records.next_offsets()
    assert offsets == {("t", 0): 3, ("u", 2): 2} and all(isinstance(at, oncelog.TopicPartition) for at in offsets)
    assert all(records.next_offset(*at) == offset for at, offset in offsets.items())
    consumer.commit(offsets)
    assert {at: consumer.committed(at) for at in offsets} == offsets
    assert oncelog_engine.partition("u", 2).read(2).next_offsets() == {("u", 2): 2}, "where the read began"
    assert consumer.poll(timeout=0).next_offsets() == {}


def test_all_at_once(records: oncelog.Records) -> None:
    assert records.values() == [b"a", None, b"", b"dd"]
    assert records.keys() == [None, b"k", b"", b"kk"]
    assert [record.timestamp for record in records.to_list()] == [1, 2, 3, 4]


def test_a_view_copies_nothing_and_keeps_what_it_shows(oncelog_engine: oncelog.Engine, topic: str) -> None:
    oncelog_engine.producer().send(topic, b"v" * 1000, key=b"k").result()
    record = oncelog_engine.partition(topic, 0).read(0)[0]
    value, key = record.value_view, record.key_view
    assert value is not None and key is not None
    assert value.readonly and value.format == "B" and value.nbytes == 1000
    del record
    oncelog_engine.close()
    gc.collect()
    assert bytes(value[-3:]) == b"vvv" and bytes(key) == b"k"
    with pytest.raises(TypeError):
        value[0] = 1
    value.release()


def keep_some(records: Iterable[oncelog.Record], dice: random.Random) -> int:
    """Walks records, keeps some of them for a while or for good, and compares each with its offset when it goes."""
    kept: list[tuple[int, oncelog.Record]] = []
    views: list[tuple[int, memoryview | None]] = []
    count = 0

    def check(offset: int, record: oncelog.Record) -> None:
        assert (record.offset, record.timestamp) == (offset, offset + 1)
        assert (record.value, record.key) == (b"v%d" % offset, b"k%d" % offset)

    for count, record in enumerate(records, 1):
        offset = count - 1
        check(offset, record)
        if dice.random() < 0.1:
            views.append((offset, record.value_view))
        if dice.random() < 0.3:
            kept.append((offset, record))
        if kept and dice.random() < 0.25:
            check(*kept.pop(dice.randrange(len(kept))))
    for kept_offset, kept_record in kept:
        check(kept_offset, kept_record)
    assert all(view is not None and bytes(view) == b"v%d" % offset for offset, view in views)
    return count


def test_a_record_that_somebody_keeps_stays_what_it_is(oncelog_engine: oncelog.Engine, topic: str) -> None:
    numbers = range(5000)
    oncelog_engine.producer().send_many(
        topic, [b"v%d" % n for n in numbers], [b"k%d" % n for n in numbers], timestamps_ms=[n + 1 for n in numbers]
    ).result()
    seed = int(os.environ.get("SEED", random.randrange(1 << 32)))
    print(f"again: SEED={seed} bindings/python/test.sh -k somebody_keeps")
    dice = random.Random(seed)
    records = oncelog_engine.partition(topic, 0).read(0, max_bytes=1 << 20)
    assert keep_some(records, dice) == len(records) > 1000
    assert keep_some(oncelog_engine.consumer(topic, timeout=0, max_bytes=1 << 14), dice) == 5000
    assert len({id(record) for record in list(records)}) == len(records), "in a list each is its own"


@pytest.mark.skipif(sysconfig.get_config_var("Py_GIL_DISABLED") == 1, reason="nobody can be known to be alone")
def test_a_record_that_nobody_keeps_gives_its_object_to_the_next_but_one(
    oncelog_engine: oncelog.Engine, records: oncelog.Records
) -> None:
    for walk in (iter(records), oncelog_engine.consumer("t", timeout=0)):
        first, second = next(walk), next(walk)
        place = id(first)
        del first
        # What was freed would be the place of this one.
        other = records[0]
        third = next(walk)
        assert id(third) == place != id(other)
        assert [record.offset for record in (second, third, next(walk))] == [1, 2, 3]


def test_records_outlive_their_engine(oncelog_open: Callable[..., oncelog.Engine]) -> None:
    engine = oncelog_open()
    engine.create_topic("t")
    engine.producer().send("t", b"v").result()
    records = engine.partition("t", 0).read(0)
    engine.close()
    del engine
    gc.collect()
    assert records.values() == [b"v"]


def test_columns_are_laid_out_as_arrow_lays_them_out(records: oncelog.Records) -> None:
    columns = records.columns()
    assert len(columns) == columns.length == 4
    assert columns.offsets.format == "q" and columns.offsets.tolist() == [0, 1, 2, 3]
    assert columns.timestamps.tolist() == [1, 2, 3, 4]
    assert columns.partitions.format == "i" and columns.partitions.tolist() == [0] * 4
    assert (columns.topics, columns.topic_indexes.tolist()) == (["t"], [0] * 4)
    assert bytes(columns.value_data) == b"add" and columns.value_offsets.tolist() == [0, 1, 1, 1, 3]
    assert columns.value_validity is not None and columns.value_validity[0] & 0b1111 == 0b1101
    assert bytes(columns.key_data) == b"kkk" and columns.key_offsets.tolist() == [0, 0, 1, 1, 3]
    assert columns.key_validity is not None and columns.key_validity[0] & 0b1111 == 0b1110


def test_columns_of_several_topics_name_each(oncelog_engine: oncelog.Engine) -> None:
    for topic in ("a", "b"):
        oncelog_engine.create_topic(topic, partitions=2)
        for partition in range(2):
            oncelog_engine.producer().send(topic, topic.encode(), partition=partition).result()
    columns = oncelog_engine.consumer("a", "b").poll(timeout=0).columns()
    named = [columns.topics[index].encode() for index in columns.topic_indexes]
    assert b"".join(named) == bytes(columns.value_data) and columns.value_validity is None
    assert sorted(columns.partitions.tolist()) == [0, 0, 1, 1]


def test_columns_of_nothing_are_empty(oncelog_engine: oncelog.Engine, topic: str) -> None:
    columns = oncelog_engine.partition(topic, 0).read(0).columns()
    assert len(columns) == 0 and columns.offsets.tolist() == [] and columns.value_offsets.tolist() == [0]


def test_numpy_reads_columns(records: oncelog.Records) -> None:
    numpy = pytest.importorskip("numpy")
    columns = records.columns()
    offsets = numpy.asarray(columns.offsets)
    assert offsets.dtype == numpy.int64 and offsets.sum() == 6
    assert numpy.diff(numpy.asarray(columns.value_offsets)).tolist() == [1, 0, 0, 2]


def test_pyarrow_reads_columns(records: oncelog.Records) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    columns = records.columns()
    buffers = [columns.value_validity, columns.value_offsets, columns.value_data]
    array = pyarrow.Array.from_buffers(pyarrow.binary(), len(columns), [pyarrow.py_buffer(part) for part in buffers])
    assert array.to_pylist() == [b"a", None, b"", b"dd"]
    array.validate(full=True)


def test_records_and_views_let_go_at_once(records: oncelog.Records) -> None:
    record = records[0]
    before = sys.getrefcount(records)
    held = [record, *records, records[1].value_view]
    assert sys.getrefcount(records) > before
    del held, record
    assert sys.getrefcount(records) == before - 1, "nothing waits for the collector"


def test_damage_is_told_where_it_lies_and_the_rest_is_read(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with oncelog.open(path) as engine:
        engine.create_topic("t")
        producer = engine.producer(linger=0)
        for n in range(3):
            producer.send("t", b"value %d" % n).result()
        producer.send("t", bytes(100_000)).result()
    for file in path.iterdir():
        data = file.read_bytes()
        if b"value 1" in data:
            file.write_bytes(data.replace(b"value 1", b"valuE 1"))
    with oncelog.open(path, read_only=True) as engine:
        records = engine.partition("t", 0).read(0)
        iterator = iter(records)
        assert next(iterator).value == b"value 0"
        with pytest.raises(oncelog.CorruptError) as error:
            next(iterator)
        assert "offsets=1..2" in str(error.value)
        assert next(iterator).value == b"value 2"
        for whole in (records.values, records.to_list, records.columns):
            with pytest.raises(oncelog.CorruptError):
                whole()
        consumer = engine.consumer("t", timeout=0)
        assert next(consumer).offset == 0
        with pytest.raises(oncelog.CorruptError):
            next(consumer)
        assert next(consumer).offset == 2


def crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def test_a_header_whose_name_is_no_text_hides_nothing(oncelog_engine: oncelog.Engine, topic: str) -> None:
    batch = oncelog.Batch()
    batch.add(b"\xfe", key=b"\xff", headers=[("text", b"1"), ("name", b"2"), ("text", None)])
    # As Kafka's clients may write it: they check no names.
    packed = bytearray(bytes(batch)).replace(b"name", b"n\xff\xc3\x28")
    packed[17:21] = crc32c(bytes(packed[21:])).to_bytes(4, "big")
    partition = oncelog_engine.partition(topic, 0)
    partition.append(oncelog.Batch.from_bytes(packed)).result()
    (record,) = partition.read(0)
    assert (record.value, record.key) == (b"\xfe", b"\xff")
    name = record.headers[1][0]
    assert record.headers == (("text", b"1"), (name, b"2"), ("text", None))
    assert name.encode(errors="surrogateescape") == b"n\xff\xc3\x28"
    # What is no text is not sent as if it were.
    with pytest.raises(UnicodeEncodeError):
        oncelog_engine.producer().send(topic, b"", headers=record.headers)
