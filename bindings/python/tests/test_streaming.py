"""Transactions past their buffer: seen uncommitted, hold readers back, and are decided by whoever may."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable

import pytest

import oncelog

T = oncelog.TopicPartition("t", 0)


@pytest.fixture
def engine(oncelog_engine: oncelog.Engine, topic: str) -> oncelog.Engine:
    return oncelog_engine


def streaming(engine: oncelog.Engine, transactional_id: str = "x", **options: float) -> oncelog.TransactionalProducer:
    """A producer whose transactions stream from their first record on."""
    return engine.transactional_producer(transactional_id, transaction_buffer=0, **options)  # type: ignore[arg-type]


def seen(engine: oncelog.Engine) -> tuple[list[bytes | None], list[bytes | None]]:
    """What readers find at read_committed, and at read_uncommitted."""
    partition = engine.partition("t", 0)
    return partition.read(0).values(), partition.read(0, isolation="read_uncommitted").values()


def test_a_transaction_past_its_buffer_is_seen_uncommitted_and_holds_the_stable_offset_back(
    engine: oncelog.Engine,
) -> None:
    plain = engine.producer()
    plain.send("t", b"before").result()
    transaction = streaming(engine, transaction_timeout=30).begin_transaction()
    began = time.time() * 1000
    transaction.send("t", b"within")
    plain.send("t", b"behind").result()
    engine.flush()
    assert seen(engine) == ([b"before"], [b"before", b"within", b"behind"])
    assert engine.partition("t", 0).bounds() == oncelog.Bounds(0, 1, 3)

    (described,) = engine.describe_transactions()
    assert (described.number, described.transactional_id, described.raw) == (transaction.number, "x", False)
    assert (described.timeout, described.partitions) == (30.0, {T: 1})
    assert isinstance(described.identity, oncelog.Identity) and described.identity.producer_id >= 0
    assert abs(described.since - began) < 120_000, "milliseconds since 1970"
    assert engine.transaction_status(transaction.number) == "open"

    assert transaction.commit().number == transaction.number
    assert engine.transaction_status(transaction.number) == "committed" and engine.describe_transactions() == []
    assert seen(engine) == ([b"before", b"within", b"behind"],) * 2


@pytest.mark.parametrize("how", ["abort", "drop", "exception", "close"])
def test_what_is_aborted_is_hidden_from_read_committed_and_from_nobody_else(
    oncelog_open: Callable[..., oncelog.Engine], how: str
) -> None:
    engine = oncelog_open()
    engine.create_topic("t")
    transaction = streaming(engine).begin_transaction()
    number = transaction.number
    transaction.send("t", b"aborted")
    if how == "abort":
        transaction.abort()
    elif how == "exception":
        with pytest.raises(ZeroDivisionError), transaction:
            raise ZeroDivisionError
    elif how == "close":
        engine.close()
        engine = oncelog_open()
    del transaction
    gc.collect()
    engine.producer().send("t", b"plain").result()
    assert engine.transaction_status(number) == "aborted" and engine.describe_transactions() == []
    assert seen(engine) == ([b"plain"], [b"aborted", b"plain"])


def test_consumers_wait_at_the_stable_offset_or_do_not(engine: oncelog.Engine) -> None:
    committed, uncommitted = engine.consumer("t", timeout=0), engine.consumer("t", isolation="read_uncommitted")
    producer = streaming(engine)
    transaction = producer.begin_transaction()
    transaction.send("t", b"aborted")
    assert uncommitted.poll().values() == [b"aborted"] and not committed.poll(timeout=0)
    assert committed.lag(T) == 0 and uncommitted.bounds(T) == oncelog.Bounds(0, 0, 1)
    transaction.abort()
    with producer.begin_transaction() as transaction:
        transaction.send("t", b"committed")
    assert [record.value for record in committed] == [b"committed"] and committed.position(T) == 2


def test_a_transaction_within_its_buffer_is_memory_and_nobody_hears_of_it(engine: oncelog.Engine) -> None:
    engine.create_topic("wide", partitions=20)
    producer = engine.transactional_producer("x", transaction_buffer=16 << 20)
    with producer.begin_transaction() as transaction:
        for partition in range(20):
            transaction.send("wide", bytes(500_000), partition=partition)
        engine.flush()
        assert engine.describe_transactions() == [] and engine.transaction_status(transaction.number) == "open"
        assert engine.partition("wide", 19).bounds() == oncelog.Bounds(0, 0, 0)
    assert engine.partition("wide", 19).bounds() == oncelog.Bounds(0, 1, 1)


def test_a_transaction_that_finds_no_memory_left_streams(oncelog_open: Callable[..., oncelog.Engine]) -> None:
    engine = oncelog_open(transaction_memory=0)
    engine.create_topic("t")
    with engine.transactional_producer("x").begin_transaction() as transaction:
        transaction.send("t", b"v")
        assert [open.number for open in engine.describe_transactions()] == [transaction.number]
    assert seen(engine) == ([b"v"], [b"v"])


def test_a_transaction_that_streams_for_too_long_is_aborted_and_says_so(engine: oncelog.Engine) -> None:
    producer = streaming(engine, transaction_timeout=0.05)
    transaction = producer.begin_transaction()
    transaction.send("t", b"v")
    while engine.transaction_status(transaction.number) == "open":
        time.sleep(0.01)
    with pytest.raises(oncelog.TransactionTimedOutError) as error:
        transaction.send("t", b"w")
    assert error.value.requires_abort
    with pytest.raises(oncelog.TransactionTimedOutError):
        transaction.commit()
    # Its producer goes on. What it streams next may be too late again, where the machine is busy elsewhere.
    producer.begin_transaction().abort()
    with streaming(engine).begin_transaction() as transaction:
        transaction.send("t", b"again")
    assert seen(engine)[0] == [b"again"]


def test_whoever_knows_its_number_may_abort_a_transaction_and_its_owner_hears_of_it(engine: oncelog.Engine) -> None:
    for buffer in (0, None):
        producer = engine.transactional_producer("x", transaction_buffer=buffer)
        transaction = producer.begin_transaction()
        transaction.send("t", b"v")
        engine.abort_transaction(transaction.number)
        engine.abort_transaction(transaction.number)
        assert engine.transaction_status(transaction.number) in ("aborted", "forgotten")
        with pytest.raises(oncelog.TransactionAbortedError) as error:
            transaction.send("t", b"w")
        assert error.value.requires_abort
        transaction.abort()
        with producer.begin_transaction() as transaction:
            transaction.send("t", b"v")
        with pytest.raises(oncelog.InvalidTransactionStateError):
            engine.abort_transaction(transaction.number)
    with pytest.raises(oncelog.InvalidTransactionStateError):
        engine.abort_transaction(1 << 60)
    assert engine.transaction_status(1 << 60) == "forgotten"


def test_a_transaction_that_streams_keeps_to_its_partitions(engine: oncelog.Engine) -> None:
    engine.create_topic("wide", partitions=1001)
    transaction = streaming(engine).begin_transaction()
    for partition in range(1000):
        transaction.send("wide", b"v", partition=partition)
    with pytest.raises(oncelog.LimitExceededError):
        transaction.send("wide", b"v", partition=1000)
    (described,) = engine.describe_transactions()
    assert described.partitions == {oncelog.TopicPartition("wide", n): 0 for n in range(1000)}
    transaction.abort()


def test_threads_share_a_transaction_that_streams(engine: oncelog.Engine) -> None:
    transaction = engine.transactional_producer("x", transaction_buffer=1000).begin_transaction()

    def send(name: int) -> None:
        for n in range(200):
            transaction.send("t", b"%d %03d" % (name, n))

    threads = [threading.Thread(target=send, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    transaction.commit()
    values = [record.value or b"" for record in engine.consumer("t", timeout=0)]
    assert len(values) == 800
    for name in range(4):
        own = [value for value in values if value.startswith(b"%d " % name)]
        assert own == [b"%d %03d" % (name, n) for n in range(200)], "each thread's order is kept"


def test_options_out_of_range_are_refused(
    oncelog_open: Callable[..., oncelog.Engine], engine: oncelog.Engine
) -> None:
    wrongs: list[dict[str, float]] = [{"transaction_buffer": (16 << 20) + 1}, {"transaction_buffer": -1}]
    wrongs += [{"transaction_timeout": seconds} for seconds in (-1, 0, 901, float("nan"), float("inf"))]
    for wrong in wrongs:
        with pytest.raises(oncelog.ArgumentError):
            engine.transactional_producer("x", **wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        engine.transactional_producer("x", transaction_buffer=1.5)  # type: ignore[arg-type]
    engine.close()
    wrongs = [{"transaction_timeout_max": seconds} for seconds in (-1, 0, 4_294_968, float("nan"), float("inf"))]
    wrongs += [{"transaction_memory": bytes} for bytes in (-1, 1 << 64)]
    for wrong in wrongs:
        with pytest.raises(oncelog.ArgumentError):
            oncelog_open(**wrong)
    with oncelog_open(transaction_timeout_max=5) as engine:
        streaming(engine, transaction_timeout=5)
        with pytest.raises(oncelog.ArgumentError, match="timeout is out of range"):
            engine.transactional_producer("x")
        with pytest.raises(oncelog.ArgumentError):
            engine.init_producer("x", timeout=5.001)
