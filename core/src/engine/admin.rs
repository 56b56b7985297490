//! Topics: creating, deleting, growing, listing. Each change is a frame, durable before its ticket is done.

use std::sync::Arc;

use super::Inner;
use super::hub::Hub;
use crate::error::{Error, ErrorKind, Result};
use crate::format::control::{PartitionsAdded, TopicCreated, TopicDeleted};
use crate::format::frame::{self, Kind, Payload};
use crate::format::topic_config::TopicConfig;
use crate::journal::{Call, Claim, Draft, Entry, Guard, Journal, Ticket, Waits};
use crate::state::{Topic, durability_number, shown};
use crate::types::{Durability, Lsn, TopicId, TopicInfo, TopicOptions};

impl Inner {
    /// Creates a topic.
    pub fn create_topic(&self, name: &str, options: &TopicOptions) -> Result<Ticket<()>> {
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
            config: TopicConfig { timestamp_type: options.timestamp_type },
        };
        let room = 256 + name.len();
        let mut guard = self.journal.enter(room)?;
        if let Err(error) = guard.state().check_create_topic(name, options) {
            let there = guard.state().topic(name).map(|topic| topic.id);
            let refusal = self.refusal(guard, error);
            return Ok(match there {
                // Who hears that it exists may use it, even if its maker is not back yet.
                Some(id) => Ticket::answer(
                    self.shown(Change::Here(name.into(), id)),
                    refusal.lsn,
                    refusal.level,
                    refusal.answer,
                ),
                None => refusal.ticket(self),
            });
        }
        created.first_instance = guard.state().next_instance();
        created.write(&mut head, &mut body);
        let lsn = place(&mut guard, Kind::TopicCreated, &head, &body, &Payload::TopicCreated(created));
        drop(guard);
        Ok(self.changed(lsn, Change::Here(name.into(), TopicId(topic))))
    }

    /// Deletes a topic, its records and everything committed for it.
    pub fn delete_topic(&self, name: &str) -> Result<Ticket<()>> {
        self.check_writable()?;
        let mut guard = loop {
            self.journal.sweep();
            let mut guard = self.journal.enter_for(128, Claim::Decision, Entry::Waits)?;
            // At most one deleted topic is not swept up: what is left of it is about as much as the limits allow once.
            if guard.state().is_swept() {
                break guard;
            }
        };
        let Some(topic) = guard.state().topic(name).cloned() else {
            return Ok(self.refusal(guard, unknown(name)).ticket(self));
        };
        let deleted = TopicDeleted { topic: topic.id.0 };
        let mut head = Vec::new();
        deleted.write(&mut head);
        let lsn = place(&mut guard, Kind::TopicDeleted, &head, &[], &Payload::TopicDeleted(deleted));
        drop(guard);
        Ok(self.changed(lsn, Change::Gone(topic)))
    }

    /// Raises a topic's number of partitions to `total`. Keys may move to other partitions from then on.
    pub fn add_partitions(&self, name: &str, total: u32) -> Result<Ticket<()>> {
        self.check_writable()?;
        let mut guard = self.journal.enter(128)?;
        let found = guard.state().topic(name).map(|t| (t.id, t.partitions));
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
            Err(error) => return Ok(self.refusal(guard, error).ticket(self)),
        };
        let first_instance = guard.state().next_instance();
        let added =
            PartitionsAdded { topic: id.0, first_instance, count: total - have, first_partition: have, reserved: 0 };
        let mut head = Vec::new();
        added.write(&mut head);
        let lsn = place(&mut guard, Kind::PartitionsAdded, &head, &[], &Payload::PartitionsAdded(added));
        drop(guard);
        Ok(self.changed(lsn, Change::Here(name.into(), id)))
    }

    /// A change has its place: readers and appenders see it when it is durable, whatever becomes of the ticket.
    fn changed(&self, lsn: Lsn, change: Change) -> Ticket<()> {
        let shown = self.shown(change);
        shown.enlist(lsn, Durability::Disk, Box::new(|_| ()));
        shown.attend();
        Ticket::placed(shown, lsn, Durability::Disk, ())
    }

    fn shown(&self, change: Change) -> Arc<Shown> {
        Arc::new(Shown(Arc::new(Showing { journal: self.journal.clone(), hub: self.hub.clone(), change })))
    }

    /// All topics, by name.
    pub fn topics(&self) -> Result<Vec<TopicInfo>> {
        self.check_open()?;
        let info = |t: &super::TopicHandle| TopicInfo {
            name: t.name.to_string(),
            id: t.id,
            partitions: t.partitions.len() as u32,
            durability: t.durability,
            timestamp_type: t.timestamp_type,
        };
        Ok(self.hub.topics().iter().map(|t| info(t)).collect())
    }
}

