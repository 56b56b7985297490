"""A limit of time for the tests' processes: one that hangs says where each of its threads is, and ends.

It is a signal, not a thread: it needs no interpreter lock and no lock of anybody else, and works in a forked child.
"""

from __future__ import annotations

import faulthandler
import functools
import os
import signal
import sys
from collections.abc import Callable
from typing import IO


def start(seconds: int, children: int, file: int | IO[str] | None = None) -> Callable[[], object]:
    """From now on this process may take so many seconds. Then it writes the stacks of its threads to `file`, the
    standard error without one, and dies of SIGALRM. A child that it forks may take `children` seconds. Answers what
    begins the seconds anew."""
    if sys.platform == "win32":
        # It has no such signal; this is a thread that needs no interpreter lock either.
        later = functools.partial(faulthandler.dump_traceback_later, seconds, exit=True)
        again = functools.partial(later, file=sys.stderr if file is None else file)
        again()
        return again
    faulthandler.unregister(signal.SIGALRM)
    # Whoever started this may have the signal ignored or held back.
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGALRM])
    faulthandler.register(signal.SIGALRM, sys.stderr if file is None else file, chain=True)
    os.register_at_fork(after_in_child=functools.partial(signal.alarm, children))
    again = functools.partial(signal.alarm, seconds)
    again()
    return again
