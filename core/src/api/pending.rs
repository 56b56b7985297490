//! What the tickets of a batch share while it is being filled, and how they come to their answer.

use std::sync::Arc;

use parking_lot::Mutex;

use super::gather::Spot;
use super::producer::Sender;
use crate::error::{Error, ErrorKind, Result};
use crate::journal::{Later, PlacedCall, Waits};
use crate::types::{Appended, Durability, Incarnation, Lsn, Offset, Timestamp};

/// Where a closed batch, or a frame of several, has its place.
pub(super) struct Outcome {
    pub(super) lsn: Lsn,
    pub(super) level: Durability,
    pub(super) incarnation: Incarnation,
    /// Base offset of each batch.
    pub(super) firsts: Vec<Offset>,
    /// The log held it already.
    pub(super) duplicate: bool,
}

/// Runs when the batch is closed; outside the producer's lock.
pub(super) type Call = Box<dyn FnOnce() + Send>;

/// A batch on its way: open, or closed with its outcome.
pub(super) struct Pending {
    progress: Mutex<Progress>,
}

enum Progress {
    Open(Vec<Call>),
    Closed(Result<Arc<Outcome>>),
}

impl Pending {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { progress: Mutex::new(Progress::Open(Vec::new())) })
    }

    /// The outcome, once the batch is closed.
    pub(super) fn outcome(&self) -> Option<Result<Arc<Outcome>>> {
        match &*self.progress.lock() {
            Progress::Open(_) => None,
            Progress::Closed(outcome) => Some(outcome.clone()),
        }
    }

    /// Closes it; the caller runs the calls when it holds no lock.
    pub(super) fn close(&self, outcome: Result<Outcome>) -> Vec<Call> {
        let closed = Progress::Closed(outcome.map(Arc::new));
        match std::mem::replace(&mut *self.progress.lock(), closed) {
            Progress::Open(calls) => calls,
            Progress::Closed(_) => Vec::new(),
        }
    }

    /// Runs `call` when the batch is closed, at once if it is.
    fn when_closed(&self, call: Call) {
        if let Progress::Open(calls) = &mut *self.progress.lock() {
            calls.push(call);
            return;
        }
        call();
    }
}

/// One record that was sent.
#[derive(Clone)]
pub(super) struct Sent {
    pub(super) pending: Arc<Pending>,
    pub(super) spot: Spot,
    pub(super) partition: u32,
    pub(super) timestamp: Timestamp,
    /// It was at or below the position: nothing was gathered, but the answer waits for what it repeats, at this level
    /// at least.
    pub(super) duplicate: Option<Durability>,
}

impl Sent {
    fn level(&self, outcome: &Outcome) -> Durability {
        self.duplicate.map_or(outcome.level, |asked| asked.max(outcome.level))
    }

    fn appended(&self, outcome: &Outcome) -> Appended {
        if self.duplicate.is_some() || outcome.duplicate {
            return duplicate(outcome.lsn, outcome.incarnation);
        }
        let first = outcome.firsts.get(self.spot.slot as usize).copied().unwrap_or(0);
        let offset = first + u64::from(self.spot.index);
        Appended {
            partition: self.partition,
            first: offset,
            last: offset,
            timestamp: self.timestamp,
            duplicate: false,
            lsn: outcome.lsn,
            incarnation: outcome.incarnation,
        }
    }
}

/// The answer to a record that the log holds already: where is not known.
pub(super) fn duplicate(lsn: Lsn, incarnation: Incarnation) -> Appended {
    Appended { partition: 0, first: 0, last: 0, timestamp: -1, duplicate: true, lsn, incarnation }
}

/// The ticket's side of one record.
pub(super) struct One {
    pub(super) sender: Arc<Sender>,
    pub(super) sent: Sent,
}

impl One {
    fn answer(sent: &Sent, outcome: Result<Arc<Outcome>>) -> Result<(Lsn, Durability, Appended)> {
        outcome.map(|outcome| (outcome.lsn, sent.level(&outcome), sent.appended(&outcome)))
    }
}

impl Later<Appended> for One {
    fn place(&self) -> Result<(Lsn, Durability, Appended)> {
        Self::answer(&self.sent, self.sender.close(&self.sent.pending))
    }
    fn when_placed(&self, call: PlacedCall<Appended>) {
        let sent = self.sent.clone();
        self.sent.pending.when_closed(Box::new(move || {
            let outcome = sent.pending.outcome().unwrap_or_else(|| Err(lost()));
            call(Self::answer(&sent, outcome));
        }));
    }
    fn waits(&self) -> Arc<dyn Waits> {
        self.sender.waits().clone()
    }
}

/// One of many records sent by one call.
pub(super) enum Item {
    Sent(Sent),
    /// A duplicate of what has its place.
    Known(Appended, Durability),
}

/// The ticket's side of many records; done when all are.
#[derive(Clone)]
pub(super) struct Many {
    pub(super) sender: Arc<Sender>,
    pub(super) items: Arc<Vec<Item>>,
}

impl Many {
    /// The answers, in the order of the records, and the frame that all of them wait for at most.
    fn answer(&self) -> Result<(Lsn, Durability, Vec<Appended>)> {
        let (mut lsn, mut level) = (0, Durability::Os);
        let mut answers = Vec::with_capacity(self.items.len());
        for item in &*self.items {
            match item {
                Item::Sent(sent) => {
                    let outcome = sent.pending.outcome().unwrap_or_else(|| Err(lost()))?;
                    (lsn, level) = (outcome.lsn.max(lsn), sent.level(&outcome).max(level));
                    answers.push(sent.appended(&outcome));
                }
                Item::Known(appended, known) => {
                    (lsn, level) = (appended.lsn.max(lsn), level.max(*known));
                    answers.push(appended.clone());
                }
            }
        }
        Ok((lsn, level, answers))
    }
}

impl Later<Vec<Appended>> for Many {
    fn place(&self) -> Result<(Lsn, Durability, Vec<Appended>)> {
        for item in &*self.items {
            if let Item::Sent(sent) = item {
                self.sender.close(&sent.pending)?;
            }
        }
        self.answer()
    }
    fn when_placed(&self, call: PlacedCall<Vec<Appended>>) {
        let mut sent = self.items.iter().filter_map(|item| match item {
            Item::Sent(sent) => Some(sent),
            Item::Known(..) => None,
        });
        let many = self.clone();
        match sent.find(|sent| sent.pending.outcome().is_none()) {
            Some(open) => open.pending.when_closed(Box::new(move || many.when_placed(call))),
            None => call(self.answer()),
        }
    }
    fn waits(&self) -> Arc<dyn Waits> {
        self.sender.waits().clone()
    }
}

#[cold]
pub(super) fn lost() -> Error {
    Error::new(ErrorKind::Internal, "a batch was closed without an outcome; report this")
}
