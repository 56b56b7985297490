//! Every public call with bad input: a typed error that says what to do, nothing lost, no panic.
#![allow(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::fs;
use std::path::Path;
use std::time::Duration;

use oncelog::limits::{NAME_MAX, OFFSET_MAX, OFFSET_METADATA_MAX, TOPIC_NAME_MAX, TOPIC_PARTITIONS_MAX};
use oncelog::{
    Batch, BatchBuilder, ConsumerOptions, Engine, EngineOptions, ErrorKind, GroupMetadata, Identity, OffsetAndMetadata,
    Offsets, ProducerOptions, ReadOptions, Record, Result, TopicOptions, TopicPartition,
};

/// The call was refused with that kind, and the message names what it spoke of.
#[track_caller]
fn refused<T>(answer: Result<T>, kind: ErrorKind, says: &str) {
    let Err(error) = answer else { panic!("taken, although {kind:?} was expected") };
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.message().contains(says), "{says:?} is not in {error}");
    let text = error.message();
    assert!(text.len() > 20 && text.contains([',', ';']), "no next step in {error}");
    assert!(text.chars().next().is_some_and(char::is_lowercase), "{error}");
}

fn engine() -> (tempfile::TempDir, Engine) {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::open(dir.path()).unwrap();
    engine.create_topic("t", TopicOptions::new().partitions(2)).unwrap();
    (dir, engine)
}

fn place() -> TopicPartition {
    TopicPartition::new("t", 0)
}

fn fill(engine: &Engine, records: usize) {
    let producer = engine.producer(ProducerOptions::new()).unwrap();
    let records = vec![Record::new(b"content").partition(0); records];
    producer.send_many("t", &records).unwrap().wait().unwrap();
}

fn count(engine: &Engine) -> u64 {
    engine.partition("t", 0).unwrap().bounds().end
}

#[test]
fn names_of_topics_are_those_that_kafka_takes() {
    let (_dir, engine) = engine();
    let long = "a".repeat(TOPIC_NAME_MAX + 1);
    for bad in ["", ".", "..", "a b", "a/b", "\u{e4}", "a\0b", "a\n", &long] {
        refused(engine.create_topic(bad, TopicOptions::new()), ErrorKind::InvalidArgument, "");
        refused(engine.partition(bad, 0), ErrorKind::UnknownTopicOrPartition, "create it");
        refused(engine.delete_topic(bad), ErrorKind::UnknownTopicOrPartition, "create it");
    }
    engine.create_topic(&long[1..], TopicOptions::new()).unwrap();
    refused(engine.create_topic("t", TopicOptions::new()), ErrorKind::TopicExists, "t");
    assert_eq!(engine.topics().unwrap().len(), 2);
}

#[test]
fn numbers_of_partitions_are_bounded_and_only_grow() {
    let (_dir, engine) = engine();
    for bad in [0, TOPIC_PARTITIONS_MAX + 1, u32::MAX] {
        let made = engine.create_topic("u", TopicOptions::new().partitions(bad));
        let kind = made.as_ref().err().map(|e| e.kind());
        assert!(matches!(kind, Some(ErrorKind::InvalidArgument | ErrorKind::LimitExceeded)), "{made:?}");
    }
    refused(engine.add_partitions("t", 2), ErrorKind::InvalidArgument, "has=2");
    refused(engine.add_partitions("t", 0), ErrorKind::InvalidArgument, "has=2");
    refused(engine.add_partitions("u", 2), ErrorKind::UnknownTopicOrPartition, "u");
    assert!(engine.add_partitions("t", u32::MAX).is_err());
    refused(engine.partition("t", 2), ErrorKind::UnknownTopicOrPartition, "partitions=2");
    engine.add_partitions("t", 3).unwrap();
    engine.partition("t", 2).unwrap();
}

#[test]
fn names_of_producers_and_groups_are_bounded() {
    let (_dir, engine) = engine();
    let long = "n".repeat(NAME_MAX + 1);
    for bad in ["", &long] {
        refused(engine.producer(ProducerOptions::new().name(bad)), ErrorKind::InvalidArgument, "");
        refused(engine.transactional_producer(bad, ProducerOptions::new()), ErrorKind::InvalidArgument, "");
        refused(engine.init_producer(Some(bad), Duration::from_secs(1), None), ErrorKind::InvalidArgument, "");
        refused(engine.consumer(ConsumerOptions::new().group(bad)), ErrorKind::InvalidArgument, "");
    }
    refused(engine.delete_producer("nobody"), ErrorKind::UnknownTransactionalId, "nobody");
    engine.producer(ProducerOptions::new().name(&long[1..])).unwrap();
    engine.delete_producer(&long[1..]).unwrap();
}

