//! `Consumer::on_ready`: called once, in time, and never on the thread that brought the data.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::thread::ThreadId;
use std::time::Duration;

use oncelog::{
    Consumer, ConsumerOptions, Durability, Engine, ErrorKind, Outcome, ProducerOptions, Record, Start, TopicOptions,
    TopicPartition,
};

use crate::{LONG, consumer, engine, names, pending, slow, values};

/// Hears on which thread the call came.
fn ready(reader: &Consumer) -> Receiver<ThreadId> {
    let (tell, hear) = channel();
    reader.on_ready(move || {
        let _ = tell.send(std::thread::current().id());
    });
    hear
}

/// Until the keeper has had its look: callbacks come behind the looks that were asked for before.
fn looked(engine: &Engine, reader: &Consumer, place: &TopicPartition) {
    round(engine, place);
    assert_eq!(reader.lag(place).unwrap(), 0);
}

/// Until the keeper has had a round.
fn round(engine: &Engine, place: &TopicPartition) {
    // A second consumer with something to read is called in the same round or a later one.
    let other = engine.consumer(ConsumerOptions::new()).unwrap();
    other.assign(std::slice::from_ref(place)).unwrap();
    other.seek(place, 0).unwrap();
    ready(&other).recv_timeout(LONG).unwrap();
}

#[test]
fn a_waiting_call_comes_once_for_a_record_and_not_on_the_thread_that_wrote_it() {
    let (_dir, engine) = engine(&[("t", 1)]);
    let place = TopicPartition::new("t", 0);
    slow(&engine).send("t", Record::new(b"0")).unwrap().wait().unwrap();
    let reader = consumer(&engine, "g", &[("t", 0)]);
    let here = ready(&reader).recv_timeout(LONG).unwrap();
    assert_ne!(here, std::thread::current().id(), "at once, but on the keeper");
    assert_eq!(reader.poll(Duration::ZERO).unwrap().count(), 1);
    let [first, second] = [ready(&reader), ready(&reader)];
    looked(&engine, &reader, &place);
    assert_eq!(first.try_recv(), Err(TryRecvError::Empty), "there is nothing to read");
    slow(&engine).send("t", Record::new(b"1")).unwrap().wait().unwrap();
    for hear in [first, second] {
        assert_eq!(hear.recv_timeout(LONG).unwrap(), here);
        assert_eq!(hear.recv_timeout(LONG).unwrap_err(), std::sync::mpsc::RecvTimeoutError::Disconnected);
    }
    assert_eq!(reader.poll(Duration::ZERO).unwrap().count(), 1);
}

#[test]
fn to_wait_until_a_poll_would_answer_moves_nothing() {
    let (_dir, engine) = engine(&[("t", 1)]);
    let reader = consumer(&engine, "g", &[("t", 0)]);
    assert!(!reader.ready_within(Duration::ZERO).unwrap());
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| reader.ready_within(LONG).unwrap());
        slow(&engine).send("t", Record::new(b"0")).unwrap().wait().unwrap();
        assert!(waiting.join().unwrap());
    });
    assert!(reader.ready_within(Duration::ZERO).unwrap());
    assert_eq!(reader.position(&TopicPartition::new("t", 0)).unwrap(), 0);
    assert_eq!(reader.poll(Duration::ZERO).unwrap().count(), 1);
    engine.close().unwrap();
    assert_eq!(reader.ready_within(LONG).unwrap_err().kind(), ErrorKind::Closed);
}

#[test]
fn no_record_lands_unheard_between_registering_and_looking() {
    let (_dir, engine) = engine(&[]);
    // At this level whoever waits shows the record himself, while the keeper looks.
    let options = TopicOptions::new().partitions(2).durability(Durability::Os);
    engine.create_topic("t", options).unwrap();
    let reader = consumer(&engine, "g", &[("t", 0), ("t", 1)]);
    let (asked, rounds) = (AtomicU32::new(0), 3000);
    std::thread::scope(|scope| {
        let (engine, asked) = (&engine, &asked);
        scope.spawn(move || {
            let producer = engine.producer(ProducerOptions::new()).unwrap();
            for round in 1..=rounds {
                while asked.load(Ordering::SeqCst) < round {
                    std::thread::yield_now();
                }
                // A little later each time, so that it lands anywhere around the look.
                (0..round % 300 * 40).for_each(|_| std::hint::spin_loop());
                producer.send("t", Record::new(b"x").partition(round % 2)).unwrap().wait().unwrap();
            }
        });
        for round in 1..=rounds {
            asked.store(round, Ordering::SeqCst);
            let hear = ready(&reader);
            if hear.recv_timeout(LONG).is_err() {
                // So that the other thread ends.
                asked.store(rounds, Ordering::SeqCst);
                panic!("round {round}: nobody was called");
            }
            assert_eq!(reader.poll(Duration::ZERO).unwrap().count(), 1, "round {round}: called without need");
        }
    });
}

