//! Appends of raw batches, sends of plain and named producers, and the tickets they answer.

use oncelog::{AppendOptions, Batch, Durability, ErrorKind, Identity, ProducerOptions};

use super::*;
use crate::model::{Answer, Cell, Verdict, sequence_after};

/// Names of named producers; opening one fences its older handles.
pub const NAMES: [&str; 3] = ["loader", "mirror", "feeder"];
/// What a handle answers once its name has a newer holder, or is gone.
pub const FENCED: [ErrorKind; 3] = [ErrorKind::ProducerFenced, ErrorKind::UnknownTransactionalId, ErrorKind::Closed];

/// Options of a producer with a level of its own, or without.
pub fn options(level: Option<Durability>) -> ProducerOptions {
    level.map_or(ProducerOptions::new(), |level| ProducerOptions::new().durability(level))
}

/// A batch of a raw producer.
#[derive(Clone, Debug)]
pub struct Sent {
    pub part: Part,
    pub who: Identity,
    pub first: i32,
    pub count: usize,
    pub transactional: bool,
}

impl Driver {
    pub fn append_plain(&mut self) -> Check {
        self.append(None)
    }

    /// A batch with an identity: mostly the next in sequence, else a repetition, a gap, another epoch, a stranger.
    pub fn append_identified(&mut self) -> Check {
        let Some((part, _)) = self.any_part() else { return self.create_topic() };
        if self.identities.is_empty() || self.rng.chance(1, 30) {
            let stranger = Identity { producer_id: 1_000_000 + self.rng.below(5) as i64, epoch: 0 };
            let first = self.rng.below(2) as i32;
            let transactional = self.rng.chance(1, 4);
            return self.append(Some(Sent { part, who: stranger, first, count: 1, transactional }));
        }
        let index = self.rng.index(self.identities.len());
        let known = self.identities[index];
        let (epoch, next) = self.next_sequence(&part, known.producer_id);
        let who = Identity { epoch: epoch.max(known.epoch), ..known };
        let next = if who.epoch == epoch { next } else { 0 };
        let count = 1 + self.rng.index(4);
        let batch = match self.rng.below(12) {
            0 => (Identity { epoch: who.epoch + 1, ..who }, 0, count),
            1 => (Identity { epoch: who.epoch + 1, ..who }, next + 1, count),
            2 if who.epoch > 0 => (Identity { epoch: who.epoch - 1, ..who }, next, count),
            3 => (who, sequence_after(next, 1 + self.rng.index(3)), count),
            4 => (who, (next - 1 - self.rng.below(8) as i32).max(0), count),
            5 | 6 => return self.retry_one(),
            _ => (who, next, count),
        };
        let (who, first, count) = batch;
        let transactional = self.rng.chance(1, 30);
        self.append(Some(Sent { part, who, first, count, transactional }))
    }

    /// The epoch that a producer last used in a partition, and its next sequence, as it would count itself.
    pub fn next_sequence(&self, part: &Part, producer_id: i64) -> (i16, i32) {
        let mut next = (0, 0);
        for (op, write) in self.history.writes_to(part) {
            if let Some((identity, first)) = op.raw.filter(|(who, _)| who.producer_id == producer_id) {
                next = (identity.epoch, sequence_after(first, write.records.len()));
            }
        }
        next
    }

    /// Sends a batch again that the log must know.
    pub fn retry_one(&mut self) -> Check {
        let known = self.history.retriable();
        if known.is_empty() {
            return Ok(());
        }
        let id = known[self.rng.index(known.len())];
        self.append(Some(self.sent(id)))
    }

    /// The raw batch of an operation.
    fn sent(&self, id: OpId) -> Sent {
        let op = &self.history.ops[id];
        let (who, first) = op.raw.expect("retriable operations are raw batches");
        let (part, count) = (op.writes[0].part.clone(), op.writes[0].records.len());
        Sent { part, who, first, count, transactional: op.streamed.is_some() }
    }

