//! Closing while others work: every call ends, with an answer or with Closed, and what was answered is there.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use oncelog::{ConsumerOptions, Engine, Error, ErrorKind, ProducerOptions, Record, TopicOptions, TopicPartition};

const TOPICS: [&str; 2] = ["a", "b"];

#[derive(Default)]
struct Tally {
    /// Calls that put a record into topic `a` and were answered.
    answered: AtomicU64,
    /// Callbacks handed over, and those that ran.
    given: AtomicU64,
    called: AtomicU64,
}

/// Works until it is told that the engine is closed.
fn work(number: usize, engine: &Engine, tally: &Arc<Tally>) -> Error {
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
                tally.answered.fetch_add(1, Ordering::SeqCst);
                Ok(())
            }
            2 => {
                let mut transaction = transactional.as_ref().map_err(Clone::clone)?.begin_transaction()?;
                TOPICS.iter().try_for_each(|topic| transaction.send(topic, Record::new(b"two")))?;
                transaction.commit()?;
                tally.answered.fetch_add(1, Ordering::SeqCst);
                Ok(())
            }
            _ => {
                let ticket = producer.as_ref().map_err(Clone::clone)?.send("b", Record::new(b"three"))?;
                tally.given.fetch_add(1, Ordering::SeqCst);
                let tally = tally.clone();
                ticket.on_done(move |_| {
                    tally.called.fetch_add(1, Ordering::SeqCst);
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
    for _ in 0..30 {
        let dir = tempfile::tempdir().unwrap();
        let engine = Engine::open(dir.path()).unwrap();
        TOPICS.iter().for_each(|topic| engine.create_topic(topic, TopicOptions::new()).unwrap());
        let (tally, begin) = (Arc::new(Tally::default()), Barrier::new(9));
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..8)
                .map(|number| {
                    let (engine, tally, begin) = (engine.clone(), &tally, &begin);
                    scope.spawn(move || {
                        begin.wait();
                        work(number, &engine, tally)
                    })
                })
                .collect();
            begin.wait();
            while tally.answered.load(Ordering::SeqCst) < 20 {
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
        drop(engine);
        let [answered, given, called] =
            [&tally.answered, &tally.given, &tally.called].map(|count| count.load(Ordering::SeqCst));
        assert_eq!(called, given, "every callback runs once");
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
            assert!(records.count().is_multiple_of(2), "half a transaction was given, behind {seen} records");
            seen += records.count();
        }
    });
}

#[test]
fn a_read_of_old_segments_beside_the_close_answers_what_is_there_or_closed() {
    for (round, mappings) in [true, false].into_iter().cycle().take(20).enumerate() {
        let dir = tempfile::tempdir().unwrap();
        let engine = Engine::options().segment_bytes(64 << 10).mappings(mappings).open(dir.path()).unwrap();
        engine.create_topic("a", TopicOptions::new()).unwrap();
        let producer = engine.producer(ProducerOptions::new().linger(Duration::ZERO)).unwrap();
        (0..400).for_each(|_| producer.send("a", Record::new(&[7; 1_000])).unwrap().detach());
        producer.flush().unwrap();
        let (partition, read) = (engine.partition("a", 0).unwrap(), AtomicU64::new(0));
        let read_on = |from: u64| {
            for step in 0u64.. {
                let at = (from + step * 97) % 400;
                let records = match partition.read(at, oncelog::ReadOptions::new().max_bytes(1)) {
                    Ok(records) => records,
                    Err(error) => return error,
                };
                assert!(records.iter().all(|record| record.unwrap().value() == Some(&[7; 1_000][..])));
                assert!(records.count() > 0, "offset {at}");
                read.fetch_add(1, Ordering::SeqCst);
            }
            unreachable!("only an error ends it")
        };
        std::thread::scope(|scope| {
            let readers: Vec<_> = (0..4)
                .map(|from| {
                    let read_on = &read_on;
                    scope.spawn(move || read_on(from * 100))
                })
                .collect();
            while read.load(Ordering::SeqCst) < 10 + 20 * round as u64 {
                std::thread::yield_now();
            }
            engine.close().unwrap();
            for reader in readers {
                let error = reader.join().unwrap();
                assert_eq!(error.kind(), ErrorKind::Closed, "round {round}: {error}");
            }
        });
    }
}

#[test]
fn a_callback_that_is_given_after_the_close_runs_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::open(dir.path()).unwrap();
    engine.create_topic("a", TopicOptions::new()).unwrap();
    let producer = engine.producer(ProducerOptions::new()).unwrap();
    let ticket = producer.send("a", Record::new(b"one")).unwrap();
    engine.close().unwrap();
    let (tell, told) = std::sync::mpsc::channel();
    ticket.on_done(move |answer| tell.send(answer.map(|appended| appended.first)).unwrap());
    assert_eq!(told.try_recv().unwrap().unwrap(), 0);
}

