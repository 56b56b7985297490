"""The interpreter's end: every log that is still open is closed while threads and modules are still there."""

from __future__ import annotations

import atexit
import contextlib
import weakref
from typing import TYPE_CHECKING

from ._errors import Error
from ._oncelog import interpreter_ends

if TYPE_CHECKING:
    from ._oncelog import Engine

_open: weakref.WeakSet[Engine] = weakref.WeakSet()


def opened(engine: Engine) -> None:
    """Notes an engine; called by `open`."""
    _open.add(engine)


@atexit.register
def _close() -> None:
    interpreter_ends()
    for engine in list(_open):
        # Nobody is left to hear of it; what was acknowledged is safe. A forked child has nothing to close.
        with contextlib.suppress(Error):
            engine.close()
