//! The open log.

use oncelog::{ConsumerOptions, GroupMetadata};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::arguments::{Number, Seconds, number};
use crate::consumer::Consumer;
use crate::errors::Raise;
use crate::messages::deliver;
use crate::offsets;
use crate::options;
use crate::partition::Partition;
use crate::producer::Producer;
use crate::raw::Holder;
use crate::ticket::{Ticket, flushed, through, waited};
use crate::transaction::TransactionalProducer;
use crate::values;
use crate::wait::{CLOSES, room, room_soon};

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
    threads: bool,
}

impl Engine {
    pub fn new(core: oncelog::Engine, threads: bool) -> Self {
        Self { core: Some(core), threads }
    }

    /// Somebody does the work that nobody waits for.
    pub fn has_threads(&self) -> bool {
        self.threads
    }

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

#[pymethods]
impl Engine {
    /// Creates a topic. It survives a power cut when this returns.
    ///
    /// durability: the level of the topic's records; without it the engine's. timestamp_type: whose time they carry:
    /// "create", the sender's, or "append", the log's, whatever they were sent with.
    ///
    /// Raises TopicExistsError; ArgumentError for a name that Kafka would refuse or a number out of range.
    #[pyo3(
        signature = (name, *, partitions=Number(1), durability=None, timestamp_type="create"),
        text_signature = "($self, name, *, partitions=1, durability=None, timestamp_type='create')"
    )]
    fn create_topic(
        &self,
        py: Python<'_>,
        name: &str,
        partitions: Number<u32>,
        durability: Option<&str>,
        timestamp_type: &str,
    ) -> PyResult<()> {
        let options = options::topic(partitions, durability, timestamp_type)?;
        through(py, self.core(), || self.core().create_topic_ticket(name, options))
    }

    #[pyo3(
        signature = (name, *, partitions=Number(1), durability=None, timestamp_type="create"),
        text_signature = "($self, name, *, partitions=1, durability=None, timestamp_type='create')"
    )]
    fn _create_topic(
        &self,
        py: Python<'_>,
        name: &str,
        partitions: Number<u32>,
        durability: Option<&str>,
        timestamp_type: &str,
    ) -> PyResult<Ticket> {
        let options = options::topic(partitions, durability, timestamp_type)?;
        py.detach(|| self.core().create_topic_ticket(name, options)).raise().map(Ticket::of)
    }

    /// Deletes a topic with its records and with what groups have committed for it. Final when this returns.
    fn delete_topic(&self, py: Python<'_>, name: &str) -> PyResult<()> {
        through(py, self.core(), || self.core().delete_topic_ticket(name))
    }

    fn _delete_topic(&self, py: Python<'_>, name: &str) -> PyResult<Ticket> {
        py.detach(|| self.core().delete_topic_ticket(name)).raise().map(Ticket::of)
    }

    /// Raises the number of a topic's partitions to `total`. Keys may go to other partitions from here on.
    fn add_partitions(&self, py: Python<'_>, topic: &str, total: Number<u32>) -> PyResult<()> {
        through(py, self.core(), || self.core().add_partitions_ticket(topic, total.0))
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
    /// or `linger` seconds (default 0.005) after its first record, or when somebody waits for one of its tickets; past
    /// 32 MiB of all partitions together the oldest ones, however small; those of a name, which go into the log as one,
    /// past 1 MiB. durability: when sends are acknowledged; without it the topic's level; what a name writes takes the
    /// strongest of this and of its topics. compression: how batches are packed:
    /// "none", "gzip", "snappy", "lz4" or "zstd".
    #[pyo3(signature = (*, name=None, batch_bytes=None, linger=None, durability=None, compression="none"))]
    fn producer<'py>(
        slf: &Bound<'py, Self>,
        name: Option<String>,
        batch_bytes: Option<Number<usize>>,
        linger: Option<Seconds>,
        durability: Option<&str>,
        compression: &str,
    ) -> PyResult<Bound<'py, Producer>> {
        room(slf.py(), slf.get().core(), CLOSES)?;
        let ticket = Self::_producer(slf, name, batch_bytes, linger, durability, compression)?;
        Ok(ticket.wait(slf.py())?.cast_into::<Producer>()?)
    }

    #[pyo3(signature = (*, name=None, batch_bytes=None, linger=None, durability=None, compression="none"))]
    fn _producer(
        slf: &Bound<'_, Self>,
        name: Option<String>,
        batch_bytes: Option<Number<usize>>,
        linger: Option<Seconds>,
        durability: Option<&str>,
        compression: &str,
    ) -> PyResult<Ticket> {
        let mut options = options::producer(durability, compression)?;
        options.name = name;
        options.batch_bytes = number(batch_bytes).unwrap_or(options.batch_bytes);
        if let Some(seconds) = linger {
            options.linger = options::duration("linger", seconds)?;
        }
        let core = slf.get().core();
        let ticket = slf.py().detach(|| core.producer_ticket(options)).raise()?;
        Ok(Ticket::of_handle(ticket, slf))
    }

    /// A producer whose records become visible in transactions. Fences the id's former holder, durably, before this
    /// returns. Names of producers and transactional ids are one namespace.
    ///
    /// durability: when commits are acknowledged; without it the strongest level of their topics. compression: as in
    /// `producer`. transaction_buffer: bytes up to which a transaction is memory, default 1 MiB, at most 16 MiB; past
    /// it, it streams, see `Transaction`. transaction_timeout: seconds that one may stream for, default 60; then it is
    /// aborted. From 2^31 - 1 milliseconds on: for ever.
    #[pyo3(signature = (
        transactional_id, *, durability=None, compression="none", transaction_buffer=None, transaction_timeout=None
    ))]
    fn transactional_producer<'py>(
        slf: &Bound<'py, Self>,
        transactional_id: &str,
        durability: Option<&str>,
        compression: &str,
        transaction_buffer: Option<Number<usize>>,
        transaction_timeout: Option<Seconds>,
    ) -> PyResult<Bound<'py, TransactionalProducer>> {
        room(slf.py(), slf.get().core(), CLOSES)?;
        let (buffer, timeout) = (transaction_buffer, transaction_timeout);
        let ticket = Self::_transactional_producer(slf, transactional_id, durability, compression, buffer, timeout)?;
        Ok(ticket.wait(slf.py())?.cast_into::<TransactionalProducer>()?)
    }

    #[pyo3(signature = (
        transactional_id, *, durability=None, compression="none", transaction_buffer=None, transaction_timeout=None
    ))]
    fn _transactional_producer(
        slf: &Bound<'_, Self>,
        transactional_id: &str,
        durability: Option<&str>,
        compression: &str,
        transaction_buffer: Option<Number<usize>>,
        transaction_timeout: Option<Seconds>,
    ) -> PyResult<Ticket> {
        let mut options = options::producer(durability, compression)?;
        options.transaction_buffer = number(transaction_buffer).unwrap_or(options.transaction_buffer);
        if let Some(seconds) = transaction_timeout {
            options.transaction_timeout = options::duration("transaction_timeout", seconds)?;
        }
        let core = slf.get().core();
        let ticket = slf.py().detach(|| core.transactional_producer_ticket(transactional_id, options)).raise()?;
        Ok(Ticket::of_handle(ticket, slf))
    }

    /// Forgets a named producer or transactional id: its position, its epoch, its decisions.
    fn delete_producer(&self, py: Python<'_>, name: &str) -> PyResult<()> {
        through(py, self.core(), || self.core().delete_producer_ticket(name))
    }

    fn _delete_producer(&self, py: Python<'_>, name: &str) -> PyResult<Ticket> {
        py.detach(|| self.core().delete_producer_ticket(name)).raise().map(Ticket::of)
    }

    /// A consumer of topics, or of single partitions as pairs of topic and number; or of none yet, see
    /// `Consumer.assign`. A topic stands for the partitions that it has now.
    ///
    /// group: in whose name offsets are committed. isolation: "read_committed" sees what is decided, up to the last
    /// stable offset; "read_uncommitted" sees records of open and aborted transactions too. start: where to begin if
    /// nothing is committed: "earliest", "latest", or "none", which raises OffsetOutOfRangeError. max_bytes,
    /// max_records: bounds of one poll (1 MiB, as they lie in the log, and as many that compressed batches unpack to, but
    /// for the last of them; none). timeout: a `for` loop ends when nothing came for so many seconds; None, the default,
    /// for never.
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
        timeout: Option<Seconds>,
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

    /// An identity for raw batches: for callers that keep producer id, epoch and sequences themselves, as a broker does
    /// for its clients. With a transactional id the epoch is raised, older holders are fenced, and a transaction that
    /// one of them left open is aborted, durably, before this returns.
    ///
    /// timeout: seconds that a transaction of it may be open, from 2^31 - 1 milliseconds on for ever (KIP-939); without
    /// a transactional id it says nothing. current: with it an identity is given only if nobody else raised the epoch
    /// since (KIP-360); a call that is repeated because its answer was lost gets the same answer. When the epochs of an
    /// id are used up, at 32,766, the answer has a new producer id.
    ///
    /// >>> engine = oncelog.open("broker.log")
    /// >>> engine.create_topic("orders")
    /// >>> identity = engine.init_producer("shop", timeout=60)
    /// >>> batch = oncelog.Batch(producer=identity, base_sequence=0, transactional=True)
    /// >>> batch.add(b"42")
    /// >>> engine.partition("orders", 0).append(batch).result().offset      # begins the transaction
    /// 0
    /// >>> engine.send_offsets(identity, oncelog.GroupMetadata("billing"), {("orders", 0): 1})
    /// >>> engine.end_transaction(identity, "commit").epoch == identity.epoch + 1
    /// True
    /// >>> engine.close()
    ///
    /// Raises ProducerFencedError if `current` is not the newest holder; ArgumentError for an empty id or a timeout out
    /// of range, see `transaction_timeout_max` of `oncelog.open`.
    #[pyo3(
        signature = (transactional_id=None, *, timeout=Seconds(60.0), current=None),
        text_signature = "($self, transactional_id=None, *, timeout=60.0, current=None)"
    )]
    fn init_producer<'py>(
        &self,
        py: Python<'py>,
        transactional_id: Option<&str>,
        timeout: Seconds,
        current: Option<Holder>,
    ) -> PyResult<Bound<'py, PyAny>> {
        room(py, self.core(), CLOSES)?;
        self._init_producer(py, transactional_id, timeout, current)?.wait(py)
    }

    #[pyo3(
        signature = (transactional_id=None, *, timeout=Seconds(60.0), current=None),
        text_signature = "($self, transactional_id=None, *, timeout=60.0, current=None)"
    )]
    fn _init_producer(
        &self,
        py: Python<'_>,
        transactional_id: Option<&str>,
        timeout: Seconds,
        current: Option<Holder>,
    ) -> PyResult<Ticket> {
        let (timeout, current) = (options::duration("timeout", timeout)?, current.map(|holder| holder.0));
        py.detach(|| self.core().init_producer_ticket(transactional_id, timeout, current)).raise().map(Ticket::of)
    }

    /// Adds offsets to the transaction of a raw identity: they are committed if it commits, and until it is decided
    /// `Consumer.committed` raises UnstableOffsetsError at "read_committed". The transaction begins with them if none
    /// is open; later offsets take the place of earlier ones. Waits until they have met the strongest level of the
    /// engine and of their topics.
    ///
    /// Raises StaleEpochError if a newer identity took over; UnknownTransactionalIdError for an identity without a
    /// transactional id; InvalidTransactionStateError while a `TransactionalProducer` has a transaction open under the
    /// id; UnknownTopicOrPartitionError; ArgumentError; LimitExceededError past 1,000 offsets.
    fn send_offsets(
        &self,
        py: Python<'_>,
        identity: Holder,
        group: &Bound<'_, PyTuple>,
        offsets: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        room(py, self.core(), CLOSES)?;
        self._send_offsets(py, identity, group, offsets)?.wait(py).map(drop)
    }

    fn _send_offsets(
        &self,
        py: Python<'_>,
        identity: Holder,
        group: &Bound<'_, PyTuple>,
        offsets: &Bound<'_, PyAny>,
    ) -> PyResult<Ticket> {
        let (group,) = group.extract::<(String,)>()?;
        let (group, offsets) = (GroupMetadata { group }, offsets::offsets(offsets)?);
        py.detach(|| self.core().send_offsets_ticket(identity.0, &group, &offsets)).raise().map(Ticket::of)
    }

    /// Ends the transaction of a raw identity, "commit" or "abort", and answers the identity of its next one, whose
    /// epoch is raised and whose sequences begin at 0 again (KIP-890). Waits until the decision has met the strongest
    /// level of the engine and of the topics it reached. A call that is repeated because its answer was lost gets the
    /// same answer. An abort without a transaction only raises the epoch.
    ///
    /// Raises ProducerFencedError if a newer identity took over; InvalidTransactionStateError for a commit without a
    /// transaction, and for one whose transaction was aborted meanwhile, by its timeout or by `abort_transaction`;
    /// UnknownTransactionalIdError for an identity without a transactional id.
    fn end_transaction<'py>(&self, py: Python<'py>, identity: Holder, outcome: &str) -> PyResult<Bound<'py, PyAny>> {
        room(py, self.core(), CLOSES)?;
        self._end_transaction(py, identity, outcome)?.wait(py)
    }

    fn _end_transaction(&self, py: Python<'_>, identity: Holder, outcome: &str) -> PyResult<Ticket> {
        let outcome = options::outcome(outcome)?;
        py.detach(|| self.core().end_transaction_ticket(identity.0, outcome)).raise().map(Ticket::of)
    }

    /// Aborts a transaction by its number, whoever owns it: one that holds the last stable offset back and whose owner
    /// does not answer. The owner hears of it with its next call: TransactionAbortedError, or, for a raw identity, that
    /// the epoch was raised. One that was aborted before is as good.
    ///
    /// Raises InvalidTransactionStateError if it is not open: it was committed, is committing, or was never begun.
    fn abort_transaction(&self, py: Python<'_>, number: Number<u64>) -> PyResult<()> {
        through(py, self.core(), || self.core().abort_transaction_ticket(number.0))
    }

    fn _abort_transaction(&self, py: Python<'_>, number: Number<u64>) -> PyResult<Ticket> {
        py.detach(|| self.core().abort_transaction_ticket(number.0)).raise().map(Ticket::of)
    }

    /// How a transaction stands: "open", "committed", "aborted", or "forgotten": nothing is known of it, for it was
    /// never begun, was aborted before anything of it lay in the log, or was decided so long ago that its transactional
    /// id has decided 64 others since. What an IndeterminateError of a commit left open is known here once the log is
    /// opened again. What is answered survives a power cut.
    fn transaction_status<'py>(&self, py: Python<'py>, number: Number<u64>) -> PyResult<Bound<'py, PyAny>> {
        self._transaction_status(py, number)?.wait(py)
    }

    fn _transaction_status(&self, py: Python<'_>, number: Number<u64>) -> PyResult<Ticket> {
        py.detach(|| self.core().transaction_status_ticket(number.0)).raise().map(Ticket::of)
    }

    /// The transactions that have something in the log and are not decided, in the order in which they began: who holds
    /// the last stable offset of which partitions back, and since when. One that is memory only is not among them.
    fn describe_transactions<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let open = py.detach(|| self.core().describe_transactions()).raise()?;
        open.iter().map(|open| values::open_transaction(py, open)).collect()
    }

    /// Waits until everything up to a frame survives a power cut; `Appended.lsn` and `Committed.lsn` name frames.
    fn wait_durable(&self, py: Python<'_>, lsn: Number<u64>) -> PyResult<()> {
        waited(py, || self.core().wait_durable_ticket(lsn.0))
    }

    fn _wait_durable(&self, py: Python<'_>, lsn: Number<u64>) -> PyResult<Ticket> {
        py.detach(|| self.core().wait_durable_ticket(lsn.0)).raise().map(Ticket::of)
    }

    /// Waits until everything sent before the call survives a power cut.
    fn flush(&self, py: Python<'_>) -> PyResult<()> {
        flushed(py, self.core(), || self.core().try_flush(), || self.core().flush_ticket())
    }

    /// A flush that waits for no room to close what is gathered: None if something is left.
    fn _try_flush(&self, py: Python<'_>) -> PyResult<Option<Ticket>> {
        Ok(py.detach(|| self.core().try_flush()).raise()?.map(Ticket::of))
    }

    /// Waits a moment for room; true if it helps nothing to wait longer.
    fn _await_room(&self, py: Python<'_>) -> PyResult<bool> {
        room_soon(py, self.core())
    }

    /// A flush that waits for room.
    fn _flush(&self, py: Python<'_>) -> PyResult<Ticket> {
        py.detach(|| self.core().flush_ticket()).raise().map(Ticket::of)
    }

    /// Whether an append or commit of so many bytes would not wait for room right now: for event loops, which come
    /// again later if it would; the engine makes the room meanwhile.
    fn has_room(&self, bytes: Number<usize>) -> bool {
        self.core().has_room(bytes.0)
    }

    /// Does the background work that is due, for engines opened with threads=False. Harmless otherwise.
    fn drive(&self, py: Python<'_>) -> PyResult<()> {
        let driven = py.detach(|| self.core().drive());
        deliver(py);
        driven.raise()
    }

    /// Reads all that is durable, segment after segment, and verifies each frame: whether the disk still holds what it
    /// was given. Damage is no error here but the answer. Other threads append and read meanwhile; what is not flushed
    /// yet is left out. Ctrl-C ends it between two segments.
    fn verify<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let (mut found, mut segment) = (oncelog::Verification::default(), 0);
        while let Some(next) = py.detach(|| self.core().verify_behind(segment, &mut found)).raise()? {
            segment = next;
            py.check_signals()?;
        }
        values::verification(py, &found)
    }

    /// What opening found and did: a tail cut, damage. Nothing is cut or lost without a word here.
    #[getter]
    fn opening<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        values::opening(py, &self.core().opening())
    }

    /// How the log stands and what it has done since it was opened: a snapshot that takes microseconds, and about two
    /// more for each partition in which an open consumer of a group has a position, waits for nobody and reads nothing
    /// from the disk.
    fn metrics<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        values::metrics(py, &py.detach(|| self.core().metrics()))
    }

    /// The metrics in the OpenMetrics text format 1.0, which Prometheus reads. Answer it with the media type
    /// `application/openmetrics-text; version=1.0.0; charset=utf-8`.
    fn openmetrics(&self, py: Python<'_>) -> String {
        py.detach(|| self.core().metrics().to_openmetrics())
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
