//! The log itself, as plain as it gets.

use oncelog::{AppendOptions, ReadOptions};
use pyo3::prelude::*;

use crate::arguments::{Number, number};
use crate::batch::Batch;
use crate::engine::Engine;
use crate::errors::Raise;
use crate::options;
use crate::raw::ReadFrom;
use crate::records::Records;
use crate::ticket::Ticket;
use crate::values;
use crate::wait::{BATCH, room};

/// A handle to one partition: append batches, read records. May be used from any number of threads.
///
/// >>> with oncelog.open("events.log") as engine:
/// ...     engine.create_topic("events")
/// ...     events = engine.partition("events", 0)
/// ...     batch = oncelog.Batch()
/// ...     batch.add(b"one")
/// ...     batch.add(b"two", key=b"k")
/// ...     appended = events.append(batch).result()
/// ...     (appended.first, appended.last, events.read(1).values(), events.bounds())
/// (0, 1, [b'two'], Bounds(start=0, stable=2, end=2))
#[pyclass(frozen, module = "oncelog")]
pub struct Partition {
    /// Before the engine, which is to go last.
    core: oncelog::Partition,
    engine: Py<Engine>,
}

impl Partition {
    pub fn new(core: oncelog::Partition, engine: &Bound<'_, Engine>) -> Self {
        Self { core, engine: engine.clone().unbind() }
    }
}

#[pymethods]
impl Partition {
    /// Appends a batch; finishes it if it is open. The ticket answers where it went once it has met the level: the one
    /// given here, else the topic's.
    #[pyo3(signature = (batch, *, durability=None))]
    fn append(&self, py: Python<'_>, batch: &Bound<'_, Batch>, durability: Option<&str>) -> PyResult<Ticket> {
        let mut options = AppendOptions::new();
        options.durability = options::own_durability(durability)?;
        let batch = batch.get().finished(py)?;
        room(py, self.engine.get().core(), BATCH)?;
        let ticket = py.detach(|| self.core.append_with(&batch, options)).raise()?;
        Ok(Ticket::of(ticket).shown(self.engine.get()))
    }

    /// Reads from an offset on, up to about `max_bytes` (1 MiB) as they lie in the log, and as many that compressed
    /// batches unpack to, but for the last of them: what is visible now, nothing if that is nothing yet. A read at
    /// "read_committed" ends at the last stable offset and leaves out what was aborted; one at "read_uncommitted" sees
    /// records of open and aborted transactions too. Go on with `Records.next_offset`, which steps over what was left
    /// out, of an answer without a record too: there is nothing more where it is the offset that was asked for.
    ///
    /// offset: or a `Place`, of `Records.next_place` in this life of the log or an earlier one: the read goes on from
    /// there, or raises TruncatedError if a crash took records that the place stands behind.
    ///
    /// Raises OffsetOutOfRangeError below the start or above the end.
    #[pyo3(signature = (offset, *, max_bytes=None, isolation="read_committed"))]
    fn read(
        &self,
        py: Python<'_>,
        offset: ReadFrom,
        max_bytes: Option<Number<usize>>,
        isolation: &str,
    ) -> PyResult<Records> {
        let mut options = ReadOptions::new().isolation(options::isolation(isolation)?);
        options.max_bytes = number(max_bytes).unwrap_or(options.max_bytes);
        let (offset, options) = offset.apply(options);
        py.detach(|| self.core.read(offset, options)).raise().map(Records::new)
    }

    /// The offset of the first record, by offsets, whose timestamp is `timestamp_ms` or later; None if there is none
    /// yet. At "read_committed" only what lies below the last stable offset counts, at "read_uncommitted" what is
    /// undecided too; what was aborted counts at both. Where timestamps do not follow the offsets, records behind the
    /// one found may be older.
    ///
    /// Raises ArgumentError for a negative timestamp; CorruptError if records are damaged that come into question.
    #[pyo3(signature = (timestamp_ms, *, isolation="read_committed"))]
    fn offset_at(&self, py: Python<'_>, timestamp_ms: Number<i64>, isolation: &str) -> PyResult<Option<u64>> {
        let isolation = options::isolation(isolation)?;
        py.detach(|| self.core.offset_at_with(timestamp_ms.0, isolation)).raise()
    }

    /// The greatest timestamp there is, with the offset of the first record that has it; None while no record has one.
    /// Which records count is as for `offset_at`.
    ///
    /// Raises CorruptError if records are damaged that come into question.
    #[pyo3(signature = (*, isolation="read_committed"))]
    fn max_timestamp<'py>(&self, py: Python<'py>, isolation: &str) -> PyResult<Option<Bound<'py, PyAny>>> {
        let isolation = options::isolation(isolation)?;
        let found = py.detach(|| self.core.max_timestamp_with(isolation)).raise()?;
        found.map(|(offset, timestamp)| values::offset_and_timestamp(py, offset, timestamp)).transpose()
    }

    /// The producers that are active here, in the order of their ids: whoever's last batches are remembered,
    /// and whoever has a transaction open here. What Kafka's DescribeProducers answers, to find who
    /// holds the last stable offset back.
    ///
    /// A raw identity without a transactional id is forgotten after a day without a batch, counted anew from each
    /// opening; one with a transactional id when that is deleted or gets another producer id. A `Producer` is never
    /// among them, and a `TransactionalProducer` only while a transaction of its streams: nobody repeats their batches.
    /// The answer is of this moment, whether or not what it speaks of is durable or visible yet.
    ///
    /// >>> with oncelog.open("shop.log") as engine:
    /// ...     engine.create_topic("orders")
    /// ...     shop = engine.init_producer("shop")
    /// ...     batch = oncelog.Batch(producer=shop, base_sequence=0, transactional=True)
    /// ...     batch.add(b"42", timestamp_ms=1_700_000_000_000)
    /// ...     _ = engine.partition("orders", 0).append(batch).result()
    /// ...     (active,) = engine.partition("orders", 0).producers()
    /// ...     active.identity == shop, active.last_sequence, active.last_timestamp, active.transaction_start_offset
    /// (True, 0, 1700000000000, 0)
    ///
    /// Raises UnknownTopicOrPartitionError once the topic is deleted.
    fn producers<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let active = py.detach(|| self.core.producers()).raise()?;
        active.iter().map(|producer| values::active_producer(py, producer)).collect()
    }

    /// The first offset, the last stable one and the end, as readers see them now.
    fn bounds<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        values::bounds(py, self.core.bounds())
    }

    /// The topic's name.
    #[getter]
    fn topic(&self) -> &str {
        self.core.topic()
    }

    /// The partition's number in its topic.
    #[getter]
    fn number(&self) -> u32 {
        self.core.number()
    }

    fn __repr__(&self) -> String {
        format!("<oncelog.Partition {}-{}>", self.core.topic(), self.core.number())
    }
}
