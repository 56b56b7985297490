//! What opening found, as users see it.

use super::Inner;
use crate::error::Result;
use crate::types::{Damage, Lost, Opening, Verification};

impl Inner {
    /// What opening found and did.
    pub fn opening(&self) -> Opening {
        let report = &self.report;
        Opening {
            created: report.created,
            incarnation: self.incarnation,
            frames_copied: report.copied,
            cut: report.cut.map(|(last_kept, last_seen, bytes)| Lost { last_kept, last_seen, bytes }),
            damage: report.holes.iter().map(Damage::from).collect(),
            loading: std::time::Duration::from_nanos(report.loading),
            folding: std::time::Duration::from_nanos(report.folding),
            frames_folded: report.folded.0,
            bytes_folded: report.folded.1,
        }
    }

    /// Reads what is durable of the segment behind that one and verifies it. Answers its number; `None` behind the
    /// last.
    pub fn verify_behind(&self, segment: u64, found: &mut Verification) -> Result<Option<u64>> {
        self.check_open()?;
        let segments = self.journal.segments();
        let Some(number) = segments.after(segment) else { return Ok(None) };
        segments.verify(number, self.journal.durable_lsn(), found)?;
        Ok(Some(number))
    }
}
