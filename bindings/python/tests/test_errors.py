"""One root, three questions, a class for each kind."""

from __future__ import annotations

import copy
import pickle
import sys
import typing
from pathlib import Path

import pytest

import oncelog
from oncelog import _errors


def classes() -> list[type[oncelog.Error]]:
    found: list[type[oncelog.Error]] = [oncelog.Error]
    for kind in found:
        found += kind.__subclasses__()
    return found


def test_every_class_is_public_and_told_apart() -> None:
    for kind in classes():
        assert getattr(oncelog, kind.__name__) is kind and kind.__name__ in oncelog.__all__
        assert kind.__doc__
    kinds = [kind.KIND for kind in classes() if "KIND" in vars(kind) and kind.KIND]
    assert len(kinds) == len(set(kinds)) == 36, "as many as the engine has"


def test_an_unknown_kind_falls_to_the_root() -> None:
    error = _errors._make((99, "Something", -1), "new", (True, False, False), None, None)
    assert type(error) is oncelog.Error and (error.code, error.name, error.retriable) == (99, "Something", True)


def test_errors_answer_the_three_questions(oncelog_engine: oncelog.Engine) -> None:
    oncelog_engine.create_topic("t")
    with pytest.raises(oncelog.Error) as caught:
        oncelog_engine.create_topic("t")
    error = caught.value
    assert (error.code, error.name, error.kafka_code) == (17, "TopicExists", 36)
    assert (error.retriable, error.fatal, error.requires_abort) == (False, False, False)
    assert str(error).endswith("name=t")
    oncelog_engine.close()
    with pytest.raises(oncelog.ClosedError) as closed:
        oncelog_engine.topics()
    assert closed.value.fatal


def test_codes_of_kafka_lead_to_classes_and_back(oncelog_engine: oncelog.Engine) -> None:
    with pytest.raises(oncelog.Error) as caught:
        oncelog_engine.delete_topic("missing")
    assert oncelog.Error.from_kafka_code(caught.value.kafka_code) is oncelog.UnknownTopicOrPartitionError
    assert oncelog.Error.from_kafka_code(0) is None
    assert oncelog.Error.from_kafka_code(-1) is oncelog.InternalError
    for code in range(-2, 140):
        kind = oncelog.Error.from_kafka_code(code)
        assert kind is None or (kind.KIND and issubclass(kind, oncelog.Error)), code
    with pytest.raises(oncelog.ArgumentError):
        oncelog.Error.from_kafka_code(1 << 15)


def test_errors_are_python_errors_where_python_has_one(oncelog_engine: oncelog.Engine, tmp_path: Path) -> None:
    with pytest.raises(ValueError):
        oncelog_engine.create_topic("a/b")
    assert issubclass(oncelog.TimedOutError, TimeoutError)
    (tmp_path / "file").touch()
    with pytest.raises(oncelog.Error) as caught:
        oncelog.open(tmp_path / "file" / "log")
    assert isinstance(caught.value.__cause__, FileExistsError if sys.platform == "win32" else NotADirectoryError)


def test_errors_go_through_pickle_and_copy(oncelog_engine: oncelog.Engine) -> None:
    with pytest.raises(oncelog.Error) as caught:
        oncelog_engine.delete_topic("missing")
    for again in (pickle.loads(pickle.dumps(caught.value)), copy.copy(caught.value)):
        assert type(again) is oncelog.UnknownTopicOrPartitionError
        assert (again.code, again.name, str(again)) == (18, "UnknownTopicOrPartition", str(caught.value))


def test_an_error_at_the_end_of_a_block_shows_what_the_block_raised(oncelog_engine: oncelog.Engine) -> None:
    producer = oncelog_engine.transactional_producer("x")
    with pytest.raises(oncelog.ClosedError) as caught:
        with producer.begin_transaction():
            oncelog_engine.close()
            raise ValueError("the reason")
    assert isinstance(caught.value.__context__, ValueError)
    with pytest.raises(oncelog.ClosedError) as alone:
        oncelog_engine.topics()
    assert alone.value.__context__ is None


def test_what_is_public_is_named_by_where_it_is_public() -> None:
    for name in oncelog.__all__:
        thing = getattr(oncelog, name)
        if isinstance(thing, type):
            assert (thing.__module__, thing.__qualname__) == ("oncelog", name)
    at = oncelog.TopicPartition("t", 0)
    for kept in (pickle.dumps(at), pickle.dumps(oncelog.FullError("full"))):
        # A private path would be a promise.
        assert b"oncelog" in kept and b"_types" not in kept and b"_errors" not in kept
    assert pickle.loads(pickle.dumps(at)) == at


def test_the_hints_of_public_classes_can_be_resolved() -> None:
    for name in oncelog.__all__:
        public = getattr(oncelog, name)
        if isinstance(public, type):
            typing.get_type_hints(public)
