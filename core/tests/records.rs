//! Records in full, through the engine: compression, headers, null and empty, timestamps of sender and log, look-ups by
//! time.
#![cfg(all(feature = "gzip", feature = "snappy", feature = "lz4", feature = "zstd"))]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::time::Duration;

use oncelog::{
    Batch, BatchBuilder, Compression, ConsumerOptions, Durability, Engine, EngineOptions, ErrorKind, Header, Isolation,
    Offset, Partition, ProducerOptions, ReadOptions, Record, Timestamp, TimestampType, TopicOptions, TopicPartition,
};

const CODECS: [Compression; 4] = [Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];
const EMPTY: &[u8] = b"";

fn options() -> EngineOptions {
    Engine::options().segment_bytes(64 << 10).durability(Durability::Os)
}

/// A record as it was sent or read.
#[derive(Clone, Debug, PartialEq)]
struct Owned {
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(String, Option<Vec<u8>>)>,
    timestamp: Timestamp,
}

/// Every combination of null, empty and some for key and value, headers of every kind, and values that compress.
fn samples(rounds: i64) -> Vec<Owned> {
    let bytes = |n: i64, of: &str| match n % 3 {
        0 => None,
        1 => Some(Vec::new()),
        _ => Some(of.repeat(40).into_bytes()),
    };
    let sample = |n: i64| Owned {
        key: bytes(n, "key"),
        value: bytes(n / 3, "value of some length"),
        headers: match n % 4 {
            0 => vec![],
            1 => vec![("h".into(), None), ("h".into(), Some(vec![])), (String::new(), Some(b"x".to_vec()))],
            _ => vec![("tr\u{e4}ce".into(), Some(vec![0, 255])); (n % 7) as usize],
        },
        timestamp: 1_000 + n * 7 % 50,
    };
    (0..rounds).map(sample).collect()
}

fn borrowed(owned: &Owned) -> Vec<Header<'_>> {
    owned.headers.iter().map(|(key, value)| Header { key, value: value.as_deref() }).collect()
}

fn record<'a>(owned: &'a Owned, headers: &'a [Header<'a>]) -> Record<'a> {
    let mut record = Record::default().headers(headers).timestamp(owned.timestamp).partition(0);
    (record.key, record.value) = (owned.key.as_deref(), owned.value.as_deref());
    record
}

fn all(partition: &Partition) -> Vec<Owned> {
    let (mut at, mut read) = (0, Vec::new());
    while at < partition.bounds().end {
        let records = partition.read(at, ReadOptions::new().max_bytes(20_000)).unwrap();
        for record in &records {
            let record = record.unwrap();
            assert_eq!(record.offset(), read.len() as u64);
            let headers = record.headers().map(|header| {
                let header = header.unwrap();
                (header.key.to_owned(), header.value.map(<[u8]>::to_vec))
            });
            read.push(Owned {
                key: record.key().map(<[u8]>::to_vec),
                value: record.value().map(<[u8]>::to_vec),
                headers: headers.collect(),
                timestamp: record.timestamp(),
            });
        }
        at = records.next_offset(partition.topic(), partition.number()).unwrap();
    }
    read
}

fn bytes_of(partition: &Partition) -> usize {
    partition.read(0, ReadOptions::new().max_bytes(32 << 20)).unwrap().bytes()
}

/// Sends samples by all kinds of producers and as a raw batch; answers what was sent, in order.
fn send_all_ways(engine: &Engine, topic: &str, compression: Compression, samples: &[Owned]) -> Vec<Owned> {
    // One batch each, so that the order is known.
    let options =
        || ProducerOptions::new().compression(compression).linger(Duration::from_secs(60)).batch_bytes(1 << 20);
    let plain = engine.producer(options()).unwrap();
    let named = engine.producer(options().name(format!("named {topic}"))).unwrap();
    let transactional = engine.transactional_producer(&format!("tx {topic}"), options()).unwrap();
    let mut transaction = transactional.begin_transaction().unwrap();
    let mut batch = BatchBuilder::new();
    batch.compression(compression);
    for (owned, position) in samples.iter().zip(0..) {
        let headers = borrowed(owned);
        let record = record(owned, &headers);
        plain.send(topic, record).unwrap().detach();
        named.send(topic, record.position(position)).unwrap().detach();
        transaction.send(topic, record).unwrap();
        batch.push(&record, 0).unwrap();
    }
    plain.flush().unwrap();
    named.flush().unwrap();
    transaction.commit().unwrap();
    // As another client would send it: by its bytes.
    let batch = Batch::from_bytes(batch.build().unwrap().as_bytes()).unwrap();
    engine.partition(topic, 0).unwrap().append(&batch).unwrap().wait().unwrap();
    std::iter::repeat_n(samples, 4).flatten().cloned().collect()
}

