//! Looking: everything that an open log shows, in the words of the model.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use oncelog::{ConsumerOptions, Engine, Partition, ProducerOptions, ReadOptions, TopicPartition};

use super::world::{Known, Name, Shown, Topic, known_by};

/// What to ask for beside topics and records, which list themselves.
#[derive(Clone, Debug, Default)]
pub struct Questions {
    pub names: BTreeSet<String>,
    pub offsets: BTreeSet<(String, String, u32)>,
}

fn told<T>(what: &str, answer: oncelog::Result<T>) -> Result<T, String> {
    answer.map_err(|error| format!("{what} answers {error}"))
}

/// Topics, records and committed offsets: looking changes nothing.
pub fn look(engine: &Engine, questions: &Questions) -> Result<Shown, String> {
    let mut shown = Shown::default();
    for info in told("topics", engine.topics())? {
        let mut partitions = Vec::new();
        for number in 0..info.partitions {
            partitions.push(read(&told("partition", engine.partition(&info.name, number))?)?);
        }
        shown.topics.insert(info.name, Topic { id: Some(info.id), partitions });
    }
    let mut consumers = BTreeMap::new();
    for (group, topic, partition) in &questions.offsets {
        if shown.topics.get(topic).is_none_or(|t| t.partitions.len() <= *partition as usize) {
            continue;
        }
        if !consumers.contains_key(group) {
            let consumer = told("consumer", engine.consumer(ConsumerOptions::new().group(group)))?;
            consumers.insert(group, consumer);
        }
        let asked = TopicPartition::new(topic, *partition);
        if let Some(offset) = told("committed", consumers[group].committed(&asked))? {
            shown.offsets.insert((group.clone(), topic.clone(), *partition), offset);
        }
    }
    Ok(shown)
}

/// Epoch and position of every name. Each is opened twice for that, which writes.
pub fn open_names(engine: &Engine, questions: &Questions) -> Result<BTreeMap<String, Name>, String> {
    let mut names = BTreeMap::new();
    let mut ids = BTreeMap::new();
    for name in &questions.names {
        let identity = told("init_producer", engine.init_producer(Some(name), Duration::ZERO, None))?;
        if let Some(other) = ids.insert(identity.producer_id, name) {
            return Err(format!("{name} and {other} have the same producer id {}", identity.producer_id));
        }
        let position = told("producer", engine.producer(ProducerOptions::new().name(name)))?.position();
        names.insert(name.clone(), Name { openings: identity.epoch, position });
    }
    Ok(names)
}

/// A partition from its start to its end: dense offsets, nothing hidden.
fn read(partition: &Partition) -> Result<Vec<Known>, String> {
    let bounds = partition.bounds();
    let place = format!("{}-{}", partition.topic(), partition.number());
    if bounds.start != 0 || bounds.stable != bounds.end {
        return Err(format!("{place} has {bounds:?} though nothing was deleted and no transaction is open"));
    }
    let mut known = Vec::new();
    while (known.len() as u64) < bounds.end {
        let records = told(&place, partition.read(known.len() as u64, ReadOptions::new()))?;
        let before = known.len();
        for view in &records {
            let view = told(&place, view)?;
            if view.offset() != known.len() as u64 {
                return Err(format!("{place} offset {} comes where {} is due", view.offset(), known.len()));
            }
            known.push(known_by(view.value().unwrap_or_default()));
        }
        if known.len() == before {
            return Err(format!("{place} shows nothing at offset {before} of {bounds:?}"));
        }
    }
    Ok(known)
}
