"""Between event loops and the engine: one descriptor in each loop, no thread.

A loop that watches no descriptors, as Windows' own does not, has one thread that watches for it.
"""

from __future__ import annotations

import asyncio
import select
import threading
import weakref
from collections.abc import Generator
from typing import Any, Generic, TypeVar

from ._oncelog import Consumer, Hub, Ticket

_T = TypeVar("_T")


class Waiting(Generic[_T]):
    """Somebody who awaits a ticket."""

    __slots__ = ("future", "number", "ticket")

    def __init__(self, ticket: Ticket[_T], future: asyncio.Future[_T]) -> None:
        self.ticket = ticket
        self.future = future
        # What the hub forgets it by, once that knows it.
        self.number: int | None = None


class LoopHub:
    """What one event loop waits for."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        # The loop holds the hub through its reader. The hub does not hold the loop, so that both can go.
        self._hub = Hub()
        self._new: list[Waiting[Any]] = []
        try:
            loop.add_reader(self._hub.fileno(), self._hub.drain)
        except NotImplementedError:
            _watch_in_thread(loop, self._hub)

    def answer(self, loop: asyncio.AbstractEventLoop, ticket: Ticket[_T]) -> Generator[Any, None, _T]:
        """Waits for a ticket's answer. Tickets of one turn of the loop are asked for together, so that what one turn
        sends is written at once."""
        waiting = Waiting(ticket, loop.create_future())
        if not self._new:
            loop.call_soon(self._watch)
        self._new.append(waiting)
        try:
            answer: _T = yield from waiting.future
            return answer
        except BaseException:
            # Cancelled, it may be: the answer may be far off, and nothing is to keep the loop until then.
            self._forget(waiting)
            raise

    def _watch(self) -> None:
        # Whoever was cancelled meanwhile asks for nothing any more.
        new, self._new = [waiting for waiting in self._new if not waiting.future.done()], []
        try:
            numbers = self._hub.watch([(waiting.ticket, waiting.future) for waiting in new])
            for waiting, number in zip(new, numbers, strict=True):
                waiting.number = number
        except BaseException as error:
            for waiting in new:
                if not waiting.future.done():
                    waiting.future.set_exception(error)

    def _forget(self, waiting: Waiting[Any]) -> None:
        if waiting.number is not None:
            self._hub.forget(waiting.number)
        elif waiting in self._new:
            self._new.remove(waiting)

    async def ready(self, consumer: Consumer, timeout: float | None) -> None:
        """Waits until a poll of the consumer would answer something, or the time is up."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        number = self._hub.watch_consumer(consumer, future)
        try:
            await asyncio.wait((future,), timeout=timeout)
        finally:
            if not future.done():
                future.cancel()
                self._hub.forget(number)


def _watch_in_thread(loop: asyncio.AbstractEventLoop, hub: Hub) -> None:
    """Has the loop drain the hub whenever there is something in it, from now on until the loop has gone."""
    gone = weakref.ref(loop)
    drained = threading.Event()

    def drain() -> None:
        try:
            hub.drain()
        finally:
            drained.set()

    def watch() -> None:
        while True:
            select.select((hub.fileno(),), (), ())
            found = gone()
            if found is None:
                return
            drained.clear()
            try:
                found.call_soon_threadsafe(drain)
            except RuntimeError:
                # It is closed; nobody waits in it any more.
                return
            # The thread must not be what keeps it.
            del found
            drained.wait()

    def end() -> None:
        hub.wake()
        drained.set()

    # At the interpreter's end the thread goes with it: a daemon that waits.
    weakref.finalize(loop, end).atexit = False
    threading.Thread(target=watch, name="oncelog-loop", daemon=True).start()


_hubs: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, LoopHub] = weakref.WeakKeyDictionary()


def hub() -> LoopHub:
    """The hub of the running loop."""
    loop = asyncio.get_running_loop()
    found = _hubs.get(loop)
    if found is None:
        found = _hubs[loop] = LoopHub(loop)
    return found


def awaited(ticket: Ticket[_T]) -> Generator[Any, None, _T]:
    """What `await ticket` does."""
    if ticket.done():
        return ticket.result()
    loop = asyncio.get_running_loop()
    return (yield from hub().answer(loop, ticket))
