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
