"""The frame that a ticket waits for."""

from __future__ import annotations

import asyncio
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from test_try_send_many import insist

import oncelog
import oncelog.aio


def test_a_ticket_names_its_frame_before_and_behind_its_answer(oncelog_engine: oncelog.Engine, topic: str) -> None:
    producer = oncelog_engine.producer(linger=3600)
    ticket = producer.send(topic, b"v")
    lsn = ticket.lsn()
    assert lsn is not None and lsn > 0 and ticket.lsn() == lsn
    oncelog_engine.wait_durable(lsn)
    assert ticket.result().lsn == lsn == ticket.lsn()
    assert producer.send(topic, b"w").result().lsn > lsn


def test_asking_closes_the_batch_and_no_other(oncelog_engine: oncelog.Engine, topic: str) -> None:
    producer = oncelog_engine.producer(linger=3600)
    first, second = producer.send(topic, b"a"), producer.send(topic, b"b")
    assert first.lsn() == second.lsn(), "they lie in one batch"
    third = producer.send(topic, b"c")
    assert not third.done()
    other = third.lsn()
    assert other is not None and other > (second.lsn() or 0)


def test_every_kind_of_ticket_names_one(oncelog_engine: oncelog.Engine, topic: str) -> None:
    producer = oncelog_engine.producer(linger=3600)
    many = producer.send_many(topic, [b"a", b"b"])
    some = insist(producer, topic, [b"c"]).ticket
    batch = oncelog.Batch()
    batch.add(b"v")
    appended = oncelog_engine.partition(topic, 0).append(batch)
    transaction = oncelog_engine.transactional_producer("x").begin_transaction()
    transaction.send(topic, b"v")
    committed = transaction.commit_ticket()
    assert many.lsn() == many.result()[-1].lsn == many.lsn()
    assert some.lsn() == some.result()[-1].lsn
    assert appended.lsn() == appended.result().lsn
    assert committed.lsn() == committed.result().lsn == committed.lsn()


def test_what_wrote_nothing_names_none(oncelog_engine: oncelog.Engine, topic: str) -> None:
    empty = oncelog_engine.producer().send_many(topic, [])
    assert empty.lsn() is None and empty.result() == [] and empty.lsn() is None
    nothing = oncelog_engine.transactional_producer("x").begin_transaction().commit_ticket()
    assert nothing.lsn() is None and nothing.result().lsn == 0


def test_a_ticket_of_a_log_without_threads_needs_nobody_else(tmp_path: Path) -> None:
    with oncelog.open(tmp_path / "log", threads=False) as engine:
        engine.create_topic("t")
        ticket = engine.producer().send("t", b"v")
        lsn = ticket.lsn()
        assert lsn is not None and not ticket.done()
        assert ticket.result().lsn == lsn


def test_a_closed_log_tells_what_it_wrote(oncelog_open: Callable[..., oncelog.Engine]) -> None:
    engine = oncelog_open()
    engine.create_topic("t")
    producer = engine.producer(linger=3600)
    ticket = producer.send("t", b"v")
    engine.close()
    assert ticket.lsn() == ticket.result().lsn > 0


def test_threads_and_loops_that_wait_for_the_same_ticket_hear_the_same(
    oncelog_engine: oncelog.Engine, topic: str
) -> None:
    producer = oncelog_engine.producer(linger=3600)
    for _ in range(20):
        ticket = producer.send(topic, b"v")
        heard: list[int | None] = []

        async def awaited(ticket: oncelog.Ticket[oncelog.Appended]) -> oncelog.Appended:
            task = asyncio.ensure_future(as_coroutine(ticket))
            await asyncio.sleep(0)
            # Watched now, or answered.
            heard.append(ticket.lsn())
            return await task

        threads = [threading.Thread(target=lambda: heard.append(ticket.lsn())) for _ in range(3)]
        threads.append(threading.Thread(target=lambda: heard.append(ticket.result().lsn)))
        for thread in threads:
            thread.start()
        heard.append(asyncio.run(awaited(ticket)).lsn)
        for thread in threads:
            thread.join()
        assert len(heard) == 6 and set(heard) == {ticket.lsn()}


async def as_coroutine(ticket: oncelog.Ticket[oncelog.Appended]) -> oncelog.Appended:
    return await ticket


def test_a_refused_write_names_the_same_before_and_behind_its_answer(
    oncelog_engine: oncelog.Engine, topic: str
) -> None:
    # Kept: a producer that goes sends what it has gathered.
    producer = oncelog_engine.producer(linger=3600)
    ticket = producer.send(topic, b"v")
    oncelog_engine.delete_topic(topic)
    before = ticket.lsn()
    with pytest.raises(oncelog.UnknownTopicOrPartitionError):
        ticket.result()
    assert ticket.lsn() == before


def test_a_flush_that_takes_long_is_not_waited_for(
    script: Callable[..., subprocess.CompletedProcess[str]], slow_disk: dict[str, str]
) -> None:
    done = script(
        """
import asyncio, os
import oncelog

async def wait(ticket):
    return (await ticket).lsn

async def main():
    with oncelog.open("log") as engine:
        engine.create_topic("t")
        producer = engine.producer(linger=3600)
        open("slow", "w").close()
        ticket, watched = producer.send("t", b"v"), producer.send("t", b"w", partition=0)
        lsn = ticket.lsn()
        task = asyncio.ensure_future(wait(watched))
        for _ in range(10):
            await asyncio.sleep(0)
        print(ticket.done(), watched.done(), lsn > 0, watched.lsn() >= lsn)
        os.remove("slow")
        print(ticket.result().lsn == lsn, await task == watched.lsn())

asyncio.run(main())
""",
        env=slow_disk,
    )
    assert (done.returncode, done.stdout) == (0, "False False True True\nTrue True\n"), done.stderr
