//! The engine's handle: where everything begins.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::consumer::Consumer;
use super::options::{ConsumerOptions, EngineOptions, ProducerOptions};
use super::partition::Partition;
use super::producer::Producer;
use super::transactional::TransactionalProducer;
use crate::engine::{Inner, Settings};
use crate::error::{Error, ErrorKind, Result};
use crate::io::Machine;
use crate::journal::Ticket;
use crate::partition;
use crate::types::{Identity, Lsn, Metrics, Opening, TopicInfo, TopicOptions};

/// An open log. Clones are handles to the same one; it may be used from any number of threads.
///
/// Every call that waits for the disk has a twin that answers a [`Ticket`] instead, for event loops: its change has its
/// place in the log and takes effect whatever becomes of the ticket, which says when it is safe, or, for a refusal,
/// that it is final. Where the engine's buffers are full the twin waits for room, as a send does.
///
/// The log is closed by `close`, for all clones and for every producer, consumer and partition made from it, or when
/// the last of these handles is dropped. After a fork the child's handles answer `Forked`.
///
/// ```
/// # let dir = tempfile::tempdir().unwrap();
/// use oncelog::{Engine, TopicOptions};
/// let engine = Engine::open(dir.path())?;
/// engine.create_topic("orders", TopicOptions::new().partitions(4))?;
/// assert_eq!(engine.topics()?[0].partitions, 4);
///
/// // Both at once: the two share a flush.
/// let (debits, credits) = ("debits", "credits");
/// let tickets = [debits, credits].map(|name| engine.create_topic_ticket(name, TopicOptions::new()));
/// for ticket in tickets {
///     ticket?.wait()?;
/// }
/// engine.close()?;
/// # Ok::<(), oncelog::Error>(())
/// ```
#[derive(Clone)]
pub struct Engine {
    open: Arc<Open>,
}

/// Shared by all handles; the last one that goes closes the log.
pub(super) struct Open {
    pub(super) inner: Arc<Inner>,
}

impl Drop for Open {
    fn drop(&mut self) {
        // Whoever wants to hear of errors calls `close`.
        let _ = self.inner.close();
    }
}

impl Open {
    /// A partition by its name.
    pub(super) fn partition(&self, topic: &str, number: u32) -> Result<Arc<partition::Partition>> {
        let handle = self.inner.topic(topic)?;
        let found = usize::try_from(number).ok().and_then(|n| handle.partitions.get(n));
        found.cloned().ok_or_else(|| unknown_partition(topic, number, handle.partitions.len()))
    }
}

/// The answer to a partition that the topic does not have.
pub(super) fn unknown_partition(topic: &str, number: u32, partitions: usize) -> Error {
    let values = format!("topic={topic} partition={number} partitions={partitions}");
    let text = "the topic has no such partition; count from 0, or add partitions";
    Error::new(ErrorKind::UnknownTopicOrPartition, format!("{text}, {values}"))
}

impl Engine {
    /// Opens the log in a directory with the default options; makes it if there is none.
    ///
    /// # Errors
    /// As `EngineOptions::open`.
    pub fn open(dir: impl AsRef<Path>) -> Result<Engine> {
        Engine::options().open(dir)
    }

    /// Options to open a log with.
    pub fn options() -> EngineOptions {
        EngineOptions::default()
    }

    pub(super) fn open_on(machine: Machine, settings: Settings) -> Result<Engine> {
        Ok(Engine { open: Arc::new(Open { inner: Inner::open(machine, settings)? }) })
    }

    /// Creates a topic. It survives a power cut when this returns.
    ///
    /// # Errors
    /// `TopicExists`; `InvalidArgument` for a name that Kafka would refuse or a number of partitions out of range;
    /// `LimitExceeded`; `ReadOnly`; what a write answers: `Full`, `Poisoned`, `Indeterminate`.
    pub fn create_topic(&self, name: &str, options: TopicOptions) -> Result<()> {
        self.create_topic_ticket(name, options)?.wait()
    }

    /// Creates a topic; the ticket is done when it survives a power cut, and then it can be used.
    ///
    /// # Errors
    /// As `create_topic`. What depends on the state of the log, such as `TopicExists`, comes from the ticket.
    pub fn create_topic_ticket(&self, name: &str, options: TopicOptions) -> Result<Ticket<()>> {
        self.open.inner.create_topic(name, &options)
    }

