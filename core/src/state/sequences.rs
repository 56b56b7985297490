//! What raw producers wrote where: per producer id and partition the epoch and the last five batches, and the decision
//! table for the next one. D0 (form), D1 (no id) and the registration's own rules come before, in `State::check_batch`.
//! Rows about open transactions are `State::check_batch`'s; those about markers and verification have no place here.

use std::collections::BTreeSet;

use super::Verdict;
use super::growing::Growing;
use super::paged::Paged;
use crate::error::{Error, ErrorKind, Result};
use crate::format::batch::BatchHeader;
use crate::limits::CACHED_BATCHES;
use crate::types::{Instance, Lsn, Offset, Timestamp};

/// A batch that a retry may bring again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct CachedBatch {
    /// Sequence of the first record.
    pub first_sequence: i32,
    /// Sequence of the last record; below the first if the numbers wrapped inside the batch.
    pub last_sequence: i32,
    /// Offset of the first record.
    pub first: Offset,
    /// The batch's greatest timestamp.
    pub timestamp: Timestamp,
    /// The frame that holds it.
    pub lsn: Lsn,
}

impl CachedBatch {
    /// Offset of the last record. Sequences count modulo 2^31, so their distance survives a wrap.
    fn last(&self) -> Offset {
        let distance = self.last_sequence.wrapping_sub(self.first_sequence) & i32::MAX;
        self.first.saturating_add(u64::from(distance.unsigned_abs()))
    }
}

/// One producer in one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sequence {
    /// The producer.
    pub producer_id: i64,
    /// The partition.
    pub instance: Instance,
    /// Epoch of the batches below.
    pub epoch: i16,
    count: u8,
    batches: [CachedBatch; CACHED_BATCHES],
}

impl Sequence {
    /// No batch yet.
    pub fn new(producer_id: i64, instance: Instance, epoch: i16) -> Self {
        Self { producer_id, instance, epoch, count: 0, batches: [CachedBatch::default(); CACHED_BATCHES] }
    }

    /// The cached batches, oldest first.
    pub fn batches(&self) -> &[CachedBatch] {
        &self.batches[..usize::from(self.count)]
    }

    /// Adds a batch behind the others; the oldest of five falls out.
    pub fn push(&mut self, batch: CachedBatch) {
        if usize::from(self.count) == CACHED_BATCHES {
            self.batches.rotate_left(1);
        } else {
            self.count += 1;
        }
        self.batches[usize::from(self.count) - 1] = batch;
    }

    /// Rows D3, D6 and D11 to D17, top-down.
    fn check(&self, batch: &BatchHeader) -> Result<Verdict> {
        let (first, last) = (batch.base_sequence, batch.last_sequence());
        if batch.epoch == self.epoch
            && let Some(known) = self.batches().iter().find(|b| (b.first_sequence, b.last_sequence) == (first, last))
        {
            let (first, last) = (known.first, known.last());
            return Ok(Verdict::Duplicate { first, last, timestamp: known.timestamp, lsn: known.lsn });
        }
        if batch.epoch < self.epoch {
            return Err(stale(batch, Some(self.epoch)));
        }
        let expected = match self.batches().last() {
            Some(newest) if batch.epoch == self.epoch => following(newest.last_sequence),
            _ => 0,
        };
        if first == expected { Ok(Verdict::Accept) } else { Err(out_of_order(batch, expected)) }
    }
}

/// The sequence after `sequence`: 0 follows the greatest (D14).
fn following(sequence: i32) -> i32 {
    sequence.wrapping_add(1) & i32::MAX
}

/// The answer to an epoch that is not the newest one that the partition, the name or the registration knows, if there
/// is any.
#[cold]
pub fn stale(batch: &BatchHeader, newest: Option<i16>) -> Error {
    let values = format!("producer_id={} epoch={}", batch.producer_id, batch.epoch);
    let text = match newest {
        Some(newest) if (0..=newest).contains(&batch.epoch) => {
            format!("a newer epoch of this producer took over; stop, or register again, {values} newer_epoch={newest}")
        }
        Some(newest) => format!("{NEVER_GIVEN}, {values} newest_epoch={newest}"),
        None => format!("{NEVER_GIVEN}, {values}"),
    };
    Error::new(ErrorKind::StaleEpoch, text)
}

/// What is said of an epoch that nobody holds nor held.
pub const NEVER_GIVEN: &str = "this epoch was never given out; send with the one that was, or register again";

/// The answer to every sequence that is neither next nor an exact repetition: gaps, overlaps and what is older than
/// the cache alike. Kafka's DUPLICATE_SEQUENCE is never used by its log either (D16).
#[cold]
fn out_of_order(batch: &BatchHeader, expected: i32) -> Error {
    let text = format!(
        "the batch neither follows the last one nor repeats one of the last five exactly; send the expected sequence, \
         producer_id={} epoch={} sequence={} last_sequence={} expected={expected}",
        batch.producer_id,
        batch.epoch,
        batch.base_sequence,
        batch.last_sequence()
    );
    Error::new(ErrorKind::OutOfOrderSequence, text)
}

