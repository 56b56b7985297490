//! Single histories that have broken other systems, each told once from beginning to end.
#![cfg(feature = "sim")]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod handles;
mod losses;
mod making;
mod recoveries;
mod unwound;
mod watched;

use std::time::Duration;

use oncelog::sim::{Call, Choice, Fault, World};
use oncelog::{
    AppendOptions, Appended, Batch, ConsumerOptions, Durability, Engine, ErrorKind, GroupMetadata, Identity, Offsets,
    ProducerOptions, ReadOptions, Record, TopicOptions, TopicPartition,
};

const HOUR: u64 = 3_600_000_000_000;

fn try_open(world: &World) -> oncelog::Result<Engine> {
    Engine::options().threads(false).segment_bytes(64 << 10).open_on(world.machine())
}

fn open(world: &World) -> Engine {
    try_open(world).unwrap()
}

/// A batch of one record.
fn one(value: &[u8]) -> Batch {
    let mut builder = Batch::builder();
    builder.push(&Record::new(value), 1).unwrap();
    builder.build().unwrap()
}

fn raw(identity: Identity, sequence: i32) -> Batch {
    let mut builder = Batch::builder();
    builder.push(&Record::new(format!("raw {sequence}").as_bytes()), 1).unwrap();
    builder.producer(identity, sequence);
    builder.build().unwrap()
}

fn append(engine: &Engine, batch: &Batch, durability: Durability) -> oncelog::Result<Appended> {
    let options = AppendOptions::new().durability(durability);
    engine.partition("t", 0)?.append_with(batch, options)?.wait()
}

fn send(engine: &Engine, value: &[u8]) -> Appended {
    let producer = engine.producer(ProducerOptions::new()).unwrap();
    producer.send("t", Record::new(value)).unwrap().wait().unwrap()
}

fn values(engine: &Engine) -> Vec<String> {
    let partition = engine.partition("t", 0).unwrap();
    let records = partition.read(0, ReadOptions::new()).unwrap();
    records.iter().map(|r| String::from_utf8(r.unwrap().value().unwrap().to_vec()).unwrap()).collect()
}

/// A world with topic `t`, and its engine.
fn begin(seed: u64) -> (World, Engine) {
    let world = World::new(seed);
    let engine = open(&world);
    engine.create_topic("t", TopicOptions::new()).unwrap();
    (world, engine)
}

#[test]
fn what_earlier_lives_wrote_is_no_load_an_open_log_that_nobody_writes_to_is_left_alone() {
    let (world, engine) = begin(7);
    for _ in 0..20 {
        send(&engine, &[7; 1000]);
    }
    engine.close().unwrap();
    let engine = open(&world);
    world.record();
    for _ in 0..5 {
        engine.drive().unwrap();
        world.advance(5_000_000);
    }
    assert_eq!(world.log().calls(), 0, "no zeros are written ahead of frames that nobody sends");
    engine.close().unwrap();
}

#[test]
fn a_fence_that_failed_raises_the_epoch_at_most_once() {
    for reached in 0..8 {
        let (world, engine) = begin(reached);
        let timeout = Duration::from_secs(60);
        let old = engine.init_producer(Some("name"), timeout, None).unwrap();
        world.fail(Call::Sync, 0, Fault::Eio, false);
        let failed = engine.init_producer(Some("name"), timeout, None).unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::Indeterminate);
        for _ in 0..3 {
            let again = engine.init_producer(Some("name"), timeout, None).unwrap_err();
            assert_eq!(again.kind(), ErrorKind::Poisoned, "a failed fence is not tried again");
        }
        world.crash();
        drop(engine);
        let engine = open(&world);
        let new = engine.init_producer(Some("name"), timeout, None).unwrap();
        assert!(new.epoch > old.epoch && new.epoch <= old.epoch + 2, "{old:?} then {new:?}");
        let fenced = engine.init_producer(Some("name"), timeout, Some(old)).unwrap_err();
        assert_eq!(fenced.kind(), ErrorKind::ProducerFenced);
    }
}

