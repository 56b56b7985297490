"""The consumer of `oncelog.aio`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Generator, Iterable
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import TYPE_CHECKING, Self

from . import _oncelog
from ._errors import BusyError, Error, UnstableOffsetsError
from ._loop import hub
from ._oncelog import Record, Records
from ._types import Bounds, GroupMetadata, OffsetAndMetadata, TopicPartition

if TYPE_CHECKING:
    from ._oncelog import _Name, _OffsetsArgument


class Consumer:
    """Reads assigned partitions, each from its position. See `oncelog.Consumer`."""

    # Where it is looked for, and named by whoever shows it.
    __module__ = "oncelog.aio"

    def __init__(self, consumer: _oncelog.Consumer, timeout: float | None) -> None:
        self._core = consumer
        self._timeout = timeout
        self._polling = False
        self._closed = False

    def assign(self, *topics: str | _Name) -> None:
        """Takes over these topics or partitions, in place of those before."""
        self._core.assign(*topics)

    @contextmanager
    def _turn(self) -> Generator[None]:
        if self._polling:
            # In a forked child it may be the turn of a task that is not there: this raises ForkedError.
            self._core._settle()
            raise busy("another task is polling this consumer; give each task a consumer of its own")
        self._polling = True
        try:
            yield
        finally:
            self._polling = False

    async def poll(self, timeout: float | None = None) -> Records:
        """Reads the next records. With nothing there it waits, at most `timeout` seconds.

        What was aborted is stepped over, and `Records.next_offsets` lies behind it, of an answer without a record too.
        A partition of which a raw transaction will commit an offset has nothing to read before the decision. Raises
        PoisonedError once the disk has failed and nothing is left to read.
        """
        deadline = _deadline(timeout)
        with self._turn():
            # The loop's other tasks get their turn, and a cancellation its moment, however much there is to read.
            await asyncio.sleep(0)
            while True:
                await self._settle()
                records = self._core._poll_now()
                if records is not None:
                    return records
                left = _left(deadline)
                if left is not None and left <= 0:
                    return self._core._passed()
                await hub().ready(self._core, left)

    async def __aiter__(self) -> AsyncIterator[Record]:
        while (record := await self._first_if_open()) is not None:
            # The loop's other tasks get their turn between two polls, however much there is to read.
            await asyncio.sleep(0)
            while record is not None:
                yield record
                record = self._core._polled()

    async def _first_if_open(self) -> Record | None:
        try:
            return await self._first()
        except Error:
            if self._closed:
                return None
            raise

    async def _first(self) -> Record | None:
        deadline = _deadline(self._timeout)
        with self._turn():
            while True:
                await self._settle()
                record = self._core._next()
                left = _left(deadline)
                if record is not None or (left is not None and left <= 0):
                    return record
                await hub().ready(self._core, left)

    async def _settle(self) -> None:
        # What the group has committed may be news that no flush has met yet: that is awaited here, not in a poll.
        while not (settled := self._core._settle()).done():
            # Offsets that are pending are waited for like records: the poll answers without them, as `ready` does.
            with suppress(UnstableOffsetsError):
                await settled

    def seek(self, partition: _Name, offset: int) -> None:
        """Moves a partition's position."""
        self._core.seek(partition, offset)

    async def position(self, partition: _Name) -> int:
        """The offset that the next record is read from."""
        await self._core._settle_one(partition)
        return self._core.position(partition)

    def positions(self) -> dict[TopicPartition, OffsetAndMetadata]:
        """The positions of all assigned partitions that have one."""
        return self._core.positions()

    async def committed(self, partition: _Name) -> int | None:
        """What the group has committed for a partition; `None` for nothing. What is answered survives a power cut."""
        return await self._core._committed(partition)

    async def committed_offsets(self, partitions: Iterable[_Name]) -> dict[TopicPartition, OffsetAndMetadata]:
        """What the group has committed for these partitions, with what was stored beside the offsets."""
        return await self._core._committed_offsets(partitions)

    async def commit(self, offsets: _OffsetsArgument | None = None) -> None:
        """Commits the positions of all assigned partitions, or the offsets given."""
        await self._core._commit(offsets)

    async def commit_offsets(self, offsets: _OffsetsArgument) -> None:
        """Commits any offsets of the group."""
        await self._core._commit(offsets)

    def rewind(self) -> None:
        """Goes back to what is committed."""
        self._core.rewind()

    async def lag(self, partition: _Name) -> int:
        """How many records lie between the position and the end."""
        await self._core._settle_one(partition)
        return self._core.lag(partition)

    def bounds(self, partition: _Name) -> Bounds:
        """Start, last stable offset and end of a partition."""
        return self._core.bounds(partition)

    def group_metadata(self) -> GroupMetadata:
        """Names the group, for `Transaction.send_offsets`."""
        return self._core.group_metadata()

    async def close(self) -> None:
        """Lets the consumer go; a loop over it ends. Nothing is committed. See `oncelog.Consumer.close`."""
        self._closed = True
        self._core.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


def _deadline(timeout: float | None) -> float | None:
    seconds = _oncelog.time_to_wait(timeout)
    return None if seconds is None else time.monotonic() + seconds


def _left(deadline: float | None) -> float | None:
    return None if deadline is None else deadline - time.monotonic()


def busy(text: str) -> BusyError:
    """The error of a call that may be made again in a moment."""
    error = BusyError(text)
    error.code, error.name, error.kafka_code, error.retriable = 14, "Busy", 51, True
    return error
