//! One partition: append batches, read records.
#![allow(unsafe_code)]

use std::ffi::{CString, c_char, c_void};

use engine::{Appended, Batch, BatchBuilder, ErrorKind, Partition, Record, Ticket};

use crate::alone::Alone;
use crate::call::{Answer, Caller, call, tell};
use crate::choices;
use crate::engine_handle::oncelog_engine_t;
use crate::error::{self, Fault, oncelog_error_t};
use crate::handle::{end, find, handle, make};
use crate::options::{oncelog_append_options_t, oncelog_read_options_t};
use crate::record;
use crate::records::{Walkable, oncelog_records_t};
use crate::structs::{oncelog_active_producer_t, oncelog_appended_t, oncelog_bounds_t, oncelog_record_t};
use crate::ticket::{Pending, Wanted, oncelog_ticket_t};

/// One partition: the log itself, without producers and consumers. Any number of threads may use it.
pub struct oncelog_partition_t;

handle!(oncelog_partition_t, Partition, Opened);

/// What is behind a partition's handle.
pub struct Opened {
    partition: Partition,
    topic: CString,
    /// Its buffer has grown with the batches before.
    spare: Alone<Option<BatchBuilder>>,
}

impl Opened {
    /// Makes a batch of the records and appends it. The buffer is kept for the next one.
    fn append(
        &self,
        caller: &Caller,
        records: &[oncelog_record_t],
        options: oncelog_append_options_t,
    ) -> Answer<Ticket<Appended>> {
        let with = options.read()?;
        let spare = self.spare.take().and_then(|mut spare| spare.take());
        let mut builder = spare.unwrap_or_else(Batch::builder);
        options.tell(&mut builder)?;
        let mut clock = Clock(None);
        for given in records {
            match record::plain(caller, given)? {
                Some(record) => push(&mut builder, record, &mut clock)?,
                None => push_other(caller, given, &mut builder, &mut clock)?,
            }
        }
        let batch = builder.build()?;
        let ticket = self.partition.append_with(&batch, with);
        if let Some(mut spare) = self.spare.take() {
            *spare = Some(batch.into_builder());
        }
        Ok(ticket?)
    }
}

/// The time of an append, looked up at most once.
struct Clock(Option<i64>);

impl Clock {
    #[inline(never)]
    fn now(&mut self) -> i64 {
        *self.0.get_or_insert_with(BatchBuilder::now)
    }
}

#[inline(always)]
fn push(builder: &mut BatchBuilder, mut record: Record<'_>, clock: &mut Clock) -> Answer {
    let timestamp = match record.timestamp.take() {
        Some(timestamp) => timestamp,
        None => clock.now(),
    };
    Ok(builder.push(&record, timestamp)?)
}

/// Out of line, so that the loop over the others stays short.
#[inline(never)]
fn push_other(caller: &Caller, given: &oncelog_record_t, builder: &mut BatchBuilder, clock: &mut Clock) -> Answer {
    record::each(caller, std::slice::from_ref(given), |record| {
        if record.partition.is_some() || record.position.is_some() {
            return Err(not_here());
        }
        push(builder, *record, clock)
    })
}

#[cold]
fn not_here() -> Fault {
    let text =
        "a record appended to a partition takes neither partition nor position; leave them out, or use a producer";
    Fault::new(ErrorKind::InvalidArgument, text)
}

/// Opens a handle to one partition of a topic, counted from 0. Free it with `oncelog_partition_free`.
///
/// Errors: UNKNOWN_TOPIC_OR_PARTITION.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_partition_open(
    engine: *const oncelog_engine_t,
    topic: *const c_char,
    partition: u32,
    out: *mut *mut oncelog_partition_t,
) -> *mut oncelog_error_t {
    call(|c| {
        let (open, out) = (find(engine)?, c.out(out, "out")?);
        let partition = open.engine.partition(c.text(topic, "topic")?, partition)?;
        let topic = error::text(partition.topic());
        out.set(make(Opened { partition, topic, spare: Alone::new(None) })?);
        Ok(())
    })
}

/// Frees a handle to a partition. NULL is no error.
#[unsafe(no_mangle)]
pub extern "C" fn oncelog_partition_free(partition: *mut oncelog_partition_t) -> *mut oncelog_error_t {
    call(|_| if partition.is_null() { Ok(()) } else { end(partition) })
}

