//! What bounds transactions that stream.

use std::time::Duration;

use oncelog::{Engine, ErrorKind, ProducerOptions, Record, TopicOptions};

use crate::{SECOND, append, begin, committed, kind, options, streaming};

#[test]
fn a_transaction_may_have_any_number_of_records_and_as_many_partitions_as_the_limit_says() {
    let (_world, engine) = begin(1);
    engine.create_topic("wide", TopicOptions::new().partitions(1_001)).unwrap();
    let producer = engine.transactional_producer("tp", streaming()).unwrap();
    let mut transaction = producer.begin_transaction().unwrap();
    for n in 0..1_000 {
        transaction.send("wide", Record::new(b"x").partition(n)).unwrap();
    }
    assert_eq!(kind(transaction.send("wide", Record::new(b"x").partition(1_000))), ErrorKind::LimitExceeded);
    transaction.abort().unwrap();
    let mut transaction = producer.begin_transaction().unwrap();
    for n in 0..1_000 {
        transaction.send("wide", Record::new(b"x").partition(n)).unwrap();
    }
    transaction.commit().unwrap();
    assert_eq!(engine.partition("wide", 999).unwrap().bounds().stable, 2);
}

#[test]
fn who_finds_no_memory_left_streams_and_gives_back_what_it_took() {
    let (world, engine) = begin(2);
    engine.close().unwrap();
    let engine = options().transaction_memory(200_000).open_on(world.machine()).unwrap();
    let producer = |n: usize| engine.transactional_producer(&format!("tp{n}"), ProducerOptions::new()).unwrap();
    let fill = |transaction: &mut oncelog::Transaction| {
        for n in 0..90 {
            transaction.send("t", Record::new(&[b'x'; 1_000]).partition(n % 2)).unwrap();
        }
    };
    let mut open: Vec<_> = (0..4).map(|n| producer(n).begin_transaction().unwrap()).collect();
    open.iter_mut().for_each(fill);
    let streams = engine.describe_transactions().unwrap().len();
    assert!((1..4).contains(&streams), "{streams} of 4 stream");
    open.into_iter().for_each(|transaction| _ = transaction.commit().unwrap());
    assert_eq!(committed(&engine.partition("t", 0).unwrap()).len(), 4 * 45);
    let mut alone = producer(9).begin_transaction().unwrap();
    fill(&mut alone);
    assert!(engine.describe_transactions().unwrap().is_empty(), "there is memory again");
    alone.abort().unwrap();
}

#[test]
fn options_out_of_range_are_refused() {
    let (world, engine) = begin(3);
    let refused = |engine: &Engine, options| kind(engine.transactional_producer("tp", options).map(drop));
    let options = ProducerOptions::new().transaction_buffer(oncelog::limits::TRANSACTION_BUFFER_MAX + 1);
    assert_eq!(refused(&engine, options), ErrorKind::InvalidArgument);
    for timeout in [Duration::ZERO, Duration::from_secs(901)] {
        let options = ProducerOptions::new().transaction_timeout(timeout);
        assert_eq!(refused(&engine, options), ErrorKind::InvalidArgument);
    }
    engine.close().unwrap();
    for most in [Duration::ZERO, Duration::from_millis(1 << 32)] {
        let opened = crate::options().transaction_timeout_max(most).open_on(world.machine());
        assert_eq!(kind(opened.map(drop)), ErrorKind::InvalidArgument);
    }
}

#[test]
fn a_timeout_that_never_passes_is_described_as_none() {
    // It was described as Some(2147483.647s), and never passed.
    let (world, engine) = begin(5);
    engine.close().unwrap();
    let engine = options().transaction_timeout_max(Duration::from_millis(u64::from(u32::MAX))).open_on(world.machine());
    let engine = engine.unwrap();
    let last = Duration::from_millis((1 << 31) - 2);
    let never = [last + Duration::from_millis(1), Duration::from_millis(u64::from(u32::MAX))];
    for (n, timeout) in [last].into_iter().chain(never).enumerate() {
        let identity = engine.init_producer(Some(&format!("{n}")), timeout, None).unwrap();
        append(&engine, 0, identity, 0, "x").unwrap();
    }
    let described = engine.describe_transactions().unwrap();
    let timeouts: Vec<_> = described.iter().map(|open| open.timeout).collect();
    assert_eq!(timeouts, [Some(last), None, None]);
    world.advance(100 * 86_400 * SECOND);
    engine.drive().unwrap();
    assert_eq!(engine.describe_transactions().unwrap(), described[1..]);
}

#[test]
fn a_buffer_larger_than_a_batch_streams_where_a_batch_is_full() {
    let (_world, engine) = begin(4);
    let options = ProducerOptions::new().transaction_buffer(4 << 20);
    let producer = engine.transactional_producer("tp", options).unwrap();
    let mut transaction = producer.begin_transaction().unwrap();
    for _ in 0..3 {
        transaction.send("t", Record::new(&vec![b'x'; 600 << 10]).partition(0)).unwrap();
    }
    transaction.commit().unwrap();
    assert_eq!(committed(&engine.partition("t", 0).unwrap()).len(), 3);
}