    /// After an opening: every batch that the log must know is sent again, and answers its old offsets (I8).
    pub fn retry_all(&mut self) -> Check {
        for id in self.history.retriable() {
            self.append(Some(self.sent(id)))?;
        }
        self.wait_all()
    }

    pub fn append(&mut self, sent: Option<Sent>) -> Check {
        let (part, count) = match (&sent, self.rng.index(6)) {
            (Some(sent), _) => (sent.part.clone(), sent.count),
            (None, more) => match self.any_part() {
                Some((part, _)) => (part, 1 + more),
                None => return self.create_topic(),
            },
        };
        let identity = sent.as_ref().map(|sent| (sent.who, sent.first));
        let transactional = sent.as_ref().is_some_and(|sent| sent.transactional);
        let state = self.history.topic(&part.topic).expect("the partition was picked from topics that exist");
        let made: Vec<Made> = (0..count).map(|_| self.made()).collect();
        let mut builder = Batch::builder();
        for m in &made {
            m.with(|record| builder.push(&record, m.timestamp)).map_err(|e| format!("the batch was refused: {e}"))?;
        }
        if let Some((who, first)) = identity {
            builder.producer(who, first).transactional(transactional);
        }
        let batch = builder.build().map_err(|e| format!("the batch was refused: {e}"))?;
        let own = self.own_level();
        let level = own.unwrap_or(self.topic_level(&state));
        let judged = |(who, first)| self.history.verdict(&part, who, first, count, transactional);
        let verdict = identity.map_or(Verdict::Accept, judged);
        let of = if transactional { "transactional " } else { "" };
        let what = format!("append {of}{count} to {part} at {level:?} by {identity:?}, {verdict:?}");
        self.note(what.clone());
        let (least, most) = self.history.next_offset(&part);
        let id = (verdict == Verdict::Accept).then(|| {
            let id = self.history.begin(what, vec![(part.clone(), made.iter().map(Made::bytes).collect())], vec![]);
            self.history.ops[id].raw = identity;
            id
        });
        let engine = self.engine();
        let options = own.map_or(AppendOptions::default(), |level| AppendOptions::default().durability(level));
        let answer = engine.partition(&part.topic, part.number).and_then(|p| p.append_with(&batch, options));
        match (answer, verdict) {
            (Err(error), Verdict::Refuse(kind)) => self.failed(None, &error, &[kind]),
            (Err(error), _) => self.failed(id, &error, &[]),
            (Ok(_), Verdict::Refuse(kind)) => self.must_fail("the append", kind),
            (Ok(ticket), Verdict::Accept) => {
                let id = id.expect("an accepted batch has an operation");
                if let Some((who, _)) = identity.filter(|_| transactional) {
                    self.streamed_raw(id, who)?;
                }
                let expect = Expect::New(id, least, most);
                self.later(Pending { expect, level, ticket: Awaited::Append(ticket) })
            }
            (Ok(ticket), Verdict::Duplicate(original)) => {
                self.later(Pending { expect: Expect::Again(original), level, ticket: Awaited::Append(ticket) })
            }
        }
    }

    /// Registers a raw producer.
    pub fn register(&mut self) -> Check {
        self.note("register".into());
        let engine = self.engine();
        match engine.init_producer(None, std::time::Duration::ZERO, None) {
            Err(error) => self.failed(None, &error, &[]),
            Ok(identity) => {
                self.issued(identity.producer_id)?;
                let cell = Cell::Registration(identity.producer_id);
                let id =
                    self.history.begin(format!("{identity:?}"), vec![], vec![(cell, Some(identity.epoch.to_string()))]);
                self.identities.push(identity);
                self.history.acked(id, Durability::Disk, None, &[])
            }
        }
    }

