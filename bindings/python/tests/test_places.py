"""Where a reader stands: places that outlive a life of the log, times, and what may be seen."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import oncelog

Script = Callable[..., subprocess.CompletedProcess[str]]


def test_reading_goes_on_from_a_place_in_this_life_and_the_next(oncelog_open: Callable[..., oncelog.Engine]) -> None:
    with oncelog_open() as engine:
        engine.create_topic("t")
        engine.producer().send_many("t", [b"a", b"b"]).result()
        events = engine.partition("t", 0)
        records = events.read(0)
        place = records.next_place("t", 0)
        assert isinstance(place, oncelog.Place)
        assert (place.offset, place.incarnation, place.lsn > 0) == (2, engine.opening.incarnation, True)
        assert records.next_place("t", 1) is None and records.next_place("u", 0) is None
        assert not events.read(place)
        engine.producer().send("t", b"c").result()
        assert events.read(place).values() == [b"c"]
        consumed = engine.consumer("t").poll().next_place("t", 0)
        assert consumed is not None and consumed.offset == 3
    events = oncelog_open().partition("t", 0)
    assert events.read(place, max_bytes=1, isolation="read_uncommitted").values() == [b"c"]
    assert not events.read(consumed)
    assert events.read(tuple(place)).values() == [b"c"]  # type: ignore[arg-type]


def test_a_place_behind_records_that_a_crash_took_is_told_so(script: Script, tmp_path: Path) -> None:
    done = script(
        """
import oncelog, os
engine = oncelog.open("log", durability="os", flush_interval=3600)
engine.create_topic("t")
engine.partition("t", 0)
producer = engine.producer()
for value in (b"kept", b"value"):
    producer.send("t", value).result()
    print(*engine.partition("t", 0).read(0).next_place("t", 0), flush=True)
os.kill(os.getpid(), 9)
"""
    )
    kept, lost = (oncelog.Place(*map(int, line.split())) for line in done.stdout.splitlines())
    assert (kept.offset, lost.offset) == (1, 2)
    # As a power cut leaves what was not flushed.
    for file in (tmp_path / "log").iterdir():
        data = file.read_bytes()
        at = data.rfind(b"value")
        if at >= 0:
            file.write_bytes(data[:at] + b"VALUE" + data[at + 5 :])
    with oncelog.open(tmp_path / "log") as engine:
        opening = engine.opening
        assert opening.cut is not None and opening.folding > 0
        assert 0 < opening.frames_folded < opening.bytes_folded
        events = engine.partition("t", 0)
        engine.producer().send_many("t", [b"other", b"another"]).result()
        with pytest.raises(oncelog.TruncatedError) as error:
            events.read(lost)
        assert isinstance(error.value, oncelog.OffsetOutOfRangeError) and not error.value.retriable
        assert events.read(kept).values() == [b"other", b"another"]


@pytest.mark.parametrize("wrong", [None, "0", 1.0, (1, 2), (1, 2, 3, 4), ("1", 2, 3), [1, 2, 3]], ids=repr)
def test_what_is_no_place_is_a_type_error(oncelog_engine: oncelog.Engine, topic: str, wrong: Any) -> None:
    with pytest.raises(TypeError):
        oncelog_engine.partition(topic, 0).read(wrong)


def test_places_out_of_range_are_refused(oncelog_engine: oncelog.Engine, topic: str) -> None:
    events = oncelog_engine.partition(topic, 0)
    for wrong in ((-1, 0, 0), (0, 1 << 64, 0), (0, 0, -1), (1 << 40, 0, 0)):
        with pytest.raises(oncelog.Error) as error:
            events.read(oncelog.Place(*wrong))
        assert isinstance(error.value, oncelog.ArgumentError | oncelog.TruncatedError)
    records = events.read(0)
    for call in (records.next_place, records.next_offset):
        with pytest.raises(oncelog.ArgumentError):
            call(topic, -1)


def test_readers_see_what_is_durable_only_if_they_are_to(oncelog_open: Callable[..., oncelog.Engine]) -> None:
    ends = {}
    for visibility in ("level", "durable"):
        with oncelog_open(visibility=visibility, flush_interval=3600) as engine:
            if not engine.topics():
                engine.create_topic("t", durability="os")
            events = engine.partition("t", 0)
            before = events.bounds().end
            engine.producer().send("t", b"v").result()
            ends[visibility] = events.bounds().end - before
            engine.flush()
            assert events.bounds().end == before + 1
    assert ends == {"level": 1, "durable": 0}
    with pytest.raises(oncelog.ArgumentError):
        oncelog_open(visibility="all")


def test_records_are_found_by_their_time(oncelog_engine: oncelog.Engine, topic: str) -> None:
    events = oncelog_engine.partition(topic, 0)
    assert events.offset_at(0) is None and events.max_timestamp() is None
    oncelog_engine.producer().send_many(topic, [b"v"] * 4, timestamps_ms=[100, 300, 200, 300]).result()
    assert [events.offset_at(time) for time in (0, 100, 101, 300, 301)] == [0, 0, 1, 1, None]
    latest = events.max_timestamp()
    assert latest == (1, 300) and isinstance(latest, oncelog.OffsetAndTimestamp)
    assert (latest.offset, latest.timestamp) == (1, 300)
    for wrong in (-1, 1 << 63):
        with pytest.raises(oncelog.ArgumentError):
            events.offset_at(wrong)
    nothings: list[Any] = [None, "0", 1.5]
    for nothing in nothings:
        with pytest.raises(TypeError):
            events.offset_at(nothing)


def test_what_is_not_stable_is_found_at_read_uncommitted_only(oncelog_engine: oncelog.Engine, topic: str) -> None:
    events = oncelog_engine.partition(topic, 0)
    with oncelog_engine.transactional_producer("x", transaction_buffer=0).begin_transaction() as transaction:
        transaction.send(topic, b"v", timestamp_ms=5)
        oncelog_engine.flush()
        assert events.bounds().end == 1 and events.offset_at(0) is None and events.max_timestamp() is None
        assert events.offset_at(0, isolation="read_uncommitted") == 0
        assert events.max_timestamp(isolation="read_uncommitted") == (0, 5)
        wrong: Any = "dirty"
        for call in (lambda: events.offset_at(0, isolation=wrong), lambda: events.max_timestamp(isolation=wrong)):
            with pytest.raises(oncelog.ArgumentError):
                call()
    assert events.offset_at(0) == 0 and events.max_timestamp() == (0, 5)


def test_records_carry_the_time_of_the_append_where_the_topic_says_so(oncelog_engine: oncelog.Engine) -> None:
    oncelog_engine.create_topic("sent")
    oncelog_engine.create_topic("stamped", timestamp_type="append")
    whose = {info.name: info.timestamp_type for info in oncelog_engine.topics()}
    assert whose == {"sent": "create", "stamped": "append"}
    producer = oncelog_engine.producer()
    assert producer.send("sent", b"v", timestamp_ms=5).result().timestamp == 5
    stamped = producer.send("stamped", b"v", timestamp_ms=5).result().timestamp
    (record,) = oncelog_engine.partition("stamped", 0).read(0)
    assert record.timestamp == stamped > 1_600_000_000_000
    with pytest.raises(oncelog.ArgumentError, match="'create' or 'append'"):
        oncelog_engine.create_topic("u", timestamp_type="none")  # type: ignore[arg-type]
