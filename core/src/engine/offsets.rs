//! Committed offsets, plain and as part of a transaction.

use std::collections::BTreeMap;

use super::Inner;
use crate::error::{Error, ErrorKind, Result};
use crate::format::control::{OffsetEntry, OffsetsBlock};
use crate::format::frame::{self, Kind, Payload};
use crate::io::bugs::{Bug, planted};
use crate::journal::{Claim, Draft, Promise};
use crate::state::State;
use crate::types::{Durability, GroupMetadata, OffsetAndMetadata, Offsets, TopicId, TopicPartition};

/// The topics that offsets were given for, by name: one that is made again since has another id.
pub type Named = BTreeMap<String, TopicId>;

/// Offsets with their topics' ids, encoded.
pub struct Resolved {
    pub block: Vec<u8>,
    /// The strongest level of the topics named, if there are any.
    pub level: Option<Durability>,
    ids: Vec<(String, TopicId)>,
}

impl Resolved {
    /// Under the lock: the partitions are still those that were resolved.
    pub fn check(&self, state: &State, offsets: &[(GroupMetadata, Offsets)]) -> Result<()> {
        for (group, offsets) in offsets {
            state.check_commit(&group.group, offsets)?;
        }
        for (name, id) in &self.ids {
            if state.topic(name).is_none_or(|topic| topic.id != *id) {
                return Err(deleted_meanwhile(name));
            }
        }
        Ok(())
    }
}

impl Inner {
    /// Looks up the topics' ids and encodes, before any lock. Refuses a topic that is not the one of `named` any more.
    pub(super) fn resolve(&self, offsets: &[(GroupMetadata, Offsets)], named: &Named) -> Result<Resolved> {
        let mut resolved = Resolved { block: Vec::new(), level: None, ids: Vec::new() };
        if offsets.iter().all(|(_, offsets)| offsets.is_empty()) {
            return Ok(resolved);
        }
        let mut groups = Vec::with_capacity(offsets.len());
        for (group, offsets) in offsets {
            let mut entries = Vec::with_capacity(offsets.len());
            for (tp, value) in offsets {
                let topic = self.topic(&tp.topic)?;
                if named.get(&tp.topic).is_some_and(|id| *id != topic.id) {
                    return Err(deleted_meanwhile(&tp.topic));
                }
                resolved.level = resolved.level.max(topic.durability.or(Some(self.hub.level)));
                if resolved.ids.last().is_none_or(|(name, _)| *name != tp.topic) {
                    resolved.ids.push((tp.topic.clone(), topic.id));
                }
                entries.push(entry(&group.group, topic.id, tp, value)?);
            }
            crate::state::check_name("group", &group.group)?;
            groups.push((group.group.as_str(), entries));
        }
        OffsetsBlock::write(&mut resolved.block, self.machine.clock.wall_ms(), &groups);
        Ok(resolved)
    }

    /// Refuses offsets that a commit would refuse: the group's name, unknown partitions, values past their bounds, a
    /// topic that is not the one of `named` any more. Answers the topics that are not among those.
    pub fn check_offsets(&self, group: &str, offsets: &Offsets, named: &Named) -> Result<Vec<(String, TopicId)>> {
        self.check_open()?;
        self.journal.look(|state, _| {
            state.check_commit(group, offsets)?;
            let (mut new, mut last) = (Vec::new(), None);
            for TopicPartition { topic: name, .. } in offsets.keys() {
                // A topic's partitions lie side by side.
                if last.replace(name) == Some(name) {
                    continue;
                }
                let Some(topic) = state.topic(name) else { continue };
                match named.get(name) {
                    Some(id) if *id != topic.id => return Err(deleted_meanwhile(name)),
                    Some(_) => {}
                    None => new.push((name.clone(), topic.id)),
                }
            }
            Ok(new)
        })
    }

    /// Commits offsets of one group, all or none. Not tied to any records.
    pub fn commit_offsets(&self, group: &str, offsets: &Offsets) -> Result<Promise<()>> {
        self.check_writable()?;
        let whole = [(GroupMetadata { group: group.to_owned() }, offsets.clone())];
        crate::state::check_name("group", group)?;
        let resolved = self.resolve(&whole, &Named::new())?;
        let level = resolved.level.map_or(self.settings.durability, |topics| topics.max(self.settings.durability));
        let mut bytes = Vec::with_capacity(64 + resolved.block.len());
        frame::encode(&mut bytes, Kind::Offsets, 0, &[], &resolved.block);
        let mut guard = self.journal.enter_for(bytes.len(), Claim::Decision, true)?;
        if let Err(error) = resolved.check(guard.state(), &whole) {
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
        let mut committed = Vec::with_capacity(names.len());
        let depends_on = self.journal.look(|state, last| {
            let mut depends_on = 0;
            for (name, id) in names.iter().zip(ids) {
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
