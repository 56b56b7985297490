//! Raw transactions: identities that their callers keep, with batches and offsets of theirs; ended by their owner, by
//! their time, by number, by a newer holder, with their id, by the close.

use oncelog::{ErrorKind, GroupMetadata, Offsets, Outcome, TopicPartition, TransactionStatus};

use super::appends::Sent;
use super::groups::GROUPS;
use super::streams::TIMEOUT;
use super::*;
use crate::model::raw::{Ending, FRESH, Holder, Pending as PendingOffset};
use crate::model::{Cell, sequence_after};

/// Transactional ids of raw transactions.
pub const NAMES: [&str; 2] = ["gateway", "bridge"];
/// Transactions of a run whose decisions are asked for in each life.
const NUMBERS_KEPT: usize = 64;
/// Numbers from here on stand for transactions that a log that is broken does not tell of.
const UNTOLD: u64 = 1 << 63;

/// A raw transaction that is open.
#[derive(Clone, Debug)]
pub struct OpenRaw {
    pub name: String,
    pub identity: Identity,
    pub number: u64,
    /// The operation that began it.
    pub begun: OpId,
    /// When its time is up, monotonic nanoseconds.
    pub deadline: u64,
}

impl Driver {
    /// An id was given to a raw producer.
    pub fn issued(&mut self, id: i64) -> Check {
        match self.issued.insert(id) {
            true => Ok(()),
            false => Err(format!("I9: producer id {id} was issued twice")),
        }
    }

    fn any_holder(&mut self) -> Option<(String, Holder)> {
        // Whose id was never told nobody can use.
        let all: Vec<_> = self.history.holders().into_iter().filter(|(_, holder)| holder.id != FRESH).collect();
        (!all.is_empty()).then(|| all[self.rng.index(all.len())].clone())
    }

    /// An identity that nobody has under a transactional id.
    fn stranger(&mut self) -> Identity {
        match self.identities.is_empty() {
            true => Identity { producer_id: 1_000_000 + self.rng.below(5) as i64, epoch: 0 },
            false => self.identities[self.rng.index(self.identities.len())],
        }
    }

    /// An identity that a call may come with: mostly the holder's own, else one of before, or one never issued.
    fn some_identity(&mut self, holder: &Holder) -> Identity {
        let own = holder.identity();
        match self.rng.below(12) {
            0 | 1 if holder.before().producer_id >= 0 => holder.before(),
            2 if holder.epoch > 1 => Identity { epoch: own.epoch - 2, ..own },
            3 => Identity { epoch: own.epoch + 1, ..own },
            _ => own,
        }
    }

    /// Notes that an id is held by somebody else from now on.
    fn becomes(&mut self, name: &str, what: &str, next: Option<&Holder>, more: Sets) -> OpId {
        let mut sets = vec![(Cell::Holder(name.to_owned()), next.map(Holder::text))];
        sets.extend(more);
        self.history.begin(format!("{what} of {name}: {:?}, {:?}", next.map(Holder::text), &sets[1..]), vec![], sets)
    }

    /// The log named the holder: whom it names is whom the model foresees, but for an id that is new.
    fn named(&mut self, id: OpId, next: &Holder, told: Identity) -> Check {
        let mut next = *next;
        if next.id == FRESH {
            self.issued.insert(told.producer_id);
            next.id = told.producer_id;
        }
        if next.identity() != told {
            return Err(format!("I9: {} answered {told:?}, due is {next:?}", self.history.name(id)));
        }
        self.history.ops[id].sets[0].1 = Some(next.text());
        Ok(())
    }

    /// A raw transaction is decided, at this level if that was answered.
    fn let_go(&mut self, number: u64, level: Option<Durability>) {
        self.raws.retain(|open| open.number != number);
        for part in self.history.streamed_to(number) {
            let shown = self.history.topic(&part.topic).map(|topic| self.shown_level(&topic));
            if level.is_none() || level < shown {
                self.life().unsettled.push(part);
            }
        }
    }

