//! Every kind of error: who provokes it, Kafka's three questions, the advice in its text, its code for Kafka's clients.
#![cfg(feature = "sim")]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::path::Path;
use std::time::Duration;

use oncelog::sim::{Call, Fault, World};
use oncelog::{
    Batch, ConsumerOptions, Durability, Engine, Error, ErrorKind, Identity, OffsetAndMetadata, Offsets,
    ProducerOptions, ReadOptions, Record, Result, TopicOptions, TopicPartition,
};

use Shown::{By, Here, Never, Waits};

/// What the caller may do: again without a change, only close, only abort.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Answers {
    retriable: bool,
    fatal: bool,
    requires_abort: bool,
}

const PLAIN: Answers = Answers { retriable: false, fatal: false, requires_abort: false };
const AGAIN: Answers = Answers { retriable: true, ..PLAIN };
const FATAL: Answers = Answers { fatal: true, ..PLAIN };
const ABORT: Answers = Answers { requires_abort: true, ..PLAIN };
const RERUN: Answers = Answers { retriable: true, requires_abort: true, ..PLAIN };

enum Shown {
    /// Provoked here; its text holds this advice.
    Here(fn() -> Error, &'static str),
    /// Provoked by a test elsewhere, in this file and of this name.
    By(&'static str, &'static str),
    /// Nothing of this version answers it; a later part of the work does.
    Waits(&'static str),
    /// No test may provoke it.
    Never(&'static str),
}

const ROWS: &[(ErrorKind, Answers, Shown)] = &[
    (ErrorKind::InvalidArgument, PLAIN, Here(a_topic_without_partitions, "least")),
    (ErrorKind::InvalidState, PLAIN, Here(a_poll_without_an_assignment, "call assign first")),
    (ErrorKind::Closed, FATAL, Here(a_send_after_the_close, "open the log again")),
    (
        ErrorKind::Forked,
        FATAL,
        By("tests/bad_input.rs", "handles_in_a_forked_child_answer_forked_and_the_parent_goes_on"),
    ),
    (ErrorKind::Locked, PLAIN, Here(a_second_open, "close")),
    (ErrorKind::ReadOnly, PLAIN, Here(a_write_to_a_log_opened_for_reading, "open it for writing")),
    (ErrorKind::Io, AGAIN, Here(a_read_that_the_device_fails, "try again")),
    (ErrorKind::Full, AGAIN, Here(a_disk_without_space, "free some and go on")),
    (ErrorKind::Poisoned, FATAL, Here(a_write_after_a_failed_flush, "open it again")),
    (ErrorKind::Corrupt, PLAIN, Here(a_batch_with_a_wrong_crc, "crc")),
    (
        ErrorKind::Truncated,
        PLAIN,
        By(
            "tests/places.rs",
            "who_stands_behind_records_that_a_power_cut_took_is_told_so_whatever_has_their_offsets_now",
        ),
    ),
    (
        ErrorKind::UnsupportedVersion,
        PLAIN,
        By("tests/bad_input.rs", "directories_of_a_newer_version_damaged_or_cut_ones_are_refused_or_say_what_is_lost"),
    ),
    // Core's own waits answer whether the time ran out; languages whose waits raise an error raise this one.
    (
        ErrorKind::TimedOut,
        AGAIN,
        By(
            "../bindings/python/tests/test_interrupt.py",
            "test_a_ticket_stays_good_behind_a_time_out_and_an_interruption",
        ),
    ),
    (ErrorKind::Busy, AGAIN, Here(a_poll_beside_another, "a consumer of its own")),
    (ErrorKind::LimitExceeded, PLAIN, Here(an_offset_with_too_long_a_text, "shorten it")),
    (ErrorKind::RecordTooLarge, PLAIN, Here(a_record_past_the_limit, "split")),
    (ErrorKind::TopicExists, PLAIN, Here(a_topic_made_twice, "t")),
    (ErrorKind::UnknownTopicOrPartition, PLAIN, Here(a_topic_never_made, "create it")),
    (ErrorKind::UnknownGroup, PLAIN, Waits("groups")),
    (ErrorKind::OffsetOutOfRange, PLAIN, Here(a_read_past_the_end, "read from start to end")),
    (ErrorKind::OutOfOrderSequence, ABORT, Here(a_sequence_with_a_gap, "expected")),
    (ErrorKind::UnknownProducer, ABORT, Here(a_producer_id_never_issued, "register a new one")),
    (ErrorKind::ProducerFenced, FATAL, Here(a_holder_that_was_fenced, "open it again only if that one is gone")),
    (ErrorKind::StaleEpoch, PLAIN, Here(a_batch_of_an_older_epoch, "register again")),
    (ErrorKind::InvalidRecord, PLAIN, Here(a_batch_without_records, "add one")),
    (
        ErrorKind::UnstableOffsets,
        AGAIN,
        By("tests/streaming/raw.rs", "a_raw_transaction_commits_batches_and_offsets_together_and_raises_the_epoch"),
    ),
    (ErrorKind::UnknownTransactionalId, PLAIN, Here(a_name_never_opened, "names are made by opening them")),
    (ErrorKind::GroupNotEmpty, PLAIN, Waits("groups")),
    (ErrorKind::Rebalancing, AGAIN, Waits("groups")),
    (ErrorKind::InvalidTransactionState, PLAIN, Here(a_transaction_beside_another, "commit or abort it")),
    (
        ErrorKind::TransactionAborted,
        RERUN,
        By("tests/streaming/native.rs", "whoever_knows_its_number_may_abort_a_transaction_and_its_owner_hears_of_it"),
    ),
    (
        ErrorKind::TransactionTimedOut,
        RERUN,
        By("tests/streaming/native.rs", "a_transaction_that_is_open_for_too_long_is_aborted_and_its_producer_goes_on"),
    ),
    (ErrorKind::Indeterminate, FATAL, Here(a_write_under_a_failed_flush, "open the log again to find out")),
    (ErrorKind::StaleGroupMember, ABORT, Waits("groups")),
    (ErrorKind::Internal, FATAL, Never("a bug of this library, which a test would have to contain")),
    // Rust's own callers see their panics; the other languages are told.
    (ErrorKind::Panic, FATAL, By("../ffi/src/call.rs", "a_panic_ends_at_the_door_as_an_error_of_its_own_kind")),
];

#[test]
fn every_kind_is_provoked_or_says_what_it_waits_for() {
    let kinds: Vec<ErrorKind> = ROWS.iter().map(|(kind, _, _)| *kind).collect();
    assert_eq!(kinds, ErrorKind::ALL, "one row for each kind, in the order of the numbers");
    let coverage = read("tests/COVERAGE.md");
    for (kind, answers, shown) in ROWS {
        match shown {
            Here(provoke, advice) => check(&provoke(), *kind, *answers, advice),
            By(file, test) => assert!(read(file).contains(test), "{kind:?}: {file} has no test {test}"),
            Waits(part) => assert!(coverage.contains(part), "{kind:?}: no part of the work is called {part}"),
            Never(reason) => assert!(!reason.is_empty()),
        }
        check_answers(&Error::new(*kind, "the kind alone says it"), *answers);
    }
    let provoked = ROWS.iter().filter(|(_, _, shown)| matches!(shown, Here(..) | By(..))).count();
    println!("{provoked} of {} kinds are provoked", ROWS.len());
}

fn read(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn check(error: &Error, kind: ErrorKind, answers: Answers, advice: &str) {
    assert_eq!(error.kind(), kind, "{error}");
    check_answers(error, answers);
    let text = error.message();
    assert!(text.contains(advice), "{advice:?} is not in {error}");
    assert!(text.len() > 20 && text.contains([',', ';', ':']), "no next step in {error}");
    assert!(text.chars().next().is_some_and(char::is_lowercase), "{error}");
    assert_eq!(error.to_string(), format!("{kind:?}: {text}"));
}

fn check_answers(error: &Error, answers: Answers) {
    let (retriable, fatal, requires_abort) = (error.is_retriable(), error.is_fatal(), error.requires_abort());
    assert_eq!(Answers { retriable, fatal, requires_abort }, answers, "{error}");
    assert!(!(retriable && fatal), "{error}: the same handle cannot be finished and good for another try");
}

// Each of these answers the error of its kind, through the public handles.

fn world() -> (World, Engine) {
    let world = World::new(7);
    let engine = Engine::options().threads(false).segment_bytes(64 << 10).open_on(world.machine()).unwrap();
    engine.create_topic("t", TopicOptions::new()).unwrap();
    (world, engine)
}

fn err<T>(result: Result<T>) -> Error {
    result.err().unwrap()
}

fn send(engine: &Engine, value: &[u8]) -> Result<()> {
    let producer = engine.producer(ProducerOptions::new())?;
    producer.send("t", Record::new(value))?.wait().map(drop)
}

fn raw(engine: &Engine, identity: Identity, sequence: i32) -> Result<()> {
    let mut batch = Batch::builder();
    batch.push(&Record::new(b"x"), 1)?;
    batch.producer(identity, sequence);
    engine.partition("t", 0)?.append(&batch.build()?)?.wait().map(drop)
}

fn a_topic_without_partitions() -> Error {
    err(world().1.create_topic("u", TopicOptions::new().partitions(0)))
}

fn a_poll_without_an_assignment() -> Error {
    err(world().1.consumer(ConsumerOptions::new()).unwrap().poll(Duration::ZERO))
}

fn a_send_after_the_close() -> Error {
    let (_world, engine) = world();
    let producer = engine.producer(ProducerOptions::new()).unwrap();
    engine.close().unwrap();
    err(producer.send("t", Record::new(b"late")))
}

fn a_second_open() -> Error {
    let dir = tempfile::tempdir().unwrap();
    let _first = Engine::open(dir.path()).unwrap();
    err(Engine::open(dir.path()))
}

fn a_write_to_a_log_opened_for_reading() -> Error {
    let (world, engine) = world();
    engine.close().unwrap();
    let reader = Engine::options().threads(false).read_only(true).open_on(world.machine_for_reading()).unwrap();
    err(send(&reader, b"x"))
}

fn a_read_that_the_device_fails() -> Error {
    let (world, engine) = world();
    send(&engine, b"x").unwrap();
    engine.close().unwrap();
    world.set_mappings(false);
    let engine = Engine::options().threads(false).open_on(world.machine()).unwrap();
    world.fail(Call::Read, 0, Fault::Eio, true);
    let failed = err(engine.partition("t", 0).unwrap().read(0, ReadOptions::new()));
    world.heal();
    assert_eq!(engine.partition("t", 0).unwrap().read(0, ReadOptions::new()).unwrap().count(), 1);
    failed
}

fn a_disk_without_space() -> Error {
    let (world, engine) = world();
    world.set_capacity(Some(world.files().values().map(Vec::len).sum::<usize>() as u64));
    (0..1_000).find_map(|_| send(&engine, &[0; 10_000]).err()).unwrap()
}

fn a_write_under_a_failed_flush() -> Error {
    let (world, engine) = world();
    world.fail(Call::Sync, 0, Fault::Eio, false);
    err(send(&engine, b"x"))
}

fn a_write_after_a_failed_flush() -> Error {
    let (world, engine) = world();
    world.fail(Call::Sync, 0, Fault::Eio, false);
    send(&engine, b"x").unwrap_err();
    err(send(&engine, b"y"))
}

fn a_batch_with_a_wrong_crc() -> Error {
    let mut batch = Batch::builder();
    batch.push(&Record::new(b"x"), 1).unwrap();
    let mut bytes = batch.build().unwrap().as_bytes().to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    err(Batch::from_bytes(&bytes))
}

fn a_poll_beside_another() -> Error {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::open(dir.path()).unwrap();
    engine.create_topic("t", TopicOptions::new()).unwrap();
    let consumer = engine.consumer(ConsumerOptions::new()).unwrap();
    consumer.assign(&[TopicPartition::new("t", 0)]).unwrap();
    let clone = consumer.clone();
    // Whichever of the two comes second is the one that is told. The first waits until the close.
    let other = std::thread::spawn(move || {
        loop {
            match clone.poll(Duration::from_secs(600)) {
                Err(error) if error.kind() == ErrorKind::Busy => std::thread::yield_now(),
                ended => return ended,
            }
        }
    });
    let busy = loop {
        match consumer.poll(Duration::ZERO) {
            Ok(_) => std::thread::yield_now(),
            Err(error) => break error,
        }
    };
    engine.close().unwrap();
    assert_eq!(err(other.join().unwrap()).kind(), ErrorKind::Closed);
    busy
}

fn an_offset_with_too_long_a_text() -> Error {
    let (_world, engine) = world();
    let consumer = engine.consumer(ConsumerOptions::new().group("g")).unwrap();
    let value = OffsetAndMetadata { offset: 1, leader_epoch: -1, metadata: "m".repeat(4097) };
    err(consumer.commit_offsets(&Offsets::from([(TopicPartition::new("t", 0), value)])))
}

fn a_record_past_the_limit() -> Error {
    err(send(&world().1, &vec![0; 2 << 20]))
}

fn a_topic_made_twice() -> Error {
    err(world().1.create_topic("t", TopicOptions::new()))
}

fn a_topic_never_made() -> Error {
    err(world().1.partition("u", 0))
}

fn a_read_past_the_end() -> Error {
    err(world().1.partition("t", 0).unwrap().read(1, ReadOptions::new()))
}

fn a_sequence_with_a_gap() -> Error {
    let (_world, engine) = world();
    let identity = engine.init_producer(None, Duration::ZERO, None).unwrap();
    err(raw(&engine, identity, 5))
}

fn a_producer_id_never_issued() -> Error {
    err(raw(&world().1, Identity { producer_id: 4_711, epoch: 0 }, 0))
}

fn a_holder_that_was_fenced() -> Error {
    let (_world, engine) = world();
    let old = engine.transactional_producer("tp", ProducerOptions::new()).unwrap();
    let _new = engine.transactional_producer("tp", ProducerOptions::new()).unwrap();
    err(old.begin_transaction())
}

fn a_batch_of_an_older_epoch() -> Error {
    let (_world, engine) = world();
    let identity = engine.init_producer(None, Duration::ZERO, None).unwrap();
    let newer = Identity { epoch: identity.epoch + 1, ..identity };
    raw(&engine, newer, 0).unwrap();
    err(raw(&engine, identity, 0))
}

fn a_batch_without_records() -> Error {
    err(Batch::builder().build())
}

fn a_name_never_opened() -> Error {
    err(world().1.delete_producer("nobody"))
}

fn a_transaction_beside_another() -> Error {
    let (_world, engine) = world();
    let options = ProducerOptions::new().durability(Durability::Os);
    let producer = engine.transactional_producer("tp", options).unwrap();
    let _open = producer.begin_transaction().unwrap();
    err(producer.begin_transaction())
}

/// Codes that Kafka's clients try again and whose kind is not retriable here, or the other way round, and why.
const OTHERWISE: &[(i16, &str)] = &[
    (2, "bytes that rotted on this disk stay rotten; a broker's other replicas may have them whole"),
    (3, "a topic that is not here was never made; a broker may not have heard of it yet"),
    (100, "as 3"),
    (103, "as 3"),
    (106, "as 3"),
    (27, "the member has to join again, and then may do the same; Kafka's clients do so inside of poll"),
    (57, "the directory may be there again, as after a mount"),
    (120, "the transaction is over, and may be run again as it was"),
];

#[test]
fn every_code_of_kafkas_protocol_has_its_kind() {
    let lines = read("tests/data/kafka-errors.jsonl");
    let mut codes = Vec::new();
    for line in lines.lines() {
        let error: serde_json::Value = serde_json::from_str(line).unwrap();
        let code = i16::try_from(error["code"].as_i64().unwrap()).unwrap();
        codes.push(code);
        let Some(kind) = ErrorKind::from_kafka_code(code) else {
            assert_eq!(error["name"], "NONE");
            continue;
        };
        let ours = Error::new(kind, "").is_retriable();
        let otherwise = OTHERWISE.iter().any(|(known, why)| *known == code && !why.is_empty());
        assert_eq!(ours != error["retriable"].as_bool().unwrap(), otherwise, "{line} is {kind:?}");
    }
    assert_eq!(codes, (-1..=133).collect::<Vec<i16>>(), "Kafka 4.3.1 has these");
    assert_eq!(ErrorKind::from_kafka_code(134), Some(ErrorKind::Internal));
}

#[test]
fn a_kind_comes_back_from_its_own_code_or_as_the_one_that_shares_it() {
    for kind in ErrorKind::ALL {
        let back = ErrorKind::from_kafka_code(kind.kafka_code()).unwrap();
        assert_eq!(back.kafka_code(), kind.kafka_code(), "{kind:?} comes back as {back:?}");
    }
}
