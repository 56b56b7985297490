//! Handles on a simulated machine without threads: time passes only as the test lets it, and the power goes.

use std::sync::mpsc;
use std::time::Duration;

use oncelog::sim::{Call, Fault, Rng, World};
use oncelog::{
    ConsumerOptions, Durability, Engine, ErrorKind, ProducerOptions, Record, Start, TopicOptions, TopicPartition,
};

use crate::{consumer, content, pending, values};

fn open(world: &World) -> Engine {
    Engine::options().threads(false).segment_bytes(64 << 10).open_on(world.machine()).unwrap()
}

fn with_topic(world: &World, partitions: u32) -> Engine {
    let engine = open(world);
    engine.create_topic("t", TopicOptions::new().partitions(partitions)).unwrap();
    engine
}

#[test]
fn a_batch_lingers_as_long_as_it_may_and_no_longer() {
    let world = World::new(1);
    let engine = with_topic(&world, 1);
    let producer = engine.producer(ProducerOptions::new().linger(Duration::from_millis(5))).unwrap();
    let partition = engine.partition("t", 0).unwrap();
    producer.send("t", Record::new(b"a").timestamp(1)).unwrap().detach();
    world.advance(3_000_000);
    producer.send("t", Record::new(b"b").timestamp(1)).unwrap().detach();
    engine.drive().unwrap();
    engine.wait_durable(0).unwrap();
    assert_eq!(partition.bounds().end, 0, "the first record's linger counts, and it has not passed");
    world.advance(2_000_000);
    engine.drive().unwrap();
    let third = producer.send("t", Record::new(b"c").timestamp(1)).unwrap().wait().unwrap();
    assert_eq!((third.first, partition.bounds().end), (2, 3), "both were placed together, before the third");
}

#[test]
fn a_poll_without_threads_does_the_work_that_falls_due_and_ends_at_its_time() {
    let world = World::new(2);
    let engine = with_topic(&world, 1);
    let clock = world.machine().clock;
    let reader = engine.consumer(ConsumerOptions::new()).unwrap();
    reader.assign(&[TopicPartition::new("t", 0)]).unwrap();
    let before = clock.monotonic();
    assert!(reader.poll(Duration::from_secs(7)).unwrap().is_empty());
    assert!(clock.monotonic() - before >= 7_000_000_000);

    let producer = engine.producer(ProducerOptions::new()).unwrap();
    producer.send("t", Record::new(b"nobody waits")).unwrap().detach();
    let before = clock.monotonic();
    assert_eq!(values(&reader.poll(Duration::from_secs(3_600)).unwrap()), ["nobody waits"]);
    assert!(clock.monotonic() - before < 3_000_000_000, "as soon as its linger and a flush were over");
}

#[test]
fn a_poll_without_threads_waits_until_offsets_that_are_pending_time_out() {
    let world = World::new(5);
    let engine = with_topic(&world, 1);
    let clock = world.machine().clock;
    let places = [TopicPartition::new("t", 0)];
    engine.producer(ProducerOptions::new()).unwrap().send("t", Record::new(b"x")).unwrap().wait().unwrap();
    pending(&engine, "g", &places, Duration::from_secs(10));
    let reader = consumer(&engine, "g", &[("t", 0)]);
    let before = clock.monotonic();
    assert!(reader.poll(Duration::from_secs(4)).unwrap().is_empty());
    assert!(clock.monotonic() - before >= 4_000_000_000);
    assert_eq!(values(&reader.poll(Duration::from_secs(3_600)).unwrap()), ["x"]);
    assert!((10..12).contains(&((clock.monotonic() - before) / 1_000_000_000)), "as soon as it was aborted");
}

#[test]
fn callbacks_run_in_drive() {
    let world = World::new(3);
    let engine = with_topic(&world, 1);
    let producer = engine.producer(ProducerOptions::new()).unwrap();
    let (tell, hear) = std::sync::mpsc::channel();
    producer.send("t", Record::new(b"x")).unwrap().on_done(move |done| tell.send(done.unwrap().first).unwrap());
    engine.drive().unwrap();
    assert!(hear.try_recv().is_err(), "its batch still lingers");
    for _ in 0..100 {
        world.advance(10_000_000);
        engine.drive().unwrap();
    }
    assert_eq!(hear.try_recv(), Ok(0));
}

