"""The same log for asyncio: the same names, and what waits is awaited.

>>> import asyncio
>>> import oncelog.aio
>>> async def main() -> None:
...     async with oncelog.aio.open("words.log") as engine:
...         await engine.create_topic("words")
...         producer = await engine.producer()
...         appended = await producer.send("words", b"hello")
...         consumer = engine.consumer("words", timeout=0)
...         async for record in consumer:
...             print(record.offset, record.value)
>>> asyncio.run(main())
0 b'hello'

An event loop watches one descriptor for everything that it waits for; no thread is started per call. For a loop that
watches no descriptors, as the one that Windows gives does, one thread does. `open` and `close` alone, which read and
write files for as long as that takes, run in the loop's executor.

**Cancellation stops the waiting, never the writing.** What was sent before `await` was cancelled is written; the
ticket can be awaited again and says what became of it.

What does not wait for the disk is no coroutine: `send` itself, which answers the ticket to await, and reading, which
takes records from memory or from the operating system's cache; a look-up by time may read a little of each segment of
the log, so leave it to a thread where there are many. When the engine's buffers are full, 8 MiB ahead of the
disk, `send` waits for room and the loop with it, and so do `send_many`, `append`, a commit, the `send` of a transaction
that has outgrown its buffer and streams, and what is written of topics, producers and raw identities. To await a ticket
holds nothing, nor does a flush. `await producer.drained()`, or `transaction.drained()`, waits for room instead, in a
thread of the loop's executor if there is none: once for each MiB is enough.

Calls that wait for an answer about topics, producers, raw identities and transactions, or what a group has committed,
are coroutines here alone: `oncelog` has tickets for sends, appends and `commit_ticket`, and its other calls return when
they are done.

Engines opened here have threads: without them nobody would complete what is awaited, and a ticket of such an engine
refuses it. `oncelog.aio.Engine(engine)` wraps a log that `oncelog.open` opened, for a program that uses it both ways.
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Generator
from contextlib import suppress
from os import PathLike
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from . import _oncelog
from ._consumer import Consumer, busy
from ._errors import Error
from ._oncelog import Appended, Batch, Records, Ticket
from ._types import (
    ActiveProducer,
    Bounds,
    Committed,
    GroupMetadata,
    Identity,
    Metrics,
    OffsetAndTimestamp,
    Opening,
    OpenTransaction,
    Place,
    TopicInfo,
    Verification,
)

if TYPE_CHECKING:
    from ._oncelog import (
        _Compression,
        _Durability,
        _Isolation,
        _Name,
        _OffsetsArgument,
        _Outcome,
        _Start,
        _TimestampType,
        _TransactionStatus,
        _Visibility,
    )

__all__ = ["Consumer", "Engine", "Partition", "Producer", "Transaction", "TransactionalProducer", "open"]


class _Opening:
    """`await open(dir)` answers an engine; `async with open(dir) as engine` closes it as well."""

    def __init__(self, start: functools.partial[_oncelog.Engine]) -> None:
        self._start = start
        self._engine: Engine | None = None

    async def _open(self) -> Engine:
        opening = asyncio.get_running_loop().run_in_executor(None, self._start)
        try:
            return Engine(await asyncio.shield(opening))
        except asyncio.CancelledError:
            # It cannot be stopped half way: nobody wants it any more, so it is closed as soon as it is open.
            opening.add_done_callback(_close_unwanted)
            raise

    def __await__(self) -> Generator[Any, None, Engine]:
        return self._open().__await__()

    async def __aenter__(self) -> Engine:
        self._engine = await self._open()
        return self._engine

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._engine is not None:
            await self._engine.close()


def _close_unwanted(opening: asyncio.Future[_oncelog.Engine]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()


def open(  # noqa: A001
    dir: str | bytes | PathLike[str] | PathLike[bytes],  # noqa: A002
    *,
    durability: _Durability = "disk",
    read_only: bool = False,
    segment_bytes: int | None = None,
    create: bool = True,
    mappings: bool = True,
    accept_loss: bool = False,
    flush_interval: float | None = None,
    visibility: _Visibility = "level",
    keep_raw_transactions: bool = False,
    transaction_memory: int | None = None,
    transaction_timeout_max: float | None = None,
) -> _Opening:
    """Opens the log in a directory: `await` it, or use it in `async with`. Options as in `oncelog.open`."""
    start = functools.partial(
        _oncelog.open,
        dir,
        durability=durability,
        read_only=read_only,
        segment_bytes=segment_bytes,
        create=create,
        mappings=mappings,
        accept_loss=accept_loss,
        flush_interval=flush_interval,
        visibility=visibility,
        keep_raw_transactions=keep_raw_transactions,
        transaction_memory=transaction_memory,
        transaction_timeout_max=transaction_timeout_max,
    )
    return _Opening(start)


class Engine:
    """An open log. See `oncelog.Engine`."""

    def __init__(self, engine: _oncelog.Engine) -> None:
        self._core = engine

    async def create_topic(
        self,
        name: str,
        *,
        partitions: int = 1,
        durability: _Durability | None = None,
        timestamp_type: _TimestampType = "create",
    ) -> None:
        """Creates a topic. It survives a power cut when this returns."""
        await self._core._create_topic(
            name, partitions=partitions, durability=durability, timestamp_type=timestamp_type
        )

    async def delete_topic(self, name: str) -> None:
        """Deletes a topic with its records and with what groups have committed for it."""
        await self._core._delete_topic(name)

    async def add_partitions(self, topic: str, total: int) -> None:
        """Raises the number of a topic's partitions to `total`."""
        await self._core._add_partitions(topic, total)

    def topics(self) -> list[TopicInfo]:
        """All topics, by name."""
        return self._core.topics()

    def partition(self, topic: str, partition: int) -> Partition:
        """A handle to one partition."""
        return Partition(self._core.partition(topic, partition))

    async def producer(
        self,
        *,
        name: str | None = None,
        batch_bytes: int | None = None,
        linger: float | None = None,
        durability: _Durability | None = None,
        compression: _Compression = "none",
    ) -> Producer:
        """A producer. With a name it fences the name's former holder, durably, before this returns."""
        ticket = self._core._producer(
            name=name, batch_bytes=batch_bytes, linger=linger, durability=durability, compression=compression
        )
        return Producer(await ticket)

    async def transactional_producer(
        self,
        transactional_id: str,
        *,
        durability: _Durability | None = None,
        compression: _Compression = "none",
        transaction_buffer: int | None = None,
        transaction_timeout: float | None = None,
    ) -> TransactionalProducer:
        """A producer whose records become visible in transactions. Fences the id's former holder."""
        ticket = self._core._transactional_producer(
            transactional_id,
            durability=durability,
            compression=compression,
            transaction_buffer=transaction_buffer,
            transaction_timeout=transaction_timeout,
        )
        return TransactionalProducer(await ticket)

    async def delete_producer(self, name: str) -> None:
        """Forgets a named producer or transactional id."""
        await self._core._delete_producer(name)

    def consumer(
        self,
        *topics: str | _Name,
        group: str | None = None,
        isolation: _Isolation = "read_committed",
        start: _Start = "earliest",
        max_bytes: int | None = None,
        max_records: int | None = None,
        timeout: float | None = None,
    ) -> Consumer:
        """A consumer of topics, or of single partitions as pairs of topic and number. See `oncelog.Engine.consumer`."""
        core = self._core.consumer(
            *topics,
            group=group,
            isolation=isolation,
            start=start,
            max_bytes=max_bytes,
            max_records=max_records,
            timeout=timeout,
        )
        return Consumer(core, timeout)

    async def init_producer(
        self, transactional_id: str | None = None, *, timeout: float = 60.0, current: Identity | None = None
    ) -> Identity:
        """An identity for raw batches. With a transactional id older holders are fenced, durably, before this returns.
        """
        return await self._core._init_producer(transactional_id, timeout=timeout, current=current)

    async def send_offsets(self, identity: Identity, group: GroupMetadata, offsets: _OffsetsArgument) -> None:
        """Adds offsets to the transaction of a raw identity."""
        await self._core._send_offsets(identity, group, offsets)

    async def end_transaction(self, identity: Identity, outcome: _Outcome) -> Identity:
        """Ends the transaction of a raw identity; answers the identity of its next one."""
        return await self._core._end_transaction(identity, outcome)

    async def abort_transaction(self, number: int) -> None:
        """Aborts a transaction by its number, whoever owns it."""
        await self._core._abort_transaction(number)

    async def transaction_status(self, number: int) -> _TransactionStatus:
        """How a transaction stands. What is answered survives a power cut."""
        return await self._core._transaction_status(number)

    def describe_transactions(self) -> list[OpenTransaction]:
        """The transactions that have something in the log and are not decided, in the order in which they began."""
        return self._core.describe_transactions()

    async def wait_durable(self, lsn: int) -> None:
        """Waits until everything up to a frame survives a power cut."""
        await self._core._wait_durable(lsn)

    async def flush(self) -> None:
        """Waits until everything sent before the call survives a power cut."""
        await _flushed(self._core)

    def has_room(self, bytes: int) -> bool:
        """Whether an append or commit of so many bytes would not wait for room right now."""
        return self._core.has_room(bytes)

    async def verify(self) -> Verification:
        """Reads all that is durable and verifies each frame, beside the loop. See `oncelog.Engine.verify`."""
        return await asyncio.get_running_loop().run_in_executor(None, self._core.verify)

    @property
    def opening(self) -> Opening:
        """What opening found and did."""
        return self._core.opening

    def metrics(self) -> Metrics:
        """How the log stands and what it has done since it was opened: a snapshot. See `oncelog.Engine.metrics`."""
        return self._core.metrics()

    def openmetrics(self) -> str:
        """The metrics in the OpenMetrics text format 1.0, which Prometheus reads."""
        return self._core.openmetrics()

    async def close(self) -> None:
        """Closes the log for all handles. It is closed even if this is cancelled."""
        loop = asyncio.get_running_loop()
        await asyncio.shield(loop.run_in_executor(None, self._core.close))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


