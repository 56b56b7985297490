"""While the log has no room nothing holds the event loop, and nothing that was sent is lost or changes its place."""

from __future__ import annotations

import pytest
from test_interrupt import Script

# A log whose buffers are full, for the write that would make room stands still until a task of the loop has it go on:
# whatever holds the loop would hold it for ever.
PRELUDE = """
import asyncio, os, sys, threading, time
import oncelog
import oncelog.aio

async def prepared(engine):
    await engine.create_topic("t")
    await engine.create_topic("other")
    filler = await engine.producer(batch_bytes=0)
    # Files grow with the log. Now they are large enough for all that follows.
    await filler.send_many("other", [bytes(1_000_000)] * 24)
    await engine.flush()
    return filler

async def fill(engine, filler):
    open("stuck", "w").close()
    refused = 0
    # A log that has no room for as long as that has none before the write goes on.
    while refused < 30:
        refused += filler.try_send("other", bytes(1_000_000)) is None
        await asyncio.sleep(0.005 if refused else 0)
    assert not engine.has_room(1)

async def tick(ticks):
    while True:
        await asyncio.sleep(0.005)
        ticks.append(time.monotonic())

async def unstick(ticks):
    # Whatever is to wait has begun to.
    for _ in range(60):
        await asyncio.sleep(0.005)
    os.remove("stuck")

async def main():
    async with oncelog.aio.open("log", durability="os") as engine:
        ticks = []
        ticking = asyncio.create_task(tick(ticks))
        filler = await prepared(engine)
        try:
            await asyncio.wait_for(body(engine, filler, ticks), 60)
        finally:
            # Whatever went wrong, the log has to close.
            if os.path.exists("stuck"):
                os.remove("stuck")
        ticking.cancel()
        assert len(ticks) > 50
    print("fine")
"""


def check(script: Script, slow_disk: dict[str, str], body: str) -> None:
    done = script(PRELUDE + body + "\nasyncio.run(main())\n", env=slow_disk)
    assert (done.returncode, done.stdout) == (0, "fine\n"), done.stderr


def test_what_is_sent_waits_in_its_order(script: Script, slow_disk: dict[str, str]) -> None:
    check(
        script,
        slow_disk,
        """
async def body(engine, filler, ticks):
    await fill(engine, filler)
    producer = await engine.producer()
    first = [producer.send("t", b"%d" % n, key=b"k", headers={"h": b"%d" % n}) for n in range(500)]
    large = bytearray(b"x" * 100_000)
    many = producer.send_many("t", [b"500", large, b"502"], headers=[("m", None)])
    # What waits is a copy.
    large[:] = b"y" * 100_000
    last = producer.send("t", b"503")
    assert producer.try_send("t", b"504") is None
    waits = asyncio.ensure_future(last)
    try:
        await asyncio.wait_for(asyncio.shield(waits), 0.05)
    except TimeoutError:
        pass
    else:
        raise AssertionError("there was room")
    assert not last.done() and not many.done()
    task = asyncio.create_task(unstick(ticks))
    answers = [await ticket for ticket in first]
    assert [answer.offset for answer in answers] == list(range(500))
    assert [answer.offset for answer in await many] == [500, 501, 502] and (await waits).offset == 503
    assert (await last).offset == 503 and last.done()
    records = [record for record in engine.partition("t", 0).read(0, max_bytes=1 << 22)]
    assert [record.value for record in records] == [b"%d" % n for n in range(501)] + [b"x" * 100_000, b"502", b"503"]
    assert records[7].headers == (("h", b"7"),) and records[7].key == b"k" and records[501].headers == (("m", None),)
    await task
""",
    )


def test_more_than_the_buffers_hold_is_sent_in_one_go(script: Script, slow_disk: dict[str, str]) -> None:
    check(
        script,
        slow_disk,
        """
async def body(engine, filler, ticks):
    await fill(engine, filler)
    producer = await engine.producer()
    many = producer.send_many("t", [bytes(100_000)] * 300)
    one = producer.send("t", b"last")
    task = asyncio.create_task(unstick(ticks))
    assert [answer.offset for answer in await many] == list(range(300))
    assert (await one).offset == 300
    # Nobody awaits these before they are sent.
    tickets = [producer.send_many("t", [bytes(100_000)] * 100), producer.send("t", b"")]
    await producer.flush()
    assert (await tickets[1]).offset == 401 and len(await tickets[0]) == 100
    await task
""",
    )


