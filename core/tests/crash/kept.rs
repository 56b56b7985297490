//! Raw transactions that stay open over lives of the log: what a workload does with them, and how they go on behind a
//! power cut.

use std::collections::BTreeMap;
use std::time::Duration;

use oncelog::sim::World;
use oncelog::{
    AppendOptions, Batch, Durability, Engine, ErrorKind, GroupMetadata, Identity, Offsets, Outcome, Record,
    TopicPartition,
};

use super::Check;
use super::tape::{Op, Raw, Recorded, Send, Tape};
use super::world::{Effect, Known, OffsetKey, Shown, known_by};

/// How long they may stay open.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Who holds a transactional id, and what it has open.
#[derive(Clone)]
struct Holder {
    identity: Identity,
    open: Option<Inside>,
    /// With what the last decision was asked for, and what it was.
    ended: Option<(Identity, Outcome)>,
}

/// What a transaction commits, if it does.
#[derive(Clone, Default)]
struct Inside {
    values: Vec<Known>,
    /// None: what was committed since stays.
    pending: BTreeMap<OffsetKey, Option<u64>>,
    /// The next sequence in each partition.
    sequences: BTreeMap<(String, u32), i32>,
}

/// All holders after some operations.
fn holders(ops: &[Op]) -> BTreeMap<String, Holder> {
    let mut all = BTreeMap::<String, Holder>::new();
    for effect in ops.iter().flat_map(|op| &op.effects) {
        match effect {
            Effect::Held { name, identity } => {
                let ended = all.get(name).and_then(|holder| holder.ended);
                all.insert(name.clone(), Holder { identity: *identity, open: None, ended });
            }
            Effect::Began { name, .. } => held(&mut all, name).open = Some(Inside::default()),
            Effect::Kept { name, topic, partition, value } => {
                let open = inside(&mut all, name);
                open.values.push(*value);
                *open.sequences.entry((topic.clone(), *partition)).or_default() += 1;
            }
            Effect::Pending { name, key, offset } => {
                _ = inside(&mut all, name).pending.insert(key.clone(), Some(*offset))
            }
            Effect::Offset { group, topic, partition, .. } => {
                let key = (group.clone(), topic.clone(), *partition);
                let open = all.values_mut().filter_map(|holder| holder.open.as_mut());
                open.filter_map(|open| open.pending.get_mut(&key)).for_each(|pending| *pending = None);
            }
            Effect::Ended { name, outcome, .. } => {
                let holder = held(&mut all, name);
                (holder.ended, holder.open) = (Some((holder.identity, *outcome)), None);
            }
            _ => {}
        }
    }
    all
}

fn held<'a>(all: &'a mut BTreeMap<String, Holder>, name: &str) -> &'a mut Holder {
    all.get_mut(name).expect("a workload opens an id first")
}

fn inside<'a>(all: &'a mut BTreeMap<String, Holder>, name: &str) -> &'a mut Inside {
    held(all, name).open.as_mut().expect("a workload begins a transaction first")
}

impl Inside {
    /// The offsets that a commit sets.
    fn offsets(&self) -> impl Iterator<Item = (&OffsetKey, u64)> {
        self.pending.iter().filter_map(|(key, offset)| Some((key, (*offset)?)))
    }
}

impl Tape {
    fn holder(&self, name: &str) -> Holder {
        holders(&self.ops).remove(name).expect("a workload opens an id first")
    }

    /// Opens an id of raw transactions.
    pub fn hold(&mut self, name: &str) -> Check {
        let op = self.begin(format!("init {name}"), vec![]);
        let answer = self.engine().init_producer(Some(name), TIMEOUT, None);
        let identity = answer.map_err(|error| format!("init of {name} answers {error}"))?;
        self.ops[op].effects = vec![Effect::Held { name: name.to_owned(), identity }];
        self.acked(op, Durability::Disk);
        Ok(())
    }

