//! Raw transactions that outlive a life of the log: who holds them in the next one, and what they will commit.

use std::collections::BTreeMap;

use oncelog::{Engine, Isolation, OpenTransaction as Described, Outcome};

use super::lives::options;
use super::raw::OpenRaw;
use super::streams::TIMEOUT;
use super::*;
use crate::model::Cell;
use crate::model::oracle::Observation;
use crate::model::raw::Holder;

/// Who holds an id whose transaction is described as open, of those it may be.
pub fn holder(told: &Described, may_be: &[Option<Holder>]) -> Result<Holder, String> {
    let mut all = may_be.iter().flatten().filter(|held| held.open == told.number && held.identity() == told.identity);
    all.next()
        .copied()
        .ok_or_else(|| format!("I6: {told:?} is open after an opening; its id may be held by {may_be:?}"))
}

impl Driver {
    /// What each raw transaction that is open will commit: on a copy of the log, where it commits.
    pub fn observe_pending(&mut self, engine: &Engine, seen: &mut Observation) -> Check {
        let open = engine.describe_transactions().map_err(|error| format!("I6: what is open: {error}"))?;
        for told in open.iter().filter(|told| told.raw) {
            let copy = self.copy(self.world.files());
            let engine = options(self.level).open_on(copy.machine());
            let engine = engine.map_err(|error| format!("I6: a copy with {told:?} does not open: {error}"))?;
            let ended = engine.end_transaction(told.identity, Outcome::Commit);
            ended.map_err(|error| format!("I6: {told:?} does not commit on a copy: {error}"))?;
            let mut left = BTreeMap::new();
            for pending in self.history.pending.iter().filter(|pending| pending.number == told.number) {
                let Cell::Offset(group, topic, partition) = &pending.cell else { continue };
                if seen.topics.get(topic).is_none_or(|topic| *partition as usize >= topic.partitions.len()) {
                    continue;
                }
                let told = groups::committed(&engine, group, topic, *partition, Isolation::ReadUncommitted);
                let told = told.map_err(|error| format!("I10: committed on a copy: {error}"))?;
                left.insert(pending.cell.clone(), told.map(|offset| offset.to_string()));
            }
            seen.pending.insert(told.number, left);
            drop(engine);
            self.count(&copy);
            *self.copies.entry("raw transaction that outlives a life").or_default() += 1;
        }
        Ok(())
    }

    /// The transaction of a holder goes on in the life that began at `opened`, and so does its time, from the start.
    pub fn goes_on(&mut self, name: String, holder: &Holder, opened: u64) {
        let begins = |op: &crate::model::Op| op.counts() && op.begins == Some(holder.open);
        let begun = self.history.ops.iter().position(begins).expect("what is open was begun");
        let deadline = opened + TIMEOUT.as_nanos() as u64;
        self.raws.push(OpenRaw { name, identity: holder.identity(), number: holder.open, begun, deadline });
    }
}
