//! One partition: append batches, read records. The log itself, as plain as it gets.

use std::sync::Arc;

use super::engine::Open;
use super::options::{AppendOptions, ReadOptions};
use crate::engine::{Judged, Refused};
use crate::error::{Error, ErrorKind, Result};
use crate::format::batch::{Batch, BatchBuilder};
use crate::io::clock::wall_ms;
use crate::journal::{Entry, Ticket};
use crate::partition::{self, Most, Records};
use crate::types::{ActiveProducer, Appended, Bounds, Isolation, Offset, Timestamp};

impl BatchBuilder {
    /// The time for records that carry none, as producers read it: milliseconds since 1970; -1, no time at all, where a
    /// clock stands before that. One reading does for all records of a batch.
    ///
    /// ```
    /// use oncelog::{Batch, BatchBuilder, Record};
    /// let mut batch = Batch::builder();
    /// let now = BatchBuilder::now();
    /// batch.push(&Record::new(b"one"), now)?;
    /// batch.push(&Record::new(b"two"), now)?;
    /// assert_eq!(batch.max_timestamp(), now);
    /// # Ok::<(), oncelog::Error>(())
    /// ```
    pub fn now() -> Timestamp {
        wall_ms().max(-1)
    }
}

/// A handle to one partition. Send and Sync; clones are handles to the same one.
///
/// ```
/// # let dir = tempfile::tempdir().unwrap();
/// use oncelog::{Batch, Engine, ReadOptions, Record, TopicOptions};
/// let engine = Engine::open(dir.path())?;
/// engine.create_topic("events", TopicOptions::new())?;
/// let events = engine.partition("events", 0)?;
///
/// let mut batch = Batch::builder();
/// batch.push(&Record::new(b"one"), 1_700_000_000_000)?;
/// batch.push(&Record::new(b"two"), 1_700_000_000_000)?;
/// let appended = events.append(&batch.build()?)?.wait()?;
/// assert_eq!((appended.first, appended.last), (0, 1));
///
/// let records = events.read(1, ReadOptions::new())?;
/// let values = records.iter().map(|record| Ok(record?.value())).collect::<oncelog::Result<Vec<_>>>()?;
/// assert_eq!(values, [Some(&b"two"[..])]);
/// # Ok::<(), oncelog::Error>(())
/// ```
#[derive(Clone)]
pub struct Partition {
    open: Arc<Open>,
    partition: Arc<partition::Partition>,
}

impl Partition {
    pub(super) fn new(open: Arc<Open>, partition: Arc<partition::Partition>) -> Self {
        Self { open, partition }
    }

    /// Appends a batch; its ticket is done when the batch has met the topic's level. A batch with a raw producer's
    /// identity that is here already is answered as a duplicate, not written again. A transactional one begins the
    /// identity's transaction if none is open; see `Engine::end_transaction`. Where several threads each wait for what
    /// they append, one of them may wait here for its turn to write, half a millisecond or so.
    ///
    /// # Errors
    /// Nothing was written: `OutOfOrderSequence`, `UnknownProducer`, `StaleEpoch` for a raw producer's batch that does
    /// not follow; `InvalidTransactionState` for a transactional batch of an identity without a transactional id, or
    /// one that is not transactional where the identity's transaction has records; `InvalidRecord` for a batch that
    /// came with the append time bit where the topic sets it; `LimitExceeded` if too many transactions are open or
    /// this one reaches too many partitions; `UnknownTopicOrPartition` once the topic is deleted; `Full`, `ReadOnly`,
    /// `Poisoned`, `Closed`, `Forked`. From the ticket: `Indeterminate` if the write or flush failed.
    pub fn append(&self, batch: &Batch) -> Result<Ticket<Appended>> {
        self.append_with(batch, AppendOptions::default())
    }

    /// Appends a batch with a level of its own: it changes when the ticket is done, not when readers see the records.
    ///
    /// # Errors
    /// As `append`.
    #[inline]
    pub fn append_with(&self, batch: &Batch, options: AppendOptions) -> Result<Ticket<Appended>> {
        self.place(batch, &options)?.map_err(|refused| self.open.inner.await_refusal(&refused))
    }

    /// The same, but what the log refuses the batch for comes from the ticket once it may be told. Hidden, since it is
    /// for bindings whose one thread must not wait for that; everybody else wants to be told by the call.
    #[doc(hidden)]
    pub fn append_ticket(&self, batch: &Batch, options: AppendOptions) -> Result<Ticket<Appended>> {
        match self.place(batch, &options)? {
            Ok(ticket) => Ok(ticket),
            Err(Refused { lsn: 0, error }) => Err(error),
            Err(refused) => Ok(refused.promise().ticket(&self.open.inner)),
        }
    }

