"""The same log for asyncio."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import os
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import oncelog
import oncelog.aio
from oncelog._oncelog import Hub

Test = Callable[[Path], Coroutine[Any, Any, None]]


def run(test: Test) -> Callable[[Path], None]:
    @functools.wraps(test)
    def sync(tmp_path: Path) -> None:
        asyncio.run(test(tmp_path), debug=False)

    # So that pytest asks for the argument that it takes, not awaits it.
    del sync.__wrapped__
    return sync


@asynccontextmanager
async def opened(path: Path, **options: Any) -> AsyncIterator[oncelog.aio.Engine]:
    async with oncelog.aio.open(path / "log", durability="os", **options) as engine:
        await engine.create_topic("t", partitions=2)
        yield engine


@run
async def test_a_log_is_opened_either_way_and_closed(tmp_path: Path) -> None:
    engine = await oncelog.aio.open(tmp_path / "log")
    assert engine.opening.created
    assert (await engine.verify()).damage == []
    await engine.close()
    with pytest.raises(oncelog.ClosedError):
        engine.topics()
    async with oncelog.aio.open(tmp_path / "log") as engine:
        with pytest.raises(oncelog.LockedError):
            await oncelog.aio.open(tmp_path / "log")


@run
async def test_topics_and_producers_are_made_without_blocking(tmp_path: Path) -> None:
    async with opened(tmp_path) as engine:
        await asyncio.gather(*(engine.create_topic(f"topic-{n}") for n in range(20)))
        await engine.add_partitions("topic-1", 5)
        await engine.delete_topic("topic-2")
        assert len(engine.topics()) == 20
        with pytest.raises(oncelog.TopicExistsError):
            await engine.create_topic("topic-1")
        named = await engine.producer(name="n")
        positions = [named.position]
        assert (await named.send("t", b"v", position=5)).duplicate is False
        await named.flush()
        positions.append(named.position)
        assert positions == [None, 5] and (await named.send("t", b"v", position=5)).duplicate
        while (ticket := named.try_send("t", b"w", position=6)) is None:
            await asyncio.sleep(0)
        assert not (await ticket).duplicate and engine.has_room(1)
        await engine.delete_producer("n")
        await engine.flush()
        await engine.wait_durable(1)
        assert engine.metrics().flush_nanos.count > 0 and engine.openmetrics().endswith("# EOF\n")


@run
async def test_a_send_is_awaited_at_once_or_later_or_many_times(tmp_path: Path) -> None:
    async with opened(tmp_path) as engine:
        producer = await engine.producer(linger=3600)
        assert (await producer.send("t", b"v", partition=0)).offset == 0
        ticket = producer.send("t", b"w", partition=0)
        answers = await asyncio.gather(*(as_coroutine(ticket) for _ in range(5)))
        assert {answer.offset for answer in answers} == {1} and (await ticket).offset == 1
        assert ticket.result().offset == 1
        tickets = [producer.send("t", b"%d" % n) for n in range(100)]
        lsns = {answer.lsn for answer in await asyncio.gather(*tickets)}
        assert len(lsns) <= 4, "what one turn sends is written together"
        assert [answer.first for answer in await producer.send_many("t", [b"a", b"b"], partition=0)][1] > 1
        while not (some := producer.try_send_many("t", [b"c", b"d"], partition=0)).sent:
            await asyncio.sleep(0)
        assert some.refused is None and len(await some.ticket) == some.sent == 2


async def as_coroutine(ticket: oncelog.Ticket[oncelog.Appended]) -> oncelog.Appended:
    return await ticket


@run
async def test_cancelling_stops_the_waiting_and_not_the_writing(tmp_path: Path) -> None:
    async with opened(tmp_path) as engine:
        producer = await engine.producer(linger=3600)
        ticket = producer.send("t", b"v", partition=0)
        task = asyncio.ensure_future(as_coroutine(ticket))
        other = asyncio.ensure_future(as_coroutine(ticket))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await other).offset == (await ticket).offset == 0
        assert engine.partition("t", 0).bounds().end == 1


@run
async def test_a_consumer_waits_in_the_loop(tmp_path: Path) -> None:
    async with opened(tmp_path) as engine:
        producer = await engine.producer()
        consumer = engine.consumer("t", group="g")
        begun = time.monotonic()
        assert not await consumer.poll(timeout=0.05) and time.monotonic() - begun >= 0.05
        for n in range(20):
            # Waits in vain leave nothing behind.
            assert not await consumer.poll(timeout=0.001)
        poll = asyncio.ensure_future(consumer.poll())
        await asyncio.sleep(0.01)
        with pytest.raises(oncelog.BusyError):
            await consumer.poll(timeout=0)
        await producer.send("t", b"v")
        assert (await poll).values() == [b"v"]
        await consumer.commit()
        tp = next(tp for tp, at in consumer.positions().items() if at.offset == 1)
        assert await consumer.committed(tp) == 1
        assert await consumer.committed_offsets([tp]) == {tp: oncelog.OffsetAndMetadata(1)}
        assert await consumer.lag(tp) == 0 and await consumer.position(tp) == 1
        cancelled = asyncio.ensure_future(consumer.poll())
        await asyncio.sleep(0.01)
        cancelled.cancel()
        # Its turn ends with it; an answer that is there already takes no turn of the loop.
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        await producer.send("t", b"w")
        assert (await consumer.poll()).values() == [b"w"], "a cancelled poll takes nothing"


@run
async def test_a_loop_over_a_consumer(tmp_path: Path) -> None:
    async with opened(tmp_path) as engine:
        producer = await engine.producer()
        await producer.send_many("t", [b"%d" % n for n in range(100)])
        consumer = engine.consumer("t", group="g", timeout=0)
        seen = []
        async for record in consumer:
            seen.append(record.value)
            if len(seen) == 30:
                break
        await consumer.commit()
        async for record in engine.consumer("t", group="g", timeout=0):
            seen.append(record.value)
        assert sorted(seen, key=lambda value: int(value or b"")) == [b"%d" % n for n in range(100)]

        later = asyncio.ensure_future(send_later(producer))
        async for record in engine.consumer("t", start="latest"):
            assert record.value == b"later"
            break
        await later


async def send_later(producer: oncelog.aio.Producer) -> None:
    await asyncio.sleep(0.05)
    await producer.send("t", b"later")


@run
async def test_other_tasks_run_while_a_loop_reads(tmp_path: Path) -> None:
    async with opened(tmp_path) as engine:
        producer = await engine.producer()
        await producer.send_many("t", [b"v"] * 1000)
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0)

        ticker = asyncio.ensure_future(tick())
        async for _ in engine.consumer("t", max_records=10, timeout=0):
            pass
        ticker.cancel()
        assert ticks >= 50


@run
async def test_polls_wait_for_the_decision_on_offsets_that_are_pending(tmp_path: Path) -> None:
    async with opened(tmp_path) as engine:
        producer = await engine.producer()
        await producer.send_many("t", [b"a", b"b"], partition=0)
        identity = await engine.init_producer("shop", timeout=30)
        await engine.send_offsets(identity, oncelog.GroupMetadata("g"), {("t", 0): 1})
        consumer = engine.consumer(("t", 0), group="g")
        assert len(await consumer.poll(timeout=0)) == 0
        with pytest.raises(oncelog.UnstableOffsetsError):
            await consumer.position(("t", 0))
        waiting = asyncio.ensure_future(consumer.poll())
        await asyncio.sleep(0.05)
        assert not waiting.done()
        await engine.end_transaction(identity, "commit")
        assert (await waiting).values() == [b"b"]


@run
async def test_places_and_times_are_found(tmp_path: Path) -> None:
    async with opened(tmp_path, visibility="durable", flush_interval=3600) as engine:
        await engine.create_topic("stamped", timestamp_type="append")
        assert {info.name: info.timestamp_type for info in engine.topics()} == {"stamped": "append", "t": "create"}
        producer = await engine.producer(compression="snappy")
        await producer.send("t", b"v", partition=0, timestamp_ms=5)
        partition = engine.partition("t", 0)
        assert partition.bounds().end == 0, "written, not durable"
        await engine.flush()
        assert (partition.offset_at(5), partition.offset_at(6), partition.max_timestamp()) == (0, None, (0, 5))
        place = partition.read(0).next_place("t", 0)
        assert place is not None and place.offset == 1 and not partition.read(place)


@run
async def test_batches_are_appended(tmp_path: Path) -> None:
    async with opened(tmp_path) as engine:
        partition = engine.partition("t", 1)
        batch = oncelog.Batch()
        batch.add(b"v")
        assert (await partition.append(batch, durability="disk")).offset == 0
        assert partition.read(0).values() == [b"v"] and (partition.topic, partition.number) == ("t", 1)


@run
async def test_errors_come_out_of_the_await(tmp_path: Path) -> None:
    async with opened(tmp_path) as engine:
        older = await engine.transactional_producer("x")
        transaction = older.begin_transaction()
        transaction.send("t", b"v")
        await engine.transactional_producer("x")
        with pytest.raises(oncelog.ProducerFencedError):
            await transaction.commit()
        consumer = engine.consumer("t")
        waiting = asyncio.ensure_future(consumer.poll())
        await asyncio.sleep(0.01)
        await engine.close()
        with pytest.raises(oncelog.ClosedError):
            await waiting
        with pytest.raises(oncelog.ClosedError):
            await engine.create_topic("u")


@run
async def test_no_thread_is_started_per_call(tmp_path: Path) -> None:
    async with opened(tmp_path) as engine:
        producer = await engine.producer()
        before = threading.active_count()
        consumer = engine.consumer("t")
        await asyncio.gather(*(producer.send("t", b"v") for _ in range(200)), consumer.poll())
        # A thread may end meanwhile that watched for an earlier loop.
        assert threading.active_count() <= before


@run
async def test_an_opening_that_is_cancelled_leaves_the_log_closed(tmp_path: Path) -> None:
    task = asyncio.ensure_future(as_engine(tmp_path))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    while True:
        try:
            engine = await oncelog.aio.open(tmp_path / "log")
        except oncelog.LockedError:
            await asyncio.sleep(0.01)
        else:
            return await engine.close()


async def as_engine(path: Path) -> oncelog.aio.Engine:
    return await oncelog.aio.open(path / "log")


def test_a_ticket_of_the_plain_api_is_awaited_in_several_loops(oncelog_engine: oncelog.Engine, topic: str) -> None:
    producer = oncelog_engine.producer()
    for n in range(3):
        assert asyncio.run(as_coroutine(producer.send(topic, b"v"))).offset == n
    ticket = producer.send(topic, b"v")
    loops = [threading.Thread(target=lambda: asyncio.run(as_coroutine(ticket))) for _ in range(3)]
    for loop in loops:
        loop.start()
    for loop in loops:
        loop.join()
    assert ticket.result().offset == 3


def test_a_ticket_is_awaited_here_and_waited_for_there(oncelog_engine: oncelog.Engine, topic: str) -> None:
    async def main() -> None:
        ticket = oncelog_engine.producer().send(topic, b"v")
        task = asyncio.ensure_future(as_coroutine(ticket))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        there = asyncio.get_running_loop().run_in_executor(None, ticket.result)
        assert await task == await there

    asyncio.run(main())


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts descriptors as Linux does")
def test_loops_that_are_gone_leave_no_descriptors(
    oncelog_engine: oncelog.Engine, topic: str, tmp_path: Path
) -> None:
    producer = oncelog_engine.producer()

    def use() -> int:
        asyncio.run(as_coroutine(producer.send(topic, b"v")))
        gc.collect()
        # Without the log's own files, which it opens and closes when it likes.
        return sum(not target.startswith(str(tmp_path)) for target in open_now())

    before = use()
    assert before > 0 and [use() for _ in range(20)] == [before] * 20


def test_a_loop_that_watches_no_descriptors_has_a_thread_that_goes_with_it(
    oncelog_engine: oncelog.Engine, topic: str
) -> None:
    class Loop(asyncio.SelectorEventLoop):
        def add_reader(self, *_: Any) -> None:  # type: ignore[override]
            raise NotImplementedError

    def watching() -> list[threading.Thread]:
        return [thread for thread in threading.enumerate() if thread.name == "oncelog-loop"]

    async def main() -> list[int]:
        offsets = []
        for _ in range(3):
            batch = [as_coroutine(producer.send(topic, b"v")) for _ in range(10)]
            offsets += [appended.first for appended in await asyncio.gather(*batch)]
        seen.extend(watching())
        return offsets

    # What lingers is not sent before it is awaited: else all tickets may be done by then, and nothing be watched.
    producer, before, seen = oncelog_engine.producer(linger=3600), watching(), list[threading.Thread]()
    with asyncio.Runner(loop_factory=Loop) as runner:
        assert runner.run(main()) == list(range(30))
    del runner
    gc.collect()
    (new,) = set(seen) - set(before)
    new.join()


def open_now() -> list[str]:
    """What this process has open."""
    targets = []
    for link in list(Path("/proc/self/fd").iterdir()):
        # Gone meanwhile: the list's own, or a file of the log.
        with contextlib.suppress(FileNotFoundError):
            targets.append(os.readlink(link))
    return targets


def test_what_raises_while_one_future_is_completed_costs_no_other_its_answer(
    oncelog_engine: oncelog.Engine, topic: str
) -> None:
    # As a signal's handler may, in the middle of it.
    class Future:
        def __init__(self) -> None:
            self.raises = 0
            self.answers: list[object] = []

        def done(self) -> bool:
            self.raises -= 1
            if self.raises >= 0:
                raise InterruptedError
            return False

        def set_result(self, answer: object) -> None:
            self.answers.append(answer)

    hub = Hub()
    producer = oncelog_engine.producer()
    futures = [Future() for _ in range(4)]
    futures[1].raises, futures[2].raises = 1, 2
    pairs: Any = [(producer.send(topic, b"v"), future) for future in futures]
    hub.watch(pairs)
    deadline = time.monotonic() + 60
    interrupted = 0
    while interrupted < 3 or any(not future.answers for future in futures if future is not futures[2]):
        assert time.monotonic() < deadline
        try:
            hub.drain()
        except InterruptedError:
            interrupted += 1
    assert [len(future.answers) for future in futures] == [1, 1, 0, 1], "who raises twice is given up"
    assert interrupted == 3


def test_awaiting_outside_a_loop_says_so(oncelog_engine: oncelog.Engine, topic: str) -> None:
    # Kept: a producer that goes sends what it has gathered.
    producer = oncelog_engine.producer(linger=3600)
    ticket = producer.send(topic, b"v")
    with pytest.raises(RuntimeError):
        next(ticket.__await__())


def test_the_names_are_the_same() -> None:
    for name in oncelog.aio.__all__:
        there, here = getattr(oncelog.aio, name), getattr(oncelog, name)
        if isinstance(there, type):
            public = {attribute for attribute in dir(here) if not attribute.startswith("_")} - {"drive"}
            offered = {attribute for attribute in dir(there) if not attribute.startswith("_")}
            assert public - {"send", "try_send", "send_many", "try_send_many"} <= offered, name


def test_the_loop_goes_on_while_a_groups_place_waits_for_a_flush(
    script: Callable[..., subprocess.CompletedProcess[str]], slow_disk: dict[str, str]
) -> None:
    done = script(
        """
