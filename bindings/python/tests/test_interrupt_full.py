"""Ctrl-C is heard while the log is full, and what was interrupted has written nothing."""

from __future__ import annotations

from test_interrupt import PRELUDE, Script, check

# Behind the prelude: a log whose buffers are full, for the write that would make room stands still in another thread.
FULL = """
from functools import partial
engine.close()
engine = oncelog.open("full", durability="os")
engine.create_topic("t")
producer, filler = engine.producer(linger=1e6), engine.producer(batch_bytes=0)
transactional, partition = engine.transactional_producer("x", transaction_buffer=0), engine.partition("t", 0)
consumer, batch = engine.consumer("t", group="g"), oncelog.Batch()
batch.add(b"batch")
streams = transactional.begin_transaction()
# Files grow with the log. Now they are large enough for all that follows: at the end of one it could be the file that
# is full and not the buffers, and a call might make the next one itself.
filler.send_many("t", [bytes(1_000_000)] * 48).result()
engine.flush()
early, many = producer.send("t", b"early"), producer.send_many("t", [b"early"])
open("stuck", "w").close()
# Leads the write, or waits for who does.
threading.Thread(target=lambda: filler.send("t", b"").result(), daemon=True).start()
while not os.path.exists("writing"):
    time.sleep(0.001)
# By now it does, and no call of the main thread will write by itself.
time.sleep(1)
sent = 49
while engine.has_room(1):
    sent += filler.try_send("t", bytes(1_000_000)) is not None
# One more may be gathered, and wait for room as it is.
while filler.try_send("t", b"") is not None:
    sent += 1
"""

# All that wait, by themselves; the loop behind asks each.
CALLS = """
calls = [
    partial(filler.send, "t", b"v"),
    partial(filler.send_many, "t", [b"v"] * 3),
    partial(partition.append, batch),
    producer.flush,
    engine.flush,
    early.result,
    many.result,
    early.lsn,
    many.lsn,
    partial(streams.send, "t", bytes(1000)),
    streams.commit,
    streams.commit_ticket,
    partial(consumer.commit, {("t", 0): 1}),
    partial(consumer.commit_offsets, {("t", 0): 1}),
    partial(engine.create_topic, "new"),
    partial(engine.delete_topic, "t"),
    partial(engine.add_partitions, "t", 2),
    partial(engine.producer, name="n"),
    partial(engine.delete_producer, "n"),
    partial(engine.transactional_producer, "y"),
    partial(engine.init_producer, "raw"),
]
"""


def test_a_call_that_waits_for_room_is_interrupted_and_has_written_nothing(
    script: Script, slow_disk: dict[str, str]
) -> None:
    check(
        script,
        FULL
        + CALLS
        + """
for call in calls:
    begun = time.monotonic()
    try:
        during(call)
    except KeyboardInterrupt:
        assert time.monotonic() - begun < 30, call
    else:
        sys.exit(f"not interrupted: {call}")
assert streams.is_open
os.remove("stuck")
assert early.result().offset >= 0 and many.result()[0].offset >= 0
streams.abort()
assert [topic.name for topic in engine.topics()] == ["t"] and engine.topics()[0].partitions == 1
# What leads the write, early and many are there beside what went in.
assert partition.bounds().end <= sent + 3
engine.close()
print("fine")
""",
        env=slow_disk,
    )


def test_a_ticket_whose_batch_finds_no_room_keeps_its_time_out(script: Script, slow_disk: dict[str, str]) -> None:
    check(
        script,
        FULL
        + """
for ticket in (early, many):
    begun = time.monotonic()
    try:
        ticket.result(timeout=0.05)
    except TimeoutError:
        assert time.monotonic() - begun < 30
    else:
        sys.exit("there is no answer")
assert filler.try_send_many("t", [b""] * 3).sent == 0
os.remove("stuck")
assert early.result().offset >= 0 and many.result()[0].offset >= 0
engine.close()
print("fine")
""",
        env=slow_disk,
    )


def test_a_producer_that_goes_while_there_is_no_room_holds_up_no_other_thread(
    script: Script, slow_disk: dict[str, str]
) -> None:
    check(
        script,
        FULL
        + """
def let_the_disk_go_on():
    # Needs the interpreter, which the main thread must not keep while its producer goes.
    time.sleep(0.2)
    os.remove("stuck")
threading.Thread(target=let_the_disk_go_on).start()
del early, many, producer
engine.close()
print("fine")
""",
        env=slow_disk,
    )


# Batches that are gathered and are more than the buffers take, which have room for the first ones.
LARGE = """
engine.close()
engine = oncelog.open("large", durability="os")
engine.create_topic("t", partitions=12)
producer, filler = engine.producer(linger=1e6, batch_bytes=1 << 20), engine.producer(batch_bytes=0)
filler.send_many("t", [bytes(1_000_000)] * 48).result()
engine.flush()
large = [producer.send("t", bytes(900_000), partition=partition) for partition in range(12)]
open("stuck", "w").close()
threading.Thread(target=lambda: filler.send("t", b"").result(), daemon=True).start()
while not os.path.exists("writing"):
    time.sleep(0.001)
time.sleep(1)
assert engine.has_room(1 << 20)
# Whoever is not interrupted waits no longer than this.
end = threading.Timer(20, lambda: os.path.exists("stuck") and os.remove("stuck"))
end.daemon = True
end.start()
"""


def test_a_flush_of_more_than_there_is_room_for_is_interrupted(script: Script, slow_disk: dict[str, str]) -> None:
    check(
        script,
        LARGE
        + """
for flush in (producer.flush, engine.flush):
    try:
        during(flush)
    except KeyboardInterrupt:
        assert os.path.exists("stuck"), "interrupted when it was over"
    else:
        sys.exit(f"not interrupted: {flush}")
os.remove("stuck")
producer.flush()
assert all(ticket.done() and ticket.result().offset >= 0 for ticket in large)
engine.close()
print("fine")
""",
        env=slow_disk,
    )


def test_an_event_loop_goes_on_while_a_ticket_or_a_flush_waits_for_room(
    script: Script, slow_disk: dict[str, str]
) -> None:
    check(
        script,
        LARGE
        + """
import asyncio
import oncelog.aio

async def main():
    async def answer(ticket):
        return await ticket
    flushes = [oncelog.aio.Producer(producer).flush, oncelog.aio.Engine(engine).flush]
    waiting = [asyncio.ensure_future(answer(ticket)) for ticket in large]
    waiting += [asyncio.ensure_future(flush()) for flush in flushes]
    for _ in range(100):
        await asyncio.sleep(0.001)
    assert os.path.exists("stuck"), "the loop was held"
    assert not any(one.done() for one in waiting)
    os.remove("stuck")
    one, other, *_ = await asyncio.gather(*waiting)
    assert one.offset >= 0 and other.offset >= 0

asyncio.run(main())
engine.close()
print("fine")
""",
        env=slow_disk,
    )
