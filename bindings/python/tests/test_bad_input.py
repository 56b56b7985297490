"""Whatever is handed over: a typed error or a clean result."""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import oncelog

# What no argument that wants bytes takes.
NO_BYTES = ["text", 1, 1.5, True, [1], {"a": 1}, object(), print, ("t", 0)]


@pytest.mark.parametrize("wrong", NO_BYTES, ids=repr)
def test_what_is_no_bytes_is_a_type_error(oncelog_engine: oncelog.Engine, topic: str, wrong: Any) -> None:
    producer = oncelog_engine.producer()
    transaction = oncelog_engine.transactional_producer("x").begin_transaction()
    batch = oncelog.Batch()
    for call in (
        lambda: producer.send(topic, wrong),
        lambda: producer.send(topic, b"v", key=wrong),
        lambda: producer.send(topic, b"v", headers={"h": wrong}),
        lambda: producer.send_many(topic, [b"v", wrong]),
        lambda: producer.send_many(topic, [b"v"], [wrong]),
        lambda: transaction.send(topic, wrong),
        lambda: batch.add(wrong),
        lambda: oncelog.Batch.from_bytes(wrong),
    ):
        with pytest.raises(TypeError):
            call()
    producer.flush()
    assert oncelog_engine.partition(topic, 0).bounds().end == 0 and len(batch) == 0


def test_the_error_for_text_says_to_encode_it(oncelog_engine: oncelog.Engine, topic: str) -> None:
    with pytest.raises(TypeError, match="encode"):
        oncelog_engine.producer().send(topic, "text")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="None is needed, not int"):
        oncelog_engine.producer().send(topic, 5)  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", [-1, 1 << 32, 1 << 64, 1 << 200])
def test_numbers_out_of_range_are_argument_errors(oncelog_engine: oncelog.Engine, topic: str, wrong: int) -> None:
    producer = oncelog_engine.producer()
    calls: list[Callable[[], object]] = [
        lambda: producer.send(topic, b"v", partition=wrong),
        lambda: oncelog_engine.partition(topic, wrong),
        lambda: oncelog_engine.create_topic("u", partitions=wrong),
        lambda: oncelog_engine.add_partitions(topic, wrong),
        lambda: oncelog_engine.consumer((topic, wrong)),
    ]
    if wrong < 0 or wrong >= 1 << 64:
        calls += [
            lambda: producer.send(topic, b"v", position=wrong),
            lambda: oncelog_engine.partition(topic, 0).read(wrong),
            lambda: oncelog_engine.wait_durable(wrong),
            lambda: oncelog_engine.consumer(topic).seek((topic, 0), wrong),
            lambda: oncelog_engine.consumer(topic, group="g").commit({(topic, 0): wrong}),
            lambda: oncelog_engine.consumer(topic, max_bytes=wrong),
        ]
    for call in calls:
        with pytest.raises((oncelog.ArgumentError, oncelog.UnknownTopicOrPartitionError)):
            call()


@pytest.mark.parametrize("wrong", [None, "1", 1.0, b"1", [], object()], ids=repr)
def test_what_is_no_number_is_a_type_error(oncelog_engine: oncelog.Engine, topic: str, wrong: Any) -> None:
    for call in (
        lambda: oncelog_engine.partition(topic, wrong),
        lambda: oncelog_engine.partition(topic, 0).read(wrong),
        lambda: oncelog_engine.add_partitions(topic, wrong),
        lambda: oncelog_engine.consumer((topic, wrong)),
        lambda: oncelog_engine.consumer(topic).seek((topic, 0), wrong),
    ):
        with pytest.raises(TypeError):
            call()


@pytest.mark.parametrize("wrong", [None, 1, b"t", [], object()], ids=repr)
def test_what_is_no_name_is_a_type_error(oncelog_engine: oncelog.Engine, topic: str, wrong: Any) -> None:
    for call in (
        lambda: oncelog_engine.create_topic(wrong),
        lambda: oncelog_engine.partition(wrong, 0),
        lambda: oncelog_engine.producer().send(wrong, b"v"),
        lambda: oncelog_engine.transactional_producer(wrong),
        lambda: oncelog_engine.consumer(wrong),
        lambda: oncelog_engine.consumer(topic, start=wrong),
        lambda: oncelog_engine.consumer(topic).position((wrong, 0)),
    ):
        with pytest.raises((TypeError, ValueError)):
            call()


