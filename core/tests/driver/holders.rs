//! Who holds the transactional ids of raw transactions after an opening: asked by calls that change nothing, as far as
//! there are any.

use oncelog::{Engine, ErrorKind, GroupMetadata, Offsets, Outcome, TopicPartition};

use super::streams::TIMEOUT;
use super::*;
use crate::model::raw::{FRESH, Holder, Last};
use crate::model::{Cell, Fate};

/// Each id with its holder as text, and who was renewed for want of another question.
pub type Held = (BTreeMap<String, Option<String>>, Vec<(String, Holder)>);

/// True if an identity is its id's newest: sent offsets of a partition that does not exist are refused for that.
fn is_newest(engine: &Engine, topic: &str, who: Identity) -> Result<bool, String> {
    let nowhere = Offsets::from([(TopicPartition::new(topic, 9_999), 0.into())]);
    match engine.send_offsets(who, &GroupMetadata { group: "nobody".to_owned() }, &nowhere).map_err(|e| e.kind()) {
        Err(ErrorKind::UnknownTopicOrPartition) => Ok(true),
        Err(ErrorKind::StaleEpoch | ErrorKind::UnknownTransactionalId) => Ok(false),
        answer => Err(format!("I9: offsets of nowhere by {who:?} answered {answer:?}")),
    }
}

/// How the last transaction of a holder ended: what a late commit of the one before answers, which changes nothing.
fn last(engine: &Engine, holder: &Holder) -> Result<Last, String> {
    if holder.before().producer_id < 0 {
        return Ok(Last::Nothing);
    }
    match engine.end_transaction(holder.before(), Outcome::Commit).map_err(|error| error.kind()) {
        Ok(told) if told == holder.identity() || holder.id == FRESH => Ok(Last::Commit),
        Err(ErrorKind::InvalidTransactionState) => Ok(Last::Abort),
        Err(ErrorKind::ProducerFenced) => Ok(Last::Nothing),
        answer => Err(format!("I9: a commit before {holder:?} answered {answer:?}")),
    }
}

/// True if the last transaction of an id may have ended as that of this holder.
fn ended_so(engine: &Engine, holder: &Holder) -> bool {
    let untold = holder.id == FRESH && holder.last == Last::Nothing;
    untold || last(engine, holder) == Ok(holder.last)
}

impl Driver {
    /// Asks for the holders of all ids.
    pub fn observe_holders(&mut self, engine: &Engine) -> Result<Held, String> {
        // A fault that struck in the opening shows now, before anybody is renewed.
        engine.flush().map_err(|error| format!("I1: a flush after an opening: {error}"))?;
        let topics = engine.topics().map_err(|error| format!("I1: topics after an opening: {error}"))?;
        let topic = topics.first().map(|topic| topic.name.as_str());
        let open = engine.describe_transactions().map_err(|error| format!("I6: what is open: {error}"))?;
        let mut held = Held::default();
        for cell in self.history.cells() {
            let Cell::Holder(name) = &cell else { continue };
            // What each of its operations would leave.
            let setters: Vec<_> = self.history.setters(&cell).collect();
            let from = setters.iter().rposition(|(id, _)| self.history.ops[*id].fate == Fate::Kept);
            let mut may_be: Vec<Option<Holder>> = if from.is_none() { vec![None] } else { vec![] };
            let left = setters[from.unwrap_or(0)..].iter().map(|(_, text)| text.as_deref());
            may_be.extend(left.map(|text| text.map(|text| Holder::parse(text).reopened(&self.history.kept))));
            if let Some(told) = open.iter().find(|told| told.raw && told.transactional_id == *name) {
                held.0.insert(name.clone(), Some(kept::holder(told, &may_be)?.text()));
                continue;
            }
            may_be.retain(|held| held.is_none_or(|held| held.open == 0));
            let unknown = |h: &Holder| h.id == FRESH && h.last == Last::Nothing;
            let seen = match topic {
                Some(topic) if !may_be.iter().flatten().any(unknown) => ask(engine, topic, &may_be)?,
                _ => self.renew(engine, name, &may_be, &mut held.1)?,
            };
            held.0.insert(name.clone(), seen.map(|holder| holder.text()));
        }
        Ok(held)
    }

    /// Opens an id to learn who had it.
    fn renew(
        &mut self,
        engine: &Engine,
        name: &str,
        may_be: &[Option<Holder>],
        renewed: &mut Vec<(String, Holder)>,
    ) -> Result<Option<Holder>, String> {
        // How its last transaction ended shows without a topic, and not behind the call.
        let may_be: Vec<_> = may_be.iter().filter(|held| held.is_none_or(|held| ended_so(engine, &held))).collect();
        let told = engine.init_producer(Some(name), TIMEOUT, None);
        let told = told.map_err(|error| format!("I9: opening {name} after an opening of the log: {error}"))?;
        self.issued.insert(told.producer_id);
        for held in may_be.iter().copied().rev() {
            let next = held.map_or(Holder::new(FRESH), |held| held.opened(None).expect("nobody is refused")[0]);
            if next.epoch == told.epoch && (next.id == told.producer_id || next.id == FRESH) {
                renewed.push((name.to_owned(), Holder { id: told.producer_id, ..next }));
                let id = |held: &Holder| if held.id == FRESH { told.producer_id } else { held.id };
                return Ok(held.map(|held| Holder { id: id(&held), ..held }));
            }
        }
        Err(format!("I9: opening {name} answered {told:?}; it may have been held by {may_be:?}"))
    }

    /// What was learned is part of the history from now on; `opened` is when this life began.
    pub fn settle_holders(&mut self, (held, renewed): Held, opened: u64) -> Check {
        self.raws.clear();
        for (name, holder) in self.history.holders() {
            let seen = held.get(&name).and_then(Option::as_deref).map(Holder::parse);
            if holder.open == 0 && holder.id != FRESH {
                continue;
            }
            if self.history.kept.contains(&holder.open) {
                self.goes_on(name, &holder, opened);
                continue;
            }
            let reopened = holder.reopened(&self.history.kept);
            let next = Holder { id: seen.map_or(holder.id, |seen| seen.id), ..reopened };
            self.issued.insert(next.id);
            let sets = vec![(Cell::Holder(name.clone()), Some(next.text()))];
            let id = self.history.begin(format!("{name} after an opening: {}", next.text()), vec![], sets);
            self.history.ops[id].decides = (holder.open != 0).then_some((holder.open, false));
            self.history.acked(id, Durability::Disk, None, &[])?;
        }
        for (name, next) in renewed {
            let sets = vec![(Cell::Holder(name.clone()), Some(next.text()))];
            let id = self.history.begin(format!("renew {name}: {}", next.text()), vec![], sets);
            self.history.acked(id, Durability::Disk, None, &[])?;
        }
        Ok(())
    }
}

/// Which of those it may be holds an id.
fn ask(engine: &Engine, topic: &str, may_be: &[Option<Holder>]) -> Result<Option<Holder>, String> {
    for held in may_be.iter().flatten() {
        let mut held = *held;
        if held.id == FRESH {
            // Who repeats the end that used up the epochs is told the new id.
            let outcome = if held.last == Last::Commit { Outcome::Commit } else { Outcome::Abort };
            let Ok(told) = engine.end_transaction(held.before(), outcome) else { continue };
            held.id = told.producer_id;
        }
        if is_newest(engine, topic, held.identity())? {
            return Ok(Some(Holder { last: last(engine, &held)?, ..held }));
        }
    }
    Ok(None)
}
