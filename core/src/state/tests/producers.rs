//! Named producers, transaction frames and committed offsets.

use super::*;
use crate::limits::PRODUCER_EPOCH_MAX;
use crate::state::producers::Decision;

fn committed(number: TransactionNumber, lsn: Lsn) -> Decision {
    Decision { number, lsn, fate: Fate::Committed }
}

#[test]
fn a_name_keeps_its_position_and_decisions_when_it_is_opened_again() {
    let mut log = Log::with_raw_producer();
    assert_eq!(next_producer(&log.state, "loader"), (8, -1, 0));
    log.open("loader", 8, -1, 0);
    let wrote = log.transaction(&Gathered { producer: (8, 0), number: 5, position: Some(77), ..Gathered::default() });
    assert_eq!(next_producer(&log.state, "loader"), (8, -1, 1));
    let opened = log.open("loader", 8, -1, 1);
    let log = log.reloaded();
    let named = log.state.producer("loader").expect("opened");
    assert_eq!((named.producer_id, named.epoch, named.opened_lsn), (8, 1, opened));
    assert_eq!((named.position, named.position_lsn, named.timeout_ms), (Some(77), wrote, 60_000));
    assert_eq!(named.decisions, [committed(5, wrote)]);
    assert_eq!((log.state.decision(5), log.state.decision(6)), (Some(wrote), None));
}

#[test]
fn an_older_holder_is_fenced_and_hears_of_the_newer_epoch() {
    let mut log = Log::new();
    log.open("n", 0, -1, 0);
    assert!(log.state.check_producer(0, 0).is_ok());
    log.open("n", 0, -1, 1);
    let error = log.state.check_producer(0, 0).expect_err("fenced");
    assert_eq!(error.kind(), ErrorKind::ProducerFenced);
    assert!(error.message().contains("newer_epoch=1"), "{error}");
    assert!(log.state.check_producer(0, 1).is_ok());
    assert_eq!(log.state.check_producer(0, 2).expect_err("never issued").kind(), ErrorKind::ProducerFenced);
}

#[test]
fn a_name_gets_a_new_id_when_its_epochs_are_used_up() {
    let mut log = Log::new();
    log.open("n", 0, -1, PRODUCER_EPOCH_MAX - 1);
    assert_eq!(next_producer(&log.state, "n"), (0, -1, PRODUCER_EPOCH_MAX));
    log.transaction(&Gathered { producer: (0, 0), position: Some(4), ..Gathered::default() });
    log.open("n", 0, -1, PRODUCER_EPOCH_MAX);
    assert_eq!(next_producer(&log.state, "n"), (1, 0, 0));
    log.open("n", 1, 0, 0);
    let mut log = log.reloaded();
    let named = log.state.producer("n").expect("opened");
    assert_eq!((named.producer_id, named.previous_id, named.epoch, named.position), (1, 0, 0, Some(4)));
    let error = log.state.check_producer(0, PRODUCER_EPOCH_MAX).expect_err("fenced");
    assert_eq!(error.kind(), ErrorKind::ProducerFenced);
    assert!(error.message().contains("newer_producer_id=1 newer_epoch=0"), "{error}");
    assert!(log.state.check_producer(1, 0).is_ok());
    log.open("n", 1, -1, 1);
    assert_eq!(log.state.producer("n").map(|named| named.previous_id), Some(0), "kept while the id stays");
    assert_eq!(log.state.next_producer_id(), 2);
}

#[test]
fn a_deleted_name_is_unknown_and_starts_afresh() {
    let mut log = Log::new();
    log.open("n", 0, -1, 3);
    log.apply(&Payload::ProducerDeleted(ProducerDeleted { producer_id: 0 }));
    assert_eq!(log.state.producer("n"), None);
    assert_eq!(log.state.check_producer(0, 3).expect_err("deleted").kind(), ErrorKind::UnknownTransactionalId);
    assert_eq!(next_producer(&log.state, "n"), (1, -1, 0));
}

#[test]
fn only_the_last_64_decisions_are_kept() {
    let mut log = Log::new();
    log.open("n", 0, -1, 0);
    let lsns: Vec<Lsn> =
        (1..=70).map(|number| log.transaction(&Gathered { number, position: None, ..Gathered::default() })).collect();
    let log = log.reloaded();
    let named = log.state.producer("n").expect("opened");
    assert_eq!((named.decisions.len(), named.decisions[0], named.position), (64, committed(7, lsns[6]), None));
    assert_eq!((log.state.decision(6), log.state.decision(70)), (None, Some(lsns[69])));
}

#[test]
fn a_transaction_frame_moves_ends_position_decision_and_offsets_together() {
    let mut log = Log::new();
    log.create("t", 3);
    log.open("n", 0, -1, 0);
    log.append(1, plain(5)).expect("accepted");
    let entry = OffsetEntry { group: "g", topic: id("t").0, partition: 2, offset: 9, leader_epoch: -1, metadata: "m" };
    let other = OffsetEntry { group: "h", offset: 10, ..entry };
    let unknown = OffsetEntry { topic: [7; 16], ..entry };
    let lsn = log.transaction(&Gathered {
        producer: (0, 0),
        number: 3,
        position: Some(u64::MAX),
        parts: vec![(0, 0, 9), (1, 5, 0), (99, 0, 3)],
        offsets: vec![entry, unknown, other],
    });
    assert_eq!((0..3).map(|instance| log.state.end(instance)).collect::<Vec<_>>(), [Some(10), Some(6), Some(0)]);
    let log = log.reloaded();
    let named = log.state.producer("n").expect("opened");
    assert_eq!((named.position, named.position_lsn, log.state.decision(3)), (Some(u64::MAX), lsn, Some(lsn)));
    let committed = log.state.committed("g", id("t"), 2).expect("committed");
    assert_eq!((committed.offset, committed.leader_epoch, &*committed.metadata, committed.lsn), (9, -1, "m", lsn));
    assert_eq!(committed.value().metadata, "m");
    assert_eq!(log.state.committed("h", id("t"), 2).map(|c| c.offset), Some(10));
    assert_eq!(log.state.groups().collect::<Vec<_>>(), ["g", "h"]);
    assert_eq!(log.state.group_offsets("g").count(), 1);
}

