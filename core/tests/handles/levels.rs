//! Levels: when a call is answered, when a reader sees, what survives; of the engine, of topics, of single appends.

use std::time::Duration;

use oncelog::sim::{Call, Fault, World};
use oncelog::{
    AppendOptions, Batch, ConsumerOptions, Durability, Engine, ErrorKind, Metrics, Partition, ProducerOptions,
    ReadOptions, Record, TopicOptions, TopicPartition,
};

use Durability::{Disk, Memory, Os};

const MILLISECOND: u64 = 1_000_000;

/// No keeper: nothing is written but by whoever asks for it.
fn open(world: &World, level: Durability) -> Engine {
    Engine::options().threads(false).durability(level).open_on(world.machine()).unwrap()
}

fn topic(engine: &Engine, name: &str, level: Option<Durability>) -> Partition {
    let options = level.map_or(TopicOptions::new(), |level| TopicOptions::new().durability(level));
    engine.create_topic(name, options).unwrap();
    engine.partition(name, 0).unwrap()
}

fn batch(value: &[u8]) -> Batch {
    let mut batch = Batch::builder();
    batch.push(&Record::new(value), 1).unwrap();
    batch.build().unwrap()
}

fn append(partition: &Partition, level: Option<Durability>) -> oncelog::Ticket<oncelog::Appended> {
    let options = level.map_or(AppendOptions::new(), |level| AppendOptions::new().durability(level));
    partition.append_with(&batch(b"value"), options).unwrap()
}

/// How many records a partition shows to who reads them all.
fn read(partition: &Partition) -> u64 {
    let mut next = 0;
    while next < partition.bounds().end {
        let records = partition.read(next, ReadOptions::new()).unwrap();
        records.iter().for_each(|view| next = view.unwrap().offset() + 1);
    }
    next
}

#[test]
fn at_level_memory_an_append_is_answered_and_seen_before_it_is_written_and_a_read_writes_it() {
    let world = World::new(1);
    let engine = open(&world, Memory);
    let t = topic(&engine, "t", None);
    let quiet = world.digest();
    for n in 1..=3 {
        let appended = append(&t, None).wait().unwrap();
        assert_eq!((appended.first, t.bounds().end, t.bounds().stable), (n - 1, n, n));
    }
    assert_eq!(world.digest(), quiet, "nothing was asked of the disk");
    assert_eq!(read(&t), 3);
    assert_ne!(world.digest(), quiet);
    world.kill();
    drop(engine);
    let engine = open(&world, Memory);
    assert_eq!(read(&engine.partition("t", 0).unwrap()), 3, "what was read is written, and survives the process");
}

#[test]
fn at_level_memory_a_death_takes_what_the_keeper_has_not_written_within_ten_milliseconds_and_no_more() {
    let world = World::new(2);
    let engine = open(&world, Memory);
    let t = topic(&engine, "t", None);
    append(&t, None).wait().unwrap();
    append(&t, None).wait().unwrap();
    world.advance(10 * MILLISECOND);
    engine.drive().unwrap();
    append(&t, None).wait().unwrap();
    world.kill();
    drop(engine);
    let engine = open(&world, Memory);
    let t = engine.partition("t", 0).unwrap();
    assert_eq!(read(&t), 2);
    append(&t, None).wait().unwrap();
    engine.close().unwrap();
    drop(engine);
    let engine = open(&world, Memory);
    assert_eq!(read(&engine.partition("t", 0).unwrap()), 3, "a clean close takes nothing");
}

#[test]
fn an_append_s_level_beats_its_topic_s_which_beats_the_engine_s() {
    let world = World::new(3);
    let engine = open(&world, Os);
    for (name, of_topic) in [("none", None), ("memory", Some(Memory)), ("os", Some(Os)), ("disk", Some(Disk))] {
        let t = topic(&engine, name, of_topic);
        for own in [None, Some(Memory), Some(Os), Some(Disk)] {
            let level = own.or(of_topic).unwrap_or(Os);
            let mut ticket = append(&t, own);
            let placed = ticket.try_wait().unwrap().is_some();
            assert_eq!(placed, level == Memory, "{name}, {own:?}: answered when it is placed");
            if !placed {
                let flushes = engine.metrics().flush_nanos.count();
                ticket.wait().unwrap();
                assert_eq!(engine.metrics().flush_nanos.count() > flushes, level == Disk, "{name}, {own:?}");
            }
            engine.flush().unwrap();
        }
        assert_eq!(read(&t), 4);
    }
}

#[test]
fn readers_follow_the_level_of_the_topic_and_not_of_the_append() {
    let world = World::new(4);
    let engine = open(&world, Disk);
    let (memory, os, disk) =
        (topic(&engine, "m", Some(Memory)), topic(&engine, "o", Some(Os)), topic(&engine, "d", Some(Disk)));
    let tickets = [append(&memory, Some(Disk)), append(&os, Some(Memory)), append(&disk, Some(Memory))];
    let seen = || [memory.bounds().end, os.bounds().end, disk.bounds().end];
    assert_eq!(seen(), [1, 0, 0], "placed");
    append(&memory, Some(Os)).wait().unwrap();
    assert_eq!(seen(), [2, 1, 0], "written");
    engine.flush().unwrap();
    assert_eq!(seen(), [2, 1, 1], "flushed");
    for ticket in tickets {
        ticket.wait().unwrap();
    }
}

