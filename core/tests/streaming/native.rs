//! Transactions of transactional producers past their buffer.

use std::time::Duration;

use oncelog::{
    ConsumerOptions, Durability, ErrorKind, Isolation, Offsets, ProducerOptions, Record, TopicOptions, TopicPartition,
    TransactionStatus,
};

use crate::{SECOND, begin, committed, ends, kind, open, plain, streaming, uncommitted};

#[test]
fn a_transaction_past_its_buffer_is_seen_uncommitted_and_holds_the_stable_offset_back() {
    let (_world, engine) = begin(1);
    let partition = engine.partition("t", 0).unwrap();
    plain(&engine, 0, "before");
    let producer = engine.transactional_producer("tp", streaming()).unwrap();
    let mut transaction = producer.begin_transaction().unwrap();
    transaction.send("t", Record::new(b"one").partition(0)).unwrap();
    plain(&engine, 0, "between");
    transaction.send("t", Record::new(b"two").partition(0)).unwrap();
    engine.flush().unwrap();
    assert_eq!(uncommitted(&partition), ["before", "one", "between", "two"]);
    assert_eq!((committed(&partition), ends(&partition)), (vec!["before".to_owned()], (1, 4)));

    let described = engine.describe_transactions().unwrap();
    let open = &described[0];
    assert_eq!((described.len(), open.number, &*open.transactional_id), (1, transaction.number(), "tp"));
    assert_eq!((open.raw, open.timeout), (false, Some(Duration::from_secs(60))));
    assert!(open.partitions.iter().eq([(&TopicPartition::new("t", 0), &1)]));
    assert_eq!(engine.transaction_status(transaction.number()).unwrap(), TransactionStatus::Open);

    let number = transaction.number();
    assert_eq!(transaction.commit().unwrap().number, number);
    assert_eq!((committed(&partition), ends(&partition)), (uncommitted(&partition), (4, 4)));
    assert_eq!(engine.transaction_status(number).unwrap(), TransactionStatus::Committed);
    assert!(engine.describe_transactions().unwrap().is_empty());
}

#[test]
fn what_is_aborted_is_hidden_from_read_committed_and_from_nobody_else() {
    let (_world, engine) = begin(2);
    let partition = engine.partition("t", 0).unwrap();
    let producer = engine.transactional_producer("tp", streaming()).unwrap();
    for (round, end) in ["abort", "drop", "commit"].into_iter().enumerate() {
        let mut transaction = producer.begin_transaction().unwrap();
        let number = transaction.number();
        transaction.send("t", Record::new(format!("{end} 1").as_bytes()).partition(0)).unwrap();
        plain(&engine, 0, &format!("plain {round}"));
        transaction.send("t", Record::new(format!("{end} 2").as_bytes()).partition(0)).unwrap();
        match end {
            "abort" => transaction.abort().unwrap(),
            "drop" => drop(transaction),
            _ => _ = transaction.commit().unwrap(),
        }
        engine.flush().unwrap();
        let status = if end == "commit" { TransactionStatus::Committed } else { TransactionStatus::Aborted };
        assert_eq!(engine.transaction_status(number).unwrap(), status);
        let end = 3 * (round as u64 + 1);
        assert_eq!(ends(&partition), (end, end), "an abort holds nobody up and takes no offset");
    }
    assert_eq!(uncommitted(&partition).len(), 9);
    assert_eq!(committed(&partition), ["plain 0", "plain 1", "commit 1", "plain 2", "commit 2"]);
}

