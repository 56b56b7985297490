//! Who may write: raw registrations (an id and an epoch) and named producers (a name that keeps its position, its
//! epoch and its last decisions).

use std::collections::VecDeque;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::paged::Paged;
use crate::error::{Error, ErrorKind, Result};
use crate::format::control::ProducerOpened;
use crate::format::transaction::TransactionHead;
use crate::limits::{DECISIONS_KEPT, PRODUCER_EPOCH_MAX};
use crate::types::{Lsn, TransactionNumber};

/// A raw producer's registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registration {
    /// The id.
    pub producer_id: i64,
    /// Batches of an older epoch are fenced.
    pub epoch: i16,
    /// Transaction timeout in milliseconds, 0 = none.
    pub timeout_ms: u32,
    /// The frame that registered it last.
    pub opened_lsn: Lsn,
}

/// A named producer, or a transactional id: one namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// The name.
    pub name: Arc<str>,
    /// The id it writes with.
    pub producer_id: i64,
    /// The id it had before its epochs were used up; -1 for none.
    pub previous_id: i64,
    /// The epoch of its holder; all older ones are fenced.
    pub epoch: i16,
    /// Transaction timeout in milliseconds, 0 = none.
    pub timeout_ms: u32,
    /// The frame that opened it last: the fence.
    pub opened_lsn: Lsn,
    /// The greatest position that was sent; `None` before the first.
    pub position: Option<u64>,
    /// The frame that holds that position; 0 for none.
    pub position_lsn: Lsn,
    /// The last 64 transactions that committed, oldest first, each with its frame.
    pub decisions: VecDeque<(TransactionNumber, Lsn)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    Raw(u32),
    Named(u32),
}

/// All producers, with the look-ups derived from the two tables.
#[derive(Debug, Default)]
pub struct Producers {
    pub(super) raw: Paged<Registration>,
    pub(super) named: Paged<Arc<Named>>,
    /// Above every id seen; never lowered, so that no id is issued twice.
    pub(super) next_id: i64,
    by_id: FxHashMap<i64, Owner>,
    by_name: FxHashMap<Arc<str>, u32>,
    /// Ids that names gave up, for the wording of a refusal only.
    by_previous: FxHashMap<i64, u32>,
}

impl Producers {
    /// Takes loaded tables; `None` if an id or a name is there twice or malformed.
    pub(super) fn load(raw: Paged<Registration>, named: Paged<Arc<Named>>, next_id: i64) -> Option<Self> {
        let mut producers = Producers { next_id, ..Producers::default() };
        for (slot, entry) in raw.iter() {
            let twice = producers.by_id.insert(entry.producer_id, Owner::Raw(slot)).is_some();
            if twice || !(0..next_id).contains(&entry.producer_id) {
                return None;
            }
        }
        for (slot, entry) in named.iter() {
            let twice = producers.by_id.insert(entry.producer_id, Owner::Named(slot)).is_some()
                | producers.by_name.insert(Arc::clone(&entry.name), slot).is_some();
            let fits = (0..next_id).contains(&entry.producer_id) && entry.decisions.len() <= DECISIONS_KEPT;
            if twice || !fits || entry.name.is_empty() {
                return None;
            }
            if entry.previous_id >= 0 {
                producers.by_previous.insert(entry.previous_id, slot);
            }
        }
        (producers.raw, producers.named) = (raw, named);
        (next_id >= 0).then_some(producers)
    }

    /// The named producer of a name.
    pub fn named(&self, name: &str) -> Option<&Named> {
        self.named.get(*self.by_name.get(name)?).map(|named| &**named)
    }

    /// The named producer that holds an id now.
    pub fn named_by_id(&self, producer_id: i64) -> Option<&Named> {
        match self.by_id.get(&producer_id)? {
            Owner::Named(slot) => self.named.get(*slot).map(|named| &**named),
            Owner::Raw(_) => None,
        }
    }

    /// True if the id is a raw producer's.
    #[inline]
    pub fn is_raw(&self, producer_id: i64) -> bool {
        matches!(self.by_id.get(&producer_id), Some(Owner::Raw(_)))
    }

    /// The registration that a raw batch appeals to. Every id that was issued is below the next one, so an unknown
    /// id is refused whatever its sequence: Kafka accepts any, and so loses what came before (KAFKA-15591, 14312).
    pub fn registration(&self, producer_id: i64) -> Result<&Registration> {
        let owner = self.by_id.get(&producer_id);
        if let Some(Owner::Raw(slot)) = owner
            && let Some(registration) = self.raw.get(*slot)
        {
            return Ok(registration);
        }
        if let Some(Owner::Named(slot)) = owner
            && let Some(named) = self.named.get(*slot)
        {
            let text = format!(
                "the id belongs to a named producer, which sends through its handle only; register an id for raw \
                 batches, producer_id={producer_id} name={}",
                named.name
            );
            return Err(Error::new(ErrorKind::ProducerFenced, text));
        }
        let text = format!(
            "the producer id was never issued, or has expired; register a new one and start at sequence 0, \
             producer_id={producer_id}"
        );
        Err(Error::new(ErrorKind::UnknownProducer, text))
    }

