//! What the tickets of a batch share while it is being filled, and how they come to their answer.

use std::sync::{Arc, OnceLock, Weak};

use super::sender::{Context, Sender};
use crate::engine::{Judged, Refused};
use crate::error::{Error, ErrorKind};
use crate::io::sync::Mutex;
use crate::io::sync::atomic::{AtomicBool, Ordering};
use crate::journal::{Later, PlacedCall, Promise, Seat, Waits};
use crate::types::{Appended, Durability, Incarnation, Lsn, Offset, Timestamp};

/// Where a closed batch, or a frame of several, has its place.
pub(super) struct Outcome {
    pub(super) lsn: Lsn,
    pub(super) level: Durability,
    pub(super) incarnation: Incarnation,
    /// Base offset of each batch, and the time of its append where that counts.
    pub(super) firsts: Vec<(Offset, Option<Timestamp>)>,
    /// The log held it already.
    pub(super) duplicate: bool,
}

/// Runs when the batch is closed, under the producer's lock and the batch's: no batch that is closed later gets ahead
/// of it, nor anybody who comes to this one later. All that it does is enlist.
type Call = Box<dyn FnOnce() + Send>;

/// A batch on its way: open, or closed with its outcome. The side of its tickets that a producer keeps.
pub(super) struct Pending {
    /// Gone with the producer, which closes what is open first.
    sender: Weak<Sender>,
    waits: Arc<dyn Waits>,
    outcome: OnceLock<Judged<Arc<Outcome>>>,
    /// It was to be closed, and whoever wanted that could not wait for it: the keeper closes it, however long it was to
    /// linger.
    due: AtomicBool,
    /// Until it is closed.
    calls: Mutex<Option<Vec<Call>>>,
}

impl Pending {
    pub(super) fn new(context: &Context) -> Arc<Self> {
        let (sender, waits) = (context.sender.clone(), context.waits.clone());
        let (outcome, due, calls) = (OnceLock::new(), AtomicBool::new(false), Mutex::new(Some(Vec::new())));
        Arc::new(Self { sender, waits, outcome, due, calls })
    }

    /// Leaves it to the keeper, who is to be woken behind this if it is true: else somebody has done so.
    pub(super) fn leave(&self) -> bool {
        !self.due.swap(true, Ordering::SeqCst)
    }

    /// Whether it is left to the keeper.
    pub(super) fn is_left(&self) -> bool {
        self.due.load(Ordering::SeqCst)
    }

    /// Whether it is to be closed at `now`, if it was begun to be closed by `deadline`.
    pub(super) fn is_due(&self, now: u64, deadline: u64) -> bool {
        deadline <= now || self.is_left()
    }

    /// The outcome, once the batch is closed.
    pub(super) fn outcome(&self) -> Option<Judged<Arc<Outcome>>> {
        self.outcome.get().cloned()
    }

    /// Closes it; true if somebody is to be called back, whom the caller attends to when it holds no lock.
    pub(super) fn close(&self, outcome: Judged<Outcome>) -> bool {
        let mut calls = self.calls.lock();
        let _ = self.outcome.set(outcome.map(Arc::new));
        let calls = calls.take().unwrap_or_default();
        let any = !calls.is_empty();
        calls.into_iter().for_each(|call| call());
        any
    }

    /// Runs `call` when the batch is closed, at once if it is.
    fn when_closed(&self, call: Call) {
        if let Some(calls) = &mut *self.calls.lock() {
            calls.push(call);
            return;
        }
        call();
    }

    /// Has the producer close the batch, and answers where it went.
    fn settle(&self) -> Judged<Arc<Outcome>> {
        if let Some(outcome) = self.outcome() {
            return outcome;
        }
        match self.sender.upgrade() {
            Some(sender) => sender.close(self),
            None => self.settled(),
        }
    }

    /// The outcome of a batch that is closed.
    fn settled(&self) -> Judged<Arc<Outcome>> {
        self.outcome().unwrap_or_else(|| Err(lost().into()))
    }
}

