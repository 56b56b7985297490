//! The model: what a log shows, and what an operation does to it.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use oncelog::{Identity, Outcome, TopicId};

/// A record, by a hash of its value: every value is sent once.
pub type Known = u64;

/// The hash by which a value is known again.
pub fn known_by(value: &[u8]) -> Known {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// A topic: who it is, and what its partitions hold from offset 0 on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Topic {
    pub id: Option<TopicId>,
    pub partitions: Vec<Vec<Known>>,
}

/// A producer's name or transactional id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Name {
    /// The epoch that the next opening gets.
    pub openings: i16,
    pub position: Option<u64>,
}

/// A group, a topic and a partition.
pub type OffsetKey = (String, String, u32);

/// A raw transaction that is open: whose batches, and the offset of its first record in each partition.
pub type Open = (Identity, BTreeMap<(String, u32), u64>);

/// Everything that a log shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    pub topics: BTreeMap<String, Topic>,
    pub offsets: BTreeMap<OffsetKey, u64>,
    /// Those that read_committed does not tell: an open transaction will commit another one.
    pub unstable: BTreeSet<OffsetKey>,
    /// By transactional id.
    pub open: BTreeMap<String, Open>,
    pub names: BTreeMap<String, Name>,
    /// Records that read_committed does not show: their transaction is not committed.
    pub hidden: BTreeSet<Known>,
}

/// One thing that an operation does. An operation does all of its effects or none.
#[derive(Clone, Debug)]
pub enum Effect {
    Create {
        topic: String,
        id: Option<TopicId>,
        partitions: u32,
    },
    Delete {
        topic: String,
    },
    Grow {
        topic: String,
        total: u32,
    },
    Records {
        topic: String,
        partition: u32,
        values: Vec<Known>,
    },
    /// Records of a transaction before its decision.
    Streamed {
        topic: String,
        partition: u32,
        values: Vec<Known>,
    },
    /// The commit of such records.
    Committed {
        values: Vec<Known>,
    },
    Offset {
        group: String,
        topic: String,
        partition: u32,
        offset: u64,
    },
    Opened {
        name: String,
    },
    Position {
        name: String,
        position: u64,
    },
    Forgotten {
        name: String,
    },
    /// An id of raw transactions is held with this identity.
    Held {
        name: String,
        identity: Identity,
    },
    /// A raw transaction that stays open over lives has begun.
    Began {
        name: String,
        identity: Identity,
    },
    /// A record of it.
    Kept {
        name: String,
        topic: String,
        partition: u32,
        value: Known,
    },
    /// An offset that it commits, if it does.
    Pending {
        name: String,
        key: OffsetKey,
        offset: u64,
    },
    /// It has ended; what it commits are effects of their own.
    Ended {
        name: String,
        outcome: Outcome,
        pending: Vec<OffsetKey>,
    },
}

impl Shown {
    /// Does what `effect` says.
    pub fn apply(&mut self, effect: &Effect) {
        match effect {
            Effect::Create { topic, id, partitions } => {
                let partitions = vec![Vec::new(); *partitions as usize];
                self.topics.insert(topic.clone(), Topic { id: *id, partitions });
            }
            Effect::Delete { topic } => {
                self.topics.remove(topic);
                self.offsets.retain(|(_, of, _), _| of != topic);
            }
            Effect::Grow { topic, total } => {
                if let Some(topic) = self.topics.get_mut(topic) {
                    topic.partitions.resize(*total as usize, Vec::new());
                }
            }
            Effect::Streamed { topic, partition, values } => {
                self.hidden.extend(values);
                let (topic, partition, values) = (topic.clone(), *partition, values.clone());
                self.apply(&Effect::Records { topic, partition, values });
            }
            Effect::Committed { values } => values.iter().for_each(|value| _ = self.hidden.remove(value)),
            Effect::Records { topic, partition, values } => {
                let topic = self.topics.get_mut(topic).expect("a workload writes to topics that exist");
                topic.partitions[*partition as usize].extend(values);
            }
            Effect::Offset { group, topic, partition, offset } => {
                self.offsets.insert((group.clone(), topic.clone(), *partition), *offset);
            }
            Effect::Opened { name } => self.names.entry(name.clone()).or_default().openings += 1,
            Effect::Position { name, position } => {
                self.names.entry(name.clone()).or_default().position = Some(*position);
            }
            Effect::Forgotten { name } => *self.names.entry(name.clone()).or_default() = Name::default(),
            // It is asked for by its next call.
            Effect::Held { .. } => {}
            Effect::Began { name, identity } => _ = self.open.insert(name.clone(), (*identity, BTreeMap::new())),
            Effect::Kept { name, topic, partition, value } => {
                let first = self.topics[topic].partitions[*partition as usize].len() as u64;
                let (_, firsts) = self.open.get_mut(name).expect("a workload begins a transaction first");
                firsts.entry((topic.clone(), *partition)).or_insert(first);
                let (topic, partition, values) = (topic.clone(), *partition, vec![*value]);
                self.apply(&Effect::Streamed { topic, partition, values });
            }
            Effect::Pending { key, .. } => _ = self.unstable.insert(key.clone()),
            Effect::Ended { name, pending, .. } => {
                self.open.remove(name);
                self.unstable.retain(|key| !pending.contains(key));
            }
        }
    }

