//! Appending one batch: check, place, note, write, promise.

use std::sync::Arc;

use super::hub::{Hub, note_records};
use super::promise::{Judged, Refusal};
use super::transactions::BEGUN_LEN;
use super::{Inner, Placed};
use crate::error::{Error, ErrorKind, Result};
use crate::format::batch::{BATCH_HEADER, BatchHeader};
use crate::format::bytes::{put_i32_be, put_i64_be};
use crate::format::frame::{FRAME_HEADER, records_len};
use crate::io::bugs::{Bug, planted};
use crate::journal::{Claim, Draft, Entry, Guard};
use crate::partition::Partition;
use crate::state::Verdict;
use crate::types::{Durability, Identity, Instance, Timestamp};

const RECORDS_AT: usize = FRAME_HEADER + BATCH_HEADER;

impl Inner {
    /// What records get that carry the time of their append.
    pub(super) fn append_time(&self) -> Timestamp {
        self.machine.clock.wall_ms().max(0)
    }

    /// Places a batch that lies behind 40 free bytes and whose header is `sent`. It is noted when this returns, and
    /// acknowledged only when its frame has met the level of the answer. Waits as `entry` says; a refusal is not waited
    /// for.
    pub fn append(
        &self,
        partition: &Arc<Partition>,
        sent: &BatchHeader,
        framed: &[u8],
        durability: Option<Durability>,
        entry: Entry,
    ) -> Judged<Placed> {
        self.check_writable()?;
        let (level, instance) = (durability.unwrap_or(partition.level()), partition.instance());
        let stamped = partition.stamps().then(|| {
            let mut batch = *sent;
            batch.stamp(&framed[RECORDS_AT..], self.append_time());
            batch
        });
        let sent = stamped.as_ref().unwrap_or(sent);
        let draft = Draft::records(instance, framed);
        let len = records_len(framed.len() - FRAME_HEADER) as u64;
        let room = len as usize + if sent.is_transactional() { BEGUN_LEN } else { 0 };
        let mut guard = match self.journal.enter_for(room, Claim::Growth, entry.at(level)) {
            Ok(guard) => guard,
            Err(error) => return Ok(self.without_room(error, instance, sent, level)?),
        };
        let incarnation = guard.incarnation();
        match guard.state().check_batch(instance, sent) {
            Ok(Verdict::Accept) => {}
            Ok(Verdict::Duplicate { first, last, timestamp, lsn }) => {
                self.duplicate_met();
                let lsn = if planted(Bug::DuplicateBeforeOriginal) { 0 } else { lsn };
                return Ok(Placed { lsn, level, first, last, timestamp, duplicate: true, incarnation });
            }
            Err(error) => {
                let refusal = Refusal::of(error, (sent.producer_id, sent.epoch));
                let end = guard.state().end(instance);
                return Err(self.refuse(guard, refusal.at(partition, end)));
            }
        }
        self.begin_raw(&mut guard, sent)?;
        let first = guard.state().end(instance).unwrap_or(0);
        // Not before: a copy waits for what was just written of its source.
        let mut batch = *sent;
        batch.base_offset = first.cast_signed();
        batch.leader_epoch = 0;
        let placed = guard.place(
            draft,
            level,
            |frame| {
                put_i64_be(frame, FRAME_HEADER, first.cast_signed());
                put_i32_be(frame, FRAME_HEADER + 12, 0);
                if stamped.is_some() {
                    batch.write(&mut frame[FRAME_HEADER..]);
                }
            },
            |placed, notes| note_records(notes, partition, placed, &batch, len),
        );
        guard.state().apply_records(placed.lsn, instance, &batch);
        drop(guard);
        let last = first + u64::from(batch.last_offset_delta.unsigned_abs());
        partition.placed(last + 1);
        Ok(Placed {
            lsn: placed.lsn,
            level,
            first,
            last,
            timestamp: batch.max_timestamp,
            duplicate: false,
            incarnation,
        })
    }

    /// What is here already needs no room: on a full disk a repeated batch is still answered as one.
    #[cold]
    fn without_room(&self, error: Error, instance: Instance, batch: &BatchHeader, level: Durability) -> Result<Placed> {
        match self.journal.look(|state, _| state.check_batch(instance, batch)) {
            Ok(Verdict::Duplicate { first, last, timestamp, lsn }) if error.kind() == ErrorKind::Full => {
                self.duplicate_met();
                let incarnation = self.incarnation;
                Ok(Placed { lsn, level, first, last, timestamp, duplicate: true, incarnation })
            }
            _ => Err(error),
        }
    }

    /// Row D19: the first batch of a raw transaction has the frame that begins it in front.
    #[inline]
    fn begin_raw(&self, guard: &mut Guard<'_, Hub>, batch: &BatchHeader) -> Result<()> {
        if batch.is_transactional() && guard.state().open_of(batch.producer_id).is_none() {
            let identity = Identity { producer_id: batch.producer_id, epoch: batch.epoch };
            let timeout_ms = guard.state().holder(batch.producer_id).map_or(0, |holder| holder.timeout_ms);
            let number = self.next_number()?;
            self.place_begun(guard, identity, number, timeout_ms, self.raw_flags());
        }
        Ok(())
    }
}
