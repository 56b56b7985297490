//! A ticket: the answer to a write that has its place and waits for its level. Nothing is lost with a ticket that is
//! dropped; it is only not heard of.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::flow::Call;
use super::{Fold, Journal};
use crate::error::{Error, ErrorKind, Result};
use crate::io::sync::Mutex;
use crate::types::{Durability, Lsn, Timestamp};

/// Who can tell when a frame has met its level.
pub trait Waits: Send + Sync {
    /// Waits for a frame, leading the write and the flush; false if the deadline (monotonic nanoseconds) passed.
    fn wait(&self, lsn: Lsn, level: Durability, deadline: Option<u64>) -> Result<bool>;
    /// Whether it has met its level, or never will.
    fn reached(&self, lsn: Lsn, level: Durability) -> Option<Result<()>>;
    /// Has it called back on the keeper or in `drive`, in the order of these calls as far as frames and levels go.
    /// Calls nothing itself, so that it may be asked under a lock; `attend` follows when that is free.
    fn enlist(&self, lsn: Lsn, level: Durability, call: Call);
    /// Has the frame flushed although nobody waits for it: whoever may not wait comes again until it is.
    fn want(&self, lsn: Lsn);
    /// Calls back itself if nobody else will any more, because the log is closed. To be asked without locks.
    fn attend(&self);
    /// Refuses in a forked child, where nobody calls back.
    fn check(&self) -> Result<()>;
    /// The monotonic clock, nanoseconds.
    fn now(&self) -> u64;
}

impl<F: Fold> Waits for Journal<F> {
    fn wait(&self, lsn: Lsn, level: Durability, deadline: Option<u64>) -> Result<bool> {
        self.keep(lsn, level, deadline)
    }
    fn reached(&self, lsn: Lsn, level: Durability) -> Option<Result<()>> {
        // A forked child's copy of the counters stands still.
        let forked = self.check_process().err();
        forked.map(Err).or_else(|| Journal::reached(self, lsn, level))
    }
    fn enlist(&self, lsn: Lsn, level: Durability, call: Call) {
        Journal::enlist(self, lsn, level, call);
    }
    fn want(&self, lsn: Lsn) {
        Journal::want(self, lsn);
    }
    fn attend(&self) {
        self.call_back_if_shut();
    }
    fn check(&self) -> Result<()> {
        self.check_process()
    }
    fn now(&self) -> u64 {
        self.machine.clock.monotonic()
    }
}

/// Which of the writes that are gathered together a ticket is for, in words of who gathers them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Seat {
    /// Number of its batch.
    pub slot: u32,
    /// Number of the record in it.
    pub index: u32,
    /// The batch's partition.
    pub partition: u32,
    /// The record's time.
    pub timestamp: Timestamp,
    /// Set for a record that is there already: nothing was gathered, but the answer waits for what it repeats, at this
    /// level at least.
    pub repeats: Option<Durability>,
}

/// What a call will answer once a frame has met its level: a success once it is safe, a refusal once that is which it
/// was drawn from.
pub struct Promise<T> {
    /// The frame; 0 for an answer that hangs on none.
    pub lsn: Lsn,
    /// Its level.
    pub level: Durability,
    /// What is answered then.
    pub answer: Result<T>,
}

/// Writes that are still being gathered.
pub trait Later<T>: Send + Sync {
    /// Closes what is being gathered and places it, once; every later call answers the same.
    fn place(&self, seat: &Seat) -> Promise<T>;
    /// Closes what is being gathered if that need not wait; false if it would have to: then the keeper does.
    fn hasten(&self) -> bool;
    /// The same for who may wait until then (monotonic nanoseconds): false if it still would have to. True as well if
    /// waiting helps nothing: to place it says why.
    fn hasten_by(&self, deadline: u64) -> bool;
    /// What is answered, if it is placed or refused; closes nothing.
    fn placed(&self, seat: &Seat) -> Option<Promise<T>>;
    /// Calls back when it is placed or refused, at once if it is already; closes nothing. The call runs under locks:
    /// all that it may do is enlist.
    fn when_placed(self: Arc<Self>, seat: Seat, call: PlacedCall<T>);
    /// Who can tell when it has met its level.
    fn waits(&self) -> Arc<dyn Waits>;
}

/// What runs when a gathered write has its place.
pub type PlacedCall<T> = Box<dyn FnOnce(Promise<T>) + Send>;

enum State<T> {
    Placed { waits: Arc<dyn Waits>, lsn: Lsn, level: Durability, answer: Option<Result<T>> },
    Later(Arc<dyn Later<T>>, Seat),
    Ready { waits: Arc<dyn Waits>, result: Option<Result<T>> },
}

impl<T> State<T> {
    /// Of what was gathered and is no more. A refusal that hangs on nothing is given whatever becomes of the log.
    fn of(waits: Arc<dyn Waits>, promise: Promise<T>) -> Self {
        match promise {
            Promise { lsn: 0, answer: Err(error), .. } => State::Ready { waits, result: Some(Err(error)) },
            Promise { lsn, level, answer } => State::Placed { waits, lsn, level, answer: Some(answer) },
        }
    }
}

