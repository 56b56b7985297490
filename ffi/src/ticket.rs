//! Tickets: answers to writes, on their way.
#![allow(unsafe_code)]

use std::time::Duration;

use engine::{Appended, Committed, Error, ErrorKind, Producer, Ticket, TransactionalProducer};
use parking_lot::{Mutex, MutexGuard};

use crate::call::{Answer, Out, call};
use crate::error::{Fault, oncelog_error_t};
use crate::handle::{end, find, handle, make};
use crate::producer::oncelog_producer_t;
use crate::structs::{oncelog_appended_t, oncelog_committed_t, timeout};
use crate::transactional::oncelog_transactional_producer_t;

/// The answer to a call, on its way. Freeing a ticket cancels nothing: what was sent is sent. One thread waits at a
/// time.
pub struct oncelog_ticket_t;

handle!(oncelog_ticket_t, Ticket, Mutex<State>);

/// What a ticket waits for.
pub enum Pending {
    Nothing(Ticket<()>),
    Appended(Ticket<Appended>),
    Many(Ticket<Vec<Appended>>),
    Committed(Ticket<Committed>),
    Producer(Ticket<Producer>),
    Transactional(Ticket<TransactionalProducer>),
}

/// What it was answered.
pub enum Given {
    Nothing,
    Appended(oncelog_appended_t),
    Many(Vec<oncelog_appended_t>),
    Committed(oncelog_committed_t),
    Producer(Option<Producer>),
    Transactional(Option<TransactionalProducer>),
}

/// How far a ticket has come.
pub enum State {
    Pending(Pending),
    Done(Result<Given, Error>),
    /// Somebody took it away, or failed to put it back.
    Lost,
}

impl From<()> for Given {
    fn from((): ()) -> Self {
        Given::Nothing
    }
}

impl From<Appended> for Given {
    fn from(appended: Appended) -> Self {
        Given::Appended((&appended).into())
    }
}

impl From<Vec<Appended>> for Given {
    fn from(appended: Vec<Appended>) -> Self {
        Given::Many(appended.iter().map(Into::into).collect())
    }
}

impl From<Committed> for Given {
    fn from(committed: Committed) -> Self {
        Given::Committed(committed.into())
    }
}

impl From<Producer> for Given {
    fn from(producer: Producer) -> Self {
        Given::Producer(Some(producer))
    }
}

impl From<TransactionalProducer> for Given {
    fn from(producer: TransactionalProducer) -> Self {
        Given::Transactional(Some(producer))
    }
}

/// Does the same with a pending ticket of any type.
macro_rules! with_ticket {
    ($pending:expr, $ticket:ident => $what:expr) => {
        match $pending {
            Pending::Nothing($ticket) => $what,
            Pending::Appended($ticket) => $what,
            Pending::Many($ticket) => $what,
            Pending::Committed($ticket) => $what,
            Pending::Producer($ticket) => $what,
            Pending::Transactional($ticket) => $what,
        }
    };
}
pub(crate) use with_ticket;

impl Pending {
    /// Gives the caller a ticket, if one is wanted.
    pub fn give(self, out: Option<Out<*mut oncelog_ticket_t>>) -> Answer {
        if let Some(out) = out {
            out.set(make(Mutex::new(State::Pending(self)))?);
        }
        Ok(())
    }

    fn wait(self) -> Result<Given, Error> {
        with_ticket!(self, ticket => ticket.wait().map(Into::into))
    }

    fn wait_for(mut self, time: Duration) -> Result<Result<Given, Error>, Self> {
        let answer = with_ticket!(&mut self, ticket => ticket.wait_for(time).map(|given| given.map(Into::into)));
        answer.transpose().ok_or(self)
    }

    fn try_wait(mut self) -> Result<Result<Given, Error>, Self> {
        let answer = with_ticket!(&mut self, ticket => ticket.try_wait().map(|given| given.map(Into::into)));
        answer.transpose().ok_or(self)
    }
}

impl State {
    /// Asks a ticket that has no answer yet; answers whether there is one now.
    fn advance(&mut self, ask: impl FnOnce(Pending) -> Result<Result<Given, Error>, Pending>) -> Answer<bool> {
        *self = match std::mem::replace(self, State::Lost) {
            State::Pending(pending) => match ask(pending) {
                Ok(answer) => State::Done(answer),
                Err(pending) => State::Pending(pending),
            },
            other => other,
        };
        match self {
            State::Pending(_) => Ok(false),
            State::Done(Ok(_)) => Ok(true),
            State::Done(Err(error)) => Err(error.clone().into()),
            State::Lost => Err(lost()),
        }
    }

    /// What was answered.
    fn given(&mut self) -> Answer<&mut Given> {
        match self {
            State::Done(Ok(given)) => Ok(given),
            State::Done(Err(error)) => Err(error.clone().into()),
            State::Pending(_) => {
                let text = "the ticket has no answer yet; wait for it first";
                Err(Fault::new(ErrorKind::InvalidState, text))
            }
            State::Lost => Err(lost()),
        }
    }
}

/// The ticket's state, if no other thread has it.
pub fn lock(state: &Mutex<State>) -> Answer<MutexGuard<'_, State>> {
    let busy = || Fault::new(ErrorKind::Busy, "another thread is waiting for this ticket; let one thread do it");
    state.try_lock().ok_or_else(busy)
}

/// The answer to whoever asks a ticket that was given away.
pub fn lost() -> Fault {
    Fault::new(ErrorKind::Closed, "the ticket was given to a completion queue, or lost to a panic; ask that")
}

