"""A forked child gets a clear error and harms nothing."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import limit
import pytest

import oncelog

Script = Callable[..., subprocess.CompletedProcess[str]]

PRELUDE = """
import gc, os, sys, threading, time, warnings
import oncelog
warnings.simplefilter("ignore", DeprecationWarning)

engine = oncelog.open("log")
engine.create_topic("t")
producer, named = engine.producer(), engine.producer(name="n")
consumer = engine.consumer("t", group="g", timeout=0)
transactional = engine.transactional_producer("x")
transaction = transactional.begin_transaction()
transaction.send("t", b"in the parent's transaction")
streaming = engine.transactional_producer("s", transaction_buffer=0).begin_transaction()
ticket = producer.send("t", b"v")
partition = engine.partition("t", 0)
identity = engine.init_producer("raw")
batch = oncelog.Batch()
batch.add(b"v")

def reap(pid):
    # One that hangs ends by itself.
    status = os.waitpid(pid, 0)[1]
    assert status == 0, f"the child ended with {status:#x}"
"""


def check(script: Script, source: str) -> None:
    done = script(PRELUDE + source)
    assert (done.returncode, done.stdout) == (0, "fine\n"), done.stderr


def test_every_call_in_the_child_says_forked_and_the_parent_goes_on(script: Script) -> None:
    check(
        script,
        """
pid = os.fork()
if pid == 0:
    calls = [
        engine.topics, engine.flush, lambda: engine.create_topic("u"), lambda: engine.partition("t", 0),
        lambda: engine.consumer("t"), engine.producer, lambda: engine.transactional_producer("y"), engine.close,
        lambda: producer.send("t", b"v"), lambda: producer.send_many("t", [b"v"]), producer.flush,
        lambda: named.send("t", b"v", position=1),
        lambda: consumer.poll(timeout=0), lambda: next(consumer), consumer.commit, lambda: consumer.assign("t"),
        lambda: consumer.position(("t", 0)), lambda: consumer.lag(("t", 0)), consumer.rewind,
        lambda: partition.read(0), lambda: partition.append(batch),
        lambda: partition.offset_at(0), partition.max_timestamp, lambda: partition.read(oncelog.Place(1, 1, 0)),
        partition.producers,
        engine.init_producer, lambda: engine.end_transaction(identity, "abort"), lambda: engine.abort_transaction(1),
        lambda: engine.send_offsets(identity, oncelog.GroupMetadata("g"), {("t", 0): 1}),
        lambda: engine.transaction_status(1), engine.describe_transactions,
        lambda: streaming.send("t", b"v"), streaming.abort,
        transactional.begin_transaction, lambda: transaction.send("t", b"v"), transaction.commit,
        ticket.result, ticket.done, ticket.lsn,
        lambda: producer.try_send_many("t", [b"v"]), lambda: named.try_send_many("t", [b"v"], positions=[1]),
    ]
    for call in calls:
        try:
            call()
        except oncelog.ForkedError as error:
            assert error.fatal
        else:
            sys.stderr.write(f"not refused: {calls.index(call)}")
            os._exit(1)
    sys.exit(0)  # with all finalizers
reap(pid)
transaction2 = transaction.commit()
ticket.result()
assert engine.partition("t", 0).bounds().end == 2
engine.close()
print("fine")
""",
    )


def test_finalizers_in_the_child_touch_nothing(script: Script) -> None:
    check(
        script,
        """
pid = os.fork()
if pid == 0:
    del transaction, streaming, consumer, producer, named, transactional, ticket, partition, engine
    gc.collect()
    os._exit(0)
reap(pid)
transaction.commit()
assert ticket.result().offset >= 0
assert engine.partition("t", 0).bounds().end == 2
engine.close()
print("fine")
""",
    )


def test_what_a_thread_of_the_parent_polls_is_forked_and_not_busy(script: Script) -> None:
    check(
        script,
        """
waits = engine.consumer("t", start="latest")

def wait():
    # The one who looks whether this has begun may be at it for a moment.
    while True:
        try:
            return waits.poll()
        except oncelog.BusyError:
            time.sleep(0.001)

thread = threading.Thread(target=wait)
thread.start()
while True:
    time.sleep(0.001)
    try:
        waits.poll(timeout=0)
    except oncelog.BusyError:
        break
