//! Who may write: raw registrations (an id and an epoch) and named producers (a name that keeps its position, its
//! epoch and its last decisions).

use std::collections::VecDeque;
use std::sync::Arc;

use super::growing::Growing;
use super::identities::fenced;
use super::paged::Paged;
use crate::error::{Error, ErrorKind, Result};
use crate::format::control::ProducerOpened;
use crate::format::decision::{Cause, DecisionHead, Ended};
use crate::format::transaction::TransactionHead;
use crate::limits::{DECISIONS_KEPT, PRODUCER_EPOCH_MAX};
use crate::types::{Identity, Lsn, TransactionNumber};

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
    /// The epoch before, if the call that raised it may be repeated with it (Kafka's lastProducerEpoch); -1 else.
    pub last_epoch: i16,
    /// What the last call that ended a transaction left, for its repetition.
    pub last: Last,
    /// Transaction timeout in milliseconds, 0 = none.
    pub timeout_ms: u32,
    /// The frame that opened it last: the fence.
    pub opened_lsn: Lsn,
    /// The greatest position that was sent; `None` before the first.
    pub position: Option<u64>,
    /// The frame that holds that position; 0 for none.
    pub position_lsn: Lsn,
    /// The last 64 transactions that were decided in the log, oldest first.
    pub decisions: VecDeque<Decision>,
}

impl Named {
    /// The identity of its holder.
    pub fn identity(&self) -> Identity {
        Identity { producer_id: self.producer_id, epoch: self.epoch }
    }
}

/// Kafka's Empty, CompleteCommit and CompleteAbort.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Last {
    /// Opened since.
    Nothing = 0,
    /// Committed.
    Commit = 1,
    /// Aborted.
    Abort = 2,
}

/// How a transaction of a name ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Fate {
    /// Its records and offsets are part of the log.
    Committed = 0,
    /// They are not.
    Aborted = 1,
    /// They are not, because it was open for too long.
    TimedOut = 2,
}

/// A decision that is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The transaction.
    pub number: TransactionNumber,
    /// The frame that decided.
    pub lsn: Lsn,
    /// How.
    pub fate: Fate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    Raw(u32),
    Named(u32),
}