    #[inline]
    fn place(&self, batch: &Batch, options: &AppendOptions) -> Result<Judged<Ticket<Appended>>> {
        let inner = &self.open.inner;
        inner.check_open()?;
        if batch.claims_append_time() && self.partition.stamps() {
            let text = "append time is not the sender's to set; clear the LogAppendTime bit";
            let values = format!("topic={} partition={}", self.topic(), self.number());
            return Err(Error::new(ErrorKind::InvalidRecord, format!("{text}, {values}")));
        }
        // Looked at where it lies: a copy waits for what was just written of it.
        match inner.append(&self.partition, batch.header(), batch.framed(), options.durability, Entry::InTurn) {
            Ok(ref placed) => {
                let appended = Appended {
                    partition: self.partition.number(),
                    first: placed.first,
                    last: placed.last,
                    timestamp: placed.timestamp,
                    duplicate: placed.duplicate,
                    lsn: placed.lsn,
                    incarnation: placed.incarnation,
                };
                Ok(Ok(Ticket::placed(inner.waits(), placed.lsn, placed.level, appended)))
            }
            Err(refused) => Ok(Err(refused)),
        }
    }

    /// Reads from an offset on, up to about `max_bytes`: what is visible now, nothing if that is nothing yet. Records
    /// become visible when they have met the topic's level. With `Isolation::ReadCommitted`, the default, a read ends
    /// at the last stable offset and leaves out what was aborted. Go on with `Records::next_offset`, which steps over
    /// that too, or, over lives of the log, with `Records::next_place`.
    ///
    /// # Errors
    /// `Truncated` if a crash took records that `ReadOptions::from` stands behind: others may have their offsets;
    /// `OffsetOutOfRange` below the start or above the end; `UnknownTopicOrPartition` once the topic is deleted; `Io`;
    /// `Closed`, `Forked`. Damaged records are reported by the `Records`, where they lie.
    pub fn read(&self, offset: Offset, options: ReadOptions) -> Result<Records> {
        self.open.inner.check_open()?;
        if let Some(place) = &options.place {
            self.open.inner.check_place(&self.partition, place, offset)?;
        }
        self.open.inner.read(&self.partition, offset, options.isolation, Most::bytes(options.max_bytes), None)
    }

    /// The offset of the first record, by offsets, whose timestamp is `timestamp` or later; `None` if there is none
    /// yet. As Kafka's ListOffsets (KIP-79) under read_committed: only what lies below the last stable offset counts,
    /// aborted or not.
    /// Footers say which segments and which stretches of 32 KiB come into question, so little is decoded. Where
    /// timestamps do not follow the offsets, records behind the one found may be older.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// use oncelog::{Engine, ProducerOptions, Record, TopicOptions};
    /// let engine = Engine::open(dir.path())?;
    /// engine.create_topic("events", TopicOptions::new())?;
    /// let producer = engine.producer(ProducerOptions::new())?;
    /// for hour in 0..3 {
    ///     producer.send("events", Record::new(b"tick").timestamp(hour * 3_600_000))?.detach();
    /// }
    /// engine.flush()?;
    /// let events = engine.partition("events", 0)?;
    /// assert_eq!(events.offset_at(3_000_000)?, Some(1));
    /// assert_eq!(events.offset_at(9_000_000)?, None);
    /// assert_eq!(events.max_timestamp()?, Some((2, 7_200_000)));
    /// # Ok::<(), oncelog::Error>(())
    /// ```
    ///
    /// # Errors
    /// `InvalidArgument` for a negative timestamp; `Corrupt` if records are damaged that come into question; as `read`.
    pub fn offset_at(&self, timestamp: Timestamp) -> Result<Option<Offset>> {
        self.offset_at_with(timestamp, Isolation::ReadCommitted)
    }

