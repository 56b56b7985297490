//! What opening found, as users see it.

use super::Inner;
use crate::types::{Damage, Lost, Opening};

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
            loading: std::time::Duration::from_nanos(report.loading),
            folding: std::time::Duration::from_nanos(report.folding),
            frames_folded: report.folded.0,
            bytes_folded: report.folded.1,
        }
    }
}
