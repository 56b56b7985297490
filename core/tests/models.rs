//! Models of what threads do to each other: short stories of a few threads on one engine, told again and again, each
//! time with another interleaving of their locks, atomics and waits. The crate shuttle stands in for the standard
//! library (`io/sync.rs`), runs one thread at a time and chooses who goes on; a thread that waits for what nobody will
//! do is found as a deadlock. All atomics count as sequentially consistent here: weaker orders are not explored.
//!
//! A failure prints its schedule. With it in the environment variable `SCHEDULE` a test tells that story once more;
//! `MODELS=<n>` has each told n times by each of the two ways to choose:
//! `cargo test --package oncelog --features models --test models -- <name>`.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::ops::Deref;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use oncelog::io::{Event, Machine, Park};
use oncelog::sim::{Bug, World, plant};
use oncelog::{
    AppendOptions, Appended, Batch, ConsumerOptions, Durability, Engine, EngineOptions, ErrorKind, ProducerOptions,
    ReadOptions, Record, Records, Result, Ticket, TopicOptions, TopicPartition,
};
use shuttle::scheduler::{PctScheduler, RandomScheduler, ReplayScheduler, Scheduler};
use shuttle::thread;
use shuttle::{Config, FailurePersistence, MaxSteps, Runner};

/// Interleavings of each model, by each of the two ways to choose.
const TIMES: usize = 2_000;
/// Seeds that are tried, each by both ways to choose, until a planted mistake shows.
const HUNTS: u64 = 200;
/// Calls of a model in one interleaving, many times what any takes: beyond it somebody runs in circles.
const STEPS: usize = 100_000;
/// Switches away from a thread that could go on, of the second way to choose: few show most mistakes.
const SWITCHES: usize = 4;

/// Time stands still. The engine's own threads sleep until somebody rings; for anybody else a deadline is past once
/// the others were let go first.
struct Bells;

impl Park for Bells {
    fn give_way(&self) -> bool {
        thread::yield_now();
        true
    }

    fn park(&self, event: &Event, seen: u64, deadline: Option<u64>) -> bool {
        let own = thread::current().name().is_some_and(|name| name.starts_with("oncelog-"));
        if own || deadline.is_none() {
            return event.block(seen, None);
        }
        thread::yield_now();
        event.seen() != seen
    }
}

/// Time passes for the keeper alone: it sleeps until the moment that it names, unless somebody rings first.
struct Passes(World);

impl Park for Passes {
    fn park(&self, event: &Event, seen: u64, deadline: Option<u64>) -> bool {
        let keeper = thread::current().name() == Some("oncelog-keeper");
        let Some(deadline) = deadline.filter(|_| keeper) else { return event.block(seen, None) };
        thread::yield_now();
        let moved = event.seen() != seen;
        if !moved {
            self.0.advance(deadline.saturating_sub(self.0.machine().clock.monotonic()));
        }
        moved
    }
}

/// An engine that a failed model leaves as it is: closing it would wait for threads that are not run any more.
struct Held(Option<Engine>);

impl Deref for Held {
    type Target = Engine;
    fn deref(&self) -> &Engine {
        self.0.as_ref().unwrap()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if thread::panicking() {
            std::mem::forget(self.0.take());
        }
    }
}

/// A world with topic `os` and topic `disk`, each of one partition at that level, and its engine.
fn begin(options: EngineOptions) -> (World, Arc<Held>) {
    begin_with(options, |_| Arc::new(Bells))
}

fn begin_with(options: EngineOptions, park: fn(&World) -> Arc<dyn Park>) -> (World, Arc<Held>) {
    let world = World::new(1);
    // So that what lies for ever ahead is no moment of this clock.
    world.advance(1);
    let engine = open_with(&world, options, park(&world));
    for (topic, level) in [("os", Durability::Os), ("disk", Durability::Disk)] {
        engine.create_topic(topic, TopicOptions::new().durability(level)).unwrap();
    }
    (world, Arc::new(engine))
}

