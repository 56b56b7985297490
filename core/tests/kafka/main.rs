//! What Apache Kafka left on disk decodes, by the library's own decoder, to the records that Kafka's consumers saw.
//! Where the files come from: data/README.md.
#![cfg(all(feature = "gzip", feature = "snappy", feature = "lz4", feature = "zstd"))]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

#[cfg(feature = "sim")]
mod answers;
mod files;
mod reader;

use std::collections::BTreeMap;

use files::{Archive, Partition};
use oncelog::{Durability, Engine, Isolation, ReadOptions, TopicOptions};
use reader::{Aborted, Seen};

fn partitions() -> Vec<Partition> {
    let found = Archive::open().partitions();
    assert_eq!(found.len(), 31, "partitions in the archive");
    found
}

#[test]
fn every_partition_decodes_to_what_kafkas_consumer_saw_under_both_isolations() {
    let mut records = BTreeMap::new();
    for partition in partitions() {
        let batches = reader::batches(&partition.log);
        for isolation in [Isolation::ReadUncommitted, Isolation::ReadCommitted] {
            let seen = reader::read(&batches, &reader::aborted(&batches), isolation);
            let consumer: Vec<Seen> = partition.consumer(isolation).collect();
            assert_eq!(seen.len(), consumer.len(), "{} {isolation:?}", partition.name);
            for (ours, kafkas) in seen.iter().zip(&consumer) {
                assert_eq!(ours, kafkas, "{} {isolation:?}", partition.name);
            }
            *records.entry(format!("{isolation:?}")).or_insert(0) += seen.len();
        }
    }
    println!("{records:?}");
    assert_eq!(records, BTreeMap::from([("ReadCommitted".to_owned(), 1240), ("ReadUncommitted".to_owned(), 1335)]));
}

#[test]
fn ends_and_last_stable_offsets_are_those_that_kafka_answered() {
    for partition in partitions() {
        let batches = reader::batches(&partition.log);
        let (end, stable) = (reader::end(&batches), reader::stable(&batches));
        assert_eq!(end, partition.end(Isolation::ReadUncommitted), "{}", partition.name);
        assert_eq!(stable, partition.end(Isolation::ReadCommitted), "{}", partition.name);
    }
}

/// The markers in the log decide; Kafka's index of aborted transactions is derived from them and must say the same.
#[test]
fn the_index_of_aborted_transactions_says_what_the_markers_say() {
    let mut entries = 0;
    for partition in partitions() {
        let index: Vec<Aborted> = reader::transaction_index(&partition.index);
        let batches = reader::batches(&partition.log);
        assert_eq!(index, reader::aborted(&batches), "{}", partition.name);
        entries += index.len();
    }
    assert_eq!(entries, 30);
}

#[test]
fn every_codec_append_time_holes_and_markers_are_among_the_files() {
    let mut kinds = BTreeMap::<String, usize>::new();
    for partition in partitions() {
        for batch in reader::batches(&partition.log) {
            let header = batch.header;
            let mut count = |kind: &str, is: bool| *kinds.entry(kind.to_owned()).or_default() += usize::from(is);
            count(&format!("codec {}", header.compression()), true);
            count("append time", header.is_log_append_time());
            count("compressed append time", header.is_log_append_time() && header.compression() != 0);
            count("hole", header.count <= header.last_offset_delta);
            count("compressed hole", header.count <= header.last_offset_delta && header.compression() != 0);
            count("no record", header.count == 0);
            count("delete horizon", header.has_delete_horizon());
            count("transactional", header.is_transactional() && !header.is_control());
            count("marker", header.is_control());
        }
    }
    println!("{kinds:?}");
    assert!(kinds.iter().all(|(_, count)| *count > 0), "{kinds:?}");
    assert_eq!(kinds.keys().filter(|kind| kind.starts_with("codec")).count(), 4, "zstd is among the single batches");
}

/// Logs without transactions, holes and append time: their batches go into a partition as they are.
#[test]
fn batches_of_every_codec_appended_as_they_are_read_back_and_look_ups_by_time_answer_as_kafka_did() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::options().durability(Durability::Os).open(dir.path()).unwrap();
    let (mut logs, mut times) = (0, 0);
    for partition in partitions() {
        let batches = reader::batches(&partition.log);
        let plain = |batch: &reader::Stored| {
            let header = batch.header;
            let whole = header.count == header.last_offset_delta + 1 && !header.is_log_append_time();
            whole && !header.is_transactional() && !header.is_control()
        };
        let topic = partition.name.replace('/', ".");
        if batches.is_empty() || !batches.iter().all(plain) || topic.contains("__") {
            continue;
        }
        engine.create_topic(&topic, TopicOptions::new()).unwrap();
        let ours = engine.partition(&topic, 0).unwrap();
        for batch in &batches {
            ours.append(&batch.sent()).unwrap().wait().unwrap();
        }
        let records = ours.read(0, ReadOptions::new()).unwrap();
        assert_eq!(records.count(), partition.end(Isolation::ReadCommitted));
        for (record, seen) in records.iter().zip(partition.consumer(Isolation::ReadCommitted)) {
            let record = record.unwrap();
            assert_eq!((record.offset(), record.timestamp()), (seen.offset, seen.timestamp), "{topic}");
            assert_eq!((record.key(), record.value()), (seen.key.as_deref(), seen.value.as_deref()), "{topic}");
        }
        for (time, offset) in partition.offsets_for_times() {
            assert_eq!(ours.offset_at(time).unwrap(), offset, "{topic} at {time}");
            times += 1;
        }
        assert_eq!(ours.max_timestamp().unwrap(), Some(partition.max_timestamp()), "{topic}");
        logs += 1;
    }
    println!("{logs} logs, {times} look-ups");
    assert!(logs >= 6 && times >= 19, "{logs} logs, {times} look-ups");
}
