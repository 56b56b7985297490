"""Batches are packed as asked for, and read as if they were not."""

from __future__ import annotations

import functools
import random
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

import oncelog

CODECS: list[Any] = ["none", "gzip", "snappy", "lz4", "zstd"]
VALUES = [b"the same again and again %d" % n for n in range(200)]


def codec(batch: bytes) -> int:
    """The number of its codec in a batch's attributes."""
    return batch[22] & 7


@pytest.mark.parametrize("compression", CODECS)
def test_producers_pack_batches_and_readers_notice_nothing(
    oncelog_engine: oncelog.Engine, topic: str, compression: Any
) -> None:
    written = oncelog_engine.metrics().bytes
    producer = oncelog_engine.producer(compression=compression, linger=3600)
    producer.send_many(topic, VALUES).result()
    with oncelog_engine.transactional_producer("x", compression=compression).begin_transaction() as transaction:
        for value in VALUES:
            transaction.send(topic, value)
    records = oncelog_engine.partition(topic, 0).read(0)
    assert records.values() == VALUES * 2 and [record.offset for record in records] == list(range(400))
    plain = 2 * sum(map(len, VALUES))
    written = oncelog_engine.metrics().bytes - written
    assert written > plain if compression == "none" else written < plain / 2


@pytest.mark.parametrize("compression", CODECS)
def test_batches_are_packed_when_they_are_finished(
    oncelog_engine: oncelog.Engine, topic: str, compression: Any
) -> None:
    batch = oncelog.Batch(compression=compression)
    for value in VALUES:
        batch.add(value)
    assert codec(bytes(batch)) == CODECS.index(compression) and len(batch) == 200
    again = oncelog.Batch.from_bytes(bytes(batch))
    for each in (batch, again):
        oncelog_engine.partition(topic, 0).append(each).result()
    assert oncelog_engine.partition(topic, 0).read(0).values() == VALUES * 2


def test_a_batch_that_would_not_get_smaller_stays_as_it_is() -> None:
    batch = oncelog.Batch(compression="zstd")
    batch.add(b"short")
    assert codec(bytes(batch)) == 0


@pytest.mark.parametrize("compression", CODECS)
def test_the_package_has_every_codec(compression: Any) -> None:
    assert oncelog.compression_is_available(compression) is True


def test_an_unknown_codec_is_refused(oncelog_engine: oncelog.Engine) -> None:
    transactional = functools.partial(oncelog_engine.transactional_producer, "x")
    calls: list[Callable[..., object]] = [oncelog_engine.producer, transactional, oncelog.Batch]
    calls.append(oncelog.compression_is_available)
    for call in calls:
        with pytest.raises(oncelog.ArgumentError, match="'none' or 'gzip' or 'snappy' or 'lz4' or 'zstd'"):
            call(compression="brotli")
        with pytest.raises(TypeError):
            call(compression=4)


def test_another_thread_runs_while_a_batch_is_packed() -> None:
    turns, over = 0, threading.Event()

    def turn() -> None:
        nonlocal turns
        while not over.is_set():
            turns += 1
            time.sleep(0)

    batch = oncelog.Batch(compression="gzip")
    batch.add(random.Random(1).randbytes(900_000) + bytes(50_000))
    other, interval = threading.Thread(target=turn), sys.getswitchinterval()
    # Nobody is made to give the interpreter lock up.
    sys.setswitchinterval(1000)
    try:
        other.start()
        while turns == 0:
            time.sleep(0)
        before = turns
        assert bytes(batch)
        during = turns - before
    finally:
        sys.setswitchinterval(interval)
        over.set()
        other.join()
    assert during > 0