    pub fn send_plain(&mut self) -> Check {
        let Some((part, state)) = self.any_part() else { return self.create_topic() };
        if self.life().plain.is_none() {
            let (engine, level) = (self.engine(), self.own_level());
            match engine.producer(options(level)) {
                Ok(producer) => self.life().plain = Some((producer, level)),
                Err(error) => return self.failed(None, &error, &[]),
            }
        }
        let made = self.made();
        let what = format!("send to {part}");
        self.note(what.clone());
        let most = self.history.next_offset(&part);
        let id = self.history.gather(what, vec![(part.clone(), vec![made.bytes()])], vec![]);
        let level = self.topic_level(&state);
        let (producer, own) = self.life().plain.as_ref().expect("made above");
        let level = own.unwrap_or(level);
        match made.with(|record| producer.send(&part.topic, record.partition(part.number))) {
            Err(error) => self.failed(Some(id), &error, &[]),
            Ok(ticket) => {
                let expect = Expect::New(id, most.0, u64::MAX);
                self.later(Pending { expect, level, ticket: Awaited::Append(ticket) })
            }
        }
    }

    /// Opens a named producer. Its older handles are fenced; what they still gather may be refused or be there.
    pub fn open_named(&mut self) -> Check {
        let name = NAMES[self.rng.index(NAMES.len())];
        self.note(format!("open producer {name}"));
        let (engine, level) = (self.engine(), self.own_level());
        match engine.producer(options(level).name(name)) {
            Err(error) => self.failed(None, &error, &[]),
            Ok(handle) => {
                let opening = self.history.opened(name);
                self.fence(name)?;
                let (told, known) = (handle.position(), self.history.position(name));
                let named = Named { name: name.to_owned(), opening, handle, level, streams: false };
                self.life().named.push(named);
                if told != known {
                    return Err(format!("I4: {name} was opened at position {told:?}, the model says {known:?}"));
                }
                Ok(())
            }
        }
    }

    /// What the older handles of a name gathered has its answer before the new handle has its position.
    pub fn fence(&mut self, name: &str) -> Check {
        let ops = &self.history.ops;
        let of_name = |id: &OpId| ops[*id].handle.as_ref().is_some_and(|(n, _)| n == name);
        let (now, later): (Vec<Pending>, Vec<Pending>) = std::mem::take(&mut self.pending)
            .into_iter()
            .partition(|p| matches!(&p.expect, Expect::New(id, ..) if of_name(id)));
        self.pending = later;
        now.into_iter().try_for_each(|p| self.resolve(p))
    }

    /// A send with a position: mostly the next, with a gap or not; sometimes one that was passed already.
    pub fn send_named(&mut self) -> Check {
        let Some((mut part, mut state)) = self.any_part() else { return self.create_topic() };
        let count = self.life().named.len();
        if count == 0 {
            return self.open_named();
        }
        // The newest handles are at the end; an older one is fenced or of another name.
        let index = if self.rng.chance(3, 4) { count - 1 } else { self.rng.index(count) };
        let (name, opening) = (self.life().named[index].name.clone(), self.life().named[index].opening);
        let fenced = self.history.openings[&name].len() as u64 != opening;
        let noted = self.history.position(&name);
        let mut position = noted.map_or(0, |noted| noted + 1) + self.rng.below(3);
        let passed = !fenced && noted.is_some() && self.rng.chance(1, 5);
        if passed {
            // One that was sent goes where it went; one in a gap was passed all the same.
            let sent = self.sent_positions(&name);
            let index = self.rng.index(sent.len());
            match sent.get(index) {
                Some((told, to, at)) if self.rng.chance(4, 5) => (position, part, state) = (*told, to.clone(), *at),
                _ => position = self.rng.below(noted.unwrap_or(0) + 1),
            }
        }
        let made = self.made();
        let what = format!("send {name} (opening {opening}) position {position} to {part}, passed: {passed}");
        self.note(what.clone());
        let least = self.history.next_offset(&part).0;
        let id = (!passed).then(|| {
            let sets = vec![(Cell::Position(name.clone()), Some(position.to_string()))];
            let id = self.history.gather(what, vec![(part.clone(), vec![made.bytes()])], sets);
            self.history.ops[id].handle = Some((name.clone(), opening));
            id
        });
        // One frame takes the strongest level of all its parts.
        let level = self.topic_level(&state).max(self.life().named[index].level.unwrap_or(Durability::Memory));
        let producer = &self.life().named[index].handle;
        let answer = made.with(|r| producer.send(&part.topic, r.partition(part.number).position(position)));
        match answer {
            Err(error) if fenced => self.failed(id, &error, &FENCED),
            // After a send that was refused for want of space a name's handle is finished.
            Err(error) if self.armed || self.filled => self.failed(id, &error, &[ErrorKind::Closed]),
            Err(error) => self.failed(id, &error, &[]),
            // The handle may not have heard of the fence; its ticket must.
            Ok(ticket) if fenced => match ticket.wait() {
                Err(error) => self.failed(id, &error, &FENCED),
                // What it wrote itself, before the fence, it still knows.
                Ok(told) if told.duplicate => {
                    id.into_iter().for_each(|id| self.history.refused(id, ErrorKind::ProducerFenced));
                    Ok(())
                }
                Ok(_) => self.must_fail("I9: the send of a fenced handle", ErrorKind::ProducerFenced),
            },
            Ok(ticket) => {
                let sent = self.sent_positions(&name).into_iter().find(|(sent, ..)| *sent == position);
                let (expect, level) = match (id, sent) {
                    (Some(id), _) => (Expect::New(id, least, u64::MAX), level),
                    (None, Some((.., state))) => (Expect::Passed(name, position), self.topic_level(&state)),
                    // What was never sent promises nothing of its own.
                    (None, None) => (Expect::Passed(name, position), Durability::Memory),
                };
                self.later(Pending { expect, level, ticket: Awaited::Append(ticket) })
            }
        }
    }

