//! Topics: made, widened, deleted and made again under the same name; names of producers deleted.

use oncelog::{Durability, ErrorKind, TopicOptions};

use super::appends::NAMES;
use super::*;
use crate::model::Cell;

const TOPICS: [&str; 5] = ["orders", "ledger", "audit", "transfers", "letters"];

impl Driver {
    pub fn create_topic(&mut self) -> Check {
        let name = TOPICS[self.rng.index(TOPICS.len())];
        let level = self.own_level();
        let partitions = 1 + self.rng.below(4) as u32;
        let exists = self.history.topic(name).is_some();
        let what = format!("create {name} with {partitions} partitions, {level:?}");
        self.note(what.clone());
        let mut options = TopicOptions::new().partitions(partitions);
        options = level.map_or(options.clone(), |level| options.durability(level));
        let engine = self.engine();
        if exists {
            return match engine.create_topic(name, options) {
                Err(error) => self.failed(None, &error, &[ErrorKind::TopicExists]),
                Ok(()) => self.must_fail("creating a topic twice", ErrorKind::TopicExists),
            };
        }
        let state = TopicState { born: self.history.ops.len(), partitions, level };
        let id = self.history.begin(what, vec![], vec![(Cell::Topic(name.into()), Some(state.text()))]);
        match engine.create_topic(name, options) {
            Err(error) => self.failed(Some(id), &error, &[]),
            Ok(()) => {
                self.history.acked(id, Durability::Disk, None, &[])?;
                let listed = engine.topics().map_err(|e| format!("topics after create: {e}"))?;
                let info = listed.iter().find(|t| t.name == name).ok_or("I1: the topic just made is not listed")?;
                match self.history.topic_ids.insert(info.id, id) {
                    None => Ok(()),
                    Some(other) => Err(format!("I2: {name} got the id of {}", self.history.name(other))),
                }
            }
        }
    }

    pub fn delete_topic(&mut self) -> Check {
        let name = TOPICS[self.rng.index(TOPICS.len())];
        let what = format!("delete {name}");
        self.note(what.clone());
        let engine = self.engine();
        if self.history.topic(name).is_none() {
            return match engine.delete_topic(name) {
                Err(error) => self.failed(None, &error, &[ErrorKind::UnknownTopicOrPartition]),
                Ok(()) => self.must_fail("deleting no topic", ErrorKind::UnknownTopicOrPartition),
            };
        }
        // What producers still gather for it has its answer first, so that the model knows on which side it fell.
        self.wait_all()?;
        let sets = self.history.deletion(name);
        let id = self.history.begin(what, vec![], sets);
        self.forget_topic(name);
        match engine.delete_topic(name) {
            Err(error) => self.failed(Some(id), &error, &[]),
            Ok(()) => self.history.acked(id, Durability::Disk, None, &[]),
        }
    }

    fn forget_topic(&mut self, name: &str) {
        for reader in &mut self.life().readers {
            reader.lost |= reader.positions.keys().any(|(topic, _)| topic == name);
        }
        for open in &mut self.life().open {
            open.gone |= open.writes.iter().any(|(part, _)| part.topic == name);
            open.gone |= open.sets.iter().any(|(c, _)| matches!(c, Cell::Offset(_, topic, _) if topic == name));
            open.doomed |= open.gone;
        }
    }

    pub fn add_partitions(&mut self) -> Check {
        let Some((part, state)) = self.any_part() else { return Ok(()) };
        let total = (state.partitions + 1 + self.rng.below(2) as u32).min(8);
        if total <= state.partitions {
            return Ok(());
        }
        let what = format!("widen {} to {total}", part.topic);
        self.note(what.clone());
        let wider = TopicState { partitions: total, ..state };
        let id = self.history.begin(what, vec![], vec![(Cell::Topic(part.topic.clone()), Some(wider.text()))]);
        let engine = self.engine();
        match engine.add_partitions(&part.topic, total) {
            Err(error) => self.failed(Some(id), &error, &[]),
            Ok(()) => self.history.acked(id, Durability::Disk, None, &[]),
        }
    }

    /// Deletes a name: its position is gone, its handles are finished.
    pub fn delete_name(&mut self) -> Check {
        let name = NAMES[self.rng.index(NAMES.len())];
        self.wait_all()?;
        let what = format!("delete producer {name}");
        self.note(what.clone());
        let id = self.history.begin(what, vec![], vec![(Cell::Position(name.into()), None)]);
        let engine = self.engine();
        match engine.delete_producer(name) {
            Err(error) => {
                // Unknown is whether its handles are finished; a refusal leaves them as they are.
                if error.kind() == ErrorKind::Indeterminate {
                    self.history.opened(name);
                }
                self.failed(Some(id), &error, &[ErrorKind::UnknownTransactionalId])
            }
            Ok(()) => {
                self.history.opened(name);
                self.history.acked(id, Durability::Disk, None, &[])
            }
        }
    }

    /// Calls that make no sense: each has its own typed error and changes nothing.
    pub fn ask_nonsense(&mut self) -> Check {
        self.note("ask nonsense".into());
        let engine = self.engine();
        let unknown = &[ErrorKind::UnknownTopicOrPartition][..];
        let answers = [
            (engine.partition("nowhere", 0).map(|_| ()), unknown),
            (engine.create_topic("", TopicOptions::new()), &[ErrorKind::InvalidArgument][..]),
            (engine.create_topic("..", TopicOptions::new()), &[ErrorKind::InvalidArgument][..]),
            (engine.create_topic("a/b", TopicOptions::new()), &[ErrorKind::InvalidArgument][..]),
            (engine.create_topic("none", TopicOptions::new().partitions(0)), &[ErrorKind::InvalidArgument][..]),
            (engine.add_partitions("nowhere", 3), unknown),
            (engine.delete_topic("nowhere"), unknown),
        ];
        for (answer, allowed) in answers {
            match answer {
                Err(error) => self.failed(None, &error, allowed)?,
                Ok(()) => return Err(format!("a call that makes no sense succeeded, {allowed:?} was expected")),
            }
        }
        match self.any_part() {
            Some((part, state)) => match engine.partition(&part.topic, state.partitions) {
                Err(error) => self.failed(None, &error, unknown),
                Ok(_) => self.must_fail("a partition past the last", ErrorKind::UnknownTopicOrPartition),
            },
            None => Ok(()),
        }
    }
}
