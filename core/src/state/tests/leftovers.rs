//! What is gone is there for no look-up, however much of it is still to be swept up.

use super::*;
use crate::format::control::{BEGUN_RAW, Begun, PartitionsAdded, PendingHead};
use crate::limits::{ENTRIES_PER_HOLD, TOPIC_PARTITIONS_MAX, TRANSACTION_PARTITIONS};
use crate::types::Identity;

fn sweeps(state: &mut State) -> usize {
    let sweeps = (1..).find(|_| state.sweep(ENTRIES_PER_HOLD));
    sweeps.expect("it ends")
}

/// A transactional id "n", producer 3, with a raw transaction of number 9 that is open.
fn begin(log: &mut Log) {
    log.open("n", 3, -1, 0);
    let flags = BEGUN_RAW;
    log.apply(&Payload::Begun(Begun { producer_id: 3, epoch: 0, flags, timeout_ms: 0, number: 9, wall_ms: 0 }));
}

fn transactional(sequence: i32) -> BatchHeader {
    BatchHeader { attributes: 0x10, ..batch(3, 0, sequence, 1) }
}

#[test]
fn a_deleted_topic_is_gone_at_once_and_swept_up_a_thousand_entries_at_a_time() {
    let mut log = Log::with_raw_producer();
    let (first, kept) = (log.create("wide", 4_000), log.create("kept", 1));
    for instance in (first..first + 3_000).chain([kept]) {
        log.append(instance, batch(7, 0, 0, 1)).expect("accepted");
    }
    (0..2_000).for_each(|partition| _ = log.commit("g", "wide", partition, 5, ""));
    log.delete("wide");
    assert_eq!((log.state.live_partitions(), log.state.topic("wide"), log.state.end(first)), (3, None, None));
    assert_eq!(log.state.committed("g", id("wide"), 1), None);
    assert_eq!(log.state.group_offsets("g").count(), 0);
    assert_eq!(kind(log.append(first, batch(7, 0, 1, 1))), ErrorKind::UnknownTopicOrPartition);
    log.replay(first, batch(7, 0, 1, 1));
    assert_eq!(log.state.end(first), None, "a late frame changes nothing");
    assert_eq!(log.append(kept, batch(7, 0, 1, 1)).expect("the next one"), Verdict::Accept);
    assert_eq!(log.state.sequences.table.count(), 3_001);
    assert_eq!(sweeps(&mut log.state), 9, "2,000 offsets, 3,000 sequences, 3,000 partitions and what they lie in");
    assert_eq!((log.state.sequences.table.count(), log.state.catalog.partitions.count()), (1, 1));
    drop(log.reloaded());
}

#[test]
fn a_forgotten_producer_is_gone_at_once_from_all_its_partitions() {
    let mut log = Log::with_raw_producer();
    let first = log.create("wide", 2_500);
    (first..first + 2_500).for_each(|instance| _ = log.append(instance, batch(7, 0, 0, 1)).expect("accepted"));
    log.open("", 8, -1, 0);
    log.append(first, batch(8, 0, 0, 1)).expect("accepted");
    log.apply(&Payload::ProducerExpired(ProducerDeleted { producer_id: 7 }));
    assert_eq!(kind(log.append(first, batch(7, 0, 1, 1))), ErrorKind::UnknownProducer);
    let mut active = Vec::new();
    log.state.active_in(first, ActiveFrom::Batches(0), 10, |producer| active.push(producer.identity.producer_id));
    assert_eq!(active, [8]);
    assert_eq!(log.state.raw_producer(7), None);
    assert_eq!(sweeps(&mut log.state), 3);
    assert_eq!(log.state.sequences.table.count(), 1);
    drop(log.reloaded());
}

#[test]
fn an_id_that_a_log_gives_twice_inherits_nothing_that_is_not_swept_up_yet() {
    // No engine writes such frames.
    let mut log = Log::with_raw_producer();
    log.append(0, batch(7, 0, 0, 1)).expect("accepted");
    log.append(1, batch(7, 0, 0, 1)).expect("accepted");
    log.commit("g", "t", 0, 5, "");
    log.apply(&Payload::ProducerExpired(ProducerDeleted { producer_id: 7 }));
    log.open("", 7, -1, 0);
    assert_eq!(log.append(0, batch(7, 0, 0, 1)).expect("a fresh producer"), Verdict::Accept);
    log.delete("t");
    let first = log.create("t", 2);
    assert_eq!((first, log.state.committed("g", id("t"), 0)), (2, None));
    let again = created("u", 0, 2);
    log.apply(&Payload::TopicCreated(again));
    assert_eq!(log.state.topic("u"), None, "an instance that was given out once is never another partition");
    assert!(log.state.sweep(usize::MAX));
    drop(log.reloaded());
}

