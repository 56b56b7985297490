//! The engine: where everything begins.
#![allow(unsafe_code)]

use std::ffi::c_char;

use engine::{Damage, Engine};

use crate::call::call;
use crate::choices::{durability_number, timestamp_type_number};
use crate::error::oncelog_error_t;
use crate::handle::{end, find, handle, make};
use crate::kept::Kept;
use crate::options::{oncelog_engine_options_t, oncelog_topic_options_t};
use crate::structs::{oncelog_damage_t, oncelog_opening_t, oncelog_topic_info_t};
use crate::ticket::{Pending, Wanted, oncelog_ticket_t};

/// An open log. Any number of threads may use it.
pub struct oncelog_engine_t;

handle!(oncelog_engine_t, Engine, Open);

/// Topics as they stood when they were asked for.
pub struct oncelog_topics_t;

handle!(oncelog_topics_t, Topics, Kept<oncelog_topic_info_t>);

/// What is behind an engine's handle.
pub struct Open {
    pub engine: Engine,
    /// False: background work is its caller's.
    pub threads: bool,
    opening: Box<Found>,
}

/// What opening found, as the header says it.
struct Found {
    opening: oncelog_opening_t,
    _damage: Kept<oncelog_damage_t>,
}

// SAFETY: the pointer leads into `_damage`, which lives as long and never changes.
unsafe impl Send for Found {}
// SAFETY: as above; shared, it is only read.
unsafe impl Sync for Found {}

impl Found {
    fn of(engine: &Engine) -> Box<Self> {
        let opening = engine.opening();
        let damage = damages(&opening.damage);
        let opening = oncelog_opening_t {
            incarnation: opening.incarnation,
            frames_copied: opening.frames_copied,
            cut_bytes: opening.cut.map_or(0, |cut| cut.bytes),
            cut_last_kept: opening.cut.map_or(0, |cut| cut.last_kept),
            cut_last_seen: opening.cut.map_or(0, |cut| cut.last_seen),
            damage: damage.items().as_ptr(),
            damage_count: damage.items().len(),
            created: opening.created,
            loading_nanos: nanos(opening.loading),
            folding_nanos: nanos(opening.folding),
            frames_folded: opening.frames_folded,
            bytes_folded: opening.bytes_folded,
        };
        Box::new(Found { opening, _damage: damage })
    }
}

/// Damage as the header says it.
pub fn damages(damage: &[Damage]) -> Kept<oncelog_damage_t> {
    Kept::new(damage, |damage, keep| oncelog_damage_t {
        first_lsn: damage.first_lsn,
        last_lsn: damage.last_lsn,
        file: keep(&damage.file),
        position: damage.position,
        records_only: damage.records_only,
    })
}

/// Centuries fit.
fn nanos(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Opens the log in a directory; makes it if there is none. `options` may be NULL. Close the engine with
/// `oncelog_engine_close`.
///
/// Errors: LOCKED if it is open for writing elsewhere; UNSUPPORTED_VERSION if a newer version wrote it; CORRUPT if its
/// files do not fit together; INVALID_ARGUMENT for options out of range or a path that is no directory; IO.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_open(
    directory: *const c_char,
    options: *const oncelog_engine_options_t,
    out: *mut *mut oncelog_engine_t,
) -> *mut oncelog_error_t {
    call(|c| {
        let (directory, out) = (c.text(directory, "directory")?, c.out(out, "out")?);
        let (options, threads) = c.options(options)?.read()?;
        let options = crate::logger::listen(options);
        let engine = options.open(directory)?;
        let opening = Found::of(&engine);
        out.set(make(Open { engine, threads, opening })?);
        Ok(())
    })
}

/// Closes the log and frees the handle, whatever the answer. What was sent is flushed, a checkpoint is written, the
/// lock is given back. Producers, consumers and all else made from it stay handles to be freed; their calls answer
/// CLOSED. Calls that other threads are in end soon. NULL is no error.
///
/// Errors: what a write or flush answers. The log is closed in any case, and what was acknowledged is kept.
#[unsafe(no_mangle)]
pub extern "C" fn oncelog_engine_close(engine: *mut oncelog_engine_t) -> *mut oncelog_error_t {
    call(|_| {
        if engine.is_null() {
            return Ok(());
        }
        let open = find(engine)?;
        // Whoever ends the handle closes; a second one is told that it is gone.
        end(engine)?;
        Ok(open.engine.close()?)
    })
}

