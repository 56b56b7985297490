//! A transaction: records, offsets and a position that become visible together or not at all.
#![allow(unsafe_code)]

use std::ffi::c_char;

use engine::{ErrorKind, Transaction};

use crate::alone::Alone;
use crate::call::{Answer, call};
use crate::error::{Fault, oncelog_error_t};
use crate::handle::{end, find, handle};
use crate::record;
use crate::structs::{
    self, given_offsets, oncelog_committed_t, oncelog_group_metadata_t, oncelog_offset_t, oncelog_record_t,
};
use crate::ticket::{Pending, Wanted, oncelog_ticket_t};

/// Records for any number of topics and offsets of any number of groups that become visible together or not at all.
/// Commit, abort and free use it up. One thread uses it at a time; which one may change.
///
/// Up to its buffer (`transaction_buffer` of the producer, 1 MiB) it is memory: its records get their offsets at the
/// commit, so a plain send made meanwhile may come first, and an abort leaves nothing. Past it, it streams, as Kafka's
/// transactions do: its records go to the log as they come. Readers at read_uncommitted see them at once; the last
/// stable offset of their partitions, where read_committed ends, waits for the decision; an abort hides them.
/// `oncelog_describe_transactions` names the transactions that hold it back. One that streams for longer than
/// `transaction_timeout_ms` is aborted, and answers TRANSACTION_TIMED_OUT from then on.
pub struct oncelog_transaction_t;

handle!(oncelog_transaction_t, Transaction, Alone<Option<Transaction>>);

/// Does something with an open transaction.
fn with<T>(transaction: *mut oncelog_transaction_t, body: impl FnOnce(&mut Transaction) -> Answer<T>) -> Answer<T> {
    let found = find(transaction)?;
    let mut open = found.lock(BUSY)?;
    body(open.as_mut().ok_or_else(used_up)?)
}

/// Takes the transaction out of its handle, which is gone then.
fn take(transaction: *mut oncelog_transaction_t) -> Answer<Transaction> {
    let found = find(transaction)?;
    let taken = found.lock(BUSY)?.take().ok_or_else(used_up)?;
    // Another thread may have freed it just now: the same end.
    let _ = end(transaction);
    Ok(taken)
}

const BUSY: &str = "another thread is using this transaction; let one thread do it at a time";

#[cold]
fn used_up() -> Fault {
    Fault::new(ErrorKind::Closed, "the transaction was committed, aborted or freed; begin another one")
}

/// Adds a record. Nobody at read_committed sees it before the commit. If the transaction is past its buffer, or there
/// is no memory left for more, what it holds goes to the log now; that may wait for room.
///
/// Errors: the transaction is as it was and can go on or be aborted: UNKNOWN_TOPIC_OR_PARTITION; RECORD_TOO_LARGE;
/// INVALID_RECORD; INVALID_ARGUMENT for a record with a position; FULL, if it streams; BUSY. It can only be aborted,
/// and run again: TRANSACTION_TIMED_OUT; TRANSACTION_ABORTED, by `oncelog_abort_transaction`; LIMIT_EXCEEDED if it
/// streams and reaches more than 1,000 partitions, or too many transactions stream. PRODUCER_FENCED; POISONED, CLOSED,
/// FORKED.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_transaction_send(
    transaction: *mut oncelog_transaction_t,
    topic: *const c_char,
    record: *const oncelog_record_t,
) -> *mut oncelog_error_t {
    call(|c| {
        let (topic, record) = (c.text(topic, "topic")?, c.one(record, "record")?);
        with(transaction, |open| record::each(c, &[record], |record| Ok(open.send(topic, *record)?)))
    })
}

/// Adds a record if that takes nothing but memory; `sent` tells. False: what the transaction holds would have to go to
/// the log first, which may wait for room; nothing happened. For callers that hold what others wait for: they let go of
/// it and call `oncelog_transaction_send`.
///
/// Errors: as `oncelog_transaction_send`.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_transaction_try_send(
    transaction: *mut oncelog_transaction_t,
    topic: *const c_char,
    record: *const oncelog_record_t,
    sent: *mut bool,
) -> *mut oncelog_error_t {
    call(|c| {
        let (topic, record, sent) = (c.text(topic, "topic")?, c.one(record, "record")?, c.out(sent, "sent")?);
        let mut is_sent = false;
        with(transaction, |open| {
            record::each(c, &[record], |record| {
                is_sent = open.try_send(topic, *record)?;
                Ok(())
            })
        })?;
        sent.set(is_sent);
        Ok(())
    })
}

/// Adds records in order, those without a time with that of the call. The topic is looked up once.
///
/// Errors: as `oncelog_transaction_send`. The records before the refused one are in the transaction; a malformed
/// argument is found before any is.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_transaction_send_many(
    transaction: *mut oncelog_transaction_t,
    topic: *const c_char,
    records: *const oncelog_record_t,
    count: usize,
) -> *mut oncelog_error_t {
    call(|c| {
        let (topic, records) = (c.text(topic, "topic")?, c.array(records, count, "records")?);
        with(transaction, |open| record::all(c, records, |records| Ok(open.send_many(topic, records)?)))
    })
}

