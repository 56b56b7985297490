//! The state: a pure fold over the frames. No clock, no lock, no I/O.
//!
//! `apply` is the only way anything changes, live and in recovery alike: it follows the log whatever it says, and what
//! names a topic, partition or producer that is not there changes nothing. All refusing is done by the checks, which
//! change nothing, before a frame gets its place.

mod active;
pub mod catalog;
pub mod cuts;
mod entries;
pub mod growing;
pub mod identities;
mod idle;
mod leftovers;
pub mod names;
pub mod offsets;
mod order;
pub mod paged;
pub mod producers;
pub mod sequences;
pub mod snapshot;
#[cfg(test)]
mod tests;
mod topic;
pub mod transactions;
mod undecided;

pub use active::ActiveFrom;
pub use catalog::durability_number;
pub use cuts::{Cut, cut_behind};
pub use identities::{Ending, Opening};
pub use names::{check_name, check_topic_name, shown};
pub use offsets::{CommittedOffset, check_value as check_offset};
#[cfg(test)]
pub use producers::Registration;
pub use producers::{Fate, Named};
pub use snapshot::{Loader, Snapshot};
pub use topic::Topic;
pub use transactions::OpenTransaction;
pub use undecided::SentOffsets;

use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::format::batch::BatchHeader;
use crate::format::control::OffsetsBlock;
use crate::format::control::{Opened, ProducerDeleted, ProducerOpened};
use crate::format::decision::{DecisionHead, Ended};
use crate::format::frame::Payload;
use crate::format::topic_config::TopicConfig;
use crate::format::transaction::TransactionHead;
use crate::io::bugs::{Bug, planted};
use crate::io::touched::named;
use crate::types::{Instance, Lsn, Offset, Timestamp, TopicId, TopicOptions, TransactionNumber};
use catalog::{Catalog, check_room, unknown_instance};
use cuts::Cuts;
use leftovers::Leftovers;
use offsets::CommittedOffsets;
use producers::{Holder, Producers};
use sequences::Sequences;
use transactions::{PendingOffset, Transactions};

/// What is to happen with a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may be placed.
    Accept,
    /// It is in the log already: nothing is written, and the answer is the original's. The answer is given no earlier
    /// than the original's frame meets the level asked.
    Duplicate {
        /// Offset of its first record.
        first: Offset,
        /// Offset of its last record.
        last: Offset,
        /// Its greatest timestamp.
        timestamp: Timestamp,
        /// The frame that holds it.
        lsn: Lsn,
    },
}

/// All that is known of a log beside the records themselves. The default is the empty log's.
#[derive(Debug)]
pub struct State {
    /// The life of the log that wrote last; 0 before the first.
    pub incarnation: u64,
    first_number: u64,
    catalog: Catalog,
    producers: Producers,
    sequences: Sequences,
    offsets: CommittedOffsets,
    cuts: Cuts,
    transactions: Transactions,
    leftovers: Leftovers,
}

impl Default for State {
    fn default() -> Self {
        State {
            incarnation: 0,
            // 0 in a frame means no transaction.
            first_number: 1,
            catalog: Catalog::default(),
            producers: Producers::default(),
            sequences: Sequences::default(),
            offsets: CommittedOffsets::default(),
            cuts: Cuts::default(),
            transactions: Transactions::default(),
            leftovers: Leftovers::default(),
        }
    }
}

/// The fold.
impl State {
    /// Notes a frame. Total: it cannot fail, and no payload makes it panic.
    #[inline]
    pub fn apply(&mut self, lsn: Lsn, payload: &Payload<'_>) {
        match payload {
            Payload::Records { instance, batch } => self.apply_records(lsn, *instance, batch),
            other => self.apply_other(lsn, other),
        }
    }

    /// What `apply` does with a records frame, for who has one at hand and would copy it for that. The hot path: for a
    /// batch without a producer id it is one step into a table.
    #[inline]
    pub fn apply_records(&mut self, lsn: Lsn, instance: Instance, batch: &BatchHeader) {
        let first = batch.base_offset.max(0).unsigned_abs();
        let known = self.catalog.raise_end(instance, first, batch.last_offset_delta);
        if known && batch.producer_id >= 0 {
            self.apply_raw(lsn, instance, first, batch);
        }
    }

    fn apply_raw(&mut self, lsn: Lsn, instance: Instance, first: Offset, batch: &BatchHeader) {
        // Batches of a transaction that the engine sends for its owner have no sequence: nobody repeats them.
        if batch.base_sequence >= 0 && self.producers.wrote_batch(batch.producer_id, lsn) {
            self.sequences.note(lsn, instance, first, batch);
        }
        if batch.is_transactional() {
            let records = u64::from(batch.last_offset_delta.max(0).unsigned_abs()) + 1;
            let (owner, offsets) = ((batch.producer_id, batch.epoch), (first, first.saturating_add(records)));
            self.transactions.wrote(owner, lsn, instance, offsets, || self.catalog.topic_of(instance));
        }
    }

