//! Whether an identity may open its name again or end its transaction: Kafka's InitProducerId (KIP-360) and EndTxn
//! (KIP-890 part 2), as verdicts on the noted state.

use super::producers::{Last, Named, Producers};
use super::sequences::NEVER_GIVEN;
use crate::error::{Error, ErrorKind, Result};
use crate::limits::PRODUCER_EPOCH_MAX;
use crate::types::{Identity, TransactionNumber};

/// What a call that opens a name is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opening {
    /// Id and epoch that it gets.
    pub identity: Identity,
    /// The id it replaces; -1 for none.
    pub previous_id: i64,
    /// The epoch with which the call may be repeated; -1 for none.
    pub last_epoch: i16,
    /// A transaction that is open is aborted first, and its holder's next identity is this one.
    pub aborts: Option<(TransactionNumber, Identity)>,
}

/// What a call that ends a raw transaction is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Decide this one; 0: there is none, and an abort only raises the epoch.
    Decide(TransactionNumber),
    /// Nothing: the call was done before, and only its answer was lost.
    Repeat,
}

impl Named {
    /// An identity that no holder of the name has had: its epoch is no epoch, or above that of the newest.
    fn never_gave(&self, identity: Identity) -> bool {
        identity.epoch < 0 || (identity.producer_id == self.producer_id && identity.epoch > self.epoch)
    }
}

impl Producers {
    /// What opening `name` gives: Kafka's InitProducerId (KIP-360, KIP-890). With `current` only the newest holder may
    /// do so, or who repeats the call that made it the newest. `open` is the name's open transaction. Unlike Kafka's,
    /// a stale epoch is refused before anything is aborted.
    pub fn check_open(
        &self,
        name: &str,
        current: Option<Identity>,
        open: impl FnOnce(i64) -> Option<(TransactionNumber, bool)>,
    ) -> Result<Opening> {
        let opening = |identity, previous_id, last_epoch| Opening { identity, previous_id, last_epoch, aborts: None };
        // A name that is not known accepts any holder: it may be one that was forgotten.
        let Some(named) = self.named(name) else {
            return Ok(opening(Identity { producer_id: self.next_id, epoch: 0 }, -1, -1));
        };
        let fits = |current: Identity| {
            let same = current.producer_id == named.producer_id;
            same || (current.producer_id == named.previous_id && current.epoch >= PRODUCER_EPOCH_MAX)
        };
        let given = current.map(|current| current.epoch);
        let newest = given.is_none_or(|epoch| epoch == named.epoch)
            && current.is_none_or(|c| c.producer_id == named.producer_id);
        let repeats = given.is_some_and(|epoch| epoch >= 0 && epoch == named.last_epoch);
        if !current.is_none_or(fits) || !(newest || repeats) {
            return Err(fenced(named, current.unwrap_or_else(|| named.identity())));
        }
        let raised = self.raised(named);
        let replaced = if raised.producer_id == named.producer_id { -1 } else { named.producer_id };
        let Some((number, raw)) = open(named.producer_id) else {
            if !newest {
                return Ok(opening(named.identity(), -1, named.last_epoch));
            }
            return Ok(opening(raised, replaced, given.map_or(-1, |_| named.epoch)));
        };
        if !newest {
            // A transaction begun with the epoch that the call gave: whoever repeats it knows nothing of that.
            return Err(fenced(named, current.unwrap_or_else(|| named.identity())));
        }
        // With that epoch the holder may repeat the call; who named no identity has none to repeat it with.
        let last_epoch = given.map_or(-1, |_| named.epoch);
        if !raw {
            let by_opening = opening(raised, replaced, last_epoch);
            return Ok(Opening { aborts: Some((number, named.identity())), ..by_opening });
        }
        // The abort raises the epoch (KAFKA-19367), and its holder goes on with that, as Kafka's does who calls again;
        // who named no identity gets another one.
        let identity = match (given, replaced) {
            (None, -1) if raised.epoch >= PRODUCER_EPOCH_MAX => Identity { producer_id: self.next_id, epoch: 0 },
            (None, -1) => Identity { epoch: raised.epoch + 1, ..raised },
            _ => raised,
        };
        let previous_id = if identity.producer_id == raised.producer_id { -1 } else { raised.producer_id };
        Ok(Opening { aborts: Some((number, raised)), ..opening(identity, previous_id, last_epoch) })
    }

    /// The name whose raw transaction an identity speaks of, for a batch of offsets: the newest holder's.
    pub fn check_raw_holder(&self, identity: Identity) -> Result<&Named> {
        let named = self.named_of(identity.producer_id)?;
        if named.identity() == identity {
            return Ok(named);
        }
        let (text, newest) = match named.never_gave(identity) {
            true => (NEVER_GIVEN, "newest"),
            false => ("a newer epoch of this producer took over; stop, or register again", "newer"),
        };
        let values = format!(
            "name={} producer_id={} epoch={} {newest}_epoch={}",
            named.name, identity.producer_id, identity.epoch, named.epoch
        );
        Err(Error::new(ErrorKind::StaleEpoch, format!("{text}, {values}")))
    }

    /// What ending the transaction of an identity is to do: Kafka's EndTxn with KIP-890 part 2. `open` is the open
    /// transaction of a producer id. The other answer is the identity that the caller goes on with.
    pub fn check_end(
        &self,
        identity: Identity,
        commit: bool,
        open: impl FnOnce(i64) -> Option<TransactionNumber>,
    ) -> Result<(Ending, &Named)> {
        let named = self.named_of(identity.producer_id)?;
        let current = named.identity() == identity;
        let rotated =
            identity.producer_id == named.previous_id && identity.epoch >= PRODUCER_EPOCH_MAX && named.epoch == 0;
        let same = identity.producer_id == named.producer_id;
        let repeats = rotated || (same && identity.epoch.checked_add(1) == Some(named.epoch));
        if !current && !repeats {
            return Err(fenced(named, identity));
        }
        if let Some(number) = open(named.producer_id) {
            return if current { Ok((Ending::Decide(number), named)) } else { Err(fenced(named, identity)) };
        }
        match (named.last, commit, current) {
            (_, false, true) => Ok((Ending::Decide(0), named)),
            (Last::Commit, true, false) | (Last::Abort, false, false) => Ok((Ending::Repeat, named)),
            (Last::Nothing, _, false) => Err(fenced(named, identity)),
            _ => {
                let text = match named.last {
                    Last::Nothing => "no transaction is open; append a transactional batch first",
                    Last::Commit => "the transaction was committed; begin the next one",
                    Last::Abort => "the transaction was aborted; begin the next one",
                };
                let values =
                    format!("name={} producer_id={} epoch={}", named.name, identity.producer_id, identity.epoch);
                Err(Error::new(ErrorKind::InvalidTransactionState, format!("{text}, {values}")))
            }
        }
    }
}

/// The answer to a holder that is not the newest.
#[cold]
pub(super) fn fenced(named: &Named, identity: Identity) -> Error {
    let (text, newest) = match named.never_gave(identity) {
        true => ("this epoch was never given out; go on with the one that was, or open the name again", "newest"),
        false => ("a newer holder took over this name; open it again only if that one is gone", "newer"),
    };
    let text = format!(
        "{text}, name={} producer_id={} epoch={} {newest}_producer_id={} {newest}_epoch={}",
        named.name, identity.producer_id, identity.epoch, named.producer_id, named.epoch
    );
    Error::new(ErrorKind::ProducerFenced, text)
}