#[test]
fn a_commit_whose_outcome_is_unknown_finishes_its_producer_and_opening_decides() {
    let (mut kept, mut lost) = (0, 0);
    for seed in 0..20 {
        let (world, engine) = begin(seed);
        let producer = engine.transactional_producer("p", ProducerOptions::new()).unwrap();
        let mut transaction = producer.begin_transaction().unwrap();
        transaction.send("t", Record::new(b"perhaps")).unwrap();
        transaction.send_position(9).unwrap();
        world.fail(Call::Sync, 0, Fault::Eio, false);
        let unknown = transaction.commit().unwrap_err();
        assert!(unknown.kind() == ErrorKind::Indeterminate && unknown.is_fatal());
        // Neither a retry nor an abort can follow: the transaction is gone, and its producer with it.
        assert!(producer.begin_transaction().unwrap_err().is_fatal());
        world.crash();
        drop((producer, engine));
        let engine = open(&world);
        let position = engine.transactional_producer("p", ProducerOptions::new()).unwrap().position();
        match values(&engine).as_slice() {
            [] => assert_eq!(position, None),
            [one] => assert_eq!((one.as_str(), position), ("perhaps", Some(9))),
            more => panic!("{more:?}"),
        }
        let counter = if position.is_some() { &mut kept } else { &mut lost };
        *counter += 1;
    }
    assert!(kept > 0 && lost > 0, "both must have happened, kept={kept} lost={lost}");
}

#[test]
fn a_late_commit_touches_its_own_transaction_only() {
    let (_world, engine) = begin(1);
    let producer = engine.transactional_producer("p", ProducerOptions::new()).unwrap();
    let mut first = producer.begin_transaction().unwrap();
    first.send("t", Record::new(b"first")).unwrap();
    let number = first.number();
    let late = first.commit_ticket().unwrap();
    let mut second = producer.begin_transaction().unwrap();
    assert!(second.number() > number, "a number is given once");
    second.send("t", Record::new(b"second")).unwrap();
    assert_eq!(late.wait().unwrap().number, number);
    assert_eq!(values(&engine), ["first"], "the second is neither committed nor split");
    second.abort().unwrap();
    assert_eq!(values(&engine), ["first"]);
}

#[test]
fn a_checkpoint_whose_flush_failed_is_not_relied_upon() {
    for reached in 0..12 {
        let (world, engine) = begin(reached);
        for i in 0..5 {
            send(&engine, format!("{i}").as_bytes());
        }
        // The close writes a checkpoint; its flush fails, and what reached the device is chance.
        world.fail(Call::Sync, 0, Fault::Eio, true);
        assert!(engine.close().is_err());
        world.crash();
        world.heal();
        drop(engine);
        let engine = open(&world);
        assert_eq!(values(&engine), ["0", "1", "2", "3", "4"]);
        send(&engine, b"5");
        engine.close().unwrap();
        assert_eq!(values(&open(&world)).len(), 6);
    }
}

#[test]
fn a_batch_lost_in_a_power_cut_is_appended_when_it_is_sent_again() {
    let (world, engine) = begin(3);
    let identity = engine.init_producer(None, Duration::from_secs(60), None).unwrap();
    append(&engine, &raw(identity, 0), Durability::Disk).unwrap();
    world.record();
    // Acknowledged at its own level: written, not flushed.
    assert_eq!(append(&engine, &raw(identity, 1), Durability::Os).unwrap().first, 1);
    let log = world.log();
    for (choice, duplicate) in [(Choice::none(), false), (Choice::all(), true)] {
        let world = log.image(log.calls(), &choice);
        let engine = open(&world);
        let known = append(&engine, &raw(identity, 0), Durability::Disk).unwrap();
        assert!(known.duplicate && known.first == 0);
        let again = append(&engine, &raw(identity, 1), Durability::Disk).unwrap();
        assert_eq!((again.first, again.duplicate), (1, duplicate));
        assert_eq!(values(&engine), ["raw 0", "raw 1"]);
    }
}

