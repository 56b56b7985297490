//! When raw producers wrote last: who has been idle for too long is forgotten.

use super::State;
use crate::types::{Instance, Lsn};

/// Where a walk over raw producers goes on: in front of the producer of a slot, or in the middle of its partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdleFrom {
    slot: u32,
    /// The partition to go on with, if some were seen already.
    pub within: Option<Instance>,
}

impl IdleFrom {
    /// In front of the producer of a slot.
    pub fn at(slot: u32) -> Self {
        IdleFrom { slot, within: None }
    }
}

impl State {
    /// The frame that a raw producer wrote last, its registration if it wrote nothing.
    pub fn raw_producer(&self, producer_id: i64) -> Option<Lsn> {
        let raw = self.producers.registration(producer_id).ok()?;
        Some(self.sequences.written(producer_id, 0).map(|(_, lsn)| lsn).fold(raw.opened_lsn, Lsn::max))
    }

    /// Calls `f` with raw producers and the frame each wrote last, its registration if it wrote nothing, looking at no
    /// more than `most` producers and partitions of theirs. Returns where to go on, `None` at the end. If that is
    /// within a producer, the last call told what is known of it so far, and the next walk begins with the rest.
    pub fn raw_producers(&self, from: IdleFrom, most: usize, mut f: impl FnMut(i64, Lsn)) -> Option<IdleFrom> {
        let mut left = most;
        let pages = self.producers.raw.pages(from.slot);
        let all = pages.flat_map(|(first, page)| page.entries().map(move |(at, raw)| (first + at, raw)));
        for (slot, raw) in all.skip_while(|(slot, _)| *slot < from.slot) {
            if left == 0 {
                return Some(IdleFrom::at(slot));
            }
            let rest = from.within.filter(|_| slot == from.slot);
            // Counted when it was begun.
            left -= usize::from(rest.is_none());
            let mut newest = raw.opened_lsn;
            for (instance, lsn) in self.sequences.written(raw.producer_id, rest.unwrap_or(0)) {
                if left == 0 {
                    f(raw.producer_id, newest);
                    return Some(IdleFrom { slot, within: Some(instance) });
                }
                left -= 1;
                newest = newest.max(lsn);
            }
            f(raw.producer_id, newest);
        }
        None
    }
}
