//! What a written frame reaches: the partitions as readers see them. Filled by the leader of a write, read by everyone.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::format::batch::BatchHeader;
use crate::format::decision::{DecisionHead, Ended};
use crate::format::footer::{Aborted, Run};
use crate::format::frame::{FRAME_HEADER, Frame, Payload};
use crate::io::sync::atomic::{AtomicU64, Ordering};
use crate::io::sync::{Mutex, RwLock};
use crate::io::touched::touch;
use crate::journal::{Fold, Parts, Placed, raise};
use crate::limits::ENTRIES_PER_HOLD;
use crate::partition::{OfTopic, Partition, Shown, What, Witness, Written};
use crate::state::growing::Growing;
use crate::state::{Snapshot, State, Topic};
use crate::types::{Durability, Instance, Lsn, TimestampType, TopicId, Visibility};

/// A topic with its partitions as they are now.
pub struct TopicHandle {
    /// The name.
    pub name: Arc<str>,
    /// The id.
    pub id: TopicId,
    /// The topic's own level, if it has one.
    pub durability: Option<Durability>,
    /// Whose time its records carry.
    pub timestamp_type: TimestampType,
    /// By number.
    pub partitions: Vec<Arc<Partition>>,
}

/// Notes of one partition that are told in one go: readers wait that long at most.
const STRETCH: usize = 128;

/// What the frames of a group tell when they are written, in journal order.
#[derive(Default)]
pub struct Notes {
    /// The first `count` of them; the others serve again. A note is written where it stays: one that is made elsewhere
    /// and copied has to wait for all that was written of it.
    list: Vec<Note>,
    count: usize,
    /// That of the last note which this told, and likely that of its next one. Kept beyond its topic's end by two of
    /// these at most, until they tell of something else.
    last: Option<Arc<Partition>>,
}

/// What one frame tells of one partition when it is written.
struct Note {
    /// `None`: that of the note before. Who appends and who writes would fight for its counter, once a record.
    partition: Option<Arc<Partition>>,
    instance: Instance,
    lsn: Lsn,
    written: Written,
}

impl Note {
    const EMPTY: Note = Note { partition: None, instance: 0, lsn: 0, written: Written::EMPTY };
}

/// The partitions of an open engine.
pub struct Hub {
    /// Level of topics that name none.
    pub level: Durability,
    /// Hears of records that cannot be read.
    witness: Arc<dyn Witness>,
    /// Readers see nothing that is not durable, whatever the topic's level.
    durable_only: bool,
    topics: RwLock<Growing<Arc<str>, Arc<TopicHandle>>>,
    /// Raised by every change of `topics`, so that who has looked one up need not look again.
    changes: AtomicU64,
    partitions: RwLock<Growing<Instance, Arc<Partition>>>,
    /// Batches and records written, raised by the holder of the write baton.
    pub batches: AtomicU64,
    pub records: AtomicU64,
    /// Written and not flushed, in journal order.
    unflushed: Mutex<VecDeque<(Lsn, Arc<Partition>, Shown)>>,
}

impl Hub {
    pub fn new(level: Durability, visibility: Visibility, witness: Arc<dyn Witness>) -> Hub {
        Hub {
            level,
            durable_only: visibility == Visibility::Durable,
            witness,
            topics: RwLock::default(),
            changes: AtomicU64::new(1),
            partitions: RwLock::default(),
            batches: AtomicU64::new(0),
            records: AtomicU64::new(0),
            unflushed: Mutex::default(),
        }
    }

    /// Before the partitions of a log that is opened are taken in: so many will come.
    pub fn expect(&self, partitions: usize) {
        *self.partitions.write() = Growing::with_room(partitions);
    }

    /// Takes in the next partitions of a topic behind those that `taken` holds, at most as many as one hold of the
    /// journal's lock may last for. With the last of them the topic is there for all to see: true.
    pub fn adopt(&self, topic: &Topic, state: &State, taken: &mut Vec<Arc<Partition>>) -> bool {
        let level = topic.durability().unwrap_or(self.level);
        let timestamp_type = state.topic_config(topic.id).timestamp_type;
        let shown = if self.durable_only { Durability::Disk } else { level };
        let of = Arc::new(OfTopic { topic: topic.name.clone(), id: topic.id, witness: self.witness.clone() });
        let mut known = self.partitions.write();
        // No more than a topic may have.
        let numbers = taken.len() as u32..;
        for (number, instance) in numbers.clone().zip(topic.instances(numbers.start)).take(ENTRIES_PER_HOLD) {
            let made = || {
                let (start, end) = (state.start(instance).unwrap_or(0), state.end(instance).unwrap_or(0));
                let kept = (level, shown, timestamp_type);
                let past = (start..end, state.undecided_in(instance));
                Arc::new(Partition::new(of.clone(), number, instance, kept, past))
            };
            let partition = match known.get(&instance) {
                Some(partition) => partition.clone(),
                None => {
                    let partition = made();
                    known.insert_new(instance, partition.clone());
                    partition
                }
            };
            touch(1);
            taken.push(partition);
        }
        drop(known);
        if taken.len() < topic.partitions as usize {
            return false;
        }
        let (name, id, durability) = (topic.name.clone(), topic.id, topic.durability());
        let partitions = std::mem::take(taken);
        let handle = Arc::new(TopicHandle { name, id, durability, timestamp_type, partitions });
        self.topics.write().insert(topic.name.clone(), handle);
        self.changes.fetch_add(1, Ordering::Release);
        true
    }

