"""Threads: the interpreter lock is given up by whoever waits, handles may be shared."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import pytest

import oncelog


def test_other_threads_run_while_one_waits(oncelog_engine: oncelog.Engine, topic: str) -> None:
    consumer = oncelog_engine.consumer(topic)
    polled: list[int] = []
    waiter = threading.Thread(target=lambda: polled.append(len(consumer.poll(timeout=600))))
    waiter.start()
    # Only with the interpreter lock free does this get anywhere.
    assert sum(range(100_000)) and not polled
    oncelog_engine.producer().send(topic, b"v").result()
    waiter.join()
    assert polled == [1]


def test_close_wakes_whoever_waits(oncelog_engine: oncelog.Engine, topic: str) -> None:
    errors: list[type] = []
    started = threading.Barrier(5)

    def wait() -> None:
        consumer = oncelog_engine.consumer(topic)
        started.wait()
        try:
            consumer.poll()
        except oncelog.Error as error:
            errors.append(type(error))

    threads = [threading.Thread(target=wait) for _ in range(4)]
    for thread in threads:
        thread.start()
    started.wait()
    oncelog_engine.close()
    for thread in threads:
        thread.join()
    assert errors == [oncelog.ClosedError] * 4


def test_a_producer_is_shared(oncelog_engine: oncelog.Engine, topic: str) -> None:
    producer = oncelog_engine.producer()

    def send(name: bytes) -> None:
        for n in range(500):
            producer.send(topic, b"%s %d" % (name, n))

    threads = [threading.Thread(target=send, args=(b"%d" % n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    producer.flush()
    values = [value or b"" for record in oncelog_engine.consumer(topic, timeout=0) for value in [record.value]]
    assert len(values) == 2000
    for n in range(4):
        own = [value for value in values if value.startswith(b"%d " % n)]
        assert own == [b"%d %d" % (n, m) for m in range(500)], "each thread's order is kept"


def test_a_transaction_is_shared_and_ends_once(oncelog_engine: oncelog.Engine, topic: str) -> None:
    transaction = oncelog_engine.transactional_producer("x").begin_transaction()
    sent, refused = [], []

    def send() -> None:
        for _ in range(200):
            try:
                transaction.send(topic, b"v")
                sent.append(1)
            except oncelog.InvalidTransactionStateError:
                refused.append(1)

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    committed = transaction.commit()
    for thread in threads:
        thread.join()
    assert committed.number == transaction.number and len(sent) + len(refused) == 800
    assert oncelog_engine.partition(topic, 0).bounds().end == len(sent)


def test_a_loop_is_shared(oncelog_engine: oncelog.Engine, topic: str) -> None:
    oncelog_engine.producer().send_many(topic, [b"%d" % n for n in range(1000)]).result()
    consumer = oncelog_engine.consumer(topic, timeout=0)
    seen: list[int] = []

    def read() -> None:
        try:
            for record in consumer:
                seen.append(record.offset)
        except oncelog.BusyError:
            pass

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(seen) == list(range(1000))


def test_other_threads_run_while_a_transaction_that_streams_waits_for_the_disk(
    script: Callable[..., subprocess.CompletedProcess[str]], slow_disk: dict[str, str]
) -> None:
    done = script(
        """
import os, threading, time
import oncelog
engine = oncelog.open("log", durability="os")
engine.create_topic("t")
transaction = engine.transactional_producer("x", transaction_buffer=0).begin_transaction()
sent = 0
def send():
    global sent
    for _ in range(40):
        transaction.send("t", bytes(500_000))
        sent += 1
open("stuck", "w").close()
sender = threading.Thread(target=send)
sender.start()
# Until no more comes: the sender waits for the disk, and keeps nobody from getting here.
before, unchanged = -1, 0
while unchanged < 50:
    unchanged = unchanged + 1 if sent == before else 0
    before = sent
    time.sleep(0.002)
