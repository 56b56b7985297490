//! What bounds open transactions, to the byte, and that what they took is given back however they end.

use super::*;
use crate::format::control::{BEGUN_RAW, Begun, PendingHead};
use crate::format::decision::{Cause, Decided, Span};
use crate::limits::{OPEN_TRANSACTIONS, TRANSACTION_OFFSETS, TRANSACTIONS_STATE};

const TRANSACTION: usize = 160;
const SPAN: usize = 128;
const OFFSET: usize = 128;

/// The id of that producer and number, with a raw transaction that is open.
fn begin(log: &mut Log, number: u64) -> Identity {
    let identity = Identity { producer_id: number.cast_signed(), epoch: 0 };
    log.open(&number.to_string(), identity.producer_id, -1, 0);
    let begun = Begun { producer_id: number, epoch: 0, flags: BEGUN_RAW, timeout_ms: 0, number, wall_ms: 0 };
    log.apply(&Payload::Begun(begun));
    identity
}

fn entry<'a>(partition: u32, group: &'a str, metadata: &'a str) -> OffsetEntry<'a> {
    OffsetEntry { group, topic: id("t").0, partition, offset: 1, leader_epoch: 0, metadata }
}

fn send(log: &mut Log, number: u64, entries: &[OffsetEntry<'_>]) {
    let head = PendingHead { number, producer_id: number };
    let lsn = log.lsn;
    with_offsets(entries, |offsets| log.state.apply(lsn, &Payload::PendingOffsets { head, offsets }));
    log.lsn += 1;
}

fn decide(log: &mut Log, number: u64, ended: Ended) {
    let producer = (number.cast_signed(), 0);
    let spans: Vec<Span> = log.state.open_spans(number);
    let decided = Decided { producer, ended, number, position: None, next: (producer.0, 1), cause: Cause::Owner };
    let mut head = Vec::new();
    decided.write(&mut head, &spans);
    let (head, offsets) = (DecisionHead::read(&head).expect("just written"), OffsetsBlock::EMPTY);
    log.apply(&Payload::Decision { head, offsets });
}

fn transactional(producer_id: i64, sequence: i32) -> BatchHeader {
    BatchHeader { attributes: 0x10, ..batch(producer_id, 0, sequence, 1) }
}

/// What they weigh, which a checkpoint does not change.
fn weight(log: &Log) -> usize {
    let weight = log.state.transactions.weight();
    assert_eq!(log.reloaded().state.transactions.weight(), weight);
    weight
}

/// Refused for a limit's sake, in these words.
#[track_caller]
fn limited<T: std::fmt::Debug>(answer: Result<T>, text: &str, values: &str) {
    let error = answer.expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::LimitExceeded);
    assert!(error.message().starts_with(text), "{error}");
    assert!(error.message().ends_with(&format!(", {values}")), "{error}");
}

#[test]
fn what_open_transactions_weigh_is_nothing_again_when_all_are_decided() {
    let mut log = Log::new();
    let (first, gone) = (log.create("t", 3), log.create("gone", 1));
    let mut due = 0;
    for number in 1..=3 {
        let Identity { producer_id, .. } = begin(&mut log, number);
        for (sequence, instance) in (0..).zip([first, first + 1, gone, first]) {
            log.append(instance, transactional(producer_id, i32::from(sequence == 3))).expect("accepted");
        }
        send(&mut log, number, &[entry(0, "group", "longer text"), entry(1, "g", "")]);
        send(&mut log, number, &[entry(0, "group", "text")]);
        send(&mut log, number, &[entry(1, "g", "a text where none was")]);
        due += TRANSACTION + 3 * SPAN + 2 * OFFSET + "grouptext".len() + "ga text where none was".len();
        assert_eq!(weight(&log), due, "what was sent last counts, once");
    }
    let light = due / 3;
    decide(&mut log, 1, Ended::Commit);
    assert_eq!(weight(&log), 2 * light);
    log.delete("gone");
    assert_eq!(log.state.transactions.weight(), 2 * (light - SPAN));
    assert!(log.state.sweep(usize::MAX));
    assert_eq!(weight(&log), 2 * (light - SPAN));
    decide(&mut log, 3, Ended::Abort);
    decide(&mut log, 3, Ended::Commit);
    assert_eq!(weight(&log), light - SPAN, "decided once");
    let mut log = log.reloaded();
    decide(&mut log, 2, Ended::Abort);
    assert_eq!((weight(&log), log.state.transactions.len()), (0, 0));
}

