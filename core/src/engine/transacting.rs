//! What is open and how others ended: seen from outside.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::Inner;
use super::overdue::ends_after;
use crate::error::Result;
use crate::format::decision::Cause;
use crate::limits::ENTRIES_PER_HOLD;
use crate::partition::Partition;
use crate::state::{ActiveFrom, Fate, State};
use crate::types::{
    ActiveProducer, Identity, Lsn, OpenTransaction, TopicPartition, TransactionNumber, TransactionStatus,
};

/// Of each the entry of its batches is looked at, its transaction, and where that begins.
const PRODUCERS_PER_HOLD: usize = ENTRIES_PER_HOLD / 3;

/// Somebody whose transaction may be open in memory only: a transactional producer.
pub trait Transacting: Send + Sync {
    /// True if that transaction is open or doomed.
    fn has(&self, number: TransactionNumber) -> bool;
    /// True if that transaction is open, and not doomed.
    fn is_open(&self, number: TransactionNumber) -> bool;
    /// Has the transaction abort, unless its owner is ending it. `None`: that is not this one's to say.
    fn doom(&self, number: TransactionNumber) -> Option<Doomed>;
}

/// A transaction that will never commit.
pub struct Doomed {
    /// Whose it is.
    pub of: Identity,
    /// It was doomed by this call.
    pub now: bool,
}

impl Inner {
    /// Somebody begins transactions.
    pub fn on_transactions(&self, transacting: Weak<dyn Transacting>) {
        let mut all = self.transacting.lock();
        all.retain(|t| t.strong_count() > 0);
        all.push(transacting);
    }

    /// Who has a transaction open.
    fn transacting_in(&self, number: TransactionNumber) -> Option<Arc<dyn Transacting>> {
        // The list is copied: the last handle of one may go here.
        let all: Vec<_> = self.transacting.lock().iter().filter_map(Weak::upgrade).collect();
        all.into_iter().find(|t| t.has(number))
    }

    /// Has a transaction abort that lies in memory only; false: there is none to abort. `None`: it lies in the log by
    /// now.
    pub(super) fn doom(&self, number: TransactionNumber) -> Option<bool> {
        let Some(holder) = self.transacting_in(number) else { return Some(false) };
        // Under the journal's lock: what is doomed never goes to the log, and is told of here.
        let in_memory = |state: &State, _| state.open_transaction(number).is_none().then(|| holder.doom(number));
        let doomed = self.journal.look(in_memory)?;
        if let Some(Doomed { of, now: true }) = doomed {
            self.transaction_doomed(number, of, Cause::Number.name());
        }
        Some(doomed.is_some())
    }

    /// The decision on a transaction, if its name still remembers it.
    pub(super) fn find_decision(&self, number: TransactionNumber) -> Result<Option<(Fate, Lsn)>> {
        let mut from = Some(0);
        while let Some(slot) = from {
            match self.journal.look(|state, _| state.find_decision(number, slot, ENTRIES_PER_HOLD)) {
                Ok(found) => return Ok(Some(found)),
                Err(next) => from = next,
            }
        }
        Ok(None)
    }

    /// How a transaction stands, and the frame that must be durable before anybody is told.
    pub fn transaction_status(&self, number: TransactionNumber) -> Result<(TransactionStatus, Option<Lsn>)> {
        self.check_open()?;
        // In this order: what is decided meanwhile is found then. A handle may not have heard yet of its decision.
        let in_memory = self.transacting_in(number).is_some_and(|t| t.is_open(number));
        if self.journal.look(|state, _| state.open_transaction(number).is_some()) {
            return Ok((TransactionStatus::Open, None));
        }
        let (status, lsn) = match self.find_decision(number)? {
            Some((Fate::Committed, lsn)) => (TransactionStatus::Committed, lsn),
            Some((Fate::Aborted | Fate::TimedOut, lsn)) => (TransactionStatus::Aborted, lsn),
            None if in_memory => return Ok((TransactionStatus::Open, None)),
            // What forgot it, a deletion or later decisions, is one of the frames so far.
            None => (TransactionStatus::Forgotten, self.journal.look(|_, last| last)),
        };
        // Opened for reading, there is nobody who flushes.
        Ok((status, self.refused.is_none().then_some(lsn)))
    }

    /// The producers that are active in a partition, by their ids. Each is as it was at one moment of the call, and who
    /// was active all along is among them.
    pub fn active_producers(&self, partition: &Partition) -> Result<Vec<ActiveProducer>> {
        self.check_open()?;
        if partition.is_deleted() {
            return Err(partition.gone());
        }
        let instance = partition.instance();
        let mut all = BTreeMap::new();
        let mut next = Some(ActiveFrom::Batches(0));
        while let Some(from) = next {
            let mut page = Vec::with_capacity(PRODUCERS_PER_HOLD);
            let look = |producer| page.push(producer);
            // A deletion that is not flushed yet has taken what they wrote already.
            let seen = self.journal.look(|state, _| {
                state.end(instance).map(|_| state.active_in(instance, from, PRODUCERS_PER_HOLD, look))
            });
            next = seen.ok_or_else(|| partition.gone())?;
            all.extend(page.iter().map(|producer| (producer.identity.producer_id, *producer)));
        }
        Ok(all.into_values().collect())
    }

    /// All transactions that are open in the log, in the order in which they began.
    pub fn describe_transactions(&self) -> Result<Vec<OpenTransaction>> {
        self.check_open()?;
        let mut all = Vec::new();
        let mut next = Some(1);
        // One at a time, so that the lock is held for at most one transaction's partitions.
        while let Some(open) = next.and_then(|next| self.journal.look(|state, _| describe(state, next))) {
            next = open.number.checked_add(1);
            all.push(open);
        }
        Ok(all)
    }
}

fn describe(state: &State, from: TransactionNumber) -> Option<OpenTransaction> {
    let open = state.open_from(from)?;
    let mut partitions = BTreeMap::new();
    for span in state.open_spans(open.number) {
        if let Some((topic, number)) = state.name_of(span.instance) {
            partitions.insert(TopicPartition::new(topic, number), span.first);
        }
    }
    Some(OpenTransaction {
        number: open.number,
        transactional_id: state.holder(open.producer_id).map(|holder| holder.name.to_string()).unwrap_or_default(),
        identity: Identity { producer_id: open.producer_id, epoch: open.epoch },
        since: open.since,
        timeout: ends_after(open.timeout_ms).map(|ms| Duration::from_millis(ms.into())),
        raw: open.is_raw(),
        partitions,
    })
}
