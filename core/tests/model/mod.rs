//! The reference model: a log as plain as it can be said, and the history of what was asked of it.
//!
//! The model shares nothing with the engine but the public types. It knows no bytes, no segments and no frames: an
//! operation is a list of records for partitions and a list of cells that it overwrites (a topic, a group's offset, a
//! name's position, a transaction's decision), all of it or none. The history keeps the operations in the order of the
//! journal with what the caller was told. After a crash the oracle (oracle.rs) looks at what the log holds and decides
//! which operations survived; `History::settle` then makes that final.
//!
//! Every record that is sent has bytes of its own (a counter in the value), so one look at a record names its
//! operation. Made-up committed offsets count on in the same way.
#![allow(dead_code)]

pub mod oracle;
pub mod raw;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use oncelog::{Durability, ErrorKind, Identity, Lsn, Offset, TopicId};
use raw::Holders;
use rustc_hash::FxHashMap;

/// An operation's number, in the order in which the calls were made.
pub type OpId = usize;
/// Records for partitions, as a caller gives them.
pub type Sends = Vec<(Part, Vec<Vec<u8>>)>;
/// What an operation overwrites, and with what; `None` empties the cell.
pub type Sets = Vec<(Cell, Option<String>)>;

/// A partition of one life of a topic: a topic created again under its name is another one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Part {
    /// The operation that created the topic.
    pub born: OpId,
    pub number: u32,
    pub topic: String,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{} (of #{})", self.topic, self.number, self.born)
    }
}

/// A place in the state that operations overwrite. Its value is text, so that a message can show it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cell {
    /// A topic by name: see `TopicState`.
    Topic(String),
    /// A group's offset for topic and partition.
    Offset(String, String, u32),
    /// The position of a name.
    Position(String),
    /// The decision of a transaction by its number: "committed".
    Decision(u64),
    /// A raw producer's registration: its epoch. Nothing shows it but the answers to its batches.
    Registration(i64),
    /// Who holds a transactional id for raw transactions: see `raw::Holder`.
    Holder(String),
}

/// What a topic's cell says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopicState {
    pub born: OpId,
    pub partitions: u32,
    pub level: Option<Durability>,
}

impl TopicState {
    pub fn text(self) -> String {
        format!("{} {} {:?}", self.born, self.partitions, self.level)
    }

    pub fn parse(text: &str) -> TopicState {
        let words: Vec<&str> = text.split(' ').collect();
        let levels = [Durability::Memory, Durability::Os, Durability::Disk];
        let level = levels.into_iter().find(|l| words[2] == format!("{:?}", Some(l)));
        TopicState { born: words[0].parse().unwrap(), partitions: words[1].parse().unwrap(), level }
    }
}

/// Records for one partition; they lie side by side in it.
#[derive(Clone, Debug)]
pub struct Write {
    pub part: Part,
    pub records: Vec<Vec<u8>>,
    /// Where the first record lies, once an answer or a reader told.
    pub first: Option<Offset>,
}

/// What the caller was told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Answer {
    /// Nothing yet, or nobody asked.
    #[default]
    Waiting,
    /// Done, at the level of `Op::acked`.
    Acked,
    /// An error that says nothing happened.
    Refused(ErrorKind),
    /// An error that leaves it open.
    Indeterminate,
}

/// What became of an operation, decided by the first recovery after it and final from then on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fate {
    #[default]
    Open,
    Kept,
    Lost,
}