    /// The first thing that a transaction leaves in the log is that it has begun: a power cut may leave that alone.
    fn begin_kept(&mut self, name: &str) -> Holder {
        let mut holder = self.holder(name);
        if holder.open.is_none() {
            let effect = Effect::Began { name: name.to_owned(), identity: holder.identity };
            self.begin(format!("{name} begins"), vec![effect]);
            holder.open = Some(Inside::default());
        }
        holder
    }

    /// A batch of one record of the open transaction of an id, or of its next one.
    pub fn stream_kept(&mut self, name: &str, (topic, partition, len): Send<'_>, level: Durability) -> Check {
        let value = self.value(len);
        let Holder { identity, open, .. } = self.begin_kept(name);
        let at = (topic.to_owned(), partition);
        let sequence = open.and_then(|open| open.sequences.get(&at).copied()).unwrap_or(0);
        let mut builder = Batch::builder();
        builder.push(&Record::new(&value), 1_600_000_000_000).map_err(|error| error.to_string())?;
        builder.producer(identity, sequence).transactional(true);
        let batch = builder.build().map_err(|error| error.to_string())?;
        let first = self.shown.topics[topic].partitions[partition as usize].len() as u64;
        let (name, topic, value) = (name.to_owned(), topic.to_owned(), known_by(&value));
        let effect = Effect::Kept { name: name.clone(), topic: topic.clone(), partition, value };
        let op = self.begin(format!("{name} sends to {topic}-{partition} at {level:?}"), vec![effect]);
        let options = AppendOptions::new().durability(level);
        let answer = self.engine().partition(&topic, partition).and_then(|p| p.append_with(&batch, options));
        self.raws.push(Raw { op, topic, partition, batch, first });
        let answer = answer.and_then(|ticket| ticket.wait());
        self.answered(op, level, answer).map(drop)
    }

    /// An offset that it commits, if it does.
    pub fn pend_kept(&mut self, name: &str, (group, topic, offset): (&str, &str, u64)) -> Check {
        let identity = self.begin_kept(name).identity;
        let key = (group.to_owned(), topic.to_owned(), 0);
        let effect = Effect::Pending { name: name.to_owned(), key, offset };
        let op = self.begin(format!("{name} sends an offset of {group}"), vec![effect]);
        let offsets: Offsets = [(TopicPartition::new(topic, 0), offset.into())].into();
        let answer = self.engine().send_offsets(identity, &GroupMetadata { group: group.to_owned() }, &offsets);
        self.answered(op, Durability::Disk, answer).map(drop)
    }

    /// Ends it.
    pub fn end_kept(&mut self, name: &str, outcome: Outcome) -> Check {
        let Holder { identity, open, .. } = self.holder(name);
        let open = open.ok_or_else(|| format!("{name} has nothing open"))?;
        let pending = open.pending.keys().cloned().collect();
        let mut effects = vec![Effect::Ended { name: name.to_owned(), outcome, pending }];
        if outcome == Outcome::Commit {
            effects.push(Effect::Committed { values: open.values.clone() });
            let offset = |(key, offset): (&OffsetKey, u64)| {
                let (group, topic, partition) = key.clone();
                Effect::Offset { group, topic, partition, offset }
            };
            effects.extend(open.offsets().map(offset));
        }
        let op = self.begin(format!("{name} ends, {outcome:?}"), effects);
        let answer = self.engine().end_transaction(identity, outcome);
        let identity = answer.map_err(|error| format!("the end of {name} answers {error}"))?;
        self.ops[op].effects.push(Effect::Held { name: name.to_owned(), identity });
        self.acked(op, Durability::Disk);
        Ok(())
    }
}

