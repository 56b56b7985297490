//! A ticket: the answer to a write that has its place and waits for its level. Nothing is lost with a ticket that is
//! dropped; it is only not heard of.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use parking_lot::Mutex;

use super::flow::Call;
use super::{Fold, Journal};
use crate::error::Result;
use crate::types::{Durability, Lsn};

/// Who can tell when a frame has met its level.
pub trait Waits: Send + Sync {
    /// Waits for a frame, leading the write and the flush; false if the deadline (monotonic nanoseconds) passed.
    fn wait(&self, lsn: Lsn, level: Durability, deadline: Option<u64>) -> Result<bool>;
    /// Whether it has met its level, or never will.
    fn reached(&self, lsn: Lsn, level: Durability) -> Option<Result<()>>;
    /// Calls back on the keeper or in `drive`.
    fn enlist(&self, lsn: Lsn, level: Durability, call: Call);
    /// The monotonic clock, nanoseconds.
    fn now(&self) -> u64;
}

impl<F: Fold> Waits for Journal<F> {
    fn wait(&self, lsn: Lsn, level: Durability, deadline: Option<u64>) -> Result<bool> {
        self.keep(lsn, level, deadline)
    }
    fn reached(&self, lsn: Lsn, level: Durability) -> Option<Result<()>> {
        Journal::reached(self, lsn, level)
    }
    fn enlist(&self, lsn: Lsn, level: Durability, call: Call) {
        Journal::enlist(self, lsn, level, call);
    }
    fn now(&self) -> u64 {
        self.machine.clock.monotonic()
    }
}

/// A write that is still being gathered with others.
pub trait Later<T>: Send + Sync {
    /// Closes what is being gathered and places it, once; every later call answers the same.
    fn place(&self) -> Result<(Lsn, Durability, T)>;
    /// Calls back when it is placed, at once if it is already; closes nothing.
    fn when_placed(&self, call: PlacedCall<T>);
    /// Who can tell when it has met its level.
    fn waits(&self) -> Arc<dyn Waits>;
}

/// What runs when a gathered write has its place.
pub type PlacedCall<T> = Box<dyn FnOnce(Result<(Lsn, Durability, T)>) + Send>;

enum State<T> {
    Placed { waits: Arc<dyn Waits>, lsn: Lsn, level: Durability, value: Option<T> },
    Later(Arc<dyn Later<T>>),
    Ready { waits: Arc<dyn Waits>, result: Option<Result<T>> },
}

/// The answer to a write, on its way. Wait for it, poll it, have it call back, or let it go: dropping a ticket cancels
/// nothing. Send and Sync; light: a placed ticket allocates nothing.
#[must_use = "a ticket that nobody waits for says nothing; call wait(), or detach() to let it go"]
pub struct Ticket<T> {
    state: State<T>,
    asleep: Option<Arc<Mutex<Asleep<T>>>>,
}

/// Between a future and the callback that completes it.
struct Asleep<T> {
    done: Option<Result<T>>,
    waker: Option<std::task::Waker>,
}

impl<T> Ticket<T> {
    /// A write that has its place.
    pub(crate) fn placed(waits: Arc<dyn Waits>, lsn: Lsn, level: Durability, value: T) -> Self {
        Ticket { state: State::Placed { waits, lsn, level, value: Some(value) }, asleep: None }
    }

    /// A write that is still being gathered.
    pub(crate) fn later(later: Arc<dyn Later<T>>) -> Self {
        Ticket { state: State::Later(later), asleep: None }
    }

    /// An answer that needs no waiting.
    pub(crate) fn ready(waits: Arc<dyn Waits>, result: Result<T>) -> Self {
        Ticket { state: State::Ready { waits, result: Some(result) }, asleep: None }
    }

    /// The frame this ticket waits for; closes what is being gathered to learn it. `None` for an answer that needs no
    /// frame.
    pub fn lsn(&mut self) -> Option<Lsn> {
        self.settle();
        match &self.state {
            State::Placed { lsn, .. } => Some(*lsn),
            _ => None,
        }
    }

    /// Waits until the write has met its level: `os` when it is written to the operating system, `disk` when it is
    /// flushed. Leads the write or flush if nobody does.
    pub fn wait(mut self) -> Result<T> {
        self.settle();
        if let State::Placed { waits, lsn, level, .. } = &self.state {
            waits.wait(*lsn, *level, None)?;
        }
        self.take()
    }

