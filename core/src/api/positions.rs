//! The position of a name: what was placed, and how much of it has met its level.

use std::collections::VecDeque;

use crate::journal::Waits;
use crate::types::{Durability, Lsn};

/// Positions of one holder of a name, oldest first.
pub(super) struct Positions {
    reached: Option<u64>,
    /// The last position, and the frame that holds it; 0 for one that the log held when the name was opened.
    last: Option<(u64, Lsn)>,
    placed: VecDeque<(u64, Lsn, Durability)>,
}

impl Positions {
    /// `reached` is what the log holds, durably, when the name is opened.
    pub(super) fn new(reached: Option<u64>) -> Self {
        Self { reached, last: reached.map(|position| (position, 0)), placed: VecDeque::new() }
    }

    /// A frame with this position has its place.
    pub(super) fn place(&mut self, position: u64, lsn: Lsn, level: Durability, waits: &dyn Waits) {
        self.settle(waits);
        self.last = Some((position, lsn));
        self.placed.push_back((position, lsn, level));
    }

    /// The last position that was placed, with its frame.
    pub(super) fn last(&self) -> Option<(u64, Lsn)> {
        self.last
    }

    /// The strongest level that any frame up to the last one still waits for: who answers for all of them, as a
    /// duplicate does, waits for that.
    pub(super) fn strongest(&self) -> Option<Durability> {
        self.placed.iter().map(|(_, _, level)| *level).max()
    }

    /// The last position that has met its level.
    pub(super) fn reached(&mut self, waits: &dyn Waits) -> Option<u64> {
        self.settle(waits);
        self.reached
    }

    fn settle(&mut self, waits: &dyn Waits) {
        while let Some((position, lsn, level)) = self.placed.front()
            && matches!(waits.reached(*lsn, *level), Some(Ok(())))
        {
            self.reached = Some(*position);
            self.placed.pop_front();
        }
    }
}
