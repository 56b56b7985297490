//! Sending without waiting: what finds no room is not sent, and nothing that was sent is lost.

use std::time::Duration;

use oncelog::sim::{Call, Fault, World};
use oncelog::{Engine, ErrorKind, ProducerOptions, ReadOptions, Record, TopicOptions};

/// Small segments and no keeper: the second roll finds no room before somebody flushes.
fn crowded(world: &World) -> Engine {
    let engine = Engine::options().threads(false).segment_bytes(64 << 10).open_on(world.machine()).unwrap();
    engine.create_topic("t", TopicOptions::new()).unwrap();
    engine
}

fn values(engine: &Engine) -> Vec<u64> {
    let partition = engine.partition("t", 0).unwrap();
    let (mut all, mut next) = (Vec::new(), 0);
    while next < partition.bounds().end {
        for view in &partition.read(next, ReadOptions::new()).unwrap() {
            let view = view.unwrap();
            all.push(u64::from_le_bytes(view.value().unwrap()[..8].try_into().unwrap()));
            next = view.offset() + 1;
        }
    }
    all
}

/// Sends numbered records without waiting, and flushes whenever there is no room; returns how often there was none.
fn send_all(engine: &Engine, options: ProducerOptions, named: bool) -> usize {
    let producer = engine.producer(options).unwrap();
    let mut refused = 0;
    for n in 0..400_u64 {
        let mut value = vec![b'x'; 1_000];
        value[..8].copy_from_slice(&n.to_le_bytes());
        let record = if named { Record::new(&value).position(n) } else { Record::new(&value) };
        loop {
            match producer.try_send("t", record).unwrap() {
                Some(ticket) => break ticket.detach(),
                None => {
                    assert!(!engine.has_room(16 << 10), "record {n} found no room, and there is some");
                    refused += 1;
                    engine.flush().unwrap();
                }
            }
        }
    }
    producer.flush().unwrap();
    refused
}

#[test]
fn a_send_that_may_not_wait_sends_nothing_where_there_is_no_room() {
    for (named, linger) in [(false, 5), (true, 5), (false, 0), (true, 0)] {
        let engine = crowded(&World::new(1));
        let options = ProducerOptions::new().linger(Duration::from_millis(linger));
        let options = if named { options.name("loader") } else { options };
        let refused = send_all(&engine, options, named);
        assert!(refused > 0, "named {named}, linger {linger}: there was always room");
        assert_eq!(values(&engine), (0..400).collect::<Vec<_>>(), "named {named}, linger {linger}");
    }
}

#[test]
fn many_records_are_sent_as_far_as_there_is_room_and_the_rest_can_follow() {
    for named in [false, true] {
        let engine = crowded(&World::new(3));
        let options = if named { ProducerOptions::new().name("loader") } else { ProducerOptions::new() };
        let producer = engine.producer(options).unwrap();
        let made: Vec<Vec<u8>> = (0..400_u64).map(|n| [&n.to_le_bytes()[..], &[b'x'; 1_000]].concat()).collect();
        let position = |n: usize, record| if named { Record::position(record, n as u64) } else { record };
        let records: Vec<Record<'_>> = made.iter().enumerate().map(|(n, v)| position(n, Record::new(v))).collect();
        let (mut sent, mut answers, mut stops) = (0, Vec::new(), 0);
        while sent < records.len() {
            let come = producer.try_send_many("t", &records[sent..]).unwrap();
            assert!(come.refused.is_none());
            sent += come.sent;
            stops += usize::from(sent < records.len());
            answers.extend(come.ticket.wait().unwrap());
            engine.flush().unwrap();
        }
        assert!(stops > 0, "named {named}: there was always room");
        assert!(answers.iter().map(|a| a.first).eq(0..400), "named {named}");
        assert_eq!(values(&engine), (0..400).collect::<Vec<_>>(), "named {named}");
    }
}

#[test]
fn of_many_records_those_before_a_refused_one_are_sent_and_it_is_named() {
    let engine = crowded(&World::new(4));
    let producer = engine.producer(ProducerOptions::new()).unwrap();
    let records = [Record::new(b"12345678"), Record::new(b"12345678").partition(7), Record::new(b"12345678")];
    let come = producer.try_send_many("t", &records).unwrap();
    assert_eq!((come.sent, come.refused.unwrap().kind()), (1, ErrorKind::UnknownTopicOrPartition));
    assert_eq!(come.ticket.wait().unwrap().len(), 1);
    assert_eq!(values(&engine).len(), 1);
}