    fn apply_other(&mut self, lsn: Lsn, payload: &Payload<'_>) {
        match payload {
            Payload::Transaction { head, offsets } => self.apply_transaction(lsn, head, offsets),
            Payload::Offsets(offsets) => self.apply_offsets(lsn, offsets),
            Payload::Decision { head, offsets } => self.apply_decision(lsn, head, offsets),
            Payload::Begun(begun) => self.transactions.begin(begun),
            Payload::PendingOffsets { head, offsets } => {
                let lost = i64::try_from(head.producer_id).ok().and_then(|id| self.transactions.lost_of(id));
                offsets.for_each(|entry| {
                    named(1);
                    if self.catalog.topic_by_id(TopicId(entry.topic)).is_some() {
                        self.transactions.send_offset(lsn, lost.unwrap_or(head.number), &entry);
                    }
                });
            }
            Payload::Opened(opened) => self.apply_opened(opened),
            Payload::Recovered(recovered) => self.cuts.note(recovered),
            Payload::TopicCreated(created) => {
                self.settle_topic(TopicId(created.topic));
                self.catalog.create(created);
            }
            Payload::TopicDeleted(deleted) => self.lose_topic(TopicId(deleted.topic)),
            Payload::PartitionsAdded(added) => self.catalog.add(added),
            Payload::ProducerOpened(opened) => self.apply_producer_opened(lsn, opened),
            Payload::ProducerDeleted(gone) | Payload::ProducerExpired(gone) => self.apply_producer_gone(gone),
            // These speak of the journal itself. Records never come here: see `apply`.
            Payload::Records { .. }
            | Payload::Mark
            | Payload::Link(_)
            | Payload::Replaced(_)
            | Payload::Retired(_)
            | Payload::Checkpoint(_)
            | Payload::Skipped => {}
        }
    }

    fn apply_transaction(&mut self, lsn: Lsn, head: &TransactionHead<'_>, offsets: &OffsetsBlock<'_>) {
        for part in head.parts() {
            named(1);
            let delta = i32::try_from(part.last_offset_delta).unwrap_or(i32::MAX);
            self.catalog.raise_end(part.instance, part.base_offset, delta);
        }
        self.producers.wrote(lsn, head);
        self.apply_offsets(lsn, offsets);
    }

    /// Of what was pending, an offset that was committed after it was sent stays, as in Kafka.
    fn apply_decision(&mut self, lsn: Lsn, head: &DecisionHead<'_>, offsets: &OffsetsBlock<'_>) {
        let lost = self.transactions.lost_of(head.producer.0);
        let pending = self.transactions.end(lost.unwrap_or(head.number));
        if head.ended == Ended::Commit || planted(Bug::PendingKeptAtAbort) {
            let there = |entry: &&PendingOffset| self.catalog.topic_by_id(entry.topic).is_some();
            for entry in pending.iter().filter(there) {
                // It was counted when it was taken out.
                named(1);
                self.offsets.install_pending(lsn, entry.lsn, &entry.entry());
            }
            self.apply_offsets(lsn, offsets);
        }
        self.settle_producer(head.next.0);
        if let Some(given_up) = self.producers.decided(lsn, head) {
            self.lose_producer(given_up);
        }
    }

    fn apply_offsets(&mut self, lsn: Lsn, offsets: &OffsetsBlock<'_>) {
        offsets.for_each(|entry| {
            named(1);
            if self.catalog.topic_by_id(TopicId(entry.topic)).is_some() {
                self.offsets.install(lsn, &entry);
            }
        });
    }

    /// The blocks of numbers and ids that a life reserved count as used, so the next life begins behind them.
    fn apply_opened(&mut self, opened: &Opened) {
        self.incarnation = opened.incarnation;
        self.first_number = self.first_number.max(opened.first_number.saturating_add(opened.numbers));
        let first_id = i64::try_from(opened.first_producer_id).unwrap_or(i64::MAX);
        self.producers.next_id = self.producers.next_id.max(first_id);
    }

    fn apply_producer_opened(&mut self, lsn: Lsn, opened: &ProducerOpened<'_>) {
        self.settle_producer(opened.producer_id);
        for gone in self.producers.open(lsn, opened).into_iter().flatten() {
            self.lose_producer(gone);
        }
    }