/// Creates a topic. It survives a power cut when this returns. `options` may be NULL.
///
/// Errors: TOPIC_EXISTS; INVALID_ARGUMENT for a name that Kafka would refuse or a number of partitions out of range;
/// LIMIT_EXCEEDED; READ_ONLY; what a write answers: FULL, POISONED, INDETERMINATE.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_create_topic(
    engine: *const oncelog_engine_t,
    name: *const c_char,
    options: *const oncelog_topic_options_t,
) -> *mut oncelog_error_t {
    call(|c| {
        let open = find(engine)?;
        let options = c.options(options)?.read()?;
        Ok(open.engine.create_topic(c.text(name, "name")?, options)?)
    })
}

/// Creates a topic; the ticket is done when it survives a power cut. `ticket` may be NULL: nobody is told.
///
/// Errors: as `oncelog_create_topic`; most come from the ticket.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_create_topic_ticket(
    engine: *const oncelog_engine_t,
    name: *const c_char,
    options: *const oncelog_topic_options_t,
    ticket: *mut *mut oncelog_ticket_t,
) -> *mut oncelog_error_t {
    call(|c| {
        let (open, ticket) = (find(engine)?, Wanted::maybe(c, ticket)?);
        let options = c.options(options)?.read()?;
        Pending::Nothing(open.engine.create_topic_ticket(c.text(name, "name")?, options)?).give(ticket)
    })
}

/// Deletes a topic with its records and with what groups have committed for it. Final when this returns. A topic
/// created again under the name has another id and inherits nothing.
///
/// Errors: UNKNOWN_TOPIC_OR_PARTITION; as `oncelog_create_topic`.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_delete_topic(engine: *const oncelog_engine_t, name: *const c_char) -> *mut oncelog_error_t {
    call(|c| Ok(find(engine)?.engine.delete_topic(c.text(name, "name")?)?))
}

/// Deletes a topic; the ticket is done when that is final. `ticket` may be NULL.
///
/// Errors: as `oncelog_delete_topic`; most come from the ticket.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_delete_topic_ticket(
    engine: *const oncelog_engine_t,
    name: *const c_char,
    ticket: *mut *mut oncelog_ticket_t,
) -> *mut oncelog_error_t {
    call(|c| {
        let (open, ticket) = (find(engine)?, Wanted::maybe(c, ticket)?);
        Pending::Nothing(open.engine.delete_topic_ticket(c.text(name, "name")?)?).give(ticket)
    })
}

/// Raises the number of a topic's partitions to `total`. They survive a power cut when this returns. Keys may go to
/// other partitions from here on.
///
/// Errors: UNKNOWN_TOPIC_OR_PARTITION; INVALID_ARGUMENT if the topic has as many already; as `oncelog_create_topic`.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_add_partitions(
    engine: *const oncelog_engine_t,
    topic: *const c_char,
    total: u32,
) -> *mut oncelog_error_t {
    call(|c| Ok(find(engine)?.engine.add_partitions(c.text(topic, "topic")?, total)?))
}

/// The same; the ticket is done when the partitions survive a power cut. `ticket` may be NULL.
///
/// Errors: as `oncelog_add_partitions`; most come from the ticket.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_add_partitions_ticket(
    engine: *const oncelog_engine_t,
    topic: *const c_char,
    total: u32,
    ticket: *mut *mut oncelog_ticket_t,
) -> *mut oncelog_error_t {
    call(|c| {
        let (open, ticket) = (find(engine)?, Wanted::maybe(c, ticket)?);
        Pending::Nothing(open.engine.add_partitions_ticket(c.text(topic, "topic")?, total)?).give(ticket)
    })
}

/// All topics, by name. Read them with `oncelog_topics_get`, free the list with `oncelog_topics_free`.
///
/// Errors: CLOSED, FORKED.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_topics(
    engine: *const oncelog_engine_t,
    out: *mut *mut oncelog_topics_t,
) -> *mut oncelog_error_t {
    call(|c| {
        let (open, out) = (find(engine)?, c.out(out, "out")?);
        let topics = Kept::new(&open.engine.topics()?, |topic, keep| oncelog_topic_info_t {
            name: keep(&topic.name),
            id: topic.id.0,
            partitions: topic.partitions,
            durability: durability_number(topic.durability),
            timestamp_type: timestamp_type_number(topic.timestamp_type),
        });
        out.set(make(topics)?);
        Ok(())
    })
}

/// The topics of a list; they live until it is freed.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_topics_get(
    topics: *const oncelog_topics_t,
    out: *mut *const oncelog_topic_info_t,
    count: *mut usize,
) -> *mut oncelog_error_t {
    call(|c| {
        let (topics, out, count) = (find(topics)?, c.out(out, "out")?, c.out(count, "count")?);
        out.set(topics.items().as_ptr());
        count.set(topics.items().len());
        Ok(())
    })
}