#[test]
fn a_send_that_may_not_wait_answers_errors_as_any_send_does() {
    let engine = crowded(&World::new(2));
    let producer = engine.producer(ProducerOptions::new()).unwrap();
    let error = producer.try_send("nowhere", Record::new(b"x")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnknownTopicOrPartition);
    let large = vec![0; 2 << 20];
    assert_eq!(producer.try_send("t", Record::new(&large)).unwrap_err().kind(), ErrorKind::RecordTooLarge);
    engine.close().unwrap();
    assert_eq!(producer.try_send("t", Record::new(b"x")).unwrap_err().kind(), ErrorKind::Closed);
}

#[test]
fn room_for_more_than_a_segment_holds_is_made_for_who_comes_again() {
    let engine = crowded(&World::new(5));
    let large = 300 << 10;
    assert!(!engine.has_room(large), "the first segments are smaller");
    engine.drive().unwrap();
    assert!(engine.has_room(large));
    // Nobody can write that: it is refused at once, and no file is made for it.
    for too_much in [1 << 30, usize::MAX - 100, usize::MAX] {
        assert!(engine.has_room(too_much));
        assert_eq!(engine.await_room(too_much).unwrap_err().kind(), ErrorKind::LimitExceeded);
        engine.drive().unwrap();
    }
    assert!(engine.metrics().disk_used < 1 << 20);
}

#[test]
fn who_waits_for_room_before_a_call_finds_it_and_hears_nothing_of_what_the_call_itself_would() {
    let engine = crowded(&World::new(3));
    let producer = engine.producer(ProducerOptions::new().batch_bytes(0)).unwrap();
    let value = [7; 1 << 10];
    let mut waited = 0;
    for _ in 0..400 {
        if producer.try_send("t", Record::new(&value)).unwrap().is_none() {
            waited += 1;
            assert!(engine.room_within(16 << 10, Duration::from_secs(1)).unwrap());
            drop(producer.send("t", Record::new(&value)).unwrap());
        }
    }
    assert!(waited > 0, "the log was never full");
    assert!(engine.room_within(1 << 30, Duration::ZERO).unwrap(), "to wait helps nothing, so the call may come");
    engine.close().unwrap();
    assert_eq!(engine.room_within(1, Duration::ZERO).unwrap_err().kind(), ErrorKind::Closed);
}

#[test]
fn a_log_that_takes_nothing_any_more_keeps_nobody_waiting_for_room() {
    let world = World::new(6);
    let engine = crowded(&world);
    let producer = engine.producer(ProducerOptions::new().batch_bytes(0)).unwrap();
    while producer.try_send("t", Record::new(&[7; 1 << 10])).unwrap().is_some() {}
    let large = 16 << 10;
    assert!(!engine.has_room(large));
    world.fail(Call::Sync, 0, Fault::Eio, true);
    assert_eq!(engine.flush().unwrap_err().kind(), ErrorKind::Indeterminate);
    assert!(engine.has_room(large), "an append answers at once");
    let refused = producer.try_send("t", Record::new(b"x")).unwrap().unwrap();
    assert_eq!(refused.wait().unwrap_err().kind(), ErrorKind::Poisoned);
    assert_eq!(engine.room_within(large, Duration::ZERO).unwrap_err().kind(), ErrorKind::Poisoned);
    let _ = engine.close();
    assert!(engine.has_room(large));
    let reading = Engine::options().threads(false).read_only(true).open_on(world.machine()).unwrap();
    assert!(reading.has_room(1 << 20));
    assert_eq!(reading.room_within(1 << 20, Duration::ZERO).unwrap_err().kind(), ErrorKind::ReadOnly);
}

#[test]
fn the_room_that_a_send_did_not_find_is_made_for_who_comes_again() {
    for named in [false, true] {
        let engine = crowded(&World::new(6));
        let options = ProducerOptions::new().batch_bytes(0);
        let producer = engine.producer(if named { options.name("n") } else { options }).unwrap();
        // More than a segment holds, and much more than the next one.
        let value = vec![7; 300 << 10];
        for n in 0..5 {
            let record = if named { Record::new(&value).position(n) } else { Record::new(&value) };
            let mut rounds = 0;
            while producer.try_send("t", record).unwrap().is_none() {
                rounds += 1;
                assert!(rounds < 4, "record {n}: nobody made room");
                engine.drive().unwrap();
            }
        }
        producer.flush().unwrap();
        assert_eq!(engine.partition("t", 0).unwrap().bounds().end, 5);
    }
}
