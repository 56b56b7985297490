//! A workload while it plays: every call goes to the engine and into the list of operations, with the number of disk
//! calls made when it began and when it was acknowledged.

use std::collections::BTreeMap;

use oncelog::sim::{Log, Rng, World};
use oncelog::{
    AppendOptions, Appended, Batch, ConsumerOptions, Durability, Engine, EngineOptions, Error, ErrorKind,
    GroupMetadata, Identity, Offsets, Producer, ProducerOptions, Record, Ticket, TopicOptions, TopicPartition,
    Transaction, TransactionalProducer,
};

use super::Check;
use super::observe::Questions;
use super::world::{Effect, Known, Shown, known_by};

/// Segments of the least size, so that a workload of a hundred calls rolls.
pub const SEGMENT: u64 = 64 << 10;
const MILLISECOND: u64 = 1_000_000;

/// How every log of these tests is opened.
pub fn options() -> EngineOptions {
    Engine::options().threads(false).segment_bytes(SEGMENT)
}

/// One operation, in the order of the journal.
#[derive(Clone, Debug)]
pub struct Op {
    pub what: String,
    /// The disk calls made before it began; -1: all of them were made before the recording.
    pub begun: isize,
    pub effects: Vec<Effect>,
}

/// After `calls` disk calls the caller knew that operation `op` had met `level`.
#[derive(Clone, Copy, Debug)]
pub struct Ack {
    pub op: usize,
    pub level: Durability,
    pub calls: usize,
}

/// A raw producer's batch, to be sent again.
#[derive(Clone)]
pub struct Raw {
    pub op: usize,
    pub topic: String,
    pub partition: u32,
    pub batch: Batch,
    pub first: u64,
}

/// An append that nobody has waited for yet.
pub struct Waiting {
    pub op: usize,
    level: Durability,
    ticket: Ticket<Appended>,
}

/// A send of a transaction or a named producer: topic, partition, bytes.
pub type Send<'a> = (&'a str, u32, usize);

pub struct Tape {
    pub world: World,
    pub(super) engine: Option<Engine>,
    pub ops: Vec<Op>,
    pub(super) acks: Vec<Ack>,
    pub(super) raws: Vec<Raw>,
    pub(super) questions: Questions,
    pub(super) shown: Shown,
    /// Which operation wrote each record of a partition, where what is visible is durable.
    pub(super) visible: BTreeMap<(String, u32), Vec<usize>>,
    pub(super) levels: BTreeMap<String, Durability>,
    /// Faults are planned: calls may fail, and the page cache may lie.
    pub faulty: bool,
    /// Raw transactions that begin stay open in the next life.
    pub keeps: bool,
    pub rng: Rng,
    /// Every value that was sent; number n begins with "value n ".
    pub sent: Vec<Vec<u8>>,
}

/// A workload that was played to its end.
pub struct Recorded {
    pub log: Log,
    pub ops: Vec<Op>,
    /// What is shown after that many operations.
    pub states: Vec<Shown>,
    acks: Vec<Ack>,
    pub raws: Vec<Raw>,
    pub questions: Questions,
    faulty: bool,
}

impl Recorded {
    /// How many operations may be found after the first `prefix` disk calls: at least and at most. `kept`: all that was
    /// written is there, as after the death of the process.
    pub fn bounds(&self, prefix: usize, kept: bool) -> (usize, usize) {
        let level = if kept && !self.faulty { Durability::Os } else { Durability::Disk };
        let counts = |ack: &&Ack| ack.calls <= prefix && ack.level >= level;
        let least = self.acks.iter().filter(counts).map(|ack| ack.op + 1).max().unwrap_or(0);
        let most = self.ops.iter().take_while(|op| op.begun < prefix.cast_signed()).count();
        (least, most)
    }
}

