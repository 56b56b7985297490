//! Aborted ranges over many segments: in footers, rebuilt, and while nothing is settled.

use std::time::Duration;

use oncelog::{ConsumerOptions, Engine, Record, TopicPartition, TransactionalProducer};

use crate::{begin, committed, ends, open, plain, streaming, uncommitted};

/// Transactions of about a segment and a half each, every other one aborted, with plain records between.
fn fill(engine: &Engine, producer: &TransactionalProducer, rounds: usize) -> Vec<String> {
    let mut expected = Vec::new();
    for round in 0..rounds {
        let mut transaction = producer.begin_transaction().unwrap();
        for n in 0..60 {
            let value = format!("{round} {n} {}", "x".repeat(1_500));
            transaction.send("t", Record::new(value.as_bytes()).partition(n % 2)).unwrap();
            if n % 2 == 0 && round % 2 == 0 {
                expected.push(value);
            }
            if n % 20 == 0 {
                plain(engine, 0, &format!("plain {round} {n}"));
                expected.push(format!("plain {round} {n}"));
                engine.drive().unwrap();
            }
        }
        if round % 2 == 0 {
            transaction.commit().unwrap();
        } else {
            transaction.abort().unwrap();
        }
    }
    engine.flush().unwrap();
    expected
}

/// Fills a segment and more with records of the other partition.
fn roll(engine: &Engine) {
    for _ in 0..50 {
        plain(engine, 1, &"x".repeat(1_500));
        engine.drive().unwrap();
    }
}

#[test]
fn aborted_ranges_over_many_segments_are_found_with_footers_without_and_while_live() {
    // testAbortedTransactionSpanningMultipleSegments, testRecoverTransactionIndex, testFullTransactionIndexRecovery.
    let (world, engine) = begin(1);
    let producer = engine.transactional_producer("tp", streaming()).unwrap();
    let expected = fill(&engine, &producer, 6);
    let check = |engine: &Engine, what: &str| {
        let partition = engine.partition("t", 0).unwrap();
        assert_eq!(ends(&partition).0, ends(&partition).1, "{what}");
        assert!(committed(&partition) == expected, "{what}");
        assert_eq!(uncommitted(&partition).len(), 6 * 33, "{what}");
    };
    check(&engine, "live");
    for _ in 0..20 {
        engine.drive().unwrap();
    }
    check(&engine, "settled");
    drop(producer);
    engine.close().unwrap();
    check(&open(&world), "opened again");
    let mut bare = world.files();
    bare.remove("head");
    for image in bare.values_mut() {
        if let Some(at) = image.windows(8).position(|w| w == b"onceftr\x02") {
            image.truncate(at);
        }
    }
    assert!(bare.len() > 8, "{:?}", bare.keys());
    let world = oncelog::sim::World::with_files(9, bare);
    let engine = open(&world);
    check(&engine, "without footers");
    check(&engine, "with footers made anew");
    world.crash();
    check(&open(&world), "after a crash");
}

#[test]
fn polls_of_any_number_of_records_find_what_reads_find() {
    let (_world, engine) = begin(1);
    let producer = engine.transactional_producer("tp", streaming()).unwrap();
    let expected = fill(&engine, &producer, 6);
    for settles in [false, true] {
        (0..20).filter(|_| settles).for_each(|_| assert!(engine.drive().is_ok()));
        for (most, bytes) in [(1, 1 << 20), (1, 1), (7, 1 << 20), (40, 50_000), (1_000, 1 << 20)] {
            let consumer = engine.consumer(ConsumerOptions::new().max_records(most).max_bytes(bytes)).unwrap();
            consumer.assign(&[TopicPartition::new("t", 0)]).unwrap();
            let mut found = Vec::new();
            while found.len() < expected.len() {
                let records = consumer.poll(Duration::ZERO).unwrap();
                assert!((1..=most).contains(&records.count()), "{} of {most}", records.count());
                found.extend(records.iter().map(|r| String::from_utf8(r.unwrap().value().unwrap().to_vec()).unwrap()));
            }
            assert!(found == expected, "most {most} bytes {bytes} settled {settles}");
            assert!(consumer.poll(Duration::ZERO).unwrap().is_empty());
        }
    }
}

