//! The producer: gathers records into batches, and says when they are safe.
#![allow(unsafe_code)]

use std::ffi::c_char;

use engine::Producer;

use crate::call::{call, tell};
use crate::engine_handle::oncelog_engine_t;
use crate::error::{Fault, oncelog_error_t};
use crate::handle::{end, find, handle, place};
use crate::options::oncelog_producer_options_t;
use crate::record;
use crate::structs::oncelog_record_t;
use crate::ticket::{Pending, Wanted, oncelog_ticket_t};

/// Sends records to topics. Any number of threads may use it; each partition's records keep the order of the sends.
pub struct oncelog_producer_t;

handle!(oncelog_producer_t, Producer, Producer);

/// Opens a producer. `options` may be NULL. Free it with `oncelog_producer_free`.
///
/// Records are gathered into a batch per partition. A batch goes into the log when it is full, when its linger has
/// passed, or when somebody waits for one of its tickets. The partition is the record's own, or follows from its key
/// as in Kafka, or else changes from batch to batch.
///
/// A producer with a name never writes a record twice, across crashes and restarts: each record carries a position, a
/// number that only grows, such as a line number or an offset in its source. What was gathered goes down whole, with
/// its last position. After a restart `oncelog_producer_position` says how far the log got; a send at or below it is
/// answered as a duplicate, so one may go on before it and needs not be exact. The name's former holder is fenced,
/// durably, before this returns.
///
/// Errors: INVALID_ARGUMENT for options out of range; READ_ONLY; with a name also what a write answers.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_producer_open(
    engine: *const oncelog_engine_t,
    options: *const oncelog_producer_options_t,
    out: *mut *mut oncelog_producer_t,
) -> *mut oncelog_error_t {
    call(|c| {
        let (open, out, place) = (find(engine)?, c.out(out, "out")?, place()?);
        let options = c.options(options)?.read(c)?;
        out.set(place.make(open.engine.producer(options)?));
        Ok(())
    })
}

/// The same; the ticket is done when the former holder is fenced, and then `oncelog_ticket_producer` answers the
/// producer.
///
/// Errors: as `oncelog_producer_open`; most come from the ticket.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_producer_open_ticket(
    engine: *const oncelog_engine_t,
    options: *const oncelog_producer_options_t,
    ticket: *mut *mut oncelog_ticket_t,
) -> *mut oncelog_error_t {
    call(|c| {
        let (open, ticket) = (find(engine)?, Wanted::always(c, ticket)?);
        let options = c.options(options)?.read(c)?;
        Pending::Producer(open.engine.producer_ticket(options)?).give(ticket)
    })
}

/// Sends a record. Its ticket is done when the record has met the level of the options, else of the topic; waiting for
/// it closes the batch at once. `ticket` may be NULL: nobody is told, `oncelog_producer_flush` waits for all. If the
/// engine's buffers are full this waits for room; behind a batch that was refused it waits until the disk has confirmed
/// why.
///
/// Errors: nothing was sent, and the position is still free: UNKNOWN_TOPIC_OR_PARTITION; RECORD_TOO_LARGE;
/// INVALID_RECORD for a timestamp out of range; INVALID_ARGUMENT for a position without a name or a name without a
/// position; PRODUCER_FENCED once a newer holder of the name is known; CLOSED if an earlier send of this named producer
/// was refused; READ_ONLY, POISONED, FORKED. From the ticket: FULL, and what a write answers; and PRODUCER_FENCED,
/// CLOSED and UNKNOWN_TOPIC_OR_PARTITION if the batch was refused, or an earlier one was and a power cut could still
/// take what it was refused for: no refusal is told before that is safe.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_producer_send(
    producer: *const oncelog_producer_t,
    topic: *const c_char,
    record: *const oncelog_record_t,
    ticket: *mut *mut oncelog_ticket_t,
) -> *mut oncelog_error_t {
    call(|c| {
        let (producer, out) = (find(producer)?, Wanted::maybe(c, ticket)?);
        let topic = c.text(topic, "topic")?;
        let mut ticket = None;
        record::each(c, &[c.one(record, "record")?], |record| {
            ticket = Some(producer.send(topic, *record)?);
            Ok(())
        })?;
        match ticket {
            Some(ticket) => Pending::Appended(ticket).give(out),
            None => Ok(()),
        }
    })
}

/// Sends a record if that takes no waiting; `sent` tells. False: the engine's buffers are full, a batch was refused and
/// the disk must confirm why, or another thread, be it the engine's own, is busy with this producer right then; nothing
/// was sent. For event loops, which come again later. `ticket` may be NULL.
///
/// Errors: as `oncelog_producer_send`.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_producer_try_send(
    producer: *const oncelog_producer_t,
    topic: *const c_char,
    record: *const oncelog_record_t,
    ticket: *mut *mut oncelog_ticket_t,
    sent: *mut bool,
) -> *mut oncelog_error_t {
    call(|c| {
        let (producer, out, sent) = (find(producer)?, Wanted::maybe(c, ticket)?, c.out(sent, "sent")?);
        let topic = c.text(topic, "topic")?;
        let mut ticket = None;
        record::each(c, &[c.one(record, "record")?], |record| {
            ticket = producer.try_send(topic, *record)?;
            Ok(())
        })?;
        let is_sent = ticket.is_some();
        if let Some(ticket) = ticket {
            Pending::Appended(ticket).give(out)?;
        }
        sent.set(is_sent);
        Ok(())
    })
}

