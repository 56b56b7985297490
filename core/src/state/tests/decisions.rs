//! The decision table for raw batches, row by row, and Kafka's own cases for it.

use super::*;
use crate::limits::OFFSET_MAX;
use crate::types::Identity;

const MAX: i32 = i32::MAX;

fn duplicate(first: Offset, last: Offset, sequence: i32, lsn: Lsn) -> Verdict {
    Verdict::Duplicate { first, last, timestamp: 1_000 + i64::from(sequence), lsn }
}

#[test]
fn a_batch_without_a_producer_id_is_accepted_and_leaves_no_entry() {
    // D1. Kafka takes every negative id for none.
    let mut log = Log::with_raw_producer();
    for producer_id in [-1, -2, i64::MIN] {
        assert_eq!(log.append(0, batch(producer_id, -1, -1, 3)).expect("accepted"), Verdict::Accept);
    }
    assert_eq!((log.state.end(0), log.state.sequences.table.count()), (Some(9), 0));
}

#[test]
fn a_negative_sequence_with_a_producer_id_is_invalid_and_a_negative_epoch_is_stale() {
    // D2.
    let log = Log::with_raw_producer();
    assert_eq!(kind(log.state.check_batch(0, &batch(7, 0, -1, 1))), ErrorKind::InvalidRecord);
    assert_eq!(kind(log.state.check_batch(0, &batch(7, -1, 0, 1))), ErrorKind::StaleEpoch);
}

#[test]
fn a_repeated_batch_answers_its_first_offsets() {
    // D3.
    let mut log = Log::with_raw_producer();
    log.append(0, plain(10)).expect("accepted");
    let lsn = log.lsn;
    assert_eq!(log.append(0, batch(7, 0, 0, 5)).expect("accepted"), Verdict::Accept);
    log.append(0, plain(10)).expect("accepted");
    let before = digest(&log.state);
    for _ in 0..3 {
        assert_eq!(log.append(0, batch(7, 0, 0, 5)).expect("known"), duplicate(10, 14, 0, lsn));
    }
    assert_eq!(digest(&log.state), before, "a duplicate changes nothing");
}

#[test]
fn an_older_epoch_is_stale() {
    // D6, also for an exact repetition: the look-up counts within one epoch only.
    let mut log = Log::with_raw_producer();
    log.append(0, batch(7, 3, 0, 2)).expect("accepted");
    log.append(0, batch(7, 4, 0, 2)).expect("accepted");
    for (sequence, count) in [(0, 2), (2, 2), (0, 1)] {
        let error = log.state.check_batch(0, &batch(7, 3, sequence, count)).expect_err("older epoch");
        assert_eq!(error.kind(), ErrorKind::StaleEpoch);
        assert!(error.message().contains("epoch=3 newer_epoch=4"), "{error}");
    }
}

#[test]
fn an_epoch_that_was_never_given_out_is_told_as_such() {
    // It was refused in the words of a fence: a newer one had taken over, newer_epoch=1.
    let mut log = Log::with_raw_producer();
    log.open("id", 8, -1, 1);
    for epoch in [2, i16::MAX, -1, i16::MIN] {
        let identity = Identity { producer_id: 8, epoch };
        let refusals = [
            (ErrorKind::StaleEpoch, log.state.check_batch(0, &batch(8, epoch, 0, 1)).err()),
            (ErrorKind::StaleEpoch, check_sent(&log.state, identity, &[]).err()),
            (ErrorKind::ProducerFenced, log.state.check_opening("id", Some(identity)).err()),
            (ErrorKind::ProducerFenced, log.state.check_end(identity, true).err()),
        ];
        for (kind, error) in refusals {
            let error = error.expect("refused");
            assert_eq!(error.kind(), kind);
            let text = error.message();
            assert!(text.starts_with("this epoch was never given out; "), "{text}");
            assert!(
                text.contains(&format!("producer_id=8 epoch={epoch} ")) && text.ends_with("newest_epoch=1"),
                "{text}"
            );
        }
    }
    let text = log.state.check_batch(0, &batch(99, -1, 0, 1)).expect_err("nobody's").to_string();
    assert!(text.contains("never given out") && !text.contains("newe"), "{text}");
}

