//! How a transaction goes to the log before it commits: past its buffer, and how that ends.

use std::sync::Arc;

use super::{FEW_OFFSETS, May, Transaction};
use crate::api::gather::Bytes;
use crate::engine::{Deciding, GivenOffsets, Judged, PlacedGroup, Refused, Streamed, passes};
use crate::error::{Error, ErrorKind, Result};
use crate::format::batch::BatchBuilder;
use crate::format::decision::Ended;
use crate::format::record::Record;
use crate::journal::Entry;
use crate::limits::BATCH_MAX;
use crate::partition::Partition;
use crate::types::Timestamp;

/// Memory is taken for a transaction's buffer in pieces of this size.
const MEMORY_PIECE: usize = 64 << 10;

impl Transaction {
    /// As `send`, but never waits: false if the record has to wait for room in the log, or for a refusal until that may
    /// be told; it is not in the transaction then. Hidden, since it is for bindings whose one thread must never wait
    /// and which come again: nothing public says both that there is no room and that there was some.
    #[doc(hidden)]
    pub fn send_now(&mut self, topic: &str, record: Record<'_>) -> Result<bool> {
        self.add_now(topic, record, May::Stream)
    }

    /// Adds a record for which memory must be taken, or room be made by streaming.
    #[cold]
    pub(super) fn send_past(
        &mut self,
        partition: &Arc<Partition>,
        record: &Record<'_>,
        timestamp: Timestamp,
        Bytes { own, all }: Bytes,
        may: May,
    ) -> Result<()> {
        let all = all.saturating_add(self.offsets_bytes);
        let fits = all <= self.holder.buffer && own <= BATCH_MAX && self.take_memory(all);
        if !fits {
            // A record that fits no batch at all is told so before anything is written for it.
            BatchBuilder::new().push(record, timestamp)?;
            if may == May::Gather {
                return Err(Error::new(ErrorKind::Busy, "the transaction would stream; call send"));
            }
            self.stream_as(may)?;
        }
        self.buffers.gather.push(partition, record, timestamp)?;
        let bytes = self.buffers.gather.bytes().saturating_add(self.offsets_bytes);
        if bytes <= self.holder.buffer && self.take_memory(bytes) {
            return Ok(());
        }
        // What was there before has gone, so this record is all there is.
        self.stream_as(may).inspect_err(|_| self.buffers.gather.clear())
    }

    /// Sends to the log what is gathered. If it may, it waits for room and until a refusal may be given; if not it
    /// answers `Busy` meanwhile, and what has gone by then has gone.
    fn stream_as(&mut self, may: May) -> Result<()> {
        if may == May::Wait {
            return self.stream(false, Entry::Waits).map_err(|refused| self.open.inner.await_refusal(&refused));
        }
        if let Some(refused) = self.refused.take() {
            return Err(self.give(refused));
        }
        // Whoever comes again and again must not compress its batch each time.
        if self.buffers.gather.tried().is_some_and(|bytes| !self.open.inner.has_room(bytes)) {
            return Err(busy());
        }
        self.stream(false, Entry::Passes).map_err(|refused| self.give(refused))
    }

    /// The refusal, if it may be given already; else it is kept until it may.
    fn give(&mut self, refused: Refused) -> Error {
        if let Some(error) = refused.given(&*self.holder.waits) {
            return error;
        }
        self.holder.waits.want(refused.lsn);
        self.refused = Some(refused);
        busy()
    }

    /// Takes memory for a buffer of so many bytes, unless all transactions together have too much.
    pub(super) fn take_memory(&mut self, bytes: usize) -> bool {
        if bytes <= self.taken {
            return true;
        }
        let more = (bytes - self.taken).next_multiple_of(MEMORY_PIECE);
        let taken = self.open.inner.buffered.take(more);
        if taken {
            self.taken += more;
        }
        taken
    }

    /// Takes so many bytes for its offsets out of what is kept for few of them, if there is enough.
    pub(super) fn take_for_offsets(&mut self, bytes: usize) -> bool {
        let more = bytes.saturating_sub(self.taken_for_offsets);
        let taken = bytes <= FEW_OFFSETS && self.open.inner.buffered_offsets.take(more);
        if taken {
            self.taken_for_offsets += more;
        }
        taken
    }

    /// Sends to the log what is gathered; the rest of it, if it `ends`.
    fn stream(&mut self, ends: bool, entry: Entry) -> Judged<()> {
        let (inner, holder, number) = (&self.open.inner, &self.holder, self.number);
        let (producer, timeout_ms) = ((holder.identity.producer_id, holder.identity.epoch), holder.timeout_ms);
        let streams = &mut self.streams;
        let check = || holder.check_doom(number);
        self.buffers.gather.stream(holder.identity, holder.compression, |part| {
            let begun = *streams;
            inner.stream(&Streamed { producer, number, begun, ends, timeout_ms, check: &check, part, entry })?;
            *streams = true;
            Ok(())
        })
    }

    /// Decides a transaction that streams; the rest of its records goes in front, in the same write.
    pub(super) fn decide(&mut self, ended: Ended, refused: Option<ErrorKind>) -> Judged<PlacedGroup> {
        if ended == Ended::Commit {
            self.stream(true, Entry::Waits)?;
        }
        let (inner, identity) = (&self.open.inner, self.holder.identity);
        let commit = ended == Ended::Commit;
        let placed = inner.decide(&Deciding {
            producer: (identity.producer_id, identity.epoch),
            number: self.number,
            ended,
            refused,
            position: self.position.filter(|_| commit),
            offsets: if commit { &self.offsets } else { GivenOffsets::NONE },
            durability: self.holder.durability,
        })?;
        self.streams = false;
        Ok(placed)
    }

    /// Aborts in the log what streams, or has somebody else do it where that cannot be written now.
    pub(super) fn abort_streamed(&mut self, refused: Option<ErrorKind>) {
        if !self.streams {
            return;
        }
        match self.decide(Ended::Abort, refused) {
            Err(refused) if passes(&refused.error) => self.open.inner.abandon(self.number),
            // It is aborted already, or the next open aborts it.
            _ => self.streams = false,
        }
    }
}

fn busy() -> Error {
    Error::new(ErrorKind::Busy, "there is no room in the log right now; send again")
}
