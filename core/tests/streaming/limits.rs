//! What bounds transactions that stream.

use std::time::Duration;

use oncelog::sim::{Call, Fault};
use oncelog::{
    ConsumerOptions, Engine, ErrorKind, GroupMetadata, Identity, OffsetAndMetadata, Offsets, Outcome, ProducerOptions,
    Record, TopicOptions, TopicPartition, TransactionalProducer,
};

use crate::{MINUTE, SECOND, append, begin, committed, kind, options, streaming};

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

#[test]
fn an_abort_that_could_not_be_written_is_made_when_segments_can_be_made_again() {
    let (world, engine) = begin(6);
    let options = streaming().transaction_timeout(Duration::from_secs(1));
    let (late, dropped) = (engine.transactional_producer("late", options.clone()), options);
    let (late, dropped) = (late.unwrap(), engine.transactional_producer("dropped", dropped).unwrap());
    let begun = |producer: &TransactionalProducer| {
        let mut transaction = producer.begin_transaction().unwrap();
        transaction.send("t", Record::new(b"x").partition(0)).unwrap();
        transaction
    };
    let (late, dropped) = (begun(&late), begun(&dropped));
    let consumer = engine.consumer(ConsumerOptions::new().group("g")).unwrap();
    world.fail(Call::Create, 0, Fault::Emfile, true);
    // Offsets may use the space that is kept for decisions, up to its end.
    let refused = (0..10_000).find_map(|n| {
        let offsets = Offsets::from([(TopicPartition::new("t", 0), n.into())]);
        consumer.commit_offsets(&offsets).err()
    });
    assert_eq!(refused.unwrap().kind(), ErrorKind::Io);
    drop(dropped);
    world.advance(2 * SECOND);
    engine.drive().unwrap();
    assert_eq!(engine.describe_transactions().unwrap().len(), 2, "neither could be aborted");
    world.heal();
    world.advance(2 * SECOND);
    engine.drive().unwrap();
    assert_eq!(engine.describe_transactions().unwrap(), []);
    drop(late);
}

/// Refused for a limit's sake; answers what the message says.
#[track_caller]
fn limited<T: std::fmt::Debug>(answer: oncelog::Result<T>, text: &str) -> String {
    let error = answer.expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::LimitExceeded, "{error}");
    assert!(error.message().starts_with(text), "{error}");
    error.message().to_owned()
}

fn group(name: &str) -> GroupMetadata {
    GroupMetadata { group: name.to_owned() }
}

/// Offsets of partitions of topic `wide`, each with that text.
fn offsets(partitions: std::ops::Range<u32>, metadata: &str) -> Offsets {
    let value = OffsetAndMetadata { offset: 0, leader_epoch: -1, metadata: metadata.to_owned() };
    partitions.map(|number| (TopicPartition::new("wide", number), value.clone())).collect()
}

#[test]
fn a_raw_transaction_has_at_most_a_thousand_offsets_pending_and_the_next_one_as_many_again() {
    let (_world, engine) = begin(6);
    engine.create_topic("wide", TopicOptions::new().partitions(1_100)).unwrap();
    let identity = engine.init_producer(Some("id"), MINUTE, None).unwrap();
    let text = "a transaction has at most so many offsets pending; commit them in several transactions, ";
    let refused = limited(engine.send_offsets(identity, &group("g"), &offsets(0..1_001, "")), text);
    assert!(refused.ends_with("number=0 has=0 more=1001 greatest=1000"), "{refused}");
    assert!(engine.describe_transactions().unwrap().is_empty(), "what is refused begins nothing");
    let mut identity = identity;
    for outcome in [Outcome::Abort, Outcome::Commit] {
        engine.send_offsets(identity, &group("g"), &offsets(0..900, "")).unwrap();
        let number = engine.describe_transactions().unwrap()[0].number;
        for name in ["g", "h"] {
            let refused = limited(engine.send_offsets(identity, &group(name), &offsets(900..1_001, "")), text);
            assert!(refused.ends_with(&format!("number={number} has=900 more=101 greatest=1000")), "{refused}");
        }
        engine.send_offsets(identity, &group("h"), &offsets(900..1_000, "")).unwrap();
        engine.send_offsets(identity, &group("g"), &offsets(0..900, "in the place of others")).unwrap();
        limited(engine.send_offsets(identity, &group("g"), &offsets(1_000..1_001, "")), text);
        // The full ones commit all the same.
        identity = engine.end_transaction(identity, outcome).unwrap();
    }
    for (name, number, offset) in [("g", 899, Some(0)), ("g", 900, None), ("h", 999, Some(0)), ("h", 899, None)] {
        let consumer = engine.consumer(ConsumerOptions::new().group(name)).unwrap();
        assert_eq!(consumer.committed(&TopicPartition::new("wide", number)).unwrap(), offset, "{name} of {number}");
    }
    engine.send_offsets(identity, &group("g"), &offsets(0..1_000, "")).unwrap();
}

