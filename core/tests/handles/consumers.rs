//! Consumers: poll, positions, the start rule.

use std::sync::mpsc;
use std::time::Duration;

use oncelog::{
    Consumer, ConsumerOptions, Engine, ErrorKind, OffsetAndMetadata, Offsets, Outcome, ProducerOptions, ReadOptions,
    Record, Records, Start, TopicOptions, TopicPartition,
};

use crate::{LONG, consumer, engine, names, pending, slow, values};

#[test]
fn poll_is_woken_by_data_from_another_thread() {
    let (_dir, engine) = engine(&[("t", 3)]);
    let reader = consumer(&engine, "g", &[("t", 0), ("t", 1), ("t", 2)]);
    let producer = engine.producer(ProducerOptions::new().linger(Duration::ZERO)).unwrap();
    let (tell, hear) = mpsc::channel();
    let polling = std::thread::spawn(move || {
        let mut found = 0;
        while found < 200 {
            found += reader.poll(LONG).unwrap().count();
            tell.send(found).unwrap();
        }
    });
    // Each record is sent only when the one before has woken the reader.
    for i in 0..200u32 {
        producer.send("t", Record::new(b"x").partition(i % 3)).unwrap().wait().unwrap();
        assert_eq!(hear.recv_timeout(LONG).unwrap(), u64::from(i) + 1);
    }
    polling.join().unwrap();
}

/// Polls in another thread, which has begun.
fn wait(reader: &Consumer) -> std::thread::JoinHandle<oncelog::Result<Records>> {
    let clone = reader.clone();
    let thread = std::thread::spawn(move || {
        loop {
            match clone.poll(LONG) {
                Err(error) if error.kind() == ErrorKind::Busy => std::thread::yield_now(),
                answer => return answer,
            }
        }
    });
    // Busy says that the other one has begun; records would say that it has not.
    while reader.poll(Duration::ZERO).is_ok() {
        std::thread::yield_now();
    }
    thread
}

#[test]
fn a_waiting_poll_hears_of_seek_close_and_deletion_and_is_alone() {
    let (_dir, engine) = engine(&[("t", 1), ("doomed", 1)]);
    slow(&engine).send("t", Record::new(b"x")).unwrap().wait().unwrap();
    let reader = consumer(&engine, "g", &[("t", 0)]);
    assert_eq!(reader.poll(LONG).unwrap().count(), 1);
    let waiting = wait(&reader);
    assert_eq!(reader.poll(Duration::ZERO).err().unwrap().kind(), ErrorKind::Busy);
    reader.seek(&TopicPartition::new("t", 0), 0).unwrap();
    assert_eq!(waiting.join().unwrap().unwrap().count(), 1);

    let doomed = consumer(&engine, "g", &[("doomed", 0)]);
    let waiting = wait(&doomed);
    engine.delete_topic("doomed").unwrap();
    assert_eq!(waiting.join().unwrap().err().unwrap().kind(), ErrorKind::UnknownTopicOrPartition);

    let waiting = wait(&reader);
    engine.close().unwrap();
    assert_eq!(waiting.join().unwrap().err().unwrap().kind(), ErrorKind::Closed);
}

#[test]
fn a_poll_waits_for_the_decision_on_offsets_that_are_pending() {
    // It answered UnstableOffsets at once, so that a loop of polls never waited.
    let (_dir, engine) = engine(&[("t", 1), ("doomed", 1)]);
    slow(&engine).send_many("t", &["0", "1"].map(|v| Record::new(v.as_bytes()))).unwrap().wait().unwrap();
    let polled = |group: &str, topic: &str, decide: &dyn Fn(&Engine)| {
        let reader = consumer(&engine, group, &[(topic, 0)]);
        assert!(reader.poll(Duration::ZERO).unwrap().is_empty(), "as where there is nothing to read");
        let waiting = wait(&reader);
        decide(&engine);
        waiting.join().unwrap().map(|records| values(&records)).map_err(|error| error.kind())
    };
    let end = |group: &str, outcome: Outcome| {
        let identity = pending(&engine, group, &names(&[("t", 0)]), LONG);
        polled(group, "t", &|engine| _ = engine.end_transaction(identity, outcome).unwrap())
    };
    assert_eq!(end("commits", Outcome::Commit), Ok(vec!["1".to_owned()]));
    assert_eq!(end("aborts", Outcome::Abort), Ok(vec!["0".to_owned(), "1".to_owned()]));
    pending(&engine, "over", &names(&[("t", 0)]), LONG);
    let by_number = |engine: &Engine| engine.abort_transaction(engine.describe_transactions().unwrap()[0].number);
    assert_eq!(polled("over", "t", &|engine| by_number(engine).unwrap()).map(|all| all.len()), Ok(2));
    pending(&engine, "deleted", &names(&[("doomed", 0)]), LONG);
    let deleted = polled("deleted", "doomed", &|engine| engine.delete_topic("doomed").unwrap());
    assert_eq!(deleted, Err(ErrorKind::UnknownTopicOrPartition));
    pending(&engine, "closed", &names(&[("t", 0)]), LONG);
    assert_eq!(polled("closed", "t", &|engine| engine.close().unwrap()), Err(ErrorKind::Closed));
}