#[test]
fn offsets_position_and_the_rest_of_the_records_go_with_the_decision() {
    let (world, engine) = begin(3);
    let place = TopicPartition::new("t", 1);
    let group = engine.consumer(ConsumerOptions::new().group("g")).unwrap();
    let options = ProducerOptions::new().transaction_buffer(1_000);
    let producer = engine.transactional_producer("tp", options).unwrap();
    let fill = |position: u64| {
        let mut transaction = producer.begin_transaction().unwrap();
        for n in 0..25 {
            let value = format!("{position} {n:>60}");
            transaction.send("t", Record::new(value.as_bytes()).partition(n % 2)).unwrap();
        }
        let offsets = Offsets::from([(place.clone(), position.into())]);
        transaction.send_offsets(&group.group_metadata().unwrap(), &offsets).unwrap();
        transaction.send_position(position).unwrap();
        transaction
    };
    fill(3).abort().unwrap();
    let open = fill(5);
    engine.flush().unwrap();
    assert_eq!((group.committed(&place).unwrap(), producer.position()), (None, None));
    let partitions = [0, 1].map(|n| engine.partition("t", n).unwrap());
    assert!(partitions.iter().all(|partition| committed(partition).is_empty()));
    let flushes = engine.metrics().flush_nanos.count();
    open.commit().unwrap();
    assert_eq!(engine.metrics().flush_nanos.count(), flushes + 1, "one flush, whatever the transaction reached");
    assert_eq!((group.committed(&place).unwrap(), producer.position()), (Some(5), Some(5)));
    assert_eq!(partitions.each_ref().map(|partition| committed(partition).len()), [13, 12]);
    world.crash();
    let engine = open_again(&world);
    let group = engine.consumer(ConsumerOptions::new().group("g")).unwrap();
    let producer = engine.transactional_producer("tp", streaming()).unwrap();
    assert_eq!((group.committed(&place).unwrap(), producer.position()), (Some(5), Some(5)));
    assert_eq!([0, 1].map(|n| committed(&engine.partition("t", n).unwrap()).len()), [13, 12]);
}

fn open_again(world: &oncelog::sim::World) -> oncelog::Engine {
    open(world)
}

#[test]
fn many_open_at_once_on_the_same_partitions_are_told_apart() {
    let (_world, engine) = begin(4);
    let producers: Vec<_> =
        (0..20).map(|n| engine.transactional_producer(&format!("tp{n}"), streaming()).unwrap()).collect();
    let mut open: Vec<_> = producers.iter().map(|producer| producer.begin_transaction().unwrap()).collect();
    for round in 0..3 {
        for (n, transaction) in open.iter_mut().enumerate() {
            let value = format!("{n} {round}");
            transaction.send("t", Record::new(value.as_bytes()).partition(0)).unwrap();
        }
    }
    assert_eq!(engine.describe_transactions().unwrap().len(), 20);
    let partition = engine.partition("t", 0).unwrap();
    // Decided from the newest to the oldest: nothing is stable before the oldest is.
    for n in (0..20).rev() {
        let transaction = open.pop().unwrap();
        if n % 3 == 0 {
            transaction.commit().unwrap();
        } else {
            transaction.abort().unwrap();
        }
        engine.flush().unwrap();
        let stable = if n == 0 { 60 } else { 0 };
        assert_eq!(ends(&partition), (stable, 60));
    }
    let expected: Vec<String> =
        (0..3).flat_map(|round| (0..20).step_by(3).map(move |n| format!("{n} {round}"))).collect();
    assert_eq!(committed(&partition), expected);
}

