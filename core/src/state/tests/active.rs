//! Who is active in a partition, page by page.

use super::*;
use crate::format::control::{BEGUN_RAW, Begun};
use crate::types::{ActiveProducer, Identity};

/// All of them, as often as the walk comes to each, and how many came at once at most.
fn walk(state: &State, instance: Instance, most: usize) -> (Vec<ActiveProducer>, usize) {
    let (mut all, mut longest, mut next) = (Vec::new(), 0, Some(ActiveFrom::Batches(0)));
    while let Some(from) = next {
        let before = all.len();
        next = state.active_in(instance, from, most, |producer| all.push(producer));
        longest = longest.max(all.len() - before);
    }
    (all, longest)
}

fn active(producer_id: i64, epoch: i16, batch: Option<(i32, Timestamp)>, start: Option<Offset>) -> ActiveProducer {
    ActiveProducer {
        identity: Identity { producer_id, epoch },
        last_sequence: batch.map(|(sequence, _)| sequence),
        last_timestamp: batch.map(|(_, timestamp)| timestamp),
        transaction_start_offset: start,
    }
}

fn begin(log: &mut Log, producer_id: u64, epoch: u16, number: u64) {
    let flags = BEGUN_RAW;
    log.apply(&Payload::Begun(Begun { producer_id, epoch, flags, timeout_ms: 0, number, wall_ms: 0 }));
}

fn transactional(batch: BatchHeader) -> BatchHeader {
    BatchHeader { attributes: 0x10, ..batch }
}

#[test]
fn a_walk_in_pages_comes_to_every_producer_of_the_partition_once_and_to_no_more_at_a_time() {
    let mut log = Log::new();
    let first = log.create("t", 2);
    for id in 0..50 {
        log.open("", id, -1, 0);
        log.replay(first + u32::from(id % 5 == 0), batch(id, 0, 0, 3));
    }
    let here = (0..50).filter(|id| id % 5 != 0).map(|id| active(id, 0, Some((2, 1_000)), None));
    let here: Vec<_> = here.collect();
    for most in [1, 7, 40, 41, 1_000] {
        assert_eq!(walk(&log.state, first, most), (here.clone(), most.min(40)), "{most} at a time");
    }
    assert_eq!(walk(&log.reloaded().state, first, 7).0, here, "after a checkpoint");
}

#[test]
fn transactions_without_sequences_are_walked_in_pages_too() {
    let mut log = Log::new();
    let first = log.create("t", 2);
    for id in 0..30 {
        log.open(&format!("n{id}"), id, -1, 0);
        begin(&mut log, id.unsigned_abs(), 0, 100 - id.unsigned_abs());
        log.replay(first, transactional(batch(id, 0, -1, 2)));
        log.replay(first, transactional(batch(id, 0, -1, 2)));
    }
    let here: Vec<_> = (0..30).rev().map(|id| active(id, 0, None, Some(4 * id.unsigned_abs()))).collect();
    for most in [1, 7, 30, 1_000] {
        assert_eq!(walk(&log.state, first, most), (here.clone(), most.min(30)), "{most} at a time");
    }
    assert!(walk(&log.state, first + 1, 7).0.is_empty());
}

#[test]
fn who_has_batches_and_a_transaction_comes_twice_and_what_an_older_epoch_left_is_not_told_for_a_newer_one() {
    let mut log = Log::new();
    let first = log.create("t", 1);
    log.open("x", 7, -1, 2);
    begin(&mut log, 7, 2, 1);
    log.replay(first, transactional(batch(7, 2, 0, 5)));
    assert_eq!(walk(&log.state, first, 9).0, [active(7, 2, Some((4, 1_000)), Some(0)); 2]);
    log.state.transactions.end(1);
    assert_eq!(walk(&log.state, first, 9).0, [active(7, 2, Some((4, 1_000)), None)]);
    log.open("x", 7, -1, 3);
    begin(&mut log, 7, 3, 2);
    log.replay(first, transactional(batch(7, 3, -1, 5)));
    assert_eq!(walk(&log.state, first, 9).0, [active(7, 3, None, Some(5)); 2]);
}
