//! The public handles on a real directory and with the engine's own threads. Nothing sleeps: who waits is woken.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod alike;
mod closed;
mod completions;
mod consumers;
#[cfg(feature = "sim")]
mod levels;
mod logging;
mod metrics;
mod names;
mod producers;
mod ready;
#[cfg(feature = "sim")]
mod refusals;
#[cfg(feature = "sim")]
mod room;
#[cfg(feature = "sim")]
mod simulated;
#[cfg(feature = "sim")]
mod simulated_tickets;
mod tickets;
mod transactions;
#[cfg(feature = "sim")]
mod unwaiting;

use std::time::Duration;

use oncelog::{
    Consumer, ConsumerOptions, Engine, GroupMetadata, Identity, Offsets, Producer, ProducerOptions, ReadOptions,
    Records, TopicOptions, TopicPartition,
};

/// Long enough never to pass in a test that works.
const LONG: Duration = Duration::from_secs(600);

fn engine(topics: &[(&str, u32)]) -> (tempfile::TempDir, Engine) {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::open(dir.path()).unwrap();
    for (name, partitions) in topics {
        engine.create_topic(name, TopicOptions::new().partitions(*partitions)).unwrap();
    }
    (dir, engine)
}

fn slow(engine: &Engine) -> Producer {
    engine.producer(ProducerOptions::new().linger(LONG)).unwrap()
}

fn values(records: &Records) -> Vec<String> {
    records.iter().map(|record| String::from_utf8(record.unwrap().value().unwrap().to_vec()).unwrap()).collect()
}

/// All values of a partition, in order.
fn content(engine: &Engine, topic: &str, partition: u32) -> Vec<String> {
    let partition = engine.partition(topic, partition).unwrap();
    let (mut at, mut found) = (0, Vec::new());
    while at < partition.bounds().end {
        let records = partition.read(at, ReadOptions::new()).unwrap();
        found.extend(values(&records));
        at = records.next_offset(topic, partition.number()).unwrap();
    }
    found
}

fn consumer(engine: &Engine, group: &str, partitions: &[(&str, u32)]) -> Consumer {
    let consumer = engine.consumer(ConsumerOptions::new().group(group)).unwrap();
    consumer.assign(&names(partitions)).unwrap();
    consumer
}

fn names(partitions: &[(&str, u32)]) -> Vec<TopicPartition> {
    partitions.iter().map(|(topic, number)| TopicPartition::new(*topic, *number)).collect()
}

/// A raw transaction of the group's own that will commit offset 1 of these partitions.
fn pending(engine: &Engine, group: &str, partitions: &[TopicPartition], timeout: Duration) -> Identity {
    let identity = engine.init_producer(Some(group), timeout, None).unwrap();
    let offsets: Offsets = partitions.iter().map(|partition| (partition.clone(), 1.into())).collect();
    engine.send_offsets(identity, &GroupMetadata { group: group.to_owned() }, &offsets).unwrap();
    identity
}