#[test]
fn whatever_was_compressed_is_read_as_it_was_sent_by_every_reader_in_every_life() {
    let dir = tempfile::tempdir().unwrap();
    let samples = samples(200);
    let mut sent = Vec::new();
    let mut plain = 0;
    for life in 0..3 {
        let engine = options().open(dir.path()).unwrap();
        for codec in [Compression::None].into_iter().chain(CODECS).filter(|_| life == 0) {
            let topic = codec.name();
            engine.create_topic(topic, TopicOptions::new()).unwrap();
            sent = send_all_ways(&engine, topic, codec, &samples);
        }
        for codec in [Compression::None].into_iter().chain(CODECS) {
            let partition = engine.partition(codec.name(), 0).unwrap();
            assert_eq!(all(&partition), sent, "{codec:?} in life {life}");
            match codec {
                Compression::None => plain = bytes_of(&partition),
                _ => assert!(bytes_of(&partition) < plain / 4, "{codec:?}: {} of {plain}", bytes_of(&partition)),
            }
            let consumer = engine.consumer(ConsumerOptions::new().max_records(70)).unwrap();
            consumer.assign(&[TopicPartition::new(codec.name(), 0)]).unwrap();
            let mut polled = 0;
            while polled < sent.len() {
                let records = consumer.poll(Duration::ZERO).unwrap();
                for record in &records {
                    assert_eq!(record.unwrap().value(), sent[polled].value.as_deref());
                    polled += 1;
                }
            }
        }
        engine.close().unwrap();
    }
}

#[test]
fn a_read_may_begin_and_end_inside_a_compressed_batch() {
    let dir = tempfile::tempdir().unwrap();
    let engine = options().open(dir.path()).unwrap();
    engine.create_topic("t", TopicOptions::new()).unwrap();
    let mut batch = BatchBuilder::new();
    batch.compression(Compression::Zstd);
    (0..100).for_each(|n| batch.push(&Record::new(format!("{n:09}").as_bytes()), n).unwrap());
    let partition = engine.partition("t", 0).unwrap();
    partition.append(&batch.build().unwrap()).unwrap().wait().unwrap();
    let records = partition.read(37, ReadOptions::new().max_bytes(1)).unwrap();
    assert_eq!(
        records.iter().map(|record| record.unwrap().offset()).collect::<Vec<_>>(),
        (37..100).collect::<Vec<_>>()
    );
    // What was unpacked stays where it is, however often it is walked.
    let first = |records: &oncelog::Records| records.iter().next().unwrap().unwrap().value().unwrap().as_ptr();
    assert_eq!(first(&records), first(&records));
}

#[test]
fn a_topic_with_append_time_gives_every_record_the_logs_time_whoever_sent_it_in_every_life() {
    let dir = tempfile::tempdir().unwrap();
    // The engine's clock is as of the system's last tick.
    let began = now() - TICK;
    let samples = samples(30);
    let mut before = Vec::new();
    for life in 0..3u64 {
        let engine = options().open(dir.path()).unwrap();
        if life == 0 {
            let append_time = TopicOptions::new().timestamp_type(TimestampType::LogAppendTime);
            engine.create_topic("log", append_time).unwrap();
            engine.create_topic("gone", TopicOptions::new().timestamp_type(TimestampType::LogAppendTime)).unwrap();
            engine.delete_topic("gone").unwrap();
            engine.create_topic("gone", TopicOptions::new()).unwrap();
        }
        let types: Vec<_> = engine.topics().unwrap().into_iter().map(|t| (t.name, t.timestamp_type)).collect();
        let expected = [("gone".to_owned(), TimestampType::CreateTime), ("log".into(), TimestampType::LogAppendTime)];
        assert_eq!(types, expected, "life {life}");
        let partition = engine.partition("log", 0).unwrap();
        let read = all(&partition);
        assert_eq!(read[..before.len()], before[..]);
        let codec = [Compression::None, Compression::Lz4, Compression::None][life as usize];
        let sent = send_all_ways(&engine, "log", codec, &samples);
        let read = all(&partition);
        for (read, sent) in read[before.len()..].iter().zip(&sent) {
            assert!((began..=now()).contains(&read.timestamp), "{}", read.timestamp);
            assert_eq!(*read, Owned { timestamp: read.timestamp, ..sent.clone() });
        }
        before = read;
        engine.close().unwrap();
    }
}