fn level(seat: &Seat, outcome: &Outcome) -> Durability {
    seat.repeats.map_or(outcome.level, |asked| asked.max(outcome.level))
}

fn appended(seat: &Seat, outcome: &Outcome) -> Appended {
    if seat.repeats.is_some() || outcome.duplicate {
        return duplicate(outcome.lsn, outcome.incarnation);
    }
    let (first, append_time) = outcome.firsts.get(seat.slot as usize).copied().unwrap_or_default();
    let offset = first + u64::from(seat.index);
    Appended {
        partition: seat.partition,
        first: offset,
        last: offset,
        timestamp: append_time.unwrap_or(seat.timestamp),
        duplicate: false,
        lsn: outcome.lsn,
        incarnation: outcome.incarnation,
    }
}

/// The answer to a record that the log holds already: where is not known.
pub(super) fn duplicate(lsn: Lsn, incarnation: Incarnation) -> Appended {
    Appended { partition: 0, first: 0, last: 0, timestamp: -1, duplicate: true, lsn, incarnation }
}

fn answer(seat: &Seat, outcome: Judged<Arc<Outcome>>) -> Promise<Appended> {
    match outcome {
        Ok(outcome) => {
            let (lsn, level) = (outcome.lsn, level(seat, &outcome));
            Promise { lsn, level, answer: Ok(appended(seat, &outcome)) }
        }
        Err(refused) => refused.promise(),
    }
}

impl Later<Appended> for Pending {
    fn place(&self, seat: &Seat) -> Promise<Appended> {
        answer(seat, self.settle())
    }
    fn hasten(&self) -> bool {
        // Without its producer it is closed.
        self.outcome.get().is_some() || self.sender.upgrade().is_none_or(|sender| sender.hasten(self))
    }
    fn hasten_by(&self, deadline: u64) -> bool {
        let closed = |sender: &Sender| sender.try_close(self) || sender.room_by(deadline);
        self.outcome.get().is_some() || self.sender.upgrade().is_none_or(|sender| closed(&sender))
    }
    fn placed(&self, seat: &Seat) -> Option<Promise<Appended>> {
        self.outcome().map(|outcome| answer(seat, outcome))
    }
    fn when_placed(self: Arc<Self>, seat: Seat, call: PlacedCall<Appended>) {
        let pending = self.clone();
        self.when_closed(Box::new(move || call(answer(&seat, pending.settled()))));
    }
    fn waits(&self) -> Arc<dyn Waits> {
        self.waits.clone()
    }
}

/// How the answers to the records of one call are given.
pub(super) trait Answers: Send + 'static {
    /// None yet of so many records, which lie in so many runs.
    fn none(records: usize, runs: usize) -> Self;
    /// Answers so many more records that lie side by side; `first` is the answer to the first of them.
    fn add(&mut self, first: Appended, count: u32);
}

/// One by one.
impl Answers for Vec<Appended> {
    fn none(records: usize, _: usize) -> Self {
        Vec::with_capacity(records)
    }
    fn add(&mut self, first: Appended, count: u32) {
        let offset = |n: u32| if first.duplicate { first.first } else { first.first + u64::from(n) };
        self.extend((0..count).map(|n| Appended { first: offset(n), last: offset(n), ..first.clone() }));
    }
}

/// By runs.
impl Answers for Vec<(Appended, u32)> {
    fn none(_: usize, runs: usize) -> Self {
        Vec::with_capacity(runs)
    }
    fn add(&mut self, first: Appended, count: u32) {
        self.push((first, count));
    }
}

/// Records sent by one call: a run of them with seats side by side in one batch, or one whose answer is known.
pub(super) enum Item {
    /// The first one's seat, and how many there are.
    Run { pending: Arc<Pending>, first: Seat, count: u32 },
    /// A duplicate of what has its place.
    Known(Appended, Durability),
    /// It is refused.
    Refused(Refused),
}

/// The ticket's side of many records; done when all are.
pub(super) struct Many {
    waits: Arc<dyn Waits>,
    items: Vec<Item>,
    records: usize,
}

