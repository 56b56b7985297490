//! Closing while others work: every call ends, with an answer or with Closed, and what was answered is there.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use oncelog::{ConsumerOptions, Engine, Error, ErrorKind, ProducerOptions, Record, TopicOptions, TopicPartition};

const TOPICS: [&str; 2] = ["a", "b"];

/// Works until it is told that the engine is closed.
fn work(number: usize, engine: &Engine, answered: &AtomicU64) -> Error {
    let producer = engine.producer(ProducerOptions::new().linger(Duration::ZERO));
    let transactional = engine.transactional_producer(&format!("p{number}"), ProducerOptions::new());
    let consumer = engine.consumer(ConsumerOptions::new().group(format!("g{number}")));
    let step = || -> oncelog::Result<()> {
        let consumer = consumer.as_ref().map_err(Clone::clone)?;
        match number % 4 {
            0 => {
                consumer.assign(&[TopicPartition::new("a", 0)])?;
                consumer.poll(Duration::from_secs(600)).map(drop)
            }
            1 => {
                let ticket = producer.as_ref().map_err(Clone::clone)?.send("a", Record::new(b"one"))?;
                ticket.wait()?;
                answered.fetch_add(1, Ordering::SeqCst);
                Ok(())
            }
            2 => {
                let mut transaction = transactional.as_ref().map_err(Clone::clone)?.begin_transaction()?;
                TOPICS.iter().try_for_each(|topic| transaction.send(topic, Record::new(b"two")))?;
                transaction.commit()?;
                answered.fetch_add(1, Ordering::SeqCst);
                Ok(())
            }
            _ => {
                let counted = std::sync::Arc::new(AtomicU64::new(0));
                let seen = counted.clone();
                let ticket = producer.as_ref().map_err(Clone::clone)?.send("b", Record::new(b"three"))?;
                ticket.on_done(move |_| {
                    seen.fetch_add(1, Ordering::SeqCst);
                });
                engine.flush()
            }
        }
    };
    loop {
        if let Err(error) = step() {
            return error;
        }
    }
}

#[test]
fn eight_threads_and_two_closes_end_in_order() {
    for _ in 0..10 {
        let dir = tempfile::tempdir().unwrap();
        let engine = Engine::open(dir.path()).unwrap();
        TOPICS.iter().for_each(|topic| engine.create_topic(topic, TopicOptions::new()).unwrap());
        let (answered, begin) = (AtomicU64::new(0), Barrier::new(9));
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..8)
                .map(|number| {
                    let (engine, answered, begin) = (engine.clone(), &answered, &begin);
                    scope.spawn(move || {
                        begin.wait();
                        work(number, &engine, answered)
                    })
                })
                .collect();
            begin.wait();
            while answered.load(Ordering::SeqCst) < 20 {
                std::thread::yield_now();
            }
            let other = engine.clone();
            let closer = scope.spawn(move || other.close());
            engine.close().unwrap();
            closer.join().unwrap().unwrap();
            for worker in workers {
                let error = worker.join().unwrap();
                assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
            }
        });
        let answered = answered.into_inner();
        drop(engine);
        let engine = Engine::open(dir.path()).unwrap();
        let end = |topic| engine.partition(topic, 0).unwrap().bounds().end;
        assert!(end("a") >= answered, "{} of {answered} answered records are there", end("a"));
    }
}

#[test]
fn a_reader_never_finds_half_of_what_is_committed_to_its_partition() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::open(dir.path()).unwrap();
    engine.create_topic("a", TopicOptions::new()).unwrap();
    let rounds = 300u64;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let producer = engine.transactional_producer("p", ProducerOptions::new()).unwrap();
            for _ in 0..rounds {
                let mut transaction = producer.begin_transaction().unwrap();
                transaction.send("a", Record::new(b"left")).unwrap();
                transaction.send("a", Record::new(b"right")).unwrap();
                transaction.commit().unwrap();
            }
        });
        let consumer = engine.consumer(ConsumerOptions::new()).unwrap();
        consumer.assign(&[TopicPartition::new("a", 0)]).unwrap();
        let mut seen = 0;
        while seen < 2 * rounds {
            let records = consumer.poll(Duration::from_secs(60)).unwrap();
            assert!(records.count() % 2 == 0, "half a transaction was given, behind {seen} records");
            seen += records.count();
        }
    });
}
