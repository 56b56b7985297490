"""Transactions in an event loop: a producer's own, and those of raw identities."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from test_aio import opened, run

import oncelog


@run
async def test_transactions_commit_or_abort(tmp_path: Path) -> None:
    async with opened(tmp_path) as engine:
        await engine.create_topic("out")
        producer = await engine.producer()
        await producer.send_many("t", [b"v"] * 10)
        consumer = engine.consumer("t", group="g", timeout=0)
        transactional = await engine.transactional_producer("x")
        with pytest.raises(ZeroDivisionError):
            async with transactional.begin_transaction_for(consumer) as transaction:
                async for record in consumer:
                    transaction.send("out", record.value)
                raise ZeroDivisionError
        async with transactional.begin_transaction_for(consumer) as transaction:
            async for record in consumer:
                transaction.send("out", record.value)
            transaction.send_position(3)
            transaction.send_offsets(oncelog.GroupMetadata("h"), {("t", 0): 1})
        assert engine.partition("out", 0).bounds().end == 10 and transactional.position == 3
        assert (await transaction.commit()).number == transaction.number
        transaction = transactional.begin_transaction()
        await transaction.abort()
        with pytest.raises(oncelog.InvalidTransactionStateError):
            await transaction.commit()


@run
async def test_transactions_stream_and_are_decided_by_whoever_may(tmp_path: Path) -> None:
    async with opened(tmp_path, transaction_timeout_max=60, transaction_memory=1 << 20) as engine:
        options: dict[str, Any] = {"compression": "lz4", "transaction_buffer": 0, "transaction_timeout": 60}
        transactional = await engine.transactional_producer("x", **options)
        numbers = []
        for end in ("commit", "abort", "abort_transaction"):
            transaction = transactional.begin_transaction()
            numbers.append(transaction.number)
            transaction.send("t", end.encode(), partition=0)
            assert [open.number for open in engine.describe_transactions()] == [transaction.number]
            assert await engine.transaction_status(transaction.number) == "open"
            if end == "abort_transaction":
                await engine.abort_transaction(transaction.number)
                with pytest.raises(oncelog.TransactionAbortedError):
                    await transaction.commit()
            else:
                await getattr(transaction, end)()
        assert [await engine.transaction_status(number) for number in numbers] == ["committed", "aborted", "aborted"]
        partition = engine.partition("t", 0)
        assert partition.read(0).values() == [b"commit"]
        uncommitted = engine.consumer(("t", 0), isolation="read_uncommitted")
        assert len(await uncommitted.poll()) == len(partition.read(0, isolation="read_uncommitted")) == 3


@run
async def test_raw_identities_send_and_end_their_transactions(tmp_path: Path) -> None:
    async with opened(tmp_path, keep_raw_transactions=True) as engine:
        identity = await engine.init_producer("shop", timeout=30)
        batch = oncelog.Batch(producer=identity, base_sequence=0, transactional=True, compression="gzip")
        batch.add(b"v")
        await engine.partition("t", 0).append(batch)
        (active,) = engine.partition("t", 0).producers()
        assert (active.identity, active.last_sequence, active.transaction_start_offset) == (identity, 0, 0)
        await engine.send_offsets(identity, oncelog.GroupMetadata("g"), {("t", 0): 1})
        following = await engine.end_transaction(identity, "commit")
        assert following == (identity.producer_id, identity.epoch + 1)
        assert await engine.consumer(group="g").committed(("t", 0)) == 1
        assert (await engine.init_producer()).producer_id != identity.producer_id
        await engine.init_producer("shop")
        with pytest.raises(oncelog.ProducerFencedError):
            await engine.init_producer("shop", current=following)
