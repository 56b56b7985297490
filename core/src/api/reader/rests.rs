//! The compressed batches that polls of a few records ended in the middle of.

use crate::limits::UNPACKED_MAX;
use crate::partition::Rest;
use crate::types::Instance;

/// Unpacked already, so that the next poll need not do it again: all together no more than one batch may unpack to.
#[derive(Default)]
pub(super) struct Rests(Vec<Rest>);

impl Rests {
    pub(super) fn take(&mut self, instance: Instance) -> Option<Rest> {
        let at = self.0.iter().position(|rest| rest.instance() == instance)?;
        Some(self.0.remove(at))
    }

    /// The oldest make room.
    pub(super) fn keep(&mut self, rest: Rest) {
        self.0.push(rest);
        while self.0.iter().map(Rest::bytes).sum::<usize>() > UNPACKED_MAX {
            self.0.remove(0);
        }
    }
}
