//! Transactions of named producers: records in several partitions, offsets of several groups, a position; committed,
//! aborted, dropped or fenced.

use oncelog::{Engine, ErrorKind, GroupMetadata, ProducerOptions};

use super::appends::FENCED;
use super::groups::GROUPS;
use super::*;
use crate::model::Cell;

/// Names of transactional producers.
pub const NAMES: [&str; 3] = ["teller", "auditor", "clerk"];
const NUMBERS_KEPT: usize = 64;

/// Opens a handle of a name and asks where it stands.
pub fn position(engine: &Engine, name: &str, transactional: bool) -> oncelog::Result<Option<u64>> {
    Ok(match transactional {
        true => engine.transactional_producer(name, ProducerOptions::new())?.position(),
        false => engine.producer(ProducerOptions::new().name(name))?.position(),
    })
}

const GONE: ErrorKind = ErrorKind::UnknownTopicOrPartition;

/// What a transaction may be refused with: its handle was fenced, or a topic that it names was deleted meanwhile.
pub fn ended(fenced: bool, doomed: bool) -> &'static [ErrorKind] {
    match (fenced, doomed) {
        (true, true) => &[GONE, ErrorKind::ProducerFenced, ErrorKind::UnknownTransactionalId],
        (true, false) => &[ErrorKind::ProducerFenced, ErrorKind::UnknownTransactionalId],
        (false, true) => &[GONE],
        (false, false) => &[],
    }
}

impl Driver {
    pub fn open_transactional(&mut self) -> Check {
        let name = NAMES[self.rng.index(NAMES.len())];
        self.note(format!("open transactional {name}"));
        let (engine, level) = (self.engine(), self.own_level());
        let streams = self.rng.chance(1, 2);
        let mut options = super::appends::options(level).transaction_timeout(super::streams::TIMEOUT);
        if streams {
            options = options.transaction_buffer(0);
        }
        match engine.transactional_producer(name, options) {
            Err(error) => self.failed(None, &error, &[]),
            Ok(handle) => {
                let opening = self.history.opened(name);
                let (told, known) = (handle.position(), self.history.position(name));
                let named = Named { name: name.to_owned(), opening, handle, level, streams };
                self.life().transactional.push(named);
                if told != known {
                    return Err(format!("I4: {name} was opened at position {told:?}, the model says {known:?}"));
                }
                Ok(())
            }
        }
    }

    pub fn is_fenced(&self, name: &str, opening: u64) -> bool {
        self.history.openings[name].len() as u64 != opening
    }

    /// Begins a transaction, on its own or for a consumer.
    pub fn begin(&mut self) -> Check {
        let count = self.life().transactional.len();
        if count == 0 {
            return self.open_transactional();
        }
        let index = if self.rng.chance(4, 5) { count - 1 } else { self.rng.index(count) };
        let (name, opening) = (self.life().transactional[index].name.clone(), self.life().transactional[index].opening);
        let reader = if self.rng.chance(1, 2) { self.any_reader() } else { None };
        let is_bound = |r: usize, o: &OpenTransaction| o.bound.as_ref().is_some_and(|b| b.0 == r);
        let reader = reader.filter(|r| !self.life.as_ref().is_some_and(|l| l.open.iter().any(|o| is_bound(*r, o))));
        let fenced = self.is_fenced(&name, opening);
        let busy = self.life().open.iter().any(|o| o.name == name && o.opening == opening);
        self.note(format!("begin {name} (opening {opening}) for consumer {reader:?}, fenced: {fenced}, busy: {busy}"));
        let life = self.life();
        let handle = &life.transactional[index].handle;
        let answer = match reader {
            Some(reader) => handle.begin_transaction_for(&life.readers[reader].consumer),
            None => handle.begin_transaction(),
        };
        let transaction = match answer {
            Err(error) if fenced => {
                return self.failed(None, &error, &[ErrorKind::ProducerFenced, ErrorKind::InvalidTransactionState]);
            }
            Err(error) if busy => return self.failed(None, &error, &[ErrorKind::InvalidTransactionState]),
            Err(error) => return self.failed(None, &error, &[]),
            Ok(_) if fenced => return self.must_fail("I9: begin on a fenced handle", ErrorKind::ProducerFenced),
            Ok(_) if busy => return self.must_fail("a second open transaction", ErrorKind::InvalidTransactionState),
            Ok(transaction) => transaction,
        };
        if !self.numbers.insert(transaction.number()) {
            return Err(format!("I4: transaction number {} was given out twice", transaction.number()));
        }
        let bound = reader.map(|r| (r, self.life().readers[r].plain_positions()));
        let open = OpenTransaction {
            name,
            opening,
            transaction,
            writes: vec![],
            sets: vec![],
            levels: self.life().transactional[index].level.into_iter().collect(),
            doomed: false,
            gone: false,
            streams: self.life().transactional[index].streams,
            batches: vec![],
            deadline: None,
            bound,
        };
        self.life().open.push(open);
        Ok(())
    }