    /// Refuses a holder that was fenced or deleted.
    pub fn check_holder(&self, producer_id: i64, epoch: i16) -> Result<()> {
        let slot = match self.by_id.get(&producer_id) {
            Some(Owner::Named(slot)) => Some(slot),
            _ => self.by_previous.get(&producer_id),
        };
        let Some(named) = slot.and_then(|slot| self.named.get(*slot)) else {
            let text = format!("the named producer was deleted; open its name again, producer_id={producer_id}");
            return Err(Error::new(ErrorKind::UnknownTransactionalId, text));
        };
        if (named.producer_id, named.epoch) == (producer_id, epoch) {
            return Ok(());
        }
        let text = format!(
            "a newer holder took over this name; open it again only if that one is gone, name={} \
             producer_id={producer_id} epoch={epoch} newer_producer_id={} newer_epoch={}",
            named.name, named.producer_id, named.epoch
        );
        Err(Error::new(ErrorKind::ProducerFenced, text))
    }

    /// What opening `name` gives: id, the id it replaces (-1 for none), epoch. The id changes when the epochs of the
    /// old one are used up: 32767 is never handed out, as in Kafka.
    pub fn next(&self, name: &str) -> (i64, i64, i16) {
        match self.named(name) {
            None => (self.next_id, -1, 0),
            Some(named) if named.epoch >= PRODUCER_EPOCH_MAX => (self.next_id, named.producer_id, 0),
            Some(named) => (named.producer_id, -1, named.epoch.saturating_add(1)),
        }
    }

    /// Notes an opened producer. Returns the id of a raw registration that it replaced, whose batches are to be
    /// forgotten: no engine writes that, but the newest frame counts.
    pub fn open(&mut self, lsn: Lsn, opened: &ProducerOpened<'_>) -> Option<i64> {
        let id = opened.producer_id;
        let next = id.checked_add(1).filter(|next| *next > 0)?;
        self.next_id = self.next_id.max(next);
        let owner = self.by_id.get(&id).copied();
        if opened.name.is_empty() {
            if let Some(Owner::Named(_)) = owner {
                self.remove(id);
            }
            self.open_raw(lsn, opened);
            return None;
        }
        let replaces_raw = matches!(owner, Some(Owner::Raw(_)));
        let own = self.by_name.get(opened.name).map(|slot| Owner::Named(*slot));
        if owner.is_some() && owner != own {
            self.remove(id);
        }
        self.open_named(lsn, opened);
        replaces_raw.then_some(id)
    }

    fn open_raw(&mut self, lsn: Lsn, opened: &ProducerOpened<'_>) {
        let registration = Registration {
            producer_id: opened.producer_id,
            epoch: opened.epoch,
            timeout_ms: opened.timeout_ms,
            opened_lsn: lsn,
        };
        match self.by_id.get(&opened.producer_id) {
            Some(Owner::Raw(slot)) => self.raw.set(*slot, registration),
            _ => {
                let slot = self.raw.insert(registration);
                self.by_id.insert(opened.producer_id, Owner::Raw(slot));
            }
        }
    }

    /// Position and decisions belong to the name: they stay whoever holds it, under whatever id.
    fn open_named(&mut self, lsn: Lsn, opened: &ProducerOpened<'_>) {
        let slot = match self.by_name.get(opened.name) {
            Some(slot) => *slot,
            None => self.insert_named(opened),
        };
        let Some(named) = self.named.get_mut(slot).map(Arc::make_mut) else { return };
        if named.producer_id != opened.producer_id {
            self.by_id.remove(&named.producer_id);
            self.by_id.insert(opened.producer_id, Owner::Named(slot));
        }
        if named.producer_id != opened.producer_id || opened.previous_id >= 0 {
            self.by_previous.remove(&named.previous_id);
            named.previous_id = opened.previous_id.max(-1);
            if named.previous_id >= 0 {
                self.by_previous.insert(named.previous_id, slot);
            }
        }
        named.producer_id = opened.producer_id;
        named.epoch = opened.epoch;
        named.timeout_ms = opened.timeout_ms;
        named.opened_lsn = lsn;
    }

    fn insert_named(&mut self, opened: &ProducerOpened<'_>) -> u32 {
        let name: Arc<str> = opened.name.into();
        let slot = self.named.insert(Arc::new(Named {
            name: Arc::clone(&name),
            producer_id: opened.producer_id,
            previous_id: -1,
            epoch: opened.epoch,
            timeout_ms: opened.timeout_ms,
            opened_lsn: 0,
            position: None,
            position_lsn: 0,
            decisions: VecDeque::new(),
        }));
        self.by_name.insert(name, slot);
        self.by_id.insert(opened.producer_id, Owner::Named(slot));
        slot
    }

    /// Forgets an id, whatever it is, with its name.
    pub fn remove(&mut self, producer_id: i64) {
        match self.by_id.remove(&producer_id) {
            Some(Owner::Raw(slot)) => drop(self.raw.remove(slot)),
            Some(Owner::Named(slot)) => {
                if let Some(named) = self.named.remove(slot) {
                    self.by_name.remove(&named.name);
                    self.by_previous.remove(&named.previous_id);
                }
            }
            None => {}
        }
    }

    /// Notes what a named producer wrote: its position and its decision.
    pub fn wrote(&mut self, lsn: Lsn, head: &TransactionHead<'_>) {
        let Some(Owner::Named(slot)) = self.by_id.get(&head.producer_id) else { return };
        let Some(named) = self.named.get_mut(*slot).map(Arc::make_mut) else { return };
        if head.position.is_some() {
            (named.position, named.position_lsn) = (head.position, lsn);
        }
        if head.number != 0 {
            if named.decisions.len() >= DECISIONS_KEPT {
                named.decisions.pop_front();
            }
            named.decisions.push_back((head.number, lsn));
        }
    }
}