    /// Deletes a topic with its records and with what groups have committed for it. Final when this returns. A topic
    /// created again under the name has another id and inherits nothing.
    ///
    /// # Errors
    /// `UnknownTopicOrPartition`; as `create_topic`.
    pub fn delete_topic(&self, name: &str) -> Result<()> {
        self.delete_topic_ticket(name)?.wait()
    }

    /// Deletes a topic; the ticket is done when that is final. Readers see the topic until then.
    ///
    /// # Errors
    /// As `delete_topic`; `UnknownTopicOrPartition` comes from the ticket.
    pub fn delete_topic_ticket(&self, name: &str) -> Result<Ticket<()>> {
        self.open.inner.delete_topic(name)
    }

    /// Raises the number of a topic's partitions to `total`. They survive a power cut when this returns. Keys may go to
    /// other partitions from here on.
    ///
    /// # Errors
    /// `UnknownTopicOrPartition`; `InvalidArgument` if the topic has as many already; as `create_topic`.
    pub fn add_partitions(&self, topic: &str, total: u32) -> Result<()> {
        self.add_partitions_ticket(topic, total)?.wait()
    }

    /// Raises the number of a topic's partitions; the ticket is done when they survive a power cut, and then they can
    /// be used.
    ///
    /// # Errors
    /// As `add_partitions`. What depends on the state of the log comes from the ticket.
    pub fn add_partitions_ticket(&self, topic: &str, total: u32) -> Result<Ticket<()>> {
        self.open.inner.add_partitions(topic, total)
    }

    /// All topics, by name.
    pub fn topics(&self) -> Result<Vec<TopicInfo>> {
        self.open.inner.topics()
    }

    /// A handle to one partition: the log itself, without producers and consumers.
    ///
    /// # Errors
    /// `UnknownTopicOrPartition`.
    pub fn partition(&self, topic: &str, partition: u32) -> Result<Partition> {
        self.open.inner.check_open()?;
        Ok(Partition::new(self.open.clone(), self.open.partition(topic, partition)?))
    }

    /// A producer. With a name it fences the name's former holder, durably, before this returns.
    ///
    /// # Errors
    /// `InvalidArgument` for options out of range; with a name also what a write answers.
    pub fn producer(&self, options: ProducerOptions) -> Result<Producer> {
        self.producer_ticket(options)?.wait()
    }

    /// A producer; the ticket is done when it may send, with a name once the former holder is fenced for ever. While it
    /// is on its way the ticket holds the producer, and keeps the log open as the producer will.
    ///
    /// # Errors
    /// As `producer`.
    pub fn producer_ticket(&self, options: ProducerOptions) -> Result<Ticket<Producer>> {
        Producer::open(self.open.clone(), options)
    }

    /// A producer whose records become visible in transactions. It fences the former holder of the id, durably, before
    /// this returns. Names of producers and transactional ids are one namespace.
    ///
    /// # Errors
    /// As `producer`.
    pub fn transactional_producer(&self, id: &str, options: ProducerOptions) -> Result<TransactionalProducer> {
        self.transactional_producer_ticket(id, options)?.wait()
    }

    /// A transactional producer; the ticket is done when it may begin transactions, once the former holder of the id is
    /// fenced for ever. As with `producer_ticket` the ticket keeps the log open.
    ///
    /// # Errors
    /// As `producer`.
    pub fn transactional_producer_ticket(
        &self,
        id: &str,
        options: ProducerOptions,
    ) -> Result<Ticket<TransactionalProducer>> {
        TransactionalProducer::open(self.open.clone(), id, options)
    }

    /// Forgets a named producer or transactional id: its position, its epoch, its decisions. Final when this returns.
    ///
    /// # Errors
    /// `UnknownTransactionalId`; what a write answers.
    pub fn delete_producer(&self, name: &str) -> Result<()> {
        self.delete_producer_ticket(name)?.wait()
    }

    /// Forgets a named producer or transactional id; the ticket is done when that is final.
    ///
    /// # Errors
    /// As `delete_producer`; `UnknownTransactionalId` comes from the ticket.
    pub fn delete_producer_ticket(&self, name: &str) -> Result<Ticket<()>> {
        let inner = &self.open.inner;
        inner.delete_producer(name).map(|promise| promise.ticket(inner))
    }

    /// A consumer; assign it partitions, then poll.
    ///
    /// # Errors
    /// `InvalidArgument` for options out of range.
    pub fn consumer(&self, options: ConsumerOptions) -> Result<Consumer> {
        Consumer::open(self.open.clone(), options)
    }