class Partition:
    """A handle to one partition. See `oncelog.Partition`."""

    def __init__(self, partition: _oncelog.Partition) -> None:
        self._core = partition

    def append(self, batch: Batch, *, durability: _Durability | None = None) -> Ticket[Appended]:
        """Appends a batch. Await the ticket to know that it is safe."""
        return self._core.append(batch, durability=durability)

    def read(
        self, offset: int | Place, *, max_bytes: int | None = None, isolation: _Isolation = "read_committed"
    ) -> Records:
        """Reads from an offset or a place on: what is visible now."""
        return self._core.read(offset, max_bytes=max_bytes, isolation=isolation)

    def offset_at(self, timestamp_ms: int, *, isolation: _Isolation = "read_committed") -> int | None:
        """The offset of the first record whose timestamp is `timestamp_ms` or later; `None` if there is none yet."""
        return self._core.offset_at(timestamp_ms, isolation=isolation)

    def max_timestamp(self, *, isolation: _Isolation = "read_committed") -> OffsetAndTimestamp | None:
        """The greatest timestamp there is, with the offset of the first record that has it."""
        return self._core.max_timestamp(isolation=isolation)

    def producers(self) -> list[ActiveProducer]:
        """The producers that are active here, in the order of their ids."""
        return self._core.producers()

    def bounds(self) -> Bounds:
        """The first offset, the last stable one and the end."""
        return self._core.bounds()

    @property
    def topic(self) -> str:
        """The topic's name."""
        return self._core.topic

    @property
    def number(self) -> int:
        """The partition's number in its topic."""
        return self._core.number


