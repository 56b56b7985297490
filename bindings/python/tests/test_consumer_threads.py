"""A consumer that one thread loops over while another one commits: what counts is what the loop was given."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

import oncelog

T = oncelog.TopicPartition("t", 0)


@pytest.fixture
def consumer(oncelog_engine: oncelog.Engine) -> oncelog.Consumer:
    oncelog_engine.create_topic("t")
    consumer = oncelog_engine.consumer(T, group="g")
    # Found out here, so that a loop waits for records and for nothing else.
    assert consumer.position(T) == 0
    return consumer


@contextmanager
def a_loop_that_polled(engine: oncelog.Engine, consumer: oncelog.Consumer) -> Iterator[None]:
    """Another thread takes one record in a loop. In the block it has polled two, and waits for the interpreter lock to
    give the first of them out: nobody gives that up unless he waits."""
    given: list[int] = []
    loop = threading.Thread(target=lambda: given.append(next(consumer).offset))
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1000)
    try:
        loop.start()
        with pytest.raises(oncelog.BusyError):
            while not consumer.poll(timeout=0):
                pass
        engine.producer().send_many("t", [b"v"] * 2).result()
        # There is no other sign of a poll than that it moved the positions, which nobody is to see.
        end = time.monotonic() + 0.2
        while time.monotonic() < end and consumer.positions()[T].offset == 0:
            pass
        yield
    finally:
        sys.setswitchinterval(interval)
        loop.join()
    assert given == [0]


def test_a_commit_commits_nothing_that_a_loop_in_another_thread_was_not_given(
    oncelog_engine: oncelog.Engine, consumer: oncelog.Consumer
) -> None:
    with a_loop_that_polled(oncelog_engine, consumer):
        consumer.commit()
    # The first record was on its way to the loop, so it may be in it. The second one was not.
    assert consumer.committed(T) in (None, 0, 1)
    assert consumer.position(T) == 1 and next(consumer).offset == 1
    consumer.commit()
    assert consumer.committed(T) == 2


def test_a_transaction_commits_nothing_that_a_loop_in_another_thread_was_not_given(
    oncelog_engine: oncelog.Engine, consumer: oncelog.Consumer
) -> None:
    transaction = oncelog_engine.transactional_producer("x").begin_transaction_for(consumer)
    with a_loop_that_polled(oncelog_engine, consumer):
        transaction.commit()
    assert consumer.committed(T) in (None, 0, 1)
    assert next(consumer).offset == 1


def test_an_abort_goes_back_to_what_a_loop_in_another_thread_was_given_at_the_begin(
    oncelog_engine: oncelog.Engine, consumer: oncelog.Consumer
) -> None:
    producer = oncelog_engine.transactional_producer("x")
    with a_loop_that_polled(oncelog_engine, consumer):
        transaction = producer.begin_transaction_for(consumer)
    transaction.abort()
    assert [record.offset for record in consumer.poll(timeout=0)][-1:] == [1]


def test_a_commit_in_a_loop_reads_nothing_again(oncelog_engine: oncelog.Engine, consumer: oncelog.Consumer) -> None:
    oncelog_engine.producer().send_many("t", [b"v"] * 2).result()
    first = next(consumer)
    consumer.commit()
    assert consumer.committed(T) == 1
    # More is there to poll by now, and the loop first gives out what it has.
    oncelog_engine.producer().send("t", b"v").result()
    second = next(consumer)
    consumer.commit()
    assert (first.offset, second.offset, consumer.committed(T), next(consumer).offset) == (0, 1, 2, 2)


def test_an_abort_gives_what_it_takes_back_to_the_thread_that_waits_for_records(
    oncelog_engine: oncelog.Engine, consumer: oncelog.Consumer
) -> None:
    producer = oncelog_engine.transactional_producer("x")
    oncelog_engine.producer().send_many("t", [b"v"] * 2).result()
    interval, stop = sys.getswitchinterval(), threading.Event()

    def keep_busy() -> None:
        while not stop.is_set():
            pass

    busy = threading.Thread(target=keep_busy)
    # The aborting thread gets the interpreter lock back long after the waiting one was woken.
    sys.setswitchinterval(0.02)
    busy.start()
    try:
        for _ in range(5):
            transaction = producer.begin_transaction_for(consumer)
            assert len(consumer.poll(timeout=0)) == 2
            given: list[int] = []
            waits = threading.Thread(target=lambda: given.extend(r.offset for r in consumer.poll(timeout=20)))
            waits.start()
            with pytest.raises(oncelog.BusyError):
                while not consumer.poll(timeout=0):
                    pass
            transaction.abort()
            waits.join()
            assert given == [0, 1]
            consumer.seek(T, 0)
    finally:
        stop.set()
        busy.join()
        sys.setswitchinterval(interval)


@pytest.mark.skipif(sys.platform == "win32", reason="no alarm there")
def test_what_a_signal_handler_raises_leaves_a_loop_whose_consumer_it_closed(
    oncelog_engine: oncelog.Engine, consumer: oncelog.Consumer
) -> None:
    def handler(*_: object) -> None:
        consumer.close()
        raise SystemExit(3)

    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    try:
        with pytest.raises(SystemExit):
            for _ in consumer:
                pass
    finally:
        signal.signal(signal.SIGALRM, before)
