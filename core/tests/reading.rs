//! Reading across many segments: with their footers, without them, with damaged ones, and with damaged records.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use oncelog::{Engine, EngineOptions, ErrorKind, Offset, ProducerOptions, ReadOptions, Record, TopicOptions};

const PARTITIONS: u32 = 6;

fn options() -> EngineOptions {
    Engine::options().segment_bytes(64 << 10)
}

/// The value of a record: its offset, and some bytes to fill the segments.
fn text(partition: u32, offset: Offset) -> String {
    format!("{partition}/{offset}/{}", "x".repeat((offset * 7 % 90) as usize))
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(dir).unwrap().map(|file| file.unwrap().path());
    let mut found: Vec<_> = files.filter(|path| path.extension().is_some_and(|e| e == "seg")).collect();
    found.sort();
    found
}

/// A log of some dozens of segments, in several lives: partition 0 is in all of them, 5 in few, 4 in the first only,
/// and some of it came in transactions.
fn write(dir: &Path) -> BTreeMap<u32, Offset> {
    let mut ends: BTreeMap<u32, Offset> = (0..PARTITIONS).map(|p| (p, 0)).collect();
    for life in 0..3 {
        let engine = options().open(dir).unwrap();
        if life == 0 {
            engine.create_topic("t", TopicOptions::new().partitions(PARTITIONS)).unwrap();
        }
        let producer = engine.producer(ProducerOptions::new().batch_bytes(700)).unwrap();
        let transactional = engine.transactional_producer("tp", ProducerOptions::new()).unwrap();
        for round in 0..1_200u32 {
            let chosen: Vec<u32> = match round {
                0 if life == 0 => (0..PARTITIONS).collect(),
                _ if round % 400 == 399 => vec![0, 5],
                _ => vec![0, 1, 2 + round / 7 % 2],
            };
            let mut transaction = (round % 5 == 0).then(|| transactional.begin_transaction().unwrap());
            for partition in chosen {
                for _ in 0..1 + round % 6 {
                    let end = ends.get_mut(&partition).unwrap();
                    let value = text(partition, *end);
                    let record = Record::new(value.as_bytes()).partition(partition);
                    match &mut transaction {
                        Some(transaction) => transaction.send("t", record).unwrap(),
                        None => producer.send("t", record).unwrap().detach(),
                    }
                    *end += 1;
                }
            }
            // What is gathered goes first, so that the offsets are those that the values name.
            producer.flush().unwrap();
            if let Some(transaction) = transaction {
                transaction.commit_ticket().unwrap().detach();
            }
        }
        engine.flush().unwrap();
        check(&engine, &ends);
    }
    ends
}

/// Every partition reads whole, in order, forwards in small and large steps and from any offset.
fn check(engine: &Engine, ends: &BTreeMap<u32, Offset>) {
    for (number, end) in ends {
        let partition = engine.partition("t", *number).unwrap();
        assert_eq!((partition.bounds().start, partition.bounds().end), (0, *end));
        for max_bytes in [1_500, 100_000, 1 << 20] {
            let mut at = 0;
            while at < *end {
                let records = partition.read(at, ReadOptions::new().max_bytes(max_bytes)).unwrap();
                for record in &records {
                    let record = record.unwrap();
                    assert_eq!(record.offset(), at);
                    assert_eq!(record.value(), Some(text(*number, at).as_bytes()));
                    at += 1;
                }
                assert_eq!(records.next_offset("t", *number), Some(at));
            }
        }
        for step in 0..200u64 {
            let at = step * 7_919 % end;
            let records = partition.read(at, ReadOptions::new().max_bytes(1)).unwrap();
            assert_eq!(records.iter().next().unwrap().unwrap().offset(), at);
        }
    }
}

/// The size that a segment declares: its footer begins there.
fn size(bytes: &[u8]) -> usize {
    // Magic, checksum, format, uuid, number, generation, size.
    u64::from_le_bytes(bytes[44..52].try_into().unwrap()) as usize
}