def test_a_log_that_closes_takes_along_what_waits(script: Script, slow_disk: dict[str, str]) -> None:
    check(
        script,
        slow_disk,
        """
async def body(engine, filler, ticks):
    await fill(engine, filler)
    producer = await engine.producer()
    tickets = [producer.send("t", b"%d" % n) for n in range(100)]
    task = asyncio.create_task(unstick(ticks))
    await engine.close()
    assert [(await ticket).offset for ticket in tickets] == list(range(100))
    try:
        producer.send("t", b"late")
    except oncelog.ClosedError:
        pass
    async with oncelog.aio.open("log") as again:
        assert len(again.partition("t", 0).read(0)) == 100
    await task
""",
    )


def test_batches_wait_and_so_do_calls_that_are_awaited(script: Script, slow_disk: dict[str, str]) -> None:
    check(
        script,
        slow_disk,
        """
async def body(engine, filler, ticks):
    producer, named = await engine.producer(linger=1e6), await engine.producer(name="named", linger=0.01)
    await named.send("t", b"named", position=1)
    consumer = engine.consumer("other", group="g")
    await consumer.poll()
    at = consumer.positions()
    await fill(engine, filler)
    # The engine's own thread closes its batch, and waits for room with the producer in its hand.
    lingers = named.send("t", b"named", position=2)
    await asyncio.sleep(0.1)
    partition, tickets = engine.partition("t", 0), []
    for n in range(3):
        batch = oncelog.Batch()
        batch.add(b"%d" % n)
        tickets.append(partition.append(batch))
    gathered = producer.send("t", b"gathered")
    calls = [
        asyncio.ensure_future(call)
        for call in (
            gathered,
            *tickets,
            producer.drained(),
            producer.flush(),
            consumer.commit(),
            consumer.commit_offsets({("t", 0): 0}),
            engine.flush(),
            engine.create_topic("new"),
            engine.producer(name="n"),
            engine.transactional_producer("y"),
            engine.init_producer("raw"),
        )
    ]
    # A poll waits for the commit, which is of what was read before.
    await asyncio.sleep(0)
    poll = asyncio.ensure_future(consumer.poll())
    for _ in range(20):
        await asyncio.sleep(0.005)
        engine.metrics(), engine.topics(), partition.bounds()
        assert named.position == 1
    assert not any(call.done() for call in calls) and not poll.done()
    task = asyncio.create_task(unstick(ticks))
    answers = await asyncio.gather(*calls)
    assert sorted(answer.offset for answer in [await lingers, *answers[:4]]) == [1, 2, 3, 4, 5]
    assert named.position == 2
    assert answers[1].offset < answers[2].offset < answers[3].offset
    assert await consumer.committed_offsets(list(at)) == at
    assert len(await poll) > 0
    await task
""",
    )


def test_a_transaction_that_streams_waits_and_commits_behind_it(script: Script, slow_disk: dict[str, str]) -> None:
    check(
        script,
        slow_disk,
        """
async def body(engine, filler, ticks):
    transactional = await engine.transactional_producer("x", transaction_buffer=0)
    consumer = engine.consumer("other", group="g", max_records=1)
    await engine.flush()
    transaction = transactional.begin_transaction_for(consumer)
    read = await consumer.poll()
    behind = read[0].offset + 1
    await fill(engine, filler)
    for n in range(10):
        transaction.send("t", b"%d" % n)
    transaction.send_many("t", [b"10", b"11"])
    ticket = transaction.commit_ticket()
    assert not transaction.is_open and transaction.commit_ticket() is ticket
    try:
        transaction.send("t", b"late")
    except oncelog.InvalidTransactionStateError:
        pass
    else:
        raise AssertionError("it is open")
    # What is read from here on is no part of the transaction, so the poll waits for its commit.
    poll = asyncio.ensure_future(consumer.poll())
    for _ in range(20):
        await asyncio.sleep(0.005)
    assert not ticket.done() and not poll.done()
    task = asyncio.create_task(unstick(ticks))
    committed = await ticket
    assert await transaction.commit() == committed and committed.number == transaction.number
    assert engine.partition("t", 0).read(0).values() == [b"%d" % n for n in range(12)]
    assert (await poll)[0].offset == behind and await consumer.committed(("other", 0)) == behind
    await task
""",
    )