#[test]
fn a_call_comes_for_everything_that_ends_a_waiting_poll() {
    let (_dir, engine) = engine(&[("t", 1), ("full", 1), ("doomed", 1)]);
    slow(&engine).send("full", Record::new(b"x")).unwrap().wait().unwrap();
    slow(&engine).send("t", Record::new(b"x")).unwrap().wait().unwrap();
    let reader = engine.consumer(ConsumerOptions::new().group("g")).unwrap();
    ready(&reader).recv_timeout(LONG).unwrap();
    assert_eq!(reader.poll(Duration::ZERO).err().unwrap().kind(), ErrorKind::InvalidState, "nothing was assigned");
    let place = TopicPartition::new("t", 0);
    reader.assign(std::slice::from_ref(&place)).unwrap();
    let read_all = || assert_eq!(reader.poll(LONG).unwrap().count(), 1);

    read_all();
    let hear = ready(&reader);
    looked(&engine, &reader, &place);
    reader.seek(&place, 0).unwrap();
    hear.recv_timeout(LONG).unwrap();

    read_all();
    let hear = ready(&reader);
    looked(&engine, &reader, &place);
    reader.rewind().unwrap();
    hear.recv_timeout(LONG).unwrap();

    let producer = engine.transactional_producer("tp", ProducerOptions::new()).unwrap();
    let transaction = producer.begin_transaction_for(&reader).unwrap();
    read_all();
    let hear = ready(&reader);
    looked(&engine, &reader, &place);
    transaction.abort().unwrap();
    hear.recv_timeout(LONG).unwrap();

    read_all();
    let hear = ready(&reader);
    looked(&engine, &reader, &place);
    reader.assign(&names(&[("full", 0)])).unwrap();
    hear.recv_timeout(LONG).unwrap();

    reader.assign(&names(&[("doomed", 0)])).unwrap();
    let hear = ready(&reader);
    engine.delete_topic("doomed").unwrap();
    hear.recv_timeout(LONG).unwrap();
    assert_eq!(reader.poll(Duration::ZERO).err().unwrap().kind(), ErrorKind::UnknownTopicOrPartition);
}

#[test]
fn a_call_waits_for_the_decision_on_offsets_that_are_pending() {
    // It came at once and again and again, and each poll behind it answered UnstableOffsets.
    let (_dir, engine) = engine(&[("t", 1)]);
    slow(&engine).send_many("t", &["0", "1"].map(|v| Record::new(v.as_bytes()))).unwrap().wait().unwrap();
    let place = TopicPartition::new("t", 0);
    for (group, outcome, rest) in [("a", Some(Outcome::Commit), 1), ("b", Some(Outcome::Abort), 2), ("c", None, 2)] {
        let timeout = if outcome.is_some() { LONG } else { Duration::from_millis(300) };
        let identity = pending(&engine, group, std::slice::from_ref(&place), timeout);
        let reader = consumer(&engine, group, &[("t", 0)]);
        let hear = ready(&reader);
        round(&engine, &place);
        if let Some(outcome) = outcome {
            assert_eq!(hear.try_recv(), Err(TryRecvError::Empty), "a poll would wait");
            engine.end_transaction(identity, outcome).unwrap();
        }
        hear.recv_timeout(LONG).unwrap();
        assert_eq!(values(&reader.poll(Duration::ZERO).unwrap()).len(), rest, "{group}");
    }
}

#[test]
fn a_close_calls_whoever_waits_and_after_it_everybody_at_once() {
    for threads in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let engine = Engine::options().threads(threads).open(dir.path()).unwrap();
        engine.create_topic("t", TopicOptions::new()).unwrap();
        let reader = consumer(&engine, "g", &[("t", 0)]);
        let waiting = ready(&reader);
        assert_eq!(waiting.try_recv(), Err(TryRecvError::Empty));
        engine.close().unwrap();
        waiting.try_recv().unwrap();
        assert_eq!(ready(&reader).try_recv().unwrap(), std::thread::current().id());
        assert_eq!(reader.poll(LONG).err().unwrap().kind(), ErrorKind::Closed);
    }
}

#[test]
fn a_panic_in_one_call_leaves_the_others_theirs() {
    let (_dir, engine) = engine(&[("t", 1)]);
    let reader = consumer(&engine, "g", &[("t", 0)]);
    reader.on_ready(|| std::panic::panic_any("of the caller's own"));
    let hear = ready(&reader);
    slow(&engine).send("t", Record::new(b"x")).unwrap().wait().unwrap();
    hear.recv_timeout(LONG).unwrap();
    ready(&reader).recv_timeout(LONG).unwrap();
}

