//! The hidden calls of bindings whose one thread must never wait: where others would, they answer that they would, or
//! leave it to a ticket. The machine is simulated, and nothing runs but what the test calls.

use std::time::Duration;

use oncelog::sim::World;
use oncelog::{
    AppendOptions, Appended, Batch, Compression, Durability, Engine, ErrorKind, Isolation, ProducerOptions,
    ReadOptions, Record, TopicOptions, Transaction, TransactionalProducer,
};

use crate::LONG;

/// Small segments and no threads: the second roll finds no room before somebody flushes.
fn begin(seed: u64) -> (World, Engine) {
    let world = World::new(seed);
    let engine = Engine::options().threads(false).segment_bytes(64 << 10).open_on(world.machine()).unwrap();
    for topic in ["t", "u"] {
        engine.create_topic(topic, TopicOptions::new().partitions(2).durability(Durability::Os)).unwrap();
    }
    (world, engine)
}

fn producer(engine: &Engine, buffer: usize) -> TransactionalProducer {
    engine.transactional_producer("tp", ProducerOptions::new().transaction_buffer(buffer)).unwrap()
}

fn value(n: u64) -> Vec<u8> {
    [&n.to_le_bytes()[..], &[b'x'; 1_000]].concat()
}

fn numbers(engine: &Engine, partition: u32, isolation: Isolation) -> Vec<u64> {
    let partition = engine.partition("t", partition).unwrap();
    let (mut all, mut next) = (Vec::new(), 0);
    loop {
        let records = partition.read(next, ReadOptions::new().isolation(isolation)).unwrap();
        if records.is_empty() {
            return all;
        }
        for view in &records {
            let view = view.unwrap();
            all.push(u64::from_le_bytes(view.value().unwrap()[..8].try_into().unwrap()));
            next = view.offset() + 1;
        }
    }
}

fn send(transaction: &mut Transaction, n: u64) -> bool {
    transaction.send_now("t", Record::new(&value(n)).partition((n % 2) as u32)).unwrap()
}

#[test]
fn a_transaction_streams_where_there_is_room_and_keeps_a_record_out_where_there_is_none() {
    for (seed, buffer) in [(1, 0), (2, 10_000), (3, 50_000)] {
        let (_world, engine) = begin(seed);
        let mut transaction = producer(&engine, buffer).begin_transaction().unwrap();
        let mut waits = 0;
        for n in 0..400 {
            while !send(&mut transaction, n) {
                waits += 1;
                engine.flush().unwrap();
                engine.drive().unwrap();
            }
        }
        assert!(waits > 0, "buffer {buffer}: there was always room");
        assert_eq!(engine.describe_transactions().unwrap().len(), 1, "it streamed without any waiting");
        transaction.commit().unwrap();
        for partition in [0, 1] {
            let expected: Vec<u64> = (0..400).filter(|n| n % 2 == u64::from(partition)).collect();
            assert_eq!(numbers(&engine, partition, Isolation::ReadCommitted), expected, "buffer {buffer}");
        }
    }
}

#[test]
fn what_finds_no_room_is_no_part_of_the_transaction() {
    let (_world, engine) = begin(4);
    let mut transaction = producer(&engine, 0).begin_transaction().unwrap();
    let mut sent = 0;
    while send(&mut transaction, sent) {
        sent += 1;
    }
    engine.flush().unwrap();
    transaction.commit().unwrap();
    let all = [0, 1].map(|partition| numbers(&engine, partition, Isolation::ReadUncommitted).len() as u64);
    assert_eq!(all.iter().sum::<u64>(), sent);
}

#[test]
fn why_a_transaction_is_refused_is_told_once_that_is_safe_and_not_waited_for() {
    let (_world, engine) = begin(5);
    let mut transaction = producer(&engine, 0).begin_transaction().unwrap();
    assert!(send(&mut transaction, 0));
    let mut gone = engine.delete_topic_ticket("u").unwrap();
    // The transaction was aborted, and nobody has flushed that.
    engine.abort_transaction_ticket(transaction.number()).unwrap().detach();
    for _ in 0..3 {
        assert!(!send(&mut transaction, 1), "a power cut could still take the abort");
    }
    assert!(gone.try_wait().unwrap().is_none(), "nothing was flushed for it");
    engine.flush().unwrap();
    let told = transaction.send_now("t", Record::new(b"x")).unwrap_err();
    assert_eq!(told.kind(), ErrorKind::TransactionAborted);
    assert_eq!(transaction.commit().unwrap_err().kind(), ErrorKind::TransactionAborted);
}

