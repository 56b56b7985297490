"""How fast records of 100 bytes go in and come out, beside what Python programs use today.

    pip install ./bindings/python lmdb confluent_kafka
    python bindings/python/bench.py [directory] [--quick] [--cpu | --caller]

Everything is measured in one run and in turns, so that the ratios hold on a busy machine too: compare within a run.
Each figure is the median of the rounds. For machines that others use: --cpu counts the processor time of all threads
of the process, --caller that of the calling thread alone. What is not installed is left out. The engines differ in what they do: lmdb
and sqlite3 keep an ordered index; confluent_kafka only fills a queue in memory. All but it write to the same device,
none waits for it (level "os", sync=False, synchronous=NORMAL).
"""

from __future__ import annotations

import contextlib
import logging
import shutil
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

import oncelog

VALUE = bytes((n * 7) % 251 for n in range(100))
MANY = [VALUE] * 1000

Work = Callable[[], None]
Make = Callable[[str], contextlib.AbstractContextManager[Work]]


class Row:
    """Something to measure: how it is made in a directory, and how many records one call of it handles."""

    def __init__(self, group: str, name: str, count: int, make: Make) -> None:
        self.group, self.name, self.count, self.make = group, name, count, make
        self.rounds: list[float] = []

    def measure(self, directory: str, clock: Callable[[], float]) -> None:
        place = tempfile.mkdtemp(dir=directory)
        with self.make(place) as work:
            begun = clock()
            work()
            self.rounds.append((clock() - begun) / self.count * 1e9)
        shutil.rmtree(place)

    @property
    def nanoseconds(self) -> float:
        return statistics.median(self.rounds)


# oncelog


@contextlib.contextmanager
def log(directory: str) -> Iterator[oncelog.Engine]:
    with oncelog.open(directory, durability="os") as engine:
        engine.create_topic("t")
        # A new log begins with small segments, each flushed before the next but one: not what a program sees for long.
        engine.create_topic("before")
        producer = engine.producer()
        for _ in range(500):
            producer.send_many("before", MANY)
        producer.flush()
        yield engine


def sending(count: int, keyed: bool) -> Make:
    @contextlib.contextmanager
    def make(directory: str) -> Iterator[Work]:
        with log(directory) as engine:
            producer = engine.producer()

            def with_key() -> None:
                send = producer.send
                for _ in range(count):
                    send("t", VALUE, key=b"k", partition=0)
                producer.flush()

            def plain() -> None:
                send = producer.send
                for _ in range(count):
                    send("t", VALUE)
                producer.flush()

            yield with_key if keyed else plain

    return make


