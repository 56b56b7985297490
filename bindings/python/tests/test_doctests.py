"""The examples in the documentation run."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path
from types import ModuleType

import pytest

import oncelog

MODULES = ["oncelog", "oncelog.aio", "oncelog.limits", "oncelog.testing", "oncelog._errors", "oncelog._types"]


def examples() -> list[doctest.DocTest]:
    finder = doctest.DocTestFinder(exclude_empty=True)
    modules = [importlib.import_module(name) for name in MODULES]
    return [test for module in modules for test in finder.find(module, globs=names(module)) if test.examples]


def names(module: ModuleType) -> dict[str, object]:
    return {"oncelog": oncelog}


@pytest.mark.parametrize("test", examples(), ids=lambda test: test.name)
def test_the_example_runs(test: doctest.DocTest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    assert runner.run(test).failed == 0


def test_every_class_shows_its_use() -> None:
    shown = {test.name.split(".")[1] for test in examples() if "." in test.name}
    handles = ["Engine", "Partition", "Producer", "TransactionalProducer", "Consumer"]
    for name in [*handles, "Batch", "Ticket", "Transaction", "Records", "Columns"]:
        assert name in shown, f"{name} has no example"


def test_every_public_thing_is_documented() -> None:
    for name in oncelog.__all__:
        thing = getattr(oncelog, name)
        assert thing.__doc__ or name == "__version__", name
        if isinstance(thing, type) and not issubclass(thing, tuple):
            for attribute, value in vars(thing).items():
                if not attribute.startswith("_") and (callable(value) or hasattr(value, "__get__")):
                    assert value.__doc__, f"{name}.{attribute}"