/// All entries, with the look-ups derived from the table.
#[derive(Debug, Default)]
pub struct Sequences {
    pub(super) table: Paged<Sequence>,
    by_key: Growing<(i64, Instance), u32>,
    by_producer: BTreeSet<(i64, Instance)>,
    by_instance: BTreeSet<(Instance, i64)>,
}

impl Sequences {
    /// Takes a loaded table; `None` if an entry is there twice.
    pub(super) fn load(table: Paged<Sequence>) -> Option<Self> {
        let mut by_key = Growing::with_room(table.count());
        for (slot, entry) in table.iter() {
            if by_key.insert((entry.producer_id, entry.instance), slot).is_some() {
                return None;
            }
        }
        // Sets are built from all their keys at once: many times as fast as one by one.
        let by_producer = table.iter().map(|(_, entry)| (entry.producer_id, entry.instance)).collect();
        let by_instance = table.iter().map(|(_, entry)| (entry.instance, entry.producer_id)).collect();
        Some(Sequences { table, by_key, by_producer, by_instance })
    }

    fn index(&mut self, producer_id: i64, instance: Instance, slot: u32) -> bool {
        self.by_producer.insert((producer_id, instance));
        self.by_instance.insert((instance, producer_id));
        self.by_key.insert((producer_id, instance), slot).is_none()
    }

    /// The entry of a producer in a partition.
    pub fn get(&self, producer_id: i64, instance: Instance) -> Option<&Sequence> {
        self.table.get(*self.by_key.get(&(producer_id, instance))?)
    }

    /// The ids of a partition's producers from an id on.
    pub fn in_partition(&self, instance: Instance, from: i64) -> impl Iterator<Item = i64> {
        self.by_instance.range((instance, from)..=(instance, i64::MAX)).map(|(_, id)| *id)
    }

    /// The verdict on the next batch of a registered producer. `fence` is the registration's epoch: an older batch is
    /// stale even where the partition has not heard of it yet, repetitions included.
    pub fn check(&self, instance: Instance, batch: &BatchHeader, fence: i16) -> Result<Verdict> {
        if batch.epoch < fence {
            return Err(stale(batch, Some(fence)));
        }
        match self.get(batch.producer_id, instance) {
            Some(entry) => entry.check(batch),
            None if batch.base_sequence == 0 => Ok(Verdict::Accept),
            None => Err(out_of_order(batch, 0)),
        }
    }

    /// Notes a batch that is in the log, whatever its sequence. Another epoch starts the cache anew (D12).
    pub fn note(&mut self, lsn: Lsn, instance: Instance, first: Offset, batch: &BatchHeader) {
        let key = (batch.producer_id, instance);
        let slot = match self.by_key.get(&key) {
            Some(slot) => *slot,
            None => {
                let slot = self.table.insert(Sequence::new(key.0, key.1, batch.epoch));
                self.index(key.0, key.1, slot);
                slot
            }
        };
        let Some(entry) = self.table.get_mut(slot) else { return };
        if entry.epoch != batch.epoch {
            *entry = Sequence::new(key.0, key.1, batch.epoch);
        }
        entry.push(CachedBatch {
            first_sequence: batch.base_sequence,
            last_sequence: batch.last_sequence(),
            first,
            timestamp: batch.max_timestamp,
            lsn,
        });
    }

    /// True if a producer has entries.
    pub fn has(&self, producer_id: i64) -> bool {
        self.by_producer.range((producer_id, 0)..=(producer_id, Instance::MAX)).next().is_some()
    }

    /// Forgets at most `most` entries of a producer; returns how many: fewer if it has no more.
    pub fn remove_producer(&mut self, producer_id: i64, most: usize) -> usize {
        let mut gone = 0;
        while gone < most
            && let Some((id, instance)) =
                self.by_producer.range((producer_id, 0)..=(producer_id, Instance::MAX)).next().copied()
        {
            self.remove(id, instance);
            gone += 1;
        }
        gone
    }

    /// Forgets at most `most` entries of neighbouring partitions; returns how many: fewer if they have no more.
    pub fn remove_partitions(&mut self, (first, last): (Instance, Instance), most: usize) -> usize {
        let mut gone = 0;
        while gone < most
            && let Some((instance, id)) = self.by_instance.range((first, i64::MIN)..=(last, i64::MAX)).next().copied()
        {
            self.remove(id, instance);
            gone += 1;
        }
        gone
    }

    fn remove(&mut self, producer_id: i64, instance: Instance) {
        self.by_producer.remove(&(producer_id, instance));
        self.by_instance.remove(&(instance, producer_id));
        if let Some(slot) = self.by_key.remove(&(producer_id, instance)) {
            self.table.remove(slot);
        }
    }
}