#[test]
fn offsets_that_are_pending_keep_back_their_own_partition_only() {
    let (_dir, engine) = engine(&[("t", 2)]);
    let producer = slow(&engine);
    producer.send("t", Record::new(b"held").partition(0)).unwrap().wait().unwrap();
    producer.send("t", Record::new(b"free").partition(1)).unwrap().wait().unwrap();
    let identity = pending(&engine, "g", &names(&[("t", 0)]), LONG);
    let reader = consumer(&engine, "g", &[("t", 0), ("t", 1)]);
    assert_eq!(values(&reader.poll(LONG).unwrap()), ["free"]);
    let held = TopicPartition::new("t", 0);
    assert_eq!(reader.positions(), Offsets::from([(TopicPartition::new("t", 1), 1.into())]));
    let settled = reader.settle_ticket().unwrap().wait().unwrap_err();
    let position = reader.position(&held).unwrap_err();
    let lag = reader.lag(&held).unwrap_err();
    let producer = engine.transactional_producer("tp", ProducerOptions::new()).unwrap();
    let begun = producer.begin_transaction_for(&reader).err().unwrap();
    for error in [settled, position, lag, begun] {
        assert_eq!((error.kind(), error.is_retriable()), (ErrorKind::UnstableOffsets, true), "{error}");
    }
    engine.end_transaction(identity, Outcome::Abort).unwrap();
    assert_eq!(values(&reader.poll(LONG).unwrap()), ["held"]);
    producer.begin_transaction_for(&reader).unwrap().abort().unwrap();
}

#[test]
fn polls_are_bounded_filled_over_partitions_and_take_turns() {
    let (_dir, engine) = engine(&[("t", 3)]);
    let producer = slow(&engine);
    for partition in 0..3 {
        let records = vec![Record::new(b"0123456789").partition(partition); 40];
        producer.send_many("t", &records).unwrap().wait().unwrap();
    }
    let all = names(&[("t", 0), ("t", 1), ("t", 2)]);
    let reader = engine.consumer(ConsumerOptions::new().max_records(50)).unwrap();
    reader.assign(&all).unwrap();
    let counts: Vec<u64> = (0..4).map(|_| reader.poll(Duration::ZERO).unwrap().count()).collect();
    assert_eq!(counts, [50, 50, 20, 0]);
    assert!(all.iter().all(|place| reader.lag(place).unwrap() == 0));

    let reader = engine.consumer(ConsumerOptions::new().max_bytes(1)).unwrap();
    reader.assign(&all).unwrap();
    let turns: Vec<u32> =
        (0..3).map(|_| reader.poll(Duration::ZERO).unwrap().iter().next().unwrap().unwrap().partition()).collect();
    assert_eq!(turns, [0, 1, 2], "a batch at a time, from each in turn");
}

#[test]
fn positions_follow_poll_seek_rewind_and_commit() {
    let (_dir, engine) = engine(&[("t", 2)]);
    let producer = slow(&engine);
    producer.send_many("t", &[Record::new(b"x").partition(0); 10]).unwrap().wait().unwrap();
    let (place, other) = (TopicPartition::new("t", 0), TopicPartition::new("t", 1));
    let reader = consumer(&engine, "g", &[("t", 0), ("t", 1)]);
    assert_eq!(reader.positions(), Offsets::new());
    assert_eq!((reader.lag(&place).unwrap(), reader.position(&place).unwrap()), (10, 0));
    reader.seek(&place, 4).unwrap();
    assert_eq!(reader.poll(LONG).unwrap().count(), 6);
    reader.commit().unwrap();
    assert_eq!((reader.committed(&place).unwrap(), reader.committed(&other).unwrap()), (Some(10), None));
    assert_eq!(reader.lag(&place).unwrap(), 0);
    reader.seek(&place, 0).unwrap();
    reader.rewind().unwrap();
    assert_eq!(reader.position(&place).unwrap(), 10);
    reader.commit_offsets(&Offsets::from([(place.clone(), 3.into()), (other.clone(), 0.into())])).unwrap();
    assert_eq!(reader.position(&place).unwrap(), 10, "a commit moves nobody");
    reader.rewind().unwrap();
    assert_eq!((reader.position(&place).unwrap(), reader.position(&other).unwrap()), (3, 0));
    // A new assignment keeps the positions of partitions that stay.
    reader.seek(&place, 5).unwrap();
    reader.assign(std::slice::from_ref(&place)).unwrap();
    assert_eq!(reader.position(&place).unwrap(), 5);
    assert_eq!(reader.positions(), Offsets::from([(place.clone(), 5.into())]));
    let fresh = consumer(&engine, "g", &[("t", 0)]);
    assert_eq!(fresh.position(&place).unwrap(), 3);
    assert_eq!(reader.bounds(&place).unwrap().end, 10);
}