    /// Adds records, offsets or a position to an open transaction.
    pub fn add_to_transaction(&mut self) -> Check {
        let count = self.life().open.len();
        if count == 0 {
            return self.begin();
        }
        let index = self.rng.index(count);
        for _ in 0..1 + self.rng.below(3) {
            match self.rng.below(8) {
                0 => self.add_position(index)?,
                1 | 2 => self.add_offsets(index)?,
                _ => self.add_record(index)?,
            }
        }
        Ok(())
    }

    /// Whether an error is no surprise to an open transaction.
    fn added(&mut self, index: usize, answer: oncelog::Result<()>) -> Result<bool, String> {
        let Err(error) = answer else { return Ok(true) };
        let (name, opening) = (self.life().open[index].name.clone(), self.life().open[index].opening);
        let fenced = self.is_fenced(&name, opening);
        let doomed = self.life().open[index].doomed;
        let allowed = self.may_answer(index, ended(fenced, doomed));
        self.life().open[index].doomed = true;
        self.failed(None, &error, &allowed)?;
        Ok(false)
    }

    fn add_record(&mut self, index: usize) -> Check {
        let Some((part, state)) = self.any_part() else { return Ok(()) };
        if self.life().open[index].streams {
            return self.stream_record(index, &part);
        }
        let made = self.made();
        self.note(format!("  transaction of {}: send to {part}", self.life.as_ref().expect("open").open[index].name));
        let open = &mut self.life().open[index];
        let answer = made.with(|record| open.transaction.send(&part.topic, record.partition(part.number)));
        if self.added(index, answer)? {
            let level = self.topic_level(&state);
            let open = &mut self.life().open[index];
            open.levels.push(level);
            match open.writes.iter_mut().find(|(p, _)| *p == part) {
                Some((_, records)) => records.push(made.bytes()),
                None => open.writes.push((part, vec![made.bytes()])),
            }
        }
        Ok(())
    }

    fn add_offsets(&mut self, index: usize) -> Check {
        let group = GROUPS[self.rng.index(GROUPS.len())];
        let Some((offsets, sets)) = self.some_offsets(group) else { return Ok(()) };
        self.note(format!("  transaction: offsets of {group}: {sets:?}"));
        let metadata = GroupMetadata { group: group.to_owned() };
        let answer = self.life().open[index].transaction.send_offsets(&metadata, &offsets);
        if self.added(index, answer)? {
            self.set_all(index, sets);
        }
        Ok(())
    }

    fn add_position(&mut self, index: usize) -> Check {
        let name = self.life().open[index].name.clone();
        let cell = Cell::Position(name.clone());
        let noted = self.history.position(&name);
        let pending = self.life().open[index].sets.iter().find(|(c, _)| *c == cell).and_then(|(_, v)| v.clone());
        let last = pending.map(|p| p.parse().expect("a number")).or(noted);
        let position = last.map_or(0, |p| p + 1) + self.rng.below(4);
        self.note(format!("  transaction of {name}: position {position}"));
        let answer = self.life().open[index].transaction.send_position(position);
        if self.added(index, answer)? {
            self.set_all(index, vec![(cell, Some(position.to_string()))]);
        }
        Ok(())
    }

    /// The last value of a cell within a transaction is the one that counts.
    fn set_all(&mut self, index: usize, sets: Vec<(Cell, Option<String>)>) {
        let mine = &mut self.life().open[index].sets;
        mine.retain(|(cell, _)| !sets.iter().any(|(new, _)| new == cell));
        mine.extend(sets);
    }

    pub fn end_transaction(&mut self) -> Check {
        let count = self.life().open.len();
        if count == 0 {
            return self.begin();
        }
        let index = self.rng.index(count);
        let open = self.life().open.remove(index);
        match self.rng.below(10) {
            0 => {
                self.note(format!("drop a transaction of {}", open.name));
                self.note_abort(&open);
                drop(open.transaction);
                self.rewound(open.bound, true)
            }
            1 | 2 => {
                self.note(format!("abort a transaction of {}", open.name));
                self.note_abort(&open);
                let fenced = self.is_fenced(&open.name, open.opening);
                let allowed: &[ErrorKind] = if fenced { &FENCED } else { &[] };
                if let Err(error) = open.transaction.abort() {
                    self.failed(None, &error, allowed)?;
                }
                self.rewound(open.bound, true)
            }
            _ => self.commit(open),
        }
    }

