"""Sending, and what tickets answer."""

from __future__ import annotations

import array
import copy
import mmap
import pickle
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import oncelog


def values(engine: oncelog.Engine, topic: str, partition: int = 0) -> list[bytes | None]:
    return engine.partition(topic, partition).read(0).values()


def test_a_record_comes_back_as_it_was_sent(oncelog_engine: oncelog.Engine, topic: str) -> None:
    producer = oncelog_engine.producer()
    headers = [("trace", b"7f"), ("trace", None), ("", b"")]
    ticket = producer.send(topic, b"v", key=b"k", headers=headers, partition=0, timestamp_ms=17)
    appended = ticket.result()
    assert (appended.offset, appended.timestamp, appended.duplicate) == (0, 17, False)
    assert ticket.done() and ticket.result() == appended
    record = oncelog_engine.partition(topic, 0).read(0)[0]
    assert (record.topic, record.partition, record.offset, record.timestamp) == (topic, 0, 0, 17)
    assert (record.key, record.value, record.headers) == (b"k", b"v", tuple(headers))


def test_a_ticket_that_is_kept_is_nobody_elses(oncelog_engine: oncelog.Engine, topic: str) -> None:
    producer = oncelog_engine.producer(linger=3600)
    kept, expected = [], []
    for offset in range(200):
        ticket = producer.send(topic, b"v")
        if offset % 3 != 1:
            kept.append(ticket)
            expected.append(offset)
        if offset % 7 == 0:
            del ticket
    assert [ticket.result().offset for ticket in kept] == expected
    assert len({id(ticket) for ticket in kept}) == len(kept)


def test_a_ticket_that_a_thread_waits_for_is_nobody_elses(oncelog_engine: oncelog.Engine, topic: str) -> None:
    producer = oncelog_engine.producer(linger=3600)
    offsets: list[int] = []

    def wait(ticket: oncelog.Ticket[oncelog.Appended]) -> None:
        offsets.append(ticket.result().offset)

    for _ in range(20):
        waiting = threading.Thread(target=wait, args=[producer.send(topic, b"v")])
        waiting.start()
        producer.send(topic, b"other")
        waiting.join()
    assert offsets == list(range(0, 40, 2))


def test_a_send_that_takes_no_waiting_is_made_or_nothing_is_sent(tmp_path: Path) -> None:
    # Without threads nobody writes what is gathered, so the buffers are full one day.
    with oncelog.open(tmp_path / "log", threads=False, durability="os") as engine:
        engine.create_topic("t")
        producer, large = engine.producer(linger=0), bytes(200_000)
        assert engine.has_room(1_000)
        sent, full = 0, 0
        while full < 3:
            ticket = producer.try_send("t", large, key=b"k", headers={"h": b""}, partition=0, timestamp_ms=17)
            if ticket is None:
                full += 1
                assert not engine.has_room(len(large))
                engine.flush()
                assert engine.has_room(len(large))
            else:
                sent += 1
        producer.flush()
        assert engine.partition("t", 0).bounds().end == sent > 3
        record = engine.partition("t", 0).read(0)[0]
        assert (record.key, record.value, record.timestamp) == (b"k", large, 17) and record.headers == (("h", b""),)
        with pytest.raises(oncelog.UnknownTopicOrPartitionError):
            producer.try_send("nowhere", b"")
        with pytest.raises(oncelog.ArgumentError):
            producer.try_send("t", b"", position=1)
        named = engine.producer(name="loader")
        first, again = named.try_send("t", b"v", position=1), named.try_send("t", b"v", position=1)
        assert first is not None and again is not None and again.result().duplicate
    with pytest.raises(oncelog.ClosedError):
        producer.try_send("t", b"")


def test_none_and_empty_are_different_things(oncelog_engine: oncelog.Engine, topic: str) -> None:
    producer = oncelog_engine.producer()
    for value, key in [(None, b""), (b"", None)]:
        producer.send(topic, value, key=key).result()
    records = oncelog_engine.partition(topic, 0).read(0).to_list()
    assert [(record.value, record.key) for record in records] == [(None, b""), (b"", None)]
    assert records[0].value_view is None and bytes(records[1].value_view or ()) == b""


