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
use crate::types::{
    Durability, GroupMetadata, Identity, Lsn, Offsets, OpenTransaction, Outcome, TopicInfo, TopicOptions,
    TransactionNumber, TransactionStatus,
};

/// An open log. Clones are handles to the same one; it may be used from any number of threads.
///
/// Every call that waits for the disk has a twin that answers a [`Ticket`] instead, for event loops: its change has its
/// place in the log and takes effect whatever becomes of the ticket, which says when it is safe, or, for a refusal,
/// that it is final. Where the engine's buffers are full the twin waits for room, as a send does.
///
/// The log is closed by `close`, for all clones and for every producer, consumer and partition made from it, or when
/// the last of these handles is dropped. After a fork the child's handles answer `Forked`; it may open other logs at
/// once, and this one when its parent has closed it.
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
    pub(super) open: Arc<Open>,
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
    /// does. With a transactional id the epoch is raised, older holders are fenced, and a transaction that one of them
    /// left open is aborted, durably, before this returns; `timeout` is how long a transaction may be open, from 2^31 -
    /// 1 ms on for ever. With `current` it is given only if nobody else raised the epoch since (KIP-360); a call that
    /// is repeated because its answer was lost gets the same answer. Without a transactional id nothing runs out, and
    /// `timeout` says nothing, below 2^32 milliseconds.
    ///
    /// When the epochs of an id are used up, at 32,766, the answer has a new producer id.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// use std::time::Duration;
    /// use oncelog::{Batch, Engine, GroupMetadata, Offsets, Outcome, Record, TopicOptions, TopicPartition};
    /// let engine = Engine::open(dir.path())?;
    /// engine.create_topic("orders", TopicOptions::new())?;
    /// let identity = engine.init_producer(Some("shop"), Duration::from_secs(60), None)?;
    ///
    /// let mut batch = Batch::builder();
    /// batch.push(&Record::new(b"42"), 1_700_000_000_000)?;
    /// batch.producer(identity, 0).transactional(true); // sequences begin at 0 in each transaction
    /// let orders = engine.partition("orders", 0)?;
    /// orders.append(&batch.build()?)?.wait()?; // begins the transaction
    /// let read = Offsets::from([(TopicPartition::new("orders", 0), 1.into())]);
    /// engine.send_offsets(identity, &GroupMetadata { group: "billing".into() }, &read)?;
    /// let next = engine.end_transaction(identity, Outcome::Commit)?;
    /// assert_eq!((next.producer_id, next.epoch), (identity.producer_id, identity.epoch + 1));
    /// # Ok::<(), oncelog::Error>(())
    /// ```
    ///
    /// # Errors
    /// `ProducerFenced` if `current` is not the newest holder; `InvalidArgument` for an empty id or, with an id, a
    /// timeout below a millisecond or past `EngineOptions::transaction_timeout_max` (Kafka's
    /// INVALID_TRANSACTION_TIMEOUT), whatever `current` is, and nobody is fenced then; what a write answers.
    pub fn init_producer(
        &self,
        transactional_id: Option<&str>,
        timeout: Duration,
        current: Option<Identity>,
    ) -> Result<Identity> {
        self.init_producer_ticket(transactional_id, timeout, current)?.wait()
    }

    /// An identity for raw batches; the ticket is done when it may be used.
    ///
    /// # Errors
    /// As `init_producer`; `ProducerFenced` comes from the ticket.
    pub fn init_producer_ticket(
        &self,
        transactional_id: Option<&str>,
        timeout: Duration,
        current: Option<Identity>,
    ) -> Result<Ticket<Identity>> {
        let inner = &self.open.inner;
        inner.check_open()?;
        let timeout_ms = match transactional_id {
            Some(_) => inner.check_timeout(timeout)?,
            None => u32::try_from(timeout.as_millis()).map_err(|_| {
                let text = format!("the timeout is too long; give at most {} ms", u32::MAX);
                Error::new(ErrorKind::InvalidArgument, text)
            })?,
        };
        let opened = inner.open_producer(transactional_id, timeout_ms, current)?;
        Ok(opened.map(|(identity, _)| identity).ticket(inner))
    }

    /// Adds offsets to the transaction of a raw identity: they are committed if it commits, and until it is decided
    /// `Consumer::committed` answers `UnstableOffsets`. The transaction begins with them if none is open. Later offsets
    /// take the place of earlier ones. Waits until they have met the strongest level of the engine and of their topics.
    ///
    /// # Errors
    /// `StaleEpoch` if a newer identity took over; `UnknownTransactionalId` for an identity without a transactional
    /// id; `InvalidTransactionState` while a `TransactionalProducer` has a transaction open under the id;
    /// `UnknownTopicOrPartition`; `InvalidArgument` for an offset out of range; `LimitExceeded` for metadata that is
    /// too long, or past `limits::TRANSACTION_OFFSETS`; what a write answers.
    pub fn send_offsets(&self, identity: Identity, group: &GroupMetadata, offsets: &Offsets) -> Result<()> {
        self.send_offsets_ticket(identity, group, offsets)?.wait()
    }

    /// Adds offsets to the transaction of a raw identity; the ticket is done when they have met their level.
    ///
    /// # Errors
    /// As `send_offsets`. What depends on the state of the log comes from the ticket.
    pub fn send_offsets_ticket(
        &self,
        identity: Identity,
        group: &GroupMetadata,
        offsets: &Offsets,
    ) -> Result<Ticket<()>> {
        let inner = &self.open.inner;
        inner.send_offsets(identity, group, offsets).map(|promise| promise.ticket(inner))
    }

    /// Ends the transaction of a raw identity and raises its epoch (KIP-890): the answer is the identity of its next
    /// transaction, whose sequences begin at 0 again. Waits until the decision has met the strongest level of the
    /// engine and of the topics it reached, with records or with offsets. A call that is repeated because its answer
    /// was lost gets the same answer. An abort without a transaction only raises the epoch. When the epochs are used
    /// up, the answer is a new producer id, and survives a power cut at every level.
    ///
    /// # Errors
    /// `ProducerFenced` if a newer identity took over; `InvalidTransactionState` for a commit without a transaction,
    /// and for one whose transaction was aborted meanwhile, by its timeout or by `abort_transaction`;
    /// `UnknownTransactionalId` for an identity without a transactional id; what a write answers.
    pub fn end_transaction(&self, identity: Identity, outcome: Outcome) -> Result<Identity> {
        self.end_transaction_ticket(identity, outcome)?.wait()
    }

    /// Ends the transaction of a raw identity; the ticket is done when the decision has met its level.
    ///
    /// # Errors
    /// As `end_transaction`. What depends on the state of the log comes from the ticket.
    pub fn end_transaction_ticket(&self, identity: Identity, outcome: Outcome) -> Result<Ticket<Identity>> {
        let inner = &self.open.inner;
        inner.end_transaction(identity, outcome).map(|promise| promise.ticket(inner))
    }

    /// Aborts a transaction by its number, whoever owns it: one that holds the stable offset back and whose owner does
    /// not answer. Its owner hears of it with the next call: `TransactionAborted`, or, for a raw identity, that the
    /// epoch was raised. One that was aborted before is as good.
    ///
    /// # Errors
    /// `InvalidTransactionState` if it is not open: it was committed, is committing, or was never begun; what a write
    /// answers.
    pub fn abort_transaction(&self, number: TransactionNumber) -> Result<()> {
        self.abort_transaction_ticket(number)?.wait()
    }

    /// Aborts a transaction by its number; the ticket is done when that has met its level.
    ///
    /// # Errors
    /// As `abort_transaction`; `InvalidTransactionState` comes from the ticket.
    pub fn abort_transaction_ticket(&self, number: TransactionNumber) -> Result<Ticket<()>> {
        let inner = &self.open.inner;
        inner.abort_transaction(number).map(|promise| promise.ticket(inner))
    }

    /// How a transaction stands: what an `Indeterminate` commit left open is known once the log is opened again. The
    /// last 64 decisions of each transactional id are kept. What is answered survives a power cut.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// use oncelog::{Engine, ProducerOptions, Record, TopicOptions, TransactionStatus};
    /// let engine = Engine::open(dir.path())?;
    /// engine.create_topic("orders", TopicOptions::new())?;
    /// let producer = engine.transactional_producer("shop", ProducerOptions::new())?;
    /// let mut order = producer.begin_transaction()?;
    /// let number = order.number();
    /// order.send("orders", Record::new(b"42"))?;
    /// assert_eq!(engine.transaction_status(number)?, TransactionStatus::Open);
    /// order.commit()?;
    /// assert_eq!(engine.transaction_status(number)?, TransactionStatus::Committed);
    /// # Ok::<(), oncelog::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Closed`, `Forked`; what a flush answers.
    pub fn transaction_status(&self, number: TransactionNumber) -> Result<TransactionStatus> {
        self.transaction_status_ticket(number)?.wait()
    }

    /// How a transaction stands; the ticket is done when that survives a power cut.
    ///
    /// # Errors
    /// `Closed`, `Forked`. From the ticket: what a flush answers.
    pub fn transaction_status_ticket(&self, number: TransactionNumber) -> Result<Ticket<TransactionStatus>> {
        let inner = &self.open.inner;
        Ok(match inner.transaction_status(number)? {
            (status, Some(lsn)) => Ticket::placed(inner.waits(), lsn, Durability::Disk, status),
            (status, None) => Ticket::ready(inner.waits(), Ok(status)),
        })
    }

    /// The transactions that have something in the log and are not decided, in the order in which they began: who holds
    /// the stable offset of which partitions back, and since when. One that is memory only holds nothing back and is
    /// not among them.
    ///
    /// # Errors
    /// `Closed`, `Forked`.
    pub fn describe_transactions(&self) -> Result<Vec<OpenTransaction>> {
        self.open.inner.describe_transactions()
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

    /// The same, but closes only what needs no waiting for room: `None` if something is left. Hidden, since it is for
    /// bindings whose one thread must never wait: they have it closed on another one and come again.
    #[doc(hidden)]
    pub fn try_flush(&self) -> Result<Option<Ticket<()>>> {
        let inner = &self.open.inner;
        Ok(inner.flush_now()?.map(|promise| promise.ticket(inner)))
    }

    /// Does the background work that is due, for engines opened with `threads(false)`: batches whose linger has passed,
    /// flushes, callbacks. Harmless otherwise.
    pub fn drive(&self) -> Result<()> {
        self.open.inner.drive().map(|_| ())
    }

    /// Closes the log for all handles: what was sent is flushed, a checkpoint is written, the files are closed, the
    /// lock is given back. Records that were read stay valid, and keep what they lie in mapped. Every later call
    /// answers `Closed`; a second close does nothing.
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
