//! Transactions that lie in the log before they are decided: their batches, their decision, their abort by whoever
//! may.

use super::Inner;
use super::event::Event;
use super::gather::{GatheredPart, PlacedGroup};
use super::hub::{Hub, note_records};
use super::offsets::GivenOffsets;
use super::promise::Judged;
use crate::error::{Error, ErrorKind, Result};
use crate::format::batch::{BATCH_HEADER, BatchHeader};
use crate::format::bytes::{put_i32_be, put_i64_be};
use crate::format::control::{BEGUN_KEPT, BEGUN_RAW, Begun, OffsetsBlock};
use crate::format::decision::{Cause, DECISION_HEAD, Decided, DecisionHead, Ended, SPAN, Span};
use crate::format::frame::{self, FRAME_HEADER, Kind, Payload, records_len};
use crate::io::bugs::{Bug, planted};
use crate::journal::{Claim, Draft, Entry, Guard, Promise};
use crate::limits::TRANSACTION_PARTITIONS;
use crate::state::{OpenTransaction, State};
use crate::types::{Durability, Identity, Lsn, TransactionNumber};

/// Bytes of the frame that begins a transaction.
pub(super) const BEGUN_LEN: usize = 80;

/// Bytes of a decision on a transaction that reached so many partitions, beside its offsets.
fn decision_len(partitions: usize) -> usize {
    FRAME_HEADER + DECISION_HEAD + partitions * SPAN + 8
}

/// A batch of a transaction that outgrew its buffer.
pub struct Streamed<'a> {
    /// Id and epoch of its name.
    pub producer: (i64, i16),
    /// The transaction.
    pub number: TransactionNumber,
    /// Something of it lies in the log already.
    pub begun: bool,
    /// It commits next: this is the rest of it, and may use the reserve of a full disk as every commit.
    pub ends: bool,
    /// How long it may stay open, milliseconds; 0: for ever.
    pub timeout_ms: u32,
    /// Refuses it if somebody has aborted it while it was memory only.
    pub check: &'a dyn Fn() -> Result<()>,
    /// The batch, with the producer's id and epoch in it.
    pub part: GatheredPart<'a>,
    /// Whether it waits for room; if not the answer may be `Busy`.
    pub entry: Entry,
}

/// How such a transaction is to end.
pub struct Deciding<'a> {
    /// Id and epoch of its name.
    pub producer: (i64, i16),
    /// The transaction.
    pub number: TransactionNumber,
    /// Whether it is part of the log from now on.
    pub ended: Ended,
    /// Why it is not: the kind of the error that it is aborted for, if it is one.
    pub refused: Option<ErrorKind>,
    /// The position it carries.
    pub position: Option<u64>,
    /// The offsets it commits.
    pub offsets: &'a GivenOffsets,
    /// Its level, if it names one.
    pub durability: Option<Durability>,
}

/// A decision before its frame is made.
pub(super) struct Decision<'a> {
    pub ended: Ended,
    pub cause: Cause,
    /// The cause of an abort as it is told.
    pub told: &'static str,
    pub next: Identity,
    pub position: Option<u64>,
    pub offsets: &'a [u8],
    /// Its level at least; without one, and without a topic that has one, it is the engine's.
    pub level: Option<Durability>,
}

