"""What the engine has to say comes through `logging`, and from calls of the application only."""

from __future__ import annotations

import contextlib
import logging
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import oncelog


def test_messages_come_with_their_levels(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "oncelog")
    with oncelog.open(tmp_path / "log") as engine:
        assert [record.levelno for record in caplog.records] == [logging.INFO]
        engine.producer(name="n")
        engine.producer(name="n")
    levels = {record.levelno for record in caplog.records}
    assert {record.name for record in caplog.records} == {"oncelog"} and levels >= {logging.INFO, logging.DEBUG}
    assert all(record.getMessage() for record in caplog.records)


def test_a_torn_tail_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "log"
    with oncelog.open(path) as engine:
        engine.create_topic("t")
    script = "import oncelog, os, sys; e = oncelog.open(sys.argv[1]); p = e.producer()\n"
    script += "[p.send('t', b'value').result() for _ in range(5)]; os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", script, path], check=False)
    for file in path.iterdir():
        data = file.read_bytes()
        at = data.rfind(b"value")
        if at >= 0:
            file.write_bytes(data[:at] + b"VALUE" + data[at + 5 :])
    with caplog.at_level(logging.WARNING, "oncelog"), oncelog.open(path) as engine:
        assert engine.opening.cut is not None or engine.opening.damage
        assert [record.levelno for record in caplog.records] == [logging.WARNING]


@contextlib.contextmanager
def unraisable() -> Iterator[list[object]]:
    """What was raised where nobody could catch it."""
    caught: list[object] = []
    before, sys.unraisablehook = sys.unraisablehook, caught.append
    try:
        yield caught
    finally:
        sys.unraisablehook = before


def test_a_handler_that_fails_harms_no_call(tmp_path: Path) -> None:
    class Broken(logging.Handler):
        def handle(self, record: logging.LogRecord) -> bool:
            raise ZeroDivisionError

    handler, logger = Broken(), logging.getLogger("oncelog")
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        with unraisable() as caught:
            oncelog.open(tmp_path / "log").close()
        assert caught
    finally:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)


def test_ctrl_c_in_a_handler_is_not_lost(tmp_path: Path) -> None:
    class Interrupted(logging.Handler):
        def handle(self, record: logging.LogRecord) -> bool:
            signal.raise_signal(signal.SIGINT)
            return True

    handler, logger = Interrupted(), logging.getLogger("oncelog")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    # Whoever started the tests in the background may have them ignore the signal.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with unraisable() as caught, pytest.raises(KeyboardInterrupt):
            oncelog.open(tmp_path / "log")
            time.sleep(10)
        assert not caught
    finally:
        signal.signal(signal.SIGINT, before)
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)


def test_a_handler_may_use_the_log(tmp_path: Path) -> None:
    engines: list[oncelog.Engine] = []
    told: list[object] = []

    class Curious(logging.Handler):
        def handle(self, record: logging.LogRecord) -> bool:
            for engine in engines:
                try:
                    told.append((engine.topics(), engine.producer(name="n").position))
                except oncelog.ClosedError as error:
                    told.append(error)
            return True

    handler, logger = Curious(), logging.getLogger("oncelog")
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        with oncelog.open(tmp_path / "log") as engine:
            engines.append(engine)
            older = engine.transactional_producer("x")
            engine.transactional_producer("x")
            with pytest.raises(oncelog.ProducerFencedError):
                older.begin_transaction()
            engine.flush()
        assert told and isinstance(told[-1], oncelog.ClosedError)
    finally:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)


def test_a_handler_may_open_and_close_logs(script: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    # In a process of its own: where it hangs the limit of the process says so.
    done = script(
        """
import logging, oncelog

class Meddling(logging.Handler):
    def handle(self, record):
        told.append(record.getMessage())
        if len(told) == 1:
            oncelog.open("other").close()
            engine.close()
        return True

told = []
logging.getLogger("oncelog").addHandler(Meddling())
logging.getLogger("oncelog").setLevel(logging.DEBUG)
engine = oncelog.open("log")
older = engine.transactional_producer("x")
engine.transactional_producer("x")
try:
    older.begin_transaction()
    while not told:
        engine.flush()
except (oncelog.ProducerFencedError, oncelog.ClosedError):
    pass
while len(told) < 3:
    oncelog.open("more").close()
print("fine")
"""
    )
    assert (done.returncode, done.stdout) == (0, "fine\n"), done.stderr


def test_nothing_is_printed_unless_asked_for(script: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    done = script(
        """
        import oncelog
        with oncelog.open("log") as engine:
            engine.producer(name="n")
            engine.producer(name="n")
            engine.producer(name="n")
        """
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_messages_that_gave_way_are_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("DEBUG", logger="oncelog"):
        engine = oncelog.open(tmp_path / "log", durability="memory")
        caplog.clear()
        for number in range(1500):
            # A fence is told, and in asyncio's form nothing hands it over.
            engine._transactional_producer("x")
            if number % 10 == 0:
                # The engine tells on a thread of its own, and counts what comes faster than that.
                time.sleep(0.005)
        engine.close()
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 1001 and "gave way" in told[0] and "dropped=" in told[0], (len(told), told[:3])