@pytest.mark.parametrize("wrong", ["ab", b"ab", 5, {1: b"v"}, [("h",)], [("h", b"v", 1)], [b"h"], [None]], ids=repr)
def test_malformed_headers_are_refused(oncelog_engine: oncelog.Engine, topic: str, wrong: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        oncelog_engine.producer().send(topic, b"v", headers=wrong)


@pytest.mark.parametrize("wrong", [5, [1], {1: 2}, {("t", 0): "1"}, {("t", 0): (1, 2, 3)}, {("t",): 1}, None], ids=repr)
def test_malformed_offsets_are_refused(oncelog_engine: oncelog.Engine, topic: str, wrong: Any) -> None:
    consumer = oncelog_engine.consumer(topic, group="g")
    with pytest.raises((TypeError, ValueError, AttributeError)):
        consumer.commit_offsets(wrong)


def test_a_path_that_leads_nowhere_is_told(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"")
    for path in (file, file / "log", tmp_path / "a" / "\0"):
        with pytest.raises((oncelog.Error, ValueError)):
            oncelog.open(path)
    with pytest.raises(oncelog.Error):
        oncelog.open(tmp_path / "missing", create=False)
    nothings: list[Any] = [None, 5]
    for nothing in nothings:
        with pytest.raises((TypeError, oncelog.Error)):
            oncelog.open(nothing)
    wrongs: list[dict[str, Any]] = [{"durability": "none"}, {"segment_bytes": 1}, {"flush_interval": -1}]
    for options in [*wrongs, {"flush_interval": 1e300}, {"visibility": "none"}]:
        with pytest.raises(oncelog.ArgumentError):
            oncelog.open(tmp_path / "log", **options)
    unlike: list[dict[str, Any]] = [{"visibility": None}, {"keep_raw_transactions": 1}, {"transaction_memory": 1.5}]
    for options in [*unlike, {"transaction_timeout_max": "1"}]:
        with pytest.raises(TypeError):
            oncelog.open(tmp_path / "log", **options)
    with pytest.raises(TypeError):
        oncelog.open(tmp_path / "log", durable=True)  # type: ignore[call-arg]


def test_what_is_too_large_is_refused_and_the_rest_goes_on(oncelog_engine: oncelog.Engine, topic: str) -> None:
    producer = oncelog_engine.producer()
    for call in (
        lambda: producer.send(topic, bytes(1 << 21)),
        lambda: producer.send(topic, b"", key=bytes(1 << 21)),
        lambda: producer.send(topic, b"", headers={"h": bytes(1 << 21)}),
        lambda: producer.send_many(topic, [bytes(1 << 21)]),
        lambda: oncelog.Batch().add(bytes(1 << 21)),
    ):
        with pytest.raises(oncelog.RecordTooLargeError):
            call()
    big = producer.send(topic, bytes(1_000_000)).result()
    assert oncelog_engine.partition(topic, 0).read(big.offset)[0].value == bytes(1_000_000)
    for time in (-2, -(1 << 62)):
        with pytest.raises(oncelog.InvalidRecordError):
            producer.send(topic, b"v", timestamp_ms=time)


def test_an_iterable_that_fails_half_way_sends_nothing(oncelog_engine: oncelog.Engine, topic: str) -> None:
    def values() -> Iterator[bytes]:
        yield b"a"
        raise ZeroDivisionError

    producer = oncelog_engine.producer()
    with pytest.raises(ZeroDivisionError):
        producer.send_many(topic, values())
    with pytest.raises(TypeError):
        producer.send_many(topic, 5)  # type: ignore[arg-type]
    producer.flush()
    assert oncelog_engine.partition(topic, 0).bounds().end == 0


def test_columns_without_an_end_are_refused(oncelog_engine: oncelog.Engine, topic: str) -> None:
    producer = oncelog_engine.producer(name="loader")
    transaction = oncelog_engine.transactional_producer("x").begin_transaction()
    values = [b"a", b"b"]
    for call in (
        lambda: producer.send_many(topic, values, positions=itertools.count()),
        lambda: producer.send_many(topic, values, itertools.repeat(b"k"), positions=range(2)),
        lambda: producer.send_many(topic, values, positions=range(2), timestamps_ms=itertools.repeat(1)),
        lambda: transaction.send_many(topic, values, itertools.repeat(b"k")),
    ):
        with pytest.raises(oncelog.ArgumentError, match="as many as there are values, values=2 .*=3 or more"):
            call()
    with pytest.raises(oncelog.ArgumentError, match="values=2 keys=1$"):
        transaction.send_many(topic, values, iter([b"k"]))
    positions = itertools.islice(itertools.count(), len(values))
    assert len(producer.send_many(topic, values, iter(values), positions=positions).result()) == 2


def test_a_released_view_is_refused(oncelog_engine: oncelog.Engine, topic: str) -> None:
    view = memoryview(b"v")
    view.release()
    with pytest.raises(ValueError):
        oncelog_engine.producer().send(topic, view)


def test_a_buffer_that_calls_back_is_harmless(oncelog_engine: oncelog.Engine, topic: str) -> None:
    producer = oncelog_engine.producer()

    class Name:
        def __len__(self) -> int:
            return 1

        def __iter__(self) -> Iterator[tuple[str, bytes]]:
            producer.send(topic, b"from within").result()
            yield ("h", b"v")

    producer.send(topic, b"outer", headers=Name()).result()
    assert oncelog_engine.partition(topic, 0).read(0).values() == [b"from within", b"outer"]


def test_nothing_can_be_made_or_changed_by_hand(oncelog_engine: oncelog.Engine, topic: str) -> None:
    producer = oncelog_engine.producer()
    for kind in (oncelog.Engine, oncelog.Producer, oncelog.Ticket, oncelog.Records, oncelog.Record, oncelog.Consumer):
        with pytest.raises(TypeError):
            kind()
    with pytest.raises(AttributeError):
        producer.position = 5  # type: ignore[misc]
    with pytest.raises(AttributeError):
        producer.other = 5  # type: ignore[attr-defined]
    with pytest.raises(TypeError):
        type("Own", (oncelog.Engine,), {})


def test_a_random_caller_never_meets_anything_but_typed_errors(oncelog_engine: oncelog.Engine) -> None:
    engine, dice = oncelog_engine, random.Random(20)
    names = ["a", "b", "", "no such", None, 5, "x" * 300, "\ud800"]
    numbers = [0, 1, 2, -1, 1 << 31, 1 << 64, None, "1", 0.5]
    data = [b"v", b"", None, bytearray(b"w"), "text", 5, bytes(70_000)]
    things: list[Any] = [engine, engine.producer()]
    methods = ["send", "send_many", "flush", "create_topic", "topics", "partition", "producer", "consumer", "poll"]
    methods += ["seek", "position", "positions", "committed", "rewind", "lag", "bounds", "assign", "read", "append"]
    methods += ["transactional_producer", "begin_transaction", "begin_transaction_for", "send_position", "abort"]
    methods += ["commit_ticket", "done", "group_metadata", "values", "columns", "to_list", "next_offset", "_next"]
    methods += ["next_place", "offset_at", "max_timestamp", "init_producer", "end_transaction", "send_offsets"]
    methods += ["abort_transaction", "transaction_status", "describe_transactions", "producers", "committed_offsets"]
    methods += ["try_send", "has_room"]
    answered = 0
    for _ in range(40_000):
        thing, method = dice.choice(things), dice.choice(methods)
        call = getattr(thing, method, None)
        if not callable(call):
            continue
        pool: list[Any] = [*names, *numbers, *data, ("a", 0), [b"v", b"w"], {("a", 0): 1}, *things[-5:]]
        pool += [(0, 0), (1, 1), (1, 1, 0), ("g",), "commit", "abort"]
        arguments = [dice.choice(pool) for _ in range(dice.randrange(4))]
        if method in ("poll", "result"):
            arguments = [0]
        try:
            found = call(*arguments)
        except (oncelog.Error, TypeError, ValueError, AttributeError, StopIteration):
            continue
        answered += 1
        if type(found).__module__ == "oncelog" and len(things) < 200:
            things.append(found)
        elif type(found).__module__ == "oncelog":
            things[dice.randrange(2, 200)] = found
    assert answered > 200, "most calls are wrong, but not all"
    assert [topic.name for topic in engine.topics()] == sorted({topic.name for topic in engine.topics()})
    assert list(itertools.islice(engine.consumer(timeout=0, group="g").positions(), 5)) == []


def test_offsets_must_be_a_mapping(oncelog_engine: oncelog.Engine, topic: str) -> None:
    consumer = oncelog_engine.consumer(topic, group="g")
    transaction = oncelog_engine.transactional_producer("x").begin_transaction()
    for wrong in ({(topic, 0)}, [((topic, 0), 1)], 5, "offsets"):
        for call in (consumer.commit, consumer.commit_offsets):
            with pytest.raises(TypeError, match="offsets are a mapping from partitions"):
                call(wrong)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="offsets are a mapping from partitions"):
            transaction.send_offsets(consumer.group_metadata(), wrong)  # type: ignore[arg-type]