/// The answer to a write, on its way. Wait for it, poll it, have it call back, or let it go: dropping a ticket cancels
/// nothing. Send and Sync; light: it allocates nothing.
#[must_use = "a ticket that nobody waits for says nothing; call wait(), or detach() to let it go"]
pub struct Ticket<T> {
    state: State<T>,
    /// Whom to wake, once somebody has polled it.
    asleep: Option<Arc<Mutex<Option<Waker>>>>,
}

impl<T> Ticket<T> {
    /// A write that has its place.
    #[inline]
    pub(crate) fn placed(waits: Arc<dyn Waits>, lsn: Lsn, level: Durability, value: T) -> Self {
        Self::answer(waits, lsn, level, Ok(value))
    }

    /// An answer that counts once a frame has met its level: a refusal too, if it was drawn from what is noted only.
    #[inline]
    pub(crate) fn answer(waits: Arc<dyn Waits>, lsn: Lsn, level: Durability, answer: Result<T>) -> Self {
        Ticket { state: State::Placed { waits, lsn, level, answer: Some(answer) }, asleep: None }
    }

    /// A write that is still being gathered.
    pub(crate) fn later(later: Arc<dyn Later<T>>, seat: Seat) -> Self {
        Ticket { state: State::Later(later, seat), asleep: None }
    }

    /// An answer that needs no waiting.
    pub(crate) fn ready(waits: Arc<dyn Waits>, result: Result<T>) -> Self {
        Ticket { state: State::Ready { waits, result: Some(result) }, asleep: None }
    }

    /// The frame this ticket waits for; closes what is being gathered to learn it. `None` for an answer that needs no
    /// frame, and in a forked child for what was still gathered at the fork.
    pub fn lsn(&mut self) -> Option<Lsn> {
        match self.settle().map(|()| &self.state) {
            Ok(State::Placed { lsn, .. }) => Some(*lsn).filter(|lsn| *lsn > 0),
            _ => None,
        }
    }

    /// Closes the batch that the record was gathered in, as a wait does, unless that would have to wait: false then,
    /// and the keeper closes it. Hidden, since it is for bindings whose one thread must never wait: everybody else's
    /// wait closes it.
    #[doc(hidden)]
    pub fn hasten(&self) -> bool {
        match &self.state {
            // A forked child closes nothing, and hears why when it waits.
            State::Later(later, _) => later.waits().check().is_err() || later.hasten(),
            State::Placed { .. } | State::Ready { .. } => true,
        }
    }

    /// Waits until the write has met its level: `os` when it is written to the operating system, `disk` when it is
    /// flushed. Leads the write or flush if nobody does.
    #[inline]
    pub fn wait(self) -> Result<T> {
        match self.state {
            State::Placed { waits, lsn, level, answer } => {
                waits.wait(lsn, level, None)?;
                answer.unwrap_or_else(|| Err(spent()))
            }
            State::Ready { result, .. } => result.unwrap_or_else(|| Err(spent())),
            State::Later(..) => self.wait_later(),
        }
    }

    /// The same for what is still being gathered.
    fn wait_later(mut self) -> Result<T> {
        self.settle()?;
        if let State::Placed { waits, lsn, level, .. } = &self.state {
            waits.wait(*lsn, *level, None)?;
        }
        self.take()
    }

