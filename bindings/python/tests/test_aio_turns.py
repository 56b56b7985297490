"""The event loop goes on, whatever one task does with the log."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from test_aio import opened, run

import oncelog


@run
async def test_other_tasks_have_their_turn_while_one_polls(path: Path) -> None:
    async with opened(path) as engine:
        await (await engine.producer()).send_many("t", [b"v"] * 200, partition=0)
        consumer = engine.consumer("t", max_records=1)
        turns = 0

        async def turn() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        other = asyncio.create_task(turn())
        for _ in range(100):
            assert len(await consumer.poll()) == 1
        other.cancel()
        assert turns >= 100
        # A poll that is cancelled takes nothing along.
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await consumer.poll()
        assert (await consumer.poll())[0].offset == 100


@run
async def test_a_transaction_says_whether_it_is_open(path: Path) -> None:
    async with opened(path) as engine:
        transaction = (await engine.transactional_producer("x")).begin_transaction()
        transaction.send("t", b"v")
        assert transaction.is_open
        ticket = transaction.commit_ticket()
        assert not transaction.is_open
        assert await ticket == await transaction.commit()


def test_a_begin_whose_refusal_is_not_safe_yet_keeps_the_loop_free(
    script: Callable[..., subprocess.CompletedProcess[str]], slow_disk: dict[str, str]
) -> None:
    done = script(
        """
import asyncio, os
import oncelog
import oncelog.aio

async def main():
    async with oncelog.aio.open("log") as engine:
        holder = await engine.transactional_producer("x")
        open("slow", "w").close()
        newer = asyncio.ensure_future(engine.transactional_producer("x"))
        while not os.path.exists("flushing"):
            await asyncio.sleep(0.001)
        for _ in range(3):
            try:
                holder.begin_transaction()
            except oncelog.BusyError as error:
                assert error.retriable
                await asyncio.sleep(0)
            else:
                raise AssertionError("it began")
        os.remove("slow")
        await newer
        try:
            holder.begin_transaction()
        except oncelog.ProducerFencedError:
            print("fine")

asyncio.run(main())
""",
        env=slow_disk,
    )
    assert (done.returncode, done.stdout) == (0, "fine\n"), done.stderr


def test_who_waits_for_room_keeps_the_loop_free(
    script: Callable[..., subprocess.CompletedProcess[str]], slow_disk: dict[str, str]
) -> None:
    done = script(
        """
import asyncio, os
import oncelog
import oncelog.aio

async def main():
    async with oncelog.aio.open("log", segment_bytes=65_536, durability="os") as engine:
        await engine.create_topic("t")
        producer = await engine.producer(batch_bytes=0)
        transaction = (await engine.transactional_producer("x", transaction_buffer=0)).begin_transaction()
        await asyncio.gather(producer.drained(), transaction.drained())
        open("slow", "w").close()
        for _ in range(1000):
            if not producer._core._has_room():
                break
            producer.send("t", bytes(1000))
            await asyncio.sleep(0)
        else:
            raise AssertionError("there is always room")
        waiting = [asyncio.ensure_future(one) for one in (producer.drained(), transaction.drained())]
        for _ in range(100):
            await asyncio.sleep(0.001)
        early = sum(one.done() for one in waiting)
        os.remove("slow")
        await asyncio.gather(*waiting)
        await producer.send("t", b"v")
        transaction.send("t", b"v")
        await transaction.abort()
        print(early)

asyncio.run(main())
""",
        env=slow_disk,
    )
    assert (done.returncode, done.stdout) == (0, "0\n"), done.stderr


@run
async def test_a_ticket_that_nobody_would_complete_cannot_be_awaited(path: Path) -> None:
    with oncelog.open(path / "log", threads=False) as engine:
        engine.create_topic("t")
        producer, partition, batch = engine.producer(), engine.partition("t", 0), oncelog.Batch()
        batch.add(b"v")
        transaction = engine.transactional_producer("x").begin_transaction()
        transaction.send("t", b"v")
        tickets = (
            producer.send("t", b"v"),
            producer.send_many("t", [b"v"]),
            producer.try_send_many("t", [b"v"]).ticket,
            partition.append(batch),
            transaction.commit_ticket(),
        )
        for ticket in tickets:
            with pytest.raises(oncelog.StateError, match="threads=False"):
                await ticket
            ticket.result()


@run
async def test_a_time_to_wait_is_checked_as_that_of_a_call_is(path: Path) -> None:
    async with opened(path) as engine:
        consumer = engine.consumer("t")
        for wrong in (-1, float("nan")):
            with pytest.raises(oncelog.ArgumentError, match="a time to wait cannot be negative"):
                await asyncio.wait_for(consumer.poll(timeout=wrong), 10)
        with pytest.raises(TypeError, match="must be real number"):
            await consumer.poll(timeout="1")  # type: ignore[arg-type]
        assert not await consumer.poll(timeout=0)