#[test]
fn the_refusal_of_a_batch_comes_from_its_ticket_once_it_is_safe() {
    let (_world, engine) = begin(7);
    let partition = engine.partition("t", 0).unwrap();
    let mut batch = Batch::builder();
    batch.push(&Record::new(b"x"), 1).unwrap();
    let batch = batch.build().unwrap();
    partition.append_ticket(&batch, AppendOptions::new()).unwrap().wait().unwrap();
    engine.delete_topic_ticket("t").unwrap().detach();
    let mut refused = partition.append_ticket(&batch, AppendOptions::new()).unwrap();
    assert!(refused.try_wait().unwrap().is_none(), "a power cut could still take the deletion");
    engine.flush().unwrap();
    assert_eq!(refused.wait().unwrap_err().kind(), ErrorKind::UnknownTopicOrPartition);
    engine.close().unwrap();
    let closed = partition.append_ticket(&batch, AppendOptions::new()).map(drop);
    assert_eq!(closed.unwrap_err().kind(), ErrorKind::Closed);
}

#[test]
fn who_waits_for_room_has_it_then_or_hears_why_there_is_none() {
    let (world, engine) = begin(8);
    let large = 300 << 10;
    assert!(!engine.has_room(large));
    engine.await_room(large).unwrap();
    assert!(engine.has_room(large));
    let used = world.files().values().map(|image| image.len() as u64).sum();
    world.set_capacity(Some(used));
    assert_eq!(engine.await_room(8 << 20).unwrap_err().kind(), ErrorKind::Full);
    world.set_capacity(None);
    engine.await_room(8 << 20).unwrap();
    engine.close().unwrap();
    assert_eq!(engine.await_room(0).unwrap_err().kind(), ErrorKind::Closed);
}

#[test]
fn a_ticket_closes_its_batch_where_there_is_room_and_leaves_it_open_where_there_is_none() {
    for name in [None, Some("n")] {
        let (_world, engine) = begin(9);
        let options = ProducerOptions::new().linger(LONG).batch_bytes(200_000);
        let options = name.map_or(options.clone(), |name| options.name(name));
        let producer = engine.producer(options).unwrap();
        let record = |value| {
            let record = Record::new(value).partition(0);
            if name.is_some() { record.position(value.len() as u64) } else { record }
        };
        let mut small = producer.send("t", record(b"x")).unwrap();
        assert!(small.hasten() && small.hasten(), "there is room");
        assert!(small.lsn().is_some());
        let large = vec![0; 100_000];
        let mut ticket = producer.send("t", record(&large)).unwrap();
        assert!(!ticket.hasten(), "more than a segment holds");
        assert!(ticket.try_wait().unwrap().is_none());
        engine.await_room(large.len() + 1_000).unwrap();
        assert!(ticket.hasten());
        assert!(ticket.lsn() > small.lsn());
    }
}

#[test]
fn a_batch_that_was_to_be_closed_and_found_no_room_does_not_linger_any_longer() {
    // Of a thread that may not wait, awaiting each record: nobody would come again to close it.
    for name in [None, Some("n")] {
        for fills in [false, true] {
            let (_world, engine) = begin(13);
            let options = ProducerOptions::new().linger(Duration::MAX).batch_bytes(if fills { 1_000 } else { 200_000 });
            let producer = engine.producer(name.map_or(options.clone(), |name| options.name(name))).unwrap();
            let large = vec![0; 100_000];
            let record = Record::new(&large).partition(0);
            let record = if name.is_some() { record.position(1) } else { record };
            let mut ticket = producer.try_send("t", record).unwrap().expect("memory is there");
            assert!(!ticket.hasten(), "more than a segment holds");
            assert!(ticket.try_wait().unwrap().is_none());
            engine.drive().unwrap();
            assert!(ticket.try_wait().unwrap().is_some(), "{name:?}, {fills}: the engine's own round has closed it");
        }
    }
}

#[test]
fn a_flush_that_may_not_wait_leaves_open_what_finds_no_room_and_is_asked_again() {
    for (name, compression) in [(None, Compression::None), (Some("n"), Compression::None), (None, Compression::Lz4)] {
        let (_world, engine) = begin(10);
        let options = ProducerOptions::new().linger(LONG).batch_bytes(200_000).compression(compression);
        let options = name.map_or(options.clone(), |name| options.name(name));
        let producer = engine.producer(options).unwrap();
        let record = |value| {
            let record = Record::new(value).partition(0);
            if name.is_some() { record.position(value.len() as u64) } else { record }
        };
        producer.send("t", record(b"x")).unwrap().detach();
        producer.try_flush().unwrap().expect("there is room").wait().unwrap();
        // Nothing that repeats: it takes as much when it is compressed.
        let mut state = 1_u64;
        let mut byte = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        };
        let large: Vec<u8> = (0..100_000).map(|_| byte()).collect();
        let mut ticket = producer.send("t", record(&large)).unwrap();
        for _ in 0..3 {
            assert!(producer.try_flush().unwrap().is_none(), "more than a segment holds");
            assert!(engine.try_flush().unwrap().is_none());
        }
        assert!(ticket.try_wait().unwrap().is_none());
        engine.await_room(large.len() + 1_000).unwrap();
        engine.try_flush().unwrap().expect("there is room").wait().unwrap();
        assert!(ticket.try_wait().unwrap().is_some(), "the flush has closed it");
        producer.try_flush().unwrap().expect("nothing is gathered").wait().unwrap();
        assert_eq!(producer.position(), name.map(|_| 100_000));
        engine.close().unwrap();
        assert_eq!(producer.try_flush().map(drop).unwrap_err().kind(), ErrorKind::Closed);
        assert_eq!(engine.try_flush().map(drop).unwrap_err().kind(), ErrorKind::Closed);
    }
}