impl Inner {
    /// Places a batch of a transaction that is not decided. Nobody waits for it: the decision's flush takes it along.
    pub fn stream(&self, streamed: &Streamed<'_>) -> Judged<()> {
        self.check_writable()?;
        let Streamed { producer, number, begun, ends, timeout_ms, check, part, entry } = streamed;
        let framed = part.framed;
        let mut batch = BatchHeader::read(framed.get(FRAME_HEADER..).unwrap_or_default())
            .ok_or_else(|| Error::new(ErrorKind::Internal, "a streamed batch is shorter than its header"))?;
        let instance = part.partition.instance();
        if part.partition.stamps() {
            batch.stamp(&framed[FRAME_HEADER + BATCH_HEADER..], self.append_time());
        }
        let draft = Draft::records(instance, framed);
        let len = records_len(framed.len() - FRAME_HEADER);
        let claim = if *ends { Claim::Commit } else { Claim::Growth };
        let mut guard = if *begun {
            self.journal.enter_for(len, claim, *entry)?
        } else {
            self.enter_deciding(len + BEGUN_LEN, claim, *entry, |state| state.open_of(producer.0))?
        };
        // One that its owner has let go, and for whose abort there was no room then.
        let left = guard.state().open_of(producer.0).copied();
        if let Some(left) = left.filter(|left| !begun && !left.is_raw() && left.epoch == producer.1) {
            self.place_abort(&mut guard, &left, Cause::Owner);
        }
        let state = guard.state();
        let checked = if *begun { Ok(()) } else { check() };
        let checked = checked
            .and_then(|()| state.check_stream(*producer, *number, *begun, instance))
            .and_then(|()| state.check_place(instance, batch.last_offset_delta).map(drop));
        if let Err(error) = checked {
            return Err(self.refuse(guard, error));
        }
        if !begun {
            self.place_begun(
                &mut guard,
                Identity { producer_id: producer.0, epoch: producer.1 },
                *number,
                *timeout_ms,
                0,
            );
        }
        self.place_records(&mut guard, draft, part, batch, len as u64);
        Ok(())
    }

    /// Places a records frame at the partition's end and notes it.
    pub(super) fn place_records(
        &self,
        guard: &mut Guard<'_, Hub>,
        draft: Draft<'_>,
        part: &GatheredPart<'_>,
        mut batch: BatchHeader,
        len: u64,
    ) {
        let instance = part.partition.instance();
        let first = guard.state().end(instance).unwrap_or(0);
        batch.base_offset = first.cast_signed();
        batch.leader_epoch = 0;
        let placed = guard.place(
            draft,
            Durability::Memory,
            |frame| {
                put_i64_be(frame, FRAME_HEADER, first.cast_signed());
                put_i32_be(frame, FRAME_HEADER + 12, 0);
                if part.partition.stamps() {
                    batch.write(&mut frame[FRAME_HEADER..]);
                }
            },
            |placed, notes| note_records(notes, part.partition, placed, &batch, len),
        );
        guard.state().apply_records(placed.lsn, instance, &batch);
    }

    /// Places the frame that begins a transaction in the log, and has it watched.
    pub(super) fn place_begun(
        &self,
        guard: &mut Guard<'_, Hub>,
        identity: Identity,
        number: TransactionNumber,
        timeout_ms: u32,
        flags: u16,
    ) {
        let begun = Begun {
            producer_id: identity.producer_id.cast_unsigned(),
            epoch: identity.epoch.cast_unsigned(),
            flags,
            timeout_ms,
            number,
            wall_ms: self.machine.clock.wall_ms().max(0).cast_unsigned(),
        };
        let mut head = Vec::with_capacity(32);
        begun.write(&mut head);
        super::admin::place_at(guard, Kind::Begun, &head, &[], &Payload::Begun(begun), Durability::Memory);
        if flags & BEGUN_RAW != 0 {
            // Of others that was said when they began in memory.
            self.transaction_begun();
        }
        self.watch_transaction(number, timeout_ms);
    }

    /// The flags of a raw transaction that begins now.
    pub(super) fn raw_flags(&self) -> u16 {
        if self.settings.keep_raw_transactions { BEGUN_RAW | BEGUN_KEPT } else { BEGUN_RAW }
    }