#[test]
fn a_transaction_open_over_many_segments_holds_back_until_it_is_decided_in_the_last() {
    for commits in [true, false] {
        let (world, engine) = begin(2);
        let long = engine.transactional_producer("long", streaming()).unwrap();
        let short = engine.transactional_producer("short", streaming()).unwrap();
        let mut open_long = long.begin_transaction().unwrap();
        open_long.send("t", Record::new(b"long").partition(0)).unwrap();
        let mut expected = fill(&engine, &short, 4);
        let partition = engine.partition("t", 0).unwrap();
        assert_eq!(ends(&partition).0, 0);
        assert!(committed(&partition).is_empty());
        if commits {
            expected.insert(0, "long".into());
            open_long.commit().unwrap();
        } else {
            open_long.abort().unwrap();
            engine.flush().unwrap();
        }
        assert!(committed(&partition) == expected);
        engine.close().unwrap();
        let engine = open(&world);
        assert!(committed(&engine.partition("t", 0).unwrap()) == expected, "opened again, committed: {commits}");
    }
}

/// A footer that is made anew does not know what was open before its segment; the one that takes its place must.
#[test]
fn what_is_aborted_stays_hidden_though_the_segment_that_goes_on_lost_its_footer_while_it_was_open() {
    let (world, engine) = begin(4);
    engine.close().unwrap();
    let engine = crate::options().keep_raw_transactions(true).open_on(world.machine()).unwrap();
    let identity = engine.init_producer(Some("id"), crate::MINUTE, None).unwrap();
    crate::append(&engine, 0, identity, 0, "aborted").unwrap();
    roll(&engine);
    plain(&engine, 0, "plain");
    engine.close().unwrap();
    let mut files = world.files();
    let footers = files.values_mut().filter_map(|image| {
        let at = image.windows(8).position(|w| w == b"onceftr\x02")?;
        image.get_mut(at)
    });
    assert!(footers.map(|byte| *byte ^= 1).count() > 1);
    let world = oncelog::sim::World::with_files(9, files);
    let engine = open(&world);
    roll(&engine);
    assert_eq!(ends(&engine.partition("t", 0).unwrap()), (0, 2));
    engine.end_transaction(identity, oncelog::Outcome::Abort).unwrap();
    assert_eq!(committed(&engine.partition("t", 0).unwrap()), ["plain"]);
    roll(&engine);
    assert_eq!(committed(&engine.partition("t", 0).unwrap()), ["plain"], "settled");
    engine.close().unwrap();
    assert_eq!(committed(&open(&world).partition("t", 0).unwrap()), ["plain"], "opened again");
}

#[test]
fn a_checkpoint_carries_what_is_open() {
    // testRecoverFromSnapshotUnfinishedTransaction.
    let (world, engine) = begin(3);
    engine.close().unwrap();
    let engine = crate::options().keep_raw_transactions(true).open_on(world.machine()).unwrap();
    let identity = engine.init_producer(Some("id"), crate::MINUTE, None).unwrap();
    crate::append(&engine, 0, identity, 0, "open").unwrap();
    let producer = engine.transactional_producer("tp", streaming()).unwrap();
    fill(&engine, &producer, 6);
    assert!(engine.metrics().checkpoints > 1, "{:?}", engine.metrics());
    let digest = engine.digest();
    world.crash();
    let engine = open(&world);
    assert_eq!(engine.digest(), digest);
    assert_eq!(ends(&engine.partition("t", 0).unwrap()).0, 0);
    engine.end_transaction(identity, oncelog::Outcome::Abort).unwrap();
    assert_eq!(committed(&engine.partition("t", 0).unwrap()).len(), 3 * 30 + 18);
}
