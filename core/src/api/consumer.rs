//! The consumer: reads partitions from where a group stands.

use std::sync::Arc;
use std::time::Duration;

use super::engine::Open;
use super::options::ConsumerOptions;
use super::reader::Reader;
use crate::engine::TopicIds;
use crate::error::{Error, ErrorKind, Result};
use crate::io::bugs::{Bug, planted};
use crate::journal::{Promise, Ticket};
use crate::partition::Records;
use crate::types::{Bounds, GroupMetadata, Offset, Offsets, TopicPartition};

/// Reads assigned partitions, each from its position. Clones share one position and one assignment; one thread polls
/// at a time, and the other calls may come from any.
///
/// A partition is read from what the group has committed, else by the start rule of the options. Positions move with
/// `poll`; they are committed by `commit`, or by the transaction that is bound to the consumer.
///
/// ```
/// # let dir = tempfile::tempdir().unwrap();
/// use std::time::Duration;
/// use oncelog::{ConsumerOptions, Engine, ProducerOptions, Record, TopicOptions, TopicPartition};
/// let engine = Engine::open(dir.path())?;
/// engine.create_topic("orders", TopicOptions::new())?;
/// engine.producer(ProducerOptions::new())?.send("orders", Record::new(b"42"))?.wait()?;
///
/// let consumer = engine.consumer(ConsumerOptions::new().group("billing"))?;
/// let orders = TopicPartition::new("orders", 0);
/// consumer.assign(&[orders.clone()])?;
/// for record in &consumer.poll(Duration::from_secs(1))? {
///     assert_eq!(record?.value(), Some(&b"42"[..]));
/// }
/// consumer.commit()?;
/// assert_eq!(consumer.committed(&orders)?, Some(1));
/// assert_eq!(consumer.lag(&orders)?, 0);
/// # Ok::<(), oncelog::Error>(())
/// ```
#[derive(Clone)]
pub struct Consumer {
    open: Arc<Open>,
    reader: Arc<Reader>,
}

impl Consumer {
    pub(super) fn open(open: Arc<Open>, options: ConsumerOptions) -> Result<Self> {
        open.inner.check_open()?;
        if options.max_records == 0 {
            let text = "a poll must be allowed at least one record; allow it more than 0";
            return Err(Error::new(ErrorKind::InvalidArgument, text));
        }
        if let Some(group) = &options.group {
            // The same check that a commit makes, so that it cannot fail for the name later.
            open.inner.check_offsets(group, &Offsets::new(), &Default::default())?;
        }
        let reader = Reader::new(open.inner.clone(), options);
        if reader.options.group.is_some() {
            let lagging: std::sync::Weak<Reader> = Arc::downgrade(&reader);
            open.inner.on_metrics(lagging);
        }
        Ok(Self { open, reader })
    }

    pub(super) fn reader(&self) -> &Arc<Reader> {
        &self.reader
    }