    /// Lets a topic go. The name may be another topic's already.
    pub fn remove(&self, topic: &Topic) {
        let mut instances = topic.instances(0).peekable();
        while instances.peek().is_some() {
            // Who holds the journal's lock may wait for this one.
            let mut known = self.partitions.write();
            let some = instances.by_ref().take(ENTRIES_PER_HOLD);
            let gone: Vec<_> = some.filter_map(|instance| known.remove(&instance)).collect();
            drop(known);
            gone.iter().for_each(|partition| partition.delete());
        }
        let mut topics = self.topics.write();
        if topics.get(&topic.name).is_some_and(|t| t.id == topic.id) {
            topics.remove(&topic.name);
        }
        drop(topics);
        self.changes.fetch_add(1, Ordering::Release);
    }

    /// What a look at a topic's name is good for: as long as this stays the same, so does the answer.
    #[inline]
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    pub fn topic(&self, name: &str) -> Option<Arc<TopicHandle>> {
        self.topics.read().get(name).cloned()
    }

    pub fn topics(&self) -> Vec<Arc<TopicHandle>> {
        let mut topics: Vec<_> = self.topics.read().values().cloned().collect();
        topics.sort_by(|a, b| a.name.cmp(&b.name));
        topics
    }

    pub fn partition(&self, instance: Instance) -> Option<Arc<Partition>> {
        self.partitions.read().get(&instance).cloned()
    }

    pub fn partitions(&self) -> Vec<Arc<Partition>> {
        self.partitions.read().values().cloned().collect()
    }

    /// The notes of a frame in its place, by what its head says: what a copied frame has to tell.
    pub fn notes_of(&self, placed: Placed, frame: &Frame<'_>, notes: &mut Notes) {
        match frame.payload() {
            Ok(Payload::Records { instance, batch }) => {
                if let Some(partition) = self.partition(instance) {
                    // What is open behind the copied frames is known already, so none of them opens anything.
                    let at = (placed.place.position, frame.header.len(), false);
                    note(notes, &partition, placed, at, &batch, What::Records);
                }
            }
            Ok(Payload::Decision { head, .. }) => {
                let what = if head.ended == Ended::Abort { What::CopiedAbort } else { What::CopiedCommit };
                self.note_decided(placed, &head, what, notes);
            }
            Ok(Payload::Transaction { head, .. }) => {
                let mut at = placed.place.position + (FRAME_HEADER + frame.head.len()) as u64;
                for item in head.batches(frame.body).flatten() {
                    let (part, batch, _) = item;
                    if let Some(partition) = self.partition(part.instance) {
                        note_part(notes, &partition, placed, at, &batch);
                    }
                    at += u64::from(part.len);
                }
            }
            _ => {}
        }
    }

    /// Notes a decision: what it means to each partition that the transaction reached.
    pub fn note_decision(&self, placed: Placed, head: &DecisionHead<'_>, notes: &mut Notes) {
        let what = if head.ended == Ended::Abort { What::Aborted } else { What::Committed };
        self.note_decided(placed, head, what, notes);
    }

    fn note_decided(&self, placed: Placed, head: &DecisionHead<'_>, what: What, notes: &mut Notes) {
        let producer_id = head.producer.0;
        for span in head.spans() {
            let Some(partition) = self.partition(span.instance) else { continue };
            if !matches!(what, What::CopiedAbort | What::CopiedCommit) {
                let range = Aborted { producer_id, first: span.first, end: span.end };
                partition.placed_decision(range, what == What::Aborted);
            }
            let run = Run { position: 0, len: 0, bare: false, first_offset: span.first, max_timestamp: -1 };
            let written =
                Written { segment: placed.place.segment, lsn: placed.lsn, run, end: span.end, producer_id, what };
            push(notes, &partition, placed.lsn, written);
        }
    }
}