#[test]
fn options_out_of_range_are_refused_at_the_open() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    for bad in [0, 1, u64::MAX] {
        refused(Engine::options().segment_bytes(bad).open(&path), ErrorKind::InvalidArgument, "the size of a segment");
    }
    for bad in [Duration::ZERO, Duration::MAX] {
        refused(Engine::options().flush_interval(bad).open(&path), ErrorKind::InvalidArgument, "flush");
    }
    let (_dir, engine) = engine();
    refused(engine.producer(ProducerOptions::new().batch_bytes(usize::MAX)), ErrorKind::InvalidArgument, "batch_bytes");
    refused(engine.consumer(ConsumerOptions::new().max_records(0)), ErrorKind::InvalidArgument, "at least one record");
    let named = ProducerOptions::new().name("n");
    refused(engine.transactional_producer("id", named), ErrorKind::InvalidArgument, "leave the name out");
    refused(engine.init_producer(None, Duration::MAX, None), ErrorKind::InvalidArgument, "timeout");
}

#[test]
fn records_that_no_batch_takes_are_refused() {
    let (_dir, engine) = engine();
    let producer = engine.producer(ProducerOptions::new()).unwrap();
    let huge = vec![0; 2 << 20];
    refused(producer.send("t", Record::new(&huge)), ErrorKind::RecordTooLarge, "split");
    refused(producer.send("t", Record::new(b"").key(&huge)), ErrorKind::RecordTooLarge, "split");
    refused(producer.send("t", Record::new(b"").timestamp(-2)), ErrorKind::InvalidRecord, "timestamp=-2");
    refused(producer.send("t", Record::new(b"").position(1)), ErrorKind::InvalidArgument, "give the producer a name");
    refused(producer.send("t", Record::new(b"").partition(2)), ErrorKind::UnknownTopicOrPartition, "partitions=2");
    refused(producer.send("u", Record::new(b"")), ErrorKind::UnknownTopicOrPartition, "create it");
    refused(producer.send_many("u", &[Record::new(b"")]), ErrorKind::UnknownTopicOrPartition, "create it");
    let named = engine.producer(ProducerOptions::new().name("n")).unwrap();
    refused(named.send("t", Record::new(b"")), ErrorKind::InvalidArgument, "set the record's position");
    producer.flush().unwrap();
    named.flush().unwrap();
    assert_eq!(count(&engine), 0);
}

#[test]
fn batches_that_are_not_whole_or_not_ours_are_refused() {
    let (_dir, engine) = engine();
    let partition = engine.partition("t", 0).unwrap();
    refused(BatchBuilder::new().build(), ErrorKind::InvalidRecord, "");
    let mut good = Batch::builder();
    good.push(&Record::new(b"x"), 1).unwrap();
    let bytes = good.build().unwrap().as_bytes().to_vec();
    for len in 0..bytes.len() {
        refused(Batch::from_bytes(&bytes[..len]), ErrorKind::Corrupt, "");
    }
    let mut twice = bytes.clone();
    twice.extend_from_slice(&bytes);
    refused(Batch::from_bytes(&twice), ErrorKind::InvalidRecord, "one batch at a time");
    let identity = engine.init_producer(None, Duration::ZERO, None).unwrap();
    let raw = |identity, sequence, transactional| {
        let mut batch = Batch::builder();
        batch.push(&Record::new(b"x"), 1).unwrap();
        batch.producer(identity, sequence).transactional(transactional);
        partition.append(&batch.build().unwrap()).map(|ticket| ticket.wait())
    };
    refused(raw(identity, 5, false), ErrorKind::OutOfOrderSequence, "");
    refused(raw(identity, 0, true), ErrorKind::InvalidTransactionState, "transactional id");
    let stranger = Identity { producer_id: identity.producer_id + 1000, epoch: 0 };
    refused(raw(stranger, 0, false), ErrorKind::UnknownProducer, "");
    raw(identity, 0, false).unwrap().unwrap();
    assert!(raw(identity, 0, false).unwrap().unwrap().duplicate);
    assert_eq!(count(&engine), 1);
}

