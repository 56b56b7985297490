//! Look-ups by time while transactions are open: they end at the stable offset, or at the end for readers who see what
//! is undecided, in settled segments as in live ones.

use oncelog::sim::{Rng, World};
use oncelog::{
    Batch, Engine, EngineOptions, Identity, Isolation, Offset, Outcome, Partition, ProducerOptions, ReadOptions,
    Record, Timestamp, TimestampType, TopicOptions,
};

use crate::{MINUTE, begin, streaming};

/// Seeds of the model.
const SEEDS: u64 = 24;

#[test]
fn the_greatest_time_is_that_of_decided_records_when_their_segment_is_settled() {
    let (_world, engine) = begin(1);
    let partition = engine.partition("t", 0).unwrap();
    let plain = engine.producer(ProducerOptions::new()).unwrap();
    let send = |value: &[u8], timestamp| {
        plain.send("t", Record::new(value).partition(0).timestamp(timestamp)).unwrap().wait().unwrap();
        engine.drive().unwrap();
    };
    send(b"decided", 5);
    let transactional = engine.transactional_producer("tp", streaming()).unwrap();
    let mut transaction = transactional.begin_transaction().unwrap();
    transaction.send("t", Record::new(b"open").partition(0).timestamp(100)).unwrap();
    engine.flush().unwrap();
    assert_eq!(partition.max_timestamp().unwrap(), Some((0, 5)), "live");
    (0..400).for_each(|_| send(&[b'x'; 1000], 200));
    (0..50).for_each(|_| assert!(engine.drive().is_ok()));
    assert!(engine.metrics().segments > 3);
    assert_eq!(partition.max_timestamp().unwrap(), Some((0, 5)), "settled");
    assert_eq!(partition.max_timestamp_with(Isolation::ReadUncommitted).unwrap(), Some((2, 200)));
    assert_eq!(partition.offset_at(6).unwrap(), None);
    assert_eq!(partition.offset_at_with(6, Isolation::ReadUncommitted).unwrap(), Some(1));
    transaction.commit().unwrap();
    assert_eq!(partition.max_timestamp().unwrap(), Some((2, 200)), "decided");
}

/// Who writes: identities with transactions of their own, and, in the last place, nobody.
struct Writer {
    identity: Identity,
    sequence: i32,
    open: bool,
}

/// A log that is written at random.
struct Model {
    rng: Rng,
    world: World,
    engine: Engine,
    writers: Vec<Writer>,
    clock: Timestamp,
}

fn options() -> EngineOptions {
    crate::options().keep_raw_transactions(true)
}

impl Model {
    fn new(seed: u64) -> Self {
        let world = World::new(seed);
        let engine = options().open_on(world.machine()).unwrap();
        let stamps = if seed.is_multiple_of(3) { TimestampType::LogAppendTime } else { TimestampType::CreateTime };
        engine.create_topic("t", TopicOptions::new().timestamp_type(stamps)).unwrap();
        let writer = |n| {
            let identity = engine.init_producer(Some(&format!("w{n}")), 10 * MINUTE, None).unwrap();
            Writer { identity, sequence: 0, open: false }
        };
        let writers = (0..4).map(writer).collect();
        Self { rng: Rng::new(seed), world, engine, writers, clock: 1_000 }
    }

    fn partition(&self) -> Partition {
        self.engine.partition("t", 0).unwrap()
    }

    fn step(&mut self) {
        match self.rng.weighted(&[56, 24, 8, 1]) {
            0 => self.append(),
            1 => self.decide(),
            2 => (0..5).for_each(|_| assert!(self.engine.drive().is_ok())),
            _ => {
                self.engine.close().unwrap();
                self.engine = options().open_on(self.world.machine()).unwrap();
            }
        }
    }

    /// A batch of one writer's transaction, or of none. Times go back and forth, some are far ahead, some are missing.
    fn append(&mut self) {
        let mut batch = Batch::builder();
        let count = 1 + self.rng.below(5) as i32;
        for _ in 0..count {
            self.clock += self.rng.below(100).cast_signed() - 30;
            let timestamp = match self.rng.below(20) {
                0 => -1,
                1 => self.clock + 5_000,
                2 => 0,
                _ => self.clock.max(0),
            };
            let value = vec![b'v'; self.rng.index(1_500)];
            batch.push(&Record::new(&value).timestamp(timestamp), 0).unwrap();
        }
        let who = self.rng.index(self.writers.len() + 1);
        if let Some(writer) = self.writers.get_mut(who) {
            batch.producer(writer.identity, writer.sequence).transactional(true);
            (writer.sequence, writer.open) = (writer.sequence + count, true);
        }
        self.partition().append(&batch.build().unwrap()).unwrap().wait().unwrap();
    }

    fn decide(&mut self) {
        let who = self.rng.index(self.writers.len());
        let outcome = if self.rng.chance(1, 2) { Outcome::Commit } else { Outcome::Abort };
        let writer = &mut self.writers[who];
        if writer.open {
            let identity = self.engine.end_transaction(writer.identity, outcome).unwrap();
            *writer = Writer { identity, sequence: 0, open: false };
        }
    }

    /// What look-ups must answer, by reading everything below the end that a reader sees, aborted or not.
    fn check(&mut self, case: &str) {
        let partition = self.partition();
        let bounds = partition.bounds();
        for (isolation, end) in [(Isolation::ReadCommitted, bounds.stable), (Isolation::ReadUncommitted, bounds.end)] {
            let seen = times(&partition, end);
            let first = |timestamp| seen.iter().find(|(_, at)| *at >= timestamp).map(|(offset, _)| *offset);
            let greatest = seen.iter().map(|(_, at)| *at).max().filter(|greatest| *greatest >= 0);
            let expected = greatest.and_then(|greatest| Some((first(greatest)?, greatest)));
            assert_eq!(partition.max_timestamp_with(isolation).unwrap(), expected, "{case} {isolation:?}");
            for _ in 0..10 {
                let timestamp = self.rng.below(self.clock.unsigned_abs() + 6_000).cast_signed();
                let found = partition.offset_at_with(timestamp, isolation).unwrap();
                assert_eq!(found, first(timestamp), "{case} {isolation:?}, at {timestamp}");
            }
        }
    }
}

/// Offset and time of every record below `end`.
fn times(partition: &Partition, end: Offset) -> Vec<(Offset, Timestamp)> {
    let (mut at, mut all) = (0, Vec::new());
    while at < end {
        let options = ReadOptions::new().isolation(Isolation::ReadUncommitted).max_bytes(5_000);
        let records = partition.read(at, options).unwrap();
        let read = records.iter().map(|record| record.map(|record| (record.offset(), record.timestamp())).unwrap());
        all.extend(read.filter(|(offset, _)| *offset < end));
        at = records.next_offset("t", 0).unwrap();
    }
    all
}

#[test]
fn look_ups_by_time_answer_what_a_scan_answers_up_to_the_end_that_a_reader_sees() {
    let mut segments = 0;
    for seed in 1..=SEEDS {
        let mut model = Model::new(seed);
        for step in 1..=300 {
            model.step();
            if step % 20 == 0 {
                model.check(&format!("seed {seed} step {step}"));
            }
        }
        segments += model.engine.metrics().segments;
    }
    assert!(segments > 4 * SEEDS, "{segments} segments");
}
