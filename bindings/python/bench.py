"""How fast records of 100 bytes go in and come out, beside what Python programs use today.

    pip install ./bindings/python lmdb confluent_kafka
    python bindings/python/bench.py [directory] [--quick] [--cpu | --caller]

The rows of a group are measured directly one behind the other, in short turns, round after round: a machine that is
slower for a while is so for all that is compared. Each ratio is taken within a round; what is printed is the median of
the rounds, with the quartiles. Logs, databases and queues stay open over the rounds, and what a turn leaves to be done
is done behind it, with the clock stopped. A group begins with floors: what the interpreter takes to do the like with
memory alone, in the same rounds.

For machines that others use: --cpu counts the processor time of all threads of the process, --caller that of the
calling thread alone. What is not installed is left out. The engines differ in what they do: lmdb and sqlite3 keep an
ordered index; confluent_kafka only fills a queue in memory. All but it write to the same device, none waits for it
(level "os", sync=False, synchronous=NORMAL).
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import logging
import sqlite3
import statistics
import struct
import sys
import time
from collections.abc import Callable, Generator, Iterator
from functools import partial
from tempfile import TemporaryDirectory
from typing import Any

import oncelog

VALUE = bytes((n * 7) % 251 for n in range(100))
MANY = [VALUE] * 1000
TURNS_OF_A_LOG = 20
"""A log that is written to gives way to another one behind so many: what it holds stays bounded."""

Work = Callable[[], None]
Turns = Generator[Work]
"""What each turn does. What is made before, and ended behind it, comes between two of them."""
Make = Callable[[str], Turns]


class Row:
    """Something to measure: its turns in a directory, and how many records one of them handles."""

    def __init__(self, group: str, name: str, count: int, make: Make) -> None:
        self.group, self.name, self.count, self.make = group, name, count, make
        self.rounds: list[float] = []

    @contextlib.contextmanager
    def opened(self, directory: str) -> Iterator[None]:
        with contextlib.closing(self.make(directory)) as self.turns:
            self.work = next(self.turns)
            yield

    def measure(self, clock: Callable[[], float]) -> None:
        work = self.work
        begun = clock()
        work()
        self.rounds.append((clock() - begun) / self.count * 1e9)
        self.work = next(self.turns)

    def against(self, other: Row) -> list[float]:
        """How many times as long it takes as the other one, round for round."""
        return [own / its for own, its in zip(self.rounds, other.rounds, strict=True)]


# Floors


def calling(count: int) -> Make:
    def turns(directory: str) -> Turns:
        def work() -> None:
            write = io.BytesIO().write
            for _ in range(count):
                write(VALUE)

        while True:
            yield work

    return turns


def joining(count: int) -> Make:
    def turns(directory: str) -> Turns:
        def work() -> None:
            for _ in range(count // 1000):
                b"".join(MANY)

        while True:
            yield work

    return turns


def unpacking(count: int) -> Make:
    def turns(directory: str) -> Turns:
        memory, unpack = VALUE * count, struct.Struct("100s" * 1000).unpack_from

        def work() -> None:
            found = 0
            for at in range(0, len(memory), 100_000):
                for _ in unpack(memory, at):
                    found += 1
            assert found == count, found

        while True:
            yield work

    return turns


def slicing(count: int) -> Make:
    def turns(directory: str) -> Turns:
        view = memoryview(VALUE * count)

        def work() -> None:
            for at in range(0, len(view), 100):
                bytes(view[at : at + 100])

        while True:
            yield work

    return turns


# oncelog


@contextlib.contextmanager
def log(directory: str) -> Iterator[oncelog.Engine]:
    with TemporaryDirectory(dir=directory) as own, oncelog.open(own, durability="os") as engine:
        engine.create_topic("t")
        # A new log begins with small segments, each flushed before the next but one: not what a program sees for long.
        engine.create_topic("before")
        producer = engine.producer()
        for _ in range(500):
            producer.send_many("before", MANY)
        engine.flush()
        yield engine


def writing(write: Callable[[oncelog.Producer], None]) -> Make:
    def work(producer: oncelog.Producer) -> None:
        write(producer)
        producer.flush()

    def turns(directory: str) -> Turns:
        while True:
            with log(directory) as engine:
                producer = engine.producer()
                for _ in range(TURNS_OF_A_LOG):
                    yield partial(work, producer)
                    # What the device has still to do it does in nobody else's turn.
                    engine.flush()

    return turns


def sending(count: int) -> Make:
    def write(producer: oncelog.Producer) -> None:
        send = producer.send
        for _ in range(count):
            send("t", VALUE)

    return writing(write)


def sending_with_a_key(count: int) -> Make:
    def write(producer: oncelog.Producer) -> None:
        send = producer.send
        for _ in range(count):
            send("t", VALUE, key=b"k", partition=0)

    return writing(write)


def sending_many(count: int) -> Make:
    def write(producer: oncelog.Producer) -> None:
        for _ in range(count // 1000):
            producer.send_many("t", MANY)

    return writing(write)


def reading(count: int, take: Callable[[oncelog.Engine], int]) -> Make:
    def turns(directory: str) -> Turns:
        with log(directory) as engine:
            producer = engine.producer()
            for _ in range(count // 1000):
                producer.send_many("t", MANY)
            engine.flush()

            def work() -> None:
                found = take(engine)
                assert found == count, found

            while True:
                yield work

    return turns


def batches(engine: oncelog.Engine) -> Iterator[oncelog.Records]:
    partition, at = engine.partition("t", 0), 0
    while records := partition.read(at, max_bytes=1 << 17):
        yield records
        at = records.next_offset("t", 0) or 0


def as_bytes(engine: oncelog.Engine) -> int:
    count = 0
    for records in batches(engine):
        for _ in records.values():
            count += 1
    return count


def as_records(engine: oncelog.Engine) -> int:
    count = 0
    for records in batches(engine):
        for record in records:
            record.value
            count += 1
    return count


def by_a_consumer(engine: oncelog.Engine) -> int:
    count = 0
    for record in engine.consumer("t", timeout=0, max_bytes=1 << 17):
        record.value
        count += 1
    return count


def as_columns(engine: oncelog.Engine) -> int:
    return sum(len(records.columns()) for records in batches(engine))


# sqlite3, lmdb, confluent_kafka


@contextlib.contextmanager
def database(directory: str) -> Iterator[sqlite3.Connection]:
    with (
        TemporaryDirectory(dir=directory) as own,
        contextlib.closing(sqlite3.connect(own + "/s.db", isolation_level=None)) as connection,
    ):
        connection.execute("pragma journal_mode=wal")
        connection.execute("pragma synchronous=normal")
        connection.execute("create table log(off integer primary key, v blob)")
        yield connection


def inserting(count: int, batch: int) -> Make:
    def turns(directory: str) -> Turns:
        rows = [(VALUE,)] * batch

        def one_by_one(connection: sqlite3.Connection) -> None:
            connection.execute("begin")
            for _ in range(count):
                connection.execute("insert into log(v) values(?)", (VALUE,))
            connection.execute("commit")

        def many(connection: sqlite3.Connection) -> None:
            for _ in range(count // batch):
                connection.execute("begin")
                connection.executemany("insert into log(v) values(?)", rows)
                connection.execute("commit")

        insert = one_by_one if batch == 1 else many
        while True:
            with database(directory) as connection:
                yield partial(insert, connection)

    return turns


def selecting(count: int) -> Make:
    def turns(directory: str) -> Turns:
        with database(directory) as connection:
            connection.execute("begin")
            connection.executemany("insert into log(v) values(?)", [(VALUE,)] * count)
            connection.execute("commit")

            def work() -> None:
                for _ in connection.execute("select v from log order by off"):
                    pass

            while True:
                yield work

    return turns


@contextlib.contextmanager
def environment(directory: str) -> Iterator[Any]:
    import lmdb

    with TemporaryDirectory(dir=directory) as own, lmdb.open(own, map_size=4 << 30, sync=False) as opened:
        yield opened


def putting(count: int, multi: bool) -> Make:
    def put(opened: Any) -> None:
        for first in range(0, count, 1000):
            with opened.begin(write=True) as transaction:
                if multi:
                    items = [((first + n).to_bytes(8, "big"), VALUE) for n in range(1000)]
                    transaction.cursor().putmulti(items, append=True)
                else:
                    for n in range(first, first + 1000):
                        transaction.put(n.to_bytes(8, "big"), VALUE, append=True)

    def turns(directory: str) -> Turns:
        while True:
            with environment(directory) as opened:
                yield partial(put, opened)

    return turns


def walking(count: int) -> Make:
    def turns(directory: str) -> Turns:
        with environment(directory) as opened:
            with opened.begin(write=True) as transaction:
                transaction.cursor().putmulti([(n.to_bytes(8, "big"), VALUE) for n in range(count)], append=True)

            def work() -> None:
                with opened.begin() as transaction:
                    for _ in transaction.cursor():
                        pass

            while True:
                yield work

    return turns


def producing(count: int) -> Make:
    def turns(directory: str) -> Turns:
        import confluent_kafka

        quiet = logging.getLogger("nobody")
        quiet.addHandler(logging.NullHandler())
        quiet.propagate = False
        limits = {"queue.buffering.max.messages": 2_000_000, "queue.buffering.max.kbytes": 2_097_151}
        producer = confluent_kafka.Producer({"bootstrap.servers": "127.0.0.1:1", "logger": quiet, **limits})

        def work() -> None:
            produce = producer.produce
            for _ in range(count):
                produce("t", VALUE)

        while True:
            yield work
            producer.purge()
            producer.flush(1)

    return turns


ONE, MULTI, READ = "one by one", "batches of 1,000", "read"


def rows(count: int) -> list[Row]:
    """Of each group first its floors, the one that the others are compared with before all, then oncelog's own."""
    quarter = count // 4
    found = [
        Row(ONE, "floor: BytesIO.write(value)", quarter, calling(quarter)),
        Row(ONE, "oncelog send(topic, value)", quarter, sending(quarter)),
        Row(ONE, "oncelog send(topic, value, key=, partition=)", quarter, sending_with_a_key(quarter)),
        Row(ONE, "sqlite3 insert in one transaction", quarter, inserting(quarter, 1)),
        Row(MULTI, "floor: bytes.join", quarter, joining(quarter)),
        Row(MULTI, "oncelog send_many", quarter, sending_many(quarter)),
        Row(MULTI, "sqlite3 executemany", quarter, inserting(quarter, 1000)),
        Row(READ, "floor: struct.unpack to bytes", count, unpacking(count)),
        Row(READ, "floor: bytes(memoryview[begin:end])", count, slicing(count)),
        Row(READ, "oncelog values(): bytes", count, reading(count, as_bytes)),
        Row(READ, "oncelog records, each with its value", count, reading(count, as_records)),
        Row(READ, "oncelog for record in consumer, with its value", count, reading(count, by_a_consumer)),
        Row(READ, "oncelog columns()", count, reading(count, as_columns)),
        Row(READ, "sqlite3 cursor", count, selecting(count)),
    ]
    if importlib.util.find_spec("lmdb"):
        found += [
            Row(ONE, "lmdb put, transactions of 1,000", quarter, putting(quarter, False)),
            Row(MULTI, "lmdb putmulti", quarter, putting(quarter, True)),
            Row(READ, "lmdb cursor", count, walking(count)),
        ]
    if importlib.util.find_spec("confluent_kafka"):
        found.append(Row(ONE, "confluent_kafka produce, into its own queue", quarter, producing(quarter)))
    return found


