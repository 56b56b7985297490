//! Places that outlive a life of the log: good if what they stand behind was kept, else `Truncated`, never other
//! records. And readers who see only what is durable.
#![cfg(feature = "sim")]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use oncelog::sim::{Choice, World};
use oncelog::{
    AppendOptions, Batch, ConsumerOptions, Durability, Engine, ErrorKind, Partition, Place, ProducerOptions,
    ReadOptions, Record, TopicOptions, TopicPartition, Visibility,
};
use std::time::Duration;

fn open(world: &World) -> Engine {
    Engine::options()
        .threads(false)
        .segment_bytes(64 << 10)
        .durability(Durability::Os)
        .open_on(world.machine())
        .unwrap()
}

fn partition(engine: &Engine) -> Partition {
    engine.partition("t", 0).unwrap()
}

fn append(engine: &Engine, value: &str, level: Durability) {
    let mut builder = Batch::builder();
    builder.push(&Record::new(value.as_bytes()), 1).unwrap();
    let options = AppendOptions::new().durability(level);
    partition(engine).append_with(&builder.build().unwrap(), options).unwrap().wait().unwrap();
}

/// The place behind the first `count` records.
fn place(engine: &Engine, count: u64) -> Place {
    let consumer = engine.consumer(ConsumerOptions::new().max_records(count)).unwrap();
    consumer.assign(&[TopicPartition::new("t", 0)]).unwrap();
    let place = consumer.poll(Duration::ZERO).unwrap().next_place("t", 0).unwrap();
    assert_eq!(place.offset, count);
    place
}

fn read_on(engine: &Engine, place: Place) -> Result<Vec<String>, ErrorKind> {
    let read = partition(engine).read(place.offset, ReadOptions::new().from(place)).map_err(|error| error.kind())?;
    Ok(read.iter().map(|r| String::from_utf8(r.unwrap().value().unwrap().to_vec()).unwrap()).collect())
}

/// Three records of which the device has the first only, with the places behind each, and what a power cut leaves.
fn cut_behind_one(seed: u64) -> (World, Vec<Place>) {
    let world = World::new(seed);
    let engine = open(&world);
    engine.create_topic("t", TopicOptions::new()).unwrap();
    append(&engine, "kept", Durability::Disk);
    world.record();
    append(&engine, "lost", Durability::Os);
    append(&engine, "lost too", Durability::Os);
    let places = (1..=3).map(|count| place(&engine, count)).collect();
    let log = world.log();
    drop(engine);
    (log.image(log.calls(), &Choice::none()), places)
}

#[test]
fn who_stands_behind_records_that_a_power_cut_took_is_told_so_whatever_has_their_offsets_now() {
    let (world, places) = cut_behind_one(1);
    let engine = open(&world);
    for _ in 0..2 {
        assert_eq!(
            read_on(&engine, places[0]).map(|values| values.first().cloned()),
            Ok(values_of(&engine).get(1).cloned())
        );
        for gone in &places[1..] {
            assert_eq!(read_on(&engine, *gone), Err(ErrorKind::Truncated));
        }
        ["other", "other too", "and more"].iter().for_each(|value| append(&engine, value, Durability::Os));
    }
    let here = place(&engine, 4);
    assert_eq!(read_on(&engine, here).unwrap()[0], "other");
    let text = partition(&engine).read(2, ReadOptions::new().from(places[1])).unwrap_err();
    assert!(text.message().contains("topic=t partition=0") && !text.is_retriable(), "{text}");
    let elsewhere = partition(&engine).read(0, ReadOptions::new().from(here)).unwrap_err();
    assert_eq!(elsewhere.kind(), ErrorKind::InvalidArgument);
}

fn values_of(engine: &Engine) -> Vec<String> {
    let read = partition(engine).read(0, ReadOptions::new()).unwrap();
    read.iter().map(|r| String::from_utf8(r.unwrap().value().unwrap().to_vec()).unwrap()).collect()
}

