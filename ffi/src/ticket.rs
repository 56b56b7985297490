//! Tickets: answers to writes, on their way.
#![allow(unsafe_code)]

use std::time::Duration;

use engine::{
    Appended, Committed, Error, ErrorKind, Identity, Lsn, Offsets, Producer, Ticket, TransactionStatus,
    TransactionalProducer,
};

use crate::alone::{Alone, Looked, Taken};
use crate::call::{Answer, Caller, Out, call};
use crate::choices::timeout;
use crate::error::{Fault, oncelog_error_t};
use crate::handle::{Place, find, handle, place};
use crate::structs::{oncelog_appended_t, oncelog_committed_t, oncelog_identity_t};

/// The answer to a call, on its way. Freeing a ticket cancels nothing: what was sent is sent. One thread waits at a
/// time.
pub struct oncelog_ticket_t;

handle!(oncelog_ticket_t, Ticket, Alone<State>);

/// What a ticket waits for.
pub enum Pending {
    Nothing(Ticket<()>),
    Appended(Ticket<Appended>),
    Many(Ticket<Vec<Appended>>),
    Committed(Ticket<Committed>),
    Producer(Ticket<Producer>),
    Transactional(Ticket<TransactionalProducer>),
    Identity(Ticket<Identity>),
    Status(Ticket<TransactionStatus>),
    Offset(Ticket<u64>),
    Known(Ticket<Option<u64>>),
    Offsets(Ticket<Offsets>),
}

/// What it was answered.
pub enum Given {
    Nothing,
    Appended(oncelog_appended_t),
    Many(Vec<oncelog_appended_t>),
    Committed(oncelog_committed_t),
    Producer(Option<Producer>),
    Transactional(Option<TransactionalProducer>),
    Identity(oncelog_identity_t),
    Status(TransactionStatus),
    Offset(Option<u64>),
    Offsets(Offsets),
}

/// How far a ticket has come.
pub enum State {
    Pending(Pending),
    /// With the frame that it waited for, as `Pending::placed_lsn` has it.
    Done(Result<Given, Error>, Lsn),
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

impl From<Identity> for Given {
    fn from(identity: Identity) -> Self {
        Given::Identity(identity.into())
    }
}

impl From<TransactionStatus> for Given {
    fn from(status: TransactionStatus) -> Self {
        Given::Status(status)
    }
}

impl From<u64> for Given {
    fn from(offset: u64) -> Self {
        Given::Offset(Some(offset))
    }
}

impl From<Option<u64>> for Given {
    fn from(offset: Option<u64>) -> Self {
        Given::Offset(offset)
    }
}

impl From<Offsets> for Given {
    fn from(offsets: Offsets) -> Self {
        Given::Offsets(offsets)
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
            Pending::Identity($ticket) => $what,
            Pending::Status($ticket) => $what,
            Pending::Offset($ticket) => $what,
            Pending::Known($ticket) => $what,
            Pending::Offsets($ticket) => $what,
        }
    };
}
pub(crate) use with_ticket;

impl Pending {
    /// Gives the caller a ticket, if one is wanted.
    pub fn give(self, wanted: Wanted) -> Answer {
        if let Some((out, place)) = wanted.0 {
            out.set(place.make(Alone::new(State::Pending(self))));
        }
        Ok(())
    }

    /// The frame that it waits for, 0 for none. Closes what is being gathered.
    fn lsn(&mut self) -> Lsn {
        with_ticket!(self, ticket => ticket.lsn()).unwrap_or(0)
    }