#[test]
fn an_identity_that_was_fenced_cannot_be_renewed() {
    let (_dir, engine) = engine();
    let minute = Duration::from_secs(60);
    for bad in [Duration::ZERO, Duration::from_secs(901)] {
        refused(engine.init_producer(Some("id"), bad, None), ErrorKind::InvalidArgument, "timeout");
    }
    let old = engine.init_producer(Some("id"), minute, None).unwrap();
    let new = engine.init_producer(Some("id"), minute, Some(old)).unwrap();
    assert_eq!((new.producer_id, new.epoch), (old.producer_id, old.epoch + 1));
    assert_eq!(engine.init_producer(Some("id"), minute, Some(old)).unwrap(), new, "its answer may have been lost");
    engine.init_producer(Some("id"), minute, None).unwrap();
    refused(engine.init_producer(Some("id"), minute, Some(old)), ErrorKind::ProducerFenced, "");
    refused(engine.init_producer(Some("id"), minute, Some(new)), ErrorKind::ProducerFenced, "");
}

#[test]
fn offsets_outside_of_the_partition_are_refused() {
    let (_dir, engine) = engine();
    fill(&engine, 5);
    let partition = engine.partition("t", 0).unwrap();
    for bad in [6, OFFSET_MAX, u64::MAX] {
        refused(partition.read(bad, ReadOptions::new()), ErrorKind::OffsetOutOfRange, "start=0 end=5");
    }
    assert!(partition.read(5, ReadOptions::new()).unwrap().is_empty());
    assert!(partition.read(0, ReadOptions::new().max_bytes(0)).unwrap().count() > 0, "a batch at least");
    assert_eq!(partition.read(0, ReadOptions::new().max_bytes(usize::MAX)).unwrap().count(), 5);
    refused(engine.wait_durable(u64::MAX), ErrorKind::InvalidArgument, "");

    let consumer = engine.consumer(ConsumerOptions::new().group("g")).unwrap();
    consumer.assign(&[place()]).unwrap();
    refused(consumer.seek(&place(), 6), ErrorKind::OffsetOutOfRange, "start=0 end=5");
    assert_eq!(consumer.position(&place()).unwrap(), 0);
    let metadata = "m".repeat(OFFSET_METADATA_MAX + 1);
    let long = OffsetAndMetadata { offset: 1, leader_epoch: -1, metadata };
    let producer = engine.transactional_producer("tp", ProducerOptions::new()).unwrap();
    let mut transaction = producer.begin_transaction().unwrap();
    let group = GroupMetadata { group: "h".to_owned() };
    let bad = [(OffsetAndMetadata::from(u64::MAX), ErrorKind::InvalidArgument), (long, ErrorKind::LimitExceeded)];
    for (bad, kind) in bad {
        let offsets = Offsets::from([(place(), bad)]);
        refused(consumer.commit_offsets(&offsets), kind, "");
        refused(transaction.send_offsets(&group, &offsets), kind, "");
    }
    for unknown in [TopicPartition::new("t", 2), TopicPartition::new("u", 0)] {
        let offsets = Offsets::from([(place(), 1.into()), (unknown.clone(), 1.into())]);
        refused(consumer.commit_offsets(&offsets), ErrorKind::UnknownTopicOrPartition, "");
        refused(transaction.send_offsets(&group, &offsets), ErrorKind::UnknownTopicOrPartition, "");
        refused(consumer.committed(&unknown), ErrorKind::UnknownTopicOrPartition, "");
        refused(consumer.bounds(&unknown), ErrorKind::UnknownTopicOrPartition, "");
    }
    let nameless = GroupMetadata { group: String::new() };
    refused(transaction.send_offsets(&nameless, &Offsets::new()), ErrorKind::InvalidArgument, "");
    assert_eq!(transaction.commit().unwrap().lsn, 0, "nothing of all that was taken");
    assert_eq!(consumer.committed(&place()).unwrap(), None);
}

