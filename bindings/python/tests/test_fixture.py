"""The fixture for the tests of others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import oncelog
import oncelog.testing

pytest_plugins = ["pytester"]


def test_the_plugin_is_there_without_being_named(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import oncelog
        def test_one(oncelog_engine):
            oncelog_engine.create_topic("t")
        def test_two(oncelog_engine, tmp_path):
            assert oncelog_engine.topics() == [] and (tmp_path / "log").is_dir()
        def test_three(oncelog_open):
            oncelog_open().close()
            assert not oncelog_open(durability="disk").opening.created
        """
    )
    plugin = [] if "oncelog" in installed() else ["-p", "oncelog.testing"]
    pytester.runpytest_subprocess(*plugin).assert_outcomes(passed=3)


def installed() -> set[str]:
    from importlib.metadata import entry_points

    return {entry.name for entry in entry_points(group="pytest11")}


def test_without_pytest_it_is_a_context_manager() -> None:
    with oncelog.testing.throwaway(threads=False) as engine:
        engine.create_topic("t")
    with pytest.raises(oncelog.ClosedError):
        engine.topics()
    with pytest.raises(ZeroDivisionError), oncelog.testing.throwaway() as engine:
        raise ZeroDivisionError


def test_what_a_test_closed_itself_is_no_error(
    oncelog_open: Callable[..., oncelog.Engine], tmp_path: Path
) -> None:
    with oncelog_open() as engine:
        engine.create_topic("t")
    assert [topic.name for topic in oncelog_open().topics()] == ["t"]


def test_the_log_is_gone_when_the_test_ends(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import oncelog
        seen = []
        def test_one(oncelog_engine, tmp_path):
            oncelog_engine.create_topic("t")
            seen.append(tmp_path)
        def test_two():
            (path,) = seen
            assert path.is_dir() and not (path / "log").exists()
        """
    )
    plugin = [] if "oncelog" in installed() else ["-p", "oncelog.testing"]
    pytester.runpytest_subprocess(*plugin).assert_outcomes(passed=2)


def test_a_close_that_raises_leaves_no_other_log_open(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import oncelog
        closed = []
        class Engine:
            def close(self):
                closed.append(self)
                raise oncelog.PoisonedError("the disk failed")
        def test_one(oncelog_open, monkeypatch):
            monkeypatch.setattr(oncelog, "open", lambda *_, **__: Engine())
            oncelog_open(), oncelog_open()
        def test_two():
            assert len(closed) == 2
        """
    )
    plugin = [] if "oncelog" in installed() else ["-p", "oncelog.testing"]
    pytester.runpytest_subprocess(*plugin).assert_outcomes(passed=2, errors=1)
