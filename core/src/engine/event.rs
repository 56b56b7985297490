//! The events that an engine tells of: for each its level, its name, its words and its fields, once.

use std::sync::Arc;

use super::log::{Log, LogLevel};
use crate::journal::Lsns;
use crate::types::{Incarnation, Lsn, Offset, TransactionNumber};

/// Something worth telling beside the answers of calls.
#[derive(Clone, Debug)]
pub enum Event {
    /// Durable frames are damaged, found by opening.
    Damaged { first_lsn: Lsn, last_lsn: Lsn, file: String, position: u64, records_only: bool },
    /// Records are damaged, found by a reader.
    Unreadable {
        topic: Arc<str>,
        partition: u32,
        offset: Offset,
        end_offset: Offset,
        file: String,
        position: u64,
        /// One frame, or those that may be meant.
        lsns: Lsns,
    },
    /// A write or flush failed.
    Poisoned { durable_lsn: Lsn, cause: String },
    /// A torn tail was cut.
    TailCut { last_kept: Lsn, last_seen: Lsn, bytes: u64 },
    /// A call was refused because a newer holder has taken over.
    Fenced { message: String, producer_id: i64, epoch: i16, place: Option<(Arc<str>, u32, Offset)> },
    /// More happened between two rounds than is kept.
    Dropped { events: u64 },
    /// The log was opened.
    Opened { incarnation: Incarnation, created: bool, frames_copied: u64, read_only: bool },
    /// A name that had a holder was opened: that one is fenced from now on.
    TakenOver { name: String, producer_id: i64, epoch: i16 },
    /// A transaction was aborted: told once, when it happens.
    Aborted {
        number: TransactionNumber,
        producer_id: i64,
        epoch: i16,
        cause: &'static str,
        /// The first of the partitions that its records lie in and its first offset there, and how many those are.
        place: Option<(Arc<str>, u32, Offset, usize)>,
    },
    /// The log was closed.
    Closed { incarnation: Incarnation },
}

/// Tells one event: to the log as a line that ends with its fields as key=value, to `tracing` with the fields as they
/// are.
macro_rules! tell {
    ($log:ident, $level:ident $name:literal, $text:expr $(, $field:ident = $value:expr)*) => {{
        if let Some(log) = $log {
            let line = format!(concat!("{},", $(" ", stringify!($field), "={}",)*), $text, $($value),*);
            log.log(LogLevel::$level, &line);
        }
        #[cfg(feature = "tracing")]
        tracing::event!(name: $name, target: "oncelog", tell!(@$level), $($field = $value,)* "{}", $text);
    }};
    (@Error) => { tracing::Level::ERROR };
    (@Warn) => { tracing::Level::WARN };
    (@Info) => { tracing::Level::INFO };
    (@Debug) => { tracing::Level::DEBUG };
}

impl Event {
    /// True if somebody may listen by way of `tracing`.
    pub(super) fn is_traced() -> bool {
        #[cfg(feature = "tracing")]
        let traced = tracing::level_filters::LevelFilter::current() != tracing::level_filters::LevelFilter::OFF;
        #[cfg(not(feature = "tracing"))]
        let traced = false;
        traced
    }

    /// True for what happens in a life without trouble, again and again.
    pub(super) fn is_ordinary(&self) -> bool {
        matches!(self, Event::Aborted { .. } | Event::TakenOver { .. })
    }

    /// Tells it. Outside all locks.
    pub(super) fn tell(&self, log: Option<&dyn Log>) {
        match self {
            Event::Damaged { .. } | Event::Unreadable { .. } | Event::Poisoned { .. } | Event::TailCut { .. } => {
                self.tell_of_the_disk(log);
            }
            Event::Fenced { message, producer_id, epoch, place: None } => {
                tell!(log, Warn "fenced", message, producer_id = *producer_id, epoch = *epoch);
            }
            Event::Fenced { message, producer_id, epoch, place: Some((topic, partition, offset)) } => {
                tell!(log, Warn "fenced", message, producer_id = *producer_id, epoch = *epoch, topic = &**topic,
                    partition = *partition, offset = *offset);
            }
            Event::Dropped { events } => {
                tell!(log, Warn "events_dropped", "events came faster than they were told", events = *events);
            }
            Event::Opened { incarnation, created, frames_copied, read_only } => {
                tell!(log, Info "opened", "opened the log", incarnation = *incarnation, created = *created,
                    frames_copied = *frames_copied, read_only = *read_only);
            }
            Event::TakenOver { name, producer_id, epoch } => {
                let text = "a name was opened again, whoever held it is fenced";
                tell!(log, Debug "taken_over", text, name = name.as_str(), producer_id = *producer_id, epoch = *epoch);
            }
            Event::Aborted { number, producer_id, epoch, cause, place: None } => {
                tell!(log, Debug "aborted", "a transaction was aborted", number = *number,
                    producer_id = *producer_id, epoch = *epoch, cause = *cause);
            }
            Event::Aborted { number, producer_id, epoch, cause, place: Some(place) } => {
                let (topic, partition, offset, partitions) = place;
                tell!(log, Debug "aborted", "a transaction was aborted", number = *number,
                    producer_id = *producer_id, epoch = *epoch, cause = *cause, topic = &**topic,
                    partition = *partition, offset = *offset, partitions = *partitions);
            }
            Event::Closed { incarnation } => {
                tell!(log, Debug "closed", "closed the log", incarnation = *incarnation);
            }
        }
    }

    fn tell_of_the_disk(&self, log: Option<&dyn Log>) {
        match self {
            Event::Damaged { first_lsn, last_lsn, file, position, records_only } => {
                let text = "durable frames are damaged; restore the file from a backup";
                tell!(log, Error "damaged", text, first_lsn = *first_lsn, last_lsn = *last_lsn, file = file.as_str(),
                    position = *position, records_only = *records_only);
            }
            Event::Unreadable { topic, partition, offset, end_offset, file, position, lsns } => {
                let text = "a reader met damaged records; restore them from where they came";
                tell!(log, Error "unreadable", text, topic = &**topic, partition = *partition, offset = *offset,
                    end_offset = *end_offset, file = file.as_str(), position = *position,
                    first_lsn = lsns.first, last_lsn = lsns.last);
            }
            Event::Poisoned { durable_lsn, cause } => {
                let text = "the disk failed; close the log, look after the disk, open it again";
                tell!(log, Error "poisoned", text, durable_lsn = *durable_lsn, cause = cause.as_str());
            }
            Event::TailCut { last_kept, last_seen, bytes } => {
                tell!(log, Warn "tail_cut", "a torn tail was cut, nothing in it was safe", last_kept = *last_kept,
                    last_seen = *last_seen, bytes = *bytes);
            }
            _ => {}
        }
    }
}