    fn apply_producer_gone(&mut self, gone: &ProducerDeleted) {
        if let Ok(id) = i64::try_from(gone.producer_id) {
            self.producers.remove(id);
            self.lose_producer(id);
        }
    }
}

/// The checks: what may be placed. They change nothing.
impl State {
    /// The verdict on a batch that its caller sent with its own identity, or without one (producer id below 0).
    #[inline]
    pub fn check_batch(&self, instance: Instance, batch: &BatchHeader) -> Result<Verdict> {
        let Some(end) = self.catalog.end(instance) else { return Err(unknown_instance(instance)) };
        if batch.producer_id >= 0 {
            let verdict = self.check_raw(instance, batch)?;
            if verdict != Verdict::Accept {
                return Ok(verdict);
            }
        }
        check_room(end, batch.last_offset_delta)?;
        Ok(Verdict::Accept)
    }

    fn check_raw(&self, instance: Instance, batch: &BatchHeader) -> Result<Verdict> {
        if batch.base_sequence < 0 {
            return Err(half_identity(batch));
        }
        if batch.epoch < 0 {
            let known = self.producers.named_by_id(batch.producer_id).map(|named| named.epoch);
            return Err(sequences::stale(batch, known));
        }
        let named = match self.producers.holder(batch.producer_id) {
            Some(Holder::Named(named)) => named,
            raw => {
                if let Some(former) = self.producers.former(batch.producer_id) {
                    return Err(sequences::stale(batch, Some(former.epoch)));
                }
                let registration = match raw {
                    Some(Holder::Raw(registration)) => registration,
                    _ => self.producers.registration(batch.producer_id)?,
                };
                if batch.is_transactional() {
                    return Err(no_transactional_id(batch));
                }
                return self.sequences.check(instance, batch, registration.epoch);
            }
        };
        if batch.epoch > named.epoch {
            return Err(sequences::stale(batch, Some(named.epoch)));
        }
        let verdict = self.sequences.check(instance, batch, named.epoch)?;
        if verdict == Verdict::Accept {
            self.check_transactional(instance, batch)?;
        }
        Ok(verdict)
    }

    /// Rows D18 and D19, and what bounds a transaction.
    fn check_transactional(&self, instance: Instance, batch: &BatchHeader) -> Result<()> {
        let open = self.transactions.of_producer(batch.producer_id);
        match open {
            Some(open) if batch.is_transactional() && open.is_raw() => {
                self.transactions.check_span(open.number, instance, |instance| self.is_there(instance))
            }
            Some(_) if batch.is_transactional() => Err(not_raw(batch.producer_id)),
            Some(open) if self.transactions.span(open.number, instance).is_some() => Err(not_transactional(batch)),
            None if batch.is_transactional() => self.transactions.check_begin(),
            _ => Ok(()),
        }
    }

    /// Refuses a part of a gathered frame that has no place, and returns the offset its first record gets.
    #[inline]
    pub fn check_place(&self, instance: Instance, last_offset_delta: i32) -> Result<Offset> {
        let Some(end) = self.catalog.end(instance) else { return Err(unknown_instance(instance)) };
        check_room(end, last_offset_delta)?;
        Ok(end)
    }

    /// Refuses the holder of a name that was fenced (ProducerFenced) or deleted (UnknownTransactionalId).
    pub fn check_producer(&self, producer_id: i64, epoch: i16) -> Result<()> {
        self.producers.check_holder(producer_id, epoch)
    }

    /// The position of the name that holds an id, with the frame that holds it.
    #[inline]
    pub fn position(&self, producer_id: i64) -> Option<(u64, Lsn)> {
        let named = self.producers.named_by_id(producer_id)?;
        named.position.map(|position| (position, named.position_lsn))
    }

    /// Refuses a topic that cannot be created: its name, its number of partitions, the log's.
    pub fn check_create_topic(&self, name: &str, options: &TopicOptions) -> Result<()> {
        self.catalog.check_create(name, options)
    }

    /// Refuses `more` partitions that a topic cannot have.
    pub fn check_add_partitions(&self, name: &str, more: u32) -> Result<()> {
        self.catalog.check_add(name, more)
    }
}

#[cold]
fn no_transactional_id(batch: &BatchHeader) -> Error {
    let text = "only a transactional id has transactions; register one with init_producer";
    Error::new(ErrorKind::InvalidTransactionState, format!("{text}, producer_id={}", batch.producer_id))
}

#[cold]
fn not_raw(producer_id: i64) -> Error {
    let text = "a transactional producer has a transaction open under this id; send through its handle";
    Error::new(ErrorKind::InvalidTransactionState, format!("{text}, producer_id={producer_id}"))
}