impl Tape {
    /// An empty disk, and the recording runs.
    pub fn new(seed: u64) -> Tape {
        let world = World::new(seed);
        if seed.is_multiple_of(3) {
            world.take_turns();
        }
        world.record();
        Tape {
            world,
            engine: None,
            ops: Vec::new(),
            acks: Vec::new(),
            raws: Vec::new(),
            questions: Questions::default(),
            shown: Shown::default(),
            visible: BTreeMap::new(),
            levels: BTreeMap::new(),
            faulty: false,
            keeps: false,
            rng: Rng::new(seed),
            sent: Vec::new(),
        }
    }

    pub fn engine(&self) -> &Engine {
        self.engine.as_ref().expect("the workload has opened the log")
    }

    pub(super) fn calls(&self) -> usize {
        self.world.log().calls()
    }

    /// An operation takes its place in the journal next.
    pub(super) fn begin(&mut self, what: String, effects: Vec<Effect>) -> usize {
        for effect in &effects {
            self.shown.apply(effect);
            match effect {
                Effect::Records { topic, partition, values } | Effect::Streamed { topic, partition, values } => {
                    let owners = self.visible.entry((topic.clone(), *partition)).or_default();
                    owners.extend(values.iter().map(|_| self.ops.len()));
                }
                Effect::Kept { topic, partition, .. } => {
                    self.visible.entry((topic.clone(), *partition)).or_default().push(self.ops.len());
                }
                Effect::Offset { group, topic, partition, .. } => {
                    self.questions.offsets.insert((group.clone(), topic.clone(), *partition));
                }
                Effect::Pending { key, .. } => _ = self.questions.offsets.insert(key.clone()),
                Effect::Opened { name } => {
                    self.questions.names.insert(name.clone());
                }
                Effect::Delete { topic } => self.visible.retain(|(of, _), _| of != topic),
                _ => {}
            }
        }
        let begun = self.calls().cast_signed();
        self.ops.push(Op { what, begun, effects });
        self.ops.len() - 1
    }

    /// The caller was told that an operation has met its level.
    pub fn acked(&mut self, op: usize, level: Durability) {
        let calls = self.calls();
        self.acks.push(Ack { op, level, calls });
        self.see();
    }

    /// What a reader could see now of topics whose records are shown only once durable is as good as acknowledged.
    fn see(&mut self) {
        let calls = self.calls();
        for ((topic, partition), owners) in &self.visible {
            if self.levels.get(topic) != Some(&Durability::Disk) {
                continue;
            }
            let Ok(partition) = self.engine().partition(topic, *partition) else { continue };
            if let Some(op) = (partition.bounds().end as usize).checked_sub(1).and_then(|last| owners.get(last)) {
                self.acks.push(Ack { op: *op, level: Durability::Disk, calls });
            }
        }
    }

    /// The last operation was refused, so it has no place in the journal.
    fn take_back(&mut self, op: usize) {
        assert_eq!(op + 1, self.ops.len(), "only the last operation can be refused");
        self.keep(op);
    }

    pub(super) fn keep(&mut self, ops: usize) {
        let kept: Vec<Op> = self.ops.drain(..).take(ops).collect();
        (self.shown, self.visible) = (Shown::default(), BTreeMap::new());
        for op in kept {
            let again = self.begin(op.what, op.effects);
            self.ops[again].begun = op.begun;
        }
        self.acks.retain(|ack| ack.op < ops);
        self.raws.retain(|raw| raw.op < ops);
    }

    /// Notes the answer to an operation; with faults about, an error leaves it open or takes it back.
    pub(super) fn answered<T>(
        &mut self,
        op: usize,
        level: Durability,
        answer: Result<T, Error>,
    ) -> Result<Option<T>, String> {
        match answer {
            Ok(value) => {
                self.acked(op, level);
                Ok(Some(value))
            }
            Err(error) if self.faulty => {
                if error.kind() != ErrorKind::Indeterminate {
                    self.take_back(op);
                }
                Ok(None)
            }
            Err(error) => Err(format!("{} answers {error}", self.ops[op].what)),
        }
    }