/// Frees a list of topics. NULL is no error.
#[unsafe(no_mangle)]
pub extern "C" fn oncelog_topics_free(topics: *mut oncelog_topics_t) -> *mut oncelog_error_t {
    call(|_| if topics.is_null() { Ok(()) } else { end(topics) })
}

/// Forgets a named producer or transactional id: its position, its epoch, its decisions. Final when this returns.
///
/// Errors: UNKNOWN_TRANSACTIONAL_ID; what a write answers.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_delete_producer(
    engine: *const oncelog_engine_t,
    name: *const c_char,
) -> *mut oncelog_error_t {
    call(|c| Ok(find(engine)?.engine.delete_producer(c.text(name, "name")?)?))
}

/// The same; the ticket is done when it is final. `ticket` may be NULL.
///
/// Errors: as `oncelog_delete_producer`; most come from the ticket.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_delete_producer_ticket(
    engine: *const oncelog_engine_t,
    name: *const c_char,
    ticket: *mut *mut oncelog_ticket_t,
) -> *mut oncelog_error_t {
    call(|c| {
        let (open, ticket) = (find(engine)?, Wanted::maybe(c, ticket)?);
        Pending::Nothing(open.engine.delete_producer_ticket(c.text(name, "name")?)?).give(ticket)
    })
}

/// Waits until everything up to a frame survives a power cut. `oncelog_appended_t::lsn` and `oncelog_committed_t::lsn`
/// name frames.
///
/// Errors: INVALID_ARGUMENT for a frame that does not exist yet; what a flush answers.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_wait_durable(engine: *const oncelog_engine_t, lsn: u64) -> *mut oncelog_error_t {
    call(|_| Ok(find(engine)?.engine.wait_durable(lsn)?))
}

/// The same; the ticket is done when they survive it. `ticket` may be NULL.
///
/// Errors: as `oncelog_wait_durable`; most come from the ticket.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_wait_durable_ticket(
    engine: *const oncelog_engine_t,
    lsn: u64,
    ticket: *mut *mut oncelog_ticket_t,
) -> *mut oncelog_error_t {
    call(|c| {
        let (open, ticket) = (find(engine)?, Wanted::maybe(c, ticket)?);
        Pending::Nothing(open.engine.wait_durable_ticket(lsn)?).give(ticket)
    })
}

/// Closes all batches that producers are gathering and flushes: everything sent before the call survives a power cut
/// when it returns.
///
/// Errors: what a write or flush answers.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_flush(engine: *const oncelog_engine_t) -> *mut oncelog_error_t {
    call(|_| Ok(find(engine)?.engine.flush()?))
}

/// The same; the ticket is done when it all survives a power cut. `ticket` may be NULL.
///
/// Errors: as `oncelog_flush`; most come from the ticket.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_flush_ticket(
    engine: *const oncelog_engine_t,
    ticket: *mut *mut oncelog_ticket_t,
) -> *mut oncelog_error_t {
    call(|c| {
        let (open, ticket) = (find(engine)?, Wanted::maybe(c, ticket)?);
        Pending::Nothing(open.engine.flush_ticket()?).give(ticket)
    })
}

/// Tells whether an append or commit of so many bytes would not wait for room right now: for event loops, which come
/// again later if it would.
///
/// Errors: none of its own.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_has_room(
    engine: *const oncelog_engine_t,
    bytes: usize,
    out: *mut bool,
) -> *mut oncelog_error_t {
    call(|c| {
        let (open, out) = (find(engine)?, c.out(out, "out")?);
        out.set(open.engine.has_room(bytes));
        Ok(())
    })
}

/// Does the background work that is due, for engines opened with `.threads = ONCELOG_NO`: batches whose linger has
/// passed, flushes, tickets that are watched. Harmless otherwise.
///
/// Errors: what a write or flush answers; CLOSED, FORKED.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_drive(engine: *const oncelog_engine_t) -> *mut oncelog_error_t {
    call(|_| Ok(find(engine)?.engine.drive()?))
}

/// What opening found and did: a tail cut, frames copied, damage. It belongs to the engine's handle: read it before
/// that is closed.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_opening(
    engine: *const oncelog_engine_t,
    out: *mut *const oncelog_opening_t,
) -> *mut oncelog_error_t {
    call(|c| {
        let (open, out) = (find(engine)?, c.out(out, "out")?);
        out.set(&raw const open.opening.opening);
        Ok(())
    })
}
