"""A throw-away log for tests.

Installed with the package as a pytest plugin: ask for the fixture `oncelog_engine`, an open log in a directory of its
own, which is closed and gone when the test ends, or `oncelog_open` for a test that opens its log more than once.

    def test_an_order_is_billed(oncelog_engine):
        oncelog_engine.create_topic("orders")
        ...

Without pytest the same is a context manager:

>>> import oncelog.testing
>>> with oncelog.testing.throwaway() as engine:
...     engine.create_topic("orders", partitions=2)
...     [topic.name for topic in engine.topics()]
['orders']
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import oncelog

if TYPE_CHECKING:
    from pathlib import Path

try:
    import pytest
except ImportError:
    # The context manager needs no pytest.
    pytest = None  # type: ignore[assignment]

__all__ = ["throwaway"]

# Windows keeps the files of records that somebody still holds.
_KEPT = sys.platform == "win32"


@contextlib.contextmanager
def throwaway(**options: Any) -> Iterator[oncelog.Engine]:
    """A log in a temporary directory, closed and removed behind the block. Options as in `oncelog.open`, but for
    `durability`, which is "os": a test that ends well loses no power."""
    with tempfile.TemporaryDirectory(prefix="oncelog-", ignore_cleanup_errors=_KEPT) as directory:
        engine = oncelog.open(directory, **{"durability": "os", **options})
        try:
            yield engine
        finally:
            engine.close()


if pytest is not None:

    @pytest.fixture
    def oncelog_open(tmp_path: Path) -> Iterator[Callable[..., oncelog.Engine]]:
        """Opens the test's log, `oncelog_open(**options)`; close it to open it again. What is left is closed, and the
        log removed."""
        process, directory = os.getpid(), tmp_path / "log"

        def open(**options: Any) -> oncelog.Engine:
            engine = oncelog.open(directory, **{"durability": "os", **options})
            left.callback(close, engine)
            return engine

        def close(engine: oncelog.Engine) -> None:
            with contextlib.suppress(oncelog.ForkedError):
                engine.close()

        def remove() -> None:
            # A child that a test forked leaves the log to its parent.
            if os.getpid() == process and directory.exists():
                shutil.rmtree(directory, ignore_errors=_KEPT)

        # One close that raises keeps none of the others, nor the removal behind them.
        with contextlib.ExitStack() as left:
            left.callback(remove)
            yield open

    @pytest.fixture
    def oncelog_engine(oncelog_open: Callable[..., oncelog.Engine]) -> oncelog.Engine:
        """An open log that is gone when the test ends."""
        return oncelog_open()