    /// Decides a transaction of a transactional producer. Refused if its holder was fenced, or it is open no more.
    pub fn decide(&self, deciding: &Deciding<'_>) -> Judged<PlacedGroup> {
        self.check_writable()?;
        let resolved = self.resolve(deciding.offsets)?;
        let (offsets, number) = (resolved.block.len(), deciding.number);
        let mut guard = self.enter_to_decide(offsets, Claim::Decision, |state| state.open_transaction(number))?;
        let incarnation = guard.incarnation();
        let (producer_id, epoch) = deciding.producer;
        let state = guard.state();
        let checked = state
            .check_producer(producer_id, epoch)
            .and_then(|()| state.check_still_open(producer_id, deciding.number))
            .and_then(|()| check_position(state, producer_id, deciding.position))
            .and_then(|()| resolved.check(state, deciding.offsets));
        if let Err(error) = checked {
            return Err(self.refuse(guard, error));
        }
        let level = resolved.level.max(deciding.durability);
        let decision = Decision {
            ended: deciding.ended,
            cause: Cause::Owner,
            told: deciding.refused.map_or(Cause::Owner.name(), ErrorKind::name),
            next: Identity { producer_id, epoch },
            position: deciding.position,
            offsets: &resolved.block,
            level,
        };
        let (lsn, level) = self.place_decision(&mut guard, Identity { producer_id, epoch }, deciding.number, &decision);
        Ok(PlacedGroup { lsn, level, incarnation, firsts: Vec::new(), duplicate: false })
    }