import asyncio, os
import oncelog.aio

async def main():
    async with oncelog.aio.open("log", durability="os") as engine:
        await engine.create_topic("t")
        await (await engine.producer()).send_many("t", [b"a", b"b"])
        transactional = await engine.transactional_producer("tp")
        first, second, bound = (engine.consumer("t", group="g", max_records=1, timeout=0) for _ in range(3))
        await first.poll()
        open("slow", "w").close()
        await first.commit()
        transaction = transactional.begin_transaction_for(bound)
        tp = ("t", 0)
        asks = [second.committed(tp), second.position(tp), second.lag(tp), second.poll(), bound.poll(0)]
        asked = [asyncio.ensure_future(ask) for ask in asks]
        for _ in range(100):
            await asyncio.sleep(0)
        early = sum(one.done() for one in asked)
        os.remove("slow")
        committed, position, lag, *polls = await asyncio.gather(*asked)
        await transaction.abort()
        print(early, committed, position, lag, [records.values() for records in polls])
        async for record in bound:
            print(record.value)
            break

asyncio.run(main())
""",
        env=slow_disk,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "0 1 1 1 [[b'b'], [b'b']]\nb'b'\n"


@run
async def test_the_end_of_a_producer_s_block_flushes(path: Path) -> None:
    async with opened(path) as engine:
        async with await engine.producer(linger=3600) as producer:
            ticket = producer.send("t", b"kept", partition=0)
            assert not ticket.done()
        assert ticket.done()
        with pytest.raises(ZeroDivisionError):
            async with await engine.producer(linger=3600) as producer:
                ticket = producer.send("t", b"kept", partition=0)
                raise ZeroDivisionError
        assert ticket.done()


@run
async def test_a_loop_over_a_consumer_ends_when_that_is_closed(path: Path) -> None:
    async with opened(path) as engine:
        consumer = engine.consumer("t")

        async def read() -> list[int]:
            return [record.offset async for record in consumer]

        reading = asyncio.ensure_future(read())
        await (await engine.producer()).send("t", b"v")
        await asyncio.sleep(0)
        async with consumer:
            pass
        assert len(await asyncio.wait_for(reading, 60)) <= 1
        with pytest.raises(oncelog.ClosedError):
            await consumer.poll()


@run
async def test_an_open_engine_is_wrapped(path: Path) -> None:
    with oncelog.open(path / "log", durability="os") as core:
        engine = oncelog.aio.Engine(core)
        await engine.create_topic("t")
        assert (await (await engine.producer()).send("t", b"v")).offset == 0
        assert [topic.name for topic in core.topics()] == ["t"]
