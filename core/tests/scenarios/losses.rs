//! What an opening that accepts a loss must not give again.

use std::time::Duration;

use oncelog::format::bytes::get_u32;
use oncelog::format::files::{FRAMES, SegmentHeader};
use oncelog::format::frame::{FRAME_HEADER, Kind};
use oncelog::sim::{Call, Fault, World};
use oncelog::{
    ConsumerOptions, Engine, ErrorKind, Identity, Place, ProducerOptions, ReadOptions, Record, TopicOptions,
    TopicPartition,
};

use crate::{begin, open, send};

/// Where the frames of the first segment lie, with their kinds.
fn frames(image: &[u8]) -> Vec<(usize, u8)> {
    let (mut at, mut found) = (FRAMES as usize, Vec::new());
    while image[at + 4] != 0 {
        found.push((at, image[at + 4]));
        let len = FRAME_HEADER + get_u32(image, at + 8) as usize + get_u32(image, at + 12) as usize;
        at += len.next_multiple_of(8);
    }
    found
}

/// Flips a bit in frames of the first segment: those of `kinds` from the last `opened` on.
fn rot(world: &World, kinds: &[Kind]) {
    let name = SegmentHeader::name(1, 0);
    let image = &world.files()[&name];
    let frames = frames(image);
    let opened = frames.iter().rposition(|(_, kind)| *kind == Kind::Opened as u8).unwrap();
    for (at, _) in frames[opened..].iter().filter(|(_, kind)| kinds.iter().any(|k| *k as u8 == *kind)) {
        world.damage(&name, *at as u64 + 20, &[image[*at + 20] ^ 1]);
    }
}

fn accept(world: &World) -> oncelog::Result<Engine> {
    Engine::options().threads(false).segment_bytes(64 << 10).accept_loss(true).open_on(world.machine())
}

fn register(engine: &Engine) -> Identity {
    engine.init_producer(None, Duration::from_secs(60), None).unwrap()
}

/// The number of a transaction that has nothing in it.
fn number(engine: &Engine, name: &str) -> u64 {
    let producer = engine.transactional_producer(name, ProducerOptions::new()).unwrap();
    let transaction = producer.begin_transaction().unwrap();
    let number = transaction.number();
    transaction.abort().unwrap();
    number
}

/// The place behind all records.
fn place(engine: &Engine) -> Place {
    let consumer = engine.consumer(ConsumerOptions::new()).unwrap();
    consumer.assign(&[TopicPartition::new("t", 0)]).unwrap();
    consumer.poll(Duration::ZERO).unwrap().next_place("t", 0).unwrap()
}

#[test]
fn nothing_that_a_lost_life_gave_is_given_again_when_its_loss_was_accepted() {
    for failing in 0..8 {
        let (world, engine) = begin(1);
        send(&engine, b"before");
        engine.close().unwrap();
        drop(engine);
        let engine = open(&world);
        let lost = (engine.opening().incarnation, register(&engine).producer_id, number(&engine, "name"));
        send(&engine, b"behind the loss");
        let lost_place = place(&engine);
        send(&engine, b"says that all before is durable");
        world.kill();
        drop(engine);
        rot(&world, &[Kind::Opened, Kind::ProducerOpened]);
        // Whoever accepts it may die on the way.
        world.fail(Call::Sync, failing, Fault::Eio, true);
        drop(accept(&world));
        world.heal();
        world.kill();
        let mut given = vec![lost];
        for life in 0..3 {
            let engine = if life == 0 { accept(&world).unwrap() } else { open(&world) };
            given.push((engine.opening().incarnation, register(&engine).producer_id, number(&engine, "another")));
            let read = engine.partition("t", 0).unwrap().read(lost_place.offset, ReadOptions::new().from(lost_place));
            assert_eq!(read.unwrap_err().kind(), ErrorKind::Truncated, "life {life}: {lost_place:?}");
            world.kill();
        }
        let ascend = |a: &(u64, i64, u64), b: &(u64, i64, u64)| a.0 < b.0 && a.1 < b.1 && a.2 < b.2;
        assert!(given.is_sorted_by(ascend), "sync {failing}: lives, producer ids, numbers: {given:?}");
    }
}

#[test]
fn a_topic_that_is_made_behind_a_lost_one_shows_none_of_its_records() {
    let (world, engine) = begin(1);
    engine.close().unwrap();
    drop(engine);
    let engine = open(&world);
    engine.create_topic("lost", TopicOptions::new()).unwrap();
    let send = |engine: &Engine, topic: &str, value: &str| {
        let producer = engine.producer(ProducerOptions::new()).unwrap();
        producer.send(topic, Record::new(value.as_bytes())).unwrap().wait().unwrap();
    };
    (0..5).for_each(|n| send(&engine, "lost", &format!("lost {n}")));
    world.kill();
    drop(engine);
    rot(&world, &[Kind::TopicCreated]);
    let engine = accept(&world).unwrap();
    engine.create_topic("new", TopicOptions::new()).unwrap();
    let roll = |engine: &Engine| (0..12).for_each(|_| send(engine, "t", &"x".repeat(6_000)));
    (0..4).for_each(|_| roll(&engine));
    (0..3).for_each(|n| send(&engine, "new", &format!("new {n}")));
    for _ in 0..2 {
        roll(&engine);
        engine.drive().unwrap();
    }
    let read = |engine: &Engine| {
        let records = engine.partition("new", 0).unwrap().read(0, ReadOptions::new()).unwrap();
        records.iter().map(|r| String::from_utf8(r.unwrap().value().unwrap().to_vec()).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(read(&engine), ["new 0", "new 1", "new 2"]);
    engine.close().unwrap();
    assert_eq!(read(&open(&world)), ["new 0", "new 1", "new 2"]);
}