fn options() -> EngineOptions {
    Engine::options().segment_bytes(64 << 10).durability(Durability::Os)
}

fn open(world: &World, options: EngineOptions) -> Held {
    open_with(world, options, Arc::new(Bells))
}

fn open_with(world: &World, options: EngineOptions, park: Arc<dyn Park>) -> Held {
    let machine = Machine { park, ..world.machine() };
    Held(Some(options.open_on(machine).unwrap()))
}

/// Places a record; its ticket.
fn append(engine: &Engine, topic: &str, value: &[u8], level: Durability) -> Result<Ticket<Appended>> {
    let mut batch = Batch::builder();
    batch.push(&Record::new(value), 1)?;
    engine.partition(topic, 0)?.append_with(&batch.build()?, AppendOptions::new().durability(level))
}

fn values(records: &Records) -> Vec<String> {
    records.iter().map(|record| String::from_utf8(record.unwrap().value().unwrap().to_vec()).unwrap()).collect()
}

/// All of a topic.
fn read(engine: &Engine, topic: &str) -> Vec<String> {
    values(&engine.partition(topic, 0).unwrap().read(0, ReadOptions::new().max_bytes(1 << 20)).unwrap())
}

/// What a log holds that was closed, or lost its power, of a topic.
fn left(world: &World, topic: &str) -> Vec<String> {
    read(&open(world, options().threads(false)), topic)
}

/// Appenders at both levels and a reader who is woken by what they do: it sees one prefix after the other, in order, to
/// the end. A wake-up that is lost leaves it waiting for ever.
fn publish() {
    let (_world, engine) = begin(options());
    let appenders = [["os", "disk"], ["disk", "os"]].map(|topics| {
        let engine = engine.clone();
        thread::spawn(move || {
            for topic in topics {
                let level = if topic == "os" { Durability::Os } else { Durability::Disk };
                append(&engine, topic, topics[0].as_bytes(), level).unwrap().wait().unwrap();
            }
        })
    });
    let reader = {
        let engine = engine.clone();
        thread::spawn(move || {
            let consumer = engine.consumer(ConsumerOptions::new()).unwrap();
            consumer.assign(&["os", "disk"].map(|topic| TopicPartition::new(topic, 0))).unwrap();
            let mut seen = [0, 0];
            while seen != [2, 2] {
                for record in &consumer.poll(Duration::MAX).unwrap() {
                    let record = record.unwrap();
                    let next = &mut seen[usize::from(record.topic() == "disk")];
                    assert_eq!(record.offset(), *next, "a prefix, in order");
                    *next += 1;
                }
            }
        })
    };
    appenders.into_iter().for_each(|appender| appender.join().unwrap());
    reader.join().unwrap();
    engine.close().unwrap();
}

/// Whoever gives a baton up, of the write or of the flush, leaves nobody waiting who would have to lead now. No thread
/// of the engine runs that could help.
fn hand_over() {
    let (_world, engine) = begin(options().threads(false));
    let appenders = [Durability::Os, Durability::Disk, Durability::Disk].map(|level| {
        let engine = engine.clone();
        thread::spawn(move || append(&engine, "os", b"x", level).and_then(Ticket::wait).map(drop).unwrap())
    });
    appenders.into_iter().for_each(|appender| appender.join().unwrap());
    assert_eq!(read(&engine, "os").len(), 3);
}

/// Segments that hold two records each: appenders roll, make the next segment and flush the one before, and nobody
/// stalls. What was flushed when its segment was left makes room like all else.
fn roll() {
    let (_world, engine) = begin(options().threads(false));
    let appenders = [(Durability::Os, 6), (Durability::Disk, 1)].map(|(level, count)| {
        let engine = engine.clone();
        thread::spawn(move || {
            for _ in 0..count {
                append(&engine, "os", &[b'x'; 24 << 10], level).unwrap().wait().unwrap();
            }
        })
    });
    appenders.into_iter().for_each(|appender| appender.join().unwrap());
    assert_eq!(read(&engine, "os").len(), 7);
    engine.close().unwrap();
}

