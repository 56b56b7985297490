//! Transactions that are open when the log is closed, killed or loses power.

use oncelog::sim::World;
use oncelog::{
    ConsumerOptions, Engine, GroupMetadata, Offsets, Outcome, Record, TopicOptions, TopicPartition, TransactionStatus,
};

use crate::{MINUTE, SECOND, append, begin, committed, ends, options, plain, streaming, uncommitted};

/// How a life ends.
fn end(world: &World, engine: Engine, how: &str) {
    match how {
        "close" => engine.close().unwrap(),
        "kill" => world.kill(),
        _ => world.crash(),
    }
}

#[test]
fn what_a_life_left_open_is_aborted_before_anything_is_served() {
    for how in ["close", "kill", "crash"] {
        let (world, engine) = begin(1);
        let producer = engine.transactional_producer("tp", streaming()).unwrap();
        let mut transaction = producer.begin_transaction().unwrap();
        transaction.send("t", Record::new(b"native").partition(0)).unwrap();
        let raw = engine.init_producer(Some("raw"), MINUTE, None).unwrap();
        append(&engine, 0, raw, 0, "raw").unwrap();
        plain(&engine, 0, "plain");
        let numbers: Vec<u64> = engine.describe_transactions().unwrap().iter().map(|open| open.number).collect();
        assert_eq!(numbers.len(), 2);
        end(&world, engine, how);
        let engine = options().open_on(world.machine()).unwrap();
        let partition = engine.partition("t", 0).unwrap();
        assert_eq!((ends(&partition), committed(&partition)), ((3, 3), vec!["plain".to_owned()]), "{how}");
        assert_eq!(uncommitted(&partition).len(), 3);
        assert!(engine.describe_transactions().unwrap().is_empty());
        for number in numbers {
            assert_eq!(engine.transaction_status(number).unwrap(), TransactionStatus::Aborted, "{how}");
        }
        // Its owner, a client of a broker that died, hears of it as if it had timed out.
        let next = engine.end_transaction(raw, Outcome::Abort).unwrap();
        assert_eq!(next.epoch, raw.epoch + 1);
    }
}

/// The head of such a decision is longer than that of any other frame but a transaction's.
#[test]
fn a_decision_over_many_partitions_survives() {
    let (world, engine) = begin(1);
    engine.create_topic("wide", TopicOptions::new().partitions(60)).unwrap();
    let producer = engine.transactional_producer("tp", streaming()).unwrap();
    let mut transaction = producer.begin_transaction().unwrap();
    let number = transaction.number();
    (0..60).for_each(|n| transaction.send("wide", Record::new(b"x").partition(n)).unwrap());
    transaction.commit().unwrap();
    world.kill();
    drop((producer, engine));
    let engine = options().open_on(world.machine()).unwrap();
    assert_eq!(engine.transaction_status(number).unwrap(), TransactionStatus::Committed);
    assert!((0..60).all(|n| ends(&engine.partition("wide", n).unwrap()) == (1, 1)));
}

#[test]
fn a_raw_transaction_that_is_kept_goes_on_in_the_next_life_with_its_offsets() {
    for how in ["close", "kill", "crash"] {
        let (world, engine) = begin(2);
        engine.close().unwrap();
        let engine = options().keep_raw_transactions(true).open_on(world.machine()).unwrap();
        let identity = engine.init_producer(Some("id"), MINUTE, None).unwrap();
        append(&engine, 0, identity, 0, "before").unwrap();
        let place = TopicPartition::new("t", 0);
        let group = GroupMetadata { group: "g".into() };
        engine.send_offsets(identity, &group, &Offsets::from([(place.clone(), 4.into())])).unwrap();
        end(&world, engine, how);
        // Who opens it then need not know.
        let engine = options().open_on(world.machine()).unwrap();
        let partition = engine.partition("t", 0).unwrap();
        assert_eq!(ends(&partition), (0, 1), "{how}");
        assert_eq!(append(&engine, 0, identity, 0, "before").unwrap(), 0, "a retry finds its original");
        append(&engine, 0, identity, 1, "after").unwrap();
        plain(&engine, 0, "plain");
        assert_eq!(ends(&partition), (0, 3));
        let next = engine.end_transaction(identity, Outcome::Commit).unwrap();
        assert_eq!(committed(&partition), ["before", "after", "plain"]);
        let consumer = engine.consumer(ConsumerOptions::new().group("g")).unwrap();
        assert_eq!(consumer.committed(&place).unwrap(), Some(4));
        append(&engine, 0, next, 0, "next").unwrap();
    }
}

