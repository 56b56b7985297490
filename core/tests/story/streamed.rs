//! The story of transactions that lie in the log before they are decided.

use std::fmt::Write;
use std::time::Duration;

use oncelog::sim::World;
use oncelog::{
    Batch, ConsumerOptions, Engine, GroupMetadata, Identity, Isolation, Offsets, Outcome, ProducerOptions, ReadOptions,
    Record, Result, TopicOptions, TopicPartition,
};

use super::{Files, SEED, options};

/// The identity of the raw transaction that is left open.
const OPEN: Identity = Identity { producer_id: 2, epoch: 1 };

/// A directory that was closed cleanly: transactions committed and aborted over several segments, and a raw one open.
pub fn streamed() -> Result<Files> {
    let world = World::new(SEED);
    let engine = options().keep_raw_transactions(true).open_on(world.machine())?;
    engine.create_topic("events", TopicOptions::new().partitions(2))?;
    let [keeper, loser] = ["keeper", "loser"]
        .map(|name| engine.transactional_producer(name, ProducerOptions::new().transaction_buffer(0)));
    let (keeper, loser) = (keeper?, loser?);
    engine.init_producer(Some("broker"), Duration::from_secs(60), None)?;
    let raw = engine.init_producer(Some("broker"), Duration::from_secs(60), None)?;
    assert_eq!(raw, OPEN);
    for round in 0..3u64 {
        let (mut kept, mut lost) = (keeper.begin_transaction()?, loser.begin_transaction()?);
        for n in 0..6 {
            let value = format!("round {round} record {n} ").repeat(250);
            kept.send("events", Record::new(value.as_bytes()).partition(n % 2).timestamp(7))?;
            lost.send("events", Record::new(b"never").partition(n % 2).timestamp(8))?;
            engine.drive()?;
        }
        lost.abort()?;
        let read = Offsets::from([(TopicPartition::new("events", 0), (round + 1).into())]);
        kept.send_offsets(&GroupMetadata { group: "readers".into() }, &read)?;
        kept.send_position(round * 10)?;
        kept.commit()?;
    }
    let mut batch = Batch::builder();
    batch.push(&Record::new(b"undecided"), 9)?;
    batch.producer(raw, 0).transactional(true);
    engine.partition("events", 0)?.append(&batch.build()?)?.wait()?;
    let pending = Offsets::from([(TopicPartition::new("events", 1), 77.into())]);
    engine.send_offsets(raw, &GroupMetadata { group: "readers".into() }, &pending)?;
    engine.close()?;
    Ok(world.files())
}

/// Everything that can be asked, before the open transaction is committed and after.
pub fn answers(engine: &Engine) -> Result<String> {
    let mut out = String::new();
    tell(engine, &mut out)?;
    let next = engine.end_transaction(OPEN, Outcome::Commit)?;
    let _ = writeln!(out, "committed: next epoch {}", next.epoch);
    tell(engine, &mut out)?;
    let keeper = engine.transactional_producer("keeper", ProducerOptions::new())?;
    let _ = writeln!(out, "position keeper {:?}", keeper.position());
    Ok(out)
}

fn tell(engine: &Engine, out: &mut String) -> Result<()> {
    for open in engine.describe_transactions()? {
        let (id, epoch, partitions) = (open.transactional_id, open.identity.epoch, open.partitions);
        let _ = writeln!(out, "open {} of {id} epoch {epoch} raw={} {partitions:?}", open.number, open.raw);
    }
    for number in 1..=8 {
        let _ = writeln!(out, "transaction {number} {:?}", engine.transaction_status(number)?);
    }
    for number in 0..2 {
        let partition = engine.partition("events", number)?;
        let bounds = partition.bounds();
        let _ = writeln!(out, "events-{number} stable={} end={}", bounds.stable, bounds.end);
        for isolation in [Isolation::ReadCommitted, Isolation::ReadUncommitted] {
            let mut at = 0;
            loop {
                let records = partition.read(at, ReadOptions::new().isolation(isolation))?;
                for record in &records {
                    let record = record?;
                    let value = super::text(record.value());
                    let _ = writeln!(out, "events-{number} {isolation:?} {} {value}", record.offset());
                }
                let next = records.next_offset("events", number).unwrap_or(at);
                if next == at {
                    break;
                }
                at = next;
            }
        }
        let options = ConsumerOptions::new().group("readers").isolation(Isolation::ReadUncommitted);
        let committed = engine.consumer(options)?.committed(&TopicPartition::new("events", number))?;
        let _ = writeln!(out, "readers events-{number} {committed:?}");
    }
    Ok(())
}