#[test]
fn a_call_may_use_the_consumer_and_wait_again() {
    fn pump(reader: &Consumer, tell: std::sync::mpsc::Sender<u64>) {
        let clone = reader.clone();
        reader.on_ready(move || {
            if let Ok(records) = clone.poll(Duration::ZERO) {
                tell.send(records.count()).unwrap();
                pump(&clone, tell);
            }
        });
    }
    let (_dir, engine) = engine(&[("t", 1)]);
    let (reader, producer) = (consumer(&engine, "g", &[("t", 0)]), slow(&engine));
    let (tell, hear) = channel();
    pump(&reader, tell);
    for _ in 0..50 {
        producer.send("t", Record::new(b"x")).unwrap().wait().unwrap();
        assert_eq!(hear.recv_timeout(LONG).unwrap(), 1);
    }
    engine.close().unwrap();
    assert!(hear.recv_timeout(LONG).is_err(), "the last call finds the engine closed and lets go");
}

#[test]
fn a_log_that_is_only_read_calls_too() {
    let (dir, writer) = engine(&[("t", 1)]);
    slow(&writer).send("t", Record::new(b"x")).unwrap().wait().unwrap();
    writer.close().unwrap();
    let engine = Engine::options().read_only(true).open(dir.path()).unwrap();
    let reader = consumer(&engine, "g", &[("t", 0)]);
    ready(&reader).recv_timeout(LONG).unwrap();
    assert_eq!(reader.poll(Duration::ZERO).unwrap().count(), 1);
    let hear = ready(&reader);
    engine.close().unwrap();
    hear.try_recv().unwrap();
}

#[test]
fn the_start_rule_decides_what_is_waited_for() {
    let (_dir, engine) = engine(&[("t", 1)]);
    let place = TopicPartition::new("t", 0);
    slow(&engine).send("t", Record::new(b"x")).unwrap().wait().unwrap();
    let with = |start| {
        let reader = engine.consumer(ConsumerOptions::new().start(start)).unwrap();
        reader.assign(std::slice::from_ref(&place)).unwrap();
        reader
    };
    let (latest, none) = (with(Start::Latest), with(Start::None));
    ready(&none).recv_timeout(LONG).unwrap();
    assert_eq!(none.poll(Duration::ZERO).err().unwrap().kind(), ErrorKind::OffsetOutOfRange);
    let hear = ready(&latest);
    looked(&engine, &latest, &place);
    assert_eq!(hear.try_recv(), Err(TryRecvError::Empty));
    slow(&engine).send("t", Record::new(b"y")).unwrap().wait().unwrap();
    hear.recv_timeout(LONG).unwrap();
    assert_eq!(crate::values(&latest.poll(Duration::ZERO).unwrap()), ["y"]);
}

#[test]
fn a_position_behind_the_end_waits_for_what_comes_after_the_end() {
    let (_dir, engine) = engine(&[("t", 1)]);
    let place = TopicPartition::new("t", 0);
    slow(&engine).send("t", Record::new(b"x")).unwrap().wait().unwrap();
    let far = oncelog::Offsets::from([(place.clone(), 99.into())]);
    let reader = engine.consumer(ConsumerOptions::new().group("g").start(Start::Latest)).unwrap();
    reader.assign(std::slice::from_ref(&place)).unwrap();
    reader.commit_offsets(&far).unwrap();
    let hear = ready(&reader);
    looked(&engine, &reader, &place);
    slow(&engine).send("t", Record::new(b"y")).unwrap().wait().unwrap();
    hear.recv_timeout(LONG).unwrap();
    assert_eq!(crate::values(&reader.poll(Duration::ZERO).unwrap()), ["y"]);
}

#[test]
fn the_look_of_the_keeper_takes_back_nothing_that_a_poll_has_read() {
    let (_dir, engine) = engine(&[("t", 1)]);
    let texts: Vec<String> = (0..40).map(|number| number.to_string()).collect();
    let records: Vec<_> = texts.iter().map(|text| Record::new(text.as_bytes())).collect();
    slow(&engine).send_many("t", &records).unwrap().wait().unwrap();
    for round in 0..400 {
        let options = ConsumerOptions::new().group("g").max_records(1);
        let reader = engine.consumer(options).unwrap();
        reader.assign(&names(&[("t", 0)])).unwrap();
        // The look settles the position while the polls do so too and read on.
        let waiting: Vec<_> = (0..8).map(|_| ready(&reader)).collect();
        // A little later each time, so that the look is anywhere in the middle.
        (0..round % 100 * 60).for_each(|_| std::hint::spin_loop());
        let read: Vec<String> =
            texts.iter().flat_map(|_| crate::values(&reader.poll(Duration::ZERO).unwrap())).collect();
        assert_eq!(read, texts, "round {round}");
        drop(waiting);
    }
}