/// Gives an open transaction so many offsets that all of them weigh that much.
fn fill(log: &mut Log, number: u64, weight: usize) {
    let text = "x".repeat(60_000);
    let each = OFFSET + 1 + text.len();
    let left = weight - log.state.transactions.weight();
    let (whole, halves) = (left / each - 1, left - (left / each - 1) * each);
    let texts = [halves / 2, halves - halves / 2].map(|len| &text[..len - OFFSET - 1]);
    let texts = std::iter::repeat_n(&*text, whole).chain(texts);
    let entries: Vec<_> = (0..).zip(texts).map(|(partition, text)| entry(partition, "g", text)).collect();
    send(log, number, &entries);
    assert_eq!(log.state.transactions.weight(), weight);
}

/// A log with a topic, a transaction that is open, number 1, and an id that has none.
fn open_beside_a_newcomer() -> (Log, Identity) {
    let mut log = Log::new();
    log.create("t", 2_000);
    begin(&mut log, 1);
    log.open("newcomer", 1_000, -1, 0);
    (log, Identity { producer_id: 1_000, epoch: 0 })
}

const MEMORY: &str = "the open transactions take too much memory; commit or abort some of them";
const MANY: &str = "too many transactions are open; commit or abort some of them";

#[test]
fn the_memory_of_open_transactions_is_used_to_the_last_byte_and_given_back() {
    let (mut log, newcomer) = open_beside_a_newcomer();
    let text = "y".repeat(1_000);
    let used = TRANSACTIONS_STATE - TRANSACTION - OFFSET - 1 - text.len();
    fill(&mut log, 1, used);
    let values = |number, used| format!("number={number} memory={used} greatest={TRANSACTIONS_STATE}");
    limited(check_sent(&log.state, newcomer, &[entry(0, "gg", &text)]), MEMORY, &values(0, used));
    assert_eq!(check_sent(&log.state, newcomer, &[entry(0, "g", &text)]).expect("to the last byte"), None);
    let second = begin(&mut log, 2);
    send(&mut log, 2, &[entry(0, "g", &text)]);
    assert_eq!(weight(&log), TRANSACTIONS_STATE);

    limited(check_sent(&log.state, second, &[entry(1, "g", "")]), MEMORY, &values(2, TRANSACTIONS_STATE));
    limited(log.append(0, transactional(second.producer_id, 0)), MEMORY, &values(2, TRANSACTIONS_STATE));
    let values = format!("open=2 greatest={OPEN_TRANSACTIONS} memory={TRANSACTIONS_STATE}");
    limited(check_sent(&log.state, newcomer, &[]), MANY, &values);
    limited(log.append(0, transactional(newcomer.producer_id, 0)), MANY, &values);
    limited(log.state.check_stream((newcomer.producer_id, 0), 9, false, 0), MANY, &values);
    decide(&mut log, 2, Ended::Abort);
    assert_eq!(weight(&log), used);
    log.append(0, transactional(newcomer.producer_id, 0)).expect("there is room again");
    decide(&mut log, 1, Ended::Commit);
    assert!(weight(&log) < 1_000);
}

#[test]
fn a_transaction_that_begins_with_a_batch_fits_in_whole_or_is_refused() {
    let (mut log, newcomer) = open_beside_a_newcomer();
    let used = TRANSACTIONS_STATE - TRANSACTION - SPAN;
    fill(&mut log, 1, used);
    log.state.check_batch(0, &transactional(newcomer.producer_id, 0)).expect("just so");
    log.state.check_stream((newcomer.producer_id, 0), 9, false, 0).expect("just so");
    // One byte more.
    send(&mut log, 1, &[entry(0, "g", &"x".repeat(60_001))]);
    let values = format!("open=1 greatest={OPEN_TRANSACTIONS} memory={}", used + 1);
    limited(log.append(0, transactional(newcomer.producer_id, 0)), MANY, &values);
    limited(log.state.check_stream((newcomer.producer_id, 0), 9, false, 0), MANY, &values);
}

#[test]
fn offsets_that_take_the_place_of_others_count_once() {
    // A transaction that sent 600 was refused the same 600 again, for it had 1,200 then.
    let (mut log, _) = open_beside_a_newcomer();
    let identity = Identity { producer_id: 1, epoch: 0 };
    let some = |partitions: std::ops::Range<u32>, group| -> Vec<_> {
        partitions.map(|partition| entry(partition, group, "")).collect()
    };
    send(&mut log, 1, &some(0..600, "g"));
    assert_eq!(check_sent(&log.state, identity, &some(0..1_000, "g")).expect("1,000 in all"), Some(1));
    let text = "a transaction has at most so many offsets pending; commit them in several transactions";
    let values = |more| format!("number=1 has=600 more={more} greatest={TRANSACTION_OFFSETS}");
    limited(check_sent(&log.state, identity, &some(100..1_001, "g")), text, &values(401));
    limited(check_sent(&log.state, identity, &some(0..401, "h")), text, &values(401));
    limited(check_sent(&log.state, identity, &some(0..1_001, "g")), text, &values(1_001));
}