def buffers() -> list[tuple[object, bytes]]:
    mapped = mmap.mmap(-1, 4)
    mapped[:] = b"mmap"
    grid = memoryview(bytes(range(12))).cast("B", shape=[3, 4])
    return [
        (bytearray(b"bytearray"), b"bytearray"),
        (memoryview(b"view"), b"view"),
        (memoryview(b"a-b-c-")[::2], b"abc"),
        (memoryview(b"cba")[::-1], b"abc"),
        (grid, bytes(range(12))),
        (array.array("i", [1, -1]), array.array("i", [1, -1]).tobytes()),
        (array.array("d", []), b""),
        (mapped, b"mmap"),
        (type("Bytes", (bytes,), {})(b"subclass"), b"subclass"),
    ]


@pytest.mark.parametrize(("data", "expected"), buffers(), ids=lambda item: type(item).__name__)
def test_everything_with_a_buffer_is_bytes(
    oncelog_engine: oncelog.Engine, topic: str, data: bytes, expected: bytes
) -> None:
    producer = oncelog_engine.producer()
    producer.send(topic, data, key=data, headers={"h": data}).result()
    producer.send_many(topic, [data, b"x"], [data, None]).result()
    for record in oncelog_engine.partition(topic, 0).read(0).to_list()[:2]:
        assert (record.value, record.key) == (expected, expected)
    assert oncelog_engine.partition(topic, 0).read(0)[0].headers == (("h", expected),)


def test_what_changes_after_the_send_is_not_seen(oncelog_engine: oncelog.Engine, topic: str) -> None:
    data = bytearray(b"before")
    ticket = oncelog_engine.producer().send(topic, data)
    data[:] = b"after!"
    ticket.result()
    assert values(oncelog_engine, topic) == [b"before"]


def test_many_records_have_one_ticket_and_an_answer_each(oncelog_engine: oncelog.Engine, topic: str) -> None:
    producer = oncelog_engine.producer()
    ticket = producer.send_many(
        topic, (b"%d" % n for n in range(5)), [b"k", None] * 2 + [b""], headers={"h": b"v"}, timestamps_ms=range(5)
    )
    answers = ticket.result()
    assert [answer.offset for answer in answers] == [0, 1, 2, 3, 4] and ticket.result() == answers
    records = oncelog_engine.partition(topic, 0).read(0).to_list()
    assert [record.timestamp for record in records] == [0, 1, 2, 3, 4]
    assert [record.key for record in records] == [b"k", None, b"k", None, b""]
    assert {record.headers for record in records} == {(("h", b"v"),)}
    assert producer.send_many(topic, []).result() == []


def test_columns_of_different_lengths_are_refused_and_nothing_is_sent(
    oncelog_engine: oncelog.Engine, topic: str
) -> None:
    producer = oncelog_engine.producer()
    wrongs: list[dict[str, Any]] = [{"keys": [b"k"]}, {"timestamps_ms": [1, 2, 3]}, {"positions": []}]
    for wrong in wrongs:
        with pytest.raises(oncelog.ArgumentError):
            producer.send_many(topic, [b"a", b"b"], **wrong)
    producer.flush()
    assert values(oncelog_engine, topic) == []


def test_a_named_producer_goes_on_where_it_stood(oncelog_open: Callable[..., oncelog.Engine]) -> None:
    engine = oncelog_open()
    engine.create_topic("lines")
    loader = engine.producer(name="loader")
    assert loader.position is None
    loader.send_many("lines", [b"a", b"b"], positions=[1, 2])
    loader.send("lines", b"c", position=7)
    loader.flush()
    assert loader.position == 7
    engine.close()

    engine = oncelog_open()
    loader = engine.producer(name="loader")
    assert loader.position == 7
    assert loader.send("lines", b"c", position=7).result().duplicate
    assert not loader.send("lines", b"d", position=8).result().duplicate
    newer = engine.producer(name="loader")
    with pytest.raises(oncelog.ProducerFencedError) as error:
        loader.send("lines", b"e", position=9).result()
    assert error.value.fatal and not error.value.retriable
    assert newer.position == 8
    engine.delete_producer("loader")
    assert engine.producer(name="loader").position is None


