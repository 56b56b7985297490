"""What the tests share."""

from __future__ import annotations

import os
import shutil
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

SECONDS = 600
"""What a test may take. The run ends with one that takes longer, behind the stacks of all threads."""
CHILD_SECONDS = 400
"""What a process may take that a test starts: less, so that it says where it hangs before the test does."""


# What Windows does not have: forks, and signals that a process sends itself.
collect_ignore = ["test_fork.py", "test_interrupt.py", "test_limit.py"] if sys.platform == "win32" else []


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


DISK = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>
static void wait_while(const char *there, const char *sign)
{
    if (access(there, F_OK) != 0)
        return;
    close(open(sign, O_CREAT | O_WRONLY, 0600));
    while (access(there, F_OK) == 0)
        nanosleep(&(struct timespec){0, 1000000}, 0);
}
int fdatasync(int fd) { (void)fd; wait_while("slow", "flushing"); return 0; }
int fsync(int fd) { (void)fd; wait_while("slow", "flushing"); return 0; }
ssize_t pwrite64(int fd, const void *from, size_t bytes, off64_t at)
{
    wait_while("stuck", "writing");
    return ((ssize_t (*)(int, const void *, size_t, off64_t))dlsym(RTLD_NEXT, "pwrite64"))(fd, from, bytes, at);
}
"""


@pytest.fixture
def slow_disk(tmp_path: Path) -> dict[str, str]:
    """An environment in which no flush ends while a file called `slow` is there, and no write while one called `stuck`
    is; files called `flushing` and `writing` say that one has begun."""
    cc = shutil.which("cc")
    if cc is None or sys.platform != "linux":
        pytest.skip("needs a C compiler, and Linux")
    source, library = tmp_path / "disk.c", tmp_path / "disk.so"
    source.write_text(DISK)
    subprocess.run([cc, "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    kept = {name: os.environ[name] for name in ("PYTHONPATH", "HOME") if name in os.environ}
    return {"LD_PRELOAD": str(library), "PATH": "/usr/bin:/bin", **kept}


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