#[test]
fn a_transaction_that_is_open_for_too_long_is_aborted_and_its_producer_goes_on() {
    let (world, engine) = begin(5);
    let options = streaming().transaction_timeout(Duration::from_secs(2));
    let producer = engine.transactional_producer("tp", options).unwrap();
    let mut transaction = producer.begin_transaction().unwrap();
    transaction.send("t", Record::new(b"late").partition(0)).unwrap();
    let partition = engine.partition("t", 0).unwrap();
    world.advance(SECOND);
    engine.drive().unwrap();
    engine.flush().unwrap();
    assert_eq!(ends(&partition), (0, 1));
    // The wall clock has no say.
    world.set_wall_ms(4_000_000_000_000);
    engine.drive().unwrap();
    assert_eq!(engine.describe_transactions().unwrap().len(), 1);
    world.advance(SECOND);
    engine.drive().unwrap();
    engine.flush().unwrap();
    assert_eq!((ends(&partition), committed(&partition).len()), ((1, 1), 0));
    assert_eq!(kind(transaction.send("t", Record::new(b"x").partition(0))), ErrorKind::TransactionTimedOut);
    let number = transaction.number();
    let error = transaction.commit().unwrap_err();
    assert_eq!((error.kind(), error.requires_abort(), error.is_fatal()), (ErrorKind::TransactionTimedOut, true, false));
    assert_eq!(engine.transaction_status(number).unwrap(), TransactionStatus::Aborted);
    let mut next = producer.begin_transaction().unwrap();
    next.send("t", Record::new(b"in time").partition(0)).unwrap();
    next.commit().unwrap();
    assert_eq!(committed(&partition), ["in time"]);
}

#[test]
fn a_newer_holder_of_the_id_aborts_what_the_older_one_left_open() {
    let (_world, engine) = begin(6);
    let old = engine.transactional_producer("tp", streaming()).unwrap();
    let mut transaction = old.begin_transaction().unwrap();
    transaction.send("t", Record::new(b"old").partition(0)).unwrap();
    let number = transaction.number();
    let new = engine.transactional_producer("tp", streaming()).unwrap();
    assert!(engine.describe_transactions().unwrap().is_empty());
    assert_eq!(engine.transaction_status(number).unwrap(), TransactionStatus::Aborted);
    assert_eq!(kind(transaction.send("t", Record::new(b"x").partition(0))), ErrorKind::ProducerFenced);
    assert_eq!(kind(transaction.commit()), ErrorKind::ProducerFenced);
    let mut transaction = new.begin_transaction().unwrap();
    transaction.send("t", Record::new(b"new").partition(0)).unwrap();
    transaction.commit().unwrap();
    assert_eq!(committed(&engine.partition("t", 0).unwrap()), ["new"]);
}

#[test]
fn whoever_knows_its_number_may_abort_a_transaction_and_its_owner_hears_of_it() {
    let (_world, engine) = begin(7);
    for buffer in [0, 1 << 20] {
        let producer = engine.transactional_producer("tp", ProducerOptions::new().transaction_buffer(buffer)).unwrap();
        let mut transaction = producer.begin_transaction().unwrap();
        let number = transaction.number();
        transaction.send("t", Record::new(b"x").partition(0)).unwrap();
        assert_eq!(engine.transaction_status(number).unwrap(), TransactionStatus::Open);
        engine.abort_transaction(number).unwrap();
        engine.abort_transaction(number).unwrap();
        assert_ne!(engine.transaction_status(number).unwrap(), TransactionStatus::Open);
        assert_eq!(kind(transaction.send("t", Record::new(b"y").partition(0))), ErrorKind::TransactionAborted);
        assert_eq!(kind(transaction.commit()), ErrorKind::TransactionAborted);
        let mut next = producer.begin_transaction().unwrap();
        next.send("t", Record::new(b"z").partition(1)).unwrap();
        let number = next.number();
        next.commit().unwrap();
        assert_eq!(kind(engine.abort_transaction(number)), ErrorKind::InvalidTransactionState);
        assert_eq!(engine.transaction_status(number).unwrap(), TransactionStatus::Committed);
    }
    assert_eq!(kind(engine.abort_transaction(9_999)), ErrorKind::InvalidTransactionState);
    assert_eq!(engine.transaction_status(9_999).unwrap(), TransactionStatus::Forgotten);
    assert!(committed(&engine.partition("t", 0).unwrap()).is_empty());
    assert_eq!(committed(&engine.partition("t", 1).unwrap()), ["z", "z"]);
}