/// Who holds an id.
pub enum Holder<'a> {
    Raw(&'a Registration),
    Named(&'a Named),
}

/// An id that somebody holds.
#[derive(Clone, Copy, Debug)]
struct Held {
    owner: Owner,
    /// The newest batch with a sequence under it; 0 for none.
    wrote: Lsn,
}

impl Held {
    fn by(owner: Owner) -> Held {
        Held { owner, wrote: 0 }
    }
}

/// All producers, with the look-ups derived from the two tables.
#[derive(Debug, Default)]
pub struct Producers {
    pub(super) raw: Paged<Registration>,
    pub(super) named: Paged<Arc<Named>>,
    /// Above every id seen; never lowered, so that no id is issued twice.
    pub(super) next_id: i64,
    by_id: Growing<i64, Held>,
    by_name: Growing<Arc<str>, u32>,
    /// Ids that names gave up, for the wording of a refusal only.
    by_previous: Growing<i64, u32>,
}

impl Producers {
    /// Takes loaded tables; `None` if an id or a name is there twice or malformed.
    pub(super) fn load(raw: Paged<Registration>, named: Paged<Arc<Named>>, next_id: i64) -> Option<Self> {
        let by_id = Growing::with_room(raw.count() + named.count());
        let mut producers = Producers { next_id, by_id, ..Producers::default() };
        for (slot, entry) in raw.iter() {
            let twice = producers.by_id.insert(entry.producer_id, Held::by(Owner::Raw(slot))).is_some();
            if twice || !(0..next_id).contains(&entry.producer_id) {
                return None;
            }
        }
        for (slot, entry) in named.iter() {
            let twice = producers.by_id.insert(entry.producer_id, Held::by(Owner::Named(slot))).is_some()
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
        match self.owner(producer_id)? {
            Owner::Named(slot) => self.named.get(slot).map(|named| &**named),
            Owner::Raw(_) => None,
        }
    }

    /// Who holds an id now: a name, or a registration.
    pub fn holder(&self, producer_id: i64) -> Option<Holder<'_>> {
        match self.owner(producer_id)? {
            Owner::Named(slot) => self.named.get(slot).map(|named| Holder::Named(named)),
            Owner::Raw(slot) => self.raw.get(slot).map(Holder::Raw),
        }
    }

    /// The name that gave up an id.
    pub fn former(&self, producer_id: i64) -> Option<&Named> {
        self.named.get(*self.by_previous.get(&producer_id)?).map(|named| &**named)
    }

    fn owner(&self, producer_id: i64) -> Option<Owner> {
        self.by_id.get(&producer_id).map(|held| held.owner)
    }

    /// Notes the frame of a batch that has a sequence. True if somebody holds its producer's id.
    #[inline]
    pub fn wrote_batch(&mut self, producer_id: i64, lsn: Lsn) -> bool {
        let Some(held) = self.by_id.get_mut(&producer_id) else { return false };
        held.wrote = held.wrote.max(lsn);
        true
    }

    /// The frame that a raw producer wrote last, its registration if it wrote nothing.
    pub fn wrote_last(&self, raw: &Registration) -> Lsn {
        let wrote = self.by_id.get(&raw.producer_id).map_or(0, |held| held.wrote);
        raw.opened_lsn.max(wrote)
    }

    /// True if somebody holds the id.
    #[inline]
    pub fn is_known(&self, producer_id: i64) -> bool {
        self.by_id.contains_key(&producer_id)
    }

    /// The registration that a raw batch appeals to. Every id that was issued is below the next one, so an unknown
    /// id is refused whatever its sequence: Kafka accepts any, and so loses what came before (KAFKA-15591, 14312).
    pub fn registration(&self, producer_id: i64) -> Result<&Registration> {
        if let Some(Owner::Raw(slot)) = self.owner(producer_id)
            && let Some(registration) = self.raw.get(slot)
        {
            return Ok(registration);
        }
        let text = format!(
            "the producer id was never issued, or has expired; register a new one and start at sequence 0, \
             producer_id={producer_id}"
        );
        Err(Error::new(ErrorKind::UnknownProducer, text))
    }

    /// Refuses a holder that was fenced or deleted.
    pub fn check_holder(&self, producer_id: i64, epoch: i16) -> Result<()> {
        let Some(named) = self.holder_of(producer_id) else {
            let text = format!("the named producer was deleted; open its name again, producer_id={producer_id}");
            return Err(Error::new(ErrorKind::UnknownTransactionalId, text));
        };
        if (named.producer_id, named.epoch) == (producer_id, epoch) {
            return Ok(());
        }
        Err(fenced(named, Identity { producer_id, epoch }))
    }

    /// The identity behind a name's: the next epoch, or a new id when the epochs of the old one are used up: 32767 is
    /// never handed out, as in Kafka.
    pub fn raised(&self, named: &Named) -> Identity {
        if named.epoch >= PRODUCER_EPOCH_MAX {
            return Identity { producer_id: self.next_id, epoch: 0 };
        }
        Identity { producer_id: named.producer_id, epoch: named.epoch.saturating_add(1) }
    }

    fn holder_of(&self, producer_id: i64) -> Option<&Named> {
        let slot = match self.owner(producer_id) {
            Some(Owner::Named(slot)) => slot,
            _ => *self.by_previous.get(&producer_id)?,
        };
        self.named.get(slot).map(|named| &**named)
    }

    /// The name that holds an id, or gave it up last.
    pub(super) fn named_of(&self, producer_id: i64) -> Result<&Named> {
        self.holder_of(producer_id).ok_or_else(|| {
            let text = "no transactional id has this producer id; take an identity with a transactional id";
            Error::new(ErrorKind::UnknownTransactionalId, format!("{text}, producer_id={producer_id}"))
        })
    }

    /// Notes an opened producer. Returns ids whose batches are to be forgotten.
    pub fn open(&mut self, lsn: Lsn, opened: &ProducerOpened<'_>) -> [Option<i64>; 2] {
        let id = opened.producer_id;
        let Some(next) = id.checked_add(1).filter(|next| *next > 0) else { return [None; 2] };
        self.next_id = self.next_id.max(next);
        let owner = self.owner(id);
        if opened.name.is_empty() {
            let named = matches!(owner, Some(Owner::Named(_)));
            if named {
                self.remove(id);
            }
            self.open_raw(lsn, opened);
            return [named.then_some(id), None];
        }
        let own = self.by_name.get(opened.name).map(|slot| Owner::Named(*slot));
        // No engine gives an id to two, but the newest frame counts.
        let taken = owner.is_some() && owner != own;
        if taken {
            self.remove(id);
        }
        [taken.then_some(id), self.open_named(lsn, opened)]
    }

    fn open_raw(&mut self, lsn: Lsn, opened: &ProducerOpened<'_>) {
        let registration = Registration {
            producer_id: opened.producer_id,
            epoch: opened.epoch,
            timeout_ms: opened.timeout_ms,
            opened_lsn: lsn,
        };
        match self.owner(opened.producer_id) {
            Some(Owner::Raw(slot)) => self.raw.set(slot, registration),
            _ => {
                let slot = self.raw.insert(registration);
                self.by_id.insert(opened.producer_id, Held::by(Owner::Raw(slot)));
            }
        }
    }

    /// Position and decisions belong to the name: they stay whoever holds it, under whatever id.
    /// Returns the id that the name gave up, if it did.
    fn open_named(&mut self, lsn: Lsn, opened: &ProducerOpened<'_>) -> Option<i64> {
        let slot = match self.by_name.get(opened.name) {
            Some(slot) => *slot,
            None => self.insert_named(opened),
        };
        let identity = Identity { producer_id: opened.producer_id, epoch: opened.epoch };
        let given_up = self.rename(slot, identity, opened.previous_id);
        let named = self.named.get_mut(slot).map(Arc::make_mut)?;
        (named.last_epoch, named.last) = (opened.last_epoch, Last::Nothing);
        named.timeout_ms = opened.timeout_ms;
        named.opened_lsn = lsn;
        given_up
    }

    /// Gives a name another id or epoch. Returns the id that it gave up, if it did.
    fn rename(&mut self, slot: u32, identity: Identity, previous_id: i64) -> Option<i64> {
        let named = self.named.get_mut(slot).map(Arc::make_mut)?;
        let given_up = (named.producer_id != identity.producer_id).then_some(named.producer_id);
        if let Some(given_up) = given_up {
            self.by_id.remove(&given_up);
            self.by_id.insert(identity.producer_id, Held::by(Owner::Named(slot)));
        }
        if given_up.is_some() || previous_id >= 0 {
            if self.by_previous.get(&named.previous_id) == Some(&slot) {
                self.by_previous.remove(&named.previous_id);
            }
            named.previous_id = previous_id.max(-1);
            if named.previous_id >= 0 {
                self.by_previous.insert(named.previous_id, slot);
            }
        }
        (named.producer_id, named.epoch) = (identity.producer_id, identity.epoch);
        given_up
    }

    fn insert_named(&mut self, opened: &ProducerOpened<'_>) -> u32 {
        let name: Arc<str> = opened.name.into();
        let slot = self.named.insert(Arc::new(Named {
            name: Arc::clone(&name),
            producer_id: opened.producer_id,
            previous_id: -1,
            epoch: opened.epoch,
            last_epoch: -1,
            last: Last::Nothing,
            timeout_ms: opened.timeout_ms,
            opened_lsn: 0,
            position: None,
            position_lsn: 0,
            decisions: VecDeque::new(),
        }));
        self.by_name.insert(name, slot);
        self.by_id.insert(opened.producer_id, Held::by(Owner::Named(slot)));
        slot
    }

    /// Forgets an id, whatever it is, with its name.
    pub fn remove(&mut self, producer_id: i64) {
        match self.by_id.remove(&producer_id).map(|held| held.owner) {
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
        let Some(Owner::Named(slot)) = self.owner(head.producer_id) else { return };
        let Some(named) = self.named.get_mut(slot).map(Arc::make_mut) else { return };
        if head.position.is_some() {
            (named.position, named.position_lsn) = (head.position, lsn);
        }
        named.remember(Decision { number: head.number, lsn, fate: Fate::Committed });
    }

    /// Notes the decision on a transaction whose batches were in the log, and who the holder is from now on. Returns
    /// the id that the name gave up, if it did.
    pub fn decided(&mut self, lsn: Lsn, head: &DecisionHead<'_>) -> Option<i64> {
        let (producer_id, epoch) = head.producer;
        let next = head.next.0.checked_add(1).filter(|next| *next > 0)?;
        self.next_id = self.next_id.max(next);
        let Some(Owner::Named(slot)) = self.owner(producer_id) else { return None };
        let named = self.named.get_mut(slot).map(Arc::make_mut)?;
        if head.position.is_some() {
            (named.position, named.position_lsn) = (head.position, lsn);
        }
        let (last, fate) = match (head.ended, head.cause) {
            (Ended::Commit, _) => (Last::Commit, Fate::Committed),
            (Ended::Abort, Cause::Timeout) => (Last::Abort, Fate::TimedOut),
            (Ended::Abort, _) => (Last::Abort, Fate::Aborted),
        };
        named.remember(Decision { number: head.number, lsn, fate });
        if head.next == head.producer {
            return None;
        }
        (named.last_epoch, named.last) = (epoch, last);
        let identity = Identity { producer_id: head.next.0, epoch: head.next.1 };
        if identity.producer_id != producer_id && self.by_id.contains_key(&identity.producer_id) {
            return None;
        }
        let previous_id = if identity.producer_id == producer_id { -1 } else { producer_id };
        self.rename(slot, identity, previous_id)
    }
}

impl Named {
    fn remember(&mut self, decision: Decision) {
        if decision.number == 0 {
            return;
        }
        if self.decisions.len() >= DECISIONS_KEPT {
            self.decisions.pop_front();
        }
        self.decisions.push_back(decision);
    }
}