#[test]
fn consumers_without_group_or_assignment_say_what_is_missing() {
    let (_dir, engine) = engine();
    let consumer = engine.consumer(ConsumerOptions::new()).unwrap();
    refused(consumer.poll(Duration::ZERO), ErrorKind::InvalidState, "assign");
    refused(consumer.assign(&[]), ErrorKind::InvalidArgument, "at least one");
    refused(consumer.assign(&[place(), place()]), ErrorKind::InvalidArgument, "t-0");
    refused(consumer.assign(&[TopicPartition::new("u", 0)]), ErrorKind::UnknownTopicOrPartition, "create it");
    refused(consumer.assign(&[TopicPartition::new("t", 7)]), ErrorKind::UnknownTopicOrPartition, "partitions=2");
    refused(consumer.position(&place()), ErrorKind::InvalidState, "assign it first");
    refused(consumer.seek(&place(), 0), ErrorKind::InvalidState, "assign it first");
    refused(consumer.lag(&place()), ErrorKind::InvalidState, "assign it first");
    consumer.assign(&[place()]).unwrap();
    refused(consumer.commit(), ErrorKind::InvalidArgument, "give the consumer a group");
    refused(consumer.commit_offsets(&Offsets::new()), ErrorKind::InvalidArgument, "give the consumer a group");
    refused(consumer.committed(&place()), ErrorKind::InvalidArgument, "give the consumer a group");
    refused(consumer.group_metadata(), ErrorKind::InvalidArgument, "give the consumer a group");
    consumer.rewind().unwrap();
    let producer = engine.transactional_producer("tp", ProducerOptions::new()).unwrap();
    refused(producer.begin_transaction_for(&consumer), ErrorKind::InvalidArgument, "give the consumer a group");
    let idle = engine.consumer(ConsumerOptions::new().group("g")).unwrap();
    refused(producer.begin_transaction_for(&idle), ErrorKind::InvalidState, "assign");
    let (_other_dir, other) = self::engine();
    let foreign = other.consumer(ConsumerOptions::new().group("g")).unwrap();
    foreign.assign(&[place()]).unwrap();
    refused(producer.begin_transaction_for(&foreign), ErrorKind::InvalidArgument, "another engine");
    producer.begin_transaction().unwrap().commit().unwrap();
}

#[test]
fn transactions_refuse_what_they_cannot_hold_and_go_on() {
    let (_dir, engine) = engine();
    let producer = engine.transactional_producer("tp", ProducerOptions::new()).unwrap();
    let mut transaction = producer.begin_transaction().unwrap();
    refused(producer.begin_transaction(), ErrorKind::InvalidTransactionState, "commit or abort");
    refused(transaction.send("u", Record::new(b"")), ErrorKind::UnknownTopicOrPartition, "create it");
    refused(transaction.send("t", Record::new(b"").partition(2)), ErrorKind::UnknownTopicOrPartition, "partitions=2");
    refused(transaction.send("t", Record::new(b"").position(2)), ErrorKind::InvalidArgument, "one position as a whole");
    refused(transaction.send("t", Record::new(b"").timestamp(-2)), ErrorKind::InvalidRecord, "timestamp=-2");
    refused(transaction.send("t", Record::new(&vec![0; 2 << 20])), ErrorKind::RecordTooLarge, "split");
    transaction.send_position(4).unwrap();
    refused(transaction.send_position(4), ErrorKind::InvalidArgument, "last=4");
    transaction.send("t", Record::new(b"good").partition(0)).unwrap();
    transaction.commit().unwrap();
    refused(producer.begin_transaction().unwrap().send_position(3), ErrorKind::InvalidArgument, "last=4");
    assert_eq!((count(&engine), producer.position()), (1, Some(4)));
}

