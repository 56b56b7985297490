//! What tickets that are done were answered, and the end of tickets.
#![allow(unsafe_code)]

use engine::ErrorKind;

use crate::call::{call, tell};
use crate::choices::status_number;
use crate::consumer::{kept_offsets, oncelog_offsets_t};
use crate::error::{Fault, oncelog_error_t};
use crate::handle::{end, find, place};
use crate::producer::oncelog_producer_t;
use crate::structs::{oncelog_appended_t, oncelog_committed_t, oncelog_identity_t};
use crate::ticket::{Given, lock, look, oncelog_ticket_t};
use crate::transactional::oncelog_transactional_producer_t;

#[cold]
fn another(what: &str) -> Fault {
    let text = format!("the ticket's answer is not {what}; ask for what its call promises, once if it is a handle");
    Fault::new(ErrorKind::InvalidState, text)
}

/// Where the record went, or the batch; of many records, the last.
///
/// Errors: INVALID_STATE if there is no answer yet, or one of another type; BUSY while another thread waits for the
/// ticket; what the call answers.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_ticket_appended(
    ticket: *const oncelog_ticket_t,
    out: *mut oncelog_appended_t,
) -> *mut oncelog_error_t {
    call(|c| {
        let (state, out) = (find(ticket)?, c.out(out, "out")?);
        let appended = match look(&state)?.given()? {
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
        let state = look(&state)?;
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
        match look(&state)?.given()? {
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
        let (state, out, place) = (find(ticket)?, c.out(out, "out")?, place()?);
        let producer = match lock(&state)?.given_mut()? {
            Given::Producer(producer) => producer.take(),
            _ => None,
        };
        out.set(place.make(producer.ok_or_else(|| another("a producer"))?));
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
        let (state, out, place) = (find(ticket)?, c.out(out, "out")?, place()?);
        let producer = match lock(&state)?.given_mut()? {
            Given::Transactional(producer) => producer.take(),
            _ => None,
        };
        out.set(place.make(producer.ok_or_else(|| another("a transactional producer"))?));
        Ok(())
    })
}

/// The identity that `oncelog_init_producer_ticket` or `oncelog_end_transaction_ticket` answers.
///
/// Errors: as `oncelog_ticket_appended`.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_ticket_identity(
    ticket: *const oncelog_ticket_t,
    out: *mut oncelog_identity_t,
) -> *mut oncelog_error_t {
    call(|c| {
        let (state, out) = (find(ticket)?, c.out(out, "out")?);
        match look(&state)?.given()? {
            Given::Identity(identity) => out.set(*identity),
            _ => return Err(another("an identity")),
        }
        Ok(())
    })
}

/// How the transaction stands that `oncelog_transaction_status_ticket` asked for, one of `ONCELOG_TRANSACTION_*`.
///
/// Errors: as `oncelog_ticket_appended`.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_ticket_transaction_status(
    ticket: *const oncelog_ticket_t,
    out: *mut u32,
) -> *mut oncelog_error_t {
    call(|c| {
        let (state, out) = (find(ticket)?, c.out(out, "out")?);
        let status = match look(&state)?.given()? {
            Given::Status(status) => *status,
            _ => return Err(another("how a transaction stands")),
        };
        out.set(status_number(status)?);
        Ok(())
    })
}

/// The number that `oncelog_consumer_committed_ticket`, `oncelog_consumer_position_ticket` or
/// `oncelog_consumer_lag_ticket` asked for; `known` is false, and `out` 0, where nothing is committed.
///
/// Errors: as `oncelog_ticket_appended`.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_ticket_offset(
    ticket: *const oncelog_ticket_t,
    out: *mut u64,
    known: *mut bool,
) -> *mut oncelog_error_t {
    call(|c| {
        let (state, out, known) = (find(ticket)?, c.out(out, "out")?, c.out(known, "known")?);
        match look(&state)?.given()? {
            Given::Offset(offset) => tell(out, known, *offset),
            _ => return Err(another("an offset")),
        }
        Ok(())
    })
}

/// The offsets that `oncelog_consumer_committed_offsets_ticket` asked for. Read them with `oncelog_offsets_get`, free
/// the list with `oncelog_offsets_free`.
///
/// Errors: as `oncelog_ticket_appended`.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_ticket_offsets(
    ticket: *const oncelog_ticket_t,
    out: *mut *mut oncelog_offsets_t,
) -> *mut oncelog_error_t {
    call(|c| {
        let (state, out, place) = (find(ticket)?, c.out(out, "out")?, place()?);
        match look(&state)?.given()? {
            Given::Offsets(offsets) => out.set(place.make(kept_offsets(offsets))),
            _ => return Err(another("a list of offsets")),
        }
        Ok(())
    })
}

/// Frees a ticket with what is borrowed from it; nobody is told any more. NULL is no error.
#[unsafe(no_mangle)]
pub extern "C" fn oncelog_ticket_free(ticket: *mut oncelog_ticket_t) -> *mut oncelog_error_t {
    call(|_| if ticket.is_null() { Ok(()) } else { end(ticket) })
}