    /// The same for readers of that isolation: at read_uncommitted, as in Kafka, what is undecided counts too, up to
    /// the end.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// use oncelog::{Engine, Isolation, ProducerOptions, Record, TopicOptions};
    /// let engine = Engine::open(dir.path())?;
    /// engine.create_topic("events", TopicOptions::new())?;
    /// let events = engine.partition("events", 0)?;
    /// let producer = engine.transactional_producer("p", ProducerOptions::new().transaction_buffer(0))?;
    /// let mut transaction = producer.begin_transaction()?;
    /// transaction.send("events", Record::new(b"in the log, not decided").timestamp(5))?;
    /// engine.flush()?;
    /// assert_eq!(events.offset_at(5)?, None);
    /// assert_eq!(events.offset_at_with(5, Isolation::ReadUncommitted)?, Some(0));
    /// assert_eq!(events.max_timestamp_with(Isolation::ReadUncommitted)?, Some((0, 5)));
    /// # Ok::<(), oncelog::Error>(())
    /// ```
    ///
    /// # Errors
    /// As `offset_at`.
    pub fn offset_at_with(&self, timestamp: Timestamp, isolation: Isolation) -> Result<Option<Offset>> {
        if timestamp < 0 {
            let text = "a time to look up is in milliseconds since 1970; give 0 for the first record that has one";
            return Err(Error::new(ErrorKind::InvalidArgument, format!("{text}, timestamp={timestamp}")));
        }
        self.open.inner.offset_at(&self.partition, timestamp, isolation)
    }

    /// The greatest timestamp there is, in milliseconds, and the offset of the first record that has it; `None` while
    /// no record has one. As Kafka's ListOffsets for the greatest timestamp (KIP-734), bounded as `offset_at`.
    ///
    /// # Errors
    /// As `offset_at`.
    pub fn max_timestamp(&self) -> Result<Option<(Offset, Timestamp)>> {
        self.max_timestamp_with(Isolation::ReadCommitted)
    }

    /// The same for readers of that isolation, bounded as `offset_at_with`.
    ///
    /// # Errors
    /// As `offset_at`.
    pub fn max_timestamp_with(&self, isolation: Isolation) -> Result<Option<(Offset, Timestamp)>> {
        self.open.inner.max_timestamp(&self.partition, isolation)
    }

    /// The producers that are active here, in the order of their ids: whoever's last batches are remembered,
    /// and whoever has a transaction open here. What Kafka's DescribeProducers (KIP-664) answers and
    /// `kafka-transactions.sh describe-producers` shows, to find who holds the last stable offset back.
    ///
    /// A raw identity without a transactional id is forgotten after a day without a batch, counted anew from each
    /// opening; one with a transactional id when that is deleted or gets another producer id. A `Producer` is never
    /// among them, and a `TransactionalProducer` only while a transaction of its streams: nobody repeats their batches.
    /// The answer is of this moment, whether or not what it speaks of is durable or visible yet; each producer is as it
    /// was at one moment of the call. Where there are many, appends are held up for a few hundred of them at a time.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// use std::time::Duration;
    /// use oncelog::{Batch, Engine, Outcome, Record, TopicOptions};
    /// let engine = Engine::open(dir.path())?;
    /// engine.create_topic("events", TopicOptions::new())?;
    /// let events = engine.partition("events", 0)?;
    /// let identity = engine.init_producer(Some("broker-7"), Duration::from_secs(60), None)?;
    /// let mut batch = Batch::builder();
    /// batch.push(&Record::new(b"one"), 1_700_000_000_000)?;
    /// batch.push(&Record::new(b"two"), 1_700_000_000_005)?;
    /// batch.producer(identity, 0).transactional(true);
    /// events.append(&batch.build()?)?.wait()?;
    ///
    /// let active = events.producers()?[0];
    /// assert_eq!((active.identity, active.last_sequence), (identity, Some(1)));
    /// assert_eq!(active.last_timestamp, Some(1_700_000_000_005));
    /// assert_eq!(active.transaction_start_offset, Some(0));
    /// engine.end_transaction(identity, Outcome::Commit)?;
    /// assert_eq!(events.producers()?[0].transaction_start_offset, None);
    /// # Ok::<(), oncelog::Error>(())
    /// ```
    ///
    /// # Errors
    /// `UnknownTopicOrPartition` once the topic is deleted; `Closed`, `Forked`.
    pub fn producers(&self) -> Result<Vec<ActiveProducer>> {
        self.open.inner.active_producers(&self.partition)
    }

    /// The first offset, the last stable one and the end, as readers see them now; in a forked child as they were when
    /// it was forked.
    pub fn bounds(&self) -> Bounds {
        self.partition.bounds()
    }
    /// The topic's name.
    pub fn topic(&self) -> &str {
        self.partition.topic()
    }
    /// The partition's number in its topic.
    pub fn number(&self) -> u32 {
        self.partition.number()
    }
}

impl std::fmt::Debug for Partition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Partition({}-{})", self.topic(), self.number())
    }
}
