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
takes records from memory or from the operating system's cache. Nothing holds the loop while the engine's buffers are
full, 8 MiB ahead of the disk: what is sent then waits in memory, in order, and goes to the log when there is room, for
which one call of the loop's executor waits. Up to 64 MiB may wait for each handle, past that `send` raises BusyError.
`await producer.drained()`, or `transaction.drained()`, waits until nothing waits; awaiting tickets does as well.

Engines opened here have threads: without them nobody would complete what is awaited, and a ticket of such an engine
refuses it.
"""

from __future__ import annotations

from ._consumers import Consumer
from ._engine import Engine, Partition, open  # noqa: A004
from ._producers import Producer, Transaction, TransactionalProducer

__all__ = ["Consumer", "Engine", "Partition", "Producer", "Transaction", "TransactionalProducer", "open"]