/// Commits offsets of a group together with the records: the offset to read next, per partition. Later calls replace
/// what earlier ones said of the same partition. `group` is what `oncelog_consumer_group_metadata` answers.
///
/// Errors: the transaction is as it was: UNKNOWN_TOPIC_OR_PARTITION; INVALID_ARGUMENT for an offset out of range, or if
/// the group is that of the bound consumer, whose positions the commit sends; LIMIT_EXCEEDED for metadata that is too
/// long, or if the offsets alone would outgrow 1 MiB; BUSY, also while other transactions have all of
/// `transaction_memory`, and for up to 64 KiB of them the 8 MiB besides.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_transaction_send_offsets(
    transaction: *mut oncelog_transaction_t,
    group: *const oncelog_group_metadata_t,
    offsets: *const oncelog_offset_t,
    count: usize,
) -> *mut oncelog_error_t {
    call(|c| {
        let (group, offsets) = (structs::group(c, group)?, given_offsets(c, offsets, count)?);
        with(transaction, |open| Ok(open.send_offsets(&group, &offsets)?))
    })
}

/// Moves the position of the transactional id with the commit: how far its source has been worked off. See
/// `oncelog_transactional_producer_position`.
///
/// Errors: INVALID_ARGUMENT if the position is not above the last one: that part of the source is done, skip it; BUSY.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_transaction_send_position(
    transaction: *mut oncelog_transaction_t,
    position: u64,
) -> *mut oncelog_error_t {
    call(|_| with(transaction, |open| Ok(open.send_position(position)?)))
}

/// The transaction's number: it names this transaction for ever.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_transaction_number(
    transaction: *mut oncelog_transaction_t,
    out: *mut u64,
) -> *mut oncelog_error_t {
    call(|c| {
        let out = c.out(out, "out")?;
        out.set(with(transaction, |open| Ok(open.number()))?);
        Ok(())
    })
}

/// Commits, and waits until the transaction has met the strongest level of its topics and of the producer's options. A
/// transaction with nothing in it writes nothing. The handle is used up, unless the answer is BUSY or names an
/// argument. `out` may be NULL.
///
/// Errors: INDETERMINATE: a write or flush failed under the commit; opening the log again decides whether it is there,
/// and `oncelog_transaction_status` and the positions that it carried tell. After every other error the transaction is
/// aborted and the bound consumer back where it stood: run it again. PRODUCER_FENCED: a newer holder of the id exists.
/// TRANSACTION_TIMED_OUT, TRANSACTION_ABORTED; UNKNOWN_TOPIC_OR_PARTITION if a topic was deleted meanwhile for which it
/// holds records in memory or offsets: records that streamed before are gone with their topic, and the rest commits;
/// FULL, POISONED, CLOSED, FORKED.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_transaction_commit(
    transaction: *mut oncelog_transaction_t,
    out: *mut oncelog_committed_t,
) -> *mut oncelog_error_t {
    call(|c| {
        let out = c.optional_out(out, "out")?;
        let committed = take(transaction)?.commit()?;
        if let Some(out) = out {
            out.set(committed.into());
        }
        Ok(())
    })
}

/// Commits without waiting: the transaction has its place, and the ticket says when it has met its level; or it was
/// aborted, and the ticket says why once a power cut cannot take that back. The next transaction may begin. The handle
/// is used up as by `oncelog_transaction_commit`. `ticket` may be NULL.
///
/// Errors: as `oncelog_transaction_commit`. From the ticket comes what waits for the disk: INDETERMINATE, and what the
/// log refuses the transaction for, as PRODUCER_FENCED or TRANSACTION_TIMED_OUT.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_transaction_commit_ticket(
    transaction: *mut oncelog_transaction_t,
    ticket: *mut *mut oncelog_ticket_t,
) -> *mut oncelog_error_t {
    call(|c| {
        let out = Wanted::maybe(c, ticket)?;
        Pending::Committed(take(transaction)?.commit_ticket()?).give(out)
    })
}

/// Aborts: nobody at read_committed will see anything of it, and a bound consumer goes back to where it stood at the
/// begin. If it streamed, a decision goes to the log; nobody need wait for it, for opening the log again would abort it
/// too. The handle is used up, unless the answer is BUSY.
///
/// Errors: CLOSED, FORKED. It is aborted in any case.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_transaction_abort(transaction: *mut oncelog_transaction_t) -> *mut oncelog_error_t {
    call(|_| Ok(take(transaction)?.abort()?))
}

/// Aborts a transaction that is open, and does nothing to NULL. For cleaning up: a handle that was used up is answered
/// with CLOSED, which needs no freeing.
#[unsafe(no_mangle)]
pub extern "C" fn oncelog_transaction_free(transaction: *mut oncelog_transaction_t) -> *mut oncelog_error_t {
    call(|_| if transaction.is_null() { Ok(()) } else { end(transaction) })
}