/// Zeros are written ahead of the frames while frames are: none of them lands on one.
fn zeros() {
    beside_zeros(4, 5000);
}

/// The same in segments that hold two records each: zeros go to the next one while the log rolls into it.
fn zeros_beyond() {
    beside_zeros(5, 24 << 10);
}

fn beside_zeros(records: usize, bytes: usize) {
    let (world, engine) = begin(options().threads(false));
    let keeper = {
        let engine = engine.clone();
        thread::spawn(move || {
            for _ in 0..3 {
                engine.drive().unwrap();
            }
        })
    };
    for _ in 0..records {
        append(&engine, "os", &vec![b'x'; bytes], Durability::Os).and_then(Ticket::wait).unwrap();
    }
    keeper.join().unwrap();
    engine.close().unwrap();
    drop(engine);
    assert_eq!(left(&world, "os").len(), records);
}

/// One makes the room that is missing, and others ask whether somebody does: nobody who asks holds up who makes it.
fn room() {
    let (_world, engine) = begin(options().threads(false));
    let large = 100 << 10;
    let asks = {
        let engine = engine.clone();
        thread::spawn(move || while !engine.room_within(large, Duration::ZERO).unwrap() {})
    };
    engine.await_room(large).unwrap();
    asks.join().unwrap();
    assert!(engine.has_room(large));
}

/// A close beside an append, a ticket that is waited for, one that calls back, and another close: an append is refused
/// or kept, what was placed before is kept, and whoever asked for an answer gets one.
fn close() {
    let (world, engine) = begin(options());
    let ticket = append(&engine, "disk", b"waited for", Durability::Disk).unwrap();
    let called = append(&engine, "os", b"calls back", Durability::Disk).unwrap();
    let answers = Arc::new(Mutex::new(Vec::new()));
    let waiter = thread::spawn(move || ticket.wait().map(drop).unwrap());
    let caller = {
        let answers = answers.clone();
        thread::spawn(move || called.on_done(move |answer| answers.lock().unwrap().push(answer.is_ok())))
    };
    let appender = {
        let engine = engine.clone();
        thread::spawn(move || {
            let kept = append(&engine, "disk", b"beside", Durability::Disk).and_then(Ticket::wait);
            kept.map(drop).inspect_err(|error| assert_eq!(error.kind(), ErrorKind::Closed, "{error}")).is_ok()
        })
    };
    let closer = {
        let engine = engine.clone();
        thread::spawn(move || engine.close().unwrap())
    };
    // Found open, it may see the close's last words, and is answered all the same.
    let flushed = engine.flush().map_err(|error| error.kind());
    assert!(matches!(flushed, Ok(()) | Err(ErrorKind::Closed)), "{flushed:?}");
    engine.close().unwrap();
    closer.join().unwrap();
    let kept = appender.join().unwrap();
    waiter.join().unwrap();
    caller.join().unwrap();
    assert_eq!(*answers.lock().unwrap(), [true], "called back once");
    drop(engine);
    assert_eq!(left(&world, "os"), ["calls back"]);
    let expected = if kept { vec!["waited for", "beside"] } else { vec!["waited for"] };
    assert_eq!(left(&world, "disk"), expected);
}

/// What one thread sends is answered in the order of the sends, whoever closes its batches and whoever calls back.
fn answers() {
    let (_world, engine) = begin(options());
    let producer = Arc::new(engine.producer(ProducerOptions::new().linger(Duration::MAX)).unwrap());
    let answers = Arc::new(Mutex::new(Vec::new()));
    let closer = {
        let producer = producer.clone();
        thread::spawn(move || (0..2).for_each(|_| producer.flush().unwrap()))
    };
    for _ in 0..4 {
        let answers = answers.clone();
        let tell = move |answer: Result<Appended>| answers.lock().unwrap().push(answer.unwrap().first);
        producer.send("os", Record::new(b"x")).unwrap().on_done(tell);
    }
    closer.join().unwrap();
    drop(producer);
    engine.close().unwrap();
    assert_eq!(*answers.lock().unwrap(), [0, 1, 2, 3]);
}