/// Milliseconds between two ticks, at most.
const TICK: Timestamp = 10;

fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    since.as_millis() as Timestamp
}

#[test]
fn an_append_answers_the_time_that_its_records_have() {
    let dir = tempfile::tempdir().unwrap();
    let engine = options().open(dir.path()).unwrap();
    engine.create_topic("log", TopicOptions::new().timestamp_type(TimestampType::LogAppendTime)).unwrap();
    engine.create_topic("sender", TopicOptions::new()).unwrap();
    let time_of = |topic: &str, offset: Offset| {
        let records = engine.partition(topic, 0).unwrap().read(offset, ReadOptions::new()).unwrap();
        records.iter().next().unwrap().unwrap().timestamp()
    };
    let named = engine.producer(ProducerOptions::new().name("n")).unwrap();
    let plain = engine.producer(ProducerOptions::new()).unwrap();
    for (topic, own) in [("log", false), ("sender", true)] {
        let position = u64::from(own);
        for ticket in [
            plain.send(topic, Record::new(b"v").timestamp(77)),
            named.send(topic, Record::new(b"v").timestamp(77).position(position)),
        ] {
            let appended = ticket.unwrap().wait().unwrap();
            assert_eq!(appended.timestamp == 77, own);
            assert_eq!(appended.timestamp, time_of(topic, appended.first));
        }
    }
    // A repeated raw batch hears the time of the first append.
    let identity = engine.init_producer(None, Duration::ZERO, None).unwrap();
    let mut builder = Batch::builder();
    builder.producer(identity, 0).push(&Record::new(b"raw"), 77).unwrap();
    let batch = builder.build().unwrap();
    let log = engine.partition("log", 0).unwrap();
    let first = log.append(&batch).unwrap().wait().unwrap();
    let started = now();
    while now() <= started + TICK {
        std::thread::yield_now();
    }
    let again = log.append(&batch).unwrap().wait().unwrap();
    assert!(again.duplicate && again.timestamp == first.timestamp && first.timestamp != 77);
    assert_eq!(time_of("log", first.first), first.timestamp);
}

#[test]
fn the_append_time_bit_of_a_sender_is_cleared_or_refused_as_kafka_does() {
    let dir = tempfile::tempdir().unwrap();
    let engine = options().open(dir.path()).unwrap();
    engine.create_topic("log", TopicOptions::new().timestamp_type(TimestampType::LogAppendTime)).unwrap();
    engine.create_topic("sender", TopicOptions::new()).unwrap();
    let mut builder = Batch::builder();
    builder.push(&Record::new(b"v"), 77).unwrap();
    let mut bytes = builder.build().unwrap().as_bytes().to_vec();
    bytes[22] |= 8;
    let crc = crc32c::crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    let batch = Batch::from_bytes(&bytes).unwrap();
    let refused = engine.partition("log", 0).unwrap().append(&batch).map(|_| ()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidRecord);
    assert!(refused.message().contains("LogAppendTime"), "{refused}");
    let sender = engine.partition("sender", 0).unwrap();
    assert_eq!(sender.append(&batch).unwrap().wait().unwrap().timestamp, 77);
    assert_eq!(all(&sender)[0].timestamp, 77);
}

/// What a look-up must answer, by reading everything.
fn by_scan(records: &[Owned], timestamp: Timestamp) -> Option<Offset> {
    records.iter().position(|record| record.timestamp >= timestamp).map(|at| at as u64)
}

/// A log of many segments with timestamps that mostly grow: two partitions, transactions and compressed batches.
fn write_times(engine: &Engine, rounds: i64) {
    let plain = engine.producer(ProducerOptions::new().batch_bytes(900)).unwrap();
    let zipped = engine.producer(ProducerOptions::new().compression(Compression::Lz4).batch_bytes(2_000)).unwrap();
    let transactional = engine.transactional_producer("tx", ProducerOptions::new()).unwrap();
    for round in 0..rounds {
        let mut transaction = transactional.begin_transaction().unwrap();
        for n in 0..40 {
            let value = vec![b'v'; 60];
            // Jumps back and forth by some dozens, and once in a while far ahead.
            let jump = if n == 7 && round % 90 == 5 { 5_000 } else { 0 };
            let timestamp = round * 100 + (n * 37 % 83) + jump;
            let record = Record::new(&value).timestamp(timestamp).partition(u32::from(n % 3 == 0));
            match n % 4 {
                0 => transaction.send("t", record).unwrap(),
                1 => zipped.send("t", record).unwrap().detach(),
                _ => plain.send("t", record).unwrap().detach(),
            }
        }
        transaction.commit().unwrap();
    }
    engine.flush().unwrap();
}