#[test]
fn an_idle_raw_producer_expires_and_is_unknown_but_never_accepted_in_the_middle() {
    let (world, engine) = begin(4);
    let idle = engine.init_producer(None, Duration::from_secs(60), None).unwrap();
    let busy = engine.init_producer(None, Duration::from_secs(60), None).unwrap();
    for sequence in 0..7 {
        append(&engine, &raw(idle, sequence), Durability::Disk).unwrap();
    }
    // The wall clock jumps; only the monotonic one counts.
    world.set_wall_ms(4_000_000_000_000);
    engine.drive().unwrap();
    assert!(append(&engine, &raw(idle, 6), Durability::Disk).unwrap().duplicate);
    for hour in 0..30 {
        world.advance(HOUR);
        append(&engine, &raw(busy, hour), Durability::Disk).unwrap();
        engine.drive().unwrap();
    }
    let unknown = append(&engine, &raw(idle, 7), Durability::Disk).unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::UnknownProducer);
    append(&engine, &raw(busy, 30), Durability::Disk).unwrap();
    world.crash();
    drop(engine);
    let engine = open(&world);
    assert_eq!(append(&engine, &raw(idle, 0), Durability::Disk).unwrap_err().kind(), ErrorKind::UnknownProducer);
    assert!(append(&engine, &raw(busy, 30), Durability::Disk).unwrap().duplicate);
}

#[test]
fn a_raw_producer_of_more_partitions_than_one_hold_may_touch_expires_by_what_it_wrote_last_in_any_of_them() {
    let (world, engine) = begin(5);
    engine.create_topic("wide", TopicOptions::new().partitions(1_500)).unwrap();
    let wide = engine.init_producer(None, Duration::from_secs(60), None).unwrap();
    let idle = engine.init_producer(None, Duration::from_secs(60), None).unwrap();
    let write = |number, identity, sequence| {
        let partition = engine.partition("wide", number).unwrap();
        partition.append(&raw(identity, sequence)).and_then(|ticket| ticket.wait())
    };
    (0..1_500).for_each(|number| _ = write(number, wide, 0).unwrap());
    write(3, idle, 0).unwrap();
    for hour in 0..30 {
        world.advance(HOUR);
        // Among the first that a look comes to: what follows in the next piece is older.
        write(0, wide, hour + 1).unwrap();
        engine.drive().unwrap();
    }
    assert_eq!(write(3, idle, 1).unwrap_err().kind(), ErrorKind::UnknownProducer);
    assert!(write(1_400, wide, 0).unwrap().duplicate, "it has written within the day");
    for _ in 0..30 {
        world.advance(HOUR);
        engine.drive().unwrap();
    }
    assert_eq!(write(1_400, wide, 0).unwrap_err().kind(), ErrorKind::UnknownProducer);
}

#[test]
fn topics_of_many_partitions_and_producers_of_many_are_made_grown_deleted_and_forgotten_in_short_holds() {
    // A hold of the journal's lock that touches more than a thousand entries panics in this build.
    let (world, engine) = begin(6);
    let topic = |partitions| TopicOptions::new().partitions(partitions);
    engine.create_topic("wide", topic(100_000)).unwrap();
    engine.create_topic("kept", topic(1)).unwrap();
    engine.add_partitions("kept", 40_000).unwrap();
    let producer = engine.init_producer(None, Duration::from_secs(60), None).unwrap();
    let write = |name: &str, number, sequence| {
        let partition = engine.partition(name, number).unwrap();
        partition.append(&raw(producer, sequence)).and_then(|ticket| ticket.wait())
    };
    for number in 0..2_500 {
        write("wide", number * 40, 0).unwrap();
        write("kept", number, 0).unwrap();
    }
    let offsets: Offsets = (0..2_500).map(|number| (TopicPartition::new("wide", number), 1.into())).collect();
    engine.consumer(ConsumerOptions::new().group("g")).unwrap().commit_offsets(&offsets).unwrap();
    engine.delete_topic("wide").unwrap();
    assert!(write("kept", 2_499, 0).unwrap().duplicate, "the other topic's entries stay");
    for _ in 0..30 {
        world.advance(HOUR);
        engine.drive().unwrap();
    }
    assert_eq!(write("kept", 2_499, 1).unwrap_err().kind(), ErrorKind::UnknownProducer);
    let digest = engine.digest();
    world.crash();
    drop(engine);
    let engine = open(&world);
    assert_eq!(engine.digest(), digest, "what was swept up is what recovery leaves out");
}