/// The same where what is sent is refused because its topic goes, which others flush, or nobody yet: who is refused
/// waits for that flush, and who is not comes behind whoever was.
fn refusals() {
    let (_world, engine) = begin(options());
    let producer = engine.producer(ProducerOptions::new().linger(Duration::ZERO).durability(Durability::Os)).unwrap();
    let answers = Arc::new(Mutex::new(Vec::new()));
    let deleter = {
        let engine = engine.clone();
        thread::spawn(move || engine.delete_topic("disk").unwrap())
    };
    for number in 0..4 {
        let answers = answers.clone();
        let tell = move |answer: Result<Appended>| answers.lock().unwrap().push((number, answer.is_ok()));
        match producer.send(if number % 2 == 0 { "disk" } else { "os" }, Record::new(b"x")) {
            Ok(ticket) => ticket.on_done(tell),
            Err(error) => assert_eq!(error.kind(), ErrorKind::UnknownTopicOrPartition, "its deletion is safe"),
        }
    }
    deleter.join().unwrap();
    drop(producer);
    engine.close().unwrap();
    let answers = answers.lock().unwrap();
    assert!(answers.is_sorted(), "{answers:?}");
    assert_eq!(answers.iter().filter(|(number, kept)| number % 2 == 1 && *kept).count(), 2, "{answers:?}");
}

/// Transactions in the log before they are decided, one aborted and one committed, beside a plain append: a reader of
/// what is committed never sees the one, sees all of the other at once, and is woken by the decision.
fn stable() {
    let (_world, engine) = begin(options());
    let writer = {
        let engine = engine.clone();
        thread::spawn(move || {
            let producer = engine.transactional_producer("tp", ProducerOptions::new().transaction_buffer(0)).unwrap();
            for end in ["abort", "commit"] {
                let mut transaction = producer.begin_transaction().unwrap();
                transaction.send("os", Record::new(format!("{end} 1").as_bytes())).unwrap();
                transaction.send("os", Record::new(format!("{end} 2").as_bytes())).unwrap();
                if end == "abort" {
                    transaction.abort().unwrap();
                } else {
                    transaction.commit().unwrap();
                }
            }
        })
    };
    let appender = {
        let engine = engine.clone();
        thread::spawn(move || append(&engine, "os", b"plain", Durability::Os).and_then(Ticket::wait).map(drop).unwrap())
    };
    let consumer = engine.consumer(ConsumerOptions::new()).unwrap();
    consumer.assign(&[TopicPartition::new("os", 0)]).unwrap();
    let (mut seen, mut before) = (Vec::new(), 0);
    while seen.len() < 3 {
        let polled = values(&consumer.poll(Duration::MAX).unwrap());
        assert!(polled.iter().all(|value| !value.starts_with("abort")), "{polled:?}");
        assert_eq!(polled.iter().filter(|value| value.starts_with("commit")).count() % 2, 0, "{polled:?}");
        seen.extend(polled);
        let bounds = engine.partition("os", 0).unwrap().bounds();
        assert!(before <= bounds.stable && bounds.stable <= bounds.end, "{bounds:?} behind {before}");
        before = bounds.stable;
    }
    writer.join().unwrap();
    appender.join().unwrap();
    seen.retain(|value| value != "plain");
    assert_eq!(seen, ["commit 1", "commit 2"]);
    engine.close().unwrap();
}