    /// Waits at most `timeout`. `None`: not there yet, the ticket stays good.
    pub fn wait_for(&mut self, timeout: Duration) -> Result<Option<T>> {
        self.settle();
        if let State::Placed { waits, lsn, level, .. } = &self.state {
            let timeout = u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX);
            let deadline = waits.now().saturating_add(timeout);
            if !waits.wait(*lsn, *level, Some(deadline))? {
                return Ok(None);
            }
        }
        self.take().map(Some)
    }

    /// Lets the write go its way: it is written and flushed in the background.
    pub fn detach(self) {}

    /// Calls `call` with the answer, on the engine's keeper thread or inside `drive`, outside all locks. A panic in it
    /// is caught and dropped.
    pub fn on_done(self, call: impl FnOnce(Result<T>) + Send + 'static)
    where
        T: Send + 'static,
    {
        match self.state {
            State::Placed { waits, lsn, level, value: Some(value) } => {
                waits.enlist(lsn, level, Box::new(move |result| call(result.map(|()| value))));
            }
            State::Ready { waits, result: Some(result) } => {
                waits.enlist(0, Durability::Os, Box::new(move |_| call(result)));
            }
            State::Later(later) => {
                let waits = later.waits();
                later.when_placed(Box::new(move |placed| match placed {
                    Ok((lsn, level, value)) => {
                        waits.enlist(lsn, level, Box::new(move |result| call(result.map(|()| value))));
                    }
                    Err(error) => waits.enlist(0, Durability::Os, Box::new(move |_| call(Err(error)))),
                }));
            }
            _ => {}
        }
    }

    /// Closes what is being gathered.
    fn settle(&mut self) {
        if let State::Later(later) = &self.state {
            let waits = later.waits();
            self.state = match later.place() {
                Ok((lsn, level, value)) => State::Placed { waits, lsn, level, value: Some(value) },
                Err(error) => State::Ready { waits, result: Some(Err(error)) },
            };
        }
    }

    fn take(&mut self) -> Result<T> {
        let taken = match &mut self.state {
            State::Placed { value, .. } => value.take().map(Ok),
            State::Ready { result, .. } => result.take(),
            State::Later(_) => None,
        };
        taken.unwrap_or_else(|| {
            Err(crate::error::Error::new(
                crate::error::ErrorKind::InvalidState,
                "this ticket has given its answer already; keep what wait_for or the future returned",
            ))
        })
    }
}

impl<T: Send + Unpin + 'static> Future for Ticket<T> {
    type Output = Result<T>;

    /// Completes on the keeper, or in `drive`: whoever runs without threads must call `drive` for futures to move.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<T>> {
        if let State::Placed { waits, lsn, level, .. } = &self.state
            && let Some(reached) = waits.reached(*lsn, *level)
        {
            return Poll::Ready(reached.and_then(|()| self.take()));
        }
        if let State::Ready { .. } = &self.state
            && self.asleep.is_none()
        {
            return Poll::Ready(self.take());
        }
        let asleep = match &self.asleep {
            Some(asleep) => asleep.clone(),
            None => self.fall_asleep(context),
        };
        let mut held = asleep.lock();
        match held.done.take() {
            Some(result) => Poll::Ready(result),
            None => {
                held.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl<T: Send + 'static> Ticket<T> {
    /// Hands what the ticket waits for to a callback that wakes the future.
    fn fall_asleep(&mut self, context: &Context<'_>) -> Arc<Mutex<Asleep<T>>> {
        let asleep = Arc::new(Mutex::new(Asleep { done: None, waker: Some(context.waker().clone()) }));
        self.asleep = Some(asleep.clone());
        let waits = match &self.state {
            State::Placed { waits, .. } | State::Ready { waits, .. } => waits.clone(),
            State::Later(later) => later.waits(),
        };
        let state = std::mem::replace(&mut self.state, State::Ready { waits, result: None });
        let other = asleep.clone();
        Ticket { state, asleep: None }.on_done(move |result| {
            let waker = {
                let mut held = other.lock();
                held.done = Some(result);
                held.waker.take()
            };
            if let Some(waker) = waker {
                waker.wake();
            }
        });
        asleep
    }
}
