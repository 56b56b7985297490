//! Topics: creating, deleting, growing, listing. Each change is a frame, durable before the call returns.

use super::Inner;
use super::hub::Hub;
use crate::error::{Error, ErrorKind, Result};
use crate::format::control::{PartitionsAdded, TopicCreated, TopicDeleted};
use crate::format::frame::{self, Kind, Payload};
use crate::journal::{Draft, Guard};
use crate::state::durability_number;
use crate::types::{Durability, Lsn, TopicInfo, TopicOptions};

impl Inner {
    /// Creates a topic.
    pub fn create_topic(&self, name: &str, options: &TopicOptions) -> Result<()> {
        self.check_writable()?;
        crate::state::check_topic_name(name)?;
        let mut topic = [0; 16];
        self.machine.random.fill(&mut topic);
        let (mut head, mut body) = (Vec::new(), Vec::new());
        let mut created = TopicCreated {
            topic,
            first_instance: 0,
            partitions: options.partitions,
            durability: durability_number(options.durability),
            partition_kind: 0,
            name,
        };
        let room = 128 + name.len();
        let mut guard = self.journal.enter(room)?;
        if let Err(error) = guard.state().check_create_topic(name, options) {
            let answer = self.refuse(guard, error);
            // Who hears that it exists may use it, even if its maker is not back yet.
            self.adopt(name);
            return answer;
        }
        created.first_instance = guard.state().next_instance();
        created.write(&mut head, &mut body);
        let lsn = place(&mut guard, Kind::TopicCreated, &head, &body, &Payload::TopicCreated(created));
        drop(guard);
        self.journal.reach(lsn, Durability::Disk, None)?;
        self.adopt(name);
        Ok(())
    }

    /// Deletes a topic, its records and everything committed for it.
    pub fn delete_topic(&self, name: &str) -> Result<()> {
        self.check_writable()?;
        let mut guard = self.journal.enter(128)?;
        let Some((id, instances)) = guard.state().topic(name).map(|t| (t.id, t.instances.clone())) else {
            return self.refuse(guard, unknown(name));
        };
        let deleted = TopicDeleted { topic: id.0 };
        let mut head = Vec::new();
        deleted.write(&mut head);
        let lsn = place(&mut guard, Kind::TopicDeleted, &head, &[], &Payload::TopicDeleted(deleted));
        drop(guard);
        self.journal.reach(lsn, Durability::Disk, None)?;
        self.hub.remove(name, id, &instances);
        Ok(())
    }

    /// Raises a topic's number of partitions to `total`. Keys may move to other partitions from then on.
    pub fn add_partitions(&self, name: &str, total: u32) -> Result<()> {
        self.check_writable()?;
        let mut guard = self.journal.enter(128)?;
        let found = guard.state().topic(name).map(|t| (t.id, t.instances.len() as u32));
        let checked = match found {
            None => Err(unknown(name)),
            Some((_, have)) if total <= have => Err(Error::new(
                ErrorKind::InvalidArgument,
                format!(
                    "a topic's partitions only grow; ask for more than it has, topic={name:?} has={have} asked={total}"
                ),
            )),
            Some((id, have)) => guard.state().check_add_partitions(name, total - have).map(|()| (id, have)),
        };
        let (id, have) = match checked {
            Ok(found) => found,
            Err(error) => {
                return self.refuse(guard, error);
            }
        };
        let first_instance = guard.state().next_instance();
        let added =
            PartitionsAdded { topic: id.0, first_instance, count: total - have, first_partition: have, reserved: 0 };
        let mut head = Vec::new();
        added.write(&mut head);
        let lsn = place(&mut guard, Kind::PartitionsAdded, &head, &[], &Payload::PartitionsAdded(added));
        drop(guard);
        self.journal.reach(lsn, Durability::Disk, None)?;
        self.adopt(name);
        Ok(())
    }

    /// Lets readers and appenders see what the state says of a topic.
    fn adopt(&self, name: &str) {
        self.journal.look(|state, _| {
            if let Some(topic) = state.topic(name) {
                self.hub.adopt(topic, state);
            }
        });
    }

    /// All topics, by name.
    pub fn topics(&self) -> Result<Vec<TopicInfo>> {
        self.check_open()?;
        let info = |t: &super::TopicHandle| TopicInfo {
            name: t.name.to_string(),
            id: t.id,
            partitions: t.partitions.len() as u32,
            durability: t.durability,
        };
        Ok(self.hub.topics().iter().map(|t| info(t)).collect())
    }
}

/// Places a frame that only speaks to the state, and folds it.
pub(super) fn place(guard: &mut Guard<'_, Hub>, kind: Kind, head: &[u8], body: &[u8], payload: &Payload<'_>) -> Lsn {
    let mut bytes = Vec::with_capacity(128 + body.len());
    frame::encode(&mut bytes, kind, 0, head, body);
    let placed = guard.place(Draft::Copied(&bytes), Durability::Disk, |_| (), |_, _| ());
    guard.state().apply(placed.lsn, payload);
    placed.lsn
}

fn unknown(name: &str) -> Error {
    let message = format!("no such topic; create it with create_topic, or see topics(), topic={name:?}");
    Error::new(ErrorKind::UnknownTopicOrPartition, message)
}