    /// Opens a transactional id, or renews the identity of its holder.
    pub fn raw_init(&mut self) -> Check {
        let name = NAMES[self.rng.index(NAMES.len())];
        let holder = self.history.holder(name);
        let current = match (&holder, self.rng.below(8)) {
            (Some(holder), 0..=2) => Some(self.some_identity(holder)),
            (Some(holder), 3) => Some(Identity { epoch: holder.repeats.max(0), ..holder.identity() }),
            (None, 0) => Some(self.stranger()),
            _ => None,
        };
        self.note(format!("init {name} as {current:?}, held by {holder:?}"));
        let engine = self.engine();
        let steps = match holder.map_or(Ok(vec![Holder::new(FRESH)]), |holder| holder.opened(current)) {
            Ok(steps) => steps,
            Err(kind) => {
                return match engine.init_producer(Some(name), TIMEOUT, current) {
                    Err(error) => self.failed(None, &error, &[kind]),
                    Ok(_) => self.must_fail("I9: an old identity's init", kind),
                };
            }
        };
        let open = holder.map_or(0, |holder| holder.open);
        let ids: Vec<OpId> = steps.iter().map(|step| self.becomes(name, "init", Some(step), vec![])).collect();
        if open != 0 {
            self.history.ops[ids[0]].decides = Some((open, false));
        }
        match engine.init_producer(Some(name), TIMEOUT, current) {
            Err(error) => {
                if error.kind() == ErrorKind::Indeterminate {
                    self.let_go(open, None);
                }
                ids.into_iter().try_for_each(|id| self.failed(Some(id), &error, &[]))
            }
            Ok(told) => {
                self.let_go(open, Some(Durability::Disk));
                let last = steps.len() - 1;
                if steps[last].id == FRESH {
                    self.issued(told.producer_id)?;
                }
                for (n, (id, step)) in ids.into_iter().zip(&steps).enumerate() {
                    let producer_id = if step.id == FRESH { told.producer_id } else { step.id };
                    let due = Identity { producer_id, epoch: step.epoch };
                    self.named(id, step, if n == last { told } else { due })?;
                    self.history.acked(id, Durability::Disk, None, &[])?;
                }
                Ok(())
            }
        }
    }

    /// A batch under a transactional id, mostly the next one of its transaction.
    pub fn raw_batch(&mut self) -> Check {
        let Some((_, holder)) = self.any_holder() else { return self.raw_init() };
        let Some((part, _)) = self.any_part() else { return self.create_topic() };
        if self.rng.chance(1, 10) {
            return self.retry_one();
        }
        let who = self.some_identity(&holder);
        let (epoch, next) = self.next_sequence(&part, who.producer_id);
        let next = if epoch == who.epoch { next } else { 0 };
        let first = match self.rng.below(12) {
            0 => sequence_after(next, 1),
            1 => (next - 1 - self.rng.below(6) as i32).max(0),
            _ => next,
        };
        let (count, transactional) = (1 + self.rng.index(4), !self.rng.chance(1, 10));
        self.append(Some(Sent { part, who, first, count, transactional }))
    }

    /// A transactional batch was placed: its transaction is open, if it was not before.
    pub fn streamed_raw(&mut self, id: OpId, who: Identity) -> Check {
        let number = self.open_raw(id, who)?;
        self.history.ops[id].streamed = Some(number);
        Ok(())
    }

    /// The open transaction of an identity; operation `id` has begun it if there was none.
    fn open_raw(&mut self, id: OpId, who: Identity) -> Result<u64, String> {
        let mut holders = self.history.holders().into_iter();
        let (name, holder) = holders.find(|(_, h)| h.identity() == who).ok_or("an unknown identity was taken")?;
        if let Some(open) = self.raws.iter().find(|open| open.number == holder.open) {
            self.history.ops[id].behind = Some(open.begun);
            return Ok(open.number);
        }
        let all = self.engine().describe_transactions().unwrap_or_default();
        let number = match all.iter().find(|told| told.identity == who && told.raw) {
            Some(told) if self.numbers.insert(told.number) => told.number,
            Some(told) => return Err(format!("I4: transaction number {} was given out twice", told.number)),
            None if self.armed || self.history.poisoned.is_some() => UNTOLD + id as u64,
            None => return Err(format!("I6: the transaction of {who:?} has begun, and is not described")),
        };
        let begun = self.becomes(&name, "begin", Some(&Holder { open: number, ..holder }), vec![]);
        let (from, to) = (self.history.ops[id].from, self.history.ops[id].to);
        let op = &mut self.history.ops[begun];
        (op.from, op.to, op.begins) = (from, to, Some(number).filter(|number| *number < UNTOLD));
        self.history.ops[id].behind = Some(begun);
        if self.life().keeps {
            self.history.kept.insert(number);
        }
        let deadline = self.now() + TIMEOUT.as_nanos() as u64;
        self.raws.push(OpenRaw { name, identity: who, number, begun, deadline });
        Ok(number)
    }