impl Many {
    pub(super) fn new(waits: Arc<dyn Waits>) -> Self {
        Self { waits, items: Vec::new(), records: 0 }
    }

    /// One more record, which went to a seat in a batch.
    #[inline]
    pub(super) fn sent(&mut self, pending: &Arc<Pending>, seat: Seat) {
        self.records += 1;
        if let Some(Item::Run { pending: last, first, count }) = self.items.last_mut()
            && Arc::ptr_eq(last, pending)
            && (Seat { index: first.index + *count, ..*first }) == seat
        {
            *count += 1;
            return;
        }
        self.items.push(Item::Run { pending: pending.clone(), first: seat, count: 1 });
    }

    /// So many more behind the last one in its batch, of the same time.
    #[inline]
    pub(super) fn sent_alike(&mut self, more: u32) {
        self.records += more as usize;
        if let Some(Item::Run { count, .. }) = self.items.last_mut() {
            *count += more;
        }
    }

    /// One more record, which the log holds already.
    pub(super) fn known(&mut self, appended: Appended, level: Durability) {
        self.records += 1;
        self.items.push(Item::Known(appended, level));
    }

    /// One more record, which is refused, and so is all that comes behind it.
    pub(super) fn refused(&mut self, refused: Refused) {
        self.records += 1;
        if !matches!(self.items.last(), Some(Item::Refused(_))) {
            self.items.push(Item::Refused(refused));
        }
    }

    pub(super) fn records(&self) -> usize {
        self.records
    }

    fn batches(&self) -> impl Iterator<Item = &Arc<Pending>> {
        self.items.iter().filter_map(|item| match item {
            Item::Run { pending, .. } => Some(pending),
            Item::Known(..) | Item::Refused(_) => None,
        })
    }

    fn answer<A: Answers>(&self) -> Promise<A> {
        self.judged().unwrap_or_else(Refused::promise)
    }

    /// The answers, in the order of the records, and the frame that all of them wait for at most; or the first refusal.
    fn judged<A: Answers>(&self) -> Judged<Promise<A>> {
        let (mut lsn, mut most) = (0, Durability::Memory);
        let mut answers = A::none(self.records, self.items.len());
        for item in &self.items {
            match item {
                Item::Run { pending, first, count } => {
                    let outcome = pending.settled()?;
                    (lsn, most) = (outcome.lsn.max(lsn), level(first, &outcome).max(most));
                    answers.add(appended(first, &outcome), *count);
                }
                Item::Known(appended, known) => {
                    (lsn, most) = (appended.lsn.max(lsn), most.max(*known));
                    answers.add(appended.clone(), 1);
                }
                Item::Refused(refused) => return Err(refused.clone()),
            }
        }
        Ok(Promise { lsn, level: most, answer: Ok(answers) })
    }
}

impl<A: Answers> Later<A> for Many {
    fn place(&self, _: &Seat) -> Promise<A> {
        match self.batches().try_for_each(|pending| pending.settle().map(drop)) {
            Ok(()) => self.answer(),
            Err(refused) => refused.promise(),
        }
    }
    fn hasten(&self) -> bool {
        // Each of them, also behind one that could not be closed.
        self.batches().fold(true, |all, pending| pending.hasten() & all)
    }
    fn hasten_by(&self, deadline: u64) -> bool {
        self.batches().all(|pending| pending.hasten_by(deadline))
    }
    fn placed(&self, _: &Seat) -> Option<Promise<A>> {
        self.batches().all(|pending| pending.outcome().is_some()).then(|| self.answer())
    }
    fn when_placed(self: Arc<Self>, _: Seat, call: PlacedCall<A>) {
        let many = self.clone();
        match self.batches().find(|pending| pending.outcome().is_none()) {
            Some(open) => open.when_closed(Box::new(move || many.when_placed(Seat::default(), call))),
            None => call(self.answer()),
        }
    }
    fn waits(&self) -> Arc<dyn Waits> {
        self.waits.clone()
    }
}

#[cold]
pub(super) fn lost() -> Error {
    Error::new(ErrorKind::Internal, "a batch was closed without an outcome; report this")
}
