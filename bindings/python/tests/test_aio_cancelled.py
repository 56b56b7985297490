"""What a cancellation leaves behind: nothing, and nothing half done."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

Script = Callable[..., subprocess.CompletedProcess[str]]


def check(script: Script, source: str, slow_disk: dict[str, str]) -> None:
    done = script(source, env=slow_disk)
    assert (done.returncode, done.stdout) == (0, "fine\n"), done.stderr


def test_an_await_that_was_cancelled_keeps_no_loop(script: Script, slow_disk: dict[str, str]) -> None:
    check(
        script,
        """
import asyncio, gc, os, weakref
import oncelog
engine = oncelog.open("log")
engine.create_topic("t")
producer = engine.producer()
open("slow", "w").close()
tickets, loops = [], []

async def main(turns):
    async def answer():
        await ticket
    tickets.append(ticket := producer.send("t", b"v"))
    loops.append(weakref.ref(asyncio.get_running_loop()))
    waiting = asyncio.ensure_future(answer())
    for _ in range(turns):
        await asyncio.sleep(0)
    waiting.cancel()
    try:
        await waiting
    except asyncio.CancelledError:
        return
    raise AssertionError("there is an answer")

# Before the ticket is asked for its answer, and behind that.
for turns in (1, 1, 5, 5):
    asyncio.run(main(turns))
gc.collect()
kept = [loop() is not None for loop in loops]
os.remove("slow")
assert kept == [False] * 4, kept
assert [ticket.result().offset for ticket in tickets] == [0, 1, 2, 3]
print("fine")
""",
        slow_disk,
    )


def test_an_abort_that_is_cancelled_while_it_waits_for_room_aborts(script: Script, slow_disk: dict[str, str]) -> None:
    check(
        script,
        """
import asyncio, os
import oncelog
import oncelog.aio

async def main():
    async with oncelog.aio.open("log", segment_bytes=65_536, durability="os") as engine:
        await engine.create_topic("t")
        producer = await engine.producer(batch_bytes=0)
        transactional = await engine.transactional_producer("x")
        open("slow", "w").close()
        while engine.has_room(1 << 20):
            producer.try_send("t", bytes(1000))
            await asyncio.sleep(0)
        transaction = transactional.begin_transaction()
        transaction.send("t", b"v")

        async def block():
            async with transaction:
                raise ValueError

        for abort in (transaction.abort(), block()):
            waiting = asyncio.ensure_future(abort)
            for _ in range(20):
                await asyncio.sleep(0.001)
            assert not waiting.done() and transaction.is_open
            waiting.cancel()
            try:
                await waiting
            except asyncio.CancelledError:
                pass
            ended.append(not transaction.is_open)
            if not ended[-1]:
                break
            transaction = transactional.begin_transaction()
        os.remove("slow")

ended = []
asyncio.run(main())
assert ended == [True, True], ended
print("fine")
""",
        slow_disk,
    )
