"""Python's part in the relay of languages on one log; the referee is core/examples/relay.rs.

relay.py <directory> turn <n>
relay.py <directory> dump
"""

from __future__ import annotations

import sys

import oncelog

TOPICS = {"baton": 3, "seen": 1}


def turn(directory: str, n: int, language: str) -> None:
    with oncelog.open(directory) as engine:
        producer = engine.producer(name="relay")
        assert producer.position == (n - 1 if n > 0 else None), f"the producer stands at {producer.position}"
        if n > 0:
            assert producer.send("baton", b"again", position=n - 1).result().duplicate, "no duplicate"
        value = f"turn {n} by {language}, größer ".encode() + bytes([0, 255, n % 256])
        producer.send(
            "baton",
            None if n % 4 == 3 else value,
            key=f"key {n % 7}".encode(),
            headers=[("language", language.encode()), ("none", None)],
            timestamp_ms=1_700_000_000_000 + n,
            position=n,
        ).result()

        consumer = engine.consumer("baton", group="relay")
        transactional = engine.transactional_producer("relay-transactions")
        with transactional.begin_transaction_for(consumer) as transaction:
            records = consumer.poll(timeout=5)
            for record in records:
                saw = f"{language} saw {record.partition}@{record.offset}".encode()
                transaction.send("seen", saw, key=record.key or b"", timestamp_ms=1_800_000_000_000 + n)
        assert len(records) == 1, f"the group read {len(records)} records, not the one of this turn"


def dump(directory: str) -> None:
    with oncelog.open(directory, read_only=True) as engine:
        for topic, partitions in TOPICS.items():
            for number in range(partitions):
                partition = engine.partition(topic, number)
                at = 0
                while at < partition.bounds().end:
                    for record in partition.read(at):
                        words = [topic, number, record.offset, record.timestamp, told(record.key), told(record.value)]
                        print(*words, *(f"{name}={told(value)}" for name, value in record.headers))
                        at = record.offset + 1
        consumer = engine.consumer(group="relay")
        for number in range(TOPICS["baton"]):
            committed = consumer.committed(("baton", number))
            print("committed baton", number, "-" if committed is None else committed)


def told(data: bytes | None) -> str:
    return "-" if data is None else "x" + data.hex()


if __name__ == "__main__":
    match sys.argv[1:]:
        case [directory, "turn", n]:
            turn(directory, int(n), "python")
        case [directory, "dump"]:
            dump(directory)
        case _:
            raise SystemExit("give a directory, and 'turn <n>' or 'dump'")
