//! Transactions that are open in one partition.

use std::collections::BTreeSet;

use rustc_hash::FxHashMap;

use crate::types::Offset;

/// By producer id, of which each has one transaction at a time.
#[derive(Default)]
pub(super) struct Undecided {
    firsts: FxHashMap<i64, Offset>,
    order: BTreeSet<(Offset, i64)>,
}

impl Undecided {
    /// A producer's transaction has records from `first` on, or before.
    pub(super) fn begin(&mut self, producer_id: i64, first: Offset) {
        if let std::collections::hash_map::Entry::Vacant(entry) = self.firsts.entry(producer_id) {
            entry.insert(first);
            self.order.insert((first, producer_id));
        }
    }

    /// It is decided.
    pub(super) fn end(&mut self, producer_id: i64) {
        if let Some(first) = self.firsts.remove(&producer_id) {
            self.order.remove(&(first, producer_id));
        }
    }

    /// Where a producer's transaction begins.
    pub(super) fn first_of(&self, producer_id: i64) -> Option<Offset> {
        self.firsts.get(&producer_id).copied()
    }

    /// All of them: producer id and offset of the first record.
    pub(super) fn all(&self) -> impl Iterator<Item = (i64, Offset)> {
        self.order.iter().map(|(first, producer_id)| (*producer_id, *first))
    }

    /// True if none is open.
    pub(super) fn is_empty(&self) -> bool {
        self.firsts.is_empty()
    }

    /// The first offset that is not decided; the greatest number if all are.
    pub(super) fn from(&self) -> Offset {
        self.order.first().map_or(Offset::MAX, |(first, _)| *first)
    }
}