#[test]
fn transactions_and_offset_commits_take_the_strongest_level_of_their_topics_and_their_option() {
    let world = World::new(5);
    let engine = open(&world, Memory);
    for (name, level) in [("m", Memory), ("o", Os), ("d", Disk)] {
        topic(&engine, name, Some(level));
    }
    // What a commit asks of the disk: nothing, a write, a flush.
    let asked = |commit: &dyn Fn()| {
        engine.flush().unwrap();
        let before = engine.metrics();
        commit();
        let after = engine.metrics();
        let grew = |of: fn(&Metrics) -> u64| of(&after) > of(&before);
        match (grew(|m| m.group_frames.count()), grew(|m| m.flush_nanos.count())) {
            (false, false) => Memory,
            (true, false) => Os,
            (_, true) => Disk,
        }
    };
    for option in [None, Some(Memory), Some(Os), Some(Disk)] {
        let options = option.map_or(ProducerOptions::new(), |level| ProducerOptions::new().durability(level));
        let producer = engine.transactional_producer("name", options).unwrap();
        for (names, level) in [(vec!["m"], Memory), (vec!["m", "o"], Os), (vec!["o", "d", "m"], Disk)] {
            let commit = || {
                let mut transaction = producer.begin_transaction().unwrap();
                names.iter().for_each(|name| transaction.send(name, Record::new(b"value")).unwrap());
                transaction.commit().unwrap();
            };
            assert_eq!(asked(&commit), level.max(option.unwrap_or(Memory)), "{names:?}, {option:?}");
        }
    }
    let consumer = engine.consumer(ConsumerOptions::new().group("g")).unwrap();
    for (name, level) in [("m", Memory), ("o", Os), ("d", Disk)] {
        let offsets = [(TopicPartition::new(name, 0), 1.into())].into();
        assert_eq!(asked(&|| consumer.commit_offsets(&offsets).unwrap()), level);
    }
}

#[test]
fn what_was_seen_at_level_memory_and_cannot_be_written_is_answered_with_the_failure() {
    let world = World::new(6);
    let engine = open(&world, Memory);
    let t = topic(&engine, "t", None);
    append(&t, None).wait().unwrap();
    assert_eq!(read(&t), 1);
    let consumer = engine.consumer(ConsumerOptions::new()).unwrap();
    consumer.assign(&[TopicPartition::new("t", 0)]).unwrap();
    assert_eq!(consumer.poll(Duration::ZERO).unwrap().iter().count(), 1);
    append(&t, None).wait().unwrap();
    let waiting = append(&t, None);
    world.fail(Call::Write, 0, Fault::Eio, false);
    assert_eq!(t.read(1, ReadOptions::new()).err().map(|e| e.kind()), Some(ErrorKind::Poisoned));
    assert_eq!(consumer.poll(Duration::ZERO).err().map(|e| e.kind()), Some(ErrorKind::Poisoned));
    assert_eq!(waiting.wait().err().map(|e| e.kind()), Some(ErrorKind::Indeterminate));
    assert_eq!(t.append(&batch(b"late")).err().map(|e| e.kind()), Some(ErrorKind::Poisoned));
    let written = t.read(0, ReadOptions::new()).unwrap();
    assert_eq!(written.iter().map(|view| view.unwrap().offset()).collect::<Vec<_>>(), [0]);
}

#[test]
fn at_level_memory_a_full_group_makes_appenders_write_it() {
    let world = World::new(7);
    let engine = open(&world, Memory);
    let t = topic(&engine, "t", None);
    let large = batch(&[7; 1 << 20 >> 1]);
    let groups = engine.metrics().group_frames.count();
    for n in 0..40 {
        t.append(&large).unwrap().wait().unwrap();
        let placed = (n + 1) * large.as_bytes().len() as u64;
        let written: usize = world.files().values().map(|file| file.iter().filter(|byte| **byte == 7).count()).sum();
        assert!(placed.saturating_sub(written as u64) <= (8 << 20) + (1 << 20), "{placed} placed, {written} written");
    }
    assert!(engine.metrics().group_frames.count() > groups);
    assert_eq!(read(&t), 40);
}

#[test]
fn a_reader_that_waits_is_woken_by_an_append_at_level_memory() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::options().durability(Memory).open(dir.path()).unwrap();
    let t = topic(&engine, "t", None);
    let consumer = engine.consumer(ConsumerOptions::new()).unwrap();
    consumer.assign(&[TopicPartition::new("t", 0)]).unwrap();
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut seen = 0;
            while seen < 200 {
                seen += consumer.poll(super::LONG).unwrap().iter().inspect(|view| assert!(view.is_ok())).count();
            }
            seen
        });
        for _ in 0..200 {
            append(&t, None).wait().unwrap();
        }
        assert_eq!(reader.join().unwrap(), 200);
    });
}
