//! Transactions that are open in one partition.

use std::collections::BTreeSet;
use std::collections::hash_map::Entry;

use rustc_hash::FxHashMap;

use crate::types::Offset;

/// By producer id, of which each has one transaction at a time. Most partitions never have one.
#[derive(Default)]
pub(super) struct Undecided(Option<Box<Open>>);

#[derive(Default)]
struct Open {
    firsts: FxHashMap<i64, Offset>,
    order: BTreeSet<(Offset, i64)>,
}

impl Undecided {
    /// A producer's transaction has records from `first` on, or before.
    pub(super) fn begin(&mut self, producer_id: i64, first: Offset) {
        let open = self.0.get_or_insert_default();
        if let Entry::Vacant(entry) = open.firsts.entry(producer_id) {
            entry.insert(first);
            open.order.insert((first, producer_id));
        }
    }

    /// It is decided.
    pub(super) fn end(&mut self, producer_id: i64) {
        if let Some(open) = &mut self.0
            && let Some(first) = open.firsts.remove(&producer_id)
        {
            open.order.remove(&(first, producer_id));
        }
    }

    /// Where a producer's transaction begins.
    pub(super) fn first_of(&self, producer_id: i64) -> Option<Offset> {
        self.0.as_ref()?.firsts.get(&producer_id).copied()
    }

    /// All of them: producer id and offset of the first record.
    pub(super) fn all(&self) -> impl Iterator<Item = (i64, Offset)> {
        self.0.iter().flat_map(|open| &open.order).map(|(first, producer_id)| (*producer_id, *first))
    }

    /// True if none is open.
    pub(super) fn is_empty(&self) -> bool {
        self.0.as_ref().is_none_or(|open| open.firsts.is_empty())
    }

    /// The first offset that is not decided; the greatest number if all are.
    pub(super) fn from(&self) -> Offset {
        self.0.as_ref().and_then(|open| open.order.first()).map_or(Offset::MAX, |(first, _)| *first)
    }
}
