//! Producers without a name: batches, partitions, tickets, levels, closing.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use base64::Engine as _;
use oncelog::{
    AppendOptions, Batch, Durability, Engine, ErrorKind, ProducerOptions, ReadOptions, Record, TopicOptions,
};

use crate::{LONG, consumer, content, engine, slow, values};

#[test]
fn a_batch_is_closed_when_it_is_full_or_when_somebody_waits() {
    let (_dir, engine) = engine(&[("t", 1)]);
    let producer = engine.producer(ProducerOptions::new().linger(LONG).batch_bytes(400)).unwrap();
    let tickets: Vec<_> = (0..10).map(|_| producer.send("t", Record::new(&[b'x'; 100])).unwrap()).collect();
    let lsns: Vec<u64> = tickets.into_iter().map(|mut ticket| ticket.lsn().unwrap()).collect();
    // 61 bytes of header and 109 of each record: three fit, and what stood open went with the first who asked.
    assert_eq!(lsns.iter().collect::<BTreeSet<_>>().len(), 4, "{lsns:?}");
    assert!(lsns.chunks(3).all(|batch| batch.iter().all(|lsn| *lsn == batch[0])), "{lsns:?}");

    let first = producer.send("t", Record::new(b"a")).unwrap();
    let second = producer.send("t", Record::new(b"b")).unwrap();
    let (first, second) = (first.wait().unwrap(), second.wait().unwrap());
    assert_eq!((first.first, second.first), (10, 11));
    assert_eq!(first.lsn, second.lsn, "whoever waits takes along what was gathered before");
    let third = producer.send("t", Record::new(b"c")).unwrap().wait().unwrap();
    assert_ne!(third.lsn, second.lsn);
}

#[test]
fn a_record_that_no_batch_shares_goes_alone_and_a_linger_of_zero_gathers_nothing() {
    let (_dir, engine) = engine(&[("t", 1)]);
    let producer = slow(&engine);
    let small = producer.send("t", Record::new(b"small")).unwrap();
    let large = producer.send("t", Record::new(&[0; 100_000])).unwrap();
    assert_ne!(small.wait().unwrap().lsn, large.wait().unwrap().lsn);

    let hasty = engine.producer(ProducerOptions::new().linger(Duration::ZERO)).unwrap();
    let mut first = hasty.send("t", Record::new(b"1")).unwrap();
    let mut second = hasty.send("t", Record::new(b"2")).unwrap();
    assert_ne!(first.lsn(), second.lsn());
}

#[test]
fn a_lingering_batch_is_closed_by_the_keeper() {
    let (_dir, engine) = engine(&[("t", 1)]);
    let reader = consumer(&engine, "g", &[("t", 0)]);
    let producer = engine.producer(ProducerOptions::new()).unwrap();
    producer.send("t", Record::new(b"nobody waits")).unwrap().detach();
    assert_eq!(values(&reader.poll(LONG).unwrap()), ["nobody waits"]);
}

#[test]
fn keys_go_where_kafka_s_partitioner_sends_them() {
    let (_dir, engine) = engine(&[("three", 3), ("seven", 7), ("hundred", 100)]);
    let producer = slow(&engine);
    for line in include_str!("../data/murmur2.jsonl").lines() {
        let case: serde_json::Value = serde_json::from_str(line).unwrap();
        let key = base64::engine::general_purpose::STANDARD.decode(case["key_b64"].as_str().unwrap()).unwrap();
        for (topic, field) in [("three", "p3"), ("seven", "p7"), ("hundred", "p100")] {
            let sent = producer.send(topic, Record::new(b"").key(&key)).unwrap();
            let expected = case[field].as_u64().unwrap();
            assert_eq!(u64::from(sent.wait().unwrap().partition), expected, "{topic} {line}");
        }
    }
}

#[test]
fn a_partition_that_is_named_beats_the_key() {
    let (_dir, engine) = engine(&[("t", 7)]);
    let producer = slow(&engine);
    for partition in 0..7 {
        let sent = producer.send("t", Record::new(b"").key(b"same").partition(partition)).unwrap();
        assert_eq!(sent.wait().unwrap().partition, partition);
    }
}

