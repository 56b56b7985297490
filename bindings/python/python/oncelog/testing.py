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
import sys
import tempfile
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from . import Engine

try:
    import pytest
except ImportError:
    # The context manager needs no pytest.
    pytest = None  # type: ignore[assignment]

__all__ = ["throwaway"]


@contextlib.contextmanager
def throwaway(**options: Any) -> Iterator[Engine]:
    """A log in a temporary directory, closed and removed behind the block. Options as in `oncelog.open`, but for
    `durability`, which is "os": a test that ends well loses no power."""
    # Here, so that pytest loads the plugin for projects that never open a log.
    import oncelog

    # Windows keeps the files of records that somebody still holds.
    kept = sys.platform == "win32"
    with tempfile.TemporaryDirectory(prefix="oncelog-", ignore_cleanup_errors=kept) as directory:
        engine = oncelog.open(directory, **{"durability": "os", **options})
        try:
            yield engine
        finally:
            engine.close()


if pytest is not None:

    @pytest.fixture
    def oncelog_open(tmp_path: Path) -> Iterator[Callable[..., Engine]]:
        """Opens the test's log, `oncelog_open(**options)`; close it to open it again. What is left is closed."""
        import oncelog

        opened: list[Engine] = []

        def open(**options: Any) -> Engine:
            engine = oncelog.open(tmp_path / "log", **{"durability": "os", **options})
            opened.append(engine)
            return engine

        yield open
        for engine in opened:
            with contextlib.suppress(oncelog.ForkedError):
                engine.close()

    @pytest.fixture
    def oncelog_engine(oncelog_open: Callable[..., Engine]) -> Engine:
        """An open log that is gone when the test ends."""
        return oncelog_open()
