//! Consumers and groups: polls, seeks, rewinds, offsets committed outside transactions.

use std::time::Duration;

use oncelog::{ConsumerOptions, Engine, ErrorKind, Isolation, OffsetAndMetadata, Offsets, TopicPartition};

use super::*;
use crate::model::Cell;

/// Groups whose offsets are made up, so that each value is committed once.
pub const GROUPS: [&str; 3] = ["billing", "search", "mail"];
/// Groups of consumers that really read.
const READERS: [&str; 2] = ["copy", "count"];

/// What a group committed for a partition.
pub fn committed(
    engine: &Engine,
    group: &str,
    topic: &str,
    partition: u32,
    isolation: Isolation,
) -> oncelog::Result<Option<u64>> {
    let consumer = engine.consumer(ConsumerOptions::new().group(group).isolation(isolation))?;
    consumer.committed(&TopicPartition::new(topic, partition))
}

impl Reader {
    pub fn plain_positions(&self) -> Positions {
        self.positions.iter().map(|(key, (_, position))| (key.clone(), *position)).collect()
    }
}

impl Driver {
    /// Offsets for up to three partitions, each value new, and the cells they set.
    pub fn some_offsets(&mut self, group: &str) -> Option<(Offsets, Sets)> {
        let mut offsets = Offsets::new();
        for _ in 0..1 + self.rng.below(3) {
            let (part, _) = self.any_part()?;
            self.counter += 1;
            let value = OffsetAndMetadata {
                offset: self.counter,
                leader_epoch: self.rng.below(3) as i32 - 1,
                metadata: format!("op {}", self.counter),
            };
            offsets.insert(TopicPartition::new(part.topic, part.number), value);
        }
        let set = |(tp, o): (&TopicPartition, &OffsetAndMetadata)| {
            let cell = Cell::Offset(group.to_owned(), tp.topic.clone(), tp.partition);
            (cell, Some(o.offset.to_string()))
        };
        let sets = offsets.iter().map(set).collect();
        Some((offsets, sets))
    }

    pub fn commit_offsets(&mut self) -> Check {
        let group = GROUPS[self.rng.index(GROUPS.len())];
        let Some((offsets, sets)) = self.some_offsets(group) else { return self.create_topic() };
        let what = format!("commit offsets of {group}: {sets:?}");
        self.note(what.clone());
        let engine = self.engine();
        let consumer = match engine.consumer(ConsumerOptions::new().group(group)) {
            Ok(consumer) => consumer,
            Err(error) => return self.failed(None, &error, &[]),
        };
        let level = self.level_of(offsets.keys().map(|tp| tp.topic.clone()).collect());
        let id = self.history.begin(what, vec![], sets);
        match consumer.commit_offsets(&offsets) {
            Err(error) => self.failed(Some(id), &error, &[]),
            Ok(()) => self.history.acked(id, level, None, &[]),
        }
    }

    /// The strongest level of some topics.
    pub fn level_of(&self, topics: Vec<String>) -> Durability {
        let levels = topics.iter().filter_map(|t| self.history.topic(t)).map(|t| self.topic_level(&t));
        levels.max().unwrap_or(self.level)
    }

    pub fn open_consumer(&mut self) -> Check {
        let group = READERS[self.rng.index(READERS.len())];
        // One consumer of a group at a time: a second one would not hear what the first commits.
        let life = self.life();
        let is_bound = |index: usize| life.open.iter().any(|open| open.bound.as_ref().is_some_and(|b| b.0 == index));
        let mut others = life.readers.iter().enumerate().filter(|(_, reader)| reader.group == group);
        if others.any(|(index, reader)| !reader.lost || is_bound(index)) {
            return Ok(());
        }
        let mut chosen = BTreeMap::new();
        for _ in 0..1 + self.rng.below(3) {
            let Some((part, _)) = self.any_part() else { return Ok(()) };
            let cell = Cell::Offset(group.to_owned(), part.topic.clone(), part.number);
            let stands = self.stands(&cell);
            chosen.insert((part.topic.clone(), part.number), (part, stands));
        }
        self.note(format!("open a consumer of {group} on {:?}", chosen.keys()));
        let isolation = if self.rng.chance(1, 2) { Isolation::ReadCommitted } else { Isolation::ReadUncommitted };
        let engine = self.engine();
        let answer = engine.consumer(ConsumerOptions::new().group(group).isolation(isolation)).and_then(|consumer| {
            let assigned: Vec<_> = chosen.keys().map(|(t, p)| TopicPartition::new(t.clone(), *p)).collect();
            consumer.assign(&assigned).map(|()| consumer)
        });
        match answer {
            Err(error) => self.failed(None, &error, &[]),
            Ok(consumer) => {
                let reader = Reader { consumer, group: group.to_owned(), positions: chosen, isolation, lost: false };
                self.life().readers.push(reader);
                let last = self.life().readers.len() - 1;
                self.check_positions(last)
            }
        }
    }

    /// Where a group stands, if nothing else is said: at what it committed, or at the start.
    pub fn stands(&self, cell: &Cell) -> u64 {
        self.history.value(cell).map_or(0, |offset| offset.parse().expect("cells of offsets hold numbers"))
    }

    pub fn any_reader(&mut self) -> Option<usize> {
        let all: Vec<usize> = (0..self.life().readers.len()).filter(|r| !self.life().readers[*r].lost).collect();
        (!all.is_empty()).then(|| all[self.rng.index(all.len())])
    }

