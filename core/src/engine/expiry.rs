//! Raw producers that have written nothing for a day are forgotten whole, by a frame. The day is counted on the
//! monotonic clock while the engine is open, so neither a jump of the wall clock nor an old record timestamp shortens
//! it (Kafka counts record time, KAFKA-9144 and what followed), and nothing expires during recovery.

use rustc_hash::{FxHashMap, FxHashSet};

use super::Inner;
use super::admin::place;
use crate::error::Result;
use crate::format::control::ProducerDeleted;
use crate::format::frame::{Kind, Payload};
use crate::journal::{Claim, Entry};
use crate::limits::ENTRIES_PER_HOLD;
use crate::types::Lsn;

const SECOND: u64 = 1_000_000_000;
/// Kafka's producer.id.expiration.ms.
const EXPIRES_AFTER: u64 = 24 * 3600 * SECOND;
/// Kafka's producer.id.expiration.check.interval.ms.
const LOOK_EVERY: u64 = 600 * SECOND;

/// When each raw producer was last seen to have written.
#[derive(Default)]
pub struct Expiry {
    next_look: u64,
    seen: FxHashMap<i64, (Lsn, u64)>,
}

impl Expiry {
    /// Whose day is over, given what each wrote last.
    fn due(&mut self, now: u64, producers: &[(i64, Lsn)]) -> Vec<(i64, Lsn)> {
        let mut due = Vec::new();
        for (id, lsn) in producers {
            let seen = self.seen.entry(*id).or_insert((*lsn, now));
            if seen.0 != *lsn {
                *seen = (*lsn, now);
            } else if now.saturating_sub(seen.1) >= EXPIRES_AFTER {
                due.push((*id, *lsn));
            }
        }
        due
    }
}

impl Inner {
    /// Looks for idle raw producers every ten minutes; returns when it looks next.
    pub(super) fn expire(&self) -> Result<u64> {
        let now = self.machine.clock.monotonic();
        let mut expiry = self.expiry.lock();
        if now < expiry.next_look {
            return Ok(expiry.next_look);
        }
        expiry.next_look = now + LOOK_EVERY;
        let (mut from, mut page) = (Some(0), Vec::new());
        let mut present = FxHashSet::default();
        while let Some(slot) = from {
            page.clear();
            let tell = |id, lsn| page.push((id, lsn));
            from = self.journal.look(|state, _| state.raw_producers(slot, ENTRIES_PER_HOLD, tell));
            for (id, wrote) in expiry.due(now, &page) {
                self.forget(id, wrote)?;
            }
            present.extend(page.iter().map(|(id, _)| *id));
        }
        expiry.seen.retain(|id, _| present.contains(id));
        Ok(expiry.next_look)
    }

    /// Writes the frame, unless the producer has written since the look.
    fn forget(&self, id: i64, wrote: Lsn) -> Result<()> {
        let gone = ProducerDeleted { producer_id: id.max(0).unsigned_abs() };
        let mut head = Vec::new();
        gone.write(&mut head);
        let mut guard = self.journal.enter_for(128, Claim::Decision, Entry::Waits)?;
        if guard.state().raw_producer(id) == Some(wrote) {
            place(&mut guard, Kind::ProducerExpired, &head, &[], &Payload::ProducerExpired(gone));
        }
        drop(guard);
        self.journal.sweep();
        Ok(())
    }
}