#[test]
fn the_next_life_is_not_written_over_by_calls_that_began_before_the_close() {
    let dir = tempfile::tempdir().unwrap();
    let mut sent = 0;
    for life in 0..40u64 {
        let engine = Engine::open(dir.path()).unwrap();
        if life == 0 {
            engine.create_topic("a", TopicOptions::new()).unwrap();
        }
        let partition = engine.partition("a", 0).unwrap();
        assert!(partition.bounds().end >= sent, "life {life}: {:?} after {sent}", partition.bounds());
        let placed = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    let mut builder = oncelog::Batch::builder();
                    builder.push(&Record::new(b"x"), 1).unwrap();
                    let batch = builder.build().unwrap();
                    // Some are placed and never waited for, some are led while the log closes.
                    while let Ok(ticket) = partition.append(&batch) {
                        match ticket.wait() {
                            Ok(_) => placed.fetch_add(1, Ordering::SeqCst),
                            Err(error) => panic!("placed and then refused: {error}"),
                        };
                    }
                });
            }
            while placed.load(Ordering::SeqCst) < 10 {
                std::thread::yield_now();
            }
            engine.close().unwrap();
        });
        sent += placed.into_inner();
    }
    let engine = Engine::open(dir.path()).unwrap();
    assert_eq!(engine.opening().damage, []);
    assert_eq!(engine.partition("a", 0).unwrap().bounds().end, sent);
}

#[test]
fn a_callback_may_close_the_engine_while_somebody_else_closes_it() {
    for threads in [true, false] {
        for round in 0..20 {
            let dir = tempfile::tempdir().unwrap();
            let engine = Engine::options().threads(threads).open(dir.path()).unwrap();
            engine.create_topic("t", TopicOptions::new()).unwrap();
            let mut batch = oncelog::Batch::builder();
            batch.push(&Record::new(b"last"), 1).unwrap();
            let ticket = engine.partition("t", 0).unwrap().append(&batch.build().unwrap()).unwrap();
            let (said, heard) = std::sync::mpsc::channel();
            let inside = engine.clone();
            ticket.on_done(move |result| said.send((result.is_ok(), inside.close().is_ok())).unwrap());
            engine.close().unwrap();
            let (appended, closed) = heard.recv_timeout(Duration::from_secs(600)).unwrap();
            assert!(appended && closed, "round {round}");
        }
    }
}

#[cfg(target_os = "linux")]
mod own_threads {
    //! What the engine's own threads leave to the program's.
    #![allow(unsafe_code, reason = "a thread's last moments and its signals have no other door")]

    use std::ffi::c_void;
    use std::sync::Mutex;
    use std::sync::atomic::AtomicU32;

    use super::*;

    static ANSWER: Mutex<Option<oncelog::Result<()>>> = Mutex::new(None);
    static KEY: AtomicU32 = AtomicU32::new(0);
    static ROUND: AtomicU32 = AtomicU32::new(0);

    extern "C" fn close(engine: *mut c_void) {
        if ROUND.fetch_add(1, Ordering::SeqCst) == 0 {
            // Once more in the next round, behind all that the standard library does.
            // SAFETY: the key is this thread's.
            assert_eq!(unsafe { libc::pthread_setspecific(KEY.load(Ordering::SeqCst), engine) }, 0);
            return;
        }
        // SAFETY: the pointer is the box that the thread below gave away.
        let engine = unsafe { Box::from_raw(engine.cast::<Engine>()) };
        *ANSWER.lock().unwrap() = Some(engine.close());
    }

    #[test]
    fn a_log_may_be_closed_by_the_last_that_a_thread_does() {
        // The standard library's own name of the thread is gone by then: asking for it panics.
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let open = move || {
            let engine = Engine::options().open(&path).unwrap();
            let mut key = 0;
            // SAFETY: the key is this thread's alone, and what it holds is boxed.
            unsafe {
                assert_eq!(libc::pthread_key_create(&mut key, Some(close)), 0);
                KEY.store(key, Ordering::SeqCst);
                assert_eq!(libc::pthread_setspecific(key, Box::into_raw(Box::new(engine)).cast()), 0);
            }
        };
        std::thread::spawn(open).join().unwrap();
        ANSWER.lock().unwrap().take().expect("it was closed").unwrap();
    }

    #[test]
    fn threads_of_the_engine_take_no_signals_that_are_sent_to_the_process() {
        let directory = tempfile::tempdir().unwrap();
        let engine = Engine::options().open(directory.path().join("log")).unwrap();
        let blocked = |task: &std::path::Path| {
            let status = std::fs::read_to_string(task.join("status")).ok()?;
            let mask = status.lines().find_map(|line| line.strip_prefix("SigBlk:"))?;
            u64::from_str_radix(mask.trim(), 16).ok()
        };
        let bit = |signal: i32| 1_u64 << (signal - 1);
        // Those of other tests too, which may end meanwhile.
        let looked_at = |task: &std::path::Path| {
            let name = std::fs::read_to_string(task.join("comm")).unwrap_or_default();
            let Some(mask) = name.starts_with("oncelog-").then(|| blocked(task)).flatten() else { return false };
            let sent = [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGALRM, libc::SIGUSR1, libc::SIGCHLD];
            assert!(sent.iter().all(|signal| mask & bit(*signal) != 0), "{name}: {mask:x}");
            let faults = [libc::SIGSEGV, libc::SIGBUS, libc::SIGABRT, libc::SIGILL, libc::SIGFPE];
            assert!(faults.iter().all(|signal| mask & bit(*signal) == 0), "{name}: {mask:x}");
            true
        };
        let tasks = || std::fs::read_dir("/proc/self/task").unwrap().map(|task| task.unwrap().path());
        // A thread gives itself its name when it begins to run.
        while tasks().filter(|task| looked_at(task)).count() < 2 {
            std::thread::yield_now();
        }
        let own = blocked("/proc/thread-self".as_ref()).unwrap();
        assert_eq!(own & bit(libc::SIGTERM), 0, "the one that opened it goes on as before");
        engine.close().unwrap();
    }
}