/// Sends records in order; one ticket for all, with an answer for each (`oncelog_ticket_appended_many`). Records of
/// other threads do not come between them. `ticket` may be NULL.
///
/// Errors: as `oncelog_producer_send`. The records before the refused one are sent; a malformed argument is found
/// before any is.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_producer_send_many(
    producer: *const oncelog_producer_t,
    topic: *const c_char,
    records: *const oncelog_record_t,
    count: usize,
    ticket: *mut *mut oncelog_ticket_t,
) -> *mut oncelog_error_t {
    call(|c| {
        let (producer, out) = (find(producer)?, Wanted::maybe(c, ticket)?);
        let (topic, records) = (c.text(topic, "topic")?, c.array(records, count, "records")?);
        let ticket = record::all(c, records, |records| Ok(producer.send_many(topic, records)?))?;
        Pending::Many(ticket).give(out)
    })
}

/// Sends records in order until one would have to wait, or is refused; `sent` tells how many were, the first ones, and
/// `ticket` has their answers, none where none was sent. `refused` is why the next one was refused, yours to free; NULL
/// if all are sent, or if it would have had to wait: go on with it later. As `oncelog_producer_try_send`, nothing is
/// sent if a batch was refused and the disk must confirm why, or another thread, be it the engine's own, is busy with
/// this producer right then. What a named producer is refused counts as sent as long as that may not be told yet: the
/// ticket tells it. `ticket` and `refused` may be NULL.
///
/// Errors: nothing was sent: CLOSED, FORKED, READ_ONLY, POISONED, or a malformed argument. The others of
/// `oncelog_producer_send` come as `refused`.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_producer_try_send_many(
    producer: *const oncelog_producer_t,
    topic: *const c_char,
    records: *const oncelog_record_t,
    count: usize,
    sent: *mut usize,
    ticket: *mut *mut oncelog_ticket_t,
    refused: *mut *mut oncelog_error_t,
) -> *mut oncelog_error_t {
    call(|c| {
        let (producer, sent, out) = (find(producer)?, c.out(sent, "sent")?, Wanted::maybe(c, ticket)?);
        let refused = c.optional_out(refused, "refused")?;
        let (topic, records) = (c.text(topic, "topic")?, c.array(records, count, "records")?);
        let many = record::all(c, records, |records| Ok(producer.try_send_many(topic, records)?))?;
        Pending::Many(many.ticket).give(out)?;
        sent.set(many.sent);
        if let Some(refused) = refused {
            refused.set(many.refused.map_or(std::ptr::null_mut(), |error| Fault::from(error).into_handle()));
        }
        Ok(())
    })
}

/// Closes what is gathered and waits until everything sent before has met its level.
///
/// Errors: what a write answers; what a batch was refused for since the last flush, after all others are safe.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_producer_flush(producer: *const oncelog_producer_t) -> *mut oncelog_error_t {
    call(|_| Ok(find(producer)?.flush()?))
}

/// Closes what is gathered; the ticket is done when everything sent before has met its level. `ticket` may be NULL.
///
/// Errors: as `oncelog_producer_flush`; most come from the ticket.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_producer_flush_ticket(
    producer: *const oncelog_producer_t,
    ticket: *mut *mut oncelog_ticket_t,
) -> *mut oncelog_error_t {
    call(|c| {
        let (producer, out) = (find(producer)?, Wanted::maybe(c, ticket)?);
        Pending::Nothing(producer.flush_ticket()?).give(out)
    })
}

/// The position of a named producer: everything sent up to it has met its level, and nothing beyond it is promised.
/// `known` is false, and `out` 0, before the first, without a name, and in a forked child, which may not send either.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_producer_position(
    producer: *const oncelog_producer_t,
    out: *mut u64,
    known: *mut bool,
) -> *mut oncelog_error_t {
    call(|c| {
        let (producer, out, known) = (find(producer)?, c.out(out, "out")?, c.out(known, "known")?);
        tell(out, known, producer.position());
        Ok(())
    })
}

/// Frees a producer. What is gathered goes into the log; nobody is told of errors. NULL is no error.
#[unsafe(no_mangle)]
pub extern "C" fn oncelog_producer_free(producer: *mut oncelog_producer_t) -> *mut oncelog_error_t {
    call(|_| if producer.is_null() { Ok(()) } else { end(producer) })
}
