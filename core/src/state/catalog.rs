//! Topics and their partitions.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::names::check_topic_name;
use super::paged::Paged;
use crate::error::{Error, ErrorKind, Result};
use crate::format::control::{PartitionsAdded, TopicCreated};
use crate::format::topic_config::TopicConfig;
use crate::limits::{OFFSET_MAX, PARTITIONS_MAX, TOPIC_PARTITIONS_MAX};
use crate::types::{Durability, Instance, Offset, TopicId, TopicOptions};

/// A topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// The name.
    pub name: Arc<str>,
    /// The id.
    pub id: TopicId,
    /// The level as its frame has it, see `durability_of`.
    pub durability: u8,
    /// 0 native, 1 mirrored.
    pub partition_kind: u8,
    /// The instance of each partition, by the partition's number.
    pub instances: Vec<Instance>,
}

impl Topic {
    /// The topic's own level, if it has one.
    pub fn durability(&self) -> Option<Durability> {
        durability_of(self.durability)
    }
}

/// The level of a number in a frame.
pub fn durability_of(number: u8) -> Option<Durability> {
    match number {
        1 => Some(Durability::Memory),
        2 => Some(Durability::Os),
        3 => Some(Durability::Disk),
        _ => None,
    }
}

/// The number of a level in a frame.
pub fn durability_number(level: Option<Durability>) -> u8 {
    match level {
        None => 0,
        Some(Durability::Memory) => 1,
        Some(Durability::Os) => 2,
        Some(Durability::Disk) => 3,
    }
}

/// A partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionState {
    /// The first offset that can be read.
    pub start: Offset,
    /// The offset that the next record gets.
    pub end: Offset,
    /// Slot of its topic.
    pub topic: u32,
    /// Its number in the topic.
    pub number: u32,
}

impl PartitionState {
    /// Refuses a batch whose last offset, or the end behind it, would pass the greatest offset.
    #[inline]
    pub fn check_room(&self, last_offset_delta: i32) -> Result<()> {
        match next_offset(self.end, last_offset_delta) {
            next if next <= OFFSET_MAX => Ok(()),
            _ => Err(no_room(self.end)),
        }
    }
}

/// The offset behind a batch. A negative delta, which no valid batch has, counts as one record.
#[inline]
fn next_offset(base: Offset, last_offset_delta: i32) -> Offset {
    base.saturating_add(u64::from(last_offset_delta.max(0).unsigned_abs())).saturating_add(1)
}

#[cold]
fn no_room(end: Offset) -> Error {
    let text = format!("the partition's offsets are used up; go on in another topic, end={end} greatest={OFFSET_MAX}");
    Error::new(ErrorKind::LimitExceeded, text)
}

/// The answer where a partition is not, or no longer, there.
#[cold]
pub fn unknown_instance(instance: Instance) -> Error {
    let text = format!("the partition is gone, its topic was deleted; look the topic up again, instance={instance}");
    Error::new(ErrorKind::UnknownTopicOrPartition, text)
}

/// All topics and partitions, with the look-ups derived from the two tables.
#[derive(Debug, Default)]
pub struct Catalog {
    pub(super) topics: Paged<Arc<Topic>>,
    /// Of topics that have options, by their slot.
    pub(super) configs: Paged<TopicConfig>,
    /// By instance: the one table that every append goes through.
    pub(super) partitions: Paged<PartitionState>,
    pub(super) next_instance: Instance,
    by_name: FxHashMap<Arc<str>, u32>,
    by_id: FxHashMap<TopicId, u32>,
}

