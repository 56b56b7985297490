//! Raw identities and their transactions: for callers that keep producer id, epoch and sequences themselves.

use super::Inner;
use super::admin::place_at;
use super::offsets::{GivenOffsets, TopicIds};
use super::transactions::{BEGUN_LEN, Decision};
use crate::error::{Error, ErrorKind, Result};
use crate::format::control::{OffsetsBlock, PendingHead};
use crate::format::decision::{Cause, Ended};
use crate::format::frame::{FRAME_HEADER, Kind, Payload};
use crate::io::bugs::{Bug, planted};
use crate::journal::{Claim, Entry, Promise};
use crate::state::{Ending, Fate, SentOffsets};
use crate::types::{Durability, GroupMetadata, Identity, Offsets, Outcome, TransactionNumber};

impl Inner {
    /// Adds offsets to the transaction of a raw identity, which begins with them if none is open. They count when it
    /// commits.
    pub fn send_offsets(&self, identity: Identity, group: &GroupMetadata, offsets: &Offsets) -> Result<Promise<()>> {
        self.check_writable()?;
        crate::state::check_name("group", &group.group)?;
        let given = GivenOffsets::of(&group.group, offsets.clone(), TopicIds::new());
        let resolved = self.resolve(&given)?;
        let level = resolved.level.unwrap_or(self.settings.durability).max(self.settings.durability);
        let len = BEGUN_LEN + FRAME_HEADER + 24 + resolved.block.len();
        let bytes = offsets.values().map(|at| group.group.len() + at.metadata.len()).sum();
        let block = OffsetsBlock::read(&resolved.block).unwrap_or(OffsetsBlock::EMPTY);
        let sent = SentOffsets { count: offsets.len(), bytes, block };
        // On a full disk what has begun may be brought to its commit; nothing begins.
        let begun = self.journal.look(|state, _| state.open_of(identity.producer_id).is_some());
        let claim = if begun { Claim::Commit } else { Claim::Growth };
        let mut guard = self.journal.enter_for(len, claim, Entry::Waits)?;
        let checked = guard
            .state()
            .check_send_offsets(identity, &sent)
            .and_then(|number| resolved.check(guard.state(), &given).map(|()| number));
        let open = match checked {
            Ok(open) => open,
            Err(error) => return Ok(self.refusal(guard, error)),
        };
        let number = match open {
            Some(number) => number,
            None => {
                let number = self.next_number()?;
                let timeout_ms = guard.state().holder(identity.producer_id).map_or(0, |holder| holder.timeout_ms);
                self.place_begun(&mut guard, identity, number, timeout_ms, self.raw_flags());
                number
            }
        };
        if block.is_empty() {
            return Ok(Promise { lsn: guard.last_lsn(), level, answer: Ok(()) });
        }
        let pending = PendingHead { number, producer_id: identity.producer_id.max(0).unsigned_abs() };
        let mut head = Vec::new();
        pending.write(&mut head);
        let payload = Payload::PendingOffsets { head: pending, offsets: block };
        let lsn = place_at(&mut guard, Kind::PendingOffsets, &head, &resolved.block, &payload, level);
        Ok(Promise { lsn, level, answer: Ok(()) })
    }

    /// Ends the transaction of a raw identity and raises the epoch (KIP-890): the answer is the identity of the next
    /// one. A call whose answer was lost may be repeated.
    pub fn end_transaction(&self, identity: Identity, outcome: Outcome) -> Result<Promise<Identity>> {
        self.check_writable()?;
        let commit = outcome == Outcome::Commit;
        let mut guard = self.enter_to_decide(0, Claim::Decision, |state| state.open_of(identity.producer_id))?;
        let checked = guard.state().check_end(identity, commit).map(|(ending, named)| (ending, named.identity()));
        let (ending, holder) = match checked {
            Ok(found) => found,
            Err(error) => return Ok(self.refusal(guard, error)),
        };
        let number = match ending {
            Ending::Decide(number) => number,
            Ending::Repeat if planted(Bug::RepeatedEndRaises) => 0,
            // What it repeats may not be safe yet.
            Ending::Repeat => return Ok(Promise::durable(guard.last_lsn(), holder)),
        };
        let Some(next) = guard.state().raised(holder.producer_id) else {
            return Err(Error::new(ErrorKind::Internal, "the holder of an identity is gone; report this"));
        };
        if next.producer_id == i64::MAX {
            return Err(super::producers::no_more_ids());
        }
        let ended = if commit { Ended::Commit } else { Ended::Abort };
        // A new id that a power cut could take back would be given to somebody else as well.
        let renamed = next.producer_id != holder.producer_id;
        let level = Some(if renamed { Durability::Disk } else { self.settings.durability });
        let cause = Cause::Owner;
        let decision = Decision { ended, cause, told: cause.name(), next, position: None, offsets: &[], level };
        let (lsn, level) = self.place_decision(&mut guard, holder, number, &decision);
        Ok(Promise { lsn, level, answer: Ok(next) })
    }

    /// Aborts a transaction by its number, whoever owns it. Aborted before is as good.
    pub fn abort_transaction(&self, number: TransactionNumber) -> Result<Promise<()>> {
        self.check_writable()?;
        loop {
            if let Some(promise) = self.abort_open(number, Cause::Number)? {
                return Ok(promise);
            }
            match self.doom(number) {
                Some(true) => return Ok(Promise::kept(())),
                Some(false) => break,
                None => {}
            }
        }
        let text = match self.find_decision(number)? {
            Some((Fate::Aborted | Fate::TimedOut, lsn)) => return Ok(Promise::durable(lsn, ())),
            Some((Fate::Committed, _)) => "the transaction was committed, and stays so",
            None => "no such transaction is open; ask for those that are",
        };
        let error = Error::new(ErrorKind::InvalidTransactionState, format!("{text}, number={number}"));
        let lsn = self.journal.look(|_, last| last);
        Ok(Promise { lsn, level: Durability::Disk, answer: Err(error) })
    }
}