fn check_look_ups(partition: &Partition) {
    let records = all(partition);
    let greatest = records.iter().map(|record| record.timestamp).max().unwrap();
    for timestamp in (0..greatest + 3).step_by(61).chain([0, greatest - 1, greatest, greatest + 1, Timestamp::MAX]) {
        assert_eq!(partition.offset_at(timestamp).unwrap(), by_scan(&records, timestamp), "at {timestamp}");
    }
    assert_eq!(partition.max_timestamp().unwrap(), by_scan(&records, greatest).map(|offset| (offset, greatest)));
}

#[test]
fn look_ups_by_time_answer_what_reading_everything_answers() {
    let dir = tempfile::tempdir().unwrap();
    for life in 0..3 {
        let engine = options().open(dir.path()).unwrap();
        if life == 0 {
            engine.create_topic("t", TopicOptions::new().partitions(3)).unwrap();
        }
        write_times(&engine, 150);
        (0..2).for_each(|number| check_look_ups(&engine.partition("t", number).unwrap()));
        let empty = engine.partition("t", 2).unwrap();
        assert_eq!((empty.offset_at(0).unwrap(), empty.max_timestamp().unwrap()), (None, None));
        engine.close().unwrap();
    }
    let segments = std::fs::read_dir(dir.path()).unwrap();
    let count = segments.filter(|file| file.as_ref().unwrap().path().extension().is_some_and(|e| e == "seg")).count();
    assert!(count > 15, "{count} segments");
    let engine = options().read_only(true).open(dir.path()).unwrap();
    (0..2).for_each(|number| check_look_ups(&engine.partition("t", number).unwrap()));
}

#[test]
fn a_look_up_knows_no_negative_time_no_record_without_a_time_and_no_deleted_topic() {
    let dir = tempfile::tempdir().unwrap();
    let engine = options().open(dir.path()).unwrap();
    engine.create_topic("t", TopicOptions::new()).unwrap();
    let partition = engine.partition("t", 0).unwrap();
    let producer = engine.producer(ProducerOptions::new()).unwrap();
    producer.send("t", Record::new(EMPTY).timestamp(-1)).unwrap().wait().unwrap();
    assert_eq!((partition.offset_at(0).unwrap(), partition.max_timestamp().unwrap()), (None, None));
    producer.send("t", Record::new(EMPTY).timestamp(0)).unwrap().wait().unwrap();
    assert_eq!((partition.offset_at(0).unwrap(), partition.max_timestamp().unwrap()), (Some(1), Some((1, 0))));
    assert_eq!(partition.offset_at(-1).unwrap_err().kind(), ErrorKind::InvalidArgument);
    engine.delete_topic("t").unwrap();
    assert_eq!(partition.offset_at(0).unwrap_err().kind(), ErrorKind::UnknownTopicOrPartition);
    assert_eq!(partition.max_timestamp().unwrap_err().kind(), ErrorKind::UnknownTopicOrPartition);
}

#[test]
fn both_isolations_see_compressed_records_of_transactions() {
    let dir = tempfile::tempdir().unwrap();
    let engine = options().open(dir.path()).unwrap();
    engine.create_topic("t", TopicOptions::new()).unwrap();
    let options = ProducerOptions::new().compression(Compression::Snappy);
    let mut transaction = engine.transactional_producer("tx", options).unwrap().begin_transaction().unwrap();
    (0..50).for_each(|_| transaction.send("t", Record::new(&[1; 100])).unwrap());
    transaction.commit().unwrap();
    for isolation in [Isolation::ReadCommitted, Isolation::ReadUncommitted] {
        let records = engine.partition("t", 0).unwrap().read(0, ReadOptions::new().isolation(isolation)).unwrap();
        assert!(records.bytes() < 1_000);
        assert!(records.iter().all(|record| record.unwrap().value() == Some(&[1; 100])));
        assert_eq!(records.count(), 50);
    }
}