/// The records of one transaction are shown one by one to whom everything is shown, and all at once to whom only what
/// is committed: whoever looks, whenever, finds none or all of them below the stable offset.
fn moments() {
    let (_world, engine) = begin(options().threads(false));
    let producer = engine.transactional_producer("tp", ProducerOptions::new().transaction_buffer(0)).unwrap();
    let mut transaction = producer.begin_transaction().unwrap();
    transaction.send("os", Record::new(b"x")).unwrap();
    engine.drive().unwrap();
    let partition = engine.partition("os", 0).unwrap();
    let looker = thread::spawn(move || {
        for _ in 0..3 {
            let bounds = partition.bounds();
            assert!([0, 2].contains(&bounds.stable), "{bounds:?}");
        }
    });
    transaction.send("os", Record::new(b"x")).unwrap();
    transaction.commit().unwrap();
    looker.join().unwrap();
}

/// The power goes at any moment: what was acknowledged at level `disk` is there afterwards.
fn power() {
    let (world, engine) = begin(options().threads(false));
    let appenders =
        [("os", Durability::Os), ("disk", Durability::Disk), ("disk", Durability::Disk)].map(|(topic, level)| {
            let engine = engine.clone();
            thread::spawn(move || {
                let kept = append(&engine, topic, b"x", level).and_then(Ticket::wait);
                kept.is_ok_and(|_| level == Durability::Disk)
            })
        });
    world.crash();
    let kept = appenders.into_iter().map(|appender| appender.join().unwrap()).filter(|kept| *kept).count();
    drop(engine);
    let left = left(&world, "disk").len();
    assert!(left >= kept, "{kept} acknowledged, {left} left");
}

/// A close finds a reader anywhere between its look and its sleep, and is heard.
fn hang_up() {
    let (_world, engine) = begin(options());
    let consumer = engine.consumer(ConsumerOptions::new()).unwrap();
    consumer.assign(&[TopicPartition::new("os", 0)]).unwrap();
    let reader = thread::spawn(move || consumer.poll(Duration::MAX).map(drop));
    engine.close().unwrap();
    assert_eq!(reader.join().unwrap().unwrap_err().kind(), ErrorKind::Closed);
}

/// A record that nobody waits for is sent whenever the keeper may be about to sleep: it closes the batch all the same,
/// and a reader is woken.
fn linger() {
    let (_world, engine) = begin_with(options(), |world| Arc::new(Passes(world.clone())));
    let consumer = engine.consumer(ConsumerOptions::new()).unwrap();
    consumer.assign(&[TopicPartition::new("os", 0)]).unwrap();
    append(&engine, "disk", b"x", Durability::Disk).and_then(Ticket::wait).unwrap();
    let producer = engine.producer(ProducerOptions::new().linger(Duration::from_millis(10))).unwrap();
    producer.send("os", Record::new(b"nobody waits")).unwrap().detach();
    assert_eq!(values(&consumer.poll(Duration::MAX).unwrap()), ["nobody waits"]);
    engine.close().unwrap();
}

/// Whoever is told that a record is written, by himself or by the keeper, finds its group counted.
fn counted() {
    let (_world, engine) = begin(options());
    for _ in 0..2 {
        let before = engine.metrics();
        append(&engine, "os", b"x", Durability::Os).and_then(Ticket::wait).unwrap();
        let after = engine.metrics();
        assert!(after.bytes > before.bytes && after.group_frames.count() > before.group_frames.count(), "{after:?}");
        assert_eq!(after.records, before.records + 1);
    }
    engine.close().unwrap();
}

fn config(persistence: FailurePersistence) -> Config {
    let mut config = Config::new();
    config.stack_size = 256 << 10;
    config.max_steps = MaxSteps::FailAfter(STEPS);
    config.silence_warnings = true;
    config.failure_persistence = persistence;
    // What a failure leaves is not run on, see `Held`.
    config.ungraceful_shutdown_config.immediately_return_on_panic = true;
    config
}