#[test]
fn what_fits_when_it_is_compressed_is_sent_though_as_it_is_it_would_find_no_room() {
    for name in [None, Some("n")] {
        let (world, engine) = begin(12);
        let options = ProducerOptions::new().linger(LONG).batch_bytes(300_000).compression(Compression::Lz4);
        let producer = engine.producer(name.map_or(options.clone(), |name| options.name(name))).unwrap();
        let used = world.files().values().map(|image| image.len() as u64).sum();
        world.set_capacity(Some(used));
        for n in 0..10 {
            let record = Record::new(&[0; 250_000]).partition(0).timestamp(0);
            let record = if name.is_some() { record.position(n) } else { record };
            let sent = (0..10).find_map(|_| {
                engine.drive().unwrap();
                producer.try_send("t", record).unwrap()
            });
            sent.expect("it comes to a thousand bytes").detach();
        }
    }
}

#[test]
fn a_flush_that_may_not_wait_answers_what_a_batch_was_refused_for() {
    let (world, engine) = begin(11);
    let producer = engine.producer(ProducerOptions::new().linger(LONG).batch_bytes(200_000)).unwrap();
    let used = world.files().values().map(|image| image.len() as u64).sum();
    world.set_capacity(Some(used));
    producer.send("t", Record::new(&[0; 100_000])).unwrap().detach();
    assert!(producer.try_flush().unwrap().is_none(), "nobody has asked the disk");
    engine.flush().unwrap();
    let flushed = producer.try_flush().unwrap().expect("it is closed");
    assert_eq!(flushed.wait().unwrap_err().kind(), ErrorKind::Full);
}

#[test]
fn where_a_name_stands_is_told_while_its_producer_is_busy_and_a_flush_does_not_wait_for_it() {
    let (_world, engine) = begin(12);
    let producer = engine.producer(ProducerOptions::new().name("n")).unwrap();
    producer.send("t", Record::new(b"x").position(7)).unwrap().wait().unwrap();
    let mut seen = None;
    // Whoever walks the records of a call has the producer busy with it.
    let record = std::iter::once_with(|| {
        seen = Some((producer.position(), producer.try_flush().unwrap().is_none()));
        Record::new(b"y").position(8)
    });
    producer.send_many("t", record).unwrap().wait().unwrap();
    assert_eq!((seen, producer.position()), (Some((Some(7), true)), Some(8)));
}

#[test]
fn answers_by_runs_say_what_the_answers_one_by_one_say() {
    for name in [None, Some("n")] {
        // Two logs that go the same way.
        let [(_one, one), (_other, other)] = [begin(13), begin(13)];
        let producer = |engine: &Engine| {
            let options = ProducerOptions::new().batch_bytes(5_000);
            engine.producer(name.map_or(options.clone(), |name| options.name(name))).unwrap()
        };
        let (one, other) = (producer(&one), producer(&other));
        let made: Vec<Vec<u8>> = (0..40).map(value).collect();
        let record = |n: usize| {
            let record = Record::new(&made[n]).partition(n as u32 / 7 % 2).timestamp(n as i64 / 2);
            // Every third position of the name is new.
            if name.is_some() { record.position(n as u64 / 3) } else { record }
        };
        let many = one.try_send_many("u", (0..40).map(record)).unwrap();
        let (sent, runs, refused) = other.try_send_runs("u", (0..40).map(record)).unwrap();
        assert!((many.sent, sent, many.refused.is_none(), refused.is_none()) == (40, 40, true, true));
        let mut answers = Vec::new();
        for (first, count) in runs.wait().unwrap() {
            let offset = |n: u32| if first.duplicate { first.first } else { first.first + u64::from(n) };
            answers.extend((0..count).map(|n| Appended { first: offset(n), last: offset(n), ..first.clone() }));
        }
        assert_eq!(answers, many.ticket.wait().unwrap(), "name {name:?}");
    }
}
