//! How much one read answers: bytes as they lie in the log, bytes unpacked, records.

use super::Partition;
use super::index::Footers;
use super::plan::READ_MAX;
use super::records::Records;
use super::unpacked::Rest;
use crate::error::Result;
use crate::journal::Segments;
use crate::types::{Isolation, Offset, Timestamp};

/// The first step of a read of few records, in bytes.
const STEP: usize = 16 << 10;
/// Bytes that a record is taken for before any of them is seen.
const RECORD: u64 = 128;
/// Each step is as many times as long as the one before: what was read too soon is a third of the whole at most.
const GROWTH: usize = 4;

/// The bounds of one read. The first batch is given whole even if it is larger.
#[derive(Clone, Copy)]
pub struct Most {
    /// Bytes as they lie in the log.
    pub bytes: usize,
    /// Bytes that compressed batches unpack to; the batch that passes them is the last.
    pub unpacked: usize,
    /// Records.
    pub records: u64,
}

impl Most {
    /// Any number of records; as many bytes in the log as unpacked.
    pub fn bytes(bytes: usize) -> Self {
        Self { bytes, unpacked: bytes, records: u64::MAX }
    }
}

impl Partition {
    /// Reads records from `offset` on, within bounds; `rest` is what the read before ended in.
    ///
    /// # Errors
    /// As `read`.
    pub fn read_within(
        &self,
        (segments, footers): (&Segments, &Footers),
        offset: Offset,
        isolation: Isolation,
        most: Most,
        rest: Option<Rest>,
    ) -> Result<Records> {
        let bytes = most.bytes.min(READ_MAX);
        let few = usize::try_from(most.records.saturating_mul(RECORD)).unwrap_or(bytes);
        let mut step = few.max(STEP).min(bytes);
        let mut records = loop {
            let records = self.read(segments, footers, offset, step, isolation)?;
            let ends =
                |records: &Records| records.next_offset(self.topic(), self.number()) >= Some(self.visible(isolation));
            if step >= bytes || records.count() >= most.records || ends(&records) {
                break records;
            }
            step = step.saturating_mul(GROWTH).min(bytes);
        };
        if most.records < u64::MAX {
            records.truncate(most.records);
        }
        if let Some(rest) = rest {
            records.begin_in(rest);
        }
        records.unpack_up_to(most.unpacked.clamp(1, READ_MAX), Timestamp::MIN);
        Ok(records)
    }
}