    /// Takes over these partitions, in place of those before. Positions of partitions that stay are kept.
    ///
    /// # Errors
    /// The old assignment stays: `InvalidArgument` for none, or one named twice; `UnknownTopicOrPartition`;
    /// `InvalidState` while an open transaction is bound to the consumer.
    pub fn assign(&self, partitions: &[TopicPartition]) -> Result<()> {
        self.open.inner.check_open()?;
        if partitions.is_empty() {
            let text = "name at least one partition to read; drop the consumer to stop";
            return Err(Error::new(ErrorKind::InvalidArgument, text));
        }
        let mut names: Vec<&TopicPartition> = partitions.iter().collect();
        names.sort_unstable();
        if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            let text = "a partition is named twice; name each once";
            return Err(Error::new(ErrorKind::InvalidArgument, format!("{text}, partition={}", twice[0])));
        }
        let find = |name: &TopicPartition| Ok((name.clone(), self.open.partition(&name.topic, name.partition)?));
        let found = partitions.iter().map(find).collect::<Result<_>>()?;
        self.reader.assign(found)
    }

    /// Reads the next records, up to the bounds of the options, from the assigned partitions in turn. With nothing
    /// there it waits at most `timeout`, woken by the first record, and answers with nothing when the time is up.
    /// Records count as read when they are answered; they are seen when they have met their topic's level. What was
    /// aborted is stepped over, and `Records::next_offsets` lies behind it, of an answer without a record too.
    ///
    /// What the group has committed is settled first, and if that is news, a flush waited for, however short `timeout`
    /// is; see `settle_ticket`. Where a raw transaction is open that will commit an offset of the group, the partition
    /// has nothing to read before the decision, which wakes a waiting poll as a record does (KIP-447); not at
    /// read_uncommitted, nor where a position is sought.
    ///
    /// # Errors
    /// `Busy` while another thread polls; `InvalidState` without an assignment; `OffsetOutOfRange` if the start rule is
    /// `None` and there is no position; `UnknownTopicOrPartition` once a topic is deleted; `Poisoned` once the disk has
    /// failed and nothing is left to read, for nothing will come; `Io`; `Closed`, `Forked`.
    pub fn poll(&self, timeout: Duration) -> Result<Records> {
        let _turn = self.reader.turn()?;
        let mut records = Records::default();
        self.look_within(timeout, || {
            // Before the read: what was shown before the disk failed is given first.
            let sound = self.open.inner.check_disk();
            // Without a record too it says where to read on: what was read may all be aborted.
            records.join(self.reader.collect()?);
            if records.is_empty() {
                sound?;
            }
            Ok((!records.is_empty()).then_some(()))
        })?;
        Ok(records)
    }

    /// Waits, at most `timeout`, until a poll would answer records or an error instead of waiting, as `poll` does, but
    /// moves no position; false when the time is up. Hidden, since it is for bindings that keep others away from the
    /// positions while they poll: they wait here before, with nobody kept away.
    ///
    /// # Errors
    /// As `poll`; what a read meets the poll answers.
    #[doc(hidden)]
    pub fn ready_within(&self, timeout: Duration) -> Result<bool> {
        let _turn = self.reader.turn()?;
        let ready = self.look_within(timeout, || Ok(self.reader.has_answer()?.then_some(())));
        ready.map(|ready| ready.is_some())
    }

    /// Looks, and again whenever something has happened, until something is found or the time is up.
    fn look_within<T>(&self, timeout: Duration, mut look: impl FnMut() -> Result<Option<T>>) -> Result<Option<T>> {
        let inner = &self.open.inner;
        let machine = inner.machine();
        let timeout = u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX);
        let deadline = machine.clock.monotonic().checked_add(timeout);
        let event = self.reader.signal.event();
        loop {
            // Noted before anything is looked at: a close that comes between the two wakes this one.
            let noted = event.seen();
            inner.check_open()?;
            let due = if inner.threads() { None } else { inner.drive()? };
            let seen = if planted(Bug::CloseUnheard) { event.seen() } else { noted };
            let found = look()?;
            let now = machine.clock.monotonic();
            if found.is_some() || deadline.is_some_and(|deadline| deadline <= now) {
                return Ok(found);
            }
            // Without threads nobody else does what falls due while this one sleeps.
            let due = due.map(|due| due.max(now.saturating_add(1_000_000)));
            let until = deadline.into_iter().chain(due).min();
            machine.park.park(event, seen, until);
        }
    }

    /// Calls `call`, once, when a poll would find something or an error instead of waiting: at once if it would so
    /// already, else when a record can be seen, a topic is deleted, a position moved, the assignment changed, the
    /// engine closed, the disk failed, or offsets that were pending are decided and leave something to read. It runs on
    /// the engine's keeper or inside `drive`, outside all locks, and behind the close on the thread that calls this; a
    /// panic in it is caught and dropped. Several may wait at once. What waits when the last handle of the consumer is
    /// dropped is dropped with it.
    ///
    /// What the poll finds may all be aborted: then it answers nothing, and its position has moved.
    ///
    /// The look settles positions as a poll does: with `Start::Latest` a partition is read from where its end is then.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// use std::time::Duration;
    /// use oncelog::{ConsumerOptions, Engine, ProducerOptions, Record, TopicOptions, TopicPartition};
    /// let engine = Engine::open(dir.path())?;
    /// engine.create_topic("orders", TopicOptions::new())?;
    /// let consumer = engine.consumer(ConsumerOptions::new())?;
    /// consumer.assign(&[TopicPartition::new("orders", 0)])?;
    ///
    /// let (tell, hear) = std::sync::mpsc::channel();
    /// consumer.on_ready(move || drop(tell.send(())));
    /// engine.producer(ProducerOptions::new())?.send("orders", Record::new(b"42"))?.detach();
    /// hear.recv().unwrap();
    /// assert_eq!(consumer.poll(Duration::ZERO)?.count(), 1);
    /// # Ok::<(), oncelog::Error>(())
    /// ```
    pub fn on_ready(&self, call: impl FnOnce() + Send + 'static) {
        let inner = &self.open.inner;
        if inner.is_forked() {
            // No lock may be taken here, and a poll would answer that.
            return call();
        }
        self.reader.when_ready(Box::new(call));
        // The close raises its flag first and attends to what was asked then: one of the two sees this call.
        if inner.check_open().is_err() {
            inner.attend();
        }
    }

    /// Moves a partition's position: the next poll reads from there.
    ///
    /// # Errors
    /// `OffsetOutOfRange` below the start or above the end; `InvalidState` if the partition is not assigned.
    pub fn seek(&self, partition: &TopicPartition, offset: Offset) -> Result<()> {
        self.open.inner.check_open()?;
        let place = self.reader.find(partition)?;
        let Bounds { start, end, .. } = place.partition.bounds();
        if offset < start || offset > end {
            return Err(place.partition.out_of_range(offset));
        }
        self.reader.seek(&place, offset);
        Ok(())
    }

    /// The offset that the next poll reads from.
    ///
    /// # Errors
    /// `InvalidState` if the partition is not assigned; `OffsetOutOfRange` if nothing is committed and there is no
    /// start rule; `UnstableOffsets`, which passes, if there is no position yet and a raw transaction is open that will
    /// commit one, see `poll`.
    pub fn position(&self, partition: &TopicPartition) -> Result<Offset> {
        self.position_ticket(partition)?.wait()
    }

    /// The offset that the next poll reads from, as it is now; the ticket is done when it may be told.
    ///
    /// # Errors
    /// As `position`. What a flush answers comes from the ticket.
    pub fn position_ticket(&self, partition: &TopicPartition) -> Result<Ticket<Offset>> {
        let inner = &self.open.inner;
        inner.check_open()?;
        let place = self.reader.settle(self.reader.find(partition)?)?;
        Ok(Promise::durable(place.drawn_from, place.position.unwrap_or_default()).ticket(inner))
    }

    /// Finds out where all assigned partitions are read from; the ticket is done when that is safe. From then on `poll`
    /// waits for records only, and `position` and `lag` for nothing, until `assign` or `rewind`: for event loops, which
    /// poll with no timeout. What a group has committed may be news that no flush has met yet. If offsets are pending,
    /// the ticket answers `UnstableOffsets` once all other positions are safe: poll, and wait with `on_ready`.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// use std::time::Duration;
    /// use oncelog::{ConsumerOptions, Engine, ProducerOptions, Record, TopicOptions, TopicPartition};
    /// let engine = Engine::open(dir.path())?;
    /// engine.create_topic("orders", TopicOptions::new())?;
    /// engine.producer(ProducerOptions::new())?.send("orders", Record::new(b"42"))?.wait()?;
    ///
    /// let consumer = engine.consumer(ConsumerOptions::new().group("billing"))?;
    /// consumer.assign(&[TopicPartition::new("orders", 0)])?;
    /// let (tell, hear) = std::sync::mpsc::channel();
    /// consumer.settle_ticket()?.on_done(move |settled| drop(tell.send(settled)));
    /// hear.recv().unwrap()?; // an event loop would do something else meanwhile
    /// assert_eq!(consumer.poll(Duration::ZERO)?.count(), 1);
    /// # Ok::<(), oncelog::Error>(())
    /// ```
    ///
    /// # Errors
    /// `InvalidState` without an assignment; as `position`. What a flush answers comes from the ticket, and so does
    /// `UnstableOffsets`.
    pub fn settle_ticket(&self) -> Result<Ticket<()>> {
        let inner = &self.open.inner;
        inner.check_open()?;
        let (drawn_from, answer) = self.reader.settle_all()?;
        Ok(Promise { answer, ..Promise::durable(drawn_from, ()) }.ticket(inner))
    }

    /// Whether there is nothing that `settle_ticket` would wait for. Copies nothing: hidden, since it is for bindings
    /// that ask before each poll. False in a forked child.
    #[doc(hidden)]
    pub fn is_settled(&self) -> bool {
        !self.open.inner.is_forked() && self.reader.is_settled()
    }

    /// The positions of all assigned partitions that have one: what was polled, sought or asked for. None in a forked
    /// child.
    pub fn positions(&self) -> Offsets {
        if self.open.inner.is_forked() {
            return Offsets::new();
        }
        self.reader.positions()
    }

    /// What the group has committed for a partition, assigned or not; `None` for nothing. What is answered survives a
    /// power cut, or, where all is at level `Os`, the death of the process.
    ///
    /// # Errors
    /// `UnknownTopicOrPartition`; `InvalidArgument` without a group; `UnstableOffsets`, which passes, while a raw
    /// transaction is open that will commit an offset for the partition, unless the isolation is read_uncommitted
    /// (KIP-447).
    pub fn committed(&self, partition: &TopicPartition) -> Result<Option<Offset>> {
        self.committed_ticket(partition)?.wait()
    }

    /// What the group has committed for a partition, as it is now; the ticket is done when that is safe.
    ///
    /// # Errors
    /// As `committed`. What a flush answers comes from the ticket.
    pub fn committed_ticket(&self, partition: &TopicPartition) -> Result<Ticket<Option<Offset>>> {
        let inner = &self.open.inner;
        inner.check_open()?;
        self.reader.group()?;
        self.open.partition(&partition.topic, partition.partition)?;
        Ok(self.reader.committed(partition)?.ticket(inner))
    }

    /// What the group has committed for these partitions, assigned or not, with what was stored beside the offsets: the
    /// counterpart of `commit_offsets`. All of one moment; partitions for which nothing is committed are left out.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// use oncelog::{ConsumerOptions, Engine, OffsetAndMetadata, Offsets, TopicOptions, TopicPartition};
    /// let engine = Engine::open(dir.path())?;
    /// engine.create_topic("orders", TopicOptions::new().partitions(2))?;
    /// let [one, other] = [0, 1].map(|number| TopicPartition::new("orders", number));
    /// let consumer = engine.consumer(ConsumerOptions::new().group("billing"))?;
    ///
    /// let at = OffsetAndMetadata { offset: 1, leader_epoch: 7, metadata: "page 3".into() };
    /// let offsets = Offsets::from([(one.clone(), at)]);
    /// consumer.commit_offsets(&offsets)?;
    /// assert_eq!(consumer.committed_offsets(&[one, other])?, offsets);
    /// # Ok::<(), oncelog::Error>(())
    /// ```
    ///
    /// # Errors
    /// As `committed`, of any of them.
    pub fn committed_offsets(&self, partitions: &[TopicPartition]) -> Result<Offsets> {
        self.committed_offsets_ticket(partitions)?.wait()
    }

    /// What the group has committed for these partitions, as it is now; the ticket is done when that is safe.
    ///
    /// # Errors
    /// As `committed_offsets`. What a flush answers comes from the ticket.
    pub fn committed_offsets_ticket(&self, partitions: &[TopicPartition]) -> Result<Ticket<Offsets>> {
        let inner = &self.open.inner;
        inner.check_open()?;
        self.reader.group()?;
        for partition in partitions {
            self.open.partition(&partition.topic, partition.partition)?;
        }
        Ok(self.reader.committed_offsets(partitions)?.ticket(inner))
    }

    /// Commits the positions of all assigned partitions, together, and waits until they have met the strongest level of
    /// the engine and of their topics. Writes nothing if nothing has moved.
    ///
    /// # Errors
    /// `InvalidArgument` without a group; `InvalidState` while an open transaction is bound to the consumer;
    /// `UnknownTopicOrPartition` if a topic was deleted; what a write answers.
    pub fn commit(&self) -> Result<()> {
        self.commit_ticket()?.wait()
    }

    /// Commits the positions of all assigned partitions without waiting: the ticket is done when they have met the
    /// strongest level of the engine and of their topics. If nothing has moved since the last commit it is done with
    /// that one.
    ///
    /// # Errors
    /// As `commit`. What a write or flush answers comes from the ticket.
    pub fn commit_ticket(&self) -> Result<Ticket<()>> {
        // Also where nothing moved: after a commit whose outcome nobody knows, "nothing to commit" would be a lie.
        self.open.inner.check_sound()?;
        self.reader.group()?;
        let ((offsets, topics), last) = self.reader.to_commit()?;
        let waits = self.open.inner.waits();
        match last {
            _ if !offsets.is_empty() => self.write(&offsets, topics),
            Some((lsn, level)) => Ok(Ticket::placed(waits, lsn, level, ())),
            None => Ok(Ticket::ready(waits, Ok(()))),
        }
    }

    /// Commits any offsets of the group, together, and waits until they have met the strongest level of the engine and
    /// of their topics.
    ///
    /// # Errors
    /// As `commit`; `InvalidArgument` for an offset out of range; `LimitExceeded` for metadata that is too long.
    pub fn commit_offsets(&self, offsets: &Offsets) -> Result<()> {
        self.commit_offsets_ticket(offsets)?.wait()
    }

    /// Commits any offsets of the group without waiting: the ticket is done when they have met the strongest level of
    /// the engine and of their topics.
    ///
    /// # Errors
    /// As `commit_offsets`. What depends on the state of the log, and what a write or flush answers, comes from the
    /// ticket.
    pub fn commit_offsets_ticket(&self, offsets: &Offsets) -> Result<Ticket<()>> {
        self.open.inner.check_sound()?;
        self.reader.group()?;
        self.reader.check_unbound()?;
        self.write(offsets, TopicIds::new())
    }

    fn write(&self, offsets: &Offsets, topics: TopicIds) -> Result<Ticket<()>> {
        let inner = &self.open.inner;
        if offsets.is_empty() {
            return Ok(Ticket::ready(inner.waits(), Ok(())));
        }
        let placed = inner.commit_offsets(self.reader.group()?, offsets, topics.clone())?;
        if placed.answer.is_ok() {
            self.reader.note_committed(offsets, &topics, placed.lsn, placed.level);
        }
        Ok(placed.ticket(inner))
    }

    /// Goes back to what is committed, in all assigned partitions; where nothing is, to the start rule.
    ///
    /// # Errors
    /// `Closed`, `Forked`.
    pub fn rewind(&self) -> Result<()> {
        self.open.inner.check_open()?;
        self.reader.rewind();
        Ok(())
    }

    /// How many records lie between the position and the end that this consumer's isolation sees: the last stable
    /// offset, or the end. Zero when all is read: commits leave no holes. Aborted records that lie between count too.
    ///
    /// # Errors
    /// As `position`.
    pub fn lag(&self, partition: &TopicPartition) -> Result<u64> {
        self.lag_ticket(partition)?.wait()
    }

    /// How many records lie between the position and the end, as it is now; the ticket is done when it may be told.
    ///
    /// # Errors
    /// As `position`. What a flush answers comes from the ticket.
    pub fn lag_ticket(&self, partition: &TopicPartition) -> Result<Ticket<u64>> {
        let inner = &self.open.inner;
        inner.check_open()?;
        let place = self.reader.settle(self.reader.find(partition)?)?;
        let visible = place.partition.visible(self.reader.options.isolation);
        let lag = visible.saturating_sub(place.position.unwrap_or_default());
        Ok(Promise::durable(place.drawn_from, lag).ticket(inner))
    }

    /// Start, last stable offset and end of a partition, assigned or not.
    ///
    /// # Errors
    /// `UnknownTopicOrPartition`.
    pub fn bounds(&self, partition: &TopicPartition) -> Result<Bounds> {
        self.open.inner.check_open()?;
        Ok(self.open.partition(&partition.topic, partition.partition)?.bounds())
    }

    /// Names the group, for `Transaction::send_offsets`.
    ///
    /// # Errors
    /// `InvalidArgument` without a group.
    pub fn group_metadata(&self) -> Result<GroupMetadata> {
        Ok(GroupMetadata { group: self.reader.group()?.to_owned() })
    }
}

impl std::fmt::Debug for Consumer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Consumer").field("options", &self.reader.options).finish_non_exhaustive()
    }
}

/// Refuses a commit beside an open transaction that sends the positions.
pub(super) fn check_unbound(bound: bool) -> Result<()> {
    if !bound {
        return Ok(());
    }
    let text = "an open transaction is bound to this consumer and sends its positions; commit or abort that first";
    Err(Error::new(ErrorKind::InvalidState, text))
}
