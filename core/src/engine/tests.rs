//! The narrowest path, end to end on the simulated disk: one partition, appends at both levels, crashes.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::{GivenOffsets, Inner, Judged, Placed, Settings, TopicIds};
use crate::error::{ErrorKind, Result};
use crate::format::batch::Batch;
use crate::format::record::Record;
use crate::io::sim::{Call, Fault, Rng, World};
use crate::io::{Event, Machine, Park};
use crate::journal::{Entry, Promise};
use crate::partition::{Most, Partition, Signal};
use crate::types::{Durability, Identity, Isolation, Offsets, TopicOptions, TopicPartition};

fn settings() -> Settings {
    Settings { threads: false, segment_bytes: 64 << 10, ..Settings::default() }
}

fn batch(text: &str) -> Batch {
    let mut builder = Batch::builder();
    builder.push(&Record::new(text.as_bytes()), 1).unwrap();
    builder.build().unwrap()
}

fn append(inner: &Inner, partition: &Arc<Partition>, batch: &Batch, level: Option<Durability>) -> Judged<Placed> {
    inner.append(partition, batch.header(), batch.framed(), level, Entry::Waits)
}

fn open(world: &World) -> Arc<Inner> {
    Inner::open(world.machine(), settings()).unwrap()
}

fn opened(inner: &Inner, name: Option<&str>, current: Option<Identity>) -> Result<(Identity, Option<u64>)> {
    inner.open_producer(name, 0, current)?.ticket(inner).wait()
}

fn all(inner: &Inner) -> Vec<String> {
    let partition = inner.topic("t").unwrap().partitions[0].clone();
    let end = partition.bounds().end;
    let mut out = Vec::new();
    while (out.len() as u64) < end {
        let records =
            inner.read(&partition, out.len() as u64, Isolation::ReadCommitted, Most::bytes(10_000), None).unwrap();
        for record in &records {
            let record = record.unwrap();
            assert_eq!(record.offset(), out.len() as u64);
            out.push(String::from_utf8(record.value().unwrap().to_vec()).unwrap());
        }
    }
    out
}

/// Appends and crashes; after each recovery what was acknowledged is there, and what is there is a prefix.
fn one_seed(seed: u64) {
    let world = World::new(seed);
    let mut rng = Rng::new(seed ^ 0x9e37_79b9);
    let mut sent: Vec<String> = Vec::new();
    let mut durable = 0;
    let mut created = false;
    for life in 0..4 {
        let inner = open(&world);
        if !created {
            inner.create_topic("t", &TopicOptions::new()).unwrap().wait().unwrap();
            created = true;
        }
        let found = all(&inner);
        assert!(found.len() >= durable, "seed {seed} life {life}: {} of {durable} durable records left", found.len());
        assert_eq!(found[..], sent[..found.len()], "seed {seed} life {life}");
        sent.truncate(found.len());
        // Recovery made durable what it serves.
        durable = found.len();
        let mut written = durable;
        let partition = inner.topic("t").unwrap().partitions[0].clone();
        for _ in 0..rng.below(60) {
            let text = format!("{}-{}", sent.len(), "x".repeat(rng.below(6000) as usize));
            let level = if rng.below(2) == 0 { Durability::Os } else { Durability::Disk };
            let placed = append(&inner, &partition, &batch(&text), Some(level)).unwrap();
            sent.push(text);
            if rng.below(3) > 0 {
                inner.waits().wait(placed.lsn, level, None).unwrap();
                written = sent.len();
                if level == Durability::Disk {
                    durable = sent.len();
                }
            }
            if rng.below(8) == 0 {
                world.advance(30_000_000);
                inner.drive().unwrap();
            }
        }
        match rng.below(4) {
            0 => {
                inner.close().unwrap();
                durable = sent.len();
            }
            1 => {
                world.kill();
                durable = written;
            }
            _ => world.crash(),
        }
    }
    let inner = open(&world);
    assert_eq!(all(&inner)[..], sent[..all(&inner).len()]);
}

