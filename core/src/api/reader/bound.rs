//! A consumer that a transaction is bound to.

use std::sync::Arc;

use super::{Reader, check_unbound};
use crate::engine::{Inner, TopicIds};
use crate::error::{Error, ErrorKind, Result};
use crate::types::{Durability, Lsn, Offset, Offsets, TopicPartition};

impl Reader {
    /// Binds a transaction: settles all positions, which are where an abort goes back to.
    pub(in crate::api) fn bind(self: &Arc<Self>, engine: &Arc<Inner>) -> Result<Bound> {
        self.group()?;
        if !Arc::ptr_eq(engine, &self.engine) {
            let text = "the consumer belongs to another engine; open producer and consumer from the same one";
            return Err(Error::new(ErrorKind::InvalidArgument, text));
        }
        self.check_unbound()?;
        self.settle_all()?.1?;
        let mut state = self.state.lock();
        check_unbound(state.bound)?;
        state.bound = true;
        // A position that was unsettled again meanwhile goes back to what is committed, as its owner asked.
        let begin = state.assigned.iter().map(|a| (a.name.clone(), a.position)).collect();
        Ok(Bound { reader: self.clone(), begin, sent: Offsets::new(), topics: TopicIds::new() })
    }
}

/// An open transaction's hold on a consumer. Whoever owns it says how the transaction ended.
pub(in crate::api) struct Bound {
    reader: Arc<Reader>,
    begin: Vec<(TopicPartition, Option<Offset>)>,
    sent: Offsets,
    topics: TopicIds,
}

impl Bound {
    /// The consumer's group.
    pub(in crate::api) fn group(&self) -> &str {
        self.reader.options.group.as_deref().unwrap_or_default()
    }

    /// The positions that the commit has to send, remembered as sent, and the topics that they are in.
    pub(in crate::api) fn moved(&mut self) -> Result<(&Offsets, TopicIds)> {
        (self.sent, self.topics) = Reader::uncommitted(&self.reader.state.lock())?;
        Ok((&self.sent, self.topics.clone()))
    }

    /// The transaction has its place, with what `moved` answered.
    pub(in crate::api) fn committed(self, placed: Option<(Lsn, Durability)>) {
        if let Some((lsn, level)) = placed {
            self.reader.note_committed(&self.sent, &self.topics, lsn, level);
        }
        self.reader.state.lock().bound = false;
    }

    /// The transaction ended otherwise; the consumer goes back to where it stood at the begin, unless nobody knows
    /// whether the commit is in the log.
    pub(in crate::api) fn end(self, rewind: bool) {
        let mut state = self.reader.state.lock();
        state.bound = false;
        if rewind {
            for (name, position) in self.begin {
                if let Some(at) = state.index.get(&name).copied() {
                    state.set(at, position);
                }
            }
        }
        drop(state);
        self.reader.signal.happen();
    }
}
