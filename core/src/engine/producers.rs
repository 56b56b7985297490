//! Who may write under a name: opening one fences its old holder, durably, before anybody hears of it.

use super::admin::place;
use super::event::Event;
use super::promise::Refusal;
use super::{Inner, Promise};
use crate::error::{Error, ErrorKind, Result};
use crate::format::control::{ProducerDeleted, ProducerOpened};
use crate::format::frame::{Kind, Payload};
use crate::io::bugs::{Bug, planted};
use crate::journal::Claim;
use crate::state::State;
use crate::types::{Durability, Identity, Lsn};

impl Inner {
    /// Opens a name, or registers a raw producer without one. Promises its identity and, for a name, its position. With
    /// `current` only the newest holder may do so: of two who try at once, one is fenced.
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
        let mut guard = self.journal.enter_for(192 + text.len(), claim, true)?;
        if let Err(error) = check_current(guard.state(), name, current) {
            let current = current.map_or((-1, -1), |c| (c.producer_id, c.epoch));
            return Ok(self.refusal(guard, Refusal::of(error, current)));
        }
        let (producer_id, previous_id, epoch) = match name {
            Some(name) => guard.state().next_producer(name),
            None => (guard.state().next_producer_id(), -1, 0),
        };
        if producer_id == i64::MAX {
            return Err(Error::new(ErrorKind::LimitExceeded, "all producer ids are used up; start a new log"));
        }
        let opened = ProducerOpened { producer_id, previous_id, epoch, timeout_ms, name: text };
        let (mut head, mut body) = (Vec::new(), Vec::new());
        opened.write(&mut head, &mut body);
        let lsn = place(&mut guard, Kind::ProducerOpened, &head, &body, &Payload::ProducerOpened(opened));
        let position = name.and_then(|name| guard.state().producer(name)).and_then(|p| p.position);
        drop(guard);
        if let Some(name) = name.filter(|_| epoch > 0 || previous_id >= 0) {
            self.teller.note(|| Event::TakenOver { name: name.to_owned(), producer_id, epoch });
        }
        let level = if planted(Bug::FenceNotDurable) { Durability::Os } else { Durability::Disk };
        Ok(Promise { lsn, level, answer: Ok((Identity { producer_id, epoch }, position)) })
    }

    /// Whether an identity still holds its name. A fence is told of only once it is durable.
    pub fn check_producer(&self, identity: Identity) -> Result<()> {
        self.check_writable()?;
        self.journal.check()?;
        let (result, last) =
            self.journal.look(|state, last| (state.check_producer(identity.producer_id, identity.epoch), last));
        result.or_else(|error| self.refuse_at(last, Refusal::of(error, (identity.producer_id, identity.epoch))))
    }

    /// Forgets a name: its position, its decisions. Whoever holds it is refused from then on.
    pub fn delete_producer(&self, name: &str) -> Result<Promise<()>> {
        self.check_writable()?;
        let mut guard = self.journal.enter_for(128, Claim::Decision, true)?;
        let Some(id) = guard.state().producer(name).map(|p| p.producer_id) else {
            let message = format!("no such producer; names are made by opening them, name={name:?}");
            return Ok(self.refusal(guard, Error::new(ErrorKind::UnknownTransactionalId, message)));
        };
        let deleted = ProducerDeleted { producer_id: id.max(0).unsigned_abs() };
        let mut head = Vec::new();
        deleted.write(&mut head);
        let lsn: Lsn = place(&mut guard, Kind::ProducerDeleted, &head, &[], &Payload::ProducerDeleted(deleted));
        drop(guard);
        Ok(Promise::durable(lsn, ()))
    }
}

/// Whether `current` is the newest holder of the name, so that it may renew itself.
fn check_current(state: &State, name: Option<&str>, current: Option<Identity>) -> Result<()> {
    let Some(current) = current else { return Ok(()) };
    let Some(name) = name else {
        let message = "only a transactional id has a holder to renew; pass no current identity without one";
        return Err(Error::new(ErrorKind::InvalidArgument, message));
    };
    state.check_producer(current.producer_id, current.epoch)?;
    match state.producer(name) {
        Some(holder) if holder.producer_id == current.producer_id => Ok(()),
        _ => {
            let message = format!("the identity is not this name's; open the name without one, name={name:?}");
            Err(Error::new(ErrorKind::ProducerFenced, message))
        }
    }
}
