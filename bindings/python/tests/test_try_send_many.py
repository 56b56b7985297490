"""As many records as can be sent without waiting."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import oncelog


def insist(producer: oncelog.Producer, topic: str, values: list[Any], **columns: Any) -> oncelog.SentMany:
    """Until the producer is free: the engine's own thread may look at it right then."""
    while True:
        answer = producer.try_send_many(topic, values, **columns)
        if answer.sent or answer.refused is not None:
            return answer


def test_all_are_sent_where_there_is_room(oncelog_engine: oncelog.Engine, topic: str) -> None:
    producer = oncelog_engine.producer(linger=3600)
    values = [b"a", None, b""]
    answer = insist(producer, topic, values, keys=[b"k", b"", None], headers={"h": b"v"}, timestamps_ms=range(3))
    assert isinstance(answer, oncelog.SentMany)
    assert (answer.sent, answer.refused) == (3, None) and not answer.ticket.done()
    assert [appended.offset for appended in answer.ticket.result()] == [0, 1, 2]
    records = oncelog_engine.partition(topic, 0).read(0).to_list()
    assert [record.value for record in records] == values and [record.key for record in records] == [b"k", b"", None]
    assert [record.timestamp for record in records] == [0, 1, 2] and records[2].headers == (("h", b"v"),)
    nothing = producer.try_send_many(topic, [])
    assert (nothing.sent, nothing.ticket.result(), nothing.refused) == (0, [], None)


def test_what_a_record_is_refused_for_is_told_and_those_before_it_are_sent(
    oncelog_engine: oncelog.Engine, topic: str
) -> None:
    producer = oncelog_engine.producer()
    sent, ticket, refused = insist(producer, topic, [b"a", b"b", bytes(1 << 21), b"c"])
    assert sent == 2 and isinstance(refused, oncelog.RecordTooLargeError) and not refused.retriable
    assert [appended.offset for appended in ticket.result()] == [0, 1]
    with pytest.raises(oncelog.RecordTooLargeError):
        raise refused
    wrongs: list[tuple[dict[str, Any], type[oncelog.Error]]] = [
        ({"topic": "nowhere"}, oncelog.UnknownTopicOrPartitionError),
        ({"partition": 7}, oncelog.UnknownTopicOrPartitionError),
        ({"positions": [1]}, oncelog.ArgumentError),
        ({"timestamps_ms": [-2]}, oncelog.InvalidRecordError),
    ]
    for wrong, kind in wrongs:
        sent, ticket, refused = insist(producer, **{"topic": topic, "values": [b"v"], **wrong})
        assert sent == 0 and ticket.result() == [] and type(refused) is kind
    producer.flush()
    assert oncelog_engine.partition(topic, 0).bounds().end == 2


def test_what_is_no_record_is_raised_and_nothing_is_sent(oncelog_engine: oncelog.Engine, topic: str) -> None:
    producer = oncelog_engine.producer()

    def half() -> Iterator[bytes]:
        yield b"a"
        raise ZeroDivisionError

    values: list[Any] = [5, None, [b"a", "text"], [b"a", 1]]
    for wrong in values:
        with pytest.raises(TypeError):
            producer.try_send_many(topic, wrong)
    with pytest.raises(ZeroDivisionError):
        producer.try_send_many(topic, half())
    wrongs: list[dict[str, Any]] = [{"keys": [b"k"]}, {"timestamps_ms": [1, 2, 3]}, {"positions": []}]
    for columns in [*wrongs, {"partition": -1}, {"partition": 1 << 32}]:
        with pytest.raises(oncelog.ArgumentError):
            producer.try_send_many(topic, [b"a", b"b"], **columns)
    producer.flush()
    assert oncelog_engine.partition(topic, 0).bounds().end == 0


def test_it_stops_where_it_would_wait_and_goes_on_when_there_is_room(tmp_path: Path) -> None:
    # Without threads nobody writes what is gathered, so the buffers are full one day.
    with oncelog.open(tmp_path / "log", threads=False, durability="os") as engine:
        engine.create_topic("t")
        producer, large = engine.producer(linger=0, batch_bytes=0), bytes(200_000)
        left, rounds = 100, 0
        while left:
            sent, ticket, refused = producer.try_send_many("t", [large] * left)
            assert refused is None
            left, rounds = left - sent, rounds + 1
            if left:
                assert not engine.has_room(len(large))
                engine.flush()
            assert len(ticket.result()) == sent
        assert rounds > 1 and engine.partition("t", 0).bounds().end == 100
    with pytest.raises(oncelog.ClosedError):
        producer.try_send_many("t", [b"v"])


def test_a_named_producer_answers_what_it_has_as_duplicates(oncelog_engine: oncelog.Engine, topic: str) -> None:
    named = oncelog_engine.producer(name="loader")
    assert insist(named, topic, [b"a", b"b"], positions=[1, 2]).sent == 2
    sent, ticket, refused = insist(named, topic, [b"b", b"c"], positions=[2, 3])
    assert (sent, refused) == (2, None)
    assert [appended.duplicate for appended in ticket.result()] == [True, False]
    sent, ticket, refused = insist(named, topic, [b"d"])
    assert (sent, type(refused)) == (0, oncelog.ArgumentError)


def test_a_log_that_is_read_only_takes_nothing(tmp_path: Path) -> None:
    oncelog.open(tmp_path / "log").close()
    with oncelog.open(tmp_path / "log", read_only=True) as engine, pytest.raises(oncelog.ReadOnlyError):
        engine.producer()


def test_nothing_waits_for_a_disk_that_stands_still(
    script: Callable[..., subprocess.CompletedProcess[str]], slow_disk: dict[str, str]
) -> None:
    done = script(
        """
import os
import oncelog

with oncelog.open("log", segment_bytes=65_536) as engine:
    engine.create_topic("t")
    producer = engine.producer(batch_bytes=0)
    producer.send("t", b"v").result()
    open("slow", "w").close()
    open("stuck", "w").close()
    total, last = 0, -1
    while total != last:
        last = total
        for _ in range(100):
            total += producer.try_send_many("t", [bytes(10_000)] * 10).sent
    os.remove("slow")
    os.remove("stuck")
    producer.flush()
    print(engine.partition("t", 0).bounds().end == total + 1)
""",
        env=slow_disk,
    )
    assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr
