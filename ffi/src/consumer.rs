//! The consumer: reads partitions from where a group stands.
#![allow(unsafe_code)]

use std::ffi::{CString, c_char};

use engine::{Consumer, ErrorKind, Offsets, TopicPartition};

use crate::call::{Answer, Caller, call, tell};
use crate::choices::timeout;
use crate::codes::ONCELOG_OFFSET_LEADER_EPOCH;
use crate::engine_handle::oncelog_engine_t;
use crate::error::{self, Fault, oncelog_error_t};
use crate::handle::{end, find, handle, make, place};
use crate::kept::Kept;
use crate::options::oncelog_consumer_options_t;
use crate::records::{Walkable, oncelog_records_t};
use crate::structs::{
    given_offsets, oncelog_bounds_t, oncelog_group_metadata_t, oncelog_offset_t, oncelog_topic_partition_t,
};
use crate::ticket::{Pending, Wanted, oncelog_ticket_t};

/// Reads assigned partitions, each from its position. One thread polls at a time; the other calls may come from any.
pub struct oncelog_consumer_t;

handle!(oncelog_consumer_t, Consumer, Reading);

/// Offsets of several partitions as they stood when they were asked for.
pub struct oncelog_offsets_t;

handle!(oncelog_offsets_t, Offsets, Kept<oncelog_offset_t>);

/// What is behind a consumer's handle.
pub struct Reading {
    pub consumer: Consumer,
    group: Option<CString>,
}

fn name(caller: &Caller, topic: *const c_char, partition: u32) -> Answer<TopicPartition> {
    Ok(TopicPartition::new(caller.text(topic, "topic")?, partition))
}

fn all_names(
    caller: &Caller,
    partitions: *const oncelog_topic_partition_t,
    count: usize,
) -> Answer<Vec<TopicPartition>> {
    caller.array(partitions, count, "partitions")?.iter().map(|given| given.name(caller)).collect()
}

/// Opens a consumer; assign it partitions, then poll. `options` may be NULL. Free it with `oncelog_consumer_free`.
///
/// A partition is read from what the group has committed, else by the start rule of the options. Positions move with
/// `oncelog_consumer_poll`; they are committed by `oncelog_consumer_commit`, or by the transaction that is bound to the
/// consumer.
///
/// Errors: INVALID_ARGUMENT for options out of range.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_consumer_open(
    engine: *const oncelog_engine_t,
    options: *const oncelog_consumer_options_t,
    out: *mut *mut oncelog_consumer_t,
) -> *mut oncelog_error_t {
    call(|c| {
        let (open, out) = (find(engine)?, c.out(out, "out")?);
        let options = c.options(options)?.read(c)?;
        let group = options.group.as_deref().map(error::text);
        out.set(make(Reading { consumer: open.engine.consumer(options)?, group })?);
        Ok(())
    })
}

/// Takes over these partitions, in place of those before. Positions of partitions that stay are kept.
///
/// Errors: the old assignment stays: INVALID_ARGUMENT for none, or one named twice; UNKNOWN_TOPIC_OR_PARTITION;
/// INVALID_STATE while an open transaction is bound to the consumer.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_consumer_assign(
    consumer: *const oncelog_consumer_t,
    partitions: *const oncelog_topic_partition_t,
    count: usize,
) -> *mut oncelog_error_t {
    call(|c| {
        let reading = find(consumer)?;
        Ok(reading.consumer.assign(&all_names(c, partitions, count)?)?)
    })
}

/// Reads the next records, up to the bounds of the options, from the assigned partitions in turn. With nothing there it
/// waits at most `timeout_ms`, woken by the first record, and answers with no records when the time is up. Records
/// count as read when they are answered; they are seen when they have met their topic's level. What was aborted is
/// stepped over, and `oncelog_records_next_offsets` lie behind it, of an answer without a record too.
///
/// What the group has committed is settled first, and if that is news, a flush waited for, however short the timeout
/// is; see `oncelog_consumer_settle_ticket`. Where a raw transaction is open that will commit an offset of the group, the
/// partition has nothing to read before the decision, which wakes a waiting poll as a record does (KIP-447); not at
/// read_uncommitted, nor where a position is sought. Free the records with `oncelog_records_free`.
///
/// Errors: BUSY while another thread polls; INVALID_STATE without an assignment; OFFSET_OUT_OF_RANGE if the start rule
/// is none and there is no position; UNKNOWN_TOPIC_OR_PARTITION once a topic is deleted; POISONED once the disk has
/// failed and nothing is left to read, for nothing will come; IO; CLOSED, FORKED.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_consumer_poll(
    consumer: *const oncelog_consumer_t,
    timeout_ms: u32,
    out: *mut *mut oncelog_records_t,
) -> *mut oncelog_error_t {
    call(|c| {
        // Before the poll: it moves the positions, and nobody would see what it read.
        let (reading, out, place) = (find(consumer)?, c.out(out, "out")?, place()?);
        out.set(place.make(Walkable::new(reading.consumer.poll(timeout(timeout_ms))?)));
        Ok(())
    })
}

/// Moves a partition's position: the next poll reads from there.
///
/// Errors: OFFSET_OUT_OF_RANGE below the start or above the end; INVALID_STATE if the partition is not assigned.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_consumer_seek(
    consumer: *const oncelog_consumer_t,
    topic: *const c_char,
    partition: u32,
    offset: u64,
) -> *mut oncelog_error_t {
    call(|c| Ok(find(consumer)?.consumer.seek(&name(c, topic, partition)?, offset)?))
}

/// The offset that the next poll reads from.
///
/// Errors: INVALID_STATE if the partition is not assigned; OFFSET_OUT_OF_RANGE if nothing is committed and there is no
/// start rule; UNSTABLE_OFFSETS, which passes, if there is no position yet and a raw transaction is open that will
/// commit one, see `oncelog_consumer_poll`.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_consumer_position(
    consumer: *const oncelog_consumer_t,
    topic: *const c_char,
    partition: u32,
    out: *mut u64,
) -> *mut oncelog_error_t {
    call(|c| {
        let (reading, out) = (find(consumer)?, c.out(out, "out")?);
        out.set(reading.consumer.position(&name(c, topic, partition)?)?);
        Ok(())
    })
}

/// The same, as it is now, without waiting; `oncelog_ticket_offset` answers it when it may be told.
///
/// Errors: as `oncelog_consumer_position`; what a flush answers comes from the ticket.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_consumer_position_ticket(
    consumer: *const oncelog_consumer_t,
    topic: *const c_char,
    partition: u32,
    ticket: *mut *mut oncelog_ticket_t,
) -> *mut oncelog_error_t {
    call(|c| {
        let (reading, out) = (find(consumer)?, Wanted::always(c, ticket)?);
        Pending::Offset(reading.consumer.position_ticket(&name(c, topic, partition)?)?).give(out)
    })
}

/// Finds out where all assigned partitions are read from; the ticket is done when that is safe. From then on
/// `oncelog_consumer_poll` waits for records only, and `oncelog_consumer_position` and `oncelog_consumer_lag` for
/// nothing, until `oncelog_consumer_assign` or `oncelog_consumer_rewind`: for event loops, which poll with a timeout of
/// 0. What a group has committed may be news that no flush has met yet. If offsets are pending, the ticket answers
/// UNSTABLE_OFFSETS once all other positions are safe: poll, and wait with
/// `oncelog_completions_watch_consumer`.
///
/// Errors: INVALID_STATE without an assignment; as `oncelog_consumer_position`. What a flush answers comes from the
/// ticket, and so does UNSTABLE_OFFSETS.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_consumer_settle_ticket(
    consumer: *const oncelog_consumer_t,
    ticket: *mut *mut oncelog_ticket_t,
) -> *mut oncelog_error_t {
    call(|c| {
        let (reading, out) = (find(consumer)?, Wanted::always(c, ticket)?);
        Pending::Nothing(reading.consumer.settle_ticket()?).give(out)
    })
}

/// The positions of all assigned partitions that have one: what was polled, sought or asked for; none in a forked
/// child. Read them with `oncelog_offsets_get`, free the list with `oncelog_offsets_free`.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_consumer_positions(
    consumer: *const oncelog_consumer_t,
    out: *mut *mut oncelog_offsets_t,
) -> *mut oncelog_error_t {
    call(|c| {
        let (reading, out) = (find(consumer)?, c.out(out, "out")?);
        out.set(make(kept_offsets(&reading.consumer.positions()))?);
        Ok(())
    })
}

/// Offsets of the engine, as a caller reads them.
pub fn kept_offsets(offsets: &Offsets) -> Kept<oncelog_offset_t> {
    let offsets: Vec<_> = offsets.iter().collect();
    Kept::new(&offsets, |(name, at), keep| oncelog_offset_t {
        topic: keep(&name.topic),
        partition: name.partition,
        fields: if at.leader_epoch < 0 { 0 } else { ONCELOG_OFFSET_LEADER_EPOCH },
        offset: at.offset,
        metadata: keep(&at.metadata),
        leader_epoch: at.leader_epoch,
    })
}

/// The offsets of a list, by partition; they live until it is freed.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_offsets_get(
    offsets: *const oncelog_offsets_t,
    out: *mut *const oncelog_offset_t,
    count: *mut usize,
) -> *mut oncelog_error_t {
    call(|c| {
        let (offsets, out, count) = (find(offsets)?, c.out(out, "out")?, c.out(count, "count")?);
        out.set(offsets.items().as_ptr());
        count.set(offsets.items().len());
        Ok(())
    })
}

/// Frees a list of offsets. NULL is no error.
#[unsafe(no_mangle)]
pub extern "C" fn oncelog_offsets_free(offsets: *mut oncelog_offsets_t) -> *mut oncelog_error_t {
    call(|_| if offsets.is_null() { Ok(()) } else { end(offsets) })
}

/// What the group has committed for a partition, assigned or not; `known` is false, and `out` 0, for nothing. What is
/// answered survives a power cut, or, where all is at level os, the death of the process.
///
/// Errors: UNKNOWN_TOPIC_OR_PARTITION; INVALID_ARGUMENT without a group; UNSTABLE_OFFSETS, which passes, while a raw
/// transaction is open that will commit an offset for the partition, unless the isolation is read_uncommitted
/// (KIP-447).
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_consumer_committed(
    consumer: *const oncelog_consumer_t,
    topic: *const c_char,
    partition: u32,
    out: *mut u64,
    known: *mut bool,
) -> *mut oncelog_error_t {
    call(|c| {
        let (reading, out, known) = (find(consumer)?, c.out(out, "out")?, c.out(known, "known")?);
        tell(out, known, reading.consumer.committed(&name(c, topic, partition)?)?);
        Ok(())
    })
}

/// The same, as it is now, without waiting; `oncelog_ticket_offset` answers it when it is safe.
///
/// Errors: as `oncelog_consumer_committed`; what a flush answers comes from the ticket.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_consumer_committed_ticket(
    consumer: *const oncelog_consumer_t,
    topic: *const c_char,
    partition: u32,
    ticket: *mut *mut oncelog_ticket_t,
) -> *mut oncelog_error_t {
    call(|c| {
        let (reading, out) = (find(consumer)?, Wanted::always(c, ticket)?);
        Pending::Known(reading.consumer.committed_ticket(&name(c, topic, partition)?)?).give(out)
    })
}

/// What the group has committed for these partitions, assigned or not, with what was stored beside the offsets: the
/// counterpart of `oncelog_consumer_commit_offsets`. All of one moment; partitions for which nothing is committed are
/// left out. Read them with `oncelog_offsets_get`, free the list with `oncelog_offsets_free`.
///
/// Errors: as `oncelog_consumer_committed`, of any of them.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_consumer_committed_offsets(
    consumer: *const oncelog_consumer_t,
    partitions: *const oncelog_topic_partition_t,
    count: usize,
    out: *mut *mut oncelog_offsets_t,
) -> *mut oncelog_error_t {
    call(|c| {
        let (reading, out) = (find(consumer)?, c.out(out, "out")?);
        let offsets = reading.consumer.committed_offsets(&all_names(c, partitions, count)?)?;
        out.set(make(kept_offsets(&offsets))?);
        Ok(())
    })
}

/// The same, as it is now, without waiting; `oncelog_ticket_offsets` answers it when it is safe.
///
/// Errors: as `oncelog_consumer_committed_offsets`; what a flush answers comes from the ticket.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_consumer_committed_offsets_ticket(
    consumer: *const oncelog_consumer_t,
    partitions: *const oncelog_topic_partition_t,
    count: usize,
    ticket: *mut *mut oncelog_ticket_t,
) -> *mut oncelog_error_t {
    call(|c| {
        let (reading, out) = (find(consumer)?, Wanted::always(c, ticket)?);
        Pending::Offsets(reading.consumer.committed_offsets_ticket(&all_names(c, partitions, count)?)?).give(out)
    })
}

/// Commits the positions of all assigned partitions, together, and waits until they have met the strongest level of the
/// engine and of their topics. Writes nothing if nothing has moved.
///
/// Errors: INVALID_ARGUMENT without a group; INVALID_STATE while an open transaction is bound to the consumer;
/// UNKNOWN_TOPIC_OR_PARTITION if a topic was deleted; what a write answers.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_consumer_commit(consumer: *const oncelog_consumer_t) -> *mut oncelog_error_t {
    call(|_| Ok(find(consumer)?.consumer.commit()?))
}

/// The same without waiting; the ticket is done when the positions have met the strongest level of the engine and of
/// their topics. `ticket` may be NULL.
///
/// Errors: as `oncelog_consumer_commit`; what a write answers comes from the ticket.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_consumer_commit_ticket(
    consumer: *const oncelog_consumer_t,
    ticket: *mut *mut oncelog_ticket_t,
) -> *mut oncelog_error_t {
    call(|c| {
        let (reading, out) = (find(consumer)?, Wanted::maybe(c, ticket)?);
        Pending::Nothing(reading.consumer.commit_ticket()?).give(out)
    })
}

/// Commits any offsets of the group, together, and waits until they have met the strongest level of the engine and of
/// their topics.
///
/// Errors: as `oncelog_consumer_commit`; INVALID_ARGUMENT for an offset out of range; LIMIT_EXCEEDED for metadata that
/// is too long.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_consumer_commit_offsets(
    consumer: *const oncelog_consumer_t,
    offsets: *const oncelog_offset_t,
    count: usize,
) -> *mut oncelog_error_t {
    call(|c| Ok(find(consumer)?.consumer.commit_offsets(&given_offsets(c, offsets, count)?)?))
}

/// The same without waiting; the ticket is done when they have met the strongest level of the engine and of their
/// topics. `ticket` may be NULL.
///
/// Errors: as `oncelog_consumer_commit_offsets`; what depends on the log comes from the ticket.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_consumer_commit_offsets_ticket(
    consumer: *const oncelog_consumer_t,
    offsets: *const oncelog_offset_t,
    count: usize,
    ticket: *mut *mut oncelog_ticket_t,
) -> *mut oncelog_error_t {
    call(|c| {
        let (reading, out) = (find(consumer)?, Wanted::maybe(c, ticket)?);
        Pending::Nothing(reading.consumer.commit_offsets_ticket(&given_offsets(c, offsets, count)?)?).give(out)
    })
}

/// Goes back to what is committed, in all assigned partitions; where nothing is, to the start rule.
///
/// Errors: CLOSED, FORKED.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_consumer_rewind(consumer: *const oncelog_consumer_t) -> *mut oncelog_error_t {
    call(|_| Ok(find(consumer)?.consumer.rewind()?))
}

/// How many records lie between the position and the end that this consumer's isolation sees: the last stable offset,
/// or the end. Zero when all is read: commits leave no holes. Aborted records that lie between count too. Of all
/// consumers with a group: `oncelog_consumer_lags`.
///
/// Errors: as `oncelog_consumer_position`.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_consumer_lag(
    consumer: *const oncelog_consumer_t,
    topic: *const c_char,
    partition: u32,
    out: *mut u64,
) -> *mut oncelog_error_t {
    call(|c| {
        let (reading, out) = (find(consumer)?, c.out(out, "out")?);
        out.set(reading.consumer.lag(&name(c, topic, partition)?)?);
        Ok(())
    })
}

/// The same, as it is now, without waiting; `oncelog_ticket_offset` answers it when it may be told.
///
/// Errors: as `oncelog_consumer_position`; what a flush answers comes from the ticket.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_consumer_lag_ticket(
    consumer: *const oncelog_consumer_t,
    topic: *const c_char,
    partition: u32,
    ticket: *mut *mut oncelog_ticket_t,
) -> *mut oncelog_error_t {
    call(|c| {
        let (reading, out) = (find(consumer)?, Wanted::always(c, ticket)?);
        Pending::Offset(reading.consumer.lag_ticket(&name(c, topic, partition)?)?).give(out)
    })
}

/// Start, last stable offset and end of a partition, assigned or not.
///
/// Errors: UNKNOWN_TOPIC_OR_PARTITION.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_consumer_bounds(
    consumer: *const oncelog_consumer_t,
    topic: *const c_char,
    partition: u32,
    out: *mut oncelog_bounds_t,
) -> *mut oncelog_error_t {
    call(|c| {
        let (reading, out) = (find(consumer)?, c.out(out, "out")?);
        out.set(reading.consumer.bounds(&name(c, topic, partition)?)?.into());
        Ok(())
    })
}

/// Names the group, for `oncelog_transaction_send_offsets`. Set `out->struct_size` first; the name lives until the
/// consumer is freed.
///
/// Errors: INVALID_ARGUMENT without a group.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_consumer_group_metadata(
    consumer: *const oncelog_consumer_t,
    out: *mut oncelog_group_metadata_t,
) -> *mut oncelog_error_t {
    call(|c| {
        let (reading, out) = (find(consumer)?, c.sized_out(out)?);
        reading.consumer.group_metadata()?;
        let lost = || Fault::new(ErrorKind::Internal, "a consumer has a group without a name; report this");
        let group = reading.group.as_ref().ok_or_else(lost)?.as_ptr();
        out.set(oncelog_group_metadata_t { struct_size: 0, group });
        Ok(())
    })
}

/// Frees a consumer. Positions that were not committed are forgotten. NULL is no error.
#[unsafe(no_mangle)]
pub extern "C" fn oncelog_consumer_free(consumer: *mut oncelog_consumer_t) -> *mut oncelog_error_t {
    call(|_| if consumer.is_null() { Ok(()) } else { end(consumer) })
}
