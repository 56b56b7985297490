//! A transaction: memory until it commits, then one frame.

use std::sync::Arc;

use super::engine::Open;
use super::reader::Bound;
use super::transactional::{Buffers, Holder};
use crate::engine::{Gathered, PlacedGroup};
use crate::error::{Error, ErrorKind, Result};
use crate::format::batch::BatchBuilder;
use crate::format::record::Record;
use crate::journal::Ticket;
use crate::limits::TRANSACTION_BUFFER;
use crate::types::{Committed, GroupMetadata, OffsetAndMetadata, Offsets, TopicPartition, TransactionNumber};

/// Records for any number of topics and offsets of any number of groups that become visible together or not at all.
///
/// Leaving its scope aborts it. It owns what it needs and may be sent to another thread. Its records get their offsets
/// at the commit: a plain send made meanwhile may come first.
#[must_use = "a transaction that is dropped is aborted; commit it"]
pub struct Transaction {
    open: Arc<Open>,
    holder: Arc<Holder>,
    number: TransactionNumber,
    buffers: Buffers,
    /// Memory of `offsets`.
    offsets_bytes: usize,
    offsets: Vec<(GroupMetadata, Offsets)>,
    position: Option<u64>,
    bound: Option<Bound>,
    ended: bool,
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
            offsets: Vec::new(),
            position: None,
            bound,
            ended: false,
        }
    }

    /// The transaction's number: it names this transaction for ever.
    pub fn number(&self) -> TransactionNumber {
        self.number
    }

    /// Adds a record. Nothing is written and nobody sees it before `commit`.
    ///
    /// # Errors
    /// The transaction is as it was and can go on or be aborted: `UnknownTopicOrPartition`; `RecordTooLarge`;
    /// `InvalidRecord`; `LimitExceeded` if it would outgrow `limits::TRANSACTION_BUFFER`; `InvalidArgument` for a
    /// record with a position; `Poisoned`, `Closed`, `Forked`.
    pub fn send(&mut self, topic: &str, record: Record<'_>) -> Result<()> {
        let inner = &self.open.inner;
        inner.check_writable()?;
        if let Some(position) = record.position {
            let text = "a transaction has one position as a whole; use send_position";
            return Err(Error::new(ErrorKind::InvalidArgument, format!("{text}, position={position}")));
        }
        let machine = inner.machine();
        let Buffers { gather, router } = &mut self.buffers;
        let looked = router.topic(inner, topic)?;
        let partition = looked.choose(&record, &*machine.random, |instance| gather.holds(instance))?;
        let timestamp = record.timestamp.unwrap_or_else(|| machine.clock.wall_ms().max(-1));
        let (_, all) = gather.bytes_with(partition.instance(), &record, timestamp);
        if let Err(full) = check_room(all.saturating_add(self.offsets_bytes)) {
            // A record that fits no batch at all is told so: no transaction would take it.
            return BatchBuilder::new().push(&record, timestamp).and(Err(full));
        }
        gather.push(partition, &record, timestamp).map(|_| ())
    }

    /// Commits offsets of a group together with the records: the offset to read next, per partition. Later calls
    /// replace what earlier ones said of the same partition.
    ///
    /// # Errors
    /// The transaction is as it was: `UnknownTopicOrPartition`; `InvalidArgument` for an offset out of range, or if the
    /// group is that of the bound consumer, whose positions the commit sends; `LimitExceeded` for metadata that is too
    /// long, or if the transaction would outgrow its buffer.
    pub fn send_offsets(&mut self, group: &GroupMetadata, offsets: &Offsets) -> Result<()> {
        let inner = &self.open.inner;
        inner.check_writable()?;
        if self.bound.as_ref().is_some_and(|bound| bound.group() == group.group) {
            let text = "the commit sends the positions of the bound consumer; leave send_offsets out";
            return Err(Error::new(ErrorKind::InvalidArgument, format!("{text}, group={}", group.group)));
        }
        inner.check_offsets(&group.group, offsets)?;
        let known = self.offsets.iter().find(|(known, _)| known == group).map(|(_, offsets)| offsets);
        let cost = |(name, at): (&TopicPartition, &OffsetAndMetadata)| 64 + name.topic.len() + at.metadata.len();
        // What is said again takes the place of what was said before.
        let replaced = offsets.keys().filter_map(|name| known?.get_key_value(name)).map(cost).sum::<usize>();
        let more = offsets.iter().map(cost).sum::<usize>() + if known.is_none() { group.group.len() } else { 0 };
        let bytes = self.offsets_bytes.saturating_add(more).saturating_sub(replaced);
        check_room(self.buffers.gather.bytes().saturating_add(bytes))?;
        self.offsets_bytes = bytes;
        let sent = match self.offsets.iter().position(|(known, _)| known == group) {
            Some(at) => &mut self.offsets[at].1,
            None => {
                self.offsets.push((group.clone(), offsets.clone()));
                return Ok(());
            }
        };
        sent.extend(offsets.iter().map(|(name, at)| (name.clone(), at.clone())));
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
    /// and the positions that it carried tell. After every other error the transaction is aborted and the bound
    /// consumer back where it stood: run it again. `ProducerFenced`: a newer holder of the id exists.
    /// `UnknownTopicOrPartition` if a topic was deleted meanwhile; `Full`, `Poisoned`, `Closed`, `Forked`.
    pub fn commit(self) -> Result<Committed> {
        self.commit_ticket()?.wait()
    }

    /// Commits without waiting: the transaction has its place and cannot be refused any more, and the ticket says when
    /// it has met its level. The next transaction may begin.
    ///
    /// # Errors
    /// As `commit`, but for `Indeterminate`, which comes from the ticket.
    pub fn commit_ticket(mut self) -> Result<Ticket<Committed>> {
        let waits = self.holder.waits.clone();
        Ok(match self.place()? {
            None => Ticket::ready(waits, Ok(self.committed(None))),
            Some(placed) => Ticket::placed(waits, placed.lsn, placed.level, self.committed(Some(&placed))),
        })
    }

    /// Aborts: nothing of it was written, and a bound consumer goes back to where it stood at the begin. The same as
    /// dropping it.
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
    fn place(&mut self) -> Result<Option<PlacedGroup>> {
        let placed = self.try_place();
        match &placed {
            Ok(placed) => {
                if let (Some(placed), Some(position)) = (placed, self.position) {
                    self.holder.place(position, placed.lsn, placed.level);
                }
                if let Some(bound) = self.bound.take() {
                    bound.committed(placed.as_ref().map(|placed| (placed.lsn, placed.level)));
                }
                self.open.inner.transaction_committed();
                self.over(None);
            }
            Err(error) => self.end(Some(error)),
        }
        placed
    }

    fn try_place(&mut self) -> Result<Option<PlacedGroup>> {
        let inner = &self.open.inner;
        inner.check_open()?;
        if let Some(bound) = &mut self.bound {
            let moved = bound.moved()?;
            if !moved.is_empty() {
                self.offsets.push((GroupMetadata { group: bound.group().to_owned() }, moved));
            }
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
            wait: true,
        };
        inner.append_gathered(gathered).map(Some)
    }

    /// The transaction is over and was not committed.
    fn end(&mut self, error: Option<&Error>) {
        if !self.ended {
            self.open.inner.transaction_failed(self.number, self.holder.identity, error);
            self.over(error);
        }
    }

    /// The consumer goes back unless the transaction was committed, and the producer may begin the next.
    fn over(&mut self, error: Option<&Error>) {
        self.ended = true;
        // In a forked child the locks below may be held by a thread that is not there.
        if self.open.inner.is_forked() {
            return;
        }
        if let Some(bound) = self.bound.take() {
            bound.end(error.is_none_or(|error| error.kind() != ErrorKind::Indeterminate));
        }
        self.holder.end(std::mem::take(&mut self.buffers), error);
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
    let text = "the transaction outgrows its buffer; commit what it holds, or abort it and use smaller ones";
    Err(Error::new(ErrorKind::LimitExceeded, format!("{text}, bytes={bytes} max={TRANSACTION_BUFFER}")))
}
