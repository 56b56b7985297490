//! Raw identities and their transactions, for brokers; how transactions stand, whoever owns them.
#![allow(unsafe_code)]

use std::ffi::c_char;
use std::time::Duration;

use engine::{Identity, OpenTransaction, Ticket};

use crate::call::{Answer, Caller, call};
use crate::choices::{outcome, status_number};
use crate::codes::ONCELOG_FOREVER;
use crate::engine_handle::oncelog_engine_t;
use crate::error::oncelog_error_t;
use crate::handle::{end, find, handle, make};
use crate::kept::Kept;
use crate::structs::{
    given_offsets, group, oncelog_group_metadata_t, oncelog_identity_t, oncelog_offset_t, oncelog_open_transaction_t,
    oncelog_partition_offset_t,
};
use crate::ticket::{Pending, Wanted, oncelog_ticket_t};

/// Open transactions as they stood when they were asked for.
pub struct oncelog_open_transactions_t;

handle!(oncelog_open_transactions_t, OpenTransactions, Described);

/// What is behind a list of open transactions.
pub struct Described {
    items: Kept<oncelog_open_transaction_t>,
    /// Of all of them; each item points to its own.
    _partitions: Kept<oncelog_partition_offset_t>,
}

impl Described {
    fn new(all: &[OpenTransaction]) -> Self {
        let names: Vec<_> = all.iter().flat_map(|open| &open.partitions).collect();
        let partitions = Kept::new(&names, |(name, offset), keep| oncelog_partition_offset_t {
            topic: keep(&name.topic),
            partition: name.partition,
            offset: **offset,
        });
        let mut rest = partitions.items();
        let mut sources = Vec::with_capacity(all.len());
        for open in all {
            let (own, others) = rest.split_at(open.partitions.len());
            sources.push((open, own));
            rest = others;
        }
        let items = Kept::new(&sources, |(open, own), keep| oncelog_open_transaction_t {
            number: open.number,
            transactional_id: keep(&open.transactional_id),
            identity: open.identity.into(),
            since: open.since,
            partitions: own.as_ptr(),
            partition_count: own.len(),
            timeout_ms: open.timeout.map_or(ONCELOG_FOREVER, milliseconds),
            raw: open.raw,
        });
        Self { items, _partitions: partitions }
    }
}

fn milliseconds(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(ONCELOG_FOREVER)
}

fn init(
    caller: &Caller,
    engine: *const oncelog_engine_t,
    id: *const c_char,
    timeout_ms: u32,
    current: *const oncelog_identity_t,
) -> Answer<Ticket<Identity>> {
    let (open, id) = (find(engine)?, caller.optional_text(id, "transactional_id")?);
    let current = match current.is_null() {
        true => None,
        false => Some(caller.one(current, "current")?.into()),
    };
    Ok(open.engine.init_producer_ticket(id, Duration::from_millis(timeout_ms.into()), current)?)
}

/// An identity for batches that carry producer id, epoch and sequences of their own, as a broker's do; see
/// `oncelog_append_options_t`. With a transactional id the epoch is raised, older holders are fenced, and a transaction
/// that one of them left open is aborted, durably, before this returns; `timeout_ms` is how long a transaction may be
/// open: from 2^31 - 1 on, for ever (KIP-939). With `current` it is given only if nobody else raised the epoch since
/// (KIP-360); a call that is repeated because its answer was lost gets the same answer. `transactional_id` and
/// `current` may be NULL; without an id `timeout_ms` says nothing. When the epochs of an id are used up, at 32,766, the
/// answer has a new producer id.
///
/// Errors: PRODUCER_FENCED if `current` is not the newest holder; INVALID_ARGUMENT for an empty id or, with an id, a
/// timeout of 0 or past `transaction_timeout_max_ms` of the engine; what a write answers.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_init_producer(
    engine: *const oncelog_engine_t,
    transactional_id: *const c_char,
    timeout_ms: u32,
    current: *const oncelog_identity_t,
    out: *mut oncelog_identity_t,
) -> *mut oncelog_error_t {
    call(|c| {
        let out = c.out(out, "out")?;
        out.set(init(c, engine, transactional_id, timeout_ms, current)?.wait()?.into());
        Ok(())
    })
}

