//! Who is active in a partition: what Kafka's DescribeProducers (KIP-664) answers.

use oncelog::{
    ActiveProducer, Batch, ErrorKind, Identity, Outcome, Partition, ProducerOptions, Record, TimestampType,
    TopicOptions,
};

use crate::{MINUTE, SECOND, append, append_plainly, begin, kind, open, plain, streaming};

/// Producer id and epoch, last sequence, last timestamp, offset at which the transaction starts; -1 for none.
type Told = (Identity, i32, i64, i64);

fn told(partition: &Partition) -> Vec<Told> {
    let tell = |active: &ActiveProducer| {
        let start = active.transaction_start_offset.map_or(-1, u64::cast_signed);
        (active.identity, active.last_sequence.unwrap_or(-1), active.last_timestamp.unwrap_or(-1), start)
    };
    partition.producers().unwrap().iter().map(tell).collect()
}

#[test]
fn producers_are_told_by_their_last_batch_in_the_partition_until_they_are_forgotten() {
    let (world, engine) = begin(1);
    let partition = engine.partition("t", 0).unwrap();
    plain(&engine, 0, "nobody's");
    assert_eq!(told(&partition), []);
    let first = engine.init_producer(None, MINUTE, None).unwrap();
    let second = engine.init_producer(Some("id"), MINUTE, None).unwrap();
    assert_eq!(told(&partition), [], "nothing written yet");
    append_plainly(&engine, 0, second, 0).unwrap();
    append_plainly(&engine, 1, first, 0).unwrap();
    let mut batch = Batch::builder();
    for timestamp in [3_000, 7_000, 5_000] {
        batch.push(&Record::new(b"x"), timestamp).unwrap();
    }
    batch.producer(first, 0);
    let batch = batch.build().unwrap();
    partition.append(&batch).unwrap().wait().unwrap();
    let all = [(first, 2, 7_000, -1), (second, 0, 1, -1)];
    assert_eq!(told(&partition), all, "by id, with the greatest timestamp of the last batch");
    assert!(partition.append(&batch).unwrap().wait().unwrap().duplicate);
    assert_eq!(told(&partition), all, "a repetition is no batch");
    world.crash();
    drop(engine);
    let engine = open(&world);
    let partition = engine.partition("t", 0).unwrap();
    assert_eq!(told(&partition), all, "after a power cut");
    append_plainly(&engine, 0, first, 3).unwrap();
    engine.delete_producer("id").unwrap();
    assert_eq!(told(&partition), [(first, 3, 1, -1)]);
    for _ in 0..5 {
        world.advance(6 * 3600 * SECOND);
        engine.drive().unwrap();
    }
    assert_eq!(told(&partition), [], "a day without a batch");
}

#[test]
fn a_raw_transaction_is_told_with_its_first_offset_in_each_partition_until_it_ends() {
    let (_world, engine) = begin(2);
    let [here, there] = [0, 1].map(|number| engine.partition("t", number).unwrap());
    plain(&engine, 0, "before");
    let identity = engine.init_producer(Some("id"), MINUTE, None).unwrap();
    append(&engine, 0, identity, 0, "a").unwrap();
    append(&engine, 0, identity, 1, "b").unwrap();
    assert_eq!((told(&here), told(&there)), (vec![(identity, 1, 1, 1)], vec![]));
    append(&engine, 1, identity, 0, "c").unwrap();
    assert_eq!(told(&there), [(identity, 0, 1, 0)]);
    assert_eq!(here.bounds().stable, 1, "it starts where the stable offset stands");
    let next = engine.end_transaction(identity, Outcome::Commit).unwrap();
    assert_eq!(told(&here), [(identity, 1, 1, -1)], "the epoch of the last batch: there is no marker");
    append(&engine, 0, next, 0, "d").unwrap();
    assert_eq!((told(&here), told(&there)), (vec![(next, 0, 1, 3)], vec![(identity, 0, 1, -1)]));
    let fencing = engine.init_producer(Some("id"), MINUTE, None).unwrap();
    assert_eq!(told(&here), [(next, 0, 1, -1)], "aborted by who took the name over");
    append_plainly(&engine, 0, fencing, 0).unwrap();
    assert_eq!(told(&here), [(fencing, 0, 1, -1)]);
}