    /// Takes the lock with room for the decision on an open transaction, and `more` bytes beside it. It asks for no
    /// more than that decision takes: on a full disk a decision on a thousand partitions would not fit a small reserve.
    pub(super) fn enter_to_decide(
        &self,
        more: usize,
        claim: Claim,
        open: impl for<'s> Fn(&'s State) -> Option<&'s OpenTransaction>,
    ) -> Result<Guard<'_, Hub>> {
        self.enter_deciding(more, claim, Entry::Waits, open)
    }

    /// The same for who comes in otherwise.
    fn enter_deciding(
        &self,
        more: usize,
        claim: Claim,
        entry: Entry,
        open: impl for<'s> Fn(&'s State) -> Option<&'s OpenTransaction>,
    ) -> Result<Guard<'_, Hub>> {
        let mut room = 0;
        loop {
            let mut guard = self.journal.enter_for(more + decision_len(room), claim, entry)?;
            let state = guard.state();
            let partitions = open(state).map_or(0, |open| state.open_spans(open.number).len());
            if partitions <= room {
                return Ok(guard);
            }
            // It may reach more of them while there is no lock, but not without end.
            room = partitions;
        }
    }

    /// Places a decision on an open transaction, or the abort of none. The answer's level is the strongest of the
    /// partitions it reached, those of the offsets that it commits among them. Room for it was made.
    pub(super) fn place_decision(
        &self,
        guard: &mut Guard<'_, Hub>,
        producer: Identity,
        number: TransactionNumber,
        decision: &Decision<'_>,
    ) -> (Lsn, Durability) {
        let spans = guard.state().open_spans(number);
        debug_assert!(spans.len() <= TRANSACTION_PARTITIONS);
        let open = guard.state().open_transaction(number).is_some();
        let pending = guard.state().open_pending(number).into_iter();
        let pending: Vec<_> = pending.filter_map(|instance| self.hub.partition(instance)).collect();
        // What a commit makes of pending offsets is as safe as their topics ask.
        let committed = if decision.ended == Ended::Commit { &*pending } else { &[] };
        let reached = spans.iter().filter_map(|span| self.hub.partition(span.instance));
        let levels = reached.map(|partition| partition.level()).chain(committed.iter().map(|p| p.level()));
        let level = levels.chain(decision.level).max().unwrap_or(self.settings.durability);
        let decided = Decided {
            producer: (producer.producer_id, producer.epoch),
            ended: decision.ended,
            cause: decision.cause,
            number,
            position: decision.position,
            next: (decision.next.producer_id, decision.next.epoch),
        };
        let (mut head, mut bytes) = (Vec::new(), Vec::new());
        decided.write(&mut head, &spans);
        frame::encode(&mut bytes, Kind::Decision, 0, &head, decision.offsets);
        let (Some(head), Some(offsets)) = (DecisionHead::read(&head), OffsetsBlock::read(decision.offsets)) else {
            return (guard.last_lsn(), level);
        };
        let placed = guard.place(
            Draft::Copied(&bytes),
            level,
            |_| (),
            |placed, notes| self.hub.note_decision(placed, &head, notes),
        );
        guard.state().apply(placed.lsn, &Payload::Decision { head, offsets });
        self.forget_transaction(number);
        // Who waits to be told where a group stands looks again.
        pending.iter().for_each(|partition| partition.wake());
        if open {
            self.transaction_decided(decision.ended == Ended::Commit);
        }
        if open && decision.ended == Ended::Abort {
            self.teller.note(|| self.aborted(producer, number, decision.told, &spans));
        }
        (placed.lsn, level)
    }

    /// Places the abort of a transaction by somebody who is not its owner. A raw one's epoch is raised, so that its
    /// owner hears of it with the next call (KAFKA-19367).
    pub(super) fn place_abort(
        &self,
        guard: &mut Guard<'_, Hub>,
        open: &OpenTransaction,
        cause: Cause,
    ) -> (Lsn, Durability) {
        let producer = Identity { producer_id: open.producer_id, epoch: open.epoch };
        let kept = cause == Cause::Timeout && planted(Bug::EpochKeptAtTimeout);
        let raised = guard.state().raised(open.producer_id).filter(|_| open.is_raw() && !kept);
        let next = raised.unwrap_or(producer);
        let ended = Ended::Abort;
        let told = cause.name();
        let decision = Decision { ended, cause, told, next, position: None, offsets: &[], level: None };
        self.place_decision(guard, producer, open.number, &decision)
    }

    /// Aborts a transaction if it is open in the log. `None`: it is not.
    pub(super) fn abort_open(&self, number: TransactionNumber, cause: Cause) -> Result<Option<Promise<()>>> {
        let mut guard = self.enter_to_decide(0, Claim::Decision, |state| state.open_transaction(number))?;
        let Some(open) = guard.state().open_transaction(number).copied() else { return Ok(None) };
        let (lsn, level) = self.place_abort(&mut guard, &open, cause);
        drop(guard);
        Ok(Some(Promise { lsn, level, answer: Ok(()) }))
    }

    /// What is told of an abort in the log.
    fn aborted(&self, of: Identity, number: TransactionNumber, cause: &'static str, spans: &[Span]) -> Event {
        let Identity { producer_id, epoch } = of;
        let place = spans.iter().find_map(|span| Some((self.hub.partition(span.instance)?, span.first)));
        let place = place.map(|(first, offset)| (first.topic().clone(), first.number(), offset, spans.len()));
        Event::Aborted { number, producer_id, epoch, cause, place }
    }

    /// Aborts what is open in the log and may not stay so: at the open what the last life left, at the close what this
    /// one did. Returns the last abort's frame. What stays open, or finds no room, is watched from now on.
    pub(super) fn abort_left_over(&self, cause: Cause) -> Result<Option<Lsn>> {
        let (mut next, mut last) = (Some(1), None);
        while let Some(open) = next.and_then(|next| self.journal.look(|state, _| state.open_from(next).copied())) {
            next = open.number.checked_add(1);
            if cause == Cause::Reopen {
                self.transaction_begun();
            }
            if open.is_kept() || planted(Bug::OpenLeftOnReopen) {
                let timeout_ms = if planted(Bug::KeptForEver) { 0 } else { open.timeout_ms };
                self.watch_transaction(open.number, timeout_ms);
                continue;
            }
            match self.abort_open(open.number, cause) {
                Ok(promise) => last = promise.map(|promise| promise.lsn).or(last),
                Err(error) if error.kind() == ErrorKind::Full => self.abort_later(open.number, cause),
                Err(error) => return Err(error),
            }
        }
        Ok(last)
    }
}

/// Refuses a position that does not follow the name's last one.
pub(super) fn check_position(state: &State, producer_id: i64, position: Option<u64>) -> Result<()> {
    if let Some(position) = position
        && let Some((stored, _)) = state.position(producer_id)
        && position <= stored
    {
        let text = "positions of a name only grow; send one above the last";
        return Err(Error::new(ErrorKind::InvalidArgument, format!("{text}, position={position} last={stored}")));
    }
    Ok(())
}