#[test]
fn an_epoch_older_than_the_registration_is_stale_in_every_partition() {
    let mut log = Log::with_raw_producer();
    log.append(0, batch(7, 0, 0, 2)).expect("accepted");
    log.open("", 7, -1, 1);
    assert_eq!(kind(log.append(1, batch(7, 0, 0, 1))), ErrorKind::StaleEpoch);
    assert_eq!(kind(log.append(0, batch(7, 0, 2, 1))), ErrorKind::StaleEpoch);
    assert_eq!(kind(log.append(0, batch(7, 0, 0, 2))), ErrorKind::StaleEpoch, "a fenced producer gets no duplicate");
    assert_eq!(log.append(0, batch(7, 1, 0, 1)).expect("accepted"), Verdict::Accept);
    assert_eq!(log.append(1, batch(7, 2, 0, 1)).expect("a newer epoch of its own"), Verdict::Accept);
}

#[test]
fn an_unknown_producer_id_is_refused_sequence_0_included() {
    // D9, D10 and testAllowNonZeroSequenceOnFirstAppendNonZeroEpoch, where Kafka accepts without a question
    // (KAFKA-15591, 14312): whether the log is empty or not, nothing is taken from an id that was never issued.
    let mut log = Log::with_raw_producer();
    for _ in 0..2 {
        assert_eq!(kind(log.append(0, batch(8, 0, 0, 1))), ErrorKind::UnknownProducer);
        assert_eq!(kind(log.append(0, batch(8, 5, 3, 1))), ErrorKind::UnknownProducer);
        log.append(0, plain(1)).expect("accepted");
    }
}

#[test]
fn a_registered_producer_starts_at_sequence_0_in_each_partition() {
    let mut log = Log::with_raw_producer();
    log.append(0, batch(7, 0, 0, 4)).expect("accepted");
    assert_eq!(kind(log.append(1, batch(7, 0, 4, 1))), ErrorKind::OutOfOrderSequence);
    assert_eq!(log.append(1, batch(7, 0, 0, 1)).expect("accepted"), Verdict::Accept);
}

#[test]
fn a_new_epoch_starts_at_sequence_0_and_forgets_the_old_batches() {
    // D11, D12.
    let mut log = Log::with_raw_producer();
    log.append(0, batch(7, 0, 0, 4)).expect("accepted");
    assert_eq!(kind(log.append(0, batch(7, 1, 4, 1))), ErrorKind::OutOfOrderSequence);
    assert_eq!(log.append(0, batch(7, 1, 0, 4)).expect("accepted"), Verdict::Accept);
    let entry = log.state.sequences.get(7, 0).expect("entry");
    assert_eq!((entry.epoch, entry.batches().len(), entry.batches()[0].first), (1, 1, 4));
}

#[test]
fn an_entry_without_batches_takes_sequence_0_only() {
    // D13. This version writes no such entry, but a state may hold one.
    let mut log = Log::with_raw_producer();
    let entry = sequences::Sequence::new(7, 0, 2);
    let mut table = paged::Paged::default();
    table.insert(entry);
    log.state.sequences = Sequences::load(table).expect("one entry");
    let mut log = log.reloaded();
    assert_eq!(kind(log.append(0, batch(7, 1, 0, 1))), ErrorKind::StaleEpoch);
    assert_eq!(kind(log.append(0, batch(7, 2, 1, 1))), ErrorKind::OutOfOrderSequence);
    assert_eq!(log.append(0, batch(7, 2, 0, 1)).expect("accepted"), Verdict::Accept);
}