#[test]
fn a_closed_engine_answers_closed_everywhere() {
    let (_dir, engine) = engine();
    fill(&engine, 1);
    let partition = engine.partition("t", 0).unwrap();
    let producer = engine.producer(ProducerOptions::new()).unwrap();
    let named = engine.producer(ProducerOptions::new().name("n")).unwrap();
    let transactional = engine.transactional_producer("tp", ProducerOptions::new()).unwrap();
    let consumer = engine.consumer(ConsumerOptions::new().group("g")).unwrap();
    consumer.assign(&[place()]).unwrap();
    let mut transaction = transactional.begin_transaction_for(&consumer).unwrap();
    transaction.send("t", Record::new(b"never")).unwrap();
    let mut batch = Batch::builder();
    batch.push(&Record::new(b"x"), 1).unwrap();
    let batch = batch.build().unwrap();
    engine.clone().close().unwrap();
    engine.close().unwrap();

    let closed = ErrorKind::Closed;
    refused(engine.create_topic("u", TopicOptions::new()), closed, "open");
    refused(engine.delete_topic("t"), closed, "open");
    refused(engine.add_partitions("t", 3), closed, "open");
    refused(engine.topics(), closed, "open");
    refused(engine.partition("t", 0), closed, "open");
    refused(engine.producer(ProducerOptions::new()), closed, "open");
    refused(engine.transactional_producer("x", ProducerOptions::new()), closed, "open");
    refused(engine.consumer(ConsumerOptions::new()), closed, "open");
    refused(engine.init_producer(None, Duration::ZERO, None), closed, "open");
    refused(engine.delete_producer("n"), closed, "open");
    refused(engine.wait_durable(1), closed, "open");
    refused(engine.flush(), closed, "open");
    refused(engine.drive(), closed, "open");
    refused(partition.append(&batch), closed, "open");
    refused(partition.read(0, ReadOptions::new()), closed, "open");
    refused(producer.send("t", Record::new(b"")), closed, "open");
    refused(producer.send_many("t", &[Record::new(b"")]), closed, "open");
    refused(producer.flush(), closed, "open");
    refused(named.send("t", Record::new(b"").position(1)), closed, "open");
    refused(transactional.begin_transaction(), closed, "open");
    refused(transaction.send("t", Record::new(b"")), closed, "open");
    refused(transaction.send_position(1), closed, "open");
    refused(transaction.commit(), closed, "open");
    refused(consumer.assign(&[place()]), closed, "open");
    refused(consumer.poll(Duration::MAX), closed, "open");
    refused(consumer.seek(&place(), 0), closed, "open");
    refused(consumer.position(&place()), closed, "open");
    refused(consumer.committed(&place()), closed, "open");
    refused(consumer.commit(), closed, "open");
    refused(consumer.rewind(), closed, "open");
    refused(consumer.lag(&place()), closed, "open");
    refused(consumer.bounds(&place()), closed, "open");
}

#[cfg(unix)]
#[test]
fn handles_in_a_forked_child_answer_forked_and_the_parent_goes_on() {
    let (_dir, engine) = engine();
    let partition = engine.partition("t", 0).unwrap();
    let producer = engine.producer(ProducerOptions::new().linger(Duration::from_secs(600))).unwrap();
    let transactional = engine.transactional_producer("tp", ProducerOptions::new()).unwrap();
    let consumer = engine.consumer(ConsumerOptions::new().group("g")).unwrap();
    consumer.assign(&[place()]).unwrap();
    let gathered = producer.send("t", Record::new(b"parent").partition(0)).unwrap();
    let mut transaction = transactional.begin_transaction_for(&consumer).unwrap();
    // SAFETY: the child calls only into this library, which promises to take no lock before it answers, and ends
    // without running anything of the test harness.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let mut answers = vec![
            engine.create_topic("u", TopicOptions::new()).err(),
            engine.topics().err(),
            engine.partition("t", 0).err(),
            engine.flush().err(),
            engine.drive().err(),
            engine.close().err(),
            partition.read(0, ReadOptions::new()).err(),
            producer.send("t", Record::new(b"child")).err(),
            producer.flush().err(),
            transactional.begin_transaction().err(),
            transaction.send("t", Record::new(b"child")).err(),
            transaction.commit().err(),
            consumer.poll(Duration::MAX).err(),
            consumer.commit().err(),
            consumer.lag(&place()).err(),
        ];
        drop(producer);
        answers.push(gathered.wait().err());
        drop((partition, transactional, consumer, engine));
        let wrong = answers.iter().position(|e| e.as_ref().map(|e| e.kind()) != Some(ErrorKind::Forked));
        // SAFETY: ends the child at once; nothing is borrowed from it.
        unsafe { libc::_exit(wrong.map_or(0, |at| at as i32 + 1)) };
    }
    let mut status = 0;
    // SAFETY: waits for the child made above; `status` outlives the call.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    assert!(libc::WIFEXITED(status));
    assert_eq!(libc::WEXITSTATUS(status), 0, "the number of the first call that was not refused, from 1");
    transaction.send("t", Record::new(b"parent").partition(0)).unwrap();
    transaction.commit().unwrap();
    gathered.wait().unwrap();
    assert_eq!(count(&engine), 2);
}

