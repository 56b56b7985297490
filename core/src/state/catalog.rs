//! Topics and their partitions.

use std::collections::BTreeMap;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::growing::Growing;
use super::names::check_topic_name;
use super::paged::Paged;
use super::topic::{Block, Topic};
use crate::error::{Error, ErrorKind, Result};
use crate::format::control::{PartitionsAdded, TopicCreated};
use crate::format::topic_config::TopicConfig;
use crate::limits::{OFFSET_MAX, PARTITIONS_MAX, TOPIC_PARTITIONS_MAX};
use crate::types::{Durability, Instance, Offset, TopicId, TopicOptions};

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

/// Refuses a batch at a partition's end whose last offset, or the end behind it, would pass the greatest offset.
#[inline]
pub fn check_room(end: Offset, last_offset_delta: i32) -> Result<()> {
    match next_offset(end, last_offset_delta) {
        next if next <= OFFSET_MAX => Ok(()),
        _ => Err(no_room(end)),
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
    /// By instance: the one table that every append goes through. A partition is there from its first record on, so
    /// that a topic is made in one step; what is deleted stays for a while.
    pub(super) partitions: Paged<PartitionState>,
    pub(super) next_instance: Instance,
    /// Partitions of all topics.
    count: usize,
    /// Deleted topics that may have partitions in the table. As long as there are any, nothing in it counts unasked.
    unswept: usize,
    /// Slot of the topic and block by the block's first instance, those of deleted topics for a while too.
    by_instance: BTreeMap<Instance, (u32, Block)>,
    by_name: Growing<Arc<str>, u32>,
    by_id: Growing<TopicId, u32>,
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
        let mut catalog = Catalog { topics, configs, next_instance, count: partitions.count(), ..Catalog::default() };
        for (instance, partition) in partitions.iter() {
            let topic = Arc::make_mut(catalog.topics.get_mut(partition.topic)?);
            let follows = partition.number == topic.partitions && instance < next_instance;
            if !follows || partition.start > partition.end {
                return None;
            }
            topic.grow(instance, 1);
        }
        for (slot, topic) in catalog.topics.iter() {
            let (name, id) = (Arc::clone(&topic.name), topic.id);
            let twice = catalog.by_name.insert(name, slot).is_some() | catalog.by_id.insert(id, slot).is_some();
            if twice || counts.get(&slot) != Some(&topic.partitions) {
                return None;
            }
            let blocks = topic.blocks_from(0).map(|block| (block.first, (slot, block)));
            catalog.by_instance.extend(blocks);
        }
        catalog.partitions = partitions;
        Some(catalog)
    }

    /// The partition of an instance.
    #[inline]
    pub fn partition(&self, instance: Instance) -> Option<PartitionState> {
        if self.unswept == 0
            && let Some(partition) = self.partitions.get(instance)
        {
            return Some(*partition);
        }
        self.look_up(instance)
    }

    /// The offset that a partition's next record gets.
    #[inline]
    pub fn end(&self, instance: Instance) -> Option<Offset> {
        if self.unswept == 0
            && let Some(partition) = self.partitions.get(instance)
        {
            return Some(partition.end);
        }
        self.look_up(instance).map(|partition| partition.end)
    }

    /// A partition by the topic that it belongs to. Instances are never given again, so who has one is its topic.
    #[cold]
    fn look_up(&self, instance: Instance) -> Option<PartitionState> {
        let (_, (slot, block)) = self.by_instance.range(..=instance).next_back()?;
        let number = block.number_of(instance)?;
        let topic = self.topics.get(*slot).filter(|topic| topic.instance(number) == Some(instance));
        let fresh = PartitionState { start: 0, end: 0, topic: *slot, number };
        topic.map(|_| self.partitions.get(instance).copied().unwrap_or(fresh))
    }

    /// The topic of a name.
    pub fn topic(&self, name: &str) -> Option<&Arc<Topic>> {
        self.topics.get(*self.by_name.get(name)?)
    }

    /// The topic of an id.
    pub fn topic_by_id(&self, id: TopicId) -> Option<&Topic> {
        self.topics.get(*self.by_id.get(&id)?).map(|topic| &**topic)
    }

    /// The id of the topic that a partition belongs to.
    pub fn topic_of(&self, instance: Instance) -> Option<TopicId> {
        self.topics.get(self.partition(instance)?.topic).map(|topic| topic.id)
    }

    #[cfg(test)]
    /// The topic that a partition belongs to, and its number there.
    pub fn partition_of(&self, instance: Instance) -> Option<(&Topic, u32)> {
        let partition = self.partition(instance)?;
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
        self.check_more(name, topic.partitions as usize, more)
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
        if self.count + more as usize > PARTITIONS_MAX {
            return limit("the log cannot have so many partitions", PARTITIONS_MAX);
        }
        if self.next_instance.checked_add(more).is_none() {
            return limit("the log's numbers for partitions are used up", u32::MAX as usize);
        }
        Ok(())
    }

    /// Raises a partition's end to behind a batch. One that is unknown, for the frame that made it is lost, counts as
    /// given out: its records would be shown as those of the next partition with that number.
    #[inline]
    pub fn raise_end(&mut self, instance: Instance, base: Offset, last_offset_delta: i32) -> bool {
        let end = next_offset(base, last_offset_delta);
        if self.unswept == 0
            && let Some(partition) = self.partitions.get_mut(instance)
        {
            partition.end = partition.end.max(end);
            return true;
        }
        self.raise_looked_up(instance, end)
    }

    #[cold]
    fn raise_looked_up(&mut self, instance: Instance, end: Offset) -> bool {
        let Some(partition) = self.partition(instance) else {
            self.next_instance = self.next_instance.max(instance.saturating_add(1));
            return false;
        };
        self.partitions.set(instance, PartitionState { end: partition.end.max(end), ..partition });
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
        let topic = Topic::new(Arc::clone(&name), id, created.durability, created.partition_kind);
        let slot = self.topics.insert(Arc::new(topic));
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
        let has = slot.and_then(|slot| self.topics.get(slot)).map_or(0, |topic| topic.partitions as usize);
        let free = self.give_out(added.first_instance, added.count, has);
        let follows = has == added.first_partition as usize;
        if let (true, true, Some(slot)) = (free, follows, slot) {
            self.extend(slot, added.first_instance, added.count);
        }
    }

    /// Counts instances as given out; true if all of them can be used: none was given out before.
    fn give_out(&mut self, first: Instance, count: u32, has: usize) -> bool {
        let Some(next) = first.checked_add(count) else { return false };
        let unused = first >= self.next_instance;
        self.next_instance = self.next_instance.max(next);
        unused && has + count as usize <= TOPIC_PARTITIONS_MAX as usize && self.count + count as usize <= PARTITIONS_MAX
    }

    fn extend(&mut self, slot: u32, first: Instance, count: u32) {
        let topic = self.topics.get_mut(slot).filter(|_| count > 0).map(Arc::make_mut);
        if let Some(topic) = topic {
            let block = topic.grow(first, count);
            self.by_instance.insert(block.first, (slot, block));
            self.count += count as usize;
        }
    }

    /// Forgets a topic, and that its partitions are there; returns it, so that everything of it can be swept up.
    pub fn delete(&mut self, id: TopicId) -> Option<Arc<Topic>> {
        let slot = self.by_id.remove(&id)?;
        self.configs.remove(slot);
        let topic = self.topics.remove(slot)?;
        self.by_name.remove(&topic.name);
        self.count -= topic.partitions as usize;
        self.unswept += 1;
        Some(topic)
    }

    /// Takes at most `most` partitions of a deleted topic's block out of the table; returns how many: fewer if it has
    /// no more, and then it is forgotten itself.
    pub fn sweep(&mut self, block: Block, most: usize) -> usize {
        let pages = self.partitions.pages(block.first);
        let slots = pages.flat_map(|(first, page)| page.entries().map(move |(at, _)| first + at));
        let slots = slots.skip_while(|slot| *slot < block.first).take_while(|slot| *slot <= block.last);
        let gone: Vec<Instance> = slots.take(most).collect();
        gone.iter().for_each(|instance| _ = self.partitions.remove(*instance));
        if gone.len() < most {
            self.by_instance.remove(&block.first);
        }
        gone.len()
    }

    /// Nothing of a deleted topic is left in the table.
    pub fn swept(&mut self) {
        self.unswept -= 1;
    }

    #[cfg(test)]
    /// Number of partitions of all topics.
    pub fn count(&self) -> usize {
        self.count
    }
}