    /// The same, if asking closes nothing; of what may be gathered still the answer tells it.
    pub fn placed_lsn(&mut self) -> Lsn {
        match self {
            Pending::Appended(_) | Pending::Many(_) => 0,
            placed => placed.lsn(),
        }
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

/// Where a ticket goes, if one is wanted, and its handle to be: a call that did its work must not fail for want of one.
pub struct Wanted(Option<(Out<*mut oncelog_ticket_t>, Place<oncelog_ticket_t>)>);

impl Wanted {
    /// For calls that make a ticket only if they are asked for one.
    pub fn maybe(caller: &Caller, ticket: *mut *mut oncelog_ticket_t) -> Answer<Self> {
        let out = caller.optional_out(ticket, "ticket")?;
        Ok(Wanted(out.map(|out| place().map(|place| (out, place))).transpose()?))
    }

    /// For calls whose answer comes in the ticket alone.
    pub fn always(caller: &Caller, ticket: *mut *mut oncelog_ticket_t) -> Answer<Self> {
        Ok(Wanted(Some((caller.out(ticket, "ticket")?, place()?))))
    }

    /// Nobody asked for one.
    pub fn is_none(&self) -> bool {
        self.0.is_none()
    }
}

impl State {
    /// Asks a ticket that has no answer yet; answers whether there is one now.
    fn advance(&mut self, ask: impl FnOnce(Pending) -> Result<Result<Given, Error>, Pending>) -> Answer<bool> {
        *self = match std::mem::replace(self, State::Lost) {
            State::Pending(mut pending) => {
                let lsn = pending.placed_lsn();
                match ask(pending) {
                    Ok(answer) => State::Done(answer, lsn),
                    Err(pending) => State::Pending(pending),
                }
            }
            other => other,
        };
        match self {
            State::Pending(_) => Ok(false),
            State::Done(Ok(_), _) => Ok(true),
            State::Done(Err(error), _) => Err(error.clone().into()),
            State::Lost => Err(lost()),
        }
    }

    /// The frame that the ticket waits for, or waited for; 0 for none.
    fn lsn(&mut self) -> Answer<Lsn> {
        match self {
            State::Pending(pending) => Ok(pending.lsn()),
            State::Done(Ok(Given::Appended(appended)), _) => Ok(appended.lsn),
            State::Done(Ok(Given::Many(all)), _) => Ok(all.iter().map(|appended| appended.lsn).max().unwrap_or(0)),
            State::Done(Ok(_), lsn) => Ok(*lsn),
            State::Done(Err(_), _) => Ok(0),
            State::Lost => Err(lost()),
        }
    }

    /// What was answered.
    pub fn given(&self) -> Answer<&Given> {
        match self {
            State::Done(Ok(given), _) => Ok(given),
            other => Err(other.none()),
        }
    }

    /// The same, to take a part of it away.
    pub fn given_mut(&mut self) -> Answer<&mut Given> {
        match self {
            State::Done(Ok(given), _) => Ok(given),
            other => Err(other.none()),
        }
    }

    /// Why there is nothing to give.
    #[cold]
    fn none(&self) -> Fault {
        match self {
            State::Done(Err(error), _) => error.clone().into(),
            State::Lost => lost(),
            _ => Fault::new(ErrorKind::InvalidState, "the ticket has no answer yet; wait for it first"),
        }
    }
}

/// The ticket's state, if no other thread has it.
pub fn lock(state: &Alone<State>) -> Answer<Taken<'_, State>> {
    state.lock(BUSY)
}

/// The same to look at it, which many threads may do at once.
pub fn look(state: &Alone<State>) -> Answer<Looked<'_, State>> {
    state.look(BUSY)
}

const BUSY: &str = "another thread is waiting for this ticket; let one thread do it";

