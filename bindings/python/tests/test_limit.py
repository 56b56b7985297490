"""A process of the tests that hangs says where, and ends."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable

Script = Callable[..., subprocess.CompletedProcess[str]]

# The second begins where it hangs, however long it takes to get there.
HANG = """
import os, re, signal, threading
again = limit.start(3, 3)
signal.alarm(0)
held = threading.Lock()
held.acquire()
there = threading.Event()

def hangs_elsewhere():
    there.set()
    held.acquire()

def hangs_here():
    again()
    held.acquire()
"""


def test_all_threads_of_a_process_that_hangs_are_told(script: Script) -> None:
    done = script(HANG + "threading.Thread(target=hangs_elsewhere, daemon=True).start()\nthere.wait()\nhangs_here()")
    assert done.returncode == -signal.SIGALRM
    assert "in hangs_here" in done.stderr and "in hangs_elsewhere" in done.stderr


def test_a_process_that_keeps_the_interpreter_lock_is_told(script: Script) -> None:
    done = script(HANG + "again()\nre.fullmatch('(a*)*b', 'a' * 40)")
    assert done.returncode == -signal.SIGALRM and "in fullmatch" in done.stderr


def test_a_forked_child_that_hangs_is_told(script: Script) -> None:
    done = script(
        HANG
        + """
if (child := os.fork()) == 0:
    hangs_here()
print(os.waitpid(child, 0)[1])
"""
    )
    assert (done.returncode, done.stdout) == (0, f"{int(signal.SIGALRM)}\n") and "in hangs_here" in done.stderr


def test_seconds_begin_anew(script: Script) -> None:
    done = script(
        """
import signal
again = limit.start(1000, 1)
signal.alarm(60)
again()
left = signal.alarm(0)
assert 900 < left <= 1000, left
"""
    )
    assert (done.returncode, done.stderr) == (0, "")