#[test]
fn the_next_sequence_is_accepted_and_the_oldest_of_five_falls_out() {
    // D14.
    let mut log = Log::with_raw_producer();
    for n in 0..8 {
        assert_eq!(log.append(0, batch(7, 0, n * 10, 10)).expect("accepted"), Verdict::Accept);
        let entry = log.state.sequences.get(7, 0).expect("entry");
        assert_eq!(entry.batches().len(), usize::try_from(n + 1).expect("small").min(5));
    }
    let entry = log.state.sequences.get(7, 0).expect("entry");
    let sequences: Vec<_> = entry.batches().iter().map(|b| (b.first_sequence, b.last_sequence, b.first)).collect();
    assert_eq!(sequences, [(30, 39, 30), (40, 49, 40), (50, 59, 50), (60, 69, 60), (70, 79, 70)]);
}

#[test]
fn a_partial_duplicate_is_out_of_order() {
    // D15.
    let mut log = Log::with_raw_producer();
    log.append(0, batch(7, 0, 0, 10)).expect("accepted");
    log.append(0, batch(7, 0, 10, 10)).expect("accepted");
    for (first, count) in [(0, 9), (0, 20), (1, 9), (9, 1), (10, 11), (12, 3), (19, 5), (5, 10)] {
        assert_eq!(kind(log.append(0, batch(7, 0, first, count))), ErrorKind::OutOfOrderSequence, "{first} {count}");
    }
}

#[test]
fn a_batch_older_than_the_five_is_out_of_order() {
    // D16: never a kind of its own.
    let mut log = Log::with_raw_producer();
    (0..6).for_each(|n| {
        _ = log.append(0, batch(7, 0, n, 1)).expect("accepted");
    });
    assert_eq!(kind(log.append(0, batch(7, 0, 0, 1))), ErrorKind::OutOfOrderSequence);
    assert!(matches!(log.append(0, batch(7, 0, 1, 1)), Ok(Verdict::Duplicate { first: 1, last: 1, .. })));
}

#[test]
fn a_gap_is_out_of_order_and_the_message_says_what_is_expected() {
    // D17.
    let mut log = Log::with_raw_producer();
    log.append(0, batch(7, 0, 0, 10)).expect("accepted");
    for first in [11, 500, MAX] {
        let error = log.append(0, batch(7, 0, first, 1)).expect_err("gap");
        assert_eq!(error.kind(), ErrorKind::OutOfOrderSequence);
        assert!(error.message().ends_with("expected=10"), "{error}");
    }
    assert_eq!(kind(log.append(0, batch(7, 0, 0, 3))), ErrorKind::OutOfOrderSequence, "0 again, but not exactly");
}

#[test]
fn an_accepted_batch_keeps_its_timestamp_and_frame() {
    // D20.
    let mut log = Log::with_raw_producer();
    let lsn = log.lsn;
    log.append(1, batch(7, 0, 0, 2)).expect("accepted");
    let cached = log.state.sequences.get(7, 1).expect("entry").batches()[0];
    assert_eq!((cached.timestamp, cached.lsn, cached.first), (1_000, lsn, 0));
    assert_eq!(log.state.end(1), Some(2));
}

#[test]
fn a_transactional_batch_needs_a_transactional_id() {
    let mut log = Log::with_raw_producer();
    let mut transactional = batch(7, 0, 0, 1);
    transactional.attributes = 0x10;
    let error = log.append(0, transactional).expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::InvalidTransactionState);
    assert!(error.message().starts_with("only a transactional id has transactions"), "{error}");
}

#[test]
fn a_raw_batch_may_carry_the_id_of_a_name_at_its_newest_epoch_only() {
    let mut log = Log::with_raw_producer();
    log.open("loader", 8, -1, 1);
    assert_eq!(kind(log.append(0, batch(8, 0, 0, 1))), ErrorKind::StaleEpoch);
    assert_eq!(kind(log.append(0, batch(8, 2, 0, 1))), ErrorKind::StaleEpoch, "never issued");
    assert_eq!(log.append(0, batch(8, 1, 0, 1)).ok(), Some(Verdict::Accept));
    log.open("loader", 9, 8, 0);
    assert_eq!(kind(log.append(0, batch(8, 1, 1, 1))), ErrorKind::StaleEpoch, "the id was given up");
    assert!(log.state.sweep(usize::MAX));
    assert!(log.reloaded().state.sequences.get(8, 0).is_none(), "and its batches are forgotten");
}