def test_a_transaction_of_which_a_record_is_refused_that_waited_aborts(
    script: Script, slow_disk: dict[str, str]
) -> None:
    check(
        script,
        slow_disk,
        """
async def body(engine, filler, ticks):
    transactional = await engine.transactional_producer("x", transaction_buffer=0)
    await engine.create_topic("gone")
    await engine.flush()
    transactions = []
    for how in ("commit", "abort"):
        transaction = transactional.begin_transaction()
        await fill(engine, filler)
        transaction.send("t", b"v")
        transaction.send("t", b"w", partition=7)
        transaction.send("t", b"x")
        task = asyncio.create_task(unstick(ticks))
        if how == "commit":
            try:
                await transaction.commit()
            except oncelog.UnknownTopicOrPartitionError:
                pass
            else:
                raise AssertionError("it is committed")
        else:
            try:
                await transaction.drained()
            except oncelog.UnknownTopicOrPartitionError:
                pass
            else:
                raise AssertionError("nothing is refused")
            for call in (lambda: transaction.send("t", b"y"), lambda: transaction.send_many("t", [b"y"])):
                try:
                    call()
                except oncelog.UnknownTopicOrPartitionError:
                    continue
                raise AssertionError("it goes on")
            await transaction.abort()
        await task
        assert not transaction.is_open
    await engine.flush()
    assert engine.partition("t", 0).read(0).values() == []
""",
    )


def test_handles_that_go_hold_nothing_up(script: Script, slow_disk: dict[str, str]) -> None:
    check(
        script,
        slow_disk,
        """
async def body(engine, filler, ticks):
    transactional = await engine.transactional_producer("x", transaction_buffer=0)
    transaction, producer = transactional.begin_transaction(), await engine.producer(linger=1e6)
    transaction.send("t", b"aborted")
    await engine.flush()
    await fill(engine, filler)
    ticket = producer.send("t", b"sent")
    del transaction, producer
    for _ in range(20):
        await asyncio.sleep(0.005)
    assert not ticket.done()
    task = asyncio.create_task(unstick(ticks))
    await ticket
    while not (records := engine.partition("t", 0).read(0)):
        await asyncio.sleep(0.005)
    assert records.values() == [b"sent"]
    await task
""",
    )


def test_too_much_that_waits_is_refused(script: Script, slow_disk: dict[str, str]) -> None:
    check(
        script,
        slow_disk,
        """
async def body(engine, filler, ticks):
    await fill(engine, filler)
    producer, sent = await engine.producer(), 0
    try:
        while True:
            producer.send("t", bytes(1_000_000))
            sent += 1
    except oncelog.BusyError as error:
        assert error.retriable and 60 < sent < 100
    task = asyncio.create_task(unstick(ticks))
    await producer.flush()
    assert engine.partition("t", 0).bounds().end == sent
    await task
""",
    )


@pytest.mark.parametrize("waits", ["await one", "one.result(timeout=60)"])
def test_a_ticket_that_waits_for_room_answers_a_thread_too(
    script: Script, slow_disk: dict[str, str], waits: str
) -> None:
    check(
        script,
        slow_disk,
        f"""
async def body(engine, filler, ticks):
    await fill(engine, filler)
    producer = await engine.producer()
    one, many = producer.send("t", b"v"), producer.send_many("t", [b"v"] * 3)
    task = asyncio.create_task(unstick(ticks))
    answers = await asyncio.gather(
        asyncio.to_thread(one.result), asyncio.to_thread(many.result, 60), asyncio.to_thread(one.result, 60)
    )
    assert answers[0] == answers[2] and len(answers[1]) == 3
    # Without a loop a send waits by itself.
    sent = await asyncio.to_thread(lambda: producer.send("t", b"v").result())
    assert sent.offset == 4 and ({waits}).offset == 0
    await task
""",
    )
