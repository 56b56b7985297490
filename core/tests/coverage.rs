//! COVERAGE.md is complete, and every test it names exists.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Later parts of the work: what is built is shown, and nothing waits for it.
const PARTS: [&str; 3] = ["cleaning", "other processes", "mirrored partitions"];

/// The 40 hardest of Kafka's own tests, as Kafka names them; `a / b` are twins.
const KAFKA: &str = "\
testAppendTxnMarkerWithNoProducerState
testProducerSequenceWithWrapAroundBatchRecord
testControlRecordBumpsProducerEpoch
testPrepareUpdateDoesNotMutate
testLastStableOffsetCompletedTxn
testSkipEmptyTransactions
testRecoverFromSnapshotUnfinishedTransaction
testProducerStateAfterFencingAbortMarker
testCollectAbortedTransactions
testRecoverTransactionIndex
testRecoveryWithCorruptMessage
testDuplicateAppends
testRebuildProducerIdMapWithCompactedData
testRebuildProducerStateWithEmptyCompactedBatch
testRecoveryPointNotIncrementedOnProducerStateSnapshotFlushFailure
testReadCommittedWithConcurrentHighWatermarkUpdates
testTransactionIndexUpdated
testLastStableOffsetDoesNotExceedLogStartOffsetMidSegment
testAppendToTransactionIndexFailure
testAbortedTransactionSpanningMultipleSegments
testRecoverAfterNonMonotonicCoordinatorEpochWrite
testLoadProducersAfterDeleteRecordsOnSegment
testCorruptLog
testRecoveryAfterCrashDuringSplitPhase1…5
testFullTransactionIndexRecovery
testDuplicateCheckAfterCleaning
testMultiPassSegmentCleaningWithAbortedTransactions
testCleanWithTransactionsSpanningSegments
testCommitMarkerRetentionWithEmptyBatch / testAbortMarkerRetentionWithEmptyBatch
testCleaningWithKeysConflictingWithTxnMarkerKeys
testRecoveryAfterCrash
testRetryAbortTransactionAfterCommitTimeout / testRetryCommitTransactionAfterAbortTimeout
shouldNotRepeatedlyBumpEpochDueToInitPidDuringOngoingTxnIfAppendToLogFails
testRetryInitProducerIdAfterProducerIdRotation
shouldReturnInvalidTxnRequestOnEndTxnV2IfNotEndTxnV2Retry
shouldReturnOkOnEndTxnV2IfEndTxnV2RetryEpochOverflow
shouldNotBumpEpochWhenAbortingExpiredTransactionIfAppendToLogFails / \
shouldNotAcceptSmallerEpochDuringTransactionExpiration
testReadCommittedConsumerShouldNotSeeUndecidedData
testFetchOffsetsWithPendingTransactionalOffsets
testReplayTransactionEndMarkerKeepsTheMostRecentCommittedOffset";

fn core() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The rows of the table under a heading, cell by cell.
fn rows(heading: &str) -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(core().join("tests/COVERAGE.md")).unwrap();
    let (_, section) = text.split_once(&format!("## {heading}\n")).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| ")).skip(1);
    rows.map(|row| row.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect()).collect()
}

fn firsts(heading: &str) -> Vec<String> {
    rows(heading).into_iter().map(|row| row[0].clone()).collect()
}

fn all_rows() -> Vec<Vec<String>> {
    ["The decision table", "Kafka's own tests", "Histories", "Records", "Threads"].into_iter().flat_map(rows).collect()
}

#[test]
fn no_row_of_the_three_tables_is_missing() {
    let numbered = |letter: char, from: u32, to: u32| (from..=to).map(move |n| format!("{letter}{n}"));
    let table: Vec<String> = numbered('D', 0, 20).chain(numbered('C', 1, 2)).chain(numbered('M', 1, 8)).collect();
    assert_eq!(firsts("The decision table"), table);
    let kafka: Vec<&str> = KAFKA.lines().collect();
    assert_eq!(kafka.len(), 40);
    assert_eq!(firsts("Kafka's own tests"), kafka);
    assert_eq!(firsts("Histories"), (1..=30).map(|n: u32| n.to_string()).collect::<Vec<_>>());
}

/// The names in backticks that hold a path.
fn tests_named(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).filter(|name| name.contains("::")).map(str::to_owned).collect()
}

/// The files in backticks: tests in other languages.
fn files_named(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).filter(|name| name.contains('/')).map(str::to_owned).collect()
}

/// Where the test of a full name may stand.
fn places(path: &str) -> Vec<PathBuf> {
    let file = path.replace("::", "/");
    let above = Path::new(&file).parent().unwrap().to_owned();
    let (source, tests) = (core().join("src"), core().join("tests"));
    let mut places = vec![tests.join(format!("{file}.rs")), tests.join(&file).join("main.rs")];
    places.extend([source.join(format!("{file}.rs")), source.join(&file).join("mod.rs")]);
    // `mod tests` at the end of a file.
    if file.ends_with("/tests") {
        places.push(source.join(above.with_extension("rs")));
    }
    places
}

fn exists(name: &str) -> bool {
    let Some((path, function)) = name.rsplit_once("::") else { return false };
    let wanted = format!("fn {function}() ");
    places(path).iter().filter_map(|place| std::fs::read_to_string(place).ok()).any(|text| {
        // The attribute stands in the lines right above.
        text.match_indices(&wanted)
            .any(|(at, _)| text[..at].trim_end().rsplit("\n\n").next().unwrap().contains("#[test]"))
    })
}

#[test]
fn every_test_that_is_named_exists() {
    let names: Vec<String> = all_rows().iter().flat_map(|row| tests_named(row.last().unwrap())).collect();
    assert!(names.len() > 50, "{} names", names.len());
    let missing: Vec<&String> = names.iter().filter(|name| !exists(name)).collect();
    assert!(missing.is_empty(), "COVERAGE.md names tests that do not exist: {missing:#?}");
    let files: Vec<String> = all_rows().iter().flat_map(|row| files_named(row.last().unwrap())).collect();
    let missing: Vec<&String> = files.iter().filter(|file| !core().join("..").join(file).is_file()).collect();
    assert!(files.len() > 5 && missing.is_empty(), "COVERAGE.md names files that do not exist: {missing:#?}");
    assert!(!exists("format::no_such_test") && !exists("coverage::exists"));
}

#[test]
fn every_row_is_shown_or_says_what_it_waits_for_or_what_excludes_it() {
    let design = std::fs::read_to_string(core().join("DESIGN.md")).unwrap();
    let design = design.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut waited_for = BTreeSet::new();
    for row in all_rows() {
        let cell = row.last().unwrap();
        let waits: Vec<&str> = cell.split('*').skip(1).step_by(2).collect();
        let excluded: Vec<&str> = cell.split('"').skip(1).step_by(2).collect();
        assert!(!tests_named(cell).is_empty() || !waits.is_empty() || !excluded.is_empty(), "{row:?}");
        for part in waits {
            assert!(PARTS.contains(&part), "no later part of the work is called {part:?}: {row:?}");
            waited_for.insert(part.to_owned());
        }
        for sentence in excluded {
            assert!(design.contains(sentence), "DESIGN.md does not say {sentence:?}");
        }
    }
    assert_eq!(waited_for, PARTS.map(str::to_owned).into(), "a part that no row waits for is accepted needlessly");
}