impl Catalog {
    /// Takes loaded tables; `None` if they contradict each other. `counts` holds the partitions of each topic, by slot.
    pub(super) fn load(
        topics: Paged<Arc<Topic>>,
        configs: Paged<TopicConfig>,
        partitions: Paged<PartitionState>,
        counts: &FxHashMap<u32, u32>,
        next_instance: Instance,
    ) -> Option<Self> {
        if configs.iter().any(|(slot, _)| topics.get(slot).is_none()) {
            return None;
        }
        let mut catalog = Catalog { topics, configs, partitions, next_instance, ..Catalog::default() };
        let mut numbered: FxHashMap<u32, Vec<(u32, Instance)>> = FxHashMap::default();
        for (instance, partition) in catalog.partitions.iter() {
            if instance >= next_instance || partition.start > partition.end {
                return None;
            }
            numbered.entry(partition.topic).or_default().push((partition.number, instance));
        }
        let slots: Vec<u32> = catalog.topics.iter().map(|(slot, _)| slot).collect();
        for slot in slots {
            let mut partitions = numbered.remove(&slot).unwrap_or_default();
            partitions.sort_unstable();
            let whole = u32::try_from(partitions.len()).is_ok_and(|n| counts.get(&slot) == Some(&n))
                && (0u32..).zip(&partitions).all(|(expected, (number, _))| expected == *number);
            let topic = Arc::make_mut(catalog.topics.get_mut(slot)?);
            topic.instances = partitions.into_iter().map(|(_, instance)| instance).collect();
            let (name, id) = (Arc::clone(&topic.name), topic.id);
            let twice = catalog.by_name.insert(name, slot).is_some() | catalog.by_id.insert(id, slot).is_some();
            if !whole || twice {
                return None;
            }
        }
        numbered.is_empty().then_some(catalog)
    }

    /// The partition of an instance.
    #[inline]
    pub fn partition(&self, instance: Instance) -> Option<&PartitionState> {
        self.partitions.get(instance)
    }

    /// The topic of a name.
    pub fn topic(&self, name: &str) -> Option<&Topic> {
        self.topics.get(*self.by_name.get(name)?).map(|topic| &**topic)
    }

    /// The topic of an id.
    pub fn topic_by_id(&self, id: TopicId) -> Option<&Topic> {
        self.topics.get(*self.by_id.get(&id)?).map(|topic| &**topic)
    }

    #[cfg(test)]
    /// The topic that a partition belongs to, and its number there.
    pub fn partition_of(&self, instance: Instance) -> Option<(&Topic, u32)> {
        let partition = self.partitions.get(instance)?;
        Some((self.topics.get(partition.topic)?, partition.number))
    }

    /// The options of a topic.
    pub fn config(&self, id: TopicId) -> TopicConfig {
        let slot = self.by_id.get(&id);
        slot.and_then(|slot| self.configs.get(*slot)).copied().unwrap_or_default()
    }

    /// Refuses a topic that cannot be created.
    pub fn check_create(&self, name: &str, options: &TopicOptions) -> Result<()> {
        check_topic_name(name)?;
        if self.by_name.contains_key(name) {
            let text = format!("a topic of that name exists; use it or choose another name, name={name}");
            return Err(Error::new(ErrorKind::TopicExists, text));
        }
        self.check_more(name, 0, options.partitions)
    }

    /// Refuses `more` partitions for a topic that cannot have them.
    pub fn check_add(&self, name: &str, more: u32) -> Result<()> {
        check_topic_name(name)?;
        let Some(topic) = self.topic(name) else {
            let text = format!("no such topic; create it first, name={name}");
            return Err(Error::new(ErrorKind::UnknownTopicOrPartition, text));
        };
        self.check_more(name, topic.instances.len(), more)
    }