#[test]
fn the_number_0_is_no_transaction_of_a_producer_that_has_none_open() {
    let (_world, engine) = begin(13);
    let producer = engine.transactional_producer("tp", ProducerOptions::new()).unwrap();
    let counted = || (engine.metrics().transactions_open, engine.metrics().transactions_aborted);
    assert_eq!(engine.transaction_status(0).unwrap(), TransactionStatus::Forgotten);
    assert_eq!(kind(engine.abort_transaction(0)), ErrorKind::InvalidTransactionState);
    assert_eq!(counted(), (0, 0));
    producer.begin_transaction().unwrap().commit().unwrap();
}

#[test]
fn that_a_transaction_is_forgotten_is_told_once_the_deletion_of_its_name_is_durable() {
    let (_world, engine) = begin(14);
    let producer = engine.transactional_producer("tp", ProducerOptions::new()).unwrap();
    let mut transaction = producer.begin_transaction().unwrap();
    let number = transaction.number();
    transaction.send("t", Record::new(b"x")).unwrap();
    transaction.commit().unwrap();
    engine.delete_producer_ticket("tp").unwrap().detach();
    let mut ticket = engine.transaction_status_ticket(number).unwrap();
    assert_eq!(ticket.try_wait().unwrap(), None, "a power cut would bring the name back, and the commit");
    engine.flush().unwrap();
    assert_eq!(ticket.try_wait().unwrap(), Some(TransactionStatus::Forgotten));
}

#[test]
fn a_ticket_for_how_a_transaction_stands_waits_until_that_is_durable() {
    let (_world, engine) = begin(7);
    engine.create_topic("quick", TopicOptions::new().durability(Durability::Os)).unwrap();
    let producer = engine.transactional_producer("tp", ProducerOptions::new()).unwrap();
    let mut transaction = producer.begin_transaction().unwrap();
    let number = transaction.number();
    let mut open = engine.transaction_status_ticket(number).unwrap();
    assert_eq!(open.try_wait().unwrap(), Some(TransactionStatus::Open));
    transaction.send("quick", Record::new(b"x")).unwrap();
    transaction.commit().unwrap();
    let mut ticket = engine.transaction_status_ticket(number).unwrap();
    assert_eq!(ticket.try_wait().unwrap(), None, "written, not flushed");
    engine.flush().unwrap();
    assert_eq!(ticket.try_wait().unwrap(), Some(TransactionStatus::Committed));
    let forgotten = engine.transaction_status_ticket(9_999).unwrap();
    assert_eq!(forgotten.wait().unwrap(), TransactionStatus::Forgotten);
    engine.close().unwrap();
    assert_eq!(kind(engine.transaction_status_ticket(number).map(drop)), ErrorKind::Closed);
}

#[test]
fn a_send_that_may_not_wait_takes_memory_and_never_streams() {
    let (_world, engine) = begin(9);
    let producer = engine.transactional_producer("tp", ProducerOptions::new().transaction_buffer(10_000)).unwrap();
    let mut transaction = producer.begin_transaction().unwrap();
    let mut sent = 0;
    while transaction.try_send("t", Record::new(&[b'x'; 1000]).partition(0)).unwrap() {
        sent += 1;
    }
    assert_eq!((sent, engine.describe_transactions().unwrap().len()), (9, 0));
    assert!(!transaction.try_send("t", Record::new(&[b'x'; 1000]).partition(0)).unwrap());
    let large = vec![0; 2 << 20];
    assert_eq!(kind(transaction.try_send("t", Record::new(&large))), ErrorKind::RecordTooLarge);
    assert_eq!(kind(transaction.try_send("u", Record::new(b"x"))), ErrorKind::UnknownTopicOrPartition);
    transaction.send("t", Record::new(&[b'x'; 1000]).partition(0)).unwrap();
    assert_eq!(engine.describe_transactions().unwrap().len(), 1, "a plain send streams");
    assert!(transaction.try_send("t", Record::new(b"more").partition(0)).unwrap(), "there is memory again");
    transaction.commit().unwrap();
    assert_eq!(ends(&engine.partition("t", 0).unwrap()), (11, 11));
}