    /// An identity for raw batches: for callers that keep producer id, epoch and sequences themselves, as a broker
    /// does. With a transactional id the epoch is raised and older holders are fenced, durably, before this returns.
    /// With `current` it is given only if nobody else raised the epoch since.
    ///
    /// # Errors
    /// `ProducerFenced` if `current` is not the newest holder; `InvalidArgument`; what a write answers.
    pub fn init_producer(
        &self,
        transactional_id: Option<&str>,
        timeout: Duration,
        current: Option<Identity>,
    ) -> Result<Identity> {
        let inner = &self.open.inner;
        inner.check_open()?;
        let timeout_ms = u32::try_from(timeout.as_millis()).map_err(|_| {
            Error::new(ErrorKind::InvalidArgument, format!("the timeout is too long; give at most {} ms", u32::MAX))
        })?;
        let opened = inner.open_producer(transactional_id, timeout_ms, current)?;
        opened.map(|(identity, _)| identity).ticket(inner).wait()
    }

    /// Waits until everything up to a frame survives a power cut. `Appended::lsn` and `Committed::lsn` name frames.
    ///
    /// # Errors
    /// `InvalidArgument` for a frame that does not exist yet; what a flush answers.
    pub fn wait_durable(&self, lsn: Lsn) -> Result<()> {
        self.wait_durable_ticket(lsn)?.wait()
    }

    /// A ticket that is done when everything up to a frame survives a power cut.
    ///
    /// # Errors
    /// `InvalidArgument` for a frame that does not exist yet. From the ticket: what a flush answers.
    pub fn wait_durable_ticket(&self, lsn: Lsn) -> Result<Ticket<()>> {
        let inner = &self.open.inner;
        inner.wait_durable(lsn).map(|promise| promise.ticket(inner))
    }

    /// Closes all batches that producers are gathering and flushes: everything sent before the call survives a power
    /// cut when it returns.
    ///
    /// # Errors
    /// `ReadOnly`, `Closed`, `Forked`; what a flush answers. What a batch was refused for its own ticket says, or the
    /// flush of its producer.
    pub fn flush(&self) -> Result<()> {
        self.flush_ticket()?.wait()
    }

    /// Closes all batches that producers are gathering; the ticket is done when everything sent before the call
    /// survives a power cut.
    ///
    /// # Errors
    /// As `flush`.
    pub fn flush_ticket(&self) -> Result<Ticket<()>> {
        let inner = &self.open.inner;
        inner.flush().map(|promise| promise.ticket(inner))
    }

    /// True if an append or commit of so many bytes would not wait for room right now: for event loops, which come
    /// again later if it would. In a forked child, whose writes answer `Forked`, it means nothing.
    pub fn has_room(&self, bytes: usize) -> bool {
        self.open.inner.has_room(bytes)
    }

    /// Does the background work that is due, for engines opened with `threads(false)`: batches whose linger has passed,
    /// flushes, callbacks. Harmless otherwise.
    pub fn drive(&self) -> Result<()> {
        self.open.inner.drive().map(|_| ())
    }

    /// What opening found and did: a tail cut, frames copied, damage. Nothing is cut or lost without a word here.
    pub fn opening(&self) -> Opening {
        self.open.inner.opening()
    }

    /// How the log stands and what it has done since it was opened: appends, flushes and how long they took,
    /// transactions, how far consumers are behind, the disk. A snapshot that takes microseconds: it waits for nobody,
    /// reads nothing from the disk, and answers when the log is closed too. In a forked child it knows neither the disk
    /// nor consumers.
    pub fn metrics(&self) -> Metrics {
        self.open.inner.metrics()
    }

    /// The state, encoded, but for what each life changes by beginning. For tests.
    #[cfg(feature = "sim")]
    #[doc(hidden)]
    pub fn digest(&self) -> Vec<u8> {
        self.open.inner.digest()
    }

    /// Closes the log for all handles: what was sent is flushed, a checkpoint is written, the lock is given back. Every
    /// later call answers `Closed`; a second close does nothing.
    ///
    /// # Errors
    /// What a write or flush answers. The log is closed in any case, and what was acknowledged is kept.
    pub fn close(&self) -> Result<()> {
        self.open.inner.close()
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").finish_non_exhaustive()
    }
}
