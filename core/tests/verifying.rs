//! `Engine::verify`: what it finds, and what it does not.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use oncelog::{
    Compression, Durability, Engine, ErrorKind, GroupMetadata, OffsetAndMetadata, Offsets, ProducerOptions, Record,
    TopicOptions, TopicPartition, Verification,
};

/// Where the first frame of a segment lies.
const FRAMES: u64 = 8192;

/// Frames of most kinds: topics, names, records packed and not, transactions that commit and abort, offsets.
fn fill(engine: &Engine, rounds: u32) {
    engine.create_topic("t", TopicOptions::new().partitions(3)).unwrap();
    let zstd = ProducerOptions::new().name("packed").compression(Compression::Zstd);
    let (plain, packed) = (engine.producer(ProducerOptions::new()).unwrap(), engine.producer(zstd).unwrap());
    let transactional = engine.transactional_producer("tp", ProducerOptions::new()).unwrap();
    let at = OffsetAndMetadata { offset: 1, leader_epoch: -1, metadata: "m".into() };
    let offsets = Offsets::from([(TopicPartition::new("t", 0), at)]);
    for n in 0..rounds {
        plain.send("t", Record::new(format!("plain {n}").as_bytes()).partition(n % 3)).unwrap().wait().unwrap();
        packed
            .send("t", Record::new(&[n as u8; 500]).partition(n % 3).position(u64::from(n) + 1))
            .unwrap()
            .wait()
            .unwrap();
        let mut transaction = transactional.begin_transaction().unwrap();
        transaction.send("t", Record::new(format!("both {n}").as_bytes()).partition(0)).unwrap();
        transaction.send("t", Record::new(format!("or none {n}").as_bytes()).partition(2)).unwrap();
        transaction.send_offsets(&GroupMetadata { group: "g".into() }, &offsets).unwrap();
        if n % 4 == 3 { transaction.abort().map(drop).unwrap() } else { transaction.commit().map(drop).unwrap() }
    }
    engine.flush().unwrap();
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.retain(|path| path.extension().is_some_and(|ext| ext == "seg"));
    found.sort();
    found
}

/// What is found while a byte of the file is another one.
fn with_a_flip(engine: &Engine, file: &Path, at: u64, mask: u8) -> Verification {
    let file = OpenOptions::new().read(true).write(true).open(file).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ mask], at).unwrap();
    let found = engine.verify().unwrap();
    file.write_all_at(&byte, at).unwrap();
    found
}

fn lost(found: &Verification) -> u64 {
    found.damage.iter().map(|damage| damage.last_lsn + 1 - damage.first_lsn).sum()
}

#[test]
fn each_byte_of_each_frame_that_changes_is_found_and_nothing_beside_it() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::open(dir.path()).unwrap();
    fill(&engine, 6);
    let whole = engine.verify().unwrap();
    assert!(whole.damage.is_empty() && whole.segments == 1 && whole.frames > 20, "{whole:?}");
    let segment = segments(dir.path()).remove(0);
    for at in 0..whole.bytes {
        let found = with_a_flip(&engine, &segment, FRAMES + at, 1 << (at % 8));
        let [damage] = &found.damage[..] else { panic!("byte {at}: {found:?}") };
        assert_eq!(damage.file, segment.file_name().unwrap().to_str().unwrap());
        assert!(damage.position <= FRAMES + at, "byte {at}: {found:?}");
        assert_eq!((found.frames + 1, lost(&found)), (whole.frames, 1), "byte {at}: {found:?}");
    }
    for at in [0, 100, 4096, FRAMES - 1, FRAMES + whole.bytes, FRAMES + whole.bytes + 5000] {
        assert_eq!(with_a_flip(&engine, &segment, at, 1), whole, "byte {at} is no frame's");
    }
    assert_eq!(engine.verify().unwrap(), whole);
}

#[test]
fn damage_in_many_places_of_many_segments_is_found_place_by_place() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::options().segment_bytes(64 << 10).open(dir.path()).unwrap();
    fill(&engine, 400);
    let whole = engine.verify().unwrap();
    let files = segments(dir.path());
    // A spare may lie there too.
    assert!(whole.damage.is_empty() && (4..=files.len() as u64).contains(&whole.segments), "{whole:?}");
    let mut before = Vec::new();
    for file in &files[..3] {
        let file = OpenOptions::new().read(true).write(true).open(file).unwrap();
        for at in [FRAMES + 4, FRAMES + 9000, FRAMES + 20_000] {
            let mut stretch = [0; 1000];
            file.read_exact_at(&mut stretch, at).unwrap();
            file.write_all_at(&[0x55; 1000], at).unwrap();
            before.push((file.try_clone().unwrap(), at, stretch));
        }
    }
    let found = engine.verify().unwrap();
    // A link is a place of its own, and so is a frame whose head is whole.
    assert!((9..=18).contains(&found.damage.len()), "{found:?}");
    assert_eq!(found.frames + lost(&found), whole.frames, "{found:?}");
    before.iter().for_each(|(file, at, stretch)| file.write_all_at(stretch, *at).unwrap());
    assert_eq!(engine.verify().unwrap(), whole);
}

#[test]
fn a_log_is_verified_while_others_append_and_what_is_not_flushed_is_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let options = Engine::options().segment_bytes(64 << 10).durability(Durability::Os);
    let engine = options.open(dir.path()).unwrap();
    engine.create_topic("t", TopicOptions::new()).unwrap();
    let (done, mut last) = (AtomicBool::new(false), 0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let producer = engine.producer(ProducerOptions::new()).unwrap();
                while !done.load(Ordering::Relaxed) {
                    producer.send("t", Record::new(&[7; 300])).unwrap().wait().unwrap();
                }
            });
        }
        for _ in 0..50 {
            let found = engine.verify().unwrap();
            assert!(found.damage.is_empty() && found.frames >= last, "{found:?} after {last} frames");
            last = found.frames;
        }
        done.store(true, Ordering::Relaxed);
    });
    engine.flush().unwrap();
    let found = engine.verify().unwrap();
    assert!(found.frames >= engine.partition("t", 0).unwrap().bounds().end, "{found:?}");
}

#[test]
fn a_log_that_is_only_read_is_verified_and_one_that_is_closed_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::open(dir.path()).unwrap();
    fill(&engine, 3);
    let whole = engine.verify().unwrap();
    engine.close().unwrap();
    assert_eq!(engine.verify().unwrap_err().kind(), ErrorKind::Closed);
    let reading = Engine::options().read_only(true).open(dir.path()).unwrap();
    let found = reading.verify().unwrap();
    // The close had some words of its own.
    assert!(found.damage.is_empty() && found.frames > whole.frames, "{found:?}");
}
