//! The header's numbers for what the engine has words for. 0 is the default wherever there is one.

use std::time::Duration;

use engine::{
    Compression, Durability, ErrorKind, Isolation, Outcome, Start, TimestampType, TransactionStatus, Visibility,
};

use crate::call::Answer;
use crate::codes::*;
use crate::error::Fault;

/// A level; `None` is the default.
pub fn durability(level: u32) -> Answer<Option<Durability>> {
    match level {
        ONCELOG_DEFAULT => Ok(None),
        ONCELOG_DURABILITY_OS => Ok(Some(Durability::Os)),
        ONCELOG_DURABILITY_DISK => Ok(Some(Durability::Disk)),
        ONCELOG_DURABILITY_MEMORY => Ok(Some(Durability::Memory)),
        _ => Err(bad_choice("durability", level)),
    }
}

/// A level as the header numbers it.
pub fn durability_number(level: Option<Durability>) -> u32 {
    match level {
        None => ONCELOG_DEFAULT,
        Some(Durability::Os) => ONCELOG_DURABILITY_OS,
        Some(Durability::Memory) => ONCELOG_DURABILITY_MEMORY,
        Some(_) => ONCELOG_DURABILITY_DISK,
    }
}

/// What readers see; `None` is the default.
pub fn visibility(visibility: u32) -> Answer<Option<Visibility>> {
    match visibility {
        ONCELOG_DEFAULT => Ok(None),
        ONCELOG_VISIBILITY_LEVEL => Ok(Some(Visibility::Level)),
        ONCELOG_VISIBILITY_DURABLE => Ok(Some(Visibility::Durable)),
        _ => Err(bad_choice("visibility", visibility)),
    }
}

/// Whose time records carry.
pub fn timestamp_type(timestamp_type: u32) -> Answer<TimestampType> {
    match timestamp_type {
        ONCELOG_DEFAULT | ONCELOG_TIMESTAMP_CREATE_TIME => Ok(TimestampType::CreateTime),
        ONCELOG_TIMESTAMP_LOG_APPEND_TIME => Ok(TimestampType::LogAppendTime),
        _ => Err(bad_choice("timestamp_type", timestamp_type)),
    }
}

/// Whose time records carry, as the header numbers it.
pub fn timestamp_type_number(timestamp_type: TimestampType) -> u32 {
    match timestamp_type {
        TimestampType::LogAppendTime => ONCELOG_TIMESTAMP_LOG_APPEND_TIME,
        _ => ONCELOG_TIMESTAMP_CREATE_TIME,
    }
}

/// A codec, by Kafka's number.
pub fn compression(number: u32) -> Answer<Compression> {
    let known = u8::try_from(number).ok().and_then(Compression::of);
    known.ok_or_else(|| bad_choice("compression", number))
}

/// How a transaction is to end.
pub fn outcome(outcome: u32) -> Answer<Outcome> {
    match outcome {
        ONCELOG_OUTCOME_COMMIT => Ok(Outcome::Commit),
        ONCELOG_OUTCOME_ABORT => Ok(Outcome::Abort),
        _ => {
            let text = "outcome is neither ONCELOG_OUTCOME_COMMIT nor ONCELOG_OUTCOME_ABORT; say which";
            Err(Fault::new(ErrorKind::InvalidArgument, format!("{text}, value={outcome}")))
        }
    }
}

/// How a transaction stands, as the header numbers it.
pub fn status_number(status: TransactionStatus) -> Answer<u32> {
    match status {
        TransactionStatus::Open => Ok(ONCELOG_TRANSACTION_OPEN),
        TransactionStatus::Committed => Ok(ONCELOG_TRANSACTION_COMMITTED),
        TransactionStatus::Aborted => Ok(ONCELOG_TRANSACTION_ABORTED),
        TransactionStatus::Forgotten => Ok(ONCELOG_TRANSACTION_FORGOTTEN),
        other => {
            let text = format!("a transaction stands in a way that has no number, status={other:?}; report this");
            Err(Fault::new(ErrorKind::Internal, text))
        }
    }
}

/// An isolation.
pub fn isolation(isolation: u32) -> Answer<Isolation> {
    match isolation {
        ONCELOG_DEFAULT | ONCELOG_ISOLATION_READ_COMMITTED => Ok(Isolation::ReadCommitted),
        ONCELOG_ISOLATION_READ_UNCOMMITTED => Ok(Isolation::ReadUncommitted),
        _ => Err(bad_choice("isolation", isolation)),
    }
}

/// A start rule.
pub fn start(start: u32) -> Answer<Start> {
    match start {
        ONCELOG_DEFAULT | ONCELOG_START_EARLIEST => Ok(Start::Earliest),
        ONCELOG_START_LATEST => Ok(Start::Latest),
        ONCELOG_START_NONE => Ok(Start::None),
        _ => Err(bad_choice("start", start)),
    }
}

/// A switch; `None` is the default.
pub fn switch(value: u32, what: &str) -> Answer<Option<bool>> {
    match value {
        ONCELOG_DEFAULT => Ok(None),
        ONCELOG_YES => Ok(Some(true)),
        ONCELOG_NO => Ok(Some(false)),
        _ => Err(bad_choice(what, value)),
    }
}

/// A timeout.
pub fn timeout(milliseconds: u32) -> Duration {
    match milliseconds {
        ONCELOG_FOREVER => Duration::MAX,
        _ => Duration::from_millis(u64::from(milliseconds)),
    }
}

#[cold]
fn bad_choice(what: &str, value: u32) -> Fault {
    let text = "is none of its constants; use one, or 0 for the default";
    Fault::new(ErrorKind::InvalidArgument, format!("{what} {text}, value={value}"))
}