/// What was left open behind `found` operations goes on, in one of several ways; the log must show what that does.
pub fn go_on(engine: &Engine, world: &World, recorded: &Recorded, found: usize, way: usize) -> Result<Shown, String> {
    let (mut due, holders) = (Shown::default(), holders(&recorded.ops[..found]));
    recorded.ops[..found].iter().flat_map(|op| &op.effects).for_each(|effect| due.apply(effect));
    // Of all of them first, for their time is up at once.
    holders.values().filter(|h| h.open.is_some()).try_for_each(|h| sent_again(engine, recorded, found, h.identity))?;
    for (name, holder) in holders {
        match holder.open {
            Some(open) => {
                end(engine, world, (&name, holder.identity), &open, way)?;
                due.open.remove(&name);
                due.unstable.retain(|key| !open.pending.contains_key(key));
                if way.is_multiple_of(4) {
                    due.offsets.extend(open.offsets().map(|(key, offset)| (key.clone(), offset)));
                    due.hidden.retain(|value| !open.values.contains(value));
                }
            }
            None => told_again(engine, &name, &holder)?,
        }
    }
    Ok(due.without_names())
}

/// Its last batch is known again, by its sequence.
fn sent_again(engine: &Engine, recorded: &Recorded, found: usize, identity: Identity) -> Check {
    let mine = |raw: &&Raw| {
        let head = raw.batch.header();
        raw.op < found && (head.producer_id, head.epoch) == (identity.producer_id, identity.epoch)
    };
    let Some(raw) = recorded.raws.iter().rfind(mine) else { return Ok(()) };
    let partition = engine.partition(&raw.topic, raw.partition);
    match partition.and_then(|partition| partition.append(&raw.batch)).and_then(|ticket| ticket.wait()) {
        Ok(answer) if answer.duplicate && answer.first == raw.first => Ok(()),
        answer => Err(format!("a batch of an open transaction, sent again, answers {answer:?}, first={}", raw.first)),
    }
}

/// By its owner, either way; by its time; by a newer holder.
fn end(engine: &Engine, world: &World, (name, identity): (&str, Identity), open: &Inside, way: usize) -> Check {
    let ended = match way % 4 {
        0 => {
            // What is pending already may be sent again.
            let mut sent = open.offsets().map(|((group, topic, partition), offset)| {
                let all: Offsets = [(TopicPartition::new(topic, *partition), offset.into())].into();
                engine.send_offsets(identity, &GroupMetadata { group: group.clone() }, &all)
            });
            sent.find(Result::is_err).unwrap_or(Ok(())).and_then(|()| engine.end_transaction(identity, Outcome::Commit))
        }
        1 => engine.end_transaction(identity, Outcome::Abort),
        2 => {
            world.advance(TIMEOUT.as_nanos() as u64);
            let left = engine.drive().and_then(|()| engine.describe_transactions());
            if left.as_ref().is_ok_and(|left| left.iter().any(|told| told.transactional_id == name)) {
                return Err(format!("{name} left a transaction open that is open when its time is up"));
            }
            // Its owner hears what became of it by asking for the same.
            left.and_then(|_| engine.end_transaction(identity, Outcome::Abort))
        }
        _ => engine.init_producer(Some(name), TIMEOUT, None),
    };
    let next = ended.map_err(|error| format!("the end of what {name} left open answers {error}, way {}", way % 4))?;
    if next.producer_id != identity.producer_id || next.epoch <= identity.epoch {
        return Err(format!("{name} is {next:?} behind the end of what {identity:?} left open"));
    }
    match engine.end_transaction(identity, if way.is_multiple_of(4) { Outcome::Abort } else { Outcome::Commit }) {
        Err(error) if matches!(error.kind(), ErrorKind::InvalidTransactionState | ErrorKind::ProducerFenced) => Ok(()),
        answer => Err(format!("the end of what {name} left open, asked for otherwise, answers {answer:?}")),
    }
}

/// Whoever did not hear of a decision asks again.
fn told_again(engine: &Engine, name: &str, holder: &Holder) -> Check {
    let Some((identity, outcome)) = holder.ended else { return Ok(()) };
    match engine.end_transaction(identity, outcome) {
        Ok(told) if told == holder.identity => Ok(()),
        answer => Err(format!("the end of {name}, asked for again, answers {answer:?}, due is {:?}", holder.identity)),
    }
}