#[test]
fn a_consumer_steps_over_aborted_records_and_waits_at_the_stable_offset() {
    let (_world, engine) = begin(8);
    let producer = engine.transactional_producer("tp", streaming()).unwrap();
    for _ in 0..5 {
        let mut aborted = producer.begin_transaction().unwrap();
        for _ in 0..10 {
            aborted.send("t", Record::new(&[7; 300]).partition(0)).unwrap();
        }
        aborted.abort().unwrap();
    }
    plain(&engine, 0, "behind them");
    let mut open = producer.begin_transaction().unwrap();
    open.send("t", Record::new(b"open").partition(0)).unwrap();
    engine.flush().unwrap();
    let place = TopicPartition::new("t", 0);
    let reader = |isolation: Isolation| {
        let options = ConsumerOptions::new().isolation(isolation).max_bytes(1_000).max_records(3);
        let consumer = engine.consumer(options).unwrap();
        consumer.assign(std::slice::from_ref(&place)).unwrap();
        consumer
    };
    let (strict, loose) = (reader(Isolation::ReadCommitted), reader(Isolation::ReadUncommitted));
    assert_eq!((strict.lag(&place).unwrap(), loose.lag(&place).unwrap()), (51, 52));
    let records = strict.poll(Duration::ZERO).unwrap();
    assert_eq!((records.count(), records.next_offset("t", 0)), (1, Some(51)));
    assert!(strict.poll(Duration::from_secs(1)).unwrap().is_empty());
    assert_eq!((strict.position(&place).unwrap(), strict.lag(&place).unwrap()), (51, 0));
    let mut seen = 0;
    loop {
        match loose.poll(Duration::ZERO).unwrap().count() {
            0 => break,
            some => seen += some,
        }
    }
    assert_eq!(seen, 52);
    open.commit().unwrap();
    assert_eq!(strict.poll(Duration::ZERO).unwrap().count(), 1);
}

#[test]
fn a_commit_leaves_out_what_streamed_to_a_topic_that_was_deleted() {
    // As Kafka's does, whose coordinator skips partitions that are gone. What is still in memory refuses it, and so
    // does an offset.
    let (_world, engine) = begin(10);
    for (options, found) in
        [(streaming(), Ok(1)), (oncelog::ProducerOptions::new(), Err(ErrorKind::UnknownTopicOrPartition))]
    {
        engine.create_topic("gone", oncelog::TopicOptions::new()).unwrap();
        let producer = engine.transactional_producer("tp", options).unwrap();
        let mut transaction = producer.begin_transaction().unwrap();
        transaction.send("gone", Record::new(b"x")).unwrap();
        transaction.send("t", Record::new(b"y").partition(0)).unwrap();
        engine.delete_topic("gone").unwrap();
        let committed = transaction.commit().map(|_| committed(&engine.partition("t", 0).unwrap()).len());
        assert_eq!(committed.map_err(|error| error.kind()), found);
    }
}

#[test]
fn a_topic_deleted_under_a_transaction_makes_it_abort() {
    let (_world, engine) = begin(9);
    engine.create_topic("gone", oncelog::TopicOptions::new()).unwrap();
    let producer = engine.transactional_producer("tp", streaming()).unwrap();
    let mut transaction = producer.begin_transaction().unwrap();
    transaction.send("gone", Record::new(b"x")).unwrap();
    transaction.send("t", Record::new(b"y").partition(0)).unwrap();
    engine.delete_topic("gone").unwrap();
    assert_eq!(kind(transaction.send("gone", Record::new(b"x"))), ErrorKind::UnknownTopicOrPartition);
    assert_eq!(engine.describe_transactions().unwrap()[0].partitions.len(), 1);
    transaction.abort().unwrap();
    engine.flush().unwrap();
    assert_eq!(ends(&engine.partition("t", 0).unwrap()), (1, 1));
}