pid = os.fork()
if pid == 0:
    try:
        waits.poll(timeout=0)
    except oncelog.ForkedError:
        os._exit(0)
    os._exit(1)
reap(pid)
producer.send("t", b"wakes").result()
thread.join()
print("fine")
""",
    )


def test_what_a_task_of_the_parent_polls_is_forked_and_not_busy(script: Script) -> None:
    check(
        script,
        """
import asyncio
import oncelog.aio as aio

async def main():
    log = await aio.open("other")
    await log.create_topic("t")
    consumer = log.consumer("t")
    task = asyncio.ensure_future(consumer.poll())
    await asyncio.sleep(0.05)
    try:
        await consumer.poll(0)
    except oncelog.BusyError:
        pass
    pid = os.fork()
    if pid == 0:
        for call in (consumer.poll(0), consumer.__aiter__().__anext__()):
            try:
                call.send(None)
            except oncelog.ForkedError:
                continue
            os._exit(1)
        os._exit(0)
    reap(pid)
    task.cancel()
    await asyncio.wait([task])
    await log.close()

asyncio.run(main())
print("fine")
""",
    )


def test_children_of_a_busy_parent_end(script: Script) -> None:
    check(
        script,
        """
stop = threading.Event()
def send():
    while not stop.is_set():
        producer.send_many("t", [b"v"] * 100)
        producer.send("t", b"w").result()
def read():
    own = engine.consumer("t")
    while not stop.is_set():
        own.poll(timeout=0.01)
def commit():
    while not stop.is_set():
        with engine.transactional_producer("busy").begin_transaction() as own:
            own.send("t", b"x")
threads = [threading.Thread(target=target) for target in (send, send, read, commit)]
for thread in threads:
    thread.start()
for n in range(40):
    pid = os.fork()
    if pid == 0:
        for call in (lambda: producer.send("t", b"v"), ticket.result, lambda: transaction.send("t", b"v"),
                     lambda: consumer.poll(timeout=0), engine.topics):
            try:
                call()
            except oncelog.ForkedError:
                continue
            os._exit(1)
        del transaction, consumer, producer, ticket
        gc.collect()
        os._exit(0)
    reap(pid)
stop.set()
for thread in threads:
    thread.join()
engine.close()
print("fine")
""",
    )


def test_children_open_logs_of_their_own_while_threads_wait_in_the_parent(script: Script) -> None:
    """Waiters that a child inherits are none of its own, whatever its threads find where the parent's had their stacks:
    as many logs here as there, so that each stack is used again."""
    check(
        script,
        """
def wait():
    try:
        engine.consumer("t", start="latest").poll()
    except oncelog.ClosedError:
        pass
def use(name):
    logs = [oncelog.open(f"{name} {n}") for n in range(12)]
    for log in logs:
        log.create_topic("t")
    producers = [log.producer() for log in logs]
    for _ in range(3):
        tickets = [producer.send("t", b"v") for producer in producers]
        for ticket in tickets:
            ticket.result()
    for log in logs:
        log.close()
others = [oncelog.open(f"other {n}") for n in range(12)]
waiting = [threading.Thread(target=wait, daemon=True) for _ in range(4)]
for thread in waiting:
    thread.start()
for n in range(5):
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            use(f"child {n}")
            status = 0
        finally:
            os._exit(status)
    reap(pid)
engine.close()
for thread in waiting:
    thread.join()
print("fine")
""",
    )


def test_children_open_logs_of_their_own_while_the_parent_has_much_to_say(script: Script) -> None:
    """The engine's thread hands over many messages in one go, each under a lock that a child forked meanwhile finds held
    for ever; the child's own log has something to say too."""
    check(
        script,
        """
stop = threading.Event()
stale = engine.init_producer()
newer = oncelog.Batch(producer=oncelog.Identity(stale.producer_id, stale.epoch + 1), base_sequence=0)
newer.add(b"v")
engine.partition("t", 0).append(newer).result()
late = oncelog.Batch(producer=stale, base_sequence=0)
late.add(b"v")
def run_into_the_fence():
    while not stop.is_set():
        try:
            partition.append(late).result()
        except oncelog.StaleEpochError:
            pass
running = threading.Thread(target=run_into_the_fence, daemon=True)
running.start()
for n in range(60):
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            with oncelog.open(f"child {n}") as own:
                own.create_topic("t")
            status = 0
        finally:
            os._exit(status)
    reap(pid)
stop.set()
running.join()
print("fine")
""",
    )