/// What a change of a topic lets readers and appenders see.
enum Change {
    /// The topic with all its partitions.
    Here(Box<str>, TopicId),
    /// It is there no more.
    Gone(Arc<Topic>),
}

struct Showing {
    journal: Arc<Journal<Hub>>,
    hub: Arc<Hub>,
    change: Change,
}

impl Showing {
    /// Shows it; again does nothing.
    fn show(&self) {
        match &self.change {
            Change::Here(name, id) => {
                let mut partitions = Vec::new();
                let mut adopt = || {
                    self.journal.look(|state, _| match state.topic(name).filter(|topic| topic.id == *id) {
                        Some(topic) => self.hub.adopt(topic, state, &mut partitions),
                        // The name may be gone by now, or another topic's, whose maker waits for itself. Who deleted it
                        // lets go of what is taken in here: its deletion came behind that.
                        None => true,
                    })
                };
                while !adopt() {}
            }
            Change::Gone(topic) => {
                self.hub.remove(topic);
                self.journal.sweep();
            }
        }
    }
}

/// Waits as the journal does, and shows a change before anybody hears that it is durable.
struct Shown(Arc<Showing>);

impl Shown {
    fn journal(&self) -> &Journal<Hub> {
        &self.0.journal
    }
}

impl Waits for Shown {
    fn wait(&self, lsn: Lsn, level: Durability, deadline: Option<u64>) -> Result<bool> {
        let reached = self.journal().reach(lsn, level, deadline)?;
        if reached {
            self.0.show();
        }
        Ok(reached)
    }
    fn reached(&self, lsn: Lsn, level: Durability) -> Option<Result<()>> {
        let reached = self.journal().reached(lsn, level)?;
        // A lock of the parent's may be held for ever in a forked child.
        Some(reached.and_then(|()| self.journal().check_process()).map(|()| self.0.show()))
    }
    fn enlist(&self, lsn: Lsn, level: Durability, call: Call) {
        let showing = self.0.clone();
        let show_first = move |reached: Result<()>| call(reached.map(|()| showing.show()));
        self.journal().enlist(lsn, level, Box::new(show_first));
    }
    fn want(&self, lsn: Lsn) {
        self.journal().want(lsn);
    }
    fn attend(&self) {
        self.journal().call_back_if_shut();
    }
    fn check(&self) -> Result<()> {
        self.journal().check_process()
    }
    fn now(&self) -> u64 {
        self.journal().now()
    }
}

/// Places a frame that only speaks to the state, to be flushed at once, and folds it.
pub(super) fn place(guard: &mut Guard<'_, Hub>, kind: Kind, head: &[u8], body: &[u8], payload: &Payload<'_>) -> Lsn {
    place_at(guard, kind, head, body, payload, Durability::Disk)
}

/// The same at a level.
pub(super) fn place_at(
    guard: &mut Guard<'_, Hub>,
    kind: Kind,
    head: &[u8],
    body: &[u8],
    payload: &Payload<'_>,
    level: Durability,
) -> Lsn {
    let mut bytes = Vec::with_capacity(128 + body.len());
    frame::encode(&mut bytes, kind, 0, head, body);
    let placed = guard.place(Draft::Copied(&bytes), level, |_| (), |_, _| ());
    guard.state().apply(placed.lsn, payload);
    placed.lsn
}

pub fn unknown(name: &str) -> Error {
    let message = format!("no such topic; create it, or look at the topics that there are, topic={}", shown(name));
    Error::new(ErrorKind::UnknownTopicOrPartition, message)
}