    fn commit(&mut self, mut open: OpenTransaction) -> Check {
        if let Some((reader, _)) = open.bound {
            open.doomed |= self.life().readers[reader].lost;
            open.sets.extend(self.moved(reader).0);
        }
        // Of the topics that are there now: one that was made again since has a level of its own.
        let named = open.sets.iter().filter_map(|(cell, _)| match cell {
            Cell::Offset(_, topic, _) => Some(topic.clone()),
            _ => None,
        });
        let named: Vec<String> = named.collect();
        open.levels.extend((!named.is_empty()).then(|| self.level_of(named)));
        let empty = open.writes.is_empty() && open.sets.is_empty() && open.batches.is_empty();
        let fenced = self.is_fenced(&open.name, open.opening);
        let parts: Vec<String> = open.writes.iter().map(|(p, r)| format!("{p} +{}", r.len())).collect();
        let what = format!("commit {} of {}: {parts:?} {:?}", open.transaction.number(), open.name, open.sets);
        self.note(format!("{what} fenced: {fenced}, doomed: {}", open.doomed));
        if !empty && self.numbers.len() < NUMBERS_KEPT {
            open.sets.push((Cell::Decision(open.transaction.number()), Some("committed".to_owned())));
        }
        open.levels.extend(self.levels_of(&open.batches));
        let level = open.levels.iter().copied().max().unwrap_or(self.level);
        // An empty transaction writes nothing, so it has no place in the history.
        let number = open.transaction.number();
        let past = self.is_past(open.deadline);
        self.settle_batches(&open.batches);
        let id = (!empty).then(|| {
            let id = self.history.begin(what, open.writes, open.sets);
            self.history.ops[id].handle = Some((open.name.clone(), open.opening));
            self.history.ops[id].decides = (!open.batches.is_empty()).then_some((number, true));
            self.history.ops[id].late = past;
            id
        });
        let mut allowed = ended(fenced, open.doomed).to_vec();
        allowed.extend(past.then_some(ErrorKind::TransactionTimedOut));
        let ticket = self.rng.chance(1, 4) && open.bound.is_none();
        let answer = match ticket {
            true if allowed.is_empty() => open.transaction.commit_ticket().map(Err),
            // Its ticket is what refuses it.
            true => open.transaction.commit_ticket().and_then(Ticket::wait).map(Ok),
            false => open.transaction.commit().map(Ok),
        };
        match answer {
            Err(error) => {
                self.failed(id, &error, &allowed)?;
                self.rewound(open.bound, true)
            }
            Ok(_) if fenced && !empty => self.must_fail("I9: a fenced commit", ErrorKind::ProducerFenced),
            Ok(Ok(_)) if open.gone => self.must_fail("a commit to a topic that is gone", GONE),
            Ok(Ok(committed)) => {
                self.committed(id, level, &committed)?;
                self.rewound(open.bound, false)
            }
            Ok(Err(ticket)) => {
                let Some(id) = id else { return ticket.wait().map(drop).or_else(|e| self.failed(None, &e, &[])) };
                let expect = Expect::New(id, 0, u64::MAX);
                self.pending.push(Pending { expect, level, ticket: Awaited::Commit(ticket) });
                Ok(())
            }
        }
    }

    /// What a consumer has moved since its last commit: the cells to set, and the strongest level of their topics.
    pub fn moved(&mut self, reader: usize) -> (crate::model::Sets, Option<Durability>) {
        let (group, positions) =
            (self.life().readers[reader].group.clone(), self.life().readers[reader].positions.clone());
        let mut sets = Vec::new();
        let mut topics = Vec::new();
        for ((topic, partition), (part, position)) in positions {
            let cell = Cell::Offset(group.clone(), topic.clone(), partition);
            let alive = self.history.topic(&topic).is_some_and(|t| t.born == part.born);
            if alive && self.stands(&cell) != position {
                topics.push(topic);
                sets.push((cell, Some(position.to_string())));
            }
        }
        let level = (!topics.is_empty()).then(|| self.level_of(topics));
        (sets, level)
    }

    pub fn resolve_commit(&mut self, expect: Expect, level: Durability, answer: oncelog::Result<Committed>) -> Check {
        let Expect::New(id, ..) = expect else { return Ok(()) };
        match answer {
            Err(error) => self.failed(Some(id), &error, &[]),
            Ok(committed) => self.committed(Some(id), level, &committed),
        }
    }

    fn committed(&mut self, id: Option<OpId>, level: Durability, told: &Committed) -> Check {
        self.note(format!("  answered {told:?}"));
        self.check_incarnation(told.incarnation)?;
        match id {
            Some(id) if told.lsn > 0 => {
                self.commit_batches(id, level);
                self.history.acked(id, level, Some(told.lsn), &[])
            }
            None if told.lsn == 0 => Ok(()),
            _ => Err(format!("I4: a commit answered {told:?}; it is empty: {}", id.is_none())),
        }
    }

    /// After an abort the consumer stands where the transaction began; after a commit it stays.
    fn rewound(&mut self, bound: Option<Bound>, back: bool) -> Check {
        let Some((index, before)) = bound else { return Ok(()) };
        // Of a poisoned log nobody can say where a consumer stands.
        if self.life().readers[index].lost || self.history.poisoned.is_some() {
            self.life().readers[index].lost = true;
            return Ok(());
        }
        if back {
            for (key, position) in before {
                if let Some(entry) = self.life().readers[index].positions.get_mut(&key) {
                    entry.1 = position;
                }
            }
        }
        self.check_positions(index)
    }
}
