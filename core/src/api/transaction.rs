//! A transaction: memory until it commits, then one frame; past its buffer it streams.

mod streaming;

use std::borrow::Borrow;
use std::iter;
use std::sync::Arc;

use super::engine::Open;
use super::gather::Bytes;
use super::reader::Bound;
use super::transactional::{Buffers, Holder};
use crate::engine::{Gathered, GivenOffsets, Judged, PlacedGroup, Refused};
use crate::error::{Error, ErrorKind, Result};
use crate::format::decision::Ended;
use crate::format::record::Record;
use crate::journal::{Entry, Ticket};
use crate::limits::{BATCH_MAX, TRANSACTION_BUFFER};
use crate::partition::Partition;
use crate::types::{
    Committed, GroupMetadata, OffsetAndMetadata, Offsets, Timestamp, TopicPartition, TransactionNumber,
};

/// Records for any number of topics and offsets of any number of groups that become visible together or not at all.
///
/// Leaving its scope aborts it. It owns what it needs and may be sent to another thread.
///
/// Up to its buffer (`ProducerOptions::transaction_buffer`, 1 MiB) it is memory: its records get their offsets at the
/// commit, so a plain send made meanwhile may come first, and an abort leaves nothing. Past it, it *streams*, as
/// Kafka's transactions do: its records go to the log as they come. Readers at read_uncommitted see them at once; the
/// last stable offset of their partitions, where read_committed ends, waits for the decision; an abort hides them.
/// `Engine::describe_transactions` names the transactions that hold it back. One that streams for longer than
/// `ProducerOptions::transaction_timeout` is aborted, and answers `TransactionTimedOut` from then on.
///
/// ```
/// # let dir = tempfile::tempdir().unwrap();
/// use oncelog::{Engine, Isolation, ProducerOptions, ReadOptions, Record, TopicOptions};
/// let engine = Engine::open(dir.path())?;
/// engine.create_topic("events", TopicOptions::new())?;
/// let events = engine.partition("events", 0)?;
/// let options = ProducerOptions::new().transaction_buffer(64 << 10);
/// let producer = engine.transactional_producer("bulk", options)?;
///
/// let mut bulk = producer.begin_transaction()?;
/// for _ in 0..100 {
///     bulk.send("events", Record::new(&[0; 1000]))?; // 100 KB: more than the buffer holds
/// }
/// assert_eq!(engine.describe_transactions()?[0].number, bulk.number());
/// assert_eq!(events.bounds().stable, 0);
/// bulk.commit()?;
/// assert_eq!(events.bounds().stable, 100);
/// # Ok::<(), oncelog::Error>(())
/// ```
#[must_use = "a transaction that is dropped is aborted; commit it"]
pub struct Transaction {
    open: Arc<Open>,
    holder: Arc<Holder>,
    number: TransactionNumber,
    buffers: Buffers,
    /// Memory of `offsets`.
    offsets_bytes: usize,
    offsets: GivenOffsets,
    position: Option<u64>,
    bound: Option<Bound>,
    /// Memory taken for the buffer, bytes.
    taken: usize,
    /// Memory taken of what is kept for offsets, bytes.
    taken_for_offsets: usize,
    /// Something of it lies in the log, not decided.
    streams: bool,
    /// What the log refused it for, until that may be given to somebody who does not wait.
    refused: Option<Refused>,
    ended: bool,
}

/// Up to so many bytes a transaction's offsets come out of memory that is kept for offsets: who read records could not
/// say so otherwise while the records of others have all there is.
const FEW_OFFSETS: usize = 64 << 10;

/// What a call may do for a record that takes more than memory.
#[derive(Clone, Copy, PartialEq, Eq)]
enum May {
    /// Nothing.
    Gather,
    /// Go to the log where there is room.
    Stream,
    /// Wait for the log.
    Wait,
}

/// A record that does not fit what memory is taken, and how many bytes there would be with it.
struct Past<R> {
    partition: Arc<Partition>,
    record: R,
    timestamp: Timestamp,
    needed: Bytes,
}

impl Transaction {
    pub(super) fn new(
        open: Arc<Open>,
        holder: Arc<Holder>,
        number: TransactionNumber,
        buffers: Buffers,
        bound: Option<Bound>,
    ) -> Self {
        open.inner.transaction_begun();
        Self {
            open,
            holder,
            number,
            buffers,
            offsets_bytes: 0,
            offsets: GivenOffsets::default(),
            position: None,
            bound,
            taken: 0,
            taken_for_offsets: 0,
            streams: false,
            refused: None,
            ended: false,
        }
    }