/// The same; the ticket is done when the identity may be used, and then `oncelog_ticket_identity` answers it.
///
/// Errors: as `oncelog_init_producer`; most come from the ticket.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_init_producer_ticket(
    engine: *const oncelog_engine_t,
    transactional_id: *const c_char,
    timeout_ms: u32,
    current: *const oncelog_identity_t,
    ticket: *mut *mut oncelog_ticket_t,
) -> *mut oncelog_error_t {
    call(|c| {
        let ticket = Wanted::always(c, ticket)?;
        Pending::Identity(init(c, engine, transactional_id, timeout_ms, current)?).give(ticket)
    })
}

/// Adds offsets to the transaction of a raw identity: they are committed if it commits, and until it is decided
/// `oncelog_consumer_committed` answers UNSTABLE_OFFSETS. The transaction begins with them if none is open. Later
/// offsets take the place of earlier ones. Waits until they have met the strongest level of the engine and of their
/// topics.
///
/// Errors: STALE_EPOCH if a newer identity took over; UNKNOWN_TRANSACTIONAL_ID for an identity without a transactional
/// id; INVALID_TRANSACTION_STATE while a transactional producer has a transaction open under the id;
/// UNKNOWN_TOPIC_OR_PARTITION; INVALID_ARGUMENT for an offset out of range; LIMIT_EXCEEDED for metadata that is too
/// long, or past 1,000 offsets in one transaction; what a write answers.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_send_offsets(
    engine: *const oncelog_engine_t,
    identity: *const oncelog_identity_t,
    group: *const oncelog_group_metadata_t,
    offsets: *const oncelog_offset_t,
    count: usize,
) -> *mut oncelog_error_t {
    call(|c| Ok(send(c, engine, identity, group, offsets, count)?.wait()?))
}

fn send(
    caller: &Caller,
    engine: *const oncelog_engine_t,
    identity: *const oncelog_identity_t,
    named: *const oncelog_group_metadata_t,
    offsets: *const oncelog_offset_t,
    count: usize,
) -> Answer<Ticket<()>> {
    let (open, identity) = (find(engine)?, caller.one(identity, "identity")?);
    let (group, offsets) = (group(caller, named)?, given_offsets(caller, offsets, count)?);
    Ok(open.engine.send_offsets_ticket(identity.into(), &group, &offsets)?)
}

/// The same; the ticket is done when they have met the strongest level of the engine and of their topics. `ticket` may
/// be NULL.
///
/// Errors: as `oncelog_send_offsets`; most come from the ticket.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_send_offsets_ticket(
    engine: *const oncelog_engine_t,
    identity: *const oncelog_identity_t,
    group: *const oncelog_group_metadata_t,
    offsets: *const oncelog_offset_t,
    count: usize,
    ticket: *mut *mut oncelog_ticket_t,
) -> *mut oncelog_error_t {
    call(|c| {
        let ticket = Wanted::maybe(c, ticket)?;
        Pending::Nothing(send(c, engine, identity, group, offsets, count)?).give(ticket)
    })
}

/// Ends the transaction of a raw identity, `ONCELOG_OUTCOME_*`, and raises its epoch (KIP-890): `out` is the identity
/// of its next transaction, whose sequences begin at 0 again. Waits until the decision has met the strongest level of
/// the engine and of the topics that it reached. A call that is repeated because its answer was lost gets the same
/// answer. An abort without a transaction only raises the epoch.
///
/// Errors: PRODUCER_FENCED if a newer identity took over; INVALID_TRANSACTION_STATE for a commit without a transaction,
/// and for one whose transaction was aborted meanwhile, by its timeout or by `oncelog_abort_transaction`;
/// UNKNOWN_TRANSACTIONAL_ID for an identity without a transactional id; what a write answers.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_end_transaction(
    engine: *const oncelog_engine_t,
    identity: *const oncelog_identity_t,
    outcome: u32,
    out: *mut oncelog_identity_t,
) -> *mut oncelog_error_t {
    call(|c| {
        let out = c.out(out, "out")?;
        out.set(decide(c, engine, identity, outcome)?.wait()?.into());
        Ok(())
    })
}

fn decide(
    caller: &Caller,
    engine: *const oncelog_engine_t,
    identity: *const oncelog_identity_t,
    number: u32,
) -> Answer<Ticket<Identity>> {
    let (open, identity) = (find(engine)?, caller.one(identity, "identity")?);
    Ok(open.engine.end_transaction_ticket(identity.into(), outcome(number)?)?)
}

