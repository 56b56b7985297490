//! One error type: what happened, what to do next, and Kafka's three questions.

mod kafka;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

/// The result of every fallible call.
pub type Result<T> = std::result::Result<T, Error>;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $code:literal,)*) => {
        /// What went wrong. Numbers are fixed for ever and never used again.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        #[repr(u16)]
        pub enum ErrorKind { $($(#[$doc])* $name = $code,)* }
        impl ErrorKind {
            /// Every kind, in the order of the numbers.
            pub const ALL: &'static [ErrorKind] = &[$(ErrorKind::$name,)*];
            /// The kind's name, the same in every language.
            pub fn name(self) -> &'static str {
                match self { $(ErrorKind::$name => stringify!($name),)* }
            }
        }
    };
}

kinds! {
    /// An argument is out of range or malformed; nothing happened.
    InvalidArgument = 1,
    /// The call does not fit what the handle is doing.
    InvalidState = 2,
    /// The engine or the handle was closed.
    Closed = 3,
    /// The process forked after the open; the child must open the log itself.
    Forked = 4,
    /// Another process, or this one, has the directory open for writing.
    Locked = 5,
    /// The log was opened for reading.
    ReadOnly = 6,
    /// The operating system failed a read or an open; the call may be repeated.
    Io = 7,
    /// The disk is full; nothing was written.
    Full = 8,
    /// A write or flush failed earlier: nothing more is written until the log is opened again.
    Poisoned = 9,
    /// Bytes on disk are not what was written.
    Corrupt = 10,
    /// The position was cut away by a recovery.
    Truncated = 11,
    /// The directory was written by a newer version, or a codec is asked for that this build leaves out.
    UnsupportedVersion = 12,
    /// The time given ran out; the outcome is not known yet, ask again.
    TimedOut = 13,
    /// Somebody else is using this handle right now.
    Busy = 14,
    /// A bound of `limits` was reached.
    LimitExceeded = 15,
    /// A record or batch is larger than the topic takes.
    RecordTooLarge = 16,
    /// A topic of that name exists.
    TopicExists = 17,
    /// No such topic or partition.
    UnknownTopicOrPartition = 18,
    /// No such group.
    UnknownGroup = 19,
    /// The offset lies outside the partition.
    OffsetOutOfRange = 20,
    /// A sequence number does not follow the last one.
    OutOfOrderSequence = 21,
    /// The engine never issued this producer id, or has forgotten it.
    UnknownProducer = 22,
    /// A newer holder of this name took over.
    ProducerFenced = 23,
    /// The producer epoch of a raw batch is older than the partition's.
    StaleEpoch = 24,
    /// A record or batch is malformed.
    InvalidRecord = 25,
    /// Offsets of an open transaction are pending.
    UnstableOffsets = 26,
    /// No such transactional id or named producer.
    UnknownTransactionalId = 27,
    /// The group has members.
    GroupNotEmpty = 28,
    /// The group is rebalancing.
    Rebalancing = 29,
    /// The transaction cannot do this in its state.
    InvalidTransactionState = 30,
    /// The transaction was aborted; run it again.
    TransactionAborted = 31,
    /// The transaction was open too long and was aborted.
    TransactionTimedOut = 32,
    /// A write or flush failed under this call: it may be there or not; opening again decides.
    Indeterminate = 33,
    /// The group member was replaced.
    StaleGroupMember = 34,
    /// A bug in oncelog.
    Internal = 35,
    /// A panic was caught.
    Panic = 36,
}

struct Inner {
    kind: ErrorKind,
    message: Cow<'static, str>,
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

/// An error: a kind to act on, a message that says what to do, and the cause.
#[derive(Clone)]
pub struct Error(Arc<Inner>);

impl Error {
    /// An error of `kind`. The message is lower case, says the next step, and ends with its variables as key=value.
    pub fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self(Arc::new(Inner { kind, message: message.into(), source: None }))
    }
    /// The same with the cause chained.
    pub fn with_source(
        kind: ErrorKind,
        message: impl Into<Cow<'static, str>>,
        source: impl std::error::Error + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(Inner { kind, message: message.into(), source: Some(Arc::new(source)) }))
    }
    /// What went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }
    /// The message alone, without the kind and the cause.
    pub fn message(&self) -> &str {
        &self.0.message
    }
    /// True if the same call may succeed later without any change.
    pub fn is_retriable(&self) -> bool {
        use ErrorKind::*;
        matches!(
            self.kind(),
            Io | Full | TimedOut | Busy | UnstableOffsets | Rebalancing | TransactionAborted | TransactionTimedOut
        )
    }
    /// True if this handle is finished: close it and open a new one.
    pub fn is_fatal(&self) -> bool {
        use ErrorKind::*;
        matches!(self.kind(), Closed | Forked | Poisoned | ProducerFenced | Indeterminate | Internal | Panic)
    }
    /// True if the transaction this came from can only be aborted and run again.
    pub fn requires_abort(&self) -> bool {
        use ErrorKind::*;
        matches!(
            self.kind(),
            TransactionAborted | TransactionTimedOut | StaleGroupMember | OutOfOrderSequence | UnknownProducer
        )
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind().name(), self.message())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")?;
        match &self.0.source {
            Some(source) => write!(f, " ({source})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_ref().map(|s| s.as_ref() as &(dyn std::error::Error + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_fixed_and_each_kind_has_its_own() {
        let numbers: Vec<u16> = ErrorKind::ALL.iter().map(|kind| *kind as u16).collect();
        assert_eq!(numbers, (1..=36).collect::<Vec<u16>>());
        assert_eq!((ErrorKind::Closed as u16, ErrorKind::Poisoned as u16), (3, 9));
    }

    #[test]
    fn an_error_prints_its_kind_and_message_and_chains_its_cause() {
        let cause = std::io::Error::other("no such device");
        let error = Error::with_source(ErrorKind::Io, "reading failed; try again, file=x", cause);
        assert_eq!(error.to_string(), "Io: reading failed; try again, file=x");
        assert_eq!(format!("{error:?}"), "Io: reading failed; try again, file=x (no such device)");
        assert!(std::error::Error::source(&error).is_some());
        assert!(error.is_retriable() && !error.is_fatal() && !error.requires_abort());
    }
}
