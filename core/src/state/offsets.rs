//! Committed offsets, by group, topic id and partition.

use std::collections::BTreeMap;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::paged::Paged;
use super::{State, check_name};
use crate::error::{Error, ErrorKind, Result};
use crate::format::control::OffsetEntry;
use crate::io::bugs::{Bug, planted};
use crate::limits::{OFFSET_MAX, OFFSET_METADATA_MAX};
use crate::types::{Lsn, Offset, OffsetAndMetadata, Offsets, TopicId, TopicPartition};

impl State {
    /// Refuses offsets that cannot be committed: the group's name, unknown partitions, values past their bounds.
    pub fn check_commit(&self, group: &str, offsets: &Offsets) -> Result<()> {
        check_name("group", group)?;
        offsets.iter().try_for_each(|(partition, value)| self.check_offset(group, partition, value))
    }

    /// The same for one of them, without the name.
    pub fn check_offset(&self, group: &str, partition: &TopicPartition, value: &OffsetAndMetadata) -> Result<()> {
        let topic = self.catalog.topic(&partition.topic);
        if topic.is_none_or(|topic| partition.partition >= topic.partitions) {
            let text = format!("no such partition; commit what was assigned, group={group} partition={partition}");
            return Err(Error::new(ErrorKind::UnknownTopicOrPartition, text));
        }
        check_value(value)
    }
}

/// A position that a group committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedOffset {
    /// The group.
    pub group: Arc<str>,
    /// The topic's id: a topic created again under the same name inherits nothing.
    pub topic: TopicId,
    /// The partition's number in the topic.
    pub partition: u32,
    /// The offset to read next.
    pub offset: Offset,
    /// Leader epoch of the last record read; -1 for none.
    pub leader_epoch: i32,
    /// The caller's text.
    pub metadata: Arc<str>,
    /// The frame that committed it.
    pub lsn: Lsn,
    /// The frame that sent it: an earlier one if it was pending in a transaction.
    pub sent_lsn: Lsn,
}

impl CommittedOffset {
    /// The words of the public API.
    pub fn value(&self) -> OffsetAndMetadata {
        let metadata = self.metadata.as_ref().to_owned();
        OffsetAndMetadata { offset: self.offset, leader_epoch: self.leader_epoch, metadata }
    }
}

/// Refuses a position that cannot be stored. That the offset exists is not asked, as in Kafka.
pub fn check_value(value: &OffsetAndMetadata) -> Result<()> {
    if value.offset > OFFSET_MAX {
        let text =
            format!("an offset is at most {OFFSET_MAX}; commit the offset to read next, offset={}", value.offset);
        return Err(Error::new(ErrorKind::InvalidArgument, text));
    }
    // Kafka counts the characters of a Java string. A text of so many bytes has no more of them.
    let size = if value.metadata.len() > OFFSET_METADATA_MAX { value.metadata.encode_utf16().count() } else { 0 };
    if size > OFFSET_METADATA_MAX {
        let text = format!(
            "the text stored with an offset is too long; shorten it, characters={size} greatest={OFFSET_METADATA_MAX}"
        );
        return Err(Error::new(ErrorKind::LimitExceeded, text));
    }
    Ok(())
}

type Partitions = BTreeMap<(TopicId, u32), u32>;

/// All committed offsets, with the look-ups derived from the table. A group is there as long as it has an offset.
#[derive(Debug, Default)]
pub struct CommittedOffsets {
    pub(super) table: Paged<CommittedOffset>,
    by_group: BTreeMap<Arc<str>, Partitions>,
    /// Slots of each topic's entries. They go together, when the topic is deleted, and never one by one.
    by_topic: FxHashMap<TopicId, Vec<u32>>,
}

impl CommittedOffsets {
    /// Takes a loaded table; `None` if an entry is there twice.
    pub(super) fn load(mut table: Paged<CommittedOffset>) -> Option<Self> {
        let mut offsets = CommittedOffsets::default();
        let slots: Vec<u32> = table.iter().map(|(slot, _)| slot).collect();
        for slot in slots {
            let entry = table.get_mut(slot)?;
            entry.group = offsets.shared_name(&entry.group);
            if !offsets.index(slot, &entry.group, entry.topic, entry.partition) {
                return None;
            }
        }
        offsets.table = table;
        Some(offsets)
    }