    /// Offsets that the transaction of an identity commits, if it does.
    pub fn raw_offsets(&mut self) -> Check {
        let Some((_, holder)) = self.any_holder() else { return self.raw_init() };
        let group = GROUPS[self.rng.index(GROUPS.len())];
        let Some((mut offsets, mut sets)) = self.some_offsets(group) else { return self.create_topic() };
        let stranger = self.rng.chance(1, 20);
        let who = if stranger { self.stranger() } else { self.some_identity(&holder) };
        let mut refused = (who != holder.identity()).then_some(ErrorKind::StaleEpoch);
        if stranger {
            refused = Some(ErrorKind::UnknownTransactionalId);
        }
        match self.rng.below(20) {
            0 => (offsets, sets) = (Offsets::new(), vec![]),
            1 => {
                let (tp, value) = offsets.pop_first().expect("one at least");
                offsets.insert(TopicPartition::new(tp.topic, 9_999), value);
                refused = refused.or(Some(ErrorKind::UnknownTopicOrPartition));
            }
            _ => {}
        }
        let what = format!("send offsets of {group} by {who:?}: {sets:?}");
        self.note(format!("{what}, refused: {refused:?}"));
        let level = self.level_of(offsets.keys().map(|tp| tp.topic.clone()).collect()).max(self.level);
        let id = self.history.begin(what, vec![], vec![]);
        let answer = self.engine().send_offsets(who, &GroupMetadata { group: group.to_owned() }, &offsets);
        match (answer, refused) {
            (Ok(()), Some(kind)) => self.must_fail("the offsets", kind),
            (Ok(()), None) => {
                self.note_pending(id, who, sets)?;
                self.history.acked(id, level, None, &[])
            }
            (Err(error), refused) => {
                if error.kind() == ErrorKind::Indeterminate && refused.is_none() {
                    self.note_pending(id, who, sets)?;
                }
                self.failed(Some(id), &error, refused.as_slice())
            }
        }
    }

    fn note_pending(&mut self, id: OpId, who: Identity, sets: Sets) -> Check {
        let number = self.open_raw(id, who)?;
        for (cell, value) in sets {
            let Cell::Offset(_, topic, _) = &cell else { continue };
            let Some(born) = self.history.topic(topic).map(|topic| topic.born) else { continue };
            let value = value.expect("what is sent is an offset");
            self.history.pending.push(PendingOffset { op: id, number, cell, born, value });
        }
        Ok(())
    }

    /// Ends the transaction of an identity, or comes too late, or asks again.
    pub fn raw_end(&mut self) -> Check {
        // They are long where they outlive short lives.
        if self.keeps && self.forgets && self.rng.chance(2, 3) {
            return self.raw_batch();
        }
        let Some((name, holder)) = self.any_holder() else { return self.raw_init() };
        let outcome = if self.rng.chance(3, 4) { Outcome::Commit } else { Outcome::Abort };
        let commit = outcome == Outcome::Commit;
        let stranger = self.rng.chance(1, 30);
        let who = if stranger { self.stranger() } else { self.some_identity(&holder) };
        let due = if stranger { Err(ErrorKind::UnknownTransactionalId) } else { holder.ended(who, commit) };
        self.note(format!("{outcome:?} {name} by {who:?}, held by {holder:?}: {due:?}"));
        match due {
            Ok(Ending::Decide(next)) => self.decide_raw(&name, &holder, &next, outcome),
            Ok(Ending::Repeat) => match self.engine().end_transaction(who, outcome) {
                Err(error) => self.failed(None, &error, &[]),
                Ok(told) if told != holder.identity() => {
                    Err(format!("I8: a repeated {outcome:?} of {name} answered {told:?}, due is {holder:?}"))
                }
                Ok(_) => {
                    // What was done before is safe by now.
                    let cell = Cell::Holder(name);
                    let ended = self.history.setters(&cell).last().expect("it is held").0;
                    self.history.acked(ended, Durability::Disk, None, &[])
                }
            },
            Err(kind) => match self.engine().end_transaction(who, outcome) {
                Err(error) => self.failed(None, &error, &[kind]),
                Ok(_) => self.must_fail("I9: the end of a transaction", kind),
            },
        }
    }

    fn decide_raw(&mut self, name: &str, holder: &Holder, next: &Holder, outcome: Outcome) -> Check {
        let (commit, number) = (outcome == Outcome::Commit, holder.open);
        // An id that was told is never given again, whatever the level.
        let level = if next.id == FRESH { Durability::Disk } else { self.level_of_end(number, commit) };
        let mut sets = if commit { self.history.commits(number) } else { vec![] };
        if commit && self.numbers.len() < NUMBERS_KEPT {
            sets.push((Cell::Decision(number), Some("committed".to_owned())));
        }
        let id = self.becomes(name, &format!("{outcome:?} {number}"), Some(next), sets);
        self.history.ops[id].decides = (number != 0).then_some((number, commit));
        match self.engine().end_transaction(holder.identity(), outcome) {
            Err(error) => {
                if error.kind() == ErrorKind::Indeterminate {
                    self.let_go(number, None);
                }
                self.failed(Some(id), &error, &[])
            }
            Ok(told) => {
                self.let_go(number, Some(level));
                if next.id == FRESH {
                    self.issued(told.producer_id)?;
                }
                self.named(id, next, told)?;
                self.commit_batches(id, level);
                self.history.acked(id, level, None, &[])
            }
        }
    }

