"""The bounds that callers meet are the engine's own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import oncelog
from oncelog import limits

SOURCE = Path(__file__).parents[3] / "core" / "src" / "limits.rs"


def in_the_source() -> dict[str, float]:
    """What the engine's own table says."""
    found: dict[str, float] = {}
    for name, value in re.findall(r"pub const (\w+): \w+ = ([^;]+);", SOURCE.read_text(encoding="utf-8")):
        value = re.sub(r"Duration::from_secs\((\d+)\)", r"\1", value).replace("i64::MAX as u64", "(1 << 63) - 1")
        # A bound may be named as another, which may stand behind it.
        found[name] = eval(value, {}, {"ALLOCATION_MAX": 64 << 20, **found})
    return found


def offered() -> dict[str, float]:
    return {name: getattr(limits, name) for name in vars(limits) if re.fullmatch(r"[A-Z][A-Z_]+", name)}


def test_the_bounds_are_the_engines_own() -> None:
    known = in_the_source()
    assert known["ALLOCATION_MAX"] == 64 << 20
    assert len(offered()) == 21
    assert offered() == {name: known[name] for name in offered()}
    # Times are what options take.
    assert isinstance(limits.TRANSACTION_TIMEOUT, float) and isinstance(limits.TRANSACTION_TIMEOUT_MAX, float)


def test_a_value_at_a_bound_is_taken_and_one_past_it_refused(tmp_path: Path) -> None:
    with oncelog.open(tmp_path / "log", segment_bytes=limits.SEGMENT_MIN) as engine:
        engine.create_topic("t", partitions=1)
        engine.producer(name="n" * limits.NAME_MAX)
        with pytest.raises(oncelog.ArgumentError):
            engine.producer(name="n" * (limits.NAME_MAX + 1))
        consumer = engine.consumer("t", group="g")
        consumer.commit({("t", 0): oncelog.OffsetAndMetadata(0, "m" * limits.OFFSET_METADATA_MAX)})
        with pytest.raises(oncelog.LimitExceededError):
            consumer.commit({("t", 0): oncelog.OffsetAndMetadata(0, "m" * (limits.OFFSET_METADATA_MAX + 1))})
        with pytest.raises(oncelog.Error):
            engine.add_partitions("t", limits.TOPIC_PARTITIONS_MAX + 1)
        engine.transactional_producer("x", transaction_buffer=limits.TRANSACTION_BUFFER_MAX)
        with pytest.raises(oncelog.ArgumentError):
            engine.transactional_producer("x", transaction_buffer=limits.TRANSACTION_BUFFER_MAX + 1)
        with pytest.raises(oncelog.ArgumentError):
            engine.transactional_producer("x", transaction_timeout=limits.TRANSACTION_TIMEOUT_MAX + 1)
    for wrong in (limits.SEGMENT_MIN - 1, limits.SEGMENT_OPTION_MAX + 1):
        with pytest.raises(oncelog.ArgumentError):
            oncelog.open(tmp_path / "log", segment_bytes=wrong)
