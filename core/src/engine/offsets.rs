//! Committed offsets, plain and as part of a transaction.

use std::collections::BTreeMap;

use super::Inner;
use crate::error::{Error, ErrorKind, Result};
use crate::format::control::{OffsetEntry, OffsetsBlock};
use crate::format::frame::{self, Kind, Payload};
use crate::io::bugs::{Bug, planted};
use crate::journal::{Claim, Draft, Entry, Promise};
use crate::limits::ENTRIES_PER_HOLD;
use crate::state::State;
use crate::types::{Durability, GroupMetadata, OffsetAndMetadata, Offsets, TopicId, TopicPartition};

/// Offsets of groups, to be committed together, and the topics that they were given for.
#[derive(Default)]
pub struct GivenOffsets {
    groups: Vec<(GroupMetadata, Offsets)>,
    topics: TopicIds,
}

/// Topics by name: one that is made again has another id. A name that is not in it stands for whatever has it.
pub type TopicIds = BTreeMap<String, TopicId>;

impl GivenOffsets {
    /// None.
    pub const NONE: &'static Self = &Self { groups: Vec::new(), topics: BTreeMap::new() };

    /// Those of one group.
    pub fn of(group: &str, offsets: Offsets, topics: TopicIds) -> Self {
        Self { groups: vec![(GroupMetadata { group: group.to_owned() }, offsets)], topics }
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.groups.iter().all(|(_, offsets)| offsets.is_empty())
    }

    /// Those of a group.
    pub fn of_group(&self, group: &GroupMetadata) -> Option<&Offsets> {
        self.groups.iter().find(|(known, _)| known == group).map(|(_, offsets)| offsets)
    }

    /// Adds what takes the place of what was given for the same partitions before. Refuses a topic that is not the one
    /// that it was given for then: nothing happened.
    pub fn add(&mut self, group: &GroupMetadata, offsets: &Offsets, topics: TopicIds) -> Result<()> {
        for (name, id) in &topics {
            self.check_topic(name, *id)?;
        }
        self.topics.extend(topics);
        match self.groups.iter_mut().find(|(known, _)| known == group) {
            Some((_, known)) => known.extend(offsets.iter().map(|(name, at)| (name.clone(), at.clone()))),
            None => self.groups.push((group.clone(), offsets.clone())),
        }
        Ok(())
    }

    /// Refuses a topic that has the name of one that offsets were given for, and is another. False: none were.
    fn check_topic(&self, name: &str, id: TopicId) -> Result<bool> {
        match self.topics.get(name) {
            Some(known) if *known != id => Err(deleted_meanwhile(name)),
            known => Ok(known.is_some()),
        }
    }
}

/// Offsets with their topics' ids, encoded.
pub struct Resolved {
    pub block: Vec<u8>,
    /// The strongest level of the topics named, if there are any.
    pub level: Option<Durability>,
    ids: Vec<(String, TopicId)>,
}

impl Resolved {
    /// Under the lock: the partitions are still those that were resolved.
    pub fn check(&self, state: &State, given: &GivenOffsets) -> Result<()> {
        for (group, offsets) in &given.groups {
            state.check_commit(&group.group, offsets)?;
        }
        self.ids.iter().try_for_each(|(name, id)| check_id(state, name, *id))
    }
}

/// Refuses a topic that is deleted already, if that is not shown yet, and one that was made again.
fn check_id(state: &State, name: &str, id: TopicId) -> Result<()> {
    match state.topic(name) {
        Some(topic) if topic.id == id => Ok(()),
        _ => Err(deleted_meanwhile(name)),
    }
}

impl Inner {
    /// Looks up the topics' ids and encodes, before any lock. Refuses a topic that is not the one they were given for.
    pub(super) fn resolve(&self, given: &GivenOffsets) -> Result<Resolved> {
        let mut resolved = Resolved { block: Vec::new(), level: None, ids: Vec::new() };
        if given.is_empty() {
            return Ok(resolved);
        }
        let mut groups = Vec::with_capacity(given.groups.len());
        for (group, offsets) in &given.groups {
            let mut entries = Vec::with_capacity(offsets.len());
            let mut last: Option<(&String, TopicId)> = None;
            for (tp, value) in offsets {
                // A topic's partitions lie side by side.
                let id = match last {
                    Some((name, id)) if *name == tp.topic => id,
                    _ => self.resolve_topic(&tp.topic, given, &mut resolved)?,
                };
                last = Some((&tp.topic, id));
                entries.push(entry(&group.group, id, tp, value)?);
            }
            crate::state::check_name("group", &group.group)?;
            groups.push((group.group.as_str(), entries));
        }
        OffsetsBlock::write(&mut resolved.block, self.machine.clock.wall_ms(), &groups);
        Ok(resolved)
    }

    fn resolve_topic(&self, name: &str, given: &GivenOffsets, resolved: &mut Resolved) -> Result<TopicId> {
        let topic = self.topic(name)?;
        given.check_topic(name, topic.id)?;
        resolved.level = resolved.level.max(topic.durability.or(Some(self.hub.level)));
        resolved.ids.push((name.to_owned(), topic.id));
        Ok(topic.id)
    }

