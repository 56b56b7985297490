//! What one read holds: of bytes that unpack to a thousand times as many no more than it may.

use std::time::Duration;

use oncelog::{
    Batch, Compression, ConsumerOptions, Durability, Engine, Partition, ReadOptions, Record, Records, TopicOptions,
    TopicPartition,
};

use crate::meter::{bounded, measured};

/// Bytes of a record's value; each is in a batch of its own.
const VALUE: usize = 300_000;
const BATCHES: u64 = 40;
const MOST: usize = 1 << 20;
/// What there is beside the batches: their packed bytes, and what the engine takes for itself.
const BESIDE: usize = 200_000;

/// A log of batches that pack to next to nothing, in so many partitions.
fn packed(dir: &std::path::Path, partitions: u32) -> Engine {
    packed_of(dir, partitions, VALUE)
}

fn packed_of(dir: &std::path::Path, partitions: u32, value: usize) -> Engine {
    let engine = Engine::options().threads(false).durability(Durability::Os).open(dir).unwrap();
    engine.create_topic("t", TopicOptions::new().partitions(partitions)).unwrap();
    let value = vec![0; value];
    for number in 0..u64::from(partitions) * BATCHES {
        let mut batch = Batch::builder();
        batch.compression(Compression::Zstd);
        let timestamp = 1_000 + (number / u64::from(partitions)).cast_signed();
        batch.push(&Record::new(&value).timestamp(timestamp), 0).unwrap();
        let partition = engine.partition("t", (number % u64::from(partitions)) as u32).unwrap();
        partition.append(&batch.build().unwrap()).unwrap().wait().unwrap();
    }
    engine
}

fn walk(records: &Records) -> u64 {
    records.iter().map(|record| assert_eq!(record.unwrap().value().map(<[u8]>::len), Some(VALUE))).count() as u64
}

fn partition(engine: &Engine, number: u32) -> Partition {
    engine.partition("t", number).unwrap()
}

#[test]
fn a_read_holds_no_more_unpacked_bytes_than_it_may_and_the_rest_is_for_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let engine = packed(dir.path(), 1);
    let partition = partition(&engine, 0);
    for most in [1, VALUE, MOST, 32 << 20] {
        let (mut at, mut reads) = (0, 0);
        while at < BATCHES {
            let records = bounded(most + VALUE + BESIDE, || {
                let records = partition.read(at, ReadOptions::new().max_bytes(most)).unwrap();
                assert_eq!(walk(&records), records.count());
                records
            });
            let next = records.next_offset("t", 0).unwrap();
            assert_eq!(next, at + records.count(), "most {most}");
            (at, reads) = (next, reads + 1);
        }
        let each = (most as u64).div_ceil(VALUE as u64);
        assert_eq!((at, reads), (BATCHES, BATCHES.div_ceil(each)), "most {most}");
    }
}

#[test]
fn a_read_of_everything_holds_what_any_read_may_hold_at_most() {
    let dir = tempfile::tempdir().unwrap();
    let large = 1_000_000;
    let engine = packed_of(dir.path(), 1, large);
    let consumer = engine.consumer(ConsumerOptions::new().max_bytes(usize::MAX)).unwrap();
    consumer.assign(&[TopicPartition::new("t", 0)]).unwrap();
    let polled = bounded((32 << 20) + large + BESIDE, || consumer.poll(Duration::ZERO).unwrap());
    let options = ReadOptions::new().max_bytes(usize::MAX);
    let read = bounded((32 << 20) + large + BESIDE, || partition(&engine, 0).read(0, options).unwrap());
    for records in [polled, read] {
        assert_eq!((records.count(), records.next_offset("t", 0)), (34, Some(34)));
    }
}

#[test]
fn a_poll_of_many_partitions_holds_no_more_unpacked_bytes_than_a_read() {
    let dir = tempfile::tempdir().unwrap();
    let engine = packed(dir.path(), 8);
    let consumer = engine.consumer(ConsumerOptions::new().max_bytes(MOST)).unwrap();
    consumer.assign(&(0..8).map(|number| TopicPartition::new("t", number)).collect::<Vec<_>>()).unwrap();
    let mut read = 0;
    while read < 8 * BATCHES {
        let count = bounded(MOST + VALUE + BESIDE, || walk(&consumer.poll(Duration::ZERO).unwrap()));
        assert!(count > 0);
        read += count;
    }
    assert_eq!(read, 8 * BATCHES);
}

#[test]
fn a_look_up_by_time_holds_no_more_unpacked_bytes_than_a_read() {
    let dir = tempfile::tempdir().unwrap();
    let engine = packed(dir.path(), 1);
    let partition = partition(&engine, 0);
    bounded(MOST + VALUE + BESIDE, || {
        assert_eq!(partition.offset_at(1_000 + BATCHES.cast_signed()).unwrap(), None);
        assert_eq!(partition.offset_at(1_030).unwrap(), Some(30));
        assert_eq!(partition.max_timestamp().unwrap(), Some((BATCHES - 1, 999 + BATCHES.cast_signed())));
    });
}

#[test]
fn polls_of_a_few_records_unpack_a_batch_once_and_fetch_little() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::options().threads(false).durability(Durability::Os).open(dir.path()).unwrap();
    for (topic, compression) in [("packed", Compression::Gzip), ("plain", Compression::None)] {
        engine.create_topic(topic, TopicOptions::new()).unwrap();
        let partition = engine.partition(topic, 0).unwrap();
        for _ in 0..100 {
            let mut batch = Batch::builder();
            batch.compression(compression);
            (0..500).for_each(|n: u64| batch.push(&Record::new(format!("{:0100}", n * 7_919).as_bytes()), 1).unwrap());
            partition.append(&batch.build().unwrap()).unwrap().wait().unwrap();
        }
        let consumer = engine.consumer(ConsumerOptions::new().max_records(10)).unwrap();
        consumer.assign(&[TopicPartition::new(topic, 0)]).unwrap();
        let (mut unpacked, mut offset) = (0, 0);
        while offset < 5_000 {
            let (records, taken) = measured(|| consumer.poll(Duration::ZERO).unwrap());
            assert!(taken.peak < 200_000, "{topic} at {offset}: {taken:?}");
            unpacked += u64::from(taken.largest > 50_000);
            for record in &records {
                assert_eq!(record.unwrap().offset(), offset);
                offset += 1;
            }
            assert_eq!(records.count(), 10);
        }
        assert!(topic == "plain" || unpacked == 10, "{unpacked} batches were unpacked to read 10");
    }
}