#[test]
fn an_unknown_partition_is_refused_before_all_else() {
    let mut log = Log::with_raw_producer();
    for batch in [plain(1), batch(7, 0, 5, 1), batch(9, 0, 0, 1)] {
        assert_eq!(kind(log.append(2, batch)), ErrorKind::UnknownTopicOrPartition);
    }
    assert_eq!(log.state.check_place(2, 0).expect_err("unknown").kind(), ErrorKind::UnknownTopicOrPartition);
}

#[test]
fn offsets_end_at_the_greatest_and_a_duplicate_is_still_known() {
    let mut log = Log::with_raw_producer();
    log.append(0, batch(7, 0, 0, 5)).expect("accepted");
    let mut far = plain(1);
    far.base_offset = i64::MAX - 11;
    log.apply(&Payload::Records { instance: 0, batch: far });
    assert_eq!(log.state.end(0), Some(OFFSET_MAX - 10));
    assert_eq!(kind(log.append(0, plain(11))), ErrorKind::LimitExceeded);
    assert_eq!(kind(log.append(0, batch(7, 0, 5, 11))), ErrorKind::LimitExceeded);
    assert_eq!(kind(log.append(0, plain(MAX))), ErrorKind::LimitExceeded);
    assert_eq!(log.append(0, plain(10)).expect("just fits"), Verdict::Accept);
    assert_eq!(kind(log.append(0, plain(1))), ErrorKind::LimitExceeded);
    assert!(matches!(log.append(0, batch(7, 0, 0, 5)), Ok(Verdict::Duplicate { first: 0, last: 4, .. })));
}

#[test]
fn an_end_never_goes_back() {
    // No valid log holds such a frame; an offset that was given out is not given out again all the same.
    let mut log = Log::with_raw_producer();
    log.append(0, plain(10)).expect("accepted");
    for base_offset in [0, 3, -7, i64::MIN] {
        log.apply(&Payload::Records { instance: 0, batch: BatchHeader { base_offset, ..plain(2) } });
        log.apply(&Payload::Records { instance: 0, batch: BatchHeader { base_offset, ..plain(i32::MIN) } });
    }
    log.transaction(&Gathered { parts: vec![(0, 4, 1)], ..Gathered::default() });
    assert_eq!(log.state.end(0), Some(10));
}

// Kafka's own cases.

#[test]
fn sequences_follow_each_other_and_epochs_start_over() {
    // testBasicIdMapping, with the exact repetition known as a duplicate.
    let mut log = Log::with_raw_producer();
    assert!(log.append(0, batch(7, 0, 0, 1)).is_ok());
    assert!(log.append(0, batch(7, 0, 1, 1)).is_ok());
    assert!(matches!(log.append(0, batch(7, 0, 1, 1)), Ok(Verdict::Duplicate { .. })));
    assert_eq!(kind(log.append(0, batch(7, 0, 5, 1))), ErrorKind::OutOfOrderSequence);
    assert_eq!(log.append(0, batch(7, 1, 0, 1)).expect("new epoch"), Verdict::Accept);
    assert_eq!(kind(log.append(0, batch(7, 0, 0, 1))), ErrorKind::StaleEpoch);
}

#[test]
fn after_the_greatest_sequence_comes_0() {
    // testProducerSequenceWrapAround.
    let mut log = Log::with_raw_producer();
    log.replay(0, batch(7, 0, MAX, 1));
    assert_eq!(log.append(0, batch(7, 0, 0, 1)).expect("accepted"), Verdict::Accept);
    assert!(matches!(log.append(0, batch(7, 0, MAX, 1)), Ok(Verdict::Duplicate { first: 0, last: 0, .. })));
}