#[test]
fn every_partition_is_found_in_every_segment_with_and_without_footers_and_mappings() {
    let dir = tempfile::tempdir().unwrap();
    let ends = write(dir.path());
    let files = segments(dir.path());
    assert!(files.len() > 30, "{} segments", files.len());
    check(&options().open(dir.path()).unwrap(), &ends);
    check(&options().mappings(false).open(dir.path()).unwrap(), &ends);
    check(&options().read_only(true).open(dir.path()).unwrap(), &ends);

    // Gone, cut, damaged, or another segment's: a footer decides nothing.
    let files = segments(dir.path());
    let mut changed = 0;
    for (i, path) in files.iter().enumerate() {
        let mut bytes = fs::read(path).unwrap();
        let size = size(&bytes);
        if bytes.len() <= size {
            continue;
        }
        changed += 1;
        match i % 4 {
            0 => bytes.truncate(size),
            1 => bytes.truncate(size + (bytes.len() - size) / 2),
            2 => {
                let at = size + (bytes.len() - size) * 2 / 3;
                bytes[at] ^= 1;
            }
            _ => {
                let other = fs::read(&files[i - 2]).unwrap();
                let from = self::size(&other);
                bytes.truncate(size);
                bytes.extend_from_slice(other.get(from..).unwrap_or_default());
            }
        }
        fs::write(path, bytes).unwrap();
    }
    assert!(changed > 30, "{changed} footers were there");
    check(&options().read_only(true).open(dir.path()).unwrap(), &ends);
    let engine = options().open(dir.path()).unwrap();
    check(&engine, &ends);
    check(&engine, &ends);
}

#[test]
fn damage_in_an_old_segment_costs_the_records_it_hits_and_no_others() {
    let dir = tempfile::tempdir().unwrap();
    let ends = write(dir.path());
    let files = segments(dir.path());
    let seed = 0x00c0_ffee_u64;
    let mut rounds_with_loss = 0;
    for round in 0..40u64 {
        // An old segment, far below the newest checkpoint.
        let path = &files[(seed.wrapping_mul(round + 1) >> 7) as usize % (files.len() / 2)];
        let good = fs::read(path).unwrap();
        let mut bad = good.clone();
        let at = 8192 + (seed.wrapping_mul(round * 31 + 17) >> 9) as usize % (size(&good) - 8192);
        match round % 4 {
            0 => bad[at] ^= 1 << (round % 8),
            1 => bad[at..].iter_mut().take(512).for_each(|byte| *byte = 0),
            // The whole tail of the file, footer and all.
            2 => bad.truncate(at),
            _ => {
                bad[at..].iter_mut().take(3_000).for_each(|byte| *byte = 0xa5);
                bad.truncate(size(&good));
            }
        }
        fs::write(path, &bad).unwrap();
        let engine = options().read_only(true).open(dir.path()).unwrap();
        let mut lost = 0;
        for (number, end) in &ends {
            lost += damaged_walk(&engine, *number, *end, &format!("seed {seed:#x} round {round}"));
        }
        // A cut can take a segment's worth, a flipped bit one batch at most.
        let most = [200, 200, 4_000, 800][(round % 4) as usize];
        assert!(lost <= most, "seed {seed:#x} round {round}: {lost} lost");
        rounds_with_loss += u32::from(lost > 0);
        drop(engine);
        fs::write(path, &good).unwrap();
    }
    assert!(rounds_with_loss > 20, "{rounds_with_loss} rounds hit records");
}

/// Reads a damaged partition to its end. Every offset is either given, right, or named by an error.
fn damaged_walk(engine: &Engine, number: u32, end: Offset, case: &str) -> u64 {
    let partition = engine.partition("t", number).unwrap();
    let (mut at, mut next, mut lost) = (0, 0, 0);
    while at < end {
        let records = partition.read(at, ReadOptions::new().max_bytes(20_000)).unwrap();
        for record in &records {
            match record {
                Ok(record) => {
                    assert_eq!(record.offset(), next, "{case}");
                    assert_eq!(record.value(), Some(text(number, next).as_bytes()), "{case}");
                    next += 1;
                }
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Corrupt, "{case}: {error}");
                    let range = error.message().split("offsets=").nth(1).unwrap().split(' ').next().unwrap();
                    let (from, upto) = range.split_once("..").unwrap();
                    assert_eq!(from.parse::<u64>().unwrap(), next, "{case}: {error}");
                    lost += upto.parse::<u64>().unwrap() - next;
                    next = upto.parse().unwrap();
                }
            }
        }
        at = records.next_offset("t", number).unwrap();
        assert_eq!(at, next, "{case}: every offset is given or named");
    }
    lost
}