/// One operation: everything it does, done whole or not at all.
#[derive(Clone, Debug, Default)]
pub struct Op {
    pub what: String,
    /// It took its place in the journal at this step or later ...
    pub from: u64,
    /// ... and not after this one. Unknown for what a producer still gathers.
    pub to: Option<u64>,
    pub lsn: Option<Lsn>,
    pub writes: Vec<Write>,
    pub sets: Sets,
    /// A raw batch's identity and first sequence; it has one write.
    pub raw: Option<(Identity, i32)>,
    /// It is a batch of this transaction, which lies in the log before it is decided: seen by read_committed only if
    /// an operation that counts commits the transaction.
    pub streamed: Option<u64>,
    /// It begins this raw transaction.
    pub begins: Option<u64>,
    /// The operation whose frame lies right before its own: acknowledged with it.
    pub behind: Option<OpId>,
    /// It decides this transaction: true for a commit.
    pub decides: Option<(u64, bool)>,
    /// The time of the transaction that it commits was up: one whose outcome nobody knows may have been aborted before.
    pub late: bool,
    /// The name and the opening of the handle that did it.
    pub handle: Option<(String, u64)>,
    pub answer: Answer,
    /// The strongest level at which it was acknowledged.
    pub acked: Option<Durability>,
    /// The strongest level at which a reader was shown something of it.
    pub seen: Option<Durability>,
    pub fate: Fate,
}

impl Op {
    /// True unless it is known to be no part of the log.
    pub fn counts(&self) -> bool {
        self.fate != Fate::Lost && !matches!(self.answer, Answer::Refused(_))
    }

    /// True if the journal surely holds `self` before `other`, if it holds both.
    pub fn surely_before(&self, other: &Op) -> bool {
        match (self.lsn, other.lsn) {
            (Some(a), Some(b)) => a < b,
            _ => self.to.is_some_and(|to| to < other.from),
        }
    }
}

/// What the decision table says to a raw batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Accept,
    /// The batch of this operation, again.
    Duplicate(OpId),
    Refuse(ErrorKind),
}

/// The history and, folded from it whenever asked, the state.
#[derive(Default)]
pub struct History {
    pub ops: Vec<Op>,
    /// Calls made so far.
    pub step: u64,
    /// Which record is whose: operation, write, record in the write.
    pub owners: FxHashMap<Vec<u8>, (OpId, usize, usize)>,
    /// Which operation created the topic of an id.
    pub topic_ids: BTreeMap<TopicId, OpId>,
    /// Openings of each name: the step at which each had returned.
    pub openings: BTreeMap<String, Vec<u64>>,
    /// Offsets that raw transactions sent, oldest first.
    pub pending: Vec<raw::Pending>,
    /// Raw transactions that stay open when the log is opened again.
    pub kept: BTreeSet<u64>,
    /// The step of the first Indeterminate answer of this life: nothing that begins after it may be acknowledged.
    pub poisoned: Option<u64>,
}

impl History {
    /// Notes an operation that takes its place in the journal within the call.
    pub fn begin(&mut self, what: String, writes: Sends, sets: Sets) -> OpId {
        let id = self.gather(what, writes, sets);
        self.ops[id].to = Some(self.step);
        id
    }

    /// Notes an operation that a producer may hold back: it takes its place somewhere up to its answer.
    pub fn gather(&mut self, what: String, writes: Sends, sets: Sets) -> OpId {
        self.step += 1;
        let id = self.ops.len();
        for (w, (_, records)) in writes.iter().enumerate() {
            for (r, bytes) in records.iter().enumerate() {
                let twin = self.owners.insert(bytes.clone(), (id, w, r));
                assert!(twin.is_none(), "the driver sent the same bytes twice");
            }
        }
        let writes = writes.into_iter().map(|(part, records)| Write { part, records, first: None }).collect();
        self.ops.push(Op { what, from: self.step, writes, sets, ..Op::default() });
        id
    }

    /// The operation was acknowledged at `level`; `firsts` are the offsets of its writes, if the answer names them.
    pub fn acked(&mut self, id: OpId, level: Durability, lsn: Option<Lsn>, firsts: &[Offset]) -> Result<(), String> {
        self.step += 1;
        if let Some(step) = self.poisoned.filter(|step| self.ops[id].from > *step) {
            return Err(format!("I13: {} was acknowledged after the poison of step {step}", self.name(id)));
        }
        for (w, first) in firsts.iter().enumerate() {
            self.place(id, w, *first)?;
        }
        let step = self.step;
        let op = &mut self.ops[id];
        op.to = Some(op.to.unwrap_or(step));
        op.answer = Answer::Acked;
        op.acked = op.acked.max(Some(level));
        op.lsn = lsn.or(op.lsn);
        if let Some(begun) = op.behind {
            self.ops[begun].acked = self.ops[begun].acked.max(Some(level));
        }
        self.lsn_fits(id)
    }

