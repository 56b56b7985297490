//! Raw transactions: what the holder of a transactional id is and becomes (Kafka's InitProducerId and EndTxn, KIP-360
//! and KIP-890 part 2), and the offsets that wait for a decision.

use super::*;

/// The last epoch that is given.
pub const EPOCH_MAX: i16 = 32_766;
/// An id that the log gives and the model does not foresee.
pub const FRESH: i64 = -7;

/// How the last transaction of an id ended: Kafka's Empty, CompleteCommit, CompleteAbort.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Last {
    Nothing,
    Commit,
    Abort,
}

/// Who holds a transactional id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    pub id: i64,
    pub epoch: i16,
    pub last: Last,
    /// The epoch with which the call that raised it may be repeated, -1 for none.
    pub repeats: i16,
    /// The id before, whose epochs were used up, -1 for none.
    pub previous: i64,
    /// The number of its open transaction, 0 for none.
    pub open: u64,
}

/// What a call that ends a transaction does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Something that makes this the holder.
    Decide(Holder),
    Repeat,
}

impl Holder {
    pub fn new(id: i64) -> Holder {
        Holder { id, epoch: 0, last: Last::Nothing, repeats: -1, previous: -1, open: 0 }
    }

    pub fn text(&self) -> String {
        let Holder { id, epoch, last, repeats, previous, open } = self;
        format!("{id} {epoch} {last:?} {repeats} {previous} {open}")
    }

    pub fn parse(text: &str) -> Holder {
        let words: Vec<&str> = text.split(' ').collect();
        let number = |at: usize| words[at].parse::<i64>().unwrap();
        let last = [Last::Nothing, Last::Commit, Last::Abort].into_iter().find(|last| words[2] == format!("{last:?}"));
        Holder {
            id: number(0),
            epoch: number(1) as i16,
            last: last.unwrap(),
            repeats: number(3) as i16,
            previous: number(4),
            open: number(5) as u64,
        }
    }

    pub fn identity(&self) -> Identity {
        Identity { producer_id: self.id, epoch: self.epoch }
    }

    /// The identity with which the call that made this one may have been made.
    pub fn before(&self) -> Identity {
        match self.epoch {
            0 => Identity { producer_id: self.previous, epoch: EPOCH_MAX },
            epoch => Identity { producer_id: self.id, epoch: epoch - 1 },
        }
    }

    /// The next epoch, or another id when they are used up.
    fn raised(&self) -> Holder {
        match self.epoch {
            EPOCH_MAX => Holder { id: FRESH, epoch: 0, previous: self.id, ..*self },
            epoch => Holder { epoch: epoch + 1, ..*self },
        }
    }

    /// After a decision, whoever made it.
    pub fn decided(&self, last: Last) -> Holder {
        Holder { last, repeats: self.epoch, open: 0, ..self.raised() }
    }

    /// As the next life finds it: what was open is aborted, but for what is kept.
    pub fn reopened(&self, kept: &BTreeSet<u64>) -> Holder {
        if self.open == 0 || kept.contains(&self.open) { *self } else { self.decided(Last::Abort) }
    }

    /// True if a log that answers `seen` may have this holder.
    fn shows(&self, seen: &Holder) -> bool {
        let known = self.id == seen.id || self.id == FRESH;
        known && (self.epoch, self.last, self.open) == (seen.epoch, seen.last, seen.open)
    }

    /// InitProducerId on an id that is held: who holds it after each frame that the call writes.
    pub fn opened(&self, current: Option<Identity>) -> Result<Vec<Holder>, ErrorKind> {
        let fits = |c: Identity| c.producer_id == self.id || (c.producer_id == self.previous && c.epoch >= EPOCH_MAX);
        let newest = current.is_none_or(|c| c == self.identity());
        let repeats = current.is_some_and(|c| fits(c) && c.epoch >= 0 && c.epoch == self.repeats);
        if !newest && (!repeats || self.open != 0) {
            return Err(ErrorKind::ProducerFenced);
        }
        let opened = |holder: Holder, repeats| Holder { last: Last::Nothing, repeats, ..holder };
        if self.open == 0 {
            return Ok(vec![match newest {
                true => opened(self.raised(), current.map_or(-1, |_| self.epoch)),
                false => opened(*self, self.repeats),
            }]);
        }
        let aborted = self.decided(Last::Abort);
        Ok(match (current, aborted.id == FRESH) {
            (Some(_), _) => vec![aborted, opened(aborted, self.epoch)],
            (None, true) => vec![aborted, opened(aborted, -1)],
            (None, false) => vec![aborted, opened(aborted.raised(), -1)],
        })
    }

    /// EndTxn.
    pub fn ended(&self, identity: Identity, commit: bool) -> Result<Ending, ErrorKind> {
        let current = identity == self.identity();
        if !current && (identity != self.before() || identity.producer_id < 0 || self.open != 0) {
            return Err(ErrorKind::ProducerFenced);
        }
        let last = if commit { Last::Commit } else { Last::Abort };
        match (self.open != 0, current) {
            (true, _) => Ok(Ending::Decide(self.decided(last))),
            (false, true) if !commit => Ok(Ending::Decide(self.decided(last))),
            (false, false) if self.last == last => Ok(Ending::Repeat),
            (false, false) if self.last == Last::Nothing => Err(ErrorKind::ProducerFenced),
            _ => Err(ErrorKind::InvalidTransactionState),
        }
    }
}

/// Who holds which transactional id.
pub type Holders = BTreeMap<String, Holder>;

