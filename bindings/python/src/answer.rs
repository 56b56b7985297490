//! What a ticket answers.

use std::sync::Arc;

/// What a ticket answers. Every question gets it, so it can be cloned.
#[derive(Clone)]
pub enum Answer {
    Nothing,
    Appended(oncelog::Appended),
    Many(Arc<[oncelog::Appended]>),
    Committed(oncelog::Committed),
    Identity(oncelog::Identity),
    Status(oncelog::TransactionStatus),
    Offset(Option<u64>),
    Offsets(Arc<oncelog::Offsets>),
    Producer(Arc<oncelog::Producer>),
    Transactional(Arc<oncelog::TransactionalProducer>),
}

impl Answer {
    /// The frame that it lies in; `None` where nothing was written.
    pub fn lsn(&self) -> Option<u64> {
        let lsn = match self {
            Answer::Appended(appended) => appended.lsn,
            Answer::Many(many) => many.iter().map(|appended| appended.lsn).max().unwrap_or(0),
            Answer::Committed(committed) => committed.lsn,
            _ => 0,
        };
        Some(lsn).filter(|lsn| *lsn > 0)
    }
}

impl From<()> for Answer {
    fn from((): ()) -> Self {
        Answer::Nothing
    }
}

impl From<oncelog::Appended> for Answer {
    fn from(appended: oncelog::Appended) -> Self {
        Answer::Appended(appended)
    }
}

impl From<Vec<oncelog::Appended>> for Answer {
    fn from(many: Vec<oncelog::Appended>) -> Self {
        Answer::Many(many.into())
    }
}

impl From<oncelog::Committed> for Answer {
    fn from(committed: oncelog::Committed) -> Self {
        Answer::Committed(committed)
    }
}

impl From<oncelog::Identity> for Answer {
    fn from(identity: oncelog::Identity) -> Self {
        Answer::Identity(identity)
    }
}

impl From<oncelog::TransactionStatus> for Answer {
    fn from(status: oncelog::TransactionStatus) -> Self {
        Answer::Status(status)
    }
}

impl From<u64> for Answer {
    fn from(offset: u64) -> Self {
        Answer::Offset(Some(offset))
    }
}

impl From<Option<u64>> for Answer {
    fn from(offset: Option<u64>) -> Self {
        Answer::Offset(offset)
    }
}

impl From<oncelog::Offsets> for Answer {
    fn from(offsets: oncelog::Offsets) -> Self {
        Answer::Offsets(Arc::new(offsets))
    }
}

impl From<oncelog::Producer> for Answer {
    fn from(producer: oncelog::Producer) -> Self {
        Answer::Producer(Arc::new(producer))
    }
}

impl From<oncelog::TransactionalProducer> for Answer {
    fn from(producer: oncelog::TransactionalProducer) -> Self {
        Answer::Transactional(Arc::new(producer))
    }
}
