"""What the tests share."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import IO, TYPE_CHECKING

import limit
import pytest

if TYPE_CHECKING:
    import oncelog

SECONDS = 120
"""What a test may take. The run ends with one that takes longer, behind the stacks of all threads."""
CHILD_SECONDS = 60
"""What a process may take that a test starts: less, so that it says where it hangs before the test does."""


def pytest_configure(config: pytest.Config) -> None:
    # The standard error itself: what is written there during a test is kept until the test has ended.
    errors = open(os.dup(2), "w")
    config.pluginmanager.register(Limits(limit.start(SECONDS, CHILD_SECONDS, errors), errors))


class Limits:
    """Gives each test its seconds. The last one's go on: the end of the run and of the interpreter may not hang."""

    def __init__(self, again: Callable[[], object], errors: IO[str]) -> None:
        self.again, self.errors = again, errors

    def pytest_runtest_logstart(self) -> None:
        self.again()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        # Told at once, for a run that hangs later tells nothing at its end.
        if report.failed:
            print(f"\n{report.nodeid}\n{report.longreprtext}", file=self.errors, flush=True)

    def pytest_unconfigure(self) -> None:
        # Whoever hangs from here on has the standard error for its own again.
        self.again = limit.start(SECONDS, CHILD_SECONDS)
        self.errors.close()


@pytest.fixture
def topic(oncelog_engine: oncelog.Engine) -> str:
    """A topic with one partition in the engine of the test."""
    oncelog_engine.create_topic("t")
    return "t"


@pytest.fixture
def script(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a program in a process of its own, in an empty directory. Its end is waited for: one that hangs dies of a
    signal and says where on its standard error, and so does a child that it forks, which is given half as long."""
    limited = f"import sys; sys.path.append({str(Path(limit.__file__).parent)!r}); import limit; "
    limited += f"limit.start({CHILD_SECONDS}, {CHILD_SECONDS // 2})\n"

    def run(source: str, *arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-X", "faulthandler", "-c", limited + textwrap.dedent(source), *arguments],
            cwd=tmp_path,
            env=env,
            capture_output=True,
            text=True,
            timeout=SECONDS - 20,
        )

    return run
