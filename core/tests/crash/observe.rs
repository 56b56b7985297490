//! Looking: everything that an open log shows, in the words of the model.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use oncelog::{ConsumerOptions, Engine, ErrorKind, Isolation, Partition, ProducerOptions, ReadOptions, TopicPartition};

use super::world::{Known, Name, OffsetKey, Shown, Topic, known_by};

/// What to ask for beside topics and records, which list themselves.
#[derive(Clone, Debug, Default)]
pub struct Questions {
    pub names: BTreeSet<String>,
    pub offsets: BTreeSet<OffsetKey>,
}

fn told<T>(what: &str, answer: oncelog::Result<T>) -> Result<T, String> {
    answer.map_err(|error| format!("{what} answers {error}"))
}

/// Topics, records and committed offsets: looking changes nothing.
pub fn look(engine: &Engine, questions: &Questions) -> Result<Shown, String> {
    let mut shown = Shown::default();
    let open = told("describe_transactions", engine.describe_transactions())?;
    for info in told("topics", engine.topics())? {
        let mut partitions = Vec::new();
        for number in 0..info.partitions {
            let partition = told("partition", engine.partition(&info.name, number))?;
            let at = TopicPartition::new(&info.name, number);
            let undecided = open.iter().filter_map(|transaction| transaction.partitions.get(&at)).min().copied();
            let known = read(&partition, Isolation::ReadUncommitted, undecided)?;
            let committed = read(&partition, Isolation::ReadCommitted, undecided)?;
            let committed: BTreeSet<Known> = committed.into_iter().collect();
            shown.hidden.extend(known.iter().filter(|record| !committed.contains(record)));
            partitions.push(known);
        }
        shown.topics.insert(info.name, Topic { id: Some(info.id), partitions });
    }
    for told in open.into_iter().filter(|told| told.raw) {
        let firsts = told.partitions.into_iter().map(|(at, first)| ((at.topic, at.partition), first)).collect();
        shown.open.insert(told.transactional_id, (told.identity, firsts));
    }
    ask_offsets(engine, questions, &mut shown)?;
    Ok(shown)
}

/// What groups have committed, and where an open transaction will commit another offset.
fn ask_offsets(engine: &Engine, questions: &Questions, shown: &mut Shown) -> Result<(), String> {
    for key in &questions.offsets {
        let (group, topic, partition) = key;
        if shown.topics.get(topic).is_none_or(|t| t.partitions.len() <= *partition as usize) {
            continue;
        }
        let asked = TopicPartition::new(topic, *partition);
        let ask = |isolation: Isolation| {
            let consumer = engine.consumer(ConsumerOptions::new().group(group).isolation(isolation));
            consumer.and_then(|consumer| consumer.committed(&asked))
        };
        let mut answer = ask(Isolation::ReadCommitted);
        if answer.as_ref().is_err_and(|error| error.kind() == ErrorKind::UnstableOffsets) {
            shown.unstable.insert(key.clone());
            answer = ask(Isolation::ReadUncommitted);
        }
        if let Some(offset) = told("committed", answer)? {
            shown.offsets.insert(key.clone(), offset);
        }
    }
    Ok(())
}

/// Epoch and position of every name. Each is opened twice for that, which writes.
pub fn open_names(engine: &Engine, questions: &Questions) -> Result<BTreeMap<String, Name>, String> {
    let mut names = BTreeMap::new();
    let mut ids = BTreeMap::new();
    for name in &questions.names {
        let identity = told("init_producer", engine.init_producer(Some(name), Duration::from_secs(60), None))?;
        if let Some(other) = ids.insert(identity.producer_id, name) {
            return Err(format!("{name} and {other} have the same producer id {}", identity.producer_id));
        }
        let position = told("producer", engine.producer(ProducerOptions::new().name(name)))?.position();
        names.insert(name.clone(), Name { openings: identity.epoch, position });
    }
    Ok(names)
}

/// A partition from its start to its end, or to the first record that is undecided: dense offsets, and nothing hidden
/// from read_uncommitted.
fn read(partition: &Partition, isolation: Isolation, undecided: Option<u64>) -> Result<Vec<Known>, String> {
    let bounds = partition.bounds();
    let place = format!("{}-{}", partition.topic(), partition.number());
    if bounds.start != 0 || bounds.stable != undecided.unwrap_or(bounds.end) {
        return Err(format!("{place} has {bounds:?}, nothing was deleted, the first undecided is {undecided:?}"));
    }
    let end = if isolation == Isolation::ReadCommitted { bounds.stable } else { bounds.end };
    let (mut known, mut at) = (Vec::new(), 0);
    while at < end {
        let records = told(&place, partition.read(at, ReadOptions::new().isolation(isolation)))?;
        let next = records.next_offset(partition.topic(), partition.number()).unwrap_or(at);
        for view in &records {
            let view = told(&place, view)?;
            if isolation == Isolation::ReadUncommitted && view.offset() != known.len() as u64 {
                return Err(format!("{place} offset {} comes where {} is due", view.offset(), known.len()));
            }
            known.push(known_by(view.value().unwrap_or_default()));
        }
        if next == at {
            return Err(format!("{place} shows nothing at offset {at} of {bounds:?}"));
        }
        at = next;
    }
    Ok(known)
}