#[cold]
fn another(what: &str) -> Fault {
    let text = format!("the ticket's answer is not {what}; ask for what its call promises, once if it is a handle");
    Fault::new(ErrorKind::InvalidState, text)
}

/// Waits until the call has its answer: until a write has met its level, `os` when it is written to the operating
/// system, `disk` when it is flushed. Closes a batch that is being gathered, and leads the write or flush if nobody
/// does. Then ask `oncelog_ticket_appended` or its like. Asked again, a ticket answers the same.
///
/// Errors: what the call answers. BUSY while another thread waits for this ticket.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_ticket_wait(ticket: *mut oncelog_ticket_t) -> *mut oncelog_error_t {
    call(|_| lock(&*find(ticket)?)?.advance(|pending| Ok(pending.wait())).map(drop))
}

/// Waits at most `timeout_ms`. `done` tells whether there is an answer; the ticket stays good if there is none.
///
/// Errors: as `oncelog_ticket_wait`.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_ticket_wait_for(
    ticket: *mut oncelog_ticket_t,
    timeout_ms: u32,
    done: *mut bool,
) -> *mut oncelog_error_t {
    call(|c| {
        let (state, done) = (find(ticket)?, c.out(done, "done")?);
        done.set(lock(&state)?.advance(|pending| pending.wait_for(timeout(timeout_ms)))?);
        Ok(())
    })
}

/// Tells whether there is an answer. Waits for nothing, writes nothing, and closes nothing that is being gathered.
///
/// Errors: as `oncelog_ticket_wait`.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_ticket_poll(ticket: *mut oncelog_ticket_t, done: *mut bool) -> *mut oncelog_error_t {
    call(|c| {
        let (state, done) = (find(ticket)?, c.out(done, "done")?);
        done.set(lock(&state)?.advance(Pending::try_wait)?);
        Ok(())
    })
}

/// Where the record went, or the batch; of many records, the last.
///
/// Errors: INVALID_STATE if there is no answer yet, or one of another type; what the call answers.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_ticket_appended(
    ticket: *const oncelog_ticket_t,
    out: *mut oncelog_appended_t,
) -> *mut oncelog_error_t {
    call(|c| {
        let (state, out) = (find(ticket)?, c.out(out, "out")?);
        let appended = match lock(&state)?.given()? {
            Given::Appended(appended) => Some(*appended),
            Given::Many(all) => all.last().copied(),
            _ => None,
        };
        out.set(appended.ok_or_else(|| another("where records went"))?);
        Ok(())
    })
}

/// Where each of many records went, in their order: a borrowed array that lives until the ticket is freed.
///
/// Errors: as `oncelog_ticket_appended`.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_ticket_appended_many(
    ticket: *const oncelog_ticket_t,
    out: *mut *const oncelog_appended_t,
    count: *mut usize,
) -> *mut oncelog_error_t {
    call(|c| {
        let (state, out, count) = (find(ticket)?, c.out(out, "out")?, c.out(count, "count")?);
        let mut state = lock(&state)?;
        let all: &[oncelog_appended_t] = match state.given()? {
            Given::Appended(appended) => std::slice::from_ref(appended),
            Given::Many(all) => all,
            _ => return Err(another("where records went")),
        };
        // An answer that is there stays where it is until the ticket is freed.
        out.set(all.as_ptr());
        count.set(all.len());
        Ok(())
    })
}

/// What the transaction left.
///
/// Errors: as `oncelog_ticket_appended`.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_ticket_committed(
    ticket: *const oncelog_ticket_t,
    out: *mut oncelog_committed_t,
) -> *mut oncelog_error_t {
    call(|c| {
        let (state, out) = (find(ticket)?, c.out(out, "out")?);
        match lock(&state)?.given()? {
            Given::Committed(committed) => out.set(*committed),
            _ => return Err(another("a transaction")),
        }
        Ok(())
    })
}

/// The producer that `oncelog_producer_open_ticket` opened; asked once. Free it with `oncelog_producer_free`.
///
/// Errors: as `oncelog_ticket_appended`.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_ticket_producer(
    ticket: *const oncelog_ticket_t,
    out: *mut *mut oncelog_producer_t,
) -> *mut oncelog_error_t {
    call(|c| {
        let (state, out) = (find(ticket)?, c.out(out, "out")?);
        let producer = match lock(&state)?.given()? {
            Given::Producer(producer) => producer.take(),
            _ => None,
        };
        out.set(make(producer.ok_or_else(|| another("a producer"))?)?);
        Ok(())
    })
}

/// The producer that `oncelog_transactional_producer_open_ticket` opened; asked once. Free it with
/// `oncelog_transactional_producer_free`.
///
/// Errors: as `oncelog_ticket_appended`.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_ticket_transactional_producer(
    ticket: *const oncelog_ticket_t,
    out: *mut *mut oncelog_transactional_producer_t,
) -> *mut oncelog_error_t {
    call(|c| {
        let (state, out) = (find(ticket)?, c.out(out, "out")?);
        let producer = match lock(&state)?.given()? {
            Given::Transactional(producer) => producer.take(),
            _ => None,
        };
        out.set(make(producer.ok_or_else(|| another("a transactional producer"))?)?);
        Ok(())
    })
}

/// Frees a ticket with what is borrowed from it; nobody is told any more. NULL is no error.
#[unsafe(no_mangle)]
pub extern "C" fn oncelog_ticket_free(ticket: *mut oncelog_ticket_t) -> *mut oncelog_error_t {
    call(|_| if ticket.is_null() { Ok(()) } else { end(ticket) })
}
