//! What a damaged log shows at read_committed: nothing that was aborted or is open, and all that was committed or its
//! name.

use std::collections::BTreeMap;

use oncelog::{ConsumerOptions, Engine, Isolation, Outcome, TopicPartition};

use super::{AFTERWARDS, Sound, read};
use crate::crash::Check;
use crate::crash::world::known_by;

impl Sound {
    /// Compares with the sound directory. `refused`: a decision may be lost, and what it committed with it; the refusal
    /// says so.
    pub(super) fn compare_committed(&self, engine: &Engine, refused: bool, may_be_cut: usize) -> Check {
        for (name, topic) in &self.shown.topics {
            for (number, due) in topic.partitions.iter().enumerate() {
                let Ok(partition) = engine.partition(name, number as u32) else { continue };
                let (seen, named) = read(&partition, Isolation::ReadCommitted)?;
                let stable = partition.bounds().stable;
                let held = self.held.get(&TopicPartition::new(name, number as u32));
                for (offset, due) in (0..).zip(due) {
                    let (hidden, cut) = (self.shown.hidden.contains(due), self.owners[due] >= may_be_cut);
                    let ours = seen.get(&offset).filter(|known| **known != known_by(AFTERWARDS));
                    if hidden && ours.is_some() {
                        return Err(format!("{name}-{number} offset {offset} shows what was not committed"));
                    }
                    // Behind the first that is open nothing is shown; where it was decided meanwhile all of it is.
                    let waits = offset >= stable && held.is_some_and(|first| *first <= offset);
                    if !hidden && ours.is_none() && !(named.contains_key(&offset) || refused || cut || waits) {
                        return Err(format!("{name}-{number} offset {offset} was committed and is hidden"));
                    }
                }
            }
        }
        Ok(())
    }

    /// What was left open is there with all that was sent in it: it commits, and so do its offsets. For a log that
    /// takes appends; it is another one afterwards.
    pub(super) fn finish_open(&self, engine: &Engine) -> Check {
        let open = engine.describe_transactions().map_err(|error| format!("describe_transactions answers {error}"))?;
        let firsts: BTreeMap<_, _> = open.iter().flat_map(|o| o.partitions.clone()).collect();
        if firsts != self.held {
            return Err(format!("open are {firsts:?}, due are {:?}", self.held));
        }
        for transaction in open {
            let ended = engine.end_transaction(transaction.identity, Outcome::Commit);
            ended.map_err(|error| format!("the commit of what was left open answers {error}"))?;
        }
        let Some(place) = self.held.keys().next() else { return Ok(()) };
        let reader = ConsumerOptions::new().group(PENDING.0);
        let place = TopicPartition::new(place.topic.clone(), 0);
        let told = engine.consumer(reader).and_then(|consumer| consumer.committed(&place));
        let told = told.map_err(|error| format!("the offset that was pending answers {error}"))?;
        if told != Some(PENDING.1) {
            return Err(format!("the offset that was pending is {told:?}"));
        }
        for place in self.held.keys() {
            let partition = engine.partition(&place.topic, place.partition);
            let bounds = partition.map_err(|error| error.to_string())?.bounds();
            if bounds.stable != bounds.end {
                return Err(format!("{place} has {bounds:?}, and nothing is open any more"));
            }
        }
        Ok(())
    }
}

/// Group and offset that the transaction left open will commit, for partition 0 of its topic.
pub const PENDING: (&str, u64) = ("p", 77);