#[test]
fn records_without_a_key_stay_with_a_partition_until_their_batch_is_closed() {
    let (_dir, engine) = engine(&[("t", 5)]);
    let producer = slow(&engine);
    let mut last = None;
    let mut seen = BTreeSet::new();
    for _ in 0..60 {
        let records = [Record::new(b"1"), Record::new(b"2"), Record::new(b"3")];
        let sent = producer.send_many("t", &records).unwrap().wait().unwrap();
        assert!(sent.iter().all(|s| s.partition == sent[0].partition && s.lsn == sent[0].lsn), "one batch, one place");
        assert_ne!(last, Some(sent[0].partition), "the next batch goes elsewhere");
        last = Some(sent[0].partition);
        seen.insert(sent[0].partition);
    }
    assert_eq!(seen.len(), 5, "all partitions get their share");
}

#[test]
fn many_records_of_one_call_keep_their_order_and_are_answered_one_by_one() {
    let (_dir, engine) = engine(&[("t", 3)]);
    let producer = engine.producer(ProducerOptions::new().linger(LONG).batch_bytes(300)).unwrap();
    let texts: Vec<String> = (0..200).map(|i| format!("{i:04}")).collect();
    let records: Vec<_> = texts.iter().map(|text| Record::new(text.as_bytes()).key(&text.as_bytes()[3..])).collect();
    let answers = producer.send_many("t", &records).unwrap().wait().unwrap();
    for partition in 0..3 {
        let expected: Vec<_> = texts.iter().zip(&answers).filter(|(_, a)| a.partition == partition).collect();
        let found = content(&engine, "t", partition);
        assert_eq!(found, expected.iter().map(|(text, _)| text.as_str()).collect::<Vec<_>>());
        assert!(expected.iter().enumerate().all(|(i, (_, answer))| answer.first == i as u64));
    }
    let mut none = producer.send_many("t", [] as [Record<'_>; 0]).unwrap();
    assert_eq!((none.lsn(), none.wait().unwrap()), (None, vec![]));
}

#[test]
fn many_records_of_one_call_hear_from_their_ticket_that_their_topic_was_deleted_meanwhile() {
    let (_dir, engine) = engine(&[("t", 1)]);
    let producer = engine.producer(ProducerOptions::new().linger(LONG)).unwrap();
    let records = (0..4).map(|n| {
        if n == 2 {
            engine.delete_topic("t").unwrap();
        }
        Record::new(b"x").partition(0)
    });
    let error = producer.send_many("t", records).unwrap().wait().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnknownTopicOrPartition);
    let error = producer.send("t", Record::new(b"x")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnknownTopicOrPartition, "the next call looks again");
}

#[test]
fn tickets_call_back_and_complete_as_futures() {
    let (_dir, engine) = engine(&[("t", 1)]);
    let producer = engine.producer(ProducerOptions::new().linger(Duration::from_millis(1))).unwrap();
    let (tell, hear) = mpsc::channel();
    for i in 0..10u8 {
        let tell = tell.clone();
        producer
            .send("t", Record::new(&[i]))
            .unwrap()
            .on_done(move |done| tell.send((i, done.unwrap().first)).unwrap());
    }
    let many = producer.send_many("t", &[Record::new(b"x"), Record::new(b"y")]).unwrap();
    let all = tell.clone();
    many.on_done(move |done| all.send((99, done.unwrap()[1].first)).unwrap());
    let mut heard: Vec<_> = (0..11).map(|_| hear.recv_timeout(LONG).unwrap()).collect();
    heard.sort_unstable();
    assert_eq!(heard, (0..10).map(|i| (i, u64::from(i))).chain([(99, 11)]).collect::<Vec<_>>());

    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Arc::new(Unpark(std::thread::current())).into();
    let mut ticket = Box::pin(producer.send("t", Record::new(b"awaited")).unwrap());
    let appended = loop {
        match ticket.as_mut().poll(&mut std::task::Context::from_waker(&waker)) {
            std::task::Poll::Ready(done) => break done.unwrap(),
            std::task::Poll::Pending => std::thread::park_timeout(LONG),
        }
    };
    assert_eq!(appended.first, 12);
    let mut patient = producer.send("t", Record::new(b"timed")).unwrap();
    assert_eq!(patient.wait_for(LONG).unwrap().unwrap().first, 13);
}

#[test]
fn what_is_gathered_is_kept_when_the_producer_goes_and_when_the_engine_closes() {
    let (dir, engine) = engine(&[("t", 1)]);
    let dropped = slow(&engine);
    dropped.send("t", Record::new(b"dropped")).unwrap().detach();
    drop(dropped);
    let open = slow(&engine);
    open.send("t", Record::new(b"closed")).unwrap().detach();
    engine.close().unwrap();
    assert_eq!(open.send("t", Record::new(b"late")).err().unwrap().kind(), ErrorKind::Closed);
    let engine = Engine::open(dir.path()).unwrap();
    assert_eq!(content(&engine, "t", 0), ["dropped", "closed"]);
}

#[test]
fn the_last_handle_that_goes_closes_the_log() {
    let (dir, engine) = engine(&[("t", 1)]);
    let producer = slow(&engine);
    let partition = engine.partition("t", 0).unwrap();
    drop(engine);
    producer.send("t", Record::new(b"still open")).unwrap().wait().unwrap();
    assert_eq!(Engine::open(dir.path()).err().unwrap().kind(), ErrorKind::Locked);
    drop(producer);
    assert_eq!(partition.read(0, ReadOptions::new()).unwrap().count(), 1);
    drop(partition);
    assert_eq!(content(&Engine::open(dir.path()).unwrap(), "t", 0), ["still open"]);
}

#[test]
fn an_append_at_its_own_level_is_acknowledged_by_it_and_seen_by_the_topic_s() {
    let (_dir, engine) = engine(&[("disk", 1)]);
    engine.create_topic("os", TopicOptions::new().durability(Durability::Os)).unwrap();
    let batch = || {
        let mut batch = Batch::builder();
        batch.push(&Record::new(b"x"), 1).unwrap();
        batch.build().unwrap()
    };
    let os = AppendOptions::new().durability(Durability::Os);
    let topic = engine.partition("os", 0).unwrap();
    topic.append(&batch()).unwrap().wait().unwrap();
    assert_eq!(topic.bounds().end, 1, "visible when it is written");
    let topic = engine.partition("disk", 0).unwrap();
    let appended = topic.append_with(&batch(), os).unwrap().wait().unwrap();
    engine.wait_durable(appended.lsn).unwrap();
    assert_eq!(topic.bounds().end, 1, "visible when it is flushed");
}

#[test]
fn threads_share_a_producer_and_every_record_arrives_once_in_its_order() {
    let (_dir, engine) = engine(&[("t", 2)]);
    let producer = Arc::new(engine.producer(ProducerOptions::new().batch_bytes(500)).unwrap());
    std::thread::scope(|scope| {
        for thread in 0..4u32 {
            let producer = producer.clone();
            scope.spawn(move || {
                for i in 0..500u32 {
                    let text = format!("{thread} {i}");
                    let ticket = producer.send("t", Record::new(text.as_bytes()).partition(thread % 2)).unwrap();
                    match i % 50 {
                        0 => assert!(!ticket.wait().unwrap().duplicate),
                        _ => ticket.detach(),
                    }
                }
            });
        }
    });
    producer.flush().unwrap();
    let mut next = [0; 4];
    for text in (0..2).flat_map(|partition| content(&engine, "t", partition)) {
        let (thread, i) = text.split_once(' ').unwrap();
        let (thread, i): (usize, u32) = (thread.parse().unwrap(), i.parse().unwrap());
        assert_eq!(next[thread], i);
        next[thread] += 1;
    }
    assert_eq!(next, [500; 4]);
}
