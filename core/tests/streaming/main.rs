//! Transactions whose batches lie in the log before they are decided: those that outgrow their buffer, and those of
//! raw identities. On a simulated machine, so that time passes and the power goes as the test says.
#![cfg(feature = "sim")]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod limits;
mod native;
mod openings;
mod producers;
mod raw;
mod reopening;
mod segments;
mod times;

use std::time::Duration;

use oncelog::sim::World;
use oncelog::{
    Batch, Engine, EngineOptions, Error, ErrorKind, Identity, Isolation, Offset, Partition, ProducerOptions,
    ReadOptions, Record, Result, TopicOptions,
};

const MINUTE: Duration = Duration::from_secs(60);
const SECOND: u64 = 1_000_000_000;

fn options() -> EngineOptions {
    Engine::options().threads(false).segment_bytes(64 << 10)
}

fn open(world: &World) -> Engine {
    options().open_on(world.machine()).unwrap()
}

/// A world with topic `t` of two partitions, and its engine.
fn begin(seed: u64) -> (World, Engine) {
    let world = World::new(seed);
    let engine = open(&world);
    engine.create_topic("t", TopicOptions::new().partitions(2)).unwrap();
    (world, engine)
}

/// Every record streams at once.
fn streaming() -> ProducerOptions {
    ProducerOptions::new().transaction_buffer(0)
}

/// What a reader of that isolation finds in a partition: values, in order.
fn read(partition: &Partition, isolation: Isolation) -> Vec<String> {
    let (mut at, mut all) = (0, Vec::new());
    loop {
        let records = partition.read(at, ReadOptions::new().isolation(isolation).max_bytes(700)).unwrap();
        let next = records.next_offset(partition.topic(), partition.number()).unwrap();
        let before = all.len();
        for record in &records {
            all.push(String::from_utf8(record.unwrap().value().unwrap().to_vec()).unwrap());
        }
        assert_eq!(records.count(), (all.len() - before) as u64, "counted without decoding");
        if next == at {
            return all;
        }
        at = next;
    }
}

fn committed(partition: &Partition) -> Vec<String> {
    read(partition, Isolation::ReadCommitted)
}

fn uncommitted(partition: &Partition) -> Vec<String> {
    read(partition, Isolation::ReadUncommitted)
}

fn ends(partition: &Partition) -> (Offset, Offset) {
    let bounds = partition.bounds();
    (bounds.stable, bounds.end)
}

/// A plain record, flushed.
fn plain(engine: &Engine, partition: u32, value: &str) {
    let mut batch = Batch::builder();
    batch.push(&Record::new(value.as_bytes()), 1).unwrap();
    engine.partition("t", partition).unwrap().append(&batch.build().unwrap()).unwrap().wait().unwrap();
}

/// A batch of an identity with one record, appended and flushed; `sequence` of it.
fn append(engine: &Engine, partition: u32, identity: Identity, sequence: i32, value: &str) -> Result<Offset> {
    let mut batch = Batch::builder();
    batch.push(&Record::new(value.as_bytes()), 1)?;
    batch.producer(identity, sequence).transactional(true);
    let ticket = engine.partition("t", partition)?.append(&batch.build()?)?;
    ticket.wait().map(|appended| appended.first)
}

/// The same without the transactional bit.
fn append_plainly(engine: &Engine, partition: u32, identity: Identity, sequence: i32) -> Result<Offset> {
    let mut batch = Batch::builder();
    batch.push(&Record::new(b"x"), 1)?;
    batch.producer(identity, sequence);
    let ticket = engine.partition("t", partition)?.append(&batch.build()?)?;
    ticket.wait().map(|appended| appended.first)
}

fn kind<T: std::fmt::Debug>(answer: Result<T>) -> ErrorKind {
    answer.map_err(|error: Error| error.kind()).expect_err("refused")
}