#[test]
fn who_stands_behind_records_that_an_abort_hides_is_told_when_a_power_cut_took_them() {
    let world = World::new(5);
    let engine = open(&world);
    engine.create_topic("t", TopicOptions::new()).unwrap();
    append(&engine, "kept", Durability::Disk);
    let producer = engine.transactional_producer("p", ProducerOptions::new().transaction_buffer(0)).unwrap();
    world.record();
    let mut transaction = producer.begin_transaction().unwrap();
    transaction.send("t", Record::new(b"hidden")).unwrap();
    transaction.abort().unwrap();
    let consumer = engine.consumer(ConsumerOptions::new()).unwrap();
    consumer.assign(&[TopicPartition::new("t", 0)]).unwrap();
    let looked = |time| {
        consumer.seek(&TopicPartition::new("t", 0), 1).unwrap();
        // What this one looked at is given back, for none of it is shown.
        let nothing = consumer.poll(time).unwrap();
        assert_eq!(nothing.count(), 0);
        nothing.next_place("t", 0).unwrap()
    };
    let place = looked(Duration::ZERO);
    assert_eq!((place.offset, looked(Duration::from_millis(2))), (2, place), "looked once, or more often");
    let log = world.log();
    drop((consumer, producer, engine));
    let engine = open(&log.image(log.calls(), &Choice::none()));
    ["other", "other too"].iter().for_each(|value| append(&engine, value, Durability::Os));
    assert_eq!(read_on(&engine, place), Err(ErrorKind::Truncated), "the record at 1 was not seen");
}

#[test]
fn a_cut_is_known_to_all_later_lives_through_checkpoints_and_closes() {
    let (world, places) = cut_behind_one(2);
    for life in 0..6 {
        let engine = open(&world);
        assert_eq!(read_on(&engine, places[2]), Err(ErrorKind::Truncated), "life {life}");
        assert!(read_on(&engine, places[0]).is_ok());
        let text = "x".repeat(9_000);
        for n in 0..30 {
            append(&engine, &text, if n % 10 == 0 { Durability::Disk } else { Durability::Os });
            engine.drive().unwrap();
        }
        match life % 3 {
            0 => engine.close().unwrap(),
            1 => world.kill(),
            _ => world.crash(),
        }
    }
}

#[test]
fn places_stay_good_over_closes_and_kills_in_every_segment_and_inside_transactions() {
    let world = World::new(3);
    let mut engine = open(&world);
    engine.create_topic("t", TopicOptions::new()).unwrap();
    let mut places: Vec<(Place, u64)> = Vec::new();
    for life in 0..4 {
        let producer = engine.transactional_producer("p", ProducerOptions::new()).unwrap();
        for n in 0..12_u64 {
            let text = format!("{life} {n} {}", "x".repeat(7_000));
            if n % 3 == 0 {
                let mut transaction = producer.begin_transaction().unwrap();
                (0..2).for_each(|_| transaction.send("t", Record::new(text.as_bytes())).unwrap());
                transaction.commit().unwrap();
            } else {
                append(&engine, &text, Durability::Os);
            }
            engine.drive().unwrap();
            let end = partition(&engine).bounds().end;
            for from in [end - 1, end] {
                let read = partition(&engine).read(from, ReadOptions::new()).unwrap();
                places.push((read.next_place("t", 0).unwrap(), end));
            }
        }
        for (place, end) in &places {
            assert_eq!(place.offset, *end);
            assert!(read_on(&engine, *place).is_ok(), "{place:?}");
        }
        drop(producer);
        if life % 2 == 0 {
            engine.close().unwrap()
        } else {
            world.kill()
        }
        engine = open(&world);
    }
    assert!(places.iter().all(|(place, _)| read_on(&engine, *place).is_ok()));
}

#[test]
fn a_place_of_a_life_that_the_log_never_had_is_refused() {
    let (world, places) = cut_behind_one(4);
    let engine = open(&world);
    let later = Place { incarnation: places[0].incarnation + 9, ..places[0] };
    assert_eq!(read_on(&engine, later), Err(ErrorKind::Truncated));
}

#[test]
fn with_visibility_durable_readers_see_nothing_that_a_power_cut_could_take() {
    let world = World::new(5);
    let options = || Engine::options().threads(false).durability(Durability::Os);
    let engine = options().visibility(Visibility::Durable).open_on(world.machine()).unwrap();
    engine.create_topic("t", TopicOptions::new().durability(Durability::Os)).unwrap();
    append(&engine, "one", Durability::Os);
    assert_eq!(partition(&engine).bounds().end, 0, "acknowledged at its level, not shown yet");
    engine.flush().unwrap();
    assert_eq!(partition(&engine).bounds().end, 1);
    append(&engine, "two", Durability::Os);
    assert_eq!(place(&engine, 1).offset, 1);
    world.crash();
    drop(engine);
    let engine = options().open_on(world.machine()).unwrap();
    append(&engine, "three", Durability::Os);
    assert!(partition(&engine).bounds().end > 1, "shown at the topic's level");
}
