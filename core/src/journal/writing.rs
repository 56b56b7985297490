//! Writing a group: one leader at a time, who hands on to the next what both need.

use std::sync::Arc;

use super::core::Group;
use super::crowd::Habit;
use super::segment::Segment;
use super::turns::Choice;
use super::{Fold, Journal};
use crate::error::Result;
use crate::io::bugs::{Bug, planted};
use crate::io::sync::atomic::Ordering;

/// What one leader of a write hands to the next.
pub(super) struct Writing<N> {
    /// The group that is placed in while this one is written: empty, with its buffers.
    spare: Group<N>,
    /// The segment that was written to last, and is likely to be written to next; while a group is written, all that it
    /// may lie in.
    segments: Vec<Arc<Segment>>,
    habit: Habit,
    choice: Choice,
}

impl<N: Default> Default for Writing<N> {
    fn default() -> Self {
        Writing { spare: Group::default(), segments: Vec::new(), habit: Habit::default(), choice: Choice::default() }
    }
}

fn numbered(segments: &[Arc<Segment>], number: u64) -> Option<&Segment> {
    segments.iter().map(|segment| &**segment).find(|segment| segment.header.number == number)
}

impl<F: Fold> Journal<F> {
    /// Writes the open group, unless somebody is writing right now; `together` with those who are about to come.
    pub(super) fn lead_write(&self, together: bool) -> Result<bool> {
        let Some(mut baton) = self.write.take() else { return Ok(false) };
        self.check().map_err(|_| self.indeterminate())?;
        if together {
            baton.habit.gather_at_once(&self.machine, &self.writers);
        }
        let came = self.writers.count();
        let result = self.write_group(&mut baton).inspect_err(|_| baton.spare = Group::default());
        baton.habit.ended(&self.writers, came, 0);
        if planted(Bug::EventBeforeBaton) {
            self.progress.happen();
            return result.map(|()| true);
        }
        // The event comes after the baton is free: whoever it wakes can lead.
        drop(baton);
        self.progress.happen();
        result.map(|()| true)
    }

    fn write_group(&self, writing: &mut Writing<F::Notes>) -> Result<()> {
        let Writing { spare: group, segments, choice, .. } = writing;
        if !group.chunks.is_empty() {
            // Of a leader who did not come to his end: nobody knows what of it is written, and what comes behind it
            // would be called written with it.
            return Err(self.poison("a write ended in a panic", std::io::Error::other("its thread unwound")));
        }
        let mut left = Vec::new();
        {
            let mut core = self.core.lock();
            if core.group.chunks.is_empty() {
                return Ok(());
            }
            std::mem::swap(&mut core.group, group);
            if group.chunks.iter().any(|chunk| numbered(segments, chunk.segment).is_none()) {
                let unsynced = core.unsynced.iter().map(|unsynced| unsynced.segment.clone()).collect();
                left = std::mem::replace(segments, unsynced);
            }
        }
        // Without the lock: it may be the last that has the file open.
        drop(left);
        for chunk in &group.chunks {
            let written = match numbered(segments, chunk.segment) {
                Some(segment) => segment.write(&chunk.data, chunk.position),
                None => Err(std::io::ErrorKind::NotFound.into()),
            };
            written.map_err(|e| self.poison("a write failed", e))?;
        }
        for chunk in &group.chunks {
            if !chunk.whole {
                self.segments.tail.add(chunk.segment, chunk.position, &chunk.data);
            }
        }
        self.shown.store(group.last_lsn, Ordering::Release);
        self.fold.written(&mut group.notes);
        let (before, last) = (self.written_lsn(), group.last_lsn);
        if planted(Bug::WrittenBeforeCounted) {
            self.written.store(last, Ordering::Release);
        }
        // Counted first: whoever is told that a frame is written finds it counted.
        self.counters.group(before, last, group.bytes);
        self.written.store(last, Ordering::Release);
        let look = || (self.machine.clock.monotonic(), self.writers.count());
        if let Some(turns) = choice.wrote(last - before, look) {
            self.turns.set(self.machine.park.turns(turns));
        }
        group.clear();
        // What is left behind is not held open.
        if segments.len() > 1 {
            segments.drain(..segments.len() - 1);
        }
        Ok(())
    }
}