    /// The operation was refused: nothing of it may ever be found.
    pub fn refused(&mut self, id: OpId, kind: ErrorKind) {
        self.step += 1;
        self.ops[id].answer = Answer::Refused(kind);
    }

    /// The operation may be there or not; the next opening decides.
    pub fn indeterminate(&mut self, id: OpId) {
        self.step += 1;
        self.poisoned.get_or_insert(self.step);
        self.ops[id].answer = Answer::Indeterminate;
    }

    /// A handle of `name` was opened: all older ones are fenced from here on. Returns the opening's number.
    pub fn opened(&mut self, name: &str) -> u64 {
        self.step += 1;
        let openings = self.openings.entry(name.to_owned()).or_default();
        openings.push(self.step);
        openings.len() as u64
    }

    /// A reader was shown `bytes` at `offset` of `part`, whose topic has `level`.
    pub fn saw(&mut self, part: &Part, offset: Offset, bytes: &[u8], level: Durability) -> Result<(), String> {
        let Some(&(id, w, r)) = self.owners.get(bytes) else {
            return Err(format!("I2: {part} offset {offset} holds bytes that nobody sent: {}", short(bytes)));
        };
        if !self.ops[id].counts() {
            return Err(format!("I13: {part} offset {offset} shows {}", self.name(id)));
        }
        if self.ops[id].writes[w].part != *part || offset < r as u64 {
            return Err(format!("I3: {part} offset {offset} shows record {r} of {}", self.name(id)));
        }
        self.ops[id].seen = self.ops[id].seen.max(Some(level));
        self.place(id, w, offset - r as u64)
    }

    fn place(&mut self, id: OpId, w: usize, first: Offset) -> Result<(), String> {
        match self.ops[id].writes[w].first.replace(first).filter(|known| *known != first) {
            Some(known) => Err(format!("I1: {} moved from offset {known} to {first}", self.name(id))),
            None => Ok(()),
        }
    }

    /// Journal numbers must agree with the order of the calls.
    fn lsn_fits(&self, id: OpId) -> Result<(), String> {
        let op = &self.ops[id];
        let Some(lsn) = op.lsn else { return Ok(()) };
        for other in self.ops.iter().filter(|o| o.counts() && o.lsn.is_some()) {
            let (early, late) = if other.from < op.from { (other, op) } else { (op, other) };
            if early.to.is_some_and(|to| to < late.from) && early.lsn > late.lsn {
                return Err(format!("I3: {} has lsn {lsn}, {:?} has lsn {:?}", self.name(id), other.what, other.lsn));
            }
        }
        Ok(())
    }

    /// For messages: an operation with its answer and its fate.
    pub fn name(&self, id: OpId) -> String {
        let op = &self.ops[id];
        let level = op.acked.map_or(String::new(), |l| format!(" at {l:?}"));
        format!("#{id} [{}] ({:?}{level}, {:?})", op.what, op.answer, op.fate)
    }