    /// As readers see it: read_committed ends where the first open transaction begins.
    pub fn held_back(&self) -> Shown {
        let mut shown = self.clone();
        for ((topic, partition), first) in self.open.values().flat_map(|(_, firsts)| firsts) {
            let partition = self.topics.get(topic).map(|topic| &topic.partitions[*partition as usize]);
            shown.hidden.extend(partition.iter().flat_map(|records| &records[*first as usize..]));
        }
        shown
    }

    /// The same without names: what can be seen without writing.
    pub fn without_names(&self) -> Shown {
        Shown { names: BTreeMap::new(), ..self.clone() }
    }

    /// True if a reader that may not recover can be shown this when an opening would show `state`: names are not
    /// looked at, and what transactions hold back that an opening would abort is hidden too.
    pub fn fits_unrecovered(&self, state: &Shown) -> bool {
        let hides_as_much = self.hidden.is_superset(&state.hidden);
        hides_as_much && Shown { hidden: state.hidden.clone(), ..self.clone() } == state.without_names()
    }

    /// How many records there are.
    pub fn records(&self) -> usize {
        self.topics.values().flat_map(|t| &t.partitions).map(Vec::len).sum()
    }

    /// The first difference to what was expected, in words.
    pub fn differs(&self, expected: &Shown) -> Option<String> {
        for name in expected.topics.keys().chain(self.topics.keys()) {
            let (Some(old), Some(new)) = (expected.topics.get(name), self.topics.get(name)) else {
                return Some(format!("topic {name}: expected {}", expected.topics.contains_key(name)));
            };
            if old.id != new.id || old.partitions.len() != new.partitions.len() {
                let (old_count, new_count) = (old.partitions.len(), new.partitions.len());
                return Some(format!("topic {name}: {:?}, {new_count}; expected {:?}, {old_count}", new.id, old.id));
            }
            for (number, (old, new)) in old.partitions.iter().zip(&new.partitions).enumerate() {
                let same = old.iter().zip(new).take_while(|(a, b)| a == b).count();
                if same < old.len().max(new.len()) {
                    let (has, due) = (new.len(), old.len());
                    return Some(format!("{name}-{number}: {has} records, expected {due}; the first {same} are equal"));
                }
            }
        }
        if self.hidden != expected.hidden {
            let (has, due) = (self.hidden.len(), expected.hidden.len());
            return Some(format!("{has} records are hidden from read_committed, expected {due}"));
        }
        if self.open != expected.open {
            return Some(format!("open transactions: {:?}, expected {:?}", self.open, expected.open));
        }
        if self.unstable != expected.unstable {
            return Some(format!("offsets not told: {:?}, expected {:?}", self.unstable, expected.unstable));
        }
        let offset = |key: &&OffsetKey| self.offsets.get(*key) != expected.offsets.get(*key);
        if let Some(key) = expected.offsets.keys().chain(self.offsets.keys()).find(offset) {
            let (old, new) = (expected.offsets.get(key), self.offsets.get(key));
            return Some(format!("offset of {key:?}: {new:?}, expected {old:?}"));
        }
        let name = |key: &&String| self.names.get(*key) != expected.names.get(*key);
        let key = expected.names.keys().chain(self.names.keys()).find(name)?;
        Some(format!("name {key}: {:?}, expected {:?}", self.names.get(key), expected.names.get(key)))
    }
}
