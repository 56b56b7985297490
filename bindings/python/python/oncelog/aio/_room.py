"""Room in the log, for an event loop that must not wait for it.

What finds no room waits in lines, one for each handle that sends. While there are any, one call at a time of the loop's
executor waits for the disk; whenever it comes back, whatever goes without waiting is made, in the loop.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

from .. import _oncelog
from .._errors import Error
from .._oncelog import Backlog

CLOSES = 64 << 10
"""Bytes that there must be room for when batches are closed, or something is decided."""
BATCH = 1 << 20
"""Bytes of a batch at most."""

# How soon is asked again where nothing tells when it is worth it, such as for a producer that another thread has.
_AGAIN = 0.001
# How long a log may have no room for another reason than writes and flushes on their way, such as a full disk. From
# then on calls are made in another thread, however long they wait, and hear why.
_PATIENCE = 2.0


class Room:
    """Who waits for room in one engine."""

    def __init__(self, engine: _oncelog.Engine) -> None:
        self._core = engine
        self._lines: dict[Backlog, None] = {}
        self._asking: asyncio.Future[bool] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._moved = 0.0

    def line(self) -> Backlog:
        """A line for a handle that sends."""
        return Backlog(self._core, self._wake)

    async def until(self, bytes: int) -> None:
        """Waits until there is room for so many bytes at once, or until a call will hear why there is none."""
        begun = time.monotonic()
        while not self._core.has_room(bytes):
            if await asyncio.shield(self._ask(bytes)) and time.monotonic() - begun > _PATIENCE:
                return
            await asyncio.sleep(_AGAIN)

    async def empty(self, line: Backlog) -> None:
        """Waits until nothing waits in a line."""
        while line:
            await asyncio.shield(self._ask(BATCH))
            await asyncio.sleep(_AGAIN)

    def close(self) -> None:
        """Makes what waits, then closes the engine; for another thread."""
        for line in list(self._lines):
            while line:
                if not line.go(True):
                    time.sleep(_AGAIN)
        self._core.close()

    def _wake(self, line: Backlog) -> bool:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return False
        self._lines[line] = None
        # One that was closed has nothing move any more.
        if self._loop is None or self._loop.is_closed():
            self._loop, self._moved = loop, time.monotonic()
            loop.call_soon(self._next)
        return True

    def _ask(self, bytes: int) -> asyncio.Future[bool]:
        """Has a thread wait a moment for room. True: waiting helps nothing."""
        loop = asyncio.get_running_loop()
        if self._asking is None or self._asking.done() or self._asking.get_loop() is not loop:
            self._asking = loop.run_in_executor(None, self._await_room, bytes)
        return self._asking

    def _await_room(self, bytes: int) -> bool:
        try:
            return self._core._await_room(bytes)
        except Error:
            # Whoever calls hears it.
            return True

    def _next(self) -> None:
        bytes = max((line.bytes for line in self._lines), default=0)
        try:
            self._ask(bytes).add_done_callback(self._round)
        except RuntimeError:
            # The loop ends, its executor has ended. What waits is made when the engine is closed.
            self._loop = None

    def _round(self, asked: asyncio.Future[bool]) -> None:
        loop, now = asked.get_loop(), time.monotonic()
        for line in list(self._lines):
            if line.go(False):
                self._moved = now
            if not line:
                self._lines.pop(line, None)
        if not self._lines:
            self._loop = None
        elif not asked.cancelled() and asked.result() and now - self._moved > _PATIENCE:
            self._push(loop)
        else:
            loop.call_later(_AGAIN, self._next)

    def _push(self, loop: asyncio.AbstractEventLoop) -> None:
        """Has the first calls made although they have to wait: they will hear why there is no room."""
        lines = list(self._lines)

        def push() -> bool:
            for line in lines:
                line.go(True)
            return False

        with suppress(RuntimeError):
            loop.run_in_executor(None, push).add_done_callback(self._round)
            return
        self._loop = None


class Still:
    """What must not move while a call waits for room: a consumer's positions, which the call is about."""

    def __init__(self) -> None:
        self._holds: set[asyncio.Future[None]] = set()

    def hold(self) -> asyncio.Future[None]:
        """Holds it until the future has its result."""
        hold = asyncio.get_running_loop().create_future()
        self._holds.add(hold)
        hold.add_done_callback(self._holds.discard)
        return hold

    async def free(self) -> None:
        """Waits until nobody holds it."""
        while self._holds:
            await asyncio.wait(tuple(self._holds))