#[test]
fn a_transactional_producer_is_told_while_a_transaction_of_its_streams_and_a_plain_one_never() {
    let (world, engine) = begin(3);
    let partition = engine.partition("t", 0).unwrap();
    engine.producer(ProducerOptions::new()).unwrap().send("t", Record::new(b"x").partition(0)).unwrap().wait().unwrap();
    let producer = engine.transactional_producer("id", streaming()).unwrap();
    let mut transaction = producer.begin_transaction().unwrap();
    assert_eq!(told(&partition), []);
    transaction.send("t", Record::new(b"y").partition(0)).unwrap();
    let open = engine.describe_transactions().unwrap()[0].identity;
    assert_eq!(told(&partition), [(open, -1, -1, 1)]);
    transaction.commit().unwrap();
    assert_eq!(told(&partition), []);
    // The same name, with batches of its owner's before: what they left is of another epoch.
    let raw = engine.init_producer(Some("id"), MINUTE, None).unwrap();
    append_plainly(&engine, 0, raw, 0).unwrap();
    let producer = engine.transactional_producer("id", streaming()).unwrap();
    let mut transaction = producer.begin_transaction().unwrap();
    transaction.send("t", Record::new(b"z").partition(0)).unwrap();
    let open = engine.describe_transactions().unwrap()[0].identity;
    assert_eq!(told(&partition), [(open, -1, -1, 3)]);
    drop(transaction);
    assert_eq!(told(&partition), [(raw, 0, 1, -1)]);
    engine.close().unwrap();
    drop(engine);
    let reader = oncelog::Engine::options().threads(false).read_only(true).open_on(world.machine()).unwrap();
    assert_eq!(told(&reader.partition("t", 0).unwrap()), [(raw, 0, 1, -1)], "opened for reading");
}

#[test]
fn where_the_topic_sets_the_time_the_last_timestamp_is_that_of_the_append() {
    let (_world, engine) = begin(4);
    engine.create_topic("stamped", TopicOptions::new().timestamp_type(TimestampType::LogAppendTime)).unwrap();
    let partition = engine.partition("stamped", 0).unwrap();
    let identity = engine.init_producer(None, MINUTE, None).unwrap();
    let mut batch = Batch::builder();
    batch.push(&Record::new(b"x"), 5).unwrap();
    batch.producer(identity, 0);
    let appended = partition.append(&batch.build().unwrap()).unwrap().wait().unwrap();
    assert_ne!(appended.timestamp, 5);
    assert_eq!(told(&partition), [(identity, 0, appended.timestamp, -1)]);
}

#[test]
fn batches_without_a_time_leave_none() {
    let (_world, engine) = begin(5);
    let partition = engine.partition("t", 0).unwrap();
    let identity = engine.init_producer(None, MINUTE, None).unwrap();
    let mut batch = Batch::builder();
    batch.push(&Record::new(b"x"), -1).unwrap();
    batch.producer(identity, 0);
    partition.append(&batch.build().unwrap()).unwrap().wait().unwrap();
    assert_eq!(partition.producers().unwrap()[0].last_timestamp, None);
}

#[test]
fn more_producers_than_one_hold_of_the_lock_looks_at_are_all_told() {
    let (_world, engine) = begin(6);
    let partition = engine.partition("t", 0).unwrap();
    let mut due = Vec::new();
    for number in 0..1_200 {
        let name = format!("id{number}");
        let identity = engine.init_producer((number % 3 > 0).then_some(&name), MINUTE, None).unwrap();
        let mut batch = Batch::builder();
        batch.push(&Record::new(b"x"), number).unwrap();
        batch.producer(identity, 0).transactional(number % 3 == 2);
        let first = partition.append(&batch.build().unwrap()).unwrap().wait().unwrap().first;
        due.push((identity, 0, number, if number % 3 == 2 { first.cast_signed() } else { -1 }));
    }
    assert_eq!(told(&partition), due);
}

#[test]
fn producers_of_a_deleted_topic_are_not_told_and_of_one_with_the_same_name_anew() {
    let (_world, engine) = begin(7);
    let partition = engine.partition("t", 0).unwrap();
    let identity = engine.init_producer(None, MINUTE, None).unwrap();
    append_plainly(&engine, 0, identity, 0).unwrap();
    let deleted = engine.delete_topic_ticket("t").unwrap();
    // Before that is flushed too: what they wrote is not known any more.
    assert_eq!(kind(partition.producers()), ErrorKind::UnknownTopicOrPartition);
    deleted.wait().unwrap();
    assert_eq!(kind(partition.producers()), ErrorKind::UnknownTopicOrPartition);
    engine.create_topic("t", TopicOptions::new()).unwrap();
    assert_eq!(kind(partition.producers()), ErrorKind::UnknownTopicOrPartition);
    let anew = engine.partition("t", 0).unwrap();
    assert_eq!(told(&anew), []);
    engine.close().unwrap();
    assert_eq!(kind(anew.producers()), ErrorKind::Closed);
}
