//! Who may write under a name: opening one fences its old holder, durably, before anybody hears of it.

use super::Inner;
use super::admin::place;
use super::event::Event;
use super::hub::Hub;
use super::promise::{Judged, Refusal};
use super::transactions::Decision;
use crate::error::{Error, ErrorKind, Result};
use crate::format::control::{ProducerDeleted, ProducerOpened};
use crate::format::decision::{Cause, Ended};
use crate::format::frame::{Kind, Payload};
use crate::io::bugs::{Bug, planted};
use crate::journal::{Claim, Guard, Promise};
use crate::state::{OpenTransaction, Opening, State, shown};
use crate::types::{Durability, Identity, Lsn, TransactionNumber};

impl Inner {
    /// Opens a name, or registers a raw producer without one. Promises its identity and, for a name, its position. With
    /// `current` only the newest holder may do so: of two who try at once, one is fenced. A transaction that the name
    /// has open is aborted under the same hold of the lock.
    pub fn open_producer(
        &self,
        name: Option<&str>,
        timeout_ms: u32,
        current: Option<Identity>,
    ) -> Result<Promise<(Identity, Option<u64>)>> {
        self.check_writable()?;
        if let Some(name) = name {
            crate::state::check_name("producer", name)?;
        }
        let text = name.unwrap_or("");
        // Taking a name over is a fence and may use the reserve; a new name or registration may not.
        let fences = name.is_some_and(|name| self.journal.look(|state, _| state.producer(name).is_some()));
        let claim = if fences { Claim::Decision } else { Claim::Growth };
        let mut guard = self.enter_to_decide(192 + text.len(), claim, |state| open_under(state, name))?;
        let opening = match check_opening(guard.state(), name, current) {
            Ok(opening) => opening,
            Err(error) => {
                let current = current.map_or((-1, -1), |c| (c.producer_id, c.epoch));
                return Ok(self.refusal(guard, Refusal::of(error, current)));
            }
        };
        let Opening { identity, previous_id, last_epoch, aborts } = opening;
        if identity.producer_id == i64::MAX {
            return Err(no_more_ids());
        }
        if let Some((number, next)) = aborts {
            self.fence_open(&mut guard, number, next);
        }
        let Identity { producer_id, epoch } = identity;
        let opened = ProducerOpened { producer_id, previous_id, epoch, last_epoch, timeout_ms, name: text };
        let (mut head, mut body) = (Vec::new(), Vec::new());
        opened.write(&mut head, &mut body);
        let lsn = place(&mut guard, Kind::ProducerOpened, &head, &body, &Payload::ProducerOpened(opened));
        let position = name.and_then(|name| guard.state().producer(name)).and_then(|p| p.position);
        drop(guard);
        if let Some(name) = name.filter(|_| epoch > 0 || previous_id >= 0) {
            self.teller.note(|| Event::TakenOver { name: name.to_owned(), producer_id, epoch });
        }
        let level = if planted(Bug::FenceNotDurable) { Durability::Os } else { Durability::Disk };
        Ok(Promise { lsn, level, answer: Ok((identity, position)) })
    }

    /// Aborts what the former holder of a name left open; its next identity is given.
    fn fence_open(&self, guard: &mut Guard<'_, Hub>, number: TransactionNumber, next: Identity) {
        let Some(open) = guard.state().open_transaction(number).copied() else { return };
        let producer = Identity { producer_id: open.producer_id, epoch: open.epoch };
        let (ended, cause) = (Ended::Abort, Cause::Fence);
        let (told, level) = (cause.name(), Some(Durability::Disk));
        let decision = Decision { ended, cause, told, next, position: None, offsets: &[], level };
        self.place_decision(guard, producer, number, &decision);
    }

    /// Whether an identity still holds its name. A fence may be told of only once it is durable: not
    /// waited for here.
    pub fn check_producer(&self, identity: Identity) -> Judged<()> {
        self.check_writable()?;
        self.journal.check()?;
        let (result, last) =
            self.journal.look(|state, last| (state.check_producer(identity.producer_id, identity.epoch), last));
        let refusal = |error| Refusal::of(error, (identity.producer_id, identity.epoch));
        result.map_err(|error| self.refuse_at(last, refusal(error)))
    }

    /// Forgets a name: its position, its decisions. Whoever holds it is refused from then on.
    pub fn delete_producer(&self, name: &str) -> Result<Promise<()>> {
        self.check_writable()?;
        let mut guard = self.enter_to_decide(128, Claim::Decision, |state| open_under(state, Some(name)))?;
        let Some(id) = guard.state().producer(name).map(|p| p.producer_id) else {
            let message = format!("no such producer; names are made by opening them, name={}", shown(name));
            return Ok(self.refusal(guard, Error::new(ErrorKind::UnknownTransactionalId, message)));
        };
        if let Some(open) = guard.state().open_of(id).copied() {
            let next = Identity { producer_id: open.producer_id, epoch: open.epoch };
            self.fence_open(&mut guard, open.number, next);
        }
        let deleted = ProducerDeleted { producer_id: id.max(0).unsigned_abs() };
        let mut head = Vec::new();
        deleted.write(&mut head);
        let lsn: Lsn = place(&mut guard, Kind::ProducerDeleted, &head, &[], &Payload::ProducerDeleted(deleted));
        drop(guard);
        Ok(Promise::durable(lsn, ()))
    }
}

/// What the holder of a name has open in the log.
fn open_under<'s>(state: &'s State, name: Option<&str>) -> Option<&'s OpenTransaction> {
    state.open_of(state.producer(name?)?.producer_id)
}

/// What opening gives. Only a name has a holder that may renew itself.
fn check_opening(state: &State, name: Option<&str>, current: Option<Identity>) -> Result<Opening> {
    match (name, current) {
        (Some(name), current) => state.check_opening(name, current),
        (None, None) => {
            let identity = Identity { producer_id: state.next_producer_id(), epoch: 0 };
            Ok(Opening { identity, previous_id: -1, last_epoch: -1, aborts: None })
        }
        (None, Some(_)) => {
            let text = "only a transactional id has a holder to renew; pass no current identity without one";
            Err(Error::new(ErrorKind::InvalidArgument, text))
        }
    }
}

/// The answer when the numbers for producers are used up.
pub(super) fn no_more_ids() -> Error {
    Error::new(ErrorKind::LimitExceeded, "all producer ids are used up; start a new log")
}