#[test]
fn what_was_acknowledged_survives_and_what_survives_is_a_prefix() {
    let seeds = std::env::var("SEEDS").ok().and_then(|s| s.parse().ok()).unwrap_or(300);
    let first = std::env::var("SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(1);
    for seed in first..first + seeds {
        one_seed(seed);
    }
}

fn raw(identity: Identity, sequence: i32) -> Batch {
    let mut builder = Batch::builder();
    builder.producer(identity, sequence);
    builder.push(&Record::new(b"x"), 1).unwrap();
    builder.build().unwrap()
}

#[test]
fn a_raw_producer_is_forgotten_after_an_idle_day_and_then_unknown() {
    let world = World::new(1);
    let inner = open(&world);
    inner.create_topic("t", &TopicOptions::new()).unwrap().wait().unwrap();
    let partition = inner.topic("t").unwrap().partitions[0].clone();
    let (idle, _) = opened(&inner, None, None).unwrap();
    let (busy, _) = opened(&inner, None, None).unwrap();
    append(&inner, &partition, &raw(idle, 0), None).unwrap();
    for hour in 0..25 {
        append(&inner, &partition, &raw(busy, hour), None).unwrap();
        inner.drive().unwrap();
        world.advance(3_600_000_000_000);
    }
    inner.drive().unwrap();
    let late = append(&inner, &partition, &raw(idle, 1), None).unwrap_err();
    assert_eq!(late.error.kind(), ErrorKind::UnknownProducer);
    append(&inner, &partition, &raw(busy, 25), None).unwrap();
    // The frame says so after a restart as well.
    inner.close().unwrap();
    let inner = open(&world);
    let partition = inner.topic("t").unwrap().partitions[0].clone();
    let late = append(&inner, &partition, &raw(idle, 1), None).unwrap_err();
    assert_eq!(late.error.kind(), ErrorKind::UnknownProducer);
}

#[test]
fn a_life_ends_and_the_next_one_knows_the_same() {
    for (seed, end) in (0..40).flat_map(|seed| [(seed, 0), (seed, 1)]) {
        let world = World::new(seed);
        let inner = open(&world);
        inner.create_topic("t", &TopicOptions::new()).unwrap().wait().unwrap();
        let partition = inner.topic("t").unwrap().partitions[0].clone();
        let (identity, _) = opened(&inner, None, None).unwrap();
        for sequence in 0..(seed as i32 * 7) {
            append(&inner, &partition, &raw(identity, sequence), None).unwrap();
        }
        inner.flush().unwrap().ticket(&inner).wait().unwrap();
        let digest = inner.digest();
        if end == 0 {
            inner.close().unwrap();
        } else {
            world.crash();
        }
        assert_eq!(open(&world).digest(), digest, "seed {seed} end {end}");
    }
}

#[test]
fn who_renews_an_identity_twice_gets_the_same_and_an_older_one_is_fenced() {
    let world = World::new(3);
    let inner = open(&world);
    let (held, _) = opened(&inner, Some("payments"), None).unwrap();
    let (renewed, _) = opened(&inner, Some("payments"), Some(held)).unwrap();
    assert_eq!((renewed.producer_id, renewed.epoch), (held.producer_id, held.epoch + 1));
    // The answer may have been lost on its way (KIP-360).
    assert_eq!(opened(&inner, Some("payments"), Some(held)).unwrap().0, renewed);
    let (next, _) = opened(&inner, Some("payments"), Some(renewed)).unwrap();
    assert_eq!(next.epoch, renewed.epoch + 1);
    let late = opened(&inner, Some("payments"), Some(held)).unwrap_err();
    assert_eq!(late.kind(), ErrorKind::ProducerFenced);
    // Whoever names no identity takes the name over: nobody repeats that.
    opened(&inner, Some("payments"), None).unwrap();
    let late = opened(&inner, Some("payments"), Some(next)).unwrap_err();
    assert_eq!(late.kind(), ErrorKind::ProducerFenced);
}

#[test]
fn one_hold_takes_in_a_thousand_partitions_and_the_topic_is_there_with_the_last() {
    let world = World::new(1);
    let inner = open(&world);
    let adopt = |name: &str, taken: &mut Vec<_>| {
        inner.journal.look(|state, _| inner.hub.adopt(state.topic(name).unwrap(), state, taken))
    };
    let ticket = inner.create_topic("t", &TopicOptions::new().partitions(2_500)).unwrap();
    let mut taken = Vec::new();
    for there in [1_000, 2_000] {
        assert!(!adopt("t", &mut taken) && inner.hub.topic("t").is_none(), "{there}");
        assert_eq!((taken.len(), inner.hub.partitions().len()), (there, there));
    }
    assert!(adopt("t", &mut taken));
    let first = inner.topic("t").unwrap();
    assert_eq!(first.partitions.len(), 2_500);
    ticket.wait().unwrap();
    inner.add_partitions("t", 4_000).unwrap().wait().unwrap();
    let grown = inner.topic("t").unwrap();
    assert!(grown.partitions.len() == 4_000 && Arc::ptr_eq(&grown.partitions[2_499], &first.partitions[2_499]));

    inner.create_topic("half", &TopicOptions::new().partitions(1_500)).unwrap().detach();
    assert!(!adopt("half", &mut Vec::new()));
    inner.delete_topic("half").unwrap().wait().unwrap();
    while inner.journal.has_enlisted() {
        inner.drive().unwrap();
    }
    assert!(inner.hub.topic("half").is_none());
    assert_eq!(inner.hub.partitions().len(), 4_000, "what was taken in of a topic that is gone goes with it");
}

#[test]
fn offsets_belong_to_the_topic_that_readers_see_until_its_deletion_is_shown() {
    let world = World::new(1);
    let inner = open(&world);
    inner.create_topic("t", &TopicOptions::new()).unwrap().wait().unwrap();
    let (group, at) = ("g", TopicPartition::new("t", 0));
    let offsets = |offset: u64| Offsets::from([(at.clone(), offset.into())]);
    let commit = |offset| inner.commit_offsets(group, &offsets(offset), TopicIds::new()).unwrap();
    commit(5).ticket(&inner).wait().unwrap();
    let old = inner.topic("t").unwrap().id;
    inner.delete_topic("t").unwrap().detach();
    inner.create_topic("t", &TopicOptions::new()).unwrap().detach();
    // Placed, not flushed: readers see the old one.
    assert_eq!(inner.topic("t").unwrap().id, old);
    let given = inner.check_offsets(group, &offsets(5), GivenOffsets::NONE);
    assert_eq!(given.unwrap_err().kind(), ErrorKind::UnknownTopicOrPartition);

    inner.flush().unwrap().ticket(&inner).wait().unwrap();
    while inner.journal.has_enlisted() {
        inner.drive().unwrap();
    }
    let new = inner.topic("t").unwrap().id;
    assert_ne!(new, old);
    let given = inner.check_offsets(group, &offsets(1), GivenOffsets::NONE).unwrap();
    assert_eq!(given, TopicIds::from([("t".to_owned(), new)]));
    commit(1).ticket(&inner).wait().unwrap();
    let of = |id| {
        let found = inner.committed_of(group, std::slice::from_ref(&at), &[id], false).unwrap().answer.unwrap();
        found.get(&at).map(|committed| committed.offset)
    };
    assert_eq!((of(old), of(new)), (None, Some(1)));
}

#[test]
fn who_asked_for_a_flush_while_the_log_closed_is_answered() {
    let world = World::new(7);
    let inner = open(&world);
    inner.create_topic("t", &TopicOptions::new()).unwrap().wait().unwrap();
    let partition = inner.topic("t").unwrap().partitions[0].clone();
    append(&inner, &partition, &batch("x"), None).unwrap();
    inner.close().unwrap();
    // What a flush promises that had found the log open and looks at its last frame only now.
    let last = inner.journal.look(|_, last| last);
    assert!(last > inner.journal.durable_lsn(), "the close's last word is not flushed for itself");
    let promise = || Promise::durable(last, ()).ticket(&inner);
    promise().wait().unwrap();
    assert!(inner.is_flushed(last), "who looks before waiting would look for ever");
    assert_eq!(promise().try_wait().unwrap(), Some(()));
    let (tell, hear) = std::sync::mpsc::channel();
    promise().on_done(move |answer| tell.send(answer).unwrap());
    hear.try_recv().expect("called back at once").unwrap();
}

/// A keeper's bed: counts who lies down, and lets nobody sleep.
#[derive(Default)]
struct Bed(AtomicU32);

impl Park for Bed {
    fn park(&self, _: &Event, _: u64, _: Option<u64>) -> bool {
        self.0.fetch_add(1, Ordering::Relaxed);
        true
    }
}

#[test]
fn the_keeper_of_a_log_that_failed_with_frames_unwritten_sleeps() {
    // It went round and round until the close: they were placed, and nobody writes them any more.
    let world = World::new(8);
    let bed = Arc::new(Bed::default());
    let inner = Inner::open(Machine { park: bed.clone(), ..world.machine() }, settings()).unwrap();
    inner.create_topic("t", &TopicOptions::new()).unwrap().wait().unwrap();
    let partition = inner.topic("t").unwrap().partitions[0].clone();
    let written = append(&inner, &partition, &batch("x"), None).unwrap().lsn;
    inner.waits().wait(written, Durability::Os, None).unwrap();
    append(&inner, &partition, &batch("y"), Some(Durability::Memory)).unwrap();
    let sleeps = || {
        let before = bed.0.load(Ordering::Relaxed);
        inner.journal.sleep(inner.journal.bell(), None);
        bed.0.load(Ordering::Relaxed) > before
    };
    assert!(!sleeps(), "a frame lies unwritten");
    world.fail(Call::Sync, 0, Fault::Eio, true);
    inner.flushed(written).unwrap_err();
    assert!(sleeps());
}

#[test]
fn a_deleted_partition_is_freed_once_something_else_was_written() {
    let world = World::new(5);
    let inner = open(&world);
    inner.create_topic("goes", &TopicOptions::new()).unwrap().wait().unwrap();
    let goes = inner.topic("goes").unwrap().partitions[0].clone();
    // Two groups take turns, and each remembers whose frames it wrote last.
    for _ in 0..2 {
        let placed = append(&inner, &goes, &batch("x"), None).unwrap();
        inner.waits().wait(placed.lsn, Durability::Os, None).unwrap();
    }
    let gone = Arc::downgrade(&goes);
    drop(goes);
    inner.delete_topic("goes").unwrap().wait().unwrap();
    while inner.journal.has_enlisted() {
        inner.drive().unwrap();
    }
    // Frames of no partition, so that none takes its place.
    for name in ["comes", "comes-too"] {
        inner.create_topic(name, &TopicOptions::new()).unwrap().wait().unwrap();
    }
    assert_eq!(gone.strong_count(), 0);
}

#[test]
fn a_place_that_is_taken_while_a_group_is_shown_stands_behind_that_group() {
    let world = World::new(9);
    let inner = open(&world);
    inner.create_topic("t", &TopicOptions::new().durability(Durability::Os)).unwrap().wait().unwrap();
    let partition = inner.topic("t").unwrap().partitions[0].clone();
    append(&inner, &partition, &batch("x"), None).unwrap();
    inner.flush().unwrap().ticket(&inner).wait().unwrap();
    // The leader of the write lays the hand on: what he shows is not noted as written yet.
    let place = Arc::new(std::sync::Mutex::new(None));
    let signal = Signal::new({
        let (inner, partition, place) = (inner.clone(), partition.clone(), place.clone());
        move || {
            let most = Most::bytes(10_000);
            let records = inner.read(&partition, 1, Isolation::ReadCommitted, most, None).unwrap();
            *place.lock().unwrap() = records.next_place("t", 0);
        }
    });
    let _watch = partition.watch(&signal);
    signal.arm();
    let placed = append(&inner, &partition, &batch("y"), Some(Durability::Os)).unwrap();
    inner.waits().wait(placed.lsn, Durability::Os, None).unwrap();
    let place = place.lock().unwrap().unwrap();
    assert_eq!((place.offset, place.lsn), (2, placed.lsn));
}
