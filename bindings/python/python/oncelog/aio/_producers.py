"""Sends records."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import TYPE_CHECKING, Self

from .. import _oncelog
from .._errors import Error
from .._oncelog import LoopProducer, LoopTransaction, Ticket
from .._types import Committed, GroupMetadata
from ._consumers import Consumer, busy
from ._room import BATCH, CLOSES, Room

if TYPE_CHECKING:
    from .._oncelog import _OffsetsArgument

# Bytes up to which a transaction is memory unless the options say otherwise.
_BUFFER = 1 << 20


class Producer:
    """Sends records to topics. See `oncelog.Producer`."""

    def __init__(self, producer: _oncelog.Producer, room: Room) -> None:
        self._core = producer
        self._room = room
        self._line = room.line()
        # Called for every record: without a frame of our own in between.
        looped = LoopProducer(producer, self._line)
        self.send = looped.send
        self.try_send = looped.try_send
        self.send_many = looped.send_many

    async def drained(self) -> None:
        """Waits until what was sent is in the log, or in its buffers, and there is room for a batch more, 1 MiB."""
        await self._room.empty(self._line)
        await self._room.until(BATCH)

    async def flush(self) -> None:
        """Waits until everything sent before has met its level."""
        await self.drained()
        await self._core._flush()

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

    def __init__(self, producer: _oncelog.TransactionalProducer, room: Room, buffer: int | None) -> None:
        self._core = producer
        self._room = room
        self._buffer = _BUFFER if buffer is None else buffer

    def begin_transaction(self) -> Transaction:
        """Begins a transaction: `async with` commits it, or aborts it if an exception leaves the block.

        Waits for nothing, so it raises BusyError while the refusal that it would raise is not safe on the disk yet:
        come again in a moment.
        """
        return self._begin(None)

    def begin_transaction_for(self, consumer: Consumer) -> Transaction:
        """Begins a transaction that commits the consumer's positions; begin it before you poll. Raises BusyError as
        `begin_transaction` does."""
        return self._begin(consumer)

    def _begin(self, consumer: Consumer | None) -> Transaction:
        begun = self._core._try_begin(None if consumer is None else consumer._core)
        if begun is None:
            raise busy("why no transaction can begin is not safe on the disk yet; come again in a moment")
        return Transaction(begun, self._room, self._buffer, consumer)

    @property
    def position(self) -> int | None:
        """The position last sent with `Transaction.send_position` in a transaction that has met its level."""
        return self._core.position


class Transaction:
    """Records and offsets that become visible together or not at all. See `oncelog.Transaction`."""

    def __init__(
        self, transaction: _oncelog.Transaction, room: Room, buffer: int, consumer: Consumer | None
    ) -> None:
        self._core = transaction
        self._room = room
        self._line = room.line()
        self._consumer = consumer
        self._looped = LoopTransaction(transaction, self._line, buffer)
        self._held: asyncio.Task[None] | None = None
        self.send = self._looped.send
        self.try_send = self._looped.try_send
        self.send_many = self._looped.send_many

    async def drained(self) -> None:
        """As `Producer.drained`, for a transaction that streams. Raises what a record was refused for that waited."""
        await self._room.empty(self._line)
        self._looped.check()
        await self._room.until(BATCH)

    def send_offsets(self, group: GroupMetadata, offsets: _OffsetsArgument) -> None:
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
        """Commits without waiting: await the ticket to know that it is safe. Where the log has no room the commit waits
        for some, and polls of a bound consumer wait for the commit."""
        ticket = self._looped.commit_ticket()
        if self._consumer is not None and self._line:
            hold = self._consumer._still.hold()
            self._held = asyncio.ensure_future(self._hold(hold))
        return ticket

    async def _hold(self, hold: asyncio.Future[None]) -> None:
        try:
            await self._room.empty(self._line)
        finally:
            hold.set_result(None)

    async def commit(self) -> Committed:
        """Commits. Cancelled, it is committed all the same: call it again to learn when it is safe."""
        return await self.commit_ticket()

    async def abort(self) -> None:
        """Aborts, when the log has room for the decision: no reader at "read_committed" ever sees anything of it."""
        await self._abort()

    async def _abort(self) -> None:
        self._line.clear()
        hold = None if self._consumer is None else self._consumer._still.hold()
        try:
            await self._room.until(CLOSES)
        finally:
            if hold is not None:
                hold.set_result(None)
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