/// Notes a records frame.
#[inline]
pub fn note_records(notes: &mut Notes, p: &Arc<Partition>, placed: Placed, batch: &BatchHeader, len: u64) {
    let what = if batch.is_transactional() { What::Undecided } else { What::Records };
    note(notes, p, placed, (placed.place.position, len, false), batch, what);
    if what == What::Undecided
        && let Some(Note { written, .. }) = notes.list[..notes.count].last()
    {
        p.placed_undecided(batch.producer_id, written.run.first_offset, written.end);
    }
}

/// Notes a batch inside a transaction frame.
pub fn note_part(notes: &mut Notes, p: &Arc<Partition>, placed: Placed, position: u64, batch: &BatchHeader) {
    note(notes, p, placed, (position, batch.size() as u64, true), batch, What::Records);
}

#[inline(always)]
fn note(notes: &mut Notes, p: &Arc<Partition>, placed: Placed, at: (u64, u64, bool), batch: &BatchHeader, what: What) {
    let first_offset = batch.base_offset.max(0).unsigned_abs();
    let (position, len, bare) = at;
    // Segments are at most 2 GiB, so a position fits.
    let run =
        Run { position: position as u32, len: len as u32, bare, first_offset, max_timestamp: batch.max_timestamp };
    let end = first_offset + u64::from(batch.last_offset_delta.max(0).unsigned_abs()) + 1;
    let written =
        Written { segment: placed.place.segment, lsn: placed.lsn, run, end, producer_id: batch.producer_id, what };
    push(notes, p, placed.lsn, written);
}

#[inline(always)]
fn push(notes: &mut Notes, p: &Arc<Partition>, lsn: Lsn, written: Written) {
    let instance = p.instance();
    let Notes { list, count, last } = notes;
    let known = match list[..*count].last() {
        Some(last) => last.instance == instance,
        None => last.as_ref().is_some_and(|last| last.instance() == instance),
    };
    if *count == list.len() {
        list.push(Note::EMPTY);
    }
    let note = &mut list[*count];
    note.partition = if known { None } else { Some(p.clone()) };
    (note.instance, note.lsn, note.written) = (instance, lsn, written);
    *count += 1;
}

impl Fold for Hub {
    type State = State;
    type Notes = Notes;
    type Snapshot = Snapshot;

    fn written(&self, notes: &mut Notes) {
        let mut unflushed = None;
        let (mut batches, mut records) = (0, 0);
        let Notes { list, count, last } = notes;
        let mut rest = &mut list[..*count];
        while let Some(first) = rest.first_mut() {
            if first.partition.is_some() {
                *last = first.partition.take();
            }
            let Some(partition) = last else { break };
            let same = rest.iter().position(|note| note.partition.is_some()).unwrap_or(rest.len());
            let (stretch, others) = rest.split_at_mut(same);
            for written in stretch.iter().map(|note| &note.written).filter(|written| !written.what.is_decision()) {
                (batches, records) = (batches + 1, records + written.end - written.run.first_offset);
            }
            for some in stretch.chunks(STRETCH) {
                partition.written(some.iter().map(|note| note.written));
            }
            if partition.shown() == Durability::Disk {
                let queue = unflushed.get_or_insert_with(|| self.unflushed.lock());
                for (n, note) in stretch.iter().enumerate() {
                    // Flushes end between groups, so of plain records side by side the last end says it all.
                    let next = stretch.get(n + 1).map(|next| next.written.what);
                    if note.written.what != What::Records || next != Some(What::Records) {
                        queue.push_back((note.lsn, partition.clone(), note.written.shown()));
                    }
                }
            }
            rest = others;
        }
        *count = 0;
        last.take_if(|last| last.is_deleted());
        raise(&self.batches, batches);
        raise(&self.records, records);
    }

    fn durable(&self, lsn: Lsn) {
        let mut unflushed = self.unflushed.lock();
        while unflushed.front().is_some_and(|(at, _, _)| *at <= lsn) {
            if let Some((_, partition, shown)) = unflushed.pop_front() {
                partition.durable(shown);
            }
        }
    }

    fn undecided(state: &State) -> bool {
        state.has_undecided()
    }

    fn sweep(state: &mut State) -> bool {
        state.sweep(ENTRIES_PER_HOLD)
    }

    fn snapshot(state: &State) -> Snapshot {
        state.snapshot()
    }
}

impl Parts for Snapshot {
    fn parts(&self) -> u32 {
        Snapshot::parts(self)
    }
    fn encode(&self, part: u32, out: &mut Vec<u8>) {
        Snapshot::encode(self, part, out);
    }
}