def spread(figures: list[float], form: str) -> str:
    """The median and the quartiles, in columns."""
    low, median, high = (format(figure, form) for figure in statistics.quantiles(figures, n=4, method="inclusive"))
    return f"{median}  {low} ..{high}"


def tell(group: list[Row]) -> None:
    """Prints a line for each row, and behind one of oncelog's how many times as long the others take."""
    floor, *rest = group
    nanoseconds, times = "8,.0f", "7.2f"
    print(f"{floor.group:49} {'lowest':>8}  {'ns each':>8}  {'quartiles':>20}  {'x floor':>7}  {'quartiles':>18}")
    others = [row for row in rest if not row.name.startswith(("floor: ", "oncelog "))]
    for row in group:
        print(f"  {row.name:47} {min(row.rounds):8,.0f}  {spread(row.rounds, nanoseconds)}", end="")
        print("" if row is floor else f"  {spread(row.against(floor), times)}")
        for other in others if row.name.startswith("oncelog ") else ():
            words = f"{other.name} takes"
            print(f"      {words:75}  x {spread(other.against(row), times)}")
    print()


def main() -> None:
    words = [word for word in sys.argv[1:] if not word.startswith("--")]
    clock = time.process_time if "--cpu" in sys.argv else time.perf_counter
    clock = time.thread_time if "--caller" in sys.argv else clock
    count, rounds = (20_000, 2) if "--quick" in sys.argv else (200_000, 150)
    measured = rows(count)
    with TemporaryDirectory(dir=words[0] if words else None) as directory:
        for name in dict.fromkeys(row.group for row in measured):
            group = [row for row in measured if row.group == name]
            with contextlib.ExitStack() as stack:
                for row in group:
                    stack.enter_context(row.opened(directory))
                for turn in range(rounds):
                    # Nobody is always the one behind the floor, or behind the slowest.
                    first = turn % len(group)
                    for row in group[first:] + group[:first]:
                        row.measure(clock)
            tell(group)


if __name__ == "__main__":
    main()