#[test]
fn a_kept_transaction_times_out_though_its_owner_never_comes_back() {
    let (world, engine) = begin(3);
    engine.close().unwrap();
    let engine = options().keep_raw_transactions(true).open_on(world.machine()).unwrap();
    let identity = engine.init_producer(Some("id"), MINUTE, None).unwrap();
    append(&engine, 0, identity, 0, "x").unwrap();
    world.advance(50 * SECOND);
    world.crash();
    let engine = options().open_on(world.machine()).unwrap();
    let partition = engine.partition("t", 0).unwrap();
    world.advance(50 * SECOND);
    engine.drive().unwrap();
    engine.flush().unwrap();
    assert_eq!(ends(&partition), (0, 1), "its time begins anew with the opening");
    world.advance(10 * SECOND);
    engine.drive().unwrap();
    engine.flush().unwrap();
    assert_eq!((ends(&partition), committed(&partition).len()), ((1, 1), 0));
    assert_eq!(engine.end_transaction(identity, Outcome::Abort).unwrap().epoch, identity.epoch + 1);
}

#[test]
fn a_log_opened_for_reading_decides_nothing() {
    let (world, engine) = begin(4);
    let producer = engine.transactional_producer("tp", streaming()).unwrap();
    plain(&engine, 0, "plain");
    let mut transaction = producer.begin_transaction().unwrap();
    transaction.send("t", Record::new(b"open").partition(0)).unwrap();
    engine.flush().unwrap();
    // A later frame says that it is durable.
    for _ in 0..3 {
        world.advance(SECOND);
        engine.drive().unwrap();
    }
    world.kill();
    let engine = options().read_only(true).open_on(world.machine_for_reading()).unwrap();
    let partition = engine.partition("t", 0).unwrap();
    assert_eq!((ends(&partition), committed(&partition)), ((1, 2), vec!["plain".to_owned()]));
    assert_eq!(engine.describe_transactions().unwrap().len(), 1);
}

#[test]
fn a_commit_whose_outcome_is_unknown_is_told_by_its_number() {
    use oncelog::sim::{Call, Fault};
    let (mut kept, mut lost) = (0, 0);
    for seed in 0..20 {
        let (world, engine) = begin(100 + seed);
        let producer = engine.transactional_producer("tp", streaming()).unwrap();
        let mut transaction = producer.begin_transaction().unwrap();
        transaction.send("t", Record::new(b"x").partition(0)).unwrap();
        engine.flush().unwrap();
        let number = transaction.number();
        world.fail(Call::Sync, 0, Fault::Eio, false);
        assert_eq!(transaction.commit().unwrap_err().kind(), oncelog::ErrorKind::Indeterminate);
        if seed % 2 == 0 {
            world.crash()
        } else {
            world.kill()
        }
        let engine = options().open_on(world.machine()).unwrap();
        let here = committed(&engine.partition("t", 0).unwrap()).len();
        match engine.transaction_status(number).unwrap() {
            TransactionStatus::Committed => (assert_eq!(here, 1), kept += 1),
            TransactionStatus::Aborted => (assert_eq!(here, 0), lost += 1),
            other => panic!("{other:?}"),
        };
    }
    assert!(kept > 0 && lost > 0, "{kept} kept, {lost} lost");
}
