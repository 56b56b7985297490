//! What opening found, and what the journal counts, as users see it.

use std::sync::atomic::Ordering;

use super::Inner;
use crate::types::{Counters, Damage, Lost, Opening};

impl Inner {
    /// What opening found and did.
    pub fn opening(&self) -> Opening {
        let report = &self.report;
        let damage = |hole: &crate::journal::Hole| Damage {
            first_lsn: hole.first,
            last_lsn: hole.last,
            file: crate::format::files::SegmentHeader::name(hole.place.segment, 0),
            position: hole.place.position,
            records_only: hole.records_only,
        };
        Opening {
            created: report.created,
            incarnation: self.incarnation,
            frames_copied: report.copied,
            cut: report.cut.map(|(last_kept, last_seen, bytes)| Lost { last_kept, last_seen, bytes }),
            damage: report.holes.iter().map(damage).collect(),
        }
    }

    /// What the journal counts.
    pub fn counters(&self) -> Counters {
        let counted = self.journal.counters();
        Counters {
            groups_written: counted.groups.load(Ordering::Relaxed),
            flushes: counted.flushes.load(Ordering::Relaxed),
            late_rolls: counted.late_rolls.load(Ordering::Relaxed),
            checkpoints: counted.checkpoints.load(Ordering::Relaxed),
        }
    }
}