    fn check_more(&self, name: &str, has: usize, more: u32) -> Result<()> {
        if more == 0 {
            let text = format!("no partition was asked for; ask for at least one, topic={name} partitions=0");
            return Err(Error::new(ErrorKind::InvalidArgument, text));
        }
        let limit = |what: &str, greatest: usize| {
            let text = format!("{what}; ask for fewer, topic={name} has={has} more={more} greatest={greatest}");
            Err(Error::new(ErrorKind::LimitExceeded, text))
        };
        if has + more as usize > TOPIC_PARTITIONS_MAX as usize {
            return limit("a topic cannot have so many partitions", TOPIC_PARTITIONS_MAX as usize);
        }
        if self.partitions.count() + more as usize > PARTITIONS_MAX {
            return limit("the log cannot have so many partitions", PARTITIONS_MAX);
        }
        if self.next_instance.checked_add(more).is_none() {
            return limit("the log's numbers for partitions are used up", u32::MAX as usize);
        }
        Ok(())
    }

    /// Raises a partition's end to behind a batch; nothing for an unknown one.
    #[inline]
    pub fn raise_end(&mut self, instance: Instance, base: Offset, last_offset_delta: i32) -> bool {
        let Some(partition) = self.partitions.get_mut(instance) else { return false };
        partition.end = partition.end.max(next_offset(base, last_offset_delta));
        true
    }

    /// Notes a new topic. A frame that no check would have let through (a name, id or instance that is taken, more
    /// partitions than the limits allow) changes nothing but the numbers given out.
    pub fn create(&mut self, created: &TopicCreated<'_>) {
        let id = TopicId(created.topic);
        let free = self.give_out(created.first_instance, created.partitions, 0);
        if !free || self.by_name.contains_key(created.name) || self.by_id.contains_key(&id) {
            return;
        }
        let name: Arc<str> = created.name.into();
        let slot = self.topics.insert(Arc::new(Topic {
            name: Arc::clone(&name),
            id,
            durability: created.durability,
            partition_kind: created.partition_kind,
            instances: Vec::new(),
        }));
        self.by_name.insert(name, slot);
        self.by_id.insert(id, slot);
        if created.config != TopicConfig::default() {
            self.configs.set(slot, created.config);
        }
        self.extend(slot, created.first_instance, created.partitions);
    }

    /// Notes more partitions of a topic. Where frames before this one are lost, its numbers do not follow: then it is
    /// left out, because a record must never be served under another partition's number.
    pub fn add(&mut self, added: &PartitionsAdded) {
        let slot = self.by_id.get(&TopicId(added.topic)).copied();
        let has = slot.and_then(|slot| self.topics.get(slot)).map_or(0, |topic| topic.instances.len());
        let free = self.give_out(added.first_instance, added.count, has);
        let follows = has == added.first_partition as usize;
        if let (true, true, Some(slot)) = (free, follows, slot) {
            self.extend(slot, added.first_instance, added.count);
        }
    }

    /// Counts instances as given out; true if all of them can be used.
    fn give_out(&mut self, first: Instance, count: u32, has: usize) -> bool {
        let Some(next) = first.checked_add(count) else { return false };
        self.next_instance = self.next_instance.max(next);
        has + count as usize <= TOPIC_PARTITIONS_MAX as usize
            && self.partitions.count() + count as usize <= PARTITIONS_MAX
            && (first..next).all(|instance| self.partitions.get(instance).is_none())
    }

    fn extend(&mut self, slot: u32, first: Instance, count: u32) {
        let Some(topic) = self.topics.get_mut(slot).map(Arc::make_mut) else { return };
        let numbers = (0u32..).skip(topic.instances.len());
        for (instance, number) in (first..first.saturating_add(count)).zip(numbers) {
            topic.instances.push(instance);
            self.partitions.set(instance, PartitionState { start: 0, end: 0, topic: slot, number });
        }
    }

    /// Forgets a topic and its partitions; returns it, so that the other tables can follow.
    pub fn delete(&mut self, id: TopicId) -> Option<Arc<Topic>> {
        let slot = self.by_id.remove(&id)?;
        self.configs.remove(slot);
        let topic = self.topics.remove(slot)?;
        self.by_name.remove(&topic.name);
        for instance in &topic.instances {
            self.partitions.remove(*instance);
        }
        Some(topic)
    }
}
