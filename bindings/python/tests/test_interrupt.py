"""Ctrl-C ends every wait, and takes nothing back."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

Script = Callable[..., subprocess.CompletedProcess[str]]

# The signal of Ctrl-C, or another one, comes when what it is to interrupt has begun, however long that takes.
PRELUDE = """
import functools, os, signal, sys, threading, time
import oncelog

# Whoever started the tests in the background may have them ignore the signal.
signal.signal(signal.SIGINT, signal.default_int_handler)

def send_when(begun, number=signal.SIGINT):
    def watch():
        while not begun():
            time.sleep(0.001)
        os.kill(os.getpid(), number)
    threading.Thread(target=watch, daemon=True).start()

def during(call, number=signal.SIGINT):
    # Another thread sees the frame of `enter` only when the interpreter lock was given up from within.
    caller = threading.get_ident()
    send_when(lambda: sys._current_frames()[caller].f_code is enter.__code__, number)
    return enter(call)

def enter(call):
    return call()

def await_flush():
    while not os.path.exists("flushing"):
        time.sleep(0.001)

engine = oncelog.open("log")
engine.create_topic("t")
"""


def check(script: Script, source: str, **options: object) -> None:
    done = script(PRELUDE + source, **options)
    assert (done.returncode, done.stdout) == (0, "fine\n"), done.stderr


def test_a_poll_is_interrupted_and_can_be_repeated(script: Script) -> None:
    check(
        script,
        """
consumer = engine.consumer("t")
for wait in (consumer.poll, consumer.__next__, functools.partial(consumer.poll, timeout=1e9)):
    try:
        during(wait)
    except KeyboardInterrupt:
        continue
    sys.exit("not interrupted")
engine.producer().send("t", b"v").result()
assert len(consumer.poll()) == 1
engine.close()
print("fine")
""",
    )


def test_an_exception_of_another_signal_ends_the_wait_too(script: Script) -> None:
    check(
        script,
        """
class Other(Exception): pass
def handler(number, frame): raise Other
signal.signal(signal.SIGUSR1, handler)
consumer = engine.consumer("t")
try:
    during(consumer.poll, signal.SIGUSR1)
except Other:
    print("fine")
""",
    )


def test_a_handler_may_use_the_log_in_the_middle_of_a_wait(script: Script) -> None:
    check(
        script,
        """
consumer, producer = engine.consumer("t"), engine.producer()
signal.signal(signal.SIGUSR1, lambda number, frame: producer.send("t", b"from the handler").result())
assert during(consumer.poll, signal.SIGUSR1).values() == [b"from the handler"]
print("fine")
""",
    )


def test_an_interrupted_commit_says_so_and_can_be_asked_again(script: Script, slow_disk: dict[str, str]) -> None:
    check(
        script,
        """
producer, transactional = engine.producer(), engine.transactional_producer("x")
transaction = transactional.begin_transaction()
transaction.send("t", b"v")
open("slow", "w").close()
# Somebody else leads the flush, so that the commit waits for it.
leader = threading.Thread(target=lambda: producer.send("t", b"other").result())
leader.start()
await_flush()
# Not open any more, so the commit is about to wait; the frame of `enter` would be seen a moment before the call, too.
send_when(lambda: not transaction.is_open)
try:
    transaction.commit()
except KeyboardInterrupt as interrupt:
    assert "commit() again" in interrupt.__notes__[0]
else:
    sys.exit("not interrupted")
assert not transaction.is_open
os.remove("slow")
committed = transaction.commit()
assert committed == transaction.commit_ticket().result()
leader.join()
assert sorted(engine.partition("t", 0).read(0).values()) == [b"other", b"v"]
print("fine")
""",
        env=slow_disk,
    )


def test_a_block_whose_commit_is_interrupted_aborts_nothing(script: Script, slow_disk: dict[str, str]) -> None:
    check(
        script,
        """
producer, transactional = engine.producer(), engine.transactional_producer("x")
open("slow", "w").close()
leader = threading.Thread(target=lambda: producer.send("t", b"other").result())
leader.start()
await_flush()
try:
    with transactional.begin_transaction() as transaction:
        transaction.send("t", b"v")
        # Not open any more, so the end of the block is about to wait.
        send_when(lambda: not transaction.is_open)
except KeyboardInterrupt:
    pass
else:
    sys.exit("not interrupted")
os.remove("slow")
leader.join()
transaction.commit()
assert engine.partition("t", 0).bounds().end == 2
print("fine")
""",
        env=slow_disk,
    )


def test_a_ticket_stays_good_behind_a_time_out_and_an_interruption(script: Script, slow_disk: dict[str, str]) -> None:
    check(
        script,
        """
producer = engine.producer(linger=0)
open("slow", "w").close()
leader = threading.Thread(target=lambda: producer.send("t", b"other").result())
leader.start()
await_flush()
ticket = producer.send("t", b"v")
try:
    ticket.result(timeout=0.1)
except TimeoutError as error:
    assert isinstance(error, oncelog.TimedOutError) and error.retriable
else:
    sys.exit("not timed out")
assert not ticket.done()
try:
    during(ticket.result)
except KeyboardInterrupt:
    pass
else:
    sys.exit("not interrupted")
os.remove("slow")
assert ticket.result().offset == 1 and ticket.done()
leader.join()
print("fine")
""",
        env=slow_disk,
    )


def test_a_begin_that_waits_for_its_refusal_is_interrupted(script: Script, slow_disk: dict[str, str]) -> None:
    check(
        script,
        """
holder = engine.transactional_producer("x")
open("slow", "w").close()
newer = threading.Thread(target=lambda: engine.transactional_producer("x"))
newer.start()
await_flush()
try:
    during(holder.begin_transaction)
except KeyboardInterrupt:
    pass
else:
    sys.exit("not interrupted")
os.remove("slow")
newer.join()
try:
    holder.begin_transaction()
except oncelog.ProducerFencedError:
    print("fine")
""",
        env=slow_disk,
    )


def test_an_interruption_at_the_end_of_a_block_is_no_error_of_the_flush(
    script: Script, slow_disk: dict[str, str]
) -> None:
    check(
        script,
        """
producer, other = engine.producer(), engine.producer()
open("slow", "w").close()
leader = threading.Thread(target=lambda: other.send("t", b"other").result())
leader.start()
await_flush()
producer.send("t", b"v")
# Whoever is not interrupted waits no longer than this.
end = threading.Timer(20, lambda: os.remove("slow"))
end.daemon = True
end.start()
try:
    during(functools.partial(producer.__exit__, ValueError, ValueError(), None))
except KeyboardInterrupt:
    assert os.path.exists("slow"), "interrupted when it was over"
else:
    sys.exit("not interrupted")
end.cancel()
os.remove("slow")
leader.join()
engine.close()
# What the log refuses gives way to what the body raised.
producer.__exit__(ValueError, ValueError(), None)
print("fine")
""",
        env=slow_disk,
    )
