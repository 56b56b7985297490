//! The open log.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use oncelog::{ConsumerOptions, ProducerOptions, TopicOptions, TopicPartition};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyString, PyTuple};

use crate::arguments::{Number, number};
use crate::consumer::Consumer;
use crate::errors::{self, Raise, refused};
use crate::messages::{Queue, deliver};
use crate::offsets::Name;
use crate::options;
use crate::partition::Partition;
use crate::producer::Producer;
use crate::ticket::{Ticket, through};
use crate::transaction::TransactionalProducer;
use crate::values;

static OPENED: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// An open log. Made by `oncelog.open`; may be used from any number of threads.
///
/// Closed by `close`, by the end of its `with` block, or when the last of its handles goes. After a fork the child's
/// handles raise ForkedError and the parent goes on.
///
/// >>> with oncelog.open("orders.log") as engine:
/// ...     engine.create_topic("orders", partitions=4)
/// ...     engine.topics()[0].partitions
/// 4
#[pyclass(frozen, weakref, module = "oncelog")]
pub struct Engine {
    /// Taken out only to be dropped.
    core: Option<oncelog::Engine>,
}

impl Engine {
    pub fn core(&self) -> &oncelog::Engine {
        // Never empty while anybody can call.
        self.core.as_ref().unwrap_or_else(|| unreachable!("a dropped engine is called"))
    }
}

impl Drop for Engine {
    /// Every handle made from this one holds it, so here the log is closed, if it still is open: that waits for the
    /// disk, and nobody else may be kept waiting meanwhile.
    fn drop(&mut self) {
        let mut core = self.core.take();
        Python::try_attach(|py| {
            let core = core.take();
            py.detach(|| drop(core));
        });
    }
}

/// Opens the log in a directory; makes it if there is none. Use it in `with`, or `close` it.
///
/// durability: when a write is acknowledged: "disk", the default, once it survives a power cut; "os" once it is written
/// to the operating system, flushed within `flush_interval` seconds (default 1), which survives the death of the
/// process; "memory" at once, written within 10 ms or when somebody reads it, which survives nothing.
/// read_only: nothing is written. Any number of readers, as long as nobody has the log open for writing.
/// segment_bytes: size of a file, 64 KiB to 512 MiB; default 64 MiB. create=False: an error if there is no log.
/// threads=False: the engine starts no thread; whoever waits, or `Engine.drive`, does its work. Not for asyncio.
/// mappings=False: files are read by calls, not mapped; for files that others may change.
/// accept_loss=True: opens for writing although decisions were damaged on disk.
///
/// Raises LockedError if the log is open for writing elsewhere, in this process too; UnsupportedVersionError,
/// CorruptError, ArgumentError, StorageError.
#[pyfunction]
#[pyo3(signature = (
    dir, *, durability="disk", read_only=false, segment_bytes=None, create=true, threads=true, mappings=true,
    accept_loss=false, flush_interval=None
))]
#[expect(clippy::too_many_arguments, reason = "keyword arguments")]
pub fn open<'py>(
    py: Python<'py>,
    dir: PathBuf,
    durability: &str,
    read_only: bool,
    segment_bytes: Option<Number<u64>>,
    create: bool,
    threads: bool,
    mappings: bool,
    accept_loss: bool,
    flush_interval: Option<f64>,
) -> PyResult<Bound<'py, Engine>> {
    let mut options = oncelog::Engine::options()
        .durability(options::durability(durability)?)
        .read_only(read_only)
        .create(create)
        .threads(threads)
        .mappings(mappings)
        .accept_loss(accept_loss);
    if let Some(Number(bytes)) = segment_bytes {
        options = options.segment_bytes(bytes);
    }
    if let Some(interval) = flush_interval {
        options = options.flush_interval(duration("flush_interval", interval)?);
    }
    errors::prepare(py)?;
    let opened = py.detach(|| options.log(Arc::new(Queue)).open(dir)).raise();
    deliver(py);
    let engine = Bound::new(py, Engine { core: Some(opened?) })?;
    OPENED.import(py, "oncelog._exit", "opened")?.call1((&engine,))?;
    Ok(engine)
}