    pub fn check_positions(&mut self, index: usize) -> Check {
        for ((topic, partition), position) in self.life().readers[index].plain_positions() {
            let told = self.life().readers[index].consumer.position(&TopicPartition::new(topic.clone(), partition));
            match told {
                Err(error) => self.failed(None, &error, &[])?,
                Ok(told) if told == position => {}
                Ok(told) => {
                    return Err(format!("the consumer stands at {told:?} of {topic}-{partition}, not {position}"));
                }
            }
        }
        Ok(())
    }

    pub fn poll(&mut self) -> Check {
        let Some(index) = self.any_reader() else { return self.open_consumer() };
        self.note(format!("poll consumer {index}"));
        let isolation = self.life().readers[index].isolation;
        let records = match self.life().readers[index].consumer.poll(Duration::ZERO) {
            Ok(records) => records,
            Err(error) => {
                self.failed(None, &error, &[])?;
                return self.step_over_hidden(index);
            }
        };
        for view in &records {
            let view = match view {
                Ok(view) => view,
                Err(error) => return self.failed(None, &error, &[]),
            };
            let mut headers = Vec::new();
            for header in view.headers() {
                let header = header.map_err(|e| format!("I1: a header does not decode: {e}"))?;
                headers.push((header.key, header.value));
            }
            let bytes = known_by(view.timestamp(), view.key(), view.value(), &headers);
            let key = (view.topic().to_owned(), view.partition());
            let entry = self.life().readers[index].positions.get(&key).cloned();
            let (part, position) = entry.ok_or_else(|| format!("poll answered {key:?}, which is not assigned"))?;
            self.check_skipped(&part, position..view.offset(), isolation)?;
            self.check_shown(&part, view.offset(), &bytes, isolation)?;
            self.life().readers[index].positions.insert(key, (part.clone(), view.offset() + 1));
            let state = self.history.topic(&part.topic).ok_or("poll answered a topic that does not exist")?;
            let level = self.topic_level(&state);
            self.history.saw(&part, view.offset(), &bytes, level)?;
        }
        // Behind the last record shown there may be hidden ones.
        for (key, (part, position)) in self.life().readers[index].positions.clone() {
            let next = records.next_offset(&key.0, key.1).unwrap_or(position);
            self.check_skipped(&part, position..next, isolation)?;
            self.life().readers[index].positions.insert(key, (part, next));
        }
        self.check_positions(index)
    }

    /// A poll that fails may have stepped over hidden records before; over nothing else.
    fn step_over_hidden(&mut self, index: usize) -> Check {
        let isolation = self.life().readers[index].isolation;
        for (key, (part, position)) in self.life().readers[index].positions.clone() {
            let name = TopicPartition::new(key.0.clone(), key.1);
            let Ok(told) = self.life().readers[index].consumer.position(&name) else { continue };
            self.check_skipped(&part, position..told.max(position), isolation)?;
            self.life().readers[index].positions.insert(key, (part, told.max(position)));
        }
        Ok(())
    }

    /// Seeks somewhere, or goes back to what was committed.
    pub fn move_consumer(&mut self) -> Check {
        let Some(index) = self.any_reader() else { return self.open_consumer() };
        if self.rng.chance(1, 3) {
            self.note(format!("rewind consumer {index}"));
            let group = self.life().readers[index].group.clone();
            if let Err(error) = self.life().readers[index].consumer.rewind() {
                return self.failed(None, &error, &[]);
            }
            for key in self.life().readers[index].plain_positions().into_keys() {
                let cell = Cell::Offset(group.clone(), key.0.clone(), key.1);
                let stands = self.stands(&cell);
                self.life().readers[index].positions.get_mut(&key).expect("assigned").1 = stands;
            }
            return self.check_positions(index);
        }
        let keys: Vec<_> = self.life().readers[index].plain_positions().into_iter().collect();
        let ((topic, partition), _) = keys[self.rng.index(keys.len())].clone();
        let part = self.life().readers[index].positions[&(topic.clone(), partition)].0.clone();
        let engine = self.engine();
        let end = match engine.partition(&topic, partition) {
            Ok(p) => p.bounds().end,
            Err(error) => return self.failed(None, &error, &[]),
        };
        let to = self.rng.below(end + 1);
        self.note(format!("seek consumer {index} to {to} of {part}"));
        match self.life().readers[index].consumer.seek(&TopicPartition::new(topic.clone(), partition), to) {
            Err(error) => self.failed(None, &error, &[]),
            Ok(()) => {
                self.life().readers[index].positions.get_mut(&(topic, partition)).expect("assigned").1 = to;
                self.check_positions(index)
            }
        }
    }

    /// Commits where a consumer stands.
    pub fn commit_consumer(&mut self) -> Check {
        let Some(index) = self.any_reader() else { return self.open_consumer() };
        let bound = self.life().open.iter().any(|o| o.bound.as_ref().is_some_and(|b| b.0 == index));
        if bound {
            return match self.life().readers[index].consumer.commit() {
                Err(error) => self.failed(None, &error, &[ErrorKind::InvalidState]),
                Ok(()) => self.must_fail("a commit beside the bound transaction", ErrorKind::InvalidState),
            };
        }
        let (sets, level) = self.moved(index);
        let level = level.unwrap_or(Durability::Memory);
        let what = format!("commit consumer {index}: {sets:?}");
        self.note(what.clone());
        // A consumer that did not move has nothing to commit and writes nothing.
        let id = (!sets.is_empty()).then(|| self.history.begin(what, vec![], sets));
        match (self.life().readers[index].consumer.commit(), id) {
            (Err(error), id) => self.failed(id, &error, &[]),
            (Ok(()), Some(id)) => self.history.acked(id, level, None, &[]),
            (Ok(()), None) => Ok(()),
        }
    }
}