    /// The last positions that a name sent, with where they went, if that still exists.
    fn sent_positions(&self, name: &str) -> Vec<(u64, Part, TopicState)> {
        let cell = Cell::Position(name.to_owned());
        let sent = |op: &crate::model::Op| {
            let position = op.sets.iter().find(|(c, _)| *c == cell)?.1.as_ref()?.parse().ok()?;
            let part = &op.writes.first()?.part;
            let state = self.history.topic(&part.topic).filter(|t| t.born == part.born)?;
            // A name that was deleted and made again counts anew.
            Some((position, part.clone(), state)).filter(|_| self.history.position(name) >= Some(position))
        };
        self.history.ops.iter().rev().filter(|op| op.counts()).filter_map(sent).take(6).collect()
    }

    pub fn flush_producer(&mut self) -> Check {
        self.note("flush a producer".into());
        let count = self.life().named.len();
        let pick = self.rng.index(count + 1);
        let life = self.life();
        let (answer, allowed) = match (life.named.get(pick), &life.plain) {
            (Some(named), _) => (named.handle.flush(), &FENCED[..]),
            // It speaks for tickets that were let go, of topics that were deleted since.
            (None, Some((plain, _))) => (plain.flush(), &[ErrorKind::UnknownTopicOrPartition][..]),
            (None, None) => return Ok(()),
        };
        answer.or_else(|error| self.failed(None, &error, allowed))
    }

    /// Waits at once, or keeps the ticket.
    fn later(&mut self, pending: Pending) -> Check {
        if self.rng.chance(1, 3) {
            return self.resolve(pending);
        }
        self.pending.push(pending);
        Ok(())
    }

    pub fn wait_some(&mut self) -> Check {
        if self.pending.is_empty() {
            return Ok(());
        }
        let index = self.rng.index(self.pending.len());
        let pending = self.pending.remove(index);
        self.note("wait for a ticket".into());
        self.resolve(pending)
    }

    pub fn wait_all(&mut self) -> Check {
        std::mem::take(&mut self.pending).into_iter().try_for_each(|p| self.resolve(p))
    }