#[test]
fn a_transaction_loses_what_lies_in_a_deleted_topic_and_its_weight_at_once() {
    let mut log = Log::new();
    let (gone, kept) = (log.create("gone", 1_500), log.create("kept", 1_500));
    begin(&mut log);
    let empty = log.state.transactions.weight();
    log.append(kept, transactional(0)).expect("accepted");
    let light = log.state.transactions.weight();
    for instance in gone..gone + TRANSACTION_PARTITIONS as u32 - 1 {
        log.append(instance, transactional(0)).expect("accepted");
    }
    assert_eq!(kind(log.append(gone + 1_200, transactional(0))), ErrorKind::LimitExceeded);
    let entry = |topic| OffsetEntry { group: "g", topic, partition: 0, offset: 1, leader_epoch: 0, metadata: "" };
    with_offsets(&[entry(id("gone").0)], |offsets| {
        let head = PendingHead { number: 9, producer_id: 3 };
        log.state.apply(log.lsn, &Payload::PendingOffsets { head, offsets });
    });
    assert!(log.state.transactions.weight() > light && light > empty);
    log.delete("gone");
    assert_eq!(log.state.transactions.weight(), light);
    assert_eq!(log.state.open_spans(9).iter().map(|span| span.instance).collect::<Vec<_>>(), [kept]);
    assert_eq!((log.state.open_pending(9), log.state.is_pending("g", id("gone"), 0)), (Vec::new(), false));
    let identity = Identity { producer_id: 3, epoch: 0 };
    let all: Vec<_> = (0..1_000).map(|partition| OffsetEntry { partition, ..entry(id("kept").0) }).collect();
    assert_eq!(check_sent(&log.state, identity, &all).expect("none is pending"), Some(9));
    for instance in kept + 1..kept + TRANSACTION_PARTITIONS as u32 {
        log.append(instance, transactional(0)).expect("those that are gone do not count");
    }
    assert_eq!(kind(log.append(kept + 1_200, transactional(0))), ErrorKind::LimitExceeded);
    let heavy = log.state.transactions.weight();
    assert_eq!(sweeps(&mut log.state), 3, "999 spans and sequences, 999 partitions");
    assert_eq!(log.state.transactions.weight(), heavy);
    assert_eq!(log.reloaded().state.transactions.weight(), heavy);
}

#[test]
fn a_partition_without_records_is_as_good_as_one_with_them() {
    let mut log = Log::new();
    let first = log.create("wide", TOPIC_PARTITIONS_MAX);
    assert_eq!(log.state.catalog.partitions.count(), 0, "the topic is made in one step");
    let last = first + TOPIC_PARTITIONS_MAX - 1;
    assert_eq!((log.state.start(last), log.state.end(last), log.state.end(last + 1)), (Some(0), Some(0), None));
    assert_eq!(log.append(last, plain(3)).expect("accepted"), Verdict::Accept);
    let log = log.reloaded();
    assert_eq!((log.state.end(first), log.state.end(last)), (Some(0), Some(3)));
    assert_eq!(log.state.partition_of(last).map(|(topic, number)| (&*topic.name, number)), Some(("wide", 99_999)));
}

#[test]
fn a_topic_that_grew_between_others_knows_its_partitions_by_number_and_by_instance() {
    let mut log = Log::new();
    let mut expected = [Vec::new(), Vec::new()];
    ["a", "b"].iter().zip(&mut expected).for_each(|(name, instances)| instances.push(log.create(name, 1)));
    for n in 0..300u32 {
        let (which, count) = ((n % 7 % 2) as usize, 1 + n % 3);
        let first_instance = log.state.next_instance();
        let first_partition = expected[which].len() as u32;
        let topic = id(["a", "b"][which]).0;
        log.apply(&Payload::PartitionsAdded(PartitionsAdded {
            topic,
            first_instance,
            count,
            first_partition,
            reserved: 0,
        }));
        expected[which].extend(first_instance..first_instance + count);
    }
    for state in [&log.state, &log.reloaded().state] {
        for (name, instances) in ["a", "b"].iter().zip(&expected) {
            let topic = state.topic(name).expect("there");
            assert!(topic.blocks_from(0).count() < instances.len(), "neighbours lie in one block");
            for from in 0..=instances.len() as u32 {
                assert!(topic.instances(from).eq(instances[from as usize..].iter().copied()), "from {from}");
                assert_eq!(topic.instance(from), instances.get(from as usize).copied());
            }
            for (number, instance) in (0..).zip(instances) {
                assert_eq!(state.partition_of(*instance), Some((&**topic, number)));
            }
        }
    }
    log.delete("a");
    assert!(expected[0].iter().all(|instance| log.state.end(*instance).is_none()));
    assert!(expected[1].iter().all(|instance| log.state.end(*instance).is_some()));
    assert!(log.state.sweep(usize::MAX));
    drop(log.reloaded());
}