    /// The operations that count and set `cell`, in order, with what they set.
    pub fn setters<'a>(&'a self, cell: &'a Cell) -> impl Iterator<Item = (OpId, &'a Option<String>)> + 'a {
        let counting = self.ops.iter().enumerate().filter(|(_, op)| op.counts());
        counting
            .flat_map(move |(id, op)| op.sets.iter().filter(move |(c, _)| c == cell).map(move |(_, value)| (id, value)))
    }

    /// The operation that commits a transaction, if one counts.
    pub fn commit_of(&self, number: u64) -> Option<OpId> {
        self.ops.iter().position(|op| op.counts() && op.decides == Some((number, true)))
    }

    /// The transaction that the record lies in the log for, if it does for one that is decided later.
    pub fn streamed_for(&self, bytes: &[u8]) -> Option<u64> {
        self.owners.get(bytes).and_then(|(id, ..)| self.ops[*id].streamed)
    }

    /// True if a reader at read_committed must not see the record: its transaction is not committed.
    pub fn is_hidden(&self, bytes: &[u8]) -> bool {
        self.streamed_for(bytes).is_some_and(|number| self.commit_of(number).is_none())
    }

    /// True if he may see it or not: nobody knows whether its commit came in time.
    pub fn may_be_hidden(&self, bytes: &[u8]) -> bool {
        let commit = self.streamed_for(bytes).and_then(|number| self.commit_of(number)).map(|id| &self.ops[id]);
        commit.is_some_and(|commit| commit.late && commit.answer == Answer::Indeterminate)
    }

    /// What a cell holds now.
    pub fn value(&self, cell: &Cell) -> Option<String> {
        self.setters(cell).last().and_then(|(_, value)| value.clone())
    }

    /// Every cell that any operation ever set.
    pub fn cells(&self) -> Vec<Cell> {
        let mut cells: Vec<Cell> = self.ops.iter().flat_map(|op| op.sets.iter().map(|(c, _)| c.clone())).collect();
        cells.sort();
        cells.dedup();
        cells
    }

    /// The topic of a name, if there is one.
    pub fn topic(&self, name: &str) -> Option<TopicState> {
        self.value(&Cell::Topic(name.to_owned())).map(|text| TopicState::parse(&text))
    }

    /// The topics that exist, by name.
    pub fn topics(&self) -> Vec<(String, TopicState)> {
        let names = self.cells().into_iter().filter_map(|c| if let Cell::Topic(name) = c { Some(name) } else { None });
        names.filter_map(|name| Some((name.clone(), self.topic(&name)?))).collect()
    }

    /// The position of a name.
    pub fn position(&self, name: &str) -> Option<u64> {
        self.value(&Cell::Position(name.to_owned())).map(|p| p.parse().unwrap())
    }

    /// What deleting a topic overwrites: its own cell and everything that was committed for it.
    pub fn deletion(&self, name: &str) -> Sets {
        let gone = |c: &Cell| match c {
            Cell::Topic(topic) | Cell::Offset(_, topic, _) => topic == name,
            _ => false,
        };
        self.cells().into_iter().filter(gone).map(|c| (c, None)).collect()
    }

    /// The writes to a partition that count, in order.
    pub fn writes_to<'a>(&'a self, part: &'a Part) -> impl Iterator<Item = (&'a Op, &'a Write)> + 'a {
        let counting = self.ops.iter().filter(|op| op.counts());
        counting.flat_map(move |op| op.writes.iter().filter(move |w| w.part == *part).map(move |w| (op, w)))
    }

    /// Between which offsets the partition's next record will lie: all that surely have their place are below it,
    /// and perhaps what producers still gather.
    pub fn next_offset(&self, part: &Part) -> (Offset, Offset) {
        let (mut least, mut most) = (0, 0);
        for (op, write) in self.writes_to(part) {
            let len = write.records.len() as u64;
            most += len;
            least += if op.to.is_some() || write.first.is_some() { len } else { 0 };
        }
        (least, most)
    }

    /// The decision table for raw batches, rows D1 to D20, with the differences that an embedded log makes: an id that
    /// was never issued is always unknown, and an id's first batch in a partition starts at sequence 0.
    pub fn verdict(&self, part: &Part, who: Identity, first: i32, count: usize, transactional: bool) -> Verdict {
        let sent = (who, first, count);
        self.verdict_among(&self.holders(), part, sent, transactional)
    }

    fn verdict_among(
        &self,
        holders: &Holders,
        part: &Part,
        sent: (Identity, i32, usize),
        transactional: bool,
    ) -> Verdict {
        let (who, first, count) = sent;
        if first < 0 {
            return Verdict::Refuse(ErrorKind::InvalidRecord);
        }
        match raw::holder_verdict(holders, who) {
            Some(Err(kind)) => Verdict::Refuse(kind),
            Some(Ok(holder)) => match self.sequence_verdict(part, who, first, count) {
                Verdict::Accept if !self.may_write(&holder, part, transactional) => {
                    Verdict::Refuse(ErrorKind::InvalidTransactionState)
                }
                verdict => verdict,
            },
            None if self.value(&Cell::Registration(who.producer_id)).is_none() => {
                Verdict::Refuse(ErrorKind::UnknownProducer)
            }
            None if transactional => Verdict::Refuse(ErrorKind::InvalidTransactionState),
            None => self.sequence_verdict(part, who, first, count),
        }
    }

    fn sequence_verdict(&self, part: &Part, who: Identity, first: i32, count: usize) -> Verdict {
        let mut epoch = None;
        let mut batches: Vec<(i32, i32, OpId)> = Vec::new();
        for (id, op) in self.ops.iter().enumerate().filter(|(_, op)| op.counts()) {
            let Some((identity, first)) = op.raw else { continue };
            if identity.producer_id != who.producer_id || op.writes[0].part != *part {
                continue;
            }
            if epoch != Some(identity.epoch) {
                batches.clear();
                epoch = Some(identity.epoch);
            }
            batches.push((first, sequence_after(first, op.writes[0].records.len() - 1), id));
            if batches.len() > 5 {
                batches.remove(0);
            }
        }
        let last = sequence_after(first, count - 1);
        let starts_anew = if first == 0 { Verdict::Accept } else { Verdict::Refuse(ErrorKind::OutOfOrderSequence) };
        match epoch {
            None => starts_anew,
            Some(epoch) if who.epoch < epoch => Verdict::Refuse(ErrorKind::StaleEpoch),
            Some(epoch) if who.epoch > epoch => starts_anew,
            Some(_) => match batches.iter().find(|b| (b.0, b.1) == (first, last)) {
                Some(twin) => Verdict::Duplicate(twin.2),
                None if first == sequence_after(batches[batches.len() - 1].1, 1) => Verdict::Accept,
                None => Verdict::Refuse(ErrorKind::OutOfOrderSequence),
            },
        }
    }

    /// The raw batches that a retry must find again: up to five for each producer and partition, in partitions that
    /// still exist.
    pub fn retriable(&self) -> Vec<OpId> {
        let holders = self.holders();
        let finds_itself = |id: &OpId| {
            let op = &self.ops[*id];
            let Some((who, first)) = op.raw else { return false };
            let write = &op.writes[0];
            let alive = self.topic(&write.part.topic).is_some_and(|t| t.born == write.part.born);
            let (sent, transactional) = ((who, first, write.records.len()), op.streamed.is_some());
            alive && self.verdict_among(&holders, &write.part, sent, transactional) == Verdict::Duplicate(*id)
        };
        (0..self.ops.len()).filter(finds_itself).collect()
    }

    /// Makes the oracle's decision final and begins a new life. What a recovery kept is on the device from then on.
    pub fn settle(&mut self, kept: &[Option<bool>]) {
        self.poisoned = None;
        self.step += 1;
        let step = self.step;
        for (op, kept) in self.ops.iter_mut().zip(kept).filter(|(op, _)| op.fate == Fate::Open) {
            let refused = matches!(op.answer, Answer::Refused(_));
            op.fate = if !refused && kept.unwrap_or(op.acked.is_some()) { Fate::Kept } else { Fate::Lost };
            op.to = Some(op.to.unwrap_or(step));
            if op.fate == Fate::Kept {
                op.acked = Some(Durability::Disk);
            }
        }
    }
}

/// Sequences count on from 0 after 2^31 - 1.
pub fn sequence_after(first: i32, count: usize) -> i32 {
    ((i64::from(first) + count as i64) % (1 << 31)) as i32
}

/// The start of a record's bytes, for messages.
pub fn short(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(48)]).into_owned()
}
