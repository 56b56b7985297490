//! What the leader of a write tells a partition, and what readers see of it once it has met the partition's level.

use crate::format::footer::{Aborted, Run};
use crate::types::{Lsn, Offset};

/// What a frame lets readers see of a partition when it has met the partition's level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// Records up to this offset.
    Records(Offset),
    /// Records of a producer's transaction, from the first offset up to the other.
    Undecided(i64, Offset, Offset),
    /// A producer's transaction is decided.
    Decided(i64),
    /// Nothing that was not seen before.
    Nothing,
}

/// What lies in the log of a partition, or decides what does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Records that are decided.
    Records,
    /// Records of an open transaction.
    Undecided,
    /// The commit of a transaction, or its abort: `run` and `end` say from where to where its records lie.
    Committed,
    /// See `Committed`.
    Aborted,
    /// A commit of an earlier life that is copied: whether its transaction is open no more is known already.
    CopiedCommit,
    /// See `CopiedCommit`.
    CopiedAbort,
}

impl What {
    /// True for what holds no records.
    pub fn is_decision(self) -> bool {
        !matches!(self, What::Records | What::Undecided)
    }
}

/// A frame or part of one partition that is written.
#[derive(Clone, Copy, Debug)]
pub struct Written {
    /// Its segment.
    pub segment: u64,
    /// Its frame.
    pub lsn: Lsn,
    /// Where it lies.
    pub run: Run,
    /// The offset behind its last record.
    pub end: Offset,
    /// The producer id; looked at only for transactions.
    pub producer_id: i64,
    /// What it is.
    pub what: What,
}

impl Written {
    /// Nothing: for a place that will be written over.
    pub const EMPTY: Written = Written {
        segment: 0,
        lsn: 0,
        run: Run { position: 0, len: 0, bare: false, first_offset: 0, max_timestamp: -1 },
        end: 0,
        producer_id: -1,
        what: What::Records,
    };

    /// What readers see of it.
    pub fn shown(&self) -> Shown {
        match self.what {
            What::Records => Shown::Records(self.end),
            What::Undecided => Shown::Undecided(self.producer_id, self.run.first_offset, self.end),
            What::Committed | What::Aborted => Shown::Decided(self.producer_id),
            What::CopiedCommit | What::CopiedAbort => Shown::Nothing,
        }
    }

    pub(super) fn range(&self) -> Aborted {
        Aborted { producer_id: self.producer_id, first: self.run.first_offset, end: self.end }
    }
}