/// The same; the ticket is done when the decision has met its level, and then `oncelog_ticket_identity` answers the
/// identity of the next transaction.
///
/// Errors: as `oncelog_end_transaction`; most come from the ticket.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_end_transaction_ticket(
    engine: *const oncelog_engine_t,
    identity: *const oncelog_identity_t,
    outcome: u32,
    ticket: *mut *mut oncelog_ticket_t,
) -> *mut oncelog_error_t {
    call(|c| {
        let ticket = Wanted::always(c, ticket)?;
        Pending::Identity(decide(c, engine, identity, outcome)?).give(ticket)
    })
}

/// Aborts a transaction by its number, whoever owns it: one that holds the last stable offset back and whose owner does
/// not answer. Its owner hears of it with the next call: TRANSACTION_ABORTED, or, for a raw identity, that the epoch
/// was raised. One that was aborted before is as good.
///
/// Errors: INVALID_TRANSACTION_STATE if it is not open: it was committed, is committing, or was never begun; what a
/// write answers.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_abort_transaction(engine: *const oncelog_engine_t, number: u64) -> *mut oncelog_error_t {
    call(|_| Ok(find(engine)?.engine.abort_transaction(number)?))
}

/// The same; the ticket is done when that has met its level. `ticket` may be NULL.
///
/// Errors: as `oncelog_abort_transaction`; most come from the ticket.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_abort_transaction_ticket(
    engine: *const oncelog_engine_t,
    number: u64,
    ticket: *mut *mut oncelog_ticket_t,
) -> *mut oncelog_error_t {
    call(|c| {
        let (open, ticket) = (find(engine)?, Wanted::maybe(c, ticket)?);
        Pending::Nothing(open.engine.abort_transaction_ticket(number)?).give(ticket)
    })
}

/// How a transaction stands, `ONCELOG_TRANSACTION_*`, by its number: what an INDETERMINATE commit left open is known
/// once the log is opened again. The last 64 decisions of each transactional id are kept. What is answered survives a
/// power cut.
///
/// Errors: CLOSED, FORKED; what a flush answers.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_transaction_status(
    engine: *const oncelog_engine_t,
    number: u64,
    out: *mut u32,
) -> *mut oncelog_error_t {
    call(|c| {
        let (open, out) = (find(engine)?, c.out(out, "out")?);
        out.set(status_number(open.engine.transaction_status(number)?)?);
        Ok(())
    })
}

/// The same; the ticket is done when the answer survives a power cut, and then `oncelog_ticket_transaction_status`
/// gives it.
///
/// Errors: as `oncelog_transaction_status`; what a flush answers comes from the ticket.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_transaction_status_ticket(
    engine: *const oncelog_engine_t,
    number: u64,
    ticket: *mut *mut oncelog_ticket_t,
) -> *mut oncelog_error_t {
    call(|c| {
        let (open, ticket) = (find(engine)?, Wanted::always(c, ticket)?);
        Pending::Status(open.engine.transaction_status_ticket(number)?).give(ticket)
    })
}

/// The transactions that have something in the log and are not decided, in the order in which they began: who holds the
/// last stable offset of which partitions back, and since when. One that is memory only holds nothing back and is not
/// among them. Read them with `oncelog_open_transactions_get`, free the list with `oncelog_open_transactions_free`.
///
/// Errors: CLOSED, FORKED.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_describe_transactions(
    engine: *const oncelog_engine_t,
    out: *mut *mut oncelog_open_transactions_t,
) -> *mut oncelog_error_t {
    call(|c| {
        let (open, out) = (find(engine)?, c.out(out, "out")?);
        out.set(make(Described::new(&open.engine.describe_transactions()?))?);
        Ok(())
    })
}

/// The transactions of a list; they live until it is freed.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_open_transactions_get(
    transactions: *const oncelog_open_transactions_t,
    out: *mut *const oncelog_open_transaction_t,
    count: *mut usize,
) -> *mut oncelog_error_t {
    call(|c| {
        let (list, out, count) = (find(transactions)?, c.out(out, "out")?, c.out(count, "count")?);
        out.set(list.items.items().as_ptr());
        count.set(list.items.items().len());
        Ok(())
    })
}

/// Frees a list of open transactions. NULL is no error.
#[unsafe(no_mangle)]
pub extern "C" fn oncelog_open_transactions_free(
    transactions: *mut oncelog_open_transactions_t,
) -> *mut oncelog_error_t {
    call(|_| if transactions.is_null() { Ok(()) } else { end(transactions) })
}