    /// Waits at most `timeout`, for room in the log too, but for a write, a flush or a new segment that it makes itself
    /// since nobody else does. `None`: not there yet, the ticket stays good.
    pub fn wait_for(&mut self, timeout: Duration) -> Result<Option<T>> {
        let timeout = u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX);
        let mut deadline = None;
        if let State::Later(later, _) = &self.state {
            let waits = later.waits();
            waits.check()?;
            let by = *deadline.insert(waits.now().saturating_add(timeout));
            if !later.hasten_by(by) {
                return Ok(None);
            }
        }
        self.settle()?;
        if let State::Placed { waits, lsn, level, .. } = &self.state {
            let by = deadline.unwrap_or_else(|| waits.now().saturating_add(timeout));
            if !waits.wait(*lsn, *level, Some(by))? {
                return Ok(None);
            }
        }
        self.take().map(Some)
    }

    /// The answer if it is there already. Waits for nothing, leads no write and no flush, and closes nothing that is
    /// still being gathered. `None`: not there yet, the ticket stays good.
    pub fn try_wait(&mut self) -> Result<Option<T>> {
        if let State::Later(later, seat) = &self.state {
            let Some(placed) = later.placed(seat) else { return later.waits().check().map(|()| None) };
            self.state = State::of(later.waits(), placed);
        }
        match &self.state {
            State::Placed { waits, lsn, level, answer: Some(_) } => match waits.reached(*lsn, *level) {
                None => Ok(None),
                Some(reached) => reached.and_then(|()| self.take()).map(Some),
            },
            _ => self.take().map(Some),
        }
    }

    /// Lets the write go its way: it is written and flushed in the background.
    pub fn detach(self) {}

    /// Calls `call` with the answer, on the engine's keeper thread or inside `drive`, outside all locks. A panic in it
    /// is caught and dropped. What one thread sends to a partition calls back in the order of the sends, as Kafka's
    /// producer promises of its callbacks; what is refused for want of room, or by a log that failed or was closed,
    /// waits for nothing and may come before what was sent earlier.
    pub fn on_done(self, call: impl FnOnce(Result<T>) + Send + 'static)
    where
        T: Send + 'static,
    {
        let waits = self.waits();
        if let Err(error) = waits.check() {
            return call(Err(error));
        }
        match self.state {
            State::Placed { lsn, level, answer, .. } => {
                let answer = answer.unwrap_or_else(|| Err(spent()));
                waits.enlist(lsn, level, Box::new(move |result| call(result.and(answer))));
            }
            State::Ready { result, .. } => {
                let result = result.unwrap_or_else(|| Err(spent()));
                waits.enlist(0, Durability::Os, Box::new(move |_| call(result)));
            }
            State::Later(later, seat) => {
                let whose = waits.clone();
                later.when_placed(
                    seat,
                    Box::new(move |Promise { lsn, level, answer }| {
                        whose.enlist(lsn, level, Box::new(move |result| call(result.and(answer))));
                    }),
                );
            }
        }
        waits.attend();
    }

    fn waits(&self) -> Arc<dyn Waits> {
        match &self.state {
            State::Placed { waits, .. } | State::Ready { waits, .. } => waits.clone(),
            State::Later(later, _) => later.waits(),
        }
    }

    /// Closes what is being gathered. A forked child leaves that to its parent: the lock of whoever gathers may be held
    /// for ever there.
    fn settle(&mut self) -> Result<()> {
        if let State::Later(later, seat) = &self.state {
            let waits = later.waits();
            waits.check()?;
            self.state = State::of(waits, later.place(seat));
        }
        Ok(())
    }

    fn take(&mut self) -> Result<T> {
        let taken = match &mut self.state {
            State::Placed { answer, .. } => answer.take(),
            State::Ready { result, .. } => result.take(),
            State::Later(..) => None,
        };
        taken.unwrap_or_else(|| Err(spent()))
    }
}

impl<T> std::fmt::Debug for Ticket<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.state {
            State::Placed { lsn, level, .. } => write!(f, "Ticket(lsn={lsn} level={level:?})"),
            State::Later(..) => f.write_str("Ticket(gathered)"),
            State::Ready { .. } => f.write_str("Ticket(ready)"),
        }
    }
}

#[cold]
fn spent() -> Error {
    let text = "this ticket has given its answer already; keep what wait_for, try_wait or the future returned";
    Error::new(ErrorKind::InvalidState, text)
}

impl<T: Send + Unpin + 'static> Future for Ticket<T> {
    type Output = Result<T>;

    /// Is woken by the keeper, or in `drive`: whoever runs without threads must call `drive` for futures to move. A
    /// ticket that was polled can still be waited for.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<T>> {
        // The waker first, then the look: whoever settles the answer wakes after.
        self.wake_by(context.waker());
        match self.try_wait() {
            Ok(None) => Poll::Pending,
            Ok(Some(value)) => Poll::Ready(Ok(value)),
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}

impl<T: Send + 'static> Ticket<T> {
    /// Has this waker woken when the answer is there; the call that does so is handed over once.
    fn wake_by(&mut self, waker: &Waker) {
        let waits = self.waits();
        // In a forked child nobody wakes, and any lock below may be held for ever.
        if waits.check().is_err() {
            return;
        }
        if let Some(asleep) = &self.asleep {
            *asleep.lock() = Some(waker.clone());
            return;
        }
        let asleep = Arc::new(Mutex::new(Some(waker.clone())));
        let other = asleep.clone();
        let wake = move || {
            let waker = other.lock().take();
            if let Some(waker) = waker {
                waker.wake();
            }
        };
        match &self.state {
            // The answer is there, or is given already.
            State::Ready { .. } | State::Placed { answer: None, .. } => return,
            State::Placed { lsn, level, .. } => {
                if waits.reached(*lsn, *level).is_some() {
                    return;
                }
                waits.enlist(*lsn, *level, Box::new(move |_| wake()));
            }
            State::Later(later, seat) => {
                let whose = waits.clone();
                let placed = move |Promise { lsn, level, .. }: Promise<T>| {
                    whose.enlist(lsn, level, Box::new(move |_| wake()));
                };
                later.clone().when_placed(*seat, Box::new(placed));
            }
        }
        waits.attend();
        self.asleep = Some(asleep);
    }
}