#[test]
fn a_batch_may_wrap_inside() {
    // testProducerSequenceWithWrapAroundBatchRecord.
    let mut log = Log::with_raw_producer();
    log.append(0, plain(100)).expect("accepted");
    let lsn = log.replay(0, batch(7, 0, MAX - 10, 21));
    let cached = log.state.sequences.get(7, 0).expect("entry").batches()[0];
    assert_eq!((cached.first_sequence, cached.last_sequence, cached.first), (MAX - 10, 9, 100));
    let known = log.append(0, batch(7, 0, MAX - 10, 21)).expect("known");
    assert_eq!(known, duplicate(100, 120, MAX - 10, lsn));
    for wrong in [9, 11, 0, MAX] {
        assert_eq!(kind(log.append(0, batch(7, 0, wrong, 1))), ErrorKind::OutOfOrderSequence, "{wrong}");
    }
    assert_eq!(log.append(0, batch(7, 0, 10, 1)).expect("accepted"), Verdict::Accept);
}

#[test]
fn after_the_greatest_sequence_1_is_out_of_order() {
    // testProducerSequenceInvalidWrapAround.
    let mut log = Log::with_raw_producer();
    log.replay(0, batch(7, 0, MAX, 1));
    assert_eq!(kind(log.append(0, batch(7, 0, 1, 1))), ErrorKind::OutOfOrderSequence);
}

#[test]
fn sequences_wrap_at_every_batch_size_around_the_greatest() {
    for start in MAX - 6..=MAX {
        for count in 1..=8 {
            let mut log = Log::with_raw_producer();
            let lsn = log.replay(0, batch(7, 0, start, count));
            let next = i32::try_from((i64::from(start) + i64::from(count)) % (1 << 31)).expect("below 2^31");
            let last = u64::try_from(count - 1).expect("not negative");
            let known = log.append(0, batch(7, 0, start, count)).expect("known");
            assert_eq!(known, duplicate(0, last, start, lsn));
            assert_eq!(log.append(0, batch(7, 0, next, 1)).expect("accepted"), Verdict::Accept, "{start} {count}");
        }
    }
}

#[test]
fn six_batches_leave_five_to_repeat() {
    // testDuplicateAppends.
    let mut log = Log::with_raw_producer();
    let mut lsns = Vec::new();
    for n in 0..6 {
        lsns.push(log.lsn);
        assert_eq!(log.append(0, batch(7, 0, n * 2, 2)).expect("accepted"), Verdict::Accept);
    }
    assert_eq!(log.append(0, batch(7, 0, 10, 2)).expect("the last"), duplicate(10, 11, 10, lsns[5]));
    assert_eq!(kind(log.append(0, batch(7, 0, 9, 2))), ErrorKind::OutOfOrderSequence, "partial");
    assert_eq!(kind(log.append(0, batch(7, 0, 10, 1))), ErrorKind::OutOfOrderSequence, "partial");
    assert_eq!(log.append(0, batch(7, 0, 2, 2)).expect("the oldest kept"), duplicate(2, 3, 2, lsns[1]));
    assert_eq!(kind(log.append(0, batch(7, 0, 0, 2))), ErrorKind::OutOfOrderSequence, "one older");
    let log = log.reloaded();
    for (n, lsn) in (1..6).zip(&lsns[1..]) {
        let first = u64::try_from(n * 2).expect("small");
        let verdict = log.state.check_batch(0, &batch(7, 0, n * 2, 2)).expect("known after a reload");
        assert_eq!(verdict, duplicate(first, first + 1, n * 2, *lsn));
    }
    assert_eq!(kind(log.state.check_batch(0, &batch(7, 0, 0, 2))), ErrorKind::OutOfOrderSequence);
}