/// Appends records as one batch and waits until it has met the topic's level. Records without a timestamp get the
/// clock's; where the topic keeps the log's time, all get that. A batch with an identity that is here already is
/// answered as a duplicate, not written again. A transactional one begins the transaction of its identity if none is
/// open; see `oncelog_end_transaction`. `options` and `out` may be NULL.
///
/// Errors: nothing was written: INVALID_ARGUMENT, RECORD_TOO_LARGE; INVALID_RECORD, also for a transactional batch
/// without an identity; OUT_OF_ORDER_SEQUENCE, UNKNOWN_PRODUCER, STALE_EPOCH for a batch with an identity that does not
/// follow; INVALID_TRANSACTION_STATE for a transactional batch of an identity without a transactional id, or one that
/// is not transactional where the identity's transaction has records; LIMIT_EXCEEDED if too many transactions are open
/// or this one reaches too many partitions; UNSUPPORTED_VERSION for a codec that this build lacks;
/// UNKNOWN_TOPIC_OR_PARTITION once the topic is deleted; FULL, READ_ONLY, POISONED, CLOSED, FORKED. INDETERMINATE if
/// the write or flush failed.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_partition_append(
    partition: *const oncelog_partition_t,
    records: *const oncelog_record_t,
    count: usize,
    options: *const oncelog_append_options_t,
    out: *mut oncelog_appended_t,
) -> *mut oncelog_error_t {
    call(|c| {
        let (opened, out) = (find(partition)?, c.optional_out(out, "out")?);
        let (records, options) = (c.array(records, count, "records")?, c.options(options)?);
        let appended = opened.append(c, records, options)?.wait()?;
        if let Some(out) = out {
            out.set((&appended).into());
        }
        Ok(())
    })
}

/// The same without waiting: the batch has its place in the log, and the ticket is done when it has met its level.
/// `ticket` may be NULL.
///
/// Errors: as `oncelog_partition_append`; INDETERMINATE comes from the ticket.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_partition_append_ticket(
    partition: *const oncelog_partition_t,
    records: *const oncelog_record_t,
    count: usize,
    options: *const oncelog_append_options_t,
    ticket: *mut *mut oncelog_ticket_t,
) -> *mut oncelog_error_t {
    call(|c| {
        let (opened, out) = (find(partition)?, Wanted::maybe(c, ticket)?);
        let (records, options) = (c.array(records, count, "records")?, c.options(options)?);
        Pending::Appended(opened.append(c, records, options)?).give(out)
    })
}

/// Appends one record batch of Kafka's format 2 as a client encoded it, byte for byte, and waits for its level. What it
/// holds is checked, its offsets are set; its producer, its transaction and its codec are its own. Of `options` the
/// level counts alone. `options` and `ticket` may be NULL; with a ticket this does not wait.
///
/// Errors: as `oncelog_partition_append`; CORRUPT, INVALID_RECORD if the bytes are no batch that may be appended: one
/// that claims the log's time where the topic sets it, too.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_partition_append_batch(
    partition: *const oncelog_partition_t,
    batch: *const c_void,
    size: usize,
    options: *const oncelog_append_options_t,
    ticket: *mut *mut oncelog_ticket_t,
) -> *mut oncelog_error_t {
    call(|c| {
        let (opened, out) = (find(partition)?, Wanted::maybe(c, ticket)?);
        let options = c.options(options)?.read()?;
        let batch = Batch::from_bytes(c.bytes(batch, size, "batch")?.unwrap_or_default())?;
        let ticket = opened.partition.append_with(&batch, options)?;
        if out.is_none() {
            return Ok(ticket.wait().map(drop)?);
        }
        Pending::Appended(ticket).give(out)
    })
}

/// Reads from an offset on: what is visible now, nothing if that is nothing yet. At read_committed, the default, a read
/// ends at the last stable offset and leaves out what was aborted. Go on with `oncelog_records_next_offset`, which
/// steps over that too, or, over lives of the log, with `oncelog_records_next_place`. `options` may be NULL. Free the
/// records with `oncelog_records_free`.
///
/// Errors: OFFSET_OUT_OF_RANGE below the start or above the end; with `options->from` TRUNCATED if a crash took records
/// that the place stands behind, others may have their offsets, and INVALID_ARGUMENT if `offset` is not its own;
/// UNKNOWN_TOPIC_OR_PARTITION once the topic is deleted; IO; CLOSED, FORKED. Damaged records are reported by
/// `oncelog_records_next`, where they lie.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_partition_read(
    partition: *const oncelog_partition_t,
    offset: u64,
    options: *const oncelog_read_options_t,
    out: *mut *mut oncelog_records_t,
) -> *mut oncelog_error_t {
    call(|c| {
        let (opened, out) = (find(partition)?, c.out(out, "out")?);
        let options = c.options(options)?.read(c)?;
        out.set(make(Walkable::new(opened.partition.read(offset, options)?))?);
        Ok(())
    })
}

