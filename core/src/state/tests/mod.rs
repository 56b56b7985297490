//! What the tests of the state share: a small log that checks, places and applies like the engine.

mod active;
mod bounds;
mod catalog;
mod decisions;
mod leftovers;
mod producers;
mod random;
mod snapshots;

use super::*;
use crate::format::control::{OffsetEntry, TopicCreated, TopicDeleted};
use crate::format::topic_config::TopicConfig;
use crate::format::transaction::{Decision, PART, Part, TRANSACTION_HEAD};
use crate::types::Identity;

/// A state with the LSN of its next frame.
struct Log {
    state: State,
    lsn: Lsn,
}

impl Log {
    fn new() -> Self {
        Log { state: State::default(), lsn: 1 }
    }

    /// One topic "t" with two partitions, instances 0 and 1, and the raw producer 7 at epoch 0.
    fn with_raw_producer() -> Self {
        let mut log = Log::new();
        log.create("t", 2);
        log.open("", 7, -1, 0);
        log
    }

    fn apply(&mut self, payload: &Payload<'_>) -> Lsn {
        let lsn = self.lsn;
        self.state.apply(lsn, payload);
        self.lsn += 1;
        lsn
    }

    /// Creates a topic whose id is its name's first bytes; returns its first instance.
    fn create(&mut self, name: &str, partitions: u32) -> Instance {
        let first_instance = self.state.next_instance();
        self.apply(&Payload::TopicCreated(created(name, first_instance, partitions)));
        first_instance
    }

    fn delete(&mut self, name: &str) {
        self.apply(&Payload::TopicDeleted(TopicDeleted { topic: id(name).0 }));
    }

    fn open(&mut self, name: &str, producer_id: i64, previous_id: i64, epoch: i16) -> Lsn {
        self.apply(&Payload::ProducerOpened(ProducerOpened {
            producer_id,
            previous_id,
            epoch,
            last_epoch: -1,
            timeout_ms: 60_000,
            name,
        }))
    }

    /// Checks a batch and, if it is accepted, places and applies it at the partition's end.
    fn append(&mut self, instance: Instance, batch: BatchHeader) -> Result<Verdict> {
        let verdict = self.state.check_batch(instance, &batch)?;
        if verdict == Verdict::Accept {
            self.replay(instance, batch);
        }
        Ok(verdict)
    }

    /// Applies a batch at the partition's end without asking.
    fn replay(&mut self, instance: Instance, mut batch: BatchHeader) -> Lsn {
        batch.base_offset = self.state.end(instance).unwrap_or(0).cast_signed();
        self.apply(&Payload::Records { instance, batch })
    }

    fn transaction(&mut self, frame: &Gathered<'_>) -> Lsn {
        let lsn = self.lsn;
        frame.apply(&mut self.state, lsn);
        self.lsn += 1;
        lsn
    }

    fn commit(&mut self, group: &str, topic: &str, partition: u32, offset: Offset, metadata: &str) -> Lsn {
        let lsn = self.lsn;
        let entry = OffsetEntry { group, topic: id(topic).0, partition, offset, leader_epoch: 3, metadata };
        with_offsets(&[entry], |offsets| self.state.apply(lsn, &Payload::Offsets(offsets)));
        self.lsn += 1;
        lsn
    }

    /// The same log after a checkpoint and a restart.
    fn reloaded(&self) -> Self {
        Log { state: reload(&self.state), lsn: self.lsn }
    }
}

/// A transaction frame before its bytes.
#[derive(Clone, Debug, Default)]
struct Gathered<'a> {
    producer: (i64, i16),
    number: u64,
    position: Option<u64>,
    /// Instance, base offset, last offset delta.
    parts: Vec<(Instance, Offset, u32)>,
    offsets: Vec<OffsetEntry<'a>>,
}