#[test]
fn checking_changes_nothing() {
    // testPrepareUpdateDoesNotMutate.
    let mut log = Log::with_raw_producer();
    log.append(0, batch(7, 0, 0, 1)).expect("accepted");
    let before = digest(&log.state);
    for batch in
        [batch(7, 0, 1, 1), batch(7, 1, 0, 20), batch(7, 0, 0, 1), batch(7, 0, 9, 1), batch(8, 0, 0, 1), plain(1)]
    {
        _ = log.state.check_batch(0, &batch);
        _ = log.state.check_batch(1, &batch);
    }
    assert_eq!(digest(&log.state), before);
    assert_eq!(kind(log.append(0, batch(7, 0, 2, 1))), ErrorKind::OutOfOrderSequence, "no batch was staged");
}

#[test]
fn replay_follows_the_log_whatever_its_sequences() {
    // testNoValidationOnFirstEntryWhenLoadingLog, testAcceptAppendWithSequenceGapsOnReplica,
    // testMultipleProducersWithDuplicatesInSingleAppend.
    let mut log = Log::with_raw_producer();
    log.replay(0, batch(7, 0, 50, 1));
    log.replay(0, batch(7, 0, 90, 2));
    log.replay(0, batch(7, 0, 90, 2));
    assert_eq!(log.append(0, batch(7, 0, 92, 1)).expect("accepted"), Verdict::Accept);
    log.replay(0, batch(7, 5, 3, 1));
    log.replay(0, batch(7, 4, 8, 1));
    assert_eq!(log.append(0, batch(7, 4, 9, 1)).expect("the last frame counts"), Verdict::Accept);
}

#[test]
fn the_last_sequence_comes_from_the_header_of_a_batch_without_records() {
    // testRebuildProducerIdMapWithCompactedData, testRebuildProducerStateWithEmptyCompactedBatch.
    let mut log = Log::with_raw_producer();
    let mut empty = batch(7, 0, 0, 5);
    empty.count = 0;
    log.replay(0, empty);
    assert_eq!(log.state.end(0), Some(5));
    assert_eq!(log.append(0, batch(7, 0, 5, 1)).expect("accepted"), Verdict::Accept);
}

#[test]
fn an_expired_producer_is_unknown_everywhere() {
    // testPidExpirationTimeout, where Kafka goes on with any sequence.
    let mut log = Log::with_raw_producer();
    log.append(0, batch(7, 0, 0, 1)).expect("accepted");
    log.append(1, batch(7, 0, 0, 1)).expect("accepted");
    log.apply(&Payload::ProducerExpired(ProducerDeleted { producer_id: 7 }));
    assert!(log.state.sweep(usize::MAX));
    assert_eq!(log.state.sequences.table.count(), 0);
    for (instance, sequence) in [(0, 1), (0, 0), (1, 1)] {
        assert_eq!(kind(log.append(instance, batch(7, 0, sequence, 1))), ErrorKind::UnknownProducer);
    }
    assert_eq!(log.state.next_producer_id(), 8, "its id is not issued again");
}

#[test]
fn a_producer_goes_on_after_a_reload() {
    // testLoadFromSnapshotRetainsNonExpiredProducers, testRecoverFromSnapshotFinishedTransaction.
    let mut log = Log::with_raw_producer();
    log.append(0, batch(7, 0, 0, 1)).expect("accepted");
    log.append(0, batch(7, 1, 0, 3)).expect("accepted");
    let mut log = log.reloaded();
    assert_eq!(kind(log.append(0, batch(7, 0, 1, 1))), ErrorKind::StaleEpoch);
    assert_eq!(kind(log.append(0, batch(7, 1, 4, 1))), ErrorKind::OutOfOrderSequence);
    assert_eq!(log.append(0, batch(7, 1, 3, 1)).expect("accepted"), Verdict::Accept);
}

#[test]
fn plain_data_moves_the_end_that_a_snapshot_keeps() {
    // testProducerIdMapOffsetUpdatedForNonIdempotentData.
    let mut log = Log::with_raw_producer();
    log.append(0, plain(4)).expect("accepted");
    assert_eq!(log.reloaded().state.end(0), Some(4));
}
