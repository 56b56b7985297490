"""The interpreter's end: no crash, no hang, nothing lost that was acknowledged."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import oncelog

Script = Callable[..., subprocess.CompletedProcess[str]]

OPEN = """
import atexit, gc, os, sys, threading, time
import oncelog
engine = oncelog.open("log")
engine.create_topic("t")
producer = engine.producer(linger=3600)
"""

ENDS = {
    "with everything open": """
consumer, transactional = engine.consumer("t", group="g"), engine.transactional_producer("x")
transaction = transactional.begin_transaction_for(consumer)
transaction.send("t", b"never committed")
ticket = producer.send("t", b"v")
""",
    "by sys.exit in the middle": """
producer.send("t", b"v")
sys.exit(0)
""",
    "with threads that wait": """
producer.send("t", b"v")
consumer = engine.consumer("t", start="latest")
assert not consumer.poll(timeout=0)
def wait():
    while True:
        consumer.poll()
def results():
    own = engine.producer()
    while True:
        own.send("u", b"w").result()
engine.create_topic("u")
for target in (wait, results, results):
    threading.Thread(target=target, daemon=True).start()
time.sleep(0.2)
""",
    "with a cycle that holds the engine": """
producer.send("t", b"v")
class Holder: pass
holder = Holder()
holder.itself, holder.engine, holder.producer = holder, engine, producer
del holder, engine, producer
""",
    "with handles in a module and in a class": """
producer.send("t", b"v")
oncelog.kept = engine
class Late:
    def __del__(self):
        try:
            producer.send("t", b"too late")
        except Exception as error:
            assert type(error).__name__ == "ClosedError", repr(error)
oncelog.late = Late()
""",
    "with a hook of the application that uses the log": """
def last():
    producer.send("t", b"v").result()
atexit.register(last)
""",
    "in the middle of a loop": """
producer.send("t", b"v").result()
for record in engine.consumer("t"):
    sys.exit(0)
""",
    "with an event loop left behind": """
import asyncio
async def main():
    ticket = producer.send("t", b"v")
    asyncio.ensure_future(asyncio.wait_for(ticket, 1))
loop = asyncio.new_event_loop()
loop.run_until_complete(main())
""",
}


@pytest.mark.parametrize("end", ENDS, ids=str)
def test_the_interpreter_ends(script: Script, tmp_path: Path, end: str) -> None:
    done = script(OPEN + ENDS[end])
    assert done.returncode == 0, done.stderr
    if "event loop" not in end:
        assert done.stderr == ""
    with oncelog.open(tmp_path / "log") as engine:
        # A close ends with a checkpoint and a mark, which is copied where the segment has no room for another frame.
        opening = engine.opening
        assert opening.cut is None and opening.frames_folded <= 1, f"it was not closed properly: {opening}"
        assert engine.partition("t", 0).read(0).values() == [b"v"]


def test_a_thread_that_is_no_daemon_finishes_its_work(script: Script, tmp_path: Path) -> None:
    done = script(
        OPEN
        + """
def work():
    time.sleep(0.3)
    producer.send("t", b"v").result()
threading.Thread(target=work).start()
"""
    )
    assert (done.returncode, done.stderr) == (0, "")
    with oncelog.open(tmp_path / "log") as engine:
        assert engine.partition("t", 0).read(0).values() == [b"v"]


def test_a_process_that_is_killed_loses_nothing_acknowledged(script: Script, tmp_path: Path) -> None:
    done = script(
        OPEN
        + """
producer.send("t", b"v").result()
producer.send("t", b"perhaps")
os.kill(os.getpid(), 9)
"""
    )
    assert done.returncode == (9 if sys.platform == "win32" else -9)
    with oncelog.open(tmp_path / "log") as engine:
        assert engine.partition("t", 0).read(0).values()[:1] == [b"v"]


def test_another_interpreter_of_the_process_is_refused(script: Script) -> None:
    done = script(
        """
import sys
if sys.version_info >= (3, 13):
    import _interpreters as interpreters
else:
    import _xxsubinterpreters as interpreters
inside = '''
try:
    import oncelog
except ImportError as error:
    print("refused" if "main interpreter" in str(error) else error, flush=True)
else:
    print("loaded", flush=True)
'''
def run():
    other = interpreters.create()
    getattr(interpreters, "run_string")(other, inside)
    interpreters.destroy(other)
run()
import oncelog
engine = oncelog.open("log")
engine.create_topic("t")
run()
print(engine.producer().send("t", b"v").result().offset)
try:
    engine.create_topic("t")
except oncelog.Error:
    print("caught")
"""
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "refused\nrefused\n0\ncaught\n"