    /// Refuses offsets that a commit would refuse: the group's name, unknown partitions, values past their bounds, a
    /// topic that is not the one that others were given for. Answers the topics that none were given for.
    pub fn check_offsets(&self, group: &str, offsets: &Offsets, given: &GivenOffsets) -> Result<TopicIds> {
        self.check_open()?;
        crate::state::check_name("group", group)?;
        let (mut new, mut ids) = (TopicIds::new(), Vec::<(&String, TopicId)>::new());
        // A topic's partitions lie side by side.
        for name in offsets.keys().map(|at| &at.topic) {
            if ids.last().is_some_and(|(last, _)| *last == name) {
                continue;
            }
            // The topic is the one that readers see.
            let id = self.topic(name)?.id;
            if !given.check_topic(name, id)? {
                new.insert(name.clone(), id);
            }
            ids.push((name, id));
        }
        let mut left = offsets.iter().peekable();
        while left.peek().is_some() {
            let mut some = left.by_ref().take(ENTRIES_PER_HOLD);
            self.journal.look(|state, _| some.try_for_each(|(at, value)| state.check_offset(group, at, value)))?;
        }
        for some in ids.chunks(ENTRIES_PER_HOLD) {
            self.journal.look(|state, _| some.iter().try_for_each(|(name, id)| check_id(state, name, *id)))?;
        }
        Ok(new)
    }

    /// Commits offsets of one group, all or none. Not tied to any records.
    pub fn commit_offsets(&self, group: &str, offsets: &Offsets, topics: TopicIds) -> Result<Promise<()>> {
        self.check_writable()?;
        let given = GivenOffsets::of(group, offsets.clone(), topics);
        crate::state::check_name("group", group)?;
        let resolved = self.resolve(&given)?;
        let level = resolved.level.map_or(self.settings.durability, |topics| topics.max(self.settings.durability));
        let mut bytes = Vec::with_capacity(64 + resolved.block.len());
        frame::encode(&mut bytes, Kind::Offsets, 0, &[], &resolved.block);
        let mut guard = self.journal.enter_for(bytes.len(), Claim::Decision, Entry::Waits)?;
        if let Err(error) = resolved.check(guard.state(), &given) {
            return Ok(self.refusal(guard, error));
        }
        let placed = guard.place(Draft::Copied(&bytes), level, |_| (), |_, _| ());
        if let Some(block) = OffsetsBlock::read(&resolved.block) {
            guard.state().apply(placed.lsn, &Payload::Offsets(block));
        }
        drop(guard);
        Ok(Promise { lsn: placed.lsn, level, answer: Ok(()) })
    }

    /// What a group committed for these partitions, all at one moment, to be told once that is durable; those for which
    /// it committed nothing are left out. `stable`: refused while an open transaction will commit another offset.
    pub fn committed(&self, group: &str, names: &[TopicPartition], stable: bool) -> Result<Promise<Offsets>> {
        let ids: Vec<TopicId> = names.iter().map(|name| self.committed_in(name)).collect::<Result<_>>()?;
        self.committed_of(group, names, &ids, stable)
    }

    /// The same in topics of these ids, whatever has their names.
    pub fn committed_of(
        &self,
        group: &str,
        names: &[TopicPartition],
        ids: &[TopicId],
        stable: bool,
    ) -> Result<Promise<Offsets>> {
        let mut committed = Vec::with_capacity(names.len());
        let depends_on = self.journal.look(|state, last| {
            let mut depends_on = 0;
            for (name, id) in names.iter().zip(ids.iter().copied()) {
                let pending = stable && state.is_pending(group, id, name.partition);
                if pending && !planted(Bug::PendingNotWaitedFor) {
                    return Err(unstable(group, name));
                }
                let entry = state.committed(group, id, name.partition);
                // "Nothing yet" depends on what may have removed it, so on everything noted.
                depends_on = depends_on.max(entry.map_or(last, |entry| entry.lsn));
                committed.push(entry.cloned());
            }
            Ok(depends_on)
        })?;
        // Without the lock, for what is copied here is as much as the caller asks for.
        let found = names.iter().zip(&committed);
        let found: Offsets = found.filter_map(|(name, entry)| Some((name.clone(), entry.as_ref()?.value()))).collect();
        // Opened for reading, there is nobody who flushes.
        Ok(if self.refused.is_some() { Promise::kept(found) } else { Promise::durable(depends_on, found) })
    }

    /// The id of the topic of a partition that is there.
    fn committed_in(&self, name: &TopicPartition) -> Result<TopicId> {
        let topic = self.topic(&name.topic)?;
        if name.partition as usize >= topic.partitions.len() {
            let message = format!("no such partition; the topic has {}, partition={name}", topic.partitions.len());
            return Err(Error::new(ErrorKind::UnknownTopicOrPartition, message));
        }
        Ok(topic.id)
    }
}

#[cold]
fn deleted_meanwhile(topic: &str) -> Error {
    let message = format!("the topic was deleted meanwhile; look it up again, topic={topic:?}");
    Error::new(ErrorKind::UnknownTopicOrPartition, message)
}

fn unstable(group: &str, name: &TopicPartition) -> Error {
    let text = "an open transaction will commit another offset; try again when it is decided";
    Error::new(ErrorKind::UnstableOffsets, format!("{text}, group={group} partition={name}"))
}

fn entry<'a>(
    group: &'a str,
    id: TopicId,
    tp: &TopicPartition,
    value: &'a OffsetAndMetadata,
) -> Result<OffsetEntry<'a>> {
    crate::state::check_offset(value)?;
    Ok(OffsetEntry {
        group,
        topic: id.0,
        partition: tp.partition,
        offset: value.offset,
        leader_epoch: value.leader_epoch,
        metadata: &value.metadata,
    })
}