def test_a_directory_is_text_or_bytes_and_has_no_zero_in_it(tmp_path: Path) -> None:
    oncelog.open(os.fsencode(tmp_path / "log")).close()
    oncelog.open(tmp_path / "log", create=False).close()
    for wrong in ("a\0b", b"a\0b"):
        with pytest.raises(oncelog.ArgumentError, match="zero bytes"):
            oncelog.open(wrong)
    with pytest.raises(TypeError, match="str, bytes or os.PathLike"):
        oncelog.open(5)  # type: ignore[arg-type]


def test_a_time_that_is_too_long_is_not_called_negative(tmp_path: Path) -> None:
    with pytest.raises(oncelog.ArgumentError, match="less than"):
        oncelog.open(tmp_path / "log", flush_interval=1e30)
    with pytest.raises(oncelog.ArgumentError, match="0 or more"):
        oncelog.open(tmp_path / "log", flush_interval=-1)


def test_references_to_objects_are_no_bytes(oncelog_engine: oncelog.Engine, topic: str) -> None:
    numpy = pytest.importorskip("numpy")
    producer = oncelog_engine.producer()
    for value in (numpy.array([object()]), numpy.zeros(1, dtype=[("a", "i4"), ("b", "O")])):
        with pytest.raises(TypeError, match="references to Python objects"):
            producer.send(topic, value)
        with pytest.raises(TypeError, match="references to Python objects"):
            producer.send_many(topic, [value])
    assert producer.send(topic, numpy.zeros(2, dtype=[("a", "i4"), ("b", "f8")])).result().offset == 0


def test_times_past_what_a_float_holds_are_as_times_that_are_too_long(
    oncelog_engine: oncelog.Engine, topic: str
) -> None:
    ticket, consumer, most = oncelog_engine.producer().send(topic, b"v"), oncelog_engine.consumer(topic), 10**400
    assert ticket.result(timeout=most).offset == 0 and len(consumer.poll(timeout=most)) == 1
    calls: list[Callable[[], object]] = [
        lambda: ticket.result(timeout=-most),
        lambda: consumer.poll(timeout=-most),
        lambda: oncelog_engine.consumer(topic, timeout=-most),
        lambda: oncelog_engine.producer(linger=most),
        lambda: oncelog_engine.transactional_producer("x", transaction_timeout=-most),
        lambda: oncelog_engine.init_producer(timeout=-most),
        lambda: oncelog.open("log", flush_interval=most),
        lambda: oncelog.open("log", transaction_timeout_max=-most),
    ]
    for call in calls:
        with pytest.raises(oncelog.ArgumentError):
            call()