#[test]
fn position_and_records_agree_after_any_power_cut() {
    for seed in 0..200 {
        let world = World::new(seed);
        let mut rng = Rng::new(seed ^ 0x9e37_79b9_7f4a_7c15);
        drop(with_topic(&world, 3));
        let (mut acknowledged, mut lives) = (None, 0);
        while lives < 6 {
            let engine = open(&world);
            let level = if rng.chance(1, 2) { Durability::Os } else { Durability::Disk };
            let options = ProducerOptions::new().name("n").batch_bytes(200).durability(level);
            let loader = engine.producer(options).unwrap();
            let position = loader.position();
            assert!(position >= acknowledged, "seed {seed}: {acknowledged:?} was acknowledged, {position:?} is left");
            let mut found: Vec<u64> =
                (0..3).flat_map(|p| content(&engine, "t", p)).map(|text| text.parse().unwrap()).collect();
            found.sort_unstable();
            let expected: Vec<u64> = (0..position.map_or(0, |p| p + 1)).collect();
            assert_eq!(found, expected, "seed {seed}: a position and exactly its records");
            for position in expected.len() as u64..expected.len() as u64 + rng.below(40) {
                let text = position.to_string();
                let ticket =
                    loader.send("t", Record::new(text.as_bytes()).key(text.as_bytes()).position(position)).unwrap();
                if rng.chance(1, 5) {
                    ticket.wait().unwrap();
                    // What the level `os` acknowledges need not survive a power cut.
                    acknowledged = if level == Durability::Disk { Some(position) } else { acknowledged };
                }
                if rng.chance(1, 10) {
                    engine.drive().unwrap();
                }
            }
            lives += 1;
            world.crash();
        }
    }
}

#[test]
fn a_duplicate_is_acknowledged_no_earlier_than_its_original_whatever_came_between() {
    for seed in 0..60 {
        let world = World::new(seed);
        let engine = with_topic(&world, 1);
        engine.create_topic("os", TopicOptions::new().durability(Durability::Os)).unwrap();
        let loader = engine.producer(ProducerOptions::new().name("n").linger(Duration::ZERO)).unwrap();
        loader.send("t", Record::new(b"5").position(5)).unwrap().detach();
        loader.send("os", Record::new(b"6").position(6)).unwrap().wait().unwrap();
        assert!(loader.send("t", Record::new(b"5").position(5)).unwrap().wait().unwrap().duplicate);
        world.crash();
        let engine = open(&world);
        assert_eq!(content(&engine, "t", 0), ["5"], "seed {seed}");
    }
}

#[test]
fn a_consumer_bound_to_transactions_processes_each_record_once_through_power_cuts() {
    for seed in 0..100 {
        let world = World::new(seed);
        let mut rng = Rng::new(seed ^ 0x5851_f42d_4c95_7f2d);
        let engine = with_topic(&world, 2);
        engine.create_topic("out", TopicOptions::new()).unwrap();
        let feed = engine.producer(ProducerOptions::new()).unwrap();
        let texts: Vec<String> = (0..60).map(|i| format!("{i:02}")).collect();
        for text in &texts {
            feed.send("t", Record::new(text.as_bytes()).key(text.as_bytes())).unwrap().detach();
        }
        feed.flush().unwrap();
        drop((feed, engine));
        let places = [TopicPartition::new("t", 0), TopicPartition::new("t", 1)];
        let mut rounds = 0;
        loop {
            let engine = open(&world);
            let reader = engine.consumer(ConsumerOptions::new().group("g").max_records(7)).unwrap();
            reader.assign(&places).unwrap();
            let producer = engine.transactional_producer("tp", ProducerOptions::new()).unwrap();
            for _ in 0..1 + rng.below(5) {
                let mut transaction = producer.begin_transaction_for(&reader).unwrap();
                for record in &reader.poll(Duration::ZERO).unwrap() {
                    transaction.send("out", Record::new(record.unwrap().value().unwrap())).unwrap();
                }
                match rng.below(4) {
                    0 => transaction.abort().unwrap(),
                    1 => drop(transaction),
                    2 => transaction.commit_ticket().unwrap().detach(),
                    _ => drop(transaction.commit().unwrap()),
                }
            }
            rounds += 1;
            if rng.chance(1, 2) {
                engine.flush().unwrap();
            }
            if places.iter().all(|place| reader.lag(place).unwrap() == 0) {
                engine.flush().unwrap();
                let mut done = content(&engine, "out", 0);
                done.sort_unstable();
                assert_eq!(done, texts, "seed {seed}");
                break;
            }
            assert!(rounds < 200, "seed {seed} gets nowhere");
            if rng.chance(1, 2) { world.crash() } else { world.kill() }
        }
    }
}