    /// One allocation for a group's name, however many entries carry it.
    fn shared_name(&self, group: &str) -> Arc<str> {
        self.by_group.get_key_value(group).map_or_else(|| group.into(), |(group, _)| Arc::clone(group))
    }

    /// True if the key was free.
    fn index(&mut self, slot: u32, group: &Arc<str>, topic: TopicId, partition: u32) -> bool {
        self.by_topic.entry(topic).or_default().push(slot);
        let partitions = self.by_group.entry(Arc::clone(group)).or_default();
        partitions.insert((topic, partition), slot).is_none()
    }

    /// What a group committed for a partition.
    pub fn get(&self, group: &str, topic: TopicId, partition: u32) -> Option<&CommittedOffset> {
        self.table.get(*self.by_group.get(group)?.get(&(topic, partition))?)
    }

    #[cfg(test)]
    /// The groups that committed something, in the order of their names.
    pub fn groups(&self) -> impl Iterator<Item = &str> {
        self.by_group.keys().map(|group| &**group)
    }

    #[cfg(test)]
    /// All that a group committed, in the order of topic ids and partitions; empty for an unknown group.
    pub fn of_group(&self, group: &str) -> impl Iterator<Item = &CommittedOffset> {
        let partitions = self.by_group.get(group).into_iter().flatten();
        partitions.filter_map(|(_, slot)| self.table.get(*slot))
    }

    /// Notes a committed position. One that is there already is changed in place, without an allocation if its text
    /// stays.
    pub fn install(&mut self, lsn: Lsn, entry: &OffsetEntry<'_>) {
        self.put(lsn, lsn, entry);
    }

    /// Notes a position that was pending since frame `sent`, unless one was sent later that is committed already.
    pub fn install_pending(&mut self, lsn: Lsn, sent: Lsn, entry: &OffsetEntry<'_>) {
        let known = self.get(entry.group, TopicId(entry.topic), entry.partition);
        if known.is_none_or(|known| known.sent_lsn < sent) || planted(Bug::PendingOverLater) {
            self.put(lsn, sent, entry);
        }
    }

    fn put(&mut self, lsn: Lsn, sent: Lsn, entry: &OffsetEntry<'_>) {
        let key = (TopicId(entry.topic), entry.partition);
        let slot = self.by_group.get(entry.group).and_then(|partitions| partitions.get(&key));
        let Some(committed) = slot.and_then(|slot| self.table.get_mut(*slot)) else {
            return self.install_new(lsn, sent, entry);
        };
        (committed.offset, committed.leader_epoch) = (entry.offset, entry.leader_epoch);
        (committed.lsn, committed.sent_lsn) = (lsn, sent);
        if *committed.metadata != *entry.metadata {
            committed.metadata = entry.metadata.into();
        }
    }

    fn install_new(&mut self, lsn: Lsn, sent_lsn: Lsn, entry: &OffsetEntry<'_>) {
        let group = self.shared_name(entry.group);
        let topic = TopicId(entry.topic);
        let slot = self.table.insert(CommittedOffset {
            group: Arc::clone(&group),
            topic,
            partition: entry.partition,
            offset: entry.offset,
            leader_epoch: entry.leader_epoch,
            metadata: entry.metadata.into(),
            lsn,
            sent_lsn,
        });
        self.index(slot, &group, topic, entry.partition);
    }

    /// Gives up the slots of what all groups committed for a topic that is gone: each is to be removed.
    pub fn take_topic(&mut self, topic: TopicId) -> Vec<u32> {
        self.by_topic.remove(&topic).unwrap_or_default()
    }

    /// Forgets what was committed, and a group that had nothing else.
    pub fn remove(&mut self, slot: u32) {
        let Some(entry) = self.table.remove(slot) else { return };
        let Some(partitions) = self.by_group.get_mut(&entry.group) else { return };
        partitions.remove(&(entry.topic, entry.partition));
        if partitions.is_empty() {
            self.by_group.remove(&entry.group);
        }
    }
}