    /// The strongest level of the engine and of what a transaction reached.
    fn level_of_end(&self, number: u64, commit: bool) -> Durability {
        let mut parts = self.history.streamed_to(number);
        parts.retain(|part| self.is_alive(part));
        let mut topics: Vec<String> = parts.into_iter().map(|part| part.topic).collect();
        if commit {
            topics.extend(self.history.pending_topics(number));
        }
        self.level_of(topics).max(self.level)
    }

    /// True if the topic was not deleted since.
    fn is_alive(&self, part: &Part) -> bool {
        self.history.topic(&part.topic).is_some_and(|topic| topic.born == part.born)
    }

    /// Aborts a transaction by its number: one that is open, or one that is not.
    pub fn raw_abort(&mut self) -> Check {
        let begun: Vec<(OpId, u64)> =
            self.history.ops.iter().enumerate().filter_map(|(id, op)| Some((id, op.begins?))).collect();
        if begun.is_empty() {
            return Ok(());
        }
        let (begun, number) = match self.raws.last() {
            Some(open) if self.rng.chance(2, 3) => (open.begun, open.number),
            _ => begun[self.rng.index(begun.len())],
        };
        let aborted = self.history.ops.iter().any(|op| op.counts() && op.decides == Some((number, false)));
        let known = self.history.ops[begun].counts() && !self.history.is_forgotten(begun);
        self.note(format!("abort {number} by its number, aborted: {aborted}, known: {known}"));
        let engine = self.engine();
        let Some(open) = self.raws.iter().find(|open| open.number == number).cloned() else {
            return match engine.abort_transaction(number) {
                Err(error) if aborted && known => self.failed(None, &error, &[]),
                Err(error) => self.failed(None, &error, &[ErrorKind::InvalidTransactionState]),
                Ok(()) if aborted && known => Ok(()),
                Ok(()) => self.must_fail("the abort of what is not open", ErrorKind::InvalidTransactionState),
            };
        };
        // At the level of what it reached; the engine's is that of its owner's calls.
        let parts = self.history.streamed_to(number).into_iter().filter(|part| self.is_alive(part));
        let level = self.level_of(parts.map(|part| part.topic).collect());
        let id = self.note_raw_abort(&open, "abort by number");
        match engine.abort_transaction(number) {
            Err(error) => {
                if error.kind() == ErrorKind::Indeterminate {
                    self.let_go(number, None);
                }
                self.failed(Some(id), &error, &[])
            }
            Ok(()) => {
                self.let_go(number, Some(level));
                self.name_aborted(id, &open)?;
                self.history.acked(id, level, None, &[])
            }
        }
    }

    /// Notes that a raw transaction is aborted by somebody else than its owner.
    fn note_raw_abort(&mut self, open: &OpenRaw, what: &str) -> OpId {
        let next = self.history.holder(&open.name).map(|holder| holder.decided(crate::model::raw::Last::Abort));
        let id = self.becomes(&open.name, &format!("{what} of {}", open.number), next.as_ref(), vec![]);
        self.history.ops[id].decides = Some((open.number, false));
        id
    }

    /// Who is aborted by somebody else and has used up the epochs hears of the new id by asking.
    fn name_aborted(&mut self, id: OpId, open: &OpenRaw) -> Check {
        match self.history.holder(&open.name).filter(|holder| holder.id == FRESH) {
            None => Ok(()),
            Some(next) => match self.engine().end_transaction(open.identity, Outcome::Abort) {
                Ok(told) => self.named(id, &next, told),
                Err(error) => self.failed(None, &error, &[]),
            },
        }
    }