    /// Drops a ticket: the operation goes on, nobody hears of it.
    pub fn detach_some(&mut self) -> Check {
        if self.pending.is_empty() {
            return Ok(());
        }
        let index = self.rng.index(self.pending.len());
        // A position that was refused unheard would leave the model guessing where its name stands.
        let named = |p: &Pending| matches!(&p.expect, Expect::New(id, ..) if self.history.ops[*id].handle.is_some());
        if named(&self.pending[index]) {
            return Ok(());
        }
        let pending = self.pending.remove(index);
        self.note("detach a ticket".into());
        match pending.ticket {
            Awaited::Append(ticket) => ticket.detach(),
            Awaited::Commit(ticket) => ticket.detach(),
        }
        // What a producer gathers may still be refused, when its topic goes; then nobody is told.
        if let Expect::New(id, ..) = pending.expect
            && self.history.ops[id].to.is_none()
        {
            self.history.ops[id].answer = Answer::Indeterminate;
        }
        Ok(())
    }

    /// Waits for a ticket and holds its answer against the model.
    pub fn resolve(&mut self, pending: Pending) -> Check {
        let answer = match pending.ticket {
            Awaited::Append(ticket) => ticket.wait(),
            Awaited::Commit(ticket) => return self.resolve_commit(pending.expect, pending.level, ticket.wait()),
        };
        match (answer, pending.expect) {
            (Err(error), Expect::New(id, ..)) => {
                let op = &self.history.ops[id];
                let topic_gone =
                    op.writes.iter().any(|w| self.history.topic(&w.part.topic).map(|t| t.born) != Some(w.part.born));
                let fenced = op.handle.as_ref().is_some_and(|(name, o)| self.history.openings[name].len() as u64 != *o);
                let allowed: &[ErrorKind] = match (op.to, topic_gone, fenced) {
                    (None, true, _) => &[ErrorKind::UnknownTopicOrPartition],
                    (None, _, true) => &FENCED,
                    (None, ..) if self.armed || self.filled => &[ErrorKind::Closed],
                    _ => &[],
                };
                self.failed(Some(id), &error, allowed)
            }
            // What it repeats was still being gathered when a newer holder came.
            (Err(error), Expect::Passed(..)) => self.failed(None, &error, &FENCED),
            (Err(error), _) => self.failed(None, &error, &[]),
            (Ok(appended), expect) => self.appended(expect, pending.level, &appended),
        }
    }

    fn appended(&mut self, expect: Expect, level: Durability, told: &Appended) -> Check {
        self.note(format!("  answered {told:?}"));
        match expect {
            Expect::New(id, least, most) => {
                self.check_incarnation(told.incarnation)?;
                let records = self.history.ops[id].writes[0].records.len() as u64;
                let right = !told.duplicate && told.last + 1 - told.first == records;
                let number = self.history.ops[id].writes[0].part.number;
                if !right || told.partition != number || told.first < least || told.first > most {
                    let name = self.history.name(id);
                    return Err(format!("I1: {name} answered {told:?}, due between offset {least} and {most}"));
                }
                self.history.acked(id, level, Some(told.lsn), &[told.first])
            }
            Expect::Again(original) => {
                if self.history.ops[original].writes[0].first.is_none() {
                    self.history.acked(original, level, Some(told.lsn), &[told.first])?;
                }
                crate::model::oracle::i8_retry_finds_original(&self.history, original, told)?;
                // The answer promises what the original's would have.
                let op = &mut self.history.ops[original];
                op.acked = op.acked.max(Some(level));
                Ok(())
            }
            Expect::Passed(name, position) if told.duplicate => {
                for op in self.history.ops.iter_mut().filter(|op| op.counts()) {
                    let mine = |set: &(Cell, Option<String>)| {
                        set.0 == Cell::Position(name.clone())
                            && set.1.as_ref().is_some_and(|p| p.parse::<u64>().is_ok_and(|p| p <= position))
                    };
                    if op.sets.iter().any(mine) {
                        op.acked = op.acked.max(Some(level));
                    }
                }
                Ok(())
            }
            Expect::Passed(name, position) => {
                Err(format!("I8: {name} sent position {position} again and it was appended: {told:?}"))
            }
        }
    }
}