    pub fn value(&mut self, len: usize) -> Vec<u8> {
        let number = self.sent.len() + 1;
        let mut value = format!("value {number} ").into_bytes();
        // Zeros and repeated bytes must not pass for what a torn write leaves.
        let fill = if number.is_multiple_of(3) { 0 } else { self.rng.next_u64() as u8 };
        value.resize(len.max(value.len()), fill);
        self.sent.push(value.clone());
        value
    }

    pub fn open(&mut self) -> Check {
        let options = options().keep_raw_transactions(self.keeps);
        let engine = options.open_on(self.world.machine()).map_err(|error| format!("open answers {error}"))?;
        self.engine = Some(engine);
        Ok(())
    }

    pub fn create(&mut self, topic: &str, partitions: u32, level: Durability) -> Check {
        let effect = Effect::Create { topic: topic.to_owned(), id: None, partitions };
        self.levels.insert(topic.to_owned(), level);
        let op = self.begin(format!("create {topic}"), vec![effect]);
        let options = TopicOptions::new().partitions(partitions).durability(level);
        let answer = self.engine().create_topic(topic, options);
        self.answered(op, Durability::Disk, answer)?;
        let topics = self.engine().topics().map_err(|error| format!("topics answers {error}"))?;
        let id = topics.into_iter().find(|info| info.name == topic).map(|info| info.id);
        self.ops[op].effects = vec![Effect::Create { topic: topic.to_owned(), id, partitions }];
        if let Some(shown) = self.shown.topics.get_mut(topic) {
            shown.id = id;
        }
        Ok(())
    }

    pub fn delete(&mut self, topic: &str) -> Check {
        let op = self.begin(format!("delete {topic}"), vec![Effect::Delete { topic: topic.to_owned() }]);
        let answer = self.engine().delete_topic(topic);
        self.answered(op, Durability::Disk, answer).map(drop)
    }

    pub fn grow(&mut self, topic: &str, total: u32) -> Check {
        let effect = Effect::Grow { topic: topic.to_owned(), total };
        let op = self.begin(format!("grow {topic} to {total}"), vec![effect]);
        let answer = self.engine().add_partitions(topic, total);
        self.answered(op, Durability::Disk, answer).map(drop)
    }

    /// Appends a batch of records of these sizes and waits for `level`.
    pub fn append(&mut self, topic: &str, partition: u32, sizes: &[usize], level: Durability) -> Check {
        match self.place(topic, partition, sizes, level)? {
            Some(waiting) => self.wait(waiting),
            None => Ok(()),
        }
    }

    /// Appends a batch and does not wait.
    pub fn place(
        &mut self,
        topic: &str,
        partition: u32,
        sizes: &[usize],
        level: Durability,
    ) -> Result<Option<Waiting>, String> {
        let (batch, values) = self.batch(sizes, None)?;
        self.place_batch(topic, partition, &batch, values, level)
    }

    fn batch(&mut self, sizes: &[usize], raw: Option<(Identity, i32)>) -> Result<(Batch, Vec<Known>), String> {
        let mut builder = Batch::builder();
        if let Some((identity, sequence)) = raw {
            builder.producer(identity, sequence);
        }
        let mut values = Vec::new();
        for size in sizes {
            let value = self.value(*size);
            builder.push(&Record::new(&value), 1_600_000_000_000).map_err(|error| error.to_string())?;
            values.push(known_by(&value));
        }
        Ok((builder.build().map_err(|error| error.to_string())?, values))
    }

    pub(super) fn place_batch(
        &mut self,
        topic: &str,
        partition: u32,
        batch: &Batch,
        values: Vec<Known>,
        level: Durability,
    ) -> Result<Option<Waiting>, String> {
        let what = format!("append {} records to {topic}-{partition} at {level:?}", values.len());
        let op = self.begin(what, vec![Effect::Records { topic: topic.to_owned(), partition, values }]);
        let handle = self.engine().partition(topic, partition).map_err(|error| error.to_string())?;
        match handle.append_with(batch, AppendOptions::new().durability(level)) {
            Ok(ticket) => Ok(Some(Waiting { op, level, ticket })),
            Err(error) => self.answered::<()>(op, level, Err(error)).map(|_| None),
        }
    }