/// The answer to whoever asks a ticket that was given away.
pub fn lost() -> Fault {
    Fault::new(ErrorKind::Closed, "the ticket was given to a completion queue, or lost to a panic; ask that")
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

/// Waits at most `timeout_ms`, but for a write, a flush or a new segment that it makes itself since nobody else does.
/// `done` tells whether there is an answer; the ticket stays good if there is none.
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

/// The frame that the answer waits for, or waited for: what `oncelog_wait_durable` takes. Closes a batch that is being
/// gathered to learn it, waiting for room if there is none. `lsn` is 0 where nothing is waited for: an answer that
/// needs no frame, one that is an error, and in a forked child what was still gathered at the fork.
///
/// Errors: BUSY while another thread waits for this ticket; CLOSED if it was given to a completion queue.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_ticket_lsn(ticket: *mut oncelog_ticket_t, lsn: *mut u64) -> *mut oncelog_error_t {
    call(|c| {
        let (state, lsn) = (find(ticket)?, c.out(lsn, "lsn")?);
        lsn.set(lock(&state)?.lsn()?);
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use std::ptr::{null, null_mut};

    use super::*;
    use crate::completions::*;
    use crate::consumer::*;
    use crate::engine_handle::*;
    use crate::error::{oncelog_error_code, oncelog_error_free};
    use crate::partition::*;
    use crate::producer::*;
    use crate::structs::{oncelog_bounds_t, oncelog_record_t, oncelog_topic_partition_t};
    use crate::transaction::*;
    use crate::transactional::*;

    fn ok(error: *mut oncelog_error_t) {
        assert_eq!(oncelog_error_code(error), 0);
    }

    fn is_full(error: *mut oncelog_error_t) {
        assert_eq!(oncelog_error_code(error), ErrorKind::LimitExceeded as u32);
        oncelog_error_free(error);
    }

    unsafe extern "C" fn called(
        count: *mut std::ffi::c_void,
        ticket: *mut oncelog_ticket_t,
        error: *const oncelog_error_t,
    ) {
        assert!(!ticket.is_null() && error.is_null());
        // SAFETY: the test gives a number.
        unsafe { *count.cast::<usize>() += 1 };
    }

    /// Takes all handles of a kind that are left.
    fn fill<H: crate::handle::Handle>() -> Vec<Place<H>> {
        std::iter::from_fn(|| place().ok()).collect()
    }

    #[test]
    fn a_call_that_finds_no_room_for_its_handle_does_nothing() {
        let directory = std::env::temp_dir().join(format!("oncelog-full-{}", std::process::id()));
        let path = std::ffi::CString::new(directory.to_str().unwrap()).unwrap();
        let (topic, id) = (c"t".as_ptr(), c"id".as_ptr());
        let name = oncelog_topic_partition_t { topic, partition: 0 };
        // SAFETY: zeros are a record.
        let record: oncelog_record_t = unsafe { std::mem::zeroed() };
        let (mut engine, mut partition, mut producer) = (null_mut(), null_mut(), null_mut());
        let (mut holder, mut open, mut consumer, mut queue) = (null_mut(), null_mut(), null_mut(), null_mut());
        let (mut ticket, mut watched, mut records) = (null_mut(), null_mut(), null_mut());
        let mut bounds = oncelog_bounds_t { start: 0, stable: 0, end: 0 };
        ok(oncelog_open(path.as_ptr(), null(), &mut engine));
        ok(oncelog_create_topic(engine, topic, null()));
        ok(oncelog_partition_open(engine, topic, 0, &mut partition));
        ok(oncelog_producer_open(engine, null(), &mut producer));
        ok(oncelog_transactional_producer_open(engine, id, null(), &mut holder));
        ok(oncelog_begin_transaction(holder, &mut open));
        ok(oncelog_transaction_send(open, topic, &record));
        ok(oncelog_consumer_open(engine, null(), &mut consumer));
        ok(oncelog_consumer_assign(consumer, &name, 1));
        ok(oncelog_completions_open(engine, &mut queue));
        ok(oncelog_flush_ticket(engine, &mut watched));
        ok(oncelog_ticket_wait(watched));
        let mut calls = 0usize;
        let context = (&raw mut calls).cast();

        let full = (fill::<oncelog_ticket_t>(), fill::<crate::records::oncelog_records_t>());
        is_full(oncelog_producer_send(producer, topic, &record, &mut ticket));
        is_full(oncelog_partition_append_ticket(partition, &record, 1, null(), &mut ticket));
        is_full(oncelog_transaction_commit_ticket(open, &mut ticket));
        is_full(oncelog_completions_watch(queue, watched, Some(called), context));
        ok(oncelog_flush(engine));
        ok(oncelog_partition_bounds(partition, &mut bounds));
        assert_eq!(bounds.end, 0);
        ok(oncelog_producer_send(producer, topic, &record, null_mut()));
        ok(oncelog_flush(engine));
        is_full(oncelog_consumer_poll(consumer, 0, &mut records));
        drop(full);

        // All of it can be done now: nothing was used up, nothing was passed over.
        ok(oncelog_transaction_commit_ticket(open, &mut ticket));
        ok(oncelog_ticket_wait(ticket));
        ok(oncelog_completions_watch(queue, watched, Some(called), context));
        ok(oncelog_completions_watch(queue, ticket, Some(called), context));
        // What was promised needs no room any more.
        let full = fill::<oncelog_ticket_t>();
        ok(oncelog_completions_drain(queue, null_mut()));
        assert_eq!(calls, 2);
        drop(full);
        ok(oncelog_consumer_poll(consumer, 0, &mut records));
        let mut count = 0;
        ok(crate::records::oncelog_records_count(records, &mut count));
        assert_eq!(count, 2);
        ok(crate::records::oncelog_records_free(records));
        ok(oncelog_engine_close(engine));
        std::fs::remove_dir_all(directory).unwrap();
    }
}
