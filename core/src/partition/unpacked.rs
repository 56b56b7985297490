//! What compressed batches unpack to: kept beside the bytes of a read, and how much of it one read holds.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use super::losses::{Loss, Witness};
use super::records::{Candidate, Records, RecordsIter, Share, Stretch};
use crate::error::{Error, ErrorKind, Result};
use crate::format::batch::BatchHeader;
use crate::format::compression::unpack_records;
use crate::format::frame::FRAME_HEADER;
use crate::journal::Gap;
use crate::types::{Instance, Timestamp};

/// In the order of the batches. Every walk comes to the same ones in the same order, so each finds the next one's at
/// the end of its own chain, or puts it there.
pub(super) type Chain = OnceLock<Box<Unpacked>>;

pub(super) struct Unpacked {
    /// Where the batch begins in its segment.
    position: u64,
    records: Arc<Vec<u8>>,
    next: Chain,
}

impl Drop for Unpacked {
    /// One by one: a chain may be longer than the stack is deep.
    fn drop(&mut self) {
        let mut next = self.next.take();
        while let Some(mut unpacked) = next {
            next = unpacked.next.take();
        }
    }
}

/// The batch that a read ended in the middle of, for the next one.
pub struct Rest {
    instance: Instance,
    segment: (u64, u32),
    position: u64,
    records: Arc<Vec<u8>>,
}

impl Rest {
    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.records.len()
    }
    /// The partition whose batch it is.
    pub fn instance(&self) -> Instance {
        self.instance
    }
}

/// Hears of no loss: whoever walks later does.
struct Deaf;

impl Witness for Deaf {
    fn lost(&self, _: &Loss<'_>) {}
    fn damaged(&self, _: u64, _: Range<u64>, _: u64) -> Option<Gap> {
        None
    }
}

impl Records {
    /// Unpacks the batches that a walk comes to, and ends with the one that makes it `most` bytes: what is unpacked
    /// stays as long as this, so only who unpacks knows how much a read may show. `least` is that of the walk.
    pub(crate) fn unpack_up_to(&mut self, most: usize, least: Timestamp) {
        for share in self.shares.iter_mut().filter(|share| share.packs()) {
            let witness = std::mem::replace(&mut share.witness, Arc::new(Deaf));
            let mut walk = RecordsIter::over(std::slice::from_ref(share)).at_least(least);
            while walk.held < most && walk.advance().is_some() {}
            let end = if walk.held < most { share.end } else { walk.expected };
            share.witness = witness;
            share.end_at(end);
        }
    }

    /// Bytes that compressed batches unpacked to.
    pub(crate) fn unpacked_bytes(&self) -> usize {
        let stretches = self.shares.iter().flat_map(|share| &share.stretches);
        stretches.flat_map(Stretch::chain).map(|unpacked| unpacked.records.len()).sum()
    }

    /// The compressed batch that the last record shown is not the last of.
    pub(crate) fn rest(&self) -> Option<Rest> {
        let share = self.shares.last()?;
        let stretch = share.stretches.last()?;
        let last = stretch.chain().last()?;
        let batch = stretch.header_at(last.position)?;
        let offsets = u64::try_from(batch.base_offset).ok()?..=u64::try_from(batch.last_offset()).ok()?;
        let (instance, segment) = (share.instance, (stretch.segment, stretch.generation));
        let (position, records) = (last.position, last.records.clone());
        offsets.contains(&share.end).then_some(Rest { instance, segment, position, records })
    }

    /// Takes over what the last read ended in, if this one begins in it.
    pub(crate) fn begin_in(&mut self, rest: Rest) {
        let Some(share) = self.shares.first().filter(|share| share.instance == rest.instance) else { return };
        let Some(stretch) = share.stretches.first() else { return };
        let batch = stretch.header_at(rest.position);
        let holds = |batch: BatchHeader| {
            batch.base_offset.cast_unsigned() <= share.from && share.from <= batch.last_offset().cast_unsigned()
        };
        if (stretch.segment, stretch.generation) == rest.segment && batch.is_some_and(holds) {
            let Rest { position, records, .. } = rest;
            stretch.unpacked.get_or_init(|| Box::new(Unpacked { position, records, next: Chain::new() }));
        }
    }
}

impl Share {
    /// True if a batch may be compressed.
    fn packs(&self) -> bool {
        self.stretches.iter().any(|stretch| {
            let (mut at, mut expected) = (0, stretch.first);
            while at < stretch.bytes.len() && expected < self.end {
                let Some(batch) = Candidate::read(&stretch.bytes, stretch.bare, at, expected) else { return true };
                if batch.header.compression() != 0 {
                    return true;
                }
                (at, expected) = (batch.next, batch.end);
            }
            false
        })
    }
}

impl Stretch {
    /// What its compressed batches unpacked to, as far as walks came.
    fn chain(&self) -> impl Iterator<Item = &Unpacked> {
        std::iter::successors(self.unpacked.get(), |unpacked| unpacked.next.get()).map(|unpacked| &**unpacked)
    }

    /// The header of the batch that begins there in the segment.
    fn header_at(&self, position: u64) -> Option<BatchHeader> {
        let at = usize::try_from(position.checked_sub(self.position)?).ok()?;
        BatchHeader::read(self.bytes.get(at + if self.bare { 0 } else { FRAME_HEADER }..)?)
    }
}

impl<'a> RecordsIter<'a> {
    /// What a batch unpacks to.
    #[cold]
    pub(super) fn unpack(&mut self, found: &Candidate<'a>, position: u64) -> Result<&'a [u8]> {
        let lost = || Error::new(ErrorKind::Internal, "a walk over records came to a batch out of turn; report this");
        let place = self.unpacked.ok_or_else(lost)?;
        let kept = match place.get() {
            Some(kept) if kept.position == position => kept,
            // One that does not unpack is not kept: in its place may be the one behind it.
            _ => {
                let records = Arc::new(unpack_records(&found.header, found.body)?);
                place.get_or_init(|| Box::new(Unpacked { position, records, next: Chain::new() }))
            }
        };
        self.unpacked = Some(&kept.next);
        self.held += kept.records.len();
        if kept.position == position { Ok(&kept.records) } else { Err(lost()) }
    }
}
