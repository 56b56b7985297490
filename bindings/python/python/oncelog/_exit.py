"""The interpreter's end: every log that is still open is closed while threads and modules are still there.

A child of multiprocessing may end without that: what it sent is flushed, and its logs go with the process.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import weakref
from typing import TYPE_CHECKING

from ._errors import Error
from ._oncelog import interpreter_ends

if TYPE_CHECKING:
    from ._oncelog import Engine

_open: weakref.WeakSet[Engine] = weakref.WeakSet()
# The process that has prepared its end.
_process: int | None = None


def opened(engine: Engine) -> None:
    """Notes an engine; called by `open`."""
    global _process
    _open.add(engine)
    if _process != os.getpid():
        _process = os.getpid()
        if "multiprocessing" in sys.modules:
            import multiprocessing.util

            if multiprocessing.parent_process() is not None:
                multiprocessing.util.Finalize(None, _flush, exitpriority=0)


def _flush() -> None:
    # Not closed: threads that are no daemons go on until they are through.
    for engine in list(_open):
        with contextlib.suppress(Error):
            engine.flush()


@atexit.register
def _close() -> None:
    interpreter_ends()
    for engine in list(_open):
        # Nobody is left to hear of it; what was acknowledged is safe. A forked child has nothing to close.
        with contextlib.suppress(Error):
            engine.close()