/// Tells a model again and again: by chance at every call, and with few switches, at places chosen by chance.
fn tell(model: fn()) {
    let run =
        |scheduler: Box<dyn Scheduler + Send>| Runner::new(scheduler, config(FailurePersistence::Print)).run(model);
    if let Ok(schedule) = std::env::var("SCHEDULE") {
        run(Box::new(ReplayScheduler::new_from_encoded(&schedule)));
        return;
    }
    let times = std::env::var("MODELS").map_or(TIMES, |times| times.parse().unwrap());
    run(Box::new(RandomScheduler::new_from_seed(1, times)));
    run(Box::new(PctScheduler::new_from_seed(1, SWITCHES, times)));
}

#[test]
fn a_reader_sees_one_prefix_after_the_other_and_no_wake_up_is_lost() {
    tell(publish);
}

#[test]
fn who_gives_a_baton_up_leaves_nobody_waiting() {
    tell(hand_over);
}

#[test]
fn appenders_that_roll_never_stall() {
    tell(roll);
}

#[test]
fn zeros_ahead_never_land_on_a_frame() {
    tell(zeros);
}

#[test]
fn zeros_in_the_next_segment_never_land_on_a_frame_when_it_is_rolled_into() {
    tell(zeros_beyond);
}

#[test]
fn who_asks_for_room_holds_up_nobody_who_makes_it() {
    tell(room);
}

#[test]
fn a_close_keeps_or_refuses_and_answers_everybody() {
    tell(close);
}

#[test]
fn what_one_thread_sends_is_answered_in_its_order() {
    tell(answers);
}

#[test]
fn what_is_refused_is_answered_in_its_order_too() {
    tell(refusals);
}

#[test]
fn what_is_stable_waits_for_decisions_and_moves_with_them() {
    tell(stable);
}

#[test]
fn none_or_all_of_a_transaction_is_below_the_stable_offset() {
    tell(moments);
}

#[test]
fn what_is_acknowledged_survives_a_power_cut_at_any_moment() {
    tell(power);
}

#[test]
fn a_close_is_heard_by_a_poll_that_is_about_to_wait() {
    tell(hang_up);
}

#[test]
fn a_lingering_batch_is_closed_whenever_it_was_begun() {
    tell(linger);
}

#[test]
fn what_is_written_is_counted() {
    tell(counted);
}

/// The model that shows a mistake.
fn made_for(bug: Bug) -> Option<fn()> {
    Some(match bug {
        Bug::AckBeforeFlush | Bug::DurableCountedAtFlushEnd => power,
        Bug::StableNotHeldBack | Bug::EndBeforeUndecided => stable,
        Bug::BoundsOfTwoMoments => moments,
        Bug::EventBeforeBaton => hand_over,
        Bug::NotifiedWithoutLock => publish,
        Bug::SettledByFlusherOnly => roll,
        Bug::EnlistedBehindClose => close,
        Bug::CallsOfManyMoments => answers,
        Bug::CloseUnheard => hang_up,
        Bug::LingerBehindLook => linger,
        Bug::WrittenBeforeCounted => counted,
        Bug::ZerosOverFrames => zeros,
        _ => return None,
    })
}

/// Whether a planted mistake shows. On a thread of its own: shuttle leaves one on which it has failed unfit for more.
fn shows(bug: Bug, model: fn(), scheduler: impl Scheduler + Send + 'static) -> bool {
    let run = move || {
        let _planted = plant(bug);
        Runner::new(scheduler, config(FailurePersistence::None)).run(model)
    };
    std::thread::spawn(run).join().is_err()
}

#[test]
fn every_mistake_between_threads_is_caught() {
    assert!(Bug::BETWEEN_THREADS.iter().all(|bug| made_for(*bug).is_some()));
    for bug in Bug::ALL {
        let Some(model) = made_for(*bug) else { continue };
        let caught = (1..=HUNTS).find(|seed| {
            shows(*bug, model, RandomScheduler::new_from_seed(*seed, 200))
                || shows(*bug, model, PctScheduler::new_from_seed(*seed, SWITCHES, 200))
        });
        let seed = caught.unwrap_or_else(|| panic!("no model shows {bug:?}"));
        println!("{bug:?}: shown with seed {seed}");
    }
}