class Producer:
    """Sends records to topics. See `oncelog.Producer`."""

    def __init__(self, producer: _oncelog.Producer) -> None:
        self._core = producer
        # Called for every record: without a frame of our own in between.
        self.send = producer.send
        self.try_send = producer.try_send
        self.send_many = producer.send_many
        self.try_send_many = producer.try_send_many

    async def drained(self) -> None:
        """Waits until the log has room for a batch, 1 MiB: what is sent behind it, up to so much, does not hold the
        loop."""
        await _drained(self._core)

    async def flush(self) -> None:
        """Waits until everything sent before has met its level."""
        await _flushed(self._core)

    @property
    def position(self) -> int | None:
        """The position of a named producer: everything sent up to it has met its level."""
        return self._core.position

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Flushes, also when the body raised; what that raised says more then than a flush that failed."""
        try:
            await self.flush()
        except Error:
            if kind is None:
                raise


class TransactionalProducer:
    """Begins transactions, one at a time. See `oncelog.TransactionalProducer`."""

    def __init__(self, producer: _oncelog.TransactionalProducer) -> None:
        self._core = producer

    def begin_transaction(self) -> Transaction:
        """Begins a transaction: `async with` commits it, or aborts it if an exception leaves the block.

        Waits for nothing, so it raises BusyError while the refusal that it would raise is not safe on the disk yet:
        come again in a moment.
        """
        return self._begin(None)

    def begin_transaction_for(self, consumer: Consumer) -> Transaction:
        """Begins a transaction that commits the consumer's positions; begin it before you poll. Raises BusyError as
        `begin_transaction` does."""
        return self._begin(consumer._core)

    def _begin(self, consumer: _oncelog.Consumer | None) -> Transaction:
        begun = self._core._try_begin(consumer)
        if begun is None:
            raise busy("why no transaction can begin is not safe on the disk yet; come again in a moment")
        return Transaction(begun)

    @property
    def position(self) -> int | None:
        """The position last sent with `Transaction.send_position` in a transaction that has met its level."""
        return self._core.position


class Transaction:
    """Records and offsets that become visible together or not at all. See `oncelog.Transaction`."""

    def __init__(self, transaction: _oncelog.Transaction) -> None:
        self._core = transaction
        self.send = transaction.send
        self.try_send = transaction.try_send
        self.send_many = transaction.send_many

    async def drained(self) -> None:
        """As `Producer.drained`, for a transaction that streams."""
        await _drained(self._core)

    def send_offsets(
        self, group: GroupMetadata, offsets: _OffsetsArgument
    ) -> None:
        """Commits offsets of a group together with the records."""
        self._core.send_offsets(group, offsets)

    def send_position(self, position: int) -> None:
        """Moves the position of the transactional id with the commit."""
        self._core.send_position(position)

    @property
    def number(self) -> int:
        """The transaction's number: it names this transaction for ever."""
        return self._core.number

    @property
    def is_open(self) -> bool:
        """True until it is committed or aborted."""
        return self._core.is_open

    def commit_ticket(self) -> Ticket[Committed]:
        """Commits without waiting: await the ticket to know that it is safe."""
        return self._core.commit_ticket()

    async def commit(self) -> Committed:
        """Commits. Cancelled, it is committed all the same: call it again to learn when it is safe."""
        return await self._core.commit_ticket()

    async def abort(self) -> None:
        """Aborts, when the log has room for the decision: no reader at "read_committed" ever sees anything of it.
        Cancelled, it aborts at once, and the loop waits for that room if the transaction streamed."""
        await self._abort()

    async def _abort(self) -> None:
        try:
            with suppress(Error):
                await _drained(self._core)
        except BaseException:
            # Also where nobody waits any more: the transaction is not to be left open.
            with suppress(Error):
                self._core.abort()
            raise
        self._core.abort()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._core.is_open:
            return
        if kind is None:
            await self.commit()
        else:
            await self._abort()


# How long a log may have no room for another reason than writes and flushes on their way: then a call is to hear which.
_PATIENCE = 2.0


async def _drained(core: _oncelog.Producer | _oncelog.Transaction) -> None:
    begun = time.monotonic()
    while not core._has_room():
        if await _useless(core, begun):
            return


async def _flushed(core: _oncelog.Engine | _oncelog.Producer) -> None:
    begun = time.monotonic()
    while (ticket := core._try_flush()) is None:
        if await _useless(core, begun):
            ticket = await asyncio.get_running_loop().run_in_executor(None, core._flush)
            break
    await ticket


async def _useless(core: _oncelog.Engine | _oncelog.Producer | _oncelog.Transaction, begun: float) -> bool:
    """Waits a moment for room. True if none will come, as far as can be told by now."""
    # Waiting for the disk is a thread's work.
    useless = await asyncio.get_running_loop().run_in_executor(None, core._await_room)
    if useless and time.monotonic() - begun > _PATIENCE:
        return True
    await asyncio.sleep(0.001)
    return False