assert sent < 40, sent
os.remove("stuck")
sender.join()
transaction.commit()
assert engine.partition("t", 0).bounds().end == 40
print("fine")
""",
        env=slow_disk,
    )
    assert (done.returncode, done.stdout) == (0, "fine\n"), done.stderr


@pytest.mark.parametrize("seed", range(3))
def test_a_storm_of_calls_and_a_close_end_in_typed_errors(
    oncelog_open: Callable[..., oncelog.Engine], seed: int
) -> None:
    engine = oncelog_open()
    engine.create_topic("t", partitions=3)
    producer, consumer = engine.producer(), engine.consumer("t", group="g", timeout=0)
    transactional = engine.transactional_producer("x")
    strange: list[BaseException] = []

    def transact() -> None:
        with transactional.begin_transaction_for(consumer) as transaction:
            for record in consumer:
                transaction.send("t", record.value)
                break

    calls: list[Callable[[], object]] = [
        lambda: producer.send("t", b"v"),
        lambda: producer.send("t", b"v").result(),
        lambda: producer.send_many("t", [b"v"] * 50).result(),
        lambda: consumer.poll(timeout=0.01),
        lambda: next(consumer),
        consumer.commit,
        transact,
        producer.flush,
        engine.topics,
        lambda: engine.producer(name="n").position,
    ]

    def storm(dice: random.Random) -> None:
        end = time.monotonic() + 20
        while time.monotonic() < end:
            try:
                dice.choice(calls)()
            except oncelog.ClosedError:
                return
            except (oncelog.Error, StopIteration):
                continue
            except BaseException as error:
                strange.append(error)
                return

    threads = [threading.Thread(target=storm, args=(random.Random(seed * 10 + n),)) for n in range(8)]
    for thread in threads:
        thread.start()
    time.sleep(0.3)
    closers = [threading.Thread(target=engine.close) for _ in range(2)]
    for thread in closers + threads:
        if not thread.is_alive() and thread in closers:
            thread.start()
    for thread in closers + threads:
        thread.join()
    assert strange == []


def test_threads_in_one_loop_lose_nothing_and_get_nothing_twice(oncelog_engine: oncelog.Engine, topic: str) -> None:
    count = 4000
    oncelog_engine.producer().send_many(topic, [b"v"] * count).result()
    consumer = oncelog_engine.consumer(topic, group="g", max_records=2, timeout=0)
    seen: list[list[int]] = [[], [], []]

    def read(mine: list[int]) -> None:
        while consumer.position((topic, 0)) < count:
            try:
                mine.append(next(consumer).offset)
            except oncelog.BusyError:
                # Another one polls: what that finds is there at once.
                continue
            except StopIteration:
                return

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [threading.Thread(target=read, args=(mine,)) for mine in seen]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert sorted(sum(seen, [])) == list(range(count))


def test_commits_of_another_thread_lose_nothing(oncelog_engine: oncelog.Engine, topic: str) -> None:
    count = 20_000
    oncelog_engine.producer().send_many(topic, [b"v"] * count).result()
    consumer = oncelog_engine.consumer(topic, group="g", max_records=50, timeout=0)
    through = threading.Event()

    def commit() -> None:
        while not through.is_set():
            consumer.commit()

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    committer = threading.Thread(target=commit)
    committer.start()
    try:
        seen = [record.offset for record in consumer]
    finally:
        through.set()
        committer.join()
        sys.setswitchinterval(interval)
    assert seen == list(range(count))


def test_a_time_out_is_kept_while_many_wait_for_the_same_ticket(
    script: Callable[..., subprocess.CompletedProcess[str]], slow_disk: dict[str, str]
) -> None:
    done = script(
        """
import asyncio, os, threading, time
import oncelog
engine = oncelog.open("log")
engine.create_topic("t")
producer = engine.producer()
open("slow", "w").close()
threading.Thread(target=lambda: producer.send("t", b"leads").result(), daemon=True).start()
while not os.path.exists("flushing"):
    time.sleep(0.001)
ticket = producer.send("t", b"v")
answers = []
threads = [threading.Thread(target=lambda: answers.append(ticket.result().offset)) for _ in range(32)]
for thread in threads:
    thread.start()

def briefly():
    begun = time.monotonic()
    try:
        ticket.result(timeout=0.01)
    except TimeoutError:
        return time.monotonic() - begun
    raise AssertionError("there is an answer")

async def in_a_loop():
    begun = time.monotonic()
    try:
        async with asyncio.timeout(0.01):
            await ticket
    except TimeoutError:
        return time.monotonic() - begun
    raise AssertionError("there is an answer")

# The best of some, for others use the processor too.
assert min(briefly() for _ in range(5)) < 0.5
assert min(asyncio.run(in_a_loop()) for _ in range(5)) < 0.5
os.remove("slow")

async def at_last():
    return (await ticket).offset

assert asyncio.run(at_last()) == 1
for thread in threads:
    thread.join()
assert answers == [1] * 32, answers
print("fine")
""",
        env=slow_disk,
    )
    assert (done.returncode, done.stdout) == (0, "fine\n"), done.stderr