#[test]
fn offsets_of_an_open_transaction_are_not_seen_before_it_commits() {
    let (_world, engine) = begin(6);
    let place = TopicPartition::new("t", 0);
    let group = GroupMetadata { group: "g".to_owned() };
    let consumer = engine.consumer(ConsumerOptions::new().group("g")).unwrap();
    consumer.commit_offsets(&Offsets::from([(place.clone(), 1.into())])).unwrap();
    let producer = engine.transactional_producer("p", ProducerOptions::new()).unwrap();
    for (offset, commits) in [(2, false), (3, true)] {
        let before = consumer.committed(&place).unwrap();
        let mut transaction = producer.begin_transaction().unwrap();
        transaction.send_offsets(&group, &Offsets::from([(place.clone(), offset.into())])).unwrap();
        assert_eq!(consumer.committed(&place).unwrap(), before, "the old value while it is open");
        if commits { transaction.commit().map(|_| ()).unwrap() } else { transaction.abort().unwrap() }
    }
    assert_eq!(consumer.committed(&place).unwrap(), Some(3));
}

#[test]
fn the_offset_that_is_committed_last_counts_whatever_was_sent_first() {
    let (_world, engine) = begin(7);
    let place = TopicPartition::new("t", 0);
    let consumer = engine.consumer(ConsumerOptions::new().group("g")).unwrap();
    let producer = engine.transactional_producer("p", ProducerOptions::new()).unwrap();
    let mut transaction = producer.begin_transaction().unwrap();
    let group = GroupMetadata { group: "g".to_owned() };
    transaction.send_offsets(&group, &Offsets::from([(place.clone(), 5.into())])).unwrap();
    consumer.commit_offsets(&Offsets::from([(place.clone(), 8.into())])).unwrap();
    transaction.commit().unwrap();
    assert_eq!(consumer.committed(&place).unwrap(), Some(5), "one frame: it is committed when it is placed");
    consumer.commit_offsets(&Offsets::from([(place.clone(), 8.into())])).unwrap();
    assert_eq!(consumer.committed(&place).unwrap(), Some(8));
}

#[test]
fn a_full_disk_is_answered_as_full_and_the_same_handle_goes_on_when_there_is_room() {
    let (world, engine) = begin(8);
    let used: usize = world.files().values().map(Vec::len).sum();
    world.set_capacity(Some(used as u64));
    let text = "x".repeat(10_000);
    let producer = engine.producer(ProducerOptions::new()).unwrap();
    let mut sent = 0;
    let full = loop {
        match producer.send("t", Record::new(text.as_bytes())).and_then(|ticket| ticket.wait()) {
            Ok(_) => sent += 1,
            Err(error) => break error,
        }
        assert!(sent < 1_000, "the disk never filled");
    };
    assert!(full.kind() == ErrorKind::Full && full.is_retriable(), "{full}");
    world.set_capacity(None);
    let next = producer.send("t", Record::new(text.as_bytes())).unwrap().wait().unwrap();
    assert_eq!(next.first, sent, "no gap in the offsets");
}

#[test]
fn after_an_indeterminate_commit_a_consumer_never_hears_that_there_is_nothing_to_commit() {
    let world = World::new(9);
    let engine = open(&world);
    engine.create_topic("t", TopicOptions::new()).unwrap();
    for _ in 0..3 {
        send(&engine, b"x");
    }
    let tp = TopicPartition::new("t", 0);
    let consumer = engine.consumer(ConsumerOptions::new().group("g")).unwrap();
    consumer.assign(std::slice::from_ref(&tp)).unwrap();
    consumer.seek(&tp, 2).unwrap();
    consumer.commit().unwrap();
    consumer.seek(&tp, 1).unwrap();
    world.fail(Call::Sync, 0, Fault::Eio, true);
    assert_eq!(consumer.commit().unwrap_err().kind(), ErrorKind::Indeterminate);
    // Back where the commit before stood: nothing seems to have moved, yet nobody knows what the group holds.
    consumer.seek(&tp, 2).unwrap();
    assert_eq!(consumer.commit().unwrap_err().kind(), ErrorKind::Poisoned);
}