def test_the_child_may_open_the_log_when_its_parent_has_closed_it(script: Script) -> None:
    check(
        script,
        """
transaction.abort()
producer.flush()
read_end, write_end = os.pipe()
refused, refuse = os.pipe()
pid = os.fork()
if pid == 0:
    try:
        oncelog.open("log")
        os._exit(1)
    except oncelog.LockedError:
        os.write(refuse, b"!")
    os.read(read_end, 1)
    with oncelog.open("log") as own:
        own.producer().send("t", b"from the child").result()
    os._exit(0)
# Here only the child holds the other end, so its death is heard too.
os.close(refuse)
os.read(refused, 1)
engine.close()
os.write(write_end, b"!")
reap(pid)
with oncelog.open("log") as engine:
    assert engine.partition("t", 0).read(0).values() == [b"v", b"from the child"]
print("fine")
""",
    )


@contextlib.contextmanager
def pool_of(context: Any) -> Iterator[Any]:
    """Two workers, which end by themselves: the end of a pool's block sends them signals that may be ignored here."""
    with context.Pool(2) as pool:
        yield pool
        pool.close()
        pool.join()


if multiprocessing.parent_process() is not None:
    # Children that are not forked by the tests themselves begin here.
    limit.start(400, 400)


def work(path: str, inherited: Any, number: int) -> str:
    """What a worker of `multiprocessing` does."""
    if inherited is not None:
        try:
            inherited.topics()
        except oncelog.ForkedError:
            return "forked"
        return "not refused"
    with oncelog.open(path, read_only=True) as engine:
        return f"{number}:{len(engine.partition('t', 0).read(0))}"


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_worker_process_opens_the_log_itself(tmp_path: Path, method: str) -> None:
    with oncelog.open(tmp_path / "log") as engine:
        engine.create_topic("t")
        engine.producer().send("t", b"v").result()
    with pool_of(multiprocessing.get_context(method)) as pool:
        arguments = [(str(tmp_path / "log"), None, n) for n in range(4)]
        assert pool.starmap(work, arguments) == [f"{n}:1" for n in range(4)]


def test_handles_cannot_be_sent_to_a_worker(oncelog_engine: oncelog.Engine) -> None:
    import pickle

    for handle in (oncelog_engine, oncelog_engine.producer(), oncelog_engine.consumer()):
        with pytest.raises(TypeError):
            pickle.dumps(handle)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_pool_of_forked_workers_is_refused_the_inherited_log(oncelog_engine: oncelog.Engine) -> None:
    global _inherited
    _inherited = oncelog_engine
    with pool_of(multiprocessing.get_context("fork")) as pool:
        assert pool.map(use_inherited, range(4)) == ["forked"] * 4
    assert oncelog_engine.topics() == []


_inherited: oncelog.Engine | None = None


def use_inherited(number: int) -> str:
    return work("", _inherited, number)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_prefork_workers_each_with_a_log_of_their_own(tmp_path: Path, oncelog_engine: oncelog.Engine) -> None:
    """As a server does that loads the application first and forks its workers then."""
    children = []
    for n in range(3):
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                with oncelog.open(tmp_path / f"worker {n}") as engine:
                    engine.create_topic("t")
                    engine.producer().send("t", b"v").result()
                status = 0
            finally:
                os._exit(status)
        children.append(pid)
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children] == [0, 0, 0]
    oncelog_engine.create_topic("goes-on")


def leave_a_record_behind(directory: str) -> None:
    global _inherited, _producer
    _inherited = oncelog.open(directory)
    _inherited.create_topic("t")
    _producer = _inherited.producer(linger=60)
    _producer.send("t", b"v")


_producer: oncelog.Producer | None = None


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_what_a_child_has_sent_is_written_before_it_ends(tmp_path: Path, method: str) -> None:
    context: Any = multiprocessing.get_context(method)
    child = context.Process(target=leave_a_record_behind, args=(str(tmp_path / "log"),))
    child.start()
    child.join()
    assert child.exitcode == 0
    with oncelog.open(tmp_path / "log") as engine:
        assert engine.partition("t", 0).bounds().end == 1