def sending_many(count: int) -> Make:
    @contextlib.contextmanager
    def make(directory: str) -> Iterator[Work]:
        with log(directory) as engine:
            producer = engine.producer()

            def work() -> None:
                for _ in range(count // 1000):
                    producer.send_many("t", MANY)
                producer.flush()

            yield work

    return make


def reading(count: int, take: Callable[[oncelog.Engine], int]) -> Make:
    @contextlib.contextmanager
    def make(directory: str) -> Iterator[Work]:
        with log(directory) as engine:
            producer = engine.producer()
            for _ in range(count // 1000):
                producer.send_many("t", MANY)
            producer.flush()

            def work() -> None:
                found = take(engine)
                assert found == count, found

            yield work

    return make


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
    connection = sqlite3.connect(directory + "/s.db", isolation_level=None)
    connection.execute("pragma journal_mode=wal")
    connection.execute("pragma synchronous=normal")
    connection.execute("create table log(off integer primary key, v blob)")
    yield connection
    connection.close()


def inserting(count: int, batch: int) -> Make:
    @contextlib.contextmanager
    def make(directory: str) -> Iterator[Work]:
        with database(directory) as connection:
            rows = [(VALUE,)] * batch

            def one_by_one() -> None:
                connection.execute("begin")
                for _ in range(count):
                    connection.execute("insert into log(v) values(?)", (VALUE,))
                connection.execute("commit")

            def many() -> None:
                for _ in range(count // batch):
                    connection.execute("begin")
                    connection.executemany("insert into log(v) values(?)", rows)
                    connection.execute("commit")

            yield one_by_one if batch == 1 else many

    return make


def selecting(count: int) -> Make:
    @contextlib.contextmanager
    def make(directory: str) -> Iterator[Work]:
        with database(directory) as connection:
            connection.execute("begin")
            connection.executemany("insert into log(v) values(?)", [(VALUE,)] * count)
            connection.execute("commit")

            def work() -> None:
                for _ in connection.execute("select v from log order by off"):
                    pass

            yield work

    return make


@contextlib.contextmanager
def environment(directory: str) -> Iterator[Any]:
    import lmdb

    opened = lmdb.open(directory, map_size=4 << 30, sync=False)
    yield opened
    opened.close()


def putting(count: int, multi: bool) -> Make:
    @contextlib.contextmanager
    def make(directory: str) -> Iterator[Work]:
        with environment(directory) as opened:

            def work() -> None:
                for first in range(0, count, 1000):
                    with opened.begin(write=True) as transaction:
                        if multi:
                            items = [((first + n).to_bytes(8, "big"), VALUE) for n in range(1000)]
                            transaction.cursor().putmulti(items, append=True)
                        else:
                            for n in range(first, first + 1000):
                                transaction.put(n.to_bytes(8, "big"), VALUE, append=True)

            yield work

    return make


def walking(count: int) -> Make:
    @contextlib.contextmanager
    def make(directory: str) -> Iterator[Work]:
        with environment(directory) as opened:
            with opened.begin(write=True) as transaction:
                transaction.cursor().putmulti([(n.to_bytes(8, "big"), VALUE) for n in range(count)], append=True)

            def work() -> None:
                with opened.begin() as transaction:
                    for _ in transaction.cursor():
                        pass

            yield work

    return make


def producing(count: int) -> Make:
    @contextlib.contextmanager
    def make(directory: str) -> Iterator[Work]:
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

        yield work
        producer.purge()
        producer.flush(1)

    return make


def rows(count: int) -> list[Row]:
    one, many, read = "one by one", "batches of 1,000", "read"
    found = [
        Row(one, "oncelog send(topic, value)", count, sending(count, False)),
        Row(one, "oncelog send(topic, value, key=, partition=)", count, sending(count, True)),
        Row(many, "oncelog send_many", count, sending_many(count)),
        Row(read, "oncelog values(): bytes", count, reading(count, as_bytes)),
        Row(read, "oncelog records, each with its value", count, reading(count, as_records)),
        Row(read, "oncelog for record in consumer, with its value", count, reading(count, by_a_consumer)),
        Row(read, "oncelog columns()", count, reading(count, as_columns)),
        Row(one, "sqlite3 insert in one transaction", count, inserting(count, 1)),
        Row(many, "sqlite3 executemany", count, inserting(count, 1000)),
        Row(read, "sqlite3 cursor", count, selecting(count)),
    ]
    if installed("lmdb"):
        found += [
            Row(one, "lmdb put, transactions of 1,000", count, putting(count, False)),
            Row(many, "lmdb putmulti", count, putting(count, True)),
            Row(read, "lmdb cursor", count, walking(count)),
        ]
    if installed("confluent_kafka"):
        found.append(Row(one, "confluent_kafka produce, into its own queue", count, producing(count)))
    return found


def installed(module: str) -> bool:
    import importlib.util

    return importlib.util.find_spec(module) is not None


def main() -> None:
    words = [word for word in sys.argv[1:] if not word.startswith("--")]
    clock = time.process_time if "--cpu" in sys.argv else time.perf_counter
    clock = time.thread_time if "--caller" in sys.argv else clock
    count, rounds = (20_000, 1) if "--quick" in sys.argv else (200_000, 7)
    measured = rows(count)
    for _ in range(rounds):
        for row in measured:
            row.measure(words[0] if words else tempfile.gettempdir(), clock)
    for group in dict.fromkeys(row.group for row in measured):
        own = [row for row in measured if row.group == group]
        base = own[0].nanoseconds
        print(f"{group:48} {'ns each':>9} {'lowest':>9} {'ratio':>7}")
        for row in own:
            print(f"  {row.name:46} {row.nanoseconds:9,.0f} {min(row.rounds):9,.0f} {row.nanoseconds / base:7.1f}")


if __name__ == "__main__":
    main()