/// The offset of the first record, by offsets, whose timestamp is `timestamp` or later, in milliseconds since 1970;
/// `known` is false, and `out` 0, if there is none yet. As Kafka's ListOffsets (KIP-79), with an isolation,
/// `ONCELOG_ISOLATION_*`: at read_committed, the default, only what lies below the last stable offset counts, at
/// read_uncommitted what is undecided too; what was aborted counts at both. Little is decoded. Where timestamps do not
/// follow the offsets, records behind the one found may be older.
///
/// Errors: INVALID_ARGUMENT for a negative timestamp or an unknown isolation; CORRUPT if records are damaged that come
/// into question; as `oncelog_partition_read`.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_partition_offset_at(
    partition: *const oncelog_partition_t,
    timestamp: i64,
    isolation: u32,
    out: *mut u64,
    known: *mut bool,
) -> *mut oncelog_error_t {
    call(|c| {
        let (opened, out, known) = (find(partition)?, c.out(out, "out")?, c.out(known, "known")?);
        tell(out, known, opened.partition.offset_at_with(timestamp, choices::isolation(isolation)?)?);
        Ok(())
    })
}

/// The greatest timestamp there is, in milliseconds since 1970, and the offset of the first record that has it. `known`
/// is false, and both are 0, while no record has one. As Kafka's ListOffsets for the greatest timestamp (KIP-734),
/// bounded as `oncelog_partition_offset_at`.
///
/// Errors: as `oncelog_partition_offset_at`.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_partition_max_timestamp(
    partition: *const oncelog_partition_t,
    isolation: u32,
    offset: *mut u64,
    timestamp: *mut i64,
    known: *mut bool,
) -> *mut oncelog_error_t {
    call(|c| {
        let (opened, offset) = (find(partition)?, c.out(offset, "offset")?);
        let (timestamp, known) = (c.out(timestamp, "timestamp")?, c.out(known, "known")?);
        let found = opened.partition.max_timestamp_with(choices::isolation(isolation)?)?;
        let (at, time) = found.unwrap_or_default();
        offset.set(at);
        timestamp.set(time);
        known.set(found.is_some());
        Ok(())
    })
}

/// Producers that were active in a partition when they were asked for.
pub struct oncelog_active_producers_t;

handle!(oncelog_active_producers_t, ActiveProducers, Vec<oncelog_active_producer_t>);

/// The producers that are active in a partition, in the order of their ids: whoever's last batches are remembered,
/// and whoever has a transaction open there. What Kafka's DescribeProducers (KIP-664) answers, to
/// find who holds the last stable offset back. Read them with `oncelog_active_producers_get`, free the list with
/// `oncelog_active_producers_free`.
///
/// A raw identity without a transactional id is forgotten after a day without a batch, counted anew from each opening;
/// one with a transactional id when that is deleted or gets another producer id. A producer of this library is never
/// among them, and a transactional one only while a transaction of its streams: nobody repeats their batches. The
/// answer is of this moment, whether or not what it speaks of is durable or visible yet; each producer is as it was at
/// one moment of the call.
///
/// Errors: UNKNOWN_TOPIC_OR_PARTITION once the topic is deleted; CLOSED, FORKED.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_partition_producers(
    partition: *const oncelog_partition_t,
    out: *mut *mut oncelog_active_producers_t,
) -> *mut oncelog_error_t {
    call(|c| {
        let (opened, out) = (find(partition)?, c.out(out, "out")?);
        let active = opened.partition.producers()?;
        out.set(make(active.into_iter().map(oncelog_active_producer_t::from).collect())?);
        Ok(())
    })
}

/// The producers of a list; they live until it is freed.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_active_producers_get(
    producers: *const oncelog_active_producers_t,
    out: *mut *const oncelog_active_producer_t,
    count: *mut usize,
) -> *mut oncelog_error_t {
    call(|c| {
        let (list, out, count) = (find(producers)?, c.out(out, "out")?, c.out(count, "count")?);
        out.set(list.as_ptr());
        count.set(list.len());
        Ok(())
    })
}

/// Frees a list of active producers. NULL is no error.
#[unsafe(no_mangle)]
pub extern "C" fn oncelog_active_producers_free(producers: *mut oncelog_active_producers_t) -> *mut oncelog_error_t {
    call(|_| if producers.is_null() { Ok(()) } else { end(producers) })
}

/// The first offset, the last stable one and the end, as readers see them now; in a forked child as they were at the
/// fork.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_partition_bounds(
    partition: *const oncelog_partition_t,
    out: *mut oncelog_bounds_t,
) -> *mut oncelog_error_t {
    call(|c| {
        let (opened, out) = (find(partition)?, c.out(out, "out")?);
        out.set(opened.partition.bounds().into());
        Ok(())
    })
}

/// The topic's name; it lives until the handle is freed.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_partition_topic(
    partition: *const oncelog_partition_t,
    out: *mut *const c_char,
) -> *mut oncelog_error_t {
    call(|c| {
        let (opened, out) = (find(partition)?, c.out(out, "out")?);
        out.set(opened.topic.as_ptr());
        Ok(())
    })
}

/// The partition's number in its topic.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_partition_number(
    partition: *const oncelog_partition_t,
    out: *mut u32,
) -> *mut oncelog_error_t {
    call(|c| {
        let (opened, out) = (find(partition)?, c.out(out, "out")?);
        out.set(opened.partition.number());
        Ok(())
    })
}