def test_positions_without_a_name_and_names_without_a_position_are_refused(
    oncelog_engine: oncelog.Engine, topic: str
) -> None:
    with pytest.raises(oncelog.ArgumentError):
        oncelog_engine.producer().send(topic, b"v", position=1)
    with pytest.raises(oncelog.ArgumentError):
        oncelog_engine.producer(name="n").send(topic, b"v")


def test_a_ticket_that_is_not_done_in_time_says_so_and_stays_good(
    oncelog_open: Callable[..., oncelog.Engine],
) -> None:
    engine = oncelog_open(durability="disk")
    engine.create_topic("t")
    producer = engine.producer(linger=3600)
    ticket = producer.send("t", b"v")
    assert not ticket.done(), "asking closes no batch"
    assert ticket.result(timeout=600).offset == 0
    for wrong in (-1, float("nan")):
        with pytest.raises(oncelog.ArgumentError):
            ticket.result(timeout=wrong)
    assert ticket.result(timeout=float("inf")).offset == 0


def test_a_ticket_is_asked_by_many_threads(oncelog_engine: oncelog.Engine, topic: str) -> None:
    ticket = oncelog_engine.producer().send(topic, b"v")
    answers: list[oncelog.Appended] = []
    threads = [threading.Thread(target=lambda: answers.append(ticket.result())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 8 and all(answer == answers[0] for answer in answers)


def test_a_dropped_ticket_cancels_nothing(oncelog_engine: oncelog.Engine, topic: str) -> None:
    producer = oncelog_engine.producer()
    for n in range(100):
        producer.send(topic, b"%d" % n)
    producer.flush()
    assert values(oncelog_engine, topic) == [b"%d" % n for n in range(100)]


def test_options_are_kept(oncelog_engine: oncelog.Engine, topic: str) -> None:
    producer = oncelog_engine.producer(batch_bytes=0, linger=0, durability="disk")
    tickets = [producer.send(topic, b"v") for _ in range(3)]
    assert len({ticket.result().lsn for ticket in tickets}) == 3, "a batch each"
    wrongs: list[dict[str, Any]] = [{"linger": -1.0}, {"batch_bytes": 1 << 30}, {"durability": "never"}]
    for wrong in wrongs:
        with pytest.raises(oncelog.ArgumentError):
            oncelog_engine.producer(**wrong)


def test_the_end_of_a_with_block_flushes(oncelog_engine: oncelog.Engine, topic: str) -> None:
    with oncelog_engine.producer(linger=3600) as producer:
        ticket = producer.send(topic, b"kept", partition=0)
        assert not ticket.done()
    assert ticket.done() and values(oncelog_engine, topic) == [b"kept"]


def test_a_with_block_that_raises_flushes_and_raises_its_own_error(oncelog_engine: oncelog.Engine, topic: str) -> None:
    with pytest.raises(ZeroDivisionError), oncelog_engine.producer(linger=3600) as producer:
        producer.send(topic, b"kept", partition=0)
        raise ZeroDivisionError
    assert values(oncelog_engine, topic) == [b"kept"]
    with pytest.raises(ZeroDivisionError), oncelog_engine.producer() as producer:
        oncelog_engine.close()
        raise ZeroDivisionError
    with pytest.raises(oncelog.ClosedError), producer:
        pass


def test_where_a_record_went_is_a_value_like_any_other(oncelog_engine: oncelog.Engine, topic: str) -> None:
    tickets = [oncelog_engine.producer().send(topic, b"v") for _ in range(2)]
    first, second = (ticket.result() for ticket in tickets)
    for copied in (pickle.loads(pickle.dumps(first)), copy.copy(first), copy.deepcopy(first)):
        assert copied == first and hash(copied) == hash(first) and repr(copied) == repr(first)
    assert len({first, second, tickets[0].result()}) == 2
