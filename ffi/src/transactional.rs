//! The producer whose records become visible in transactions.
#![allow(unsafe_code)]

use std::ffi::c_char;

use engine::TransactionalProducer;

use crate::alone::Alone;
use crate::call::{call, tell};
use crate::consumer::oncelog_consumer_t;
use crate::engine_handle::oncelog_engine_t;
use crate::error::oncelog_error_t;
use crate::handle::{end, find, handle, make, place};
use crate::options::oncelog_producer_options_t;
use crate::ticket::{Pending, Wanted, oncelog_ticket_t};
use crate::transaction::oncelog_transaction_t;

/// A producer whose records become visible in transactions. Any number of threads may use it; one transaction is open
/// at a time.
pub struct oncelog_transactional_producer_t;

handle!(oncelog_transactional_producer_t, TransactionalProducer, TransactionalProducer);

/// Opens a producer whose records become visible in transactions. It fences the former holder of the id, durably,
/// before this returns. Names of producers and transactional ids are one namespace. Of `options`, which may be NULL,
/// the level, the compression, `transaction_buffer` and `transaction_timeout_ms` count. Free it with
/// `oncelog_transactional_producer_free`.
///
/// Errors: as `oncelog_producer_open`; INVALID_ARGUMENT for a name beside the id.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_transactional_producer_open(
    engine: *const oncelog_engine_t,
    transactional_id: *const c_char,
    options: *const oncelog_producer_options_t,
    out: *mut *mut oncelog_transactional_producer_t,
) -> *mut oncelog_error_t {
    call(|c| {
        let (open, out, place) = (find(engine)?, c.out(out, "out")?, place()?);
        let (id, options) = (c.text(transactional_id, "transactional_id")?, c.options(options)?.read(c)?);
        out.set(place.make(open.engine.transactional_producer(id, options)?));
        Ok(())
    })
}

/// The same; the ticket is done when the former holder is fenced, and then `oncelog_ticket_transactional_producer`
/// answers the producer.
///
/// Errors: as `oncelog_producer_open`; most come from the ticket.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_transactional_producer_open_ticket(
    engine: *const oncelog_engine_t,
    transactional_id: *const c_char,
    options: *const oncelog_producer_options_t,
    ticket: *mut *mut oncelog_ticket_t,
) -> *mut oncelog_error_t {
    call(|c| {
        let (open, ticket) = (find(engine)?, Wanted::always(c, ticket)?);
        let (id, options) = (c.text(transactional_id, "transactional_id")?, c.options(options)?.read(c)?);
        Pending::Transactional(open.engine.transactional_producer_ticket(id, options)?).give(ticket)
    })
}

/// Begins a transaction. Nobody at read_committed sees anything of it before its commit. End it with
/// `oncelog_transaction_commit`, `oncelog_transaction_abort` or `oncelog_transaction_free`.
///
/// Errors: INVALID_TRANSACTION_STATE while another transaction of this producer is open; PRODUCER_FENCED once a newer
/// holder of the id exists; READ_ONLY, POISONED, CLOSED, FORKED.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_begin_transaction(
    producer: *const oncelog_transactional_producer_t,
    out: *mut *mut oncelog_transaction_t,
) -> *mut oncelog_error_t {
    call(|c| {
        let (producer, out) = (find(producer)?, c.out(out, "out")?);
        out.set(make(Alone::new(Some(producer.begin_transaction()?)))?);
        Ok(())
    })
}

/// Begins a transaction bound to a consumer: begin it before you poll. Commit sends the consumer's positions with it;
/// abort, free or a failed commit puts the consumer back to where it stands now, so that no input is lost.
///
/// Errors: as `oncelog_begin_transaction`; INVALID_ARGUMENT if the consumer has no group or
/// belongs to another engine; INVALID_STATE if nothing is assigned to it or it is bound to another open transaction;
/// UNSTABLE_OFFSETS, which passes, while a raw transaction is open that will commit offsets of its group where it has
/// no position yet.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_begin_transaction_for(
    producer: *const oncelog_transactional_producer_t,
    consumer: *const oncelog_consumer_t,
    out: *mut *mut oncelog_transaction_t,
) -> *mut oncelog_error_t {
    call(|c| {
        let (producer, consumer, out) = (find(producer)?, find(consumer)?, c.out(out, "out")?);
        out.set(make(Alone::new(Some(producer.begin_transaction_for(&consumer.consumer)?)))?);
        Ok(())
    })
}

/// The position last sent with `oncelog_transaction_send_position` in a transaction that has met its level. `known` is
/// false, and `out` 0, if there is none.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_transactional_producer_position(
    producer: *const oncelog_transactional_producer_t,
    out: *mut u64,
    known: *mut bool,
) -> *mut oncelog_error_t {
    call(|c| {
        let (producer, out, known) = (find(producer)?, c.out(out, "out")?, c.out(known, "known")?);
        tell(out, known, producer.position());
        Ok(())
    })
}

/// Frees a transactional producer. A transaction of it that is open goes on. NULL is no error.
#[unsafe(no_mangle)]
pub extern "C" fn oncelog_transactional_producer_free(
    producer: *mut oncelog_transactional_producer_t,
) -> *mut oncelog_error_t {
    call(|_| if producer.is_null() { Ok(()) } else { end(producer) })
}