    /// Reads a whole partition. What a reader was shown is written at least, whatever the topic's level.
    pub fn read(&mut self, topic: &str, partition: u32) -> Check {
        let shown = super::observe::look(self.engine(), &Questions::default())?;
        let records = &shown.topics[topic].partitions[partition as usize];
        let owners = self.visible.get(&(topic.to_owned(), partition)).cloned().unwrap_or_default();
        if records.len() != owners.len() {
            return Err(format!("{topic}-{partition} shows {} records of {}", records.len(), owners.len()));
        }
        if let Some(last) = owners.last() {
            self.acked(*last, Durability::Os);
        }
        Ok(())
    }

    pub fn wait(&mut self, waiting: Waiting) -> Check {
        let answer = waiting.ticket.wait();
        self.answered(waiting.op, waiting.level, answer).map(drop)
    }

    /// A raw producer's batch of `count` records.
    pub fn place_raw(
        &mut self,
        place: (&str, u32),
        identity: Identity,
        sequence: i32,
        count: usize,
        level: Durability,
    ) -> Result<Option<Waiting>, String> {
        let (batch, values) = self.batch(&vec![300; count], Some((identity, sequence)))?;
        let before = self.shown.topics.get(place.0).map_or(0, |t| t.partitions[place.1 as usize].len());
        let waiting = self.place_batch(place.0, place.1, &batch, values, level)?;
        if let Some(waiting) = &waiting {
            let (topic, partition) = (place.0.to_owned(), place.1);
            self.raws.push(Raw { op: waiting.op, topic, partition, batch, first: before as u64 });
        }
        Ok(waiting)
    }

    /// Sends the last raw batch again; the answer stands for the original.
    pub fn retry_raw(&mut self, level: Durability) -> Check {
        let raw = self.raws.last().expect("a raw batch was sent").clone();
        let handle = self.engine().partition(&raw.topic, raw.partition).map_err(|error| error.to_string())?;
        let answer = handle
            .append_with(&raw.batch, AppendOptions::new().durability(level))
            .and_then(|ticket| ticket.wait())
            .map_err(|error| format!("a retry answers {error}"))?;
        if !answer.duplicate || answer.first != raw.first {
            return Err(format!("a retry of the batch at {} answers {answer:?}", raw.first));
        }
        self.acked(raw.op, level);
        Ok(())
    }

    pub fn register(&mut self) -> Result<Identity, String> {
        let opened = self.engine().init_producer(None, std::time::Duration::ZERO, None);
        opened.map_err(|error| format!("init_producer answers {error}"))
    }

    /// Opens a name and thereby fences whoever holds it.
    pub fn producer(&mut self, name: &str) -> Result<Producer, String> {
        let op = self.begin(format!("open {name}"), vec![Effect::Opened { name: name.to_owned() }]);
        let hour = std::time::Duration::from_secs(3600);
        let options = ProducerOptions::new().name(name).batch_bytes(1 << 20).linger(hour);
        let answer = self.engine().producer(options);
        let producer = self.answered(op, Durability::Disk, answer)?;
        producer.ok_or_else(|| "a workload opens names before it breaks the disk".to_owned())
    }

    /// The same for a transactional id.
    pub fn transactional(&mut self, name: &str) -> Result<TransactionalProducer, String> {
        self.transactional_with(name, ProducerOptions::new())
    }

    /// The same with options.
    pub fn transactional_with(
        &mut self,
        name: &str,
        options: ProducerOptions,
    ) -> Result<TransactionalProducer, String> {
        let op = self.begin(format!("open {name}"), vec![Effect::Opened { name: name.to_owned() }]);
        let answer = self.engine().transactional_producer(name, options);
        let producer = self.answered(op, Durability::Disk, answer)?;
        producer.ok_or_else(|| "a workload opens names before it breaks the disk".to_owned())
    }