    /// Deletes a transactional id: what it has open is aborted, and nobody has it.
    pub fn raw_delete(&mut self) -> Check {
        let name = NAMES[self.rng.index(NAMES.len())];
        let holder = self.history.holder(name);
        self.note(format!("delete {name}, held by {holder:?}"));
        let engine = self.engine();
        let Some(holder) = holder else {
            return match engine.delete_producer(name) {
                Err(error) => self.failed(None, &error, &[ErrorKind::UnknownTransactionalId]),
                Ok(()) => self.must_fail("deleting no transactional id", ErrorKind::UnknownTransactionalId),
            };
        };
        let mut ids = Vec::new();
        if holder.open != 0 {
            // Nobody will ever ask with its epoch, so it stays.
            let id = self.becomes(name, "abort", Some(&Holder { open: 0, ..holder }), vec![]);
            self.history.ops[id].decides = Some((holder.open, false));
            ids.push(id);
        }
        ids.push(self.becomes(name, "delete", None, vec![]));
        match engine.delete_producer(name) {
            Err(error) => {
                if error.kind() == ErrorKind::Indeterminate {
                    self.let_go(holder.open, None);
                }
                ids.into_iter().try_for_each(|id| self.failed(Some(id), &error, &[]))
            }
            Ok(()) => {
                self.let_go(holder.open, Some(Durability::Disk));
                ids.into_iter().try_for_each(|id| self.history.acked(id, Durability::Disk, None, &[]))
            }
        }
    }

    /// The close aborts what is open, but for what is kept.
    pub fn close_raws(&mut self) {
        for open in std::mem::take(&mut self.raws) {
            if !self.history.kept.contains(&open.number) {
                self.note_raw_abort(&open, "close");
            }
        }
    }

    /// I6: what is described as open is what the model has open. `driven`: what is past its time is aborted now.
    pub fn check_raws(&mut self, driven: bool) -> Check {
        let all = match self.engine().describe_transactions() {
            Ok(all) if self.history.poisoned.is_none() => all,
            Ok(_) => return Ok(()),
            Err(error) => return self.failed(None, &error, &[]),
        };
        // Those past their time are aborted in the order of it.
        let mut raws = self.raws.clone();
        raws.sort_by_key(|open| (open.deadline, open.number));
        for open in raws {
            let past = self.is_past(Some(open.deadline));
            let described = all.iter().find(|told| told.number == open.number);
            match described {
                Some(_) if past && driven && !self.filled && !self.armed => {
                    return Err(format!("I6: {open:?} is past its time and open"));
                }
                Some(told) => self.check_described(&open, told)?,
                None if past && driven => {
                    let id = self.note_raw_abort(&open, "time out");
                    self.let_go(open.number, None);
                    self.name_aborted(id, &open)?;
                }
                None if self.armed => {}
                None => return Err(format!("I6: {open:?} is open no more, and nobody ended it")),
            }
        }
        let stray = all.iter().find(|told| told.raw && !self.raws.iter().any(|open| open.number == told.number));
        stray.map_or(Ok(()), |told| Err(format!("I6: {told:?} is described as open, and is not")))
    }

    /// How a raw transaction stands, one of any life.
    pub fn check_status(&mut self) -> Check {
        let begun = self.history.ops.iter().enumerate().filter_map(|(id, op)| Some((id, op.begins?)));
        let begun: Vec<(OpId, u64)> = begun.collect();
        if begun.is_empty() || self.history.poisoned.is_some() {
            return Ok(());
        }
        let (begun, number) = begun[self.rng.index(begun.len())];
        let decides = |commit| self.history.ops.iter().any(|op| op.counts() && op.decides == Some((number, commit)));
        let due = if self.raws.iter().any(|open| open.number == number) {
            TransactionStatus::Open
        } else if !self.history.ops[begun].counts() || self.history.is_forgotten(begun) {
            TransactionStatus::Forgotten
        } else if decides(true) {
            TransactionStatus::Committed
        } else {
            TransactionStatus::Aborted
        };
        match self.engine().transaction_status(number) {
            Err(error) => self.failed(None, &error, &[]),
            Ok(told) if told == due => Ok(()),
            Ok(told) => Err(format!("I4: the status of {number} is {told:?}, due is {due:?}")),
        }
    }

    fn check_described(&self, open: &OpenRaw, told: &oncelog::OpenTransaction) -> Check {
        let mut right = told.raw && told.identity == open.identity && told.transactional_id == open.name;
        right &= told.timeout == Some(TIMEOUT);
        let mut parts = self.history.streamed_to(open.number);
        parts.retain(|part| self.is_alive(part));
        right &= parts.len() == told.partitions.len();
        for part in parts {
            let due = self.history.first_streamed(open.number, &part);
            let first = told.partitions.get(&TopicPartition::new(part.topic, part.number));
            right &= first.is_some_and(|first| due.is_none_or(|due| due == *first));
        }
        if right { Ok(()) } else { Err(format!("I6: {open:?} is described as {told:?}")) }
    }
}