impl Gathered<'_> {
    fn apply(&self, state: &mut State, lsn: Lsn) {
        with_offsets(&self.offsets, |offsets| {
            let mut head = Vec::new();
            let decision = if self.number == 0 { Decision::None } else { Decision::Commit };
            let parts = self.parts.len();
            TransactionHead::encode(&mut head, self.producer, decision, self.number, self.position, &[], parts);
            for (index, (instance, base_offset, last_offset_delta)) in self.parts.iter().copied().enumerate() {
                let part = Part { instance, len: 61, base_offset, batch_crc: 0, leader_epoch: 0, last_offset_delta };
                part.write(&mut head[TRANSACTION_HEAD + index * PART..]);
            }
            let head = TransactionHead::read(&head).expect("just encoded");
            state.apply(lsn, &Payload::Transaction { head, offsets });
        });
    }
}

fn with_offsets(entries: &[OffsetEntry<'_>], f: impl FnOnce(OffsetsBlock<'_>)) {
    let mut groups: Vec<(&str, Vec<OffsetEntry<'_>>)> = Vec::new();
    for entry in entries {
        match groups.last_mut() {
            Some((group, entries)) if *group == entry.group => entries.push(*entry),
            _ => groups.push((entry.group, vec![*entry])),
        }
    }
    let mut bytes = Vec::new();
    if !groups.is_empty() {
        OffsetsBlock::write(&mut bytes, 0, &groups);
    }
    f(OffsetsBlock::read(&bytes).expect("just encoded"));
}

/// Whether the transaction of an identity may have these offsets pending too.
fn check_sent(state: &State, identity: Identity, entries: &[OffsetEntry<'_>]) -> Result<Option<TransactionNumber>> {
    let (mut answer, count) = (Ok(None), entries.len());
    let bytes = entries.iter().map(|entry| entry.group.len() + entry.metadata.len()).sum();
    with_offsets(entries, |block| answer = state.check_send_offsets(identity, &SentOffsets { count, bytes, block }));
    answer
}

fn created(name: &str, first_instance: Instance, partitions: u32) -> TopicCreated<'_> {
    TopicCreated {
        topic: id(name).0,
        first_instance,
        partitions,
        durability: 2,
        partition_kind: 0,
        name,
        config: TopicConfig::default(),
    }
}

fn id(name: &str) -> TopicId {
    let mut id = [0; 16];
    name.bytes().zip(&mut id).for_each(|(from, to)| *to = from);
    TopicId(id)
}

/// A batch of `count` records with sequences from `sequence` on; its timestamp is 1000 + sequence.
fn batch(producer_id: i64, epoch: i16, sequence: i32, count: i32) -> BatchHeader {
    BatchHeader {
        base_offset: 0,
        batch_len: 49 + 10,
        leader_epoch: 0,
        magic: 2,
        crc: 0,
        attributes: 0,
        last_offset_delta: count.saturating_sub(1),
        base_timestamp: 0,
        max_timestamp: 1_000 + i64::from(sequence),
        producer_id,
        epoch,
        base_sequence: sequence,
        count,
    }
}

/// A batch without a producer id.
fn plain(count: i32) -> BatchHeader {
    batch(-1, -1, -1, count)
}

/// What opening a name gives: the id, the id it replaces (-1 for none) and the epoch.
fn next_producer(state: &State, name: &str) -> (i64, i64, i16) {
    let opening = state.check_opening(name, None).expect("anybody may open it");
    (opening.identity.producer_id, opening.previous_id, opening.identity.epoch)
}

fn kind(result: Result<Verdict>) -> ErrorKind {
    result.expect_err("refused").kind()
}

fn parts(snapshot: &Snapshot) -> Vec<Vec<u8>> {
    let part = |part| {
        let mut out = Vec::new();
        snapshot.encode(part, &mut out);
        out
    };
    (1..=snapshot.parts()).map(part).collect()
}

fn load(parts: &[Vec<u8>]) -> Option<State> {
    let mut loader = Loader::new(Lsn::MAX);
    parts.iter().try_for_each(|part| loader.add(part))?;
    loader.finish()
}

/// All parts of the state: equal for equal states.
fn digest(state: &State) -> Vec<Vec<u8>> {
    parts(&state.snapshot())
}

fn reload(state: &State) -> State {
    let before = digest(state);
    let loaded = load(&before).expect("what was encoded can be loaded");
    assert_eq!(digest(&loaded), before, "a loaded state encodes to the same bytes");
    loaded
}