    pub fn forget(&mut self, name: &str) -> Check {
        let op = self.begin(format!("forget {name}"), vec![Effect::Forgotten { name: name.to_owned() }]);
        let answer = self.engine().delete_producer(name);
        self.answered(op, Durability::Disk, answer).map(drop)
    }

    /// A named producer gathers sends with the positions from `position` on, and flushes them as one frame.
    pub fn gather(&mut self, producer: &Producer, name: &str, position: u64, sends: &[Send<'_>]) -> Check {
        let values: Vec<Vec<u8>> = sends.iter().map(|(_, _, len)| self.value(*len)).collect();
        let last = position + sends.len() as u64 - 1;
        let mut effects = records(sends, &values);
        effects.push(Effect::Position { name: name.to_owned(), position: last });
        let op = self.begin(format!("{name} gathers up to position {last}"), effects);
        for (n, ((topic, partition, _), value)) in sends.iter().zip(&values).enumerate() {
            let record = Record::new(value).partition(*partition).position(position + n as u64);
            match producer.send(topic, record) {
                Ok(ticket) => ticket.detach(),
                Err(error) => return self.answered::<()>(op, Durability::Disk, Err(error)).map(drop),
            }
        }
        let answer = producer.flush();
        let answer = self.answered(op, Durability::Disk, answer)?;
        if answer.is_some() && producer.position() != Some(last) {
            return Err(format!("{name} has position {:?} behind a flush up to {last}", producer.position()));
        }
        Ok(())
    }

    /// A transaction: sends, the offset of `group` in the first topic, a position.
    pub fn transact(
        &mut self,
        producer: &TransactionalProducer,
        sends: &[Send<'_>],
        offset: Option<(&str, &str, u64)>,
        position: Option<(&str, u64)>,
    ) -> Check {
        let values: Vec<Vec<u8>> = sends.iter().map(|(_, _, len)| self.value(*len)).collect();
        let mut effects = records(sends, &values);
        if let Some((group, topic, offset)) = offset {
            let (group, topic) = (group.to_owned(), topic.to_owned());
            effects.push(Effect::Offset { group, topic, partition: 0, offset });
        }
        if let Some((name, position)) = position {
            effects.push(Effect::Position { name: name.to_owned(), position });
        }
        let op = self.begin(format!("transaction of {} records", sends.len()), effects);
        let run = || -> oncelog::Result<()> {
            let mut transaction = producer.begin_transaction()?;
            for ((topic, partition, _), value) in sends.iter().zip(&values) {
                transaction.send(topic, Record::new(value).partition(*partition))?;
            }
            if let Some((group, topic, offset)) = offset {
                let offsets: Offsets = [(TopicPartition::new(topic, 0), offset.into())].into();
                transaction.send_offsets(&GroupMetadata { group: group.to_owned() }, &offsets)?;
            }
            if let Some((_, position)) = position {
                transaction.send_position(position)?;
            }
            transaction.commit().map(drop)
        };
        let answer = run();
        // The strongest level of all topics that it names.
        let named = sends.iter().map(|(topic, ..)| *topic).chain(offset.map(|(_, topic, _)| topic));
        let level = named.filter_map(|topic| self.levels.get(topic)).max().copied().unwrap_or(Durability::Os);
        self.answered(op, level, answer).map(drop)
    }

    /// Sends a record of a transaction that streams; its value is for `commit_streamed`.
    pub fn stream(&mut self, transaction: &mut Transaction, send: Send<'_>) -> Result<Known, String> {
        let (topic, partition, len) = send;
        let value = self.value(len);
        let values = vec![known_by(&value)];
        let effect = Effect::Streamed { topic: topic.to_owned(), partition, values };
        let op = self.begin(format!("stream to {topic}-{partition}"), vec![effect]);
        transaction
            .send(topic, Record::new(&value).partition(partition))
            .map_err(|error| format!("{} answers {error}", self.ops[op].what))?;
        Ok(known_by(&value))
    }

    /// Commits what was streamed, with an offset and a position, at the level of its topics.
    pub fn commit_streamed(
        &mut self,
        mut transaction: Transaction,
        values: Vec<Known>,
        (group, topic, offset): (&str, &str, u64),
        (name, position): (&str, u64),
        level: Durability,
    ) -> Check {
        let effects = vec![
            Effect::Committed { values },
            Effect::Offset { group: group.to_owned(), topic: topic.to_owned(), partition: 0, offset },
            Effect::Position { name: name.to_owned(), position },
        ];
        let op = self.begin(format!("commit of what {name} streamed"), effects);
        let offsets: Offsets = [(TopicPartition::new(topic, 0), offset.into())].into();
        let answer = transaction
            .send_offsets(&GroupMetadata { group: group.to_owned() }, &offsets)
            .and_then(|()| transaction.send_position(position))
            .and_then(|()| transaction.commit());
        self.answered(op, level, answer).map(drop)
    }

    /// Commits offsets of a group, of which every `each` one is asked for later: asking for all would take too long.
    pub fn commit_some(&mut self, group: &str, offsets: &[(&str, u32, u64)], each: usize) -> Check {
        self.commit(group, offsets)?;
        let unasked = offsets.iter().enumerate().filter(|(n, _)| n % each != 0);
        for (_, (topic, partition, _)) in unasked {
            let key = (group.to_owned(), (*topic).to_owned(), *partition);
            self.questions.offsets.remove(&key);
            self.shown.offsets.remove(&key);
            if let Some(op) = self.ops.last_mut() {
                let asked = |e: &Effect| !matches!(e, Effect::Offset { partition: p, .. } if p == partition);
                op.effects.retain(asked);
            }
        }
        Ok(())
    }

    /// Commits offsets of a group.
    pub fn commit(&mut self, group: &str, offsets: &[(&str, u32, u64)]) -> Check {
        let effect = |(topic, partition, offset): &(&str, u32, u64)| Effect::Offset {
            group: group.to_owned(),
            topic: (*topic).to_owned(),
            partition: *partition,
            offset: *offset,
        };
        let op = self.begin(format!("commit of {group}"), offsets.iter().map(effect).collect());
        let entry =
            |(topic, partition, offset): &(&str, u32, u64)| (TopicPartition::new(*topic, *partition), (*offset).into());
        let offsets: Offsets = offsets.iter().map(entry).collect();
        let consumer = self.engine().consumer(ConsumerOptions::new().group(group));
        let answer = consumer.and_then(|consumer| consumer.commit_offsets(&offsets));
        self.answered(op, Durability::Disk, answer).map(drop)
    }

    /// Time passes, and then the background work.
    pub fn rest(&mut self, milliseconds: u64) -> Check {
        self.world.advance(milliseconds * MILLISECOND);
        self.drive()
    }

    /// Has all that is placed written, and flushes nothing: a ticket at level `os` leads the write.
    pub fn drive_write_only(&mut self) -> Check {
        let Some(topic) = self.levels.keys().next().cloned() else { return Ok(()) };
        self.append(&topic, 0, &[40], Durability::Os)
    }

    pub fn drive(&mut self) -> Check {
        self.engine().drive().map_err(|error| format!("drive answers {error}"))?;
        self.see();
        Ok(())
    }

    /// Ends the recording where it is.
    pub fn end(self) -> Recorded {
        let (log, states) = (self.world.log(), self.states());
        self.world.kill();
        let Tape { ops, acks, raws, questions, faulty, .. } = self;
        Recorded { log, ops, states, acks, raws, questions, faulty }
    }
}

fn records(sends: &[Send<'_>], values: &[Vec<u8>]) -> Vec<Effect> {
    let effect = |((topic, partition, _), value): (&Send<'_>, &Vec<u8>)| Effect::Records {
        topic: (*topic).to_owned(),
        partition: *partition,
        values: vec![known_by(value)],
    };
    sends.iter().zip(values).map(effect).collect()
}