#[test]
fn a_hundred_thousand_transactions_may_be_open_in_the_log_and_each_that_ends_lets_one_in() {
    let (_world, engine) = begin(7);
    let init = |n: u32| engine.init_producer_ticket(Some(&format!("{n}")), MINUTE, None).unwrap();
    let tickets: Vec<_> = (0..100_001).map(init).collect();
    let mut all: Vec<Identity> = tickets.into_iter().map(|ticket| ticket.wait().unwrap()).collect();
    let begin = |identity: Identity| {
        let sent = engine.send_offsets_ticket(identity, &group("g"), &Offsets::new());
        sent.and_then(|ticket| ticket.wait())
    };
    all[1..].iter().for_each(|identity| begin(*identity).unwrap());
    assert_eq!(engine.metrics().transactions_open, 100_000);

    let text = "too many transactions are open; commit or abort some of them, open=100000 greatest=100000 memory=";
    let native = engine.transactional_producer("native", streaming()).unwrap();
    let full = |identity: Identity| {
        let memory: usize = limited(begin(identity), text)[text.len()..].parse().unwrap();
        assert!((1..64 << 20).contains(&memory), "{memory}");
        limited(append(&engine, 0, identity, 0, "x"), text);
        let mut transaction = native.begin_transaction().unwrap();
        limited(transaction.send("t", Record::new(b"x").partition(0)), text);
        transaction.abort().unwrap();
    };
    full(all[0]);
    append(&engine, 0, all[9], 0, "one that is open goes on").unwrap();
    for (n, outcome) in [Outcome::Commit, Outcome::Abort, Outcome::Commit].into_iter().enumerate() {
        all[n + 1] = engine.end_transaction(all[n + 1], outcome).unwrap();
        append(&engine, 0, all[n], 0, "let in").unwrap();
        full(all[n + 1]);
    }
}

#[test]
fn open_transactions_take_no_more_memory_than_the_limit_says_and_give_it_back() {
    const MOST: usize = 64 << 20;
    let (_world, engine) = begin(8);
    engine.create_topic("wide", TopicOptions::new().partitions(1_000)).unwrap();
    let init = |n: usize| engine.init_producer(Some(&format!("{n}")), MINUTE, None).unwrap();
    // What is held of each offset is 128 bytes and two texts, three bytes a character here, and the group's name: that
    // was asked for once only and held with each, so that a transaction took up to a megabyte more than there was.
    let (long, heavy) = ("g".repeat(1_023), offsets(0..1_000, &"\u{20ac}".repeat(4_096)));
    let (heavily, lightly) = (128 + 1_024 + 3 * 4_096, 128 + 1_024);
    let text = "the open transactions take too much memory; commit or abort some of them, number=";
    for _ in 0..2 {
        let mut all: Vec<Identity> = (0..5).map(init).collect();
        let name = group(&format!("0{long}"));
        all[..4].iter().for_each(|identity| engine.send_offsets(*identity, &name, &heavy).unwrap());
        let mut used = 4 * (160 + 1_000 * heavily);
        let refused = limited(engine.send_offsets(all[4], &name, &heavy), text);
        assert!(refused.ends_with(&format!("number=0 memory={used} greatest={MOST}")), "{refused}");
        assert_eq!(engine.describe_transactions().unwrap().len(), 4, "what is refused begins nothing");
        // The rest with as many little ones as go in.
        let refused = (0..).find_map(|n| {
            let identity = *all.last().unwrap();
            let sent = engine.send_offsets(identity, &group(&format!("{}{long}", n % 10)), &offsets(0..100, ""));
            if sent.is_err() {
                return Some(limited(sent, text));
            }
            used += 100 * lightly + if n % 10 == 0 { 160 } else { 0 };
            if n % 10 == 9 {
                all.push(init(all.len()));
            }
            None
        });
        let refused = refused.unwrap();
        assert!(refused.ends_with(&format!(" memory={used} greatest={MOST}")), "{refused}");
        assert!((MOST - 100 * lightly - 160..=MOST).contains(&used), "{used}");
        let last = all.len() - 1;
        for (n, identity) in all.into_iter().enumerate() {
            // The last one may not have begun: that can be aborted only.
            let outcome = if n % 2 == 0 || n == last { Outcome::Abort } else { Outcome::Commit };
            engine.end_transaction(identity, outcome).unwrap();
        }
        assert!(engine.describe_transactions().unwrap().is_empty());
    }
}