#[test]
fn what_was_stored_beside_an_offset_comes_back() {
    let (_dir, engine) = engine(&[("t", 2), ("u", 1)]);
    let all = names(&[("t", 0), ("t", 1), ("u", 0)]);
    let reader = consumer(&engine, "g", &[("t", 0)]);
    assert_eq!(reader.committed_offsets(&all).unwrap(), Offsets::new());
    let stored = OffsetAndMetadata { offset: 1, leader_epoch: 7, metadata: "page 3".into() };
    let offsets = Offsets::from([(all[0].clone(), stored), (all[2].clone(), 4.into())]);
    reader.commit_offsets(&offsets).unwrap();
    assert_eq!(reader.committed_offsets(&all).unwrap(), offsets);
    assert_eq!(reader.committed_offsets_ticket(&all[1..]).unwrap().wait().unwrap().len(), 1);
    assert_eq!(reader.committed_offsets(&[]).unwrap(), Offsets::new());
    let unknown = names(&[("t", 0), ("t", 2)]);
    assert_eq!(reader.committed_offsets(&unknown).unwrap_err().kind(), ErrorKind::UnknownTopicOrPartition);
    let nobody = engine.consumer(ConsumerOptions::new()).unwrap();
    assert_eq!(nobody.committed_offsets(&all).unwrap_err().kind(), ErrorKind::InvalidArgument);
}

#[test]
fn the_start_rule_decides_where_nothing_is_committed_or_the_position_is_outside() {
    let (_dir, engine) = engine(&[("t", 1)]);
    let producer = slow(&engine);
    producer.send_many("t", &[Record::new(b"x"); 5]).unwrap().wait().unwrap();
    let place = TopicPartition::new("t", 0);
    let with = |start, group: &str| {
        let reader = engine.consumer(ConsumerOptions::new().group(group).start(start)).unwrap();
        reader.assign(std::slice::from_ref(&place)).unwrap();
        reader
    };
    assert_eq!(with(Start::Earliest, "new").position(&place).unwrap(), 0);
    assert_eq!(with(Start::Latest, "new").position(&place).unwrap(), 5);
    let none = with(Start::None, "new");
    assert_eq!(none.poll(Duration::ZERO).err().unwrap().kind(), ErrorKind::OffsetOutOfRange);
    none.seek(&place, 2).unwrap();
    assert_eq!(none.poll(LONG).unwrap().count(), 3);

    with(Start::Earliest, "lost").commit_offsets(&Offsets::from([(place.clone(), 99.into())])).unwrap();
    assert_eq!(with(Start::None, "lost").poll(Duration::ZERO).err().unwrap().kind(), ErrorKind::OffsetOutOfRange);
    assert!(with(Start::Latest, "lost").poll(Duration::ZERO).unwrap().is_empty());
    let earliest = with(Start::Earliest, "lost");
    let found = earliest.poll(LONG).unwrap();
    assert_eq!(found.count(), 5);

    // Where the end is the start, not to commit would mean to begin elsewhere the next time.
    let latest = with(Start::Latest, "late");
    assert_eq!(latest.position(&place).unwrap(), 5);
    latest.commit().unwrap();
    assert_eq!(latest.committed(&place).unwrap(), Some(5));
}

#[test]
fn a_topic_created_again_inherits_nothing() {
    let (_dir, engine) = engine(&[("t", 1)]);
    let place = TopicPartition::new("t", 0);
    let producer = slow(&engine);
    producer.send("t", Record::new(b"old")).unwrap().wait().unwrap();
    let old = consumer(&engine, "g", &[("t", 0)]);
    assert_eq!(old.poll(LONG).unwrap().count(), 1);
    old.commit().unwrap();
    producer.send("t", Record::new(b"old too")).unwrap().wait().unwrap();
    assert_eq!(old.poll(LONG).unwrap().count(), 1);
    let handle = engine.partition("t", 0).unwrap();
    engine.delete_topic("t").unwrap();
    engine.create_topic("t", TopicOptions::new()).unwrap();
    assert_eq!(handle.read(0, ReadOptions::new()).err().unwrap().kind(), ErrorKind::UnknownTopicOrPartition);
    assert_eq!(old.poll(Duration::ZERO).err().unwrap().kind(), ErrorKind::UnknownTopicOrPartition);
    assert_eq!(old.commit().err().unwrap().kind(), ErrorKind::UnknownTopicOrPartition, "not for its namesake");
    let transactional = engine.transactional_producer("tp", ProducerOptions::new()).unwrap();
    let bound = transactional.begin_transaction_for(&old).unwrap();
    assert_eq!(bound.commit().err().unwrap().kind(), ErrorKind::UnknownTopicOrPartition);
    let new = consumer(&engine, "g", &[("t", 0)]);
    assert_eq!(new.committed(&place).unwrap(), None);
    producer.send("t", Record::new(b"new")).unwrap().wait().unwrap();
    assert_eq!(values(&new.poll(LONG).unwrap()), ["new"]);
    old.assign(std::slice::from_ref(&place)).unwrap();
    assert_eq!(old.position(&place).unwrap(), 0, "the old position belonged to the old topic");
}