#[test]
fn one_writer_at_a_time_and_readers_write_nothing() {
    let (dir, engine) = engine();
    fill(&engine, 3);
    refused(Engine::open(dir.path()), ErrorKind::Locked, "");
    drop(engine);
    let reader = Engine::options().read_only(true).open(dir.path()).unwrap();
    assert_eq!(reader.partition("t", 0).unwrap().read(0, ReadOptions::new()).unwrap().count(), 3);
    let read_only = ErrorKind::ReadOnly;
    refused(reader.create_topic("u", TopicOptions::new()), read_only, "open it for writing");
    refused(reader.delete_topic("t"), read_only, "open it for writing");
    refused(reader.add_partitions("t", 3), read_only, "open it for writing");
    refused(reader.producer(ProducerOptions::new()), read_only, "open it for writing");
    refused(reader.transactional_producer("x", ProducerOptions::new()), read_only, "open it for writing");
    refused(reader.init_producer(None, Duration::ZERO, None), read_only, "open it for writing");
    refused(reader.delete_producer("n"), read_only, "open it for writing");
    let consumer = reader.consumer(ConsumerOptions::new().group("g")).unwrap();
    consumer.assign(&[place()]).unwrap();
    assert_eq!(consumer.poll(Duration::MAX).unwrap().count(), 3);
    refused(consumer.commit(), read_only, "open it for writing");
    assert_eq!(consumer.committed(&place()).unwrap(), None);
}

/// The log again, in a directory of its own, with one change.
fn changed(dir: &Path, change: impl FnOnce(&Path)) -> (tempfile::TempDir, Result<Engine>) {
    let copy = tempfile::tempdir().unwrap();
    for file in fs::read_dir(dir).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
    }
    change(copy.path());
    let opened = EngineOptions::default().open(copy.path());
    (copy, opened)
}

fn segments(dir: &Path) -> Vec<std::path::PathBuf> {
    let files = fs::read_dir(dir).unwrap().map(|file| file.unwrap().path());
    let mut found: Vec<_> = files.filter(|path| path.extension().is_some_and(|e| e == "seg")).collect();
    found.sort();
    found
}

#[test]
fn directories_of_a_newer_version_damaged_or_cut_ones_are_refused_or_say_what_is_lost() {
    let (dir, engine) = engine();
    fill(&engine, 100);
    drop(engine);
    let id = |dir: &Path| dir.join("oncelog.id");
    let newer = changed(dir.path(), |dir| {
        let mut bytes = fs::read(id(dir)).unwrap();
        bytes[12..16].copy_from_slice(&99u32.to_le_bytes());
        let sum = crc32c::crc32c_append(crc32c::crc32c(&bytes[..8]), &bytes[12..128]);
        bytes[8..12].copy_from_slice(&sum.to_le_bytes());
        fs::write(id(dir), bytes).unwrap();
    });
    refused(newer.1, ErrorKind::UnsupportedVersion, "");
    let garbled = changed(dir.path(), |dir| fs::write(id(dir), [7; 128]).unwrap());
    refused(garbled.1, ErrorKind::Corrupt, "");
    let missing = changed(dir.path(), |dir| fs::remove_file(id(dir)).unwrap());
    refused(missing.1, ErrorKind::Corrupt, "");
    let bare = changed(dir.path(), |dir| segments(dir).iter().for_each(|path| fs::remove_file(path).unwrap()));
    refused(bare.1, ErrorKind::Corrupt, "");
    // A hint more or less changes nothing.
    let (_copy, opened) = changed(dir.path(), |dir| fs::remove_file(dir.join("head")).unwrap());
    assert_eq!(count(&opened.unwrap()), 100);
    // Cut anywhere, whatever opens gives a prefix or says what is damaged.
    let first = fs::metadata(&segments(dir.path())[0]).unwrap().len();
    for len in (0..first).step_by(3_571) {
        let (_copy, opened) = changed(dir.path(), |dir| {
            fs::File::options().write(true).open(&segments(dir)[0]).unwrap().set_len(len).unwrap();
        });
        match opened {
            Ok(engine) => assert!(engine.partition("t", 0).map_or(0, |p| p.bounds().end) <= 100, "cut at {len}"),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Corrupt, "cut at {len}: {error}"),
        }
    }
    let file = dir.path().join("oncelog.id");
    refused(Engine::open(&file), ErrorKind::InvalidArgument, "directory");
    let nowhere = dir.path().join("nowhere");
    refused(Engine::options().create(false).open(&nowhere), ErrorKind::InvalidArgument, "create");
    refused(Engine::options().read_only(true).open(&nowhere), ErrorKind::InvalidArgument, "create");
    assert!(!nowhere.exists());
}