fn duration(option: &str, seconds: f64) -> PyResult<Duration> {
    Duration::try_from_secs_f64(seconds)
        .map_err(|_| refused(format!("a time must be seconds, 0 or more, {option}={seconds}")))
}

/// What the keyword arguments of a producer say.
fn producer_options(
    name: Option<String>,
    batch_bytes: Option<Number<usize>>,
    linger: Option<f64>,
    durability: Option<&str>,
) -> PyResult<ProducerOptions> {
    let mut options = ProducerOptions::new();
    options.name = name;
    options.batch_bytes = number(batch_bytes).unwrap_or(options.batch_bytes);
    if let Some(seconds) = linger {
        options.linger = duration("linger", seconds)?;
    }
    options.durability = options::own_durability(durability)?;
    Ok(options)
}

#[pymethods]
impl Engine {
    /// Creates a topic. It survives a power cut when this returns.
    ///
    /// Raises TopicExistsError; ArgumentError for a name that Kafka would refuse or a number out of range.
    #[pyo3(
        signature = (name, *, partitions=Number(1), durability=None),
        text_signature = "($self, name, *, partitions=1, durability=None)"
    )]
    fn create_topic(
        &self,
        py: Python<'_>,
        name: &str,
        partitions: Number<u32>,
        durability: Option<&str>,
    ) -> PyResult<()> {
        let options = topic_options(partitions, durability)?;
        through(py, || self.core().create_topic_ticket(name, options))
    }

    #[pyo3(
        signature = (name, *, partitions=Number(1), durability=None),
        text_signature = "($self, name, *, partitions=1, durability=None)"
    )]
    fn _create_topic(
        &self,
        py: Python<'_>,
        name: &str,
        partitions: Number<u32>,
        durability: Option<&str>,
    ) -> PyResult<Ticket> {
        let options = topic_options(partitions, durability)?;
        py.detach(|| self.core().create_topic_ticket(name, options)).raise().map(Ticket::of)
    }

    /// Deletes a topic with its records and with what groups have committed for it. Final when this returns.
    fn delete_topic(&self, py: Python<'_>, name: &str) -> PyResult<()> {
        through(py, || self.core().delete_topic_ticket(name))
    }

    fn _delete_topic(&self, py: Python<'_>, name: &str) -> PyResult<Ticket> {
        py.detach(|| self.core().delete_topic_ticket(name)).raise().map(Ticket::of)
    }

    /// Raises the number of a topic's partitions to `total`. Keys may go to other partitions from here on.
    fn add_partitions(&self, py: Python<'_>, topic: &str, total: Number<u32>) -> PyResult<()> {
        through(py, || self.core().add_partitions_ticket(topic, total.0))
    }

    fn _add_partitions(&self, py: Python<'_>, topic: &str, total: Number<u32>) -> PyResult<Ticket> {
        py.detach(|| self.core().add_partitions_ticket(topic, total.0)).raise().map(Ticket::of)
    }

    /// All topics, by name.
    fn topics<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyAny>>> {
        self.core().topics().raise()?.iter().map(|info| values::topic_info(py, info)).collect()
    }

    /// A handle to one partition: the log itself, without producers and consumers.
    fn partition(slf: &Bound<'_, Self>, topic: &str, partition: Number<u32>) -> PyResult<Partition> {
        Ok(Partition::new(slf.get().core().partition(topic, partition.0).raise()?, slf))
    }

    /// A producer. With a name it fences the name's former holder, durably, before this returns.
    ///
    /// batch_bytes: a partition's batch is written when it has so many bytes (default 16 KiB; 0: each record at once),
    /// or `linger` seconds (default 0.005) after its first record, or when somebody waits for one of its tickets.
    /// durability: when sends are acknowledged; without it the topic's level.
    #[pyo3(signature = (*, name=None, batch_bytes=None, linger=None, durability=None))]
    fn producer<'py>(
        slf: &Bound<'py, Self>,
        name: Option<String>,
        batch_bytes: Option<Number<usize>>,
        linger: Option<f64>,
        durability: Option<&str>,
    ) -> PyResult<Bound<'py, Producer>> {
        let ticket = Self::_producer(slf, name, batch_bytes, linger, durability)?;
        Ok(ticket.wait(slf.py())?.cast_into::<Producer>()?)
    }

    #[pyo3(signature = (*, name=None, batch_bytes=None, linger=None, durability=None))]
    fn _producer(
        slf: &Bound<'_, Self>,
        name: Option<String>,
        batch_bytes: Option<Number<usize>>,
        linger: Option<f64>,
        durability: Option<&str>,
    ) -> PyResult<Ticket> {
        let options = producer_options(name, batch_bytes, linger, durability)?;
        let core = slf.get().core();
        let ticket = slf.py().detach(|| core.producer_ticket(options)).raise()?;
        Ok(Ticket::of_handle(ticket, slf))
    }

    /// A producer whose records become visible in transactions. Fences the id's former holder, durably, before this
    /// returns. Names of producers and transactional ids are one namespace.
    #[pyo3(signature = (transactional_id, *, durability=None))]
    fn transactional_producer<'py>(
        slf: &Bound<'py, Self>,
        transactional_id: &str,
        durability: Option<&str>,
    ) -> PyResult<Bound<'py, TransactionalProducer>> {
        let ticket = Self::_transactional_producer(slf, transactional_id, durability)?;
        Ok(ticket.wait(slf.py())?.cast_into::<TransactionalProducer>()?)
    }

    #[pyo3(signature = (transactional_id, *, durability=None))]
    fn _transactional_producer(
        slf: &Bound<'_, Self>,
        transactional_id: &str,
        durability: Option<&str>,
    ) -> PyResult<Ticket> {
        let options = producer_options(None, None, None, durability)?;
        let core = slf.get().core();
        let ticket = slf.py().detach(|| core.transactional_producer_ticket(transactional_id, options)).raise()?;
        Ok(Ticket::of_handle(ticket, slf))
    }

    /// Forgets a named producer or transactional id: its position, its epoch, its decisions.
    fn delete_producer(&self, py: Python<'_>, name: &str) -> PyResult<()> {
        through(py, || self.core().delete_producer_ticket(name))
    }

    fn _delete_producer(&self, py: Python<'_>, name: &str) -> PyResult<Ticket> {
        py.detach(|| self.core().delete_producer_ticket(name)).raise().map(Ticket::of)
    }

    /// A consumer of topics, or of single partitions as pairs of topic and number; or of none yet, see
    /// `Consumer.assign`. A topic stands for the partitions that it has now.
    ///
    /// group: in whose name offsets are committed. isolation: "read_committed" or "read_uncommitted". start: where to
    /// begin if nothing is committed: "earliest", "latest", or "none", which raises OffsetOutOfRangeError. max_bytes,
    /// max_records: bounds of one poll (1 MiB; none). timeout: a `for` loop ends when nothing came for so many seconds;
    /// None, the default, for never.
    #[pyo3(signature = (
        *topics, group=None, isolation="read_committed", start="earliest", max_bytes=None, max_records=None,
        timeout=None
    ))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments")]
    fn consumer(
        slf: &Bound<'_, Self>,
        topics: &Bound<'_, PyTuple>,
        group: Option<String>,
        isolation: &str,
        start: &str,
        max_bytes: Option<Number<usize>>,
        max_records: Option<Number<u64>>,
        timeout: Option<f64>,
    ) -> PyResult<Consumer> {
        let mut options = ConsumerOptions::new();
        options.group = group;
        options.isolation = options::isolation(isolation)?;
        options.start = options::start(start)?;
        options.max_bytes = number(max_bytes).unwrap_or(options.max_bytes);
        options.max_records = number(max_records).unwrap_or(options.max_records);
        let core = slf.get().core().consumer(options).raise()?;
        let consumer = Consumer::new(core, slf, timeout)?;
        if !topics.is_empty() {
            consumer.take_over(slf.get(), topics)?;
        }
        Ok(consumer)
    }

    /// Waits until everything up to a frame survives a power cut; `Appended.lsn` and `Committed.lsn` name frames.
    fn wait_durable(&self, py: Python<'_>, lsn: Number<u64>) -> PyResult<()> {
        through(py, || self.core().wait_durable_ticket(lsn.0))
    }

    fn _wait_durable(&self, py: Python<'_>, lsn: Number<u64>) -> PyResult<Ticket> {
        py.detach(|| self.core().wait_durable_ticket(lsn.0)).raise().map(Ticket::of)
    }

    /// Waits until everything sent before the call survives a power cut.
    fn flush(&self, py: Python<'_>) -> PyResult<()> {
        through(py, || self.core().flush_ticket())
    }

    fn _flush(&self, py: Python<'_>) -> PyResult<Ticket> {
        py.detach(|| self.core().flush_ticket()).raise().map(Ticket::of)
    }

    /// Does the background work that is due, for engines opened with threads=False. Harmless otherwise.
    fn drive(&self, py: Python<'_>) -> PyResult<()> {
        let driven = py.detach(|| self.core().drive());
        deliver(py);
        driven.raise()
    }

    /// What opening found and did: a tail cut, damage. Nothing is cut or lost without a word here.
    #[getter]
    fn opening<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        values::opening(py, &self.core().opening())
    }

    /// How the log stands and what it has done since it was opened: a snapshot that takes microseconds, waits for
    /// nobody and reads nothing from the disk.
    fn metrics<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        values::metrics(py, &self.core().metrics())
    }

    /// The metrics in the OpenMetrics text format 1.0, which Prometheus reads. Answer it with the media type
    /// `application/openmetrics-text; version=1.0.0; charset=utf-8`.
    fn openmetrics(&self) -> String {
        self.core().metrics().to_openmetrics()
    }

    /// Closes the log for all handles: what was sent is flushed, the lock is given back. A second close does nothing.
    ///
    /// The log is closed even if this raises, and what was acknowledged is kept.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let closed = py.detach(|| self.core().close());
        deliver(py);
        closed.raise()
    }

    fn __enter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __exit__(
        &self,
        py: Python<'_>,
        _kind: &Bound<'_, PyAny>,
        _error: &Bound<'_, PyAny>,
        _trace: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        self.close(py)
    }
}

fn topic_options(partitions: Number<u32>, durability: Option<&str>) -> PyResult<TopicOptions> {
    let mut options = TopicOptions::new().partitions(partitions.0);
    options.durability = options::own_durability(durability)?;
    Ok(options)
}

/// The partitions that a caller names: a topic stands for all of its own.
pub fn partitions_of(engine: &oncelog::Engine, names: &Bound<'_, PyTuple>) -> PyResult<Vec<TopicPartition>> {
    let mut found = Vec::new();
    let mut known = None;
    for name in names.iter() {
        let Ok(topic) = name.cast::<PyString>() else {
            found.push(name.extract::<Name>()?.0);
            continue;
        };
        let topic = topic.to_str()?;
        let topics = match &mut known {
            Some(topics) => topics,
            None => known.insert(engine.topics().raise()?),
        };
        let count = topics.iter().find(|info| info.name == topic).map_or(1, |info| info.partitions);
        // A topic that does not exist is refused by the assignment.
        found.extend((0..count).map(|partition| TopicPartition::new(topic, partition)));
    }
    Ok(found)
}