#[cold]
fn not_transactional(batch: &BatchHeader) -> Error {
    let text = "the producer has a transaction open in this partition; send transactional batches until it is decided";
    Error::new(ErrorKind::InvalidTransactionState, format!("{text}, producer_id={}", batch.producer_id))
}

/// D2. A negative epoch is older than any that was given (D6).
#[cold]
fn half_identity(batch: &BatchHeader) -> Error {
    let text = format!(
        "a batch with a producer id needs an epoch and a sequence of at least 0, producer_id={} epoch={} sequence={}",
        batch.producer_id, batch.epoch, batch.base_sequence
    );
    Error::new(ErrorKind::InvalidRecord, text)
}

/// What is known.
impl State {
    /// The offset that the partition's next record gets.
    #[inline]
    pub fn end(&self, instance: Instance) -> Option<Offset> {
        self.catalog.end(instance)
    }

    /// The first offset that can be read.
    pub fn start(&self, instance: Instance) -> Option<Offset> {
        self.catalog.partition(instance).map(|partition| partition.start)
    }

    /// The topic of a name.
    pub fn topic(&self, name: &str) -> Option<&Arc<Topic>> {
        self.catalog.topic(name)
    }

    /// True if a partition's topic is not deleted.
    fn is_there(&self, instance: Instance) -> bool {
        self.catalog.end(instance).is_some()
    }

    /// The options of a topic.
    pub fn topic_config(&self, id: TopicId) -> TopicConfig {
        self.catalog.config(id)
    }

    #[cfg(test)]
    /// The topic of an id.
    pub fn topic_by_id(&self, id: TopicId) -> Option<&Topic> {
        self.catalog.topic_by_id(id)
    }

    /// All topics, in the order of their slots.
    pub fn topics(&self) -> impl Iterator<Item = &Topic> {
        self.catalog.topics.iter().map(|(_, topic)| &**topic)
    }

    #[cfg(test)]
    /// The topic that a partition belongs to, and its number there.
    pub fn partition_of(&self, instance: Instance) -> Option<(&Topic, u32)> {
        self.catalog.partition_of(instance)
    }

    /// The instance that the next new partition gets: never used before.
    pub fn next_instance(&self) -> Instance {
        self.catalog.next_instance
    }

    #[cfg(test)]
    /// Number of partitions that are not deleted.
    pub fn live_partitions(&self) -> usize {
        self.catalog.count()
    }

    /// The named producer of a name.
    pub fn producer(&self, name: &str) -> Option<&Named> {
        self.producers.named(name)
    }

    #[cfg(test)]
    /// All named producers, in the order of their slots.
    pub fn producers(&self) -> impl Iterator<Item = &Named> {
        self.producers.named.iter().map(|(_, named)| &**named)
    }

    #[cfg(test)]
    /// The frame of a transaction that committed, if it is among the last 64 of its name. Walks over all names.
    pub fn decision(&self, number: TransactionNumber) -> Option<Lsn> {
        let of = |named: &Named| named.decisions.iter().rev().find(|d| d.number == number).map(|d| d.lsn);
        self.producers().find_map(of)
    }

    #[cfg(test)]
    /// The registration of a raw producer; the error says why there is none.
    pub fn registration(&self, producer_id: i64) -> Result<&Registration> {
        self.producers.registration(producer_id)
    }

    /// The next id for a producer: above all that were ever issued.
    pub fn next_producer_id(&self) -> i64 {
        self.producers.next_id
    }

    /// What recoveries have cut, oldest first.
    pub fn cuts(&self) -> Vec<Cut> {
        self.cuts.all()
    }

    /// The first transaction number that the next life may reserve.
    pub fn first_number(&self) -> TransactionNumber {
        self.first_number
    }

    /// What a group committed for a partition.
    pub fn committed(&self, group: &str, topic: TopicId, partition: u32) -> Option<&CommittedOffset> {
        self.catalog.topic_by_id(topic)?;
        self.offsets.get(group, topic, partition)
    }

    #[cfg(test)]
    /// The groups that committed something, in the order of their names.
    pub fn groups(&self) -> impl Iterator<Item = &str> {
        self.offsets.groups().filter(|group| self.group_offsets(group).next().is_some())
    }

    #[cfg(test)]
    /// All that a group committed, in the order of topic ids and partitions; empty for an unknown group.
    pub fn group_offsets(&self, group: &str) -> impl Iterator<Item = &CommittedOffset> {
        self.offsets.of_group(group).filter(|offset| self.catalog.topic_by_id(offset.topic).is_some())
    }

    /// The state as it stands, to be encoded without the journal's lock.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::take(self)
    }
}