#[test]
fn a_poll_of_a_log_whose_disk_has_failed_gives_what_is_there_and_then_says_so() {
    // It waited for what could never come.
    let world = World::new(9);
    let engine = open(&world);
    engine.create_topic("t", TopicOptions::new().durability(Durability::Os)).unwrap();
    let reader = engine.consumer(ConsumerOptions::new()).unwrap();
    reader.assign(&[TopicPartition::new("t", 0)]).unwrap();
    let producer = engine.producer(ProducerOptions::new()).unwrap();
    producer.send("t", Record::new(b"is there")).unwrap().wait().unwrap();
    let waits = engine.consumer(ConsumerOptions::new().start(Start::Latest)).unwrap();
    waits.assign(&[TopicPartition::new("t", 0)]).unwrap();
    assert!(waits.poll(Duration::ZERO).unwrap().is_empty());
    let (tell, hear) = mpsc::channel();
    waits.on_ready(move || tell.send(()).unwrap());
    engine.drive().unwrap();
    hear.try_recv().unwrap_err();

    world.fail(Call::Sync, 0, Fault::Eio, true);
    engine.flush().unwrap_err();
    assert_eq!(values(&reader.poll(Duration::from_secs(1)).unwrap()), ["is there"]);
    for timeout in [Duration::ZERO, Duration::from_secs(1), Duration::MAX] {
        assert_eq!(reader.poll(timeout).err().unwrap().kind(), ErrorKind::Poisoned);
    }
    hear.try_recv().expect("who waited is told to look");
    reader.seek(&TopicPartition::new("t", 0), 0).unwrap();
    assert_eq!(values(&reader.poll(Duration::ZERO).unwrap()), ["is there"]);
}

#[test]
fn a_partition_that_cannot_be_read_keeps_no_other_from_being_read() {
    let world = World::new(10);
    let engine = open(&world);
    for (topic, level) in [("unwritten", Durability::Memory), ("t", Durability::Os)] {
        engine.create_topic(topic, TopicOptions::new().durability(level)).unwrap();
    }
    let producer = engine.producer(ProducerOptions::new()).unwrap();
    producer.send("t", Record::new(b"is there")).unwrap().wait().unwrap();
    producer.send("unwritten", Record::new(b"is shown")).unwrap().wait().unwrap();
    let reader = consumer(&engine, "g", &[("unwritten", 0), ("t", 0)]);
    reader.seek(&TopicPartition::new("unwritten", 0), 0).unwrap();
    reader.seek(&TopicPartition::new("t", 0), 0).unwrap();
    // Reading what is shown has it written first.
    world.fail(Call::Write, 0, Fault::Eio, true);
    assert_eq!(reader.poll(Duration::ZERO).err().unwrap().kind(), ErrorKind::Poisoned);
    assert_eq!(values(&reader.poll(Duration::ZERO).unwrap()), ["is there"]);
    assert_eq!(reader.poll(Duration::ZERO).err().unwrap().kind(), ErrorKind::Poisoned);
}
