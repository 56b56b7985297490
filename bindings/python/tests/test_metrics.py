"""What an engine counts, as numbers and as the text that Prometheus reads."""

from pathlib import Path
from typing import Any

import oncelog
import pytest


def test_what_was_done_is_counted(oncelog_engine: oncelog.Engine, topic: str) -> None:
    engine = oncelog_engine
    before = engine.metrics()
    producer = engine.producer(name="loader")
    for _ in range(2):
        producer.send(topic, b"v", position=5).result()
    engine.producer().send_many(topic, [b"a", b"b"]).result()
    now = engine.metrics()
    assert now.records - before.records == 3 and now.duplicates - before.duplicates == 1
    assert not now.poisoned and now.segments >= 1 and now.disk_used >= now.disk_live > before.disk_live
    for histogram in (now.group_frames, now.flush_nanos):
        assert len(histogram.counts) == len(histogram.bounds) + 1
        assert sum(histogram.counts) == histogram.count > 0 and histogram.sum > 0
        least, most = histogram.quantile(0), histogram.quantile(1)
        assert least in histogram.bounds and (most is None or most >= least > 0)
    with pytest.raises(AttributeError):
        now.records = 7  # type: ignore[misc]


def test_a_quantile_is_the_bound_that_holds_its_share() -> None:
    """As the engine's own test has it."""
    histogram = oncelog.Histogram(10, 77, (1, 2, 4, 8, 16), (5, 0, 0, 4, 0, 1))
    shares = [0.0, 0.5, 0.51, 0.9, 0.91, 1.0, 1, 0]
    assert [histogram.quantile(q) for q in shares] == [1, 1, 8, 8, None, None, None, 1]
    # Beyond the ends it is the end, and what is no number is 0.
    inf, nan = float("inf"), float("nan")
    assert [histogram.quantile(q) for q in (-0.5, -inf, nan, 1.5, inf)] == [1, 1, 1, None, None]
    assert oncelog.Histogram(0, 0, (1, 2), (0, 0, 0)).quantile(0.5) is None
    assert oncelog.Histogram(2, 3, (1, 2), (0, 2, 0)).quantile(0) == 2
    wrongs: list[Any] = [None, "0.5", [], 1j]
    for wrong in wrongs:
        with pytest.raises(TypeError):
            histogram.quantile(wrong)


def test_a_transaction_is_open_until_it_ends(oncelog_engine: oncelog.Engine, topic: str) -> None:
    producer = oncelog_engine.transactional_producer("tp")
    with producer.begin_transaction() as transaction:
        transaction.send(topic, b"v")
        assert oncelog_engine.metrics().transactions_open == 1
    producer.begin_transaction().abort()
    metrics = oncelog_engine.metrics()
    ended = (metrics.transactions_open, metrics.transactions_committed, metrics.transactions_aborted)
    assert ended == (0, 1, 1)


def test_the_text_is_read_by_prometheus_own_parser(tmp_path: Path) -> None:
    parser = pytest.importorskip("prometheus_client.openmetrics.parser")
    group = 'a "group"\\n, in quotes'
    with oncelog.open(tmp_path) as engine:
        engine.create_topic("t")
        engine.producer().send_many("t", [b"a", b"b", b"c"]).result()
        consumer = engine.consumer("t", group=group)
        assert len(consumer.poll(60)) == 3
        consumer.seek(oncelog.TopicPartition("t", 0), 1)
        metrics, text = engine.metrics(), engine.openmetrics()
        assert metrics.lags == (oncelog.ConsumerLag(group, "t", 0, 1, 2),)
        families = {family.name: family for family in parser.text_string_to_metric_families(text)}
        samples = {(s.name, tuple(sorted(s.labels.items()))): s.value for f in families.values() for s in f.samples}
    kinds = {name: (family.type, family.unit) for name, family in families.items()}
    assert kinds["oncelog_records"] == ("counter", "")
    assert kinds["oncelog_written_bytes"] == ("counter", "bytes")
    assert kinds["oncelog_flush_duration_seconds"] == ("histogram", "seconds")
    assert kinds["oncelog_group_frames"] == ("histogram", "frames")
    assert kinds["oncelog_disk_used_bytes"] == ("gauge", "bytes")
    assert all(family.documentation for family in families.values())
    lag = (("group", group), ("partition", "0"), ("topic", "t"))
    assert samples["oncelog_consumer_lag", lag] == 2
    assert samples["oncelog_records_total", ()] == metrics.records == 3
    assert samples["oncelog_flush_duration_seconds_count", ()] >= metrics.flush_nanos.count
    assert samples["oncelog_flush_duration_seconds_sum", ()] > 0
    assert samples["oncelog_transactions_total", (("outcome", "committed"),)] == 0