    /// The transaction's number: it names this transaction for ever.
    pub fn number(&self) -> TransactionNumber {
        self.number
    }

    /// Adds a record. Nobody at read_committed sees it before `commit`. If the transaction is past its buffer, or
    /// there is no memory left for more, what it holds goes to the log now; that may wait for room.
    ///
    /// # Errors
    /// The transaction is as it was and can go on or be aborted: `UnknownTopicOrPartition`, unless a topic that it has
    /// records for is deleted, which leaves the abort alone; `RecordTooLarge`; `InvalidRecord`; `InvalidArgument` for a
    /// record with a position; `Full`, if it streams. It can only be aborted, and run again:
    /// `TransactionTimedOut`, `TransactionAborted` (by `Engine::abort_transaction`); `LimitExceeded` if it streams and
    /// reaches more than `limits::TRANSACTION_PARTITIONS`, or too many transactions stream. `ProducerFenced`;
    /// `Poisoned`, `Closed`, `Forked`.
    pub fn send(&mut self, topic: &str, record: Record<'_>) -> Result<()> {
        self.add(topic, iter::once(record), May::Wait)
    }

    /// Adds records in order, those without a time with that of the call. The topic is looked up once, and once more
    /// where memory is taken.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// use oncelog::{Engine, ProducerOptions, Record, TopicOptions};
    /// let engine = Engine::open(dir.path())?;
    /// engine.create_topic("legs", TopicOptions::new())?;
    /// let producer = engine.transactional_producer("trips", ProducerOptions::new())?;
    /// let mut trip = producer.begin_transaction()?;
    /// trip.send_many("legs", ["Bern", "Basel", "Bonn"].map(|city| Record::new(city.as_bytes())))?;
    /// trip.commit()?;
    /// assert_eq!(engine.partition("legs", 0)?.bounds().stable, 3);
    /// # Ok::<(), oncelog::Error>(())
    /// ```
    ///
    /// # Errors
    /// As `send`. The records before the refused one are in the transaction, those behind it are not.
    pub fn send_many<'a>(&mut self, topic: &str, records: impl IntoIterator<Item: Borrow<Record<'a>>>) -> Result<()> {
        self.add(topic, records.into_iter(), May::Wait)
    }

    /// Adds records; answers `Busy` at the first that takes more than it `may`.
    #[inline]
    fn add<'a>(&mut self, topic: &str, mut records: impl Iterator<Item: Borrow<Record<'a>>>, may: May) -> Result<()> {
        while let Some(past) = self.gather(topic, &mut records)? {
            let Past { partition, record, timestamp, needed } = past;
            self.send_past(&partition, record.borrow(), timestamp, needed, may)?;
        }
        Ok(())
    }

    /// Adds records up to the first for which memory must be taken.
    #[inline]
    fn gather<'a, R: Borrow<Record<'a>>>(
        &mut self,
        topic: &str,
        records: &mut impl Iterator<Item = R>,
    ) -> Result<Option<Past<R>>> {
        let inner = &self.open.inner;
        inner.check_writable()?;
        self.holder.check_doom(self.number)?;
        let machine = inner.machine();
        let Buffers { gather, router } = &mut self.buffers;
        let mut looked = router.topic(inner, topic);
        let all = self.taken.min(self.holder.buffer).saturating_sub(self.offsets_bytes);
        let mut now = None;
        for given in records {
            let record = given.borrow();
            if let Some(position) = record.position {
                let text = "a transaction has one position as a whole; send that, and leave the record's out";
                return Err(Error::new(ErrorKind::InvalidArgument, format!("{text}, position={position}")));
            }
            let looked = looked.as_mut().map_err(|error| error.clone())?;
            let partition = looked.choose(record, &*machine.random, |instance| gather.holds(instance))?;
            let own = record.timestamp;
            let timestamp = own.unwrap_or_else(|| *now.get_or_insert_with(|| machine.clock.wall_ms().max(-1)));
            if let Err(needed) = gather.try_push(partition, record, timestamp, Bytes { own: BATCH_MAX, all })? {
                return Ok(Some(Past { partition: partition.clone(), record: given, timestamp, needed }));
            }
        }
        Ok(None)
    }

    /// Adds a record if that takes nothing but memory; false if what the transaction holds would have to go to the log
    /// first, which may wait for room: nothing happened then. For callers that hold what others wait for, as an
    /// interpreter's lock: they let go of it and call `send`.
    ///
    /// # Errors
    /// As `send`.
    pub fn try_send(&mut self, topic: &str, record: Record<'_>) -> Result<bool> {
        self.add_now(topic, record, May::Gather)
    }

    /// Adds a record if that takes no more than it `may`.
    #[inline]
    fn add_now(&mut self, topic: &str, record: Record<'_>, may: May) -> Result<bool> {
        match self.add(topic, iter::once(record), may) {
            Err(error) if error.kind() == ErrorKind::Busy => Ok(false),
            sent => sent.map(|()| true),
        }
    }

    /// Commits offsets of a group together with the records: the offset to read next, per partition. Later calls
    /// replace what earlier ones said of the same partition.
    ///
    /// # Errors
    /// The transaction is as it was: `UnknownTopicOrPartition`; `InvalidArgument` for an offset out of range, or if the
    /// group is that of the bound consumer, whose positions the commit sends; `LimitExceeded` for metadata that is too
    /// long, or if the offsets alone would outgrow `limits::TRANSACTION_BUFFER`; `Busy` while other transactions have
    /// all of `EngineOptions::transaction_memory`, and for up to 64 KiB of them what is kept for offsets besides.
    pub fn send_offsets(&mut self, group: &GroupMetadata, offsets: &Offsets) -> Result<()> {
        let inner = &self.open.inner;
        inner.check_writable()?;
        if self.bound.as_ref().is_some_and(|bound| bound.group() == group.group) {
            let text = "the commit sends the positions of the bound consumer; leave those of its group out";
            return Err(Error::new(ErrorKind::InvalidArgument, format!("{text}, group={}", group.group)));
        }
        let topics = inner.check_offsets(&group.group, offsets, &self.offsets)?;
        let known = self.offsets.of_group(group);
        let cost = |(name, at): (&TopicPartition, &OffsetAndMetadata)| 64 + name.topic.len() + at.metadata.len();
        // What is said again takes the place of what was said before.
        let replaced = offsets.keys().filter_map(|name| known?.get_key_value(name)).map(cost).sum::<usize>();
        let more = offsets.iter().map(cost).sum::<usize>() + if known.is_none() { group.group.len() } else { 0 };
        let bytes = self.offsets_bytes.saturating_add(more).saturating_sub(replaced);
        check_room(bytes)?;
        if !self.take_for_offsets(bytes) && !self.take_memory(self.buffers.gather.bytes() + bytes) {
            let text = "open transactions have all the memory, none is left for these offsets; end some, or open \
                        the log with more";
            return Err(Error::new(ErrorKind::Busy, format!("{text}, bytes={bytes}")));
        }
        self.offsets.add(group, offsets, topics)?;
        self.offsets_bytes = bytes;
        Ok(())
    }

    /// Moves the position of the transactional id with the commit: how far its source has been worked off. See
    /// `TransactionalProducer::position`.
    ///
    /// # Errors
    /// `InvalidArgument` if the position is not above the last one: that part of the source is done, skip it.
    pub fn send_position(&mut self, position: u64) -> Result<()> {
        self.open.inner.check_writable()?;
        if let Some(last) = self.position.max(self.holder.last_position()).filter(|last| position <= *last) {
            let text = "this position was sent already; skip what lies at or below it";
            return Err(Error::new(ErrorKind::InvalidArgument, format!("{text}, position={position} last={last}")));
        }
        self.position = Some(position);
        Ok(())
    }

    /// Commits, and waits until the transaction has met the strongest level of its topics and of the producer's
    /// options. A transaction with nothing in it writes nothing.
    ///
    /// # Errors
    /// `Indeterminate`: a write or flush failed under the commit; opening the log again decides whether it is there,
    /// and `Engine::transaction_status` and the positions that it carried tell. After every other error the
    /// transaction is aborted and the bound consumer back where it stood: run it again. `ProducerFenced`: a newer
    /// holder of the id exists. `TransactionTimedOut`, `TransactionAborted`; `UnknownTopicOrPartition` if a topic was
    /// deleted meanwhile for which it holds records in memory or offsets: records that streamed before are gone with
    /// their topic, and the rest commits; `Full`, `Poisoned`, `Closed`, `Forked`.
    pub fn commit(self) -> Result<Committed> {
        self.commit_ticket()?.wait()
    }

    /// Commits without waiting: the transaction has its place, and the ticket says when it has met its level; or it was
    /// aborted, and the ticket says why once a power cut cannot take that back. The next transaction may begin.
    ///
    /// # Errors
    /// As `commit`. From the ticket comes what waits for the disk: `Indeterminate`, and what the log refuses the
    /// transaction for, as `ProducerFenced` or `TransactionTimedOut`.
    pub fn commit_ticket(mut self) -> Result<Ticket<Committed>> {
        let waits = self.holder.waits.clone();
        match self.place() {
            Ok(None) => Ok(Ticket::ready(waits, Ok(self.committed(None)))),
            Ok(Some(placed)) => {
                let level = self.holder.level_behind(placed.lsn, placed.level);
                Ok(Ticket::placed(waits, placed.lsn, level, self.committed(Some(&placed))))
            }
            Err(Refused { lsn: 0, error }) => Err(error),
            Err(refused) => Ok(refused.promise().ticket(&self.open.inner)),
        }
    }

    /// Aborts, and a bound consumer goes back to where it stood at the begin. The same as dropping it. If it streamed,
    /// a decision goes to the log; nobody need wait for it, for opening the log again would abort it too.
    ///
    /// # Errors
    /// `Closed`, `Forked`. It is aborted in any case.
    pub fn abort(mut self) -> Result<()> {
        self.end(None);
        self.open.inner.check_open()
    }

    fn committed(&self, placed: Option<&PlacedGroup>) -> Committed {
        let incarnation = self.open.inner.incarnation();
        match placed {
            Some(placed) => Committed { number: self.number, lsn: placed.lsn, incarnation: placed.incarnation },
            None => Committed { number: self.number, lsn: 0, incarnation },
        }
    }

    /// Gives the transaction its place in the log, or ends it.
    fn place(&mut self) -> Judged<Option<PlacedGroup>> {
        let in_memory = !self.streams;
        let placed = self.try_place();
        match &placed {
            Ok(placed) => {
                if let (Some(placed), Some(position)) = (placed, self.position) {
                    self.holder.place(position, placed.lsn, placed.level);
                }
                if let Some(bound) = self.bound.take() {
                    bound.committed(placed.as_ref().map(|placed| (placed.lsn, placed.level)));
                }
                if in_memory {
                    self.open.inner.transaction_committed();
                }
                self.over(None);
            }
            Err(refused) => self.end(Some(refused)),
        }
        placed
    }

    fn try_place(&mut self) -> Judged<Option<PlacedGroup>> {
        let inner = &self.open.inner;
        inner.check_open()?;
        if let Some(bound) = &mut self.bound {
            let group = GroupMetadata { group: bound.group().to_owned() };
            let (moved, topics) = bound.moved()?;
            if !moved.is_empty() {
                self.offsets.add(&group, moved, topics)?;
            }
        }
        self.holder.begin_commit(self.number)?;
        if self.streams {
            return self.decide(Ended::Commit, None).map(Some);
        }
        if self.buffers.gather.is_empty() && self.offsets.is_empty() && self.position.is_none() {
            return Ok(None);
        }
        let identity = self.holder.identity;
        let gathered = Gathered {
            producer: (identity.producer_id, identity.epoch),
            number: self.number,
            position: self.position,
            parts: &self.buffers.gather.parts(self.holder.compression),
            offsets: &self.offsets,
            durability: self.holder.durability,
            entry: Entry::InTurn,
        };
        inner.append_gathered(gathered).map(Some)
    }

    /// The transaction is over and was not committed.
    fn end(&mut self, refused: Option<&Refused>) {
        if !self.ended {
            // What lies in the log is told of by the decision, what somebody else has aborted by that one.
            if !self.streams && self.holder.is_last_word(self.number) {
                let error = refused.map(|refused| &refused.error);
                self.open.inner.transaction_failed(self.number, self.holder.identity, error);
            }
            self.over(refused);
        }
    }

    /// The consumer goes back unless the transaction was committed, and the producer may begin the next.
    fn over(&mut self, refused: Option<&Refused>) {
        self.ended = true;
        // In a forked child the locks below may be held by a thread that is not there.
        if self.open.inner.is_forked() {
            return;
        }
        self.abort_streamed(refused.map(|refused| refused.error.kind()));
        self.open.inner.buffered.give(std::mem::take(&mut self.taken));
        self.open.inner.buffered_offsets.give(std::mem::take(&mut self.taken_for_offsets));
        if let Some(bound) = self.bound.take() {
            bound.end(refused.is_none_or(|refused| refused.error.kind() != ErrorKind::Indeterminate));
        }
        self.holder.end(std::mem::take(&mut self.buffers), refused);
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        self.end(None);
    }
}

impl std::fmt::Debug for Transaction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transaction").field("number", &self.number).finish_non_exhaustive()
    }
}

fn check_room(bytes: usize) -> Result<()> {
    if bytes <= TRANSACTION_BUFFER {
        return Ok(());
    }
    let text = "a transaction's offsets stay in memory and are too many; commit them in several transactions";
    Err(Error::new(ErrorKind::LimitExceeded, format!("{text}, bytes={bytes} max={TRANSACTION_BUFFER}")))
}