#[test]
fn a_gathered_send_is_no_decision_and_one_without_a_position_leaves_it() {
    let mut log = Log::new();
    log.open("n", 0, -1, 0);
    let first = log.transaction(&Gathered { position: Some(0), ..Gathered::default() });
    log.transaction(&Gathered::default());
    let named = log.state.producer("n").expect("opened");
    assert_eq!((named.position, named.position_lsn, named.decisions.len()), (Some(0), first, 0));
}

#[test]
fn a_later_commit_replaces_offset_and_text() {
    let mut log = Log::new();
    log.create("t", 1);
    log.commit("g", "t", 0, 5, "five");
    let lsn = log.commit("g", "t", 0, 3, "");
    let committed = log.state.committed("g", id("t"), 0).expect("committed");
    assert_eq!((committed.offset, &*committed.metadata, committed.lsn, committed.leader_epoch), (3, "", lsn, 3));
    assert_eq!(log.state.committed("g", id("t"), 1), None);
    assert_eq!(log.state.committed("h", id("t"), 0), None);
}

#[test]
fn the_next_life_begins_behind_the_blocks_of_this_one() {
    let mut log = Log::new();
    assert_eq!((log.state.incarnation, log.state.first_number(), log.state.next_producer_id()), (0, 1, 0));
    let opened = Opened { incarnation: 4, first_number: 1, numbers: 1_000, first_producer_id: 50, wall_ms: 1 };
    log.apply(&Payload::Opened(opened));
    let mut log = log.reloaded();
    assert_eq!((log.state.incarnation, log.state.first_number(), log.state.next_producer_id()), (4, 1_001, 50));
    log.apply(&Payload::Opened(Opened { incarnation: 5, first_producer_id: 3, ..Opened::default() }));
    assert_eq!((log.state.incarnation, log.state.first_number(), log.state.next_producer_id()), (5, 1_001, 50));
    log.apply(&Payload::Opened(Opened { first_number: u64::MAX, numbers: 9, first_producer_id: u64::MAX, ..opened }));
    assert_eq!((log.state.first_number(), log.state.next_producer_id()), (u64::MAX, i64::MAX));
    drop(log.reloaded());
}

#[test]
fn raw_producers_are_listed_with_the_frame_they_wrote_last() {
    let mut log = Log::with_raw_producer();
    let idle = log.open("", 8, -1, 0);
    log.append(0, batch(7, 0, 0, 1)).expect("accepted");
    let last = log.lsn;
    log.append(1, batch(7, 0, 0, 1)).expect("accepted");
    (9..200).for_each(|id| {
        _ = log.open("", id, -1, 0);
    });
    let mut seen = Vec::new();
    assert_eq!(log.state.raw_producers(0, 1_000, |id, lsn| seen.push((id, lsn))), None);
    assert_eq!((&seen[..2], seen.len()), (&[(7, last), (8, idle)][..], 193));
    assert_eq!(log.state.raw_producer(7), Some(last));
}

#[test]
fn a_look_at_raw_producers_tells_of_few_at_a_time_however_many_partitions_they_wrote_to() {
    let mut log = Log::new();
    let (first, partitions) = (log.create("t", 50), 50);
    for id in 0..70 {
        log.open("", id, -1, 0);
        let written = if id % 10 == 3 { partitions } else { u32::from(id % 2 == 0) };
        (first..first + written).for_each(|instance| _ = log.replay(instance, batch(id, 0, 0, 1)));
    }
    let whole: Vec<_> = (0..70).map(|id| (id, log.state.raw_producer(id).expect("there"))).collect();
    for state in [&log.state, &log.reloaded().state] {
        for most in [1, 7, 69, 70, 1_000] {
            let (mut told, mut from) = (Vec::<(i64, Lsn)>::new(), Some(0));
            while let Some(slot) = from {
                let before = told.len();
                from = state.raw_producers(slot, most, |id, lsn| told.push((id, lsn)));
                assert!((1..=most).contains(&(told.len() - before)), "{most} at a time");
            }
            assert_eq!(told, whole, "{most} at a time");
        }
    }
}

#[test]
fn the_newest_owner_of_an_id_counts() {
    // No engine writes such frames: an id is issued once.
    let mut log = Log::with_raw_producer();
    log.append(0, batch(7, 0, 0, 1)).expect("accepted");
    log.open("a", 7, -1, 0);
    assert_eq!(log.state.sequences.table.count(), 0, "the raw producer's batches are forgotten");
    log.open("b", 7, -1, 0);
    assert_eq!((log.state.producer("a"), log.state.producers().count()), (None, 1));
    log.open("", 7, -1, 0);
    assert_eq!((log.state.producer("b"), log.state.registration(7).is_ok()), (None, true));
    for id in [-1, i64::MIN, i64::MAX] {
        log.open("c", id, -1, 0);
        log.open("", id, -1, 0);
    }
    assert_eq!((log.state.producers().count(), log.state.next_producer_id()), (0, 8));
    drop(log.reloaded());
}