/// What a batch with a producer id is refused with before its sequence counts, as far as it is a transactional id's;
/// `None` if it is not.
pub(super) fn holder_verdict(holders: &Holders, who: Identity) -> Option<Result<Holder, ErrorKind>> {
    if let Some(holder) = holders.values().find(|holder| holder.id == who.producer_id) {
        return Some(if holder.epoch == who.epoch { Ok(*holder) } else { Err(ErrorKind::StaleEpoch) });
    }
    let former = holders.values().any(|holder| holder.previous == who.producer_id);
    former.then_some(Err(ErrorKind::StaleEpoch))
}

/// True if a log that answers `seen` for the holder of an id may have `held` there.
pub fn shows(held: &Option<String>, seen: &Option<String>, kept: &BTreeSet<u64>) -> bool {
    match (held, seen) {
        (Some(held), Some(seen)) => Holder::parse(held).reopened(kept).shows(&Holder::parse(seen)),
        (held, seen) => held == seen,
    }
}

/// An offset that a transaction sent.
#[derive(Clone, Debug)]
pub struct Pending {
    pub op: OpId,
    pub number: u64,
    /// The group's offset, and the life of the topic.
    pub cell: Cell,
    pub born: OpId,
    pub value: String,
}

impl History {
    /// Who holds a transactional id.
    pub fn holder(&self, name: &str) -> Option<Holder> {
        self.value(&Cell::Holder(name.to_owned())).map(|text| Holder::parse(&text))
    }

    /// All that are held.
    pub fn holders(&self) -> Holders {
        let mut held = Holders::new();
        for (cell, value) in self.ops.iter().filter(|op| op.counts()).flat_map(|op| &op.sets) {
            let Cell::Holder(name) = cell else { continue };
            match value {
                Some(text) => _ = held.insert(name.clone(), Holder::parse(text)),
                None => _ = held.remove(name),
            }
        }
        held
    }

    /// True if what became of the raw transaction that `id` begins may be forgotten: its transactional id was deleted.
    pub fn is_forgotten(&self, id: OpId) -> bool {
        let mut cells = self.ops[id].sets.iter().map(|(cell, _)| cell).filter(|cell| matches!(cell, Cell::Holder(_)));
        cells.any(|cell| self.setters(cell).any(|(later, value)| later > id && value.is_none()))
    }

    /// D18: where the transaction has records only its own batches go.
    pub(super) fn may_write(&self, holder: &Holder, part: &Part, transactional: bool) -> bool {
        let here = self.writes_to(part).any(|(op, _)| op.streamed == Some(holder.open));
        transactional || holder.open == 0 || !here
    }

    /// The partitions that hold records of a raw transaction, each once, with those that are gone.
    pub fn streamed_to(&self, number: u64) -> Vec<Part> {
        let mine = self.ops.iter().filter(|op| op.counts() && op.raw.is_some() && op.streamed == Some(number));
        let mut parts: Vec<Part> = mine.map(|op| op.writes[0].part.clone()).collect();
        parts.sort();
        parts.dedup();
        parts
    }

    /// Offset of the first record of a transaction in a partition, if that is known.
    pub fn first_streamed(&self, number: u64, part: &Part) -> Option<Offset> {
        let (_, write) = self.writes_to(part).find(|(op, _)| op.streamed == Some(number))?;
        write.first
    }

    /// What a transaction has pending, the last for each cell, oldest first.
    fn pending_of(&self, number: u64) -> Vec<&Pending> {
        let alive = |p: &&Pending| {
            let Cell::Offset(_, topic, _) = &p.cell else { return false };
            p.number == number && self.ops[p.op].counts() && self.topic(topic).is_some_and(|t| t.born == p.born)
        };
        let all: Vec<&Pending> = self.pending.iter().filter(alive).collect();
        let last = |(n, p): &(usize, &&Pending)| !all[n + 1..].iter().any(|later| later.cell == p.cell);
        all.iter().enumerate().filter(last).map(|(_, p)| *p).collect()
    }

    /// True if an open transaction will commit another value of a cell.
    pub fn is_pending(&self, cell: &Cell) -> bool {
        let open = |number| self.holders().values().any(|holder| holder.open == number);
        let mine: Vec<u64> = self.pending.iter().filter(|p| p.cell == *cell).map(|p| p.number).collect();
        mine.into_iter().any(|number| open(number) && self.pending_of(number).iter().any(|p| p.cell == *cell))
    }

    /// The topics for which a transaction has offsets pending.
    pub fn pending_topics(&self, number: u64) -> Vec<String> {
        let topic = |p: &Pending| if let Cell::Offset(_, topic, _) = &p.cell { Some(topic.clone()) } else { None };
        self.pending_of(number).into_iter().filter_map(topic).collect()
    }

    /// The offsets that a commit sets: what was sent, unless what is committed there was sent later.
    pub fn commits(&self, number: u64) -> Sets {
        let newer = |p: &&Pending| {
            let sent = self.ops[p.op].from;
            self.setters(&p.cell).last().is_none_or(|(id, value)| match value {
                Some(value) => self.sent_at(&p.cell, value, id) < sent,
                None => true,
            })
        };
        let new = self.pending_of(number).into_iter().filter(newer);
        new.map(|p| (p.cell.clone(), Some(p.value.clone()))).collect()
    }

    /// When a value was sent that operation `id` committed: values are made up, each for one call.
    pub(super) fn sent_at(&self, cell: &Cell, value: &str, id: OpId) -> u64 {
        let sent = self.pending.iter().find(|p| p.cell == *cell && p.value == value);
        sent.map_or(self.ops[id].from, |p| self.ops[p.op].from)
    }
}
