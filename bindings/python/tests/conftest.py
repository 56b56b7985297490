"""What the tests share."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import oncelog


@pytest.fixture
def topic(oncelog_engine: oncelog.Engine) -> str:
    """A topic with one partition in the engine of the test."""
    oncelog_engine.create_topic("t")
    return "t"


@pytest.fixture
def script(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a program in a process of its own, in an empty directory. Its end is waited for: a program that hangs fails
    the test, one that dies of a signal has a negative status."""

    def run(source: str, *arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-X", "faulthandler", "-c", textwrap.dedent(source), *arguments],
            cwd=tmp_path,
            env=env,
            capture_output=True,
            text=True,
            timeout=60,
        )

    return run
